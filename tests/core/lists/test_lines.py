import pytest

from dnstap_bgp.core.lists.formats import FORMATS
from dnstap_bgp.core.lists.formats.plain import LINE_MAX_BYTES, PLAIN
from dnstap_bgp.core.lists.lines import (
    Complaint,
    Document,
    FileLines,
    Skipped,
    before_spaced_hash,
    name,
    open_document,
    plain_rule,
    read_document,
    read_lines,
    rule,
)
from dnstap_bgp.core.lists.rules import Rule, RuleKind
from dnstap_bgp.errors import BadNameError, ListError


def read(*lines: bytes) -> tuple[list[str], list[Complaint]]:
    items = list(read_lines(lines, PLAIN))
    complaints = [item for item in items if isinstance(item, Complaint)]
    return [str(item) for item in items if not isinstance(item, Complaint)], complaints


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b"foo.com", "foo.com"),
        (b"foo.com\n", "foo.com"),
        (b"foo.com\r\n", "foo.com"),
        (b"  foo.com \t\r\n", "foo.com"),
        (b"\xef\xbb\xbffoo.com\n", "foo.com"),
        (b"\xef\xbb\xbf=foo.com\n", "=foo.com"),
        (b"FOO.Com", "foo.com"),
        (b".foo.com", "foo.com"),
        (b"foo.com.", "foo.com"),
        (b"..foo.com..", "foo.com"),
        (b"foo.com # why", "foo.com"),
        (b"foo.com#why", "foo.com"),
        (b"foo.com ## why ##", "foo.com"),
        (b"foo.com # caf\xe9 in Latin-1", "foo.com"),
        (b"foo.com # " + b"x" * 5000, "foo.com"),
        (b"=foo.com", "=foo.com"),
        (b"=.foo.com", "=foo.com"),
        (b"*.foo.com", "*.foo.com"),
        (b"!foo.com", "!foo.com"),
        (b"!.foo.com", "!foo.com"),
        (b"!=foo.com", "!=foo.com"),
        (b"!*.foo.com. # but", "!*.foo.com"),
        ("münchen.de".encode(), "xn--mnchen-3ya.de"),
        ("!*.MÜNCHEN.de # Bier".encode(), "!*.xn--mnchen-3ya.de"),
        (b"r3---sn-x.googlevideo.com", "r3---sn-x.googlevideo.com"),
        (b"_dmarc.foo.com", "_dmarc.foo.com"),
        (b"foo.s3", "foo.s3"),
        (b"com", "com"),
        (b"a" * 63 + b".com", "a" * 63 + ".com"),
    ],
)
def test_a_rule(line: bytes, rule: str):
    assert read(line) == ([rule], [])


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"\r\n",
        b"  \t ",
        b"#",
        b"# foo.com",
        b"   # foo.com",
        b"\xef\xbb\xbf# x",
        b"## x ##",
        b"!",
        b"! Title: a list",
        b"\xef\xbb\xbf! x",
        b"!\t",
    ],
)
def test_nothing(line: bytes):
    assert read(line) == ([], [])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"0.0.0.0 foo.com", "hosts"),
        (b"127.0.0.1\tfoo.com bar.com", "hosts"),
        (b"::1 localhost", "hosts"),
        (b"fe80::1%lo0 localhost", "hosts"),
        (b"||foo.com^", "adblock"),
        (b"@@||foo.com^$third-party", "adblock"),
        (b"foo.com##.banner", "adblock"),
        (b"foo.com#@#.banner", "adblock"),
        (b"[Adblock Plus 2.0]", "adblock"),
        (b"server=/foo.com/192.0.2.1", "dnsmasq"),
        (b"ipset=/foo.com/set", "dnsmasq"),
        (b"nftset=/foo.com/4#inet#fw4#set", "dnsmasq"),
        (b"domain:foo.com", "v2fly"),
        (b"full:foo.com @ads", "v2fly"),
        (b"include:other", "v2fly"),
        (b"keyword:a b", "no keyword"),
        (b"keyword:", "no keyword"),
        (b"regexp:(foo", "no expression of RE2"),
        (b"/foo/", "write `regexp:...`"),
        (b"/^foo/", "expression"),
        (b"https://foo.com/x", "URL"),
        (b"192.0.2.1/24", "bits are set beyond"),
        (b"192.0.2", "address"),
        (b"2001:db8::1::", "address"),
        (b"foo.com bar.com", "more than one word"),
        (b"404: Not Found", "more than one word"),
        (b"Face: off", "more than one word"),
        (b"+.foo.com", "mihomo"),
        (b"payload:", "Clash"),
        (b"- '+.foo.com'", "Clash"),
        (b"DOMAIN-SUFFIX,foo.com", "Surge"),
        (b"IP-CIDR,192.0.2.0/24,no-resolve", "Surge"),
        (b'local-zone: "foo.com" always_nxdomain', "unbound"),
        (b'local-data: "foo.com A 192.0.2.1"', "unbound"),
        (b"foo.com CNAME .", "RPZ"),
        (b"*.foo.com 300 IN CNAME rpz-drop.", "RPZ"),
        (b"$TTL 300", "RPZ"),
        (b"<html>", "HTML"),
        (b'"error": "x"', "JSON"),
        (b"*", r"`\*` stands only in front"),
        (b"www.*.com", r"`\*` stands only in front"),
        (b"*.*.com", r"`\*` stands only in front"),
        (b"=", "empty label"),
        (b"!=", "empty label"),
        (b"a..b", "empty label"),
        (b"=!foo.com", "part of a name"),
        (b"a" * 64 + b".com", "64 bytes"),
        (b"a." * 127 + b"com", "257 bytes"),
        (b"caf\xe9.fr", "no UTF-8 at byte 4"),
        (b"\xff\xfef\x00o\x00", "UTF-16"),
        (b"x" * (LINE_MAX_BYTES + 1), "bytes, 1024 are allowed"),
        ("a\u202eb.com".encode(), "UTS 46"),
    ],
)
def test_a_bad_line_is_skipped_with_its_number_and_reason(line: bytes, reason: str):
    rules, complaints = read(b"# first", b"good.com", line, b"better.com")
    assert rules == ["good.com", "better.com"]
    assert [complaint.line for complaint in complaints] == [3]
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(complaints[0].reason)


