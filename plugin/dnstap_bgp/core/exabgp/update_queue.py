"""Queues of prefixes whose update waits to be written, grouped by what one command line can say.

A command line of ExaBGP's carries one verb, one family and one attribute set. So each `Transition` (from which
attributes to which, in which family) has a queue of its own, and taking 49 prefixes for a line costs 49 steps however
many prefixes wait. Live prefixes leave first in, first out; bulk ones last in, first out, which takes less memory.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from itertools import chain, islice
from typing import ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

from dnstap_bgp.core.exabgp.grammar import IPV6, Verb, family
from dnstap_bgp.core.model import Attributes, Prefix

STALE_ENTRIES_MAX = 64
"""Entries of a Fifo's order that may be out of date before they are swept out: a sweep of a few pays for nothing."""


# -- what one line says


class Transition(NamedTuple):
    """The update of one prefix: from the announced attributes to the wanted ones.

    Attributes:
        announced: The attributes in the Adj-RIB-Out; None: the prefix isn't announced.
        wanted: The attributes to announce; None: withdraw the prefix.
        family: The prefix's family as ExaBGP names it.
    """

    announced: Attributes | None
    wanted: Attributes | None
    family: str

    @property
    def verb(self) -> Verb:
        """Announce or withdraw."""
        return Verb.WITHDRAW if self.wanted is None else Verb.ANNOUNCE

    @property
    def is_attribute_change(self) -> bool:
        """An announced prefix gets other attributes: the one update that must not overtake another."""
        return self.announced is not None and self.wanted is not None and self.announced != self.wanted

    @property
    def attributes(self) -> Attributes:
        """The attributes that the line names: for a withdraw, the announced ones."""
        attributes = self.announced if self.wanted is None else self.wanted
        assert attributes is not None
        return attributes


def transition(prefix: Prefix, announced: Attributes | None, wanted: Attributes | None) -> Transition:
    """Make the transition of one prefix."""
    return Transition(announced, wanted, family(prefix))


@dataclass(frozen=True, slots=True, eq=False)
class UpdateBatch:
    """One line's worth of prefixes, all with the same transition.

    Attributes:
        transition: The update that the line makes.
        prefixes: At least one.
        live: Whether somebody waits for the line: fresh addresses, as opposed to a restore or a reload.
        replay_to: Address of the only neighbor the line is for, one that came late; empty: all neighbors.
    """

    transition: Transition
    prefixes: tuple[Prefix, ...]
    live: bool = False
    replay_to: str = ""

    @property
    def records(self) -> list[tuple[Prefix, Attributes]]:
        """The announcements that the state file must hold before the line is written."""
        wanted = self.transition.wanted
        if wanted is None or wanted == self.transition.announced:
            return []
        return [(prefix, wanted) for prefix in self.prefixes]


# -- the shape of a line


class LineShape(NamedTuple):
    """Limits of a line: prefixes in it, and lines without an answer.

    Attributes:
        prefixes_max: The most prefixes of one line.
        unanswered_max: The most lines without an answer, this one included.
    """

    prefixes_max: int
    unanswered_max: int


# ExaBGP takes 50 steps of commands a turn, then sends 25 messages to each neighbor: grouped ones for IPv4, one for
# each prefix of IPv6.
IPV4_FASTEST = LineShape(49, 2)
"""The most routes a second; a fresh address then waits 22 ms (p50)."""
IPV4_LOW_LATENCY = LineShape(24, 1)
"""A fresh address waits 5 ms (p50) behind these."""
IPV6_FASTEST = LineShape(24, 1)
"""More at a time builds a backlog of seconds inside ExaBGP, behind which IPv4 waits as well."""
IPV6_LIVE = LineShape(12, 2)
"""Two lines of `IPV6_FASTEST`'s size together, so that a fresh address need not wait for an answer."""
ATTRIBUTE_CHANGE = LineShape(24, 1)
ALONE = LineShape(1, 1)

