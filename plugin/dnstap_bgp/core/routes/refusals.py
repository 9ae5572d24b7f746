"""What the route table refused or let go, counted by reason, with an example of each for the log."""

from collections import Counter
from typing import NamedTuple

from dnstap_bgp.core.model import Address, Name


class Refusal(NamedTuple):
    """What was refused for one reason since the last time anyone asked.

    Attributes:
        reason: A word of `Guard.refusal`, `family`, or a cap: `routes`, `list-routes`, `name-routes`, `rate`.
        evicted: A claim that was held had to go; False: a sighting did not become a claim.
        times: How often.
        address: Of the first of them, as the rest.
        list: See there.
        name: See there.
    """

    reason: str
    evicted: bool
    times: int
    address: Address
    list: str
    name: Name


class Refusals:
    """The counters.

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
        """Count a sighting."""
        self.refused[reason] += 1
        if (reason, False) not in self._first:
            self._first[reason, False] = address, list_name, name

    def evict(self, reason: str, address: Address, list_name: str, name: Name) -> None:
        """Count a claim."""
        self.evicted[reason] += 1
        if (reason, True) not in self._first:
            self._first[reason, True] = address, list_name, name

    def take(self) -> list[Refusal]:
        """What came since the last call, a line for each reason."""
        first, self._first = self._first, {}
        news = []
        for (reason, evicted), (address, list_name, name) in first.items():
            count = (self.evicted if evicted else self.refused)[reason]
            news.append(Refusal(reason, evicted, count - self._told[reason, evicted], address, list_name, name))
            self._told[reason, evicted] = count
        return news
