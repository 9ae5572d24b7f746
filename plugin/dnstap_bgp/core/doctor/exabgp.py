"""ExaBGP and its BGP neighbors."""

from collections.abc import Iterator

from dnstap_bgp.core.doctor.evidence import Evidence
from dnstap_bgp.core.status.report import BudgetStatus, ExabgpStatus, Finding, NeighborStatus
from dnstap_bgp.core.text import duration_text

OPENING_S = 30.0
"""ExaBGP answers within a second of its start, even with 100,000 routes to tell."""

DOWN_S = 60.0
"""A router that restarts is back by then, ExaBGP tries again every few seconds."""

BUDGET_WARN_SHARE = 0.8
"""Of a neighbor's budget: before the least recently seen prefixes give way."""

BUSY_S = 60.0
"""Another client's large query holds ExaBGP up for some seconds at 20,000 routes, 80 s at 100,000."""


def examine(host: ExabgpStatus | None, evidence: Evidence) -> Iterator[Finding]:
    """Find what is wrong with ExaBGP, at the other end of the pipe, and with its neighbors."""
    if host is not None and host.stage == "refused":
        text = f"ExaBGP {host.version} speaks another dialect: nothing is announced"
        yield Finding("error", "exabgp-version", text, "install a 5.x from 5.0.15 on: pip install 'exabgp>=5.0.15,<6'")
        return
    if host is None or host.stage != "ready":
        if evidence.opening_s > OPENING_S:
            text = f"ExaBGP has not answered for {evidence.opening_s:.0f} s"
            advice = "is this started by a running ExaBGP, with `encoder json` in our process section? See its log"
            yield Finding("error", "exabgp-silent", text, advice)
        return
    yield from _busy(host)
    if not host.neighbors:
        advice = "its configuration needs a neighbor whose api section has `processes [ NAME ]` with our process"
        yield Finding("error", "no-neighbor", "ExaBGP has no neighbor, so nobody gets the routes", advice)
    for neighbor in host.neighbors:
        yield from _neighbor(neighbor, evidence.down_s.get(neighbor.address, 0.0))


def _busy(host: ExabgpStatus) -> Iterator[Finding]:
    waited_s = max(host.stalled_s, host.silent_s)
    if waited_s > BUSY_S:
        text = f"ExaBGP has not taken a command for {waited_s:.0f} s"
        advice = "a `show adj-rib out` of a large table holds it up; if none is under way, restart it"
        yield Finding("warning", "exabgp-stalled", text, advice)
    if refused := host.backlog.get("refused", 0):
        text = f"{refused} routes are refused by ExaBGP, or go to none of its neighbors"
        yield Finding("warning", "routes-refused", text, "its log tells why; `dnstap-bgp why ADDRESS` for one")


def _budget(who: str, budget: BudgetStatus, address: str) -> Iterator[Finding]:
    advice = "raise max_prefixes of [bgp] if the router has room, or look for a list that is too broad"
    room = f"{who} has room for {budget.max} prefixes (max_prefixes)"
    if budget.left_out:
        text = f"{room}: {budget.left_out} more have no place now, and are not announced there"
        yield Finding("warning", "budget-full", text, advice, address)
    elif budget.used >= budget.max * BUDGET_WARN_SHARE:
        yield Finding("warning", "budget-nearly-full", f"{room}, of which {budget.used} are used", advice, address)


def _neighbor(neighbor: NeighborStatus, down_s: float) -> Iterator[Finding]:
    who = f"neighbor {neighbor.address} (AS {neighbor.peer_as})"
    if neighbor.foreign:
        advice = "name our process in `api { processes [ ... ]; }` of that neighbor, or leave it to the other one"
        yield Finding(
            "note", "neighbor-foreign", f"{who} is not among those that we announce to", advice, neighbor.address
        )
    elif down_s > DOWN_S:
        text = f"{who} has been down for {duration_text(down_s)}"
        advice = (
            "on both sides: is the other's address, port and AS number what it should be, do password and TTL security"
            " agree, does a firewall let TCP port 179 through? The router's log has its reason"
        )
        yield Finding("warning", "neighbor-down", text, advice, neighbor.address)
    if neighbor.budget is not None:
        yield from _budget(who, neighbor.budget, neighbor.address)
    for family in neighbor.lacking:
        text = f"{who} doesn't take {family}, and there are such routes"
        advice = f"switch {family} on for this session, in the router and in ExaBGP's `family` section"
        yield Finding("warning", "neighbor-lacks-family", text, advice, neighbor.address)
