"""Latch: an event that a signal handler may set; no thread of its own.

A module of its own, so that a command which waits for Ctrl-C imports nothing else for it.
"""

import threading
from contextlib import suppress


class Latch(threading.Event):
    """Event that is set once and for all, by any thread or by a signal handler.

    Python runs a handler in the main thread, between any two of its instructions. Where that thread is in
    `threading.Event.wait` it may hold the lock of the event's condition, for which `threading.Event.set` would then
    wait for ever. Here nobody holds a lock while others want it: it is the latch itself, taken until `set`, and after
    that only by one who waits, who lets go of it at once; whoever finds it free leaves it so.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_set = False
        self._latch = threading.Lock()
        self._latch.acquire()

    def is_set(self) -> bool:
        """Tell whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it, and wake all that wait."""
        self._is_set = True
        self._release()

    def clear(self) -> None:
        """Refuse: what has ended does not begin again."""
        raise NotImplementedError

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, or for `timeout` seconds; returns whether it is set."""
        if not self._is_set and self._latch.acquire(timeout=-1 if timeout is None else timeout):
            self._release()  # for the next one who waits
        return self._is_set

    def _release(self) -> None:
        with suppress(RuntimeError):  # it is free: a handler was quicker, or it was set before
            self._latch.release()
