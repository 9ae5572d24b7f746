"""Guard, caps and rate: who comes in, and who gives way."""

from dataclasses import replace

import pytest

from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.model import BY_HAND, Attributes, Change, Claim, DnsTtl
from dnstap_bgp.core.routes.admission import CROWDED_OWNERS_MAX
from dnstap_bgp.core.routes.claim_columns import owner_key
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import CLAIMS_PER_ROUTE, Caps, Policies
from dnstap_bgp.core.routes.table import RouteTable
from tests.core.routes.tables import (
    FOUR_ATTRIBUTES,
    POLICY,
    SECOND,
    A,
    B,
    capped,
    entries,
    host,
    packed,
    revise_all,
    sighting,
)


def replayed(table, sightings, now=0.0):
    """The sightings one by one, and what is announced after each."""
    announced: dict[bytes, Attributes | None] = {}
    for number, seen in enumerate(sightings):
        announced |= dict(table.observe([seen], now + number))
    return {prefix for prefix, attributes in announced.items() if attributes is not None}


def test_routes_max_refuses_newcomers_only():
    table = capped(routes_max=1)
    table.observe([sighting(A)], 0.0)
    assert table.observe([sighting(B)], 0.0) == []
    assert table.observe([sighting(A, b"b.example")], 0.0) == []
    assert (len(table), len(table.claims), table.admission.refusals.refused["routes"]) == (1, 2, 1)


def test_over_the_cap_the_least_recently_seen_goes():
    table = capped(routes_max=3, evicts=True)
    seen = [host(1), host(2), host(3), host(1), host(4), host(5)]
    assert replayed(table, [sighting(address, b"%d.example" % address[-1]) for address in seen]) == {
        host(1),
        host(4),
        host(5),
    }
    assert table.admission.refusals.evicted == {"routes": 2}


def test_within_a_second_the_least_recently_seen_goes_too():
    table = capped(routes_max=3, evicts=True)
    for number, address in enumerate([host(1), host(2), host(3), host(1), host(4)]):
        table.observe([sighting(address)], number / 10)
    assert {address for number in (1, 2, 3, 4) for address in table.claims.addresses(number)} == {
        host(1),
        host(3),
        host(4),
    }


def test_a_list_that_is_configured_no_more_hides_nobody_who_was_seen_least_recently():
    """A list that had claims once is known for good: with none it is not the one furthest above its share."""
    table = capped(SECOND, routes_max=200, evicts=True)
    table.observe([sighting(host(0), b"n0.example", "second")], 0.0)
    table.configure(Policies([POLICY], Guard(), Caps(routes_max=200, evicts=True)))
    revise_all(table, {b"n0.example": ("default",)}, 1.0)
    assert table.claims.routes_of("second") == 0
    for number in range(1, 200):
        table.observe([sighting(host(number), b"n%d.example" % number)], 1.0 + number)
    for number in range(20):
        table.observe([sighting(host(200 + number), b"m%d.example" % number)], 2000.0)
        assert not table.claims.of_address(host(number))
    assert len(table) == 200


def test_over_the_cap_the_newcomer_is_refused():
    table = capped(routes_max=2)
    assert replayed(table, [sighting(host(number)) for number in range(1, 5)]) == {host(1), host(2)}
    assert table.admission.refusals.refused == {"routes": 2}


@pytest.mark.parametrize(("evicts", "held"), [(True, {4, 5}), (False, {1, 2})])
def test_a_list_has_its_own_cap(evicts, held):
    table = capped(replace(POLICY, routes_max=2), SECOND, evicts=evicts)
    table.observe([sighting(host(100), list_name="second")], 0.0)
    announced = replayed(table, [sighting(host(number), b"%d.example" % number) for number in range(1, 6)], 1.0)
    assert announced == {host(number) for number in held}
    assert (table.claims.routes_of("default"), table.claims.routes_of("second")) == (2, 1)


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
    assert (len(table), len(table.claims)) == (2000, 2000)
    assert set(table.claims.addresses(5)) == {host(number) for number in range(1000, 3000) if number % 256 == 5}
    table.expire(1000.0, 10_000)
    assert (len(table), len(table.claims)) == (0, 0)
    assert not table.claims.by_name._dense


def test_new_routes_have_a_rate_and_refreshes_have_none():
    table = capped(new_routes_per_s=2.0)
    assert len(table.observe([sighting(host(number)) for number in range(10)], 5.0)) == 2
    assert len(table.observe([sighting(host(number)) for number in range(10)], 5.5)) == 1
    assert len(table.observe([sighting(host(number)) for number in range(10)], 60.0)) == 2
    assert table.admission.refusals.refused["rate"] == 8 + 7 + 5


