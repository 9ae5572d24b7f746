"""The route table: which addresses are claimed, by whom and until when.

Strategy: an address is a route while it has at least one live claim. A sighting makes or refreshes one claim and
touches nothing else; what must become of the prefix (these attributes, or none) is returned as a `Change`. That is
level-triggered: it states the wish of now, and the outbox compares it with what the host was told.

Sizes: a claim takes about 220 bytes with its key, and 1,000,000 routes take the plugin to about 400 MB. Claims of one
address hang in a chain (`next`), because nearly all addresses have one. Deadlines lie in buckets of one second; a
refresh moves no entry: a claim found in a due bucket whose deadline has moved is put into the later one. So observing
is O(claims of the address), expiring is O(what is due), and nothing ever scans the table.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dnstap_bgp.core.guard import Guard
from dnstap_bgp.core.model import Address, Attributes, Change, Claim, Name, Policy, Sighting
from dnstap_bgp.core.prefixmap import PrefixMap

CLAIMS_PER_ROUTE = 32
"""More names than this on one address add nothing to the decision; the least recently seen gives way."""

ROUTES_MAX = 1_000_000
"""What one core and 400 MB carry; a router's table ends earlier. At the limit newcomers are refused and counted."""

RECORD_SHARE = 1 / 20
"""A refresh is worth a record when the deadline moved by this part of the TTL: 72 min of the default 24 h."""


class _Bucket:
    """The claims to look at when the process clock reaches `second`."""

    __slots__ = ("claims", "second")

    def __init__(self, second: int) -> None:
        self.second = second
        self.claims: list[_Claim] = []


class _Claim:
    """One (list, name) on one address; `bucket` is the only bucket in which it counts (None: it is gone)."""

    __slots__ = ("address", "bucket", "first", "list", "name", "next", "recorded", "seen", "ttl_s")

    def __init__(self, claim: Claim, following: "_Claim | None") -> None:
        self.address, self.list, self.name, self.seen, self.first, self.ttl_s = claim
        self.recorded = self.seen
        self.bucket: _Bucket | None = None
        self.next = following

    def copy(self) -> Claim:
        return Claim(self.address, self.list, self.name, self.seen, self.first, self.ttl_s)


