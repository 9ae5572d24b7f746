"""Claims as the route table holds them, and the orders in which they are found: by name, and by who ends first.

A claim hangs in the chain of its address (`next`), in a chain of claims whose names hash alike (`next_of_name`), and
lies in one bucket of its list's deadlines. All three are found from the claim, so that nothing else needs a key for it:
220 bytes a claim in all.
"""

import heapq
from array import array
from collections.abc import Iterator

from dnstap_bgp.core.model import Claim, Name

NAME_CHAINS = 1 << 17
"""1 MB of heads. With 1,000,000 claims a chain has 8; an index by name would take 40 to 80 MB."""

CHAIN_MAX = 512
"""A longer chain becomes a dict, which takes 100 bytes a claim: taking a claim out of a chain walks through it."""

FIRST_LOOKED_AT = 16
"""Of a bucket's claims, to find the one that ends first: exact to the second in any case, and mostly exact."""


class Bucket:
    """The claims to look at when the process clock reaches `second`; `stale` entries at most don't count any more."""

    __slots__ = ("claims", "second", "stale")

    def __init__(self, second: int) -> None:
        self.second = second
        self.claims: list[HeldClaim] = []
        self.stale = 0


class HeldClaim:
    """One (list, name) on one address.

    Attributes:
        bucket: The only bucket in which it counts; None: it is gone.
        recorded: `seen` as the state file knows it.
    """

    __slots__ = ("address", "bucket", "first", "list", "name", "next", "next_of_name", "recorded", "seen", "ttl_s")

    def __init__(self, claim: Claim, following: "HeldClaim | None") -> None:
        self.address, self.list, self.name, self.seen, self.first, self.ttl_s = claim
        self.recorded = self.seen
        self.bucket: Bucket | None = None
        self.next = following
        self.next_of_name: HeldClaim | None = None

    def copy(self) -> Claim:
        """The claim as others may see it."""
        return Claim(self.address, self.list, self.name, self.seen, self.first, self.ttl_s)


def chain(head: HeldClaim | None) -> Iterator[HeldClaim]:
    """The claims of an address; the one at hand may be taken out."""
    while head is not None:
        following = head.next
        yield head
        head = following


class Names:
    """Finds the claims of a name."""

    __slots__ = ("_counts", "_dense", "_heads")

    def __init__(self) -> None:
        self._heads: list[HeldClaim | None] = [None] * NAME_CHAINS
        self._counts = array("I", bytes(NAME_CHAINS * array("I").itemsize))
        self._dense: dict[int, dict[HeldClaim, None]] = {}  # in place of chains that got long

    def add(self, claim: HeldClaim) -> None:
        """Take a claim in."""
        at = hash(claim.name) % NAME_CHAINS
        self._counts[at] += 1
        if at in self._dense:
            self._dense[at][claim] = None
            return
        claim.next_of_name = self._heads[at]
        self._heads[at] = claim
        if self._counts[at] > CHAIN_MAX:
            self._dense[at] = dict.fromkeys(_linked(claim))
            self._heads[at] = None
            for one in self._dense[at]:
                one.next_of_name = None

    def discard(self, claim: HeldClaim) -> None:
        """Take a claim out that is in."""
        at = hash(claim.name) % NAME_CHAINS
        self._counts[at] -= 1
        if at in self._dense:
            del self._dense[at][claim]
            if not self._dense[at]:
                del self._dense[at]
            return
        other = self._heads[at]
        if other is claim:
            self._heads[at] = claim.next_of_name
        else:
            while other is not None and other.next_of_name is not claim:
                other = other.next_of_name
            assert other is not None
            other.next_of_name = claim.next_of_name
        claim.next_of_name = None

    def of(self, list_name: str, name: Name, at_least: int) -> list[HeldClaim]:
        """All claims of one name in one list: one for each address; perhaps none if there are fewer than `at_least`."""
        at = hash(name) % NAME_CHAINS
        if self._counts[at] < at_least:
            return []
        found = self._dense.get(at) or _linked(self._heads[at])
        return [claim for claim in found if claim.name == name and claim.list == list_name]


