"""The lines of a list file -> rules and static prefixes.

What all formats share is here: encoding, byte-order marks, line ends, limits, line numbers. The formats themselves are
in `formats/`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from dnstap_bgp.core.dns import names
from dnstap_bgp.core.lists.domains import Rule
from dnstap_bgp.core.lists.formats import FORMATS, Format, Include, Kind, Skipped
from dnstap_bgp.core.model import Prefix
from dnstap_bgp.errors import ListError

_EXCERPT_MAX = 60  # of a bad line in a complaint: enough to know it again
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Complaint:
    """A line that was skipped, or a part of it.

    Attributes:
        line: Its number, from 1.
        reason: Its beginning and what is wrong with it; printable.
        kind: Whether it is malformed, or else what rules can't express.
    """

    line: int
    reason: str
    kind: Kind = Kind.MALFORMED


Read: TypeAlias = Rule | Prefix | Include | Complaint
"""What a list's lines give."""


def read_rules(lines: Iterable[bytes], form: Format = FORMATS["plain"]) -> Iterator[Read]:
    """Read the lines of a list, each with or without its line end; about 1 us a simple line of ASCII.

    Args:
        lines: A line is asked for only when all that the one before gives was taken.
        form: Its format.
    """
    matched, signs = form.simple.fullmatch, form.signs
    for number, line in enumerate(lines, 1):
        simple = matched(line)
        if simple is not None and len(simple[2]) <= names.NAME_MAX:
            kind, exception = signs[simple[1]]
            yield Rule(simple[2].lower(), kind, exception)
            continue
        try:
            text = _text(line, form)
            for item in form.read(text) if text else ():
                yield _complaint(number, line, item) if isinstance(item, Skipped) else item
        except ListError as error:
            yield _complaint(number, line, Skipped(Kind.MALFORMED, str(error)))


def _complaint(number: int, line: bytes, skipped: Skipped) -> Complaint:
    return Complaint(number, f"`{_excerpt(line)}`: {skipped.reason}", skipped.kind)


def _text(line: bytes, form: Format) -> str:
    """The line without mark, comment and white space around."""
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
    """The beginning of a line for a message, with nothing in it that could steer a terminal."""
    text = line[: 4 * _EXCERPT_MAX].strip().decode(errors="backslashreplace")
    shown = "".join(char if char.isprintable() else "?" for char in text[:_EXCERPT_MAX])
    return f"{shown}..." if len(text) > _EXCERPT_MAX else shown
