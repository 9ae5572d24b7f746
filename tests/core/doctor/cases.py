"""A status in which nothing is wrong, and ways to make something wrong."""

from dataclasses import asdict, replace
from typing import Any

from dnstap_bgp.core.doctor import examine
from dnstap_bgp.core.doctor.clues import Clues
from dnstap_bgp.core.status.findings import Finding
from dnstap_bgp.core.status.status import (
    Host,
    List,
    Listener,
    Neighbor,
    Routes,
    Sender,
    Source,
    State,
    Status,
    Tap,
    Web,
)
from dnstap_bgp.core.tap.ingest import IngestCounters

SENDER = Sender("unbound[123]", "/run/tap.sock", "streaming", True, 600.0, 100_000, 1_000, "ns1", "unbound 1.17.1")
NEIGHBOR = Neighbor("192.0.2.1", 65002, True, ("ipv4 unicast", "ipv6 unicast"), (), True, False, False)
SOURCE = Source("/etc/list.txt", "ok", "", ("plain",), 1, 10, 0, {}, 1.0, None)
LIST = List("default", 10, 0, 2, 1, 1, None, (SOURCE,))
HOST = Host("ready", "5.0.15", 1, 1, 0, 0, 0.0, 0.0, {"refused": 0}, 5, 5, 0, 0, (NEIGHBOR,))
STATE = State("/var/lib/state", True, None, 100, 100, 0, 1, 1.0, 0)
TAP = Tap(
    10.0, 1.0, 0.1, asdict(IngestCounters(messages=5_000, matched=9)), 1,
    (Listener("/run/tap.sock", None),), (SENDER,), (),
)  # fmt: skip
WELL = Status(
    version="1", pid=1, config="/etc/c.toml", now=1.0, uptime_s=600.0, dry_run=False, restored=True, lists_loaded=True,
    tap=TAP, routes=Routes(2, 1, 1, 2, 0, 100, 0, {}, {}), lists=(LIST,), lists_refused=None, exabgp=HOST, state=STATE,
    peers=(), web=Web((Listener("/run/control.sock", None),), 0, 0, {}),
)  # fmt: skip


def found(clues: Clues | None = None, **changes: Any) -> tuple[Finding, ...]:
    """What is found where these parts of the status are others."""
    return examine(replace(WELL, **changes), clues or Clues())


def only(clues: Clues | None = None, **changes: Any) -> Finding:
    """The same where just one thing is wrong."""
    (finding,) = found(clues, **changes)
    return finding


def tap(**changes: Any) -> Tap:
    return replace(TAP, **changes)


def host(**changes: Any) -> Host:
    return replace(HOST, **changes)
