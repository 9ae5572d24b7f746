"""Response Policy Zones, as publishers write them."""

import pytest

from dnstap_bgp.core.lists.formats import detect
from dnstap_bgp.core.lists.lines import SkippedKind
from tests.core.lists.formats.format_kit import is_refused, read_whole

HEAD = """\
$TTL 300
@ SOA localhost. root.localhost. 1 43200 3600 86400 300
  NS  localhost.
"""


def given(text: str) -> list[str]:
    rules, complaints = read_whole("rpz", (HEAD + text).encode())
    assert complaints == []
    return rules


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ("foo.com CNAME .", "=foo.com"),
        ("*.foo.com CNAME .", "*.foo.com"),
        ("FOO.com\t60 IN CNAME *.", "=foo.com"),
        ("foo.com IN 60 CNAME rpz-drop.", "=foo.com"),
        ("foo.com CNAME rpz-tcp-only. ; why", "=foo.com"),
        ("foo.com CNAME rpz-passthru.", "!=foo.com"),
        ("*.foo.com CNAME RPZ-Passthru.", "!*.foo.com"),
        ("foo.com CNAME foo.com.", "!=foo.com"),
        ("foo.com CNAME garden.example.", "=foo.com"),
        ("foo.com A 192.0.2.1", "=foo.com"),
        ("foo.com AAAA ::1\n  A 192.0.2.1", "=foo.com =foo.com"),
        ('foo.com 1h30m TXT "a ; b" ( "c"\n "d" )', "=foo.com"),
        ("24.0.2.0.192.rpz-ip CNAME .", "192.0.2.0/24"),
        ("32.7.2.0.192.rpz-ip CNAME .", "192.0.2.7"),
        ("32.zz.db8.2001.rpz-ip CNAME .", "2001:db8::/32"),
        ("128.1.zz.db8.2001.rpz-ip CNAME .", "2001:db8::1"),
        ("64.zz.1.0.db8.2001.rpz-ip A 192.0.2.1", "2001:db8:0:1::/64"),
        ("@ NS ns.example.", ""),
        ("; foo.com CNAME .", ""),
        ("", ""),
        ("foo.123 CNAME .", "=foo.123"),
        ("rpz-ip.com CNAME .", "=rpz-ip.com"),
    ],
)
def test_records(line: str, rules: str):
    assert given(line + "\n") == rules.split()


def test_a_byte_order_mark_is_no_part_of_the_first_line():
    content = b"\xef\xbb\xbf" + HEAD.encode() + b"foo.com CNAME .\n"
    assert read_whole("rpz", content) == (["=foo.com"], [])


def test_a_zone_that_names_itself():
    text = """\
$ORIGIN rpz.example.
@ 3600 IN SOA ns.example. admin.example. (
        2024010100 ; serial
        3600 600
        86400 60 )
@ IN NS ns.example.
a.com CNAME .
*.b.com.rpz.example. CNAME .
$ORIGIN com.rpz.example.
c CNAME .
d 60 CNAME rpz-passthru.
"""
    assert read_whole("rpz", text.encode()) == (["=a.com", "*.b.com", "=c.com", "!=d.com"], [])


def test_a_zone_whose_soa_names_it():
    text = "rpz.example. SOA a. b. 1 2 3 4 5\na.com.rpz.example. CNAME .\nb.com. CNAME .\n"
    rules, complaints = read_whole("rpz", text.encode())
    assert rules == ["=a.com"]
    assert [(one.line, one.reason) for one in complaints] == [(3, "`b.com.`: not in the zone, which is rpz.example.")]


def test_a_dumped_zone():
    text = """\
$ORIGIN .
$TTL 60 ; 1 minute
rpz.example             IN SOA a. b. ( 1 2 3 4 5 )
                        NS ns.example.
$ORIGIN com.rpz.example.
a                       CNAME .
*.a                     CNAME .
$ORIGIN .
b.com.rpz.example       A 192.0.2.1
"""
    assert read_whole("rpz", text.encode()) == (["=a.com", "*.a.com", "=b.com"], [])


