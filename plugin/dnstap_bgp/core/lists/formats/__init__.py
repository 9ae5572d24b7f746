"""The formats of list files, one module each, and the detection of a file's format by a vote of its first lines.

A new format is a module with a `Format` (see `core.lists.lines`) and an entry in `FORMATS`: detection, includes and
list-wide exceptions are hooks of the `Format`, so that nothing else names a format.
"""

import binascii
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from dnstap_bgp.core.lists.formats.adblock import ADBLOCK
from dnstap_bgp.core.lists.formats.autoproxy import AUTOPROXY
from dnstap_bgp.core.lists.formats.dnsmasq import DNSMASQ
from dnstap_bgp.core.lists.formats.geodata import GEOIP_DAT, GEOSITE_DAT
from dnstap_bgp.core.lists.formats.hosts import HOSTS
from dnstap_bgp.core.lists.formats.json_prefixes import JSON_PREFIXES
from dnstap_bgp.core.lists.formats.mihomo import MIHOMO
from dnstap_bgp.core.lists.formats.plain import PLAIN
from dnstap_bgp.core.lists.formats.rpz import RPZ
from dnstap_bgp.core.lists.formats.sing_box import SING_BOX
from dnstap_bgp.core.lists.formats.srs import SRS
from dnstap_bgp.core.lists.formats.surge import SURGE
from dnstap_bgp.core.lists.formats.unbound import UNBOUND
from dnstap_bgp.core.lists.formats.v2fly import V2FLY
from dnstap_bgp.core.lists.lines import NAMES, WILDCARDS, Format, Item
from dnstap_bgp.errors import ListError

_TEXT = (PLAIN, HOSTS, ADBLOCK, AUTOPROXY, DNSMASQ, V2FLY, MIHOMO, SURGE, RPZ, UNBOUND)
_WHOLE = (GEOSITE_DAT, GEOIP_DAT, SING_BOX, SRS, JSON_PREFIXES)

FORMATS = {form.name: form for form in (*_TEXT, *_WHOLE)}
"""The formats by the names that the configuration has for them."""

ALIASES = {alias: form.name for form in FORMATS.values() for alias in form.aliases}
"""Other names that people know formats by -> the format's own name."""

HEAD_BYTES = 1 << 16
"""Bytes of a file that detection looks at: some 2,000 lines, behind the longest head of comments in use."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_COMMENT = re.compile(rb"#(?![@?$%]*#[^\s#])|!(?:\s|$)|;|//")  # `##.ad` is a cosmetic filter

_NAME = re.compile(rb"(?=\S*[^\s.]\.[^\s.])[A-Za-z0-9._\x80-\xff-]+(?:\s*#.*)?")
_RIVALS = [form for form in FORMATS.values() if form is not PLAIN]
_CONTENTS = [(form.detection.content, form) for form in _RIVALS if form.detection.content is not None]
_HEADS = [(re.compile(form.detection.head, re.IGNORECASE), form) for form in _RIVALS if form.detection.head is not None]
# The first pattern that a line matches is its vote. Plain comes last: other formats' lines look like its signs, too.
_VOTES = [(re.compile(form.detection.line, re.IGNORECASE), form) for form in (*_RIVALS, PLAIN)]

_BASE64_LINE = re.compile(rb"[A-Za-z0-9+/]{16,}={0,2}")
_BASE64 = re.compile(rb"\s*+(?:[A-Za-z0-9+/]++\s*+)++={0,2}\s*+")


def detect(content: bytes) -> str:
    """Tell a file's format.

    Some are known by how they begin, whatever their lines look like. A line that only one format has is a vote for it.
    Plain is what no other format claims: a format wins with more votes than there are lines of plain, mere names and
    names behind `*.` that it doesn't read. Comments say nothing: publishers put the same head before lists of any
    format.

    Args:
        content: The whole file, or at least its first `HEAD_BYTES`.

    Returns:
        A key of `FORMATS`.
    """
    for is_begun, form in _CONTENTS:
        if is_begun(content[:HEAD_BYTES]):
            return form.name
    votes: Counter[str] = Counter()
    for line in content[:HEAD_BYTES].removeprefix(_BYTE_ORDER_MARK).split(b"\n"):
        for head, form in _HEADS:
            if head.fullmatch(line):
                return form.name
        stripped = line.strip()
        if stripped and not _COMMENT.match(stripped):
            votes[_vote(stripped)] += 1
    del votes[""]
    # Of rivals with lines of their own, the one that reads most lines: adblock reads hosts lines, hosts no filters.
    best = max(_RIVALS, key=lambda form: _read(form, votes))
    against = sum(votes[each] for each in {PLAIN.name, NAMES, WILDCARDS} - best.detection.reads)
    return best.name if votes[best.name] > against else PLAIN.name


def _read(form: Format, votes: Mapping[str, int]) -> int:
    """Count the lines that a format reads; 0 for one without a line of its own."""
    own = votes.get(form.name, 0)
    return own and own + sum(votes.get(each, 0) for each in form.detection.reads)


def _vote(line: bytes) -> str:
    """Tell the only format that a line is of, `NAMES` or `WILDCARDS`; empty: the line says nothing."""
    form = format_of_line(line)
    if form == PLAIN.name and line.startswith(b"*."):
        return WILDCARDS
    return form or (NAMES if _NAME.fullmatch(line) else "")


def format_of_line(line: bytes) -> str | None:
    """Tell the format that has such lines and others don't; None: the line is of several formats, or of none.

    Args:
        line: Without white space around.
    """
    for pattern, form in _VOTES:
        if pattern.fullmatch(line):
            is_line = form.detection.is_line
            if is_line is None or is_line(line.decode(errors="replace")):
                return form.name
    return None


def lost_format(line: bytes) -> str | None:
    """Tell the format, or `NAMES`, of a line that its file's format can't read; None: no format that is known."""
    return _vote(line) or None


def detected(name: str) -> Format:
    """Give the format that a file of unknown format is read in, once `detect` has told it.

    Some files are two lists in one. What plain can't read and what is surely a line of a filter list, a hosts file or
    dnsmasq is read as that, however few such lines there are.
    """
    return _PLAIN_MIXED if name == PLAIN.name else FORMATS[name]


def _read_mixed(text: str) -> Iterable[Item]:
    try:
        return PLAIN.read(text)
    except ListError:
        other = format_of_line(text.encode())
        if other not in _AMONG_PLAIN:
            raise
        return FORMATS[other].read(text)


_AMONG_PLAIN = frozenset({ADBLOCK.name, HOSTS.name, DNSMASQ.name})
_PLAIN_MIXED = replace(PLAIN, read=_read_mixed)


def without_base64(content: bytes) -> bytes:
    """Unwrap a list that is published in Base64 as a whole; other content is given back as it is.

    Only content that is a list of a format with a head (`[AutoProxy ...]`) counts: names alone are Base64, too.
    """
    begin = content.lstrip()[:HEAD_BYTES]
    first = begin.split(None, 1)[0] if begin else b""
    if not _BASE64_LINE.fullmatch(first) or not _BASE64.fullmatch(content):
        return content
    try:
        decoded = binascii.a2b_base64(content)
    except binascii.Error:
        return content
    line = decoded[:HEAD_BYTES].split(b"\n", 1)[0]
    return decoded if any(head.fullmatch(line) for head, _ in _HEADS) else content
