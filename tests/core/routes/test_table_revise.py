"""New lists and policies: what is held follows them."""

from dataclasses import replace

import pytest

from dnstap_bgp.core.model import Attributes, Change, PerView
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Policies
from dnstap_bgp.core.routes.table import RouteTable
from tests.core.routes.tables import FOUR_ATTRIBUTES, POLICY, SECOND, A, B, packed, revise_all, sighting

NETWORK = packed("198.51.100.0") + b"\x18"


@pytest.fixture
def table():
    return RouteTable(Policies([POLICY, SECOND], Guard(protected=[packed("192.0.2.1")])))


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


def test_revise_gives_a_name_to_every_list_that_it_is_on_now(table):
    table.observe([sighting(A, list_name="second")], 0.0)
    assert revise_all(table, {b"a.example": ("default", "second")}) == [Change(A, FOUR_ATTRIBUTES)]
    assert {claim.list for claim in table.claims.of_address(A)} == {"default", "second"}
    assert {claim.list for claim in table.claims.dirty()} == {"default", "second"}
    assert revise_all(table, {b"a.example": ("second",)}) == [Change(A, SECOND.ipv4)]


def test_revise_makes_no_claim_that_would_have_ended(table):
    table.observe([sighting(A)], 0.0)
    revise_all(table, {b"a.example": ("default", "second")}, now=60.0)
    assert [claim.list for claim in table.claims.of_address(A)] == ["default"]


def test_revise_moves_what_a_renamed_list_held(table):
    table.observe([sighting(A)], 0.0)
    renamed = replace(POLICY, list="new")
    table.configure(Policies([renamed], Guard()))
    assert revise_all(table, {b"a.example": ("new",)}) == [Change(A, FOUR_ATTRIBUTES)]
    assert [claim.list for claim in table.claims.of_address(A)] == ["new"]


def test_revise_keeps_what_lists_hold_whose_rules_are_not_known(table):
    table.observe([sighting(A), sighting(B, list_name="second")], 0.0)
    changes = revise_all(table, {b"a.example": ()}, unknown={"second"})
    assert sorted(changes) == [Change(A, None), Change(B, SECOND.ipv4)]


def test_static_prefix_covers_what_lies_inside_and_gives_it_back():
    table = RouteTable(Policies([POLICY, SECOND], Guard(), prefixes={"second": [NETWORK]}))
    assert table.observe([sighting(A), sighting(packed("198.51.101.1"))], 0.0) == [
        Change(packed("198.51.101.1"), FOUR_ATTRIBUTES)
    ]
    before, after = table.policies, Policies([POLICY, SECOND], Guard())
    assert after.statics.difference(before.statics) == ([], [NETWORK])
    table.configure(after)
    assert Change(A, FOUR_ATTRIBUTES) in revise_all(table, {})
    assert before.statics.difference(after.statics) == ([NETWORK], [])
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
    policies = Policies(lists, Guard(), prefixes={"some": [NETWORK]})
    table = RouteTable(policies)
    (change,) = table.observe([sighting(A, list_name="all")], 0.0)
    assert isinstance(change.attributes, PerView)
    served = dict(zip(map(str, policies.audiences), change.attributes.by_view, strict=True))
    everyone_else = "everyone except 10.0.0.1, 10.0.0.2"
    assert served == {"10.0.0.2": None, "10.0.0.1": None, everyone_else: FOUR_ATTRIBUTES}
    assert table.observe([sighting(B, list_name="one")], 0.0) == []
