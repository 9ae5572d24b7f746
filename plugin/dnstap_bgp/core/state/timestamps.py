"""Timestamps of the state file's blocks, and their age for the process that reads them.

Within one boot the answer comes from CLOCK_BOOTTIME alone, which counts sleep and never jumps. Across boots
only the wall clock is left, and it may be wrong on either side: unset (1970), corrected while a process lived, or set
to another century. So it is asked once, for the gap between the last block of that earlier boot and now; what lies
between two blocks of one boot comes from CLOCK_BOOTTIME again. An impossible gap (negative, or more than `GAP_MAX_S`)
says nothing about the real one and counts as 0: then nothing is kept longer than its own TTL from now, and nothing
expires because of a broken clock.
"""

from typing import NamedTuple

GAP_MAX_S = 366 * 86_400.0
"""A machine that was off for longer is rarer than a clock that is off by more: an unset one is off by decades."""


class Stamp(NamedTuple):
    """An instant on the wall clock and on CLOCK_BOOTTIME.

    Attributes:
        wall_s: Seconds since the epoch, as the wall clock had it.
        boottime_s: CLOCK_BOOTTIME; the process clock.
        boot_id: 16 bytes that name the boot; all zero where the system doesn't tell.
    """

    wall_s: float
    boottime_s: float
    boot_id: bytes


UNKNOWN_BOOT = bytes(16)
"""Equal to no other boot, not even to another unknown one."""


def same_boot(one: Stamp, other: Stamp) -> bool:
    """Tell whether both stamps were taken since the machine started the last time."""
    return one.boot_id == other.boot_id != UNKNOWN_BOOT


def elapsed_s(then: Stamp, last: Stamp, now: Stamp) -> float:
    """Work out the age of a stamp.

    Args:
        then: The block's stamp.
        last: The last stamp that the file has of the block's boot (`then` itself, or later).
        now: The reader's.

    Returns:
        Seconds, never below 0.
    """
    if same_boot(then, now):
        return max(0.0, now.boottime_s - then.boottime_s)
    if not same_boot(then, last):
        last = then
    awake_s = max(0.0, last.boottime_s - then.boottime_s)
    gap_s = now.wall_s - last.wall_s
    return awake_s + (gap_s if 0 <= gap_s <= GAP_MAX_S else 0.0)
