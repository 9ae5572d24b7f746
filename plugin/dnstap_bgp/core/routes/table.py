"""Route table: which addresses are claimed, by which lists and names, and until when.

An address is a route while it has at least one live claim. A sighting makes or refreshes one claim and touches nothing
else. What must become of the prefix (these attributes, or none) is returned as a `Change`; that is level-triggered: it
states what is wanted now, and the reconciler compares it with what ExaBGP was told.

    claims end      expired, forgotten by hand, no longer on a list, refused by a new guard, let go at a cap
    claims begin    seen by the tap, merged from a peer, adopted from the state file, added by hand, moved to a new list

Costs: observing is O(claims of the address), expiring is O(what is due), making room at a cap looks at a bounded number
of claims, and nothing ever scans the table. About 170 bytes a claim, its address with it: see `claim_columns`.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from dnstap_bgp.core.model import BY_HAND, Address, Attributes, Change, Claim, Name, Prefix, Sighting
from dnstap_bgp.core.routes.admission import RULE_WARN_SHARE, Admission
from dnstap_bgp.core.routes.claim_columns import NONE, OwnerKey, Row, owner_key
from dnstap_bgp.core.routes.claim_store import ClaimStore
from dnstap_bgp.core.routes.history import History
from dnstap_bgp.core.routes.newcomers import WAITING_CAP, Newcomers, Waiting, latest
from dnstap_bgp.core.routes.policy import Policies

ROUNDS_MAX = 8
"""Rounds in which room is made for one claim: each makes room at one of the caps, of which there are five."""

RECORD_SHARE = 1 / 20
"""A refresh is worth a record when the deadline moved by this part of the TTL: 72 min of the default 24 h."""


class Merged(NamedTuple):
    """Outcome of claims that peers told.

    Attributes:
        changes: As of `RouteTable.observe`.
        news: Copies of those that are new, or were seen later than was recorded.
        refused: How many were not taken: expired, refused by guard or cap, forgotten by hand.
    """

    changes: list[Change]
    news: list[Claim]
    refused: int


class RouteTable:
    """All claims, and every way in which they come and go; for the holder of the keeper's lock.

    Attributes:
        policies: What the configuration asks for now.
        claims: The live claims.
        admission: Guard, caps and rate, with the counters of what they refused, and what was forgotten by hand.
        history: What was refused, and the claims that ended last.
        owner_of: (list, name) -> the domain whose owner the name's addresses count for, see `RuleSet.owner`; `revise`
            applies another one to what is held.
    """

    def __init__(self, policies: Policies, *, recording: bool = True) -> None:
        """Start empty.

        Args:
            policies: What the configuration asks for.
            recording: Whether somebody takes `claims.dirty()` (there is a state file).
        """
        self.claims = ClaimStore(recording=recording)
        self.admission = Admission(self.claims, policies)
        self.history = History()
        self.owner_of: Callable[[str, Name], Name] = _each_name_its_own
        self.configure(policies)

    def __len__(self) -> int:
        """Count the addresses that are claimed."""
        return self.claims.routes

    def configure(self, policies: Policies) -> None:
        """Put new policies in force for what comes; `revise` and `trim` apply them to what is held."""
        self.policies = policies
        self.admission.configure(policies)
        self._near_rule_cap = policies.caps.rule_routes_max * RULE_WARN_SHARE
        self._unworthy_s = min((policy.held_s(0) for policy in policies.by_list.values()), default=0) * RECORD_SHARE
        self._dns_ttl_lists = {name for name, policy in policies.by_list.items() if policy.dns_ttl is not None}

    def wanted(self, address: Address) -> Attributes | None:
        """Give the attributes with which the address should be announced, or None."""
        policies, columns = self.policies, self.claims.columns
        head = self.claims.by_address.get(address)
        if not head:
            return policies.statics.announced.get(address)
        # Nearly all addresses have one claim, and most configurations no static prefix: nothing to choose then.
        if not columns.next[head] and not policies.statics:
            policy = policies.by_list.get(columns.lists[head])
            return None if policy is None else policy.ipv4 if len(address) == 4 else policy.ipv6
        return policies.wanted(address, [columns.lists[row] for row in columns.chain(head)])

    def last_seen(self, prefix: Prefix) -> float:
        """Give the process clock's time at which a prefix was last seen, by any of its names.

        Returns:
            Infinite for a static prefix and for what was added by hand: neither is ever too old. Less than any time
            for what nothing claims.
        """
        if prefix in self.policies.statics.announced:
            return math.inf
        columns, latest = self.claims.columns, -math.inf
        for row in columns.chain(self.claims.by_address.get(prefix)):
            if columns.names[row] == BY_HAND:
                return math.inf
            latest = max(latest, columns.seen[row])
        return latest

    # -- seen by the tap

    def observe(self, sightings: Iterable[Sighting], now: float) -> list[Change]:
        """Make or refresh the claim of each sighting; a refresh is no change.

        The cases, by how often they happen:
          1. The claim is held: its `seen` moves. Its entry in the wheel stays where it is.
          2. As 1., and the last record is old: the state file learns of it, so that a crash costs at most
             `RECORD_SHARE` of the lifetime; where the list follows the DNS, the lifetime follows the record's TTL.
          3. The address is held by other claims: guard and caps decide; mostly no change, as the first list decides.
          4. The address is new: guard, rate and caps decide, and the route is wanted.
        """
        changes: list[Change] = []
        # A refresh takes twice what a dict's lookup and an array's store do, among 10,000 (0.4 us) as among 1,000,000
        # (1.7): cache misses (`observe a known address` of tests.bench table). So everything is a local variable, and
        # the address is looked up by hand: `by_address.get` and `find` would add 0.3 us. Names and lists in one column,
        # or both times, save nothing.
        claims = self.claims
        columns = claims.columns
        places, heads, names = claims.by_address.places, claims.by_address.numbers, columns.names
        dns_ttl_lists, unworthy_s = self._dns_ttl_lists, self._unworthy_s
        for address, list_name, name, dns_ttl_s in sightings:
            place = places[address[-1]].get(address)
            row = head = NONE if place is None else heads[address[-1]][place]
            while row:
                if names[row] == name and columns.lists[row] == list_name:
                    columns.seen[row] = now
                    if dns_ttl_lists and list_name in dns_ttl_lists:
                        self._follow_dns_ttl(row, dns_ttl_s)
                    # Most were recorded so lately that their TTL need not be looked at: 0.2 us less in a large table.
                    age_s = now - columns.recorded[row]
                    if age_s > unworthy_s and age_s > columns.ttl_s[row] * RECORD_SHARE:
                        claims.record(row)
                    break
                row = columns.next[row]
            else:
                self._observe_new((address, list_name, name, dns_ttl_s), head, now, changes)
        return changes

    def _observe_new(self, sighting: Sighting, head: Row, now: float, changes: list[Change]) -> None:
        """Make the claim of a sighting, if guard, rate and caps admit it."""
        address, list_name, name, dns_ttl_s = sighting
        reason = self.policies.refusal(address, list_name)
        if reason is not None:
            self._refuse(reason, address, list_name, name, now)
            return
        policy = self.policies.by_list[list_name]
        claim = Claim(address, list_name, name, now, now, policy.lifetime_s(dns_ttl_s))
        owner = self._owner(list_name, name)
        if self.admission.newcomers is not None:
            self._admit_early(self.admission.newcomers, claim, owner, now, changes)
        elif not head and self.admission.is_rate_exceeded(claim, owner, now):
            self._refuse("rate", address, list_name, name, now)
        elif self._make_room(claim, owner, now, changes):
            self._begin_seen(claim, owner, now, changes)

    def _begin_seen(
        self, claim: Claim, owner: OwnerKey, now: float, changes: list[Change], *, is_recorded: bool = False
    ) -> None:
        """Begin a claim that was seen, and for which there is room."""
        before = self.wanted(claim.address)
        row = self._begin(claim, owner, now)
        if not is_recorded:
            self.claims.record(row)
        self._note(claim.address, before, changes)

    def _follow_dns_ttl(self, row: Row, dns_ttl_s: int) -> None:
        """Set the lifetime of a claim by the TTL of the record that was just seen."""
        columns = self.claims.columns
        before_s = columns.ttl_s[row]
        ttl_s = self.policies.by_list[columns.lists[row]].lifetime_s(dns_ttl_s)
        if ttl_s != before_s:
            columns.ttl_s[row] = ttl_s
            self.claims.hasten(row)
            if abs(ttl_s - before_s) > before_s * RECORD_SHARE:
                self.claims.record(row)

    # -- expired

    def expire(self, now: float, at_most: int) -> tuple[list[Change], bool]:
        """End the claims whose deadline has passed.

        Args:
            now: Process clock.
            at_most: How many claims to look at, so that one call stays short.

        Returns:
            The changes, and whether more is due.
        """
        changes: list[Change] = []
        for wheel in [each for one in self.claims.by_list.values() for each in (one.wheel, one.by_hand)]:
            ended, at_most = wheel.due(now, at_most)
            for row in ended:
                self._end(row, "expired", now, changes)
            if at_most <= 0:
                return changes, True
        return changes, False

    # -- while claims come back from the state file

    def begin_restore(self, is_known: Callable[[Address], bool | None]) -> None:
        """Have what is seen from now on come behind what was held and is still to come back; `judge` ends it.

        Args:
            is_known: Tells whether an address was announced before the restart, and so is no new route; None: that
                is not known yet.
        """
        self.admission.newcomers = Newcomers(is_known)

    def _admit_early(
        self,
        newcomers: Newcomers,
        claim: Claim,
        owner: OwnerKey,
        now: float,
        changes: list[Change],
        *,
        is_in_file: bool = False,
    ) -> None:
        """Begin the claim of a sighting if there is room already; else it waits, or is refused.

        Args:
            newcomers: Those of this restore.
            claim: The claim.
            owner: Key of its (list, owner).
            now: Process clock.
            changes: Gets what becomes of its address.
            is_in_file: It came during a restore that was never finished, and so has its token and its record.
        """
        address, list_name, name = claim[:3]
        before, is_known = newcomers.find(claim), newcomers.is_known(address)
        is_paid = is_in_file or bool(is_known) or address in self.claims.by_address
        if before is not None:
            claim, is_paid = latest(before.claim, claim), is_paid or before.is_paid
        cap: str | None
        if newcomers.is_judging or (
            not is_paid and is_known is None and self.policies.caps.new_routes_per_s is not None
        ):
            cap, waits = WAITING_CAP, True
        elif not is_paid and self.admission.is_rate_exceeded(claim, owner, now):
            cap, waits = "rate", False
        else:
            is_paid = True
            cap = "crowded" if self.admission.is_crowded(address) else self.admission.full(claim, owner)
            if cap is None or (cap == "claims" and address not in self.claims.by_address):
                newcomers.leave(claim)
                newcomers.is_over |= cap is not None
                # Not recorded again: or each process of a restart loop would append what all before it have appended.
                self._begin_seen(claim, owner, now, changes, is_recorded=is_in_file and before is None)
                return
            # The cap of a rule ends nothing, nor does one of routes with `when_full = "refuse"`: what is full by now
            # is so when all is back.
            is_decided = cap == "rule-routes" or (cap not in ("claims", "crowded") and not self.policies.caps.evicts)
            waits = not is_decided or bool(is_known)
        if not waits or not newcomers.wait(claim, is_paid=is_paid):
            newcomers.leave(claim)
            if is_in_file and waits and cap != "rule-routes":
                # Where no snapshot could be written since (the disk has no room for another copy), that may be most of
                # what was held: so it comes back as such. At the cap of a rule nothing had given way to it.
                if self._make_room(claim, owner, now, changes, seen=claim.seen, was_held=True):
                    self._begin(claim, owner, now, was_held=True)
                return
            # at the limit of those that wait nobody knows whether the cap would have refused it in the end
            self._refuse(WAITING_CAP if waits else cap, address, list_name, name, now)

    def unpaid(self) -> list[Claim]:
        """Give the claims that wait because it wasn't known yet whether they need a token; `offer` is to follow."""
        return self.admission.newcomers.unpaid() if self.admission.newcomers is not None else []

    def undecided(self, now: float) -> list[Claim]:
        """Give the claims that wait to be judged and whose routes may be announced: the file may not have them.

        Nothing holds them meanwhile, so that neither `ClaimStore.dirty` nor `ClaimStore.unrecorded` has them.
        """
        newcomers, forgotten = self.admission.newcomers, self.admission.forgotten
        announced = newcomers.announced() if newcomers is not None else []
        return [claim for claim in announced if not forgotten.covers(claim, now, own=True)]

    def offer(self, claims: Iterable[Claim], now: float) -> list[Change]:
        """Try again with claims of `unpaid`."""
        changes: list[Change] = []
        newcomers = self.admission.newcomers
        for claim in claims:
            waiting = newcomers.find(claim) if newcomers is not None else None
            if newcomers is not None and waiting is not None:
                is_refused = self.policies.refusal(claim.address, claim.list) is not None
                if is_refused or self.admission.forgotten.covers(waiting.claim, now, own=True):
                    newcomers.leave(claim)
                else:
                    owner = self._owner(claim.list, claim.name)
                    self._admit_early(newcomers, waiting.claim, owner, now, changes)
        return changes

    def set_aside(self, at_most: int) -> bool:
        """Take out what has begun while claims came back, where that matters: all of them are back.

        What is wanted is not told by that: `trim` follows, and then `judge`.

        Args:
            at_most: How many claims to look at.

        Returns:
            Whether there are more.
        """
        newcomers = self.admission.newcomers
        if newcomers is None or not newcomers.is_over:
            return False
        newcomers.is_judging = True
        for row in newcomers.take_last_begun(at_most):
            newcomers.set_aside(self.claims.columns.copy(row))
            self.claims.end(row)
            self.claims.ended -= 1  # it has not ended yet
        return bool(newcomers.rows)

    def judge(self, now: float, at_most: int) -> tuple[list[Change], bool]:
        """Decide about what came while claims came back, in the order in which it came; behind `set_aside` and `trim`.

        Args:
            now: Process clock.
            at_most: How many claims to decide about.

        Returns:
            The changes, and whether there are more; without, it is as if all had come back before anything was seen.
        """
        changes: list[Change] = []
        newcomers = self.admission.newcomers
        if newcomers is None:
            return changes, False
        newcomers.is_judging = True
        for waiting in newcomers.take(at_most):
            self._judge(waiting, newcomers.is_known, now, changes)
            changes.append(Change(waiting.claim.address, self.wanted(waiting.claim.address)))
        if len(newcomers):
            return changes, True
        self.admission.newcomers = None
        return changes, False

    def _judge(
        self, waiting: Waiting, is_known: Callable[[Address], bool | None], now: float, changes: list[Change]
    ) -> None:
        """Begin a claim that had to wait, or refresh what is back of it, as if it were seen now."""
        claim = waiting.claim
        address, list_name, name = claim[:3]
        self.claims.ended += waiting.has_begun
        reason = self.policies.refusal(address, list_name)
        if reason is not None:
            self._refuse(reason, address, list_name, name, now)
            return
        if claim.seen + claim.ttl_s <= now or self.admission.forgotten.covers(claim, now, own=True):
            return
        row = self.claims.find(address, list_name, name)
        if row:
            columns = self.claims.columns
            if claim.seen > columns.seen[row]:
                columns.seen[row] = claim.seen
                if list_name in self._dns_ttl_lists:
                    columns.ttl_s[row] = claim.ttl_s
                    self.claims.hasten(row)
                self.claims.record(row)
            return
        owner = self._owner(list_name, name)
        is_paid = waiting.is_paid or address in self.claims.by_address or is_known(address)
        if not is_paid and self.admission.is_rate_exceeded(claim, owner, now):
            self._refuse("rate", address, list_name, name, now)
        elif self._make_room(claim, owner, now, changes):
            self.claims.ended -= waiting.has_begun
            self._begin_seen(claim, owner, now, changes)

    # -- from the state file and from peers

    def adopt(self, claims: Iterable[Claim], now: float, *, are_newcomers: bool = False) -> list[Change]:
        """Take claims from the state file, as far as the policies of now admit them; of one twice the later counts.

        What has no policy any more, is past its deadline, is forgotten by hand or refused by the guard or a cap, is
        left out.

        Args:
            claims: In the order of the file.
            now: Process clock.
            are_newcomers: They came during a restore that was never finished: behind all that was held before.

        Returns:
            Changes of what had to give way; what is wanted of the claims' own addresses follows from `wanted`.
        """
        changes: list[Change] = []
        for claim in claims:
            if not self.admission.forgotten.covers(claim, now):
                is_early = are_newcomers and claim.name != BY_HAND and self.admission.newcomers is not None
                self._take(claim, now, changes, was_held=not is_early, is_early=is_early)
        return changes

    def merge(self, claims: Iterable[Claim], now: float, tolerance_s: float) -> Merged:
        """Take claims from peers, as far as the policies of now admit them; of one twice the later counts.

        What comes back as news is recorded with that: `dirty` doesn't give it again.

        Args:
            claims: Names that the lists match; a TTL of 0: whatever the policy says.
            now: Process clock; nothing was seen after it.
            tolerance_s: What is later by no more than this is not later.
        """
        columns = self.claims.columns
        merged, refused = Merged([], [], 0), 0
        for claim in claims:
            row = self.claims.find(claim.address, claim.list, claim.name)
            if not row:
                refused += not self._merge_new(claim, now, merged)
            elif min(claim.seen, now) > columns.seen[row] + tolerance_s:
                columns.seen[row] = columns.recorded[row] = min(claim.seen, now)
                policy = self.policies.by_list.get(claim.list)
                if claim.ttl_s and policy is not None and policy.dns_ttl is not None:
                    columns.ttl_s[row] = policy.held_s(claim.ttl_s)
                    self.claims.hasten(row)
                merged.news.append(columns.copy(row))
        return merged._replace(refused=refused)

    def remind(self, now: float, at_most: int, tolerance_s: float) -> bool:
        """Record refreshes that only we know of, half of a lifetime before the deadline that was recorded.

        So whoever is told what is recorded never ends a claim early: a sighting is recorded at once where the last
        record is older than `RECORD_SHARE` of the TTL, and here otherwise. What is added by hand is recorded each time.

        Args:
            now: Process clock.
            at_most: How many claims to look at.
            tolerance_s: A sighting that is less later than the recorded one is none.

        Returns:
            Whether there are more.
        """
        columns = self.claims.columns
        for list_name, of_list in self.claims.by_list.items():
            policy = self.policies.by_list.get(list_name)
            ahead_s = policy.held_s(0) / 2 if policy is not None else 0.0
            while looked := of_list.wheel.ahead(int(now + ahead_s), at_most):
                for row in looked:
                    if columns.second[row] and columns.seen[row] > columns.recorded[row] + tolerance_s:
                        self.claims.record(row)
                at_most -= len(looked)
                if at_most <= 0:
                    return True
        return False

    def _merge_new(self, claim: Claim, now: float, merged: Merged) -> bool:
        """Take a claim that is not held; tell whether it is now."""
        if self.admission.forgotten.covers(claim, now):
            return False
        before, changes = self.wanted(claim.address), len(merged.changes)
        row = self._take(claim, now, merged.changes)
        if not row:
            return False
        merged.news.append(self.claims.columns.copy(row))
        if len(merged.changes) > changes:
            # what gave way may have been on this very address, so that the last change of it is out of date
            merged.changes.append(Change(claim.address, self.wanted(claim.address)))
        else:
            self._note(claim.address, before, merged.changes)
        return True

    def _take(
        self,
        claim: Claim,
        now: float,
        changes: list[Change],
        *,
        was_held: bool = False,
        moved: bool = False,
        is_early: bool = False,
    ) -> Row:
        """Take one claim that was made before or elsewhere; gives its row if it is new.

        Args:
            claim: Perhaps one that is held already.
            now: Process clock.
            changes: Gets what had to give way; what becomes of the claim's own address is for the caller to note.
            was_held: See `Admission.full`.
            moved: Another list's claim of the name is held here and perhaps about to end: that none on the address was
                seen earlier doesn't refuse it.
            is_early: It came during a restore that was never finished, see `adopt`.
        """
        reason = self.policies.refusal(claim.address, claim.list)
        if reason is not None:
            self._refuse(reason, claim.address, claim.list, claim.name, now)
            return NONE
        policy, columns = self.policies.by_list[claim.list], self.claims.columns
        seen = min(claim.seen, now)
        ttl_s = claim.ttl_s if claim.name == BY_HAND else policy.held_s(claim.ttl_s)
        known = self.claims.find(claim.address, claim.list, claim.name)
        if known:
            if was_held and self.admission.newcomers is not None:
                self.admission.newcomers.rows.pop(known, None)  # it was held before
            columns.first[known] = min(columns.first[known], claim.first)
            if seen >= columns.seen[known]:
                columns.ttl_s[known] = ttl_s if seen > columns.seen[known] else min(ttl_s, columns.ttl_s[known])
                columns.seen[known] = columns.recorded[known] = seen
                self.claims.hasten(known)
        elif seen + ttl_s > now:
            owner = self._owner(claim.list, claim.name)
            claim = claim._replace(ttl_s=ttl_s, seen=seen, first=min(claim.first, seen))
            if is_early and self.admission.newcomers is not None:
                self._admit_early(self.admission.newcomers, claim, owner, now, changes, is_in_file=True)
            elif self._make_room(claim, owner, now, changes, seen=seen, was_held=was_held, moved=moved):
                return self._begin(claim, owner, now, was_held=was_held)
        return NONE

    # -- by hand

    def add(self, claim: Claim, now: float) -> tuple[list[Change], str | None]:
        """Make or refresh a claim of a person's, until `now` and its TTL.

        Returns:
            The changes, and why it was refused; None: it is held.
        """
        changes: list[Change] = []
        reason = self.policies.refusal(claim.address, claim.list)
        if reason is not None:
            return changes, reason
        self.admission.forgotten.recall(claim.address)
        row = self.claims.find(claim.address, claim.list, claim.name)
        if row:
            self.claims.columns.seen[row], self.claims.columns.ttl_s[row] = now, claim.ttl_s
            self.claims.hasten(row)
            self.claims.record(row)
            return changes, None
        owner = self._owner(claim.list, claim.name)
        # While claims come back, only the whole table will tell what has to end for it: so it counts as one of these.
        newcomers = self.admission.newcomers
        as_one_held = newcomers is not None and not newcomers.is_judging and self.policies.caps.evicts
        if not self._make_room(claim, owner, now, changes, was_held=as_one_held):
            return changes, "full"
        before = self.wanted(claim.address)
        self.claims.record(self._begin(claim, owner, now, was_held=True))
        self._note(claim.address, before, changes)
        return changes, None

    def forget_address(self, address: Address, now: float) -> list[Change]:
        """End all claims on an address, and keep peers and state file from bringing it back, see `Forgotten`."""
        self.admission.forgotten.add_address(address, now)
        changes: list[Change] = []
        for row in self.claims.chain(address):
            self._end(row, "forgotten", now, changes)
        return changes

    def forget_name(self, name: Name, now: float, at_most: int) -> tuple[list[Change], bool]:
        """End all claims of a name, and keep peers and state file from bringing it back, see `Forgotten`.

        Args:
            name: The name itself, not what lies below.
            now: Process clock.
            at_most: How many claims to end, so that one call stays short.

        Returns:
            The changes, and whether there are more.
        """
        self.admission.forgotten.add_name(name, now)
        changes: list[Change] = []
        for list_name in list(self.claims.by_list):
            for row in self.claims.by_name.rows_of(list_name, name, 1):
                if at_most <= 0:
                    return changes, True
                at_most -= 1
                self._end(row, "forgotten", now, changes)
        return changes, False

    # -- after a reload

    def revise(
        self, shard: int, lists: Mapping[Name, Sequence[str]], now: float, unknown: AbstractSet[str] = frozenset()
    ) -> list[Change]:
        """Bring the claims of one shard in line with the lists and policies of now.

        A name that was seen is claimed by every list that it is on now: also by one that it was not on before.

        Args:
            shard: 0..255, see `PrefixMap`.
            lists: For each name of `claims.names(shard)` the lists that match it now. A name that isn't there came
                after and was matched by the new lists already.
            now: Process clock.
            unknown: Lists whose rules are not known: their claims stay.

        Returns:
            What is wanted of every address that the shard held, changed or not: the reconciler knows what was told.
        """
        columns = self.claims.columns
        changes: list[Change] = []
        before = self.claims.addresses(shard)
        for row in list(self.claims.of_shard(shard)):
            list_name = columns.lists[row]
            found = lists.get(columns.names[row], (list_name,))
            self._revise(row, (*found, list_name) if list_name in unknown else found, now, changes)
        addresses = dict.fromkeys([change.prefix for change in changes] + before)
        return [Change(address, self.wanted(address)) for address in addresses]

    def _revise(self, row: Row, lists: Sequence[str], now: float, changes: list[Change]) -> None:
        """Bring one claim in line with the lists that its name is on."""
        columns = self.claims.columns
        if not columns.second[row]:
            return
        claim = columns.copy(row)
        address, name = claim.address, claim.name
        for list_name in lists:
            # A claim that had to make room for another is gone already, and its row may be the other's: so it is looked
            # for each time.
            if self.claims.find(address, claim.list, name) and not self.claims.find(address, list_name, name):
                added = self._take(claim._replace(list=list_name), now, changes, was_held=True, moved=True)
                if added:
                    self.claims.record(added)
        if not self.claims.find(address, claim.list, name):
            return
        policy = self.policies.by_list.get(claim.list)
        if policy is None or claim.list not in lists:
            self._end(row, "list", now, changes)
            return
        reason = self.policies.refusal(address, claim.list)
        if reason is not None:
            self._end(row, reason, now, changes)
            return
        self.claims.set_owner(row, self._owner(claim.list, name))
        ttl_s = claim.ttl_s if name == BY_HAND else policy.held_s(claim.ttl_s)
        if claim.ttl_s != ttl_s:
            columns.ttl_s[row] = ttl_s
            self.claims.hasten(row)

    def trim(self, now: float, at_most: int, start: int = 0) -> tuple[list[Change], int | None]:
        """End claims until no name, no list and not all together are over a lowered cap; see `Admission.surplus`.

        Args:
            now: Process clock.
            at_most: How many claims to end or to look at.
            start: Where to go on.

        Returns:
            The changes, and where to go on; None: it is done.
        """
        changes: list[Change] = []
        following: int | None = start
        while at_most > 0 and following is not None:
            cap, rows, looked, following = self.admission.surplus(at_most, following)
            for row in rows:
                self._let_go(row, cap, now, changes)
            at_most -= max(looked, len(rows))
        return changes, following

    # -- helpers

    def _owner(self, list_name: str, name: Name) -> OwnerKey:
        """Give the key of the (list, owner) that a claim counts for; what was added by hand is its own owner."""
        return owner_key(list_name, name if name == BY_HAND else self.owner_of(list_name, name))

    def _make_room(
        self,
        claim: Claim,
        owner: OwnerKey,
        now: float,
        changes: list[Change],
        *,
        seen: float = math.inf,
        was_held: bool = False,
        moved: bool = False,
    ) -> bool:
        """Let claims go until one more keeps within all caps; if that can't be, count the newcomer as refused.

        The rounds are few: each makes room at one cap.

        Args:
            claim: The newcomer, of a list that has a policy.
            owner: Key of its (list, owner).
            now: Process clock.
            changes: Gets what had to give way.
            seen: What was seen then or later doesn't give way.
            was_held: See `Admission.full`.
            moved: On its own address, `seen` spares nobody.
        """
        admission = self.admission
        if claim.name == BY_HAND:
            seen = math.inf
        # Asked first, so that nothing goes elsewhere for a newcomer that its own address has no place for.
        if admission.is_crowded(claim.address, was_held=was_held) and not admission.crowding(
            claim, owner, math.inf if moved else seen, was_held=was_held
        ):
            # What a peer saw earlier on a busy address is told again and again, and nothing is amiss: not counted.
            if seen == math.inf or moved:
                self._refuse("crowded", claim.address, claim.list, claim.name, now)
            return False
        if claim.name == BY_HAND and was_held:
            if admission.newcomers is not None:
                admission.newcomers.is_over = True  # perhaps
            return True  # never ends by a cap, not even by one that was lowered meanwhile
        cap = self._make_room_at_caps(claim, owner, now, changes, seen=seen, was_held=was_held)
        if cap is None or (cap == "claims" and claim.address not in self.claims.by_address):
            return True  # a route is refused by the caps of routes only
        self._refuse(cap, claim.address, claim.list, claim.name, now)
        return False

    def _make_room_at_caps(
        self, claim: Claim, owner: OwnerKey, now: float, changes: list[Change], *, seen: float, was_held: bool
    ) -> str | None:
        """Let claims go at each cap that one more would break; gives the cap at which nothing may go, or None."""
        admission, cap = self.admission, None
        for _ in range(ROUNDS_MAX):
            cap = admission.full(claim, owner, was_held=was_held, behind=cap)
            victims = admission.victims(cap, claim, owner, seen) if cap is not None else []
            if cap is None or not victims:
                return cap
            for row in victims:
                self._let_go(row, cap, now, changes)
        return admission.full(claim, owner, was_held=was_held)

    def _begin(self, claim: Claim, owner: OwnerKey, now: float, *, was_held: bool = False) -> Row:
        """Begin a claim for which there is room; at its address's limit another ends. The caller notes the change.

        Args:
            claim: The claim.
            owner: Key of its (list, owner).
            now: Process clock.
            was_held: It is no newcomer of a restore, see `Admission.full`.
        """
        if self.admission.is_crowded(claim.address, was_held=was_held):
            # `_make_room` saw that one may go, and what it ended since can only have made room here.
            crowding = self.admission.crowding(claim, owner, was_held=was_held)
            if crowding:
                self._end(crowding, "crowded", now, [])
        row = self.claims.begin(claim, owner)
        newcomers = self.admission.newcomers
        if newcomers is not None and not was_held and not newcomers.is_judging:
            newcomers.rows[row] = None
        if self.claims.owners[owner] >= self._near_rule_cap and claim.name != BY_HAND:
            self.admission.name_owner(owner, claim.list, self.owner_of(claim.list, claim.name))
        return row

    def _end(self, row: Row, reason: str, now: float, changes: list[Change]) -> None:
        """End a claim.

        Args:
            row: The claim.
            reason: For the history, see `HistoryEntry`.
            now: Process clock.
            changes: Gets the change of its address, if there is one.
        """
        columns = self.claims.columns
        address = columns.addresses[row]
        before = self.wanted(address)
        self.history.end(reason, address, columns.lists[row], columns.names[row], now)
        if self.admission.newcomers is not None:
            self.admission.newcomers.rows.pop(row, None)
        left = self.claims.end(row)
        after = self.wanted(address) if left else self.policies.statics.announced.get(address)
        if after is not before:
            changes.append(Change(address, after))

    def _let_go(self, row: Row, cap: str, now: float, changes: list[Change]) -> None:
        """End a claim that gives way at a cap."""
        columns = self.claims.columns
        self.admission.refusals.evict(cap, columns.addresses[row], columns.lists[row], columns.names[row])
        self._end(row, cap, now, changes)

    def _refuse(self, reason: str, address: Address, list_name: str, name: Name, now: float) -> None:
        """Count and remember what could not become a claim."""
        self.admission.refusals.refuse(reason, address, list_name, name)
        self.history.refuse(reason, address, list_name, name, now)

    def _note(self, address: Address, before: Attributes | None, changes: list[Change]) -> None:
        """Add the change of an address, if what is wanted of it is another than before."""
        after = self.wanted(address)
        if after is not before:
            changes.append(Change(address, after))


def _each_name_its_own(list_name: str, name: Name) -> Name:
    """Stand for `RuleSet.owner` while there are no rules."""
    del list_name
    return name
