"""Writers of the packed formats, made from their descriptions and not from our readers, for the tests of these."""

import ipaddress
import struct
import zlib
from collections.abc import Iterable, Sequence


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# V2Ray's protobuf


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


TYPES = {"keyword": 0, "regexp": 1, "domain": 2, "full": 3}


def geosite(codes: dict[str, Sequence[tuple[str, str, Sequence[str]]]]) -> bytes:
    """Code -> (type, value, attributes)."""
    out = []
    for code, rules in codes.items():
        entry = [field(1, code.encode())]
        for kind, value, attributes in rules:
            domain = field(1, TYPES[kind]) if TYPES[kind] else b""  # proto3 leaves zeros out
            domain += field(2, value.encode())
            domain += b"".join(field(3, field(1, attribute.encode()) + field(2, 1)) for attribute in attributes)
            entry.append(field(2, domain))
        out.append(field(1, b"".join(entry)))
    return b"".join(out)


def geoip(codes: dict[str, Sequence[str]], inverse: Iterable[str] = ()) -> bytes:
    out = b""
    for code, prefixes in codes.items():
        entry = field(1, code.encode())
        for prefix in prefixes:
            network = ipaddress.ip_network(prefix, strict=False)
            length = field(2, network.prefixlen) if network.prefixlen else b""
            entry += field(2, field(1, network.network_address.packed) + length)
        if code in inverse:
            entry += field(3, 1)
        out += field(1, entry)
    return out


# sing-box


def succinct(keys: Iterable[str], version: int = 0) -> bytes:
    """A trie as openacid/succinct lays it out: nodes level by level."""
    ordered = sorted({key.encode() for key in keys})
    leaves: list[int] = []
    bitmap: list[int] = []
    labels = bytearray()

    def put(bits: list[int], at: int, value: int) -> None:
        while at >> 6 >= len(bits):
            bits.append(0)
        bits[at >> 6] |= value << (at & 63)

    queue = [(0, len(ordered), 0)]
    at = 0
    for node, (start, end, column) in enumerate(queue):  # grows meanwhile
        if ordered and column == len(ordered[start]):
            start += 1  # noqa: PLW2901 - as in the original
            put(leaves, node, 1)
        while start < end:
            first = start
            while start < end and ordered[start][column] == ordered[first][column]:
                start += 1  # noqa: PLW2901
            queue.append((first, start, column + 1))
            labels.append(ordered[first][column])
            put(bitmap, at, 0)
            at += 1
        put(bitmap, at, 1)
        at += 1
    out = bytes([version])
    for words in (leaves, bitmap):
        out += varint(len(words)) + struct.pack(f">{len(words)}Q", *words)
    return out + varint(len(labels)) + bytes(labels)


def domain_item(domains: Iterable[str], suffixes: Iterable[str], *, legacy: bool = False) -> bytes:
    keys: set[str] = set()
    for suffix in suffixes:
        if suffix.startswith("."):
            keys.add(("\r" + suffix)[::-1])
        elif legacy:
            keys |= {suffix[::-1], ("\r." + suffix)[::-1]}
        else:
            keys.add(("\n" + suffix)[::-1])
    keys |= {domain[::-1] for domain in domains}
    return b"\x02" + succinct(keys)


def adguard_item(lines: Iterable[str]) -> bytes:
    keys: set[str] = set()
    for line in lines:
        text = line.removesuffix("^")
        open_end = text == line
        if text.startswith("||"):
            text = "\n" + text[2:]
        elif text.startswith("|"):
            text = text[1:]
        else:
            text = "\r" + text
        keys.add((text + "\b" * open_end)[::-1])
    return b"\x10" + succinct(keys)


def texts_item(kind: int, texts: Sequence[str]) -> bytes:
    packed = (text.encode() for text in texts)
    return bytes([kind]) + varint(len(texts)) + b"".join(varint(len(text)) + text for text in packed)


def addresses_item(kind: int, prefixes: Iterable[str]) -> bytes:
    networks = [ipaddress.ip_network(prefix) for prefix in prefixes]
    out = bytes([kind, 1]) + struct.pack(">Q", len(networks))
    for network in networks:
        for address in (network.network_address, network.broadcast_address):
            out += varint(len(address.packed)) + address.packed
    return out


def default_rule(*items: bytes, invert: bool = False) -> bytes:
    return b"\0" + b"".join(items) + b"\xff" + bytes([invert])


def logical_rule(mode: int, *rules: bytes, invert: bool = False) -> bytes:
    return b"\1" + bytes([mode]) + varint(len(rules)) + b"".join(rules) + bytes([invert])


def srs(*rules: bytes, version: int = 3) -> bytes:
    return b"SRS" + bytes([version]) + zlib.compress(varint(len(rules)) + b"".join(rules))
