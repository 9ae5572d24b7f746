"""Rows of columns and the index by name: they agree with a dict, whatever begins and ends."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.routes import claim_columns
from dnstap_bgp.core.routes.claim_columns import NAME_CHAINS, NONE, ClaimColumns, NameIndex

NAMES = [b"a.example", b"b.example", b"c.example"]
LISTS = ["one", "two"]


def test_freed_rows_are_used_again():
    columns = ClaimColumns()
    claims = [Claim(bytes((11, 0, 0, number)), "one", b"a.example", 1.0, 2.0, 3.0) for number in range(5)]
    rows = [columns.fill(claim, NONE) for claim in claims]
    for _ in range(3):
        for row in rows:
            columns.free(row)
        rows = [columns.fill(claim, NONE) for claim in claims]
    assert len(columns.names) == 1 + len(claims)
    assert [columns.copy(row) for row in rows] == claims


def test_the_row_at_hand_may_be_taken_out_of_a_walk():
    columns = ClaimColumns()
    row = NONE
    for number in range(3):
        row = columns.fill(Claim(b"\0\0\0\1", "one", NAMES[number], 0.0, 0.0, 1.0), row)
    walked = []
    for found in columns.chain(row):
        walked.append(columns.names[found])
        columns.free(found)
    assert walked == NAMES[::-1]


@pytest.fixture(params=[512, 2], ids=["chains", "dicts"])
def chain_max(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains of names as they are, and chains that become dicts from the third claim on."""
    monkeypatch.setattr(claim_columns, "CHAIN_MAX", request.param)


def filled(columns: ClaimColumns, index: NameIndex, number: int, list_name: str, name: bytes) -> int:
    """A claim on an address of its own, seen at the second `number`."""
    row = columns.fill(Claim(number.to_bytes(4), list_name, name, number, 0.0, 1.0), NONE)
    index.add(row)
    return row


@pytest.mark.usefixtures("chain_max")
def test_the_index_finds_what_is_in_and_nothing_else():
    @given(st.lists(st.tuples(st.sampled_from(LISTS), st.sampled_from(NAMES), st.integers(0, 9)), max_size=60))
    def check(plan: list[tuple[str, bytes, int]]) -> None:
        columns = ClaimColumns()
        index = NameIndex(columns)
        live: dict[int, tuple[str, bytes]] = {}
        for number, (list_name, name, taken_out) in enumerate(plan):
            if taken_out < len(live):
                row = list(live)[taken_out]
                del live[row]
                index.discard(row)
                columns.free(row)
            live[filled(columns, index, number, list_name, name)] = list_name, name
            expected = defaultdict(set)
            for row, key in live.items():
                expected[key].add(row)
            for each in LISTS:
                for one in NAMES:
                    assert set(index.rows_of(each, one, 1)) == expected[each, one]
        for row in live:
            index.discard(row)
        assert not any(index._counts)
        assert not any(index._heads)
        assert not index._dense

    check()


@pytest.mark.usefixtures("chain_max")
def test_over_a_cap_each_name_gives_its_least_recently_seen():
    columns = ClaimColumns()
    index = NameIndex(columns)
    rows = {
        (list_name, name, number): filled(columns, index, number, list_name, name)
        for list_name in LISTS
        for name in NAMES[:2]
        for number in range(5)
    }
    found, start = set(), 0
    while start < NAME_CHAINS:
        some, start = index.over(3, start, 1)
        assert len(some) <= 1
        for row in some:
            found.add(row)
            index.discard(row)
    assert found == {row for (_, _, number), row in rows.items() if number < 2}


def test_fewer_than_asked_for_need_not_be_looked_for():
    columns = ClaimColumns()
    index = NameIndex(columns)
    filled(columns, index, 1, "one", NAMES[0])
    assert index.rows_of("one", NAMES[0], 2) == []
