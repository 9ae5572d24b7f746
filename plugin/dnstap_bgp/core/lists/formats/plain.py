"""The plain format: a name or a prefix a line.

As examples:

example.com         the name and all below it (also: .example.com, example.com.)
=example.com        just the name
*.example.com       only what lies below
!www.example.com    an exception; also !=name and !*.name
192.0.2.0/24        a static prefix: announced always; also an address, and IPv6
# a comment, also after a rule
"""

import ipaddress
import re
from collections.abc import Sequence

from dnstap_bgp.core.lists.domains import Rule, RuleKind
from dnstap_bgp.core.lists.formats.parts import ASCII_NAME, COSMETIC_MARK, Format, Item, name
from dnstap_bgp.core.model import Prefix
from dnstap_bgp.errors import BadNameError, ListError

LINE_MAX_BYTES = 1024
"""More than any name takes in UTF-8. A comment doesn't count."""

_SIGNS = {  # longest first; the empty one is in front of any text
    "!*.": (RuleKind.SUBDOMAINS, True),
    "!=": (RuleKind.EXACT, True),
    "!": (RuleKind.SUFFIX, True),
    "*.": (RuleKind.SUBDOMAINS, False),
    "=": (RuleKind.EXACT, False),
    "": (RuleKind.SUFFIX, False),
}

_SIMPLE = re.compile(rf"(!?(?:=|\*\.)?){ASCII_NAME}[ \t]*(?:[ \t]#.*)?\r?\n?".encode())
_COSMETIC = re.compile(COSMETIC_MARK.encode())
_PREFIX = re.compile(r"(?=\.*[0-9])[0-9.]+(/\S*)?|(?=[^:]*:[^:]*:)[0-9A-Fa-f:.]+(/\S*)?")

_FOREIGN = (
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


def read(text: str) -> Sequence[Item]:
    """Read a line: a sign or none, then a name; or a prefix.

    Raises:
        ListError: It is neither, or a prefix with bits set beyond its length.
    """
    if _PREFIX.fullmatch(text):
        return (prefix(text),)
    sign = next(sign for sign in _SIGNS if text.startswith(sign))
    kind, exception = _SIGNS[sign]
    try:
        return (Rule(name(text[len(sign) :]), kind, exception),)
    except BadNameError as error:
        raise ListError(_foreign(text) or str(error)) from error


def prefix(text: str) -> Prefix:
    """Read a static prefix, `192.0.2.0/24`; an address stands for its host route.

    Raises:
        ListError: It is none, or has bits set beyond its length.
    """
    address, slash, length = text.partition("/")
    if slash and not (length.isascii() and length.isdigit() and len(length) <= 3):
        raise ListError("a prefix needs its length as a number: 192.0.2.0/24")
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        if "host bits" in str(error):
            meant = ipaddress.ip_network(text, strict=False)
            raise ListError(f"bits are set beyond the prefix's length: {meant}, or {address} alone?") from None
        raise ListError("neither an address nor a prefix") from None
    if network.version == 6 and network.network_address.ipv4_mapped is not None:
        raise ListError("an IPv4 address in IPv6 form: write it as IPv4")
    packed = network.network_address.packed
    return packed if network.prefixlen == network.max_prefixlen else packed + bytes([network.prefixlen])


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


PLAIN = Format(
    read=read,
    simple=_SIMPLE,
    signs={sign.encode(): kind for sign, kind in _SIGNS.items()},
    uncommented=_uncommented,
    line_max_bytes=LINE_MAX_BYTES,
)
