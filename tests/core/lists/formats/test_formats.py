"""What each format's lines give, one by one."""

import pytest

from dnstap_bgp.core.lists.formats import FORMATS, Include, Kind, filtered
from dnstap_bgp.core.lists.lines import Complaint, read_rules


def read(form: str, *lines: str) -> tuple[list[bytes | Include | str], list[Complaint]]:
    items = list(read_rules([line.encode() for line in lines], FORMATS[form]))
    good = [item if isinstance(item, bytes | Include) else str(item) for item in items if type(item) is not Complaint]
    return good, [item for item in items if isinstance(item, Complaint)]


RULES = [
    ("hosts", "0.0.0.0 foo.com", "=foo.com"),
    ("hosts", "127.0.0.1\tFOO.com # why", "=foo.com"),
    ("hosts", "  ::1  foo.com  bar.net#why\r\n", "=foo.com =bar.net"),
    ("hosts", "fe80::1%lo0 foo.com", "=foo.com"),
    ("hosts", "0.0.0.0 münchen.de", "=xn--mnchen-3ya.de"),
    ("hosts", "0.0.0.0 localads.com", "=localads.com"),
    ("hosts", "192.168.1.1 nas", "=nas"),
    ("hosts", "127.0.0.1 localhost localhost.localdomain foo.com", "=foo.com"),
    ("hosts", "127.0.0.1 LocalHost", ""),
    ("hosts", "0.0.0.0 0.0.0.0", ""),
    ("hosts", "ff02::2 ip6-allrouters", ""),
    ("hosts", "255.255.255.255 broadcasthost", ""),
    ("hosts", "# 0.0.0.0 foo.com", ""),
    ("adblock", "||foo.com^", "foo.com"),
    ("adblock", "||FOO.com^\r\n", "foo.com"),
    ("adblock", "||foo.com^|", "foo.com"),
    ("adblock", "||*.foo.com^", "*.foo.com"),
    ("adblock", "|foo.com^", "=foo.com"),
    ("adblock", "@@||foo.com^", "!foo.com"),
    ("adblock", "@@||*.foo.com^|", "!*.foo.com"),
    ("adblock", "@@|foo.com^", "!=foo.com"),
    ("adblock", "||münchen.de^", "xn--mnchen-3ya.de"),
    ("adblock", "||2mdn.net^", "2mdn.net"),
    ("adblock", "@@||1.2.3.4.in-addr.arpa^", "!1.2.3.4.in-addr.arpa"),
    ("adblock", "0.0.0.0 foo.com # why", "=foo.com"),
    ("adblock", "! a comment", ""),
    ("adblock", "!", ""),
    ("adblock", "# a comment", ""),
    ("adblock", "## a heading ##", ""),
    ("adblock", "[Adblock Plus 2.0]", ""),
    ("dnsmasq", "server=/foo.com/192.0.2.1", "foo.com"),
    ("dnsmasq", "server=/foo.com/127.0.0.1#5353", "foo.com"),
    ("dnsmasq", "server=/.foo.com/bar.net/192.0.2.1@eth0 # why", "foo.com bar.net"),
    ("dnsmasq", "server = /foo.com/", "foo.com"),
    ("dnsmasq", "server=/foo.com/#", "!foo.com"),
    ("dnsmasq", "server=/*.foo.com/192.0.2.1", "*.foo.com"),
    ("dnsmasq", "server=/*.foo.com/#", "!*.foo.com"),
    ("dnsmasq", "address=/foo.com/#", "foo.com"),
    ("dnsmasq", "address=/foo.com/", "foo.com"),
    ("dnsmasq", "local=/foo.com/", "foo.com"),
    ("dnsmasq", "ipset=/foo.com/bar.net/set1,set2", "foo.com bar.net"),
    ("dnsmasq", "nftset=/foo.com/4#inet#fw4#set4,6#inet#fw4#set6", "foo.com"),
    ("dnsmasq", "#server=/foo.com/192.0.2.1", ""),
    ("v2fly", "foo.com", "foo.com"),
    ("v2fly", "domain:foo.com", "foo.com"),
    ("v2fly", "domain:FOO.com @ads @!cn # why", "foo.com"),
    ("v2fly", "full:foo.com#why", "=foo.com"),
    ("v2fly", "foo.com @ads &other", "foo.com"),
    ("v2fly", "# foo.com", ""),
]


