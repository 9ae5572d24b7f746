"""Local zones and local data of unbound, line by line."""

import pytest

from dnstap_bgp.core.lists.formats import detect
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


ANSWERED = (
    "deny refuse static redirect inform_deny inform_redirect always_refuse always_nxdomain always_nodata always_deny"
    " always_null block_a truncate ipset"
)
RESOLVED = "transparent typetransparent always_transparent inform nodefault noview"


@pytest.mark.parametrize("kind", [*ANSWERED.split(), *RESOLVED.split()])
def test_each_type_of_zone(kind: str):
    """As unbound.conf(5) has them."""
    rules, complaints = read_whole("unbound", f'local-zone: "foo.com" {kind}\r\n'.encode())
    assert complaints == []
    assert rules == ["foo.com" if kind in ANSWERED.split() else "!foo.com"]


def test_a_line_is_as_long_as_it_may_be():
    line = 'local-data: "foo.com TXT ' + "x" * (16_384 - 26) + '"'
    assert read_whole("unbound", line.encode()) == (["=foo.com"], [])
    _, (complaint,) = read_whole("unbound", f"{line}x".encode())
    assert complaint.reason.endswith("more than 16384 bytes in a line")
    assert complaint.reason.startswith("`local-data:")


@pytest.mark.parametrize("size", [253, 254])
def test_a_zone_s_name_is_as_long_as_names_may_be(size: int):
    name = "a." * 126 + "b" * (size - 252)
    rules, complaints = read_whole("unbound", f'local-zone: "{name}" static'.encode())
    assert (rules, len(complaints)) == (([name], 0) if size == 253 else ([], 1))


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
