"""The keeper: what the table decides reaches the outbox, whatever thread and reload it comes from."""

import threading

import pytest

from dnstap_bgp.core.exabgp.outbox import Outbox
from dnstap_bgp.core.lists.domains import Rule, RuleSet
from dnstap_bgp.core.model import Attributes, Claim, Policy
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policies import Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.routes import keeper as keeper_module
from dnstap_bgp.workers.routes.keeper import Keeper

A, B, C = (bytes((11, 0, 0, host)) for host in (1, 2, 3))
OLD = Attributes(next_hop=bytes((192, 0, 2, 1)))
NEW = Attributes(next_hop=bytes((192, 0, 2, 2)))


def policy(attributes=OLD, ttl_s=100.0):
    return Policy(list="default", ipv4=attributes, ipv6=None, ttl_s=ttl_s)


def policies(attributes=OLD, ttl_s=100.0, protected=()):
    return Policies([policy(attributes, ttl_s)], Guard(protected))


def rule_set(*domains):
    return RuleSet.build([("default", [Rule(domain) for domain in domains])])


def sighting(address, name):
    return (address, "default", name, 300)


@pytest.fixture
def keeper():
    return Keeper(RouteTable(policies()), Outbox(), rule_set(b"a.example", b"b.example"))


def say_all(keeper):
    """Take every line that waits and answer it, as an obliging host does; gives what was said of each prefix."""
    said: dict[bytes, Attributes | None] = {}
    while True:
        with keeper.lock:
            batch = keeper.outbox.take(0, brisk=False, moves=True)
            if batch is None:
                return said
            keeper.outbox.answered(batch, done=True)
            keeper.outbox.settle(batch)
        said |= dict.fromkeys(batch.prefixes, batch.step.wanted)


def test_a_sighting_wakes_the_writer(keeper):
    woken = threading.Event()

    def writer():
        with keeper.lock:
            keeper.work.wait_for(lambda: not keeper.outbox.handed_over, timeout=10)
        woken.set()

    thread = threading.Thread(target=writer)
    thread.start()
    keeper.observe([sighting(A, b"a.example")], keeper.rules)
    thread.join(10)
    assert woken.is_set()
    assert say_all(keeper) == {A: OLD}


def test_a_sighting_of_the_old_rules_is_held_against_the_new_ones(keeper):
    old = keeper.rules
    keeper.switch(rule_set(b"b.example"), policies())
    keeper.observe([sighting(A, b"a.example"), sighting(B, b"b.example")], old)
    assert say_all(keeper) == {B: OLD}


def test_revise_withdraws_and_changes_what_is_held(keeper):
    keeper.observe([sighting(A, b"a.example"), sighting(B, b"b.example")], keeper.rules)
    say_all(keeper)
    keeper.switch(rule_set(b"b.example"), policies(NEW))
    assert keeper.revise() == 1
    assert say_all(keeper) == {A: None, B: NEW}


def test_resync_says_again_what_is_live_and_takes_back_the_rest(keeper):
    now = process_clock()
    live = Claim(A, "default", b"a.example", seen=now - 10, first=now - 50, ttl_s=100.0)
    unlisted = live._replace(address=B, name=b"gone.example")
    expired = live._replace(address=C, seen=now - 200)
    keeper.adopt([live, unlisted, expired])
    keeper.recall([(A, OLD), (B, OLD), (C, NEW)], [])
    keeper.resync()
    assert say_all(keeper) == {A: OLD, B: None, C: None}


def test_a_record_of_what_was_told_may_follow_its_claim(keeper):
    now = process_clock()
    keeper.adopt([Claim(A, "default", b"a.example", seen=now, first=now, ttl_s=100.0)])
    keeper.recall([(A, NEW)], [])
    keeper.resync()
    with keeper.lock:
        assert keeper.outbox.take(0, brisk=False, moves=False) is None, "other attributes are a move, and must wait"
    assert say_all(keeper) == {A: OLD}


def test_without_rules_all_that_was_kept_stays(keeper):
    now = process_clock()
    keeper.unknown = frozenset(["default"])
    keeper.adopt([Claim(A, "default", b"gone.example", seen=now, first=now, ttl_s=100.0)])
    keeper.resync()
    assert say_all(keeper) == {A: OLD}
    keeper.switch(rule_set(), policies(protected=[B]), keeper.unknown)
    assert keeper.revise() == 0
    assert say_all(keeper) == {}


def test_expire_goes_in_steps(keeper, monkeypatch):
    monkeypatch.setattr(keeper_module, "EXPIRE_AT_ONCE", 3)
    now = process_clock()
    addresses = [bytes((11, 0, 113, host)) for host in range(10)]
    keeper.adopt([Claim(each, "default", b"a.example", now - 99.9, now - 99.9, 100.0) for each in addresses])
    keeper.resync()
    say_all(keeper)
    monkeypatch.setattr(keeper_module, "process_clock", lambda: now + 5)
    keeper.expire()
    assert say_all(keeper) == dict.fromkeys(addresses)


def test_walk_copies_all_that_is_held_and_told(keeper, monkeypatch):
    monkeypatch.setattr(keeper_module, "COPY_AT_ONCE", 2)
    addresses = {bytes((11, 0, third, 7)) for third in range(5)} | {A, B}
    keeper.observe([sighting(each, b"a.example") for each in addresses], keeper.rules)
    say_all(keeper)
    claims, told = [], []
    for some_claims, some_told in keeper.walk():
        claims += some_claims
        told += some_told
    assert {claim.address for claim in claims} == addresses == {prefix for prefix, _ in told}
    assert len(claims) == len(addresses)


def test_the_last_save_brings_what_was_refreshed_since_its_record(keeper):
    keeper.observe([sighting(A, b"a.example")], keeper.rules)
    assert len(keeper.dirty()) == 1
    keeper.observe([sighting(A, b"a.example")], keeper.rules)
    assert keeper.dirty() == []
    assert [claim.address for claims in keeper.unrecorded(process_clock() + 10) for claim in claims] == [A]
    assert list(keeper.unrecorded(process_clock() - 1)) == []


def test_news_are_not_lost_to_a_reload_right_behind_them(keeper, monkeypatch):
    merge, others = keeper.table.merge, rule_set(b"a.example", b"c.example")

    def merge_and_reload(*args):
        merged = merge(*args)
        keeper.rules = others  # by another thread, as soon as the lock is free
        return merged

    monkeypatch.setattr(keeper.table, "merge", merge_and_reload)
    now = process_clock()
    merged = keeper.merge([Claim(A, "default", b"a.example", now, now, 100.0)], 0.5)
    assert [claim.address for claim in merged.news] == [A]
