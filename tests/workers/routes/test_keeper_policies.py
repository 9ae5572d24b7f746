"""The keeper with several lists: what a reload, a restart and unknown rules make of what is held."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.model import Attributes, Claim, Policy, Prefix
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Caps, Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.routes.keeper import Keeper

A, B = bytes((11, 0, 0, 1)), bytes((11, 0, 0, 2))
NETWORK = bytes((11, 0, 0, 0, 8))
HERE, THERE = Attributes(bytes((192, 0, 2, 1))), Attributes(bytes((192, 0, 2, 2)))
ONE, TWO = Policy("one", HERE, None, 100.0), Policy("two", THERE, None, 100.0)


def rule_set(**lists: str) -> RuleSet:
    return RuleSet.build([(name, [Rule(rule.encode()) for rule in rules.split()]) for name, rules in lists.items()])


def policies(*found: Policy, **prefixes: list[Prefix]) -> Policies:
    return Policies(found or (ONE, TWO), Guard(), prefixes=prefixes)


@pytest.fixture
def keeper() -> Keeper:
    return Keeper(RouteTable(policies()), Views(), rule_set(one="a.example", two="b.example"))


def see(keeper: Keeper, address: bytes, name: bytes) -> None:
    keeper.observe([(address, found, name, 300) for found in keeper.rules.lists(name)], keeper.rules)


def lines(keeper: Keeper) -> Iterator[tuple[Prefix, bytes | None]]:
    """What the host is told until nothing waits: (prefix, next-hop or None)."""
    while (batch := keeper.views.sole.take(0, low_latency=False, attribute_changes=True)) is not None:
        keeper.views.sole.answered(batch, done=True)
        keeper.views.sole.settle(batch)
        for prefix in batch.prefixes:
            yield prefix, batch.transition.wanted.next_hop if batch.transition.wanted else None


def test_a_network_comes_before_what_it_covers_goes_and_goes_after_it_is_back(keeper: Keeper):
    see(keeper, A, b"a.example")
    list(lines(keeper))
    keeper.switch(keeper.rules, policies(two=[NETWORK]))
    keeper.revise()
    assert list(lines(keeper)) == [(NETWORK, THERE.next_hop), (A, None)]
    keeper.switch(keeper.rules, policies())
    keeper.revise()
    assert list(lines(keeper)) == [(A, HERE.next_hop), (NETWORK, None)]


def test_an_address_that_is_static_no_more_may_still_be_claimed(keeper: Keeper):
    keeper.switch(keeper.rules, policies(two=[A, B]))
    see(keeper, A, b"a.example")
    keeper.revise()
    assert dict(lines(keeper)) == {A: THERE.next_hop, B: THERE.next_hop}
    keeper.switch(keeper.rules, policies())
    keeper.revise()
    assert dict(lines(keeper)) == {A: HERE.next_hop, B: None}


def test_after_a_restart_networks_are_announced_and_those_of_before_withdrawn(keeper: Keeper):
    gone = bytes((12, 0, 0, 0, 8))
    keeper.recall([(gone, HERE), (NETWORK, HERE), (A, HERE)])
    now = process_clock()
    keeper.table.configure(policies(two=[NETWORK]))
    keeper.adopt([Claim(A, "one", b"a.example", now, now, 100.0)])
    keeper.resync()
    assert dict(lines(keeper)) == {NETWORK: THERE.next_hop, gone: None, A: None}


def test_after_a_restart_a_renamed_list_still_holds_what_it_held(keeper: Keeper):
    now = process_clock()
    old = Claim(A, "former", b"a.example", now, now - 50, 100.0)
    keeper.adopt([old, old._replace(address=B, name=b"nobody.example")])
    assert keeper.table.claims.of_address(A) == [old._replace(list="one")]
    assert keeper.table.claims.of_address(B) == []


def test_what_lists_hold_whose_rules_are_not_known_stays(keeper: Keeper):
    now = process_clock()
    keeper.unknown = frozenset({"two"})
    keeper.adopt([Claim(A, "two", b"gone.example", now, now, 100.0), Claim(B, "one", b"gone.example", now, now, 100.0)])
    assert (len(keeper.table.claims.of_address(A)), len(keeper.table.claims.of_address(B))) == (1, 0)
    assert keeper.revise() == 0
    keeper.switch(keeper.rules, policies())
    assert keeper.revise() == 1


def test_muted_everything_waits(keeper: Keeper):
    keeper.pause(paused=True)
    see(keeper, A, b"a.example")
    assert keeper.views.paused
    assert keeper.views.backlog.live == 1


def test_caps_that_a_reload_lowers_hold_for_what_is_held(keeper: Keeper):
    for host in range(1, 9):
        see(keeper, bytes((11, 0, 0, host)), b"a.example" if host % 2 else b"b.example")
    list(lines(keeper))
    lowered = Policies((ONE, replace(TWO, routes_max=3)), Guard(), Caps(routes_max=4, name_routes_max=2))
    keeper.switch(keeper.rules, lowered)
    assert keeper.revise() == 4
    gone = {prefix for prefix, hop in lines(keeper) if hop is None}
    assert gone == {bytes((11, 0, 0, host)) for host in range(1, 5)}, "the least recently seen of each name"
    assert len(keeper.table) == 4
