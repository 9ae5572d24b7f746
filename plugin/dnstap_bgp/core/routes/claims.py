"""Claims as the route table holds them: rows of columns, found by address, by name and by who ends first.

An object for each claim would take 112 bytes, and 32 for each of its times. A row takes 64, and nothing that the
garbage collector has to walk through: 1,000,000 routes take 70 MB less, for 0.1 to 0.3 us more to see one. A row is a
number; 0 is none. It hangs in the chain of its address (`next`) and in a chain of rows whose names hash alike
(`next_of_name`), and counts in one bucket of its list's deadlines (`second`). All three are found from the row, so that
nothing else needs a key for it.
"""

import heapq
from array import array
from collections import defaultdict
from collections.abc import Iterator
from typing import TypeAlias

from dnstap_bgp.core.model import Address, Claim, Name

Row: TypeAlias = int

NONE: Row = 0
"""No row: where a chain ends."""

NAME_CHAINS = 1 << 17
"""0.5 MB of heads. With 1,000,000 claims a chain has 8; an index by name would take 40 to 80 MB."""

CHAIN_MAX = 512
"""A longer chain becomes a dict, which takes 100 bytes a claim: taking a claim out of a chain walks through it."""

CHAINS_AT_ONCE = 1 << 12
"""Chains that one look for what is over a cap goes through: 0.4 ms."""


class HeldClaims:
    """One row for each (list, name) on one address; what is freed is used again, and never given back.

    Attributes:
        addresses: Of each row the packed address; empty: the row is free.
        lists: The list's name.
        names: The name that matched.
        seen: When it was last seen, process clock.
        first: When it was first seen.
        ttl_s: How long it outlives `seen`; in 4 bytes, for whole seconds are exact there up to half a year.
        recorded: `seen` as the state file knows it.
        second: The only bucket of its list in which it counts, see `Deadlines`; 0: none, for it is gone.
        next: Another claim of the address.
        next_of_name: Another claim whose name hashes alike.
    """

    __slots__ = (
        "_free",
        "addresses",
        "first",
        "lists",
        "names",
        "next",
        "next_of_name",
        "recorded",
        "second",
        "seen",
        "ttl_s",
    )

    def __init__(self) -> None:
        """Start with the row that stands for none."""
        self.addresses: list[Address] = [b""]
        self.lists: list[str] = [""]
        self.names: list[Name] = [b""]
        self.seen, self.first, self.recorded = (array("d", [0]) for _ in range(3))
        self.ttl_s = array("f", [0])
        self.second, self.next, self.next_of_name = (array("I", [0]) for _ in range(3))
        self._free = array("I")

    def add(self, claim: Claim, following: Row) -> Row:
        """Fill a row; it is the state file's that must learn of it."""
        address, list_name, name, seen, first, ttl_s = claim
        if self._free:
            row = self._free.pop()
            self.addresses[row], self.lists[row], self.names[row] = address, list_name, name
            self.seen[row], self.first[row], self.ttl_s[row], self.recorded[row] = seen, first, ttl_s, seen
            self.next[row] = following
            return row
        self.addresses.append(address)
        self.lists.append(list_name)
        self.names.append(name)
        self.seen.append(seen)
        self.first.append(first)
        self.ttl_s.append(ttl_s)
        self.recorded.append(seen)
        self.second.append(0)
        self.next.append(following)
        self.next_of_name.append(NONE)
        return len(self.names) - 1

    def free(self, row: Row) -> None:
        """Let a row be used for another claim; nothing may lead to it any more."""
        self.addresses[row] = self.names[row] = b""
        self.second[row] = 0
        self._free.append(row)

    def copy(self, row: Row) -> Claim:
        """The claim as others may see it."""
        return Claim(
            self.addresses[row], self.lists[row], self.names[row], self.seen[row], self.first[row], self.ttl_s[row]
        )

    def chain(self, row: Row) -> Iterator[Row]:
        """The claims of an address from this one on; the one at hand may be taken out."""
        while row:
            following = self.next[row]
            yield row
            row = following

    def ends(self, row: Row) -> float:
        """Its deadline, process clock."""
        return self.seen[row] + self.ttl_s[row]


class Names:
    """Finds the claims of a name."""

    __slots__ = ("_claims", "_counts", "_dense", "_heads")

    def __init__(self, claims: HeldClaims) -> None:
        self._claims = claims
        self._heads, self._counts = (array("I", bytes(NAME_CHAINS * array("I").itemsize)) for _ in range(2))
        self._dense: dict[int, dict[Row, None]] = {}  # in place of chains that got long

    def add(self, row: Row) -> None:
        """Take a claim in."""
        following = self._claims.next_of_name
        at = hash(self._claims.names[row]) % NAME_CHAINS
        self._counts[at] += 1
        if at in self._dense:
            self._dense[at][row] = None
            return
        following[row] = self._heads[at]
        self._heads[at] = row
        if self._counts[at] > CHAIN_MAX:
            self._dense[at] = dict.fromkeys(self._linked(at))
            self._heads[at] = NONE
            for one in self._dense[at]:
                following[one] = NONE

    def discard(self, row: Row) -> None:
        """Take a claim out that is in."""
        following = self._claims.next_of_name
        at = hash(self._claims.names[row]) % NAME_CHAINS
        self._counts[at] -= 1
        if at in self._dense:
            del self._dense[at][row]
            if not self._dense[at]:
                del self._dense[at]
            return
        other = self._heads[at]
        if other == row:
            self._heads[at] = following[row]
        else:
            while following[other] != row:
                other = following[other]
                assert other
            following[other] = following[row]
        following[row] = NONE

    def of(self, list_name: str, name: Name, at_least: int) -> list[Row]:
        """All claims of one name in one list: one for each address; perhaps none if there are fewer than `at_least`."""
        at = hash(name) % NAME_CHAINS
        if self._counts[at] < at_least:
            return []
        names, lists = self._claims.names, self._claims.lists
        return [row for row in self._chain(at) if names[row] == name and lists[row] == list_name]

    def over(self, most: int, start: int, at_most: int) -> tuple[list[Row], int]:
        """The claims that names hold beyond a cap that was lowered: of each name in each list the least recently seen.

        Args:
            most: The cap.
            start: The chain to begin with.
            at_most: How many claims to give.

        Returns:
            Claims, and the chain to go on with once they are taken out; `NAME_CHAINS`: that was all.
        """
        end = min(start + CHAINS_AT_ONCE, NAME_CHAINS)
        for at in range(start, end):
            if self._counts[at] > most:
                found = self._over(at, most, at_most)
                if found:
                    return found[:at_most], at
        return [], end

    def _over(self, at: int, most: int, at_most: int) -> list[Row]:
        claims = self._claims
        of_names: defaultdict[tuple[str, Name], list[Row]] = defaultdict(list)
        for row in self._chain(at):
            of_names[claims.lists[row], claims.names[row]].append(row)
        return [
            row
            for rows in of_names.values()
            for row in heapq.nsmallest(min(len(rows) - most, at_most), rows, key=claims.seen.__getitem__)
        ]

    def _chain(self, at: int) -> Iterator[Row]:
        return iter(self._dense[at]) if at in self._dense else self._linked(at)

    def _linked(self, at: int) -> Iterator[Row]:
        row = self._heads[at]
        while row:
            yield row
            row = self._claims.next_of_name[row]
