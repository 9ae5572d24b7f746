"""Pace: bounded in rate and outstanding, nearly quiet before a silent resolver and a blind tap."""

from dnstap_bgp.core.refresh.pace import RefreshPace


def leave(pace: RefreshPace, start: float, end: float, rate: float = 10.0, outstanding: int = 0) -> list[float]:
    """The times at which questions leave, looked at each quarter of a second."""
    times, now = [], start
    while now < end:
        while pace.may_ask(rate, outstanding, now):
            times.append(now)
        now += 0.25
    return times


def test_so_many_a_second_leave():
    assert 1000 <= len(leave(RefreshPace(), 0.0, 100.0)) <= 1010
    assert 20 <= len(leave(RefreshPace(), 0.0, 100.0, rate=0.2)) <= 21


def test_so_many_wait_for_answers():
    pace = RefreshPace()
    assert not pace.may_ask(10.0, 32, 0.0)
    assert pace.may_ask(10.0, 31, 0.0)


def test_a_silent_resolver_is_asked_after_growing_pauses_until_it_answers():
    pace = RefreshPace()
    for _ in range(3):
        pace.take_failure("no answer", 0.0)
    assert not pace.is_silent
    for _ in range(10):  # all that were on their way
        pace.take_failure("no answer", 0.0)
    assert pace.is_silent
    assert pace.problem == "no answer"
    now, pauses = 0.0, []
    for _ in range(9):
        before = now
        while not pace.may_ask(10.0, 0, now):
            now += 0.25
        pauses.append(now - before)
        assert not pace.may_ask(10.0, 1, now), "one at a time"
        pace.take_failure("no answer", now)
    assert pauses[:3] == [5.0, 10.0, 20.0]
    assert pauses[-1] == 300.0
    pace.take_answer(has_address=False, now=now)
    assert not pace.is_silent
    assert pace.problem == ""
    assert len(leave(pace, now, now + 10)) >= 100
    assert (pace.answered, pace.unanswered) == (1, 13 + 9)


def test_a_tap_that_shows_nothing_leaves_a_question_now_and_then():
    pace = RefreshPace()
    pace.take_returned(1)
    assert pace.knows_own
    for _ in range(20):
        assert not pace.is_blind(30.0)
        pace.take_answer(has_address=True, now=0.0)
    assert not pace.knows_own
    assert not pace.is_blind(29.5)
    assert pace.is_blind(30.0)
    times = leave(pace, 30.0, 130.0)
    assert len(times) == 10
    pace.take_returned(2)
    assert pace.knows_own
    assert not pace.is_blind(times[-1])
    assert len(leave(pace, times[-1], times[-1] + 20.0)) >= 90


def test_a_tap_has_its_time_from_the_first_answer_on():
    pace = RefreshPace()
    for number in range(20):
        pace.take_answer(has_address=True, now=1000.0 + number)
    assert [pace.is_blind(now) for now in (1000.0, 1029.5, 1030.0)] == [False, False, True]


def test_answers_without_an_address_say_nothing_of_the_tap():
    pace = RefreshPace()
    for _ in range(100):
        pace.take_answer(has_address=False, now=0.0)
    assert not pace.is_blind(1000.0)


def test_before_the_tap_has_shown_any_nothing_is_known():
    assert not RefreshPace().knows_own


def test_a_silent_resolver_that_answers_is_asked_at_once():
    pace = RefreshPace()
    for _ in range(4):
        pace.take_failure("no answer", 0.0)
    assert pace.is_silent
    assert not pace.may_ask(10.0, 0, 4.9)
    pace.take_answer(has_address=False, now=4.9)
    assert pace.may_ask(10.0, 0, 4.9)
    for _ in range(4):
        assert not pace.is_silent
        pace.take_failure("no answer", 5.0)
    assert not pace.may_ask(10.0, 0, 9.9)
    assert pace.may_ask(10.0, 0, 10.0), "the pauses begin anew"


def test_an_answer_ends_no_pause_before_a_blind_tap():
    pace = RefreshPace()
    for _ in range(20):
        pace.take_answer(has_address=True, now=0.0)
    assert pace.may_ask(10.0, 0, 30.0)
    pace.take_answer(has_address=True, now=30.5)
    assert not pace.may_ask(10.0, 0, 39.9)
    assert pace.may_ask(10.0, 0, 40.0)


def test_a_question_waits_for_its_token_and_for_nothing_else():
    pace = RefreshPace()
    assert pace.may_ask(1.0, 0, 0.0)
    assert not pace.may_ask(1.0, 0, 0.5)
    assert pace.may_ask(1.0, 0, 1.0)
