"""Waiting prefixes: first in, first out where somebody waits, and nothing left behind."""

from collections.abc import Callable
from copy import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.exabgp.grammar import IPV4, IPV6
from dnstap_bgp.core.exabgp.update_queue import (
    STALE_ENTRIES_MAX,
    BulkQueue,
    Fifo,
    Lifo,
    Transition,
    UpdateQueue,
    line_shape,
    transition,
)
from dnstap_bgp.core.model import Attributes

ONE, OTHER = Attributes(next_hop=bytes(4)), Attributes(next_hop=bytes((0, 0, 0, 1)))


def prefix(number):
    return number.to_bytes(4)


def prefixes(*numbers):
    return tuple(map(prefix, numbers))


def test_a_queue_gives_the_oldest_first():
    queue = Fifo()
    for number in range(5):
        queue.put(prefix(number))
    queue.discard(prefix(1))
    assert queue.take(2) == prefixes(0, 2)
    assert (len(queue), set(queue)) == (2, {prefix(3), prefix(4)})
    assert queue.take(9) == prefixes(3, 4)
    assert not queue


def test_what_comes_back_to_a_queue_keeps_its_place_and_is_given_once():
    queue = Fifo()
    for number in range(3):
        queue.put(prefix(number))
    queue.discard(prefix(0))
    queue.put(prefix(0))
    assert queue.take(9) == prefixes(0, 1, 2)


def test_what_comes_and_goes_leaves_nothing_in_a_queue():
    queue = Fifo()
    queue.put(prefix(0))
    for number in range(10_000):
        queue.put(prefix(1 + number % 7))
        queue.discard(prefix(1 + number % 7))
        assert len(queue._order) <= 4 + STALE_ENTRIES_MAX
    assert queue.take(9) == prefixes(0)


def test_what_was_foreseen_of_bulk_goes_first_whatever_is_put():
    queue = Lifo()
    for number in range(4):
        queue.put(prefix(number))
    assert queue.peek(2) == prefixes(3, 2)
    queue.put(prefix(4))
    queue.discard(prefix(3))
    queue.put(prefix(3))  # put again, as a resync does
    assert queue.peek(2) == prefixes(3, 2)
    assert copy(queue).take(9) == prefixes(3, 4, 2, 1, 0)
    assert queue.take(1) == prefixes(3), "a shorter line begins with the same"
    assert queue.peek(1) == prefixes(2)
    queue.discard(prefix(2))
    assert queue.peek(2) == prefixes(4, 1)
    assert queue.take(9) == prefixes(4, 1, 0)
    assert not queue


@pytest.mark.parametrize("make", [Fifo, Lifo])
@given(plan=st.lists(st.tuples(st.sampled_from(["put", "discard", "take"]), st.integers(0, 9)), max_size=200))
def test_a_group_holds_what_was_put_and_not_taken(make: Callable[[], Fifo | Lifo], plan: list[tuple[str, int]]):
    group = make()
    expected: set[bytes] = set()
    for what, number in plan:
        if what == "take":
            taken = group.take(number)
            assert len(taken) == len(set(taken)) == min(number, len(expected))
            assert expected.issuperset(taken)
            expected.difference_update(taken)
        elif what == "discard":
            group.discard(prefix(number))
            expected.discard(prefix(number))
        elif prefix(number) not in group:
            group.put(prefix(number))
            expected.add(prefix(number))
        assert set(group) == expected
        assert len(group) == len(expected)


def test_live_lines_take_turns_and_bulk_lines_do_not():
    first, second = transition(prefix(0), None, ONE), transition(prefix(0), None, OTHER)
    for lane, expected in ((UpdateQueue(Fifo), [first, second, first]), (BulkQueue(), [first, first, second])):
        for number in range(2):
            lane.put(prefix(number), first)
            lane.put(prefix(10 + number), second)
        order = []
        for _ in expected:
            what = lane.first(lambda _: True)
            assert what is not None
            order.append(what)
            lane.take(what, 1)
        assert order == expected


def test_what_bulk_gives_next_is_foreseen():
    lane, what = BulkQueue(), transition(prefix(0), None, ONE)
    for number in range(5):
        lane.put(prefix(number), what)
    assert lane.peek(what, 2) == lane.take(what, 2) == prefixes(4, 3)
    assert lane.discard(prefix(2))
    assert not lane.discard(prefix(2))
    assert lane.take(what, 9) == prefixes(1, 0)
    assert not lane


@pytest.mark.parametrize(
    ("update", "live", "low_latency", "shape"),
    [
        (Transition(None, ONE, IPV4), 0, False, (49, 2)),
        (Transition(None, ONE, IPV4), 0, True, (24, 1)),
        (Transition(None, ONE, IPV4), 1, True, (49, 2)),
        (Transition(ONE, None, IPV4), 0, True, (24, 1)),
        (Transition(None, ONE, IPV6), 0, False, (24, 1)),
        (Transition(None, ONE, IPV6), 1, True, (12, 2)),
        (Transition(None, ONE, IPV6), 24, False, (12, 2)),
        (Transition(None, ONE, IPV6), 25, False, (24, 1)),
        (Transition(ONE, OTHER, IPV4), 1, False, (24, 1)),
        (Transition(ONE, OTHER, IPV6), 1, True, (24, 1)),
    ],
)
def test_shapes_of_lines_stay_below_what_exabgp_does_in_a_turn(update, live, low_latency, shape):
    """It takes 50 steps of commands, then sends 25 messages: beyond these, others wait for seconds behind a line."""
    assert line_shape(update, live=live, low_latency=low_latency) == shape
