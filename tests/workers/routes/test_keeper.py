"""The keeper: what the table decides reaches the reconciler, whatever thread and reload it comes from."""

import threading

import pytest

from dnstap_bgp.core.exabgp.grammar import Verb
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.model import (
    BY_HAND,
    Attributes,
    Audience,
    Change,
    Claim,
    Policy,
    ViewPrefix,
    unknown_attributes,
)
from dnstap_bgp.core.routes import admission
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Caps, Policies
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
    return Keeper(RouteTable(policies()), Views(), rule_set(b"a.example", b"b.example"))


def say_all(keeper):
    """Take every line that waits and answer it, as an obliging host does; gives what was said of each prefix."""
    said: dict[bytes, Attributes | None] = {}
    while True:
        with keeper.lock:
            batch = keeper.views.sole.take(0, low_latency=False, attribute_changes=True)
            if batch is None:
                return said
            keeper.views.sole.answered(batch, done=True)
            keeper.views.sole.settle(batch)
        said |= dict.fromkeys(batch.prefixes, batch.transition.wanted)


def test_a_sighting_wakes_the_writer(keeper):
    woken = threading.Event()

    def writer():
        with keeper.lock:
            keeper.work.wait_for(lambda: not keeper.views.sole.handed_over, timeout=10)
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
    keeper.recall([(A, OLD), (B, OLD), (C, NEW)])
    keeper.resync()
    assert say_all(keeper) == {A: OLD, B: None, C: None}


def test_resync_has_routes_said_in_the_order_of_their_addresses(keeper, monkeypatch):
    """Whatever shards they are of, and however few are put at once."""
    monkeypatch.setattr(keeper_module, "RESYNC_AT_ONCE", 2)
    addresses = [bytes((11, 0, number % 3, number)) for number in range(9)]
    now = process_clock()
    keeper.adopt([Claim(address, "default", b"a.example", seen=now, first=now, ttl_s=100.0) for address in addresses])
    keeper.resync()
    assert list(say_all(keeper)) == sorted(addresses)


FIRST = Policy(list="first", ipv4=NEW, ipv6=None, ttl_s=100.0)
D = bytes((11, 0, 0, 4))


@pytest.fixture
def restoring():
    """A keeper of two lists that knows what was announced, and whose claims are not back yet."""
    names = [Rule(b"a.example"), Rule(b"b.example")]
    made = Policies([FIRST, policy()], Guard())
    keeper = Keeper(RouteTable(made), Views(), RuleSet.build([("first", names), ("default", names)]))
    keeper.begin_restore()
    keeper.recall([(A, NEW), (B, NEW), (C, OLD)])
    keeper.end_recall()
    return keeper


def claimed(address, list_name="first", age_s=1.0):
    now = process_clock()
    return Claim(address, list_name, b"a.example", seen=now - age_s, first=now - age_s, ttl_s=100.0)


def test_routes_are_said_while_the_state_file_is_read(restoring):
    assert say_all(restoring) == {}
    restoring.adopt([claimed(A)])
    restoring.observe([sighting(C, b"b.example"), sighting(D, b"b.example")], restoring.rules)
    assert say_all(restoring) == {A: NEW, C: OLD, D: OLD}
    restoring.adopt([claimed(B)])
    restoring.resync()
    assert say_all(restoring) == {B: NEW}


def test_an_end_in_the_middle_of_a_restore_withdraws_nothing(restoring):
    restoring.adopt([claimed(A)])
    restoring.stopping.set()
    restoring.resync()
    assert say_all(restoring) == {A: NEW}
    assert restoring.is_restoring


def test_an_end_in_the_middle_of_what_a_restore_puts_withdraws_nothing(restoring, monkeypatch):
    """Only what all has been put beside could be known to be wanted by nobody."""
    restoring.adopt([claimed(A)])
    end_restore = restoring.views.end_restore

    def end_then():
        restoring.stopping.set()
        return end_restore()

    monkeypatch.setattr(restoring.views, "end_restore", end_then)
    restoring.resync()
    assert say_all(restoring) == {A: NEW}


