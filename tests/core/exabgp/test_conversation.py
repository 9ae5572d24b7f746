"""Events in, exact lines out."""

import json

from dnstap_bgp.core.exabgp.barrier import BARRIER_BITS, Barrier
from dnstap_bgp.core.exabgp.conversation import ANSWER_WAIT_S, BRISK_S, SILENCE_S, Conversation
from dnstap_bgp.core.exabgp.flight import Stage
from dnstap_bgp.core.exabgp.grammar import Answer, Row, read_line
from dnstap_bgp.core.exabgp.outbox import Outbox
from dnstap_bgp.core.model import Attributes, Change

OPENING = "enable-ack\nenable-ack\nversion\n"
ONE = Attributes(bytes([192, 0, 2, 1]))
X = bytes([10, 0, 0, 1])
DONE = b"done"
HEADER = b"Peer            AS        up/down state       |     #sent     #recvd"


def bits(_count):
    return 0b1011_0010


def neighbor_row(address="192.0.2.9", *, up=True, families=("ipv4 unicast", "ipv6 unicast")):
    return {
        "fsm": "ESTABLISHED" if up else "ACTIVE",
        "duration": 5 if up else 0,
        "local": {
            "address": "192.0.2.8",
            "as": 1,
            "id": "1.1.1.1",
            "families": {"ipv4 unicast": True, "ipv6 unicast": True},
        },
        "peer": {"address": address, "as": 2},
        "families": list(families) if up else [],
        "messages": {"sent": {"update": 0}},
    }


class Talk:
    def __init__(self):
        self.outbox = Outbox()
        self.talk = Conversation(self.outbox, bits)
        self.now = 100.0

    @property
    def stage(self):
        return self.talk.stage.value

    def hear(self, *lines):
        for line in lines:
            item = read_line(line)
            if item is not None:
                self.talk.receive(item, self.now)

    def say(self):
        outgoing = self.talk.next(self.now)
        return outgoing.data.decode() if outgoing is not None else None

    def pass_barrier(self, lines):
        for line in lines.splitlines():
            self.hear(*([HEADER, b"10.0.0.1 2 down", DONE] if line.endswith("summary") else [DONE]))

    def ready(self, *rows):
        assert self.say() == OPENING
        self.hear(DONE, b"exabgp 5.0.15", DONE)
        self.pass_barrier(self.say())
        assert self.talk.stage is Stage.READY
        assert self.say() == "show neighbor json\n"
        self.hear(json.dumps(list(rows) or [neighbor_row()]).encode(), DONE)
        return self


def test_the_opening_asks_for_answers_and_the_version_first():
    talk = Talk()
    assert talk.say() == OPENING
    assert talk.say() is None


def test_another_major_version_is_refused_and_nothing_is_said():
    talk = Talk()
    talk.say()
    talk.outbox.put([Change(X, ONE)])
    talk.hear(b"error", b"exabgp 4.2.25", DONE)
    assert talk.talk.stage is Stage.REFUSED
    for _ in range(100):
        talk.now += 100
        assert talk.say() is None
        talk.hear(DONE, b"exabgp 5.0.15")
    (note,) = talk.talk.notes.take()
    assert "4.2.25" in note.text
    assert talk.outbox.backlog.live == 1


def test_a_barrier_is_passed_by_its_own_answers_only():
    barrier = Barrier(lambda _count: 0b1011_0010)
    for stale in range(1_000):
        assert not barrier.answered(Answer.DONE if stale % 3 else Answer.ERROR)
    lines = barrier.lines.splitlines()
    assert len(lines) == BARRIER_BITS
    for number, line in enumerate(lines):
        if line.endswith(b"summary"):
            barrier.row(b"Peer            AS")
            barrier.row(b"10.0.0.1 65001 down")
        assert barrier.answered(Answer.DONE) == (number == BARRIER_BITS - 1)


def test_another_barrier_does_not_pass_for_ours():
    ours = Barrier(lambda _count: 0b1011_0010)
    theirs = Barrier(lambda _count: 0b1011_0011)
    for line in theirs.lines.splitlines() * 2:
        if line.endswith(b"summary"):
            ours.row(b"Peer")
        assert not ours.answered(Answer.DONE)


def test_answers_to_a_dead_predecessor_are_discarded():
    talk = Talk()
    talk.say()
    talk.hear(*[DONE] * 50, b"exabgp 5.0.15", DONE, DONE)
    lines = talk.say()
    talk.hear(*[DONE] * 900, b"error", HEADER, b"10.0.0.1 2 down", DONE, b"[]", DONE)
    assert talk.stage == "barrier"
    talk.pass_barrier(lines)
    assert talk.stage == "ready"
    assert talk.say() == "show neighbor json\n"
    assert talk.talk.stray == 0


