"""Response Policy Zones (draft-vixie-dnsop-dns-rpz-00), as zone files.

    $ORIGIN rpz.example.             names are below the zone's own, which `$ORIGIN` or the SOA tells
    example.com      CNAME .         just the name, whatever the action is
    *.example.com    CNAME .         only what lies below
    www.example.com  CNAME rpz-passthru.     an exception; also a CNAME to the name itself, as in older zones
    cdn.example.com  A 192.0.2.1     local data is an action, too
    24.0.2.0.192.rpz-ip  CNAME .     a static prefix: length, then the address backwards; `zz` is `::`
    ; a comment

Triggers of other kinds (`rpz-client-ip`, `rpz-nsip`, `rpz-nsdname`) and prefixes that are let through can't be said of
a name: they are skipped and counted. What stands for the zone itself (SOA, NS) is passed over.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from dnstap_bgp.core.dns import names
from dnstap_bgp.core.lists.formats import plain
from dnstap_bgp.core.lists.lines import (
    Detection,
    Document,
    DocumentReader,
    Item,
    Skipped,
    SkippedKind,
    document_format,
    excerpt,
    malformed,
    rule,
)
from dnstap_bgp.core.lists.rules import Rule, RuleKind
from dnstap_bgp.errors import ListError

FILE_MAX_BYTES = 256 << 20
"""Bytes of a zone; the largest in use have 60 MB."""

LINE_MAX_BYTES = 1 << 14
"""Bytes of a line, and records over several lines may have as many in all: a TXT record may have some thousands."""

_NAME = r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{0,62}[A-Za-z_-]"
# Nearly all lines of nearly all zones: a name that ends like none of a trigger of another kind, and `CNAME .`
_SIMPLE = re.compile(
    rf"(\*\.)?({_NAME})[ \t]+(?:[0-9]+[ \t]+)?(?:IN[ \t]+)?CNAME[ \t]+(?:\*\.|\.)[ \t]*\r?\n?".encode()
)
_TRIGGER = re.compile(rb"rpz-", re.IGNORECASE)

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|;.*|[()]|[^\s();"]++|"')
_TTL = re.compile(r"(?:[0-9]++[smhdw]?)++", re.IGNORECASE)
_CLASSES = frozenset({"IN", "CH", "HS", "ANY"})
_OF_THE_ZONE = frozenset({"SOA", "NS", "DNSKEY", "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "ZONEMD", "CDS", "CDNSKEY"})
_TYPE = re.compile(r"[A-Z][A-Z0-9-]{0,15}")

_OTHER_TRIGGERS = ("rpz-client-ip", "rpz-nsip", "rpz-nsdname")
_PASSED = ("rpz-passthru.", "rpz-passthru")


class _Zone:
    """The state of a zone file from line to line: its origin, the last owner, and where the zone begins."""

    def __init__(self) -> None:
        self.origin: str | None = None  # with a dot at its end, empty for the root; None: not told in the file
        self.apex = ""  # lower-case, with a dot at its end; empty: not known yet
        self.owner = ""

    @property
    def is_at_apex(self) -> bool:
        """Names are relative to the zone's own, which is not the root."""
        return self.origin is None or (self.origin == self.apex != "")

    def absolute(self, name: str) -> str:
        """Make an owner absolute, lower-case; where the origin is not known, it is taken for the root."""
        name = name.lower()
        if name == "@":
            return self.origin or ""
        return name if name.endswith(".") else f"{name}.{self.origin or ''}"


class _Record(NamedTuple):
    """One record: its type and the words of its data."""

    type: str
    data: list[str]


def _open(content: bytes) -> DocumentReader:
    return lambda _: _items(content)


def _items(content: bytes) -> Iterator[tuple[int, Item]]:
    zone = _Zone()
    joined: list[str] = []  # the tokens of a record over several lines
    depth = began = size = 0
    for number, line in enumerate(_lines(content), 1):
        simple = _SIMPLE.fullmatch(line) if not depth else None
        is_short = simple is not None and len(simple[2]) <= names.NAME_MAX and zone.is_at_apex
        if simple is not None and is_short and not _TRIGGER.search(simple[2]):
            zone.owner = (simple[1] or b"").decode() + simple[2].decode().lower()
            kind = RuleKind.SUBDOMAINS if simple[1] else RuleKind.EXACT
            yield number, Rule(simple[2].lower(), kind)
            continue
        if len(line) > LINE_MAX_BYTES:
            yield number, malformed(line[:100].decode(errors="replace"), f"more than {LINE_MAX_BYTES} bytes in a line")
            continue
        text = line.decode(errors="replace").rstrip("\r\n")
        tokens = [token for token in _TOKEN.findall(text) if not token.startswith(";")]
        if not depth:
            joined, began, size = [""] if text[:1].isspace() else [], number, 0
        depth += tokens.count("(") - tokens.count(")")
        size += len(line)
        joined += [token for token in tokens if token not in ("(", ")")]
        if depth > 0 and size <= LINE_MAX_BYTES:
            continue
        if depth:
            yield began, malformed(" ".join(joined), "brackets that don't fit, or more than one record within them")
            depth = 0
            continue
        for item in _entry(zone, joined):
            yield began, item
    if depth:
        raise ListError(f"line {began}: it is cut: a bracket opens there, and none closes it")


