r"""The vocabulary as types: what the rings hand to each other.

Names are presentation format as bytes: lower-case, without the trailing dot; in a label every byte outside
`!`..`~`, and the bytes `.` and `\`, stand as `\DDD` (RFC 1035, 5.1), so that splitting at `.` is always exact.
Addresses are packed: 4 bytes for IPv4, 16 for IPv6. A prefix is a packed address (a host route, /32 or /128) or,
for a static network, the packed address followed by one byte with its length (5 or 17 bytes).
Times are seconds of the process clock (CLOCK_BOOTTIME), never wall-clock.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

Name: TypeAlias = bytes
Address: TypeAlias = bytes
Prefix: TypeAlias = bytes

BY_HAND: Name = b"by hand"
"""Stands for the name of a claim that a person made: no name has a space, so that no rule speaks for it."""

Sighting: TypeAlias = tuple[Address, str, Name, int]
"""(address, list, name, dns_ttl_s): one address seen in one answer, and the list and name that claim it.

`list` is the list's name; `dns_ttl_s` the smallest TTL on the way from the name to the address."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What one announcement says beside its prefix.

    Equal values should be one object: the tables compare by identity first.

    Attributes:
        next_hop: Packed, of the prefix's own family.
        communities: As ExaBGP writes them: `65001:100`, `no-export` (RFC 1997).
        large_communities: `65001:1:2` (RFC 8092).
        local_preference: 0..2^32-1, or None: not said.
        med: 0..2^32-1, or None: not said.
        neighbors: Addresses in text of the BGP neighbors that get it; empty: all of them.
    """

    next_hop: Address
    communities: tuple[str, ...] = ()
    large_communities: tuple[str, ...] = ()
    local_preference: int | None = None
    med: int | None = None
    neighbors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DnsTtl:
    """A lifetime that follows the record's own TTL, within bounds.

    Attributes:
        min_s: A shorter TTL counts as this: an address that changes every few seconds would only flap.
        max_s: A longer TTL counts as this.
        grace_s: Added to each: clients and their connections hold on to an address longer than the record says.
    """

    min_s: float
    max_s: float
    grace_s: float

    def lifetime_s(self, dns_ttl_s: float) -> float:
        """How long a claim outlives a sighting with this TTL."""
        return min(max(dns_ttl_s, self.min_s), self.max_s) + self.grace_s

    def within_s(self, lifetime_s: float) -> float:
        """The nearest lifetime that some TTL gives."""
        return self.lifetime_s(lifetime_s - self.grace_s)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a list asks for the addresses that its names claim.

    Attributes:
        list: The list's name.
        ipv4: Attributes of its /32 routes; None: the list announces no IPv4.
        ipv6: Attributes of its /128 routes; None: the list announces no IPv6.
        ttl_s: How long a claim outlives its last sighting, unless `dns_ttl` says it.
        dns_ttl: The record's own TTL decides; None: `ttl_s`.
        routes_max: How many addresses its names may hold; None: as many as all lists together.
    """

    list: str
    ipv4: Attributes | None
    ipv6: Attributes | None
    ttl_s: float
    dns_ttl: DnsTtl | None = None
    routes_max: int | None = None

    def attributes(self, prefix: Prefix) -> Attributes | None:
        """The attributes of the prefix's family."""
        return self.ipv4 if len(prefix) < 16 else self.ipv6

    def lifetime_s(self, dns_ttl_s: int) -> float:
        """How long a claim outlives a sighting with this TTL."""
        return self.ttl_s if self.dns_ttl is None else self.dns_ttl.lifetime_s(dns_ttl_s)

    def held_s(self, lifetime_s: float) -> float:
        """How long a claim lives that had this lifetime under an earlier policy."""
        return self.ttl_s if self.dns_ttl is None else self.dns_ttl.within_s(lifetime_s)


class Change(NamedTuple):
    """What the table wants of one prefix from now on: these attributes, or (None) no route."""

    prefix: Prefix
    attributes: Attributes | None


class Claim(NamedTuple):
    """A claim as it is copied out of the table: a (list, name) that holds an address until `seen + ttl_s`.

    Attributes:
        address: Packed.
        list: The list's name.
        name: The name of the chain that matched.
        seen: When it was last seen, process clock.
        first: When it was first seen, process clock.
        ttl_s: How long it outlives `seen`.
    """

    address: Address
    list: str
    name: Name
    seen: float
    first: float
    ttl_s: float
