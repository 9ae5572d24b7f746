"""What is wrong and what to change: a status and some clues in, findings out.

clues      what a status at one moment doesn't tell: samples, what has changed of late, who can reach what
senders    what senders get wrong
access     who can reach a unix socket
answers    what becomes of the answers: nothing matches, all is refused, no next-hop
host       ExaBGP and its neighbors
keeping    lists, the state file, listeners, sync peers, dry_run
"""

from collections.abc import Iterator

from dnstap_bgp.core.doctor import access, answers, host, keeping, senders
from dnstap_bgp.core.doctor.clues import Clues
from dnstap_bgp.core.status.findings import Finding
from dnstap_bgp.core.status.status import Status

FINDINGS_MAX = 64
"""A page's length; the worst come first. More of them have one cause."""

_LEVELS = ("error", "warning", "note")


def examine(status: Status, clues: Clues) -> tuple[Finding, ...]:
    """Find what is wrong, the worst first."""
    found = sorted(_all(status, clues), key=lambda finding: _LEVELS.index(finding.level))
    return tuple(found[:FINDINGS_MAX])


def _all(status: Status, clues: Clues) -> Iterator[Finding]:
    yield from host.examine(status.exabgp, clues)
    yield from senders.examine(status.tap, clues)
    yield from access.examine(status.tap, clues.access)
    yield from answers.examine(status, clues)
    yield from keeping.examine(status)
