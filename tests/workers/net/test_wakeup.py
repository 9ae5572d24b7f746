"""Wake-up: another thread's `set` ends a wait, once, and harms nothing after the end."""

import os
import select
import selectors
import threading

import pytest

from dnstap_bgp.workers.net.wakeup import Alarm, Wakeup
from dnstap_bgp.workers.process.clocks import process_clock


@pytest.fixture
def wakeup():
    made = Wakeup()
    yield made
    made.close()


def is_set(wakeup: Wakeup) -> bool:
    return bool(select.select([wakeup], [], [], 0)[0])


def test_a_thread_that_waits_is_woken(wakeup: Wakeup):
    woken = threading.Event()

    def wait() -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(wakeup, selectors.EVENT_READ)
            if selector.select(20):
                woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    wakeup.set()
    thread.join(30)
    assert woken.is_set()


def test_wake_ups_are_taken_together_and_until_cleared(wakeup: Wakeup):
    assert not is_set(wakeup)
    wakeup.clear()  # nobody has woken: that is no error
    for _ in range(3):
        wakeup.set()
    assert is_set(wakeup)
    assert is_set(wakeup)
    wakeup.clear()
    assert not is_set(wakeup)


def test_a_full_counter_is_set_all_the_same(wakeup: Wakeup):
    os.eventfd_write(wakeup.fileno(), 2**64 - 2)
    wakeup.set()
    assert is_set(wakeup)
    wakeup.clear()
    assert not is_set(wakeup)


def test_after_the_end_no_other_file_is_written_to():
    wakeup = Wakeup()
    number = wakeup.fileno()
    wakeup.close()
    other = os.eventfd(0, os.EFD_NONBLOCK)
    try:
        assert other == number
        wakeup.set()
        assert not select.select([other], [], [], 0)[0]
        assert wakeup.fileno() == -1
        wakeup.close()
    finally:
        os.close(other)


@pytest.fixture
def alarm():
    made = Alarm()
    yield made
    made.close()


def rings(alarm: Alarm, timeout_s: float = 20) -> bool:
    return bool(select.select([alarm], [], [], timeout_s)[0])


def test_an_alarm_rings_at_its_time_and_not_before(alarm: Alarm):
    at = process_clock() + 0.02
    alarm.set(at)
    assert rings(alarm)
    assert process_clock() >= at
    alarm.clear()
    assert not rings(alarm, 0)


def test_the_last_time_that_was_set_counts(alarm: Alarm):
    alarm.set(process_clock() + 3600)
    alarm.set(process_clock() - 1)
    assert rings(alarm)
    alarm.set(process_clock() + 3600)
    assert not rings(alarm, 0)
    alarm.set(None)
    alarm.clear()
    assert not rings(alarm, 0)
    alarm.set(0.0)
    assert rings(alarm), "a time long past"


def test_an_alarm_can_be_closed_twice():
    alarm = Alarm()
    alarm.close()
    alarm.close()
    assert alarm.fileno() == -1
