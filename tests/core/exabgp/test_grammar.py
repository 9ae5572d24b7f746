import json

import pytest

from dnstap_bgp.core.exabgp.grammar import (
    EVENT_MAX_BYTES,
    IPV4,
    IPV6,
    CommandAnswer,
    FamiliesEvent,
    NeighborRows,
    Row,
    SessionIdentity,
    Shutdown,
    SignalEvent,
    StateEvent,
    Verb,
    end_of_rib_line,
    family,
    flush_line,
    nlri_text,
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
SESSION = SessionIdentity("127.0.0.2", "127.0.0.1", 65001, 65002, "10.99.0.1")
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
    assert nlri_text(prefix) == text


@pytest.mark.parametrize(
    ("line", "item"),
    [
        (b"done", CommandAnswer.DONE),
        (b"error", CommandAnswer.ERROR),
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
    room = EVENT_MAX_BYTES - len(event("state", {"state": "up", "reason": ""}))
    assert read_line(event("state", {"state": "up", "reason": "x" * room})) == StateEvent("127.0.0.2", "up", SESSION, 7)
    assert read_line(event("state", {"state": "up", "reason": "x" * (room + 1)})) is None


def test_the_type_of_an_event_is_looked_for_behind_the_longest_host_name_and_not_in_all_of_it():
    line = event("state", {"state": "up"}).decode()
    assert read_line(line.replace("router", "r" * 255).encode()) is not None
    assert read_line(line.replace("router", "r" * 1024).encode()) is None


@pytest.mark.parametrize(("prefix", "name"), [(bytes(4), IPV4), (bytes(5), IPV4), (bytes(16), IPV6), (bytes(17), IPV6)])
def test_a_prefix_tells_its_family_by_its_size(prefix, name):
    assert family(prefix) == name


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
        (b"exabgp " + b"5" * 100, ("5" * 64, None)),
        (b'{"version": "%b"}' % (b"6" * 100), ("6" * 64, None)),
        (b'{"version": "6.0"}'.ljust(EVENT_MAX_BYTES - 1), ("6.0", 6)),
        (b'{"version": "6.0"}'.ljust(EVENT_MAX_BYTES), None),
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


def read_rows(rows):
    found = read_neighbors(json.dumps(rows).encode())
    assert found is not None
    return found.rows


def test_rows_of_neighbors():
    (row,) = read_rows([neighbor_row()])
    assert row.session == SESSION
    assert (row.up, row.age_s, row.updates) == (True, 12, 3)
    assert row.configured == {IPV4, IPV6}
    assert row.negotiated == {IPV4}


def test_as_numbers_that_a_session_has_yet_to_learn_are_0():
    rows = [neighbor_row(peer={"address": "127.0.0.2", "as": None}), neighbor_row()]
    rows[1]["local"]["as"] = None
    assert [(row.session.local_as, row.session.peer_as) for row in read_rows(rows)] == [(65001, 0), (0, 65002)]


def test_families_that_are_switched_off_are_not_configured():
    row = neighbor_row()
    row["local"]["families"] = {IPV4: True, IPV6: False}
    assert read_rows([row])[0].configured == {IPV4}


def test_a_session_of_this_second_is_up():
    (row,) = read_rows([neighbor_row(duration=0, state="down")])
    assert row.up


def test_rows_that_can_not_be_read_are_told_by_their_address():
    rows = [neighbor_row(), neighbor_row(peer={}), {}, 7, neighbor_row(families=None)]
    found = read_neighbors(json.dumps(rows).encode())
    assert found is not None
    assert [row.session for row in found.rows] == [SESSION]
    assert found.unread == ("", "", "", "127.0.0.2")


@pytest.mark.parametrize(
    "address", ["127.0.0.2 announce", "localhost", "fe80::1%eth0", "127.0.0.2\n", "", 1, None, ["::"]]
)
def test_an_address_that_no_command_could_name_is_none(address):
    found = read_neighbors(json.dumps([neighbor_row(peer={"address": address, "as": 65002})]).encode())
    assert found == NeighborRows([], ("",))


ODD: list[object] = [float("inf"), float("-inf"), float("nan"), [[]], {"a": 1}, [1] * 1000, "x", b"".decode()]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: f"{odd!r:.10}")
@pytest.mark.parametrize("path", ["duration", "local.as", "peer.as", "messages.sent.update"])
def test_numbers_that_are_none_leave_a_row_out(path, odd):
    bad = neighbor_row()
    *way, last = path.split(".")
    inner = bad
    for step in way:
        inner = inner[step] = dict(inner[step])
    inner[last] = odd
    text = json.dumps([bad, neighbor_row()]).replace("Infinity", "1e999")
    for row in (text, json.dumps([bad, neighbor_row()])):
        found = read_neighbors(row.encode())
        assert found is not None
        assert [row.session for row in found.rows][-1:] == [SESSION]


@pytest.mark.parametrize("odd", [*ODD[:6], json.loads("[" * 900 + "]" * 900)], ids=lambda odd: f"{odd!r:.10}")
def test_texts_that_are_none_leave_a_row_out(odd):
    bad = neighbor_row(peer={"address": odd, "as": 65002})
    assert [row.session for row in read_rows([bad, neighbor_row()])] == [SESSION]


@pytest.mark.parametrize("odd", [b"Infinity", b"-Infinity", b"NaN", b"1e999", b"[[]]", b"{}", b"[" * 900 + b"]" * 900])
@pytest.mark.parametrize("key", [b"counter", b"asn", b"address"])
def test_events_with_numbers_that_are_none(key, odd):
    """An endless number in a line of ExaBGP's raised in the reader's thread once."""
    good = (
        f'{HEAD}"counter": 1, "type": "state", "neighbor": {{"address": {{"local": "127.0.0.1", "peer": "127.0.0.2"}}, '
        f'"asn": {{"local": 65001, "peer": 65002}}, "state": "up"}}}}'
    ).encode()
    assert isinstance(read_line(good), StateEvent)
    old = {b"counter": b'"counter": 1', b"asn": b'"local": 65001', b"address": b'"peer": "127.0.0.2"'}[key]
    line = good.replace(old, old[: old.index(b":") + 2] + odd)
    assert line != good
    assert read_line(line) is None


@pytest.mark.parametrize("row", [b"done", b"[", b"Peer", b'{"a": 1}', b"[" * 100_000])
def test_other_rows(row):
    assert read_neighbors(row) is None


@pytest.mark.parametrize(
    "attributes",
    [
        Attributes(bytes((10, 0, 0, 1)), ("65001:100 ]\nannounce route 0.0.0.0/0 next-hop 10.0.0.9",)),
        Attributes(bytes((10, 0, 0, 1)), ("65001:100 ] community [ 1:1",)),
        Attributes(bytes((10, 0, 0, 1)), ("\u0661:100",)),
        Attributes(bytes((10, 0, 0, 1)), (), ("1:2:3 ] nlri 0.0.0.0/0\n",)),
        Attributes(bytes((10, 0, 0, 1)), med="5 nlri 0.0.0.0/0"),  # type: ignore[arg-type] # as a forged file has it
        Attributes(bytes((10, 0, 0, 1)), neighbors=("10.0.0.2 announce route 0.0.0.0/0 next-hop 10.0.0.9",)),
        Attributes(bytes((10, 0, 0, 1)), neighbors=("10.0.0.2\n",)),
    ],
    ids=repr,
)
def test_whatever_attributes_have_become_they_are_one_line_that_exabgp_refuses(attributes: Attributes):
    """The last line of defence: no exception, no second line, and no word of theirs."""
    line = route_line(Verb.ANNOUNCE, attributes, [bytes((203, 0, 113, 7))], attributes.neighbors)
    assert line.endswith(b"203.0.113.7/32\n")
    assert line.count(b"\n") == 1
    assert b"unusable" in line
    assert b"0.0.0.0" not in line


@pytest.mark.parametrize(("text", "major"), [("999.1", 999), ("1000.1", None), ("x.1", None)])
def test_a_major_version_has_three_digits_at_most(text, major):
    assert read_version(b"exabgp " + text.encode()) == (text, major)
