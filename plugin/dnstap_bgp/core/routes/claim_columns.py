"""Claims as rows of columns, the index that finds the rows of a name, and the counts of owners.

An object for each claim would take 112 bytes, and 32 for each of its times. A row takes 68, and nothing that the
garbage collector has to walk through: 1,000,000 routes take 70 MB less, for 0.1 to 0.3 us more to see one (rows
`resident` and `observe a known address` of `tests.bench table`).

A row is a number; 0 is none. Every row hangs in two singly linked chains, which cost 4 bytes each and no object:

    next            the other claims of its address; `ClaimStore.by_address` has the first of them
    next_of_name    the other claims whose names hash alike; `NameIndex` has the first of them

and it counts in one bucket of its list's expiry wheel (`second`). Address, name, list and bucket are all read from the
row itself, so nothing else needs a key for it. Taking a row out of a chain walks the chain from its head, because there
is no way back: `CLAIMS_PER_ROUTE` bounds the one, `CHAIN_MAX` the other.
"""

import heapq
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from dnstap_bgp.core.model import BY_HAND, Address, Claim, Name

Row: TypeAlias = int

OwnerKey: TypeAlias = int
"""32 bits that stand for a (list, owner)."""

NONE: Row = 0
"""The row that stands for none: the end of a chain."""

NAME_CHAINS = 1 << 17
"""Chains of names: 0.5 MB of heads. With 1,000,000 claims a chain has 8; an index by name would take 40 to 80 MB."""

CHAIN_MAX = 512
"""A longer chain of names becomes a dict, 100 bytes a claim: taking a claim out of a chain walks through it."""

CHAINS_AT_ONCE = 1 << 12
"""Chains that one look for names over a cap goes through: 0.4 ms."""


_OWNER_SLOTS = 1 << 16
"""2 x 256 KB. With 1,000,000 claims of 100,000 owners an answer is too high by some tens, in a cap of thousands."""


