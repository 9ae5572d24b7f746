"""Acknowledgments of ExaBGP's that somebody waits for, and those of the last moments.

An idle prefix costs nothing: what is looked at, for each answered line, is a dict of awaited prefixes, mostly empty.
The last lines are remembered as they were (some dozens in the longest margin while bulk is under way), because a
route that was acknowledged a moment ago may not stand in the router's table yet.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from dnstap_bgp.core.model import Prefix

_PLACELESS = ("refused", "left-out")
"""Stages in which no line is to come, at any view."""


class Progress(NamedTuple):
    """News of an awaited prefix.

    Attributes:
        prefix: The prefix.
        at: When its line was answered, process clock; 0: there was none, it is left out for want of room.
        stage: Its stage then; see `Views.awaited_stage`.
    """

    prefix: Prefix
    at: float
    stage: str


class Acknowledgments:
    """Answers to lines, as far as anybody waits for them; written by the holder of the keeper's lock.

    Attributes:
        awaited: The prefixes that somebody waits for; the object is theirs, and may change at any time.
        keep_s: So long answered lines are remembered; None: nobody asks for them, and nothing is noted.
        news: What became of awaited prefixes; taken by whoever waits, from any thread.
        wake: Wakes whoever waits for news; called with the lock held or without it, so it must not block.
    """

    def __init__(self) -> None:
        self.awaited: Mapping[Prefix, object] = {}
        self.keep_s: float | None = None
        self.news: deque[Progress] = deque()
        self.wake: Callable[[], None] = _nobody_waits
        self._recent: deque[tuple[float, Collection[Prefix]]] = deque()

    def note(self, prefixes: Collection[Prefix], now: float, stage: Callable[[Prefix], str], *, done: bool) -> None:
        """Take the answer to a line; where nobody asks for such, nothing is noted.

        Args:
            prefixes: Of the line.
            now: Process clock.
            stage: Tells the stage of a prefix from now on.
            done: Whether it was carried out.
        """
        if self.keep_s is None:
            return
        recent, since = self._recent, now - self.keep_s
        while recent and recent[0][0] < since:
            recent.popleft()
        if done:
            recent.append((now, prefixes))
        awaited = self.awaited
        if awaited:
            self.news += [Progress(prefix, now, stage(prefix)) for prefix in prefixes if prefix in awaited]

    def note_given_way(self, prefixes: Iterable[Prefix], stage: Callable[[Prefix], str]) -> None:
        """Take that prefixes lost their places in a neighbor's budget, perhaps before any line was about them.

        No answer of ExaBGP's need follow by which whoever waits would be woken, so that is done here.

        Args:
            prefixes: These.
            stage: Tells the stage of a prefix from now on.
        """
        awaited = self.awaited
        if awaited:
            stages = [(prefix, stage(prefix)) for prefix in prefixes if prefix in awaited]
            news = [Progress(prefix, 0.0, found) for prefix, found in stages if found in _PLACELESS]
            self.news += news
            if news:
                self.wake()

    def last(self, prefix: Prefix, now: float) -> float | None:
        """Find when a prefix was last acknowledged, process clock; None: longer ago than `keep_s`."""
        since = now - (self.keep_s or 0.0)
        for at, prefixes in reversed(self._recent):
            if at < since:
                break
            if prefix in prefixes:
                return at
        return None


def _nobody_waits() -> None:
    """Leave news alone, where no service holds answers."""
