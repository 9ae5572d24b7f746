"""Fair token bucket: one owner gets the rate, and of many no greedy one takes it from the others."""

import random

import pytest

from dnstap_bgp.core.routes.claim_columns import owner_key
from dnstap_bgp.core.routes.fair_rate import FairTokenBucket

GOOD, *BAD = (owner_key("list", b"%d.example" % number) for number in range(30))


def taken(bucket, owner, rate, now, tries):
    """Tokens that so many tries of one moment got."""
    return sum(bucket.take(owner, rate, now) for _ in range(tries))


def steady(bucket, rate, per_second, seconds):
    """Tokens that each owner gets that asks so many times a second, at random moments."""
    chance = random.Random(7)
    asks = sorted(
        (chance.uniform(0, seconds), owner) for owner, often in per_second.items() for _ in range(int(often * seconds))
    )
    got = dict.fromkeys(per_second, 0)
    for now, owner in asks:
        got[owner] += bucket.take(owner, rate, now)
    return got


@pytest.mark.parametrize("rate", [1, 2, 4, 10, 100, 1000])
def test_one_owner_gets_a_second_of_the_rate_at_once(rate):
    assert taken(FairTokenBucket(), GOOD, rate, 5.0, 10 * rate) == rate


def test_a_rate_below_one_still_gives_one():
    bucket = FairTokenBucket()
    assert [taken(bucket, GOOD, 0.25, now, 3) for now in (0.0, 1.0, 2.0, 5.0)] == [1, 0, 0, 1]


@pytest.mark.parametrize("rate", [1, 2.5, 30, 100])
def test_one_owner_gets_the_whole_rate_for_long(rate):
    got = steady(FairTokenBucket(), rate, {GOOD: 20 * rate}, 100)[GOOD]
    assert 99 * rate <= got <= 102 * rate


def test_an_owner_at_ten_times_the_rate_takes_nothing_from_one_that_asks_for_little():
    got = steady(FairTokenBucket(), 100, {GOOD: 20, BAD[0]: 1000}, 8)
    assert got[GOOD] == 160
    assert got[GOOD] + got[BAD[0]] >= 800


def test_an_owner_that_comes_late_finds_its_share():
    bucket = FairTokenBucket()
    steady(bucket, 100, {BAD[0]: 10_000}, 20)
    assert taken(bucket, GOOD, 100, 20.0, 15) == 15


def test_greedy_owners_get_equal_shares():
    got = steady(FairTokenBucket(), 100, dict.fromkeys(BAD[:4], 1000) | {BAD[4]: 300}, 20)
    assert all(360 <= got[owner] <= 440 for owner in BAD[:5])


def test_many_greedy_owners_leave_a_small_one_a_part():
    got = steady(FairTokenBucket(), 100, dict.fromkeys(BAD, 200) | {GOOD: 2}, 30)
    assert got[GOOD] >= 20  # a bucket that serves who comes first gives it one


def test_different_owners_get_the_bucket_s_last_token():
    bucket = FairTokenBucket()
    assert [bucket.take(number * 0x10001, 4, 0.0) for number in range(6)] == [True] * 5 + [False]


def test_another_rate_holds_from_then_on():
    bucket = FairTokenBucket()
    assert taken(bucket, GOOD, 1000, 0.0, 2000) == 1000
    assert taken(bucket, GOOD, 10, 60.0, 100) == 10


def test_a_million_owners_take_no_memory():
    bucket = FairTokenBucket()
    for number in range(100_000):
        bucket.take(owner_key("list", b"%d" % number), 1000.0, number / 10_000)
    assert sum(len(getattr(bucket, slot)) for slot in ("_low", "_low_at", "_high", "_high_at")) == 4 * 4096
