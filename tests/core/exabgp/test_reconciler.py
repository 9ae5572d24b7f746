import random
from copy import copy
from dataclasses import replace

import pytest

from dnstap_bgp.core.exabgp.adj_rib_out import Replay
from dnstap_bgp.core.exabgp.grammar import IPV4, IPV6, Verb
from dnstap_bgp.core.exabgp.reconciler import DECIDED_AT_ONCE, Reconciler
from dnstap_bgp.core.exabgp.update_queue import IPV4_FASTEST, IPV4_LOW_LATENCY, IPV6_FASTEST
from dnstap_bgp.core.model import Attributes, Change
from dnstap_bgp.core.prefix_map import SHARDS
from tests.core.exabgp.watched import PREFIXES, TABLES, Walk, WatchedReconciler, wander

ONE = Attributes(bytes([192, 0, 2, 1]))
TWO = Attributes(bytes([192, 0, 2, 2]))
SIX = Attributes(bytes(15) + b"\1")
SOME = Attributes(bytes([192, 0, 2, 1]), neighbors=("192.0.2.9",))
X, Y, Z = (bytes([10, 0, 0, number]) for number in range(3))


def ipv4(count):
    return [bytes([10, 1, number >> 8, number & 255]) for number in range(count)]


def ipv6(count):
    return [bytes([0x2A, 1, *bytes(12), number >> 8, number & 255]) for number in range(count)]


def put(reconciler, *wishes, bulk=False):
    reconciler.put([Change(prefix, attributes) for prefix, attributes in wishes], bulk=bulk)


def take(reconciler, flying=0, *, low_latency=False, attribute_changes=True, **more):
    return reconciler.take(flying, low_latency=low_latency, attribute_changes=attribute_changes, **more)


def say(reconciler, *wishes, done=True):
    """Put wishes, and have everything taken and answered."""
    put(reconciler, *wishes)
    batches = []
    while (batch := take(reconciler)) is not None:
        reconciler.answered(batch, done=done)
        reconciler.settle(batch)
        batches.append(batch)
    return batches


def announced(reconciler):
    return {prefix: attributes for shard in reconciler.adj_rib_out.shards for prefix, attributes in shard.items()}


def test_an_announce_counts_as_told_when_it_is_taken_and_a_withdraw_when_it_is_answered():
    reconciler = Reconciler()
    put(reconciler, (X, ONE))
    batch = take(reconciler)
    assert (batch.transition.verb, batch.prefixes, batch.records) == (Verb.ANNOUNCE, (X,), [(X, ONE)])
    assert announced(reconciler) == {X: ONE}
    reconciler.answered(batch, done=True)
    put(reconciler, (X, None))
    batch = take(reconciler)
    assert (batch.transition.verb, batch.transition.attributes, batch.records) == (Verb.WITHDRAW, ONE, [])
    assert announced(reconciler) == {X: ONE}
    reconciler.answered(batch, done=True)
    assert announced(reconciler) == {}
    assert reconciler.take_corrections() == [(X, None)]
    assert reconciler.take_corrections() == []


def test_flaps_collapse():
    reconciler = Reconciler()
    for number in range(1_000):
        put(reconciler, (X, ONE), (Y, TWO), (X, None if number % 2 else ONE), (Y, None))
    assert sum(reconciler.backlog) == 0
    assert take(reconciler) is None


def test_wishes_during_a_flight_wait_for_its_answer():
    reconciler = Reconciler()
    put(reconciler, (X, ONE))
    batch = take(reconciler)
    put(reconciler, (X, None))
    assert take(reconciler, 1) is None
    reconciler.answered(batch, done=True)
    assert take(reconciler).transition.verb is Verb.WITHDRAW


def test_a_line_has_one_family_one_verb_and_one_attribute_set():
    reconciler = Reconciler()
    say(reconciler, (Z, ONE))
    wishes = [(X, ONE), (Y, TWO), (Z, None), *((prefix, SIX) for prefix in ipv6(2))]
    batches = say(reconciler, *wishes)
    assert sorted(len(batch.prefixes) for batch in batches) == [1, 1, 1, 2]
    for batch in batches:
        assert len({len(prefix) for prefix in batch.prefixes}) == 1


