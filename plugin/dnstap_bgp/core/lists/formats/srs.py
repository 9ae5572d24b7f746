r"""Binary rule-sets of sing-box (`.srs`): the same rules as in source form (sing_box.py), packed.

    "SRS", version        4 bytes; what follows is one zlib stream of:
    count                 of the rules, a varint as in protobuf; then each rule:
      0, items, 255, inverse      an item is its type, a byte, and what that type has
      1, mode, count, rules, inverse      a logical rule

Names are the leaves of a succinct trie, level by level: `labels` has the byte of each edge, and `bitmap` says for each
node, in the order of the labels, how many edges it has (so many zeros, then a one). So a node's number is that of its
label and one, and a whole level is known before the next one begins. The names are backwards; a byte behind them says
that a suffix is meant: `\n` the name and all below it, `\r` (behind a dot) only what lies below.

Laid out as in sing-box' common/srs and sing's common/domain, of which nothing is taken over.
"""

import ipaddress
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from itertools import islice
from typing import cast

from dnstap_bgp.core.lists.formats.sing_box import LOGICAL_DEPTH_MAX, VERSIONS, with_conditions
from dnstap_bgp.core.lists.lines import (
    Detection,
    Document,
    DocumentReader,
    Item,
    Skipped,
    SkippedKind,
    document_format,
    expression,
    keyword,
    plain_rule,
)
from dnstap_bgp.core.lists.rules import RuleKind
from dnstap_bgp.core.model import Prefix
from dnstap_bgp.errors import ListError

FILE_MAX_BYTES = 64 << 20
"""Bytes of a file; the largest in use have 2 MB."""

INFLATED_MAX_BYTES = 32 << 20
"""Bytes of what is packed in it: a million names have 15 MB, which take eight times as much while they are read."""

PREFIXES_MAX = 250_000
"""Prefixes of a file, more than all lists together may have: a range of 34 bytes may be 254 of them, so that a file of
some kilobytes could fill the memory before anybody counts."""

PATTERNS_MAX = 250_000
"""Keywords and expressions of a file: all lists together may have 6,000. Each takes 150 bytes, for as little as two in
the file, and an expression 10 us."""

LOGICAL_ITEMS_MAX = 4_000_000
"""Items of a logical rule, which are kept until all of it is read: as many as all lists may have rules."""

KEY_MAX_BYTES = 300
"""Bytes of a name in a trie with its marks, more than any name has: a trie may be as deep as it is long."""

_MAGIC = b"SRS"
_HEADER_BYTES = 4
_VARINT_BYTES_MAX = 10
_FINAL = 0xFF
_MAPPED = bytes(10) + b"\xff\xff"  # before an IPv4 address in IPv6 form
_PREFIX_MARK, _ROOT_MARK, _ANY_MARK, _OPEN_MARK = b"\r", b"\n", b"*", b"\b"

_PARTS = Skipped(SkippedKind.PATTERN, "parts of names, or names with `*`")