def test_an_end_in_the_middle_of_a_revision_leaves_the_rest(keeper):
    keeper.observe([sighting(A, b"a.example"), sighting(B, b"b.example")], keeper.rules)
    say_all(keeper)
    keeper.switch(rule_set(b"b.example"), policies(NEW))
    keeper.stopping.set()
    assert keeper.revise() == 0
    assert say_all(keeper) == {}


@pytest.mark.parametrize("are_new", [True, False])
def test_an_end_in_the_middle_of_a_diff_is_heeded_between_rules_and_between_claims(keeper, are_new):
    """A million of either take longer than ExaBGP waits."""
    keeper.observe([sighting(A, b"a.example")], keeper.rules)
    rules = rule_set(b"b.example") if are_new else keeper.rules
    assert keeper.reload_diff(rules, policies(NEW), frozenset()).routes
    keeper.stopping.set()
    assert keeper.reload_diff(rules, policies(NEW), frozenset()) is None


def test_what_is_announced_stays_while_its_claim_is_not_back(restoring):
    """A sighting for the second list comes before the record of the first list's claim."""
    restoring.observe([sighting(A, b"b.example"), sighting(B, b"b.example")], restoring.rules)
    assert say_all(restoring) == {A: NEW, B: NEW}, "as it was"
    restoring.adopt([claimed(A)])
    assert say_all(restoring) == {}
    restoring.resync()
    assert say_all(restoring) == {B: OLD, C: None}, "B has lost the claim that was its first list's"


def test_a_question_about_what_is_back_and_announced_otherwise_has_it_said_again(restoring):
    restoring.adopt([claimed(C, "first")])  # as OLD before the restart
    assert say_all(restoring) == {}
    seen = [(C, "first", b"a.example", 300)]
    assert restoring.ask(seen, restoring.rules, lambda _: restoring.views.progress(C), wait_s=10) == "waiting"
    assert say_all(restoring) == {C: OLD}


def test_attributes_that_nobody_knows_are_not_said_again(restoring):
    unknown = unknown_attributes(D)
    restoring.recall([(D, unknown)])
    restoring.observe([sighting(D, b"b.example")], restoring.rules)
    assert say_all(restoring) == {}


def test_what_is_seen_before_all_announcements_are_known_is_decided_then(keeper):
    keeper.begin_restore()
    keeper.observe([sighting(A, b"a.example"), sighting(B, b"b.example")], keeper.rules)
    assert say_all(keeper) == {}
    keeper.recall([(A, NEW)])
    keeper.end_recall()
    assert say_all(keeper) == {A: NEW, B: OLD}
    keeper.resync()
    assert say_all(keeper) == {A: OLD}


def test_what_the_guard_learns_to_refuse_is_withdrawn_during_a_restore(restoring):
    restoring.observe([sighting(D, b"b.example")], restoring.rules)
    restoring.adopt([claimed(A), claimed(B)])
    assert say_all(restoring) == {A: NEW, B: NEW, D: OLD}
    restoring.switch(restoring.rules, Policies([FIRST, policy()], Guard(protected=[A, D])))
    assert say_all(restoring) == {}
    restoring.end_refused([A, D, bytes((11, 0, 0, 9))])
    assert say_all(restoring) == {A: None, D: None}
    restoring.adopt([claimed(A, age_s=0.0), claimed(C, "default")])
    assert say_all(restoring) == {C: OLD}
    restoring.resync()
    assert say_all(restoring) == {}


def test_an_unknown_address_costs_no_look_at_the_claims_of_a_shard(restoring, monkeypatch):
    restoring.adopt([claimed(A)])
    shards, revise = [], restoring.table.revise

    def noted(shard, *args):
        shards.append(shard)
        return revise(shard, *args)

    monkeypatch.setattr(restoring.table, "revise", noted)
    protected = [A, *(bytes((11, 0, 1, host)) for host in range(30))]
    restoring.switch(restoring.rules, Policies([FIRST, policy()], Guard(protected)))
    restoring.end_refused(protected)
    assert shards == [A[-1]]
    assert say_all(restoring) == {A: None}


NETWORK = bytes((11, 8, 0, 0, 16))
IN_NETWORK = bytes((11, 8, 0, 2))


def with_network(protected=()):
    return Policies([policy()], Guard(protected), prefixes={"default": [NETWORK]})


