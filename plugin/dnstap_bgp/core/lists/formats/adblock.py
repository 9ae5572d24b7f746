"""Filter lists of adblock, AdGuard and their kin: the filters that speak for whole names, and only these.

    ||example.com^        the name and all below it
    ||*.example.com^      only what lies below
    |example.com^         just the name
    @@||example.com^      an exception, in each of these forms
    0.0.0.0 example.com   just the name, as AdGuard reads a line of a hosts file
    ! a comment

An exception holds against every filter for its name and, unlike a rule's, also against those for longer names: `under`.

All else filters parts of pages or some requests: a route for the whole name would do something else, so it is skipped.
So are filters with options, whatever they are: most narrow the filter down, and some turn it round.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from dnstap_bgp.core.lists.domains import Rule, RuleKind
from dnstap_bgp.core.lists.formats import hosts
from dnstap_bgp.core.lists.formats.parts import ASCII_NAME, COSMETIC_MARK, NEVER, Format, Item, Kind, Skipped, rule
from dnstap_bgp.core.model import Name

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
_ADDRESS = re.compile(r"(?:@@)?\|\|?(?:[0-9.]+(?![\w.-])|\[[0-9A-Fa-f:.]+\]).*")  # many names begin with a digit

_OPTIONS = Skipped(Kind.OPTIONS, "a filter with options, which holds for some requests only")
_ASIDE = (
    (re.compile(rf".*(?:{COSMETIC_MARK}|\$@?\$).*"), Skipped(Kind.COSMETIC, "a filter of parts of pages")),
    (re.compile(r"(?:@@)?/.*/(?:\$.*)?"), Skipped(Kind.REGEXP, "a regular expression")),
    (re.compile(r".*\$~?[A-Za-z0-9_-]+(?:[=,].*)?"), _OPTIONS),
    (_ADDRESS, Skipped(Kind.PATTERN, "an address, not a name")),
)
_PATTERN = Skipped(Kind.PATTERN, "a pattern: only `||name^` speaks for a whole name and those below it")


def read(text: str) -> Iterable[Item]:
    """Read a line."""
    if text.startswith("!#"):
        return (Skipped(Kind.DIRECTIVE, "a directive to the blocker"),)
    if text.startswith("!") or (text.startswith("[") and text.endswith("]")):
        return ()
    filtered = _NAME.fullmatch(text)
    if filtered is not None and not _ADDRESS.fullmatch(text):
        kind, exception = _SIGNS[filtered[1]]
        return (rule(filtered[2], kind, exception=exception),)
    if hosts.is_line(text):
        return hosts.read(text.partition("#")[0].strip())
    return (next((skipped for pattern, skipped in _ASIDE if pattern.fullmatch(text)), _PATTERN),)


def exceptions(content: bytes) -> set[Name]:
    """The domains that exceptions hold for with all below them, in a file's content."""
    found: set[Name] = set()
    for line in _EXCEPTION.findall(content):
        for item in read(line.decode(errors="replace").strip()):  # a bad line is told when the file is read for good
            if isinstance(item, Rule) and item.exception and item.kind is not RuleKind.EXACT:
                found.add(item.domain)
    return found


def under(excepted: frozenset[Name]) -> Format:
    """Give the format of the files of a list that has these exceptions: filters for what lies below them don't count.

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
    """A `#` begins a comment only as the line's first character, and then not what is a cosmetic filter."""
    stripped = line.lstrip()
    return line if not stripped.startswith(b"#") or _GENERIC.match(stripped) else b""


_EXCEPTION = re.compile(rb"^[ \t]*@@.*$", re.MULTILINE)
_GENERIC = re.compile(COSMETIC_MARK.encode() + rb"[^\s#]|###[^\s#]")  # `## a heading ##` is a comment of people

ADBLOCK = Format(
    read=read,
    simple=_SIMPLE,
    signs={sign.encode(): kind for sign, kind in _SIGNS.items()},
    uncommented=_uncommented,
)
