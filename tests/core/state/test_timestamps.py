import pytest

from dnstap_bgp.core.state.timestamps import GAP_MAX_S, UNKNOWN_BOOT, Stamp, elapsed_s, same_boot

ONE, TWO = b"1" * 16, b"2" * 16
NOON = 1_800_000_000.0


def test_within_a_boot_only_boottime_counts():
    then = Stamp(NOON, 1000.0, ONE)
    for wall_s in (0.0, NOON - 86_400, NOON + 40, NOON + 50 * 365 * 86_400):
        assert elapsed_s(then, then, Stamp(wall_s, 1040.0, ONE)) == 40


def test_across_boots_the_wall_clock_counts():
    then = Stamp(NOON, 1000.0, ONE)
    assert elapsed_s(then, then, Stamp(NOON + 600, 30.0, TWO)) == 600


def test_the_wall_clock_is_asked_only_for_the_gap_between_the_boots():
    # The clock was unset when `then` was written and right when `last` was.
    then, last = Stamp(12.0, 100.0, ONE), Stamp(NOON, 400.0, ONE)
    assert elapsed_s(then, last, Stamp(NOON + 60, 30.0, TWO)) == 300 + 60


@pytest.mark.parametrize("now_s", [0.0, NOON - 1, NOON + GAP_MAX_S + 1, NOON + 1e12])
def test_an_impossible_gap_counts_as_none(now_s):
    then, last = Stamp(NOON - 7, 993.0, ONE), Stamp(NOON, 1000.0, ONE)
    assert elapsed_s(then, last, Stamp(now_s, 30.0, TWO)) == 7


def test_it_is_never_negative():
    assert elapsed_s(Stamp(NOON, 1000.0, ONE), Stamp(NOON, 1000.0, ONE), Stamp(NOON, 900.0, ONE)) == 0


@pytest.mark.parametrize("boot_id", [UNKNOWN_BOOT, b"\0" * 16], ids=["here", "as the file gives it back"])
def test_an_unknown_boot_is_like_no_other(boot_id):
    then, last = Stamp(NOON, 1000.0, boot_id), Stamp(NOON + 50, 10.0, boot_id)
    assert not same_boot(then, last)
    assert elapsed_s(then, last, Stamp(NOON + 60, 20.0, boot_id)) == 60


def test_the_longest_gap_counts():
    then = Stamp(NOON, 1000.0, ONE)
    assert elapsed_s(then, then, Stamp(NOON + GAP_MAX_S, 30.0, TWO)) == GAP_MAX_S == 366 * 86_400


def test_a_stamp_of_another_boot_than_the_last_stands_for_itself():
    then, last = Stamp(NOON, 1000.0, ONE), Stamp(NOON + 50, 5000.0, TWO)
    assert elapsed_s(then, last, Stamp(NOON + 60, 20.0, b"3" * 16)) == 60


def test_a_last_stamp_before_the_first_counts_as_no_time():
    then, last = Stamp(NOON, 1000.0, ONE), Stamp(NOON + 10, 900.0, ONE)
    assert elapsed_s(then, last, Stamp(NOON + 60, 20.0, TWO)) == 50
