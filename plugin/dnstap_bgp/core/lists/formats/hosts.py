"""Hosts files (hosts(5)): an address, then names.

A name there speaks for just itself, as it does in a resolver that reads such a file: `0.0.0.0 example.com` says nothing
of `www.example.com`. The address is no matter. The names that such files have for the machine itself are passed over.
"""

import ipaddress
import re
from collections.abc import Iterator

from dnstap_bgp.core.lists.lines import ASCII_NAME, Detection, Format, Item, before_hash, rule
from dnstap_bgp.core.lists.rules import RuleKind
from dnstap_bgp.errors import ListError

LOCAL = frozenset(
    {"localhost", "localhost.localdomain", "local", "broadcasthost", "0.0.0.0"}  # noqa: S104 - StevenBlack's list has it
    | {"localhost4", "localhost4.localdomain4", "localhost6", "localhost6.localdomain6"}
    | {"ip6-localhost", "ip6-loopback", "ip6-localnet", "ip6-mcastprefix"}
    | {"ip6-allnodes", "ip6-allrouters", "ip6-allhosts"}
)
"""Names of the machine itself and of its network, as systems and lists ship them."""

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")  # zeros in front are no matter here: no octal is meant
_LINE = re.compile(r"(\S{2,60})\s+(\S.*)")
# A name with a dot: those of the machine itself have none, but for the ones that begin with `localhost`.
_SIMPLE = re.compile(
    (
        rf"()(?:(?:{_OCTET}\.){{3}}{_OCTET}|::1?)[ \t]+"
        rf"(?=\S*[^\s.]\.[^\s.])(?![Ll][Oo][Cc][Aa][Ll]){ASCII_NAME}[ \t]*(?:#.*)?\r?\n?"
    ).encode()
)


def is_line(text: str) -> bool:
    """Tell whether a text is a hosts line: an address and names."""
    line = _LINE.fullmatch(text)
    return line is not None and _is_address(line[1])


def _is_address(text: str) -> bool:
    """Tell whether a text is an address, an IPv6 one with or without a zone: `404:` and `Face:` only look like one."""
    if _IPV4.fullmatch(text):
        return all(int(octet) < 256 for octet in text.split("."))
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def read(text: str) -> Iterator[Item]:
    """Read a hosts line: a rule for each name behind the address.

    Raises:
        ListError: There is no address in front.
    """
    line = _LINE.fullmatch(text)
    if line is None or not _is_address(line[1]):
        raise ListError("no line of a hosts file, which is an address and names")
    for found in line[2].split():
        if found.lower().rstrip(".") not in LOCAL:
            yield rule(found, RuleKind.EXACT)


HOSTS = Format(
    name="hosts",
    read=read,
    simple=_SIMPLE,
    signs={b"": (RuleKind.EXACT, False)},
    uncommented=before_hash,
    detection=Detection(rb"[0-9a-f:.]{2,45}(?:%\S{1,15})?\s+[^\s#].*", is_line=is_line),
)