def test_shapes_of_lines():
    reconciler = Reconciler()
    put(reconciler, *((prefix, ONE) for prefix in ipv4(200)), bulk=True)
    assert len(take(reconciler).prefixes) == IPV4_FASTEST[0] == 49
    assert len(take(reconciler, 1).prefixes) == 49
    assert take(reconciler, 2) is None
    assert take(reconciler, 1, low_latency=True) is None
    assert len(take(reconciler, 0, low_latency=True).prefixes) == IPV4_LOW_LATENCY[0] == 24
    reconciler = Reconciler()
    put(reconciler, *((prefix, SIX) for prefix in ipv6(200)), bulk=True)
    assert len(take(reconciler).prefixes) == IPV6_FASTEST[0] == 24
    assert take(reconciler, 1) is None


def test_live_goes_before_bulk_and_first_in_first_out():
    reconciler = Reconciler()
    put(reconciler, *((prefix, ONE) for prefix in ipv4(100)), bulk=True)
    put(reconciler, (X, ONE), (Y, ONE))
    batch = take(reconciler)
    assert batch.live
    assert batch.prefixes == (X, Y)
    put(reconciler, (ipv4(1)[0], TWO))  # was bulk, is live now
    assert take(reconciler, 1).prefixes == (ipv4(1)[0],)


def test_lines_of_several_kinds_take_turns():
    reconciler = Reconciler()
    put(reconciler, *((prefix, ONE) for prefix in ipv4(200)), (X, TWO))
    assert [take(reconciler).transition.wanted for _ in range(3)] == [ONE, TWO, ONE]


def test_other_attributes_wait_until_the_last_command_is_settled():
    reconciler = Reconciler()
    put(reconciler, (X, ONE))
    batch = take(reconciler)
    reconciler.answered(batch, done=True)
    put(reconciler, (X, TWO))
    assert take(reconciler) is None
    assert reconciler.awaits_settling
    assert reconciler.awaits_attribute_change
    reconciler.settle(batch)
    assert not reconciler.awaits_settling
    assert reconciler.awaits_attribute_change
    move = take(reconciler)
    assert not reconciler.awaits_attribute_change
    assert move.transition.is_attribute_change
    assert (move.transition.announced, move.transition.wanted) == (ONE, TWO)
    assert take(reconciler, 0, attribute_changes=False) is None


@pytest.mark.parametrize("bulk", [False, True])
def test_what_waits_for_other_attributes_is_known_in_either_queue(bulk):
    reconciler = Reconciler()
    say(reconciler, (X, ONE))
    put(reconciler, (Y, ONE), (Z, ONE), bulk=bulk)
    assert not reconciler.awaits_attribute_change
    put(reconciler, (X, TWO), bulk=bulk)
    assert reconciler.awaits_attribute_change
    put(reconciler, (X, ONE), bulk=bulk)
    assert not reconciler.awaits_attribute_change


def test_what_is_tried_alone_waits_for_room_too():
    reconciler = Reconciler()
    put(reconciler, (X, ONE), (Y, ONE))
    reconciler.answered(take(reconciler), done=False)
    reconciler.announced_max = 1
    first = take(reconciler)
    assert len(first.prefixes) == 1
    reconciler.answered(first, done=True)
    assert reconciler.backlog.suspects == 1
    assert take(reconciler) is None, "the one that was taken has the room"
    put(reconciler, (first.prefixes[0], None))
    withdraw = take(reconciler)
    assert withdraw.transition.verb is Verb.WITHDRAW
    assert take(reconciler, 1) is None
    reconciler.answered(withdraw, done=True)
    assert {*take(reconciler).prefixes, *first.prefixes} == {X, Y}


def test_a_prefix_that_comes_back_under_other_attributes_waits_too():
    reconciler = Reconciler()
    say(reconciler, (X, ONE))
    put(reconciler, (X, None))
    batch = take(reconciler)
    reconciler.answered(batch, done=True)
    put(reconciler, (X, TWO))
    assert take(reconciler) is None
    put(reconciler, (X, ONE))  # the same attributes need not wait
    assert take(reconciler).transition.wanted == ONE


