"""Doubts: whose fault a refused line is, the prefixes', the neighbors' that it names, or nobody's for the moment.

ExaBGP refuses a line in one word for three faults: a prefix is bad, the neighbors that it names are not ours (or are
gone for a moment), or there is no neighbor at all. So a refusal leaves a doubt, and before any other route is written a
*probe*, a harmless line for the same neighbors, resolves it:

    refused line          probe is taken: the prefixes' fault     probe is refused: the neighbors'
    routes                tried alone; alone again: given up      foreign; none by name: a pause, longer each time
    replay                tried alone at that neighbor            foreign: the replay is over
    withdraw first        the change counts as refused            foreign: the change needs no withdraw there
    clean                 tried alone; alone: a flush             foreign
    kept routes           tried alone; alone: left as it is       foreign
    End-of-RIB, flush     due again                               foreign

What waits for a foreign neighbor waits for its `up`, or until a later probe of it is taken.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import compress
from typing import NamedTuple

from dnstap_bgp.core.exabgp import grammar
from dnstap_bgp.core.exabgp.in_flight import LineKind
from dnstap_bgp.core.exabgp.kept_routes import KEPT_ROUTES_MAX, NO_SHARDS, RibCopy
from dnstap_bgp.core.exabgp.neighbors import NeighborTasks
from dnstap_bgp.core.exabgp.notes import Level, Notes
from dnstap_bgp.core.exabgp.update_queue import UpdateBatch
from dnstap_bgp.core.exabgp.views import View, Views
from dnstap_bgp.core.model import EVERYONE, Audience, Prefix


class Doubt(NamedTuple):
    """A refused line whose fault is not known yet.

    Attributes:
        addresses: Addresses of the neighbors that the line named; empty: none by name.
        kind: Purpose of the line; `PROBE`: it is time to try a foreign neighbor again.
        batch: Its routes, if any.
    """

    addresses: tuple[str, ...]
    kind: LineKind = LineKind.PROBE
    batch: UpdateBatch | None = None


class Doubts:
    """Refused lines, each of which waits for its probe.

    Attributes:
        waiting: The doubts, oldest first: as many as lines were in flight, and one for each foreign neighbor.
    """

    def __init__(self, views: Views, tasks: NeighborTasks, notes: Notes) -> None:
        self._views = views
        self._tasks = tasks
        self._notes = notes
        self.waiting: deque[Doubt] = deque()

    def add(self, doubt: Doubt) -> None:
        """Note that a line was refused."""
        self.waiting.append(doubt)

    def probe_foreign(self, now: float) -> None:
        """Have the foreign neighbors tried again whose time has come."""
        doubted = {doubt.addresses for doubt in self.waiting}
        due = [(address,) for address in self._tasks.take_probes(now)]
        self.waiting += (Doubt(addresses) for addresses in dict.fromkeys(due) if addresses not in doubted)

    def refused(self, view: View, batch: UpdateBatch, now: float) -> bool:
        """Give a view's reconciler a refusal, and tell what it gives up.

        Returns:
            Whether ExaBGP has taken nothing of the view since its last refusal.
        """
        before = view.reconciler.given_up
        refuses_all = view.reconciler.answered(batch, done=False)
        if view.reconciler.given_up > before:
            self._tell_given_up(batch, batch.prefixes[0], now)
        return refuses_all

    def resolve(self, now: float, *, done: bool) -> UpdateBatch | None:
        """Take the answer to the probe of the first doubt; see the table of this module.

        Returns:
            An attribute change that comes next, because no neighbor needs the withdraw that was refused.
        """
        doubt = self.waiting.popleft()
        if not done:
            self._on_unreachable(doubt.addresses, now)
            return doubt.batch if doubt.kind is LineKind.WITHDRAW_FIRST else None
        if doubt.batch is not None:
            self._blame_prefixes(doubt, doubt.batch, now)
        for view in self.views_of(doubt.addresses):
            view.reconciler.line_taken()
            view.end_pause()
        return None

    def reach(self, *, again: bool) -> None:
        """Tell the reconcilers which neighbors commands reach; see `Reconciler.reach`."""
        if again:
            self._tasks.retry()
        neighbors = self._tasks.neighbors
        self._views.reach(neighbors.reachable, kept=neighbors.kept, again=again)

    def doubt_all(self, now: float, *, may_miss: bool = False) -> None:
        """Have each neighbor prove that commands reach it: ExaBGP reads its configuration, or takes no line at all.

        Args:
            now: Process clock.
            may_miss: See `Neighbor.doubt`.
        """
        self._tasks.doubt_all(self._copier(now, tell=True), now, may_miss=may_miss)

    def copy_recalled(self, now: float) -> None:
        """Copy what an earlier process announced, before anything of it is withdrawn: a neighbor may be foreign now.

        No doubt begins by it. End-of-RIB, which names each neighbor that is up, shows whether it is ours, or a probe.
        """
        copy = self._copier(now, tell=False)
        for neighbor in self._tasks.neighbors:
            neighbor.recall(copy(neighbor.address), now)

    def copy_for_hidden(self) -> None:
        """Copy what is announced to anybody, for neighbors whose address can't be read.

        They are not told of each withdraw: where routes are for some neighbors only a line names those that are known,
        and so does the withdraw that has to come before an attribute change.
        """
        for view in self._views:
            rib = view.reconciler.adj_rib_out
            if len(rib) and self._tasks.copied_routes + len(rib) <= KEPT_ROUTES_MAX:
                self._tasks.hide(view.audience, tuple(map(dict, rib.shards)))

    def copy_of(self, address: str, now: float, *, tell: bool = True) -> RibCopy | None:
        """Copy what is announced to a neighbor; None: nothing is, or there are too many copies.

        Shards that are as in the last copy are shared with it, so that a second one of the same costs nothing.

        Args:
            address: The neighbor's address.
            now: Process clock.
            tell: Whether the log is to say that there are too many.
        """
        view = self._views.of(address)
        shards = view.reconciler.shards_kept() if view is not None else NO_SHARDS
        if view is None or not any(shards):
            return None
        before = self._tasks.last_copy(address, view.audience) or NO_SHARDS
        is_new = [shard != copied for shard, copied in zip(shards, before, strict=True)]  # quick: shared values
        if not any(is_new):
            return before
        count = sum(map(len, compress(shards, is_new)))
        if self._tasks.copied_routes + count > KEPT_ROUTES_MAX:
            text = (
                f"neighbor {address} may be another process's now; what is withdrawn meanwhile may stay there when it"
                f" is this one's again, as no more than {KEPT_ROUTES_MAX} routes are kept track of: restart ExaBGP then"
            )
            if tell:
                self._notes.say("kept", now, Level.WARNING, text)
            return None
        return tuple(dict(shard) if new else copied for shard, copied, new in zip(shards, before, is_new, strict=True))

    def views_of(self, addresses: tuple[str, ...]) -> list[View]:
        """Find the views of some neighbors; none by name: all of them."""
        return [view for view in self._views if not addresses or any(one in view.audience for one in addresses)]

    # -- inside

    def _copier(self, now: float, *, tell: bool) -> Callable[[str], RibCopy | None]:
        """Give `copy_of` for any neighbors, which makes one copy for each view."""
        copies: dict[View | None, RibCopy | None] = {}

        def copy(address: str) -> RibCopy | None:
            view = self._views.of(address)
            if view not in copies:
                copies[view] = self.copy_of(address, now, tell=tell)
            return copies[view]

        return copy

    def _blame_prefixes(self, doubt: Doubt, batch: UpdateBatch, now: float) -> None:
        if batch.replay_to:
            prefix = self._tasks.replay_refused(batch)
            if prefix is not None:
                self._tell_given_up(batch, prefix, now)
        elif doubt.kind is LineKind.WITHDRAW_FIRST:
            self._tasks.end_change()
            for view in self._views.owners(batch):
                self.refused(view, batch, now)
            self._views.acknowledgments.note(batch.prefixes, now, self._views.awaited_stage, done=False)
        elif doubt.kind is LineKind.KEPT:
            self._tasks.kept_answered(doubt.addresses[0], done=False)
        elif doubt.kind is LineKind.CLEAN:
            for view in self.views_of(doubt.addresses):
                if view.reconciler.adj_rib_out.refuse_previous(batch):
                    self._tasks.flush_all(Audience(doubt.addresses))

    def _on_unreachable(self, addresses: tuple[str, ...], now: float) -> None:
        """Leave neighbors alone for which ExaBGP takes nothing; none by name: all of them, for a while."""
        if not addresses:  # all are foreign, or gone, and may go and come back unseen
            self._tasks.neighbors.on_unreachable()
            self.doubt_all(now, may_miss=True)
        for address in addresses:
            self._tasks.refuse(address, now, partial(self.copy_of, address, now))
        self.reach(again=False)
        for view in self.views_of(addresses):
            if view.audience != EVERYONE or not addresses or self._tasks.neighbors.incomplete:
                view.pause_after_refusal(now)

    def _tell_given_up(self, batch: UpdateBatch, prefix: Prefix, now: float) -> None:
        update, neighbor = batch.transition, f" to {batch.replay_to}" if batch.replay_to else ""
        refused = sum(view.backlog.refused for view in self._views)
        self._notes.say(
            "given up",
            now,
            Level.WARNING,
            f"ExaBGP refuses to {update.verb.value} {grammar.nlri_text(prefix)}{neighbor} with "
            f"{grammar.attributes_text(update.attributes)}, and takes other lines: given up until the neighbors change "
            f"({refused} prefixes are refused in all)",
        )
