"""The clocks of this process; no thread."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

from dnstap_bgp.core.state.stamps import UNKNOWN_BOOT, Stamp

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

Clock: TypeAlias = Callable[[], Stamp]
"""Gives both clocks at once; tests put their own in its place."""


def process_clock() -> float:
    """Seconds of CLOCK_BOOTTIME: counts sleep, never jumps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def system_clock() -> Clock:
    """The clock of this machine, its boot id read once."""
    try:
        boot_id = UUID(BOOT_ID.read_text(encoding="ascii").strip()).bytes
    except (OSError, ValueError):
        boot_id = UNKNOWN_BOOT

    def stamp() -> Stamp:
        return Stamp(time.time(), process_clock(), boot_id)

    return stamp
