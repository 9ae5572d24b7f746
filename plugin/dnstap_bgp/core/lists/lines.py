"""List lines: what a line can give, what a `Format` is, and the reader that all text formats share.

The reader takes care of encoding, byte-order marks, comments, limits and line numbers; a format (`formats/`) says what
one line of text means. Nearly all lines of nearly all lists match the format's `simple` pattern and never reach its
reader: 1 us a line instead of 5 to 10.

Files that are more than lines, such as YAML, JSON, zones and binary ones, are read whole by the `Document` of their
format, which gives the same items, each with its place.
"""

import enum
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias, cast

from dnstap_bgp.core.dns import names
from dnstap_bgp.core.lists import patterns
from dnstap_bgp.core.lists.patterns import Pattern
from dnstap_bgp.core.lists.rules import Rule, RuleBatch, RuleKind
from dnstap_bgp.core.model import Name, Prefix
from dnstap_bgp.errors import BadNameError, ListError

NAME_TEXT_MAX = 1024
"""Characters of a name's text: more than any name takes, and as much as the UTS 46 mapping accepts."""

ASCII_NAME = r"\.?([A-Za-z0-9_-]{1,63}+(?:\.[A-Za-z0-9_-]{1,63}+)*+(?<![0-9]))\.?"
"""A name that can be taken as it stands, but for its case and one dot on each side; it doesn't end like an address."""

_ASCII_NAME = re.compile(ASCII_NAME.replace(r"\.?", "").encode())  # without a dot on either side

NEVER = re.compile(rb"(?!)")
"""Matches no line: each needs the full reader."""

_COMMENT = re.compile(r"!(?:\s|$)")
"""A comment in every format: many publishers put the head of an adblock list before names and hosts lines, too."""

BULK_BYTES = 1 << 16
"""Bytes of a file whose simple lines are read together: some 3,000 of them."""

_NAME_GROUP, _LINE_GROUP = 2, 3

_EXCERPT_MAX = 60  # of a bad line in a complaint: enough to know it again
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class SkippedKind(enum.StrEnum):
    """Reasons why a line, or a part of it, gives no rule; the values are for people, before a number."""

    MALFORMED = "malformed"
    """The line breaks its format; all other kinds are right there and just nothing that a rule on names can say."""

    KEYWORD = "keywords"
    REGEXP = "regular expressions"
    COSTLY = "expressions that take too long"
    COSMETIC = "cosmetic filters"
    OPTIONS = "filters with options"
    PATTERN = "patterns of URLs or parts of names"
    DIRECTIVE = "directives"
    PREFIX = "static prefixes from a URL"
    CONDITION = "rules with other conditions"


class Skipped(NamedTuple):
    """A line, or a part of it, that gives no rule.

    Attributes:
        kind: Its kind: a `SkippedKind`, or the name that a format has for rules of other things (`PROCESS-NAME`).
        reason: For a person, without the line.
    """

    kind: SkippedKind | str
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


Item: TypeAlias = Rule | Pattern | Prefix | Include | Skipped
"""One thing that a line gives: mostly one rule."""


NAMES, WILDCARDS = "names", "wildcards"
"""Lines that several formats have: mere names, and names behind `*.`."""


class Detection(NamedTuple):
    """The marks by which a file's format is told.

    Attributes:
        line: A pattern of lines that this format has and others don't, any case: each is a vote.
        head: A pattern of a line that tells it alone; None: there is none.
        reads: Other formats, `NAMES` or `WILDCARDS`, whose lines this format reads, too: they don't speak against it.
        is_line: A closer look at a line that has the pattern: it must be the thing, not only look like it.
        content: Tells by the beginning of a file that it is in this format, before any line is looked at; None: it
            can't be told so.
    """

    line: bytes
    head: bytes | None = None
    reads: frozenset[str] = frozenset()
    is_line: Callable[[str], bool] | None = None
    content: Callable[[bytes], bool] | None = None