def test_a_network_around_an_address_that_comes_and_goes_during_a_restore_stays():
    keeper = Keeper(RouteTable(with_network()), Views(), rule_set(b"a.example"))
    keeper.begin_restore()
    keeper.recall([(NETWORK, OLD)])
    keeper.end_recall()
    assert say_all(keeper) == {NETWORK: OLD}
    keeper.switch(keeper.rules, with_network([IN_NETWORK]))
    keeper.switch(keeper.rules, with_network())
    keeper.resync()
    keeper.revise()
    assert say_all(keeper) == {}
    assert keeper.views.announced(NETWORK) == OLD


def test_a_network_that_the_guard_learns_to_refuse_is_withdrawn_during_a_restore():
    keeper = Keeper(RouteTable(with_network()), Views(), rule_set(b"a.example"))
    keeper.begin_restore()
    keeper.recall([(NETWORK, OLD)])
    keeper.end_recall()
    keeper.observe([sighting(A, b"a.example"), sighting(bytes((11, 8, 3, 4)), b"a.example")], keeper.rules)
    assert say_all(keeper) == {NETWORK: OLD, A: OLD}
    keeper.switch(keeper.rules, with_network([IN_NETWORK]))
    keeper.end_refused([IN_NETWORK])
    assert say_all(keeper) == {NETWORK: None, bytes((11, 8, 3, 4)): OLD}
    keeper.switch(keeper.rules, with_network())
    keeper.end_refused([])
    assert say_all(keeper) == {NETWORK: OLD}
    keeper.resync()
    keeper.revise()
    assert say_all(keeper) == {bytes((11, 8, 3, 4)): None}


def test_a_forgotten_address_is_withdrawn_before_its_claims_would_be_back(restoring):
    assert restoring.forget(A, is_name=False) == 0
    assert say_all(restoring) == {A: None}
    restoring.adopt([claimed(A), claimed(B)])
    assert say_all(restoring) == {B: NEW}
    restoring.resync()
    assert say_all(restoring) == {C: None}


def test_a_forgotten_address_that_is_static_stays_during_a_restore():
    static = Policies([policy()], Guard(), prefixes={"default": [A]})
    keeper = Keeper(RouteTable(static), Views(), rule_set(b"a.example"))
    keeper.begin_restore()
    keeper.recall([(A, OLD)])
    keeper.end_recall()
    keeper.forget(A, is_name=False)
    assert say_all(keeper) == {A: OLD}


def test_what_ends_during_a_restore_is_withdrawn_at_its_end(restoring, monkeypatch):
    of_other = claimed(A)._replace(name=b"b.example")
    restoring.adopt([of_other, claimed(B, age_s=99.0)])
    assert say_all(restoring) == {A: NEW, B: NEW}
    assert restoring.forget(b"b.example", is_name=True) == 1
    later = process_clock() + 50
    monkeypatch.setattr(keeper_module, "process_clock", lambda: later)
    restoring.expire()
    assert say_all(restoring) == {}
    restoring.adopt([of_other, claimed(B)])  # forgotten; and a later record of the claim that is over
    restoring.resync()
    restoring.expire()
    assert say_all(restoring) == {A: None, C: None}


def test_what_gives_way_during_a_restore_is_withdrawn_at_its_end(restoring):
    restoring.switch(restoring.rules, Policies([FIRST, policy()], Guard(), Caps(routes_max=2, evicts=True)))
    restoring.adopt([claimed(A, age_s=30.0), claimed(B, age_s=20.0)])
    assert say_all(restoring) == {A: NEW, B: NEW}
    restoring.observe([sighting(D, b"b.example")], restoring.rules)
    assert say_all(restoring) == {}  # what gives way to it is told by the whole table
    restoring.adopt([claimed(C, "default", age_s=10.0)])
    assert say_all(restoring) == {C: OLD}
    assert restoring.resync() == 1
    assert say_all(restoring) == {A: None, B: None, D: OLD}


OWNERS = [b"d%d.example" % number for number in range(20)]


def of_net(number, net=0):
    return bytes((11, net, number >> 8, number & 255))


