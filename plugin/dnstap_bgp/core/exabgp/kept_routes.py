"""Routes that a neighbor keeps from before commands ceased to reach it, to be withdrawn once they reach it again.

A neighbor whose `api` section names our process no more is *foreign*: ExaBGP keeps its session and all routes that it
was told, and what is withdrawn meanwhile is not withdrawn there. When the neighbor is ours again a replay tells it all
that is announced now, but nothing would take away the rest: a ghost for good.

So the Adj-RIB-Out is copied at the last moment at which commands surely reached the neighbor. Once it is ours again,
each route of the copy that is now announced otherwise, or not at all, is withdrawn there with the attributes of the
copy; only then the replay begins. A copy holds references only: 5 MB for 100,000 routes, and neighbors of one view
share it.

A withdraw too many is harmless only because more follows: whoever begins a walk (`Neighbor.adopt`; or the first row of
a neighbor that couldn't be read) also makes a replay and a flush due. The replay announces what a withdraw took away
that came late, and the flush sends the table again as it is, whatever order ExaBGP chose for what was pending together.

No other line is written during a walk, to any neighbor: one between could announce what a later line of the walk
withdraws, to a neighbor for which both are pending. So fresh addresses wait for it, 15 to 20 s for 80,000 routes that
ended meanwhile.

Copies end with the process. So what is withdrawn while some neighbor may keep it (it is in a copy, or a proof is due)
is *retained* in the Adj-RIB-Out: the state file has it as announced until the neighbor is rid of it, or proves to be
ours, and a process that begins meanwhile copies it, too. A copy has what is retained: so also what came and went
between the signal and ExaBGP's reading of its configuration.

What remains, where a neighbor may keep a ghost:

- The neighbor is still foreign an hour after something was withdrawn (`api_session.RETAINED_S`), and a process ends
  between that and the moment at which it is given back.
- The neighbor's `api` section lacks `signal`: no doubt begins at a reload, so the copy is made only when the first line
  that names the neighbor is refused, and lacks what was withdrawn between.
- The neighbor is down and has a route pending, whose attributes are changed while it is foreign, and a process ends
  before it is given back: the next one knows the newer attributes only, and its withdraw leaves the older ones pending.
  The flush behind it repairs that at a router that speaks RFC 7313.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from dnstap_bgp.core.exabgp.update_queue import Transition, UpdateBatch, line_shape, transition
from dnstap_bgp.core.model import Attributes, Prefix
from dnstap_bgp.core.prefix_map import SHARDS

KEPT_ROUTES_MAX = 500_000
"""Routes of all copies together: 25 MB. Past it no copy is made, and the log says what that may leave behind."""

RibCopy: TypeAlias = tuple[Mapping[Prefix, Attributes], ...]
"""Announced prefixes by shard, as they were; never changed, so that copies may share shards."""

NO_SHARDS: RibCopy = ({},) * SHARDS
"""The same of a neighbor to which nothing is announced."""

LOOKED_AT_ONCE = 10_000
"""Routes that are compared by one hold of the lock, where none is found to be withdrawn; a shard more at most."""


class KeptRoutes:
    """Walk over what one neighbor may have kept: one line's worth of withdraws after the other.

    Attributes:
        neighbor: Address of the neighbor.
        copies: The Adj-RIB-Out when commands surely reached it, the oldest first: one for each time that they ceased.
        ended: Whether the walk is at its end.
    """

    def __init__(self, neighbor: str, copies: Sequence[RibCopy]) -> None:
        self.neighbor = neighbor
        self.copies = tuple(copies)
        self.ended = False
        self._shard = 0
        self._groups: dict[Transition, list[Prefix]] = {}
        self._alone: list[tuple[Prefix, Transition]] = []  # of refused lines
        self._taken: UpdateBatch | None = None

    def next(self, announced: Sequence[Mapping[Prefix, Attributes]]) -> UpdateBatch | None:
        """Give the withdraws of the next line, the same ones until they are answered.

        Args:
            announced: Shards of what is announced now, to the neighbor or to others.

        Returns:
            None: nothing is left, then the walk has `ended`; or nothing was found yet, and the walk goes on.
        """
        if self._taken is not None:
            return self._taken
        if self._alone:
            prefix, update = self._alone.pop()
            self._taken = UpdateBatch(update, (prefix,))
            return self._taken
        looked_at = 0
        while not self._groups:
            self.ended = self._shard == SHARDS
            if self.ended or looked_at >= LOOKED_AT_ONCE:
                return None
            looked_at += self._group(announced[self._shard])
            self._shard += 1
        update = next(iter(self._groups))
        waiting, count = self._groups.pop(update), line_shape(update, live=0, low_latency=False).prefixes_max
        if waiting[count:]:
            self._groups[update] = waiting[count:]
        self._taken = UpdateBatch(update, tuple(waiting[:count]))
        return self._taken

    def answered(self) -> None:
        """Go on behind the line that is done."""
        self._taken = None

    def refused(self) -> None:
        """Have each prefix of a refused line tried alone; one that is refused alone is left as it is."""
        taken, self._taken = self._taken, None
        if taken is not None and len(taken.prefixes) > 1:
            self._alone += ((prefix, taken.transition) for prefix in taken.prefixes)

    def _group(self, announced: Mapping[Prefix, Attributes]) -> int:
        """Group what is to be withdrawn of one shard; returns how many routes were looked at."""
        found: dict[Prefix, Attributes] = {}
        for copy in reversed(self.copies):  # the oldest counts: what came later may not have reached the neighbor
            found.update(
                {one: attributes for one, attributes in copy[self._shard].items() if self._is_for_it(attributes)}
            )
        for prefix, attributes in found.items() if found != announced else ():
            now = announced.get(prefix)
            if now is attributes:
                continue
            if now is not None and not self._is_for_it(now):
                now = None
            if now is None or (now != attributes and _bare(now) != _bare(attributes)):
                self._groups.setdefault(transition(prefix, attributes, None), []).append(prefix)
        return len(found)

    def _is_for_it(self, attributes: Attributes) -> bool:
        return not attributes.neighbors or self.neighbor in attributes.neighbors


def _bare(attributes: Attributes) -> Attributes:
    return replace(attributes, neighbors=())
