"""The write queue: tickets are served in order, and nobody waits for a disk that is known to be slow or to fail."""

import logging
import threading
import time

import pytest

from dnstap_bgp.core.model import Attributes, Claim
from dnstap_bgp.core.state.pending import Pending
from dnstap_bgp.workers.state.write_queue import SLOW_S, Ticket, WriteQueue

ONE = Attributes(bytes((192, 0, 2, 1)))
LONG_S = 30.0


@pytest.fixture
def queue() -> WriteQueue:
    return WriteQueue(Pending())


def appended(queue: WriteQueue, number: int = 1) -> Ticket:
    return queue.append([], [(number.to_bytes(4), ONE)])


def write(queue: WriteQueue) -> None:
    """What the thread does when the disk is well."""
    taken = queue.take()
    assert taken is not None
    queue.serve(queue.records, taken[1])


def waited_s(ticket: Ticket, timeout_s: float) -> tuple[bool, float]:
    began = time.monotonic()
    return ticket.wait(timeout_s), time.monotonic() - began


def test_a_write_serves_what_it_took_and_nothing_that_came_meanwhile(queue: WriteQueue):
    first, second = appended(queue), appended(queue, 2)
    taken = queue.take()
    assert taken is not None
    batch, number = taken
    third = appended(queue, 3)
    assert [ticket.served for ticket in (first, second, third)] == [False] * 3
    queue.serve(queue.records, number)
    assert [ticket.served for ticket in (first, second, third)] == [True, True, False]
    assert len(batch.records) == 2
    assert queue.since is not None, "the third is not written"
    write(queue)
    assert third.served
    assert queue.since is None


def test_what_is_given_back_is_taken_again_and_the_newer_wins(queue: WriteQueue):
    appended(queue)
    taken = queue.take()
    assert taken is not None
    queue.append([], [((1).to_bytes(4), None)])
    queue.give_back(taken[0])
    again = queue.take()
    assert again is not None
    assert (again[0].claims, again[0].records) == ([], [((1).to_bytes(4), None)])


def test_a_waiting_caller_is_woken_by_the_write(queue: WriteQueue):
    ticket = appended(queue)
    writer = threading.Timer(0.01, write, [queue])
    writer.start()
    assert ticket.wait(LONG_S)
    writer.join()


def test_one_caller_in_all_waits_for_a_slow_disk(queue: WriteQueue, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    ticket = appended(queue)
    served, first_s = waited_s(ticket, 2 * SLOW_S)
    assert not served
    assert first_s >= SLOW_S
    assert queue.slow
    assert ticket.hopeless
    assert not appended(queue, 2).wait(LONG_S), "at once: a wait would fail by the test's own deadline"
    assert [record.getMessage() for record in caplog.records] == [
        "the disk of the state file is slow: going on without waiting for it"
    ]
    write(queue)
    assert not queue.slow
    assert not ticket.hopeless
    assert caplog.records[-1].getMessage() == "the state file has caught up"


def test_a_failure_wakes_who_waits_and_lets_nobody_wait_until_a_write_succeeds(queue: WriteQueue):
    ticket = appended(queue)
    failure = threading.Timer(0.01, lambda: queue.set_stuck(stuck=True))
    failure.start()
    assert not ticket.wait(LONG_S)
    failure.join()
    assert not appended(queue, 2).wait(LONG_S)
    queue.set_stuck(stuck=False)
    write(queue)
    assert ticket.wait(LONG_S)


def test_after_the_end_tickets_are_never_served_and_nothing_is_kept(queue: WriteQueue):
    ticket = appended(queue)
    queue.end()
    late = appended(queue, 2)
    assert not ticket.wait(LONG_S)
    assert not late.wait(LONG_S)
    assert len(queue) == 1


def test_an_overflow_owes_a_snapshot_whose_walk_has_what_was_dropped():
    queue = WriteQueue(Pending(at_most=1))
    tickets = [appended(queue, number) for number in range(3)]
    assert queue.overflowed()
    assert queue.take() is None
    number = queue.restart()
    during = appended(queue, 7)
    assert not queue.overflowed()
    taken = queue.take()
    assert taken is not None
    assert [prefix for prefix, _ in taken[0].records] == [(7).to_bytes(4)]
    queue.serve(queue.records, number)
    assert all(ticket.served for ticket in tickets)
    assert not during.served


def test_a_snapshots_ticket_is_its_own(queue: WriteQueue):
    queue.append([Claim(b"aaaa", "l", b"a.example", 0.0, 0.0, 1.0)], [])
    asked = queue.ask_snapshot()
    write(queue)
    assert not asked.served
    queue.serve(queue.snapshots, queue.snapshots.given)
    assert asked.wait(LONG_S)


def test_whoever_listens_is_told_of_writes_failures_and_the_end(queue: WriteQueue):
    heard: list[str] = []
    queue.on_recorded = lambda: heard.append("now")
    appended(queue)
    assert heard == []
    write(queue)
    queue.set_stuck(stuck=True)
    queue.end()
    assert len(heard) == 3
