"""ExaBGP's grammar: any lines at any moment raise nothing and change nothing for the worse, and ours stay in theirs.

Lines of the input, mixed with what an ExaBGP would say, go to an api session; whatever it writes is ASCII, whole lines,
and of the few forms that ExaBGP knows. What is read from JSON is held against the standard library's.
"""

import json
import random
import re
from collections.abc import Iterator
from typing import Any

from dnstap_bgp.core.exabgp.api_session import ApiSession
from dnstap_bgp.core.exabgp.grammar import (
    FamiliesEvent,
    NeighborRow,
    SessionIdentity,
    StateEvent,
    read_line,
    read_neighbors,
    read_version,
)
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.model import EVERYONE, Attributes, Audience, Change
from tests.fuzz.choices import Choices
from tests.property.exabgp_model import ExaBgp, Neighbor

COVERS = {
    "dnstap_bgp.core.exabgp.grammar": 0.8,
    "dnstap_bgp.core.exabgp.api_session": 0.75,
    "dnstap_bgp.core.exabgp.neighbors": 0.72,
}
ADDRESS = "[0-9a-f.:]+"
OURS = re.compile(
    rf"enable-ack|version|# later line|show neighbor (json|nobody (summary|extensive))|announce eor ipv[46] unicast|"
    rf"neighbor {ADDRESS} (announce eor ipv[46] unicast|flush adj-rib out)|"
    rf"(neighbor {ADDRESS} (, neighbor {ADDRESS} )*)?(announce|withdraw) attributes next-hop {ADDRESS}"
    r"[ 0-9a-z\[\]:-]* nlri [0-9a-f.:/ ]+"
)
HOP = Attributes(bytes((192, 0, 2, 11)), ("65001:1",), ("65001:1:2",), 100, 7)
CANNED = [
    b"done",
    b"error",
    b"exabgp 5.0.15",
    b"Peer            AS        up/down state       |     #sent     #recvd",
    b"shutdown now",
    b"neighbor 192.0.2.1 up",
    b"neighbor 192.0.2.1 down",
    *(
        Neighbor("192.0.2.1").event(kind, **what).replace('{"exabgp"', '{ "exabgp"', 1).encode()
        for kind, what in (
            ("state", {"state": "up"}),
            ("state", {"state": "down", "reason": "x"}),
            ("negotiated", {"negotiated": {"families": ["ipv4 unicast"]}}),
            ("signal", {"code": "10"}),
        )
    ),
    json.dumps([Neighbor("192.0.2.1").row(), Neighbor("2001:db8::1").row()]).encode(),
    b"[]",
]


def one_input(data: bytes) -> None:
    dice = Choices(data)
    views = Views()
    talk = ApiSession(views, dice.getrandbits)
    talk.tasks.restored = dice.random() < 0.5
    if dice.random() < 0.3:
        views.configure([Audience(("192.0.2.1",)), Audience(("192.0.2.1",), is_except=True)])
    else:
        views.configure([EVERYONE])
    exabgp, now = ExaBgp([Neighbor("192.0.2.1"), Neighbor("2001:db8::1")]), 1000.0
    while dice:
        views.put([Change(bytes((11, 0, 0, dice.randrange(8))), dice.choice([HOP, None]))])
        said = spoken(exabgp, dice) if dice.random() < 0.8 else hostile(dice)
        for line in said:
            check_line(line)
            item = read_line(line)
            if item is not None:
                talk.receive(item, now)
        for _ in range(50):
            outgoing = talk.next(now)
            if outgoing is None:
                break
            check_ours(outgoing.data)
            exabgp.write(outgoing.data)
        now += dice.choice([0.0, 0.01, 0.01, 1.0, 20.0, 400.0])
        views.take_corrections()
    assert sum(view.reconciler.adj_rib_out.count.total() for view in views) <= 8 * len(views)


def spoken(exabgp: ExaBgp, dice: Choices) -> list[bytes]:
    """What ExaBGP says of itself, or once something has happened to it."""
    address = dice.choice(list(exabgp.neighbors))
    match dice.randrange(8):
        case 0:
            exabgp.up(address)
        case 1:
            exabgp.down(address)
        case 2:
            exabgp.hasty = dice.randrange(3)
    for _ in range(dice.choice([1, 2, 8])):
        exabgp.turn()
    found: list[bytes] = exabgp.read()
    return found


def hostile(dice: Choices) -> Iterator[bytes]:
    """Anything, or something that ExaBGP says, a little wrong, and at the wrong moment."""
    for _ in range(dice.randrange(1, 4)):
        line = dice.choice(CANNED) if dice.random() < 0.7 else dice.chunk()
        if dice.random() < 0.3:
            at = dice.randrange(len(line) + 1)
            line = line[:at] + dice.chunk(8) + line[at + dice.randrange(9) :]
        yield line


def check_ours(data: bytes) -> None:
    text = data.decode("ascii")
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        assert OURS.fullmatch(line), line


def check_line(line: bytes) -> None:
    item = read_line(line)
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if isinstance(item, FamiliesEvent) or (isinstance(item, StateEvent) and item.session is not None):
        assert isinstance(value, dict)
        assert item.session == identity(value["neighbor"])
    version = read_version(line)
    if version is not None:
        assert len(version[0]) <= 64
    rows = read_neighbors(line)
    if rows is not None:
        assert isinstance(value, list | dict | str) or value is None
        assert len(rows.rows) + len(rows.unread) == len(value or ())
        for row in rows.rows:
            check_row(row)


def check_row(row: NeighborRow) -> None:
    assert re.fullmatch(ADDRESS, row.session.address)
    assert isinstance(row.updates, int)


def identity(found: dict[str, Any]) -> SessionIdentity:
    local_as, peer_as = found["asn"]["local"], found["asn"]["peer"]
    addresses = found["address"]
    return SessionIdentity(
        str(addresses["peer"]), str(addresses["local"]), int(local_as), int(peer_as), str(found.get("router-id"))
    )


def seeds() -> Iterator[bytes]:
    for seed in range(150):
        yield random.Random(seed).randbytes(30 + 2 * seed)
