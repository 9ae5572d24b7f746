"""Parsing of durations, back-off delays, token buckets and event limits: arithmetic on seconds, without a clock."""

import math
import re
from collections.abc import Hashable
from typing import NamedTuple

UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
"""Seconds of each unit: those of Go's durations, which existing files hold, and days."""

DURATION_MAX_S = 10 * 366 * 86_400.0
"""Ten years: the longest TTL that a person or a peer may ask for. No sum with a clock loses its microseconds."""

_TERM = r"([0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})(ns|us|µs|ms|s|m|h|d)"
_DOUBLINGS_MAX = 64  # beyond the longest delay of anybody; more would overflow a float at last
_ONE_TERM = re.compile(_TERM)
_WHOLE = re.compile(f"(?:{_TERM}){{1,8}}")


def parse_duration(text: str) -> float:
    """Read a duration: numbers with their units, added up.

    Args:
        text: `1h30m`, `90s`, `0`. Every number but a lone 0 needs its unit; nothing is negative.

    Returns:
        Seconds.

    Raises:
        ValueError: It is no duration.
    """
    if text == "0":
        return 0.0
    if not _WHOLE.fullmatch(text):
        msg = f"{text!r} is no duration: write it as `24h`, `90s` or `1h30m`"
        raise ValueError(msg)
    return sum(float(number) * UNITS_S[unit] for number, unit in _ONE_TERM.findall(text))


def backoff_s(tries: int, first_s: float, max_s: float) -> float:
    """Give the delay after some tries: `first_s` after none, doubled by each, at most `max_s`.

    Args:
        tries: Failed tries before the last one, 0 or more.
        first_s: The first delay in seconds, above 0.
        max_s: The longest delay in seconds.
    """
    return min(max_s, first_s * 2.0 ** min(tries, _DOUBLINGS_MAX))


class Backoff:
    """Delays that double up to a limit, each shortened by chance, so that a fleet doesn't come back in step."""

    __slots__ = ("_first_s", "_max_s", "_tries")

    def __init__(self, first_s: float, max_s: float) -> None:
        self._first_s, self._max_s = first_s, max_s
        self._tries = 0

    @property
    def delay_s(self) -> float:
        """The next delay, before chance shortens it."""
        return backoff_s(self._tries, self._first_s, self._max_s)

    def next(self, chance: float = 0.0) -> float:
        """Give the delay before the next try, and double the one after it.

        Args:
            chance: 0 up to 1, at random: the delay is shortened by up to a half of it. 0 where nobody else retries.
        """
        delay_s = self.delay_s * (1 - chance / 2)
        self._tries += 1
        return delay_s

    def reset(self) -> None:
        """Begin with the first delay again, since a try has worked."""
        self._tries = 0


class TokenBucket:
    """A token bucket that holds the tokens of one second, and is full at first."""

    __slots__ = ("_at", "_tokens")

    def __init__(self) -> None:
        self._tokens = 0.0
        self._at = -math.inf  # so long ago that the bucket is full, whatever it holds

    def take(self, rate: float, now: float) -> bool:
        """Take a token, if there is one.

        Args:
            rate: Tokens added a second, above 0; the bucket holds as many, and one at least.
            now: Seconds, never going back.
        """
        self._tokens = min(max(1.0, rate), self._tokens + (now - self._at) * rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class LeftOut(NamedTuple):
    """Events of a kind that were not told in the window before.

    Attributes:
        times: How many.
        since_s: How long ago that window began, in seconds.
    """

    times: int
    since_s: float


class EventLimiter:
    """Limits how often each kind of event is told: the first few of a window, and of the rest the number.

    A window begins with the first event of its kind.
    """

    __slots__ = ("_burst", "_kinds_max", "_window_s", "_windows")

    def __init__(self, burst: int, window_s: float, kinds_max: int = 1_000) -> None:
        """Make one.

        Args:
            burst: Events of one kind that are told in a window.
            window_s: Length of a window.
            kinds_max: Kinds that are remembered; one more, and all are forgotten.
        """
        self._burst, self._window_s, self._kinds_max = burst, window_s, kinds_max
        self._windows: dict[Hashable, tuple[float, int]] = {}

    def admit(self, kind: Hashable, now: float) -> LeftOut | None:
        """Decide whether an event is told now.

        Args:
            kind: What is limited together: words of the code or the configuration.
            now: Seconds, never going back.

        Returns:
            None: it isn't. Else what was left out in the window before; mostly nothing.
        """
        began, count = self._windows.get(kind, (now, 0))
        left_out = LeftOut(0, 0.0)
        if now - began >= self._window_s:
            left_out = LeftOut(max(0, count - self._burst), now - began)
            began, count = now, 0
        elif not count and len(self._windows) >= self._kinds_max:
            self._windows.clear()
        self._windows[kind] = began, count + 1
        return left_out if count < self._burst else None
