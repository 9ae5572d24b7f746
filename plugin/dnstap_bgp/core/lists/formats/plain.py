r"""The plain format: a name, a prefix or a pattern a line.

As examples:

example.com         the name and all below it (also: .example.com, example.com.)
=example.com        just the name
*.example.com       only what lies below
=*.example.com      only names with exactly one label more
!www.example.com    an exception; also !=name and !*.name
192.0.2.0/24        a static prefix: announced always; also an address, and IPv6
keyword:example     names that have it anywhere
regexp:^r\d+\.example\.com$   names that the expression matches, in RE2's syntax
# a comment, also after a rule
"""

import ipaddress
import re
from collections.abc import Sequence

from dnstap_bgp.core.lists.formats import hosts
from dnstap_bgp.core.lists.formats.adblock import COSMETIC_MARK
from dnstap_bgp.core.lists.lines import ASCII_NAME, Detection, Format, Item, expression, keyword, name
from dnstap_bgp.core.lists.rules import Rule, RuleKind
from dnstap_bgp.core.model import Prefix
from dnstap_bgp.errors import BadNameError, ListError

LINE_MAX_BYTES = 1024
"""Bytes of a line without its comment: more than any name takes in UTF-8."""

_SIGNS = {  # longest first; the empty one is in front of any text
    "!=*.": (RuleKind.CHILDREN, True),
    "!*.": (RuleKind.SUBDOMAINS, True),
    "!=": (RuleKind.EXACT, True),
    "!": (RuleKind.SUFFIX, True),
    "=*.": (RuleKind.CHILDREN, False),
    "*.": (RuleKind.SUBDOMAINS, False),
    "=": (RuleKind.EXACT, False),
    "": (RuleKind.SUFFIX, False),
}

_SIMPLE = re.compile(rf"(!?=?(?:\*\.)?){ASCII_NAME}[ \t]*(?:[ \t]#.*)?\r?\n?".encode())
_PATTERNS = {"keyword": keyword, "regexp": expression}
_COSMETIC = re.compile(COSMETIC_MARK.encode())
_IPV4_BITS, _IPV4_MASK = 32, 0xFFFFFFFF
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}(?:/(3[0-2]|[12]?[0-9]))?")
_PREFIX = re.compile(r"(?=\.*[0-9])[0-9.]+(/\S*)?|(?=[^:]*:[^:]*:)[0-9A-Fa-f:.]+(/\S*)?")

_FOREIGN = (
    (r"!\s.*|!", "an adblock comment (write `# ...`) or an exception without a name (write `!name`)"),
    (r"\+\..*", 'a line of mihomo (Clash): write `name`, or say `format = "mihomo"`'),
    (r"payload:|-\s+['\"]?\S.*", "YAML, such as a rule provider of mihomo (Clash): write only the name"),
    (
        r"(domain|ip|src-ip|dst-ip|geoip|process|url|user|user-agent|rule-set|and|or|not)[a-z0-9-]*,.*",
        "a rule of Clash or Surge: write only the name",
    ),
    (r"local-(zone|data)(-ptr)?:.*", "a line of unbound's configuration: write only the name"),
    (
        r"\$(ttl|origin|include)\s.*|\S+\s+(\d+\w*\s+)?(in\s+)?(cname|a|aaaa|txt|soa|ns|ptr|mx|srv|drop|dname)\s.*",
        "a line of a zone, such as RPZ: write only the name",
    ),
    (r"<.*", "HTML or XML: a page, not a list"),
    (r"[{\[]\s*|\".*|[}\]],?", "JSON: write only the names, each on a line"),
    (r"/.*/", "an expression: write `regexp:...`"),
    (r"(domain|full|include):.*", "a v2fly line: write `name`, or `=name` where it says full:"),
    (r"\|.*|@@.*|\[.*\]|.*\^.*|.*#[@?$%]*#.*|[^\s$]+\$.*", "an adblock filter: write only the name"),
    (r"(server|address|local|ipset|nftset)=/.*", "a dnsmasq line: write only the name"),
    (r"\w+://.*", "a URL: write only the name"),
    (r"\S+\s.*", "more than one word on the line"),
    (r"[^*]*\*.*", "`*` stands only in front, as `*.name`"),
)
_FOREIGN_PATTERNS = [(re.compile(pattern, re.IGNORECASE), what) for pattern, what in _FOREIGN]


