from dnstap_bgp.core.exabgp.batch import IPV4_BRISK, IPV4_FASTEST, IPV6_FASTEST, Replay
from dnstap_bgp.core.exabgp.grammar import IPV4, IPV6, Verb
from dnstap_bgp.core.exabgp.outbox import Outbox
from dnstap_bgp.core.model import Attributes, Change
from dnstap_bgp.core.prefixmap import SHARDS

ONE = Attributes(bytes([192, 0, 2, 1]))
TWO = Attributes(bytes([192, 0, 2, 2]))
SIX = Attributes(bytes(15) + b"\1")
SOME = Attributes(bytes([192, 0, 2, 1]), neighbors=("192.0.2.9",))
X, Y, Z = (bytes([10, 0, 0, number]) for number in range(3))


def ipv4(count):
    return [bytes([10, 1, number >> 8, number & 255]) for number in range(count)]


def ipv6(count):
    return [bytes([0x2A, 1, *bytes(12), number >> 8, number & 255]) for number in range(count)]


def put(outbox, *wishes, bulk=False):
    outbox.put([Change(prefix, attributes) for prefix, attributes in wishes], bulk=bulk)


def take(outbox, flying=0, *, brisk=False, moves=True, **more):
    return outbox.take(flying, brisk=brisk, moves=moves, **more)


def say(outbox, *wishes, done=True):
    """Put wishes, and have everything taken and answered."""
    put(outbox, *wishes)
    batches = []
    while (batch := take(outbox)) is not None:
        outbox.answered(batch, done=done)
        outbox.settle(batch)
        batches.append(batch)
    return batches


def told(outbox):
    return {prefix: attributes for shard in outbox.told.shards for prefix, attributes in shard.items()}


def test_an_announce_counts_as_told_when_it_is_taken_and_a_withdraw_when_it_is_answered():
    outbox = Outbox()
    put(outbox, (X, ONE))
    batch = take(outbox)
    assert (batch.step.verb, batch.prefixes, batch.news) == (Verb.ANNOUNCE, (X,), [(X, ONE)])
    assert told(outbox) == {X: ONE}
    outbox.answered(batch, done=True)
    put(outbox, (X, None))
    batch = take(outbox)
    assert (batch.step.verb, batch.step.attributes, batch.news) == (Verb.WITHDRAW, ONE, [])
    assert told(outbox) == {X: ONE}
    outbox.answered(batch, done=True)
    assert told(outbox) == {}
    assert outbox.take_corrections() == [(X, None)]
    assert outbox.take_corrections() == []


def test_flaps_collapse():
    outbox = Outbox()
    for number in range(1_000):
        put(outbox, (X, ONE), (Y, TWO), (X, None if number % 2 else ONE), (Y, None))
    assert sum(outbox.backlog) == 0
    assert take(outbox) is None


def test_wishes_during_a_flight_wait_for_its_answer():
    outbox = Outbox()
    put(outbox, (X, ONE))
    batch = take(outbox)
    put(outbox, (X, None))
    assert take(outbox, 1) is None
    outbox.answered(batch, done=True)
    assert take(outbox).step.verb is Verb.WITHDRAW


def test_a_line_has_one_family_one_verb_and_one_attribute_set():
    outbox = Outbox()
    say(outbox, (Z, ONE))
    wishes = [(X, ONE), (Y, TWO), (Z, None), *((prefix, SIX) for prefix in ipv6(2))]
    batches = say(outbox, *wishes)
    assert sorted(len(batch.prefixes) for batch in batches) == [1, 1, 1, 2]
    for batch in batches:
        assert len({len(prefix) for prefix in batch.prefixes}) == 1


def test_shapes_of_lines():
    outbox = Outbox()
    put(outbox, *((prefix, ONE) for prefix in ipv4(200)), bulk=True)
    assert len(take(outbox).prefixes) == IPV4_FASTEST[0] == 49
    assert len(take(outbox, 1).prefixes) == 49
    assert take(outbox, 2) is None
    assert take(outbox, 1, brisk=True) is None
    assert len(take(outbox, 0, brisk=True).prefixes) == IPV4_BRISK[0] == 24
    outbox = Outbox()
    put(outbox, *((prefix, SIX) for prefix in ipv6(200)), bulk=True)
    assert len(take(outbox).prefixes) == IPV6_FASTEST[0] == 24
    assert take(outbox, 1) is None


def test_live_goes_before_bulk_and_first_in_first_out():
    outbox = Outbox()
    put(outbox, *((prefix, ONE) for prefix in ipv4(100)), bulk=True)
    put(outbox, (X, ONE), (Y, ONE))
    batch = take(outbox)
    assert batch.live
    assert batch.prefixes == (X, Y)
    put(outbox, (ipv4(1)[0], TWO))  # was bulk, is live now
    assert take(outbox, 1).prefixes == (ipv4(1)[0],)


def test_lines_of_several_kinds_take_turns():
    outbox = Outbox()
    put(outbox, *((prefix, ONE) for prefix in ipv4(200)), (X, TWO))
    assert [take(outbox).step.wanted for _ in range(3)] == [ONE, TWO, ONE]


def test_other_attributes_wait_until_the_last_command_is_settled():
    outbox = Outbox()
    put(outbox, (X, ONE))
    batch = take(outbox)
    outbox.answered(batch, done=True)
    put(outbox, (X, TWO))
    assert take(outbox) is None
    assert outbox.awaits_settling
    outbox.settle(batch)
    move = take(outbox)
    assert move.step.is_move
    assert (move.step.told, move.step.wanted) == (ONE, TWO)
    assert take(outbox, 0, moves=False) is None