def capped_keeper(**caps):
    """A keeper whose file says that 100 addresses are announced, five of each of 20 owners; and their claims."""
    made = Policies([policy(ttl_s=100_000.0)], Guard(), Caps(**caps))
    keeper = Keeper(RouteTable(made), Views(), rule_set(*OWNERS, b"flood.example", b"big.example"))
    keeper.begin_restore()
    seen = process_clock() - 500.0
    claims = [Claim(of_net(one), "default", OWNERS[one % 20], seen, seen, 100_000.0) for one in range(100)]
    keeper.recall([(claim.address, OLD) for claim in claims])
    return keeper, claims


def held_of(keeper, claims):
    return sum(claim.address in keeper.table.claims.by_address for claim in claims)


def test_newcomers_of_a_restore_keep_the_cap_of_their_rule_behind_what_was_held():
    keeper, claims = capped_keeper(rule_routes_max=100)
    claims = [claim._replace(name=b"%d.big.example" % at) for at, claim in enumerate(claims)]
    keeper.end_recall()
    keeper.observe([sighting(of_net(one, 1), b"x.big.example") for one in range(50)], keeper.rules)
    assert len(say_all(keeper)) == 50  # there was room
    keeper.adopt(claims)
    assert keeper.resync() == 50
    assert held_of(keeper, claims) == len(keeper.table) == 100
    told = say_all(keeper)
    assert {of_net(one, 1): None for one in range(50)}.items() <= told.items()
    assert keeper.table.admission.refusals.refused == {"rule-routes": 50}
    assert not keeper.table.admission.refusals.evicted


@pytest.mark.parametrize("seen_first", [False, True])
def test_newcomers_of_a_restore_push_nothing_out_of_a_table_that_refuses(seen_first):
    keeper, claims = capped_keeper(routes_max=100, evicts=False)
    keeper.end_recall()
    if not seen_first:
        keeper.adopt(claims[:50])
    fresh = [sighting(of_net(one, 1), b"flood.example") for one in range(70)]
    keeper.observe(fresh, keeper.rules)
    keeper.observe([sighting(claims[99].address, claims[99].name)], keeper.rules)
    keeper.adopt(claims if seen_first else claims[50:])
    keeper.resync()
    assert held_of(keeper, claims) == len(keeper.table) == 100
    row = keeper.table.claims.find(*claims[99][:3])
    assert keeper.table.claims.columns.seen[row] > process_clock() - 400  # what was known is refreshed all the same
    assert not {prefix for prefix, wanted in say_all(keeper).items() if wanted is None} & {one[0] for one in claims}


def test_what_is_added_by_hand_during_a_restore_takes_no_place_of_what_comes_back_to_a_table_that_refuses():
    keeper, claims = capped_keeper(routes_max=105, evicts=False)
    keeper.end_recall()
    keeper.observe([sighting(of_net(one, 1), OWNERS[0]) for one in range(3)], keeper.rules)
    added = [keeper.add(of_net(one, 3), "default", 1000.0) for one in range(9)]
    assert added == [None] * 2 + ["full"] * 7
    assert keeper.add(claims[0].address, "default", 1000.0) is None
    keeper.adopt(claims)
    keeper.resync()
    assert held_of(keeper, claims) == 100
    assert len(keeper.table) == 105


def test_what_is_added_by_hand_before_all_announcements_are_known_takes_no_place_in_a_table_that_refuses():
    keeper, claims = capped_keeper(routes_max=100, evicts=False)
    assert keeper.add(of_net(1, 3), "default", 1000.0) == "restoring"
    assert keeper.add(bytes((127, 0, 0, 1)), "default", 1000.0) == "loopback"
    keeper.end_recall()
    keeper.adopt(claims)
    keeper.resync()
    assert held_of(keeper, claims) == 100
    assert keeper.add(of_net(1, 3), "default", 1000.0) == "full"


def test_a_table_that_evicts_takes_what_is_added_by_hand_at_any_time():
    keeper, claims = capped_keeper(routes_max=100, evicts=True)
    assert keeper.add(of_net(1, 3), "default", 1000.0) is None
    keeper.end_recall()
    keeper.adopt(claims)
    keeper.resync()
    assert keeper.table.claims.by_address.get(of_net(1, 3))
    assert len(keeper.table) == 100


