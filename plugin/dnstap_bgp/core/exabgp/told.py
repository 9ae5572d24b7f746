"""What the host was told, as far as that is known.

Three things make it less than certain. What an earlier process said may be lost in a pipe: a *doubt*, for it is said
again if it is wanted, and withdrawn if it is not. The last change of attributes may not have been read: neighbors that
are down may still have the *former* ones pending. And the state file learns of an announcement before it is said, so
that it needs a *correction* where that was refused or never said.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from dnstap_bgp.core.exabgp.batch import MOVE, Batch
from dnstap_bgp.core.exabgp.grammar import family
from dnstap_bgp.core.exabgp.lanes import Step, step
from dnstap_bgp.core.model import Attributes, Prefix
from dnstap_bgp.core.prefixmap import SHARDS, PrefixMap


class Told(PrefixMap[Attributes]):
    """What was told and not yet untold: always withdrawn with exactly these attributes.

    Attributes:
        count: How many prefixes of each family.
    """

    __slots__ = ("_corrections", "_doubted", "_former", "count")

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()
        self._doubted: list[set[Prefix]] = [set() for _ in range(SHARDS)]
        self._former: OrderedDict[Prefix, Attributes] = OrderedDict()
        self._corrections: list[tuple[Prefix, Attributes | None]] = []

    def tell(self, prefix: Prefix, attributes: Attributes) -> None:
        """The host was told so."""
        shard = self.shards[prefix[-1]]
        if prefix not in shard:
            self.count[family(prefix)] += 1
        shard[prefix] = attributes

    def untell(self, prefix: Prefix) -> bool:
        """The host has it no more; says whether it had."""
        if self.pop(prefix, None) is None:
            return False
        self.count[family(prefix)] -= 1
        return True

    def restore(self, prefix: Prefix, what: Step) -> None:
        """This step was refused: what was told before it holds."""
        if what.wanted is None:
            return
        if what.told is None:
            self.untell(prefix)
        elif what.told != what.wanted:
            self.tell(prefix, what.told)
        else:
            self.doubt(prefix)
            return
        self.correct(prefix)

    def recall(self, told: Iterable[tuple[Prefix, Attributes]], untold: Iterable[Prefix]) -> None:
        """Take what an earlier process told the host and untold it, in the order of its records."""
        for prefix in untold:
            self._former.pop(prefix, None)
            if self.untell(prefix):
                self.trust(prefix)
        for prefix, attributes in told:
            before = self.get(prefix)
            if before is not None and before != attributes:
                self._changed_from(prefix, before)
            self.tell(prefix, attributes)
            self.doubt(prefix)

    def lose(self, prefix: Prefix, what: Step) -> None:
        """The answer to this step is lost."""
        if what.is_move and what.told is not None:
            self._changed_from(prefix, what.told)
        if prefix in self:
            self.doubt(prefix)

    # -- doubts

    def doubt(self, prefix: Prefix) -> None:
        """Nobody knows whether the host has this prefix as it stands here."""
        self._doubted[prefix[-1]].add(prefix)

    def trust(self, prefix: Prefix) -> None:
        """Have no doubt any more; an emptied set would keep its table: 33 MB after a restore of 1,000,000."""
        doubted = self._doubted[prefix[-1]]
        if prefix in doubted:
            doubted.remove(prefix)
            if not doubted:
                doubted.clear()

    def is_doubted(self, prefix: Prefix) -> bool:
        """Whether there is a doubt."""
        return prefix in self._doubted[prefix[-1]]

    def doubted(self, shard: int) -> AbstractSet[Prefix]:
        """All doubts of one shard."""
        return self._doubted[shard]

    # -- former attributes

    @property
    def has_former(self) -> bool:
        """Whether `take_former` has something."""
        return bool(self._former)

    def take_former(self) -> Batch:
        """Take the attributes that some prefixes may have had before the last known change, a line's worth.

        For neighbors that are down: there they are to be withdrawn before anything else is said of these prefixes.
        """
        attributes = next(iter(self._former.values()))
        prefixes = tuple(prefix for prefix, former in self._former.items() if former == attributes)
        prefixes = tuple(prefix for prefix in prefixes if family(prefix) == family(prefixes[0]))
        for prefix in prefixes:
            del self._former[prefix]
        return Batch(step(prefixes[0], attributes, None), prefixes)

    def forget_former(self) -> None:
        """No neighbor is down: there are no former attributes any more."""
        self._former.clear()

    def _changed_from(self, prefix: Prefix, attributes: Attributes) -> None:
        """Remember the former attributes; only the last line can have been lost, so a line's worth is enough."""
        self._former.pop(prefix, None)
        self._former[prefix] = attributes
        if len(self._former) > MOVE[0]:
            self._former.popitem(last=False)

    # -- corrections

    def correct(self, prefix: Prefix) -> None:
        """Have the state file learn what is so."""
        self._corrections.append((prefix, self.get(prefix)))

    def take_corrections(self) -> list[tuple[Prefix, Attributes | None]]:
        """What the state file must learn now: (prefix, attributes that the host has after all, or None)."""
        corrections, self._corrections = self._corrections, []
        return corrections
