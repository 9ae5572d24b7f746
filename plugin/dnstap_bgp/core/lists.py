"""Lines of a list file -> rules.

A format is one function from a line's text to its rules; it raises `ListError` with the reason for a line that can't be
expressed. What all formats share is here: encoding, byte-order marks, line ends, comments, limits, line numbers.

The plain format has a rule a line:

    example.com         the name and all below it (also: .example.com, example.com.)
    =example.com        just the name
    *.example.com       only what lies below
    !www.example.com    an exception; also !=name and !*.name
    # a comment, also after a rule
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dnstap_bgp.core import names
from dnstap_bgp.core.domains import Rule, RuleKind
from dnstap_bgp.errors import BadNameError, ListError

LINE_MAX_BYTES = 1024
"""More than any name takes in UTF-8, and as much as the UTS 46 mapping accepts. A comment doesn't count."""

_EXCERPT_MAX = 60  # of a bad line in a complaint: enough to know it again
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Complaint:
    """A line that was skipped.

    Attributes:
        line: Its number, from 1.
        reason: Its beginning and what is wrong with it; printable.
    """

    line: int
    reason: str


def read_rules(lines: Iterable[bytes]) -> Iterator[Rule | Complaint]:
    """Read the lines of a plain list, each with or without its line end; about 1 us a line of ASCII."""
    matched = _SIMPLE.fullmatch
    for number, line in enumerate(lines, 1):
        # Nearly all lines of nearly all lists are that simple: 1 us instead of 8 for the full reader.
        simple = matched(line)
        if simple is not None and len(simple[2]) <= names.NAME_MAX:
            kind, exception = _ASCII_SIGNS[simple[1]]
            yield Rule(simple[2].lower(), kind, exception)
            continue
        try:
            text = _text(line)
            rules = plain(text) if text else ()
        except ListError as error:
            yield Complaint(number, f"`{_excerpt(line)}`: {error}")
        else:
            yield from rules


def plain(text: str) -> Sequence[Rule]:
    """Read a line of the plain format: a sign or none, then a name."""
    sign = next(sign for sign in _SIGNS if text.startswith(sign))
    kind, exception = _SIGNS[sign]
    try:
        return (Rule(names.from_text(text[len(sign) :]), kind, exception),)
    except BadNameError as error:
        raise ListError(_foreign(text) or str(error)) from error


_SIGNS = {  # longest first; the empty one is in front of any text
    "!*.": (RuleKind.SUBDOMAINS, True),
    "!=": (RuleKind.EXACT, True),
    "!": (RuleKind.SUFFIX, True),
    "*.": (RuleKind.SUBDOMAINS, False),
    "=": (RuleKind.EXACT, False),
    "": (RuleKind.SUFFIX, False),
}
_ASCII_SIGNS = {sign.encode(): kind for sign, kind in _SIGNS.items()}

# Signs and an ASCII name that doesn't end like an address, with no more around it than one dot on each side.
_SIMPLE = re.compile(
    rb"(!?(?:=|\*\.)?)\.?((?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{0,62}[A-Za-z_-])\.?[ \t]*(?:[ \t]#.*)?\r?\n?"
)

# Adblock's cosmetic filters: what stands before these marks would pass for a rule if they began a comment.
_COSMETIC = re.compile(rb"#[@?$%]*#")

_FOREIGN = (
    (r"[0-9.]*[0-9][0-9.]*(/[0-9.]+)?|[0-9a-f:]*:[0-9a-f:]*:[0-9a-f:.]*(/[0-9]+)?", "an address, not a domain"),
    (r"([0-9.]+|[0-9a-f:.]*:[0-9a-f:.]*)\s+\S.*", "a line of a hosts file: write only the name"),
    (r"!\s.*|!", "an adblock comment (write `# ...`) or an exception without a name (write `!name`)"),
    (r"/.*/|regexp:.*|keyword:.*", "names only, no expressions"),
    (r"(domain|full|include):.*", "a v2fly line: write `name`, or `=name` where it says full:"),
    (r"\|.*|@@.*|\[.*\]|.*\^.*|.*#[@?$%]*#.*|[^\s$]+\$.*", "an adblock filter: write only the name"),
    (r"(server|address|local|ipset|nftset)=/.*", "a dnsmasq line: write only the name"),
    (r"\w+://.*", "a URL: write only the name"),
    (r"\S+\s.*", "more than one word on the line"),
    (r"[!=]*(\*\.)?\S*\*.*", "`*` stands only in front, as `*.name`"),
)
_FOREIGN_PATTERNS = [(re.compile(pattern, re.IGNORECASE), what) for pattern, what in _FOREIGN]


def _text(line: bytes) -> str:
    """The line without mark, comment and white space around."""
    if line.startswith(_UTF_16):
        raise ListError("the file is UTF-16: save it as UTF-8")
    stripped = _uncommented(line.removeprefix(_BYTE_ORDER_MARK)).strip()
    if len(stripped) > LINE_MAX_BYTES:
        raise ListError(f"the line has {len(stripped)} bytes, {LINE_MAX_BYTES} are allowed")
    try:
        return stripped.decode().strip()
    except UnicodeDecodeError as error:
        raise ListError(f"no UTF-8 at byte {error.start + 1}") from error


def _uncommented(line: bytes) -> bytes:
    at = line.find(b"#")
    if at < 0 or (line[:at].strip() and not line[at - 1 : at].isspace() and _COSMETIC.match(line, at)):
        return line
    return line[:at]


def _foreign(text: str) -> str | None:
    """What a line that can't be read is in another format, so that people know what to do; None: in none of these."""
    for pattern, what in _FOREIGN_PATTERNS:
        if pattern.fullmatch(text):
            return what
    return None


def _excerpt(line: bytes) -> str:
    """The beginning of a line for a message, with nothing in it that could steer a terminal."""
    text = line[: 4 * _EXCERPT_MAX].strip().decode(errors="backslashreplace")
    shown = "".join(char if char.isprintable() else "?" for char in text[:_EXCERPT_MAX])
    return f"{shown}..." if len(text) > _EXCERPT_MAX else shown
