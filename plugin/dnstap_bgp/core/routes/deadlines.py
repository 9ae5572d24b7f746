"""The claims of one list in the order in which they end."""

import heapq
from array import array
from collections import deque
from collections.abc import Sequence

from dnstap_bgp.core.routes.claims import HeldClaims, Row

FIRST_LOOKED_AT = 16
"""Of a bucket's claims, to find the one that ends first: exact to the second in any case, and mostly exact."""


class Bucket:
    """The claims to look at when the process clock reaches `second`; `stale` entries at most don't count any more."""

    __slots__ = ("rows", "second", "stale")

    def __init__(self, second: int) -> None:
        self.second = second
        self.rows = array("I")
        self.stale = 0


class Deadlines:
    """The claims of one list in the order in which they end, to the second.

    A refresh moves nothing: a claim found in a due bucket whose deadline has moved is put into the later one. Entries
    that count no longer are swept once they outnumber the others in their bucket, so a flood leaves nothing behind.
    A row that was freed and used again may find an entry of its former claim in its bucket: one of the two counts.
    """

    __slots__ = ("_ahead", "_buckets", "_claims", "_coming", "_list", "_looked", "_seconds", "routes", "routes_ipv6")

    def __init__(self, claims: HeldClaims, list_name: str) -> None:
        """Start empty.

        Attributes:
            routes: How many addresses the list holds; kept by the table.
            routes_ipv6: Those of them that are IPv6.
        """
        self.routes = self.routes_ipv6 = 0
        self._claims = claims
        self._list = list_name
        self._buckets: dict[int, Bucket] = {}
        self._seconds: list[int] = []  # heap of the buckets' seconds
        self._looked = 0  # the second up to which `ahead` has looked
        self._coming: deque[int] = deque()  # the seconds of buckets that it has still to look into
        self._ahead: Sequence[Row] = ()  # what it has still to give

    def __len__(self) -> int:
        """How many entries there are, spent ones included."""
        return sum(len(bucket.rows) for bucket in self._buckets.values())

    def schedule(self, row: Row) -> None:
        """Put a claim into the bucket of the first whole second after its deadline."""
        claims = self._claims
        second = int(claims.seen[row] + claims.ttl_s[row]) + 1
        bucket = self._buckets.get(second)
        if bucket is None:
            bucket = self._buckets[second] = Bucket(second)
            heapq.heappush(self._seconds, second)
        if claims.second[row] != second:
            self.leave(row)
            bucket.rows.append(row)
            claims.second[row] = second

    def hasten(self, row: Row) -> None:
        """Take note that the deadline may have moved closer; moved away, it can wait for its bucket."""
        if self._claims.second[row] > self._claims.ends(row) + 1:
            self.schedule(row)

    def leave(self, row: Row) -> None:
        """Let a claim count in no bucket any more; its entry stays until the bucket is swept or due."""
        second = self._claims.second[row]
        if not second:
            return
        self._claims.second[row] = 0
        bucket = self._buckets[second]
        bucket.stale += 1
        if 2 * bucket.stale > len(bucket.rows):
            bucket.rows = array("I", dict.fromkeys(one for one in bucket.rows if self._counts(bucket, one)))
            bucket.stale = 0

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
                    bucket.stale -= 1
                    continue
                self._claims.second[row] = 0
                if self._claims.ends(row) > now:
                    self.schedule(row)
                else:
                    ended.append(row)
            del self._buckets[heapq.heappop(self._seconds)]
        return ended, at_most

    def ahead(self, second: int, at_most: int) -> Sequence[Row]:
        """The claims in buckets up to a second that this has not given yet; some may be gone since.

        Args:
            second: Below that of the last call only where the policy's TTL was lowered: then some are given again.
            at_most: How many to give at once; none: there are no more.
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
        """The claim that ends first: within a list whose claims all live equally long, the least recently seen.

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
                    return min(first, key=self._claims.ends, default=row)
                bucket.rows.pop()
                if self._counts(bucket, row):
                    self._claims.second[row] = 0
                    self.schedule(row)
                else:
                    bucket.stale -= 1
            del self._buckets[heapq.heappop(self._seconds)]
        return None

    def _counts(self, bucket: Bucket, row: Row) -> bool:
        """Whether a bucket's entry is where the claim counts: the row may be gone, moved or another list's by now."""
        return self._claims.second[row] == bucket.second and self._claims.lists[row] == self._list

    def _is_due_in(self, bucket: Bucket, row: Row) -> bool:
        """Whether a bucket's entry counts and its claim was not refreshed since it was made."""
        return self._counts(bucket, row) and self._claims.ends(row) < bucket.second


class ListDeadlines(dict[str, Deadlines]):
    """List name -> its deadlines, made when they are first asked for."""

    def __init__(self, claims: HeldClaims) -> None:
        super().__init__()
        self._claims = claims

    def __missing__(self, list_name: str) -> Deadlines:
        found = self[list_name] = Deadlines(self._claims, list_name)
        return found
