"""hosts files (hosts(5)): an address, then names.

A name there speaks for just itself, as it does in a resolver that reads such a file: `0.0.0.0 example.com` says nothing
of `www.example.com`. The address is no matter. The names that such files have for the machine itself are passed over.
"""

import re
from collections.abc import Iterator

from dnstap_bgp.core.lists.domains import RuleKind
from dnstap_bgp.core.lists.formats.parts import ASCII_NAME, Format, Item, before_hash, rule
from dnstap_bgp.errors import ListError

LOCAL = frozenset(
    {"localhost", "localhost.localdomain", "local", "broadcasthost", "0.0.0.0"}  # noqa: S104 - StevenBlack's list has it
    | {"localhost4", "localhost4.localdomain4", "localhost6", "localhost6.localdomain6"}
    | {"ip6-localhost", "ip6-loopback", "ip6-localnet", "ip6-mcastprefix"}
    | {"ip6-allnodes", "ip6-allrouters", "ip6-allhosts"}
)
"""Names of the machine itself and of its network, as systems and lists ship them."""

ADDRESS = r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|(?=[0-9A-Fa-f.]*:)[0-9A-Fa-f:.]{2,45}(?:%[0-9A-Za-z_.-]{1,15})?)"

_LINE = re.compile(rf"{ADDRESS}\s+(\S.*)")
# A name with a dot: those of the machine itself have none, but for the ones that begin with `localhost`.
_SIMPLE = re.compile(
    rf"(){ADDRESS}[ \t]+(?=\S*[^\s.]\.[^\s.])(?![Ll][Oo][Cc][Aa][Ll]){ASCII_NAME}[ \t]*(?:#.*)?\r?\n?".encode()
)


def is_line(text: str) -> bool:
    """Whether it has the form of such a line."""
    return _LINE.fullmatch(text) is not None


def read(text: str) -> Iterator[Item]:
    """Read a line.

    Raises:
        ListError: There is no address in front.
    """
    line = _LINE.fullmatch(text)
    if line is None:
        raise ListError("no line of a hosts file, which is an address and names")
    for found in line[1].split():
        if found.lower().rstrip(".") not in LOCAL:
            yield rule(found, RuleKind.EXACT)


HOSTS = Format(read=read, simple=_SIMPLE, signs={b"": (RuleKind.EXACT, False)}, uncommented=before_hash)
