"""Schedule of active refresh: which names are asked again, and when.

    exact names    names that a list has by themselves: at once, and then for good
    seen names     names that a client has asked for, as long as the claim lasts that its question made: whoever is not
                   asked for any more ends, at most twice its lifetime after the last client

A name is due when the record's TTL is over: earlier the resolver would answer from its cache, and later a client might
be the first to hear of another address. Where the claim ends before that, shortly before the claim's end.

Of the names that are due exact ones come first, and in a full schedule an owner (`RuleSet.owner`) with more than its
share makes room for its new names itself: so who makes up names of one domain takes no more than that from others.
"""

import heapq
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import islice

from dnstap_bgp.core.model import Name
from dnstap_bgp.core.refresh.asked_names import NotedName
from dnstap_bgp.core.timing import backoff_s

INTERVAL_MIN_S = 5.0
"""Records that live shorter are for balancing load: their next address is another one in any case."""

CLAIM_SHARE = 0.9
"""Of a claim's lifetime: early enough for an answer that takes long."""

TTL_OVER_S = 1.0
"""Resolvers count a TTL in whole seconds, and cut what is left of one."""

JITTER_SHARE, JITTER_MAX_S = 0.1, 5.0
"""Of the interval, by chance: names that were asked for together are not for ever."""

ANSWERLESS_FIRST_S, ANSWERLESS_MAX_S = 300.0, 3600.0
"""Until a name is asked again whose answer had no address, or none that came by the tap."""

UNANSWERED_S = 10.0
"""Until a name is asked again whose question was lost: `RefreshPace` has the pauses before a silent resolver."""

ECHO_S = 10.0
"""After a question of ours: what is seen then and tells no ID may be its answer, and so may anything as long as the tap
has not shown that it tells our questions from others'."""

_HEAP_SHARE = 4


class _Entry:
    """A name that is asked for."""

    __slots__ = ("asked_at", "due", "list", "owner", "tries", "until")

    def __init__(self, list_name: str, until: float, owner: Name = b"") -> None:
        self.list = list_name
        self.owner = owner  # of a seen name, when it was first seen
        self.until = until  # no question after it; infinite: an exact name
        self.due = math.inf
        self.asked_at = -math.inf
        self.tries = 0  # questions since the last address


