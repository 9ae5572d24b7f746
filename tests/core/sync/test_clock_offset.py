from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.sync import go_json
from dnstap_bgp.core.sync.clock_offset import Offset, offset_by_date


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
        assert go_json.write(b"\1\2\3\4", b"a.example", offset.there(seen_s))
    assert (offset == Offset()) == (year not in (1970, 2100)), "which is no clock's"


@pytest.mark.parametrize("date", [None, "", "now", "Sun, 99 Nov 2026 01:00:00 GMT", "x" * 1000])
def test_without_a_date_clocks_count_as_equal(date):
    assert offset_by_date(date, 1e9, 1e9) == Offset()


@pytest.mark.parametrize(
    ("date_s", "asked_s", "answered_s", "offset"),
    [
        (100, 100.0, 100.0, Offset()),
        (100, 101.0, 101.5, Offset()),
        (100, 101.25, 101.5, Offset(-1.5, -0.25)),
        (100, 99.0, 100.0, Offset()),
        (100, 99.0, 99.75, Offset(0.25, 2.0)),
    ],
)
def test_clocks_that_may_agree_count_as_equal(date_s: int, asked_s: float, answered_s: float, offset: Offset):
    """The second that a date names is 100 up to 101; what was asked at 101.0 may still have been answered in it."""
    assert offset_by_date(formatdate(date_s, usegmt=True), asked_s, answered_s) == offset


@pytest.mark.parametrize("sign", [1, -1])
def test_a_date_a_century_off_is_a_clock_s_and_one_further_off_is_none(sign: int):
    century_s = sign * 100 * 366 * 86_400
    for date_s, is_one in ((century_s, True), (century_s + sign, False)):
        found = offset_by_date(formatdate(10**10 + date_s, usegmt=True), 1e10, 1e10)
        assert found == (Offset(date_s, date_s + 1) if is_one else Offset())