def read(text: str) -> Sequence[Item]:
    """Read a plain line: a sign or none, then a name; or a prefix.

    Raises:
        ListError: It is neither, or a prefix with bits set beyond its length.
    """
    if is_prefix(text):
        return (prefix(text),)
    word, colon, value = text.partition(":")
    if colon and word in _PATTERNS:
        return (_PATTERNS[word](value.strip()),)
    sign = next(sign for sign in _SIGNS if text.startswith(sign))
    kind, exception = _SIGNS[sign]
    try:
        return (Rule(name(text[len(sign) :]), kind, exception),)
    except BadNameError as error:
        raise ListError(_foreign(text) or str(error)) from error


def is_prefix(text: str) -> bool:
    """Tell whether a text is meant as a prefix or an address."""
    return _PREFIX.fullmatch(text) is not None


def prefix(text: str, *, strict: bool = True) -> Prefix:
    """Read a static prefix, `192.0.2.0/24`; an address stands for its host route.

    Args:
        text: The prefix.
        strict: Bits beyond its length are a mistake; else they don't count, as for whom other formats were made.

    Raises:
        ListError: It is none, or has bits set beyond its length.
    """
    simple = _IPV4.fullmatch(text)
    if simple is not None and (packed := _ipv4(*simple.groups())) is not None:
        return packed
    address, slash, length = text.partition("/")
    if slash and not (length.isascii() and length.isdigit() and len(length) <= 3):
        raise ListError("a prefix needs its length as a number: 192.0.2.0/24")
    try:
        network = ipaddress.ip_network(text, strict)
    except ValueError as error:
        if "host bits" in str(error):
            meant = ipaddress.ip_network(text, strict=False)
            raise ListError(f"bits are set beyond the prefix's length: {meant}, or {address} alone?") from None
        raise ListError("neither an address nor a prefix") from None
    if network.version == 6 and network.network_address.ipv4_mapped is not None:
        raise ListError("an IPv4 address in IPv6 form: write it as IPv4")
    packed = network.network_address.packed
    return packed if network.prefixlen == network.max_prefixlen else packed + bytes([network.prefixlen])


def _ipv4(first: str, second: str, third: str, fourth: str, length: str | None) -> Prefix | None:
    """Make an IPv4 prefix, in a fifth of the time; None: bits are set beyond its length."""
    packed = bytes((int(first), int(second), int(third), int(fourth)))
    bits = _IPV4_BITS if length is None else int(length)
    if bits == _IPV4_BITS:
        return packed
    return None if int.from_bytes(packed, "big") << bits & _IPV4_MASK else packed + bytes((bits,))


def _uncommented(line: bytes) -> bytes:
    at = line.find(b"#")
    if at < 0 or (line[:at].strip() and not line[at - 1 : at].isspace() and _COSMETIC.match(line, at)):
        return line
    return line[:at]


def _foreign(text: str) -> str | None:
    """Tell what an unreadable line is in another format, so that people know what to do; None: in none of these."""
    if hosts.is_line(text):
        return "a line of a hosts file: write only the name"
    for pattern, what in _FOREIGN_PATTERNS:
        if pattern.fullmatch(text):
            return what
    return None


PLAIN = Format(
    name="plain",
    aliases=("domains",),
    read=read,
    simple=_SIMPLE,
    signs={sign.encode(): kind for sign, kind in _SIGNS.items()},
    uncommented=_uncommented,
    line_max_bytes=LINE_MAX_BYTES,
    detection=Detection(rb"(?:!?=\*\.|!?=|!?\*\.|!)[A-Za-z0-9._\x80-\xff-]+(?:\s*#.*)?|[0-9a-f:.]+/[0-9]+(?:\s*#.*)?"),
)