def test_a_flood_over_the_cap_leaves_nothing_behind():
    table = capped(routes_max=100, evicts=True)
    for number in range(20_000):
        table.observe([sighting(host(number), b"%d.example" % (number % 777))], number / 1000)
    assert len(table) == len(table.claims) == 100
    assert entries(table) <= 200
    changes, more = table.expire(1e6, 1000)
    assert (len(changes), more) == (100, False)
    assert (len(table), len(table.claims), entries(table)) == (0, 0, 0)


def test_trim_brings_the_table_under_a_cap_that_was_lowered():
    table = capped(POLICY, SECOND)
    table.observe([sighting(host(number)) for number in range(10)], 0.0)
    table.observe([sighting(host(number), list_name="second") for number in range(20, 30)], 5.0)
    lowered = Policies([POLICY, replace(SECOND, routes_max=8)], Guard(), Caps(routes_max=12))
    table.configure(lowered)
    steps = trimmed(table, 1)
    assert max(map(len, steps)) == 1
    assert sum(map(len, steps)) == 8
    assert (len(table), table.claims.routes_of("default"), table.claims.routes_of("second")) == (12, 6, 6)


def test_trim_brings_a_list_under_its_own_cap_alone():
    table = capped(POLICY, SECOND)
    table.observe([sighting(host(number)) for number in range(10)], 0.0)
    table.observe([sighting(host(number), list_name="second") for number in range(20, 30)], 5.0)
    table.configure(Policies([POLICY, replace(SECOND, routes_max=8)], Guard(), Caps()))
    trimmed(table, 100)
    assert (table.claims.routes_of("default"), table.claims.routes_of("second")) == (10, 8)
    assert table.admission.refusals.evicted == {"list-routes": 2}


@pytest.mark.parametrize("cap", ["list", "all"])
def test_trim_ends_no_more_than_is_over_a_cap(cap):
    table = capped()
    table.observe([sighting(host(number), b"n%d.example" % number) for number in range(203)], 0.0)
    of_list = replace(POLICY, routes_max=200 if cap == "list" else None)
    table.configure(Policies([of_list], Guard(), Caps(routes_max=200 if cap == "all" else 1000)))
    trimmed(table, 100)
    assert len(table) == 200


def test_trim_leaves_a_list_that_is_no_longer_configured_to_the_revision():
    table = capped(POLICY, SECOND)
    table.observe([sighting(host(number), list_name="second") for number in range(20, 30)], 5.0)
    table.configure(Policies([POLICY], Guard(), Caps()))
    trimmed(table, 100)
    assert table.claims.routes_of("second") == 10


@pytest.mark.parametrize("addresses", [20, 1000])  # a chain of names, and a long one, which lies in a dict
def test_trim_brings_each_name_under_a_cap_that_was_lowered(addresses):
    table = capped(POLICY, SECOND)
    for number in range(addresses):
        table.observe([sighting(host(number)), sighting(host(number), list_name="second")], number / 1000)
    table.observe([sighting(host(addresses + n), b"other.example") for n in range(3)], 0.0)
    table.configure(Policies([POLICY, SECOND], Guard(), Caps(name_routes_max=3)))
    steps = trimmed(table, 7)
    assert max(map(len, steps)) <= 7
    held = {
        claim.address
        for shard in range(256)
        for one in table.claims.addresses(shard)
        for claim in table.claims.of_address(one)
    }
    assert held == {host(number) for number in range(addresses - 3, addresses + 3)}, "the last three of each name"
    assert len(table.claims) == 9
    assert table.admission.refusals.evicted == {"name-routes": 2 * addresses - 6}


def trimmed(table, at_most):
    """The changes of each step."""
    steps, start = [], 0
    while start is not None:
        changes, start = table.trim(100.0, at_most, start)
        steps.append(changes)
    return steps


def test_refusals_are_told_once_each_with_an_example():
    table = capped(routes_max=1)
    for _ in range(3):
        table.observe([sighting(A), sighting(B), sighting(packed("127.0.0.1"))], 0.0)
    told = {refusal.reason: (refusal.times, refusal.address) for refusal in table.admission.refusals.take()}
    assert told == {"routes": (3, B), "loopback": (3, packed("127.0.0.1"))}
    assert table.admission.refusals.take() == []
    table.observe([sighting(B)], 0.0)
    assert [refusal.times for refusal in table.admission.refusals.take()] == [1]


# -- fairness among owners

RULES = RuleSet.build(
    [
        (
            "default",
            [Rule(b"attacker.example"), Rule(b"bystander.example"), Rule(b"cdn.example"), Rule(b"other.example")],
        ),
        ("second", [Rule(b"second.example"), Rule(b"third.example")]),
    ]
)


