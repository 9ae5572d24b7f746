"""What a person adds and forgets, and what the table says of the past."""

import pytest

from dnstap_bgp.core.model import BY_HAND, Attributes, Claim, Policy
from dnstap_bgp.core.routes.forgotten import FORGET_S
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Caps, Policies
from dnstap_bgp.core.routes.table import RouteTable

V4 = Attributes(b"\n\0\0\1")
V6 = Attributes(b" \1\r\xb8" + bytes(11) + b"\1")
A, B, C = b"\1\1\1\1", b"\1\1\1\2", b"\1\1\1\3"
SIX = b"\x26\0" + bytes(13) + b"\1"
NAME, OTHER = b"a.example", b"b.example"


def table(caps: Caps | None = None, **of_list: object) -> RouteTable:
    policy = Policy("l", V4, V6, 100.0, **of_list)  # type: ignore[arg-type] # as each test says
    return RouteTable(Policies([policy], Guard(strict=True), caps))


def claim(address: bytes = A, name: bytes = NAME, seen: float = 0.0) -> Claim:
    return Claim(address, "l", name, seen, seen, 100.0)


def by_hand(address: bytes = A, ttl_s: float = 50.0, now: float = 0.0) -> Claim:
    return Claim(address, "l", BY_HAND, now, now, ttl_s)


def seen(held: RouteTable, *addresses: bytes, name: bytes = NAME, now: float = 0.0) -> None:
    held.observe([(address, "l", name, 300) for address in addresses], now)


# -- forget


def test_a_forgotten_address_goes_and_nobody_but_the_tap_brings_it_back():
    held = table()
    seen(held, A, B)
    assert [change[:2] for change in held.forget_address(A, 1.0)] == [(A, None)]
    held.adopt([claim(A, seen=2.0), claim(B)], 2.0)
    assert held.wanted(A) is None
    assert held.wanted(B) is V4
    seen(held, A, now=3.0)
    assert held.wanted(A) is V4


def test_a_tombstone_ends():
    held = table()
    held.forget_address(A, 0.0)
    held.adopt([claim(A, seen=FORGET_S - 1)], FORGET_S - 1)
    assert not len(held)
    held.adopt([claim(A, seen=FORGET_S)], FORGET_S)
    assert len(held) == 1


def test_a_forgotten_name_leaves_what_others_hold():
    held = table()
    seen(held, A, B)
    seen(held, B, name=OTHER)
    changes, more = held.forget_name(NAME, 1.0, 10)
    assert not more
    assert [change[:2] for change in changes] == [(A, None)]
    assert held.wanted(B) is V4
    held.adopt([claim(C), claim(A, OTHER)], 2.0)
    assert held.wanted(C) is None
    assert held.wanted(A) is V4


def test_forgetting_a_name_goes_in_steps():
    held = table()
    addresses = [bytes([1, 1, 2, number]) for number in range(10)]
    seen(held, *addresses)
    steps = 0
    more = True
    while more:
        _, more = held.forget_name(NAME, 1.0, 4)
        steps += 1
    assert (steps, len(held), len(held.claims)) == (3, 0, 0)


# -- add


def test_an_added_address_is_routed_until_its_own_ttl_is_over():
    held = table()
    changes, refused = held.add(by_hand(ttl_s=50.0), 0.0)
    assert refused is None
    assert changes == [(A, V4)]
    assert held.claims.dirty() == [by_hand(ttl_s=50.0)]
    assert held.expire(49.0, 100) == ([], False)
    assert held.expire(51.0, 100)[0] == [(A, None)]


def test_adding_again_counts_from_now():
    held = table()
    held.add(by_hand(ttl_s=50.0), 0.0)
    held.add(by_hand(ttl_s=10.0, now=20.0), 20.0)
    assert held.expire(31.0, 100)[0] == [(A, None)]
    held.add(by_hand(ttl_s=10.0, now=40.0), 40.0)
    held.add(by_hand(ttl_s=500.0, now=41.0), 41.0)
    assert held.expire(100.0, 100)[0] == []


def test_an_added_address_keeps_its_ttl_over_reloads_and_restarts():
    held = table()
    held.add(by_hand(ttl_s=500.0), 0.0)
    held.revise(A[-1], {}, 1.0)
    [kept] = held.claims.of_address(A)
    assert kept.ttl_s == 500.0
    after = table()
    after.adopt([kept], 2.0)
    assert after.claims.of_address(A) == [kept]


def test_adding_ends_the_tombstone():
    held = table()
    held.forget_address(A, 0.0)
    held.add(by_hand(), 1.0)
    assert held.wanted(A) is V4
    assert held.admission.forgotten.address_until(A, 1.0) is None


def test_what_is_added_keeps_to_guard_and_caps():
    assert table().add(by_hand(b"\x7f\0\0\1"), 0.0) == ([], "loopback")
    held = table(Caps(routes_max=1))
    seen(held, B)
    assert held.add(by_hand(), 0.0) == ([], "full")
    assert held.wanted(A) is None


# -- what is told of it


def test_claims_by_name():
    held = table()
    seen(held, A, B, SIX)
    seen(held, A, name=OTHER)
    assert {found.address for found in held.claims.of_name(NAME, 10)} == {A, B, SIX}
    assert len(held.claims.of_name(NAME, 2)) == 2
    assert held.claims.of_name(b"c.example", 10) == []


def counts(held: RouteTable) -> tuple[int, int, int, int]:
    """Addresses, those of IPv6, and both for the list."""
    store = held.claims
    return len(held), store.routes_ipv6, store.routes_of("l"), store.ipv6_routes_of("l")


def test_families_are_counted_for_the_table_and_each_list():
    held = table()
    seen(held, A, B, SIX)
    seen(held, SIX, name=OTHER)
    assert counts(held) == (
        3,
        1,
        3,
        1,
    )
    held.forget_name(NAME, 1.0, 10)
    assert counts(held) == (
        1,
        1,
        1,
        1,
    )
    held.forget_address(SIX, 1.0)
    assert counts(held) == (
        0,
        0,
        0,
        0,
    )
    assert held.claims.ipv6_routes_of("unknown") == 0


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda held: held.expire(200.0, 10), "expired"),
        (lambda held: held.revise(A[-1], {NAME: ()}, 1.0), "list"),
        (lambda held: held.forget_address(A, 1.0), "forgotten"),
    ],
)
def test_why_a_claim_ended_is_remembered(end, reason: str):
    held = table()
    seen(held, A)
    end(held)
    [one] = held.history.of_address(A, 10)
    assert (one.event, one.reason, one.name) == ("ended", reason, NAME)


def test_why_a_sighting_was_refused_is_remembered():
    held = table(Caps(routes_max=1))
    seen(held, B, A, b"\x7f\0\0\1", now=7.0)
    [full], [local] = held.history.of_address(A, 10), held.history.of_address(b"\x7f\0\0\1", 10)
    assert (full.event, full.reason, full.at) == ("refused", "routes", 7.0)
    assert local.reason == "loopback"


def test_what_gave_way_at_a_cap_is_remembered():
    held = table(Caps(routes_max=1, evicts=True))
    seen(held, A)
    seen(held, B, now=1.0)
    [one] = held.history.of_address(A, 10)
    assert (one.event, one.reason) == ("ended", "routes")
