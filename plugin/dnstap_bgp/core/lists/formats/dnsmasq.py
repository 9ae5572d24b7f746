"""Lines of dnsmasq's configuration that name domains.

    server=/example.com/example.net/192.0.2.1    the names and all below them; local=, address=, ipset=, nftset= alike
    server=/www.example.com/#                    an exception: this name is asked of the standard servers again
    server=/*.example.com/192.0.2.1              only what lies below (dnsmasq 2.86)

What they say of the names (a server, a set, an address) is no matter. Other settings are skipped.
"""

import re
from collections.abc import Iterator

from dnstap_bgp.core.lists.domains import RuleKind
from dnstap_bgp.core.lists.formats.parts import ASCII_NAME, Format, Item, Kind, Skipped, before_spaced_hash, rule

_OPTIONS = "server|address|local|ipset|nftset"
_LINE = re.compile(rf"({_OPTIONS})\s*=\s*/(.*)/(\S*)")
_SIMPLE = re.compile(rf"((?:{_OPTIONS})=/){ASCII_NAME}/(?:[^/#\s][^/\s]*)?[ \t]*\r?\n?".encode())

_OTHER = Skipped(Kind.DIRECTIVE, "a setting of dnsmasq that names no domain")
_ANY = Skipped(Kind.PATTERN, "every name, or every name without a dot: a list can't say that")
_WILDCARD = Skipped(Kind.PATTERN, "`*` in a part of a name")


def read(text: str) -> Iterator[Item]:
    """Read a line."""
    line = _LINE.fullmatch(text)
    if line is None:
        yield _OTHER
        return
    option, domains, value = line.groups()
    exception = option in ("server", "local") and value == "#"
    for domain in domains.split("/"):
        if domain in ("", "#"):
            yield _ANY
        elif domain.startswith("*."):
            yield _WILDCARD if "*" in domain[2:] else rule(domain[2:], RuleKind.SUBDOMAINS, exception=exception)
        else:
            yield _WILDCARD if "*" in domain else rule(domain, exception=exception)


DNSMASQ = Format(
    read=read,
    simple=_SIMPLE,
    signs={f"{option}=/".encode(): (RuleKind.SUFFIX, False) for option in _OPTIONS.split("|")},
    uncommented=before_spaced_hash,
)
