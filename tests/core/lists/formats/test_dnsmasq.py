"""The lines of the format dnsmasq, one by one."""

import pytest

from dnstap_bgp.core.lists.lines import SkippedKind
from tests.core.lists.formats.format_kit import gives, is_skipped, read


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ("server=/foo.com/192.0.2.1", "foo.com"),
        ("server=/foo.com/127.0.0.1#5353", "foo.com"),
        ("server=/.foo.com/bar.net/192.0.2.1@eth0 # why", "foo.com bar.net"),
        ("server = /foo.com/", "foo.com"),
        ("server=/foo.com/#", "!foo.com"),
        ("! a comment", ""),
        ("server=/*.foo.com/192.0.2.1", "*.foo.com"),
        ("server=/*.foo.com/#", "!*.foo.com"),
        ("address=/foo.com/#", "foo.com"),
        ("address=/foo.com/", "foo.com"),
        ("local=/foo.com/", "foo.com"),
        ("ipset=/foo.com/bar.net/set1,set2", "foo.com bar.net"),
        ("nftset=/foo.com/4#inet#fw4#set4,6#inet#fw4#set6", "foo.com"),
        ("#server=/foo.com/192.0.2.1", ""),
    ],
)
def test_rules(line: str, rules: str):
    gives("dnsmasq", line, rules)


@pytest.mark.parametrize(
    ("line", "kind", "reason"),
    [
        ("server=8.8.8.8", SkippedKind.DIRECTIVE, "names no domain"),
        ("server=/foo.com/192.0.2.1 x", SkippedKind.DIRECTIVE, "names no domain"),
        ("conf-file=/etc/other.conf", SkippedKind.DIRECTIVE, "names no domain"),
        ("foo.com", SkippedKind.DIRECTIVE, "names no domain"),
        ("address=/#/192.0.2.1", SkippedKind.PATTERN, "every name"),
        ("server=//192.0.2.1", SkippedKind.PATTERN, "every name"),
        ("server=/*foo.com/192.0.2.1", SkippedKind.PATTERN, "part of a name"),
        ("server=/a..b/192.0.2.1", SkippedKind.MALFORMED, "empty label"),
    ],
)
def test_skipped(line: str, kind: SkippedKind, reason: str):
    is_skipped("dnsmasq", line, kind, reason)


def test_a_bad_name_does_not_cost_the_others_of_its_line():
    rules, complaints = read("dnsmasq", "ipset=/foo.com/a..b/bar.net/set")
    assert rules == ["foo.com", "bar.net"]
    assert len(complaints) == 1
