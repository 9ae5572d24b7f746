"""The Adj-RIB-Out (RFC 4271, 3.2): every prefix that ExaBGP was told to announce and not to withdraw.

Four things make the knowledge of it less than certain:

- An entry is *stale* where nobody knows whether ExaBGP has it so: an earlier process's last commands may be lost in a
  dead pipe, an answer may be lost, a repeated announce may be refused. A stale entry is announced again if it is
  wanted, and withdrawn if it is not.
- After a respawn the last attribute change may not have been read: neighbors that are down may still have the
  *previous attributes* pending.
- The state file learns of an announcement before the line is written, so it needs a *correction* where that was refused
  or never written.
- A withdraw may not have reached a neighbor that is another process's for now, or may be (`kept_routes`). The prefix is
  then *retained*: the state file has it as announced until that is known, so that a process that begins meanwhile
  withdraws it again, and knows what the neighbor may keep.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from copy import copy
from dataclasses import dataclass, field

from dnstap_bgp.core.exabgp.grammar import IPV4, IPV6, family
from dnstap_bgp.core.exabgp.kept_routes import KEPT_ROUTES_MAX
from dnstap_bgp.core.exabgp.update_queue import ATTRIBUTE_CHANGE, Transition, UpdateBatch, transition
from dnstap_bgp.core.model import UNKNOWN_ATTRIBUTES, Attributes, Prefix
from dnstap_bgp.core.prefix_map import SHARDS, PrefixMap

RECALLED_SHARDS_MAX = 4
"""Shards of a block's prefixes up to which each is picked out by itself."""