def fair(routes_max=100_000, policies=(POLICY, SECOND), *, evicts=True, **caps):
    table = capped(*policies, routes_max=routes_max, evicts=evicts, **caps)
    table.owner_of = RULES.owner
    return table


def numbered(number):
    return (0x0B000000 + number).to_bytes(4)


def observed(table, numbers, name, list_name="default", now=0.0):
    """One address for each number, under the name or (`%d` in it) a subdomain for each."""
    table.observe([(numbered(n), list_name, name % n if b"%" in name else name, 300) for n in numbers], now)


def held_of(table, owner, list_name="default"):
    return table.claims.owners[owner_key(list_name, owner)]


@pytest.mark.parametrize("rule_routes_max", [12_500, 1_000_000], ids=["refused by its rule", "evicts itself"])
def test_the_owner_of_one_listed_domain_takes_nobody_elses_routes(rule_routes_max):
    """The attack: 400 answers for subdomains of a listed domain with 250 addresses each, at the default caps."""
    table = fair(rule_routes_max=rule_routes_max, name_routes_max=256)
    observed(table, range(500), b"www%d.bystander.example")
    for answer in range(400):
        observed(table, range(1000 + 250 * answer, 1250 + 250 * answer), b"r%d.attacker.example" % answer, now=1.0)
    assert held_of(table, b"bystander.example") == 500
    assert held_of(table, b"attacker.example") == min(rule_routes_max, 99_500)
    assert not any(table.wanted(numbered(n)) is None for n in range(500))


def test_a_list_of_a_content_network_loses_nothing():
    table = fair(rule_routes_max=12_500)
    observed(table, range(3000), b"edge%d.cdn.example")
    for start in range(10_000, 150_000, 250):
        observed(table, range(start, start + 250), b"r%d.attacker.example", now=float(start))
    assert held_of(table, b"cdn.example") == 3000
    assert table.admission.refusals.evicted == {}


def test_nothing_is_evicted_while_there_is_room():
    table = fair(routes_max=100, policies=(POLICY, SECOND))
    observed(table, range(100), b"a%d.attacker.example")
    assert len(table) == 100, "one owner of one list may hold all of it"
    assert table.admission.refusals.evicted == {}


def test_a_newcomer_whose_owner_is_the_largest_makes_room_by_itself():
    table = fair(routes_max=100)
    observed(table, range(10), b"a%d.bystander.example", now=0.0)
    observed(table, range(10, 100), b"a%d.attacker.example", now=1.0)
    for number in range(200, 400):
        observed(table, [number], b"a%d.attacker.example", now=2.0 + number)
    assert held_of(table, b"bystander.example") == 10
    assert held_of(table, b"attacker.example") == 90
    assert table.wanted(numbered(399)) is not None


def test_a_small_newcomer_takes_from_the_largest_the_least_recently_seen():
    table = fair(routes_max=100)
    observed(table, range(90), b"a%d.attacker.example", now=0.0)
    observed(table, range(90, 100), b"a%d.bystander.example", now=0.0)
    observed(table, [n for n in range(90) if n != 7], b"a%d.attacker.example", now=1.0)
    observed(table, [500], b"a%d.other.example", now=2.0)
    assert table.wanted(numbered(7)) is None
    assert (held_of(table, b"attacker.example"), held_of(table, b"bystander.example")) == (89, 10)


def test_a_list_comes_to_its_share_at_the_cost_of_the_one_above_its_own():
    table = fair(routes_max=100)
    for number in range(100):
        observed(table, [number], b"a%d.attacker.example" if number % 2 else b"a%d.bystander.example")
    for number in range(200, 300):
        observed(table, [number], b"a%d.second.example" if number % 2 else b"a%d.third.example", "second", 1.0)
    # From there on its own owners are the largest.
    assert (table.claims.routes_of("default"), table.claims.routes_of("second")) == (50, 50)
    for number in range(300, 400):
        observed(table, [number], b"a%d.second.example", "second", 2.0 + number)
    assert 45 <= table.claims.routes_of("default") <= 50


def test_in_a_large_table_every_newcomer_takes_from_the_list_above_its_share():
    """Which list that is counts for several newcomers there, and the largest owner of another list loses nothing."""
    table = fair(routes_max=3000)
    observed(table, range(1000), b"a%d.second.example", "second")
    for number in range(2000):
        observed(table, [10_000 + number], b"www.%d.example" % number)
    for number in range(20):
        observed(table, [20_000 + number], b"a.new%d.example" % number, "second", now=1.0)
    assert (table.claims.routes_of("default"), held_of(table, b"second.example", "second")) == (1980, 1000)
    for number in range(20, 600):
        observed(table, [20_000 + number], b"a.new%d.example" % number, "second", now=1.0)
    assert 1495 <= table.claims.routes_of("default") <= 1500, "and no more than what is above its share"