def test_a_flood_during_a_restore_takes_no_more_than_behind_it():
    keeper, claims = capped_keeper(routes_max=110, evicts=True)
    keeper.end_recall()
    keeper.observe([sighting(of_net(one, 1), b"%d.flood.example" % one) for one in range(60)], keeper.rules)
    keeper.adopt(claims)
    keeper.resync()
    # Five of each owner were held: the flood's owner gives way itself as soon as it has more than these.
    assert len(keeper.table) == 110
    assert held_of(keeper, claims) >= 95
    assert keeper.table.admission.newcomers is None


def test_what_comes_while_newcomers_are_judged_is_judged_behind_them(monkeypatch):
    keeper, claims = capped_keeper(routes_max=100, evicts=False)
    keeper.end_recall()
    fresh = [sighting(of_net(one, 1), b"flood.example") for one in range(3)]
    keeper.observe(fresh, keeper.rules)
    keeper.adopt(claims[:99])
    monkeypatch.setattr(
        keeper, "_trim", lambda: keeper.observe([*fresh, sighting(of_net(9, 2), b"big.example")], keeper.rules)
    )
    keeper.resync()
    assert [of_net(one, 1) in keeper.table.claims.by_address for one in range(3)] == [True, False, False]
    assert len(keeper.table) == 100
    assert not keeper.table.wanted(of_net(9, 2))


def test_names_that_crowd_an_address_during_a_restore_come_behind_its_own(monkeypatch):
    monkeypatch.setattr(admission, "CLAIMS_PER_ROUTE", 8)
    keeper, claims = capped_keeper(evicts=True)
    busy = claims[0].address
    keeper.end_recall()
    keeper.observe([sighting(busy, b"%d.flood.example" % one) for one in range(20)], keeper.rules)
    own = [claims[0]._replace(name=b"%d." % one + OWNERS[one]) for one in range(8)]
    keeper.adopt(own)
    keeper.resync()
    names = [claim.name for claim in keeper.table.claims.of_address(busy)]
    assert len(names) == 8
    assert len({claim.name for claim in own} & {*names}) >= 6


@pytest.mark.parametrize("is_early", [False, True])
def test_known_addresses_take_nothing_of_the_rate_of_new_routes(is_early):
    keeper, claims = capped_keeper(new_routes_per_s=10.0)
    if not is_early:
        keeper.end_recall()
    keeper.observe([sighting(claim.address, claim.name) for claim in claims], keeper.rules)
    keeper.observe([sighting(of_net(one, 1), b"big.example") for one in range(5)], keeper.rules)
    if is_early:
        keeper.end_recall()
    assert {prefix for prefix in say_all(keeper) if prefix[1]} == {of_net(one, 1) for one in range(5)}
    keeper.observe([sighting(of_net(one, 2), b"flood.example") for one in range(50)], keeper.rules)
    keeper.adopt(claims)
    keeper.resync()
    columns = keeper.table.claims.columns
    rows = [keeper.table.claims.find(*claim[:3]) for claim in claims]
    assert min(columns.seen[row] for row in rows) > process_clock() - 400
    assert max(columns.first[row] for row in rows) < process_clock() - 400
    assert len(keeper.table) <= 105 + 13  # a second and a quarter of the rate


def test_what_was_added_by_hand_comes_back_and_the_table_keeps_within_its_caps(restoring):
    restoring.switch(restoring.rules, Policies([FIRST, policy()], Guard(), Caps(routes_max=1, evicts=True)))
    restoring.observe([sighting(D, b"b.example")], restoring.rules)
    assert say_all(restoring) == {D: OLD}
    restoring.adopt([claimed(A)._replace(name=BY_HAND)])
    restoring.resync()
    assert say_all(restoring) == {D: None, A: NEW, B: None, C: None}
    assert len(restoring.table) == 1


def test_a_record_of_what_was_told_may_follow_its_claim(keeper):
    now = process_clock()
    keeper.adopt([Claim(A, "default", b"a.example", seen=now, first=now, ttl_s=100.0)])
    keeper.recall([(A, NEW)])
    keeper.resync()
    with keeper.lock:
        assert keeper.views.sole.take(0, low_latency=False, attribute_changes=False) is None, (
            "other attributes are a move, and must wait"
        )
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


