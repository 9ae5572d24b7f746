"""The route table: claims come, are refreshed, and end; changes tell exactly what became of a prefix."""

import ipaddress
from dataclasses import replace

import pytest

from dnstap_bgp.core.model import Attributes, Change, Claim, DnsTtl, Policy
from dnstap_bgp.core.prefixmap import SHARDS
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policies import Caps, Policies
from dnstap_bgp.core.routes.table import CLAIMS_PER_ROUTE, RouteTable


def packed(text):
    return ipaddress.ip_address(text).packed


A = packed("198.51.100.1")
B = packed("198.51.100.2")
SIX = packed("2001:db8::1")
FOUR_ATTRIBUTES = Attributes(next_hop=packed("192.0.2.1"))
SIX_ATTRIBUTES = Attributes(next_hop=packed("2001:db8::ffff"))
POLICY = Policy(list="default", ipv4=FOUR_ATTRIBUTES, ipv6=SIX_ATTRIBUTES, ttl_s=100.0)
SECOND = Policy(list="second", ipv4=Attributes(next_hop=packed("192.0.2.2")), ipv6=None, ttl_s=50.0)


def sighting(address, name=b"a.example", list_name="default", dns_ttl_s=300):
    return (address, list_name, name, dns_ttl_s)


def host(number):
    return bytes((198, 51, number >> 8, number & 255))


def capped(*policies, **caps):
    return RouteTable(Policies(policies or [POLICY], Guard(), Caps(**caps)))


def entries(table):
    """How many entries lie in all buckets, spent ones included."""
    return sum(map(len, table._lists.values()))


def replayed(table, sightings, now=0.0):
    """The sightings one by one, and what is announced after each."""
    announced: dict[bytes, Attributes | None] = {}
    for number, seen in enumerate(sightings):
        announced |= dict(table.observe([seen], now + number))
    return {prefix for prefix, attributes in announced.items() if attributes is not None}


@pytest.fixture
def table():
    return RouteTable(Policies([POLICY, SECOND], Guard(protected=[packed("192.0.2.1")])))


def test_first_sighting_announces_with_the_attributes_of_its_family(table):
    assert table.observe([sighting(A), sighting(SIX)], 10.0) == [
        Change(A, FOUR_ATTRIBUTES),
        Change(SIX, SIX_ATTRIBUTES),
    ]
    assert len(table) == table.claims == 2


def test_refresh_is_no_change_and_moves_the_deadline(table):
    table.observe([sighting(A)], 10.0)
    assert table.observe([sighting(A)], 90.0) == []
    assert table.expire(150.0, 100) == ([], False)
    assert table.expire(191.0, 100) == ([Change(A, None)], False)
    assert len(table) == table.claims == 0


def test_last_claim_withdraws(table):
    table.observe([sighting(A), sighting(A, b"b.example")], 0.0)
    table.observe([sighting(A, b"b.example")], 50.0)
    assert table.expire(120.0, 100) == ([], False)
    assert [claim.name for claim in table.claims_of(A)] == [b"b.example"]
    assert table.expire(151.0, 100) == ([Change(A, None)], False)


def test_first_list_in_order_decides_and_gives_over_when_its_claim_ends(table):
    assert table.observe([sighting(A, list_name="second")], 0.0) == [Change(A, SECOND.ipv4)]
    assert table.observe([sighting(A)], 0.0) == [Change(A, FOUR_ATTRIBUTES)]
    table.observe([sighting(A, list_name="second")], 90.0)
    assert table.expire(101.0, 100) == ([Change(A, SECOND.ipv4)], False)


def test_family_without_next_hop_is_refused_and_counted(table):
    assert table.observe([sighting(SIX, list_name="second")], 0.0) == []
    assert table.refusals.refused["family"] == 1


def test_guard_refuses(table):
    assert table.observe([sighting(packed("192.0.2.1")), sighting(packed("127.0.0.1"))], 0.0) == []
    assert sum(table.refusals.refused.values()) == 2
    assert len(table) == 0


def test_routes_max_refuses_newcomers_only():
    table = capped(routes_max=1)
    table.observe([sighting(A)], 0.0)
    assert table.observe([sighting(B)], 0.0) == []
    assert table.observe([sighting(A, b"b.example")], 0.0) == []
    assert (len(table), table.claims, table.refusals.refused["routes"]) == (1, 2, 1)


def test_names_that_flood_one_address_leave_nothing_behind(table):
    for number in range(10_000):
        table.observe([sighting(A, b"n%d.example" % number)], number / 1000)
    assert table.claims == len(table.claims_of(A)) == CLAIMS_PER_ROUTE
    assert b"n9999.example" in {claim.name for claim in table.claims_of(A)}
    assert entries(table) <= 2 * CLAIMS_PER_ROUTE
    changes, more = table.expire(200.0, 10_000)
    assert (changes, more) == ([Change(A, None)], False)


