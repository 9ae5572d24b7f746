r"""Source files of v2fly's domain-list-community (geosite).

    domain:example.com @ads     the name and all below it; `domain:` may be left out
    domain:example.com:@ads,@cn the same, as published lists (the `release` branch's text files) write attributes
    full:example.com            just the name
    include:other @cn @-ads     the rules of the file `other` beside this one that have @cn and not @ads
    keyword:example             names that have it anywhere
    regexp:^a[0-9]+\.b\.com$      names that it matches
    # a comment, also after a rule

`&list` after a rule puts it into another list as well, which counts only for whoever compiles all lists together.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from dnstap_bgp.core.lists.lines import (
    ASCII_NAME,
    NAMES,
    NEVER,
    Detection,
    Format,
    Include,
    Item,
    before_hash,
    expression,
    keyword,
    rule,
)
from dnstap_bgp.core.lists.rules import RuleKind
from dnstap_bgp.errors import ListError

MARKS_MAX = 100
"""Attributes behind an include, where one or two are usual: they are kept until all files are read, and a line has room
for thousands, of which a thousand lines took 650 MB."""

_KINDS = {"": RuleKind.SUFFIX, "domain": RuleKind.SUFFIX, "full": RuleKind.EXACT}
_PUBLISHED = r"(?::@(?!-)[A-Za-z0-9!_-]{1,63}(?:,@(?!-)[A-Za-z0-9!_-]{1,63})*)?"  # attributes, without white space
_KIND = "((?:domain:|full:)?)"
_END = r"[ \t]*(?:#.*)?\r?\n?"
_SIMPLE = re.compile(f"{_KIND}{ASCII_NAME}{_PUBLISHED}{_END}".encode())
_WITHOUT_ATTRIBUTES = re.compile(f"{_KIND}{ASCII_NAME}{_END}".encode())  # passes filters that only exclude some

_FILE = re.compile(r"[A-Za-z0-9!_][A-Za-z0-9!_.-]{0,99}")  # a name, never a path
_ATTRIBUTE = re.compile(r"@(-?)([A-Za-z0-9!_-]{1,63})")
_AFFILIATION = re.compile(r"&[A-Za-z0-9!_-]{1,99}")

_PATTERNS = {"keyword": keyword, "regexp": expression}


def read(text: str) -> Iterator[Item]:
    """Read a line of a geosite source, whatever attributes its rule has."""
    return _read(text, ())


def _including(includes: Sequence[Include]) -> Format:
    """Make the format for an included file: only rules that pass the filters of all includes on the way count."""
    if not any(include.wanted or include.unwanted for include in includes):
        return V2FLY
    simple = NEVER if any(include.wanted for include in includes) else _WITHOUT_ATTRIBUTES
    return replace(V2FLY, read=lambda text: _read(text, includes), simple=simple)


def _read(text: str, includes: Sequence[Include]) -> Iterator[Item]:
    # An expression ends at white space, as v2fly's own reader has it.
    word, *marks = text.split()
    kind, colon, value = word.partition(":")
    if not colon:
        kind, value = "", word
    kind = kind.lower()
    value, published, attributes_text = value.partition(":@")
    if published:
        marks += f"@{attributes_text}".split(",")
    if kind == "include":
        yield _include(value, marks)
    elif kind in _KINDS or kind in _PATTERNS:
        attributes = _attributes(marks)
        if all(include.wanted <= attributes and not include.unwanted & attributes for include in includes):
            yield _PATTERNS[kind](value) if kind in _PATTERNS else rule(value, _KINDS[kind])
    else:
        raise ListError("none of domain:, full:, keyword:, regexp: and include:")


def _include(name: str, marks: Sequence[str]) -> Include:
    if not _FILE.fullmatch(name):
        raise ListError("include: takes the name of a file beside this one")
    if len(marks) > MARKS_MAX:
        raise ListError(f"an include with {len(marks)} attributes, {MARKS_MAX} are allowed")
    signed = [_marked(mark) for mark in marks if not _AFFILIATION.fullmatch(mark)]
    return Include(
        name,
        frozenset(attribute for minus, attribute in signed if not minus),
        frozenset(attribute for minus, attribute in signed if minus),
    )


def _attributes(marks: Sequence[str]) -> frozenset[str]:
    signed = [_marked(mark) for mark in marks if not _AFFILIATION.fullmatch(mark)]
    if any(minus for minus, _ in signed):
        raise ListError("`@-` stands only after an include")
    return frozenset(attribute for _, attribute in signed)


def _marked(mark: str) -> tuple[str, str]:
    found = _ATTRIBUTE.fullmatch(mark)
    if found is None:
        raise ListError("after the name stand only attributes, `@name`")
    return found[1], found[2].lower()


V2FLY = Format(
    name="v2fly",
    aliases=("geosite",),
    read=read,
    simple=_SIMPLE,
    signs={
        b"": (RuleKind.SUFFIX, False),
        b"domain:": (RuleKind.SUFFIX, False),
        b"full:": (RuleKind.EXACT, False),
    },
    uncommented=before_hash,
    detection=Detection(
        # `keyword:` and `regexp:` mean the same in a plain file, and so say nothing.
        rb"(?:domain|full|include):[^\s/].*|[A-Za-z0-9._\x80-\xff-]+\s+[@&]\S.*",
        reads=frozenset({NAMES}),
    ),
    including=_including,
)