def test_the_cap_of_a_rule_refuses_newcomers_and_evicts_nothing_that_was_restored():
    table = fair(rule_routes_max=10)
    table.adopt([Claim(numbered(n), "default", b"a%d.attacker.example" % n, 0.0, 0.0, 100.0) for n in range(15)], 1.0)
    assert held_of(table, b"attacker.example") == 15
    observed(table, [20], b"new.attacker.example", now=2.0)
    observed(table, range(15), b"a%d.attacker.example", now=2.0)
    observed(table, [21], b"new.bystander.example", now=2.0)
    assert table.wanted(numbered(20)) is None
    assert table.admission.refusals.refused == {"rule-routes": 1}
    assert (len(table), table.admission.refusals.evicted) == (16, {})
    start = 0
    while start is not None:
        changes, start = table.trim(3.0, 100, start)
        assert changes == []


def test_more_names_on_an_address_of_its_owner_are_no_more_routes():
    table = fair(rule_routes_max=10)
    for number in range(30):
        observed(table, range(10), b"n%d.attacker.example" % number)
    assert held_of(table, b"attacker.example") == 10
    assert len(table.claims) == 300
    assert table.admission.refusals.refused == {}


def test_what_is_added_by_hand_is_no_rules():
    table = fair(rule_routes_max=2)
    for number in range(5):
        assert table.add(Claim(numbered(number), "default", BY_HAND, 0.0, 0.0, 10.0), 0.0)[1] is None


def test_owners_near_the_cap_of_their_rule_are_named():
    table = fair(rule_routes_max=10)
    observed(table, range(7), b"a%d.attacker.example")
    assert table.admission.crowded_owners() == []
    observed(table, range(8), b"a%d.attacker.example")
    assert table.admission.crowded_owners() == [("default", b"attacker.example", 8)]
    observed(table, range(20), b"a%d.attacker.example")
    assert table.admission.crowded_owners() == [("default", b"attacker.example", 10)]
    table.expire(1000.0, 1000)
    table.admission.crowded_owners()
    assert table.admission.crowded_owners() == []


def test_other_rules_make_other_owners_of_what_is_held():
    table = fair()
    observed(table, range(10), b"a.attacker.example")
    observed(table, range(5), b"b.attacker.example")
    after = RuleSet.build([("default", [Rule(b"a.attacker.example"), Rule(b"attacker.example")])])
    table.owner_of = after.owner
    names = {b"a.attacker.example": ("default",), b"b.attacker.example": ("default",)}
    revise_all(table, names, 1.0)
    assert (held_of(table, b"a.attacker.example"), held_of(table, b"attacker.example")) == (10, 5)
    table.expire(1000.0, 1000)
    assert (held_of(table, b"a.attacker.example"), held_of(table, b"attacker.example")) == (0, 0)


# -- all claims together


def test_surplus_claims_go_first_where_there_are_the_most():
    table = fair(claims_max=60)
    observed(table, range(30), b"one.bystander.example", now=0.0)
    for number in range(20):
        observed(table, range(2), b"n%d.attacker.example" % number, now=1.0 + number)
    assert len(table.claims) <= 60
    observed(table, range(100, 150), b"a%d.other.example", now=50.0)
    assert len(table) == 80, "a route is refused by the caps of routes only"
    lengths = [len(table.claims.of_address(numbered(n))) for n in (*range(30), *range(100, 150))]
    assert min(lengths) == max(lengths) == 1
    assert table.admission.refusals.evicted.keys() == {"claims"}


def test_the_cap_of_claims_costs_no_route_and_no_other_attributes():
    table = fair(policies=(POLICY, SECOND), claims_max=8)
    for name in (b"a.attacker.example", b"b.attacker.example"):
        observed(table, [1], name)
    observed(table, [1], b"a.second.example", "second")
    wanted = table.wanted(numbered(1))
    for number in range(50):
        observed(table, [1], b"n%d.second.example" % number, "second", 1.0 + number)
        assert table.wanted(numbered(1)) == wanted
    assert len(table.claims) == 8


def test_claims_over_a_lowered_cap_go_and_no_route_with_them():
    table = fair()
    for name in (b"a.attacker.example", b"b.attacker.example", b"c.attacker.example"):
        observed(table, range(50), name)
    table.configure(Policies([POLICY, SECOND], Guard(), Caps(claims_max=60)))
    trimmed(table, 1000)
    assert (len(table), len(table.claims)) == (50, 60)