def test_expire_is_bounded(table):
    table.observe([sighting(bytes((198, 51, 100, host))) for host in range(1, 101)], 0.0)
    changes, more = table.expire(1000.0, 60)
    assert (len(changes), more) == (60, True)
    changes, more = table.expire(1000.0, 60)
    assert (len(changes), more) == (40, False)


def revise_all(table, lists, now=0.0, **more):
    return [change for shard in range(SHARDS) for change in table.revise(shard, lists, now, **more)]


def test_revise_ends_what_the_lists_no_longer_cover(table):
    table.observe([sighting(A), sighting(B, b"b.example"), sighting(B)], 0.0)
    changes = revise_all(table, {b"a.example": (), b"b.example": ("default",)})
    assert sorted(changes) == [Change(A, None), Change(B, FOUR_ATTRIBUTES)]


def test_revise_takes_new_attributes_ttl_and_guard(table):
    table.observe([sighting(A), sighting(B)], 0.0)
    changed = replace(POLICY, ipv4=Attributes(next_hop=packed("192.0.2.9")), ttl_s=20.0)
    table.configure(Policies([changed], Guard(protected=[B])))
    assert sorted(revise_all(table, {}), key=lambda change: change.prefix) == [
        Change(A, changed.ipv4),
        Change(B, None),
    ]
    assert table.expire(21.0, 100) == ([Change(A, None)], False)
    assert table.expire(1000.0, 100) == ([], False)


def test_adopt_keeps_the_deadline_and_merges(table):
    old = Claim(A, "default", b"a.example", seen=-80.0, first=-500.0, ttl_s=100.0)
    table.adopt([old, old._replace(seen=-90.0), old._replace(address=B, seen=-100.0)], 0.0)
    assert table.claims_of(A) == [old]
    assert [change for shard in range(SHARDS) for change in table.changes(shard)] == [Change(A, FOUR_ATTRIBUTES)]
    assert table.expire(21.0, 100) == ([Change(A, None)], False)


def test_adopt_never_believes_the_future(table):
    table.adopt([Claim(A, "default", b"a.example", seen=1e9, first=0.0, ttl_s=1e9)], 0.0)
    assert table.expire(101.0, 100) == ([Change(A, None)], False)


def test_dirty_tells_new_claims_and_moved_deadlines_sparsely(table):
    table.observe([sighting(A)], 0.0)
    assert [claim.seen for claim in table.dirty()] == [0.0]
    table.observe([sighting(A)], 4.0)
    assert table.dirty() == []
    assert [claim.seen for claim in table.unrecorded(A[-1])] == [4.0]
    table.observe([sighting(A)], 6.0)
    assert [claim.seen for claim in table.dirty()] == [6.0]
    assert table.unrecorded(A[-1]) == []


# -- several lists


def test_revise_gives_a_name_to_every_list_that_it_is_on_now(table):
    table.observe([sighting(A, list_name="second")], 0.0)
    assert revise_all(table, {b"a.example": ("default", "second")}) == [Change(A, FOUR_ATTRIBUTES)]
    assert {claim.list for claim in table.claims_of(A)} == {"default", "second"}
    assert {claim.list for claim in table.dirty()} == {"default", "second"}
    assert revise_all(table, {b"a.example": ("second",)}) == [Change(A, SECOND.ipv4)]


def test_revise_makes_no_claim_that_would_have_ended(table):
    table.observe([sighting(A)], 0.0)
    revise_all(table, {b"a.example": ("default", "second")}, now=60.0)
    assert [claim.list for claim in table.claims_of(A)] == ["default"]


def test_revise_moves_what_a_renamed_list_held(table):
    table.observe([sighting(A)], 0.0)
    renamed = replace(POLICY, list="new")
    table.configure(Policies([renamed], Guard()))
    assert revise_all(table, {b"a.example": ("new",)}) == [Change(A, FOUR_ATTRIBUTES)]
    assert [claim.list for claim in table.claims_of(A)] == ["new"]


def test_revise_keeps_what_lists_hold_whose_rules_are_not_known(table):
    table.observe([sighting(A), sighting(B, list_name="second")], 0.0)
    changes = revise_all(table, {b"a.example": ()}, unknown={"second"})
    assert sorted(changes) == [Change(A, None), Change(B, SECOND.ipv4)]


# -- static prefixes

NETWORK = packed("198.51.100.0") + b"\x18"


