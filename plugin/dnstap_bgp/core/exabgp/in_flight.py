"""Lines without an answer: what each is for, whose answers come first after a respawn, and when a batch is settled.

ExaBGP answers what goes through its command queue first in, first out. So the oldest line in flight owns the next
answer, and three things follow from the numbers of lines alone:

- *resync* after a respawn: which answers still belong to a dead predecessor (`Barrier`);
- *settled*: when a command has left ExaBGP's pending buckets (`SettlingBatches`);
- the *prepared* line: what is written next, made and recorded while others wait for their answer (`PreparedLine`).
"""

import enum
from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field

from dnstap_bgp.core.exabgp import grammar
from dnstap_bgp.core.exabgp.grammar import BARRIER_BARE, BARRIER_HEADED, BARRIER_HEADER, CommandAnswer
from dnstap_bgp.core.exabgp.reconciler import Reconciler
from dnstap_bgp.core.exabgp.update_queue import UpdateBatch
from dnstap_bgp.core.model import EVERYONE, Attributes, Audience, Prefix

BARRIER_BITS = 24
"""A wrong match takes 23 equal random bits; and so many queries still cost ExaBGP only two of its turns."""
SETTLE_LINES = 2
"""Later lines that must be answered. One was always enough in tests; two leave a turn to spare: 24 IPv6 prefixes take
26 steps, and a turn has 25."""


class LineKind(enum.Enum):
    """The purpose of a line; those that are exclusive are alone in flight."""

    HANDSHAKE = "handshake"
    ROUTES = "routes"
    NEIGHBORS = "neighbors"
    PROBE = "probe"
    CLEAN = "clean"
    KEPT = "kept"
    WITHDRAW_FIRST = "withdraw first"
    ATTRIBUTE_CHANGE = "attribute change"
    LATER = "later"
    END_OF_RIB = "end of rib"
    FLUSH = "flush"

    @property
    def exclusive(self) -> bool:
        """The line must be alone in flight: ExaBGP may answer it out of turn, or nothing may overtake it."""
        return self not in (LineKind.ROUTES, LineKind.NEIGHBORS)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Lines to write now, and their records.

    Attributes:
        data: Whole lines, ASCII.
        records: The announcements that the state file must hold before they leave.
        audience: The neighbors that the records are about.
    """

    data: bytes
    records: list[tuple[Prefix, Attributes]] = field(default_factory=list)
    audience: Audience = EVERYONE


class Barrier:
    """The mark between a dead predecessor's answers and ours: a random sequence of two queries.

    ExaBGP answers queued commands first in, first out, and goes on answering a dead process's to its successor. The
    answers of the two queries differ: with a header row, and without. Once the last answers are exactly the drawn
    sequence, all that was asked before has been answered. Nothing else can look like it: routes are answered by bare
    `done`s, and another process's barrier has other bits. Rows and events between don't matter.
    """

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

    def answered(self, answer: CommandAnswer) -> bool:
        """Take an answer; returns whether the barrier is passed."""
        self._got.append(self._headed if answer is CommandAnswer.DONE else None)
        self._headed = False
        return list(self._got) == self._wanted


@dataclass(slots=True, eq=False)
class _Settling:
    """A batch that was answered when the next line's number was `answered`; `left` more of these are to be answered."""

    batch: UpdateBatch
    answered: int
    number: int
    left: int = SETTLE_LINES