def test_a_fresh_address_goes_at_once_in_a_line_of_its_own():
    talk = Talk().ready()
    talk.outbox.put([Change(X, ONE)])
    assert talk.say() == "announce attributes next-hop 192.0.2.1 nlri 10.0.0.1/32\n"
    assert talk.say() is None
    talk.hear(DONE)
    assert talk.talk.acknowledged == 2


def test_nothing_is_said_while_there_is_no_neighbor():
    talk = Talk()
    talk.outbox.put([Change(X, ONE)])
    talk.say()
    talk.hear(b"exabgp 5.0.15")
    talk.pass_barrier(talk.say())
    talk.say()
    talk.hear(b"[]", DONE)
    assert talk.say() is None
    talk.now += 1
    assert talk.say() == "show neighbor json\n"
    talk.hear(json.dumps([neighbor_row(up=False)]).encode(), DONE)
    assert talk.say() == "announce attributes next-hop 192.0.2.1 nlri 10.0.0.1/32\n"


def test_end_of_rib_comes_after_the_restore_and_for_negotiated_families():
    talk = Talk().ready(neighbor_row(families=("ipv4 unicast",)))
    assert talk.say() is None
    talk.outbox.put([Change(X, ONE)], bulk=True)
    talk.talk.duties.restored = True
    assert talk.say().startswith("announce")
    assert talk.say() is None
    talk.hear(DONE)
    assert talk.say() == "neighbor 192.0.2.9 announce eor ipv4 unicast\n"
    assert talk.say() is None
    talk.hear(DONE)
    assert talk.say() is None


def up_event(address="192.0.2.9", counter=3):
    neighbor = {
        "address": {"local": "192.0.2.8", "peer": address},
        "asn": {"local": 1, "peer": 2},
        "router-id": "1.1.1.1",
        "state": "up",
    }
    return (
        f'{{ "exabgp": "5.0.0", "counter": {counter}, "type": "state", "neighbor": {json.dumps(neighbor)} }}'.encode()
    )


def test_end_of_rib_on_each_up():
    talk = Talk().ready(neighbor_row(families=("ipv4 unicast",)))
    talk.talk.duties.restored = True
    assert talk.say() == "neighbor 192.0.2.9 announce eor ipv4 unicast\n"
    talk.hear(DONE, up_event().replace(b"up", b"down"))
    talk.now += 1
    assert talk.say() == "show neighbor json\n"
    talk.hear(json.dumps([neighbor_row(up=False)]).encode(), DONE, up_event(counter=5))
    talk.now += 1
    assert talk.say() == "show neighbor json\n"
    talk.hear(json.dumps([neighbor_row(families=("ipv4 unicast",))]).encode(), DONE)
    assert talk.say() == "neighbor 192.0.2.9 announce eor ipv4 unicast\n"


def test_a_neighbor_that_comes_later_is_told_everything():
    talk = Talk().ready()
    talk.outbox.put([Change(X, ONE)])
    talk.say()
    talk.hear(DONE, up_event("192.0.2.7"))
    talk.now += 1
    assert talk.say() == "show neighbor json\n"
    talk.hear(json.dumps([neighbor_row(), neighbor_row("192.0.2.7")]).encode(), DONE)
    assert talk.say() == "neighbor 192.0.2.7 announce attributes next-hop 192.0.2.1 nlri 10.0.0.1/32\n"


def test_before_a_change_of_attributes_those_that_are_down_withdraw():
    talk = Talk().ready(neighbor_row(), neighbor_row("192.0.2.7", up=False))
    talk.talk.duties.neighbors.at("192.0.2.9")[0].draining = False
    talk.outbox.put([Change(X, ONE)])
    talk.say()
    talk.hear(DONE)
    talk.outbox.put([Change(X, Attributes(ONE.next_hop, med=7))])
    said = []
    for _ in range(10):
        line = talk.say()
        if line is None:
            break
        said.append(line)
        rows = [neighbor_row(), neighbor_row("192.0.2.7", up=False)]
        talk.hear(*([json.dumps(rows).encode()] if "json" in line else []), DONE)
    assert [line for line in said if "nlri" in line] == [
        "neighbor 192.0.2.7 withdraw attributes next-hop 192.0.2.1 nlri 10.0.0.1/32\n",
        "announce attributes next-hop 192.0.2.1 med 7 nlri 10.0.0.1/32\n",
    ]
    assert len(said) >= 4  # two later lines, one of them a fresh look at the neighbors


def test_silence_is_told_once_and_after_long_the_place_is_found_again():
    talk = Talk().ready()
    talk.talk.notes.take()
    talk.outbox.put([Change(X, ONE)])
    talk.say()
    talk.now += SILENCE_S
    assert talk.say() == "show neighbor json\n"
    assert talk.say() is None
    assert [note.text for note in talk.talk.notes.take()] == [
        "ExaBGP has not answered for 10 s; nothing is lost, 0 prefixes wait"
    ]
    talk.now += ANSWER_WAIT_S
    assert talk.say() == OPENING
    talk.hear(DONE, b"exabgp 5.0.15")  # the late answer comes first
    talk.pass_barrier(talk.say())
    assert talk.say() == "show neighbor json\n"
    talk.hear(json.dumps([neighbor_row()]).encode(), DONE)
    assert talk.say() == "announce attributes next-hop 192.0.2.1 nlri 10.0.0.1/32\n"