class RefreshSchedule:
    """Names with the times when they are asked next; for one thread.

    Attributes:
        names_max: The most names; exact ones have the room first.
        left_out: Exact names that there is no room for; one of several lists may count for each.
        knows_own: Whether the tap has shown lately that answers for our questions are known from others.
        owner_of: Tells the owner of a name on a list.
    """

    def __init__(self, names_max: int, chance: Callable[[], float]) -> None:
        """Start empty.

        Args:
            names_max: The most names.
            chance: Gives numbers from 0 to 1.
        """
        self.names_max = names_max
        self.left_out = 0
        self.knows_own = False
        self.owner_of: Callable[[str, Name], Name] = lambda _, name: name
        self._chance = chance
        self._exact: dict[Name, _Entry] = {}
        self._seen: OrderedDict[Name, _Entry] = OrderedDict()  # by the last client
        self._by_owner: dict[Name, OrderedDict[Name, None]] = {}  # the seen names; each by the last client
        self._heaps: tuple[list[tuple[float, Name]], list[tuple[float, Name]]] = [], []  # of exact names, of seen ones

    def __len__(self) -> int:
        """Count the names."""
        return len(self._exact) + len(self._seen)

    @property
    def exact(self) -> int:
        """The exact names among them."""
        return len(self._exact)

    def list_of(self, name: Name) -> str | None:
        """Tell the list for which a name is asked; None: it isn't."""
        entry = self._exact.get(name) or self._seen.get(name)
        return None if entry is None else entry.list

    def replace_exact(
        self, names: Mapping[Name, str], list_of: Callable[[Name], str | None], now: float, left_out: int = 0
    ) -> None:
        """Take the exact names of new rules, the new ones due at once, and forget what is on no list any more.

        Args:
            names: Name -> list.
            list_of: Tells the refreshing list that a name is on.
            now: Process clock.
            left_out: Names that were not even collected.
        """
        kept = dict(islice(names.items(), self.names_max))
        self.left_out = left_out + len(names) - len(kept)
        before, self._exact = self._exact, {}
        for name, list_name in kept.items():
            known = before.get(name)
            entry = self._exact[name] = known or self._forget(name) or _Entry(list_name, math.inf)
            entry.list, entry.until = list_name, math.inf
            if known is None:
                self._put(name, entry, now)
        for name, entry in list(self._seen.items()):
            found = list_of(name)
            if found is None:
                self._forget(name)
            else:
                entry.list = found
        while self._seen and len(self) > self.names_max:
            self._forget(next(iter(self._seen)))

    def take(self, name: Name, noted: NotedName, lifetime_s: float, now: float) -> None:
        """Take note of answers for a name.

        Args:
            name: The name.
            noted: What they had.
            lifetime_s: Of the claim that such an answer makes.
            now: Process clock.
        """
        entry = self._exact.get(name) or self._seen.get(name)
        may_be_ours = entry is not None and now - entry.asked_at <= ECHO_S
        by_client = (noted.by_client and (self.knows_own or not may_be_ours)) or (noted.by_unknown and not may_be_ours)
        if entry is None:
            if not by_client or self.names_max <= len(self._exact):
                return
            owner = self.owner_of(noted.list, name)
            self._make_room(owner)
            entry = self._seen[name] = _Entry(noted.list, now, owner)
            self._by_owner.setdefault(owner, OrderedDict())[name] = None
        if by_client and entry.until < math.inf:
            entry.until = now + lifetime_s
            self._seen.move_to_end(name)
            self._by_owner[entry.owner].move_to_end(name)
        is_awaited, entry.tries = entry.tries > 0, 0
        interval_s = max(min(noted.dns_ttl_s + TTL_OVER_S, lifetime_s * CLAIM_SHARE), INTERVAL_MIN_S)
        # The answers for A and AAAA live differently long, and each says what is left of them: the first end counts.
        # The first answer after a question counts in any case: until then the name is due as one without an answer.
        if is_awaited or now + interval_s < entry.due - TTL_OVER_S:
            self._put(name, entry, now + interval_s + self._jitter_s(interval_s))

    def next(self, now: float) -> Name | None:
        """Give a name that is to be asked now, which is due again after `ANSWERLESS_FIRST_S`.

        Exact names come first, and of each kind the longest due.

        Args:
            now: Process clock.
        """
        for heap in self._heaps:
            while heap and heap[0][0] <= now:
                due, name = heapq.heappop(heap)
                entry = self._exact.get(name) or self._seen.get(name)
                if entry is None or entry.due != due:
                    continue
                if now > entry.until:
                    self._forget(name)
                    continue
                pause_s = backoff_s(entry.tries, ANSWERLESS_FIRST_S, ANSWERLESS_MAX_S)
                entry.tries += 1
                entry.asked_at = now
                self._put(name, entry, now + pause_s + self._jitter_s(pause_s))
                return name
        return None

    def put_back(self, name: Name, now: float) -> None:
        """Have a name asked soon again whose question was not answered.

        Args:
            name: As `next` gave it.
            now: Process clock.
        """
        entry = self._exact.get(name) or self._seen.get(name)
        if entry is not None and entry.due > now + UNANSWERED_S + JITTER_MAX_S:
            entry.tries = max(0, entry.tries - 1)
            self._put(name, entry, now + UNANSWERED_S + self._jitter_s(UNANSWERED_S))

    def late_s(self, now: float) -> float | None:
        """Tell how long the first of the names has been due; None: none is.

        Args:
            now: Process clock.
        """
        first = math.inf
        for heap in self._heaps:
            while heap:
                due, name = heap[0]
                entry = self._exact.get(name) or self._seen.get(name)
                if entry is not None and entry.due == due:
                    first = min(first, due)
                    break
                heapq.heappop(heap)
        return now - first if first <= now else None

    def _jitter_s(self, interval_s: float) -> float:
        return self._chance() * min(interval_s * JITTER_SHARE, JITTER_MAX_S)

    def _put(self, name: Name, entry: _Entry, due: float) -> None:
        entry.due = due
        heap = self._heaps[0 if entry.until == math.inf else 1]
        heapq.heappush(heap, (due, name))
        if len(heap) > _HEAP_SHARE * max(len(self), 16):
            entries = {**self._seen, **self._exact}
            heap[:] = [(due, name) for due, name in heap if name in entries and entries[name].due == due]
            heapq.heapify(heap)

    def _make_room(self, owner: Name) -> None:
        """Forget, for a new name in a full schedule, the one whose last client is the longest ago.

        That is one of the new name's owner where it has more names than fall to each owner, else one of all.
        """
        if not self._seen or len(self) < self.names_max:
            return
        own = self._by_owner.get(owner, ())
        share = max(1, (self.names_max - len(self._exact)) // len(self._by_owner))
        self._forget(next(iter(own if len(own) >= share else self._seen)))

    def _forget(self, name: Name) -> _Entry | None:
        """Forget a seen name."""
        entry = self._seen.pop(name, None)
        if entry is not None:
            own = self._by_owner[entry.owner]
            del own[name]
            if not own:
                del self._by_owner[entry.owner]
        return entry
