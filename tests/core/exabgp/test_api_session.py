"""Events in, exact lines out."""

import json
import re

import pytest

from dnstap_bgp.core.exabgp import api_session
from dnstap_bgp.core.exabgp.api_session import (
    ANSWER_WAIT_S,
    LOW_LATENCY_S,
    POLL_DRAINING_S,
    POLL_MIN_S,
    POLL_S,
    SILENCE_S,
    ApiSession,
    Stage,
)
from dnstap_bgp.core.exabgp.grammar import CommandAnswer, FamiliesEvent, Row, read_line
from dnstap_bgp.core.exabgp.in_flight import BARRIER_BITS, Barrier
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.model import Attributes, Audience, Change, PerView, unknown_attributes

OPENING = "enable-ack\nenable-ack\nversion\n"
ONE = Attributes(bytes([192, 0, 2, 1]))
X = bytes([10, 0, 0, 1])
SIX_A, SIX_B = (bytes([0x2A, *bytes(14), number]) for number in (1, 2))
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
        self.views = Views()
        self.talk = ApiSession(self.views, bits)
        self.now = 100.0
        self.written = ""

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
    talk.views.sole.put([Change(X, ONE)])
    talk.hear(b"error", b"exabgp 4.2.25", DONE)
    assert talk.talk.stage is Stage.REFUSED
    for _ in range(100):
        talk.now += 100
        assert talk.say() is None
        talk.hear(DONE, b"exabgp 5.0.15")
    (note,) = talk.talk.notes.take()
    assert "4.2.25" in note.text
    assert talk.views.sole.backlog.live == 1


def test_a_barrier_begins_with_a_header_even_if_none_was_drawn():
    """A row of `done`s before it would be a part of it else."""

    def nothing(_count: int) -> int:
        return 0

    assert Barrier(nothing).lines.startswith(b"show neighbor nobody summary\n")


def test_a_barrier_is_passed_by_its_own_answers_only():
    barrier = Barrier(lambda _count: 0b1011_0010)
    for stale in range(1_000):
        assert not barrier.answered(CommandAnswer.DONE if stale % 3 else CommandAnswer.ERROR)
    lines = barrier.lines.splitlines()
    assert len(lines) == BARRIER_BITS
    for number, line in enumerate(lines):
        if line.endswith(b"summary"):
            barrier.row(b"Peer            AS")
            barrier.row(b"10.0.0.1 65001 down")
        assert barrier.answered(CommandAnswer.DONE) == (number == BARRIER_BITS - 1)


def test_another_barrier_does_not_pass_for_ours():
    ours = Barrier(lambda _count: 0b1011_0010)
    theirs = Barrier(lambda _count: 0b1011_0011)
    for line in theirs.lines.splitlines() * 2:
        if line.endswith(b"summary"):
            ours.row(b"Peer")
        assert not ours.answered(CommandAnswer.DONE)


@pytest.mark.parametrize("rows", [[], [b"[{"], [b"no row of the neighbors"]])
@pytest.mark.parametrize("answer", [DONE, b"error"])
def test_neighbors_that_can_not_be_read_are_asked_for_again_in_a_while(rows, answer):
    """Thousands of neighbors make a row that is longer than any line that is read."""
    talk = Talk().ready()
    talk.talk.notes.take()
    talk.now += POLL_S
    assert talk.say() == "show neighbor json\n"
    talk.hear(*rows, answer)
    talk.now += POLL_S - 1
    assert talk.say() is None, "not at once, for as long as that lasts"
    (note,) = talk.talk.notes.take()
    assert "`show neighbor json` can't be read" in note.text
    talk.now += 1
    assert talk.say() == "show neighbor json\n"
    talk.hear(json.dumps([neighbor_row()]).encode(), DONE)
    talk.now += POLL_MIN_S
    assert talk.say() is None


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
    talk.views.sole.put([Change(X, ONE)])
    assert talk.say() == "announce attributes next-hop 192.0.2.1 nlri 10.0.0.1/32\n"
    assert talk.say() is None
    talk.hear(DONE)
    assert (talk.talk.acknowledged, talk.talk.errors, talk.talk.stray) == (2, 0, 0)


