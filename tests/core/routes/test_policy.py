"""Policies: which list decides about an address, and what static prefixes make of it."""

import ipaddress
from dataclasses import replace

import pytest

from dnstap_bgp.core.model import EVERYONE, Attributes, Audience, PerView, Policy
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Policies, RefusedPrefix, Statics, ViewDecision


def packed(text: str) -> bytes:
    if "/" not in text:
        return ipaddress.ip_address(text).packed
    network = ipaddress.ip_network(text)
    return network.network_address.packed + bytes([network.prefixlen])


FIRST = Attributes(packed("192.0.2.1"))
SECOND = Attributes(packed("192.0.2.2"))
ONLY_ONE = Attributes(packed("192.0.2.3"), neighbors=("192.0.2.9",))
SIX = Attributes(packed("2001:db8::1"))
POLICIES = [Policy("first", FIRST, None, 10.0), Policy("second", SECOND, SIX, 10.0)]
FOR_ONE = Policy("one", ONLY_ONE, None, 1.0)
BARE = replace(ONLY_ONE, neighbors=())
INSIDE, OUTSIDE = packed("203.0.113.7"), packed("203.0.114.7")
NETWORK = packed("203.0.113.0/24")


def policies(**prefixes: list[str]) -> Policies:
    return Policies(POLICIES, Guard(), prefixes={name: [packed(one) for one in of] for name, of in prefixes.items()})


def test_the_first_list_of_the_file_decides_in_whatever_order_they_claim():
    assert policies().wanted(INSIDE, ["second", "first"]) is FIRST
    assert policies().wanted(INSIDE, ["unknown", "second"]) is SECOND
    assert policies().wanted(INSIDE, ["unknown"]) is None


def test_a_list_without_a_next_hop_of_the_family_claims_nothing_of_it():
    assert policies().refusal(packed("2001:db8::7"), "first") == "family"
    assert policies().refusal(packed("2001:db8::7"), "second") is None
    assert policies().refusal(INSIDE, "unknown") == "family"


def test_a_network_covers_what_all_of_its_neighbors_get():
    found = policies(second=["203.0.113.0/24"])
    assert found.wanted(INSIDE, ["first"]) is None
    assert found.wanted(OUTSIDE, ["first"]) is FIRST
    assert found.covering(INSIDE, ["first"]) == [NETWORK]
    assert found.covering(OUTSIDE, ["first"]) == []
    assert found.covering(INSIDE, ["unknown"]) == []
    assert found.covering(INSIDE, []) == [NETWORK]


def in_views(*lists: Policy, **prefixes: list[str]) -> Policies:
    return Policies(lists, Guard(), prefixes={name: [packed(one) for one in of] for name, of in prefixes.items()})


def test_each_neighbor_gets_the_first_list_that_serves_it():
    found = in_views(FOR_ONE, *POLICIES)
    assert found.audiences == (Audience(("192.0.2.9",)), Audience(("192.0.2.9",), is_except=True))
    wanted = found.wanted(INSIDE, ["first", "one"])
    assert isinstance(wanted, PerView)
    assert wanted.by_view == (BARE, FIRST)
    assert found.wanted(INSIDE, ["one", "first"]) is wanted, "equal wishes are one object"
    last = in_views(*POLICIES, FOR_ONE).wanted(INSIDE, ["first", "one"])
    assert isinstance(last, PerView)
    assert last.by_view == (FIRST, FIRST)


def test_lists_that_name_the_same_neighbors_or_none_make_one_view():
    assert in_views(*POLICIES).audiences == (EVERYONE,)
    assert in_views(FOR_ONE).audiences == (Audience(("192.0.2.9",)),)
    assert in_views(FOR_ONE).wanted(INSIDE, ["one"]) is ONLY_ONE
    two = Policy("two", replace(ONLY_ONE, neighbors=("192.0.2.9", "192.0.2.8")), None, 1.0)
    assert in_views(FOR_ONE, two).audiences == (Audience(("192.0.2.9",)), Audience(("192.0.2.8",)))


def test_a_network_for_one_neighbor_covers_there_alone():
    found = in_views(*POLICIES, FOR_ONE, one=["203.0.113.0/24"])
    wanted = found.wanted(INSIDE, ["first"])
    assert isinstance(wanted, PerView)
    assert wanted.by_view == (None, FIRST)
    assert found.wanted(INSIDE, ["one"]) is None
    assert found.covering(INSIDE, ["one"]) == [NETWORK]
    assert found.covering(INSIDE, []) == [NETWORK]


