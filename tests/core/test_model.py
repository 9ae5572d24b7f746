"""Lifetimes of claims: the list's TTL, or the record's own within bounds."""

import pytest

from dnstap_bgp.core.model import Attributes, DnsTtl, Policy

FOUR, SIX = Attributes(bytes(4)), Attributes(bytes(16))
DNS_TTL = DnsTtl(min_s=60.0, max_s=3600.0, grace_s=10.0)


@pytest.mark.parametrize(
    ("record_s", "lifetime_s"), [(0, 70.0), (60, 70.0), (300, 310.0), (3600, 3610.0), (86_400, 3610.0)]
)
def test_a_lifetime_follows_the_record_within_bounds(record_s: int, lifetime_s: float):
    assert DNS_TTL.lifetime_s(record_s) == lifetime_s
    assert Policy("l", FOUR, None, 5.0, DNS_TTL).lifetime_s(record_s) == lifetime_s
    assert Policy("l", FOUR, None, 5.0).lifetime_s(record_s) == 5.0


@pytest.mark.parametrize(("before_s", "after_s"), [(5.0, 70.0), (310.0, 310.0), (86_400.0, 3610.0)])
def test_a_lifetime_of_an_earlier_policy_becomes_one_that_some_record_gives(before_s: float, after_s: float):
    assert DNS_TTL.within_s(before_s) == after_s
    assert Policy("l", FOUR, None, 5.0, DNS_TTL).held_s(before_s) == after_s
    assert Policy("l", FOUR, None, 5.0).held_s(before_s) == 5.0


@pytest.mark.parametrize(
    ("prefix", "attributes"), [(bytes(4), FOUR), (bytes(5), FOUR), (bytes(16), SIX), (bytes(17), SIX)]
)
def test_attributes_are_those_of_the_prefixs_family(prefix: bytes, attributes: Attributes):
    assert Policy("l", FOUR, SIX, 5.0).attributes(prefix) is attributes
