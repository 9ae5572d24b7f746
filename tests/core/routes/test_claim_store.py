"""The claim store: every index and every count agrees with a plain set of claims, whatever begins and ends."""

from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.prefix_map import SHARDS
from dnstap_bgp.core.routes.claim_store import ClaimStore

ADDRESSES = [bytes((198, 51, 100, 1)), bytes((198, 51, 100, 2)), bytes(15) + b"\1"]
LISTS = ["one", "two"]
NAMES = [b"a.example", b"b.example"]


def claim(address: bytes, list_name: str, name: bytes, seen: float = 0.0, ttl_s: float = 10.0) -> Claim:
    return Claim(address, list_name, name, seen, seen, ttl_s)


@given(
    st.lists(
        st.tuples(st.sampled_from(ADDRESSES), st.sampled_from(LISTS), st.sampled_from(NAMES), st.booleans()),
        max_size=60,
    )
)
def test_all_indexes_and_counts_are_those_of_the_live_claims(plan: list[tuple[bytes, str, bytes, bool]]):
    store = ClaimStore()
    live: set[tuple[bytes, str, bytes]] = set()
    ended = 0
    for address, list_name, name, ends in plan:
        row = store.find(address, list_name, name)
        assert bool(row) == ((address, list_name, name) in live)
        if row and ends:
            store.end(row)
            live.discard((address, list_name, name))
            ended += 1
        elif not row:
            store.begin(claim(address, list_name, name))
            live.add((address, list_name, name))
        check(store, live)
        assert store.ended == ended


def check(store: ClaimStore, live: set[tuple[bytes, str, bytes]]) -> None:
    assert len(store) == len(live)
    assert store.routes == len({address for address, _, _ in live})
    assert store.routes_ipv6 == len({address for address, _, _ in live if len(address) == 16})
    for address in ADDRESSES:
        assert {one[:3] for one in store.of_address(address)} == {one for one in live if one[0] == address}
        for list_name in LISTS:
            assert store.is_held_by(list_name, address) == any(one[:2] == (address, list_name) for one in live)
    for list_name in LISTS:
        held = {address for address, of_list, _ in live if of_list == list_name}
        assert store.routes_of(list_name) == len(held)
        assert store.ipv6_routes_of(list_name) == len({address for address in held if len(address) == 16})
    for name in NAMES:
        assert {one[:3] for one in store.of_name(name, 99)} == {one for one in live if one[2] == name}
    walked = [address for shard in range(SHARDS) for address in store.addresses(shard)]
    assert sorted(walked) == sorted({address for address, _, _ in live})


def test_dirty_gives_what_was_recorded_and_still_lives_once():
    store = ClaimStore()
    kept, gone = (store.begin(claim(ADDRESSES[0], "one", name)) for name in NAMES)
    store.record(kept)
    store.record(gone)
    store.end(gone)
    assert [one.name for one in store.dirty()] == [NAMES[0]]
    assert store.dirty() == []


def test_nothing_is_recorded_for_nobody():
    store = ClaimStore(recording=False)
    store.record(store.begin(claim(ADDRESSES[0], "one", NAMES[0])))
    assert store.dirty() == []


def test_unrecorded_are_those_seen_after_their_record():
    store = ClaimStore()
    row = store.begin(claim(ADDRESSES[0], "one", NAMES[0]))
    assert store.unrecorded(ADDRESSES[0][-1]) == []
    store.columns.seen[row] = 5.0
    assert [one.seen for one in store.unrecorded(ADDRESSES[0][-1])] == [5.0]


def test_a_shorter_lifetime_ends_a_claim_sooner():
    store = ClaimStore()
    row = store.begin(claim(ADDRESSES[0], "one", NAMES[0], ttl_s=1000.0))
    store.columns.ttl_s[row] = 1.0
    store.hasten(row)
    ended, _ = store.by_list["one"].wheel.due(3.0, 10)
    assert ended == [row]
