"""Clocks, names, journal, back-off."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.sync import original
from dnstap_bgp.core.sync.backoff import Backoff
from dnstap_bgp.core.sync.clocks import Offset, offset_by_date
from dnstap_bgp.core.sync.entries import clean_name, read_address
from dnstap_bgp.core.sync.journal import FRAME_OVERHEAD, Journal
from dnstap_bgp.errors import PeerError


@given(st.floats(-1e5, 1e5), st.floats(1e9, 2e9), st.floats(0, 3), st.floats(0, 3))
def test_a_time_that_goes_there_and_back_never_gets_younger(ahead_s, asked_s, there_s, back_s):
    date = formatdate(int(asked_s + there_s + ahead_s), usegmt=True)
    offset = offset_by_date(date, asked_s, asked_s + there_s + back_s)
    if offset != Offset():
        assert offset.low_s - 1e-6 <= ahead_s <= offset.high_s + 1e-6
    else:
        assert abs(ahead_s) <= 4.001
    ours_s = asked_s - 100
    assert offset.here(offset.there(ours_s)) <= ours_s + 1e-6
    assert offset.here(offset.there(ours_s)) > ours_s - 8


@pytest.mark.parametrize("year", [1000, 1970, 2100, 5000, 9999])
@pytest.mark.parametrize("zone", ["GMT", "-0000", "+2359", "-2359"])
def test_a_time_by_any_date_can_be_written(year, zone):
    now_s = 1.8e9
    offset = offset_by_date(f"Fri, 31 Dec {year:04} 23:59:59 {zone}", now_s, now_s)
    for seen_s in (now_s - 1e6, now_s, now_s + 3600):
        assert original.write(b"\1\2\3\4", b"a.example", offset.there(seen_s))
    assert (offset == Offset()) == (year not in (1970, 2100)), "which is no clock's"


@pytest.mark.parametrize("date", [None, "", "now", "Sun, 99 Nov 2026 01:00:00 GMT", "x" * 1000])
def test_without_a_date_clocks_count_as_equal(date):
    assert offset_by_date(date, 1e9, 1e9) == Offset()


def test_names_and_addresses():
    assert clean_name("WWW.Example.COM.") == b"www.example.com"
    assert clean_name(rb"a\046b._x.example") == rb"a\046b._x.example"
    assert read_address("::ffff:11.0.0.1") == bytes([11, 0, 0, 1])
    for name in ("", ".", "a..b", "a b", "é", "a" * 64, "x." * 600 + "x", "a\\b", "a\\04", "a\n"):
        with pytest.raises(PeerError):
            clean_name(name)


def test_a_journal_forgets_the_oldest_first():
    journal = Journal(5 * (10 + FRAME_OVERHEAD))
    for number in range(1, 9):
        journal.append("", 1, lambda seq: seq.to_bytes(10, "big"))
        assert journal.seq == number
    assert [seq for seq in range(-2, 12) if journal.reaches(seq)] == [3, 4, 5, 6, 7, 8]
    assert [int.from_bytes(record.payload, "big") for record in journal.after(5, 1000)] == [6, 7, 8]
    assert [int.from_bytes(record.payload, "big") for record in journal.after(3, 15)] == [4, 5]
    assert journal.after(8, 1000) == []
    journal.clear()
    assert journal.seq == 9
    assert [seq for seq in range(12) if journal.reaches(seq)] == [9]


def test_a_back_off_grows_to_its_limit_and_begins_again():
    backoff = Backoff(1, 5)
    assert [backoff.next(0) for _ in range(4)] == [1, 2, 4, 5]
    backoff.reset()
    assert backoff.next(0.999) == pytest.approx(0.5, abs=0.01)
