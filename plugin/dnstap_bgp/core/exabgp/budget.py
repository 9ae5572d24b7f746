"""Budget of a neighbor: at most so many prefixes are announced there, and the least recently seen ones give way.

A router with room for a few thousand routes gets the most recently seen ones; everybody else gets all. A neighbor with
a budget is a view of its own (`policy`), and the budget stands between what the view wants and its reconciler:

    wanted of the view -> Budget.decide -> admitted (the reconciler's wishes) | left out (withdrawn, and remembered)

Two bounds, both of `limit`:

- Admitted prefixes. The reconciler wants these and no others, so where all is said, that many are announced at most.
- Entries of the Adj-RIB-Out (`Reconciler.announced_max`): a new announcement is written only while there is room, that
  is, once ExaBGP has acknowledged the withdraw of what gave way for it. The Adj-RIB-Out holds at least what ExaBGP may
  have, so ExaBGP's own table never has more than that of us.

The router may have a few more for a moment: an acknowledgment says that ExaBGP has processed the withdraw, not that it
has sent it, and the UPDATE of the newcomer may leave first. So the router's own maximum has to be a little above
`limit`, as the manual says. A prefix of a family that the neighbor hasn't negotiated takes a place like any other.

The reconciler needn't know who gives way: that is a wish for no route like any other, withdrawn with the very
attributes that were announced, and recorded before that is said. A restart finds in the records what is announced.

Who gives way. Every admitted prefix has a rank: when it was last seen, and `GIVE_WAY_S` later than that once it is
announced. A newcomer is admitted if there is room, or if its rank is above the least one, which then gives way;
otherwise the newcomer is left out. Static prefixes and those added by hand rank above all, and none of them gives way
but where there are more of these alone than the limit.

No thrash: where clients use more addresses than the limit at a time, whoever came first stays, because an announced
prefix gives way only to what was seen `GIVE_WAY_S` later; so at most `limit` prefixes change in that time. A prefix
that is left out tries again whenever it is seen; once places become free, the last seen ones get them.

Cost. The ranks are a heap of numbers that were right once. A sighting makes a rank grow and isn't noted here: the entry
at the top is looked at again when a newcomer wants its place. An entry that was looked at isn't looked at again within
`GIVE_WAY_S`: less than `limit` looks in that time, `LOOKS_MAX` at once. What is left out is a heap by last sighting.

A rank becomes less where the later of two claims ends, or where a prefix is static or added by hand no more. That is
noted when the prefix is put again; a finite number is passed by time in any case; and of the infinite ones, which time
never passes, each newcomer has `LASTING_LOOKS` looked at, in turn.

After a restart what was announced stays, whatever the times in the state file say, which may be an hour old; the places
that are left go to the last seen. No clock is in here, and the caller holds the keeper's lock.
"""

import heapq
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple

from dnstap_bgp.core.model import Attributes, Change, Prefix

GIVE_WAY_S = 300.0
"""An announced prefix gives way to one that was seen so much later. Clients keep an answer for its TTL, which is 300 s
at most with content networks: what is seen less often than that is hardly in use."""

LOOKS_MAX = 64
"""Entries that one newcomer has looked at: some 0.1 ms. If none of them gives way, it is left out until it is seen."""

LASTING_LOOKS = 4
"""Admitted prefixes of infinite rank that one newcomer has looked at, because they may have a finite one by now."""

STALE_MAX = 64
"""Entries of prefixes that are gone, beside as many as there are others: then a new heap is begun."""

MOVED_AT_ONCE = 8
"""Entries that move to the new heap with each change: its growth and what is left behind end soon, and no change of
1,000,000 prefixes takes long."""


class BudgetFigures(NamedTuple):
    """Figures of one budget: how full it is.

    Attributes:
        neighbor: The neighbor's address.
        limit: The most prefixes to announce to it.
        admitted: The prefixes that have a place.
        left_out: Those that are wanted and have none.
        displaced: How many times one gave way to another, since the start.
    """

    neighbor: str
    limit: int
    admitted: int
    left_out: int
    displaced: int


