"""Deadlines and the rows behind them: a row that is used again never takes over what its former claim left behind."""

from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.routes.claims import NONE, HeldClaims
from dnstap_bgp.core.routes.deadlines import ListDeadlines

steps = st.lists(
    st.tuples(st.sampled_from(["one", "two"]), st.integers(0, 3), st.integers(1, 4), st.booleans()), max_size=80
)


@given(steps)
def test_each_claim_ends_once_in_its_own_list_and_in_its_second(plan):
    """Few seconds and two lists, so that rows come back with an entry of their former claim in every place."""
    held = HeldClaims()
    lists = ListDeadlines(held)
    live: dict[int, tuple[str, float]] = {}
    now = 100.0
    for list_name, pause, ttl_s, takes_out in plan:
        now += pause
        for name in lists:
            for row in lists[name].due(now, 1000)[0]:
                owner, end = live.pop(row)
                assert (owner, held.lists[row]) == (name, name)
                assert end <= now
                held.free(row)
        assert all(int(end) + 1 > now for _, end in live.values())
        if takes_out and live:
            row = min(live)
            lists[live.pop(row)[0]].leave(row)
            held.free(row)
        row = held.add(Claim(b"\0\0\0\1", list_name, b"a.example", now, now, ttl_s), NONE)
        lists[list_name].schedule(row)
        live[row] = list_name, now + ttl_s
    for name in list(lists):
        ended, _ = lists[name].due(now + 10, 1000)
        assert sorted(ended) == sorted(row for row, (owner, _) in live.items() if owner == name)
        assert not len(lists[name])


def test_freed_rows_are_used_again():
    held = HeldClaims()
    claims = [Claim(bytes((11, 0, 0, number)), "one", b"a.example", 1.0, 2.0, 3.0) for number in range(5)]
    rows = [held.add(claim, NONE) for claim in claims]
    for _ in range(3):
        for row in rows:
            held.free(row)
        rows = [held.add(claim, NONE) for claim in claims]
    assert len(held.names) == 1 + len(claims)
    assert [held.copy(row) for row in rows] == claims


def test_what_comes_is_given_once_however_far_ahead_it_lies():
    """A TTL of years beside one of seconds: the seconds in between are not counted one by one."""
    held = HeldClaims()
    deadlines = ListDeadlines(held)["one"]
    for ttl_s in (5.0, 1e9, 2e9, 3e9):
        deadlines.schedule(held.add(Claim(b"\0\0\0\1", "one", b"a.example", 100.0, 100.0, ttl_s), NONE))

    def given(second: int) -> list[float]:
        found = []
        while rows := deadlines.ahead(second, 1):
            found += [held.ttl_s[row] for row in rows]
        return found

    assert given(50) == []
    assert given(2_500_000_000) == [5.0, 1e9, 2e9]
    assert given(2_500_000_001) == []
    assert given(200) == [], "a TTL that was lowered"
    assert given(2_500_000_000) == [1e9, 2e9], "are given once more"
    assert given(4_000_000_000) == [3e9]
