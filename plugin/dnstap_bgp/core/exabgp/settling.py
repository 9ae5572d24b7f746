"""When a command has left ExaBGP's pending buckets, as far as answers can tell.

ExaBGP sends a neighbor one generation of pending changes after the other, some of it each turn. Lines that are said
one after the other's answer take a turn each, so after a few of them the batch before has been sent; unless a neighbor
is draining (see `duties`), which the caller must rule out. The neighbors must be known from after the batch, too: one
that came unnoticed and is down still holds all of it.
"""

from collections import deque
from dataclasses import dataclass

from dnstap_bgp.core.exabgp.batch import Batch

SETTLE_LINES = 2
"""Later lines that must be answered. One was always enough in tests; two leave a turn to spare: 24 IPv6 prefixes take
26 steps, and a turn has 25."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A batch that was answered when the next line's number was `answered`; `left` more of these are to be answered."""

    batch: Batch
    answered: int
    number: int
    left: int = SETTLE_LINES


class Settling:
    """Answered batches on the way to being settled, oldest first."""

    def __init__(self) -> None:
        self._counting: deque[_Waiting] = deque()  # for later lines
        self._counted: deque[_Waiting] = deque()  # for news of the neighbors
        self._known = -1  # number of the line that asked for what is known of them

    @property
    def lacks_neighbors(self) -> bool:
        """Whether a batch waits for news of the neighbors."""
        newest = self._counting or self._counted
        return bool(newest) and newest[-1].answered > self._known

    def add(self, batch: Batch, number: int) -> None:
        """Take a batch that was answered just now; `number` is the next line's."""
        self._counting.append(_Waiting(batch, number, number))

    def asked(self, number: int) -> None:
        """The neighbors are known as of the answer to this line."""
        self._known = number

    def line(self, number: int, following: int) -> list[Batch]:
        """A line was answered; `following` is the next one's number. Gives the batches that are settled now."""
        still: deque[_Waiting] = deque()
        for waiting in self._counting:
            if waiting.number <= number:
                waiting.number = following
                waiting.left -= 1
            (still if waiting.left else self._counted).append(waiting)
        self._counting = still
        settled = []
        while self._counted and self._counted[0].answered <= self._known:
            settled.append(self._counted.popleft().batch)
        return settled

    def clear(self) -> list[Batch]:
        """A barrier was passed: gives all of them."""
        everything = [waiting.batch for waiting in (*self._counted, *self._counting)]
        self._counted.clear()
        self._counting.clear()
        return everything
