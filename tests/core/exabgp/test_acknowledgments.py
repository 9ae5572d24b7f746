"""Acknowledgments: news of awaited prefixes alone, and the last moments' lines."""

import pytest

from dnstap_bgp.core.exabgp.acknowledgments import Acknowledgments, Progress

A, B, C = (bytes([11, 0, 0, number]) for number in (1, 2, 3))


@pytest.fixture
def acknowledgments():
    made = Acknowledgments()
    made.keep_s = 0.07
    return made


def note(acknowledgments, now, *prefixes, done=True, stage="announced"):
    acknowledgments.note(prefixes, now, lambda _: stage, done=done)


def test_only_awaited_prefixes_are_news(acknowledgments):
    note(acknowledgments, 1.0, A, B)
    assert not acknowledgments.news
    acknowledgments.awaited = {B: ()}
    note(acknowledgments, 2.0, A, B)
    assert list(acknowledgments.news) == [Progress(B, 2.0, "announced")]


def test_what_lost_its_place_is_news_where_nobody_else_takes_it(acknowledgments):
    acknowledgments.note_given_way([A], lambda _: "left-out")
    assert not acknowledgments.news
    woken = []
    acknowledgments.awaited, acknowledgments.wake = {A: None, B: None}, lambda: woken.append(True)
    acknowledgments.note_given_way([B, C], {B: "waiting", C: "left-out"}.__getitem__)
    assert not woken
    acknowledgments.note_given_way([A, B, C], {A: "left-out", B: "waiting", C: "left-out"}.__getitem__)
    assert (list(acknowledgments.news), woken) == ([Progress(A, 0.0, "left-out")], [True])


def test_without_a_margin_answers_are_news_and_where_nobody_asks_nothing_is_noted():
    made = Acknowledgments()
    made.awaited = {A: ()}
    note(made, 1.0, A)
    assert (list(made.news), len(made._recent)) == ([], 0)
    made.keep_s = 0.0
    note(made, 1.0, A)
    assert list(made.news) == [Progress(A, 1.0, "announced")]


def test_a_refusal_is_news_and_no_acknowledgment(acknowledgments):
    acknowledgments.awaited = {A: ()}
    note(acknowledgments, 1.0, A, done=False, stage="refused")
    assert list(acknowledgments.news) == [Progress(A, 1.0, "refused")]
    assert acknowledgments.last(A, 1.0) is None


def test_the_last_moments_are_remembered_and_no_longer(acknowledgments):
    note(acknowledgments, 1.0, A)
    note(acknowledgments, 1.05, B)
    assert acknowledgments.last(A, 1.06) == 1.0
    assert acknowledgments.last(B, 1.06) == 1.05
    assert acknowledgments.last(C, 1.06) is None
    assert acknowledgments.last(A, 1.08) is None
    for number in range(1000):
        note(acknowledgments, 2 + number / 100, C)
    assert len(acknowledgments._recent) < 10


@pytest.mark.parametrize("keep_s", [0.0, 0.5])
def test_a_moment_is_remembered_for_just_so_long(keep_s):
    made = Acknowledgments()
    made.keep_s = keep_s
    note(made, 1.0, A)
    assert made.last(A, 1.0 + keep_s) == 1.0
    assert made.last(A, 1.25 + keep_s) is None
    note(made, 1.0 + keep_s, B)
    assert len(made._recent) == 2
    note(made, 1.25 + keep_s, C, done=False)
    assert len(made._recent) == (1 if keep_s else 0)
