"""Waiting prefixes, grouped by what one line can say of them.

A line of ExaBGP's carries one verb, one family and one attribute set. Here each such kind of line is a group, so that
taking 49 prefixes for a line costs 49 steps however many wait. Nothing is held twice: a group is a dict of prefixes.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import NamedTuple

from dnstap_bgp.core.exabgp.grammar import Verb, family
from dnstap_bgp.core.model import Attributes, Prefix


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


class Lane:
    """Groups of waiting prefixes; the order between prefixes of one group is `first`'s choice.

    An OrderedDict gives its oldest entry at once; a plain dict does so only for its newest (taking from the front
    walks over all that was taken before), but is half as large. So live prefixes go first in, first out, and bulk
    ones, where the order says nothing, last in, first out.
    """

    def __init__(self, *, fifo: bool) -> None:
        self._groups: dict[Step, dict[Prefix, None]] = {}
        self._fifo = fifo

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
            group = self._groups[what] = OrderedDict() if self._fifo else {}
        group[prefix] = None

    def discard(self, prefix: Prefix) -> bool:
        """Take a prefix out, wherever it waits here; says whether it did."""
        for what, group in self._groups.items():
            if prefix in group:
                del group[prefix]
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

    def foresee(self, what: Step, count: int) -> tuple[Prefix, ...]:
        """What `take` would give now."""
        group = self._groups[what]
        return tuple(islice(group if isinstance(group, OrderedDict) else reversed(group), count))

    def take(self, what: Step, count: int) -> tuple[Prefix, ...]:
        """Take at most `count` prefixes of one group; with first in, first out, the next line is another group's."""
        group = self._groups.pop(what)
        if isinstance(group, OrderedDict):
            taken = tuple(islice(group, count))
            for prefix in taken:
                del group[prefix]
            if group:
                self._groups[what] = group
        else:
            taken = tuple(group.popitem()[0] for _ in range(min(count, len(group))))
            if group:
                # back to the front: one group after the other fills its lines best
                self._groups = {what: group, **self._groups}
        return taken
