"""Reckoning of a question: the prefixes that its answer's addresses are reached by, and how far each of them is.

The cases, by what is found of a prefix in each view that wants it; the first that holds for any prefix counts:

    1. awaited        it is on its way to ExaBGP and unanswered: wait for that, and then for the slowest neighbor
    2. installing     it is acknowledged, and the slowest neighbor's margin is not past yet: wait for that
    3. there          it is acknowledged, for long enough; a restored route that was not said again is not: it is stale
    4. no neighbor    no neighbor that the view reaches is up, or ExaBGP still sends each what piled up before
    5. refused        by guard, caps, ExaBGP or budgets: there is no prefix, or no view takes it

A neighbor with a budget isn't waited for before the route table is whole: it is told nothing until then.

For the holder of the keeper's lock.
"""

from collections.abc import Iterable
from itertools import filterfalse
from typing import NamedTuple

from dnstap_bgp.core.exabgp.grammar import family
from dnstap_bgp.core.exabgp.neighbors import Neighbor, NeighborTasks
from dnstap_bgp.core.exabgp.views import View, Views
from dnstap_bgp.core.hold.margins import Margins
from dnstap_bgp.core.hold.message import Verdict
from dnstap_bgp.core.model import Address, Prefix
from dnstap_bgp.core.routes.table import RouteTable


class Reckoning(NamedTuple):
    """Outcome of a reckoning.

    Attributes:
        verdict: What to reply at once; None: there is something to wait for.
        awaited: The prefixes that are not acknowledged yet.
        ready_at: When those that are will be installed, process clock; what is past counts no more.
        margin_s: Of the slowest concerned neighbor: for each of `awaited`, from its acknowledgment on.
    """

    verdict: Verdict | None
    awaited: tuple[Prefix, ...] = ()
    ready_at: float = 0.0
    margin_s: float = 0.0


def prefixes_of(addresses: Iterable[Address], table: RouteTable) -> list[Prefix]:
    """Find the prefixes that lead to addresses: host routes and static networks in their place; none where refused.

    Where neighbors differ, one may have the host route and another the network.
    """
    policies = table.policies
    found: dict[Prefix, None] = {}
    for address in addresses:
        is_wanted = table.wanted(address) is not None
        if is_wanted:
            found[address] = None
        if policies.statics and (policies.is_divided or not is_wanted):
            lists = [claim.list for claim in table.claims.of_address(address)]
            found.update(dict.fromkeys(policies.covering(address, lists) if lists else ()))
    return list(found)


def reckon(
    prefixes: Iterable[Prefix], views: Views, tasks: NeighborTasks | None, margins: Margins, now: float
) -> Reckoning:
    """Work out what a question waits for.

    Args:
        prefixes: Of its addresses.
        views: All views; what waits as bulk among the prefixes goes first from now on.
        tasks: What is known of the neighbors; None: ExaBGP was not spoken to yet.
        margins: Of the neighbors.
        now: Process clock.
    """
    if views.paused:
        return Reckoning(Verdict.OFF)
    awaited: list[Prefix] = []
    ready_at, slowest_s = 0.0, 0.0
    is_there = is_lonely = False
    for prefix in prefixes:
        for view in filterfalse(views.is_withheld, views):
            stage = view.progress(prefix)
            if stage in ("none", "refused", "left-out") or (stage == "waiting" and view.pause_s):
                continue
            concerned = _concerned(view, prefix, tasks, now) if tasks is not None else []
            if not concerned:
                is_lonely = True
                continue
            margin_s = max(margins.of(neighbor.address) for neighbor in concerned)
            if stage != "announced":
                awaited.append(prefix)
                view.reconciler.hurry(prefix)
            elif (at := views.acknowledgments.last(prefix, now)) is not None and at + margin_s > now:
                ready_at = max(ready_at, at + margin_s)
            else:
                is_there = True
                continue
            slowest_s = max(slowest_s, margin_s)
    if awaited or ready_at:
        return Reckoning(None, tuple(dict.fromkeys(awaited)), ready_at, slowest_s)
    if is_there:
        return Reckoning(Verdict.THERE)
    return Reckoning(Verdict.NO_NEIGHBOR if is_lonely else Verdict.REFUSED)


def _concerned(view: View, prefix: Prefix, tasks: NeighborTasks, now: float) -> list[Neighbor]:
    """Find the neighbors that get a prefix of a view soon after ExaBGP's acknowledgment."""
    kind = family(prefix)
    rib = view.reconciler.adj_rib_out
    announced, routes = rib.get(prefix), rib.count.total()
    named = announced.neighbors if announced is not None else ()
    return [
        neighbor
        for neighbor in tasks.neighbors
        if neighbor.up
        and not neighbor.foreign
        and neighbor.is_drained(routes, now)
        and not tasks.is_replaying(neighbor)
        and neighbor.address in view.audience
        and (not named or neighbor.address in named)
        and (neighbor.negotiated is None or kind in neighbor.negotiated)
    ]
