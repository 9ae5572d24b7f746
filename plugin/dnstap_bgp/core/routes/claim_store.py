"""Claims and the indexes that must stay in step with them: by address, by name, by list and deadline.

A claim's beginning and end touch all of them and the counts, so both happen here and nowhere else. Which claims may
begin and which must end is decided by others: see `RouteTable` and `Admission`.

When claims end, timing wheels tell: in which second each of them is to be looked at. Each list has one for the claims
of its names, whose first may have to give way at a cap, and one for what was added by hand, which never does.

    buckets    second -> the rows to look at then; a heap of the seconds says which comes next
    entry      a row in a bucket; it counts if `second` of the row names this bucket, otherwise it is spent

Three things keep the wheel cheap:
  - A refresh moves no entry. A row whose bucket is due and whose deadline has moved on is put into the later bucket
    then, so a claim that is seen 1,000 times in its TTL is moved once.
  - Taking a claim out only zeroes `second`. The spent entry stays until its bucket is due, or until spent entries
    outnumber the others of their bucket and the bucket is swept; so a flood that is evicted leaves nothing behind.
  - A bucket is a whole second, an `array` of 4 bytes an entry.

A row that was freed and used again may find an entry of its former claim in the bucket that it is put into. Then two
entries name one row, and either may be the one that counts: whichever is met first ends or moves the claim and zeroes
`second`, and the other is spent by that. List and kind are compared too: the row may be in another wheel by now.
"""

import heapq
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice

from dnstap_bgp.core.model import BY_HAND, Address, Claim, Name
from dnstap_bgp.core.prefix_map import NumberMap
from dnstap_bgp.core.routes.claim_columns import NONE, ClaimColumns, NameIndex, OwnerCounts, OwnerKey, Row

FIRST_LOOKED_AT = 16
"""Entries of a bucket looked at for the claim that ends first: exact to the second in any case, and mostly exact."""


class Bucket:
    """Entries to look at when the process clock reaches `second`; at most `spent` of them don't count any more."""

    __slots__ = ("rows", "second", "spent")

    def __init__(self, second: int) -> None:
        self.second = second
        self.rows = array("I")
        self.spent = 0


