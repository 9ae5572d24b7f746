"""Types of the rings: lifetimes of claims, and audiences as sets of neighbors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.model import (
    EVERYONE,
    Attributes,
    Audience,
    DnsTtl,
    Policy,
    ViewPrefix,
    is_of_views,
    unknown_attributes,
)

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


NEIGHBORS = [f"192.0.2.{number}" for number in range(4)]
STRANGER = "192.0.2.99"
audiences = st.builds(
    lambda names, is_except: Audience(tuple(names), is_except=is_except),
    st.lists(st.sampled_from(NEIGHBORS), max_size=3, unique=True),
    st.booleans(),
)


def members(audience: Audience) -> set[str]:
    """The neighbors in it: of those that are named anywhere, and of one that nobody names."""
    return {name for name in (*NEIGHBORS, STRANGER) if name in audience}


@given(audiences, audiences)
def test_audiences_are_sets_of_neighbors(one: Audience, other: Audience):
    assert members(one) == ({*NEIGHBORS, STRANGER} - {*one.names} if one.is_except else {*one.names})
    assert members(one & other) == members(one) & members(other)
    assert members(one | other) == members(one) | members(other)
    assert members(one - other) == members(one) - members(other)
    assert bool(one) == bool(members(one))
    assert (one == other) == (members(one) == members(other))
    assert one != other or hash(one) == hash(other)


def test_audiences_in_words():
    assert str(EVERYONE) == "everyone"
    assert str(Audience(("192.0.2.2", "192.0.2.1"))) == "192.0.2.2, 192.0.2.1", "in the order of their first mention"
    assert str(Audience(("192.0.2.1", "192.0.2.2"), is_except=True)) == "everyone except 192.0.2.1, 192.0.2.2"
    assert Audience(("192.0.2.1",)) != "192.0.2.1"


def test_an_intersection_names_neighbors_in_the_order_of_the_first():
    one, other = Audience(("192.0.2.3", "192.0.2.1", "192.0.2.2")), Audience(("192.0.2.1", "192.0.2.3"))
    assert (one & other).names == ("192.0.2.3", "192.0.2.1")
    assert (one & Audience(("192.0.2.1",), is_except=True)).names == ("192.0.2.3", "192.0.2.2")
    both = Audience(("192.0.2.3",), is_except=True) & Audience(("192.0.2.1", "192.0.2.3"), is_except=True)
    assert both.names == ("192.0.2.3", "192.0.2.1")


def test_what_stands_for_unknown_attributes_is_of_the_prefixs_family():
    for prefix in (bytes(4), bytes(5)):
        assert unknown_attributes(prefix).next_hop == bytes((192, 0, 0, 8)), "RFC 7600"
    for prefix in (bytes(16), bytes(17)):
        assert unknown_attributes(prefix).next_hop == bytes.fromhex("01000000000000010000000000000000"), "RFC 9780"


def test_one_record_of_a_view_is_enough_for_version_2():
    of_view = ViewPrefix(bytes(4), EVERYONE)
    assert not is_of_views([])
    assert not is_of_views([bytes(4), bytes(17)])
    assert is_of_views([of_view])
    assert is_of_views([bytes(4), of_view])
