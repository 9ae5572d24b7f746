"""Heap of the C library, for the whole process; no thread of its own.

glibc keeps what was freed, and gives each thread a heap of its own, of which `malloc_trim` gives back all but the end:
5 MB after a restore of 200,000 routes. Threads that take turns for the interpreter need no heaps of their own. Other C
libraries have neither call, and are left as they are.
"""

import ctypes

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