class _Bytes:
    """Reader of the unpacked bytes, which knows where it is, and how many prefixes and texts they have given so far."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.at = 0
        self.prefixes = self.patterns = 0

    @property
    def is_at_end(self) -> bool:
        return self.at == len(self._content)

    def fault(self, what: str) -> ListError:
        return ListError(f"at byte {self.at} of its unpacked content: {what}")

    def take(self, size: int) -> bytes:
        if size > len(self._content) - self.at:
            raise self.fault(f"it is cut: {size} bytes should follow, and {len(self._content) - self.at} do")
        self.at += size
        return self._content[self.at - size : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        value = 0
        for number in range(_VARINT_BYTES_MAX):
            byte = self.byte()
            value |= (byte & 0x7F) << 7 * number
            if byte < 0x80:
                return value
        raise self.fault("a number of more than 64 bits")

    def texts(self) -> Iterator[str]:
        for _ in range(self.varint()):
            self.patterns += 1
            if self.patterns > PATTERNS_MAX:
                raise self.fault(f"more than {PATTERNS_MAX} keywords and expressions")
            yield self.take(self.varint()).decode(errors="replace")


def _open(content: bytes) -> DocumentReader:
    """Open a binary rule-set.

    Raises:
        ListError: It is none, of another version, damaged or too large.
    """
    if not content.startswith(_MAGIC) or len(content) < _HEADER_BYTES:
        raise ListError("no binary rule-set of sing-box, which begins with `SRS`")
    version = content[len(_MAGIC)]
    if version not in VERSIONS:
        raise ListError(f"a rule-set of the version {version}: {VERSIONS[0]} to {VERSIONS[-1]} are read")
    inflater = zlib.decompressobj()
    try:
        unpacked = inflater.decompress(content[_HEADER_BYTES:], INFLATED_MAX_BYTES)
    except zlib.error as error:
        raise ListError(f"it can't be decompressed: {error}") from None
    if inflater.unconsumed_tail:
        raise ListError(f"more than {INFLATED_MAX_BYTES} bytes are packed in it")
    if not inflater.eof:
        raise ListError(f"it is cut: its compressed content ends in the middle, after {len(unpacked)} bytes")
    if inflater.unused_data:
        raise ListError(f"{len(inflater.unused_data)} bytes of something else follow its compressed content")
    return lambda _: _rules(_Bytes(unpacked))


def _rules(data: _Bytes) -> Iterator[tuple[int, Item]]:
    for number in range(1, data.varint() + 1):
        for item in _rule(data, 0):
            yield number, item
    if not data.is_at_end:
        raise data.fault("something follows the last rule")


def _rule(data: _Bytes, depth: int) -> Iterator[Item]:
    kind = data.byte()
    if kind == 0:
        yield from _default(data)
    elif kind == 1:
        yield from _logical(data, depth)
    else:
        raise data.fault(f"no rule has the type {kind}")


def _default(data: _Bytes) -> Iterator[Item]:
    """Read a rule: its names count where nothing else narrows them down, which is known behind them only."""
    found: list[Iterator[Item]] = []
    others: list[str] = []
    while (kind := data.byte()) != _FINAL:
        reader, skipper = _READERS.get(kind), _SKIPPERS.get(kind)
        if reader is not None:
            found.append(reader(data))
        elif skipper is not None:
            others.append(skipper[0])
            skipper[1](data)
        else:
            raise data.fault(f"no item of a rule has the type {kind}")
    if data.byte():
        others.append("invert")
    if others:
        yield with_conditions(", ".join(sorted(others)[:5]))
        return
    for items in found:
        yield from items


def _logical(data: _Bytes, depth: int) -> Iterator[Item]:
    if depth >= LOGICAL_DEPTH_MAX:
        raise data.fault(f"more than {LOGICAL_DEPTH_MAX} logical rules in one another")
    mode = data.byte()
    if mode > 1:
        raise data.fault(f"no logical rule has the mode {mode}")
    rules = (item for _ in range(data.varint()) for item in _rule(data, depth + 1))
    items = list(islice(rules, LOGICAL_ITEMS_MAX + 1))
    if len(items) > LOGICAL_ITEMS_MAX:
        raise data.fault(f"more than {LOGICAL_ITEMS_MAX} items in a logical rule")
    if data.byte() or mode == 0:
        items = [with_conditions("several conditions (`logical`)")]
    yield from items


def _domains(data: _Bytes) -> Iterator[Item]:
    """Read an item of names and suffixes."""
    return map(_domain, _keys(data))


def _domain(key: bytes) -> Item:
    mark, domain = key[-1:], key[-2::-1]
    if mark == _ROOT_MARK:
        return plain_rule(domain, RuleKind.SUFFIX)
    if mark == _PREFIX_MARK:
        return plain_rule(domain[1:], RuleKind.SUBDOMAINS) if domain.startswith(b".") else _PARTS
    return plain_rule(key[::-1], RuleKind.EXACT)


def _filters(data: _Bytes) -> Iterator[Item]:
    """Read an item of AdGuard's filters."""
    return map(_filter, _keys(data))


def _filter(key: bytes) -> Item:
    if key.startswith(_OPEN_MARK) or key.endswith(_PREFIX_MARK) or _ANY_MARK in key:
        return _PARTS  # without an end, without a beginning, or with `*`
    if key.endswith(_ROOT_MARK):
        return plain_rule(key[-2::-1], RuleKind.SUFFIX)
    return plain_rule(key[::-1], RuleKind.EXACT)


def _keys(data: _Bytes) -> Iterator[bytes]:
    """Read a succinct trie; its keys come when they are asked for, in the order of the levels."""
    data.byte()  # a version that nobody looks at
    leaves, bitmap, labels = _bits(data), _bits(data), data.take(data.varint())
    # Behind the last one is padding. Leaves may be shorter: words without any are not written.
    if bitmap.count("1") != len(labels) + 1 or bitmap.rindex("1") != 2 * len(labels):
        raise data.fault(f"a trie with {len(labels)} labels and {bitmap.count('1')} nodes: it is damaged")
    return _walk(data, leaves, bitmap, labels)


