"""Lines of dnsmasq's configuration that name domains.

    server=/example.com/example.net/192.0.2.1    the names and all below them; local=, address=, ipset=, nftset= alike
    server=/www.example.com/#                    an exception: this name is asked of the standard servers again
    server=/*.example.com/192.0.2.1              only what lies below (dnsmasq 2.86)

What they say of the names (a server, a set, an address) is no matter. Other settings are skipped.
"""

import re
from collections.abc import Iterator

from dnstap_bgp.core.lists.lines import (
    ASCII_NAME,
    Detection,
    Format,
    Item,
    Skipped,
    SkippedKind,
    before_spaced_hash,
    rule,
)
from dnstap_bgp.core.lists.rules import RuleKind

_OPTIONS = "server|address|local|ipset|nftset"
_LINE = re.compile(rf"({_OPTIONS})\s*=\s*/(.*)")
_SIMPLE = re.compile(rf"((?:{_OPTIONS})=/){ASCII_NAME}/(?:[^/#\s][^/\s]*)?[ \t]*\r?\n?".encode())

_OTHER = Skipped(SkippedKind.DIRECTIVE, "a setting of dnsmasq that names no domain")
_ANY = Skipped(SkippedKind.PATTERN, "every name, or every name without a dot: a list can't say that")
_WILDCARD = Skipped(SkippedKind.PATTERN, "`*` in a part of a name")


def read(text: str) -> Iterator[Item]:
    """Read a line of dnsmasq's configuration: a rule for each domain that it names."""
    line = _LINE.fullmatch(text)
    domains, slash, value = line[2].rpartition("/") if line is not None else ("", "", "")
    if line is None or not slash or any(map(str.isspace, value)):
        yield _OTHER
        return
    option = line[1]
    exception = option in ("server", "local") and value == "#"
    for domain in domains.split("/"):
        if domain in ("", "#"):
            yield _ANY
        elif domain.startswith("*."):
            yield _WILDCARD if "*" in domain[2:] else rule(domain[2:], RuleKind.SUBDOMAINS, exception=exception)
        else:
            yield _WILDCARD if "*" in domain else rule(domain, exception=exception)


DNSMASQ = Format(
    name="dnsmasq",
    read=read,
    simple=_SIMPLE,
    signs={f"{option}=/".encode(): (RuleKind.SUFFIX, False) for option in _OPTIONS.split("|")},
    uncommented=before_spaced_hash,
    detection=Detection(rf"(?:{_OPTIONS})\s*=\s*/.*".encode()),
)