@pytest.mark.parametrize(
    ("line", "kind", "reason"),
    [
        ("32.1.0.0.10.rpz-client-ip CNAME .", "rpz-client-ip", "something else than a name"),
        ("ns.foo.com.rpz-nsdname CNAME .", "rpz-nsdname", "something else"),
        ("24.0.2.0.192.rpz-nsip CNAME .", "rpz-nsip", "something else"),
        ("24.0.2.0.192.rpz-ip CNAME rpz-passthru.", SkippedKind.PATTERN, "a prefix that is let through"),
        ("24.1.2.0.192.rpz-ip CNAME .", SkippedKind.MALFORMED, "bits are set beyond"),
        ("24.x.rpz-ip CNAME .", SkippedKind.MALFORMED, "neither an address nor a prefix"),
        ("$INCLUDE other", SkippedKind.DIRECTIVE, "$INCLUDE"),
        ("$GENERATE 1-9 a$ CNAME .", SkippedKind.DIRECTIVE, "$GENERATE"),
        ("$FOO bar", SkippedKind.MALFORMED, "no directive"),
        ("foo.com CNAME", SkippedKind.MALFORMED, "no record"),
        ("foo.com", SkippedKind.MALFORMED, "no record"),
        ("foo.com.  CNAME .", SkippedKind.MALFORMED, "no $ORIGIN tells the zone's own"),
        ("foo..com A 192.0.2.1", SkippedKind.MALFORMED, "empty label"),
        ("foo.com TXT ) x", SkippedKind.MALFORMED, "brackets"),
        ("foo.com TXT " + "x" * 20_000, SkippedKind.MALFORMED, "more than 16384 bytes"),
    ],
)
def test_skipped(line: str, kind: SkippedKind | str, reason: str):
    rules, complaints = read_whole("rpz", f"{HEAD}{line}\ngood.com CNAME .\n".encode())
    assert rules == ["=good.com"]
    assert [(one.line, one.kind) for one in complaints] == [(4, kind)]
    assert reason in complaints[0].reason


def test_a_line_is_as_long_as_it_may_be():
    line = "foo.com TXT " + "x" * (16_384 - 13)
    assert given(f"{line}\n") == ["=foo.com"]
    rules, (complaint,) = read_whole("rpz", f"{HEAD}{line}x\n".encode())
    assert (rules, complaint.line) == ([], 4)
    assert complaint.reason.endswith("more than 16384 bytes in a line")


@pytest.mark.parametrize("size", [253, 254])
def test_a_trigger_s_name_is_as_long_as_names_may_be(size: int):
    name = "a." * 126 + "b" * (size - 252)
    rules, complaints = read_whole("rpz", f"{HEAD}{name} CNAME .\n".encode())
    assert (rules, len(complaints)) == (([f"={name}"], 0) if size == 253 else ([], 1))


def test_an_open_bracket_takes_no_more_than_a_line_may_have():
    lines = ["foo.com TXT (", *["x" * 1_000] * 20, "good.com CNAME .", ""]
    rules, complaints = read_whole("rpz", (HEAD + "\n".join(lines)).encode())
    assert rules == ["=good.com"]
    assert "brackets" in complaints[0].reason


def test_an_open_bracket_at_the_end_is_a_cut_file():
    is_refused("rpz", f"{HEAD}a.com TXT ( x\nb.com CNAME .\n".encode(), "line 4: it is cut")


def test_detection():
    assert detect(HEAD.encode()) == "rpz"
    assert detect(b"; x\nfoo.com CNAME .\n*.foo.com CNAME .\n") == "rpz"
    assert detect(b"$ORIGIN rpz.example.\nfoo.com A 192.0.2.1\n") == "rpz"