def test_an_address_with_the_most_names_gives_way_to_its_own():
    table = fair(claims_max=64)
    for number in range(200):
        observed(table, [1], b"n%d.attacker.example" % number, now=float(number))
        observed(table, [2], b"n%d.bystander.example" % number, now=float(number))
    lengths = sorted(len(table.claims.of_address(numbered(n))) for n in (1, 2))
    assert sum(lengths) <= 64
    assert lengths[0] >= 30


# -- more names on one address than it may have


def shared(**caps):
    """A table whose first list keeps claims for a day, and whose second follows the DNS."""
    work = replace(POLICY, list="work", ttl_s=86_400.0)
    table = capped(work, replace(SECOND, list="web", ttl_s=60.0, dns_ttl=DnsTtl(1.0, 3_600.0, 0.0)), **caps)
    table.owner_of = lambda _list, name: name.partition(b".")[2]
    return table


def attack(table, list_name="web", now=1.0, names=40):
    """An owner of a listed domain points many of its names at somebody else's address; all changes that makes."""
    return [
        change
        for number in range(names)
        for change in table.observe([sighting(A, b"r%d.attacker.example" % number, list_name, 1)], now + number / 100)
    ]


def lists_of(table, name):
    return [claim.list for claim in table.claims.of_address(A) if claim.name == name]


def test_names_of_one_owner_dont_end_the_claims_of_another_list():
    table = shared()
    table.observe([sighting(A, b"v.victim.example", "work")], 0.0)
    assert table.add(Claim(A, "work", BY_HAND, 0.0, 0.0, 7_200.0), 0.5)[1] is None
    assert attack(table) == []
    assert len(table.claims) == CLAIMS_PER_ROUTE
    assert (lists_of(table, b"v.victim.example"), lists_of(table, BY_HAND)) == (["work"], ["work"])
    assert lists_of(table, b"r39.attacker.example") == ["web"]
    assert table.expire(7_000.0, 1_000) == ([], False)
    assert table.wanted(A) == FOUR_ATTRIBUTES


def test_names_of_one_owner_dont_end_the_claims_of_another_owner_of_the_list():
    table = shared()
    table.observe([sighting(A, b"v.victim.example", "work")], 0.0)
    attack(table, "work")
    assert lists_of(table, b"v.victim.example") == ["work"]


