"""Worker threads: named, with short turns where others wait for them, and never a silent crash.

A worker that crashes logs its traceback and calls the crash handler; the process then ends in order, to be started
again: the plugin by ExaBGP, a sniffer by its unit.
"""

import ctypes
import logging
import os
import platform
import struct
import threading
from collections.abc import Callable
from typing import TypeAlias

logger = logging.getLogger(__name__)

CrashHandler: TypeAlias = Callable[[], None]
"""Called once, in the dying thread; must not block."""


SLICE_NS = 100_000
"""The system's own is 1.4 to 2.8 ms. Measured with unbound, dnsperf and more on the same two cores: a fresh address
while the tap is saturated p99 27 and 56 ms in place of 31 and 105 (`python -m tests.bench router`), and frames that
unbound dropped in 3 rounds of 18 in place of 8 of 19 (`python -m tests.bench resolver`). Those two rows decide: the
system call below may go when they are measured equal without it."""

_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
"""The system call's number; Python has no name for it, and C libraries only have one since 2024."""


def worker_thread(
    name: str, run: Callable[[], None], on_crash: CrashHandler, *, prompt: bool = False
) -> threading.Thread:
    """Make a worker thread, not started yet.

    It is a daemon thread: every worker is joined with a deadline, and one that hangs (in a dead disk, say) must not
    keep the process from ending.

    Args:
        name: For people.
        run: What it does.
        on_crash: See `CrashHandler`.
        prompt: It does little at a time, and others wait for it.
    """

    def guarded() -> None:
        if prompt:
            _take_short_turns()
        try:
            run()
        except Exception:
            logger.exception(
                "the %s thread has crashed; the process ends, and ExaBGP or its unit starts it again", name
            )
            on_crash()

    return threading.Thread(target=guarded, name=name, daemon=True)


def _take_short_turns() -> None:
    """Have the system give this thread the CPU sooner after it wakes, and for less long: its share stays the same.

    Linux 6.12 and later do (a shorter slice has an earlier deadline, and may interrupt a longer one), for everybody;
    an older one ignores it, or refuses, and all stays as it is.
    """
    number = _SCHED_SETATTR.get(platform.machine())
    if number is not None and os.sched_getscheduler(0) == os.SCHED_OTHER:  # or an operator has asked for another
        niceness = os.getpriority(os.PRIO_PROCESS, 0)
        # struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period, clamps
        attributes = struct.pack("=IIQiIQQQII", 56, os.SCHED_OTHER, 0, niceness, 0, SLICE_NS, 0, 0, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, attributes, 0)