def test_answers_are_counted_also_those_that_nothing_was_asked_for():
    talk = Talk().ready()
    talk.hear(DONE, b"error")
    assert (talk.talk.acknowledged, talk.talk.errors, talk.talk.stray) == (1, 0, 2)
    talk.views.sole.put([Change(X, ONE)])
    talk.say()
    talk.hear(b"error")
    assert (talk.talk.acknowledged, talk.talk.errors, talk.talk.stray) == (1, 1, 2)
    assert talk.talk.lines == 4, "two of the opening, for the neighbors, a route"


def test_nothing_is_said_while_there_is_no_neighbor():
    talk = Talk()
    talk.views.sole.put([Change(X, ONE)])
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
    talk.views.sole.put([Change(X, ONE)], bulk=True)
    talk.talk.tasks.restored = True
    assert talk.say().startswith("announce")
    assert talk.say() is None
    talk.hear(DONE)
    assert talk.say() == "neighbor 192.0.2.9 announce eor ipv4 unicast\n"
    assert talk.say() is None
    talk.hear(DONE)
    assert talk.say() is None


def test_unknown_attributes_are_never_said_and_every_neighbor_gets_its_table_again():
    """A forged state file: its prefix is withdrawn by the dummy next-hop, then each neighbor is flushed."""
    talk = Talk()
    talk.views.sole.recall([(X, unknown_attributes(X))])
    for shard in range(256):
        talk.views.sole.resync(shard)
    talk.ready(neighbor_row(), neighbor_row("192.0.2.7"))
    assert talk.say() == "withdraw attributes next-hop 192.0.0.8 nlri 10.0.0.1/32\n"
    talk.hear(DONE)
    assert talk.say() is None, "the restore is under way: more may come"
    talk.talk.tasks.restored = True
    rows = json.dumps([neighbor_row(), neighbor_row("192.0.2.7")]).encode()
    said = []
    for _ in range(30):  # both are up since before, and may be draining: some rows prove that they are not
        line = talk.say()
        if line is None:
            talk.now += 5
            continue
        said.append(line)
        talk.hear(*([rows, DONE] if line.startswith("show") else [DONE]))
    assert [line for line in said if "flush" in line] == [
        "neighbor 192.0.2.9 flush adj-rib out\n",
        "neighbor 192.0.2.7 flush adj-rib out\n",
    ]
    assert not any("announce attributes" in line for line in said)


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
    talk.talk.tasks.restored = True
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
    talk.views.sole.put([Change(X, ONE)])
    talk.say()
    talk.hear(DONE, up_event("192.0.2.7"))
    talk.now += 1
    assert talk.say() == "show neighbor json\n"
    talk.hear(json.dumps([neighbor_row(), neighbor_row("192.0.2.7")]).encode(), DONE)
    assert talk.say() == "neighbor 192.0.2.7 announce attributes next-hop 192.0.2.1 nlri 10.0.0.1/32\n"


def test_before_a_change_of_attributes_those_that_are_down_withdraw():
    talk = Talk().ready(neighbor_row(), neighbor_row("192.0.2.7", up=False))
    talk.talk.tasks.neighbors.at("192.0.2.9")[0].draining = False
    talk.views.sole.put([Change(X, ONE)])
    talk.say()
    talk.hear(DONE)
    talk.views.sole.put([Change(X, Attributes(ONE.next_hop, med=7))])
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


NINE, SEVEN = Audience(("192.0.2.9",)), Audience(("192.0.2.9",), is_except=True)
"""Two views: of one neighbor, and of everyone except it."""


def in_two_views(*rows):
    talk = Talk()
    talk.views.configure([NINE, SEVEN])
    return talk.ready(*(rows or (neighbor_row(), neighbor_row("192.0.2.7"))))


def per_view(one, other):
    first = one or other
    return None if first is None else PerView(first.next_hop, by_view=(one, other))


def said_with(talk, rows, *, refused=(), count=20):
    """All lines with routes, each answered at once."""
    said = []
    for _ in range(count):
        line = talk.say()
        if line is None:
            break
        if "nlri" in line and "192.0.0.8" not in line:  # of a probe
            said.append(line.strip())
        is_refused = any(part in line for part in refused)
        talk.hear(*([json.dumps(rows).encode()] if "json" in line else []), b"error" if is_refused else DONE)
        talk.now += 0.1
    return said