def _linked(claim: HeldClaim | None) -> Iterator[HeldClaim]:
    """The claims of one chain of names."""
    while claim is not None:
        yield claim
        claim = claim.next_of_name


class Deadlines:
    """The claims of one list in the order in which they end, to the second.

    A refresh moves nothing: a claim found in a due bucket whose deadline has moved is put into the later one. Entries
    that count no longer are swept once they outnumber the others in their bucket, so a flood leaves nothing behind.
    """

    __slots__ = ("_buckets", "_seconds", "routes")

    def __init__(self) -> None:
        """Start empty.

        Attributes:
            routes: How many addresses the list holds; kept by the table.
        """
        self.routes = 0
        self._buckets: dict[int, Bucket] = {}
        self._seconds: list[int] = []  # heap of the buckets' seconds

    def __len__(self) -> int:
        """How many entries there are, spent ones included."""
        return sum(len(bucket.claims) for bucket in self._buckets.values())

    def schedule(self, claim: HeldClaim) -> None:
        """Put a claim into the bucket of the first whole second after its deadline."""
        second = int(claim.seen + claim.ttl_s) + 1
        bucket = self._buckets.get(second)
        if bucket is None:
            bucket = self._buckets[second] = Bucket(second)
            heapq.heappush(self._seconds, second)
        if claim.bucket is not bucket:
            leave(claim)
            bucket.claims.append(claim)
            claim.bucket = bucket

    def hasten(self, claim: HeldClaim) -> None:
        """Take note that the deadline may have moved closer; moved away, it can wait for its bucket."""
        if claim.bucket is not None and claim.bucket.second > claim.seen + claim.ttl_s + 1:
            self.schedule(claim)

    def due(self, now: float, at_most: int) -> tuple[list[HeldClaim], int]:
        """Take out the claims past their deadline.

        Args:
            now: Process clock.
            at_most: How many entries to look at.

        Returns:
            The claims, which count in no bucket any more, and how many more entries could have been looked at; with 0
            there may be more that is due.
        """
        ended: list[HeldClaim] = []
        while self._seconds and self._seconds[0] <= now:
            bucket = self._buckets[self._seconds[0]]
            while bucket.claims:
                if at_most <= 0:
                    return ended, 0
                at_most -= 1
                claim = bucket.claims.pop()
                if claim.bucket is not bucket:
                    bucket.stale -= 1
                    continue
                claim.bucket = None
                if claim.seen + claim.ttl_s > now:
                    self.schedule(claim)
                else:
                    ended.append(claim)
            del self._buckets[heapq.heappop(self._seconds)]
        return ended, at_most

    def oldest(self, at_most: int) -> HeldClaim | None:
        """The claim that ends first: within a list whose claims all live equally long, the least recently seen.

        Args:
            at_most: How many entries to look at. Entries whose claim was refreshed are moved on the way, so that the
                next call begins behind them.
        """
        while self._seconds:
            bucket = self._buckets[self._seconds[0]]
            while bucket.claims:
                if at_most <= 0:
                    return None
                at_most -= 1
                claim = bucket.claims[-1]
                if _is_due_in(bucket, claim):
                    first = (one for one in bucket.claims[:FIRST_LOOKED_AT] if _is_due_in(bucket, one))
                    return min(first, key=lambda one: one.seen + one.ttl_s, default=claim)
                bucket.claims.pop()
                if claim.bucket is bucket:
                    claim.bucket = None
                    self.schedule(claim)
                else:
                    bucket.stale -= 1
            del self._buckets[heapq.heappop(self._seconds)]
        return None


def _is_due_in(bucket: Bucket, claim: HeldClaim) -> bool:
    """Whether a bucket's entry counts and its claim was not refreshed since it was made."""
    return claim.bucket is bucket and claim.seen + claim.ttl_s < bucket.second


def leave(claim: HeldClaim) -> None:
    """Let a claim count in no bucket any more; its entry stays until the bucket is swept or due."""
    bucket, claim.bucket = claim.bucket, None
    if bucket is None:
        return
    bucket.stale += 1
    if 2 * bucket.stale > len(bucket.claims):
        bucket.claims = list(dict.fromkeys(one for one in bucket.claims if one.bucket is bucket))
        bucket.stale = 0