class Budget:
    """Wanted prefixes of one neighbor, divided into those that are announced there and those that are left out.

    Attributes:
        limit: The most prefixes to announce, both families together.
        left_out: What is wanted and has no room.
        displaced: How many times a prefix gave way to another.
        given_way: The prefixes that gave way of late, for whoever looks and clears it.
        is_restoring: While set, a prefix that is put as bulk is admitted only if a place is free: none gives way to it.
    """

    def __init__(
        self, limit: int, last_seen: Callable[[Prefix], float], is_announced: Callable[[Prefix], bool]
    ) -> None:
        """Start with nothing wanted.

        Args:
            limit: The most prefixes to announce, at least 1.
            last_seen: Gives the process clock's time of a prefix's last sighting; infinite: it never gives way.
            is_announced: Tells whether ExaBGP may have a prefix from us, for this neighbor.
        """
        self.limit = limit
        self.left_out: dict[Prefix, Attributes] = {}
        self.displaced = 0
        self.given_way: list[Prefix] = []
        self.is_restoring = False
        self._last_seen = last_seen
        self._is_announced = is_announced
        self._admitted: dict[Prefix, Attributes] = {}
        self._ranks = _Ranking()  # of those that are admitted: as they were when they were looked at
        self._lasting: OrderedDict[Prefix, None] = OrderedDict()  # the infinite ones, the next to look at first
        self._looks = 0
        self._waiting = _Ranking()  # of those that are left out, the last seen first

    def __len__(self) -> int:
        """Count the admitted prefixes."""
        return len(self._admitted)

    def __contains__(self, prefix: Prefix) -> bool:
        return prefix in self._admitted

    def decide(self, changes: Iterable[Change], *, bulk: bool = False) -> list[Change]:
        """Divide what is wanted from now on.

        Args:
            changes: What the view wants of prefixes.
            bulk: As of `Reconciler.put`.

        Returns:
            What the reconciler is to want, also of prefixes that give way or get a place by it; who gives way comes
            before whom that is for.
        """
        found: list[Change] = []
        free = 0
        for change in changes:
            prefix, wanted = change
            if wanted is None:
                free += self._forget(prefix)
                found.append(change)
            elif prefix in self._admitted:
                self._admitted[prefix] = wanted
                rank = self._rank(prefix)
                if rank < self._ranks.number(prefix) or rank == math.inf:
                    self._note_rank(prefix, rank)
                found.append(change)
            elif not self._admit(prefix, wanted, found, only_free=bulk and self.is_restoring):
                self._leave_out(prefix, wanted, found)
        if free and not self.is_restoring:
            self._fill(free, found)
        return found

    def seen(self, prefix: Prefix) -> list[Change]:
        """Have a prefix that is left out try again, if it was seen after its last try."""
        wanted = self.left_out.get(prefix)
        if wanted is None:
            return []
        at = self._last_seen(prefix)
        if at == -self._waiting.number(prefix) and len(self._admitted) >= self.limit:
            return []
        found: list[Change] = []
        if not self._admit(prefix, wanted, found):
            self._waiting.put(prefix, -at)
        return found

    def adjust(self, at_most: int) -> tuple[list[Change], bool]:
        """Keep to another limit: the least recently seen give way, or the last seen get the places that are new.

        Args:
            at_most: Prefixes to look at or decide about, so that one call stays short; the last one that gives way may
                take `LOOKS_MAX` looks more.

        Returns:
            As of `decide`, and whether there is more.
        """
        found: list[Change] = []
        while at_most > 0 and len(self._admitted) > self.limit:
            before = self._looks
            least = self._least_below(math.inf) or self._ranks.first()
            assert least is not None
            self._give_way(least, found)
            at_most -= 1 + self._looks - before
        self._fill(at_most, found)
        missing = self.limit - len(self._admitted)
        return found, missing < 0 or (missing > 0 and bool(self.left_out))

    def priority(self, prefix: Prefix) -> tuple[bool, bool, float]:
        """Rank a prefix for its place after a restart: first what never gives way, then what is announced.

        Returns:
            To be compared: the greatest ones get the places.
        """
        seen = self._last_seen(prefix)
        return seen == math.inf, self._is_announced(prefix), seen

    # -- inside

    def _admit(self, prefix: Prefix, wanted: Attributes, found: list[Change], *, only_free: bool = False) -> bool:
        """Give a prefix a free place, or that of one whose rank is less; False: there is none."""
        if len(self._admitted) >= self.limit:
            least = None if only_free else self._least_below(self._rank(prefix))
            if least is None:
                return False
            self.displaced += 1
            self._give_way(least, found)
        self._place(prefix, wanted, found)
        return True

    def _place(self, prefix: Prefix, wanted: Attributes, found: list[Change]) -> None:
        if self.left_out.pop(prefix, None) is not None:
            self._waiting.discard(prefix)
        self._admitted[prefix] = wanted
        self._note_rank(prefix, self._rank(prefix))
        found.append(Change(prefix, wanted))

    def _give_way(self, prefix: Prefix, found: list[Change]) -> None:
        self.given_way.append(prefix)
        self._forget_rank(prefix)
        self._leave_out(prefix, self._admitted.pop(prefix), found)

    def _leave_out(self, prefix: Prefix, wanted: Attributes, found: list[Change]) -> None:
        self.left_out[prefix] = wanted
        self._waiting.put(prefix, -self._last_seen(prefix))
        found.append(Change(prefix, None))

    def _forget(self, prefix: Prefix) -> bool:
        """Forget a prefix that is not wanted any more; tells whether that leaves a place free."""
        if self.left_out.pop(prefix, None) is not None:
            self._waiting.discard(prefix)
        if self._admitted.pop(prefix, None) is None:
            return False
        self._forget_rank(prefix)
        return True

    def _fill(self, at_most: int, found: list[Change]) -> None:
        """Give free places to the last seen of those that are left out."""
        looks = LOOKS_MAX
        while at_most > 0 and len(self._admitted) < self.limit and (prefix := self._waiting.first()) is not None:
            at = self._last_seen(prefix)
            if looks > 0 and at < -self._waiting.number(prefix):  # the later of its claims has ended
                looks -= 1
                self._waiting.put(prefix, -at)
                continue
            at_most -= 1
            self._place(prefix, self.left_out[prefix], found)

    def _rank(self, prefix: Prefix) -> float:
        self._looks += 1
        return self._last_seen(prefix) + (GIVE_WAY_S if self._is_announced(prefix) else 0.0)

    def _note_rank(self, prefix: Prefix, rank: float) -> None:
        """Note the rank of an admitted prefix; an infinite one is the last to be looked at again."""
        self._ranks.put(prefix, rank)
        if rank < math.inf:
            self._lasting.pop(prefix, None)
        else:
            self._lasting[prefix] = None
            self._lasting.move_to_end(prefix)

    def _forget_rank(self, prefix: Prefix) -> None:
        self._ranks.discard(prefix)
        self._lasting.pop(prefix, None)

    def _least_below(self, rank: float) -> Prefix | None:
        """Find the admitted prefix that was least recently seen, if its rank is below another one's.

        Where `LOOKS_MAX` looks find no rank that still holds, an ordinary newcomer is left out. One that never gives
        way itself gets the place of the ordinary prefix that is at the top by then.
        """
        ranks = self._ranks
        for prefix in list(islice(self._lasting, LASTING_LOOKS)):
            self._note_rank(prefix, self._rank(prefix))
        for _ in range(LOOKS_MAX):
            least = ranks.first()
            if least is None or ranks.number(least) >= rank:
                return None
            now = self._rank(least)
            if now <= ranks.number(least):
                return least
            self._note_rank(least, now)
        while rank == math.inf and (least := ranks.first()) is not None and ranks.number(least) < math.inf:
            now = self._rank(least)
            if now < math.inf:
                return least
            self._note_rank(least, now)  # added by hand since it got its place: looked at once in this way
        return None


