"""Admission of claims: guard, rate of new routes, caps, and which claim gives way at a cap.

Everything here only decides. `RouteTable` ends the claim that gives way and asks again, until there is room or nothing
more may go. The caps, from the narrowest to the widest:

    crowded        claims on one address, `CLAIMS_PER_ROUTE`, see `Admission.crowding`
    name-routes    addresses of one name in one list
    rule-routes    addresses of one owner in one list: refuses newcomers, evicts nothing
    list-routes    addresses of one list
    routes         addresses of all lists together
    claims         claims of all lists together: only claims go whose address has another

Fairness is among owners, see `OwnerCounts`: a name costs its owner nothing, and with it comes as much room as an owner
takes who means harm. So at a cap the largest owner gives way, and whoever is small keeps all that it has. An address
that several owners hold is as strong as the smallest of them: who points names at it can neither keep it nor take it
away.

What was added by hand never gives way: not at a cap that is reached, nor at one that was lowered.
"""

import math
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

from dnstap_bgp.core.model import BY_HAND, Address, Claim, Name
from dnstap_bgp.core.routes.claim_columns import NAME_CHAINS, NONE, OwnerKey, Row
from dnstap_bgp.core.routes.claim_store import ClaimStore
from dnstap_bgp.core.routes.fair_rate import FairTokenBucket
from dnstap_bgp.core.routes.forgotten import Forgotten
from dnstap_bgp.core.routes.history import Refusals
from dnstap_bgp.core.routes.newcomers import Newcomers
from dnstap_bgp.core.routes.policy import CLAIMS_PER_ROUTE, Policies

SAMPLE_ROWS = 48
"""Rows to look at when the largest owner is wanted: 15 us. An owner of a tenth of the table is missed once in 150
times; whoever is missed is missed for this once."""

SAMPLE_ROWS_MAX = 64
"""Rows to look at, besides, before a list that has less than a fifth of the table is left to its wheel. Twice as many
made a choice among five lists cost 120 us in place of 70, most of it waiting for memory."""

OLDEST_LOOKS_MAX = 16
"""Entries of a wheel to look at for the one that ends first, beside a sample. Where all of these were refreshed
meanwhile, the newcomer may be refused, and the next one finds them out of the way."""

CHAINS_LOOKED_AT = 6
"""Addresses to look at when the one with the most claims is wanted: 10 us. A row is the likelier found the longer its
address's chain is, so the longest chains come first by themselves."""

SURPLUS_AT_ONCE = 8
"""Claims of one owner that a lowered cap takes at once: finding the owner costs more than all of them."""

RULE_WARN_SHARE = 0.8
"""Of `rule_routes_max`: from here on an owner is named, see `crowded_owners`."""

CROWDED_OWNERS_MAX = 64
"""Owners that are named at most: by default each of them holds more than a twentieth of the table."""

FULLEST_HOLDS_FOR = 1 << 10
"""Part of the table, 1 in so many, that gives way before the list furthest above its share is looked for again: that
takes 1 us a list."""

_GOLDEN = 0.6180339887498949
"""Multiples of the golden ratio, modulo 1, lie evenly whatever their number (Weyl 1916): a sample without chance."""

_NO_VICTIM = frozenset({b"", BY_HAND})
"""Names of rows that never give way: of free ones, and of what was added by hand."""


class Surplus(NamedTuple):
    """Claims over a cap that was lowered.

    Attributes:
        cap: The cap's label.
        rows: Claims to end.
        looked: How many rows were looked at for that.
        following: Where to go on once they are ended; None: there is no more.
    """

    cap: str
    rows: list[Row]
    looked: int
    following: int | None


