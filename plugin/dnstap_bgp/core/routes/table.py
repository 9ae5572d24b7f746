"""The route table: which addresses are claimed, by whom and until when.

Strategy: an address is a route while it has at least one live claim. A sighting makes or refreshes one claim and
touches nothing else; what must become of the prefix (these attributes, or none) is returned as a `Change`. That is
level-triggered: it states the wish of now, and the outbox compares it with what the host was told.

Sizes: a claim is a row of columns (see `claims`), about 170 bytes with its address, which the table finds it by. Claims
of one address hang in a chain, because nearly all addresses have one. Deadlines lie in buckets of one second for each
list; a refresh moves no entry. So observing is O(claims of the address), expiring is O(what is due), making room at a
cap looks at a bounded number of claims, and nothing ever scans the table.
"""

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import NamedTuple

from dnstap_bgp.core.model import BY_HAND, Address, Attributes, Change, Claim, Name, Policy, Sighting
from dnstap_bgp.core.prefixmap import NumberMap
from dnstap_bgp.core.routes.allowance import Allowance
from dnstap_bgp.core.routes.claims import NAME_CHAINS, NONE, HeldClaims, Names, Row
from dnstap_bgp.core.routes.deadlines import Deadlines, ListDeadlines
from dnstap_bgp.core.routes.forgotten import FORGET_S, Forgotten
from dnstap_bgp.core.routes.past import Past
from dnstap_bgp.core.routes.policies import Policies
from dnstap_bgp.core.routes.refusals import Refusals

CLAIMS_PER_ROUTE = 32
"""More names than this on one address add nothing to the decision; the least recently seen gives way."""

RECORD_SHARE = 1 / 20
"""A refresh is worth a record when the deadline moved by this part of the TTL: 72 min of the default 24 h."""

LOOKS_MAX = 64
"""Entries to look at when the least recently seen is wanted: 30 us. Where all of these were refreshed meanwhile, the
newcomer is refused, and the next one finds them out of the way."""


class Merged(NamedTuple):
    """What became of claims that peers told.

    Attributes:
        changes: As of `observe`.
        news: Copies of those that are new, or were seen later than was recorded.
        refused: How many were not taken: expired, refused by guard or cap, forgotten by hand.
    """

    changes: list[Change]
    news: list[Claim]
    refused: int


