"""V2Ray's compiled data, as v2fly and others publish it: codes of domains (geosite.dat) and of prefixes (geoip.dat).

    geosite.dat#google            the rules of the code GOOGLE, whatever attributes they have
    geosite.dat#google@cn         those with the attribute `cn`; with several attributes, those that have all
    geosite.dat#category-ads-all  codes that hold others are whole in the file: nothing is included
    geoip.dat#de                  the prefixes of the code DE

A rule is a keyword (`plain`), an expression, a domain with all below it, or a full name. Codes and attributes are read
in any case. `geoip.dat#!cn`, and a code that the file itself marks as inverse, mean all addresses but some: no list of
prefixes says that, so they are errors.
"""

import difflib
import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from google.protobuf.message import DecodeError

from dnstap_bgp.core.lists.formats.geodata_pb2 import GeoCode, GeoIp, GeoSite
from dnstap_bgp.core.lists.lines import (
    SELECTOR_BEHIND,
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
"""Bytes of a file; the largest in use have 20 MB."""

CODES_MAX = 100_000
"""Codes of a file; the largest in use have 1,600."""

PARTS_MAX = 4_000_000
"""Parts of a code, as the bytes tell that begin one: two for a rule and one for each attribute, so that 1,500,000 rules
have room. Each takes 55 bytes, for as little as two in the file."""

NEAREST_TOLD = 3
"""Codes that are like an unknown one."""

NEAREST_AMONG = 5_000
"""Codes that these are looked for among: one takes 0.1 ms."""

ATTRIBUTES_TOLD = 20
"""Attributes of a code where none is the one asked for; codes in use have five."""

_ENTRY_TAG = 0x0A  # field 1, length-delimited: a code, and nothing else stands in such a file
_LENGTH_BYTES_MAX = 5  # of a varint that says up to 64 MB

_PLAIN, _REGEX, _DOMAIN, _FULL = range(4)  # Domain.Type
_PART_TAGS = (b"\x12", b"\x1a", b"\x92", b"\x9a")  # of fields 2 and 3, also as the first of several bytes
_MAPPED = bytes(10) + b"\xff\xff"  # before an IPv4 address in IPv6 form

# The beginning of a file: an entry, its code, and its first domain or prefix.
_HEAD = rb"\n[\x80-\xff]{0,4}[\0-\x7f]\n[\x01-\x7f][A-Za-z0-9!@_.-]{1,127}\x12[\x80-\xff]{0,4}[\0-\x7f]"
_SITE_HEAD = re.compile(_HEAD + rb"(?:\x08[\0-\x03])?\x12", re.DOTALL)
_IP_HEAD = re.compile(_HEAD + rb"\n(?:\x04.{4}|\x10.{16})\x10", re.DOTALL)


class _Codes(NamedTuple):
    """The codes of a file, lower-case -> their packed entry; `twice` has those that stand there more than once."""

    entries: dict[str, memoryview]
    twice: frozenset[str]


def _open_site(content: bytes) -> DocumentReader:
    """Open a geosite.dat."""
    codes = _split(content)

    def read(selector: str) -> Iterator[tuple[int, Item]]:
        code, *attributes = selector.split("@")
        wanted = {attribute.lower().encode() for attribute in attributes}
        site = GeoSite()
        _decode(site, code, _entry(codes, code, "geosite.dat#google"))
        return _rules(site, code, wanted)

    return read


def _rules(site: GeoSite, code: str, wanted: set[bytes]) -> Iterator[tuple[int, Item]]:
    known: set[bytes] = set()
    found = False
    for number, domain in enumerate(site.domain, 1):
        if wanted:
            attributes = {attribute.key.lower() for attribute in domain.attribute}
            known |= attributes
            if not wanted <= attributes:
                continue
        found = True
        yield number, _item(domain.type, domain.value)
    if wanted and not found:
        told = ", ".join(_shown(attribute) for attribute in sorted(known)[:ATTRIBUTES_TOLD]) or "none"
        told += f" and {len(known) - ATTRIBUTES_TOLD} more" if len(known) > ATTRIBUTES_TOLD else ""
        asked = "@".join(sorted(attribute.decode() for attribute in wanted))
        raise ListError(f"no rule of the code {code} has the attribute @{asked}; its attributes are: {told}")


def _shown(attribute: bytes) -> str:
    return ascii(attribute[:40].decode(errors="replace"))[1:-1]


def _item(kind: int, value: bytes) -> Item:
    if kind == _DOMAIN:
        return plain_rule(value, RuleKind.SUFFIX)
    if kind == _FULL:
        return plain_rule(value, RuleKind.EXACT)
    text = value.decode(errors="replace")
    if kind == _PLAIN:
        return keyword(text)
    if kind == _REGEX:
        return expression(text)
    return Skipped(SkippedKind.MALFORMED, f"a rule of the type {kind}, which is none of V2Ray's")


def _open_ip(content: bytes) -> DocumentReader:
    """Open a geoip.dat."""
    codes = _split(content)

    def read(selector: str) -> Iterator[tuple[int, Item]]:
        if selector.startswith("!"):
            raise ListError(
                f"{selector} means all addresses but those of {selector[1:]}: no list of prefixes says that"
            )
        if "@" in selector:
            raise ListError(f"{selector}: codes of geoip.dat have no attributes")
        found = GeoIp()
        _decode(found, selector, _entry(codes, selector, "geoip.dat#de"))
        if found.inverse_match:
            raise ListError(
                f"the code {selector} is inverse: all addresses but its own, which no list of prefixes says"
            )
        return ((number, _prefix(cidr.ip, cidr.prefix)) for number, cidr in enumerate(found.cidr, 1))

    return read


def _prefix(address: bytes, length: int) -> Prefix | Skipped:
    """Make a prefix; bits beyond its length don't count, as for V2Ray."""
    if len(address) == 16 and address.startswith(_MAPPED) and length >= 96:
        address, length = address[12:], length - 96
    bits = 8 * len(address)
    if len(address) not in (4, 16) or length > bits:
        return Skipped(SkippedKind.MALFORMED, f"an address of {len(address)} bytes with a length of {length}")
    if length == bits:
        return address
    value = int.from_bytes(address, "big") >> bits - length << bits - length
    return value.to_bytes(len(address), "big") + bytes([length])


def _split(content: bytes) -> _Codes:
    """Tell the codes of a file apart.

    Raises:
        ListError: It is cut, or something else.
    """
    entries: dict[str, memoryview] = {}
    twice: set[str] = set()
    view = memoryview(content)
    at = count = 0
    while at < len(content):
        end = size = 0
        if content[at] == _ENTRY_TAG:
            size, end = _varint(content, at + 1)
        if not end:
            raise ListError(f"at byte {at}: no code of a geosite.dat or geoip.dat begins here")
        if end + size > len(content):
            raise ListError(f"it is cut: a code at byte {at} has {size} bytes, and {len(content) - end} follow")
        count += 1
        if count > CODES_MAX:
            raise ListError(f"at byte {at}: more than {CODES_MAX} codes")
        entry = view[end : end + size]
        try:
            code = GeoCode.FromString(bytes(entry)).country_code.decode("ascii").lower()
        except (DecodeError, UnicodeDecodeError):
            raise ListError(f"at byte {at}: the code there is damaged") from None
        if code in entries:
            twice.add(code)
        entries[code] = entry
        at = end + size
    return _Codes(entries, frozenset(twice))


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Read a varint: its value and where it ends; (0, 0): there is none."""
    value = 0
    for number, byte in enumerate(content[at : at + _LENGTH_BYTES_MAX]):
        value |= (byte & 0x7F) << 7 * number
        if byte < 0x80:
            return value, at + number + 1
    return 0, 0


def _entry(codes: _Codes, code: str, example: str) -> memoryview:
    """Find a code.

    Raises:
        ListError: There is none, or more than one: says which are like it.
    """
    wanted = code.lower()
    if not wanted:
        raise ListError(f"say which of its {len(codes.entries)} codes, as in `{example}`")
    if wanted in codes.twice:
        raise ListError(f"the code {code} stands in it more than once")
    entry = codes.entries.get(wanted)
    if entry is None:
        near = difflib.get_close_matches(wanted, islice(codes.entries, NEAREST_AMONG), NEAREST_TOLD, 0.5)
        hint = (
            f"; the nearest are: {', '.join(ascii(code)[1:-1] for code in near)}"
            if near
            else f" among its {len(codes.entries)}"
        )
        raise ListError(f"there is no code {code!a}{hint}")
    return entry


def _decode(message: GeoSite | GeoIp, code: str, entry: memoryview) -> None:
    """Unpack a code's entry.

    Raises:
        ListError: It is damaged, or has too much in it.
    """
    packed = bytes(entry)
    if sum(map(packed.count, _PART_TAGS)) > PARTS_MAX:
        raise ListError(f"the code {code} has more than {PARTS_MAX} parts")
    try:
        message.ParseFromString(packed)
    except DecodeError:
        raise ListError(f"the code {code} is damaged") from None


GEOSITE_DAT = document_format(
    "geosite-dat",
    Document(_open_site, FILE_MAX_BYTES, is_text=False, selects=SELECTOR_BEHIND),
    Detection(rb"(?!)", content=lambda head: _SITE_HEAD.match(head) is not None),
    aliases=("geosite.dat",),
)

GEOIP_DAT = document_format(
    "geoip-dat",
    Document(_open_ip, FILE_MAX_BYTES, is_text=False, selects=SELECTOR_BEHIND),
    Detection(rb"(?!)", content=lambda head: _IP_HEAD.match(head) is not None),
    aliases=("geoip.dat",),
    is_of_prefixes=True,
)