class RouteTable:
    """All claims, by address.

    Attributes:
        refused: How many sightings could not become a claim, by reason (`Guard.refusal`'s words, `family`, `routes`).
        claims: How many live claims there are.
    """

    def __init__(
        self, policies: Sequence[Policy], guard: Guard, *, routes_max: int = ROUTES_MAX, recording: bool = True
    ) -> None:
        """Start empty.

        Args:
            policies: The lists in the file's order: of several that claim an address, the first decides.
            guard: Which addresses may never be routes.
            routes_max: The most addresses to hold.
            recording: Whether somebody takes `dirty()` (there is a state file).
        """
        self._routes: PrefixMap[_Claim] = PrefixMap()
        self._size = 0
        self._buckets: dict[int, _Bucket] = {}
        self._seconds: list[int] = []  # heap of the buckets' seconds
        self._dirty: list[_Claim] = []
        self._recording = recording
        self._routes_max = routes_max
        self.refused: Counter[str] = Counter()
        self.claims = 0
        self.configure(policies, guard)

    def __len__(self) -> int:
        """How many addresses are claimed."""
        return self._size

    def configure(self, policies: Sequence[Policy], guard: Guard) -> None:
        """Take new lists and a new guard for what comes; `revise` applies them to what is held."""
        self._policies = {policy.list: (order, policy) for order, policy in enumerate(policies)}
        self._guard = guard

    # -- what is seen

    def observe(self, sightings: Iterable[Sighting], now: float) -> list[Change]:
        """Make or refresh the claim of each sighting; a refresh is no change."""
        changes: list[Change] = []
        shards = self._routes.shards
        for address, list_name, name, _dns_ttl_s in sightings:
            claim = head = shards[address[-1]].get(address)
            while claim is not None:
                if claim.name == name and claim.list == list_name:
                    claim.seen = now
                    if now - claim.recorded > claim.ttl_s * RECORD_SHARE:
                        self._record(claim)
                    break
                claim = claim.next
            else:
                policy = self._admit(address, list_name)
                if policy is not None:
                    before = self._wanted(head)
                    self._record(self._add(Claim(address, list_name, name, now, now, policy.ttl_s), head))
                    self._note(address, before, changes)
        return changes

    def adopt(self, claims: Iterable[Claim], now: float) -> None:
        """Take claims from the state file; of one that is held, the later sighting counts.

        What has no policy any more, is past its deadline or is refused by the guard, is left out. The wishes that
        follow from it are those of `changes`, once all is adopted.
        """
        for record in claims:
            policy = self._admit(record.address, record.list)
            if policy is None:
                continue
            head = self._routes.get(record.address)
            known = self._find(head, record) if head is not None else None
            seen = min(record.seen, now)
            if known is not None:
                known.first = min(known.first, record.first)
                if seen > known.seen:
                    known.seen = known.recorded = seen
            elif seen + policy.ttl_s > now:
                self._add(record._replace(ttl_s=policy.ttl_s, seen=seen), head)

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
        while self._seconds and self._seconds[0] <= now:
            bucket = self._buckets[self._seconds[0]]
            while bucket.claims:
                if at_most <= 0:
                    return changes, True
                at_most -= 1
                claim = bucket.claims.pop()
                if claim.bucket is not bucket:
                    continue
                if claim.seen + claim.ttl_s > now:
                    self._schedule(claim)
                else:
                    self._end(claim, changes)
            del self._buckets[heapq.heappop(self._seconds)]
        return changes, False

    def revise(self, shard: int, lists: Mapping[Name, Sequence[str]]) -> list[Change]:
        """Hold one shard against the lists, policies and guard of now.

        Args:
            shard: 0..255, see `PrefixMap`.
            lists: For each name of `names(shard)` the lists that match it now. A name that isn't there came after
                and was matched by the new lists already.

        Returns:
            The wish for every address that the shard held, changed or not: the outbox knows what was told.
        """
        changes: list[Change] = []
        for address, head in list(self._routes.shards[shard].items()):
            refused = self._guard.refusal(address) is not None
            for claim in list(_chain(head)):
                policy = self._policy(address, claim.list)
                if refused or policy is None or claim.list not in lists.get(claim.name, (claim.list,)):
                    self._end(claim, [])
                elif claim.ttl_s != policy.ttl_s:
                    claim.ttl_s = policy.ttl_s
                    self._schedule(claim)
            changes.append(Change(address, self.wanted(address)))
        return changes

    # -- what is held

    def wanted(self, address: Address) -> Attributes | None:
        """The attributes with which the address should be announced, or None."""
        return self._wanted(self._routes.get(address))

    def claims_of(self, address: Address) -> list[Claim]:
        """Copies of the address's live claims."""
        return [claim.copy() for claim in _chain(self._routes.get(address))]

    def names(self, shard: int) -> set[Name]:
        """The names that hold claims in one shard."""
        return {claim.name for head in self._routes.shards[shard].values() for claim in _chain(head)}

    def addresses(self, shard: int) -> list[Address]:
        """The addresses of one shard, for a walk."""
        return list(self._routes.shards[shard])

    def changes(self, shard: int) -> list[Change]:
        """The wish for every address of one shard."""
        return [Change(address, self._wanted(head)) for address, head in self._routes.shards[shard].items()]

    def dirty(self) -> list[Claim]:
        """Copies of the claims that are new, or whose deadline moved far enough, since the last call."""
        dirty, self._dirty = self._dirty, []
        return [claim.copy() for claim in dirty]

    def unrecorded(self, shard: int) -> list[Claim]:
        """The claims of one shard that were seen after their last record: for the last save of a process."""
        return [
            claim.copy()
            for head in self._routes.shards[shard].values()
            for claim in _chain(head)
            if claim.seen > claim.recorded
        ]

    # -- helpers

    def _policy(self, address: Address, list_name: str) -> Policy | None:
        """The list's policy if it announces this address's family."""
        known = self._policies.get(list_name)
        if known is None or (known[1].ipv4 if len(address) == 4 else known[1].ipv6) is None:
            return None
        return known[1]

    def _admit(self, address: Address, list_name: str) -> Policy | None:
        """The policy for a claim, or None where it is refused (and counted)."""
        policy = self._policy(address, list_name)
        reason = "family" if policy is None else self._guard.refusal(address)
        if reason is None and self._size >= self._routes_max and address not in self._routes:
            reason = "routes"
        if reason is not None:
            self.refused[reason] += 1
            return None
        return policy

    def _wanted(self, head: _Claim | None) -> Attributes | None:
        if head is None:
            return None
        _, policy = self._policies.get(head.list, _NOBODY)
        if head.next is not None:
            claims = _chain(head)
            _, policy = min((self._policies.get(claim.list, _NOBODY) for claim in claims), key=lambda known: known[0])
        return policy.ipv4 if len(head.address) == 4 else policy.ipv6

    def _note(self, address: Address, before: Attributes | None, changes: list[Change]) -> None:
        after = self.wanted(address)
        if after is not before:
            changes.append(Change(address, after))

    def _record(self, claim: _Claim) -> None:
        claim.recorded = claim.seen
        if self._recording:
            self._dirty.append(claim)

    @staticmethod
    def _find(head: _Claim | None, like: Claim) -> _Claim | None:
        for claim in _chain(head):
            if claim.name == like.name and claim.list == like.list:
                return claim
        return None

    def _add(self, record: Claim, head: _Claim | None) -> _Claim:
        """Hang a new claim in front of the address's others, or in the place of the least recently seen."""
        if head is None:
            self._size += 1
        elif head.next is not None:
            chain = list(_chain(head))
            if len(chain) >= CLAIMS_PER_ROUTE:
                return self._recycle(min(chain, key=lambda old: old.seen), record)
        claim = _Claim(record, head)
        self._routes[record.address] = claim
        self.claims += 1
        self._schedule(claim)
        return claim

    def _recycle(self, claim: _Claim, record: Claim) -> _Claim:
        """Put a new claim in an old one's place, bucket and all: a flood of names must not leave spent entries."""
        _, claim.list, claim.name, claim.seen, claim.first, claim.ttl_s = record
        if claim.bucket is None or claim.bucket.second > record.seen + record.ttl_s + 1:
            self._schedule(claim)
        return claim

    def _schedule(self, claim: _Claim) -> None:
        """Put the claim into the bucket of the first whole second after its deadline."""
        second = int(claim.seen + claim.ttl_s) + 1
        bucket = self._buckets.get(second)
        if bucket is None:
            bucket = self._buckets[second] = _Bucket(second)
            heapq.heappush(self._seconds, second)
        bucket.claims.append(claim)
        claim.bucket = bucket

    def _end(self, claim: _Claim, changes: list[Change]) -> None:
        """Take the claim out; its entry in a bucket is passed over when its second comes."""
        address = claim.address
        head = self._routes[address]
        before = self._wanted(head)
        if head is not claim:
            previous = next(other for other in _chain(head) if other.next is claim)
            previous.next = claim.next
        elif claim.next is not None:
            self._routes[address] = claim.next
        else:
            del self._routes[address]
            self._size -= 1
        claim.bucket = claim.next = None
        self.claims -= 1
        self._note(address, before, changes)


_NOBODY = (1 << 30, Policy(list="", ipv4=None, ipv6=None, ttl_s=0.0))
"""The order and policy of a list that is configured no more: behind all others."""


def _chain(head: _Claim | None) -> Iterator[_Claim]:
    while head is not None:
        following = head.next
        yield head
        head = following
