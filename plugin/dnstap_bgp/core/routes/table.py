"""The route table: which addresses are claimed, by whom and until when.

Strategy: an address is a route while it has at least one live claim. A sighting makes or refreshes one claim and
touches nothing else; what must become of the prefix (these attributes, or none) is returned as a `Change`. That is
level-triggered: it states the wish of now, and the outbox compares it with what the host was told.

Sizes: a claim takes about 220 bytes with its key, and 1,000,000 routes take the plugin to about 400 MB. Claims of one
address hang in a chain (`next`), because nearly all addresses have one. Deadlines lie in buckets of one second for each
list; a refresh moves no entry. So observing is O(claims of the address), expiring is O(what is due), making room at a
cap looks at a bounded number of claims, and nothing ever scans the table.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from dnstap_bgp.core.model import Address, Attributes, Change, Claim, Name, Policy, Sighting
from dnstap_bgp.core.prefixmap import PrefixMap
from dnstap_bgp.core.routes.allowance import Allowance
from dnstap_bgp.core.routes.claims import Deadlines, HeldClaim, Names, chain, leave
from dnstap_bgp.core.routes.policies import Policies
from dnstap_bgp.core.routes.refusals import Refusals

CLAIMS_PER_ROUTE = 32
"""More names than this on one address add nothing to the decision; the least recently seen gives way."""

RECORD_SHARE = 1 / 20
"""A refresh is worth a record when the deadline moved by this part of the TTL: 72 min of the default 24 h."""

LOOKS_MAX = 64
"""Entries to look at when the least recently seen is wanted: 30 us. Where all of these were refreshed meanwhile, the
newcomer is refused, and the next one finds them out of the way."""


class RouteTable:
    """All claims, by address.

    Attributes:
        policies: What is asked for now.
        refusals: What could not become a claim, or not stay one.
        claims: How many live claims there are.
        ended: How many claims there were that are no more.
    """

    def __init__(self, policies: Policies, *, recording: bool = True) -> None:
        """Start empty.

        Args:
            policies: What the configuration asks for.
            recording: Whether somebody takes `dirty()` (there is a state file).
        """
        self.refusals = Refusals()
        self.claims = self.ended = 0
        self._routes: PrefixMap[HeldClaim] = PrefixMap()
        self._size = 0
        self._names = Names()
        self._lists: defaultdict[str, Deadlines] = defaultdict(Deadlines)
        self._dirty: list[HeldClaim] = []
        self._recording = recording
        self._allowance = Allowance()
        self.configure(policies)

    def __len__(self) -> int:
        """How many addresses are claimed."""
        return self._size

    def routes_of(self, list_name: str) -> int:
        """How many addresses a list's claims hold."""
        return self._lists[list_name].routes if list_name in self._lists else 0

    def configure(self, policies: Policies) -> None:
        """Take new policies for what comes; `revise` applies them to what is held."""
        self.policies = policies
        self._following = {name for name, policy in policies.by_list.items() if policy.dns_ttl is not None}

    # -- what is seen

    def observe(self, sightings: Iterable[Sighting], now: float) -> list[Change]:
        """Make or refresh the claim of each sighting; a refresh is no change."""
        changes: list[Change] = []
        shards = self._routes.shards
        following = self._following
        for address, list_name, name, dns_ttl_s in sightings:
            claim = head = shards[address[-1]].get(address)
            while claim is not None:
                if claim.name == name and claim.list == list_name:
                    claim.seen = now
                    if following and list_name in following:
                        self._follow(claim, dns_ttl_s)
                    if now - claim.recorded > claim.ttl_s * RECORD_SHARE:
                        self._record(claim)
                    break
                claim = claim.next
            else:
                policy = self._admit(address, list_name, name)
                if policy is None or (head is None and not self._may_begin(address, list_name, name, now)):
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
        for record in claims:
            self._adopt(record, now, [])

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
        for held in self._lists.values():
            ended, at_most = held.due(now, at_most)
            for claim in ended:
                self._end(claim, changes)
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
        held = list(self._routes.shards[shard].items())
        for claim in [claim for _, head in held for claim in chain(head)]:
            found = lists.get(claim.name, (claim.list,))
            self._revise(claim, (*found, claim.list) if claim.list in unknown else found, now, changes)
        addresses = dict.fromkeys([change.prefix for change in changes] + [address for address, _ in held])
        return [Change(address, self.wanted(address)) for address in addresses]

    def trim(self, at_most: int) -> tuple[list[Change], bool]:
        """End the least recently seen claims until no list and not all together are over a cap that was lowered.

        Args:
            at_most: How many claims to end or to look at.

        Returns:
            The changes, and whether it has to go on.
        """
        changes: list[Change] = []
        for list_name, held in self._lists.items():
            policy = self.policies.by_list.get(list_name)
            cap = policy.routes_max if policy is not None else None
            while cap is not None and held.routes > cap:
                if at_most <= 0:
                    return changes, True
                at_most -= self._evict([held], "list-routes", changes)
        while self._size > self.policies.caps.routes_max:
            if at_most <= 0:
                return changes, True
            at_most -= self._evict(self._lists.values(), "routes", changes)
        return changes, False

    # -- what is held

    def wanted(self, address: Address) -> Attributes | None:
        """The attributes with which the address should be announced, or None."""
        return self._wanted(address, self._routes.get(address))

    def claims_of(self, address: Address) -> list[Claim]:
        """Copies of the address's live claims."""
        return [claim.copy() for claim in chain(self._routes.get(address))]

    def names(self, shard: int) -> set[Name]:
        """The names that hold claims in one shard."""
        return {claim.name for head in self._routes.shards[shard].values() for claim in chain(head)}

    def addresses(self, shard: int) -> list[Address]:
        """The addresses of one shard, for a walk."""
        return list(self._routes.shards[shard])

    def changes(self, shard: int) -> list[Change]:
        """The wish for every address of one shard."""
        return [Change(address, self._wanted(address, head)) for address, head in self._routes.shards[shard].items()]

    def dirty(self) -> list[Claim]:
        """Copies of the claims that are new, or whose deadline moved far enough, since the last call."""
        dirty, self._dirty = self._dirty, []
        return [claim.copy() for claim in dirty]

    def unrecorded(self, shard: int) -> list[Claim]:
        """The claims of one shard that were seen after their last record: for the last save of a process."""
        return [
            claim.copy()
            for head in self._routes.shards[shard].values()
            for claim in chain(head)
            if claim.seen > claim.recorded
        ]

    # -- who may come in

    def _admit(self, address: Address, list_name: str, name: Name) -> Policy | None:
        """The policy for a claim, or None where it is refused (and counted)."""
        reason = self.policies.refusal(address, list_name)
        if reason is not None:
            self.refusals.refuse(reason, address, list_name, name)
            return None
        return self.policies.by_list[list_name]

    def _may_begin(self, address: Address, list_name: str, name: Name, now: float) -> bool:
        """Whether a new address may come so soon after others."""
        rate = self.policies.caps.new_routes_per_s
        if rate is None or self._allowance.take(rate, now):
            return True
        self.refusals.refuse("rate", address, list_name, name)
        return False

    def _make_room(self, address: Address, policy: Policy, name: Name, changes: list[Change]) -> bool:
        """See that one more claim keeps within all caps; if it can't, it is refused and counted."""
        most, list_name = self.policies.caps.routes_max, policy.list
        reason = self._make_room_for_name(list_name, name, changes)
        if reason is None and policy.routes_max is not None and not self._holds(list_name, address):
            held, list_most = self._lists[list_name], policy.routes_max
            reason = self._clear([held], lambda: held.routes >= list_most, "list-routes", changes)
        if reason is None and self._size >= most and address not in self._routes:
            reason = self._clear(self._lists.values(), lambda: self._size >= most, "routes", changes)
        if reason is not None:
            self.refusals.refuse(reason, address, list_name, name)
        return reason is None

    def _make_room_for_name(self, list_name: str, name: Name, changes: list[Change]) -> str | None:
        caps, reason = self.policies.caps, "name-routes"
        of_name = self._names.of(list_name, name, caps.name_routes_max)
        if len(of_name) < caps.name_routes_max:
            return None
        if not caps.evicts:
            return reason
        self._let_go(min(of_name, key=lambda claim: claim.seen), reason, changes)
        return None

    def _clear(
        self, among: Iterable[Deadlines], is_full: Callable[[], bool], reason: str, changes: list[Change]
    ) -> str | None:
        """End the least recently seen claims of some lists until there is room; the reason, if there isn't."""
        looks = LOOKS_MAX
        while is_full():
            if not self.policies.caps.evicts or looks <= 0:
                return reason
            looks -= self._evict(among, reason, changes)
        return None

    def _evict(self, among: Iterable[Deadlines], reason: str, changes: list[Change]) -> int:
        """End the least recently seen claim of some lists; returns how many looks that was worth."""
        oldest = [claim for held in among if (claim := held.oldest(LOOKS_MAX)) is not None]
        if not oldest:
            return LOOKS_MAX
        self._let_go(min(oldest, key=lambda claim: claim.seen), reason, changes)
        return 1

    def _let_go(self, claim: HeldClaim, reason: str, changes: list[Change]) -> None:
        self.refusals.evict(reason, claim.address, claim.list, claim.name)
        self._end(claim, changes)

    # -- helpers

    def _holds(self, list_name: str, address: Address) -> bool:
        return any(claim.list == list_name for claim in chain(self._routes.get(address)))

    def _wanted(self, address: Address, head: HeldClaim | None) -> Attributes | None:
        policies = self.policies
        if head is None:
            return policies.statics.announced.get(address)
        if head.next is None and not policies.statics:
            policy = policies.by_list.get(head.list)
            return None if policy is None else policy.ipv4 if len(address) == 4 else policy.ipv6
        return policies.wanted(address, [claim.list for claim in chain(head)])

    def _note(self, address: Address, before: Attributes | None, changes: list[Change]) -> None:
        after = self.wanted(address)
        if after is not before:
            changes.append(Change(address, after))

    def _record(self, claim: HeldClaim) -> None:
        claim.recorded = claim.seen
        if self._recording:
            self._dirty.append(claim)

    def _follow(self, claim: HeldClaim, dns_ttl_s: int) -> None:
        """Take the lifetime of a claim from the record that was just seen."""
        ttl_s = self.policies.by_list[claim.list].lifetime_s(dns_ttl_s)
        if ttl_s != claim.ttl_s:
            is_news = abs(ttl_s - claim.ttl_s) > claim.ttl_s * RECORD_SHARE
            claim.ttl_s = ttl_s
            self._lists[claim.list].hasten(claim)
            if is_news:
                self._record(claim)

    def _find(self, address: Address, list_name: str, name: Name) -> HeldClaim | None:
        claim = self._routes.get(address)
        while claim is not None and not (claim.name == name and claim.list == list_name):
            claim = claim.next
        return claim

    def _adopt(self, record: Claim, now: float, changes: list[Change]) -> HeldClaim | None:
        """Take a claim that was made before; gives it back if it is new."""
        policy = self._admit(record.address, record.list, record.name)
        if policy is None:
            return None
        seen, ttl_s = min(record.seen, now), policy.held_s(record.ttl_s)
        known = self._find(record.address, record.list, record.name)
        if known is not None:
            known.first = min(known.first, record.first)
            if seen >= known.seen:
                known.ttl_s = ttl_s if seen > known.seen else min(ttl_s, known.ttl_s)
                known.seen = known.recorded = seen
                self._lists[known.list].hasten(known)
        elif seen + ttl_s > now and self._make_room(record.address, policy, record.name, changes):
            return self._add(record._replace(ttl_s=ttl_s, seen=seen), self._routes.get(record.address))
        return None

    def _revise(self, claim: HeldClaim, lists: Sequence[str], now: float, changes: list[Change]) -> None:
        """Hold one claim against the lists that its name is on."""
        for list_name in lists:
            # one that had to make room for another is gone already
            if claim.bucket is not None and self._find(claim.address, list_name, claim.name) is None:
                added = self._adopt(claim.copy()._replace(list=list_name), now, changes)
                if added is not None:
                    self._record(added)
        if claim.bucket is None:
            return
        policy = self.policies.by_list.get(claim.list)
        if policy is None or claim.list not in lists or self.policies.refusal(claim.address, claim.list) is not None:
            self._end(claim, changes)
            return
        ttl_s = policy.held_s(claim.ttl_s)
        if claim.ttl_s != ttl_s:
            claim.ttl_s = ttl_s
            self._lists[claim.list].hasten(claim)

    def _add(self, record: Claim, head: HeldClaim | None) -> HeldClaim:
        """Hang a new claim in front of the address's others; at their limit the least recently seen goes."""
        held = self._lists[record.list]
        if head is None:
            self._size += 1
        elif head.next is not None:
            claims = list(chain(head))
            if len(claims) >= CLAIMS_PER_ROUTE:
                self._end(min(claims, key=lambda old: old.seen), [])
                head = self._routes[record.address]
        if head is None or not self._holds(record.list, record.address):
            held.routes += 1
        claim = HeldClaim(record, head)
        self._routes[record.address] = claim
        self._names.add(claim)
        self.claims += 1
        held.schedule(claim)
        return claim

    def _end(self, claim: HeldClaim, changes: list[Change]) -> None:
        """Take the claim out; its entry in a bucket is passed over when its second comes."""
        address = claim.address
        head = self._routes[address]
        before = self._wanted(address, head)
        leave(claim)
        self._names.discard(claim)
        self.claims -= 1
        self.ended += 1
        if head is claim and claim.next is None:
            del self._routes[address]
            self._size -= 1
            self._lists[claim.list].routes -= 1
        else:
            if head is claim and claim.next is not None:
                self._routes[address] = claim.next
            else:
                previous = next(other for other in chain(head) if other.next is claim)
                previous.next = claim.next
            claim.next = None
            self._lists[claim.list].routes -= not self._holds(claim.list, address)
        self._note(address, before, changes)