def test_a_neighbor_that_drains_holds_up_its_own_view_alone():
    rows = [neighbor_row(), neighbor_row("192.0.2.7")]
    talk = in_two_views(*rows)
    nine, seven = (talk.talk.tasks.neighbors.at(address)[0] for address in ("192.0.2.9", "192.0.2.7"))
    nine.draining = seven.draining = False
    changed = Attributes(ONE.next_hop, med=7)
    talk.views.put([Change(X, per_view(ONE, ONE))])
    said_with(talk, rows)
    nine.draining, nine.updates = True, None
    rows[0]["messages"]["sent"]["update"] = 1_000
    talk.views.put([Change(X, per_view(changed, changed))])
    said = said_with(talk, rows, count=12)
    assert said == ["neighbor 192.0.2.7 announce attributes next-hop 192.0.2.1 med 7 nlri 10.0.0.1/32"]
    nine.draining = False
    assert said_with(talk, rows) == ["neighbor 192.0.2.9 announce attributes next-hop 192.0.2.1 med 7 nlri 10.0.0.1/32"]


def test_other_views_wait_for_a_look_at_the_neighbors_not_oftener_than_it_may_be():
    """One view's change waits for it, and it for a moment with nothing in flight: that costs the others a pause."""
    talk = in_two_views()
    for neighbor in talk.talk.tasks.neighbors:
        neighbor.draining = False
    talk.views.put([Change(X, per_view(ONE, None))])
    assert talk.say().startswith("neighbor 192.0.2.9 announce")
    talk.hear(DONE)
    talk.views.put([Change(X, per_view(Attributes(ONE.next_hop, med=7), None))])
    prefixes = [bytes([10, 1, 0, number]) for number in range(5 * 49)]
    talk.views.put([Change(prefix, per_view(None, ONE)) for prefix in prefixes], bulk=True)
    talk.now += LOW_LATENCY_S
    talk.talk._neighbors_asked = talk.now - 0.4
    talk.talk._neighbors_due = talk.now + 60
    for _ in range(2):
        assert talk.say().startswith("neighbor 192.0.2.7 announce")
    talk.hear(DONE)
    assert talk.say().startswith("neighbor 192.0.2.7 announce")
    talk.now += 0.1
    talk.hear(DONE)
    assert talk.say() is None
    talk.hear(DONE)
    assert talk.say() == "show neighbor json\n"


def test_an_attribute_change_is_alone_in_flight():
    rows = [neighbor_row()]
    talk = Talk().ready(*rows)
    for neighbor in talk.talk.tasks.neighbors:
        neighbor.draining = False
    talk.views.sole.put([Change(X, ONE)])
    said_with(talk, rows)
    talk.views.sole.put([Change(X, Attributes(ONE.next_hop, med=7))])
    while "nlri" not in (line := talk.say()):
        talk.hear(*([json.dumps(rows).encode()] if "json" in line else []), DONE)
    assert line == "announce attributes next-hop 192.0.2.1 med 7 nlri 10.0.0.1/32\n"
    talk.views.sole.put([Change(bytes([10, 0, 0, 2]), ONE)])
    assert talk.say() is None
    talk.hear(DONE)
    assert said_with(talk, rows) == ["announce attributes next-hop 192.0.2.1 nlri 10.0.0.2/32"]


def test_a_view_that_is_refused_holds_up_nobody_else():
    """ExaBGP takes nothing for one neighbor: the other's routes and its End-of-RIB go on."""
    rows = [neighbor_row(), neighbor_row("192.0.2.7")]
    talk = in_two_views(*rows)
    for neighbor in talk.talk.tasks.neighbors:
        neighbor.draining = False
    talk.talk.tasks.restored = True
    prefixes = [bytes([10, 0, 1, number]) for number in range(60)]
    talk.views.put([Change(prefix, per_view(ONE, ONE)) for prefix in prefixes], bulk=True)
    said = said_with(talk, rows, refused=["neighbor 192.0.2.9"], count=60)
    others = [line for line in said if line.startswith("neighbor 192.0.2.7 ")]
    assert sum(line.count("/32") for line in others) == 60
    seven = talk.views.of("192.0.2.7")
    assert seven.reconciler.handed_over
    assert not seven.pause_s
    assert talk.talk.tasks.neighbors.at("192.0.2.7")[0].eor_due_since is None, "it had its End-of-RIB"
    assert talk.views.of("192.0.2.9").reconciler.backlog.refused == 60


