"""Domain sets and rule sets of Surge."""

import pytest

from dnstap_bgp.core.lists.formats import detect
from dnstap_bgp.core.lists.lines import SkippedKind
from tests.core.lists.formats.format_kit import gives, is_skipped


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        (".foo.com", "foo.com"),
        ("foo.com", "=foo.com"),
        ("FOO.com.", "=foo.com"),
        ("DOMAIN-SUFFIX,foo.com", "foo.com"),
        ("DOMAIN,foo.com", "=foo.com"),
        ("domain-suffix,foo.com,extended-matching", "foo.com"),
        ("# foo.com", ""),
        ("; foo.com", ""),
        ("// foo.com", ""),
        (".foo.com # why", "foo.com"),
        ("m\u00fcnchen.de", "=xn--mnchen-3ya.de"),
    ],
)
def test_rules(line: str, rules: str):
    gives("surge", line, rules)


@pytest.mark.parametrize(
    ("line", "kind", "reason"),
    [
        ("GEOIP,CN", "GEOIP", "speaks of something else than a name"),
        ("URL-REGEX,^https?://a", "URL-REGEX", "something else"),
        ("foo bar", SkippedKind.MALFORMED, "part of a name"),
        ("WHATEVER,foo", SkippedKind.MALFORMED, "its type is unknown"),
    ],
)
def test_skipped(line: str, kind: SkippedKind | str, reason: str):
    is_skipped("surge", line, kind, reason)


def test_detection():
    assert detect(b"# x\nDOMAIN-SUFFIX,foo.com\nDOMAIN,bar.com\n") == "surge"
    assert detect(b".foo.com\nbar.com\n") == "plain"  # only `format` tells such a set
