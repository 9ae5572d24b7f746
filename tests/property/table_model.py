"""The route table by its plainest definition: a dict of claims that is looked through from end to end each time.

What must end for a newcomer is not always one thing: of two claims that are alike either may go. So the model says what
may, looks at what did, and goes on from there.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dnstap_bgp.core.model import BY_HAND, Attributes, Claim
from dnstap_bgp.core.routes.policy import Caps, Policies
from dnstap_bgp.core.routes.table import RECORD_SHARE

Key = tuple[bytes, str, bytes]
"""(address, list, name) of a claim."""
CLAIMS_PER_ADDRESS = 3
"""In place of `CLAIMS_PER_ROUTE`."""


def owner_of(list_name: str, name: bytes) -> bytes:
    """The owner of a name: its last label, in any list."""
    del list_name
    return name.rpartition(b".")[2]


@dataclass
class Held:
    """A live claim."""

    seen: float
    first: float
    ttl_s: float
    recorded: float


@dataclass
class Newcomer:
    """A claim that is to begin, and what nobody may be seen later than who gives way to it."""

    key: Key
    held: Held
    limit: float = math.inf


@dataclass
class TableModel:
    """The claims, and what was counted.

    Attributes:
        policies: In force.
        claims: By their keys.
        refused: Counts by reason.
        evicted: Counts by cap.
        ended: How many ended.
        dirty: What was recorded and not taken since.
        sees_all: The table is so small that the one with the most claims of all addresses is found.
    """

    policies: Policies
    claims: dict[Key, Held] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    evicted: Counter[str] = field(default_factory=Counter)
    ended: int = 0
    dirty: set[Key] = field(default_factory=set)
    sees_all: bool = True

    @property
    def caps(self) -> Caps:
        return self.policies.caps

    # -- what is asked of it

    def wanted(self, address: bytes) -> Attributes | None:
        """What the first list that claims the address says."""
        lists = {key[1] for key in self.claims if key[0] == address}
        first = next((policy for name, policy in self.policies.by_list.items() if name in lists), None)
        return first.attributes(address) if first is not None else None

    def addresses(self, list_name: str | None = None, owner: tuple[str, bytes] | None = None) -> set[bytes]:
        """The addresses that are claimed: by a list, or by an owner in a list."""
        return {key[0] for key in self.claims if list_name in (None, key[1]) and owner in (None, self.owner(key))}

    @staticmethod
    def owner(key: Key) -> tuple[str, bytes]:
        return key[1], BY_HAND if key[2] == BY_HAND else owner_of(key[1], key[2])

    def held_of(self, key: Key) -> int:
        """How many addresses the owner of a claim holds."""
        return len(self.addresses(owner=self.owner(key)))

    # -- what happens to it

    def end(self, key: Key) -> None:
        del self.claims[key]
        self.dirty.discard(key)
        self.ended += 1

    def end_all(self, is_meant: Callable[[Key], bool]) -> None:
        for key in filter(is_meant, list(self.claims)):
            self.end(key)

    def record(self, key: Key) -> None:
        self.claims[key].recorded = self.claims[key].seen
        self.dirty.add(key)

    def begin(self, newcomer: Newcomer, gone: set[Key], *, was_held: bool = False, counts: bool = True) -> bool:
        """Begin a claim, unless something refuses it.

        Args:
            newcomer: The claim.
            gone: What is no more in the table under test.
            was_held: The cap of its rule doesn't count.
            counts: It is counted where its own address has no place for it.
        """
        address, _, name = newcomer.key
        of_address = [key for key in self.claims if key[0] == address]
        if len(of_address) >= CLAIMS_PER_ADDRESS and not self.crowding(newcomer, newcomer.limit):
            self.refused["crowded"] += counts
            return False
        never_gives_way = name == BY_HAND and was_held
        while not never_gives_way and (cap := self.full(newcomer.key, was_held=was_held)) is not None:
            allowed = list(self.victims(cap, newcomer))
            chosen = next((victims for victims in allowed if victims and victims <= gone), None)
            if chosen is None:
                assert not allowed or set() in allowed, f"{cap}: one of {allowed} has to go for {newcomer}, not {gone}"
                if cap == "claims" and address not in self.addresses():
                    break
                self.refused[cap] += 1
                return False
            self.evicted[cap] += len(chosen)
            for key in chosen:
                self.end(key)
        if sum(key[0] == address for key in self.claims) >= CLAIMS_PER_ADDRESS:
            crowding = self.crowding(newcomer, math.inf)
            assert gone.intersection(crowding), f"one of {crowding} has to go from the address of {newcomer}"
            self.end(next(key for key in crowding if key in gone))
        self.claims[newcomer.key] = newcomer.held
        return True

    def full(self, key: Key, *, was_held: bool) -> str | None:
        """The narrowest cap that one more claim would break."""
        address, list_name, name = key
        if name != BY_HAND:
            of_name = sum(one[1:] == key[1:] for one in self.claims)
            if of_name >= self.caps.name_routes_max:
                return "name-routes"
            of_owner = self.addresses(owner=self.owner(key))
            if address not in of_owner and len(of_owner) >= self.caps.rule_routes_max and not was_held:
                return "rule-routes"
        of_list, most = self.addresses(list_name), self.policies.by_list[list_name].routes_max
        if most is not None and address not in of_list and len(of_list) >= most:
            return "list-routes"
        every = self.addresses()
        if address not in every and len(every) >= self.caps.routes_max:
            return "routes"
        return "claims" if len(self.claims) > len(every) and len(self.claims) >= self.caps.claims_max else None

    def victims(self, cap: str, newcomer: Newcomer) -> Iterator[set[Key]]:
        """Each set of claims that may give way at a cap."""
        list_name, name = newcomer.key[1:]
        if cap == "claims":
            yield from self._surplus(newcomer)
        elif cap == "name-routes" and self.caps.evicts:
            of_name = [key for key in self.claims if key[1:] == (list_name, name)]
            oldest = min(of_name, key=lambda key: self.claims[key].seen)
            if self.claims[oldest].seen < newcomer.limit:
                yield {oldest}
        elif cap != "rule-routes" and self.caps.evicts:
            yield from self._of_largest_owner(newcomer, list_name if cap == "list-routes" else None)

    def _surplus(self, newcomer: Newcomer) -> Iterator[set[Key]]:
        """Of the address with the most claims one that may go, the newcomer's own before others; never the last."""
        chains: dict[bytes, list[Key]] = {}
        for key in self.claims:
            chains.setdefault(key[0], []).append(key)
        counted = [
            (len(chain), address == newcomer.key[0], address)
            for address, chain in chains.items()
            if address == newcomer.key[0] or any(key[2] != BY_HAND for key in chain)
        ]
        longest = max(counted, default=(0, False, b""))
        for length, is_own, address in counted if longest[0] > 1 else ():
            if (length, is_own) == longest[:2] or (length > 1 and not self.sees_all):
                found = self.crowding(newcomer, newcomer.limit, address)
                yield set(found[:1])

    def _of_largest_owner(self, newcomer: Newcomer, list_name: str | None) -> Iterator[set[Key]]:
        candidates = [key for key in self.claims if key[2] != BY_HAND and list_name in (None, key[1])]
        if candidates and self.held_of(newcomer.key) >= max(map(self.held_of, candidates)):
            own = [key for key in candidates if self.owner(key) == self.owner(newcomer.key)]
            found = self._first_to_go(own, list_name, newcomer.limit)
            if found:
                yield found
                return
        fullest = [list_name] if list_name is not None else []
        if list_name is None:
            above = {name: self._above_its_share(name) for name in {key[1] for key in self.claims}}
            fullest = [name for name, much in above.items() if much == max(above.values())]
        for name in fullest:
            of_list = [key for key in candidates if key[1] == name]
            found = self._first_to_go(of_list, list_name, newcomer.limit)
            found = found or (self._first_to_go(candidates, None, newcomer.limit) if list_name is None else set())
            if found:
                yield found

    def _above_its_share(self, list_name: str) -> int:
        equal = self.caps.routes_max // len(self.policies.by_list)
        policy = self.policies.by_list[list_name]
        return len(self.addresses(list_name)) - min(equal, policy.routes_max or equal)

    def _first_to_go(self, keys: list[Key], list_name: str | None, limit: float) -> set[Key]:
        """Of the addresses the strongest owner's: an address is as strong as the smallest owner that would lose it."""
        best: tuple[int, int, float] | None = None
        chosen: set[Key] = set()
        for key in keys:
            losing = {one for one in self.claims if one[0] == key[0] and list_name in (None, one[1])}
            if any(one[2] == BY_HAND or self.claims[one].seen >= limit for one in losing):
                continue
            rank = min(map(self.held_of, losing)), self.held_of(key), -self.claims[key].seen
            if best is None or rank > best:
                best, chosen = rank, losing
        return chosen

    def crowding(self, newcomer: Newcomer, limit: float, address: bytes | None = None) -> list[Key]:
        """The claim of an address that gives way to one more there; of some that are alike each."""
        address = newcomer.key[0] if address is None else address
        there = [key for key in self.claims if key[0] == address and key[2] != BY_HAND]
        if not there:
            return []
        is_counted = address == newcomer.key[0] and newcomer.key[2] != BY_HAND
        counted = [*there, newcomer.key] if is_counted else there
        owners, lists = Counter(map(self.owner, counted)), Counter(key[1] for key in counted)
        most = max(owners[self.owner(key)] for key in there)
        there = [key for key in there if owners[self.owner(key)] == most]
        most = max(lists[key[1]] for key in there)
        there = [key for key in there if lists[key[1]] == most]
        oldest = min(self.claims[key].seen for key in there)
        return [key for key in there if self.claims[key].seen == oldest < limit]

    # -- the ways in and out

    def observe(self, key: Key, dns_ttl_s: int, now: float, gone: set[Key]) -> None:
        policy = self.policies.by_list.get(key[1])
        held = self.claims.get(key)
        if held is not None and policy is not None:
            held.seen = now
            if policy.dns_ttl is not None:
                before_s, held.ttl_s = held.ttl_s, policy.lifetime_s(dns_ttl_s)
                if abs(held.ttl_s - before_s) > before_s * RECORD_SHARE:
                    self.record(key)
            if now - held.recorded > held.ttl_s * RECORD_SHARE:
                self.record(key)
        elif self._may(key) and policy is not None:
            newcomer = Newcomer(key, Held(now, now, policy.lifetime_s(dns_ttl_s), now))
            if self.begin(newcomer, gone):
                self.record(key)

    def _may(self, key: Key) -> bool:
        reason = self.policies.refusal(key[0], key[1])
        if reason is not None:
            self.refused[reason] += 1
        return reason is None

    def take(self, claim: Claim, now: float, gone: set[Key], *, was_held: bool) -> bool:
        """Take a claim of a file or a peer; tells whether it is new."""
        key = claim[:3]
        if not self._may(key):
            return False
        policy = self.policies.by_list[claim.list]
        seen = min(claim.seen, now)
        ttl_s = claim.ttl_s if claim.name == BY_HAND else policy.held_s(claim.ttl_s)
        held = self.claims.get(key)
        if held is not None:
            held.first = min(held.first, claim.first)
            if seen >= held.seen:
                held.ttl_s = ttl_s if seen > held.seen else min(ttl_s, held.ttl_s)
                held.seen = held.recorded = seen
            return False
        if seen + ttl_s <= now:
            return False
        limit = math.inf if claim.name == BY_HAND else seen
        newcomer = Newcomer(key, Held(seen, min(claim.first, seen), ttl_s, seen), limit)
        return self.begin(newcomer, gone, was_held=was_held, counts=limit == math.inf)

    def merge(self, claim: Claim, now: float, tolerance_s: float, gone: set[Key]) -> bool:
        """Take a claim of a peer; tells whether it is news."""
        held = self.claims.get(claim[:3])
        if held is None:
            return self.take(claim, now, gone, was_held=False)
        if min(claim.seen, now) <= held.seen + tolerance_s:
            return False
        held.seen = held.recorded = min(claim.seen, now)
        policy = self.policies.by_list[claim.list]
        if claim.ttl_s and policy.dns_ttl is not None:
            held.ttl_s = policy.held_s(claim.ttl_s)
        return True

    def add(self, claim: Claim, now: float, gone: set[Key]) -> str | None:
        """Take what a person adds; gives why not."""
        key = claim[:3]
        reason = self.policies.refusal(key[0], key[1])
        if reason is not None:
            return reason
        if key in self.claims:
            self.claims[key].seen, self.claims[key].ttl_s = now, claim.ttl_s
        elif not self.begin(Newcomer(key, Held(now, now, claim.ttl_s, now)), gone):
            return "full"
        self.record(key)
        return None

    def expire(self, now: float) -> None:
        for key, held in list(self.claims.items()):
            if held.seen + held.ttl_s <= now:
                self.end(key)
