"""Guard: addresses that may never become a route.

Tables: the IANA IPv4 and IPv6 special-purpose registries (RFC 6890, RFC 8190), where "globally reachable"
is not true, plus multicast and, for IPv6, everything outside 2000::/3, the only space that is given out. The longest
block decides, as in the registries. An address that carries an IPv4 address (mapped, NAT64, 6to4) is no better than
that one.

How firm a refusal is, is the block's `Tier`.
"""

import enum
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple, TypeAlias

from dnstap_bgp.core.model import Address, Prefix

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Tier(enum.IntEnum):
    """Firmness of a block's refusal: the configuration that lets its addresses become routes."""

    OPEN = 0  # nothing: the registry says that it is globally reachable
    STRICT = 1  # refused only by a strict guard: what a lab or a private network may route
    ALLOW = 2  # refused unless an `allow` prefix covers it
    NEVER = 3  # no configuration opens it: such a route would break the router itself


class AddressBlock(NamedTuple):
    """A row of the tables of special-purpose addresses.

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
    AddressBlock("0.0.0.0/8", "unspecified", Tier.NEVER),  # RFC 791, 3.2; RFC 1122, 3.2.1.3
    AddressBlock("10.0.0.0/8", "private", Tier.STRICT),  # RFC 1918
    AddressBlock("100.64.0.0/10", "shared", Tier.STRICT),  # RFC 6598
    AddressBlock("127.0.0.0/8", "loopback", Tier.NEVER),  # RFC 1122, 3.2.1.3
    AddressBlock("169.254.0.0/16", "link-local", Tier.NEVER),  # RFC 3927
    AddressBlock("172.16.0.0/12", "private", Tier.STRICT),  # RFC 1918
    AddressBlock("192.0.0.0/24", "protocol", Tier.STRICT),  # RFC 6890, 2.1; with RFC 7335, RFC 7600 and RFC 8880 inside
    AddressBlock("192.0.0.9/32", "protocol", Tier.OPEN),  # PCP anycast, RFC 7723
    AddressBlock("192.0.0.10/32", "protocol", Tier.OPEN),  # TURN anycast, RFC 8155
    AddressBlock("192.0.2.0/24", "documentation", Tier.STRICT),  # RFC 5737
    AddressBlock("192.31.196.0/24", "as112", Tier.OPEN),  # RFC 7535
    AddressBlock("192.52.193.0/24", "amt", Tier.OPEN),  # RFC 7450
    AddressBlock("192.88.99.0/24", "6to4-relay", Tier.STRICT),  # RFC 7526; 192.88.99.2: RFC 6751
    AddressBlock("192.168.0.0/16", "private", Tier.STRICT),  # RFC 1918
    AddressBlock("192.175.48.0/24", "as112", Tier.OPEN),  # RFC 7534
    AddressBlock("198.18.0.0/15", "benchmarking", Tier.STRICT),  # RFC 2544
    AddressBlock("198.51.100.0/24", "documentation", Tier.STRICT),  # RFC 5737
    AddressBlock("203.0.113.0/24", "documentation", Tier.STRICT),  # RFC 5737
    AddressBlock("224.0.0.0/4", "multicast", Tier.NEVER),  # RFC 5771
    AddressBlock("240.0.0.0/4", "reserved", Tier.ALLOW),  # RFC 1112, 4
    AddressBlock("255.255.255.255/32", "broadcast", Tier.NEVER),  # RFC 919, 7; RFC 8190
)

IPV6_BLOCKS = (
    # All that no other row names: RFC 4291, 2.4; IANA gives out 2000::/3 only.
    AddressBlock("::/0", "reserved", Tier.ALLOW),
    AddressBlock("2000::/3", "global", Tier.OPEN),  # RFC 4291, 2.5.4
    AddressBlock("::/128", "unspecified", Tier.NEVER),  # RFC 4291, 2.5.2
    AddressBlock("::1/128", "loopback", Tier.NEVER),  # RFC 4291, 2.5.3
    # RFC 4291, 2.5.5.2: for programs, not for a wire.
    AddressBlock("::ffff:0:0/96", "mapped", Tier.NEVER, slice(12, 16)),
    AddressBlock("64:ff9b::/96", "nat64", Tier.OPEN, slice(12, 16)),  # RFC 6052: as good as the address inside
    AddressBlock("64:ff9b:1::/48", "nat64-local", Tier.ALLOW),  # RFC 8215
    AddressBlock("100::/64", "discard", Tier.ALLOW),  # RFC 6666
    AddressBlock("100:0:0:1::/64", "dummy", Tier.ALLOW),  # RFC 9780
    AddressBlock("2001::/23", "protocol", Tier.STRICT),  # RFC 2928
    AddressBlock("2001::/32", "teredo", Tier.STRICT),  # RFC 4380; RFC 8190
    AddressBlock("2001:1::1/128", "protocol", Tier.OPEN),  # PCP anycast, RFC 7723
    AddressBlock("2001:1::2/128", "protocol", Tier.OPEN),  # TURN anycast, RFC 8155
    AddressBlock("2001:1::3/128", "protocol", Tier.OPEN),  # DNS-SD SRP anycast, RFC 9665
    AddressBlock("2001:2::/48", "benchmarking", Tier.STRICT),  # RFC 5180; erratum 1752
    AddressBlock("2001:3::/32", "amt", Tier.OPEN),  # RFC 7450
    AddressBlock("2001:4:112::/48", "as112", Tier.OPEN),  # RFC 7535
    AddressBlock("2001:10::/28", "orchid", Tier.STRICT),  # RFC 4843
    AddressBlock("2001:20::/28", "orchid", Tier.OPEN),  # ORCHIDv2, RFC 7343
    AddressBlock("2001:30::/28", "drip", Tier.OPEN),  # RFC 9374
    AddressBlock("2001:db8::/32", "documentation", Tier.STRICT),  # RFC 3849
    AddressBlock("2002::/16", "6to4", Tier.OPEN, slice(2, 6)),  # RFC 3056: as good as the address inside
    AddressBlock("2620:4f:8000::/48", "as112", Tier.OPEN),  # RFC 7534
    AddressBlock("3fff::/20", "documentation", Tier.STRICT),  # RFC 9637
    AddressBlock("5f00::/16", "srv6-sid", Tier.ALLOW),  # RFC 9602
    AddressBlock("fc00::/7", "private", Tier.STRICT),  # RFC 4193; RFC 8190
    AddressBlock("fe80::/10", "link-local", Tier.NEVER),  # RFC 4291, 2.5.6
    AddressBlock("fec0::/10", "site-local", Tier.ALLOW),  # RFC 3879
    AddressBlock("ff00::/8", "multicast", Tier.NEVER),  # RFC 4291, 2.7
)


class Space(NamedTuple):
    """Networks that a configuration opens and refuses beside the tables.

    Attributes:
        allow: Opened where the tier is below `NEVER`. A carried IPv4 address needs to be open by itself.
        deny: Refused; stronger than `allow`.
    """

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()


class Guard:
    """Refuses addresses that may not become a route; immutable, so that threads can share it.

    Args:
        protected: Packed addresses that are never announced (our own, next-hops, neighbors), nor what carries them, nor
            a network around them.
        strict: Refuse private, documentation, benchmarking and protocol space too.
        allow: See `Space`.
        deny: See `Space`.
        lists: List name -> what counts for that list, beside the above.
        resolvers: The addresses that answers come from: never announced either. The set may grow meanwhile; they don't
            speak against a network around them, lest a frame take away what an operator wrote.
    """

    __slots__ = ("_of_list", "_protected", "_resolvers", "_rules")

    def __init__(
        self,
        protected: Iterable[Address] = (),
        *,
        strict: bool = False,
        allow: Iterable[Network] = (),
        deny: Iterable[Network] = (),
        lists: Mapping[str, Space] | None = None,
        resolvers: AbstractSet[Address] = frozenset(),
    ) -> None:
        self._protected = frozenset(protected)
        self._resolvers = resolvers
        refused_from = Tier.STRICT if strict else Tier.ALLOW
        common = Space(tuple(allow), tuple(deny))
        self._rules = _Rules(refused_from, common)
        self._of_list = {
            name: _Rules(refused_from, Space(common.allow + space.allow, common.deny + space.deny))
            for name, space in (lists or {}).items()
            if space.allow or space.deny
        }

    def refusal(self, address: Address, list_name: str = "") -> str | None:
        """Say why an address may not become a route, as a short word that stays the same; None: it may.

        Args:
            address: Packed. Any other length than 4 or 16 is refused as `malformed`.
            list_name: The list that claims it.
        """
        if address in self._protected:
            return "protected"
        if address in self._resolvers:
            return "resolver"
        rules = self._of_list.get(list_name, self._rules)
        table = rules.tables.get(len(address))
        if table is None:
            return "malformed"
        ranges = table[address[0]]  # mostly empty: 0.2 us, where a search through the table takes 2
        if not ranges:
            return None
        value = int.from_bytes(address)
        for mask, network, reason, inner in ranges:
            if value & mask == network:
                return (inner and self.refusal(address[inner], list_name)) or reason
        return None

    def block(self, address: Address, list_name: str = "") -> Network | None:
        """Find the block or `deny` prefix for which an address is refused; None: none, or for the address itself."""
        rules = self._of_list.get(list_name, self._rules)
        value = int.from_bytes(address)
        for mask, network, reason, inner in rules.tables.get(len(address), _NO_TABLE)[address[0]]:
            if value & mask == network:
                if inner and (carried := self.block(address[inner], list_name)) is not None:
                    return carried
                length = mask.bit_count()
                text = (network.to_bytes(len(address)), length)
                return ipaddress.ip_network(text) if reason is not None else None
        return None

    def prefix_refusals(self, prefixes: Iterable[Prefix], list_name: str = "") -> Iterator[tuple[Prefix, str | None]]:
        """Say for each prefix why it may not be announced, or None: a network is no better than its worst address.

        Args:
            prefixes: Static networks and addresses.
            list_name: The list that they belong to.
        """
        rules = self._of_list.get(list_name, self._rules)
        around: dict[int, set[int]] = {}  # bits * 256 + length -> the networks around protected addresses
        for prefix in prefixes:
            if len(prefix) in rules.tables:
                yield prefix, self.refusal(prefix, list_name)
                continue
            address, length = prefix[:-1], prefix[-1]
            size = len(address) * 8
            kind = size * 256 + length
            if kind not in around:
                around[kind] = {int.from_bytes(one) >> size - length for one in self._protected if len(one) * 8 == size}
            value = int.from_bytes(address)
            if not length:
                yield prefix, "default-route"
            elif value >> size - length in around[kind]:
                yield prefix, "protected"
            elif length >= 8 and not rules.tables[len(address)][address[0]]:
                yield prefix, None
            else:
                yield prefix, rules.within(size, value, length)


_Range: TypeAlias = tuple[int, int, str | None, slice | None]  # mask, network, reason or None: open, inner
_Row: TypeAlias = tuple[Network, str | None, slice | None]


_NO_TABLE: list[list[_Range]] = [[]] * 256


class _Rules:
    """The tables of one `Space`."""

    __slots__ = ("_rows", "tables")

    def __init__(self, refused_from: Tier, space: Space) -> None:
        rows = {
            size: _rows(blocks, refused_from, _of_version(version, space.allow), _of_version(version, space.deny))
            for size, version, blocks in ((4, 4, IPV4_BLOCKS), (16, 6, IPV6_BLOCKS))
        }
        self._rows = {size * 8: _spans(of_family) for size, of_family in rows.items()}
        self.tables = {size: [_ranges(first, of_family) for first in range(256)] for size, of_family in rows.items()}

    def within(self, size: int, value: int, length: int) -> str | None:
        """Say why some address of a network is refused; None: all are open.

        Args:
            size: Bits of an address.
            value: The network's address.
            length: Its prefix length, at least 1.
        """
        last = value | (1 << size - length) - 1
        opened: list[tuple[int, int]] = []
        for first, end, reason, inner in self._rows[size]:
            if first <= value and last <= end:
                return (inner and self._carried(size, value, length, inner)) or reason
            inside = value <= first and end <= last
            if not inside:
                continue
            if reason is None:
                opened.append((first, end))
            elif not any(low <= first and end <= high for low, high in opened):
                return reason
        return None

    def _carried(self, size: int, value: int, length: int, inner: slice) -> str | None:
        """Say why the IPv4 addresses that a network carries are refused; the whole of a carrier is open."""
        fixed = min(32, length - inner.start * 8)
        if fixed <= 0:
            return None
        carried = value >> size - inner.stop * 8 & 0xFFFFFFFF
        return self.within(32, carried, fixed)


def _of_version(version: int, networks: tuple[Network, ...]) -> list[Network]:
    return [network for network in networks if network.version == version]


def _rows(blocks: Iterable[AddressBlock], refused_from: Tier, allow: list[Network], deny: list[Network]) -> list[_Row]:
    """List all ranges of a family, in the order in which the first that fits decides.

    An address is denied, or in a block that nothing opens, or allowed, or in the block with the longest prefix.
    """
    rows: list[_Row] = [(network, "denied", None) for network in deny]
    known = sorted(((ipaddress.ip_network(b.prefix), b) for b in blocks), key=lambda pair: -pair[0].prefixlen)
    rows += [(network, b.reason, b.inner) for network, b in known if b.tier is Tier.NEVER]
    carriers = [(network, b) for network, b in known if b.inner and b.tier is not Tier.NEVER]
    rows += [(network, None, b.inner) for network, b in carriers]
    rows += [(network, None, None) for network in allow]
    rows += [(network, b.reason if b.tier >= refused_from else None, b.inner) for network, b in known if not b.inner]
    return rows


def _spans(rows: list[_Row]) -> list[tuple[int, int, str | None, slice | None]]:
    return [
        (int(network.network_address), int(network.broadcast_address), reason, inner) for network, reason, inner in rows
    ]


def _ranges(first: int, rows: list[_Row]) -> list[_Range]:
    """List the rows that tell apart the addresses with this first byte; none where all of them are open."""
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
