"""Static prefixes: announced always, and what lies inside them needs no route of its own.

A network covers a host route only for the neighbors that get the network. So one that goes to some of them covers what
would go to none but these, and a host route for others stands beside it.
"""

from collections.abc import Iterator, Mapping

from dnstap_bgp.core.model import Address, Attributes, Change, Prefix

_HOST_BYTES = frozenset({4, 16})


class Statics:
    """The static prefixes that are announced; immutable.

    Attributes:
        announced: Each with its attributes.
    """

    __slots__ = ("_levels", "announced")

    def __init__(self, announced: Mapping[Prefix, Attributes]) -> None:
        self.announced = dict(announced)
        levels: dict[tuple[int, int], dict[int, tuple[str, ...]]] = {}  # (address bytes, bits to drop) -> networks
        for prefix, attributes in self.announced.items():
            if len(prefix) not in _HOST_BYTES:
                size = len(prefix) - 1
                dropped = size * 8 - prefix[-1]
                networks = levels.setdefault((size, dropped), {})
                networks[int.from_bytes(prefix[:-1]) >> dropped] = attributes.neighbors
        self._levels = {
            size: [(dropped, networks) for (of_size, dropped), networks in levels.items() if of_size == size]
            for size in {size for size, _ in levels}
        }

    def __bool__(self) -> bool:
        return bool(self.announced)

    def __len__(self) -> int:
        return len(self.announced)

    def wanted(self, address: Address, wanted: Attributes | None) -> Attributes | None:
        """What becomes of the wish for an address: one of the prefixes itself, or covered by one, or as it was.

        Costs a look into a dict for each prefix length in use.
        """
        itself = self.announced.get(address)
        if itself is not None or wanted is None:
            return itself
        levels = self._levels.get(len(address))
        if levels:
            value = int.from_bytes(address)
            for dropped, networks in levels:
                neighbors = networks.get(value >> dropped)
                if neighbors is not None and (not neighbors or _only(wanted.neighbors, neighbors)):
                    return None
        return wanted

    def covering(self, address: Address, wanted: Attributes | None) -> Prefix | None:
        """The network that says what a route for an address would; of several the longest. None: there is none.

        Where no route is `wanted`: the network that it lies in.
        """
        value, size = int.from_bytes(address), len(address)
        for dropped, networks in sorted(self._levels.get(size, ())):
            neighbors = networks.get(value >> dropped)
            if neighbors is None:
                continue
            if wanted is None or not neighbors or _only(wanted.neighbors, neighbors):
                return (value >> dropped << dropped).to_bytes(size) + bytes([size * 8 - dropped])
        return None

    def changes(self, before: "Statics") -> tuple[list[Change], list[Change]]:
        """What is to be announced where `before` was in force, and what is to be withdrawn."""
        added = [
            Change(prefix, attributes)
            for prefix, attributes in self.announced.items()
            if before.announced.get(prefix) != attributes
        ]
        return added, [Change(prefix, None) for prefix in before.announced if prefix not in self.announced]

    def wishes(self) -> Iterator[Change]:
        """The wish for every prefix."""
        return (Change(prefix, attributes) for prefix, attributes in self.announced.items())


def _only(neighbors: tuple[str, ...], among: tuple[str, ...]) -> bool:
    """Whether a route goes to some of these neighbors and to no other."""
    return bool(neighbors) and all(neighbor in among for neighbor in neighbors)