def test_a_host_that_refuses_everything_is_asked_less_and_less():
    talk = Talk().ready()
    talk.outbox.put([Change(X, ONE)])
    said = 0
    for _ in range(10_000):
        talk.now += 0.1
        line = talk.say()
        if line is not None and "nlri" in line:
            said += 1
            talk.hear(b"error")
        elif line is not None:
            talk.hear(json.dumps([neighbor_row()]).encode(), DONE)
    assert 10 < said < 60


def test_rows_that_nobody_asked_for_are_ignored():
    talk = Talk().ready()
    for row in (b"[]", HEADER, b"exabgp 4.2.25", b"x" * 100_000):
        talk.talk.receive(Row(row), talk.now)
    assert talk.talk.stage is Stage.READY
    assert len(talk.talk.duties.neighbors) == 1


# -- lines that are prepared while others are on their way


def bulk(count, start=0):
    return [Change(bytes([10, 0, 1, number]), ONE) for number in range(start, start + count)]


def lane_full():
    """Two lines are unanswered, and 49 prefixes wait."""
    talk = Talk().ready()
    talk.outbox.put(bulk(3 * 49), bulk=True)
    assert [talk.say() is None for _ in range(3)] == [False, False, True]
    return talk


def test_what_is_prepared_is_said_once_a_line_is_answered():
    talk = lane_full()
    prepared = talk.talk.prepare(talk.now)
    assert prepared is not None
    assert len(prepared.news) == 49
    assert talk.talk.prepare(talk.now) is None, "it is recorded once"
    assert talk.outbox.told_count.total() == 2 * 49, "nothing counts as told by it"
    assert talk.talk.next(talk.now) is None
    talk.hear(DONE)
    assert talk.talk.next(talk.now) is prepared
    assert talk.outbox.told_count.total() == 3 * 49
    assert talk.talk.prepare(talk.now) is None
    assert talk.outbox.take_corrections() == []


def test_a_fresh_address_goes_before_what_is_prepared():
    talk = lane_full()
    prepared = talk.talk.prepare(talk.now)
    talk.outbox.put([Change(X, ONE)])
    talk.hear(DONE, DONE)
    assert "10.0.0.1/32" in talk.say()
    talk.hear(DONE)
    # bulk keeps out of the way of fresh addresses now, in shorter lines: what was prepared is none of them
    following = talk.talk.next(talk.now)
    assert following is not prepared
    assert set(following.news) <= set(prepared.news)
    assert talk.outbox.take_corrections(), "what is recorded and was not said is taken back"


def test_a_newer_wish_overtakes_what_is_prepared():
    talk = lane_full()
    prepared = talk.talk.prepare(talk.now)
    gone, _ = prepared.news[0]
    talk.outbox.put([Change(gone, None)])
    again = talk.talk.prepare(talk.now)
    assert (gone, None) in talk.outbox.take_corrections()
    talk.hear(DONE)
    said = talk.talk.next(talk.now)
    assert said is again
    assert gone not in dict(said.news)


def test_what_was_said_and_withdrawn_meanwhile_is_recorded_anew():
    talk = lane_full()
    prepared = talk.talk.prepare(talk.now)
    prefix, _ = prepared.news[0]
    talk.outbox.put([Change(prefix, ONE)])
    talk.hear(DONE, DONE)
    assert talk.say().startswith("announce")
    talk.outbox.put([Change(prefix, None)])
    talk.hear(DONE)
    assert talk.say().startswith("withdraw")
    talk.hear(DONE)
    assert (prefix, None) in talk.outbox.take_corrections()
    talk.outbox.put([Change(prefix, ONE)], bulk=True)
    talk.now += BRISK_S  # bulk's lines are long again
    recorded = []
    while (outgoing := talk.talk.next(talk.now)) is not None:
        assert outgoing is not prepared, "its record was overtaken by that of the withdraw"
        recorded += outgoing.news
        talk.hear(DONE)
    assert set(prepared.news) <= set(recorded)


def test_nothing_is_prepared_behind_what_must_be_alone():
    talk = Talk().ready()
    talk.outbox.put(bulk(60), bulk=True)
    assert talk.talk.prepare(talk.now) is None, "nothing is under way: next says it"
    talk.say()
    talk.outbox.muted = True
    assert talk.talk.prepare(talk.now) is None
    talk.outbox.muted = False
    assert talk.talk.prepare(talk.now) is not None
    talk.outbox.muted = True
    assert talk.talk.prepare(talk.now) is None
    assert len(talk.outbox.take_corrections()) == 11
