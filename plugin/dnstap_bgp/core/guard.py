"""Which addresses may never become a route.

Tables: the IANA IPv4 and IPv6 special-purpose registries (RFC 6890, RFC 8190), where "globally reachable"
is not true, plus multicast and, for IPv6, everything outside 2000::/3, the only space that is given out. The longest
block decides, as in the registries. An address that carries an IPv4 address (mapped, NAT64, 6to4) is no better than
that one.

How firm a refusal is, is the block's `Tier`.
"""

import enum
import ipaddress
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from dnstap_bgp.core.model import Address

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Tier(enum.IntEnum):
    """What it takes to let an address of a block become a route."""

    OPEN = 0  # nothing: the registry says that it is globally reachable
    STRICT = 1  # refused only by a strict guard: what a lab or a private network may route
    ALLOW = 2  # refused unless an `allow` prefix covers it
    NEVER = 3  # no configuration opens it: such a route would break the router itself


class Block(NamedTuple):
    """A row of the tables.

    Attributes:
        prefix: The block.
        reason: Why it is refused, a short word that stays the same: a counter's label.
        tier: How firmly.
        inner: Where its addresses carry an IPv4 address, which must be good too.
    """

    prefix: str
    reason: str
    tier: Tier
    inner: slice | None = None


IPV4_BLOCKS = (
    Block("0.0.0.0/8", "unspecified", Tier.NEVER),  # RFC 791, 3.2; RFC 1122, 3.2.1.3
    Block("10.0.0.0/8", "private", Tier.STRICT),  # RFC 1918
    Block("100.64.0.0/10", "shared", Tier.STRICT),  # RFC 6598
    Block("127.0.0.0/8", "loopback", Tier.NEVER),  # RFC 1122, 3.2.1.3
    Block("169.254.0.0/16", "link-local", Tier.NEVER),  # RFC 3927
    Block("172.16.0.0/12", "private", Tier.STRICT),  # RFC 1918
    Block("192.0.0.0/24", "protocol", Tier.STRICT),  # RFC 6890, 2.1; with RFC 7335, RFC 7600 and RFC 8880 inside
    Block("192.0.0.9/32", "protocol", Tier.OPEN),  # PCP anycast, RFC 7723
    Block("192.0.0.10/32", "protocol", Tier.OPEN),  # TURN anycast, RFC 8155
    Block("192.0.2.0/24", "documentation", Tier.STRICT),  # RFC 5737
    Block("192.31.196.0/24", "as112", Tier.OPEN),  # RFC 7535
    Block("192.52.193.0/24", "amt", Tier.OPEN),  # RFC 7450
    Block("192.88.99.0/24", "6to4-relay", Tier.STRICT),  # RFC 7526; 192.88.99.2: RFC 6751
    Block("192.168.0.0/16", "private", Tier.STRICT),  # RFC 1918
    Block("192.175.48.0/24", "as112", Tier.OPEN),  # RFC 7534
    Block("198.18.0.0/15", "benchmarking", Tier.STRICT),  # RFC 2544
    Block("198.51.100.0/24", "documentation", Tier.STRICT),  # RFC 5737
    Block("203.0.113.0/24", "documentation", Tier.STRICT),  # RFC 5737
    Block("224.0.0.0/4", "multicast", Tier.NEVER),  # RFC 5771
    Block("240.0.0.0/4", "reserved", Tier.ALLOW),  # RFC 1112, 4
    Block("255.255.255.255/32", "broadcast", Tier.NEVER),  # RFC 919, 7; RFC 8190
)

IPV6_BLOCKS = (
    Block("::/0", "reserved", Tier.ALLOW),  # all that no other row names: RFC 4291, 2.4; IANA gives out 2000::/3 only
    Block("2000::/3", "global", Tier.OPEN),  # RFC 4291, 2.5.4
    Block("::/128", "unspecified", Tier.NEVER),  # RFC 4291, 2.5.2
    Block("::1/128", "loopback", Tier.NEVER),  # RFC 4291, 2.5.3
    Block("::ffff:0:0/96", "mapped", Tier.NEVER, slice(12, 16)),  # RFC 4291, 2.5.5.2: for programs, not for a wire
    Block("64:ff9b::/96", "nat64", Tier.OPEN, slice(12, 16)),  # RFC 6052: as good as the address inside
    Block("64:ff9b:1::/48", "nat64-local", Tier.ALLOW),  # RFC 8215
    Block("100::/64", "discard", Tier.ALLOW),  # RFC 6666
    Block("100:0:0:1::/64", "dummy", Tier.ALLOW),  # RFC 9780
    Block("2001::/23", "protocol", Tier.STRICT),  # RFC 2928
    Block("2001::/32", "teredo", Tier.STRICT),  # RFC 4380; RFC 8190
    Block("2001:1::1/128", "protocol", Tier.OPEN),  # PCP anycast, RFC 7723
    Block("2001:1::2/128", "protocol", Tier.OPEN),  # TURN anycast, RFC 8155
    Block("2001:1::3/128", "protocol", Tier.OPEN),  # DNS-SD SRP anycast, RFC 9665
    Block("2001:2::/48", "benchmarking", Tier.STRICT),  # RFC 5180; erratum 1752
    Block("2001:3::/32", "amt", Tier.OPEN),  # RFC 7450
    Block("2001:4:112::/48", "as112", Tier.OPEN),  # RFC 7535
    Block("2001:10::/28", "orchid", Tier.STRICT),  # RFC 4843
    Block("2001:20::/28", "orchid", Tier.OPEN),  # ORCHIDv2, RFC 7343
    Block("2001:30::/28", "drip", Tier.OPEN),  # RFC 9374
    Block("2001:db8::/32", "documentation", Tier.STRICT),  # RFC 3849
    Block("2002::/16", "6to4", Tier.OPEN, slice(2, 6)),  # RFC 3056: as good as the address inside
    Block("2620:4f:8000::/48", "as112", Tier.OPEN),  # RFC 7534
    Block("3fff::/20", "documentation", Tier.STRICT),  # RFC 9637
    Block("5f00::/16", "srv6-sid", Tier.ALLOW),  # RFC 9602
    Block("fc00::/7", "private", Tier.STRICT),  # RFC 4193; RFC 8190
    Block("fe80::/10", "link-local", Tier.NEVER),  # RFC 4291, 2.5.6
    Block("fec0::/10", "site-local", Tier.ALLOW),  # RFC 3879
    Block("ff00::/8", "multicast", Tier.NEVER),  # RFC 4291, 2.7
)