@pytest.mark.parametrize(("form", "line", "rules"), RULES)
def test_rules(form: str, line: str, rules: str):
    assert read(form, line) == (rules.split(), [])


SKIPPED = [
    ("hosts", "foo.com", Kind.MALFORMED, "an address and names"),
    ("hosts", "0.0.0.0", Kind.MALFORMED, "an address and names"),
    ("hosts", "0.0.0.0 a..b", Kind.MALFORMED, "empty label"),
    ("hosts", "0.0.0.0 192.0.2.1", Kind.MALFORMED, "only numbers"),
    ("adblock", "foo.com##.banner", Kind.COSMETIC, "parts of pages"),
    ("adblock", "##.banner", Kind.COSMETIC, "parts of pages"),
    ("adblock", "###banner", Kind.COSMETIC, "parts of pages"),
    ("adblock", "foo.com#@#.banner", Kind.COSMETIC, "parts of pages"),
    ("adblock", "foo.com#%#//scriptlet('x')", Kind.COSMETIC, "parts of pages"),
    ("adblock", 'foo.com$$script[data="x"]', Kind.COSMETIC, "parts of pages"),
    ("adblock", "/^ads[0-9]+\\./", Kind.REGEXP, "regular expression"),
    ("adblock", "@@/^ads/$script", Kind.REGEXP, "regular expression"),
    ("adblock", "||foo.com^$third-party", Kind.OPTIONS, "options"),
    ("adblock", "||foo.com^$important", Kind.OPTIONS, "options"),
    ("adblock", "||foo.com^$badfilter", Kind.OPTIONS, "options"),
    ("adblock", "||foo.com^$denyallow=a.com|b.com", Kind.OPTIONS, "options"),
    ("adblock", "@@||foo.com^$~script,domain=bar.net", Kind.OPTIONS, "options"),
    ("adblock", "||foo.com", Kind.PATTERN, "whole name"),
    ("adblock", "||foo.com/ads", Kind.PATTERN, "whole name"),
    ("adblock", "||foo.com^ads", Kind.PATTERN, "whole name"),
    ("adblock", "||foo.com^*", Kind.PATTERN, "whole name"),
    ("adblock", "||ad*.foo.com^", Kind.PATTERN, "whole name"),
    ("adblock", "||foo.com:8080^", Kind.PATTERN, "whole name"),
    ("adblock", "|https://foo.com^", Kind.PATTERN, "whole name"),
    ("adblock", "foo.com", Kind.PATTERN, "whole name"),
    ("adblock", "-banner.", Kind.PATTERN, "whole name"),
    ("adblock", "/ads/*", Kind.PATTERN, "whole name"),
    ("adblock", "||192.0.2.1^", Kind.PATTERN, "an address"),
    ("adblock", "||192.0.2.1/ads", Kind.PATTERN, "an address"),
    ("adblock", "||[2001:db8::1]^", Kind.PATTERN, "an address"),
    ("adblock", "!#include other.txt", Kind.DIRECTIVE, "directive"),
    ("adblock", "||a,b^", Kind.MALFORMED, "part of a name"),
    ("dnsmasq", "server=8.8.8.8", Kind.DIRECTIVE, "names no domain"),
    ("dnsmasq", "conf-file=/etc/other.conf", Kind.DIRECTIVE, "names no domain"),
    ("dnsmasq", "foo.com", Kind.DIRECTIVE, "names no domain"),
    ("dnsmasq", "address=/#/192.0.2.1", Kind.PATTERN, "every name"),
    ("dnsmasq", "server=//192.0.2.1", Kind.PATTERN, "every name"),
    ("dnsmasq", "server=/*foo.com/192.0.2.1", Kind.PATTERN, "part of a name"),
    ("dnsmasq", "server=/a..b/192.0.2.1", Kind.MALFORMED, "empty label"),
    ("v2fly", "keyword:foo", Kind.KEYWORD, "keyword"),
    ("v2fly", "keyword:foo @ads", Kind.KEYWORD, "keyword"),
    ("v2fly", r"regexp:^foo\.com$", Kind.REGEXP, "regular expression"),
    ("v2fly", "include:../../etc/passwd", Kind.MALFORMED, "beside"),
    ("v2fly", "include:/etc/passwd", Kind.MALFORMED, "beside"),
    ("v2fly", "include:.hidden", Kind.MALFORMED, "beside"),
    ("v2fly", "suffix:foo.com", Kind.MALFORMED, "none of"),
    ("v2fly", "foo.com bar.com", Kind.MALFORMED, "attributes"),
    ("v2fly", "full:foo.com @-ads", Kind.MALFORMED, "after an include"),
    ("v2fly", "full:", Kind.MALFORMED, "empty label"),
    ("v2fly", "*.foo.com", Kind.MALFORMED, "part of a name"),
]


