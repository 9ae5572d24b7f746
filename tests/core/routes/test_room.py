"""Guard, caps and rate: who comes in, and who gives way."""

from dataclasses import replace

import pytest

from dnstap_bgp.core.model import Attributes
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policies import Caps, Policies
from tests.core.routes.tables import FOUR_ATTRIBUTES, POLICY, SECOND, A, B, capped, entries, host, packed, sighting


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
    assert (len(table), table.claims, table.refusals.refused["routes"]) == (1, 2, 1)


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
    assert not table.by_name._dense


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
