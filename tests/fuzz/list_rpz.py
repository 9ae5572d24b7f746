"""Lists in the format rpz: what dnspython reads as a zone gives the triggers that dnspython finds in it."""

import re
from collections.abc import Iterator

import dns.exception
import dns.name
import dns.rdatatype
import dns.zone

from dnstap_bgp.core.lists.formats import FORMATS
from dnstap_bgp.core.lists.lines import open_document, read_document
from dnstap_bgp.core.lists.rules import Rule, RuleKind
from dnstap_bgp.errors import ListError
from tests.fuzz import list_kit

COVERS = {"dnstap_bgp.core.lists.formats.rpz": 0.93}
ORIGIN = dns.name.from_text("r.")
HEAD = b"$TTL 60\n$ORIGIN r.\n"
SIMPLE = frozenset(b"abcdefghijklmnopqrstuvwxyz.* \n$ORIGNTLCMAE@0123456789-;\t")
"""Bytes of which a zone means the same to all; escapes and quotes are looked at for crashes only."""


def one_input(data: bytes) -> None:
    content = HEAD + data
    list_kit.check("rpz", content)
    if SIMPLE.issuperset(data) and b"$" not in data:
        compare(content)


def compare(content: bytes) -> None:
    """Compare the names with dnspython's."""
    try:
        zone = dns.zone.from_text(content.decode(), ORIGIN, relativize=False, check_origin=False)
    except (dns.exception.DNSException, ValueError):
        return
    wanted = set()
    for owner, _, record in zone.iterate_rdatas():
        name = owner.relativize(ORIGIN).to_text().lower()
        is_passing = record.rdtype == dns.rdatatype.CNAME and record.to_text().lower() in (
            "rpz-passthru.",
            "rpz-passthru.r.",
            f"{name}.",
        )
        if name != "@" and "rpz-" not in name and record.rdtype in (dns.rdatatype.CNAME, dns.rdatatype.A):
            wanted.add((name, is_passing))
    document = FORMATS["rpz"].document
    assert document is not None
    try:
        items = [item for _, item in read_document(open_document(document, content), "")]
    except ListError:
        raise AssertionError("dnspython reads it") from None
    signs = {RuleKind.EXACT: "", RuleKind.SUBDOMAINS: "*."}
    given = {(signs[one.kind] + one.domain.decode(), one.exception) for one in items if isinstance(one, Rule)}
    assert not [name for name, _ in wanted - given if is_sayable(name)], (wanted - given, items)


def is_sayable(name: str) -> bool:
    """Whether a list can have a name: not with `*` elsewhere than in front, escapes, or numbers alone (an address)."""
    bare = name.removeprefix("*.")
    return not ("*" in bare or "\\" in name or re.fullmatch(r"[0-9.]+", bare))


def seeds() -> Iterator[bytes]:
    yield from list_kit.seeds("rpz")
    yield b"a.com CNAME .\n*.b.com 60 IN A 192.0.2.1\n A 192.0.2.2\nc CNAME rpz-passthru.\nd 60 CNAME d.\n"
    yield b"24.0.2.0.192.rpz-ip CNAME .\n32.zz.db8.2001.rpz-ip CNAME *.\n8.0.0.0.10.rpz-client-ip CNAME .\n"
