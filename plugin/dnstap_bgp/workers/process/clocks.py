"""Clocks of the process: CLOCK_BOOTTIME inside, both clocks with the boot id for the disk; no thread."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

from dnstap_bgp.core.state.timestamps import UNKNOWN_BOOT, Stamp

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

Clock: TypeAlias = Callable[[], Stamp]
"""Gives both clocks at once; tests put their own in its place."""


process_clock: Callable[[], float] = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
"""Reads CLOCK_BOOTTIME in seconds: counts sleep, never jumps (clock_gettime(2))."""


def system_clock() -> Clock:
    """Make the clock of this machine, its boot id read once."""
    try:
        boot_id = UUID(BOOT_ID.read_text(encoding="ascii").strip()).bytes
    except (OSError, ValueError):
        boot_id = UNKNOWN_BOOT

    def stamp() -> Stamp:
        return Stamp(time.time(), process_clock(), boot_id)

    return stamp
