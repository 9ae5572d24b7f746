"""Finding one's own place in a stream of answers that began with a dead predecessor's.

Strategy: ExaBGP answers queued commands first in, first out, and goes on answering a dead process's to its successor.
A barrier is a random sequence of two queries whose answers differ: with a header row, and without. Once the last
answers are exactly that sequence, all that was asked before has been answered. Nothing else can look like it: routes
are answered by bare `done`s, and another process's barrier has other bits. Rows and events between don't matter.
"""

from collections import deque
from collections.abc import Callable

from dnstap_bgp.core.exabgp.grammar import BARRIER_BARE, BARRIER_HEADED, BARRIER_HEADER, Answer

BARRIER_BITS = 24
"""A wrong match takes 23 equal random bits; and so many queries still cost ExaBGP only two of its turns."""


class Barrier:
    """One barrier: say `lines`, then give it every row and answer until `answered` says that it is passed."""

    def __init__(self, bits: Callable[[int], int]) -> None:
        """Draw the sequence.

        Args:
            bits: Gives so many random bits.
        """
        # the first has a header, so that a row of `done`s before it is never part of it
        drawn = bits(BARRIER_BITS) | 1 << BARRIER_BITS - 1
        self._wanted = [bool(drawn >> bit & 1) for bit in reversed(range(BARRIER_BITS))]
        self._got: deque[bool | None] = deque(maxlen=BARRIER_BITS)
        self._headed = False

    @property
    def lines(self) -> bytes:
        """The queries, in the drawn order."""
        return b"".join(BARRIER_HEADED if headed else BARRIER_BARE for headed in self._wanted)

    def row(self, text: bytes) -> None:
        """Take a row."""
        self._headed = self._headed or text.startswith(BARRIER_HEADER)

    def answered(self, answer: Answer) -> bool:
        """Take an answer; says whether the barrier is passed."""
        self._got.append(self._headed if answer is Answer.DONE else None)
        self._headed = False
        return list(self._got) == self._wanted
