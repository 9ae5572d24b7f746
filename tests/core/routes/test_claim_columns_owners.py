"""Counts of owners: never too low, exact where no slots are shared, and nothing left when all are gone."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.routes.claim_columns import OwnerCounts, owner_key
from dnstap_bgp.core.routes.claim_store import ClaimStore


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.booleans()), max_size=200))
def test_a_count_is_never_too_low_and_all_slots_are_empty_in_the_end(plan: list[tuple[int, bool]]):
    counts, expected = OwnerCounts(), Counter[int]()
    for key, ends in plan:
        if ends and expected[key]:
            expected[key] -= 1
            counts.discard(key)
        else:
            expected[key] += 1
            counts.add(key)
        assert all(counts[one] >= count for one, count in expected.items())
    for key, count in expected.items():
        for _ in range(count):
            counts.discard(key)
    assert not any(counts._low)
    assert not any(counts._high)


def test_a_million_addresses_of_many_owners_are_told_nearly_right():
    counts = OwnerCounts()
    for number in range(20_000):
        key = owner_key("l", b"%d.example" % number)
        for _ in range(5):
            counts.add(key)
    wrong = [counts[owner_key("l", b"%d.example" % number)] - 5 for number in range(20_000)]
    assert min(wrong) == 0
    assert sum(wrong) / len(wrong) < 5


def test_lists_and_owners_are_apart():
    keys = {owner_key(list_name, owner) for list_name in ("one", "two") for owner in (b"a.example", b"b.example")}
    assert len(keys) == 4


ADDRESSES = [bytes((198, 51, 100, last)) for last in (1, 2)]


@given(
    st.lists(
        st.tuples(st.sampled_from(ADDRESSES), st.sampled_from([b"a", b"b"]), st.integers(1, 2), st.integers(0, 2)),
        max_size=60,
    )
)
def test_the_store_counts_addresses_of_owners_whatever_begins_ends_and_changes_hands(plan):
    store = ClaimStore()
    live: dict[tuple[bytes, bytes], int] = {}
    for address, name, owner, what in plan:
        row = store.find(address, "l", name)
        if not row:
            store.begin(Claim(address, "l", name, 0.0, 0.0, 1.0), owner)
            live[address, name] = owner
        elif what:
            store.set_owner(row, owner)
            live[address, name] = owner
        else:
            store.end(row)
            del live[address, name]
        for one in (1, 2):
            assert store.owners._low[one] == len({address for (address, _), of in live.items() if of == one})