def test_owners_that_are_alike_share_an_address():
    table = shared()
    for number in range(40):
        table.observe([sighting(A, b"v%d.victim.example" % number, "work")], number / 100)
    attack(table)
    attack(table, now=2.0)
    lists = [claim.list for claim in table.claims.of_address(A)]
    assert (lists.count("work"), lists.count("web")) == (CLAIMS_PER_ROUTE // 2, CLAIMS_PER_ROUTE // 2)
    assert lists_of(table, b"v39.victim.example") == ["work"], "the least recently seen of the owner goes first"


def test_a_list_with_many_owners_doesnt_end_the_claim_of_another_list():
    table = shared()
    table.owner_of = lambda _list, name: name
    table.observe([sighting(A, b"v.victim.example", "work")], 0.0)
    assert attack(table) == []
    assert lists_of(table, b"v.victim.example") == ["work"]


def test_a_newcomer_finds_its_place_on_an_address_that_one_owner_fills():
    table = shared()
    attack(table)
    table.observe([sighting(A, b"v.victim.example", "work")], 2.0)
    assert lists_of(table, b"v.victim.example") == ["work"]
    assert table.wanted(A) == FOUR_ATTRIBUTES


def test_where_all_was_added_by_hand_a_newcomer_is_refused():
    lists = [replace(POLICY, list=f"l{number}") for number in range(CLAIMS_PER_ROUTE + 1)]
    table = capped(*lists)
    refused = [table.add(Claim(A, one.list, BY_HAND, 0.0, 0.0, 50.0), 0.0)[1] for one in lists]
    assert refused == [None] * CLAIMS_PER_ROUTE + ["full"]
    assert table.observe([sighting(A, list_name="l32")], 1.0) == []
    assert table.admission.refusals.refused == {"crowded": 2}
    assert {claim.name for claim in table.claims.of_address(A)} == {BY_HAND}


@pytest.mark.parametrize("way", ["merge", "adopt"])
def test_what_was_seen_earlier_elsewhere_pushes_out_nothing(way):
    table = shared()
    attack(table, now=100.0)
    before = table.claims.of_address(A)
    old = [Claim(A, "web", b"o%d.attacker.example" % number, 90.0, 90.0, 60.0) for number in range(40)]
    if way == "merge":
        merged = table.merge(old, 101.0, 0.0)
        assert (merged.changes, merged.news, merged.refused) == ([], [], 40)
    else:
        table.adopt(old, 101.0)
    assert table.claims.of_address(A) == before
    assert not table.admission.refusals.refused, "busy addresses of a fleet are nothing to warn of"
    table.merge([old[0]._replace(seen=100.5)], 101.0, 0.0)
    assert lists_of(table, b"o0.attacker.example") == ["web"], "what was seen later comes in"


def test_a_full_address_whose_names_move_to_another_list_keeps_them():
    table = shared()
    table.observe([sighting(A, b"v.victim.example", "work")], 0.0)
    attack(table, "work")
    names = {claim.name for claim in table.claims.of_address(A)}
    revise_all(table, dict.fromkeys(names, ("web",)), now=2.0)
    assert lists_of(table, b"v.victim.example") == ["web"]
    assert {claim.list for claim in table.claims.of_address(A)} == {"web"}


def test_at_the_cap_of_all_claims_the_owner_with_the_most_on_an_address_gives_way():
    table = shared(claims_max=8, evicts=True)
    table.observe([sighting(A, b"v.victim.example", "work")], 0.0)
    table.add(Claim(A, "web", BY_HAND, 0.0, 0.0, 7_200.0), 0.0)
    attack(table, "work")
    assert len(table.claims) == 8
    assert (lists_of(table, b"v.victim.example"), lists_of(table, BY_HAND)) == (["work"], ["web"])


def test_at_the_cap_of_all_claims_a_newcomer_ends_no_claim_of_another_owner_on_its_address():
    table = shared(claims_max=2, evicts=True)
    table.observe([sighting(A, b"v.victim.example", "work")], 0.0)
    assert attack(table) == []
    assert (lists_of(table, b"v.victim.example"), len(table.claims)) == (["work"], 2)


def test_a_peers_claim_that_takes_the_place_of_another_on_its_address_leaves_what_is_wanted():
    table = fair(policies=(POLICY, SECOND), claims_max=2)
    address = numbered(1)
    table.observe([(address, "default", b"a.example", 60), (address, "second", b"b.example", 60)], 0.0)
    merged = table.merge([Claim(address, "default", b"c.example", 1.0, 1.0, 0.0)], 1.0, 0.1)
    assert len(table.claims) == 2
    assert len(merged.news) == 1
    assert dict(merged.changes).get(address, POLICY.ipv4) == table.wanted(address) == POLICY.ipv4


def test_newcomers_that_a_cap_refuses_use_up_nothing_of_the_rate():
    """An owner at the cap of its rule at ten times the rate, whose newcomers came in before everybody else's."""
    table = fair(rule_routes_max=100, new_routes_per_s=100.0)
    for step in range(200):
        now = step / 100
        observed(table, range(1000 + 10 * step, 1010 + 10 * step), b"a%d.attacker.example", now=now)
        if step % 2:
            observed(table, [step], b"a%d.bystander.example", now=now)
    assert (held_of(table, b"attacker.example"), held_of(table, b"bystander.example")) == (100, 100)
    assert table.admission.refusals.refused["rule-routes"] > 1000


@pytest.mark.parametrize("evicts", [True, False])
def test_an_owner_at_ten_times_the_rate_costs_others_nothing(evicts):
    table = fair(new_routes_per_s=100.0, routes_max=10_000, evicts=evicts)
    for step in range(800):
        observed(table, range(20_000 + 10 * step, 20_010 + 10 * step), b"a%d.attacker.example", now=step / 100)
        if not step % 5:
            observed(table, [step], b"a%d.bystander.example", now=step / 100)
    assert held_of(table, b"bystander.example") == 160
    assert held_of(table, b"attacker.example") + 160 >= 800


def test_without_eviction_a_full_table_uses_up_nothing_of_the_rate():
    table = capped(new_routes_per_s=2.0, routes_max=5)
    table.adopt([Claim(host(number), "default", b"a.example", 0.0, 0.0, 100.0) for number in range(5)], 0.0)
    table.observe([sighting(host(number)) for number in range(10, 20)], 0.0)
    assert table.admission.refusals.refused == {"routes": 10}


def by_hand(table, number, now=0.0, list_name="default", ttl_s=1000.0):
    return table.add(Claim(numbered(number), list_name, BY_HAND, now, now, ttl_s), now)[1]


def held_by_hand(table):
    return sum(
        claim.name == BY_HAND
        for shard in range(256)
        for row in table.claims.of_shard(shard)
        for claim in [table.claims.columns.copy(row)]
    )


@pytest.mark.parametrize("caps", [{"routes_max": 20}, {"name_routes_max": 5}, {"claims_max": 20, "routes_max": 20}])
def test_what_was_added_by_hand_gives_way_to_nobody(caps):
    table = fair(**caps)
    for number in range(10):
        assert by_hand(table, number, now=0.0) is None
    for number in range(100, 300):
        observed(table, [number], b"a%d.attacker.example" if number % 2 else b"n.bystander.example", now=10.0 + number)
        observed(table, [number % 10], b"a%d.attacker.example", now=10.0 + number)
    assert held_by_hand(table) == 10
    assert all(table.wanted(numbered(number)) is not None for number in range(10))


def test_a_table_full_of_what_was_added_by_hand_refuses_newcomers():
    table = fair(routes_max=10, policies=(replace(POLICY, routes_max=5), SECOND))
    assert [
        by_hand(table, number, list_name=name)
        for name in ("default", "second")
        for number in range(100 if name == "second" else 0, 105 if name == "second" else 5)
    ] == [None] * 10
    observed(table, range(20, 30), b"a%d.other.example", now=1.0)
    observed(table, range(30, 40), b"a%d.other.example", "second", now=1.0)
    assert by_hand(table, 50) == "full"
    assert (len(table), held_by_hand(table)) == (10, 10)
    assert table.admission.refusals.refused == {"list-routes": 11, "routes": 10}


def test_a_small_list_at_its_cap_goes_on_taking_newcomers_beside_what_was_added_by_hand():
    """Of its rows a sample of a large table has mostly none, and what ends first of all was added by hand."""
    table = fair(policies=(POLICY, replace(SECOND, routes_max=20)))
    observed(table, range(5_000), b"a%d.other.example")
    for number in range(10_000, 10_005):
        assert by_hand(table, number, list_name="second", ttl_s=10.0) is None
    observed(table, range(20_000, 20_100), b"a%d.other.example", "second", now=1.0)
    assert (table.claims.routes_of("second"), held_by_hand(table)) == (20, 5)
    assert table.admission.refusals.evicted == {"list-routes": 85}
    assert not table.admission.refusals.refused


def test_a_lowered_cap_is_kept_by_a_small_list_whose_claims_were_all_refreshed():
    table = fair(policies=(POLICY, SECOND))
    observed(table, range(20_000), b"a%d.other.example")
    observed(table, range(30_000, 30_200), b"a%d.other.example", "second")
    observed(table, range(30_000, 30_200), b"a%d.other.example", "second", now=20.0)
    table.configure(Policies([POLICY, replace(SECOND, routes_max=50)], Guard(), Caps()))
    trimmed(table, 2_000)
    assert table.claims.routes_of("second") == 50


@pytest.mark.parametrize("evicts", [True, False])
def test_lowered_caps_and_a_start_beside_them_spare_what_was_added_by_hand(evicts):
    claims = [Claim(numbered(n), "default", BY_HAND, 0.0, 0.0, 1000.0) for n in range(30)]
    seen = [Claim(numbered(100 + n), "default", b"a%d.bystander.example" % n, 5.0, 5.0, 100.0) for n in range(30)]
    table = fair(evicts=evicts)
    table.adopt([*claims, *seen], 6.0)
    lowered = Caps(routes_max=20, name_routes_max=7, claims_max=20, evicts=evicts)
    table.configure(Policies([replace(POLICY, routes_max=10), SECOND], Guard(), lowered))
    start: int | None = 0
    for _ in range(1000):
        if start is not None:
            _, start = table.trim(7.0, 64, start)
    assert start is None, "trimming ends where only claims added by hand are left over a cap"
    assert (len(table), held_by_hand(table)) == (30, 30)
    again = RouteTable(table.policies)
    again.adopt([*seen, *claims], 6.0)
    assert held_by_hand(again) == 30


def test_a_newcomer_to_a_full_table_ends_the_claims_of_one_address_only():
    """The attack: addresses with several names each; of random claims 27 had to end before an address was free."""
    table = fair(routes_max=400, claims_max=2000, name_routes_max=1000)
    for turn in range(4):
        for number in range(400):
            observed(table, [number], b"t%d.o%d.example" % (turn, (number * 7 + turn) % 37), now=float(turn))
    assert (len(table), len(table.claims)) == (400, 1600)
    for number in range(1000, 1050):
        observed(table, [number], b"new.owner%d.example" % number, now=10.0 + number)
    assert (len(table), len(table.claims)) == (400, 1600 - 50 * 4 + 50)
    assert table.admission.refusals.evicted == {"routes": 200}


def test_an_address_that_a_small_owner_shares_is_not_taken_for_the_largest_owners():
    """The attack: names of the largest owner on the addresses of everybody else, so that they go in its place."""
    table = fair(routes_max=200, claims_max=2000)
    observed(table, range(100), b"a%d.attacker.example", now=1.0)
    for number in range(100, 200):
        observed(table, [number], b"a%d.bystander.example", now=0.0)
        observed(table, [number], b"a%d.attacker.example", now=0.0)
    for number in range(1000, 1040):
        observed(table, [number], b"new.owner%d.example" % number, now=10.0 + number)
    assert held_of(table, b"bystander.example") == 100


def test_at_a_lists_cap_other_lists_claims_on_the_address_stay():
    table = fair(policies=(replace(POLICY, routes_max=10), SECOND))
    for number in range(10):
        observed(table, [number], b"a%d.one.example", now=0.0)
        observed(table, [number], b"b%d.one.example", now=0.0)
        observed(table, [number], b"a%d.one.example", "second", now=0.0)
    observed(table, [50], b"new.other.example", now=5.0)
    assert (table.claims.routes_of("default"), table.claims.routes_of("second")) == (10, 10)
    assert (len(table), len(table.claims)) == (11, 30 - 2 + 1)


def test_an_owner_is_named_until_it_is_far_from_the_cap_of_its_rule():
    """Where eight of ten are near, four are told still, and three are not."""
    table = fair(rule_routes_max=10)
    observed(table, range(4), b"a%d.attacker.example", now=0.0)
    observed(table, [4], b"a%d.attacker.example", now=10.0)
    observed(table, range(5, 8), b"a%d.attacker.example", now=20.0)
    told = []
    for now in (20.0, 105.0, 115.0):
        table.expire(now, 100)
        told.append([held for _, _, held in table.admission.crowded_owners()])
    assert told == [[8], [4], []]


def test_at_the_cap_of_a_name_what_a_peer_saw_at_the_same_time_pushes_out_nothing():
    table = capped(name_routes_max=1, evicts=True)
    claims = [Claim(host(number), "default", b"a.example", 90.0, 90.0, 100.0) for number in (1, 2)]
    for one in claims:
        table.merge([one], 95.0, 0.0)
    assert [number for number in (1, 2) if table.wanted(host(number))] == [1]
    table.merge([claims[1]._replace(seen=90.5)], 95.0, 0.0)
    assert [number for number in (1, 2) if table.wanted(host(number))] == [2]


def test_a_list_that_is_no_longer_configured_has_no_share():
    table = fair(routes_max=10)
    observed(table, range(6), b"a%d.attacker.example")
    observed(table, range(10, 14), b"a%d.second.example", "second")
    table.configure(Policies([POLICY], Guard(), Caps(routes_max=10, evicts=True)))
    for number in range(20, 23):
        observed(table, [number], b"a%d.bystander.example", now=float(number))
    assert (table.claims.routes_of("default"), table.claims.routes_of("second")) == (9, 1)


def test_a_list_has_no_more_of_a_share_than_its_own_cap():
    """Of ten a list that may hold two is above its share with three; the other one has five."""
    table = fair(routes_max=10, policies=(replace(POLICY, routes_max=7), SECOND))
    observed(table, range(4), b"a%d.attacker.example")
    observed(table, range(10, 16), b"a%d.second.example", "second")
    table.configure(Policies([replace(POLICY, routes_max=2), SECOND], Guard(), Caps(routes_max=10, evicts=True)))
    observed(table, [30], b"a%d.third.example", "second", now=9.0)
    assert (table.claims.routes_of("default"), table.claims.routes_of("second")) == (3, 7)


@pytest.mark.parametrize("routes", [CROWDED_OWNERS_MAX + 1])
def test_so_many_crowded_owners_are_named(routes):
    table = fair(rule_routes_max=1)
    table.owner_of = lambda _list, name: name
    observed(table, range(routes), b"a%d.attacker.example")
    assert len(table.admission.crowded_owners()) == CROWDED_OWNERS_MAX == 64


def test_at_a_cap_that_was_lowered_far_a_newcomer_ends_so_many_and_is_refused():
    """The rest is for the trimming that follows a reload: one sighting never takes long."""
    table = capped(routes_max=20, evicts=True)
    for number in range(20):
        table.observe([sighting(host(number), b"%d.example" % number)], float(number))
    table.configure(Policies([POLICY], Guard(), Caps(routes_max=5, evicts=True)))
    changes = table.observe([sighting(host(30))], 30.0)
    assert changes == [Change(host(number), None) for number in range(8)]
    assert (len(table), table.wanted(host(30))) == (12, None)
    assert (table.admission.refusals.refused, table.admission.refusals.evicted) == ({"routes": 1}, {"routes": 8})
