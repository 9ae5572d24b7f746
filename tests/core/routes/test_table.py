"""The route table: claims come, are refreshed, and end; changes tell exactly what became of a prefix."""

import math
from dataclasses import replace

import pytest

from dnstap_bgp.core.model import BY_HAND, Change, Claim, DnsTtl
from dnstap_bgp.core.prefix_map import SHARDS
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import CLAIMS_PER_ROUTE, Policies
from dnstap_bgp.core.routes.table import RouteTable
from tests.core.routes.tables import (
    FOUR_ATTRIBUTES,
    POLICY,
    SECOND,
    SIX,
    SIX_ATTRIBUTES,
    A,
    B,
    capped,
    entries,
    packed,
    revise_all,
    sighting,
)


@pytest.fixture
def table():
    return RouteTable(Policies([POLICY, SECOND], Guard(protected=[packed("192.0.2.1")])))


def test_first_sighting_announces_with_the_attributes_of_its_family(table):
    assert table.observe([sighting(A), sighting(SIX)], 10.0) == [
        Change(A, FOUR_ATTRIBUTES),
        Change(SIX, SIX_ATTRIBUTES),
    ]
    assert len(table) == len(table.claims) == 2


def test_refresh_is_no_change_and_moves_the_deadline(table):
    table.observe([sighting(A)], 10.0)
    assert table.observe([sighting(A)], 90.0) == []
    assert table.expire(150.0, 100) == ([], False)
    assert table.expire(191.0, 100) == ([Change(A, None)], False)
    assert len(table) == len(table.claims) == 0


def test_last_claim_withdraws(table):
    table.observe([sighting(A), sighting(A, b"b.example")], 0.0)
    table.observe([sighting(A, b"b.example")], 50.0)
    assert table.expire(120.0, 100) == ([], False)
    assert [claim.name for claim in table.claims.of_address(A)] == [b"b.example"]
    assert table.expire(151.0, 100) == ([Change(A, None)], False)


def test_first_list_in_order_decides_and_gives_over_when_its_claim_ends(table):
    assert table.observe([sighting(A, list_name="second")], 0.0) == [Change(A, SECOND.ipv4)]
    assert table.observe([sighting(A)], 0.0) == [Change(A, FOUR_ATTRIBUTES)]
    table.observe([sighting(A, list_name="second")], 90.0)
    assert table.expire(101.0, 100) == ([Change(A, SECOND.ipv4)], False)


def test_family_without_next_hop_is_refused_and_counted(table):
    assert table.observe([sighting(SIX, list_name="second")], 0.0) == []
    assert table.admission.refusals.refused["family"] == 1


def test_guard_refuses(table):
    assert table.observe([sighting(packed("192.0.2.1")), sighting(packed("127.0.0.1"))], 0.0) == []
    assert sum(table.admission.refusals.refused.values()) == 2
    assert len(table) == 0


def test_names_that_flood_one_address_leave_nothing_behind(table):
    for number in range(10_000):
        table.observe([sighting(A, b"n%d.example" % number)], number / 1000)
    assert len(table.claims) == len(table.claims.of_address(A)) == CLAIMS_PER_ROUTE
    assert b"n9999.example" in {claim.name for claim in table.claims.of_address(A)}
    assert entries(table) <= 2 * CLAIMS_PER_ROUTE
    changes, more = table.expire(200.0, 10_000)
    assert (changes, more) == ([Change(A, None)], False)


def test_expire_is_bounded(table):
    table.observe([sighting(bytes((198, 51, 100, host))) for host in range(1, 101)], 0.0)
    changes, more = table.expire(1000.0, 60)
    assert (len(changes), more) == (60, True)
    changes, more = table.expire(1000.0, 60)
    assert (len(changes), more) == (40, False)


def test_adopt_keeps_the_deadline_and_merges(table):
    old = Claim(A, "default", b"a.example", seen=-80.0, first=-500.0, ttl_s=100.0)
    table.adopt([old, old._replace(seen=-90.0), old._replace(address=B, seen=-100.0)], 0.0)
    assert table.claims.of_address(A) == [old]
    assert [(one, table.wanted(one)) for shard in range(SHARDS) for one in table.claims.addresses(shard)] == [
        (A, FOUR_ATTRIBUTES)
    ]
    assert table.expire(21.0, 100) == ([Change(A, None)], False)


