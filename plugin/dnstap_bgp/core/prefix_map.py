"""Maps from prefixes in 256 shards, quick to copy and to grow at a million entries.

One dict of 1,000,000 entries takes 10 to 40 ms to copy or to resize, all of it under the keeper's lock. Here the
entries lie in 256 dicts, chosen by the last byte of the address, so that each such step is 1/256 of that: a walk takes
the lock once for each shard.
"""

from array import array
from typing import Generic, TypeVar

from dnstap_bgp.core.model import Prefix

V = TypeVar("V")
D = TypeVar("D")

SHARDS = 256


class PrefixMap(Generic[V]):
    """A mutable mapping from prefix to value, in shards.

    Attributes:
        shards: The dicts, for walks. A static network (5 or 17 bytes) lies in the shard of its length byte.
    """

    __slots__ = ("shards",)

    def __init__(self) -> None:
        self.shards: list[dict[Prefix, V]] = [{} for _ in range(SHARDS)]

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    def __contains__(self, prefix: Prefix) -> bool:
        return prefix in self.shards[prefix[-1]]

    def __getitem__(self, prefix: Prefix) -> V:
        return self.shards[prefix[-1]][prefix]

    def __setitem__(self, prefix: Prefix, value: V) -> None:
        self.shards[prefix[-1]][prefix] = value

    def __delitem__(self, prefix: Prefix) -> None:
        del self.shards[prefix[-1]][prefix]

    def copy(self) -> "PrefixMap[V]":
        """Make a map of its own with the same entries."""
        twin: PrefixMap[V] = PrefixMap()
        twin.shards = [shard.copy() for shard in self.shards]
        return twin

    def get(self, prefix: Prefix) -> V | None:
        """Look a value up; None: there is none."""
        return self.shards[prefix[-1]].get(prefix)

    def pop(self, prefix: Prefix, default: D) -> V | D:
        """Take the value out, or give the default where there is none."""
        return self.shards[prefix[-1]].pop(prefix, default)


class NumberMap:
    """A map from prefixes to numbers above 0, in shards: 28 bytes less an entry than a `PrefixMap` of ints.

    For an int of Python takes 32. So the dicts hold places, small ints that are the same objects in all shards, and the
    number stands in an array, at that place.

    Attributes:
        places: The dicts, for walks.
        numbers: For each shard what is at each place.
    """

    __slots__ = ("_free", "numbers", "places")

    def __init__(self) -> None:
        self.places: list[dict[Prefix, int]] = [{} for _ in range(SHARDS)]
        self.numbers = [array("I") for _ in range(SHARDS)]
        self._free = [array("I") for _ in range(SHARDS)]

    def __contains__(self, prefix: Prefix) -> bool:
        return prefix in self.places[prefix[-1]]

    def __getitem__(self, prefix: Prefix) -> int:
        return self.numbers[prefix[-1]][self.places[prefix[-1]][prefix]]

    def __setitem__(self, prefix: Prefix, number: int) -> None:
        shard = prefix[-1]
        place = self.places[shard].get(prefix)
        if place is None:
            place = self.places[shard][prefix] = self._new_place(shard)
        self.numbers[shard][place] = number

    def __delitem__(self, prefix: Prefix) -> None:
        shard = prefix[-1]
        self._free[shard].append(self.places[shard].pop(prefix))

    def get(self, prefix: Prefix) -> int:
        """Look a number up; 0: there is none."""
        shard = prefix[-1]
        place = self.places[shard].get(prefix)
        return 0 if place is None else self.numbers[shard][place]

    def _new_place(self, shard: int) -> int:
        if self._free[shard]:
            return _PLACES[self._free[shard].pop()]
        place = len(self.numbers[shard])
        self.numbers[shard].append(0)
        if place == len(_PLACES):
            _PLACES.append(place)
        return _PLACES[place]


_PLACES: list[int] = []
"""The ints themselves, as many as the largest shard has had places."""
