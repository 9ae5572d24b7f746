"""Waiting prefixes, grouped by what one line can say of them.

A line of ExaBGP's carries one verb, one family and one attribute set. Here each such kind of line is a group, so that
taking 49 prefixes for a line costs 49 steps however many wait.
"""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import ClassVar, Generic, NamedTuple, Protocol, TypeVar

from dnstap_bgp.core.exabgp.grammar import Verb, family
from dnstap_bgp.core.model import Attributes, Prefix

SPARE = 64
"""Entries of a queue's order that may be out of date before that is looked at: a sweep of a few pays for nothing."""


class Step(NamedTuple):
    """What is to be done with a prefix: from what the host was told to what is wanted.

    Attributes:
        told: What the host was told and not untold; None: nothing.
        wanted: What it is to be told; None: to withdraw it.
        family: As ExaBGP names it.
    """

    told: Attributes | None
    wanted: Attributes | None
    family: str

    @property
    def verb(self) -> Verb:
        """Announce or withdraw."""
        return Verb.WITHDRAW if self.wanted is None else Verb.ANNOUNCE

    @property
    def is_move(self) -> bool:
        """Whether an announced prefix gets other attributes: the one that must not overtake anything."""
        return self.told is not None and self.wanted is not None and self.told != self.wanted

    @property
    def attributes(self) -> Attributes:
        """What the line says: for a withdraw, what was announced."""
        attributes = self.told if self.wanted is None else self.wanted
        assert attributes is not None
        return attributes


def step(prefix: Prefix, told: Attributes | None, wanted: Attributes | None) -> Step:
    """The step of one prefix."""
    return Step(told, wanted, family(prefix))


class Group(Protocol):
    """Prefixes that wait for one kind of line.

    Attributes:
        gives_way: Whether the line after this one is another group's, if there is another.
    """

    gives_way: ClassVar[bool]

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Prefix]:
        """In any order."""

    def __contains__(self, prefix: object, /) -> bool: ...

    def put(self, prefix: Prefix) -> None:
        """Add a prefix that is not in it."""

    def discard(self, prefix: Prefix) -> None:
        """Take a prefix out, if it is in it."""

    def take(self, count: int) -> tuple[Prefix, ...]:
        """Take out those whose turn it is, at most so many."""


class Queue:
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
        """See `Group`; what was discarded is swept out of the order once it outnumbers what waits."""
        self._waiting.add(prefix)
        self._order.append(prefix)
        if len(self._order) > 2 * len(self._waiting) + SPARE:
            self._order = deque(dict.fromkeys(one for one in self._order if one in self._waiting))

    def discard(self, prefix: Prefix) -> None:
        """See `Group`."""
        self._waiting.discard(prefix)

    def take(self, count: int) -> tuple[Prefix, ...]:
        """See `Group`."""
        taken: list[Prefix] = []
        while len(taken) < count and self._waiting:
            prefix = self._order.popleft()
            if prefix in self._waiting:
                self._waiting.remove(prefix)
                taken.append(prefix)
        return tuple(taken)


class Stack(dict[Prefix, None]):
    """Last in, first out: for bulk prefixes, where the order says nothing, and a dict is all it takes."""

    gives_way: ClassVar[bool] = False  # one group after the other fills its lines best

    def put(self, prefix: Prefix) -> None:
        """See `Group`."""
        self[prefix] = None

    def discard(self, prefix: Prefix) -> None:
        """See `Group`."""
        self.pop(prefix, None)

    def take(self, count: int) -> tuple[Prefix, ...]:
        """See `Group`."""
        return tuple(self.popitem()[0] for _ in range(min(count, len(self))))

    def foresee(self, count: int) -> tuple[Prefix, ...]:
        """What `take` would give now."""
        return tuple(islice(reversed(self), count))


G = TypeVar("G", bound=Group)


class Lane(Generic[G]):
    """Groups of waiting prefixes, one for each kind of line."""

    def __init__(self, make: Callable[[], G]) -> None:
        """Start empty; `make` gives an empty group."""
        self._groups: dict[Step, G] = {}
        self._make = make

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def __bool__(self) -> bool:
        return bool(self._groups)

    def __contains__(self, prefix: Prefix) -> bool:
        return any(prefix in group for group in self._groups.values())

    def __iter__(self) -> Iterator[Prefix]:
        return chain.from_iterable(self._groups.values())

    def put(self, prefix: Prefix, what: Step) -> None:
        """Add a prefix that doesn't wait here yet."""
        group = self._groups.get(what)
        if group is None:
            group = self._groups[what] = self._make()
        group.put(prefix)

    def discard(self, prefix: Prefix) -> bool:
        """Take a prefix out, wherever it waits here; says whether it did."""
        for what, group in self._groups.items():
            if prefix in group:
                group.discard(prefix)
                if not group:
                    del self._groups[what]
                return True
        return False

    def first(self, admits: Callable[[Step], bool]) -> Step | None:
        """The kind of line that is next among those that `admits` admits."""
        return next(filter(admits, self._groups), None)

    def select(self, matches: Callable[[Step], bool]) -> dict[Prefix, Attributes | None]:
        """What is wanted of the prefixes whose step matches."""
        chosen = [(what.wanted, group) for what, group in self._groups.items() if matches(what)]
        return {prefix: wanted for wanted, group in chosen for prefix in group}

    def take(self, what: Step, count: int) -> tuple[Prefix, ...]:
        """Take at most `count` prefixes of one kind of line."""
        group = self._groups[what]
        taken = group.take(count)
        if not group:
            del self._groups[what]
        elif group.gives_way:
            self._groups[what] = self._groups.pop(what)
        return taken


class BulkLane(Lane[Stack]):
    """Bulk prefixes: what comes next can be foreseen."""

    def __init__(self) -> None:
        super().__init__(Stack)

    def foresee(self, what: Step, count: int) -> tuple[Prefix, ...]:
        """What `take` would give now."""
        return self._groups[what].foresee(count)