class _Ranking:
    """Prefixes in the order of their numbers: a heap, in which entries of what is gone or renumbered stay for a while.

    Once there are too many of these, a new heap is begun; each change moves some entries of the old one that still
    hold, so that no change takes long.
    """

    __slots__ = ("_entries", "_heap", "_old")

    def __init__(self) -> None:
        self._entries: dict[Prefix, tuple[float, Prefix]] = {}  # the very objects that are in a heap
        self._heap: list[tuple[float, Prefix]] = []
        self._old: list[tuple[float, Prefix]] = []

    @property
    def size(self) -> int:
        """Number of entries in the heaps, those of what is gone among them."""
        return len(self._heap) + len(self._old)

    def number(self, prefix: Prefix) -> float:
        """Give the number of a prefix that is there."""
        return self._entries[prefix][0]

    def put(self, prefix: Prefix, number: float) -> None:
        """Add a prefix, or give it another number."""
        entry = self._entries.get(prefix)
        if entry is not None and entry[0] == number:
            return
        entry = self._entries[prefix] = number, prefix
        heapq.heappush(self._heap, entry)
        self._tidy()

    def discard(self, prefix: Prefix) -> None:
        """Remove a prefix that is there."""
        del self._entries[prefix]
        self._tidy()

    def first(self) -> Prefix | None:
        """Give the prefix with the least number; None: there is none."""
        entries, tops = self._entries, []
        for heap in (self._heap, self._old):
            while heap and entries.get(heap[0][1]) is not heap[0]:
                heapq.heappop(heap)
            tops += heap[:1]
        return min(tops)[1] if tops else None

    def _tidy(self) -> None:
        """Begin a new heap if it is time, or move some entries to it."""
        entries, heap, old = self._entries, self._heap, self._old
        if old:
            for _ in range(min(MOVED_AT_ONCE, len(old))):
                entry = old.pop()  # the last one: what is left is still a heap
                if entries.get(entry[1]) is entry:
                    heapq.heappush(heap, entry)
        elif len(heap) > 2 * len(entries) + STALE_MAX:
            self._heap, self._old = old, heap
