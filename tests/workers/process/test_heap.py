"""The C library's heap: one for all threads, where that is glibc's; and Python's cycles."""

import ctypes
import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from dnstap_bgp.workers.process import heap

ALLOCATE = """
import ctypes, sys, threading
from dnstap_bgp.workers.process import heap

if sys.argv[1] == "one":
    heap.use_one_heap()
met = threading.Barrier(4)
kept = []

def allocate():
    met.wait()  # all at once, so that none takes over the heap of one that has ended
    kept.append(bytearray(4096))
    met.wait()

threads = [threading.Thread(target=allocate) for _ in range(3)]
for thread in threads:
    thread.start()
met.wait()
met.wait()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="no glibc")
def test_threads_share_one_heap():
    def heaps(how: str) -> int:
        command = [sys.executable, "-c", ALLOCATE, how]
        return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.count(b"<heap nr=")

    assert heaps("each") > 1
    assert heaps("one") == 1


def test_trimming_is_harmless():
    heap.trim()


class Knot:
    """An object that only a collection of cycles frees."""

    def __init__(self) -> None:
        self.self = self


@pytest.fixture
def thawed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs take no time, and what they froze is thawed in the end."""
    monkeypatch.setattr("dnstap_bgp.workers.process.heap.time.thread_time", lambda: 0.0)
    yield
    gc.unfreeze()


def with_a_frozen_knot() -> tuple[heap.CycleCollector, weakref.ref[Knot]]:
    """Give a collector that has run twice, and a cycle that it has frozen the second time and is garbage since."""
    collector = heap.CycleCollector()
    collector.run(0.0)
    knot = Knot()
    collector.run(10.0)
    return collector, weakref.ref(knot)


@pytest.mark.usefixtures("thawed")
def test_a_cycle_that_was_frozen_is_freed_in_a_while():
    collector, seen = with_a_frozen_knot()
    collector.run(20.0)
    assert seen() is not None, "what was frozen is walked each time"
    collector.run(heap.THAW_S)
    assert seen() is None


@pytest.mark.usefixtures("thawed")
def test_many_that_were_frozen_are_freed_soon(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(heap, "THAW_OBJECTS", 500)
    collector = heap.CycleCollector()
    collector.run(0.0)
    knots = [Knot() for _ in range(500)]
    seen = weakref.ref(knots[0])
    collector.run(10.0)
    knots.clear()
    collector.run(59.0)
    assert seen() is not None
    collector.run(heap.THAW_EARLY_S)
    assert seen() is None


@pytest.mark.usefixtures("thawed")
def test_what_takes_long_is_done_seldom(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "dnstap_bgp.workers.process.heap.time.thread_time", iter(range(10)).__next__
    )  # each run takes a second
    collector, seen = with_a_frozen_knot()
    for now in (heap.THAW_S, 9_990.0):
        collector.run(now)
        assert seen() is not None
    collector.run(10_000.0)
    assert seen() is None