def _walk(data: _Bytes, leaves: str, bitmap: str, labels: bytes) -> Iterator[bytes]:
    keys = deque([b""])  # of the nodes to come: never more than two levels have
    at = edge = 0
    for node in range(len(labels) + 1):
        if not keys:
            raise data.fault("a trie with nodes that hang in the air: it is damaged")
        key = keys.popleft()
        if leaves[node : node + 1] == "1":
            yield key
        end = bitmap.index("1", at)
        if end > at:
            if len(key) == KEY_MAX_BYTES:
                raise data.fault(f"a trie with a name of more than {KEY_MAX_BYTES} bytes")
            last = edge + end - at
            keys.extend([key + labels[number : number + 1] for number in range(edge, last)])
            edge = last
        at = end + 1


def _bits(data: _Bytes) -> str:
    """Read an array of bits as text: 64 in a big-endian word, the lowest first."""
    count = data.varint()
    words = struct.unpack(f">{count}Q", data.take(8 * count))
    return "".join(f"{word:064b}"[::-1] for word in words)


def _addresses(data: _Bytes) -> Iterator[Item]:
    """Read an item of prefixes, which are ranges of addresses."""
    found: list[Prefix] = []
    for first, last in _ranges(data):
        networks = list(ipaddress.summarize_address_range(first, last))
        data.prefixes += len(networks)
        if data.prefixes > PREFIXES_MAX:
            raise data.fault(f"more than {PREFIXES_MAX} prefixes")
        found += map(_packed, networks)
    return iter(found)


def _ranges(data: _Bytes) -> Iterator[tuple[IPv4Address, IPv4Address]]:
    """Read ranges of addresses, of either family: the first address and the last."""
    version = data.byte()
    if version != 1:
        raise data.fault(f"addresses of the version {version}")
    for _ in range(int.from_bytes(data.take(8), "big")):
        first, last = _address(data), _address(data)
        if first.version != last.version or int(first) > int(last):
            raise data.fault(f"no range of addresses: {first} to {last}")
        yield cast("IPv4Address", first), cast("IPv4Address", last)


def _skip_ranges(data: _Bytes) -> None:
    for _ in _ranges(data):
        pass


def _packed(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Prefix:
    packed = network.network_address.packed
    return packed if network.prefixlen == network.max_prefixlen else packed + bytes([network.prefixlen])


def _address(data: _Bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    packed = data.take(data.varint())
    if len(packed) not in (4, 16):
        raise data.fault(f"an address of {len(packed)} bytes")
    return ipaddress.ip_address(packed[12:] if packed.startswith(_MAPPED) else packed)


def _skip_texts(data: _Bytes) -> None:
    for _ in range(data.varint()):
        data.take(data.varint())


def _skip_prefixes(data: _Bytes) -> None:
    for _ in range(data.varint()):
        data.take(data.varint() + 1)


def _skip_interfaces(data: _Bytes) -> None:
    for _ in range(data.varint()):
        data.byte()
        _skip_prefixes(data)


_READERS: dict[int, Callable[[_Bytes], Iterator[Item]]] = {
    2: _domains,
    3: lambda data: iter([keyword(text) for text in data.texts()]),
    4: lambda data: iter([expression(text) for text in data.texts()]),
    6: _addresses,
    16: _filters,
}
_SKIPPERS: dict[int, tuple[str, Callable[[_Bytes], object]]] = {
    0: ("query_type", lambda data: data.take(2 * data.varint())),
    1: ("network", _skip_texts),
    5: ("source_ip_cidr", _skip_ranges),
    7: ("source_port", lambda data: data.take(2 * data.varint())),
    8: ("source_port_range", _skip_texts),
    9: ("port", lambda data: data.take(2 * data.varint())),
    10: ("port_range", _skip_texts),
    11: ("process_name", _skip_texts),
    12: ("process_path", _skip_texts),
    13: ("package_name", _skip_texts),
    14: ("wifi_ssid", _skip_texts),
    15: ("wifi_bssid", _skip_texts),
    17: ("process_path_regex", _skip_texts),
    18: ("network_type", lambda data: data.take(data.varint())),
    19: ("network_is_expensive", lambda _: None),
    20: ("network_is_constrained", lambda _: None),
    21: ("network_interface_address", _skip_interfaces),
    22: ("default_interface_address", _skip_prefixes),
}
"""Type of an item -> its name and how it is passed over."""

SRS = document_format(
    "srs",
    Document(_open, FILE_MAX_BYTES, is_text=False),
    Detection(rb"(?!)", content=lambda head: head.startswith(_MAGIC) and len(head) > _HEADER_BYTES and head[3] < 32),
)
