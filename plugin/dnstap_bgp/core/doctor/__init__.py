"""Diagnosis: a status and some evidence in, findings out, each with what to change.

evidence         beside the status: samples of senders, what has changed of late, access to sockets
senders          mistakes of DNSTap senders
socket_access    obstacles on the way to a unix socket
sniffers         captures off the wire
matching         answers that don't become routes: nothing matches, all is refused, no next-hop, caps
exabgp           ExaBGP and its neighbors
hold             resolvers' hooks, which hold answers
refresh          names that are asked again
lists_and_state  lists, the state file, listeners, sync peers, dry_run
"""

from collections.abc import Iterator

from dnstap_bgp.core.doctor import exabgp, hold, lists_and_state, matching, refresh, senders, sniffers, socket_access
from dnstap_bgp.core.doctor.evidence import Evidence
from dnstap_bgp.core.status.report import Finding, Status

FINDINGS_MAX = 64
"""A page's length; the worst come first. More of them have one cause."""

_LEVELS = ("error", "warning", "note")


def examine(status: Status, evidence: Evidence) -> tuple[Finding, ...]:
    """Find what is wrong, the worst first."""
    found = sorted(_all(status, evidence), key=lambda finding: _LEVELS.index(finding.level))
    return tuple(found[:FINDINGS_MAX])


def _all(status: Status, evidence: Evidence) -> Iterator[Finding]:
    yield from exabgp.examine(status.exabgp, evidence)
    yield from senders.examine(status.tap, evidence)
    yield from socket_access.examine(status.tap, evidence.access)
    yield from sniffers.examine(evidence.sniffers)
    yield from matching.examine(status, evidence)
    yield from hold.examine(status, evidence)
    yield from refresh.examine(status.refresh)
    yield from lists_and_state.examine(status)