def test_a_complaint_shows_the_line_and_can_not_steer_a_terminal():
    _, complaints = read(b"foo\x1b[31m\x07bar", "a\u202eb c".encode(), b"y" * 200_000 + b"?")
    assert all(complaint.reason.isprintable() for complaint in complaints)
    assert complaints[0].reason.startswith("`foo?[31m?bar`: ")
    assert complaints[2].reason.startswith("`" + "y" * 60 + "...`: ")
    assert max(len(complaint.reason) for complaint in complaints) < 250


CONTENT = (
    b"\n\xef\xbb\xbf\n  a.example # one\n\n\t\n# two\n#three\n! four\n!five\r\n \n\n   b.example\n\x0c\n##ad\nlast"
)


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_lines_that_are_passed_over_give_nothing_and_numbers_are_kept(form):
    lines = FileLines(CONTENT, form)
    numbered = [(lines.number, line) for line in lines]
    rows = CONTENT.split(b"\n")
    for number, line in numbered:
        assert rows[number - 1].strip() == line.strip()
    passed_over = [row for number, row in enumerate(rows, 1) if number not in dict(numbered)]
    if form.document is None:
        assert list(read_lines(passed_over, form)) == []
    assert [line.strip() for _, line in numbered if b"example" in line or b"last" in line] == [
        b"a.example # one",
        b"b.example",
        b"last",
    ]


def test_a_file_without_a_line_has_none():
    for content in (b"", b"\n", b" \n\t", b"#", b"\n" * 1000):
        lines = FileLines(content, FORMATS["plain"])
        assert (list(lines), lines.number) == ([], 0)


def test_a_name_of_a_document_is_as_long_as_names_may_be():
    longest = b"a." * 126 + b"c"
    assert plain_rule(longest, RuleKind.EXACT) == Rule(longest, RuleKind.EXACT)
    assert isinstance(plain_rule(b"a" + longest, RuleKind.EXACT), Skipped)


def test_a_text_that_is_far_too_long_is_not_even_looked_at():
    with pytest.raises(BadNameError, match="1025 characters, 1024 are allowed"):
        name("a" * 1025)
    with pytest.raises(BadNameError, match="1024 bytes"):
        name("a" * 1024)


@pytest.mark.parametrize(
    ("text", "shown"), [("a..b" + "c" * 59, f"'a..b{'c' * 59}'"), ("a..b" + "c" * 60, f"'a..b{'c' * 59}...'")]
)
def test_a_bad_name_among_others_is_shown_up_to_a_label_s_length(text: str, shown: str):
    found = rule(text)
    assert isinstance(found, Skipped)
    assert found.reason.startswith(f"{shown}: ")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("(" + "y" * 59, "(" + "y" * 59),
        ("(" + "y" * 60, "(" + "y" * 59 + "..."),
        ("\N{GOTHIC LETTER AHSA}" * 60, "\N{GOTHIC LETTER AHSA}" * 60),
        ("\N{GOTHIC LETTER AHSA}" * 61, "\N{GOTHIC LETTER AHSA}" * 60 + "..."),
    ],
)
def test_a_line_of_60_characters_is_shown_whole(line: str, shown: str):
    _, (complaint,) = read(line.encode())
    assert complaint.reason.startswith(f"`{shown}`: ")


def test_a_line_and_a_document_are_as_long_as_they_may_be():
    long = b"keyword:" + b"a" * 1016
    _, (complaint,) = read(long + b"  # why")
    assert "1016 bytes" in complaint.reason, "its reader has seen it"
    _, (complaint,) = read(long + b"a")
    assert "the line has 1025 bytes, 1024 are allowed" in complaint.reason
    document = Document(lambda content: lambda _: iter([(len(content), Rule(b"a"))]), 10)
    assert list(read_document(open_document(document, bytes(10)), "")) == [(10, Rule(b"a"))]
    with pytest.raises(ListError, match="it has 11 bytes, 10 are allowed"):
        open_document(document, bytes(11))


@pytest.mark.parametrize("form", [name for name, form in FORMATS.items() if form.signs and name != "plain"])
def test_a_line_of_most_formats_may_have_64_kib(form: str):
    for size, told in ((65_536, False), (65_537, True)):
        items = list(read_lines([b"x" * size], FORMATS[form]))
        reasons = [item.reason for item in items if isinstance(item, Complaint)]
        assert any("65537 bytes, 65536 are allowed" in reason for reason in reasons) == told


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        (b"a # b", b"a "),
        (b"a\t#b", b"a\t"),
        (b"# b", b""),
        (b"a#b", b"a#b"),
        (b"a#b #c # d", b"a#b "),
        (b"a", b"a"),
        (b"a#", b"a#"),
    ],
)
def test_a_comment_behind_white_space(line: bytes, rest: bytes):
    assert before_spaced_hash(line) == rest