def _lines(content: bytes) -> Iterator[bytes]:
    """Give the lines of a content without copying all of it."""
    at = 3 if content.startswith(b"\xef\xbb\xbf") else 0
    while at < len(content):
        end = content.find(b"\n", at) + 1 or len(content)
        yield content[at:end]
        at = end


def _entry(zone: _Zone, tokens: list[str]) -> Iterator[Item]:
    """Read a directive or record."""
    if not any(tokens):
        return
    first = tokens[0].upper()
    if first.startswith("$"):
        yield from _directive(zone, first, tokens)
        return
    if tokens[0]:
        zone.owner = tokens[0]
    record = _record(tokens[1:])
    if not zone.owner or record is None:
        yield malformed(" ".join(tokens), "no record of a zone: a name, a type and its data")
        return
    if record.type == "SOA":
        zone.apex = zone.absolute(zone.owner)
        if zone.origin is None and zone.apex:
            zone.origin = zone.apex
    if record.type not in _OF_THE_ZONE:
        yield from _trigger(zone, record)


def _directive(zone: _Zone, name: str, tokens: list[str]) -> Iterator[Item]:
    if name == "$ORIGIN" and len(tokens) > 1:
        zone.origin = zone.absolute(tokens[1]).removeprefix(".")
        zone.apex = zone.apex or zone.origin
    elif name in ("$INCLUDE", "$GENERATE"):
        yield Skipped(SkippedKind.DIRECTIVE, f"{name}: its records are not looked for")
    elif name != "$TTL":
        yield malformed(" ".join(tokens), "no directive of a zone")


def _record(tokens: list[str]) -> _Record | None:
    """Read a record's words behind its owner: TTL and class in any order, type, data."""
    at = 0
    while at < len(tokens) and (_TTL.fullmatch(tokens[at]) or tokens[at].upper() in _CLASSES):
        at += 1
    if at + 1 >= len(tokens) or not _TYPE.fullmatch(tokens[at].upper()):
        return None
    return _Record(tokens[at].upper(), tokens[at + 1 :])


def _trigger(zone: _Zone, record: _Record) -> Iterator[Item]:
    owner = zone.absolute(zone.owner)
    apex = zone.apex
    if owner == apex:
        return  # data of the zone itself
    if apex and not owner.endswith(f".{apex}"):
        yield malformed(zone.owner, f"not in the zone, which is {excerpt(apex)}")
        return
    if not apex and zone.owner.endswith("."):
        yield malformed(zone.owner, "an absolute name, and no $ORIGIN tells the zone's own")
        return
    name = owner.removesuffix(f".{apex}" if apex else ".")
    passes = record.type == "CNAME" and (
        record.data[0].lower() in _PASSED or zone.absolute(record.data[0]) == f"{name}."
    )
    last = name.rpartition(".")[2]
    if last == "rpz-ip":
        yield _address(name.removesuffix(".rpz-ip"), passes=passes)
    elif last in _OTHER_TRIGGERS:
        yield Skipped(last, f"a trigger of the kind {last}, which speaks of something else than a name")
    elif name.startswith("*."):
        yield rule(name[2:], RuleKind.SUBDOMAINS, exception=passes)
    else:
        yield rule(name, RuleKind.EXACT, exception=passes)


def _address(name: str, *, passes: bool) -> Item:
    """Read `24.0.2.0.192`, or `32.zz.db8.2001`."""
    length, *parts = name.split(".")
    parts.reverse()
    is_ipv4 = len(parts) == 4 and all(part.isdigit() for part in parts)
    text = ".".join(parts) if is_ipv4 else ":".join("" if part == "zz" else part for part in parts)
    if not is_ipv4 and "zz" in parts:
        text = f"{':' * (parts[0] == 'zz')}{text}{':' * (parts[-1] == 'zz')}"
    if passes:
        return Skipped(SkippedKind.PATTERN, f"{excerpt(f'{text}/{length}')}: a prefix that is let through")
    try:
        return plain.prefix(f"{text}/{length}")
    except ListError as error:
        return malformed(f"{name}.rpz-ip", str(error))


RPZ = document_format(
    "rpz",
    Document(_open, FILE_MAX_BYTES),
    Detection(
        rb"\S{1,255}\s+(?:[0-9]{1,10}\s+)?(?:in\s+)?cname\s+(?:\*?\.|rpz-[a-z-]{1,20}\.?)(?:\s*;.*)?",
        head=rb"\$(?:ttl|origin)\s+\S.*|\S{1,255}\s+(?:[0-9]{1,10}[smhdw]?\s+)?(?:in\s+)?soa\s.*",
    ),
)
