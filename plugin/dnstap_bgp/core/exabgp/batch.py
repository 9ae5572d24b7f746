"""One line's worth of prefixes, how large it may be, and what waits for its line."""

from dataclasses import dataclass
from typing import NamedTuple

from dnstap_bgp.core.exabgp.grammar import IPV6, family
from dnstap_bgp.core.exabgp.lanes import Step
from dnstap_bgp.core.model import Attributes, Prefix
from dnstap_bgp.core.prefixmap import SHARDS, PrefixMap

# The shapes of a line, as (most prefixes, most lines unanswered). ExaBGP takes 50 steps of commands a turn, then sends
# 25 messages to each neighbor: grouped ones for IPv4, one for each prefix of IPv6.
IPV4_FASTEST = (49, 2)
"""The most routes a second; a fresh address then waits 22 ms (p50)."""
IPV4_BRISK = (24, 1)
"""A fresh address waits 5 ms (p50) behind these."""
IPV6_FASTEST = (24, 1)
"""More at a time builds a backlog of seconds inside ExaBGP, behind which IPv4 waits as well."""
IPV6_FRESH = (12, 2)
"""Two lines of the above's size together, so that a fresh address need not wait for an answer."""
MOVE = (24, 1)
ALONE = (1, 1)

FRESH_MAX = 24
"""More live prefixes than this are a burst and go in bulk's shapes: a fresh one waits behind the others anyway."""


def shape(what: Step, *, live: int, brisk: bool) -> tuple[int, int]:
    """The most prefixes of a line, and the most lines unanswered with it.

    Args:
        what: What the line is to say.
        live: How many live prefixes wait, if it is for them; 0 for bulk.
        brisk: Fresh addresses come and go.
    """
    if what.is_move:
        return MOVE
    if what.family == IPV6:
        return IPV6_FRESH if 0 < live <= FRESH_MAX else IPV6_FASTEST
    return IPV4_FASTEST if live or not brisk else IPV4_BRISK


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One line's worth: these prefixes go from `step.told` to `step.wanted`.

    Attributes:
        step: The same for all of them.
        prefixes: At least one.
        live: Whether somebody waits for it: fresh addresses, as opposed to a restore or a reload.
        replay_to: The only neighbor it is for, one that knows nothing yet; empty for all others.
    """

    step: Step
    prefixes: tuple[Prefix, ...]
    live: bool = False
    replay_to: str = ""

    @property
    def news(self) -> list[tuple[Prefix, Attributes]]:
        """What the state file must know before this line leaves."""
        wanted = self.step.wanted
        if wanted is None or wanted == self.step.told:
            return []
        return [(prefix, wanted) for prefix in self.prefixes]


@dataclass(slots=True)
class Replay:
    """How far the routes have been told to a neighbor that came after them: at most one shard is held.

    Attributes:
        neighbor: Its address.
        families: Those that it knows nothing of yet.
        ended: Whether it has been told everything.
    """

    neighbor: str
    families: frozenset[str]
    ended: bool = False
    _shard: int = 0
    _groups: dict[Step, list[Prefix]] | None = None

    def groups(self, told: PrefixMap[Attributes]) -> dict[Step, list[Prefix]] | None:
        """What is left of the shard at hand, or else of the next that has something; None at the end."""
        while not self._groups:
            if self._shard == SHARDS:
                return None
            self._groups = {}
            for prefix, attributes in told.shards[self._shard].items():
                kind = family(prefix)
                if kind in self.families and (not attributes.neighbors or self.neighbor in attributes.neighbors):
                    self._groups.setdefault(Step(attributes, attributes, kind), []).append(prefix)
            self._shard += 1
        return self._groups


class Backlog(NamedTuple):
    """How many prefixes wait, and for what.

    Attributes:
        live: Fresh changes, for their line.
        bulk: Changes of a restore or a reload, for theirs.
        deferred: For their last command's answer or settling.
        suspects: Of refused lines, to be tried alone.
        refused: The host has refused them for good as of now, or has no neighbor for them.
    """

    live: int
    bulk: int
    deferred: int
    suspects: int
    refused: int