def test_static_prefix_covers_what_lies_inside_and_gives_it_back():
    table = RouteTable(Policies([POLICY, SECOND], Guard(), prefixes={"second": [NETWORK]}))
    assert table.observe([sighting(A), sighting(packed("198.51.101.1"))], 0.0) == [
        Change(packed("198.51.101.1"), FOUR_ATTRIBUTES)
    ]
    before, after = table.policies, Policies([POLICY, SECOND], Guard())
    assert after.statics.changes(before.statics) == ([], [Change(NETWORK, None)])
    table.configure(after)
    assert Change(A, FOUR_ATTRIBUTES) in revise_all(table, {})
    assert before.statics.changes(after.statics) == ([Change(NETWORK, SECOND.ipv4)], [])
    table.configure(before)
    assert Change(A, None) in revise_all(table, {})


def test_static_address_stays_whoever_claims_it():
    table = RouteTable(Policies([POLICY, SECOND], Guard(), prefixes={"second": [A]}))
    assert table.observe([sighting(A)], 0.0) == []
    assert table.wanted(A) == SECOND.ipv4
    assert table.expire(1000.0, 10) == ([], False)
    assert table.wanted(A) == SECOND.ipv4


def test_a_network_for_some_neighbors_covers_only_what_goes_to_no_other():
    some = replace(FOUR_ATTRIBUTES, neighbors=("10.0.0.1", "10.0.0.2"))
    one = replace(FOUR_ATTRIBUTES, neighbors=("10.0.0.2",))
    lists = [
        replace(POLICY, list=name, ipv4=ipv4) for name, ipv4 in (("some", some), ("one", one), ("all", FOUR_ATTRIBUTES))
    ]
    table = RouteTable(Policies(lists, Guard(), prefixes={"some": [NETWORK]}))
    assert table.observe([sighting(A, list_name="all")], 0.0) == [Change(A, FOUR_ATTRIBUTES)]
    assert table.observe([sighting(B, list_name="one")], 0.0) == []


# -- caps


def test_over_the_cap_the_least_recently_seen_goes():
    table = capped(routes_max=3, evicts=True)
    seen = [host(1), host(2), host(3), host(1), host(4), host(5)]
    assert replayed(table, [sighting(address, b"%d.example" % address[-1]) for address in seen]) == {
        host(1),
        host(4),
        host(5),
    }
    assert table.refusals.evicted == {"routes": 2}


def test_within_a_second_the_least_recently_seen_goes_too():
    table = capped(routes_max=3, evicts=True)
    for number, address in enumerate([host(1), host(2), host(3), host(1), host(4)]):
        table.observe([sighting(address)], number / 10)
    assert {address for number in (1, 2, 3, 4) for address in table.addresses(number)} == {host(1), host(3), host(4)}


def test_over_the_cap_the_newcomer_is_refused():
    table = capped(routes_max=2)
    assert replayed(table, [sighting(host(number)) for number in range(1, 5)]) == {host(1), host(2)}
    assert table.refusals.refused == {"routes": 2}


@pytest.mark.parametrize(("evicts", "held"), [(True, {4, 5}), (False, {1, 2})])
def test_a_list_has_its_own_cap(evicts, held):
    table = capped(replace(POLICY, routes_max=2), SECOND, evicts=evicts)
    table.observe([sighting(host(100), list_name="second")], 0.0)
    announced = replayed(table, [sighting(host(number), b"%d.example" % number) for number in range(1, 6)], 1.0)
    assert announced == {host(number) for number in held}
    assert (table.routes_of("default"), table.routes_of("second")) == (2, 1)


@pytest.mark.parametrize(("evicts", "held"), [(True, {3, 4, 5}), (False, {1, 2, 3})])
def test_a_fast_flux_name_has_its_own_cap(evicts, held):
    table = capped(name_routes_max=3, evicts=evicts)
    table.observe([sighting(host(100), b"other.example")], 0.0)
    assert replayed(table, [sighting(host(number)) for number in range(1, 6)], 1.0) == {host(n) for n in held}
    assert table.wanted(host(100)) == FOUR_ATTRIBUTES


def test_a_name_without_a_cap_is_found_and_let_go_quickly():
    """More claims than a chain of names has: they lie in a dict then, and leave it again."""
    table = capped(name_routes_max=2000, evicts=True)
    for number in range(3000):
        table.observe([sighting(host(number)), sighting(host(number), list_name="second")], number / 1000)
    assert (len(table), table.claims) == (2000, 2000)
    assert set(table.addresses(5)) == {host(number) for number in range(1000, 3000) if number % 256 == 5}
    table.expire(1000.0, 10_000)
    assert (len(table), table.claims) == (0, 0)
    assert not table._names._dense


def test_new_routes_have_a_rate_and_refreshes_have_none():
    table = capped(new_routes_per_s=2.0)
    assert len(table.observe([sighting(host(number)) for number in range(10)], 5.0)) == 2
    assert len(table.observe([sighting(host(number)) for number in range(10)], 5.5)) == 1
    assert len(table.observe([sighting(host(number)) for number in range(10)], 60.0)) == 2
    assert table.refusals.refused["rate"] == 8 + 7 + 5


