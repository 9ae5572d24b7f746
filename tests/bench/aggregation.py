"""What joining full pairs of routes would save: two /32 that fill a /31 become that, two of these a /30, and so on.

Exact: nothing is routed that isn't wanted, and both halves have to be there. Three captures of two days, from a model
of who asks for what and of how networks hand out addresses; the second day counts. Addresses are allotted as content
networks do it, which is what decides:

    cluster   a name is served by neighbours in the prefix of the cache nearby, others of them each few minutes
    anycast   two fixed addresses of a name, anywhere in a pool of some thousands that all customers share
    spread    one fixed host number in each of four networks
    front     few addresses for all names of a large service, neighbours among them, one at a time
    cloud     load balancers: a few addresses of a name, anywhere in large blocks, others each few hours
    hosted    one fixed address of a name of its own, in the block of a hoster

Nothing runs but this model: no plugin, no ExaBGP. An update is one announce or withdraw of one prefix.
"""

import heapq
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.figure import Figure, Settings

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S

NETWORKS = {"cluster": 0.22, "anycast": 0.22, "spread": 0.06, "front": 0.10, "cloud": 0.25, "hosted": 0.15}
"""Share of the names by kind: about what the most visited sites resolve to."""

CLUSTERS = 24
"""Prefixes of caches near a resolver, each with this many addresses in use."""
CLUSTER_SIZE = 64


@dataclass(frozen=True, slots=True)
class Capture:
    """A day of a resolver.

    Attributes:
        name: Of whom.
        names: Listed names that are ever asked for there.
        answers: Answers for them in a day.
        ttl_s: How long an address stays routed.
    """

    name: str
    names: int
    answers: int
    ttl_s: float


CAPTURES = [
    Capture("household, ttl 24h", 400, 15_000, DAY_S),
    Capture("office, ttl 24h", 3_000, 150_000, DAY_S),
    Capture("provider, ttl 24h", 30_000, 600_000, DAY_S),
    Capture("household, ttl 1h", 400, 15_000, HOUR_S),
    Capture("office, ttl 1h", 3_000, 150_000, HOUR_S),
    Capture("provider, ttl 1h", 30_000, 600_000, HOUR_S),
]


class Name:
    """A name, and the addresses that it has at a time; IPv4 as numbers."""

    def __init__(self, number: int, kind: str, seed: int) -> None:
        pick = random.Random(f"{seed} {number}")
        self._kind, self._seed, self._number = kind, seed, number
        self._home = pick.randrange(CLUSTERS)
        self._count = pick.choice((2, 2, 3, 4))
        self._fixed = {
            "anycast": [104 << 24 | 16 << 16 | pick.randrange(1 << 13), 172 << 24 | 64 << 16 | pick.randrange(1 << 13)],
            "spread": [151 << 24 | 101 << 16 | third << 8 | pick.randrange(1 << 6) for third in (1, 65, 129, 193)],
            "hosted": [pick.randrange(64) << 18 | 80 << 24 | pick.randrange(1 << 12)],
        }.get(kind, [])

    def addresses(self, at: float) -> list[int]:
        """Give what is answered at a time, in seconds."""
        if self._fixed:
            return self._fixed
        turn_s = {"cluster": 300.0, "front": 300.0, "cloud": 4 * HOUR_S}[self._kind]
        pick = random.Random(f"{self._seed} {self._number} {int(at / turn_s)}")
        if self._kind == "cluster":
            base = 23 << 24 | self._home << 8
            return [base | (pick.randrange(CLUSTER_SIZE) + step) % CLUSTER_SIZE for step in range(self._count)]
        if self._kind == "front":
            return [142 << 24 | 250 << 16 | pick.randrange(12) << 8 | pick.randrange(14) * 16 + pick.choice((10, 14))]
        return [pick.choice((3, 18, 34, 52)) << 24 | pick.randrange(1 << 20) for _ in range(self._count)]


class Joined:
    """A table in which full pairs are joined, and the updates that it takes."""

    def __init__(self) -> None:
        self.routes: set[tuple[int, int]] = set()  # (bits left out, what is left)
        self.updates = 0

    def add(self, address: int) -> None:
        """Announce an address: with each half that is there already, what both fill takes their place."""
        dropped, value = 0, address
        while (dropped, value ^ 1) in self.routes:
            self.routes.remove((dropped, value ^ 1))
            self.updates += 1
            dropped, value = dropped + 1, value >> 1
        self.routes.add((dropped, value))
        self.updates += 1

    def remove(self, address: int) -> None:
        """Withdraw an address: what covers it gives way to its other parts."""
        dropped = next(bits for bits in range(33) if (bits, address >> bits) in self.routes)
        self.routes.remove((dropped, address >> dropped))
        self.updates += 1
        for bits in range(dropped):
            self.routes.add((bits, address >> bits ^ 1))
            self.updates += 1


def run(settings: Settings) -> Iterator[Figure]:
    """Take the figures of each capture."""
    for capture in CAPTURES[: settings.size(len(CAPTURES), 1)]:
        settings.say(capture.name)
        found = [measure(capture, seed, settings.size(1, 100)) for seed in range(settings.rounds)]
        plain, joined, plain_updates, joined_updates = zip(*found, strict=True)
        saved = tuple(100 * (1 - few / all_) for few, all_ in zip(joined, plain, strict=True))
        yield Figure(f"{capture.name}: routes", "routes", plain)
        yield Figure(f"{capture.name}: routes that joining full pairs saves", "%", saved)
        yield Figure(
            f"{capture.name}: updates a day, pairs joined", "updates", joined_updates, plain_updates, "each by itself"
        )


def measure(capture: Capture, seed: int, divisor: int = 1) -> tuple[float, float, float, float]:
    """Live through two days.

    Returns:
        Of the second one: routes at its end, the same joined, updates, updates of the joined table.
    """
    pick = random.Random(seed)
    kinds = pick.choices(list(NETWORKS), list(NETWORKS.values()), k=capture.names)
    names = [Name(number, kind, seed) for number, kind in enumerate(kinds)]
    weights = list(itertools.accumulate(1 / rank for rank in range(1, capture.names + 1)))
    answers = capture.answers // divisor
    ends: dict[int, float] = {}  # of each address that is routed
    due: list[tuple[float, int]] = []
    joined = Joined()
    updates, before = 0, (0, 0)
    for number, name in enumerate(pick.choices(names, cum_weights=weights, k=2 * answers)):
        at = 2 * DAY_S * number / (2 * answers)
        if number == answers:
            before = updates, joined.updates
        while due and due[0][0] <= at:
            _, address = heapq.heappop(due)
            if ends[address] > at:
                heapq.heappush(due, (ends[address], address))
                continue
            del ends[address]
            joined.remove(address)
            updates += 1
        for address in set(name.addresses(at)):
            if address not in ends:
                joined.add(address)
                updates += 1
                heapq.heappush(due, (at + capture.ttl_s, address))
            ends[address] = at + capture.ttl_s
    assert sum(1 << dropped for dropped, _ in joined.routes) == len(ends)
    return len(ends), len(joined.routes), updates - before[0], joined.updates - before[1]
