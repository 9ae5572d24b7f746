"""Claims that were made elsewhere or before: by an earlier process (the state file), and by peers."""

from collections.abc import Iterable
from typing import NamedTuple

from dnstap_bgp.core.model import BY_HAND, Change, Claim
from dnstap_bgp.core.routes.claims import NONE, Row
from dnstap_bgp.core.routes.forgotten import Forgotten
from dnstap_bgp.core.routes.held import HeldRoutes
from dnstap_bgp.core.routes.room import Room


class Merged(NamedTuple):
    """What became of claims that peers told.

    Attributes:
        changes: As of `RouteTable.observe`.
        news: Copies of those that are new, or were seen later than was recorded.
        refused: How many were not taken: expired, refused by guard or cap, forgotten by hand.
    """

    changes: list[Change]
    news: list[Claim]
    refused: int


class Elsewhere:
    """Takes such claims in where what is asked for now lets it; of a claim that is held, the later sighting counts."""

    def __init__(self, held: HeldRoutes, room: Room, forgotten: Forgotten) -> None:
        """Take claims into what is held, where there is room; not those that are forgotten."""
        self._held = held
        self._room = room
        self._forgotten = forgotten

    def adopt(self, claims: Iterable[Claim], now: float) -> None:
        """Take claims from the state file.

        What has no policy any more, is past its deadline or is refused by the guard or a cap, is left out. The wishes
        that follow from it are those of `HeldRoutes.wanted`, once all is adopted.
        """
        self._held.past.now = now
        for claim in claims:
            if not self._forgotten.covers(claim, now):
                self.take(claim, now, [])

    def merge(self, claims: Iterable[Claim], now: float, tolerance_s: float) -> Merged:
        """Take what peers have seen.

        What comes back as news is recorded with that: `dirty` doesn't give it again.

        Args:
            claims: Names that the lists match; a TTL of 0: whatever the policy says.
            now: Process clock; nothing was seen after it.
            tolerance_s: What is later by no more than this is not later.
        """
        held, rows = self._held, self._held.rows
        held.past.now = now
        merged, refused = Merged([], [], 0), 0
        for claim in claims:
            row = held.find(claim.address, claim.list, claim.name)
            if not row:
                refused += not self._merge_new(claim, now, merged)
            elif min(claim.seen, now) > rows.seen[row] + tolerance_s:
                rows.seen[row] = rows.recorded[row] = min(claim.seen, now)
                policy = held.policies.by_list.get(claim.list)
                if claim.ttl_s and policy is not None and policy.dns_ttl is not None:
                    rows.ttl_s[row] = policy.held_s(claim.ttl_s)
                    held.by_list[claim.list].hasten(row)
                merged.news.append(rows.copy(row))
        return merged._replace(refused=refused)

    def remind(self, now: float, at_most: int, tolerance_s: float) -> bool:
        """Record refreshes that only we know of, half of a lifetime before the deadline that was recorded.

        So whoever is told what is recorded never ends a claim early: a sighting is recorded at once where the last
        record is older than `RECORD_SHARE` of the TTL, and here otherwise.

        Args:
            now: Process clock.
            at_most: How many claims to look at.
            tolerance_s: A sighting that is less later than the recorded one is none.

        Returns:
            Whether there are more.
        """
        held, rows = self._held, self._held.rows
        for list_name, of_list in held.by_list.items():
            policy = held.policies.by_list.get(list_name)
            ahead_s = policy.held_s(0) / 2 if policy is not None else 0.0
            while looked := of_list.ahead(int(now + ahead_s), at_most):
                for row in looked:
                    if rows.second[row] and rows.seen[row] > rows.recorded[row] + tolerance_s:
                        held.record(row)
                at_most -= len(looked)
                if at_most <= 0:
                    return True
        return False

    def take(self, claim: Claim, now: float, changes: list[Change]) -> Row:
        """Take one claim; gives its row if it is new.

        Args:
            claim: One that was made before.
            now: Process clock.
            changes: Gets what had to give way; what becomes of its own address is for the caller to note.
        """
        policy = self._room.admit(claim.address, claim.list, claim.name)
        if policy is None:
            return NONE
        held, rows = self._held, self._held.rows
        seen = min(claim.seen, now)
        ttl_s = claim.ttl_s if claim.name == BY_HAND else policy.held_s(claim.ttl_s)
        known = held.find(claim.address, claim.list, claim.name)
        if known:
            rows.first[known] = min(rows.first[known], claim.first)
            if seen >= rows.seen[known]:
                rows.ttl_s[known] = ttl_s if seen > rows.seen[known] else min(ttl_s, rows.ttl_s[known])
                rows.seen[known] = rows.recorded[known] = seen
                held.by_list[claim.list].hasten(known)
        elif seen + ttl_s > now and self._room.make(claim.address, policy, claim.name, changes, seen):
            return held.begin(claim._replace(ttl_s=ttl_s, seen=seen, first=min(claim.first, seen)))
        return NONE

    def _merge_new(self, claim: Claim, now: float, merged: Merged) -> bool:
        """Take a claim that is not held; whether it is now."""
        held = self._held
        if self._forgotten.covers(claim, now):
            return False
        before = held.wanted(claim.address)
        row = self.take(claim, now, merged.changes)
        if not row:
            return False
        merged.news.append(held.rows.copy(row))
        held.note(claim.address, before, merged.changes)
        return True
