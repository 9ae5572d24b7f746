"""The claims that are held, and the routes that follow from them: found by address, by name and by who ends first.

Whatever a claim's beginning and end must keep in step is kept here: its row, the three ways to find it, the counts, and
what is noted of its end. Who may begin and what must end is not decided here: see `table` for what is seen and what is
over, `room` for guard and caps, `elsewhere` for state file and peers, `by_hand` for people, `revision` for a reload.
"""

from array import array
from collections.abc import Iterator
from itertools import islice

from dnstap_bgp.core.model import Address, Attributes, Change, Claim, Name
from dnstap_bgp.core.prefixmap import NumberMap
from dnstap_bgp.core.routes.claims import NONE, HeldClaims, Names, Row
from dnstap_bgp.core.routes.deadlines import ListDeadlines
from dnstap_bgp.core.routes.past import Past
from dnstap_bgp.core.routes.policies import Policies

CLAIMS_PER_ROUTE = 32
"""More names than this on one address add nothing to the decision; the least recently seen gives way."""


class HeldRoutes:
    """All claims, by address.

    Attributes:
        policies: What is asked for now.
        past: What was refused, and the claims that ended last.
        claims: How many live claims there are.
        ended: How many claims there were that are no more.
        size_ipv6: How many of the addresses are IPv6.
        recording: Whether somebody takes `dirty()`: there is a state file, or somebody watches.
        rows: The claims themselves; this and what follows is for those who decide.
        by_address: Address -> the first row of its chain.
        by_name: Finds the rows of a name.
        by_list: List name -> its rows in the order in which they end, and how many addresses they hold.
    """

    def __init__(self, policies: Policies, *, recording: bool) -> None:
        self.policies = policies
        self.past = Past()
        self.claims = self.ended = self.size_ipv6 = 0
        self.recording = recording
        self.rows = HeldClaims()
        self.by_address = NumberMap()
        self.by_name = Names(self.rows)
        self.by_list = ListDeadlines(self.rows)
        self._size = 0
        self._dirty = array("I")

    # -- copies of what is held

    def __len__(self) -> int:
        """How many addresses are claimed."""
        return self._size

    def routes_of(self, list_name: str) -> int:
        """How many addresses a list's claims hold."""
        return self.by_list[list_name].routes if list_name in self.by_list else 0

    def ipv6_routes_of(self, list_name: str) -> int:
        """How many of these are IPv6."""
        return self.by_list[list_name].routes_ipv6 if list_name in self.by_list else 0

    def wanted(self, address: Address) -> Attributes | None:
        """The attributes with which the address should be announced, or None."""
        return self.wanted_by(address, self.by_address.get(address))

    def claims_of(self, address: Address) -> list[Claim]:
        """Copies of the address's live claims."""
        return [self.rows.copy(row) for row in self.chain(address)]

    def claims_by(self, name: Name, at_most: int) -> list[Claim]:
        """Copies of a name's live claims, in all lists."""
        found = (row for list_name in self.by_list for row in self.by_name.of(list_name, name, 1))
        return [self.rows.copy(row) for row in islice(found, at_most)]

    def names(self, shard: int) -> set[Name]:
        """The names that hold claims in one shard."""
        return {self.rows.names[row] for row in self.of_shard(shard)}

    def addresses(self, shard: int) -> list[Address]:
        """The addresses of one shard, for a walk."""
        return list(self.by_address.places[shard])

    def dirty(self) -> list[Claim]:
        """Copies of the claims that are new, or whose deadline moved far enough, since the last call."""
        dirty, self._dirty = self._dirty, array("I")
        return [self.rows.copy(row) for row in dirty if self.rows.second[row]]

    def unrecorded(self, shard: int) -> list[Claim]:
        """The claims of one shard that were seen after their last record: for the last save of a process."""
        rows = self.rows
        return [rows.copy(row) for row in self.of_shard(shard) if rows.seen[row] > rows.recorded[row]]

    # -- for those who decide

    def chain(self, address: Address) -> Iterator[Row]:
        """The claims of an address; the one at hand may be ended."""
        return self.rows.chain(self.by_address.get(address))

    def of_shard(self, shard: int) -> Iterator[Row]:
        """The claims of all addresses of one shard; the one at hand may be ended."""
        return (row for address in self.addresses(shard) for row in self.chain(address))

    def find(self, address: Address, list_name: str, name: Name) -> Row:
        """The one claim of this (list, name) on this address, or `NONE`."""
        rows = self.rows
        found = (row for row in self.chain(address) if rows.names[row] == name and rows.lists[row] == list_name)
        return next(found, NONE)

    def is_held_by(self, list_name: str, address: Address) -> bool:
        """Whether the list has a claim on the address."""
        return any(self.rows.lists[row] == list_name for row in self.chain(address))

    def wanted_by(self, address: Address, head: Row) -> Attributes | None:
        """What `wanted` is, where the first row of the address is at hand."""
        policies, rows = self.policies, self.rows
        if not head:
            return policies.statics.announced.get(address)
        if not rows.next[head] and not policies.statics:
            policy = policies.by_list.get(rows.lists[head])
            return None if policy is None else policy.ipv4 if len(address) == 4 else policy.ipv6
        return policies.wanted(address, [rows.lists[row] for row in rows.chain(head)])

    def note(self, address: Address, before: Attributes | None, changes: list[Change]) -> None:
        """Add the change of an address, if what is wanted of it is another than before."""
        after = self.wanted(address)
        if after is not before:
            changes.append(Change(address, after))

    def record(self, row: Row) -> None:
        """Have `dirty` give the claim as it is now."""
        self.rows.recorded[row] = self.rows.seen[row]
        if self.recording:
            self._dirty.append(row)

    def begin(self, claim: Claim) -> Row:
        """Hang a new claim in front of the address's others; at their limit the least recently seen ends.

        What becomes of the address is for the caller to `note`.
        """
        address, of_list = claim.address, self.by_list[claim.list]
        head = self.by_address.get(address)
        if not head:
            self._size += 1
            self.size_ipv6 += len(address) == 16
        elif self.rows.next[head]:
            chain = list(self.rows.chain(head))
            if len(chain) >= CLAIMS_PER_ROUTE:
                self.end(min(chain, key=self.rows.seen.__getitem__), "crowded", [])
                head = self.by_address[address]
        if not head or not self.is_held_by(claim.list, address):
            of_list.routes += 1
            of_list.routes_ipv6 += len(address) == 16
        row = self.rows.add(claim, head)
        self.by_address[address] = row
        self.by_name.add(row)
        self.claims += 1
        of_list.schedule(row)
        return row

    def end(self, row: Row, reason: str, changes: list[Change]) -> None:
        """Take a claim out; its entry in a bucket is passed over when its second comes.

        Args:
            row: The claim.
            reason: For `past`.
            changes: Gets the change of its address, if there is one.
        """
        rows = self.rows
        address, list_name = rows.addresses[row], rows.lists[row]
        of_list, before = self.by_list[list_name], self.wanted(address)
        of_list.leave(row)
        self.by_name.discard(row)
        self.claims -= 1
        self.ended += 1
        self.past.end(reason, address, list_name, rows.names[row])
        if not self._unhang(address, row) or not self.is_held_by(list_name, address):
            of_list.routes -= 1
            of_list.routes_ipv6 -= len(address) == 16
        rows.free(row)
        self.note(address, before, changes)

    def _unhang(self, address: Address, row: Row) -> Row:
        """Take a row out of its address's chain, and the address with the last of them; gives what is first now."""
        rows = self.rows
        head, following = self.by_address[address], rows.next[row]
        if head != row:
            previous = next(other for other in rows.chain(head) if rows.next[other] == row)
            rows.next[previous] = following
            return head
        if following:
            self.by_address[address] = following
        else:
            del self.by_address[address]
            self._size -= 1
            self.size_ipv6 -= len(address) == 16
        return following