@pytest.mark.parametrize(("form", "line", "kind", "reason"), SKIPPED)
def test_what_gives_no_rule_is_told_with_its_kind(form: str, line: str, kind: Kind, reason: str):
    rules, complaints = read(form, line)
    assert rules == []
    (complaint,) = complaints
    assert complaint.kind is kind
    assert reason in complaint.reason
    assert complaint.line == 1


def test_a_bad_name_does_not_cost_the_others_of_its_line():
    rules, complaints = read("dnsmasq", "ipset=/foo.com/a..b/bar.net/set")
    assert rules == ["foo.com", "bar.net"]
    assert len(complaints) == 1
    assert read("hosts", "0.0.0.0 foo.com a..b bar.net")[0] == ["=foo.com", "=bar.net"]


@pytest.mark.parametrize(
    ("line", "prefix"),
    [
        ("192.0.2.0/24", b"\xc0\x00\x02\x00\x18"),
        ("192.0.2.1", b"\xc0\x00\x02\x01"),
        ("192.0.2.1/32 # one", b"\xc0\x00\x02\x01"),
        ("2001:db8::/32", bytes.fromhex("20010db8") + bytes(12) + b"\x20"),
        ("2001:DB8::1", bytes.fromhex("20010db8") + bytes(11) + b"\x01"),
        ("2001:db8::1/128", bytes.fromhex("20010db8") + bytes(11) + b"\x01"),
        ("0.0.0.0/0", bytes(5)),
    ],
)
def test_static_prefixes(line: str, prefix: bytes):
    assert read("plain", line) == ([prefix], [])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("192.0.2.1/24", "192.0.2.0/24, or 192.0.2.1 alone"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("192.0.2.0/33", "neither"),
        ("192.0.2.0/255.255.255.0", "as a number"),
        ("192.0.2.0/", "as a number"),
        ("192.0.2", "neither"),
        ("192.0.2.256", "neither"),
        ("::ffff:192.0.2.0/120", "write it as IPv4"),
        ("!192.0.2.0/24", "part of a name"),
    ],
)
def test_a_wrong_prefix_is_no_prefix(line: str, reason: str):
    rules, (complaint,) = read("plain", line)
    assert rules == []
    assert reason in complaint.reason


def test_includes():
    assert read("v2fly", "include:other", "include:geo-x!cn @cn @-ADS # why")[0] == [
        Include("other"),
        Include("geo-x!cn", frozenset({"cn"}), frozenset({"ads"})),
    ]


@pytest.mark.parametrize(
    ("includes", "rules"),
    [
        ([], "a b =c =d"),
        ([Include("x", frozenset({"cn"}))], "b =d"),
        ([Include("x", frozenset({"cn", "ads"}))], "=d"),
        ([Include("x", frozenset(), frozenset({"ads"}))], "a b"),
        ([Include("x", frozenset({"cn"})), Include("y", frozenset(), frozenset({"ads"}))], "b"),
    ],
)
def test_the_filters_of_all_includes_on_the_way_hold(includes: list[Include], rules: str):
    lines = [b"a", b"domain:b @cn", b"full:c @ads", b"full:d @cn @ads"]
    assert " ".join(map(str, read_rules(lines, filtered(includes)))) == rules


@pytest.mark.parametrize("form", FORMATS)
def test_long_and_binary_lines_are_told(form: str):
    lines = [b"||" + b"x" * 100_000 + b"^", b"server=/caf\xe9.fr/x", b"0.0.0.0 \xff\xfe", b"\xff\xfea\x00"]
    items = list(read_rules(lines, FORMATS[form]))
    assert len(items) == 4
    assert all(isinstance(item, Complaint) and item.kind is Kind.MALFORMED for item in items)
