"""The timing wheel: a row that is used again never takes over what its former claim left behind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.routes.claim_columns import NONE, ClaimColumns
from dnstap_bgp.core.routes.claim_store import ExpiryWheel

steps = st.lists(
    st.tuples(st.sampled_from(["one", "two"]), st.integers(0, 3), st.integers(1, 4), st.booleans()), max_size=80
)


@given(steps)
def test_each_claim_ends_once_in_its_own_list_and_in_its_second(plan):
    """Few seconds and two lists, so that rows come back with an entry of their former claim in every place."""
    columns = ClaimColumns()
    lists = {name: ExpiryWheel(columns, name) for name in ("one", "two")}
    live: dict[int, tuple[str, float]] = {}
    now = 100.0
    for list_name, pause, ttl_s, takes_out in plan:
        now += pause
        for name in lists:
            for row in lists[name].due(now, 1000)[0]:
                owner, end = live.pop(row)
                assert (owner, columns.lists[row]) == (name, name)
                assert end <= now
                columns.free(row)
        assert all(int(end) + 1 > now for _, end in live.values())
        if takes_out and live:
            row = min(live)
            lists[live.pop(row)[0]].leave(row)
            columns.free(row)
        row = columns.fill(Claim(b"\0\0\0\1", list_name, b"a.example", now, now, ttl_s), NONE)
        lists[list_name].schedule(row)
        live[row] = list_name, now + ttl_s
    for name in list(lists):
        ended, _ = lists[name].due(now + 10, 1000)
        assert sorted(ended) == sorted(row for row, (owner, _) in live.items() if owner == name)
        assert not len(lists[name])


def test_what_comes_is_given_once_however_far_ahead_it_lies():
    """A TTL of years beside one of seconds: the seconds in between are not counted one by one."""
    columns = ClaimColumns()
    wheel = ExpiryWheel(columns, "one")
    for ttl_s in (5.0, 1e9, 2e9, 3e9):
        wheel.schedule(columns.fill(Claim(b"\0\0\0\1", "one", b"a.example", 100.0, 100.0, ttl_s), NONE))

    def given(second: int) -> list[float]:
        found = []
        while rows := wheel.ahead(second, 1):
            found += [columns.ttl_s[row] for row in rows]
        return found

    assert given(50) == []
    assert given(106) == [5.0]
    assert given(2_500_000_000) == [1e9, 2e9], "not that of the second that was looked at"
    assert given(2_500_000_001) == []
    assert given(200) == [], "a TTL that was lowered"
    assert given(2_500_000_000) == [1e9, 2e9], "are given once more"
    assert given(4_000_000_000) == [3e9]


def test_what_comes_second_by_second_is_given_once():
    columns = ClaimColumns()
    wheel = ExpiryWheel(columns, "one")
    rows = [columns.fill(Claim(b"\0\0\0\1", "one", b"a.example", 100.0, 100.0, ttl_s), NONE) for ttl_s in range(5, 10)]
    for row in rows:
        wheel.schedule(row)
    given: list[list[int]] = []
    for second in range(105, 112):
        given.append([])
        while found := wheel.ahead(second, 1):
            given[-1] += found
    assert given == [[], *([row] for row in rows), []]


@pytest.mark.parametrize("seen", [-1.5, -0.5, -800.0, -1e6])
def test_a_deadline_before_the_start_of_the_machine_is_past(seen):
    """The state file has sightings from before; then a reload shortens the TTL."""
    columns = ClaimColumns()
    wheel = ExpiryWheel(columns, "one")
    row = columns.fill(Claim(b"\0\0\0\1", "one", b"a.example", seen, seen, 2e6), NONE)
    wheel.schedule(row)
    columns.ttl_s[row] = 0.25
    wheel.hasten(row)
    assert columns.second[row] > 0
    assert wheel.due(20.0, 1000) == ([row], 999)


refreshes = st.lists(
    st.tuples(st.sampled_from(["one", "two"]), st.integers(1, 9), st.sampled_from(["add", "add", "refresh", "leave"])),
    max_size=40,
)


@given(refreshes, st.integers(0, 9))
def test_the_oldest_is_the_one_that_ends_first_however_often_it_was_refreshed(plan, which):
    columns = ClaimColumns()
    lists = {name: ExpiryWheel(columns, name) for name in ("one", "two")}
    live: list[int] = []
    for list_name, number, what in plan:
        if what == "add" or not live:
            row = columns.fill(Claim(b"\0\0\0\1", list_name, b"a.example", 100.0, 100.0, number), NONE)
            lists[list_name].schedule(row)
            live.append(row)
        elif what == "refresh":  # later, mostly: it stays where it is until somebody looks
            row = live[(which + number) % len(live)]
            columns.seen[row] += number - 3
            lists[columns.lists[row]].hasten(row)
        else:
            row = live.pop((which + number) % len(live))
            lists[columns.lists[row]].leave(row)
            columns.free(row)
        for name, wheel in lists.items():
            own = [row for row in live if columns.lists[row] == name]
            found = wheel.oldest(1000)
            assert (found is None) == (not own)
            assert found is None or columns.ends(found) == min(map(columns.ends, own))
            for bucket in wheel._buckets.values():
                spent = sum(not wheel._counts(bucket, row) for row in bucket.rows)
                assert spent <= bucket.spent <= len(bucket.rows)
    for name, wheel in lists.items():
        assert sorted(wheel.due(1e6, 1000)[0]) == sorted(row for row in live if columns.lists[row] == name)
        assert not len(wheel)


def test_a_look_for_the_oldest_is_bounded_and_the_next_goes_on_behind_it():
    columns = ClaimColumns()
    wheel = ExpiryWheel(columns, "one")
    claims = [Claim(b"\0\0\0\1", "one", b"a.example", 100.0, 100.0, ttl_s) for ttl_s in (10.0,) * 5 + (50.0,)]
    *refreshed, oldest = [columns.fill(claim, NONE) for claim in claims]
    for row in (*refreshed, oldest):
        wheel.schedule(row)
    for row in refreshed:
        columns.seen[row] = 200.0
    assert [wheel.oldest(2) for _ in range(4)] == [None, None, oldest, oldest]