def test_a_neighbor_that_changes_view_has_the_old_ones_withdrawn_there_alone():
    """It is down, so what it had is withdrawn first; what both views have alike stays as it is."""
    rows = [neighbor_row(), neighbor_row("192.0.2.7", up=False)]
    talk = in_two_views(*rows)
    talk.talk.tasks.neighbors.at("192.0.2.9")[0].draining = False
    two, alike = Attributes(bytes([192, 0, 2, 2])), bytes([10, 0, 0, 2])
    talk.views.put([Change(X, per_view(ONE, two)), Change(alike, per_view(ONE, ONE))])
    said_with(talk, rows)
    everyone = Audience(is_except=True)
    talk.views.configure([everyone])
    talk.views.put([Change(X, ONE), Change(alike, ONE)])
    assert said_with(talk, rows) == [
        "neighbor 192.0.2.7 withdraw attributes next-hop 192.0.2.2 nlri 10.0.0.1/32",
        "neighbor 192.0.2.7 announce attributes next-hop 192.0.2.1 nlri 10.0.0.1/32",
    ]
    for _ in range(5):  # what was changed settles, and then all have the same
        talk.now += POLL_S
        assert said_with(talk, rows) == []
    assert [view.audience for view in talk.views] == [everyone]


def test_a_neighbor_that_joins_is_replayed_from_the_view_that_it_falls_into():
    rows = [neighbor_row(), neighbor_row("192.0.2.7")]
    talk = in_two_views(*rows)
    two = Attributes(bytes([192, 0, 2, 2]))
    talk.views.put([Change(X, per_view(ONE, two))])
    assert len(said_with(talk, rows)) == 2
    rows.append(neighbor_row("192.0.2.6"))
    talk.now += POLL_S
    assert said_with(talk, rows) == ["neighbor 192.0.2.6 announce attributes next-hop 192.0.2.2 nlri 10.0.0.1/32"]


def test_a_view_that_had_nobody_tells_the_first_neighbor_that_it_gets():
    talk = in_two_views(neighbor_row())
    talk.views.put([Change(X, per_view(None, ONE))])
    assert said_with(talk, [neighbor_row()]) == []
    talk.now += POLL_S
    assert said_with(talk, [neighbor_row(), neighbor_row("192.0.2.7")]) == [
        "neighbor 192.0.2.7 announce attributes next-hop 192.0.2.1 nlri 10.0.0.1/32"
    ]


def test_silence_is_told_once_and_after_long_the_place_is_found_again():
    talk = Talk().ready()
    talk.talk.notes.take()
    talk.views.sole.put([Change(X, ONE)])
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


def test_it_waits_until_something_is_due_and_never_turns_idly():
    talk = Talk()
    assert talk.talk.wait_s(talk.now) == POLL_S
    talk.ready()
    assert talk.talk.wait_s(talk.now) == pytest.approx(POLL_DRAINING_S)
    assert talk.talk.wait_s(talk.now + POLL_DRAINING_S - 0.5) == pytest.approx(0.5)
    assert talk.talk.wait_s(talk.now + 2 * POLL_DRAINING_S) == POLL_MIN_S
    talk.views.sole.put([Change(X, ONE)])
    talk.say()
    assert talk.talk.wait_s(talk.now) == SILENCE_S
    assert talk.talk.wait_s(talk.now + SILENCE_S - 1) == pytest.approx(1)