LIVE_FEW_MAX = 24
"""More live prefixes than this are a burst and go in bulk's shapes: a fresh one waits behind the others anyway."""


def line_shape(update: Transition, *, live: int, low_latency: bool) -> LineShape:
    """Choose the shape of the next line.

    Args:
        update: The update that the line makes.
        live: How many live prefixes wait, if the line is for them; 0 for bulk.
        low_latency: Whether fresh addresses come and go, so that bulk keeps its lines short.
    """
    if update.is_attribute_change:
        return ATTRIBUTE_CHANGE
    if update.family == IPV6:
        return IPV6_LIVE if 0 < live <= LIVE_FEW_MAX else IPV6_FASTEST
    return IPV4_FASTEST if live or not low_latency else IPV4_LOW_LATENCY


# -- the prefixes that wait for one kind of line


class PrefixQueue(Protocol):
    """Prefixes that wait for lines of one transition.

    Attributes:
        gives_way: Whether the line after this queue's line belongs to another queue, if another has something.
    """

    gives_way: ClassVar[bool]

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Prefix]:
        """Iterate in any order."""

    def __contains__(self, prefix: object, /) -> bool: ...

    def put(self, prefix: Prefix) -> None:
        """Add a prefix that is not in the queue."""

    def discard(self, prefix: Prefix) -> None:
        """Remove a prefix, if the queue holds it."""

    def take(self, count: int) -> tuple[Prefix, ...]:
        """Remove and return the next prefixes, at most `count`."""


class Fifo:
    """First in, first out: for live prefixes.

    A dict would find its oldest entry by walking over all that was taken before it. An OrderedDict finds it at once,
    but has a small object for each entry: after a burst of 200,000 their gaps kept 13 MB of the heap. So the order
    lies in a deque, which may name prefixes that were discarded; one that comes back gets its old place.
    """

    gives_way: ClassVar[bool] = True
    __slots__ = ("_order", "_waiting")

    def __init__(self) -> None:
        self._waiting: set[Prefix] = set()
        self._order: deque[Prefix] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Prefix]:
        return iter(self._waiting)

    def __contains__(self, prefix: object) -> bool:
        return prefix in self._waiting

    def put(self, prefix: Prefix) -> None:
        """Add a prefix; entries of discarded prefixes are swept out once they outnumber what waits."""
        self._waiting.add(prefix)
        self._order.append(prefix)
        if len(self._order) > 2 * len(self._waiting) + STALE_ENTRIES_MAX:
            self._order = deque(dict.fromkeys(one for one in self._order if one in self._waiting))

    def discard(self, prefix: Prefix) -> None:
        """Remove a prefix; its entry in the order stays until it is taken or swept out."""
        self._waiting.discard(prefix)

    def __copy__(self) -> "Fifo":
        twin = Fifo()
        for prefix in dict.fromkeys(self._order):
            if prefix in self._waiting:
                twin.put(prefix)
        return twin

    def take(self, count: int) -> tuple[Prefix, ...]:
        """Remove and return the oldest prefixes, at most `count`."""
        taken: list[Prefix] = []
        while len(taken) < count and self._waiting:
            prefix = self._order.popleft()
            if prefix in self._waiting:
                self._waiting.remove(prefix)
                taken.append(prefix)
        return tuple(taken)