class Document(NamedTuple):
    """Reading of files that are more than lines.

    Attributes:
        open: The content, within `max_bytes`, -> a reader: its selector -> (place, item), a place being a line's number
            or that of an entry, from 1. What either raises as `ListError` makes the file unusable as a whole. One
            content may be opened once and read for several selectors.
        max_bytes: Of the content.
        is_text: The content is text, so that a page in its place can be told.
        is_read: Whether a content is read so, or else line by line; None: each is.
        selects: The reader needs a selector: `SELECTOR_BEHIND` (the part of a source behind `#`) or `SELECTOR_PATH`
            (the list's `path`); empty: it takes none.
    """

    open: "Callable[[bytes], DocumentReader]"
    max_bytes: int
    is_text: bool = True
    is_read: Callable[[bytes], bool] | None = None
    selects: str = ""


DocumentReader: TypeAlias = Callable[[str], Iterator[tuple[int, Item]]]
"""Selector -> (place, item)."""

SELECTOR_BEHIND, SELECTOR_PATH = "#", "path"
"""Places where the selector of a `Document` is written."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format of list files: how its lines are read, and what is special about it.

    Attributes:
        name: As the configuration and people have it.
        read: A line's text, without comment and white space around and never empty, -> its items. What it raises as
            `ListError` is the reason that the (rest of the) line is malformed.
        simple: Lines that need no more than this: group 1 tells the kind of rule, group 2 is an `ASCII_NAME`.
        signs: Group 1 -> kind and exception.
        uncommented: A line's bytes -> without its comment.
        detection: How a file is known to be in this format.
        aliases: Other names that people know it by.
        line_max_bytes: Without comment.
        exceptions: A file's content -> domains whose exceptions hold in all files of the list, also against rules for
            longer names; None: exceptions are only rules.
        excepting: Such domains -> the format in which rules for what lies below them don't count. With `exceptions`.
        is_of_prefixes: Files of this format are made of prefixes, so that a URL that has one is meant to give them.
        including: The includes on the way to a file -> the format in which only rules that pass all their filters
            count; None: the format has no includes.
        document: How its files are read where they are more than lines; None: they never are.
    """

    name: str
    read: Callable[[str], Iterable[Item]]
    simple: re.Pattern[bytes]
    signs: Mapping[bytes, tuple[RuleKind, bool]]
    uncommented: Callable[[bytes], bytes]
    detection: Detection
    aliases: tuple[str, ...] = ()
    line_max_bytes: int = 1 << 16  # a line of dnsmasq may have hundreds of names, one of adblock a whole script
    exceptions: Callable[[bytes], set[Name]] | None = None
    excepting: "Callable[[frozenset[Name]], Format] | None" = None
    is_of_prefixes: bool = False
    including: "Callable[[Sequence[Include]], Format] | None" = None
    document: Document | None = None

    @property
    def selects(self) -> str:
        """Place where the selector of such files is written, see `Document`; empty: they have none."""
        return self.document.selects if self.document is not None else ""


@dataclass(frozen=True, slots=True)
class Complaint:
    """A line that was skipped, or a part of it.

    Attributes:
        line: Its number, from 1; of a document, its place there.
        reason: Its beginning and what is wrong with it; printable.
        kind: Whether it is malformed, or else what rules can't express; see `Skipped`.
    """

    line: int
    reason: str
    kind: SkippedKind | str = SkippedKind.MALFORMED


Read: TypeAlias = Rule | Pattern | Prefix | Include | Complaint
"""One thing that the lines of a list give."""


def read_lines(lines: Iterable[bytes], form: Format) -> Iterator[Read]:
    """Read the lines of a list, each with or without its line end; about 1 us a simple line of ASCII.

    Args:
        lines: A line is asked for only when all that the one before gives was taken.
        form: Its format.
    """
    return cast("Iterator[Read]", read_bulk(lines, form))


def read_bulk(lines: Iterable[bytes | RuleBatch], form: Format) -> Iterator[Read | RuleBatch]:
    """Read the lines of a list of which many were read together already, see `FileLines.bulk`.

    Args:
        lines: One, or a batch, is asked for only when all that the one before gives was taken.
        form: Their format.
    """
    matched, signs = form.simple.fullmatch, form.signs
    for number, line in enumerate(lines, 1):
        if isinstance(line, RuleBatch):
            yield line
            continue
        simple = matched(line)
        if simple is not None and len(simple[2]) <= names.NAME_MAX:
            kind, exception = signs[simple[1]]
            yield Rule(simple[2].lower(), kind, exception)
            continue
        try:
            text = _text(line, form)
            for item in form.read(text) if text and not _COMMENT.match(text) else ():
                yield _complaint(number, line, item) if isinstance(item, Skipped) else item
        except ListError as error:
            yield _complaint(number, line, Skipped(SkippedKind.MALFORMED, str(error)))