class SettlingBatches:
    """Answered batches on the way to being settled, oldest first.

    ExaBGP sends a neighbor one generation of pending changes after the other, some of it each turn. Lines that are
    written one after the other's answer take a turn each, so after a few of them the batch before has been sent;
    unless a neighbor is draining (see `neighbors`), which the caller must rule out. The neighbors must be known from
    after the batch, too: one that came unnoticed and is down still holds all of it.
    """

    def __init__(self) -> None:
        self._counting: deque[_Settling] = deque()  # for later lines
        self._counted: deque[_Settling] = deque()  # for news of the neighbors
        self._known = -1  # number of the line that asked for what is known of them

    @property
    def lacks_neighbors(self) -> bool:
        """A batch waits for news of the neighbors."""
        newest = self._counting or self._counted
        return bool(newest) and newest[-1].answered > self._known

    def add(self, batch: UpdateBatch, number: int) -> None:
        """Add a batch that was answered just now; `number` is the next line's."""
        self._counting.append(_Settling(batch, number, number))

    def neighbors_known(self, number: int) -> None:
        """Note that the neighbors are known as of the answer to this line."""
        self._known = number

    def line_answered(self, number: int, following: int) -> list[UpdateBatch]:
        """Count an answered line; returns the batches that are settled now.

        Args:
            number: The answered line's number.
            following: The next line's.
        """
        # A batch counts a line only if that was written after the last one it counted was answered: two lines that
        # were in flight together may share a turn.
        still: deque[_Settling] = deque()
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

    def fork(self) -> "SettlingBatches":
        """Copy everything."""
        twin = copy(self)
        for name in ("_counting", "_counted"):
            setattr(twin, name, deque(map(copy, getattr(self, name))))
        return twin

    def clear(self) -> list[UpdateBatch]:
        """Take all batches: a barrier was passed, so every one is settled."""
        everything = [waiting.batch for waiting in (*self._counted, *self._counting)]
        self._counted.clear()
        self._counting.clear()
        return everything


class PreparedLine:
    """The line that will most likely be written next, for a batch that is still in the reconciler.

    What is foreseen counts for nothing until it is written. So anything may overtake it, and then all that is left to
    do is to correct the records that were made for it.
    """

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler
        self._prepared: tuple[UpdateBatch, Outgoing, tuple[str, ...]] | None = None  # with the neighbors it names

    def prepare(
        self, batch: UpdateBatch | None, neighbors: Sequence[str] = (), audience: Audience = EVERYONE
    ) -> Outgoing | None:
        """Make the line for what is foreseen now.

        Args:
            batch: The batch that is foreseen, if any.
            neighbors: The neighbors that the line names.
            audience: The neighbors that its records are about.

        Returns:
            The line, to be recorded; None: nothing is foreseen, or it was made before.
        """
        if self._prepared is not None:
            if batch is not None and _are_same(batch, self._prepared[0]):
                return None
            self._drop()
        if batch is None:
            return None
        outgoing = route_line(batch, neighbors, audience)
        self._prepared = batch, outgoing, tuple(neighbors)
        return outgoing

    def line(self, batch: UpdateBatch, neighbors: Sequence[str] = (), audience: Audience = EVERYONE) -> Outgoing:
        """Make the line for a batch that was taken: the very object that was prepared, if it is that."""
        if self._prepared is not None:
            foreseen, outgoing, named = self._prepared
            if _are_same(batch, foreseen):
                self._prepared = None
                if named == tuple(neighbors) and outgoing.audience == audience:
                    return outgoing
                return route_line(batch, neighbors, audience)  # the neighbors are others by now
            if not set(foreseen.prefixes).isdisjoint(batch.prefixes):
                self._drop()  # what was recorded for it isn't the last word on these any more
        return route_line(batch, neighbors, audience)

    def _drop(self) -> None:
        assert self._prepared is not None
        self._reconciler.disown(self._prepared[1].records)
        self._prepared = None


def route_line(batch: UpdateBatch, neighbors: Sequence[str], audience: Audience) -> Outgoing:
    """Make the line of a batch.

    Args:
        batch: The batch.
        neighbors: Addresses of the only neighbors that the line names; empty: it reaches all.
        audience: The neighbors that its records are about.
    """
    update = batch.transition
    data = grammar.route_line(update.verb, update.attributes, batch.prefixes, neighbors)
    return Outgoing(data, batch.records, audience)


def _are_same(batch: UpdateBatch, foreseen: UpdateBatch) -> bool:
    return batch.prefixes == foreseen.prefixes and batch.transition == foreseen.transition and not batch.replay_to
