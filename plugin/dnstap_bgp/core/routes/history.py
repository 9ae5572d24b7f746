"""History of claims that ended and sightings that were refused, with the reason of each, and counters of refusals.

The last few thousand are kept, for those who ask why an address has no route. An end costs a tuple and a place in a
ring, 0.2 us; looking something up walks through all of it, which is rare and takes less than a millisecond.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from typing import NamedTuple

from dnstap_bgp.core.model import Address, Name

REMEMBERED = 4_096
"""Ends that are kept, and refusals: 1.5 MB in all once it is full. A day of a household's, minutes of a campus'."""


class HistoryEntry(NamedTuple):
    """A claim that ended, or a sighting that did not become one.

    Attributes:
        address: Packed.
        list: The list's name.
        name: The name that matched.
        event: `ended` or `refused`.
        reason: `expired`, `list` (no longer on it), `forgotten`, `crowded` (too many names on the address), a word of
            `Guard.refusal`, `family`, or a cap as in `RefusalCount`.
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


class History:
    """Ring of the last ends and refusals; for the holder of the keeper's lock.

    Attributes:
        ends: How many ends were noted, ever: the ring has the last of them.
    """

    __slots__ = ("_ended", "_refused", "ends")

    def __init__(self) -> None:
        self.ends = 0
        self._ended: deque[tuple[Address, str, Name, str, float]] = deque(maxlen=REMEMBERED)
        self._refused: OrderedDict[tuple[Address, str, Name], tuple[str, float, int]] = OrderedDict()

    def end(self, reason: str, address: Address, list_name: str, name: Name, now: float) -> None:
        """Note that a claim ended."""
        self.ends += 1
        self._ended.append((address, list_name, name, reason, now))

    def refuse(self, reason: str, address: Address, list_name: str, name: Name, now: float) -> None:
        """Note that a sighting was refused; the same again and again takes one place."""
        key = address, list_name, name
        before = self._refused.pop(key, None)
        self._refused[key] = reason, now, before[2] + 1 if before else 1
        if len(self._refused) > REMEMBERED:
            self._refused.popitem(last=False)

    def ended_since(self, ends: int, at_most: int) -> list[HistoryEntry]:
        """Give the ends that were noted after the first `ends` of them, oldest first, and of too many the last."""
        count = min(self.ends - ends, len(self._ended), at_most)
        return [_ended(self._ended[place]) for place in range(len(self._ended) - count, len(self._ended))]

    def of_address(self, address: Address, at_most: int) -> list[HistoryEntry]:
        """Give the history of an address, newest first."""
        return self._newest((one for one in self._all() if one.address == address), at_most)

    def of_name(self, name: Name, at_most: int) -> list[HistoryEntry]:
        """Give the history of a name, newest first."""
        return self._newest((one for one in self._all() if one.name == name), at_most)

    def _all(self) -> Iterator[HistoryEntry]:
        yield from map(_ended, self._ended)
        for (address, list_name, name), (reason, at, times) in self._refused.items():
            yield HistoryEntry(address, list_name, name, "refused", reason, at, times)

    @staticmethod
    def _newest(found: Iterator[HistoryEntry], at_most: int) -> list[HistoryEntry]:
        return sorted(found, key=lambda one: -one.at)[:at_most]


def _ended(one: tuple[Address, str, Name, str, float]) -> HistoryEntry:
    address, list_name, name, reason, at = one
    return HistoryEntry(address, list_name, name, "ended", reason, at)


class RefusalCount(NamedTuple):
    """Count of what was refused for one reason since the last time anyone asked, with an example.

    Attributes:
        reason: A word of `Guard.refusal`, `family`, `rate`, or a cap as in the table of `admission`.
        evicted: A claim that was held had to go; False: a sighting did not become a claim.
        times: How often.
        address: Of the first of them.
        list: Of the first of them.
        name: Of the first of them.
    """

    reason: str
    evicted: bool
    times: int
    address: Address
    list: str
    name: Name


class Refusals:
    """Counters of refusals and evictions, by reason.

    Attributes:
        refused: Reason -> sightings that could not become a claim, ever.
        evicted: Reason -> claims that had to go, ever.
    """

    __slots__ = ("_first", "_told", "evicted", "refused")

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        self.evicted: Counter[str] = Counter()
        self._first: dict[tuple[str, bool], tuple[Address, str, Name]] = {}
        self._told: Counter[tuple[str, bool]] = Counter()

    def refuse(self, reason: str, address: Address, list_name: str, name: Name) -> None:
        """Count a sighting that was refused."""
        self.refused[reason] += 1
        if (reason, False) not in self._first:
            self._first[reason, False] = address, list_name, name

    def evict(self, reason: str, address: Address, list_name: str, name: Name) -> None:
        """Count a claim that had to go."""
        self.evicted[reason] += 1
        if (reason, True) not in self._first:
            self._first[reason, True] = address, list_name, name

    def take(self) -> list[RefusalCount]:
        """Take what came since the last call, one `RefusalCount` for each reason."""
        first, self._first = self._first, {}
        news = []
        for (reason, evicted), (address, list_name, name) in first.items():
            count = (self.evicted if evicted else self.refused)[reason]
            news.append(RefusalCount(reason, evicted, count - self._told[reason, evicted], address, list_name, name))
            self._told[reason, evicted] = count
        return news
