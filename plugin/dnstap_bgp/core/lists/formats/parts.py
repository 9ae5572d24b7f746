"""What the formats share: what a line can give, and how a name on it is read."""

import enum
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from dnstap_bgp.core.dns import names
from dnstap_bgp.core.lists.domains import Rule, RuleKind
from dnstap_bgp.core.model import Prefix
from dnstap_bgp.errors import BadNameError

NAME_TEXT_MAX = 1024
"""Characters: more than any name takes, and as much as the UTS 46 mapping accepts."""

ASCII_NAME = r"\.?((?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{0,62}[A-Za-z_-])\.?"
"""A name that can be taken as it stands, but for its case and one dot on each side; it doesn't end like an address."""

COSMETIC_MARK = r"#[@?$%]*#"
"""Of adblock's cosmetic filters: what stands before it would pass for a rule if it began a comment."""


NEVER = re.compile(rb"(?!)")
"""Matches no line: each needs the full reader."""


class Kind(enum.StrEnum):
    """Why a line, or a part of it, gives no rule; the values are for people, after a number."""

    MALFORMED = "malformed"
    """It breaks its format; all others are right there and just nothing that a rule on names can say."""

    KEYWORD = "keywords"
    REGEXP = "regular expressions"
    COSMETIC = "cosmetic filters"
    OPTIONS = "filters with options"
    PATTERN = "patterns of URLs or parts of names"
    DIRECTIVE = "directives"


class Skipped(NamedTuple):
    """A line, or a part of it, that gives no rule.

    Attributes:
        kind: What it is.
        reason: For a person, without the line.
    """

    kind: Kind
    reason: str


class Include(NamedTuple):
    """The rules of a file beside this one belong here, those with all of some attributes and none of some others.

    Attributes:
        name: Of the file; a plain name, without any folder.
        wanted: Attributes that a rule must have.
        unwanted: Attributes that it must not have.
    """

    name: str
    wanted: frozenset[str] = frozenset()
    unwanted: frozenset[str] = frozenset()


Item: TypeAlias = Rule | Prefix | Include | Skipped
"""What a line gives: mostly one rule."""


@dataclass(frozen=True, slots=True)
class Format:
    """How the lines of a file are read.

    Attributes:
        read: A line's text, without comment and white space around and never empty, -> its items. What it raises as
            `ListError` is the reason that the (rest of the) line is malformed.
        simple: Lines that need no more than this: group 1 tells the kind of rule, group 2 is an `ASCII_NAME`. Nearly
            all lines of nearly all lists: 1 us instead of 5 to 10 for the full reader.
        signs: Group 1 -> kind and exception.
        uncommented: A line's bytes -> without its comment.
        line_max_bytes: Without comment.
    """

    read: Callable[[str], Iterable[Item]]
    simple: re.Pattern[bytes]
    signs: Mapping[bytes, tuple[RuleKind, bool]]
    uncommented: Callable[[bytes], bytes]
    line_max_bytes: int = 1 << 16  # a line of dnsmasq may have hundreds of names, one of adblock a whole script


def rule(text: str, kind: RuleKind = RuleKind.SUFFIX, *, exception: bool = False) -> Rule | Skipped:
    """Make the rule for one name of a line that may have several: a bad one doesn't cost the others."""
    try:
        return Rule(name(text), kind, exception)
    except BadNameError as error:
        shown = text if len(text) <= names.LABEL_MAX else f"{text[: names.LABEL_MAX]}..."
        return Skipped(Kind.MALFORMED, f"{shown!a}: {error}")


def name(text: str) -> bytes:
    """Read a name of bounded length.

    Raises:
        BadNameError: It is none: says why.
    """
    if len(text) > NAME_TEXT_MAX:
        raise BadNameError(f"{len(text)} characters, {NAME_TEXT_MAX} are allowed")
    return names.from_text(text)


def before_hash(line: bytes) -> bytes:
    """Cut a comment that `#` begins anywhere."""
    return line.partition(b"#")[0]


def before_spaced_hash(line: bytes) -> bytes:
    """Cut a comment that begins with `#` at the line's beginning or after white space."""
    return _SPACED_HASH.split(line, maxsplit=1)[0]


_SPACED_HASH = re.compile(rb"(?:^|(?<=[ \t]))[ \t]*#")