def test_a_move_waits_for_an_empty_window_and_does_not_hold_up_others():
    reconciler = Reconciler()
    say(reconciler, (X, ONE))
    put(reconciler, (X, TWO), (Y, ONE))
    assert take(reconciler, 0, attribute_changes=False).prefixes == (Y,)
    assert take(reconciler, 1) is None
    assert take(reconciler, 0).prefixes == (X,)


def test_recalled_routes_are_said_again_or_withdrawn():
    reconciler = Reconciler()
    reconciler.recall([(X, ONE), (Y, ONE), (Z, ONE)], [])
    reconciler.recall([], [Z])
    put(reconciler, (X, ONE), bulk=True)
    put(reconciler, (X, ONE), bulk=True)
    for shard in range(SHARDS):
        reconciler.resync(shard)
    batches = say(reconciler)
    assert sorted((batch.transition.verb.value, batch.prefixes) for batch in batches) == [
        ("announce", (X,)),
        ("withdraw", (Y,)),
    ]
    assert not any(batch.records for batch in batches)  # nothing that the file doesn't know
    assert announced(reconciler) == {X: ONE}
    assert reconciler.adj_rib_out.count[IPV4] == 1


def test_what_was_given_up_before_the_resync_is_wanted_all_the_same():
    reconciler = Reconciler()
    reconciler.recall([(X, ONE), (Y, ONE)])
    put(reconciler, (X, ONE))
    for _ in range(2):
        reconciler.answered(take(reconciler), done=False)
        reconciler.line_taken()
    assert reconciler.backlog.refused == 1
    for shard in range(SHARDS):
        reconciler.resync(shard)
    assert [(batch.transition.wanted, batch.prefixes) for batch in say(reconciler)] == [(None, (Y,))]
    assert reconciler.backlog.refused == 1


def test_the_last_change_before_a_death_is_in_doubt():
    reconciler = Reconciler()
    reconciler.recall([(X, ONE), (Y, ONE)], [])
    reconciler.recall([(X, TWO)], [])
    batch = reconciler.adj_rib_out.take_previous()
    assert (batch.transition.verb, batch.transition.attributes, batch.prefixes) == (Verb.WITHDRAW, ONE, (X,))
    assert not reconciler.adj_rib_out.has_previous
    assert announced(reconciler)[X] == TWO


def test_a_refused_line_is_split_and_only_the_bad_prefix_is_given_up():
    reconciler = Reconciler()
    put(reconciler, *((prefix, ONE) for prefix in ipv4(10)))
    bad = ipv4(10)[3]
    flights = 0
    while (batch := take(reconciler)) is not None:
        reconciler.answered(batch, done=bad not in batch.prefixes)
        flights += 1
    assert flights < 20
    assert set(announced(reconciler)) == set(ipv4(10)) - {bad}
    assert (reconciler.backlog.refused, reconciler.given_up) == (1, 1)
    assert (bad, None) in reconciler.take_corrections()
    reconciler.reach(frozenset(), again=True)
    assert take(reconciler).prefixes == (bad,)


def test_a_host_that_refuses_everything_loses_nothing():
    reconciler = Reconciler()
    put(reconciler, *((prefix, ONE) for prefix in ipv4(60)))
    pauses = 0
    for _ in range(500):
        batch = take(reconciler, refusing=pauses > 0)
        if batch is not None:
            pauses += reconciler.answered(batch, done=False)
    assert pauses > 400
    assert announced(reconciler) == {}
    while (batch := take(reconciler)) is not None:
        reconciler.answered(batch, done=True)
    assert len(announced(reconciler)) == 60


def test_a_refused_move_leaves_what_was_announced():
    reconciler = Reconciler()
    say(reconciler, (X, ONE))
    put(reconciler, (X, TWO))
    reconciler.take_corrections()
    reconciler.answered(take(reconciler), done=False)
    assert announced(reconciler) == {X: ONE}
    assert reconciler.take_corrections() == [(X, ONE)]