def test_of_several_views_each_has_its_own_network():
    found = in_views(*POLICIES, FOR_ONE, first=["203.0.112.0/20"], one=["203.0.113.0/24"])
    assert found.wanted(INSIDE, ["first"]) is None
    assert found.covering(INSIDE, ["first"]) == [NETWORK, packed("203.0.112.0/20")]
    assert found.covering(INSIDE, ["one"]) == [NETWORK]
    beside = in_views(*POLICIES, FOR_ONE, one=["203.0.113.0/24"])
    assert beside.covering(INSIDE, ["first"]) == [NETWORK], "others have the route of the address"


def test_a_static_prefix_of_two_lists_is_the_first_ones_that_serves_a_neighbor():
    found = in_views(FOR_ONE, *POLICIES, one=["203.0.113.0/24"], first=["203.0.113.0/24"])
    wanted = found.statics.announced[NETWORK]
    assert isinstance(wanted, PerView)
    assert wanted.by_view == (BARE, FIRST)


def test_a_change_is_what_some_neighbor_sees():
    before, after = in_views(*POLICIES), in_views(*POLICIES, FOR_ONE)
    assert before.is_same(before.wanted(INSIDE, ["first"]), after, after.wanted(INSIDE, ["first"]))
    assert not before.is_same(None, after, after.wanted(INSIDE, ["one"]))
    assert before.is_same(None, after, None)


def test_of_nested_networks_the_longest_is_named():
    found = policies(second=["203.0.112.0/20", "203.0.113.0/24"])
    assert found.statics.covering(INSIDE) == NETWORK


def test_the_longest_network_that_an_address_lies_in_is_looked_for_among_all_lengths():
    found = policies(second=["203.0.112.0/20", "203.0.113.0/24"])
    assert found.statics.covering(OUTSIDE) == packed("203.0.112.0/20")
    assert found.wanted(OUTSIDE, ["first"]) is None


def test_a_static_address_is_announced_with_its_own_attributes():
    found = policies(second=["203.0.113.7"])
    assert found.wanted(INSIDE, ["first"]) is SECOND
    assert found.statics.wanted(INSIDE, None) is SECOND


def test_a_prefix_of_two_lists_is_the_first_ones():
    found = policies(first=["203.0.113.0/24"], second=["203.0.113.0/24", "2001:db8::/32"])
    assert found.statics.announced == {NETWORK: FIRST, packed("2001:db8::/32"): SIX}
    assert found.static_owners() == {NETWORK: "first", packed("2001:db8::/32"): "second"}


def test_what_is_refused_is_named_with_its_reason_and_another_list_may_have_it():
    found = Policies(
        [Policy("first", None, SIX, 1.0), POLICIES[1]],
        Guard(),
        prefixes={"first": [NETWORK, packed("127.0.0.0/8")], "second": [NETWORK]},
    )
    assert found.refused == [
        RefusedPrefix(NETWORK, "first", "family"),
        RefusedPrefix(packed("127.0.0.0/8"), "first", "loopback"),
    ]
    assert found.static_owners() == {NETWORK: "second"}


@pytest.mark.parametrize(
    ("before", "after", "added", "gone"),
    [
        ({}, {NETWORK: FIRST}, [NETWORK], []),
        ({NETWORK: FIRST}, {}, [], [NETWORK]),
        ({NETWORK: FIRST}, {NETWORK: SECOND}, [NETWORK], []),
        ({NETWORK: FIRST}, {NETWORK: FIRST}, [], []),
    ],
)
def test_a_difference_leads_from_one_set_to_the_other(before, after, added, gone):
    assert Statics(after).difference(Statics(before)) == (added, gone)


def test_feeds_are_aggregated_once_the_guard_has_judged_each():
    """What the guard refuses costs the half beside it nothing, and what the file itself says stays as it is written."""
    halves = [packed("126.0.0.0/8"), packed("127.0.0.0/8")]
    feed = [packed("11.0.0.0/9"), packed("11.128.0.0/9"), packed("11.1.0.0/16"), *halves]
    made = Policies(
        POLICIES, Guard(), prefixes={"first": [packed("12.0.0.0/9"), packed("12.128.0.0/9")]}, feeds={"first": feed}
    )
    assert set(made.statics.announced) == {
        packed("12.0.0.0/9"),
        packed("12.128.0.0/9"),
        packed("11.0.0.0/8"),
        packed("126.0.0.0/8"),
    }
    assert [found.prefix for found in made.refused] == [packed("127.0.0.0/8")]
    assert made.static_owners()[packed("11.0.0.0/8")] == "first"