def test_a_flood_over_the_cap_leaves_nothing_behind():
    table = capped(routes_max=100, evicts=True)
    for number in range(20_000):
        table.observe([sighting(host(number), b"%d.example" % (number % 777))], number / 1000)
    assert len(table) == table.claims == 100
    assert entries(table) <= 200
    changes, more = table.expire(1e6, 1000)
    assert (len(changes), more) == (100, False)
    assert (len(table), table.claims, entries(table)) == (0, 0, 0)


def test_trim_brings_the_table_under_a_cap_that_was_lowered():
    table = capped(POLICY, SECOND)
    table.observe([sighting(host(number)) for number in range(10)], 0.0)
    table.observe([sighting(host(number), list_name="second") for number in range(20, 30)], 5.0)
    lowered = Policies([POLICY, replace(SECOND, routes_max=8)], Guard(), Caps(routes_max=12))
    table.configure(lowered)
    steps = trimmed(table, 1)
    assert max(map(len, steps)) == 1
    assert sum(map(len, steps)) == 8
    assert (len(table), table.routes_of("default"), table.routes_of("second")) == (12, 4, 8)


@pytest.mark.parametrize("addresses", [20, 1000])  # a chain of names, and a long one, which lies in a dict
def test_trim_brings_each_name_under_a_cap_that_was_lowered(addresses):
    table = capped(POLICY, SECOND)
    for number in range(addresses):
        table.observe([sighting(host(number)), sighting(host(number), list_name="second")], number / 1000)
    table.observe([sighting(host(addresses + n), b"other.example") for n in range(3)], 0.0)
    table.configure(Policies([POLICY, SECOND], Guard(), Caps(name_routes_max=3)))
    steps = trimmed(table, 7)
    assert max(map(len, steps)) <= 7
    held = {claim.address for shard in range(256) for one in table.addresses(shard) for claim in table.claims_of(one)}
    assert held == {host(number) for number in range(addresses - 3, addresses + 3)}, "the last three of each name"
    assert table.claims == 9
    assert table.refusals.evicted == {"name-routes": 2 * addresses - 6}


def trimmed(table, at_most):
    """The changes of each step."""
    steps, start = [], 0
    while start is not None:
        changes, start = table.trim(at_most, start)
        steps.append(changes)
    return steps


def test_refusals_are_told_once_each_with_an_example():
    table = capped(routes_max=1)
    for _ in range(3):
        table.observe([sighting(A), sighting(B), sighting(packed("127.0.0.1"))], 0.0)
    told = {refusal.reason: (refusal.times, refusal.address) for refusal in table.refusals.take()}
    assert told == {"routes": (3, B), "loopback": (3, packed("127.0.0.1"))}
    assert table.refusals.take() == []
    table.observe([sighting(B)], 0.0)
    assert [refusal.times for refusal in table.refusals.take()] == [1]


# -- ttl = "dns"

FOLLOWING = replace(POLICY, dns_ttl=DnsTtl(min_s=10.0, max_s=1000.0, grace_s=5.0))


def ends_at(table, address):
    (claim,) = table.claims_of(address)
    return claim.seen + claim.ttl_s


@pytest.mark.parametrize(("dns_ttl_s", "lifetime_s"), [(0, 15), (10, 15), (300, 305), (5000, 1005)])
def test_the_deadline_follows_the_records_own_ttl(dns_ttl_s, lifetime_s):
    table = capped(FOLLOWING)
    table.observe([sighting(A, dns_ttl_s=dns_ttl_s)], 0.0)
    assert ends_at(table, A) == lifetime_s
    assert table.expire(lifetime_s - 1.0, 10) == ([], False)
    assert table.expire(lifetime_s + 1.0, 10) == ([Change(A, None)], False)


def test_a_shorter_ttl_brings_the_deadline_closer_and_leaves_no_trail():
    table = capped(FOLLOWING)
    for number in range(1000):
        table.observe([sighting(A, dns_ttl_s=900 if number % 2 else 20)], number * 0.01)
        table.expire(number * 0.01, 10)
    table.observe([sighting(A, dns_ttl_s=20)], 20.0)
    assert entries(table) <= 2
    assert table.expire(46.0, 100) == ([Change(A, None)], False)


def test_a_policy_that_begins_to_follow_bounds_what_is_held():
    table = capped()
    table.observe([sighting(A)], 0.0)
    table.configure(Policies([replace(FOLLOWING, dns_ttl=DnsTtl(1.0, 30.0, 0.0))], Guard()))
    revise_all(table, {})
    assert table.expire(31.0, 10) == ([Change(A, None)], False)
