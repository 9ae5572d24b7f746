"""The C library's heap: one for all threads, where that is glibc's."""

import ctypes
import subprocess
import sys

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