def test_lost_answers_are_asked_for_again():
    reconciler = Reconciler()
    put(reconciler, (X, ONE))
    first = take(reconciler)
    put(reconciler, (Y, TWO))
    second = take(reconciler, 1)
    put(reconciler, (Y, None))
    reconciler.answers_lost([first, second])
    batches = [take(reconciler), take(reconciler)]
    assert {(batch.transition.verb, batch.prefixes) for batch in batches} == {
        (Verb.ANNOUNCE, (X,)),
        (Verb.WITHDRAW, (Y,)),
    }


def test_routes_for_neighbors_that_are_not_there_wait_for_them():
    reconciler = Reconciler()
    reconciler.reach(frozenset({"192.0.2.8"}), again=False)
    put(reconciler, (X, SOME))
    assert take(reconciler) is None
    assert reconciler.backlog.refused == 1
    reconciler.reach(frozenset({"192.0.2.8", "192.0.2.9"}), again=False)
    assert take(reconciler).prefixes == (X,)


def test_a_replay_tells_a_new_neighbor_what_is_for_it():
    reconciler = Reconciler()
    say(reconciler, *((prefix, ONE) for prefix in ipv4(100)), *((prefix, SIX) for prefix in ipv6(30)), (X, SOME))
    replay = Replay("192.0.2.8", frozenset({IPV4, IPV6}))
    seen = set()
    while (batch := take(reconciler, replay=replay)) is not None:
        assert batch.replay_to == "192.0.2.8"
        assert batch.records == []
        seen.update(batch.prefixes)
        reconciler.answered(batch, done=True)
    assert replay.ended
    assert seen == {*ipv4(100), *ipv6(30)}


def test_a_replay_waits_for_the_window():
    reconciler = Reconciler()
    say(reconciler, *((prefix, ONE) for prefix in ipv4(500)))
    replay = Replay("192.0.2.8", frozenset({IPV4}))
    window = IPV4_FASTEST.unanswered_max
    assert take(reconciler, window, replay=replay) is None
    assert reconciler.is_blocked
    assert take(reconciler, window - 1, replay=replay).replay_to == "192.0.2.8"


def test_live_goes_before_a_replay():
    reconciler = Reconciler()
    say(reconciler, *((prefix, ONE) for prefix in ipv4(100)))
    replay = Replay("192.0.2.8", frozenset({IPV4}))
    put(reconciler, (X, ONE))
    assert take(reconciler, replay=replay).prefixes == (X,)


def give_up_what_nobody_has():
    """A rare one: a withdraw is given up, and then the neighbor that had the route goes."""
    reconciler = WatchedReconciler()
    say(reconciler, (X, SOME))
    put(reconciler, (X, None))
    reconciler.answered(take(reconciler), done=False)
    put(reconciler, (Y, ONE))
    for done in (True, False):  # another line is taken, and then the prefix is refused alone
        reconciler.answered(take(reconciler), done=done)
    assert reconciler.backlog.refused == 1
    reconciler.reach(frozenset({"192.0.2.8"}), again=False)
    assert not announced(reconciler).get(X)
    return reconciler.seen


def leave_what_was_just_replayed(*, bulk):
    """Another: a stale entry waits to be announced again, was told to one neighbor, and the others go."""
    reconciler = WatchedReconciler()
    reconciler.for_everyone = False
    reconciler.recall([(X, ONE)])
    reconciler.answered(take(reconciler, replay=Replay("192.0.2.9", frozenset({IPV4}))), done=True)
    put(reconciler, (X, ONE), bulk=bulk)
    reconciler.reach(frozenset(), again=False)
    assert announced(reconciler) == {X: ONE}, "a neighbor that came unnoticed may have it"
    assert reconciler.backlog.deferred == 1
    return reconciler.seen