class RouteTable:
    """All claims, by address.

    Attributes:
        policies: What is asked for now.
        refusals: What could not become a claim, or not stay one.
        past: The last of these, and the claims that ended last.
        forgotten: What nobody but the tap may bring back for now.
        claims: How many live claims there are.
        ended: How many claims there were that are no more.
        size_ipv6: How many of the addresses are IPv6.
        recording: Whether somebody takes `dirty()`: there is a state file, or somebody watches.
    """

    def __init__(self, policies: Policies, *, recording: bool = True) -> None:
        """Start empty.

        Args:
            policies: What the configuration asks for.
            recording: Whether somebody takes `dirty()` (there is a state file).
        """
        self.refusals = Refusals()
        self.past = Past()
        self.forgotten = Forgotten()
        self.claims = self.ended = self.size_ipv6 = 0
        self._routes = NumberMap()
        self._size = 0
        self._held = HeldClaims()
        self._names = Names(self._held)
        self._lists = ListDeadlines(self._held)
        self._dirty = array("I")
        self.recording = recording
        self._allowance = Allowance()
        self.configure(policies)

    def __len__(self) -> int:
        """How many addresses are claimed."""
        return self._size

    def routes_of(self, list_name: str) -> int:
        """How many addresses a list's claims hold."""
        return self._lists[list_name].routes if list_name in self._lists else 0

    def ipv6_routes_of(self, list_name: str) -> int:
        """How many of these are IPv6."""
        return self._lists[list_name].routes_ipv6 if list_name in self._lists else 0

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
        places, rows, held, names = self._routes.places, self._routes.numbers, self._held, self._held.names
        following, spared_s = self._following, self._spared_s
        for address, list_name, name, dns_ttl_s in sightings:
            place = places[address[-1]].get(address)
            row = head = NONE if place is None else rows[address[-1]][place]
            while row:
                if names[row] == name and held.lists[row] == list_name:
                    held.seen[row] = now
                    if following and list_name in following:
                        self._follow(row, dns_ttl_s)
                    # Most were recorded so lately that their TTL need not be looked at: 0.2 us less in a large table.
                    age_s = now - held.recorded[row]
                    if age_s > spared_s and age_s > held.ttl_s[row] * RECORD_SHARE:
                        self._record(row)
                    break
                row = held.next[row]
            else:
                policy = self._admit(address, list_name, name)
                if policy is None or (not head and not self._may_begin(address, list_name, name, now)):
                    continue
                if self._make_room(address, policy, name, changes):
                    before = self._wanted(address, head)
                    record = Claim(address, list_name, name, now, now, policy.lifetime_s(dns_ttl_s))
                    self._record(self._add(record, head))
                    self._note(address, before, changes)
        return changes

    def adopt(self, claims: Iterable[Claim], now: float) -> None:
        """Take claims from the state file; of one that is held, the later sighting counts.

        What has no policy any more, is past its deadline or is refused by the guard or a cap, is left out. The wishes
        that follow from it are those of `changes`, once all is adopted.
        """
        self.past.now = now
        for record in claims:
            if not self.forgotten.covers(record, now):
                self._adopt(record, now, [])

    # -- what peers tell

    def merge(self, claims: Iterable[Claim], now: float, tolerance_s: float) -> Merged:
        """Take what peers have seen; of a claim that is held, the later sighting counts.

        What comes back as news is recorded with that: `dirty` doesn't give it again.

        Args:
            claims: Names that the lists match; a TTL of 0: whatever the policy says.
            now: Process clock; nothing was seen after it.
            tolerance_s: What is later by no more than this is not later.
        """
        self.past.now = now
        merged = Merged([], [], 0)
        held, refused = self._held, 0
        for record in claims:
            row = self._find(record.address, record.list, record.name)
            if not row:
                refused += not self._merge_new(record, now, merged)
            elif min(record.seen, now) > held.seen[row] + tolerance_s:
                held.seen[row] = held.recorded[row] = min(record.seen, now)
                if record.ttl_s and record.list in self._following:
                    held.ttl_s[row] = self.policies.by_list[record.list].held_s(record.ttl_s)
                    self._lists[record.list].hasten(row)
                merged.news.append(held.copy(row))
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
        held = self._held
        for list_name, deadlines in self._lists.items():
            policy = self.policies.by_list.get(list_name)
            ahead_s = policy.held_s(0) / 2 if policy is not None else 0.0
            while looked := deadlines.ahead(int(now + ahead_s), at_most):
                for row in looked:
                    if held.second[row] and held.seen[row] > held.recorded[row] + tolerance_s:
                        self._record(row)
                at_most -= len(looked)
                if at_most <= 0:
                    return True
        return False

    # -- by hand

    def add(self, claim: Claim, now: float) -> tuple[list[Change], str | None]:
        """Make or refresh a claim of a person's, until `now` and its TTL.

        Returns:
            The changes, and why it was refused; None: it is held.
        """
        self.past.now = now
        changes: list[Change] = []
        reason = self.policies.refusal(claim.address, claim.list)
        if reason is not None:
            return changes, reason
        self.forgotten.recall(claim.address)
        row = self._find(claim.address, claim.list, claim.name)
        if row:
            self._held.seen[row], self._held.ttl_s[row] = now, claim.ttl_s
            self._lists[claim.list].hasten(row)
            self._record(row)
            return changes, None
        if not self._make_room(claim.address, self.policies.by_list[claim.list], claim.name, changes):
            return changes, "full"
        head = self._routes.get(claim.address)
        before = self._wanted(claim.address, head)
        self._record(self._add(claim, head))
        self._note(claim.address, before, changes)
        return changes, None

    def forget_address(self, address: Address, now: float) -> list[Change]:
        """End all claims on an address, and keep others from bringing it back for `FORGET_S`."""
        self.past.now = now
        self.forgotten.add_address(address, now + FORGET_S)
        changes: list[Change] = []
        for row in self._held.chain(self._routes.get(address)):
            self._end(row, "forgotten", changes)
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
        self.past.now = now
        self.forgotten.add_name(name, now + FORGET_S)
        changes: list[Change] = []
        for list_name in list(self._lists):
            for row in self._names.of(list_name, name, 1):
                if at_most <= 0:
                    return changes, True
                at_most -= 1
                self._end(row, "forgotten", changes)
        return changes, False

    # -- what ends

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
        for deadlines in self._lists.values():
            ended, at_most = deadlines.due(now, at_most)
            for row in ended:
                self._end(row, "expired", changes)
            if at_most <= 0:
                return changes, True
        return changes, False

    def revise(
        self, shard: int, lists: Mapping[Name, Sequence[str]], now: float, unknown: AbstractSet[str] = frozenset()
    ) -> list[Change]:
        """Hold one shard against the lists and policies of now.

        A name that was seen is claimed by every list that it is on now: also by one that it was not on before.

        Args:
            shard: 0..255, see `PrefixMap`.
            lists: For each name of `names(shard)` the lists that match it now. A name that isn't there came after
                and was matched by the new lists already.
            now: Process clock.
            unknown: Lists whose rules are not known: their claims stay.

        Returns:
            The wish for every address that the shard held, changed or not: the outbox knows what was told.
        """
        changes: list[Change] = []
        self.past.now = now
        held = self.addresses(shard)
        for row in list(self._rows(shard)):
            list_name = self._held.lists[row]
            found = lists.get(self._held.names[row], (list_name,))
            self._revise(row, (*found, list_name) if list_name in unknown else found, now, changes)
        addresses = dict.fromkeys([change.prefix for change in changes] + held)
        return [Change(address, self.wanted(address)) for address in addresses]

    def trim(self, at_most: int, start: int = 0) -> tuple[list[Change], int | None]:
        """End the least recently seen claims until no name, no list and not all together are over a lowered cap.

        Args:
            at_most: How many claims to end or to look at.
            start: Where to go on.

        Returns:
            The changes, and where to go on; None: it is done.
        """
        changes: list[Change] = []
        if start < NAME_CHAINS:
            over, start = self._names.over(self.policies.caps.name_routes_max, start, at_most)
            for row in over:
                self._let_go(row, "name-routes", changes)
            return changes, start
        for list_name, deadlines in self._lists.items():
            policy = self.policies.by_list.get(list_name)
            cap = policy.routes_max if policy is not None else None
            while cap is not None and deadlines.routes > cap:
                if at_most <= 0:
                    return changes, start
                at_most -= self._evict([deadlines], "list-routes", changes)
        while self._size > self.policies.caps.routes_max:
            if at_most <= 0:
                return changes, start
            at_most -= self._evict(self._lists.values(), "routes", changes)
        return changes, None

    # -- what is held

    def wanted(self, address: Address) -> Attributes | None:
        """The attributes with which the address should be announced, or None."""
        return self._wanted(address, self._routes.get(address))

    def claims_of(self, address: Address) -> list[Claim]:
        """Copies of the address's live claims."""
        return [self._held.copy(row) for row in self._held.chain(self._routes.get(address))]

    def claims_by(self, name: Name, at_most: int) -> list[Claim]:
        """Copies of a name's live claims, in all lists."""
        found = (row for list_name in self._lists for row in self._names.of(list_name, name, 1))
        return [self._held.copy(row) for row in islice(found, at_most)]

    def names(self, shard: int) -> set[Name]:
        """The names that hold claims in one shard."""
        return {self._held.names[row] for row in self._rows(shard)}

    def addresses(self, shard: int) -> list[Address]:
        """The addresses of one shard, for a walk."""
        return list(self._routes.places[shard])

    def changes(self, shard: int) -> list[Change]:
        """The wish for every address of one shard."""
        return [Change(address, self.wanted(address)) for address in self.addresses(shard)]

    def dirty(self) -> list[Claim]:
        """Copies of the claims that are new, or whose deadline moved far enough, since the last call."""
        dirty, self._dirty = self._dirty, array("I")
        return [self._held.copy(row) for row in dirty if self._held.second[row]]

    def unrecorded(self, shard: int) -> list[Claim]:
        """The claims of one shard that were seen after their last record: for the last save of a process."""
        held = self._held
        return [held.copy(row) for row in self._rows(shard) if held.seen[row] > held.recorded[row]]

    # -- who may come in

    def _admit(self, address: Address, list_name: str, name: Name) -> Policy | None:
        """The policy for a claim, or None where it is refused (and counted)."""
        reason = self.policies.refusal(address, list_name)
        if reason is not None:
            self._refuse(reason, address, list_name, name)
            return None
        return self.policies.by_list[list_name]

    def _may_begin(self, address: Address, list_name: str, name: Name, now: float) -> bool:
        """Whether a new address may come so soon after others."""
        rate = self.policies.caps.new_routes_per_s
        if rate is None or self._allowance.take(rate, now):
            return True
        self._refuse("rate", address, list_name, name)
        return False

    def _refuse(self, reason: str, address: Address, list_name: str, name: Name) -> None:
        self.refusals.refuse(reason, address, list_name, name)
        self.past.refuse(reason, address, list_name, name)

    def _make_room(
        self, address: Address, policy: Policy, name: Name, changes: list[Change], seen: float = math.inf
    ) -> bool:
        """See that one more claim keeps within all caps; if it can't, it is refused and counted.

        What was seen no earlier than the newcomer does not give way to it: or two members of a fleet that are both full
        would change each other's routes with whatever was told last.
        """
        most, list_name = self.policies.caps.routes_max, policy.list
        reason = self._make_room_for_name(list_name, name, changes, seen)
        if reason is None and policy.routes_max is not None and not self._holds(list_name, address):
            deadlines, list_most = self._lists[list_name], policy.routes_max
            reason = self._clear([deadlines], lambda: deadlines.routes >= list_most, "list-routes", changes, seen)
        if reason is None and self._size >= most and address not in self._routes:
            reason = self._clear(self._lists.values(), lambda: self._size >= most, "routes", changes, seen)
        if reason is not None:
            self._refuse(reason, address, list_name, name)
        return reason is None

    def _make_room_for_name(self, list_name: str, name: Name, changes: list[Change], seen: float) -> str | None:
        caps, reason = self.policies.caps, "name-routes"
        of_name = self._names.of(list_name, name, caps.name_routes_max)
        if len(of_name) < caps.name_routes_max:
            return None
        oldest = min(of_name, key=self._held.seen.__getitem__)
        if not caps.evicts or self._held.seen[oldest] >= seen:
            return reason
        self._let_go(oldest, reason, changes)
        return None

    def _clear(
        self, among: Iterable[Deadlines], is_full: Callable[[], bool], reason: str, changes: list[Change], seen: float
    ) -> str | None:
        """End the least recently seen claims of some lists until there is room; the reason, if there isn't."""
        looks = LOOKS_MAX
        while is_full():
            if not self.policies.caps.evicts or looks <= 0:
                return reason
            looks -= self._evict(among, reason, changes, seen)
        return None

    def _evict(self, among: Iterable[Deadlines], reason: str, changes: list[Change], seen: float = math.inf) -> int:
        """End the least recently seen claim of some lists, if it was before `seen`; how many looks that was worth."""
        oldest = [row for deadlines in among if (row := deadlines.oldest(LOOKS_MAX)) is not None]
        first = min(oldest, key=self._held.seen.__getitem__, default=NONE)
        if not first or self._held.seen[first] >= seen:
            return LOOKS_MAX
        self._let_go(first, reason, changes)
        return 1

    def _let_go(self, row: Row, reason: str, changes: list[Change]) -> None:
        held = self._held
        self.refusals.evict(reason, held.addresses[row], held.lists[row], held.names[row])
        self._end(row, reason, changes)

    # -- helpers

    def _merge_new(self, record: Claim, now: float, merged: Merged) -> bool:
        """Take a claim that is not held; whether it is now."""
        before = self.wanted(record.address)
        covered = self.forgotten.covers(record, now)
        added = NONE if covered else self._adopt(record, now, merged.changes)
        if not added:
            return False
        merged.news.append(self._held.copy(added))
        self._note(record.address, before, merged.changes)
        return True

    def _holds(self, list_name: str, address: Address) -> bool:
        return any(self._held.lists[row] == list_name for row in self._held.chain(self._routes.get(address)))

    def _rows(self, shard: int) -> Iterator[Row]:
        return (row for address in self.addresses(shard) for row in self._held.chain(self._routes.get(address)))

    def _wanted(self, address: Address, head: Row) -> Attributes | None:
        policies, held = self.policies, self._held
        if not head:
            return policies.statics.announced.get(address)
        if not held.next[head] and not policies.statics:
            policy = policies.by_list.get(held.lists[head])
            return None if policy is None else policy.ipv4 if len(address) == 4 else policy.ipv6
        return policies.wanted(address, [held.lists[row] for row in held.chain(head)])

    def _note(self, address: Address, before: Attributes | None, changes: list[Change]) -> None:
        after = self.wanted(address)
        if after is not before:
            changes.append(Change(address, after))

    def _record(self, row: Row) -> None:
        self._held.recorded[row] = self._held.seen[row]
        if self.recording:
            self._dirty.append(row)

    def _follow(self, row: Row, dns_ttl_s: int) -> None:
        """Take the lifetime of a claim from the record that was just seen."""
        list_name, before_s = self._held.lists[row], self._held.ttl_s[row]
        ttl_s = self.policies.by_list[list_name].lifetime_s(dns_ttl_s)
        if ttl_s != before_s:
            self._held.ttl_s[row] = ttl_s
            self._lists[list_name].hasten(row)
            if abs(ttl_s - before_s) > before_s * RECORD_SHARE:
                self._record(row)

    def _find(self, address: Address, list_name: str, name: Name) -> Row:
        held = self._held
        found = (
            row
            for row in held.chain(self._routes.get(address))
            if held.names[row] == name and held.lists[row] == list_name
        )
        return next(found, NONE)

    def _adopt(self, record: Claim, now: float, changes: list[Change]) -> Row:
        """Take a claim that was made before; gives its row if it is new."""
        policy = self._admit(record.address, record.list, record.name)
        if policy is None:
            return NONE
        held = self._held
        seen = min(record.seen, now)
        ttl_s = record.ttl_s if record.name == BY_HAND else policy.held_s(record.ttl_s)
        known = self._find(record.address, record.list, record.name)
        if known:
            held.first[known] = min(held.first[known], record.first)
            if seen >= held.seen[known]:
                held.ttl_s[known] = ttl_s if seen > held.seen[known] else min(ttl_s, held.ttl_s[known])
                held.seen[known] = held.recorded[known] = seen
                self._lists[record.list].hasten(known)
        elif seen + ttl_s > now and self._make_room(record.address, policy, record.name, changes, seen):
            began = min(record.first, seen)
            return self._add(record._replace(ttl_s=ttl_s, seen=seen, first=began), self._routes.get(record.address))
        return NONE

    def _revise(self, row: Row, lists: Sequence[str], now: float, changes: list[Change]) -> None:
        """Hold one claim against the lists that its name is on."""
        if not self._held.second[row]:
            return
        claim = self._held.copy(row)
        for list_name in lists:
            # one that had to make room for another is gone already, and its row may be the other's
            if self._find(claim.address, claim.list, claim.name) and not self._find(
                claim.address, list_name, claim.name
            ):
                added = self._adopt(claim._replace(list=list_name), now, changes)
                if added:
                    self._record(added)
        if not self._find(claim.address, claim.list, claim.name):
            return
        policy = self.policies.by_list.get(claim.list)
        reason = self.policies.refusal(claim.address, claim.list)
        if policy is None or claim.list not in lists or reason is not None:
            self._end(row, "list" if policy is None or claim.list not in lists else str(reason), changes)
            return
        ttl_s = claim.ttl_s if claim.name == BY_HAND else policy.held_s(claim.ttl_s)
        if claim.ttl_s != ttl_s:
            self._held.ttl_s[row] = ttl_s
            self._lists[claim.list].hasten(row)

    def _add(self, record: Claim, head: Row) -> Row:
        """Hang a new claim in front of the address's others; at their limit the least recently seen goes."""
        address, deadlines = record.address, self._lists[record.list]
        if not head:
            self._size += 1
            self.size_ipv6 += len(address) == 16
        elif self._held.next[head]:
            rows = list(self._held.chain(head))
            if len(rows) >= CLAIMS_PER_ROUTE:
                self._end(min(rows, key=self._held.seen.__getitem__), "crowded", [])
                head = self._routes[address]
        if not head or not self._holds(record.list, address):
            deadlines.routes += 1
            deadlines.routes_ipv6 += len(address) == 16
        row = self._held.add(record, head)
        self._routes[address] = row
        self._names.add(row)
        self.claims += 1
        deadlines.schedule(row)
        return row

    def _end(self, row: Row, reason: str, changes: list[Change]) -> None:
        """Take the claim out; its entry in a bucket is passed over when its second comes."""
        held = self._held
        address, list_name, following = held.addresses[row], held.lists[row], held.next[row]
        deadlines = self._lists[list_name]
        head = self._routes[address]
        before = self._wanted(address, head)
        deadlines.leave(row)
        self._names.discard(row)
        self.claims -= 1
        self.ended += 1
        self.past.end(reason, address, list_name, held.names[row])
        if head == row and not following:
            del self._routes[address]
            self._size -= 1
            self.size_ipv6 -= len(address) == 16
            gone = True
        else:
            if head == row:
                self._routes[address] = following
            else:
                previous = next(other for other in held.chain(head) if held.next[other] == row)
                held.next[previous] = following
            gone = not self._holds(list_name, address)
        if gone:
            deadlines.routes -= 1
            deadlines.routes_ipv6 -= len(address) == 16
        held.free(row)
        self._note(address, before, changes)
