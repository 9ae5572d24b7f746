"""Whether work grows with its input and no faster, told from CPU times on a machine that has other work, too.

What is counted in steps of Python has no expressions and copies in it, which are where quadratic work hides. So time is
taken, in a way that other work can't spoil: that only ever adds to it, so that the least of several tries counts, of
the whole input and of a quarter in turns. Linear work takes 4 times as long for the whole, quadratic 16 times.
"""

import gc
import time
from collections.abc import Callable

RATIO_MAX = 8.0
"""Twice what linear and half of what quadratic work has."""

TRIES_MAX = 10


def is_linear(work: Callable[[bytes], object], quarter: bytes, whole: bytes, *, short_s: float = 0.03) -> bool:
    """Tell whether work grows with its input and no faster.

    Args:
        work: What is done with either.
        quarter: A quarter of the whole, or as much of the same kind.
        whole: The input.
        short_s: What takes less for the whole needs no closer look.
    """
    least_whole = _seconds(work, whole)
    if least_whole < short_s:
        return True
    least_quarter = _seconds(work, quarter)
    for _ in range(TRIES_MAX):
        least_whole = min(least_whole, _seconds(work, whole))
        least_quarter = min(least_quarter, _seconds(work, quarter))
        if least_whole < RATIO_MAX * least_quarter:
            return True
    return False


def _seconds(work: Callable[[bytes], object], data: bytes) -> float:
    """Take the CPU time, without that of collecting the garbage of all tests before."""
    gc.disable()
    try:
        began = time.process_time()
        work(data)
        return time.process_time() - began
    finally:
        gc.enable()