# -- a neighbor with a budget

NEIGHBOR = "192.0.2.9"


def budgeted(limit, prefixes=()):
    return Policies([policy()], Guard(), prefixes={"default": prefixes}, budgets={NEIGHBOR: limit} if limit else {})


def keeper_with(limit):
    return Keeper(RouteTable(budgeted(limit)), Views(), rule_set(b"a.example", b"b.example"))


def say_all_views(keeper):
    """The same for each view; gives what each has then."""
    said = True
    while said:
        said = False
        for view in keeper.views:
            batch = view.reconciler.take(0, low_latency=False, attribute_changes=True)
            if batch is not None:
                view.reconciler.answered(batch, done=True)
                view.reconciler.settle(batch)
                said = True
    return {
        str(view.audience): {prefix for shard in view.reconciler.adj_rib_out.shards for prefix in shard}
        for view in keeper.views
    }


def with_clock(monkeypatch, at):
    monkeypatch.setattr(keeper_module, "process_clock", lambda: at)


OTHERS = "everyone except 192.0.2.9"


def test_a_neighbor_gets_what_its_budget_has_room_for(monkeypatch):
    keeper = keeper_with(2)
    for at, address in enumerate((A, B, C)):
        with_clock(monkeypatch, float(at))
        keeper.observe([sighting(address, b"a.example")], keeper.rules)
        say_all_views(keeper)
    assert say_all_views(keeper) == {NEIGHBOR: {A, B}, OTHERS: {A, B, C}}
    with_clock(monkeypatch, 400.0)
    keeper.observe([sighting(B, b"a.example"), sighting(C, b"a.example")], keeper.rules)
    assert say_all_views(keeper) == {NEIGHBOR: {B, C}, OTHERS: {A, B, C}}, "seen again, it has its place"
    assert keeper.budgets() == [(NEIGHBOR, 2, 2, 1, 1)]


def test_what_a_peer_or_a_person_tells_counts_as_seen(monkeypatch):
    keeper = keeper_with(1)
    with_clock(monkeypatch, 0.0)
    keeper.observe([sighting(A, b"a.example"), sighting(B, b"a.example")], keeper.rules)
    assert say_all_views(keeper)[NEIGHBOR] == {A}
    with_clock(monkeypatch, 500.0)
    keeper.merge([Claim(B, "default", b"a.example", seen=499.0, first=0.0, ttl_s=1000.0)], 1.0)
    assert say_all_views(keeper)[NEIGHBOR] == {B}
    assert keeper.add(A, "default", 100.0) is None
    assert say_all_views(keeper)[NEIGHBOR] == {A}
    with_clock(monkeypatch, 5000.0)
    keeper.ask([sighting(B, b"a.example")], keeper.rules, lambda now: now, wait_s=1.0)
    assert say_all_views(keeper)[NEIGHBOR] == {A}, "by hand"


def test_nobody_waits_for_what_lost_its_place(monkeypatch):
    keeper = keeper_with(1)
    with_clock(monkeypatch, 0.0)
    audience_of = {str(view.audience): view for view in keeper.views}
    keeper.observe([sighting(A, b"a.example")], keeper.rules)
    acknowledgments = keeper.views.acknowledgments
    acknowledgments.awaited = {A: None}
    assert keeper.add(B, "default", 100.0) is None
    assert not acknowledgments.news, "others get it yet"
    assert audience_of[NEIGHBOR].progress(A) == "left-out"
    keeper.forget(B, is_name=False)
    audience_of[OTHERS].reconciler.reach(frozenset(), again=True)
    assert keeper.add(B, "default", 100.0) is None
    assert [(found.prefix, found.stage) for found in acknowledgments.news] == [(A, "left-out")]


def test_what_was_added_by_hand_gives_way_once_that_ends_and_a_name_claims_it_still(monkeypatch):
    keeper = keeper_with(1)
    with_clock(monkeypatch, 0.0)
    assert keeper.add(A, "default", 10.0) is None
    keeper.observe([sighting(A, b"a.example"), sighting(B, b"b.example")], keeper.rules)
    assert say_all_views(keeper)[NEIGHBOR] == {A}
    with_clock(monkeypatch, 90.0)
    keeper.merge([Claim(A, "default", b"a.example", seen=0.0, first=0.0, ttl_s=1000.0)], 1.0)
    keeper.expire()
    with_clock(monkeypatch, 500.0)
    keeper.observe([sighting(B, b"b.example")], keeper.rules)
    assert say_all_views(keeper)[NEIGHBOR] == {B}