class Admission:
    """Decides which claims may begin, and which give way to them; for the holder of the keeper's lock.

    Attributes:
        refusals: Counters of what could not become a claim, or not stay one.
        forgotten: Addresses and names that nobody but the tap may bring back for now.
        newcomers: While claims come back from the state file, those that came meanwhile: what was held before has room
            as if there were none.
    """

    def __init__(self, claims: ClaimStore, policies: Policies) -> None:
        """Decide about a store.

        Args:
            claims: All live claims; only read here.
            policies: The guard and the caps in force; see `configure`.
        """
        self.refusals = Refusals()
        self.forgotten = Forgotten()
        self.newcomers: Newcomers | None = None
        self._claims = claims
        self._policies = policies
        self._crowded: dict[OwnerKey, tuple[str, Name]] = {}
        self._drawn = 0.0  # where between two strides the last sample began, 0 up to 1
        self._of_name: list[Row] = []  # as `full` found them
        self._fullest = ""
        self._fullest_left = 0  # how often `_fullest` may be taken before it is looked for again
        self._new_routes = FairTokenBucket()

    def configure(self, policies: Policies) -> None:
        """Put other policies in force for what comes."""
        self._policies = policies
        self._fullest_left = 0

    def is_rate_exceeded(self, claim: Claim, owner: OwnerKey, now: float) -> bool:
        """Take a token for a claim on a new address; tell whether there was none for its owner (`new_routes_per_s`).

        None is asked for where a cap refuses the claim anyway: or an owner at its cap would use up what others need.
        """
        caps = self._policies.caps
        if caps.new_routes_per_s is None:
            return False
        cap = self.full(claim, owner)
        if cap == "rule-routes" or (cap not in (None, "claims") and not caps.evicts):
            return False
        return not self._new_routes.take(owner, caps.new_routes_per_s, now)

    def full(self, claim: Claim, owner: OwnerKey, *, was_held: bool = False, behind: str | None = None) -> str | None:
        """Name the narrowest cap that one more claim would break, as a counter's label; None: there is room.

        Args:
            claim: The newcomer, of a list that has a policy.
            owner: Key of its (list, owner).
            was_held: This instance held the claim before (as the state file says, or for another list), or a person
                adds it: the cap of its rule doesn't refuse it, and newcomers of a restore take no room.
            behind: The cap at which a claim has just given way: the one of its name is looked at once only.
        """
        claims, caps = self._claims, self._policies.caps
        address, list_name, name = claim[:3]
        newcomers = self.newcomers.rows if was_held and self.newcomers is not None else {}
        spare = len(newcomers)
        if behind != "name-routes" and name != BY_HAND:
            self._of_name = claims.by_name.rows_of(list_name, name, caps.name_routes_max)
            # the newcomers of this name alone: beside as many as there are in all, a name would grow past each look
            is_full = len(self._of_name) >= caps.name_routes_max
            of_name = sum(row in newcomers for row in self._of_name) if newcomers and is_full else 0
            if self._is_at_cap(len(self._of_name), caps.name_routes_max, of_name):
                return "name-routes"
        # Another name on an address of its owner's makes the owner's addresses no more.
        if (
            name != BY_HAND
            and claims.owners[owner] >= caps.rule_routes_max
            and not claims.is_owned_by(owner, address)
            and self._is_at_cap(claims.owners[owner], caps.rule_routes_max, spare)
            and not was_held
        ):
            return "rule-routes"
        most = self._policies.by_list[list_name].routes_max
        if (
            most is not None
            and not claims.is_held_by(list_name, address)
            and self._is_at_cap(claims.routes_of(list_name), most, spare)
        ):
            return "list-routes"
        if address not in claims.by_address and self._is_at_cap(claims.routes, caps.routes_max, spare):
            return "routes"
        # A new address may take the place of a surplus claim, and needs none where there is no surplus.
        if len(claims) > claims.routes and self._is_at_cap(len(claims), caps.claims_max, spare):
            return "claims"
        return None

    def _is_at_cap(self, count: int, cap: int, spare: int) -> bool:
        """Tell whether one more would break a cap, if that may be exceeded by `spare`; note where it will be."""
        if count < cap:
            return False
        if spare and self.newcomers is not None:
            self.newcomers.is_over = True
        return count >= cap + spare

    def victims(self, cap: str, claim: Claim, owner: OwnerKey, seen: float = math.inf) -> list[Row]:
        """Find the claims that give way at a cap, mostly one; none: the newcomer is refused.

        The cases:
          name-routes    the least recently seen of the name
          rule-routes    nothing: the newcomer is refused
          list-routes    of one address all claims of the list, and
          routes         of one address all claims: the newcomer's own owner gives way if it is the largest; else the
                         least recently seen of the largest owner, in the list furthest above its share
          claims         of the address with the most claims the one that `crowding` gives, never an address's last

        Nothing that was seen no earlier than the newcomer gives way: or two members of a fleet that are both full would
        change each other's routes with whatever was told last. Nor does what was added by hand.

        Args:
            cap: What `full` gave, just before.
            claim: The newcomer.
            owner: Key of its (list, owner).
            seen: When the newcomer was seen.
        """
        if cap == "claims":
            found = self._surplus_claim(claim, owner, seen)
            return [found] if found else []
        if not self._policies.caps.evicts or cap == "rule-routes":
            return []
        if cap != "name-routes":
            list_name = claim.list if cap == "list-routes" else None
            return self._of_largest_owner(list_name, owner, seen, addresses=1, looks=SAMPLE_ROWS)
        oldest = min(self._of_name, key=self._claims.columns.seen.__getitem__)
        return [oldest] if self._claims.columns.seen[oldest] < seen else []

    def is_crowded(self, address: Address, *, was_held: bool = False) -> bool:
        """Tell whether an address has as many claims as it may: one more needs what `crowding` finds.

        Args:
            address: The address.
            was_held: Newcomers don't count, see `full`.
        """
        following = self._claims.columns.next
        row, left = self._claims.by_address.get(address), CLAIMS_PER_ROUTE
        while row and left:  # nearly all addresses have one
            row, left = following[row], left - 1
        if left or not was_held or self.newcomers is None or not self.newcomers.rows:
            return not left
        # what gives way on an address without a newcomer would have done so without any
        self.newcomers.is_over |= any(row in self.newcomers.rows for row in self._claims.chain(address))
        return len(self._chain_before_newcomers(address)) >= CLAIMS_PER_ROUTE

    def crowding(self, claim: Claim, owner: OwnerKey, seen: float = math.inf, *, was_held: bool = False) -> Row:
        """Find the claim that gives way to one more on its crowded address, or `NONE`: the newcomer is refused.

        Whoever runs a listed domain can point any number of its names at somebody else's address. So the owner with the
        most claims there gives way, the newcomer counted; of owners that are alike one of the list with the most, for a
        public suffix on a list makes as many owners as there are names. Of these the least recently seen goes, unless
        it was seen no earlier than the newcomer, see `victims`. What was added by hand stays.

        Args:
            claim: The newcomer.
            owner: Key of its (list, owner).
            seen: When the newcomer was seen.
            was_held: Newcomers don't count, see `full`.
        """
        chain = self._chain_before_newcomers(claim.address) if was_held else self._claims.chain(claim.address)
        found = self._crowder(chain, claim, owner)
        return found if found and self._claims.columns.seen[found] < seen else NONE

    def _chain_before_newcomers(self, address: Address) -> list[Row]:
        newcomers = self.newcomers.rows if self.newcomers is not None else ()
        return [row for row in self._claims.chain(address) if row not in newcomers]

    def surplus(self, at_most: int, start: int) -> Surplus:
        """Find claims over a cap that was lowered: of a name, of a list, of all lists together, of an address.

        Args:
            at_most: How many claims to give, and rows to look at where few are the list's; more than 0.
            start: Where to go on; 0 at first.
        """
        claims, caps = self._claims, self._policies.caps
        if start < NAME_CHAINS:
            rows, start = claims.by_name.over(caps.name_routes_max, start, at_most)
            return Surplus("name-routes", rows, at_most, start)
        for list_name, of_list in claims.by_list.items():
            policy = self._policies.by_list.get(list_name)
            most = policy.routes_max if policy is not None else None
            if most is not None and of_list.routes > most:
                # Of a small list's rows a sample of all rows has hardly any: so many more are drawn.
                drawn = SAMPLE_ROWS * len(claims.columns.second) // of_list.routes
                looks = max(SAMPLE_ROWS_MAX, min(drawn, at_most))
                rows = self._over(list_name, of_list.routes - most, at_most, looks)
                if rows:
                    return Surplus("list-routes", rows, looks, start)
        if claims.routes > caps.routes_max:
            rows = self._over(None, claims.routes - caps.routes_max, at_most, SAMPLE_ROWS)
            if rows:
                return Surplus("routes", rows, SAMPLE_ROWS_MAX, start)
        if len(claims) > max(caps.claims_max, claims.routes):
            found = self._surplus_claim(None, 0, math.inf, looks=SAMPLE_ROWS_MAX)
            if found:
                return Surplus("claims", [found], SAMPLE_ROWS_MAX, start)
        return Surplus("", [], 0, None)

    # -- owners

    def name_owner(self, owner: OwnerKey, list_name: str, domain: Name) -> None:
        """Name an owner that is near the cap of its rule, for `crowded_owners`."""
        if len(self._crowded) < CROWDED_OWNERS_MAX:
            self._crowded[owner] = list_name, domain

    def crowded_owners(self) -> list[tuple[str, Name, int]]:
        """Give the owners near the cap of their rule: list, domain, and how many addresses they hold."""
        most = self._policies.caps.rule_routes_max
        held = {owner: self._claims.owners[owner] for owner in self._crowded}
        self._crowded = {owner: of for owner, of in self._crowded.items() if held[owner] >= most * RULE_WARN_SHARE / 2}
        return [(list_name, domain, held[owner]) for owner, (list_name, domain) in self._crowded.items()]

    # -- who gives way

    def _over(self, list_name: str | None, over: int, at_most: int, looks: int) -> list[Row]:
        """Find claims to end at a lowered cap: some addresses' at once while it is far away, one by one near it."""
        addresses = max(1, min(over // 16, SURPLUS_AT_ONCE, at_most))
        return self._of_largest_owner(list_name, None, math.inf, addresses=addresses, looks=looks)

    def _of_largest_owner(
        self, list_name: str | None, newcomer: OwnerKey | None, seen: float, *, addresses: int, looks: int
    ) -> list[Row]:
        """Find the claims of addresses of the owner that gives way; none where nothing may go.

        Args:
            list_name: Its claims end, and what others have on the addresses stays; None: all claims of the addresses.
            newcomer: The owner for whom room is made; it gives way itself if it is the largest of all.
            seen: Nothing that was seen then or later gives way.
            addresses: How many addresses to let go at most.
            looks: How many rows to draw.
        """
        columns = self._claims.columns
        sample = self._sample(looks, list_name)
        if newcomer is not None and sample and self._claims.owners[newcomer] >= max(sample)[0]:
            own = [one for one in sample if columns.owners[one[1]] == newcomer]
            found = self._first_to_go(own, list_name, seen, addresses)
            if found:
                return found
        of_fullest = sample
        if list_name is None:
            list_name_of, fullest = columns.lists, self._furthest_above_its_share()
            if len(self._claims.by_list) > 1:
                of_fullest = [one for one in sample if list_name_of[one[1]] == fullest]
            if len(of_fullest) < SAMPLE_ROWS // 5:
                of_fullest += self._sample(SAMPLE_ROWS_MAX, fullest)
        else:
            fullest = list_name
        # Where owners are alike, the one that ends first joins the sample: the least recently seen of all goes.
        if not of_fullest or min(of_fullest)[0] == max(of_fullest)[0]:
            entries = max(OLDEST_LOOKS_MAX, looks - SAMPLE_ROWS)
            first = self._claims.by_list[fullest].wheel.oldest(entries)
            if first is not None:
                of_fullest = [*of_fullest, (self._claims.owners[columns.owners[first]], first)]
        return self._first_to_go(of_fullest, list_name, seen, addresses) or (
            self._first_to_go(sample, list_name, seen, addresses) if list_name is None else []
        )

    def _first_to_go(
        self, sample: Sequence[tuple[int, Row]], list_name: str | None, seen: float, addresses: int
    ) -> list[Row]:
        """Of a sample's addresses give the claims of those that go first: of the largest owners, longest unseen.

        An address counts for the smallest of the owners that would lose it. So the largest owner's rows are looked at
        first, and an address that no smaller one shares can't be beaten by what follows.
        """
        when = self._claims.columns.seen
        rows = {row: count for count, row in sample if when[row] < seen}
        found: list[tuple[int, list[Row]]] = []
        unbeaten = 0
        for count in sorted(set(rows.values()), reverse=True):
            for row in sorted((row for row, of in rows.items() if of == count), key=when.__getitem__):
                losing = self._losing(row, list_name, seen)
                if losing:
                    weakest = min(self._counts(losing)) if len(losing) > 1 else count
                    found.append((-weakest, losing))
                    unbeaten += weakest == count
                if unbeaten == addresses:
                    break
            if unbeaten == addresses:
                break
        found.sort(key=itemgetter(0))
        return list(dict.fromkeys(row for _, losing in found[:addresses] for row in losing))

    def _losing(self, row: Row, list_name: str | None, seen: float) -> list[Row]:
        """Give the claims that must end for an address to go, all or those of a list; none: it may not go."""
        columns = self._claims.columns
        head = self._claims.by_address[columns.addresses[row]]
        if not columns.next[head]:
            return [row]
        losing = [one for one in columns.chain(head) if list_name is None or columns.lists[one] == list_name]
        if any(columns.names[one] == BY_HAND or columns.seen[one] >= seen for one in losing):
            return []
        return losing

    def _counts(self, rows: Sequence[Row]) -> list[int]:
        """Count the addresses of each row's owner."""
        return self._claims.owners.of_each(map(self._claims.columns.owners.__getitem__, rows))

    def _furthest_above_its_share(self) -> str:
        """Name the list that holds the most addresses above its share: an equal part, or its own cap if that is less.

        A share is what a list keeps under pressure, and never a cap: while there is room a list may hold everything.
        """
        if self._fullest_left:
            self._fullest_left -= 1
            return self._fullest
        policies, claims = self._policies, self._claims
        equal = policies.caps.routes_max // max(1, len(policies.by_list))

        def above(list_name: str) -> int:
            policy = policies.by_list.get(list_name)
            share = 0 if policy is None else min(equal, policy.routes_max or equal)
            return claims.by_list[list_name].routes - share

        # One that holds nothing, and is configured no more perhaps, has nothing that could give way.
        self._fullest = max((name for name, of_list in claims.by_list.items() if of_list.routes), key=above)
        self._fullest_left = policies.caps.routes_max // FULLEST_HOLDS_FOR
        return self._fullest

    def _sample(self, looks: int, list_name: str | None = None) -> list[tuple[int, Row]]:
        """Draw rows that may give way, evenly over all rows; every such row of a small table.

        Args:
            looks: How many rows to look at.
            list_name: Only rows of this list; None: of all.

        Returns:
            Of each row how many addresses its owner holds, and the row.
        """
        columns = self._claims.columns
        count = len(columns.second) - 1
        stride = max(1, count // looks)
        self._drawn = (self._drawn + _GOLDEN) % 1.0
        start = 1 + int(self._drawn * stride)
        places = slice(start, None, stride)
        rows = range(start, count + 1, stride)
        drawn = zip(self._claims.owners.of_each(columns.owners[places]), rows, columns.names[places], strict=True)
        if list_name is None:
            return [(size, row) for size, row, name in drawn if name not in _NO_VICTIM]
        lists = columns.lists
        return [(size, row) for size, row, name in drawn if lists[row] == list_name and name not in _NO_VICTIM]

    def _surplus_claim(
        self, newcomer: Claim | None, owner: OwnerKey, seen: float, *, looks: int = CHAINS_LOOKED_AT
    ) -> Row:
        """Find the claim to end at the cap of all claims, or `NONE`: no address was found that has another.

        Of the address's claims the one goes that would make room for one more there, see `crowding`: while an owner has
        several, the same list decides.

        Args:
            newcomer: The claims of its address are looked at, too; None: there is none.
            owner: Key of its (list, owner).
            seen: Nothing that was seen then or later gives way.
            looks: How many rows to draw.
        """
        claims, columns = self._claims, self._claims.columns
        following = columns.next
        heads = [claims.by_address[columns.addresses[row]] for _, row in self._sample(looks)]
        own = NONE if newcomer is None else claims.by_address.get(newcomer.address)
        longest, most = NONE, 1
        for head in (own, *heads) if own else heads:
            length, row = 0, head
            while row:
                length, row = length + 1, following[row]
            if length > most:
                longest, most = head, length
        if not longest:  # the last claim of an address is its route
            return NONE
        found = self._crowder(columns.chain(longest), newcomer if longest == own else None, owner)
        return found if found and columns.seen[found] < seen else NONE

    def _crowder(self, chain: Iterable[Row], newcomer: Claim | None, owner: OwnerKey) -> Row:
        """Find the claim of an address that gives way as `crowding` says, or `NONE`: all were added by hand.

        Args:
            chain: The address's claims.
            newcomer: One more to count; None: there is none.
            owner: Key of the newcomer's (list, owner).
        """
        columns = self._claims.columns
        owners, lists = columns.owners, columns.lists
        rows = [row for row in chain if columns.names[row] != BY_HAND]
        if not rows:
            return NONE
        of_owner = [owners[row] for row in rows]
        of_list = [lists[row] for row in rows]
        if newcomer is not None and newcomer.name != BY_HAND:
            of_owner.append(owner)
            of_list.append(newcomer.list)
        # Of the rows with the most alike owners those with the most alike lists, and of these the least recently seen.
        most = max(map(of_owner.count, of_owner[: len(rows)]))
        rows = [row for row in rows if of_owner.count(owners[row]) == most]
        if len(set(of_list)) > 1:
            most = max(of_list.count(lists[row]) for row in rows)
            rows = [row for row in rows if of_list.count(lists[row]) == most]
        return min(rows, key=columns.seen.__getitem__)