def test_how_often_the_neighbors_are_asked_for():
    """Every ten seconds; every two while one drains; twice a second while there is none, and never faster than ten."""
    drained = [neighbor_row()]
    talk = Talk().ready(*drained)
    talk.now += 1.9
    assert talk.say() is None
    talk.now += 0.1
    assert talk.say() == "show neighbor json\n"
    talk.hear(json.dumps(drained).encode(), DONE)
    assert not talk.talk.tasks.neighbors.draining
    assert talk.talk.wait_s(talk.now) == 10.0
    talk.now += 9.9
    assert talk.say() is None
    talk.now += 0.1
    assert talk.say() == "show neighbor json\n"
    talk.hear(b"[]", DONE)
    assert talk.talk.wait_s(talk.now) == pytest.approx(0.5)
    talk.now += 0.4
    assert talk.say() is None
    talk.now += 0.1
    assert talk.say() == "show neighbor json\n"
    talk.hear(json.dumps(drained).encode(), DONE, up_event("192.0.2.7"))
    talk.now += 0.0625
    assert talk.say() is None
    assert talk.talk.wait_s(talk.now) == 0.1
    talk.now += 0.0625
    assert talk.say() == "show neighbor json\n"


def test_an_exabgp_that_answers_nothing_is_spoken_to_less_and_less():
    talk = Talk().ready()
    talk.views.sole.put([Change(X, ONE)])
    assert talk.say().startswith("announce")
    waits = []
    for _ in range(6):
        began = talk.now
        while (line := talk.say()) != OPENING:
            assert line in (None, "show neighbor json\n")
            talk.now += 10.0
        waits.append(talk.now - began)
    assert waits == [300.0, 600.0, 1_200.0, 2_400.0, 3_600.0, 3_600.0]
    talk.hear(b"exabgp 5.0.15")
    talk.pass_barrier(talk.say())
    began = talk.now
    assert talk.say() == "show neighbor json\n"
    while talk.say() != OPENING:
        talk.now += 10.0
    assert talk.now - began == 300.0, "it had answered"


def test_silence_is_worth_a_note_after_ten_seconds():
    talk = Talk().ready()
    talk.views.sole.put([Change(X, ONE)])
    talk.say()
    talk.talk.notes.take()
    assert talk.talk.silent_s(talk.now + 9.9) == pytest.approx(9.9)
    for passed, notes in ((9.9, 0), (0.1, 1)):
        talk.now += passed
        talk.say()
        assert len(talk.talk.notes.take()) == notes
    talk.hear(DONE, DONE)
    assert talk.talk.silent_s(talk.now) == 0.0
    assert talk.talk.unanswered == 0


@pytest.mark.parametrize(("passed", "prefixes"), [(9.9, 24), (10.0, 49)])
def test_for_ten_seconds_bulk_keeps_out_of_the_way_of_fresh_addresses(passed, prefixes):
    talk = Talk().ready()
    talk.views.sole.put([Change(X, ONE)])
    talk.say()
    talk.hear(DONE)
    talk.views.sole.put(bulk(100), bulk=True)
    talk.now += passed
    talk.talk._neighbors_due = talk.now + 60
    assert talk.say().count("/32") == prefixes


def test_where_nothing_is_said_any_more_it_waits_long():
    talk = Talk()
    talk.say()
    talk.hear(DONE, b"exabgp 4.2.25", DONE)
    assert talk.talk.stage is Stage.REFUSED
    for _ in range(3):
        talk.now += 100
        talk.say()
        assert talk.talk.wait_s(talk.now) == POLL_S


def test_a_host_that_refuses_everything_is_asked_less_and_less():
    talk = Talk().ready()
    talk.views.sole.put([Change(X, ONE)])
    said = []
    for _ in range(10_000):
        talk.now += 0.1
        line = talk.say()
        if line is not None and "nlri" in line:
            said.append(line)
            talk.hear(b"error")
        elif line is not None:
            talk.hear(json.dumps([neighbor_row()]).encode(), DONE)
    assert 10 < len(said) < 100
    assert len(set(said)) == 3, "the line, and the probes that show whose fault it is"
    assert talk.views.sole.backlog.suspects == 1, "nothing is given up"


def test_rows_that_nobody_asked_for_are_ignored():
    talk = Talk().ready()
    for row in (b"[]", HEADER, b"exabgp 4.2.25", b"x" * 100_000):
        talk.talk.receive(Row(row), talk.now)
    assert talk.talk.stage is Stage.READY
    assert len(talk.talk.tasks.neighbors) == 1