class ClaimColumns:
    """One row for each (address, list, name); a freed row is used again, and its memory never given back.

    Attributes:
        addresses: Packed; empty: the row is free.
        lists: Names of lists.
        names: Names that matched.
        owners: Keys of (list, owner), see `OwnerCounts`.
        seen: When the claim was last seen, process clock.
        first: When the claim was first seen, process clock.
        ttl_s: How long the claim outlives `seen`; in 4 bytes, for whole seconds are exact there up to half a year.
        recorded: `seen` as the state file knows it.
        second: The only bucket of the list's wheel in which the row counts, see `ExpiryWheel`; 0: none, for it is free.
        next: The next claim of the address, or `NONE`.
        next_of_name: The next claim whose name hashes alike, or `NONE`.
    """

    __slots__ = (
        "_free",
        "addresses",
        "first",
        "lists",
        "names",
        "next",
        "next_of_name",
        "owners",
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
        self.second, self.next, self.next_of_name, self.owners = (array("I", [0]) for _ in range(4))
        self._free = array("I")

    def fill(self, claim: Claim, following: Row, owner: OwnerKey = 0) -> Row:
        """Write a claim into a free row, or into a new one.

        Args:
            claim: Its `seen` counts as recorded.
            following: The row behind it in the chain of its address.
            owner: Key of its (list, owner).
        """
        address, list_name, name, seen, first, ttl_s = claim
        if self._free:
            row = self._free.pop()
            self.addresses[row], self.lists[row], self.names[row] = address, list_name, name
            self.seen[row], self.first[row], self.ttl_s[row], self.recorded[row] = seen, first, ttl_s, seen
            self.next[row], self.owners[row] = following, owner
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
        self.owners.append(owner)
        return len(self.names) - 1

    def free(self, row: Row) -> None:
        """Let a row be used for another claim; no chain may lead to it any more."""
        self.addresses[row] = self.names[row] = b""
        self.second[row] = 0
        self._free.append(row)

    def copy(self, row: Row) -> Claim:
        """Copy a row out of the columns."""
        return Claim(
            self.addresses[row], self.lists[row], self.names[row], self.seen[row], self.first[row], self.ttl_s[row]
        )

    def chain(self, row: Row) -> Iterator[Row]:
        """Walk the claims of an address from this row on; the row at hand may be taken out."""
        while row:
            following = self.next[row]
            yield row
            row = following

    def ends(self, row: Row) -> float:
        """Read the claim's deadline, process clock."""
        return self.seen[row] + self.ttl_s[row]


class NameIndex:
    """Chains of the claims whose names hash alike, and dicts in place of the chains that got long."""

    __slots__ = ("_columns", "_counts", "_dense", "_heads")

    def __init__(self, columns: ClaimColumns) -> None:
        self._columns = columns
        self._heads, self._counts = (array("I", bytes(NAME_CHAINS * array("I").itemsize)) for _ in range(2))
        self._dense: dict[int, dict[Row, None]] = {}

    def add(self, row: Row) -> None:
        """Put a row in front of its chain; beyond `CHAIN_MAX` the chain moves into a dict."""
        following = self._columns.next_of_name
        at = hash(self._columns.names[row]) % NAME_CHAINS
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
        """Take a row out of its chain, or out of the dict; an empty dict becomes a chain again."""
        following = self._columns.next_of_name
        at = hash(self._columns.names[row]) % NAME_CHAINS
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

    def rows_of(self, list_name: str, name: Name, at_least: int) -> list[Row]:
        """Find the claims of one name in one list, one for each address; perhaps none if fewer than `at_least`."""
        at = hash(name) % NAME_CHAINS
        if self._counts[at] < at_least:
            return []
        names, lists, following = self._columns.names, self._columns.lists, self._columns.next_of_name
        if at in self._dense:
            return [row for row in self._dense[at] if names[row] == name and lists[row] == list_name]
        found, row = [], self._heads[at]  # by hand, for a name at its cap has hundreds: half the time of a generator
        while row:
            if names[row] == name and lists[row] == list_name:
                found.append(row)
            row = following[row]
        return found

    def over(self, most: int, start: int, at_most: int) -> tuple[list[Row], int]:
        """Find the claims that names hold beyond a cap that was lowered: of each name the least recently seen.

        What was added by hand has no name, and no cap.

        Args:
            most: The cap, for each name in each list.
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
        columns = self._columns
        of_names: defaultdict[tuple[str, Name], list[Row]] = defaultdict(list)
        for row in self._chain(at):
            if columns.names[row] != BY_HAND:
                of_names[columns.lists[row], columns.names[row]].append(row)
        return [
            row
            for rows in of_names.values()
            for row in heapq.nsmallest(min(len(rows) - most, at_most), rows, key=columns.seen.__getitem__)
        ]

    def _chain(self, at: int) -> Iterator[Row]:
        return iter(self._dense[at]) if at in self._dense else self._linked(at)

    def _linked(self, at: int) -> Iterator[Row]:
        row = self._heads[at]
        while row:
            yield row
            row = self._columns.next_of_name[row]


def owner_key(list_name: str, owner: Name) -> OwnerKey:
    """Give the key of a (list, owner)."""
    return hash((list_name, owner)) & 0xFFFFFFFF


class OwnerCounts:
    """Sketch of the number of addresses that each (list, owner) holds, in bounded memory.

    The owner of a name's addresses is whoever runs the domain of the rule that has the name on the list, see
    `RuleSet.owner`: subdomains are free, so neither a name nor an address is a unit of fairness.

    Owners are as many as their domains' sellers like, so they are counted in a sketch (count-min, Cormode and
    Muthukrishnan 2005): each owner counts in two of 65,536 slots, chosen by the two halves of a 32-bit key, and the
    smaller of the two is the answer. It is never too low, and too high only where both slots are shared. The hash is
    keyed by the process (PYTHONHASHSEED), so nobody can choose domains that share the slots of another.
    """

    __slots__ = ("_high", "_low")

    def __init__(self) -> None:
        self._low, self._high = (array("I", bytes(_OWNER_SLOTS * array("I").itemsize)) for _ in range(2))

    def __getitem__(self, key: OwnerKey) -> int:
        """Estimate how many addresses an owner holds; never too low."""
        low, high = self._low[key & 0xFFFF], self._high[key >> 16]
        return low if low < high else high  # noqa: FURB136 - half the time of min(), 128 times for an eviction

    def of_each(self, keys: Iterable[OwnerKey]) -> list[int]:
        """Estimate how many addresses each of these owners holds; half the time of asking one by one."""
        low, high = self._low, self._high
        return [a if (a := low[key & 0xFFFF]) < (b := high[key >> 16]) else b for key in keys]

    def add(self, key: OwnerKey) -> None:
        """Count one address more."""
        self._low[key & 0xFFFF] += 1
        self._high[key >> 16] += 1

    def discard(self, key: OwnerKey) -> None:
        """Count one address less, that was added before."""
        self._low[key & 0xFFFF] -= 1
        self._high[key >> 16] -= 1