class FileLines:
    """Lines of a file, but for those that are blank or a comment as a whole: 20 MB of these take 0.1 to 2 s.

    They are passed over by a regular expression, in C; reading each would take 1.5 us, for as little as one byte. A
    line is given without the white space in front of it.

    Attributes:
        line: The line that was given last.
    """

    __slots__ = ("_begin", "_counted", "_data", "_form", "_number", "line")

    def __init__(self, data: bytes, form: Format) -> None:
        """Make it.

        Args:
            data: The file's content.
            form: Its format, which tells which comments and which simple lines there are.
        """
        self.line = b""
        self._data = data
        self._form = form
        self._begin = self._counted = 0
        self._number = 1

    def __iter__(self) -> Iterator[bytes]:
        return self._lines()

    def bulk(self) -> Iterator[bytes | RuleBatch]:
        """Give the rules of simple lines together, in a third of the time, and the other lines one by one.

        The rules of some thousand lines come behind the other lines among these.
        """
        if self._form.simple is NEVER:
            yield from self
            return
        pattern, signs = _bulk_pattern(_comment(self._form), self._form.simple.pattern), self._form.signs
        at = 0
        while at < len(self._data):
            begin, at = at, self._data.find(b"\n", at + BULK_BYTES) + 1 or len(self._data)
            domains: dict[bytes, list[Name]] = {sign: [] for sign in signs}
            for found in pattern.finditer(self._data, begin, at):
                group = found.lastindex
                if group == _NAME_GROUP:
                    domains[found[1]].append(found[_NAME_GROUP])
                elif group == _LINE_GROUP:
                    self.line, self._begin = found[_LINE_GROUP], found.start(_LINE_GROUP)
                    yield self.line
            for sign, found_here in domains.items():
                if found_here:
                    yield RuleBatch(b"\n".join(found_here).lower().split(b"\n"), *signs[sign])

    def _lines(self) -> Iterator[bytes]:
        for found in _lines_pattern(_comment(self._form)).finditer(self._data):
            line = found[1]
            if line:
                self.line, self._begin = line, found.start(1)
                yield line

    @property
    def number(self) -> int:
        """Number of the line that was given last, from 1; 0: none was."""
        if not self.line:
            return 0
        self._number += self._data.count(b"\n", self._counted, self._begin)
        self._counted = self._begin
        return self._number


@lru_cache
def _lines_pattern(comment: bytes) -> re.Pattern[bytes]:
    """Make the pattern that finds the next line, in group 1, or a comment; never matches less than to a line's end."""
    return re.compile(rb"\s*+(?:%b[^\n]*+|([^\n]++\n?)|\Z)" % comment)


@lru_cache
def _bulk_pattern(comment: bytes, simple: bytes) -> re.Pattern[bytes]:
    """Make the pattern that finds a simple line, its sign in group 1 and its name in 2, or another one in 3.

    A line as long as no name needs is none of the simple ones, so that a name's length is no matter here.
    """
    is_short = rb"(?![^\n]{%d})" % names.NAME_MAX
    return re.compile(rb"\s*+(?:%b[^\n]*+|%b(?:%b)(?:(?<=\n)|\Z)|([^\n]++\n?)|\Z)" % (comment, is_short, simple))


def _comment(form: Format) -> bytes:
    """Make the pattern of how a comment begins that is a whole line of a format, without white space before it."""
    if form.uncommented(b"##a") == b"":
        hash_comment = rb"#"
    elif form.uncommented(b"# a") == b"":
        hash_comment = rb"#(?=\s)"
    else:
        hash_comment = rb"(?!)"
    return rb"(?:!(?=\s)|%b)" % hash_comment


def open_document(document: Document, content: bytes) -> DocumentReader:
    """Open a document.

    Raises:
        ListError: It can't be used as a whole: says where and why.
    """
    if len(content) > document.max_bytes:
        raise ListError(f"it has {len(content)} bytes, {document.max_bytes} are allowed in this format")
    return document.open(content)


def read_document(reader: DocumentReader, selector: str) -> Iterator[tuple[int, Read]]:
    """Read an opened document: (place, item).

    Raises:
        ListError: It can't be used as a whole, or not beyond some place: says where and why.
    """
    for place, item in reader(selector):
        yield place, Complaint(place, item.reason, item.kind) if isinstance(item, Skipped) else item


