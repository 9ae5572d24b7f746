"""Local zones and local data of unbound's configuration (unbound.conf(5)).

    local-zone: "example.com" always_nxdomain    the name and all below it; so for each type that answers by itself
    local-zone: "www.example.com" transparent    an exception: such names are resolved as ever
    local-data: "cdn.example.net A 192.0.2.1"    just the name
    # a comment

In a zone that is resolved as ever, names with local data in the same file are none of the exception
(`always_transparent` has no use for such data). Other settings, and zones of addresses (`10.in-addr.arpa`) as well,
are skipped.
"""

import re
from collections.abc import Iterator

from dnstap_bgp.core.dns import names
from dnstap_bgp.core.lists.lines import (
    ASCII_NAME,
    Detection,
    Document,
    DocumentReader,
    Item,
    Skipped,
    SkippedKind,
    document_format,
    malformed,
    rule,
)
from dnstap_bgp.core.lists.rules import Rule, RuleKind

FILE_MAX_BYTES = 256 << 20
"""Bytes of a file; the largest in use have 60 MB."""

LINE_MAX_BYTES = 1 << 14
"""Bytes of a line; one with a long TXT record has some thousands."""

ANSWERED = frozenset(
    {"deny", "refuse", "static", "redirect", "inform_deny", "inform_redirect", "always_refuse", "always_nxdomain"}
    | {"always_nodata", "always_deny", "always_null", "block_a", "truncate", "ipset"}
)
"""Types of zones whose names are answered by unbound itself, or marked (`ipset`), and so are on the list."""

RESOLVED = frozenset({"transparent", "typetransparent", "always_transparent", "inform", "nodefault", "noview"})
"""Types of zones whose names are resolved as ever: exceptions."""

_NAME = ASCII_NAME.replace(r"\.?(", "(")
_SIMPLE = re.compile(rf'\s*+local-zone:[ \t]*+(")?{_NAME}(?(1)")[ \t]+"?([a-z_]++)"?\s*+(?:#.*)?'.encode())
_LINE = re.compile(r"(local-zone|local-data|local-data-ptr):\s*+(.*)")
# Nothing behind a word: a search must not begin anew within it.
_WORD = re.compile(r"""("[^"]*+"|'[^']*+'|[^\s"']++)""")
_DATA_NAME = re.compile(rb"""^[ \t]*+local-data:[ \t]*+["']?[ \t]*+([^\s"']++)""", re.MULTILINE)  # `\s` spans lines

_OTHER = Skipped(SkippedKind.DIRECTIVE, "a setting of unbound that names no zone")
_REVERSE = Skipped(SkippedKind.PATTERN, "a zone of addresses, not of names")


def _open(content: bytes) -> DocumentReader:
    return lambda _: _items(content)


def _items(content: bytes) -> Iterator[tuple[int, Item]]:
    with_data = {name.lower().strip(b".").decode(errors="replace") for name in _DATA_NAME.findall(content)}
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        simple = _SIMPLE.fullmatch(line)
        is_name = simple is not None and len(simple[2]) <= names.NAME_MAX and not simple[2].lower().endswith(b".arpa")
        if simple is not None and is_name and simple[3].decode() in ANSWERED:
            yield number, Rule(simple[2].lower(), RuleKind.SUFFIX)
            continue
        text = line.strip()
        if len(text) > LINE_MAX_BYTES:
            yield number, malformed(text[:100].decode(errors="replace"), f"more than {LINE_MAX_BYTES} bytes in a line")
        elif text and not text.startswith(b"#"):
            yield number, _item(text.decode(errors="replace"), with_data)


def _item(text: str, with_data: set[str]) -> Item:
    line = _LINE.fullmatch(text)
    if line is None:
        return _OTHER
    if line[1] == "local-data-ptr":
        return _REVERSE
    words = [word.strip("\"'") for word in _WORD.findall(line[2].partition(" #")[0].strip())]
    if line[1] == "local-zone":
        return _zone(text, words, with_data)
    name = words[0].split(None, 1)[0] if words and words[0].strip() else ""
    return _named(name, RuleKind.EXACT) if name else malformed(text, "no record")


def _zone(text: str, words: list[str], with_data: set[str]) -> Item:
    if len(words) != 2 or words[1].lower() not in ANSWERED | RESOLVED:
        return malformed(text, "no zone with a type of unbound's")
    name, kind = words[0], words[1].lower()
    if kind in ANSWERED:
        return _named(name, RuleKind.SUFFIX)
    own_data = kind != "always_transparent" and name.lower().strip(".") in with_data
    return _named(name, RuleKind.SUBDOMAINS if own_data else RuleKind.SUFFIX, exception=True)


def _named(name: str, kind: RuleKind, *, exception: bool = False) -> Item:
    if name.lower().rstrip(".").endswith((".in-addr.arpa", ".ip6.arpa")):
        return _REVERSE
    return rule(name, kind, exception=exception)


UNBOUND = document_format(
    "unbound",
    Document(_open, FILE_MAX_BYTES),
    Detection(rb"local-(?:zone|data|data-ptr):\s*\S.*"),
)
