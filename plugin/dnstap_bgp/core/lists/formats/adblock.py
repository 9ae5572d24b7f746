"""Filter lists of adblock, AdGuard and their kin: the filters that speak for whole names, and only these.

    ||example.com^        the name and all below it
    ||*.example.com^      only what lies below
    |example.com^         just the name
    @@||example.com^      an exception, in each of these forms
    0.0.0.0 example.com   just the name, as AdGuard reads a line of a hosts file
    example.com           the same without the address; `example` without a dot is a part of URLs
    ! a comment

An exception holds against every filter for its name and, unlike a rule's, also against those for longer names.

All else filters parts of pages or some requests: a route for the whole name would do something else, so it is skipped.
So are filters with options, whatever they are: most narrow the filter down, and some turn it round.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from dnstap_bgp.core.lists.formats import hosts
from dnstap_bgp.core.lists.lines import ASCII_NAME, NEVER, Detection, Format, Item, Skipped, SkippedKind, rule
from dnstap_bgp.core.lists.rules import Rule, RuleKind
from dnstap_bgp.core.model import Name

COSMETIC_MARK = r"#[@?$%]*#"
"""The mark in cosmetic filters: what stands before it would pass for a rule if it began a comment."""

EXCEPTIONS_MAX = 250_000
"""Exceptions of a file that are collected before it is read for good, in 1.5 s: ten times those of the longest lists.
What lies behind holds as an exception of plain rules does."""

_SIGNS = {
    "||": (RuleKind.SUFFIX, False),
    "||*.": (RuleKind.SUBDOMAINS, False),
    "|": (RuleKind.EXACT, False),
    "@@||": (RuleKind.SUFFIX, True),
    "@@||*.": (RuleKind.SUBDOMAINS, True),
    "@@|": (RuleKind.EXACT, True),
}
_SIMPLE = re.compile(rf"((?:@@)?(?:\|\|(?:\*\.)?|\|)){ASCII_NAME}\^\|?[ \t]*\r?\n?".encode())
_NAME = re.compile(r"((?:@@)?(?:\|\|(?:\*\.)?|\|))([^\s/|^*$:\[\]]+)\^\|?")
_BARE_NAME = re.compile(r"\w[\w-]*(?:\.[\w-]+)+\.?")
_ADDRESS = re.compile(r"(?:@@)?\|\|?(?:[0-9.]+(?![\w.-])|\[[0-9A-Fa-f:.]+\]).*")  # many names begin with a digit

_OPTIONS = Skipped(SkippedKind.OPTIONS, "a filter with options, which holds for some requests only")
_ASIDE = (
    (re.compile(rf".*(?:{COSMETIC_MARK}|\$@?\$).*"), Skipped(SkippedKind.COSMETIC, "a filter of parts of pages")),
    (re.compile(r"(?:@@)?/.*/(?:\$.*)?"), Skipped(SkippedKind.REGEXP, "a regular expression")),
    (re.compile(r".*\$~?[A-Za-z0-9_-]+(?:[=,].*)?"), _OPTIONS),
    (_ADDRESS, Skipped(SkippedKind.PATTERN, "an address, not a name")),
)
_PATTERN = Skipped(SkippedKind.PATTERN, "a pattern: only `||name^` speaks for a whole name and those below it")


def read(text: str) -> Iterable[Item]:
    """Read a line of a filter list: a filter for a whole name, a hosts line, or something that is skipped."""
    if text.startswith("!#"):
        return (Skipped(SkippedKind.DIRECTIVE, "a directive to the blocker"),)
    if text.startswith("!") or (text.startswith("[") and text.endswith("]")):
        return ()
    filtered = _NAME.fullmatch(text)
    if filtered is not None and not names_address(text):
        kind, exception = _SIGNS[filtered[1]]
        return (rule(filtered[2], kind, exception=exception),)
    if hosts.is_line(text):
        return hosts.read(text.partition("#")[0].strip())
    if _BARE_NAME.fullmatch(text):
        bare = rule(text, RuleKind.EXACT)
        return (bare if isinstance(bare, Rule) else _PATTERN,)
    return (next((skipped for pattern, skipped in _ASIDE if pattern.fullmatch(text)), _PATTERN),)


def names_address(text: str) -> bool:
    """Tell whether a filter is for an address, not for a name."""
    return _ADDRESS.fullmatch(text) is not None


def _exceptions(content: bytes) -> set[Name]:
    """Collect the domains of a file's exceptions that hold for all names below them, of `EXCEPTIONS_MAX` at most."""
    found: set[Name] = set()
    for line in islice(_EXCEPTION.finditer(content), EXCEPTIONS_MAX):
        for item in read(line[0].decode(errors="replace").strip()):  # a bad line is told when the file is read for good
            if isinstance(item, Rule) and item.exception and item.kind is not RuleKind.EXACT:
                found.add(item.domain)
    return found


def _excepting(excepted: frozenset[Name]) -> Format:
    """Make the format for a list with such exceptions: filters for names below an excepted domain give no rule.

    For one and the same name, and for what a filter's own name lies above, rules come to that by themselves.
    """

    def read_under(text: str) -> Iterator[Item]:
        return (item for item in read(text) if not _idle(item, excepted))

    return replace(ADBLOCK, read=read_under, simple=NEVER) if excepted else ADBLOCK


def _idle(item: Item, excepted: frozenset[Name]) -> bool:
    if not isinstance(item, Rule) or item.exception:
        return False
    above = item.domain.partition(b".")[2]
    while above and above not in excepted:
        above = above.partition(b".")[2]
    return bool(above)


def _uncommented(line: bytes) -> bytes:
    """Drop a line that is a `#` comment; `#` elsewhere in a line, or at the head of a cosmetic filter, begins none."""
    stripped = line.lstrip()
    return line if not stripped.startswith(b"#") or _GENERIC.match(stripped) else b""


_EXCEPTION = re.compile(rb"^[ \t]*@@.*$", re.MULTILINE)
_GENERIC = re.compile(COSMETIC_MARK.encode() + rb"[^\s#]|###[^\s#]")  # `## a heading ##` is a comment of people

ADBLOCK = Format(
    name="adblock",
    aliases=("adguard",),
    read=read,
    simple=_SIMPLE,
    signs={sign.encode(): kind for sign, kind in _SIGNS.items()},
    uncommented=_uncommented,
    detection=Detection(
        rb"(?:@@)?\|.*|!#.*|@@\S.*|[A-Za-z0-9._\x80-\xff-]+" + COSMETIC_MARK.encode() + rb"\S.*",
        reads=frozenset({hosts.HOSTS.name}),
        head=rb"\[(?:adblock|adguard|ublock)[^\]]*\]\s*",
    ),
    exceptions=_exceptions,
    excepting=_excepting,
)