class AdjRibOut(PrefixMap[Attributes]):
    """Announced prefixes with their attributes: a withdraw names exactly these.

    Attributes:
        count: How many prefixes of each family are announced.
        repair_due: Some prefixes were recalled with unknown attributes: once they are withdrawn or announced anew, each
            neighbor is sent its whole table again.
    """

    __slots__ = ("_corrections", "_previous", "_refused_previous", "_retained", "_stale", "count", "repair_due")

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()
        self.repair_due = False
        self._stale: list[set[Prefix]] = [set() for _ in range(SHARDS)]
        self._previous: OrderedDict[Prefix, Attributes] = OrderedDict()
        self._refused_previous: set[Prefix] = set()  # of a refused line: they go alone
        self._corrections: list[tuple[Prefix, Attributes | None]] = []
        self._retained: PrefixMap[tuple[Attributes, float]] = PrefixMap()  # and since when; of a shard the oldest first

    def announced(self, prefix: Prefix, attributes: Attributes) -> None:
        """Enter a prefix as announced with these attributes."""
        shard = self.shards[prefix[-1]]
        if prefix not in shard:
            self.count[family(prefix)] += 1
        shard[prefix] = attributes

    def announced_line(self, prefixes: Sequence[Prefix], attributes: Attributes) -> None:
        """Enter the prefixes of a line, all of one family, as announced with these attributes, and as certain."""
        new = 0
        for prefix in prefixes:
            number = prefix[-1]
            shard = self.shards[number]
            new += prefix not in shard
            shard[prefix] = attributes
            if self._stale[number]:
                self.mark_known(prefix)
        self.count[family(prefixes[0])] += new

    def withdrawn(self, prefix: Prefix) -> bool:
        """Remove a prefix as withdrawn; returns whether it was announced."""
        if self.pop(prefix, None) is None:
            return False
        self.count[family(prefix)] -= 1
        self.mark_known(prefix)
        return True

    def refused(self, prefix: Prefix, update: Transition) -> None:
        """Put back what was announced before an update that ExaBGP refused.

        That is stale then: before other attributes are announced the old ones are withdrawn where a neighbor is down.
        """
        if update.wanted is None:
            self.mark_stale(prefix)  # the entry was never removed, but may have been stale before
            return
        if update.announced is None:
            self.withdrawn(prefix)
        else:
            self.announced(prefix, update.announced)
            self.mark_stale(prefix)
        if update.announced != update.wanted:  # or else it only repeated what is recorded
            self.correct(prefix)

    def answer_lost(self, prefix: Prefix, update: Transition) -> None:
        """Mark as stale what an update with a lost answer may or may not have changed."""
        if update.is_attribute_change and update.announced is not None:
            self._remember_previous(prefix, update.announced)
        if prefix in self:
            self.mark_stale(prefix)

    def recall(self, announced: Iterable[tuple[Prefix, Attributes]], withdrawn: Iterable[Prefix]) -> None:
        """Enter what an earlier process announced and withdrew, in the order of its records; all of it is stale."""
        for prefix in withdrawn:
            self._previous.pop(prefix, None)
            self.withdrawn(prefix)
        announced = list(announced)
        if self._recall_new(announced):
            return
        for prefix, attributes in announced:
            before = self.get(prefix)
            if before is not None and before != attributes:
                self._remember_previous(prefix, before)
            self.announced(prefix, attributes)
            self.mark_stale(prefix)
            self.repair_due = self.repair_due or attributes in UNKNOWN_ATTRIBUTES

    def _recall_new(self, announced: list[tuple[Prefix, Attributes]]) -> bool:
        """Enter prefixes that are not announced, of few shards, with known attributes; False: there are others.

        So nearly all come, in a snapshot's order. Done in C it is a second less for 1,000,000, in which nothing can be
        said yet (row `first bulk line` of tests.bench restart).
        """
        prefixes = dict(announced)
        shards = {prefix[-1] for prefix in prefixes}
        sets = {id(attributes): attributes for attributes in prefixes.values()}.values()
        if len(shards) > RECALLED_SHARDS_MAX or any(one in UNKNOWN_ATTRIBUTES for one in sets):
            return False
        if len(prefixes) < len(announced) or any(not self.shards[one].keys().isdisjoint(prefixes) for one in shards):
            return False
        for number in shards:
            of_shard = prefixes
            if len(shards) > 1:
                of_shard = {prefix: attributes for prefix, attributes in prefixes.items() if prefix[-1] == number}
            self.shards[number].update(of_shard)
            self._stale[number].update(of_shard)
        for length, count in Counter(map(len, prefixes)).items():
            self.count[IPV4 if length < 16 else IPV6] += count
        return True

    def fork(self) -> "AdjRibOut":
        """Copy everything but the corrections, which are the caller's to take."""
        twin = copy(self)
        twin.shards = [shard.copy() for shard in self.shards]
        twin.count = self.count.copy()
        for name, value in (
            ("_stale", [stale.copy() for stale in self._stale]),
            ("_previous", self._previous.copy()),
            ("_refused_previous", self._refused_previous.copy()),
            ("_retained", self._retained.copy()),
            ("_corrections", []),
        ):
            setattr(twin, name, value)
        return twin

    # -- stale entries

    def mark_stale(self, prefix: Prefix) -> None:
        """Note that nobody knows whether ExaBGP has this entry."""
        self._stale[prefix[-1]].add(prefix)

    def mark_known(self, prefix: Prefix) -> None:
        """Note that the entry is certain: a line about the prefix is under way, or the entry is gone."""
        stale = self._stale[prefix[-1]]
        if prefix in stale:
            stale.remove(prefix)
            if not stale:
                stale.clear()  # an emptied set keeps its hash table: 33 MB after a restore of 1,000,000

    def is_stale(self, prefix: Prefix) -> bool:
        """Tell whether nobody knows if ExaBGP has this entry."""
        return prefix in self._stale[prefix[-1]]

    def stale(self, shard: int) -> AbstractSet[Prefix]:
        """Give all stale prefixes of one shard."""
        return self._stale[shard]

    # -- previous attributes

    @property
    def has_previous(self) -> bool:
        """True where previous attributes wait: `take_previous` has something."""
        return bool(self._previous)

    def previous(self, shard: int) -> list[tuple[Prefix, Attributes]]:
        """Copy the previous attributes of one shard's prefixes that are still announced."""
        return [(prefix, attributes) for prefix, attributes in self._previous.items() if prefix[-1] == shard]

    def take_previous(self) -> UpdateBatch:
        """Take the attributes that some prefixes may have had before the last known change, a line's worth.

        For neighbors that are down: there they are to be withdrawn before any other line names these prefixes.
        """
        first, attributes = next(iter(self._previous.items()))
        prefixes = tuple(
            prefix
            for prefix, previous in self._previous.items()
            if previous == attributes and family(prefix) == family(first) and prefix not in self._refused_previous
        )
        if first in self._refused_previous:
            prefixes = (first,)
        for prefix in prefixes:
            del self._previous[prefix]
            self._refused_previous.discard(prefix)
        return UpdateBatch(transition(prefixes[0], attributes, None), prefixes)

    def refuse_previous(self, batch: UpdateBatch) -> bool:
        """Put back what `take_previous` gave and ExaBGP refused; each prefix then goes alone.

        Returns:
            Whether it is given up, because it was refused alone.
        """
        if len(batch.prefixes) == 1:
            return True
        for prefix in batch.prefixes:
            self._previous[prefix] = batch.transition.attributes
            self._refused_previous.add(prefix)
        return False

    def forget_previous(self) -> None:
        """Drop all previous attributes: no neighbor is down, so that none has them pending."""
        self._previous.clear()
        self._refused_previous.clear()

    def _remember_previous(self, prefix: Prefix, attributes: Attributes) -> None:
        """Remember previous attributes; only the last line can have been lost, so a line's worth is enough."""
        self._previous.pop(prefix, None)
        self._previous[prefix] = attributes
        if len(self._previous) > ATTRIBUTE_CHANGE.prefixes_max:
            self._previous.popitem(last=False)

    # -- retained prefixes

    def retain(self, prefixes: Sequence[Prefix], attributes: Attributes, now: float) -> None:
        """Have the state file keep prefixes that are being withdrawn; past `KEPT_ROUTES_MAX` it doesn't.

        Args:
            prefixes: Those that a neighbor may keep.
            attributes: What they were announced with.
            now: Process clock.
        """
        if len(self._retained) + len(prefixes) > KEPT_ROUTES_MAX:
            return
        entry = attributes, now
        for prefix in prefixes:
            shard = self._retained.shards[prefix[-1]]
            before = shard.pop(prefix, None)  # its place is behind the others now
            shard[prefix] = entry if before is None else (before[0], now)

    def release(self, until: float, at_most: int) -> int:
        """Have the state file learn what was withdrawn and has been retained since then or longer.

        Args:
            until: Process clock.
            at_most: So many prefixes, the oldest of each shard first.

        Returns:
            How many were released; as many as that: there may be more.
        """
        released = 0
        for shard in self._retained.shards:
            due: list[Prefix] = []
            for prefix, (_, since) in shard.items():
                if since > until or released + len(due) == at_most:
                    break
                due.append(prefix)
            for prefix in due:
                del shard[prefix]
                if prefix not in self:
                    self.correct(prefix)
            released += len(due)
        return released

    @property
    def has_retained(self) -> bool:
        """True where the state file has prefixes as announced that are withdrawn."""
        return any(self._retained.shards)

    def has_retained_since(self, until: float) -> bool:
        """Tell whether any prefix has been retained since then or longer (process clock)."""
        return any(shard and next(iter(shard.values()))[1] <= until for shard in self._retained.shards)

    def retained(self, shard: int) -> dict[Prefix, Attributes]:
        """Copy the retained prefixes of one shard that are not announced again."""
        announced = self.shards[shard]
        found = self._retained.shards[shard]
        return {prefix: attributes for prefix, (attributes, _) in found.items() if prefix not in announced}

    def shards_kept(self) -> list[Mapping[Prefix, Attributes]]:
        """Give the shards of what neighbors may have: what is announced, and what is retained."""
        return [
            {**retained, **shard} if (retained := self.retained(number)) else shard
            for number, shard in enumerate(self.shards)
        ]

    # -- corrections of the state file

    def correct(self, prefix: Prefix) -> None:
        """Have the state file learn the entry of a prefix as it is now, or as it is retained."""
        announced = self.get(prefix)
        if announced is None and (retained := self._retained.get(prefix)) is not None:
            announced, _ = retained
        self._corrections.append((prefix, announced))

    def take_corrections(self) -> list[tuple[Prefix, Attributes | None]]:
        """Take what the state file must learn now: (prefix, announced attributes, or None where there are none)."""
        corrections, self._corrections = self._corrections, []
        return corrections


