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
    assert given(2_500_000_000) == [5.0, 1e9, 2e9]
    assert given(2_500_000_001) == []
    assert given(200) == [], "a TTL that was lowered"
    assert given(2_500_000_000) == [1e9, 2e9], "are given once more"
    assert given(4_000_000_000) == [3e9]


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