# -- lines that are prepared while others are on their way


def bulk(count, start=0):
    return [Change(bytes([10, 0, 1, number]), ONE) for number in range(start, start + count)]


def lane_full():
    """Two lines are unanswered, and 49 prefixes wait."""
    talk = Talk().ready()
    talk.views.sole.put(bulk(3 * 49), bulk=True)
    assert [talk.say() is None for _ in range(3)] == [False, False, True]
    return talk


def test_what_is_prepared_is_said_once_a_line_is_answered():
    talk = lane_full()
    prepared = talk.talk.prepare(talk.now)
    assert prepared is not None
    assert len(prepared.records) == 49
    assert talk.talk.prepare(talk.now) is None, "it is recorded once"
    assert talk.views.sole.adj_rib_out.count.total() == 2 * 49, "nothing counts as told by it"
    assert talk.talk.next(talk.now) is None
    talk.hear(DONE)
    assert talk.talk.next(talk.now) is prepared
    assert talk.views.sole.adj_rib_out.count.total() == 3 * 49
    assert talk.talk.prepare(talk.now) is None
    assert talk.views.sole.take_corrections() == []


def test_more_bulk_does_not_overtake_what_is_prepared():
    """A restore and its resync put all the time, and each line would wait for a record of its own."""
    talk = lane_full()
    prepared = talk.talk.prepare(talk.now)
    talk.views.sole.put(bulk(20, start=3 * 49), bulk=True)
    talk.views.sole.put(bulk(3 * 49), bulk=True)
    assert talk.talk.prepare(talk.now) is None, "it is the next one still"
    talk.hear(DONE)
    assert talk.talk.next(talk.now) is prepared
    assert len(talk.talk.prepare(talk.now).records) == 20
    assert talk.views.sole.take_corrections() == []


def test_a_fresh_address_goes_before_what_is_prepared():
    talk = lane_full()
    prepared = talk.talk.prepare(talk.now)
    talk.views.sole.put([Change(X, ONE)])
    talk.hear(DONE, DONE)
    assert "10.0.0.1/32" in talk.say()
    talk.hear(DONE)
    # bulk keeps out of the way of fresh addresses now, in shorter lines: what was prepared is none of them
    following = talk.talk.next(talk.now)
    assert following is not prepared
    assert set(following.records) <= set(prepared.records)
    assert talk.views.sole.take_corrections(), "what is recorded and was not said is taken back"


def test_a_newer_wish_overtakes_what_is_prepared():
    talk = lane_full()
    prepared = talk.talk.prepare(talk.now)
    gone, _ = prepared.records[0]
    talk.views.sole.put([Change(gone, None)])
    again = talk.talk.prepare(talk.now)
    assert (gone, None) in talk.views.sole.take_corrections()
    talk.hear(DONE)
    said = talk.talk.next(talk.now)
    assert said is again
    assert gone not in dict(said.records)


def test_what_was_said_and_withdrawn_meanwhile_is_recorded_anew():
    talk = lane_full()
    prepared = talk.talk.prepare(talk.now)
    prefix, _ = prepared.records[0]
    talk.views.sole.put([Change(prefix, ONE)])
    talk.hear(DONE, DONE)
    assert talk.say().startswith("announce")
    talk.views.sole.put([Change(prefix, None)])
    talk.hear(DONE)
    assert talk.say().startswith("withdraw")
    talk.hear(DONE)
    assert (prefix, None) in talk.views.sole.take_corrections()
    talk.views.sole.put([Change(prefix, ONE)], bulk=True)
    talk.now += LOW_LATENCY_S  # bulk's lines are long again
    recorded = []
    while (outgoing := talk.talk.next(talk.now)) is not None:
        assert outgoing is not prepared, "its record was overtaken by that of the withdraw"
        recorded += outgoing.records
        talk.hear(DONE)
    assert set(prepared.records) <= set(recorded)


