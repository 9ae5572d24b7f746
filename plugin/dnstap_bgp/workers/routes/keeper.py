"""The keeper: one lock around the route table and the outbox; no thread of its own.

Order matters between what the table decides and what the outbox hands on, so both change under the same lock. Nothing
that blocks or takes long is done while holding it: walks go shard by shard, expiry in bounded steps, names are matched
outside.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

from dnstap_bgp.core.exabgp.outbox import Outbox
from dnstap_bgp.core.lists.domains import RuleSet
from dnstap_bgp.core.model import BY_HAND, Address, Attributes, Change, Claim, Name, Prefix, Sighting
from dnstap_bgp.core.prefixmap import SHARDS
from dnstap_bgp.core.routes.elsewhere import Merged
from dnstap_bgp.core.routes.policies import Policies
from dnstap_bgp.core.routes.refusals import Refusal
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.workers.process.clocks import process_clock

logger = logging.getLogger(__name__)

EXPIRE_AT_ONCE = 2_000
"""Claims that one hold of the lock looks at: about 2 ms."""

COPY_AT_ONCE = 500
"""Addresses that one hold of the lock copies: about 0.5 ms."""

PUT_AT_ONCE = 1_000
"""Static prefixes that one hold of the lock puts into the outbox: about 2 ms."""


class Keeper:
    """What the tap, the timer, the BGP writer and the main thread share.

    Attributes:
        lock: Guards table and outbox.
        work: Condition on `lock`: the outbox has something new, or the BGP writer's thread has something to do.
        turn: Called with the lock held when the outbox has something new: says what can be said; must not block.
        rules: The rule set by which sightings are valid now.
        unknown: Lists whose rules are not known yet, or not all: what they hold stays.
    """

    def __init__(self, table: RouteTable, outbox: Outbox, rules: RuleSet) -> None:
        self.lock = threading.Lock()
        self.work = threading.Condition(self.lock)
        self.turn: Callable[[], None] = self.work.notify_all
        self.table = table
        self.outbox = outbox
        self.rules = rules
        self.unknown: frozenset[str] = frozenset()
        self._recorded = table.recording
        self._followers = 0
        self._news: list[Claim] = []  # for them: what `take_dirty` gave to whoever records it
        self._gone: list[Change] = []  # static prefixes that wait for `revise` to be withdrawn
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

    # -- what peers tell

    def merge(self, claims: Sequence[Claim], tolerance_s: float) -> Merged:
        """Take what peers have seen, as far as the rules of now match it; a few hundred claims take some ms.

        Args:
            claims: In the process clock; of a list that the name is not on, or none: for each list that it is on.
            tolerance_s: See `RouteTable.merge`.

        Returns:
            What became of it; its changes are on their way.
        """
        while True:
            rules = self.rules
            listed = [_of_lists(claim, rules.lists(claim.name)) for claim in claims]
            with self.lock:
                if rules is not self.rules:  # a reload has come between
                    continue
                merged = self.table.merge(chain.from_iterable(listed), process_clock(), tolerance_s)
                self._put(merged.changes)
            return merged._replace(refused=merged.refused + listed.count(()) + listed.count([]))

    def remind(self, tolerance_s: float) -> bool:
        """Have `dirty` tell refreshes in time for those who know of the deadlines before; see `RouteTable.remind`.

        Returns:
            Whether there is more to look at.
        """
        with self.lock:
            return self.table.remind(process_clock(), EXPIRE_AT_ONCE, tolerance_s)

    # -- restore and reload

    def adopt(self, claims: Sequence[Claim]) -> None:
        """Take claims from the state file; what becomes of their routes is settled by `resync`.

        Args:
            claims: Any number. They count as far as the rules still match them; what a list gave up, or was renamed
                with, goes to the lists that the name is on now.
        """
        rules, unknown = self.rules, self.unknown
        same = self._same.setdefault
        claims = [
            Claim(same(address, address), list_name, same(name, name), same(seen, seen), same(first, first), ttl_s)
            for claim in claims
            for address, list_name, name, seen, first, ttl_s in (
                (claim,)
                if claim.list in unknown or claim.name == BY_HAND
                else _of_lists(claim, rules.lists(claim.name))
            )
        ]
        with self.lock:
            self.table.adopt(claims, process_clock())

    def recall(self, told: Sequence[tuple[Prefix, Attributes]], untold: Sequence[Prefix]) -> None:
        """Take from the state file what an earlier process told the host, and what it withdrew again."""
        told = [(self._same.setdefault(prefix, prefix), attributes) for prefix, attributes in told]
        with self.lock:
            self.outbox.recall(told, untold)

    def switch(self, rules: RuleSet, policies: Policies, unknown: frozenset[str] = frozenset()) -> None:
        """Put new lists and policies in force for what comes; `revise` follows for what is held.

        Args:
            rules: The rules.
            policies: The policies.
            unknown: See the attribute.
        """
        added, gone = policies.statics.changes(self.table.policies.statics)
        with self.lock:
            self.rules, self.unknown = rules, unknown
            self.table.configure(policies)
        # a network comes before the routes that it covers go, and goes after they are back
        self._put_statics(added)
        self._gone += gone

    def revise(self) -> int:
        """Hold all that is held against the rules and policies of now, shard by shard.

        Returns:
            How many claims ended by it; the state file holds them until its next snapshot.
        """
        rules, unknown, before = self.rules, self.unknown, self.table.ended
        for shard in range(SHARDS):
            with self.lock:
                names = self.table.names(shard)
            lists = {name: rules.lists(name) for name in names if name != BY_HAND}
            with self.lock:
                self._put(self.table.revise(shard, lists, process_clock(), unknown), bulk=True)
        trimmed: int | None = 0
        while trimmed is not None:
            with self.lock:
                changes, trimmed = self.table.trim(EXPIRE_AT_ONCE, trimmed)
                self._put(changes, bulk=True)
        gone, self._gone = self._gone, []
        self._put_statics(gone)
        return self.table.ended - before

    def resync(self) -> None:
        """Announce all that is claimed, and withdraw what an earlier process told the host and nothing claims.

        Once, after all of `adopt` and `recall`: an earlier claim may stand behind a later record of what was told.
        """
        self._put_statics(list(self.table.policies.statics.wishes()))
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

    def mute(self, *, muted: bool) -> None:
        """Have the host told nothing for now (`dry_run`), or let it be told all that has waited."""
        with self.lock:
            self.outbox.muted = muted
            self.turn()

    # -- by hand

    def add(self, address: Address, list_name: str, ttl_s: float) -> str | None:
        """Make a claim that no answer made.

        Returns:
            Why it is refused: a word of `Policies.refusal`, or `full`; None: it is held.
        """
        now = process_clock()
        with self.lock:
            changes, refused = self.table.add(Claim(address, list_name, BY_HAND, now, now, ttl_s), now)
            self._put(changes)
        return refused

    def forget(self, target: Address | Name, *, is_name: bool) -> int:
        """End all claims on an address or of a name, and let no peer bring them back for `FORGET_S`.

        Returns:
            How many claims ended; the state file holds them until its next snapshot.
        """
        before, more = self.table.ended, True
        while more:
            with self.lock:
                if is_name:
                    changes, more = self.table.forget_name(target, process_clock(), EXPIRE_AT_ONCE)
                else:
                    changes, more = self.table.forget_address(target, process_clock()), False
                self._put(changes)
        return self.table.ended - before

    def record(self, *, on: bool) -> None:
        """Have `news` tell what is new, or no more: for whoever watches or syncs; each `on` has its `off`."""
        with self.lock:
            self._followers += 1 if on else -1
            self.table.recording = self._recorded or self._followers > 0
            if not self.table.recording:
                self.table.dirty()
            if not self._followers:
                self._news = []

    # -- copies

    def refusals(self) -> list[Refusal]:
        """What was refused or let go since the last call."""
        with self.lock:
            return self.table.refusals.take()

    def fullness(self) -> list[tuple[str, int, int]]:
        """For the table and each list with a cap of its own: its name, how many addresses it holds, and its cap."""
        with self.lock:
            table = self.table
            caps = [(policy.list, policy.routes_max) for policy in table.policies.by_list.values()]
            return [("the table", len(table), table.policies.caps.routes_max)] + [
                (f"list {name}", table.routes_of(name), most) for name, most in caps if most is not None
            ]

    def dirty(self) -> list[Claim]:
        """The claims that the state file should learn of."""
        with self.lock:
            return self.take_dirty()

    def take_dirty(self) -> list[Claim]:
        """The same, for whoever holds the lock."""
        claims = self.table.dirty()
        if self._followers:
            self._news += claims
        return claims

    def news(self) -> list[Claim]:
        """What `dirty` gave since the last call; nothing while nobody has asked for it with `record`."""
        if not self._followers:
            return []
        with self.lock:
            news, self._news = self._news, []
        return news

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

    def _put_statics(self, changes: list[Change]) -> None:
        """Put changes of static prefixes; a lone address that is static no more may still be claimed."""
        for start in range(0, len(changes), PUT_AT_ONCE):
            with self.lock:
                self._put(
                    [
                        Change(prefix, wanted if wanted or len(prefix) not in (4, 16) else self.table.wanted(prefix))
                        for prefix, wanted in changes[start : start + PUT_AT_ONCE]
                    ],
                    bulk=True,
                )

    def _put(self, changes: list[Change], *, bulk: bool = False) -> None:
        if changes:
            self.outbox.put(changes, bulk=bulk)
            self.turn()


def _of_lists(claim: Claim, lists: Sequence[str]) -> Sequence[Claim]:
    if claim.list in lists:
        return (claim,)
    return [claim._replace(list=list_name) for list_name in lists]