def leave_before_a_refusal(*, late):
    """And: ExaBGP refuses to withdraw what it was just told, and the neighbors go before it does, or after."""
    reconciler = WatchedReconciler()
    reconciler.for_everyone = False
    put(reconciler, (X, ONE))
    reconciler.answered(take(reconciler), done=True)
    put(reconciler, (X, None))
    withdraw = take(reconciler)
    if late:
        reconciler.answered(withdraw, done=False)
        reconciler.reach(frozenset(), again=False)
    else:
        reconciler.reach(frozenset(), again=False)
        reconciler.answered(withdraw, done=False)
    assert announced(reconciler) == {X: ONE}
    assert reconciler.backlog.deferred == 1
    return reconciler.seen


def leave_before_the_resync(*, kept):
    """Nobody is left who has what was recalled; or ExaBGP keeps it for one that commands don't reach."""
    reconciler = WatchedReconciler()
    reconciler.for_everyone = False
    reconciler.recall([(X, ONE)])
    reconciler.reach(frozenset(), again=False, kept=frozenset({"192.0.2.9"} if kept else ()))
    reconciler.resync(X[-1])
    assert announced(reconciler) == ({X: ONE} if kept else {})
    assert reconciler.backlog.refused == kept
    return reconciler.seen


def replay_what_is_tried_alone():
    """And: ExaBGP refuses every line, a prefix alone has had its turn, and the next line tells a new neighbor of it."""
    reconciler = WatchedReconciler()
    say(reconciler, (X, ONE))
    put(reconciler, (X, None))
    reconciler.answered(take(reconciler), done=False)
    reconciler.answered(take(reconciler, refusing=True), done=False)
    replayed = take(reconciler, refusing=True, replay=Replay("192.0.2.9", frozenset({IPV4})))
    assert replayed.replay_to
    assert reconciler.backlog.deferred == 1
    reconciler.answered(replayed, done=True)
    reconciler.answered(take(reconciler), done=True)
    assert announced(reconciler) == {}
    return reconciler.seen


def test_every_transition_of_the_tables_happens_and_no_other():
    rows = {(dimension, *row) for dimension, table in enumerate(TABLES) for row in table}
    seen = give_up_what_nobody_has() | replay_what_is_tried_alone()
    for either in (False, True):
        seen |= leave_what_was_just_replayed(bulk=either) | leave_before_a_refusal(late=either)
        seen |= leave_before_the_resync(kept=either)
    for seed in range(30_000):
        reconciler = WatchedReconciler()  # asserts that each transition is a row
        wander(reconciler, seed)
        seen |= reconciler.seen
        if seen == rows:
            break
    assert seen == rows


def test_what_a_neighbor_may_have_that_came_unnoticed_is_not_forgotten():
    """The line named it, ExaBGP had it, and nobody knew yet; it may be down, and then it has all of it pending."""
    reconciler = WatchedReconciler()
    put(reconciler, (X, ONE))
    batch = take(reconciler)
    reconciler.answered(batch, done=True)
    reconciler.for_everyone = False
    reconciler.reach(frozenset(), again=False)
    put(reconciler, (X, TWO))
    assert announced(reconciler) == {X: ONE}
    reconciler.reach(frozenset({"192.0.2.9"}), again=False)
    reconciler.settle(batch)
    assert take(reconciler).transition == (ONE, TWO, IPV4), "so the old ones are withdrawn there first"


def test_what_nobody_can_have_is_forgotten_once_that_is_certain():
    reconciler = WatchedReconciler()
    put(reconciler, (X, ONE))
    batch = take(reconciler)
    reconciler.answered(batch, done=True)
    reconciler.for_everyone = False
    reconciler.reach(frozenset(), again=False)
    put(reconciler, (X, None))
    reconciler.settle(batch)
    assert announced(reconciler) == {}
    assert reconciler.take_corrections() == [(X, None)]


