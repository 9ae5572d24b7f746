"""A status in which nothing is wrong, and ways to make something wrong."""

from dataclasses import asdict, replace
from typing import Any

from dnstap_bgp.core.doctor import examine
from dnstap_bgp.core.doctor.evidence import Evidence
from dnstap_bgp.core.status.report import (
    ExabgpStatus,
    Finding,
    ListenerStatus,
    ListStatus,
    NeighborStatus,
    RoutesStatus,
    SenderStatus,
    SourceStatus,
    StateFileStatus,
    Status,
    TapStatus,
    WebStatus,
)
from dnstap_bgp.core.tap.ingest import IngestCounters

SENDER = SenderStatus(
    "unbound[123]", "/run/tap.sock", "streaming", True, 600.0, 100_000, 1_000, "ns1", "unbound 1.17.1"
)
NEIGHBOR = NeighborStatus("192.0.2.1", 65002, True, ("ipv4 unicast", "ipv6 unicast"), (), True, False, False)
SOURCE = SourceStatus("/etc/list.txt", "ok", "", ("plain",), 1, 10, 0, {}, 1.0, None)
LIST = ListStatus("default", 10, 0, 2, 1, 1, None, (SOURCE,))
HOST = ExabgpStatus("ready", "5.0.15", 1, 1, 0, 0, 0.0, 0.0, {"refused": 0}, 5, 5, 0, 0, (NEIGHBOR,))
STATE = StateFileStatus("/var/lib/state", True, None, 100, 100, 0, 1, 1.0, 0)
TAP = TapStatus(
    10.0, 1.0, 0.1, asdict(IngestCounters(messages=5_000, matched=9)), 1,
    (ListenerStatus("/run/tap.sock", None),), (SENDER,), (),
)  # fmt: skip
WELL = Status(
    version="1", pid=1, config="/etc/c.toml", now=1.0, uptime_s=600.0, dry_run=False, restored=True, lists_loaded=True,
    tap=TAP, routes=RoutesStatus(2, 1, 1, 2, 0, 100, 0, {}, {}), lists=(LIST,), lists_refused=None, exabgp=HOST,
    state=STATE, peers=(), web=WebStatus((ListenerStatus("/run/control.sock", None),), 0, 0, {}),
)  # fmt: skip


def found(evidence: Evidence | None = None, **changes: Any) -> tuple[Finding, ...]:
    """What is found where these parts of the status are others."""
    return examine(replace(WELL, **changes), evidence or Evidence())


def only(evidence: Evidence | None = None, **changes: Any) -> Finding:
    """The same where just one thing is wrong."""
    (finding,) = found(evidence, **changes)
    return finding


def tap(**changes: Any) -> TapStatus:
    return replace(TAP, **changes)


def host(**changes: Any) -> ExabgpStatus:
    return replace(HOST, **changes)