def test_a_static_host_that_a_reload_makes_an_ordinary_one_gives_way(monkeypatch):
    keeper = keeper_with(1)
    with_clock(monkeypatch, 0.0)
    keeper.switch(keeper.rules, budgeted(1, [A]))
    keeper.revise()
    keeper.observe([sighting(A, b"a.example"), sighting(B, b"b.example")], keeper.rules)
    assert say_all_views(keeper)[NEIGHBOR] == {A}
    keeper.switch(keeper.rules, budgeted(1))
    keeper.revise()
    assert say_all_views(keeper)[NEIGHBOR] == {A}
    with_clock(monkeypatch, 500.0)
    keeper.observe([sighting(B, b"b.example")], keeper.rules)
    assert say_all_views(keeper)[NEIGHBOR] == {B}


def test_a_reload_adds_changes_and_takes_away_a_budget(monkeypatch):
    keeper = keeper_with(None)
    addresses = [bytes((11, 0, 0, host)) for host in range(1, 40)]
    for at, address in enumerate(addresses):
        with_clock(monkeypatch, float(at))
        keeper.observe([sighting(address, b"a.example")], keeper.rules)
    assert say_all_views(keeper) == {"everyone": set(addresses)}
    for limit in (30, 3, 10):
        keeper.switch(keeper.rules, budgeted(limit))
        keeper.revise()
        assert say_all_views(keeper) == {NEIGHBOR: set(addresses[-limit:]), OTHERS: set(addresses)}
    network = bytes((203, 0, 113, 0, 24))
    keeper.switch(keeper.rules, budgeted(3, [network]))
    keeper.revise()
    assert say_all_views(keeper)[NEIGHBOR] == {network, *addresses[-2:]}, "static prefixes have their places"
    keeper.switch(keeper.rules, budgeted(None))
    keeper.revise()
    assert all(found == set(addresses) for found in say_all_views(keeper).values())


def test_a_place_that_becomes_free_during_a_restore_goes_to_the_last_seen(monkeypatch):
    now = process_clock()
    keeper = keeper_with(1)
    keeper.adopt([Claim(one, "default", b"a.example", seen=now - 9, first=now - 9, ttl_s=1000.0) for one in (A, B)])
    keeper.recall([(ViewPrefix(A, Audience((NEIGHBOR,))), OLD)])
    put = keeper.views.put

    def put_and_forget(changes: list[Change], *, bulk: bool) -> None:
        """B is put and left out; then A, which has the place, is forgotten."""
        put(changes, bulk=bulk)
        if any(change.prefix == B for change in changes):
            put(keeper.table.forget_address(A, process_clock()), bulk=False)

    monkeypatch.setattr(keeper.views, "put", put_and_forget)
    monkeypatch.setattr(keeper_module, "COPY_AT_ONCE", 1)
    keeper.resync()
    assert say_all_views(keeper)[NEIGHBOR] == {B}


@pytest.mark.parametrize("ranked_max", [1, keeper_module.RANKED_MAX])
def test_a_restart_takes_nothing_from_a_neighbor_with_a_budget(monkeypatch, ranked_max):
    """The file's times may be an hour old for what was announced."""
    monkeypatch.setattr(keeper_module, "RANKED_MAX", ranked_max)
    monkeypatch.setattr(keeper_module, "COPY_AT_ONCE", 5)
    now = process_clock()
    keeper = keeper_with(3)
    addresses = [bytes((11, 0, 0, host)) for host in range(1, 40)]
    audience = Audience((NEIGHBOR,))
    keeper.adopt(
        [
            Claim(address, "default", b"a.example", seen=now - 90 + at, first=now - 90, ttl_s=1000.0)
            for at, address in enumerate(addresses)
        ]
    )
    keeper.recall([(ViewPrefix(address, audience), OLD) for address in addresses[:2]])
    keeper.recall([(ViewPrefix(bytes((11, 0, 1, 1)), audience), OLD)])
    keeper.resync()
    assert say_all_views(keeper)[NEIGHBOR] == {*addresses[:2], addresses[-1]}
    assert not keeper.views.budgeted[0].budget.is_restoring


