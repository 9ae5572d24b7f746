"""Local zones and local data of unbound, line by line."""

import pytest

from dnstap_bgp.core.lists.formats import detect, unbound
from dnstap_bgp.core.lists.lines import SkippedKind
from tests.core.lists.formats.format_kit import read_whole


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ('local-zone: "foo.com" always_nxdomain', "foo.com"),
        ('  local-zone:"FOO.com." static # why', "foo.com"),
        ("local-zone: 'foo.com' refuse", "foo.com"),
        ("local-zone: foo.com redirect", "foo.com"),
        ('local-zone: "foo.com" "deny"', "foo.com"),
        ('local-zone: "m\u00fcnchen.de" always_null', "xn--mnchen-3ya.de"),
        ('local-zone: "foo.com" transparent', "!foo.com"),
        ('local-zone: "foo.com" always_transparent', "!foo.com"),
        ('local-data: "foo.com A 192.0.2.1"', "=foo.com"),
        ("local-data: 'foo.com. 60 IN TXT \"x y\"'", "=foo.com"),
        ('local-zone: "foo.com" redirect\nlocal-data: "foo.com A 0.0.0.0"', "foo.com =foo.com"),
        ('local-zone: "foo.com" transparent\nlocal-data: "foo.com A 0.0.0.0"', "!*.foo.com =foo.com"),
        ('local-data: "foo.com A 0.0.0.0"\nlocal-zone: "FOO.com." typetransparent', "=foo.com !*.foo.com"),
        ("# local-zone: x static\n\n\r\n", ""),
    ],
)
def test_rules(text: str, rules: str):
    assert read_whole("unbound", text.encode()) == (rules.split(), [])


@pytest.mark.parametrize("kind", sorted(unbound.ANSWERED | unbound.RESOLVED))
def test_each_type_of_zone(kind: str):
    rules, complaints = read_whole("unbound", f'local-zone: "foo.com" {kind}\r\n'.encode())
    assert complaints == []
    assert rules == ["foo.com" if kind in unbound.ANSWERED else "!foo.com"]


@pytest.mark.parametrize(
    ("line", "kind", "reason"),
    [
        ("server:", SkippedKind.DIRECTIVE, "names no zone"),
        ("do-ip6: no", SkippedKind.DIRECTIVE, "names no zone"),
        ('local-zone-tag: "foo.com" "x"', SkippedKind.DIRECTIVE, "names no zone"),
        ('local-data-ptr: "192.0.2.1 foo.com"', SkippedKind.PATTERN, "a zone of addresses"),
        ('local-zone: "10.in-addr.arpa." static', SkippedKind.PATTERN, "a zone of addresses"),
        ('local-zone: "foo.com"', SkippedKind.MALFORMED, "no zone with a type"),
        ('local-zone: "foo.com" nonsense', SkippedKind.MALFORMED, "no zone with a type"),
        ('local-zone: "a..b" static', SkippedKind.MALFORMED, "empty label"),
        ('local-data: ""', SkippedKind.MALFORMED, "no record"),
        ('local-data: "' + "x" * 20_000, SkippedKind.MALFORMED, "more than 16384 bytes"),
    ],
)
def test_skipped(line: str, kind: SkippedKind, reason: str):
    rules, complaints = read_whole("unbound", f'{line}\nlocal-zone: "good.com" static'.encode())
    assert rules == ["good.com"]
    assert [(one.line, one.kind) for one in complaints] == [(1, kind)]
    assert reason in complaints[0].reason


def test_detection():
    assert detect(b'server:\nlocal-zone: "foo.com" static\n') == "unbound"
    assert detect(b'local-data: "foo.com A 0.0.0.0"\n') == "unbound"