def test_what_neighbors_make_possible_is_decided_a_few_at_a_time():
    """A view of 100,000 prefixes gets its first neighbor: nobody waits for all of them."""
    reconciler = Reconciler()
    reconciler.for_everyone = False
    reconciler.reach(frozenset(), again=False)
    prefixes = [number.to_bytes(4) for number in range(3 * DECIDED_AT_ONCE)]
    put(reconciler, *((prefix, ONE) for prefix in prefixes), bulk=True)
    assert reconciler.backlog.refused == len(prefixes)
    reconciler.reach(frozenset({"192.0.2.9"}), again=False)
    assert reconciler.backlog.refused == 2 * DECIDED_AT_ONCE
    assert not reconciler.handed_over, "End-of-RIB waits for those as well"
    put(reconciler, (prefixes[0], TWO), (prefixes[1], None))
    while (batch := take(reconciler)) is not None:
        reconciler.answered(batch, done=True)
    expected = dict.fromkeys(prefixes, ONE) | {prefixes[0]: TWO}
    del expected[prefixes[1]]
    assert announced(reconciler) == expected
    assert reconciler.handed_over


def test_what_can_be_said_to_nobody_is_not_taken_before_it_is_decided_again():
    reconciler = Reconciler()
    reconciler.for_everyone = False
    reconciler.reach(frozenset({"192.0.2.9"}), again=False)
    prefixes = [number.to_bytes(4) for number in range(2 * DECIDED_AT_ONCE)]
    put(reconciler, *((prefix, ONE) for prefix in prefixes), bulk=True)
    reconciler.reach(frozenset(), again=False)
    assert reconciler.peek(low_latency=False, attribute_changes=True) is None
    assert take(reconciler) is None
    assert reconciler.backlog.refused == len(prefixes)
    assert announced(reconciler) == {}


def test_an_update_that_waits_gives_way_to_a_replay_of_its_prefix():
    reconciler = WatchedReconciler()
    say(reconciler, (X, ONE))
    put(reconciler, (X, TWO), bulk=True)
    replay = Replay("192.0.2.8", frozenset({IPV4}))
    repeated = take(reconciler, replay=replay)
    assert repeated.transition.wanted == ONE
    assert take(reconciler) is None
    reconciler.answered(repeated, done=True)
    assert take(reconciler) is None, "the replay may be pending at the new neighbor under the old attributes"
    reconciler.settle(repeated)
    assert take(reconciler).transition == (ONE, TWO, IPV4)


def test_a_refused_withdraw_does_not_cost_the_wish_behind_it():
    reconciler = WatchedReconciler()
    say(reconciler, (X, ONE))
    reconciler.reach(frozenset({"192.0.2.8"}), again=False)
    put(reconciler, (X, SOME))
    withdraw = take(reconciler)
    assert withdraw.transition.wanted is None
    reconciler.answered(withdraw, done=False)
    alone = take(reconciler)
    assert alone.prefixes == (X,)
    reconciler.answers_lost([alone])
    say(reconciler)
    reconciler.reach(frozenset({"192.0.2.8", "192.0.2.9"}), again=False)
    assert take(reconciler).transition.wanted == SOME


def test_a_neighbor_that_comes_gets_what_waits_behind_a_refused_withdraw():
    """The prefix was announced at one neighbor and is wanted at another, which ExaBGP does not have yet."""
    there, elsewhere = (Attributes(ONE.next_hop, neighbors=(name,)) for name in ("192.0.2.8", "192.0.2.9"))
    reconciler, [prefix] = Reconciler(), ipv4(1)
    reconciler.reach(frozenset({"192.0.2.8"}), again=False)
    say(reconciler, (prefix, there))
    put(reconciler, (prefix, elsewhere))
    withdraw = take(reconciler)
    assert withdraw.transition.verb is Verb.WITHDRAW
    reconciler.answered(withdraw, done=False)
    reconciler.reach(frozenset({"192.0.2.8", "192.0.2.9"}), again=False)
    while (batch := take(reconciler)) is not None:
        reconciler.answered(batch, done=True)
        reconciler.settle(batch)
    assert announced(reconciler) == {prefix: elsewhere}


def picture(reconciler, batches):
    """All that can be asked of a reconciler."""
    rib = reconciler.adj_rib_out
    return (
        [reconciler.state_of(prefix) for prefix in PREFIXES],
        [reconciler.progress(prefix) for prefix in PREFIXES],
        reconciler.backlog,
        (reconciler.bulk, reconciler.changes, reconciler.given_up, reconciler.is_idle, reconciler.handed_over),
        (reconciler.awaits_settling, reconciler.awaits_attribute_change, reconciler.has_live, reconciler.is_reachable),
        [reconciler.has_in_flight(batch) for batch in batches],
        [list(reconciler.walk(shard)) for shard in range(SHARDS)],
        [set(rib.stale(shard)) for shard in range(SHARDS)],
        (rib.count.copy(), rib.repair_due, rib.has_previous, reconciler.announced_max),
    )