def test_a_neighbor_with_a_budget_is_told_nothing_before_all_claims_are_back():
    """Only then it is known which prefixes have a place: the announced ones, and the last seen."""
    now = process_clock()
    keeper = keeper_with(3)
    old, new, seen = (bytes((11, 0, 0, host)) for host in (1, 2, 3))
    more = [bytes((11, 0, 1, host)) for host in range(5)]
    keeper.begin_restore()
    keeper.recall([(ViewPrefix(old, Audience((NEIGHBOR,))), OLD)])
    keeper.end_recall()
    keeper.observe([sighting(seen, b"a.example")], keeper.rules)
    found = [Claim(address, "default", b"a.example", now - 50, now - 90, 1000.0) for address in (*more, old)]
    keeper.adopt([*found, found[0]._replace(address=new, seen=now - 40)])
    assert say_all_views(keeper)[NEIGHBOR] == {old}
    keeper.resync()
    assert say_all_views(keeper)[NEIGHBOR] == {old, new, seen}


@pytest.mark.parametrize("how", ["forgotten", "expired"])
def test_what_ends_while_a_budget_is_restored_leaves_no_ghost(monkeypatch, how):
    """It was announced nowhere yet, and has its place already."""
    now = process_clock()
    keeper = keeper_with(3)
    keeper.begin_restore()
    keeper.end_recall()
    keeper.adopt([Claim(A, "default", b"a.example", now - 9, now - 9, 1000.0)])
    restore_budget = keeper._restore_budget

    def restore_and_end(view):
        restore_budget(view)
        if how == "forgotten":
            keeper.forget(b"a.example", is_name=True)
        else:
            with_clock(monkeypatch, now + 1000)
            keeper.expire()

    monkeypatch.setattr(keeper, "_restore_budget", restore_and_end)
    keeper.resync()
    assert say_all_views(keeper) == {NEIGHBOR: set(), OTHERS: set()}
    assert keeper.budgets()[0].admitted == keeper.budgets()[0].left_out == 0


# -- a static address that another list has learnt for other neighbors


def test_a_static_address_takes_nothing_from_other_lists_neighbors():
    """Neither in a reload that brings it nor in a restart: the other list's neighbors see no line about it."""

    def keeper_with_static(*addresses):
        one, other = (
            Policy(list_name, Attributes(OLD.next_hop, neighbors=(neighbor,)), None, 1000.0)
            for list_name, neighbor in (("one", "192.0.2.8"), ("other", "192.0.2.9"))
        )
        found = Policies([one, other], Guard(), prefixes={"one": addresses})
        rules = RuleSet.build([("one", [Rule(b"x.example")]), ("other", [Rule(b"a.example")])])
        return Keeper(RouteTable(found), Views(), rules), found

    lines = []

    def watch(keeper):
        def turn():
            for view in keeper.views:
                while (batch := view.reconciler.take(0, low_latency=False, attribute_changes=True)) is not None:
                    lines.append((str(view.audience), batch.transition.verb, *batch.prefixes))
                    view.reconciler.answered(batch, done=True)
                    view.reconciler.settle(batch)

        keeper.turn = turn

    keeper, _ = keeper_with_static()
    watch(keeper)
    keeper.observe([(A, "other", b"a.example", 300)], keeper.rules)
    lines.clear()
    keeper.switch(keeper.rules, keeper_with_static(A)[1])
    keeper.revise()
    assert lines == [("192.0.2.8", Verb.ANNOUNCE, A)]

    claims, told = [], []
    for some_claims, some_told in keeper.walk():
        claims += some_claims
        told += some_told
    successor, _ = keeper_with_static(A)
    watch(successor)
    successor.begin_restore()
    successor.recall(told)
    successor.end_recall()
    successor.adopt(claims)
    successor.resync()
    assert Verb.WITHDRAW not in {verb for _, verb, *_ in lines}
