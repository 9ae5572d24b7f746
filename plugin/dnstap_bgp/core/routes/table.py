"""The route table: which addresses are claimed, by whom and until when.

Strategy: an address is a route while it has at least one live claim. A sighting makes or refreshes one claim and
touches nothing else; what must become of the prefix (these attributes, or none) is returned as a `Change`. That is
level-triggered: it states the wish of now, and the outbox compares it with what the host was told.

Sizes: a claim is a row of columns (see `claims`), about 170 bytes with its address, which the table finds it by. Claims
of one address hang in a chain, because nearly all addresses have one. Deadlines lie in buckets of one second for each
list; a refresh moves no entry. So observing is O(claims of the address), expiring is O(what is due), making room at a
cap looks at a bounded number of claims, and nothing ever scans the table.

What is seen and what is over is dealt with here, and is all that happens while nobody touches anything. The rest is
handed on: `elsewhere` takes in what others have seen, `by_hand` does what a person asks for, `revision` follows a
reload, `room` keeps to guard and caps, and `held` is what all of them change.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from dnstap_bgp.core.model import Address, Change, Claim, Name, Sighting
from dnstap_bgp.core.routes.by_hand import ByHand
from dnstap_bgp.core.routes.claims import NONE, Row
from dnstap_bgp.core.routes.elsewhere import Elsewhere, Merged
from dnstap_bgp.core.routes.held import HeldRoutes
from dnstap_bgp.core.routes.policies import Policies
from dnstap_bgp.core.routes.revision import Revision
from dnstap_bgp.core.routes.room import Room

RECORD_SHARE = 1 / 20
"""A refresh is worth a record when the deadline moved by this part of the TTL: 72 min of the default 24 h."""


class RouteTable(HeldRoutes):
    """All claims, and every way in which they come and go.

    Attributes:
        refusals: What could not become a claim, or not stay one.
        forgotten: What nobody but the tap may bring back for now.
    """

    def __init__(self, policies: Policies, *, recording: bool = True) -> None:
        """Start empty.

        Args:
            policies: What the configuration asks for.
            recording: Whether somebody takes `dirty()` (there is a state file).
        """
        super().__init__(policies, recording=recording)
        self._room = Room(self)
        self._by_hand = ByHand(self, self._room)
        self.refusals = self._room.refusals
        self.forgotten = self._by_hand.forgotten
        self._elsewhere = Elsewhere(self, self._room, self.forgotten)
        self._revision = Revision(self, self._elsewhere)
        self.configure(policies)

    def configure(self, policies: Policies) -> None:
        """Take new policies for what comes; `revise` applies them to what is held."""
        self.policies = policies
        self._spared_s = min((policy.held_s(0) for policy in policies.by_list.values()), default=0) * RECORD_SHARE
        self._following = {name for name, policy in policies.by_list.items() if policy.dns_ttl is not None}

    # -- what is seen

    def observe(self, sightings: Iterable[Sighting], now: float) -> list[Change]:
        """Make or refresh the claim of each sighting; a refresh is no change."""
        changes: list[Change] = []
        self.past.now = now
        # A refresh takes twice what a dict's lookup and an array's store do, among 10,000 (0.4 us) as among 1,000,000
        # (1.7): cache misses (tests.bench table). Names and lists in one column, or both times, save nothing.
        places, heads, rows, names = self.by_address.places, self.by_address.numbers, self.rows, self.rows.names
        following, spared_s = self._following, self._spared_s
        for address, list_name, name, dns_ttl_s in sightings:
            place = places[address[-1]].get(address)
            row = head = NONE if place is None else heads[address[-1]][place]
            while row:
                if names[row] == name and rows.lists[row] == list_name:
                    rows.seen[row] = now
                    if following and list_name in following:
                        self._follow(row, dns_ttl_s)
                    # Most were recorded so lately that their TTL need not be looked at: 0.2 us less in a large table.
                    age_s = now - rows.recorded[row]
                    if age_s > spared_s and age_s > rows.ttl_s[row] * RECORD_SHARE:
                        self.record(row)
                    break
                row = rows.next[row]
            else:
                policy = self._room.admit(address, list_name, name)
                if policy is None or (not head and not self._room.may_begin(address, list_name, name, now)):
                    continue
                if self._room.make(address, policy, name, changes):
                    before = self.wanted_by(address, head)
                    claim = Claim(address, list_name, name, now, now, policy.lifetime_s(dns_ttl_s))
                    self.record(self.begin(claim))
                    self.note(address, before, changes)
        return changes

    def _follow(self, row: Row, dns_ttl_s: int) -> None:
        """Take the lifetime of a claim from the record that was just seen."""
        list_name, before_s = self.rows.lists[row], self.rows.ttl_s[row]
        ttl_s = self.policies.by_list[list_name].lifetime_s(dns_ttl_s)
        if ttl_s != before_s:
            self.rows.ttl_s[row] = ttl_s
            self.by_list[list_name].hasten(row)
            if abs(ttl_s - before_s) > before_s * RECORD_SHARE:
                self.record(row)

    # -- what is over

    def expire(self, now: float, at_most: int) -> tuple[list[Change], bool]:
        """End the claims whose deadline has passed.

        Args:
            now: Process clock.
            at_most: How many claims to look at, so that one call stays short.

        Returns:
            The changes, and whether more is due.
        """
        changes: list[Change] = []
        self.past.now = now
        for of_list in self.by_list.values():
            ended, at_most = of_list.due(now, at_most)
            for row in ended:
                self.end(row, "expired", changes)
            if at_most <= 0:
                return changes, True
        return changes, False

    # -- what is handed on

    def adopt(self, claims: Iterable[Claim], now: float) -> None:
        """Take claims from the state file, see `Elsewhere`."""
        self._elsewhere.adopt(claims, now)

    def merge(self, claims: Iterable[Claim], now: float, tolerance_s: float) -> Merged:
        """Take what peers have seen, see `Elsewhere`."""
        return self._elsewhere.merge(claims, now, tolerance_s)

    def remind(self, now: float, at_most: int, tolerance_s: float) -> bool:
        """Record refreshes before those who were told of a deadline act on it, see `Elsewhere`."""
        return self._elsewhere.remind(now, at_most, tolerance_s)

    def add(self, claim: Claim, now: float) -> tuple[list[Change], str | None]:
        """Make or refresh a claim of a person's, see `ByHand`."""
        return self._by_hand.add(claim, now)

    def forget_address(self, address: Address, now: float) -> list[Change]:
        """End all claims on an address, see `ByHand`."""
        return self._by_hand.forget_address(address, now)

    def forget_name(self, name: Name, now: float, at_most: int) -> tuple[list[Change], bool]:
        """End all claims of a name, see `ByHand`."""
        return self._by_hand.forget_name(name, now, at_most)

    def revise(
        self, shard: int, lists: Mapping[Name, Sequence[str]], now: float, unknown: AbstractSet[str] = frozenset()
    ) -> list[Change]:
        """Hold one shard against the lists and policies of now, see `Revision`."""
        return self._revision.revise(shard, lists, now, unknown)

    def trim(self, at_most: int, start: int = 0) -> tuple[list[Change], int | None]:
        """End what is over a cap that was lowered, see `Room`."""
        return self._room.trim(at_most, start)