class ExpiryWheel:
    """Claims of one list, of its names or those added by hand, in the order in which they end, to the second."""

    __slots__ = ("_ahead", "_buckets", "_by_hand", "_columns", "_coming", "_list", "_looked", "_seconds")

    def __init__(self, columns: ClaimColumns, list_name: str, *, by_hand: bool = False) -> None:
        self._columns = columns
        self._list = list_name
        self._by_hand = by_hand
        self._buckets: dict[int, Bucket] = {}
        self._seconds: list[int] = []  # heap of the buckets' seconds
        self._looked = 0  # the second up to which `ahead` has looked
        self._coming: deque[int] = deque()  # the seconds of buckets that it has still to look into
        self._ahead: Sequence[Row] = ()  # what it has still to give

    def __len__(self) -> int:
        """Count the entries, spent ones included."""
        return sum(len(bucket.rows) for bucket in self._buckets.values())

    def schedule(self, row: Row) -> None:
        """Put a claim into the bucket of the first whole second after its deadline."""
        columns = self._columns
        # What was seen before the machine started has a negative time, and so a deadline that a shorter TTL brings
        # before the start, too. The first second is as good: it is past, and 0 stands for a free row.
        second = max(1, int(columns.seen[row] + columns.ttl_s[row]) + 1)
        bucket = self._buckets.get(second)
        if bucket is None:
            bucket = self._buckets[second] = Bucket(second)
            heapq.heappush(self._seconds, second)
        if columns.second[row] != second:
            self.leave(row)
            bucket.rows.append(row)
            columns.second[row] = second

    def hasten(self, row: Row) -> None:
        """Reschedule a claim whose deadline may have moved closer; one that moved away can wait for its bucket."""
        if self._columns.second[row] > self._columns.ends(row) + 1:
            self.schedule(row)

    def leave(self, row: Row) -> None:
        """Let a claim count in no bucket any more; its spent entry stays until the bucket is swept or due."""
        second = self._columns.second[row]
        if not second:
            return
        self._columns.second[row] = 0
        bucket = self._buckets[second]
        bucket.spent += 1
        if 2 * bucket.spent > len(bucket.rows):
            # dict.fromkeys: of two entries that name one row, see above, one is enough
            bucket.rows = array("I", dict.fromkeys(one for one in bucket.rows if self._counts(bucket, one)))
            bucket.spent = 0

    def due(self, now: float, at_most: int) -> tuple[list[Row], int]:
        """Take out the claims past their deadline.

        Args:
            now: Process clock.
            at_most: How many entries to look at.

        Returns:
            The claims, which count in no bucket any more, and how many more entries could have been looked at; with 0
            there may be more that is due.
        """
        ended: list[Row] = []
        while self._seconds and self._seconds[0] <= now:
            bucket = self._buckets[self._seconds[0]]
            while bucket.rows:
                if at_most <= 0:
                    return ended, 0
                at_most -= 1
                row = bucket.rows.pop()
                if not self._counts(bucket, row):
                    bucket.spent -= 1
                    continue
                self._columns.second[row] = 0
                if self._columns.ends(row) > now:
                    self.schedule(row)  # refreshed meanwhile: into a later bucket, never into this one
                else:
                    ended.append(row)
            del self._buckets[heapq.heappop(self._seconds)]
        return ended, at_most

    def ahead(self, second: int, at_most: int) -> Sequence[Row]:
        """Give the claims in buckets up to a second that were not given yet; some may be gone since.

        Args:
            second: Below that of the last call only where the policy's TTL was lowered: then some are given again.
            at_most: How many to give at once; an empty answer: there are no more.
        """
        if second > self._looked:
            if second - self._looked > len(self._buckets):  # the first call, or a TTL that was raised: by years perhaps
                self._coming += sorted(found for found in self._buckets if self._looked < found <= second)
            else:
                self._coming += (found for found in range(self._looked + 1, second + 1) if found in self._buckets)
        self._looked = second
        while not self._ahead and self._coming:
            bucket = self._buckets.get(self._coming.popleft())
            self._ahead = bucket.rows[:] if bucket is not None else ()
        found, self._ahead = self._ahead[:at_most], self._ahead[at_most:]
        return found

    def oldest(self, at_most: int) -> Row | None:
        """Find the claim that ends first: in a list whose claims all live equally long, the least recently seen.

        Args:
            at_most: How many entries to look at. Entries whose claim was refreshed are moved on the way, so that the
                next call begins behind them.
        """
        while self._seconds:
            bucket = self._buckets[self._seconds[0]]
            while bucket.rows:
                if at_most <= 0:
                    return None
                at_most -= 1
                row = bucket.rows[-1]
                if self._is_due_in(bucket, row):
                    first = (one for one in bucket.rows[:FIRST_LOOKED_AT] if self._is_due_in(bucket, one))
                    return min(first, key=self._columns.ends, default=row)
                bucket.rows.pop()
                if self._counts(bucket, row):
                    self._columns.second[row] = 0
                    self.schedule(row)
                else:
                    bucket.spent -= 1
            del self._buckets[heapq.heappop(self._seconds)]
        return None

    def _counts(self, bucket: Bucket, row: Row) -> bool:
        """Tell whether a bucket's entry counts: the row may be free, moved or another wheel's by now."""
        columns = self._columns
        return (
            columns.second[row] == bucket.second
            and columns.lists[row] == self._list
            and (columns.names[row] == BY_HAND) is self._by_hand
        )

    def _is_due_in(self, bucket: Bucket, row: Row) -> bool:
        """Tell whether a bucket's entry counts and its claim was not refreshed since it was put there."""
        return self._counts(bucket, row) and self._columns.ends(row) < bucket.second


