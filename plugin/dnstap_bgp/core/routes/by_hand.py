"""What a person does to single routes: add one, or forget an address or a name."""

from dnstap_bgp.core.model import Address, Change, Claim, Name
from dnstap_bgp.core.routes.forgotten import FORGET_S, Forgotten
from dnstap_bgp.core.routes.held import HeldRoutes
from dnstap_bgp.core.routes.room import Room


class ByHand:
    """See above.

    Attributes:
        forgotten: What nobody but the tap may bring back for now.
    """

    def __init__(self, held: HeldRoutes, room: Room) -> None:
        """Add to what is held, where there is room, and end it."""
        self.forgotten = Forgotten()
        self._held = held
        self._room = room

    def add(self, claim: Claim, now: float) -> tuple[list[Change], str | None]:
        """Make or refresh a claim of a person's, until `now` and its TTL.

        Returns:
            The changes, and why it was refused; None: it is held.
        """
        held = self._held
        held.past.now = now
        changes: list[Change] = []
        reason = held.policies.refusal(claim.address, claim.list)
        if reason is not None:
            return changes, reason
        self.forgotten.recall(claim.address)
        row = held.find(claim.address, claim.list, claim.name)
        if row:
            held.rows.seen[row], held.rows.ttl_s[row] = now, claim.ttl_s
            held.by_list[claim.list].hasten(row)
            held.record(row)
            return changes, None
        if not self._room.make(claim.address, held.policies.by_list[claim.list], claim.name, changes):
            return changes, "full"
        before = held.wanted(claim.address)
        held.record(held.begin(claim))
        held.note(claim.address, before, changes)
        return changes, None

    def forget_address(self, address: Address, now: float) -> list[Change]:
        """End all claims on an address, and keep others from bringing it back for `FORGET_S`."""
        self._held.past.now = now
        self.forgotten.add_address(address, now + FORGET_S)
        changes: list[Change] = []
        for row in self._held.chain(address):
            self._held.end(row, "forgotten", changes)
        return changes

    def forget_name(self, name: Name, now: float, at_most: int) -> tuple[list[Change], bool]:
        """The same for all claims of a name.

        Args:
            name: The name itself, not what lies below.
            now: Process clock.
            at_most: How many claims to end, so that one call stays short.

        Returns:
            The changes, and whether there are more.
        """
        self._held.past.now = now
        self.forgotten.add_name(name, now + FORGET_S)
        changes: list[Change] = []
        for list_name in list(self._held.by_list):
            for row in self._held.by_name.of(list_name, name, 1):
                if at_most <= 0:
                    return changes, True
                at_most -= 1
                self._held.end(row, "forgotten", changes)
        return changes, False
