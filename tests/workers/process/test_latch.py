"""Latches: set by a signal's handler, wherever that interrupts the main thread, and by other threads."""

import subprocess
import sys
import threading

from dnstap_bgp.workers.process.latch import Latch
from tests.commands.running import environment

INTERRUPTED = """
import signal, sys
from dnstap_bgp.workers.process.latch import Latch

def interrupted(use, at):
    # Have a latch used, and set by a signal before the instruction of this number; tells whether there was one.
    latch, count = Latch(), 0

    def trace(frame, event, _):
        nonlocal count
        frame.f_trace_opcodes = True
        if event == "opcode":
            count += 1
            if count == at:
                signal.raise_signal(signal.SIGUSR1)
        return trace

    signal.signal(signal.SIGUSR1, lambda *_: latch.set())
    sys.settrace(trace)
    use(latch)
    sys.settrace(None)
    assert latch.is_set() or count < at
    return count >= at

def wait(latch):
    latch.wait(0.0)
    latch.wait(0.0)

def set_it(latch):
    latch.set()

for use in (wait, set_it):
    at = 1
    while interrupted(use, at):
        at += 1
    print(at > 20)
"""


def test_a_handler_may_set_it_between_any_two_instructions_of_the_main_thread():
    command = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("True\nTrue\n", "")


WOKEN = """
import os, signal, threading
from dnstap_bgp.workers.process.latch import Latch

latch = Latch()
signal.signal(signal.SIGUSR1, lambda *_: latch.set())
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
print(latch.wait())
"""


def test_a_handler_wakes_the_main_thread_that_waits_without_an_end():
    done = subprocess.run(
        [sys.executable, "-c", WOKEN], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "True\n", done.stderr


def test_all_who_wait_are_woken_and_nobody_waits_afterwards():
    latch, woken = Latch(), threading.Semaphore(0)

    def wait() -> None:
        if latch.wait(60):
            woken.release()

    assert not latch.wait(0.0)
    threads = [threading.Thread(target=wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        latch.set()
    for thread in threads:
        assert woken.acquire(timeout=60)
        thread.join(60)
    assert latch.is_set()
    assert latch.wait()