def test_a_prefix_that_comes_back_under_other_attributes_waits_too():
    outbox = Outbox()
    say(outbox, (X, ONE))
    put(outbox, (X, None))
    batch = take(outbox)
    outbox.answered(batch, done=True)
    put(outbox, (X, TWO))
    assert take(outbox) is None
    put(outbox, (X, ONE))  # the same attributes need not wait
    assert take(outbox).step.wanted == ONE


def test_a_move_waits_for_an_empty_window_and_does_not_hold_up_others():
    outbox = Outbox()
    say(outbox, (X, ONE))
    put(outbox, (X, TWO), (Y, ONE))
    assert take(outbox, 0, moves=False).prefixes == (Y,)
    assert take(outbox, 1) is None
    assert take(outbox, 0).prefixes == (X,)


def test_recalled_routes_are_said_again_or_withdrawn():
    outbox = Outbox()
    outbox.recall([(X, ONE), (Y, ONE), (Z, ONE)], [])
    outbox.recall([], [Z])
    put(outbox, (X, ONE), bulk=True)
    put(outbox, (X, ONE), bulk=True)
    for shard in range(SHARDS):
        outbox.resync(shard)
    batches = say(outbox)
    assert sorted((batch.step.verb.value, batch.prefixes) for batch in batches) == [
        ("announce", (X,)),
        ("withdraw", (Y,)),
    ]
    assert not any(batch.news for batch in batches)  # nothing that the file doesn't know
    assert told(outbox) == {X: ONE}
    assert outbox.told_count[IPV4] == 1


def test_the_last_change_before_a_death_is_in_doubt():
    outbox = Outbox()
    outbox.recall([(X, ONE), (Y, ONE)], [])
    outbox.recall([(X, TWO)], [])
    batch = outbox.take_former()
    assert (batch.step.verb, batch.step.attributes, batch.prefixes) == (Verb.WITHDRAW, ONE, (X,))
    assert not outbox.has_former
    assert told(outbox)[X] == TWO


def test_a_refused_line_is_split_and_only_the_bad_prefix_is_given_up():
    outbox = Outbox()
    put(outbox, *((prefix, ONE) for prefix in ipv4(10)))
    bad = ipv4(10)[3]
    flights = 0
    while (batch := take(outbox)) is not None:
        outbox.answered(batch, done=bad not in batch.prefixes)
        flights += 1
    assert flights < 20
    assert set(told(outbox)) == set(ipv4(10)) - {bad}
    assert outbox.backlog.refused == outbox.given_up == 1
    assert (bad, None) in outbox.take_corrections()
    outbox.reach(frozenset(), again=True)
    assert take(outbox).prefixes == (bad,)


def test_a_host_that_refuses_everything_loses_nothing():
    outbox = Outbox()
    put(outbox, *((prefix, ONE) for prefix in ipv4(60)))
    pauses = 0
    for _ in range(500):
        batch = take(outbox, refusing=pauses > 0)
        if batch is not None:
            pauses += outbox.answered(batch, done=False)
    assert pauses > 400
    assert told(outbox) == {}
    while (batch := take(outbox)) is not None:
        outbox.answered(batch, done=True)
    assert len(told(outbox)) == 60


def test_a_refused_move_leaves_what_was_told():
    outbox = Outbox()
    say(outbox, (X, ONE))
    put(outbox, (X, TWO))
    outbox.take_corrections()
    outbox.answered(take(outbox), done=False)
    assert told(outbox) == {X: ONE}
    assert outbox.take_corrections() == [(X, ONE)]


def test_lost_answers_are_asked_for_again():
    outbox = Outbox()
    put(outbox, (X, ONE))
    first = take(outbox)
    put(outbox, (Y, TWO))
    second = take(outbox, 1)
    put(outbox, (Y, None))
    outbox.unsure([first, second])
    batches = [take(outbox), take(outbox)]
    assert {(batch.step.verb, batch.prefixes) for batch in batches} == {(Verb.ANNOUNCE, (X,)), (Verb.WITHDRAW, (Y,))}


def test_routes_for_neighbors_that_are_not_there_wait_for_them():
    outbox = Outbox()
    outbox.reach(frozenset({"192.0.2.8"}), again=False)
    put(outbox, (X, SOME))
    assert take(outbox) is None
    assert outbox.backlog.refused == 1
    outbox.reach(frozenset({"192.0.2.8", "192.0.2.9"}), again=False)
    assert take(outbox).prefixes == (X,)


def test_a_replay_tells_a_new_neighbor_what_is_for_it():
    outbox = Outbox()
    say(outbox, *((prefix, ONE) for prefix in ipv4(100)), *((prefix, SIX) for prefix in ipv6(30)), (X, SOME))
    replay = Replay("192.0.2.8", frozenset({IPV4, IPV6}))
    seen = set()
    while (batch := take(outbox, replay=replay)) is not None:
        assert batch.replay_to == "192.0.2.8"
        assert batch.news == []
        seen.update(batch.prefixes)
        outbox.answered(batch, done=True)
    assert replay.ended
    assert seen == {*ipv4(100), *ipv6(30)}


def test_live_goes_before_a_replay():
    outbox = Outbox()
    say(outbox, *((prefix, ONE) for prefix in ipv4(100)))
    replay = Replay("192.0.2.8", frozenset({IPV4}))
    put(outbox, (X, ONE))
    assert take(outbox, replay=replay).prefixes == (X,)
