"""The keeper: one lock around the route table and the outbox; no thread of its own.

Order matters between what the table decides and what the outbox hands on, so both change under the same lock. Nothing
that blocks or takes long is done while holding it: walks go shard by shard, expiry in bounded steps, names are matched
outside.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from dnstap_bgp.core.domains import RuleSet
from dnstap_bgp.core.guard import Guard
from dnstap_bgp.core.model import Attributes, Change, Claim, Policy, Prefix, Sighting
from dnstap_bgp.core.outbox import Outbox
from dnstap_bgp.core.prefixmap import SHARDS
from dnstap_bgp.core.routes import RouteTable
from dnstap_bgp.workers.clocks import process_clock

logger = logging.getLogger(__name__)

EXPIRE_AT_ONCE = 2_000
"""Claims that one hold of the lock looks at: about 2 ms."""


COPY_AT_ONCE = 500
"""Addresses that one hold of the lock copies: about 0.5 ms."""


class Keeper:
    """What the tap, the timer, the BGP writer and the main thread share.

    Attributes:
        lock: Guards table and outbox.
        work: Condition on `lock`: the outbox has something new.
        rules: The rule set by which sightings are valid now.
    """

    def __init__(self, table: RouteTable, outbox: Outbox, rules: RuleSet) -> None:
        self.lock = threading.Lock()
        self.work = threading.Condition(self.lock)
        self.table = table
        self.outbox = outbox
        self.rules = rules
        # while a state file is read: equal addresses, names and times become one object, for 80 bytes less a route
        self._same: dict[Any, Any] = {}

    def observe(self, sightings: Sequence[Sighting], rules: RuleSet) -> None:
        """Take the sightings of one chunk.

        Args:
            sightings: At least one.
            rules: The rule set that matched them. While a reload is under way it may be the old one: then each
                sighting is held against the new one, lest a removed domain come back for a TTL.
        """
        now = process_clock()
        with self.lock:
            if rules is not self.rules:
                sightings = [seen for seen in sightings if seen[1] in self.rules.lists(seen[2])]
            self._put(self.table.observe(sightings, now))

    def expire(self) -> None:
        """End what is due, in steps that let the others have the lock between."""
        more = True
        while more:
            with self.lock:
                changes, more = self.table.expire(process_clock(), EXPIRE_AT_ONCE)
                self._put(changes, bulk=more)

    # -- restore and reload

    def adopt(self, claims: Sequence[Claim], *, listed: bool = True) -> None:
        """Take claims from the state file; what becomes of their routes is settled by `resync`.

        Args:
            claims: Any number.
            listed: Only as far as the rules of now still match them; False: there are no rules to ask yet.
        """
        rules = self.rules
        if listed:
            claims = [claim for claim in claims if claim.list in rules.lists(claim.name)]
        same = self._same.setdefault
        claims = [
            Claim(same(address, address), list_name, same(name, name), same(seen, seen), same(first, first), ttl_s)
            for address, list_name, name, seen, first, ttl_s in claims
        ]
        with self.lock:
            self.table.adopt(claims, process_clock())

    def recall(self, told: Sequence[tuple[Prefix, Attributes]], untold: Sequence[Prefix]) -> None:
        """Take from the state file what an earlier process told the host, and what it withdrew again."""
        told = [(self._same.setdefault(prefix, prefix), attributes) for prefix, attributes in told]
        with self.lock:
            self.outbox.recall(told, untold)

    def switch(self, rules: RuleSet, policies: Sequence[Policy], guard: Guard) -> None:
        """Put new lists, policies and a new guard in force for what comes; `revise` follows for what is held."""
        with self.lock:
            self.rules = rules
            self.table.configure(policies, guard)

    def revise(self, *, listed: bool = True) -> int:
        """Hold all that is held against the rules, policies and guard of now, shard by shard.

        Args:
            listed: False: there are no rules to ask yet; every name keeps its list.

        Returns:
            How many claims ended by it; the state file holds them until its next snapshot.
        """
        rules, ended = self.rules, 0
        for shard in range(SHARDS):
            with self.lock:
                names = self.table.names(shard) if listed else set()
            lists = {name: rules.lists(name) for name in names}
            with self.lock:
                before = self.table.claims
                self._put(self.table.revise(shard, lists), bulk=True)
                ended += before - self.table.claims
        return ended

    def resync(self) -> None:
        """Announce all that is claimed, and withdraw what an earlier process told the host and nothing claims.

        Once, after all of `adopt` and `recall`: an earlier claim may stand behind a later record of what was told.
        """
        # ExaBGP takes a tenth more routes a second in the order of their addresses (tests.bench router); what is put
        # as bulk leaves last in, first out
        addresses = sorted(chain.from_iterable(map(self.table.addresses, range(SHARDS))), reverse=True)
        for start in range(0, len(addresses), COPY_AT_ONCE):
            with self.lock:
                wanted = self.table.wanted
                changes = [Change(address, wanted(address)) for address in addresses[start : start + COPY_AT_ONCE]]
                self._put(changes, bulk=True)
        for shard in range(SHARDS):
            with self.lock:
                self.outbox.resync(shard)
                self.work.notify_all()
        self._same.clear()

    # -- copies

    def dirty(self) -> list[Claim]:
        """The claims that the state file should learn of."""
        with self.lock:
            return self.table.dirty()

    def unrecorded(self, deadline: float) -> Iterator[list[Claim]]:
        """What was refreshed after its last record, until the deadline (process clock): for the last save."""
        for shard in range(SHARDS):
            if process_clock() > deadline:
                logger.warning("stopping before every refresh was saved: some routes may end up to 5 %% of a TTL early")
                return
            with self.lock:
                claims = self.table.unrecorded(shard)
            if claims:
                yield claims

    def walk(self) -> Iterator[tuple[list[Claim], list[tuple[Prefix, Attributes]]]]:
        """All claims and all that the host was told, in copies that hold the lock for less than a millisecond each."""
        for shard in range(SHARDS):
            with self.lock:
                addresses = self.table.addresses(shard)
                told = list(self.outbox.told.shards[shard].items())
            yield [], told
            for start in range(0, len(addresses), COPY_AT_ONCE):
                with self.lock:
                    claims = [
                        claim
                        for address in addresses[start : start + COPY_AT_ONCE]
                        for claim in self.table.claims_of(address)
                    ]
                yield claims, []

    def _put(self, changes: list[Change], *, bulk: bool = False) -> None:
        if changes:
            self.outbox.put(changes, bulk=bulk)
            self.work.notify_all()