def test_nothing_is_prepared_behind_what_must_be_alone():
    talk = Talk().ready()
    talk.views.sole.put(bulk(60), bulk=True)
    assert talk.talk.prepare(talk.now) is None, "nothing is under way: next says it"
    talk.say()
    talk.views.paused = True
    assert talk.talk.prepare(talk.now) is None
    talk.views.paused = False
    assert talk.talk.prepare(talk.now) is not None
    talk.views.paused = True
    assert talk.talk.prepare(talk.now) is None
    assert len(talk.views.sole.take_corrections()) == 11


def stage_table():
    """The rows of the module's docstring: (stage, event, next stage)."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in api_session.__doc__.splitlines() if line.startswith("    ")]
    stages = {stage.name.lower() for stage in Stage}
    return [tuple(columns[:3]) for columns in lines if columns[0] in stages]


EVENTS = {
    "version of the known major": lambda talk: talk.hear(b"exabgp 5.0.15"),
    "version of another major": lambda talk: talk.hear(b"exabgp 4.2.25"),
    "all of the barrier answered": lambda talk: talk.pass_barrier(talk.written),
    "no answer for `ANSWER_WAIT_S`": lambda talk: setattr(talk, "now", talk.now + ANSWER_WAIT_S),
}


def reach(stage):
    """A talk in a stage, with its line in flight."""
    talk = Talk()
    talk.written = talk.say() or ""
    if stage in ("resync", "ready"):
        talk.hear(b"exabgp 5.0.15")
        talk.written = talk.say() or ""
    if stage == "ready":
        talk.pass_barrier(talk.written)
        talk.written = talk.say() or ""
    if stage == "refused":
        talk.hear(b"exabgp 4.2.25")
    assert talk.talk.stage.name.lower() == stage
    return talk


@pytest.mark.parametrize(("stage", "event", "following"), stage_table())
def test_each_stage_follows_as_the_table_says(stage, event, following):
    talk = reach(stage)
    if event == "-":
        following = stage
        for anything in EVENTS.values():
            talk.written = "show neighbor nobody summary\n"
            anything(talk)
            assert talk.say() is None
    else:
        EVENTS[event](talk)
        assert (talk.say() is None) == (following == "refused")
    assert talk.talk.stage.name.lower() == following


def test_the_stage_table_names_every_stage():
    assert {stage for stage, _, _ in stage_table()} == {stage.name.lower() for stage in Stage}


def test_families_that_an_open_negotiates_are_noted():
    talk = Talk().ready(neighbor_row())
    (neighbor,) = talk.talk.tasks.neighbors.at("192.0.2.9")
    assert neighbor.negotiated == {"ipv4 unicast", "ipv6 unicast"}
    talk.talk.receive(FamiliesEvent(neighbor.session, frozenset({"ipv6 unicast"}), 3), talk.now)
    assert neighbor.negotiated == {"ipv6 unicast"}


def test_what_is_withdrawn_for_one_that_is_down_counts_as_asked_for():
    rows = [neighbor_row(), neighbor_row("192.0.2.7", up=False)]
    talk = Talk().ready(*rows)
    (view,) = talk.views
    talk.talk.tasks.neighbors.at("192.0.2.9")[0].draining = False
    for attributes in (ONE, Attributes(ONE.next_hop, med=7)):
        talk.views.sole.put([Change(X, attributes)])
        counts = []
        for _ in range(10):
            before = view.updates_asked
            line = talk.say()
            if line is None:
                break
            if "nlri" in line:
                counts.append(view.updates_asked - before)
            talk.hear(*([json.dumps(rows).encode()] if "json" in line else []), DONE)
    assert counts == [1, 1], "the withdraw, and the announcement"


@pytest.mark.parametrize(("prefixes", "updates"), [([bytes([10, 0, 0, n]) for n in range(3)], 1), ([SIX_A, SIX_B], 2)])
def test_a_line_may_cause_an_update_for_each_ipv6_prefix_and_one_for_all_of_ipv4(prefixes, updates):
    talk = Talk().ready()
    talk.views.sole.put([Change(prefix, Attributes(bytes(len(prefix)))) for prefix in prefixes], bulk=True)
    (view,) = talk.views
    assert talk.say().count("/") == len(prefixes)
    assert view.updates_asked == updates
