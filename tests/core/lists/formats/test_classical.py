"""Rules of the form TYPE,value."""

import pytest

from dnstap_bgp.core.lists.formats import classical, detect
from dnstap_bgp.core.lists.lines import Skipped, SkippedKind
from dnstap_bgp.core.lists.rules import Rule
from dnstap_bgp.errors import ListError
from tests.core.lists.formats.format_kit import is_skipped


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("DOMAIN,www.foo.com", "=www.foo.com"),
        ("DOMAIN-SUFFIX,foo.com", "foo.com"),
        ("domain-suffix , FOO.com , PROXY", "foo.com"),
        ("DOMAIN-SUFFIX,m\u00fcnchen.de", "xn--mnchen-3ya.de"),
    ],
)
def test_names(text: str, rule: str):
    (found,) = classical.read(text)
    assert isinstance(found, Rule)
    assert str(found) == rule


@pytest.mark.parametrize("text", ["IP-CIDR,192.0.2.0/24", "IP-CIDR,192.0.2.7/24,no-resolve", "ip-cidr,192.0.2.0/24,X"])
def test_prefixes(text: str):
    assert classical.read(text) == (b"\xc0\x00\x02\x00\x18",)


def test_ipv6_prefixes():
    assert classical.read("IP-CIDR6,2001:db8::/32,no-resolve") == (bytes.fromhex("20010db8") + bytes(12) + b"\x20",)


@pytest.mark.parametrize("kind", sorted(classical.OTHER_TYPES))
def test_rules_of_other_things_are_counted_by_their_type(kind: str):
    (found,) = classical.read(f"{kind},x,DIRECT")
    assert isinstance(found, Skipped)
    assert found.kind == kind


SOME_TYPES = (
    "DOMAIN-WILDCARD SRC-IP SRC-IP-SUFFIX IN-NAME PROCESS-NAME UID NETWORK NOT MATCH SUBNET DEVICE-NAME HOSTNAME-TYPE"
    " IN-IP"
)


@pytest.mark.parametrize("kind", SOME_TYPES.split())
def test_types_that_mihomo_and_surge_have_beside_names_and_prefixes(kind: str):
    is_skipped("surge", f"{kind},x", kind, "something else than a name")


@pytest.mark.parametrize("text", ["FOO,bar", ",bar", "IP-CIDR,foo", "IP-CIDR,192.0.2.0/33"])
def test_no_rules(text: str):
    with pytest.raises(ListError):
        list(classical.read(text))


def test_a_bad_name_is_malformed():
    is_skipped("surge", "DOMAIN,a..b", SkippedKind.MALFORMED, "empty label")
    is_skipped("surge", "DOMAIN-SUFFIX,*.b", SkippedKind.MALFORMED, "part of a name")


@pytest.mark.parametrize("line", ["DOMAIN,a.com", "domain-suffix,a.com,X", "IP-CIDR,192.0.2.0/24", "AND,((a,b)),X"])
def test_detection(line: str):
    assert detect(f"{line}\n".encode()) == "surge"
