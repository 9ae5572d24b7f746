"""Source files of v2fly's domain-list-community (geosite).

    domain:example.com @ads     the name and all below it; `domain:` may be left out
    full:example.com            just the name
    include:other @cn @-ads     the rules of the file `other` beside this one that have @cn and not @ads
    keyword:example             skipped, as is regexp:
    # a comment, also after a rule

`&list` after a rule puts it into another list as well, which counts only for whoever compiles all lists together.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from dnstap_bgp.core.lists.domains import RuleKind
from dnstap_bgp.core.lists.formats.parts import (
    ASCII_NAME,
    NEVER,
    Format,
    Include,
    Item,
    Kind,
    Skipped,
    before_hash,
    rule,
)
from dnstap_bgp.errors import ListError

_KINDS = {"": RuleKind.SUFFIX, "domain": RuleKind.SUFFIX, "full": RuleKind.EXACT}
_SIMPLE = re.compile(rf"((?:domain:|full:)?){ASCII_NAME}[ \t]*(?:#.*)?\r?\n?".encode())

_FILE = re.compile(r"[A-Za-z0-9!_][A-Za-z0-9!_.-]{0,99}")  # a name, never a path
_ATTRIBUTE = re.compile(r"@(-?)([A-Za-z0-9!_-]{1,63})")
_AFFILIATION = re.compile(r"&[A-Za-z0-9!_-]{1,99}")

_ASIDE = {
    "keyword": Skipped(Kind.KEYWORD, "a keyword: a part of a name"),
    "regexp": Skipped(Kind.REGEXP, "a regular expression"),
}


def read(text: str) -> Iterator[Item]:
    """Read a line, whatever attributes its rule has."""
    return _read(text, ())


def filtered(includes: Sequence[Include]) -> Format:
    """Give the format of an included file: only rules that pass the filters of all these includes count."""
    if not any(include.wanted or include.unwanted for include in includes):
        return V2FLY
    simple = NEVER if any(include.wanted for include in includes) else V2FLY.simple
    return replace(V2FLY, read=lambda text: _read(text, includes), simple=simple)


def _read(text: str, includes: Sequence[Include]) -> Iterator[Item]:
    # Of a regular expression only what stands before white space matters, and not even that.
    word, *marks = text.split()
    kind, colon, value = word.partition(":")
    if not colon:
        kind, value = "", word
    kind = kind.lower()
    if kind in _ASIDE:
        yield _ASIDE[kind]
    elif kind == "include":
        yield _include(value, marks)
    elif kind in _KINDS:
        attributes = _attributes(marks)
        if all(include.wanted <= attributes and not include.unwanted & attributes for include in includes):
            yield rule(value, _KINDS[kind])
    else:
        raise ListError("none of domain:, full:, keyword:, regexp: and include:")


def _include(name: str, marks: Sequence[str]) -> Include:
    if not _FILE.fullmatch(name):
        raise ListError("include: takes the name of a file beside this one")
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
    read=read,
    simple=_SIMPLE,
    signs={
        b"": (RuleKind.SUFFIX, False),
        b"domain:": (RuleKind.SUFFIX, False),
        b"full:": (RuleKind.EXACT, False),
    },
    uncommented=before_hash,
)
