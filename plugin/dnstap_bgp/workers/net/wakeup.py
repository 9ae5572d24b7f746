"""Wake-up of a thread that waits in `select` or `poll`: by another thread (eventfd(2)), or at a time (timerfd(2))."""

import ctypes
import os
import struct
import threading
from contextlib import suppress

_CLOCK_BOOTTIME = 7
_TFD_TIMER_ABSTIME = 1
_TFD_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_ITIMERSPEC = struct.Struct("4l")  # interval and value, seconds and nanoseconds each
_libc = ctypes.CDLL(None, use_errno=True)


class Wakeup:
    """An event with a descriptor: readable from `set` to `clear`.

    It can be registered with a selector or a poll object as it is. `set` never blocks and may be called at any time,
    after `close` as well: the lock keeps it from writing to a descriptor that has been closed meanwhile, whose number
    may be another file's by then.
    """

    __slots__ = ("_fd", "_lock")

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """Give the descriptor; -1 after `close`."""
        return self._fd

    def set(self) -> None:
        """Wake whoever waits, or the next one who will."""
        with self._lock:
            if self._fd >= 0:
                with suppress(BlockingIOError):  # the counter is full: it is set
                    os.eventfd_write(self._fd, 1)

    def clear(self) -> None:
        """Take note of all wake-ups so far; for the thread that waits."""
        with suppress(BlockingIOError):  # nobody has woken us
            os.eventfd_read(self._fd)

    def close(self) -> None:
        """Give the descriptor back; the waiting thread has ended, or has unregistered it."""
        with self._lock:
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class Alarm:
    """A time with a descriptor: readable from that time until `clear`; for the thread that waits.

    The time-out of `poll` has whole milliseconds, a third of what a held answer waits; Python has no timerfd before
    3.13.
    """

    __slots__ = ("_at", "_fd")

    def __init__(self) -> None:
        self._at: float | None = None
        self._fd: int = _libc.timerfd_create(_CLOCK_BOOTTIME, _TFD_FLAGS)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def fileno(self) -> int:
        """Give the descriptor; -1 after `close`."""
        return self._fd

    def set(self, at: float | None) -> None:
        """Set the time (process clock), in place of the one before; None: never."""
        if at == self._at:
            return
        self._at = at
        ns = 0 if at is None else max(1, int(at * 1e9))  # 0 would be never
        value = _ITIMERSPEC.pack(0, 0, ns // 1_000_000_000, ns % 1_000_000_000)
        if _libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, value, None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def clear(self) -> None:
        """Take note that the time has come."""
        self._at = None
        with suppress(BlockingIOError):
            os.read(self._fd, 8)

    def close(self) -> None:
        """Give the descriptor back."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
