"""Questions that wait, in virtual time: installed, given up, refused, displaced; and never beyond the bound."""

import random

import pytest

from dnstap_bgp.core.hold.held_questions import HeldQuestion, HeldQuestions
from dnstap_bgp.core.hold.message import Verdict

A, B, C = (bytes([11, 0, 0, number]) for number in (1, 2, 3))


def hold(held, what, *prefixes, owner="one", asked_at=0.0, bound_s=0.05, margin_s=0.003, ready_at=0.0):
    times = asked_at, asked_at + bound_s, ready_at
    held.hold(HeldQuestion(what, owner, set(prefixes), times=times, margin_s=margin_s))


def due(held, now):
    return [(answered.question.what, answered.verdict) for answered in held.due(now)]


@pytest.fixture
def held():
    return HeldQuestions()


def test_an_acknowledged_prefix_is_installed_after_the_margin(held):
    hold(held, "q", A)
    assert held.next_at == 0.05
    held.acknowledged(A, 0.01)
    assert held.next_at == pytest.approx(0.013)
    assert due(held, 0.0129) == []
    assert due(held, 0.0131) == [("q", Verdict.INSTALLED)]
    assert (len(held), held.next_at, held.by_prefix) == (0, None, {})


def test_the_last_of_several_prefixes_counts(held):
    hold(held, "q", A, B)
    held.acknowledged(A, 0.01)
    assert due(held, 0.02) == []
    held.acknowledged(B, 0.02)
    assert due(held, 0.0229) == []
    assert due(held, 0.0231) == [("q", Verdict.INSTALLED)]


def test_what_settles_already_is_waited_for(held):
    hold(held, "q", ready_at=0.02)
    assert held.next_at == 0.02
    assert due(held, 0.02) == [("q", Verdict.INSTALLED)]


def test_what_is_never_acknowledged_is_given_up_at_the_bound(held):
    hold(held, "q", A)
    assert due(held, 0.049) == []
    assert due(held, 0.05) == [("q", Verdict.GAVE_UP)]
    held.acknowledged(A, 0.06)
    assert (len(held), held.by_prefix) == (0, {})


def test_a_margin_that_ends_after_the_bound_is_given_up_at_the_bound(held):
    hold(held, "q", A, margin_s=0.01)
    held.acknowledged(A, 0.045)
    assert held.next_at == 0.05
    assert due(held, 0.05) == [("q", Verdict.GAVE_UP)]


def test_what_is_refused_meanwhile_is_not_waited_for(held):
    hold(held, "only", A)
    hold(held, "both", A, B)
    held.refused(A)
    assert due(held, 0.001) == [("only", Verdict.REFUSED)]
    held.acknowledged(B, 0.01)
    assert due(held, 0.02) == [("both", Verdict.INSTALLED)]


def test_several_questions_wait_for_one_prefix(held):
    for number in range(3):
        hold(held, number, A, asked_at=number / 1000)
    held.acknowledged(A, 0.01)
    assert due(held, 0.02) == [(number, Verdict.INSTALLED) for number in range(3)]


def test_the_owner_with_the_most_gives_way_and_only_that():
    held: HeldQuestions[object] = HeldQuestions(4)
    for number in range(4):
        hold(held, number, A, owner="flood")
    assert held.make_room("flood") is None
    room = held.make_room("other")
    assert room is not None
    (displaced,) = room
    assert (displaced.question.what, displaced.verdict) == (0, Verdict.TOO_MANY)
    hold(held, "other", B, owner="other")
    room = held.make_room("third")
    assert room is not None
    (displaced,) = room
    hold(held, "third", B, owner="third")
    assert displaced.question.what == 1
    assert held.make_room("third") is None, "two of flood, one each of the others: nobody has two more than one"
    assert sorted(map(str, (question.what for question in held))) == ["2", "3", "other", "third"]


@pytest.mark.parametrize(("of_other", "gives_way"), [(0, True), (1, True), (2, False)])
def test_the_owner_with_two_more_gives_way(of_other, gives_way):
    held: HeldQuestions[int] = HeldQuestions(3 + of_other)
    for number in range(3 + of_other):
        hold(held, number, A, owner="other" if number < of_other else "flood")
    room = held.make_room("other")
    assert (room is not None) == gives_way
    assert [one.question.what for one in room or ()] == ([of_other] if gives_way else [])


def test_all_are_released_at_once(held):
    hold(held, 1, A)
    hold(held, 2, A, B)
    assert {(one.question.what, one.verdict) for one in held.release()} == {(1, Verdict.OFF), (2, Verdict.OFF)}
    assert (len(held), held.by_prefix, held.next_at) == (0, {}, None)
    assert held.release() == []


def test_how_late_an_answer_is_is_told(held):
    hold(held, "given up", A)
    hold(held, "installed", B)
    held.acknowledged(B, 0.01)
    found = [(one.question.what, one.late_s) for one in held.due(0.06)]
    assert found == [("installed", pytest.approx(0.047)), ("given up", pytest.approx(0.01))]
    hold(held, "off", A)
    assert [one.late_s for one in held.release()] == [0.0]


def test_some_are_released_and_others_go_on(held):
    for what in "abc":
        hold(held, what, A)
    first, second, _ = held
    assert [one.question.what for one in held.release([first, second])] == ["a", "b"]
    assert held.release([first, second]) == [], "each is answered once"
    assert [question.what for question in held] == ["c"]
    assert [question.what for question in held.by_prefix[A]] == ["c"]


def test_what_was_acknowledged_before_a_refusal_of_the_rest_is_installed_and_not_sooner(held):
    hold(held, "q", A, B, margin_s=0.01)
    held.acknowledged(A, 0.02)
    held.refused(B)
    assert held.next_at == pytest.approx(0.03)
    assert due(held, 0.029) == []
    assert due(held, 0.031) == [("q", Verdict.INSTALLED)]


def test_the_latest_of_several_margins_counts(held):
    hold(held, "q", A, B, ready_at=0.03)
    held.acknowledged(A, 0.001)
    held.acknowledged(B, 0.002)
    assert held.next_at == 0.03


@pytest.mark.parametrize("seed", range(60))
def test_every_question_is_answered_once_and_never_after_its_bound(seed):
    dice = random.Random(seed)
    held: HeldQuestions[int] = HeldQuestions(16)
    now, number = 0.0, 0
    open_questions: dict[int, float] = {}
    answered: dict[int, float] = {}

    def take(found):
        for one in found:
            what = one.question.what
            assert what not in answered
            answered[what] = now
            del open_questions[what]

    for _ in range(400):
        now += dice.random() / 200
        next_at = held.next_at
        if next_at is not None and next_at <= now:
            now = next_at  # as an alarm does
            take(held.due(now))
        step = dice.randrange(6)
        if step < 3:
            room = held.make_room(dice.choice("abc"))
            if room is not None:
                take(room)
                number += 1
                prefixes = dice.sample([A, B, C], dice.randrange(1, 4))
                open_questions[number] = now + 0.05
                hold(held, number, *prefixes, owner=dice.choice("abc"), asked_at=now, margin_s=dice.random() / 50)
        elif step < 5:
            held.acknowledged(dice.choice([A, B, C]), now)
        else:
            held.refused(dice.choice([A, B, C]))
        assert all(now <= due_at + 1e-9 for due_at in open_questions.values())
        assert len(held) == len(open_questions) <= 16
        awaited = {prefix for question in held for prefix in question.awaited}
        assert held.by_prefix.keys() == awaited
    now += 1
    take(held.due(now))
    assert not open_questions
    assert not held.by_prefix
