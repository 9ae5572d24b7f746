"""The route table: claims come, are refreshed, and end; changes tell exactly what became of a prefix."""

import ipaddress
from dataclasses import replace

import pytest

from dnstap_bgp.core.guard import Guard
from dnstap_bgp.core.model import Attributes, Change, Claim, Policy
from dnstap_bgp.core.prefixmap import SHARDS
from dnstap_bgp.core.routes import CLAIMS_PER_ROUTE, RouteTable


def packed(text):
    return ipaddress.ip_address(text).packed


A = packed("198.51.100.1")
B = packed("198.51.100.2")
SIX = packed("2001:db8::1")
FOUR_ATTRIBUTES = Attributes(next_hop=packed("192.0.2.1"))
SIX_ATTRIBUTES = Attributes(next_hop=packed("2001:db8::ffff"))
POLICY = Policy(list="default", ipv4=FOUR_ATTRIBUTES, ipv6=SIX_ATTRIBUTES, ttl_s=100.0)
SECOND = Policy(list="second", ipv4=Attributes(next_hop=packed("192.0.2.2")), ipv6=None, ttl_s=50.0)


def sighting(address, name=b"a.example", list_name="default"):
    return (address, list_name, name, 300)


@pytest.fixture
def table():
    return RouteTable([POLICY, SECOND], Guard(protected=[packed("192.0.2.1")]))


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
    assert table.refused["family"] == 1


def test_guard_refuses(table):
    assert table.observe([sighting(packed("192.0.2.1")), sighting(packed("127.0.0.1"))], 0.0) == []
    assert sum(table.refused.values()) == 2
    assert len(table) == 0


def test_routes_max_refuses_newcomers_only():
    table = RouteTable([POLICY], Guard(), routes_max=1)
    table.observe([sighting(A)], 0.0)
    assert table.observe([sighting(B)], 0.0) == []
    assert table.observe([sighting(A, b"b.example")], 0.0) == []
    assert (len(table), table.claims, table.refused["routes"]) == (1, 2, 1)


def test_names_that_flood_one_address_leave_nothing_behind(table):
    for number in range(10_000):
        table.observe([sighting(A, b"n%d.example" % number)], number / 1000)
    assert table.claims == len(table.claims_of(A)) == CLAIMS_PER_ROUTE
    assert b"n9999.example" in {claim.name for claim in table.claims_of(A)}
    assert sum(len(bucket.claims) for bucket in table._buckets.values()) == CLAIMS_PER_ROUTE
    changes, more = table.expire(200.0, 10_000)
    assert (changes, more) == ([Change(A, None)], False)


def test_expire_is_bounded(table):
    table.observe([sighting(bytes((198, 51, 100, host))) for host in range(1, 101)], 0.0)
    changes, more = table.expire(1000.0, 60)
    assert (len(changes), more) == (60, True)
    changes, more = table.expire(1000.0, 60)
    assert (len(changes), more) == (40, False)


def revise_all(table, lists):
    return [change for shard in range(SHARDS) for change in table.revise(shard, lists)]


def test_revise_ends_what_the_lists_no_longer_cover(table):
    table.observe([sighting(A), sighting(B, b"b.example"), sighting(B)], 0.0)
    changes = revise_all(table, {b"a.example": (), b"b.example": ("default",)})
    assert sorted(changes) == [Change(A, None), Change(B, FOUR_ATTRIBUTES)]


def test_revise_takes_new_attributes_ttl_and_guard(table):
    table.observe([sighting(A), sighting(B)], 0.0)
    changed = replace(POLICY, ipv4=Attributes(next_hop=packed("192.0.2.9")), ttl_s=20.0)
    table.configure([changed], Guard(protected=[B]))
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
