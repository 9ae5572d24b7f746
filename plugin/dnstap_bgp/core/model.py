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
class Policy:
    """What a list asks for the addresses that its names claim.

    Attributes:
        list: The list's name.
        ipv4: Attributes of its /32 routes; None: the list announces no IPv4.
        ipv6: Attributes of its /128 routes; None: the list announces no IPv6.
        ttl_s: How long a claim outlives its last sighting.
    """

    list: str
    ipv4: Attributes | None
    ipv6: Attributes | None
    ttl_s: float


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
