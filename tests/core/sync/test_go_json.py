import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.sync.go_json import ENTRY_MAX, Entry, EntryReader, read, read_time, write, write_time
from dnstap_bgp.errors import PeerError
from tests.core.sync.claims import ADDRESSES, NAMES


def read_all(text: bytes) -> list[Entry]:
    reader = EntryReader()
    found = list(reader.feed(text))
    reader.end()
    return found


def test_an_entry_as_the_go_program_writes_it():
    text = '{"IP":"1.2.3.4","Domain":"www.foo.bar","TS":"2026-11-22T01:00:00.123456789+02:00"}'
    assert read(text) == Entry(b"\1\2\3\4", b"www.foo.bar", 1795302000.123456789)
    assert write(b"\1\2\3\4", b"www.foo.bar", 1795302000.5) == (
        '{"IP":"1.2.3.4","Domain":"www.foo.bar","TS":"2026-11-21T23:00:00.500000Z"}'
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01T05:30:00+05:30", 0),
        ("1969-12-31T23:00:00-01:00", 0),
        ("1970-01-01T00:00:60Z", 59),
        ("1970-01-01T00:00:00.000000001Z", 1e-9),
        ("1970-01-01T00:00:01.25Z", 1.25),
        ("0001-01-01T00:00:00Z", -62135596800),
    ],
)
def test_times(text, seconds):
    assert read_time(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "1970-01-01",
        "1970-01-01T00:00:00",
        "1970-13-01T00:00:00Z",
        "1970-01-01T24:00:00Z",
        "\u0661970-01-01T00:00:00Z",
    ],
)
def test_no_times(text):
    with pytest.raises(PeerError):
        read_time(text)


@given(st.floats(0, 4e9))
def test_a_time_comes_back(seconds):
    assert abs(read_time(write_time(seconds)) - seconds) < 2e-6
    assert datetime.fromisoformat(write_time(seconds)).tzinfo == UTC


def test_keys_in_any_case_and_others_beside():
    assert read('{"ip":"::ffff:1.2.3.4","DOMAIN":"A.B.","ts":"1970-01-01T00:00:00Z","X":[1]}') == Entry(
        b"\1\2\3\4", b"a.b", 0
    )


@given(st.lists(st.tuples(ADDRESSES, NAMES, st.integers(0, 4_000_000_000))), st.data())
def test_an_array_in_any_pieces(rows, data):
    text = ("[" + ", ".join(write(*row) for row in rows) + "]\n").encode()
    assert read_all(text) == [Entry(*row) for row in rows]
    found: list[Entry] = []
    reader, at = EntryReader(), 0
    while at < len(text):
        end = at + data.draw(st.integers(1, 60))
        found += reader.feed(text[at:end])
        at = end
    reader.end()
    assert found == [Entry(*row) for row in rows]


@pytest.mark.parametrize("text", [b"null", b" null\n", b"[]", b"[ ]"])
def test_nothing_in_an_empty_cache(text):
    assert read_all(text) == []


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[",
        b"nul",
        b"nullx",
        b"{}",
        b"[{}",
        b"[{},]",
        b"[,]",
        b"[1 2]",
        b"[{}]]",
        b'"x"',
        b"\xff",
        b"[" * 9000,
        b'["' + b"x" * 9000,
    ],
)
def test_no_arrays(text):
    with pytest.raises(PeerError):
        read_all(text)


def test_entries_that_are_none_are_left_out():
    good = json.loads(write(b"\1\2\3\4", b"a.b", 0))
    rows = [good, {}, {**good, "IP": "x"}, {**good, "TS": None}, {"a": {"b": [1, 2]}}, good]
    reader = EntryReader()
    assert len(list(reader.feed(json.dumps(rows).encode()))) == 2


def test_the_present_reads_as_the_present():
    assert abs(read_time(write_time(now := time.time())) - now) < 1e-5


def in_pieces(text: bytes, piece: int) -> Iterator[Entry]:
    reader = EntryReader()
    for at in range(0, len(text), piece):
        yield from reader.feed(text[at : at + piece])
    reader.end()


@pytest.mark.parametrize("piece", [1, 100, 1460, 5000, 100_000])
def test_an_entry_that_is_too_long_is_refused_however_it_is_cut(piece):
    good = json.loads(write(b"\1\2\3\4", b"a.b", 0))
    rows = [good, {**good, "More": "x" * 5000}, good]
    text = json.dumps(rows).encode()
    found: list[Entry] = []
    with pytest.raises(PeerError):
        found.extend(in_pieces(text, piece))
    assert len(found) == 1, "and what came before counts"
    with pytest.raises(PeerError, match=f"{ENTRY_MAX} are allowed"):
        read(json.dumps(rows[1]))


@pytest.mark.parametrize("piece", [1, 100, 100_000])
def test_the_longest_entry_is_read_however_it_is_cut(piece):
    good = json.loads(write(b"\1\2\3\4", b"a.b", 0))
    row = {**good, "More": ""}
    row["More"] = "x" * (ENTRY_MAX - len(json.dumps(row)))
    text = json.dumps([row, good]).encode()
    assert len(list(in_pieces(text, piece))) == 2
    assert read(json.dumps(row))


def test_what_is_to_come_of_an_entry_is_waited_for_up_to_its_longest_length():
    begun = '{"IP":"'
    assert list(EntryReader().feed(b"[" + (begun + "x" * (ENTRY_MAX - len(begun))).encode())) == []
    with pytest.raises(PeerError):
        list(EntryReader().feed(b"[" + (begun + "x" * (ENTRY_MAX - len(begun) + 1)).encode()))
