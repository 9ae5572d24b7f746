"""Memory of the whole process: the C library's heap and Python's cycles; no thread of its own.

glibc keeps what was freed, and gives each thread a heap of its own, of which `malloc_trim` gives back all but the end:
5 MB after a restore of 200,000 routes. Threads that take turns for the interpreter need no heaps of their own. Other C
libraries have neither call, and are left as they are.
"""

import ctypes
import gc
import math
import time

THAW_S = 600.0
"""Between two walks through everything, at least."""

THAW_OBJECTS, THAW_EARLY_S = 100_000, 60.0
"""Or so many objects were frozen since, some 20 MB, and so long ago: whoever makes them may make many."""

THAW_SHARE = 1 / 10_000
"""Of the time, for these walks, in which no thread runs: with 1,000,000 routes one every 20 minutes."""

_M_ARENA_MAX = -8  # malloc.h

_libc = ctypes.CDLL(None)
_trim = getattr(_libc, "malloc_trim", None)
_set_option = getattr(_libc, "mallopt", None)


def use_one_heap() -> None:
    """Have all threads that are still to be started share the main thread's heap."""
    if _trim is not None and _set_option is not None:  # glibc's, whose options these are
        _set_option(_M_ARENA_MAX, 1)


def trim() -> None:
    """Give back to the system what a burst or a restore has left free: 25 MB after one of 200,000 routes.

    That takes 1.5 ms at 1,000,000 routes.
    """
    if _trim is not None:
        _trim(0)


class CycleCollector:
    """Collector of Python's cycles that leaves alone what lives long.

    A collection walks all objects, 15 ms without routes, 25 ms with 200,000 and 125 ms with 1,000,000, in which no
    thread runs. So what has survived one is frozen: it is not walked again, and counting references frees it all the
    same, while the young are few. But what is part of a cycle, and was frozen while it was in use (a connection, a
    session that failed, with its traceback), would then never be freed: now and then everything is thawed and walked.
    """

    def __init__(self) -> None:
        self._thaw_at = math.inf
        self._early_at = 0.0
        self._frozen = 0

    def run(self, now: float) -> None:
        """Collect what is garbage, and freeze what is not.

        Args:
            now: Process clock.
        """
        began = time.thread_time()
        is_thawed = now >= self._thaw_at or (self._frozen >= THAW_OBJECTS and now >= self._early_at)
        if is_thawed:
            gc.unfreeze()
        gc.collect()
        if is_thawed or self._thaw_at == math.inf:
            self._thaw_at = now + max(THAW_S, (time.thread_time() - began) / THAW_SHARE)
            self._early_at, self._frozen = now + THAW_EARLY_S, 0
        else:
            self._frozen += len(gc.get_objects())
        gc.freeze()