class ListClaims:
    """Claims of one list: how many addresses they hold, and their expiry wheels.

    Attributes:
        routes: Addresses that the list's claims hold.
        routes_ipv6: IPv6 addresses among them.
        wheel: Claims of names in the order in which they end: the first of them may give way at a cap.
        by_hand: The same of what was added by hand.
    """

    __slots__ = ("by_hand", "routes", "routes_ipv6", "wheel")

    def __init__(self, columns: ClaimColumns, list_name: str) -> None:
        self.routes = self.routes_ipv6 = 0
        self.wheel = ExpiryWheel(columns, list_name)
        self.by_hand = ExpiryWheel(columns, list_name, by_hand=True)

    def wheel_of(self, name: Name) -> ExpiryWheel:
        """Give the wheel of a name's claims, or of what was added by hand."""
        return self.by_hand if name == BY_HAND else self.wheel


class ClaimStore:
    """All live claims, in columns, with their indexes.

    Attributes:
        columns: The claims themselves.
        by_address: Address -> the first row of its chain.
        by_name: Finds the rows of a name.
        owners: How many addresses each (list, owner) holds.
        by_list: List name -> counts and wheels of its claims; a list is there from its first claim on.
        routes: Addresses that have a claim.
        routes_ipv6: IPv6 addresses among them.
        ended: Claims that there were and are no more, ever.
        recording: Somebody takes `dirty()`: there is a state file, or somebody watches.
    """

    def __init__(self, *, recording: bool = True) -> None:
        self.columns = ClaimColumns()
        self.by_address = NumberMap()
        self.by_name = NameIndex(self.columns)
        self.owners = OwnerCounts()
        self.by_list: dict[str, ListClaims] = {}
        self.routes = self.routes_ipv6 = self.ended = 0
        self.recording = recording
        self._count = 0
        self._dirty = array("I")

    def __len__(self) -> int:
        """Count the live claims."""
        return self._count

    # -- copies

    def of_address(self, address: Address) -> list[Claim]:
        """Copy the live claims of an address, newest first."""
        return [self.columns.copy(row) for row in self.chain(address)]

    def of_name(self, name: Name, at_most: int) -> list[Claim]:
        """Copy the live claims of a name, in all lists."""
        found = (row for list_name in self.by_list for row in self.by_name.rows_of(list_name, name, 1))
        return [self.columns.copy(row) for row in islice(found, at_most)]

    def names(self, shard: int) -> set[Name]:
        """Collect the names that hold claims in one shard, 0..255."""
        return {self.columns.names[row] for row in self.of_shard(shard)}

    def addresses(self, shard: int) -> list[Address]:
        """Copy the addresses of one shard, 0..255, for a walk."""
        return list(self.by_address.places[shard])

    def routes_of(self, list_name: str) -> int:
        """Count the addresses that a list's claims hold."""
        return self.by_list[list_name].routes if list_name in self.by_list else 0

    def ipv6_routes_of(self, list_name: str) -> int:
        """Count the IPv6 addresses that a list's claims hold."""
        return self.by_list[list_name].routes_ipv6 if list_name in self.by_list else 0

    # -- what the state file doesn't know yet

    def record(self, row: Row) -> None:
        """Have `dirty` give the claim as it is now."""
        self.columns.recorded[row] = self.columns.seen[row]
        if self.recording:
            self._dirty.append(row)

    def dirty(self) -> list[Claim]:
        """Copy the claims that were recorded since the last call, and are still live."""
        dirty, self._dirty = self._dirty, array("I")
        return [self.columns.copy(row) for row in dirty if self.columns.second[row]]

    def unrecorded(self, shard: int) -> list[Claim]:
        """Copy the claims of one shard that were seen after their last record: for the last save of a process."""
        columns = self.columns
        return [columns.copy(row) for row in self.of_shard(shard) if columns.seen[row] > columns.recorded[row]]

    # -- rows

    def chain(self, address: Address) -> Iterator[Row]:
        """Walk the claims of an address; the row at hand may be ended."""
        return self.columns.chain(self.by_address.get(address))

    def of_shard(self, shard: int) -> Iterator[Row]:
        """Walk the claims of all addresses of one shard; the row at hand may be ended."""
        return (row for address in self.addresses(shard) for row in self.chain(address))

    def find(self, address: Address, list_name: str, name: Name) -> Row:
        """Find the one claim of this (list, name) on this address, or `NONE`."""
        columns = self.columns
        found = (row for row in self.chain(address) if columns.names[row] == name and columns.lists[row] == list_name)
        return next(found, NONE)

    def is_held_by(self, list_name: str, address: Address) -> bool:
        """Tell whether the list has a claim on the address."""
        lists = self.columns.lists
        return any(lists[row] == list_name for row in self.chain(address))

    def is_owned_by(self, owner: OwnerKey, address: Address) -> bool:
        """Tell whether an owner has a claim on the address."""
        head = self.by_address.get(address)
        return bool(head) and self._is_owned(owner, head)

    def hasten(self, row: Row) -> None:
        """Reschedule a claim whose lifetime has changed."""
        columns = self.columns
        self.by_list[columns.lists[row]].wheel_of(columns.names[row]).hasten(row)

    def begin(self, claim: Claim, owner: OwnerKey = 0) -> Row:
        """Hang a new claim in front of its address's others, and into every index.

        Args:
            claim: A (list, name) that has no claim on the address yet.
            owner: Key of its (list, owner).
        """
        address, of_list = claim.address, self._of_list(claim.list)
        head = self.by_address.get(address)
        is_ipv6 = len(address) == 16
        if not head:
            self.routes += 1
            self.routes_ipv6 += is_ipv6
        if not head or not self.is_held_by(claim.list, address):
            of_list.routes += 1
            of_list.routes_ipv6 += is_ipv6
        if not head or not self._is_owned(owner, head):
            self.owners.add(owner)
        row = self.columns.fill(claim, head, owner)
        self.by_address[address] = row
        self.by_name.add(row)
        self._count += 1
        of_list.wheel_of(claim.name).schedule(row)
        return row

    def end(self, row: Row) -> Row:
        """Take a claim out of every index, and its address with the last of its claims; the row is free then.

        Returns:
            The first row of what is left of the address's chain; `NONE`: it was the last.
        """
        columns = self.columns
        address, list_name = columns.addresses[row], columns.lists[row]
        of_list = self.by_list[list_name]
        of_list.wheel_of(columns.names[row]).leave(row)
        self.by_name.discard(row)
        self._count -= 1
        self.ended += 1
        head = self._unhang(address, row)
        if not head or not self.is_held_by(list_name, address):
            of_list.routes -= 1
            of_list.routes_ipv6 -= len(address) == 16
        if not head or not self._is_owned(columns.owners[row], head):
            self.owners.discard(columns.owners[row])
        columns.free(row)
        return head

    def set_owner(self, row: Row, owner: OwnerKey) -> None:
        """Count a claim for another owner: the rule that decides over its name has changed."""
        columns = self.columns
        before, head = columns.owners[row], self.by_address[columns.addresses[row]]
        if before == owner:
            return
        if not self._is_owned(owner, head):
            self.owners.add(owner)
        columns.owners[row] = owner
        if not self._is_owned(before, head):
            self.owners.discard(before)

    def _is_owned(self, owner: OwnerKey, head: Row) -> bool:
        """Tell whether an owner has a claim in a chain."""
        owners = self.columns.owners
        return any(owners[row] == owner for row in self.columns.chain(head))

    def _of_list(self, list_name: str) -> ListClaims:
        found = self.by_list.get(list_name)
        if found is None:
            found = self.by_list[list_name] = ListClaims(self.columns, list_name)
        return found

    def _unhang(self, address: Address, row: Row) -> Row:
        """Take a row out of its address's chain, and the address with the last of them; gives what is first now."""
        columns = self.columns
        head, following = self.by_address[address], columns.next[row]
        if head != row:
            previous = next(other for other in columns.chain(head) if columns.next[other] == row)
            columns.next[previous] = following
            return head
        if following:
            self.by_address[address] = following
        else:
            del self.by_address[address]
            self.routes -= 1
            self.routes_ipv6 -= len(address) == 16
        return following
