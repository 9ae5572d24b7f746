"""Who may come in, and who gives way: the guard, the caps and the rate of new routes, applied to what is held."""

import math
from collections.abc import Callable, Iterable

from dnstap_bgp.core.model import Address, Change, Name, Policy
from dnstap_bgp.core.routes.allowance import Allowance
from dnstap_bgp.core.routes.claims import NAME_CHAINS, NONE, Row
from dnstap_bgp.core.routes.deadlines import Deadlines
from dnstap_bgp.core.routes.held import HeldRoutes
from dnstap_bgp.core.routes.refusals import Refusals

LOOKS_MAX = 64
"""Entries to look at when the least recently seen is wanted: 30 us. Where all of these were refreshed meanwhile, the
newcomer is refused, and the next one finds them out of the way."""


class Room:
    """See above.

    Attributes:
        refusals: What could not become a claim, or not stay one.
    """

    def __init__(self, held: HeldRoutes) -> None:
        """Keep the door of what is held."""
        self.refusals = Refusals()
        self._held = held
        self._allowance = Allowance()

    # -- before a claim begins

    def admit(self, address: Address, list_name: str, name: Name) -> Policy | None:
        """The policy for a claim, or None where it is refused (and counted)."""
        policies = self._held.policies
        reason = policies.refusal(address, list_name)
        if reason is not None:
            self._refuse(reason, address, list_name, name)
            return None
        return policies.by_list[list_name]

    def may_begin(self, address: Address, list_name: str, name: Name, now: float) -> bool:
        """Whether a new address may come so soon after others; if not, it is counted."""
        rate = self._held.policies.caps.new_routes_per_s
        if rate is None or self._allowance.take(rate, now):
            return True
        self._refuse("rate", address, list_name, name)
        return False

    def make(self, address: Address, policy: Policy, name: Name, changes: list[Change], seen: float = math.inf) -> bool:
        """See that one more claim keeps within all caps; if it can't, it is refused and counted.

        What was seen no earlier than the newcomer does not give way to it: or two members of a fleet that are both full
        would change each other's routes with whatever was told last.
        """
        held, list_name = self._held, policy.list
        most, list_most = held.policies.caps.routes_max, policy.routes_max
        reason = self._make_for_name(list_name, name, changes, seen)
        if reason is None and list_most is not None and not held.is_held_by(list_name, address):
            of_list, at_most = held.by_list[list_name], list_most
            reason = self._clear([of_list], lambda: of_list.routes >= at_most, "list-routes", changes, seen)
        if reason is None and len(held) >= most and address not in held.by_address:
            reason = self._clear(held.by_list.values(), lambda: len(held) >= most, "routes", changes, seen)
        if reason is not None:
            self._refuse(reason, address, list_name, name)
        return reason is None

    # -- after a cap was lowered

    def trim(self, at_most: int, start: int = 0) -> tuple[list[Change], int | None]:
        """End the least recently seen claims until no name, no list and not all together are over a lowered cap.

        Args:
            at_most: How many claims to end or to look at.
            start: Where to go on.

        Returns:
            The changes, and where to go on; None: it is done.
        """
        changes: list[Change] = []
        held, caps = self._held, self._held.policies.caps
        if start < NAME_CHAINS:
            over, start = held.by_name.over(caps.name_routes_max, start, at_most)
            for row in over:
                self._let_go(row, "name-routes", changes)
            return changes, start
        for list_name, of_list in held.by_list.items():
            policy = held.policies.by_list.get(list_name)
            cap = policy.routes_max if policy is not None else None
            while cap is not None and of_list.routes > cap:
                if at_most <= 0:
                    return changes, start
                at_most -= self._evict([of_list], "list-routes", changes)
        while len(held) > caps.routes_max:
            if at_most <= 0:
                return changes, start
            at_most -= self._evict(held.by_list.values(), "routes", changes)
        return changes, None

    # -- helpers

    def _make_for_name(self, list_name: str, name: Name, changes: list[Change], seen: float) -> str | None:
        held, caps, reason = self._held, self._held.policies.caps, "name-routes"
        of_name = held.by_name.of(list_name, name, caps.name_routes_max)
        if len(of_name) < caps.name_routes_max:
            return None
        oldest = min(of_name, key=held.rows.seen.__getitem__)
        if not caps.evicts or held.rows.seen[oldest] >= seen:
            return reason
        self._let_go(oldest, reason, changes)
        return None

    def _clear(
        self, among: Iterable[Deadlines], is_full: Callable[[], bool], reason: str, changes: list[Change], seen: float
    ) -> str | None:
        """End the least recently seen claims of some lists until there is room; the reason, if there isn't."""
        looks = LOOKS_MAX
        while is_full():
            if not self._held.policies.caps.evicts or looks <= 0:
                return reason
            looks -= self._evict(among, reason, changes, seen)
        return None

    def _evict(self, among: Iterable[Deadlines], reason: str, changes: list[Change], seen: float = math.inf) -> int:
        """End the least recently seen claim of some lists, if it was before `seen`; how many looks that was worth."""
        when = self._held.rows.seen
        oldest = [row for of_list in among if (row := of_list.oldest(LOOKS_MAX)) is not None]
        first = min(oldest, key=when.__getitem__, default=NONE)
        if not first or when[first] >= seen:
            return LOOKS_MAX
        self._let_go(first, reason, changes)
        return 1

    def _let_go(self, row: Row, reason: str, changes: list[Change]) -> None:
        rows = self._held.rows
        self.refusals.evict(reason, rows.addresses[row], rows.lists[row], rows.names[row])
        self._held.end(row, reason, changes)

    def _refuse(self, reason: str, address: Address, list_name: str, name: Name) -> None:
        self.refusals.refuse(reason, address, list_name, name)
        self._held.past.refuse(reason, address, list_name, name)