@pytest.mark.parametrize("seed", range(60))
def test_a_fork_has_the_same_future_and_one_of_its_own(seed):
    walk = Walk(Reconciler(), random.Random(seed))
    walk.begin()
    walk.go(30)
    twin = copy(walk)
    twin.reconciler, twin.dice = walk.reconciler.fork(), copy(walk.dice)
    twin.flying, twin.answered = list(walk.flying), list(walk.answered)
    twin.due = None if walk.due is None else replace(walk.due)
    batches = [*walk.flying, *walk.answered]
    before = picture(walk.reconciler, batches)
    assert picture(twin.reconciler, batches) == before
    walk.reconciler.take_corrections()
    assert twin.reconciler.take_corrections() == [], "they are told once, by whom they were told before"
    walk.go(30)
    assert picture(twin.reconciler, batches) == before, "nothing is shared"
    twin.go(30)
    assert picture(walk.reconciler, walk.flying) == picture(twin.reconciler, twin.flying)
    assert walk.reconciler.take_corrections() == twin.reconciler.take_corrections()


def test_a_snapshot_has_the_attributes_before_a_change_that_is_not_answered():
    """A process that begins with it must withdraw those, too: ExaBGP may not have read the change."""
    reconciler = Reconciler()
    say(reconciler, (X, ONE), (Y, ONE))
    put(reconciler, (X, TWO))
    batch = take(reconciler)
    assert list(reconciler.walk(X[-1])) == [(X, ONE), (X, TWO)]
    assert list(reconciler.walk(Y[-1])) == [(Y, ONE)]
    reconciler.answered(batch, done=True)
    assert list(reconciler.walk(X[-1])) == [(X, TWO)]


def test_a_snapshot_has_previous_attributes_until_they_are_cleaned():
    reconciler = Reconciler()
    reconciler.recall([(X, ONE), (X, TWO)])
    assert list(reconciler.walk(X[-1])) == [(X, ONE), (X, TWO)]
    again = Reconciler()
    again.recall(list(reconciler.walk(X[-1])))
    assert again.adj_rib_out.take_previous().transition.announced == ONE
    reconciler.adj_rib_out.forget_previous()
    assert list(reconciler.walk(X[-1])) == [(X, TWO)]


def test_a_snapshot_has_the_attributes_before_a_change_whose_answer_is_lost_until_they_are_cleaned():
    reconciler = Reconciler()
    say(reconciler, (X, ONE))
    put(reconciler, (X, TWO))
    reconciler.answers_lost([take(reconciler)])
    assert list(reconciler.walk(X[-1])) == [(X, ONE), (X, TWO)]
    reconciler.adj_rib_out.forget_previous()
    assert list(reconciler.walk(X[-1])) == [(X, TWO)]


def test_what_a_burst_leaves_unsettled_or_refused_takes_no_memory_afterwards():
    reconciler, prefixes = Reconciler(), ipv4(20_000)
    reconciler.reach(frozenset(), again=False)
    put(reconciler, *((prefix, Attributes(ONE.next_hop, neighbors=("192.0.2.8",))) for prefix in prefixes))
    assert reconciler.backlog.refused == len(prefixes)
    reconciler.reach(frozenset({"192.0.2.8"}), again=False)
    batches = []
    while (batch := take(reconciler)) is not None:
        reconciler.answered(batch, done=True)
        batches.append(batch)
    assert len(reconciler._unsettled) == len(prefixes)
    for batch in batches[:-1]:
        reconciler.settle(batch)
    assert set(reconciler._unsettled) == set(batches[-1].prefixes)
    for held in (reconciler._unsettled, reconciler._refused):
        assert held.__sizeof__() <= 1 << 18
