"""What is routed no more, or never was, and why: the last few thousand, for those who ask why an address has no route.

An end costs a tuple and a place in a ring, 0.2 us; looking something up walks through all of it, which is rare and
takes less than a millisecond.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import NamedTuple

from dnstap_bgp.core.model import Address, Name

REMEMBERED = 4_096
"""Ends, and refusals: 1.5 MB together once all of it is in use. A day of a household's, minutes of a campus'."""


class Bygone(NamedTuple):
    """A claim that ended, or a sighting that did not become one.

    Attributes:
        address: Packed.
        list: The list's name.
        name: The name that matched.
        event: `ended` or `refused`.
        reason: `expired`, `list` (no longer on it), `forgotten`, `crowded` (too many names on the address), a word of
            `Guard.refusal`, `family`, or a cap as in `Refusal`.
        at: When, process clock; of several refusals the last.
        times: How often it was refused.
    """

    address: Address
    list: str
    name: Name
    event: str
    reason: str
    at: float
    times: int = 1


class Past:
    """For the holder of the keeper's lock.

    Attributes:
        now: Process clock of what is being done.
        ends: How many ends were noted, ever: the ring has the last of them.
    """

    __slots__ = ("_ended", "_refused", "ends", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self.ends = 0
        self._ended: deque[tuple[Address, str, Name, str, float]] = deque(maxlen=REMEMBERED)
        self._refused: OrderedDict[tuple[Address, str, Name], tuple[str, float, int]] = OrderedDict()

    def end(self, reason: str, address: Address, list_name: str, name: Name) -> None:
        """Note that a claim ended."""
        self.ends += 1
        self._ended.append((address, list_name, name, reason, self.now))

    def refuse(self, reason: str, address: Address, list_name: str, name: Name) -> None:
        """Note that a sighting was refused; the same again and again takes one place."""
        key = address, list_name, name
        before = self._refused.pop(key, None)
        self._refused[key] = reason, self.now, before[2] + 1 if before else 1
        if len(self._refused) > REMEMBERED:
            self._refused.popitem(last=False)

    def ended_since(self, ends: int, at_most: int) -> list[Bygone]:
        """The ends that were noted after the first `ends` of them, oldest first, and of too many the last."""
        count = min(self.ends - ends, len(self._ended), at_most)
        return [_ended(self._ended[place]) for place in range(len(self._ended) - count, len(self._ended))]

    def of_address(self, address: Address, at_most: int) -> list[Bygone]:
        """What is remembered of an address, newest first."""
        return self._newest((one for one in self._all() if one.address == address), at_most)

    def of_name(self, name: Name, at_most: int) -> list[Bygone]:
        """What is remembered of a name, newest first."""
        return self._newest((one for one in self._all() if one.name == name), at_most)

    def _all(self) -> Iterator[Bygone]:
        yield from map(_ended, self._ended)
        for (address, list_name, name), (reason, at, times) in self._refused.items():
            yield Bygone(address, list_name, name, "refused", reason, at, times)

    @staticmethod
    def _newest(found: Iterator[Bygone], at_most: int) -> list[Bygone]:
        return sorted(found, key=lambda one: -one.at)[:at_most]


def _ended(one: tuple[Address, str, Name, str, float]) -> Bygone:
    address, list_name, name, reason, at = one
    return Bygone(address, list_name, name, "ended", reason, at)