# For the formats


def document_format(
    name: str,
    document: Document,
    detection: Detection,
    *,
    aliases: tuple[str, ...] = (),
    is_of_prefixes: bool = False,
) -> Format:
    """Make the format of files that are never read line by line."""
    return Format(
        name,
        _no_lines,
        NEVER,
        {},
        lambda line: line,
        detection,
        aliases,
        is_of_prefixes=is_of_prefixes,
        document=document,
    )


def _no_lines(_: str) -> Iterable[Item]:
    raise ListError("no line of its own: files in this format are read as a whole")


def malformed(text: str, reason: str) -> Skipped:
    """Make the item for a part of a document that breaks its format."""
    return Skipped(SkippedKind.MALFORMED, f"`{excerpt(text)}`: {reason}")


def excerpt(text: str) -> str:
    """Shorten a text of a document for a message, and replace characters that could steer a terminal."""
    return _excerpt(text.encode(errors="backslashreplace"))


def keyword(text: str) -> Pattern | Skipped:
    """Make the item for a keyword, which may stand anywhere in a name."""
    try:
        return patterns.keyword(text)
    except ListError as error:
        return malformed(text, str(error))


def expression(text: str) -> Pattern | Skipped:
    """Make the item for a regular expression over names."""
    try:
        return patterns.expression(text)
    except ListError as error:
        return malformed(text, str(error))


def plain_rule(value: bytes, kind: RuleKind) -> Rule | Skipped:
    """Make the rule for a name as documents have it: nearly all are ASCII and need no closer look."""
    if _ASCII_NAME.fullmatch(value) and len(value) <= names.NAME_MAX:
        return Rule(value.lower(), kind)
    return rule(value.decode(errors="replace"), kind)


def rule(text: str, kind: RuleKind = RuleKind.SUFFIX, *, exception: bool = False) -> Rule | Skipped:
    """Make the rule for one name of a line that may have several: a bad one doesn't cost the others."""
    try:
        return Rule(name(text), kind, exception)
    except BadNameError as error:
        shown = text if len(text) <= names.LABEL_MAX else f"{text[: names.LABEL_MAX]}..."
        return Skipped(SkippedKind.MALFORMED, f"{shown!a}: {error}")


def name(text: str) -> Name:
    """Read a name of bounded length.

    Raises:
        BadNameError: The text is no name: says why.
    """
    if len(text) > NAME_TEXT_MAX:
        raise BadNameError(f"{len(text)} characters, {NAME_TEXT_MAX} are allowed")
    return names.from_text(text)


def before_hash(line: bytes) -> bytes:
    """Cut a comment that `#` begins anywhere."""
    return line.partition(b"#")[0]


def before_spaced_hash(line: bytes) -> bytes:
    """Cut a comment that begins with `#` at the line's beginning or after white space."""
    at = line.find(b"#")
    while at > 0 and line[at - 1] not in b" \t":
        at = line.find(b"#", at + 1)
    return line if at < 0 else line[:at]


def _complaint(number: int, line: bytes, skipped: Skipped) -> Complaint:
    return Complaint(number, f"`{_excerpt(line)}`: {skipped.reason}", skipped.kind)


def _text(line: bytes, form: Format) -> str:
    """Decode a line and strip its byte-order mark, comment and the white space around."""
    if line.startswith(_UTF_16):
        raise ListError("the file is UTF-16: save it as UTF-8")
    stripped = form.uncommented(line.removeprefix(_BYTE_ORDER_MARK)).strip()
    if len(stripped) > form.line_max_bytes:
        raise ListError(f"the line has {len(stripped)} bytes, {form.line_max_bytes} are allowed")
    try:
        return stripped.decode().strip()
    except UnicodeDecodeError as error:
        raise ListError(f"no UTF-8 at byte {error.start + 1}") from error


def _excerpt(line: bytes) -> str:
    """Shorten a line for a message and replace characters that could steer a terminal."""
    text = line[: 4 * (_EXCERPT_MAX + 1)].strip().decode(errors="backslashreplace")
    shown = "".join(char if char.isprintable() else "?" for char in text[:_EXCERPT_MAX])
    return f"{shown}..." if len(text) > _EXCERPT_MAX else shown