class Guard:
    """Says which addresses may not become a route; immutable, free to be shared by threads.

    Args:
        protected: Packed addresses that are never announced (our own, next-hops, neighbors), nor what carries them.
        strict: Refuse private, documentation, benchmarking and protocol space too.
        allow: Opens these prefixes where the tier is below `NEVER`. A carried IPv4 address needs to be open by itself.
        deny: Refuses these prefixes; stronger than `allow`.
    """

    __slots__ = ("_protected", "_tables")

    def __init__(
        self,
        protected: Iterable[Address] = (),
        *,
        strict: bool = False,
        allow: Iterable[Network] = (),
        deny: Iterable[Network] = (),
    ) -> None:
        self._protected = frozenset(protected)
        refused_from = Tier.STRICT if strict else Tier.ALLOW
        opened, denied = tuple(allow), tuple(deny)
        self._tables = {
            4: _table(IPV4_BLOCKS, refused_from, _of_version(4, opened), _of_version(4, denied)),
            16: _table(IPV6_BLOCKS, refused_from, _of_version(6, opened), _of_version(6, denied)),
        }

    def refusal(self, address: Address) -> str | None:
        """Why the address may not become a route, as a short word that stays the same; None: it may.

        Args:
            address: Packed. Any other length than 4 or 16 is refused as `malformed`.
        """
        if address in self._protected:
            return "protected"
        table = self._tables.get(len(address))
        if table is None:
            return "malformed"
        ranges = table[address[0]]  # mostly empty: 0.2 us, where a search through the table takes 2
        if not ranges:
            return None
        value = int.from_bytes(address)
        for mask, network, reason, inner in ranges:
            if value & mask == network:
                return (inner and self.refusal(address[inner])) or reason
        return None


_Range: TypeAlias = tuple[int, int, str | None, slice | None]  # mask, network, reason or None: open, inner


def _of_version(version: int, networks: tuple[Network, ...]) -> list[Network]:
    return [network for network in networks if network.version == version]


def _table(
    blocks: Iterable[Block], refused_from: Tier, allow: list[Network], deny: list[Network]
) -> list[list[_Range]]:
    """Give each first byte its ranges, in the order in which the first that fits decides.

    An address is denied, or in a block that nothing opens, or allowed, or in the block with the longest prefix.
    """
    rows: list[tuple[Network, str | None, slice | None]] = [(network, "denied", None) for network in deny]
    known = sorted(((ipaddress.ip_network(b.prefix), b) for b in blocks), key=lambda pair: -pair[0].prefixlen)
    rows += [(network, b.reason, b.inner) for network, b in known if b.tier is Tier.NEVER]
    carriers = [(network, b) for network, b in known if b.inner and b.tier is not Tier.NEVER]
    rows += [(network, None, b.inner) for network, b in carriers]
    rows += [(network, None, None) for network in allow]
    rows += [(network, b.reason if b.tier >= refused_from else None, b.inner) for network, b in known if not b.inner]
    return [_ranges(first, rows) for first in range(256)]


def _ranges(first: int, rows: list[tuple[Network, str | None, slice | None]]) -> list[_Range]:
    """The rows that tell apart the addresses with this first byte; none where all of them are open."""
    ranges: list[_Range] = []
    for network, reason, inner in rows:
        size = network.max_prefixlen
        low = int(network.network_address) >> size - 8
        high = int(network.broadcast_address) >> size - 8
        if low <= first <= high:
            ranges.append((int(network.netmask), int(network.network_address), reason, inner))
            if network.prefixlen <= 8:
                break  # decides for all that is left
    return ranges if any(reason or inner for _, _, reason, inner in ranges) else []
