"""The lines of the format adblock, one by one."""

import pytest

from dnstap_bgp.core.lists.lines import SkippedKind
from tests.core.lists.formats.format_kit import gives, is_skipped


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ("||foo.com^", "foo.com"),
        ("||FOO.com^\r\n", "foo.com"),
        ("||foo.com^|", "foo.com"),
        ("||*.foo.com^", "*.foo.com"),
        ("|foo.com^", "=foo.com"),
        ("@@||foo.com^", "!foo.com"),
        ("@@||*.foo.com^|", "!*.foo.com"),
        ("@@|foo.com^", "!=foo.com"),
        ("||münchen.de^", "xn--mnchen-3ya.de"),
        ("||2mdn.net^", "2mdn.net"),
        ("@@||1.2.3.4.in-addr.arpa^", "!1.2.3.4.in-addr.arpa"),
        ("0.0.0.0 foo.com # why", "=foo.com"),
        ("foo.com", "=foo.com"),
        ("FOO.münchen.de", "=foo.xn--mnchen-3ya.de"),
        ("! a comment", ""),
        ("!", ""),
        ("# a comment", ""),
        ("## a heading ##", ""),
        ("[Adblock Plus 2.0]", ""),
    ],
)
def test_rules(line: str, rules: str):
    gives("adblock", line, rules)


@pytest.mark.parametrize(
    ("line", "kind", "reason"),
    [
        ("foo.com##.banner", SkippedKind.COSMETIC, "parts of pages"),
        ("##.banner", SkippedKind.COSMETIC, "parts of pages"),
        ("###banner", SkippedKind.COSMETIC, "parts of pages"),
        ("foo.com#@#.banner", SkippedKind.COSMETIC, "parts of pages"),
        ("foo.com#%#//scriptlet('x')", SkippedKind.COSMETIC, "parts of pages"),
        ('foo.com$$script[data="x"]', SkippedKind.COSMETIC, "parts of pages"),
        ("/^ads[0-9]+\\./", SkippedKind.REGEXP, "regular expression"),
        ("@@/^ads/$script", SkippedKind.REGEXP, "regular expression"),
        ("||foo.com^$third-party", SkippedKind.OPTIONS, "options"),
        ("||foo.com^$important", SkippedKind.OPTIONS, "options"),
        ("||foo.com^$badfilter", SkippedKind.OPTIONS, "options"),
        ("||foo.com^$denyallow=a.com|b.com", SkippedKind.OPTIONS, "options"),
        ("@@||foo.com^$~script,domain=bar.net", SkippedKind.OPTIONS, "options"),
        ("||foo.com", SkippedKind.PATTERN, "whole name"),
        ("||foo.com/ads", SkippedKind.PATTERN, "whole name"),
        ("||foo.com^ads", SkippedKind.PATTERN, "whole name"),
        ("||foo.com^*", SkippedKind.PATTERN, "whole name"),
        ("||ad*.foo.com^", SkippedKind.PATTERN, "whole name"),
        ("||foo.com:8080^", SkippedKind.PATTERN, "whole name"),
        ("|https://foo.com^", SkippedKind.PATTERN, "whole name"),
        ("foo", SkippedKind.PATTERN, "whole name"),
        (".foo.com", SkippedKind.PATTERN, "whole name"),
        ("192.0.2.1", SkippedKind.PATTERN, "whole name"),
        ("-banner.", SkippedKind.PATTERN, "whole name"),
        ("/ads/*", SkippedKind.PATTERN, "whole name"),
        ("||192.0.2.1^", SkippedKind.PATTERN, "an address"),
        ("||192.0.2.1/ads", SkippedKind.PATTERN, "an address"),
        ("||[2001:db8::1]^", SkippedKind.PATTERN, "an address"),
        ("!#include other.txt", SkippedKind.DIRECTIVE, "directive"),
        ("||a,b^", SkippedKind.MALFORMED, "part of a name"),
    ],
)
def test_skipped(line: str, kind: SkippedKind, reason: str):
    is_skipped("adblock", line, kind, reason)