@dataclass(slots=True)
class Replay:
    """A walk over the Adj-RIB-Out for one neighbor that came after the announcements: holds one shard at most.

    Attributes:
        neighbor: The neighbor's address.
        families: Families of which the neighbor knows nothing yet.
        ended: Whether the walk is at its end.
        after: Lines before this number may not have named the neighbor; the walk begins when they are answered.
    """

    neighbor: str
    families: frozenset[str]
    ended: bool = False
    after: int = 0
    _shard: int = 0
    _groups: dict[Transition, list[Prefix]] | None = None
    _alone: list[tuple[Prefix, Transition]] = field(default_factory=list)  # of refused lines, to be tried alone
    _refused_alone: set[Prefix] = field(default_factory=set)

    @classmethod
    def retry(cls, neighbor: str, given_up: dict[Prefix, Transition]) -> "Replay":
        """Make a walk over nothing but what was given up before."""
        return cls(neighbor, frozenset(), _shard=SHARDS, _alone=list(given_up.items()))

    def refused(self, batch: UpdateBatch) -> Prefix | None:
        """Have each prefix of a refused line tried alone.

        Returns:
            The prefix that is given up, because it was refused alone twice.
        """
        if len(batch.prefixes) == 1:
            prefix = batch.prefixes[0]
            if prefix in self._refused_alone:
                self._refused_alone.remove(prefix)
                return prefix
            self._refused_alone.add(prefix)
        self._alone += ((prefix, batch.transition) for prefix in reversed(batch.prefixes))
        return None

    @property
    def has_alone(self) -> bool:
        """Some prefix has to be tried alone, before the walk goes on."""
        return bool(self._alone)

    def next(self, rib: AdjRibOut) -> Transition | None:
        """Find the transition of the next line; None: nothing is left to be said."""
        if self._alone:
            return self._alone[-1][1]
        self._group(rib)
        return next(iter(self._groups)) if self._groups else None

    def take(self, count: int) -> list[Prefix]:
        """Take at most so many prefixes of the transition that `next` gave."""
        if self._alone:
            return [self._alone.pop()[0]]
        assert self._groups
        update = next(iter(self._groups))
        waiting = self._groups.pop(update)
        if waiting[count:]:
            self._groups[update] = waiting[count:]
        return waiting[:count]

    def _group(self, rib: AdjRibOut) -> None:
        """Group the next shard that has something, if nothing is left of the one at hand."""
        while not self._groups and self._shard < SHARDS:
            self._groups = {}
            for prefix, attributes in rib.shards[self._shard].items():
                kind = family(prefix)
                if attributes in UNKNOWN_ATTRIBUTES:
                    continue  # nothing is announced with them
                if kind in self.families and (not attributes.neighbors or self.neighbor in attributes.neighbors):
                    self._groups.setdefault(Transition(attributes, attributes, kind), []).append(prefix)
            self._shard += 1