def test_decisions_are_told_for_each_view():
    found = in_views(FOR_ONE, *POLICIES, one=["203.0.113.0/24"])
    one, others = found.audiences
    covered, free = found.decisions(INSIDE, ["first", "one"])
    assert covered == ViewDecision(0, one, "one", None, NETWORK)
    assert free == ViewDecision(1, others, "first", FIRST, None)
    assert [each.list for each in found.decisions(OUTSIDE, ["one"])] == ["one", None]
    itself = found.decisions(NETWORK, ())
    assert [(each.list, each.wanted) for each in itself] == [("one", BARE), (None, None)]
    beside = found.decisions(INSIDE, ())
    assert [(each.wanted, each.covered_by) for each in beside] == [(None, NETWORK), (None, None)]
    assert in_views(*POLICIES).decisions(INSIDE, ["first"]) == [], "with one view there is nothing to tell apart"


def test_a_peer_that_is_named_twice_is_one_neighbor():
    twice = replace(FOR_ONE, ipv4=replace(ONLY_ONE, neighbors=("192.0.2.9", "192.0.2.9")))
    assert in_views(twice, *POLICIES).audiences == in_views(FOR_ONE, *POLICIES).audiences


def budgeted(budgets, *lists, **prefixes):
    statics = {name: [packed(one) for one in of] for name, of in prefixes.items()}
    return Policies(lists, Guard(), prefixes=statics, budgets=budgets)


def test_a_neighbor_with_a_budget_is_a_view_of_its_own():
    nine, eight = Audience(("192.0.2.9",)), Audience(("192.0.2.8",))
    found = budgeted({"192.0.2.9": 5}, *POLICIES)
    assert found.audiences == (nine, Audience(("192.0.2.9",), is_except=True))
    assert found.budgets == {"192.0.2.9": 5}
    wanted = found.wanted(INSIDE, ["first"])
    assert isinstance(wanted, PerView)
    assert wanted.by_view == (FIRST, FIRST), "the same for all: what a budget has room for isn't decided here"
    two = budgeted({"192.0.2.9": 5, "192.0.2.8": 5}, *POLICIES)
    assert two.audiences == (nine, eight, Audience(("192.0.2.8", "192.0.2.9"), is_except=True))
    assert not in_views(*POLICIES).is_divided


def test_the_only_view_may_have_a_budget():
    found = budgeted({"192.0.2.9": 5}, FOR_ONE, one=["203.0.113.0/24"])
    assert found.audiences == (Audience(("192.0.2.9",)),)
    assert found.is_divided
    wanted = found.wanted(OUTSIDE, ["one"])
    assert isinstance(wanted, PerView)
    assert wanted.by_view == (BARE,)
    assert found.wanted(INSIDE, ["one"]) is None, "a network covers it"
    [decision] = found.decisions(OUTSIDE, ["one"])
    assert (decision.list, decision.wanted) == ("one", BARE)


def test_a_budget_of_whom_no_list_serves_is_none():
    found = budgeted({"192.0.2.7": 5}, FOR_ONE)
    assert (found.audiences, found.budgets, found.is_divided) == ((Audience(("192.0.2.9",)),), {}, False)
    assert found.wanted(INSIDE, ["one"]) is ONLY_ONE


def test_a_list_of_ipv6_alone_makes_a_view_of_its_neighbors():
    six = packed("2001:db8::7")
    only = Policy("six", None, replace(SIX, neighbors=("192.0.2.9",)), 1.0)
    found = in_views(only, POLICIES[0], six=["2001:db8::/32", "2001:db8::/48"])
    assert found.audiences == (Audience(("192.0.2.9",)), Audience(("192.0.2.9",), is_except=True))
    assert [network for network, _ in found.statics.networks_of(six)] == [
        packed("2001:db8::/48"),
        packed("2001:db8::/32"),
    ]
    assert found.covering(six, ["six"]) == [packed("2001:db8::/48")]
    assert found.statics.networks_of(packed("2001:db9::7")) == []


def test_networks_of_one_family_say_nothing_of_the_other():
    found = policies(second=["203.0.113.0/24", "2001:db8::/32", "203.0.113.9"])
    assert len(found.statics) == 3
    assert found.statics.covering(packed("2001:db8::1")) == packed("2001:db8::/32")
    assert found.statics.covering(INSIDE) == NETWORK
    assert found.wanted(packed("2001:db8::1"), ["second"]) is None
    assert found.wanted(packed("2001:db9::1"), ["second"]) is SIX
    assert not Statics({})
