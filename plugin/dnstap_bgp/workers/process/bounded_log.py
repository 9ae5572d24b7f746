"""Log lines that input can provoke, at a bounded rate; no thread of its own."""

import logging
from collections.abc import Callable

BURST = 10
"""Lines of one kind in a window: enough to see who they come from."""

WINDOW_S = 60.0


class BoundedLog:
    """Says the first lines of each kind in a window; the first one of a later window tells how many were left out.

    For one thread.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float], burst: int = BURST) -> None:
        """Make one.

        Args:
            logger: Where the lines go.
            clock: Seconds, never going back.
            burst: Lines of one kind in a window.
        """
        self._logger = logger
        self._clock = clock
        self._burst = burst
        self._windows: dict[str, tuple[float, int]] = {}

    def say(self, level: int, kind: str, message: str, *args: object) -> None:
        """Log it, or count it.

        Args:
            level: As in logging.
            kind: What is limited together; words of the code or the configuration, never of input: each is remembered.
            message: With its args, as in logging.
            *args: For the message.
        """
        now = self._clock()
        began, said = self._windows.get(kind, (now, 0))
        if now - began >= WINDOW_S:
            if said > self._burst:
                message += " (and %d more like this since %.0f s ago)"
                args = (*args, said - self._burst, now - began)
            began, said = now, 0
        self._windows[kind] = began, said + 1
        if said < self._burst:
            self._logger.log(level, message, *args)
