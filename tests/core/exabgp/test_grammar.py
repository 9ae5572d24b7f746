import json

import pytest

from dnstap_bgp.core.exabgp.grammar import (
    EVENT_MAX_BYTES,
    IPV4,
    IPV6,
    Answer,
    FamiliesEvent,
    Row,
    Session,
    Shutdown,
    SignalEvent,
    StateEvent,
    Verb,
    end_of_rib_line,
    flush_line,
    prefix_text,
    read_line,
    read_neighbors,
    read_version,
    route_line,
)
from dnstap_bgp.core.model import Attributes

FULL = Attributes(
    next_hop=bytes([192, 0, 2, 1]),
    communities=("65001:100", "no-export"),
    large_communities=("65001:1:2",),
    local_preference=200,
    med=5,
)
PLAIN6 = Attributes(next_hop=bytes.fromhex("20010db8" + "00" * 11 + "01"))
SESSION = Session("127.0.0.2", "127.0.0.1", 65001, 65002, "10.99.0.1")
NEIGHBOR = {
    "address": {"local": "127.0.0.1", "peer": "127.0.0.2"},
    "asn": {"local": 65001, "peer": 65002},
    "router-id": "10.99.0.1",
}
HEAD = '{ "exabgp": "5.0.0", "time": 1700000000.5, "host" : "router", "pid" : 1, "ppid" : 1, '


def event(kind, neighbor, counter=7):
    return (
        f'{HEAD}"counter": {counter}, "type": "{kind}", "neighbor": {json.dumps({**NEIGHBOR, **neighbor})} }}'.encode()
    )


def test_a_line_names_all_attributes_in_a_fixed_order():
    assert route_line(Verb.ANNOUNCE, FULL, [bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])]) == (
        b"announce attributes next-hop 192.0.2.1 local-preference 200 med 5 community [ 65001:100 no-export ] "
        b"large-community [ 65001:1:2 ] nlri 10.0.0.1/32 10.0.0.2/32\n"
    )


def test_a_withdraw_says_what_was_announced():
    announced = route_line(Verb.ANNOUNCE, FULL, [bytes([10, 0, 0, 1])])
    assert route_line(Verb.WITHDRAW, FULL, [bytes([10, 0, 0, 1])]) == announced.replace(b"announce", b"withdraw", 1)


def test_a_line_may_be_for_some_neighbors():
    line = route_line(Verb.ANNOUNCE, PLAIN6, [PLAIN6.next_hop], ("192.0.2.8", "2001:db8::9"))
    assert line == (
        b"neighbor 192.0.2.8 , neighbor 2001:db8::9 announce attributes next-hop 2001:db8::1 "
        b"nlri 2001:0db8:0000:0000:0000:0000:0000:0001/128\n"
    )


def test_duties_of_one_neighbor():
    assert end_of_rib_line("192.0.2.8", IPV6) == b"neighbor 192.0.2.8 announce eor ipv6 unicast\n"
    assert flush_line("192.0.2.8") == b"neighbor 192.0.2.8 flush adj-rib out\n"


@pytest.mark.parametrize(
    ("prefix", "text"),
    [
        (bytes([10, 0, 0, 1]), "10.0.0.1/32"),
        (bytes([10, 0, 0, 0, 8]), "10.0.0.0/8"),
        (bytes(16), "0000:0000:0000:0000:0000:0000:0000:0000/128"),
        (bytes.fromhex("20010db8" + "00" * 12 + "20"), "2001:db8::/32"),
    ],
)
def test_prefixes(prefix, text):
    assert prefix_text(prefix) == text


@pytest.mark.parametrize(
    ("line", "item"),
    [
        (b"done", Answer.DONE),
        (b"error", Answer.ERROR),
        (b"", None),
        (b"done ", Row(b"done ")),
        (b"exabgp 5.0.15", Row(b"exabgp 5.0.15")),
        (b"neighbor 127.0.0.2 up", StateEvent("127.0.0.2", "up")),
        (b"neighbor 127.0.0.2 down - peer reset", StateEvent("127.0.0.2", "down")),
        (b"neighbor 127.0.0.2 receive update start", None),
        (b"neighbor", Row(b"neighbor")),
        (event("state", {"state": "up"}), StateEvent("127.0.0.2", "up", SESSION, 7)),
        (event("negotiated", {"negotiated": {"families": [IPV4]}}), FamiliesEvent(SESSION, frozenset({IPV4}), 7)),
        (event("update", {"message": {}}), None),
        (event("notification", {"notification": {"code": 6}}), None),
        (b'{ "exabgp": "5.0.0", "type": "state", "neighbor": { "asn": { "peer": None } } }', None),
        (b'{ "exabgp": "5.0.0", "type": "state"', None),
        (b'{ "exabgp": "5.0.0", "type": "state", "neighbor": [] }', None),
    ],
)
def test_lines_of_stdin(line, item):
    assert read_line(line) == item


def test_the_end_and_signals():
    assert isinstance(read_line(f'{HEAD}"type": "notification", "notification": "shutdown" }}'.encode()), Shutdown)
    assert isinstance(read_line(b"shutdown 12 1"), Shutdown)
    assert isinstance(read_line(event("signal", {"code": "10", "name": "SIGUSR1"})), SignalEvent)


def test_a_huge_event_is_not_parsed():
    assert read_line(event("state", {"state": "up", "reason": "x" * EVENT_MAX_BYTES})) is None


@pytest.mark.parametrize("reason", ['done"', "\\", "error\ndone", "neighbor 1 up", "ü"])
def test_what_a_neighbor_says_is_never_an_answer(reason):
    assert read_line(event("state", {"state": "down", "reason": reason})) == StateEvent("127.0.0.2", "down", SESSION, 7)


@pytest.mark.parametrize(
    ("row", "version"),
    [
        (b"exabgp 5.0.15", ("5.0.15", 5)),
        (b"exabgp 4.2.25", ("4.2.25", 4)),
        (b"exabgp main-abc", ("main-abc", None)),
        (b'{"version": "6.0.0", "application": "exabgp"}', ("6.0.0", 6)),
        (b'{"answer": "done"}', None),
        (b"Peer            AS", None),
    ],
)
def test_versions(row, version):
    assert read_version(row) == version


def neighbor_row(**changes):
    return {
        "state": "up",
        "duration": 12,
        "fsm": "ESTABLISHED",
        "local": {
            "families": {IPV4: True, IPV6: True},
            "address": "127.0.0.1",
            "as": 65001,
            "id": "10.99.0.1",
        },
        "peer": {"address": "127.0.0.2", "as": 65002},
        "messages": {"sent": {"update": 3}},
        "families": [IPV4],
        **changes,
    }


def test_rows_of_neighbors():
    (row,) = read_neighbors(json.dumps([neighbor_row()]).encode()) or []
    assert row.session == SESSION
    assert (row.up, row.age_s, row.updates) == (True, 12, 3)
    assert row.configured == {IPV4, IPV6}
    assert row.negotiated == {IPV4}


def test_a_session_of_this_second_is_up():
    (row,) = read_neighbors(json.dumps([neighbor_row(duration=0, state="down")]).encode()) or []
    assert row.up


def test_rows_that_can_not_be_read_are_left_out():
    rows = [neighbor_row(), neighbor_row(peer={}), {}, 7, neighbor_row(families=None)]
    assert len(read_neighbors(json.dumps(rows).encode()) or []) == 1


@pytest.mark.parametrize("row", [b"done", b"[", b"Peer", b'{"a": 1}', b"[" * 100_000])
def test_other_rows(row):
    assert read_neighbors(row) is None