def test_adopt_never_believes_the_future(table):
    table.adopt([Claim(A, "default", b"a.example", seen=1e9, first=0.0, ttl_s=1e9)], 0.0)
    assert table.expire(101.0, 100) == ([Change(A, None)], False)


def test_dirty_tells_new_claims_and_moved_deadlines_sparsely(table):
    table.observe([sighting(A)], 0.0)
    assert [claim.seen for claim in table.claims.dirty()] == [0.0]
    table.observe([sighting(A)], 5.0)
    assert table.claims.dirty() == []
    assert [claim.seen for claim in table.claims.unrecorded(A[-1])] == [5.0]
    table.observe([sighting(A)], 5.1)
    assert [claim.seen for claim in table.claims.dirty()] == [5.1], "a twentieth of its lifetime"
    assert table.claims.unrecorded(A[-1]) == []


# -- ttl = "dns"

FOLLOWING = replace(POLICY, dns_ttl=DnsTtl(min_s=10.0, max_s=1000.0, grace_s=5.0))


def ends_at(table, address):
    (claim,) = table.claims.of_address(address)
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


@pytest.mark.parametrize("ttls_s", [(60.0, 600.0), (600.0, 60.0)])
def test_of_a_sighting_that_the_state_file_has_twice_the_shorter_lifetime_counts(ttls_s):
    table = capped(FOLLOWING)
    claims = [Claim(A, "default", b"a.example", seen=-5.0, first=-5.0, ttl_s=ttl_s) for ttl_s in ttls_s]
    table.adopt(claims, 0.0)
    assert ends_at(table, A) == 55.0
    table.adopt([claims[0]._replace(seen=-4.0, ttl_s=600.0)], 0.0)
    assert ends_at(table, A) == 596.0


def test_a_prefix_was_last_seen_with_the_latest_of_its_names():
    table = RouteTable(Policies([POLICY], Guard(), prefixes={"default": [packed("203.0.113.0") + b"\x18"]}))
    assert table.last_seen(A) == -math.inf
    table.observe([sighting(A)], 10.0)
    table.observe([sighting(A, b"b.example")], 20.0)
    assert table.last_seen(A) == 20.0
    table.observe([sighting(A)], 30.0)
    assert table.last_seen(A) == 30.0
    assert table.last_seen(packed("203.0.113.0") + b"\x18") == math.inf
    table.add(Claim(A, "default", BY_HAND, 40.0, 40.0, 100.0), 40.0)
    assert table.last_seen(A) == math.inf


def test_refreshes_are_recorded_half_a_lifetime_before_the_recorded_deadline(table):
    """In steps; what was not refreshed, or hardly, is not."""
    addresses = [bytes((198, 51, 100, host)) for host in (1, 2, 3, 4, 5)]
    table.observe([sighting(address) for address in addresses], 0.0)
    table.observe([sighting(address) for address in addresses[:3]], 4.0)
    table.observe([sighting(addresses[3])], 0.5)
    table.claims.dirty()
    assert not table.remind(50.9, 1, 0.5), "until 101 it is more than half"
    assert table.claims.dirty() == []
    steps = 0
    while table.remind(51.0, 2, 0.5):
        steps += 1
    assert steps == 2
    assert {(claim.address, claim.seen) for claim in table.claims.dirty()} == {(one, 4.0) for one in addresses[:3]}
    assert not table.remind(60.0, 100, 0.5)
    assert table.claims.dirty() == [], "once is enough"


def test_a_list_without_a_policy_wants_nothing_and_lets_its_claims_be_reminded_of(table):
    table.observe([sighting(A)], 0.0)
    table.observe([sighting(A)], 4.0)
    table.claims.dirty()
    table.configure(Policies([SECOND], Guard()))
    assert table.wanted(A) is None
    assert not table.remind(60.0, 10, 0.5)
    assert not table.remind(101.0, 10, 0.5)
    assert [claim.seen for claim in table.claims.dirty()] == [4.0]