class Lifo(dict[Prefix, None]):
    """Last in, first out: for bulk prefixes, whose order says nothing, so that a plain dict is enough.

    What `peek` has given goes before what is put after that. So the line that is prepared stays the next one, however
    much a restore or a reload puts meanwhile: otherwise nearly every line would have to wait for a record of its own.
    """

    gives_way: ClassVar[bool] = False  # one queue after the other fills its lines best
    __slots__ = ("_foreseen",)

    def __init__(self, prefixes: Iterable[tuple[Prefix, None]] = ()) -> None:
        super().__init__(prefixes)
        self._foreseen: tuple[Prefix, ...] = ()  # some of these may have been discarded since

    def __copy__(self) -> "Lifo":
        return Lifo(self.items())

    def put(self, prefix: Prefix) -> None:
        """Add a prefix."""
        self[prefix] = None

    def discard(self, prefix: Prefix) -> None:
        """Remove a prefix, if the queue holds it."""
        self.pop(prefix, None)

    def take(self, count: int) -> tuple[Prefix, ...]:
        """Remove and return the prefixes that were foreseen, or else the newest ones, at most `count`."""
        taken = self.peek(count)
        for prefix in taken:
            del self[prefix]
        self._foreseen = self._foreseen[len(taken) :]
        return taken

    def peek(self, count: int) -> tuple[Prefix, ...]:
        """Return what `take` would return from now on, whatever is put, and leave it."""
        foreseen = self._foreseen[:count]
        if len(foreseen) < min(count, len(self)) or not all(map(self.__contains__, foreseen)):
            foreseen = self._foreseen = tuple(islice(reversed(self), count))
        return foreseen


Q = TypeVar("Q", bound=PrefixQueue)


class UpdateQueue(Generic[Q]):
    """Waiting prefixes: one queue for each transition, none of them empty."""

    def __init__(self, make: Callable[[], Q]) -> None:
        """Start empty.

        Args:
            make: Makes an empty queue: `Fifo` or `Lifo`.
        """
        self._queues: dict[Transition, Q] = {}
        self._make = make

    def __copy__(self) -> Self:
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__, _queues={update: copy(queue) for update, queue in self._queues.items()})
        return twin

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __contains__(self, prefix: object) -> bool:
        return any(prefix in queue for queue in self._queues.values())

    def __iter__(self) -> Iterator[Prefix]:
        return chain.from_iterable(self._queues.values())

    def put(self, prefix: Prefix, update: Transition) -> None:
        """Add a prefix that doesn't wait here yet."""
        queue = self._queues.get(update)
        if queue is None:
            queue = self._queues[update] = self._make()
        queue.put(prefix)

    def discard(self, prefix: Prefix) -> Transition | None:
        """Remove a prefix; returns its transition, or None where it doesn't wait here."""
        for update, queue in self._queues.items():
            if prefix in queue:
                queue.discard(prefix)
                if not queue:
                    del self._queues[update]
                return update
        return None

    def transitions(self) -> Iterator[tuple[Transition, Q]]:
        """Iterate over the transitions and what waits for each, next line first."""
        return iter(self._queues.items())

    def first(self, admits: Callable[[Transition], bool]) -> Transition | None:
        """Find the transition of the next line among those that `admits` admits."""
        return next(filter(admits, self._queues), None)

    def find(self, prefix: Prefix) -> Transition | None:
        """Find the transition of a prefix; None: it doesn't wait here."""
        return next((update for update, queue in self._queues.items() if prefix in queue), None)

    def select(self, matches: Callable[[Transition], bool]) -> Iterator[Prefix]:
        """Iterate over the prefixes whose transition matches."""
        return chain.from_iterable(queue for update, queue in self._queues.items() if matches(update))

    def take(self, update: Transition, count: int) -> tuple[Prefix, ...]:
        """Remove and return at most `count` prefixes of one transition."""
        queue = self._queues[update]
        taken = queue.take(count)
        if not queue:
            del self._queues[update]
        elif queue.gives_way:
            self._queues[update] = self._queues.pop(update)
        return taken


class BulkQueue(UpdateQueue[Lifo]):
    """Bulk prefixes: their next line can be foreseen."""

    def __init__(self) -> None:
        super().__init__(Lifo)

    def peek(self, update: Transition, count: int) -> tuple[Prefix, ...]:
        """Return what `take` would return now, and leave it."""
        return self._queues[update].peek(count)
