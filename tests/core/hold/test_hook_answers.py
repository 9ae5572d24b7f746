"""Answers of hooks: the sightings of a frame, by the same rules of whose answers count."""

import random

import pytest

from dnstap_bgp.core.dns.answer import MESSAGE_MAX_BYTES
from dnstap_bgp.core.hold.hook_answers import HookAnswerCounters, HookAnswers
from dnstap_bgp.core.hold.message import Question
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.refresh.asked_names import AskedNames, NotedName
from tests.core.tap.test_prefilter import AAAA, ADDRESS, CNAME, POINTER, A, message, name, record

RULES = RuleSet.build([("list", [Rule(b"listed.test")])])
LISTED = message(name(b"www.listed.test"), record(POINTER, A, ADDRESS))
PLAIN = message(name(b"www.plain.test"), record(POINTER, A, ADDRESS))


def question(wire, hook="unbound", *, is_rewritten=False):
    return Question(bytes(8), hook, is_rewritten, True, wire)


def test_a_listed_name_gives_its_sightings_and_another_nothing():
    answers = HookAnswers(RULES)
    for _ in range(3):
        assert answers.read(question(LISTED)) == [(ADDRESS, "list", b"www.listed.test", 300)]
        assert answers.read(question(PLAIN)) == []
    assert answers.counters.sightings == 3


def test_a_chain_is_followed():
    edge = name(b"edge.plain.test")
    wire = message(name(b"www.listed.test"), record(POINTER, CNAME, edge), record(edge, AAAA, bytes(16)), rdtype=AAAA)
    assert HookAnswers(RULES).read(question(wire)) == [(bytes(16), "list", b"www.listed.test", 300)]


def test_an_answer_that_does_not_count_is_told_from_one_that_is_none_of_ours():
    answers = HookAnswers(RULES, identities=frozenset({"good"}))
    assert answers.read(question(LISTED)) is None
    assert answers.read(question(PLAIN)) == []
    assert answers.read(question(LISTED, "good"))
    assert answers.read(question(LISTED, "good", is_rewritten=True)) is None
    assert (answers.counters.foreign, answers.counters.rewritten) == (1, 1)
    assert HookAnswers(RULES, rewritten=True).read(question(LISTED, is_rewritten=True))


def test_a_successor_goes_on_counting():
    answers = HookAnswers(RULES)
    answers.read(question(LISTED))
    successor = HookAnswers(RULES, answers.counters)
    successor.read(question(LISTED))
    assert successor.counters.sightings == 2


@pytest.mark.parametrize(
    ("wire", "malformed"), [(b"", 1), (b"x", 1), (LISTED[:-1], 1), (LISTED + b"x", 1), (bytes(MESSAGE_MAX_BYTES), 0)]
)
def test_what_is_no_message_gives_nothing(wire, malformed):
    answers = HookAnswers(RULES)
    assert answers.read(question(wire)) == []
    assert answers.counters.malformed == malformed


@pytest.mark.parametrize("seed", range(20))
def test_whatever_a_hook_sends_is_read_or_left_alone(seed):
    dice = random.Random(seed)
    answers = HookAnswers(RULES)
    edge = name(b"edge.plain.test")
    wires = [LISTED, PLAIN, message(name(b"www.listed.test"), record(POINTER, CNAME, edge), record(edge, A, ADDRESS))]
    for _ in range(300):
        data = bytearray(dice.choice(wires))
        for _ in range(dice.randrange(1, 6)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        if dice.random() < 0.3:
            del data[dice.randrange(len(data)) :]
        for sighting in answers.read(question(bytes(data))) or ():
            assert sighting[1] == "list"
            assert len(sighting[0]) in (4, 16)


def test_what_is_made_to_cost_much_is_not_read_to_its_end():
    labels = [name(b".".join([b"x"] * depth + [b"listed.test"])) for depth in range(1, 17)]
    links = [record(labels[at], CNAME, labels[at + 1]) for at in range(15)]
    addresses = [record(labels[15], A, bytes([11, 1, 0, number])) for number in range(250)]
    answers = HookAnswers(RULES)
    assert answers.read(question(message(labels[0], *links, *addresses))) == []
    assert answers.counters.costly == 1


def test_the_memo_of_names_is_bounded_by_the_tap_s():
    """A flood of names takes no more than its share."""
    answers = HookAnswers(RULES, memo_bytes=64_000)
    for number in range(20_000):
        wire = message(name(b"www.listed%d.test" % (number // 2)), record(POINTER, A, ADDRESS))
        assert answers.read(question(wire)) == []
    memo = answers._prefilter.memo
    assert memo.max_bytes == 64_000 // 8
    assert memo.used_bytes <= memo.max_bytes + 200, "an entry more at most"
    assert len(memo) > 20


def test_names_of_refreshed_lists_are_noted():
    names = AskedNames({"list"})
    answers = HookAnswers(RULES, identities=frozenset({"good"}), asked_names=names)
    answers.read(question(LISTED))
    assert names.take() == []  # of a hook that doesn't count
    answers.read(question(LISTED, "good"))
    assert names.take() == [(b"www.listed.test", NotedName("list", 300, by_client=True))]


def test_nothing_is_counted_before_an_answer_was_read():
    assert HookAnswers(RULES).counters == HookAnswerCounters(0, 0, 0, 0, 0)
