r"""Types that the rings hand to each other: names, addresses, prefixes, attributes, policies, changes, claims.

Names are presentation format as bytes: lower-case, without the trailing dot; in a label every byte outside
`!`..`~`, and the bytes `.` and `\`, stand as `\DDD` (RFC 1035, 5.1), so that splitting at `.` is always exact.
Addresses are packed: 4 bytes for IPv4, 16 for IPv6. A prefix is a packed address (a host route, /32 or /128) or,
for a static network, the packed address followed by one byte with its length (5 or 17 bytes).
Times are seconds of the process clock (CLOCK_BOOTTIME), never wall-clock.
"""

from collections.abc import Iterable
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
    """Path attributes of an announcement (RFC 4271, 5), and the neighbors that get it.

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


UNKNOWN_ATTRIBUTES = (Attributes(bytes((192, 0, 0, 8))), Attributes(bytes.fromhex("0100000000000001") + bytes(8)))
"""Stand for attributes that ExaBGP was told and nobody knows, by family: the dummy addresses of RFC 7600 and RFC 9780.
A withdraw may name them; nothing is announced with them."""


def unknown_attributes(prefix: Prefix) -> Attributes:
    """Give what stands for the unknown attributes of a prefix."""
    return UNKNOWN_ATTRIBUTES[len(prefix) >= 16]


@dataclass(frozen=True, slots=True, eq=False)
class Audience:
    """A set of BGP neighbors: those named, or everyone except those.

    Attributes:
        names: The neighbors' addresses in text, in the order of their first mention.
        is_except: Whether the names are left out; everyone else is meant, known or not.
    """

    names: tuple[str, ...] = ()
    is_except: bool = False

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Audience)
            and self.is_except == other.is_except
            and frozenset(self.names) == frozenset(other.names)
        )

    def __hash__(self) -> int:
        return hash((frozenset(self.names), self.is_except))

    def __bool__(self) -> bool:
        """Tell whether there can be a neighbor in it."""
        return self.is_except or bool(self.names)

    def __contains__(self, address: str) -> bool:
        return (address in self.names) != self.is_except

    def __and__(self, other: "Audience") -> "Audience":
        """Intersect two sets."""
        if not self.is_except:
            return Audience(tuple(name for name in self.names if name in other))
        if not other.is_except:
            return other & self
        return Audience(tuple(dict.fromkeys((*self.names, *other.names))), is_except=True)

    def __sub__(self, other: "Audience") -> "Audience":
        """Leave the other set's neighbors out."""
        return self & Audience(other.names, is_except=not other.is_except)

    def __or__(self, other: "Audience") -> "Audience":
        """Unite two sets."""
        neither = Audience(self.names, not self.is_except) & Audience(other.names, not other.is_except)
        return Audience(neither.names, not neither.is_except)

    def __str__(self) -> str:
        if not self.is_except:
            return ", ".join(self.names)
        return f"everyone except {', '.join(self.names)}" if self.names else "everyone"


EVERYONE = Audience(is_except=True)


class ViewPrefix(NamedTuple):
    """A prefix as the neighbors of one view have it: what records are about where there is more than one view."""

    prefix: Prefix
    audience: Audience


RibKey: TypeAlias = Prefix | ViewPrefix
"""Prefix of a record: for all neighbors, or for those of one view."""

RibRecord: TypeAlias = tuple[RibKey, Attributes | None]
"""Record of the state file: announced with these attributes; None: withdrawn. The later one of a neighbor counts."""


def is_of_views(keys: Iterable[RibKey]) -> bool:
    """Tell whether some record is about the neighbors of one view, so that the state file is of version 2."""
    return not set(map(type, keys)) <= {bytes}  # in C: a loop would be a tenth of what writing a record takes


@dataclass(frozen=True, slots=True)
class PerView(Attributes):
    """Wish for a prefix where there is more than one view; read as plain attributes, those of the first list.

    Attributes:
        by_view: The attributes for each of the policies' views; None: no route there.
    """

    by_view: tuple[Attributes | None, ...] = ()


@dataclass(frozen=True, slots=True)
class DnsTtl:
    """Lifetime of a claim that follows the record's own TTL, within bounds.

    Attributes:
        min_s: A shorter TTL counts as this: an address that changes every few seconds would only flap.
        max_s: A longer TTL counts as this.
        grace_s: Added to each: clients and their connections hold on to an address longer than the record says.
    """

    min_s: float
    max_s: float
    grace_s: float

    def lifetime_s(self, dns_ttl_s: float) -> float:
        """Work out how long a claim outlives a sighting with this TTL."""
        return min(max(dns_ttl_s, self.min_s), self.max_s) + self.grace_s

    def within_s(self, lifetime_s: float) -> float:
        """Give the nearest lifetime that some TTL gives."""
        return self.lifetime_s(lifetime_s - self.grace_s)


@dataclass(frozen=True, slots=True)
class Policy:
    """Policy of a list: attributes and lifetime of the addresses that its names claim.

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
        """Give the attributes of the prefix's family."""
        return self.ipv4 if len(prefix) < 16 else self.ipv6

    def lifetime_s(self, dns_ttl_s: int) -> float:
        """Work out how long a claim outlives a sighting with this TTL."""
        return self.ttl_s if self.dns_ttl is None else self.dns_ttl.lifetime_s(dns_ttl_s)

    def held_s(self, lifetime_s: float) -> float:
        """Work out the lifetime of a claim that had this one under an earlier policy."""
        return self.ttl_s if self.dns_ttl is None else self.dns_ttl.within_s(lifetime_s)


class Change(NamedTuple):
    """State of one prefix that is wanted from now on: these attributes, or (None) no route."""

    prefix: Prefix
    attributes: Attributes | None


class Claim(NamedTuple):
    """Copy of a claim: a (list, name) that holds an address until `seen + ttl_s`.

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
