"""The lines of the format hosts, one by one."""

import pytest

from dnstap_bgp.core.lists.lines import SkippedKind
from tests.core.lists.formats.format_kit import gives, is_skipped, read


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ("0.0.0.0 foo.com", "=foo.com"),
        ("127.0.0.1\tFOO.com # why", "=foo.com"),
        ("2001:db8::1 foo.com", "=foo.com"),
        ("127.000.000.001 foo.com", "=foo.com"),
        ("! Title: hosts", ""),
        ("  ::1  foo.com  bar.net#why\r\n", "=foo.com =bar.net"),
        ("fe80::1%lo0 foo.com", "=foo.com"),
        ("0.0.0.0 münchen.de", "=xn--mnchen-3ya.de"),
        ("0.0.0.0 localads.com", "=localads.com"),
        ("192.168.1.1 nas", "=nas"),
        ("127.0.0.1 localhost localhost.localdomain foo.com", "=foo.com"),
        ("127.0.0.1 LocalHost", ""),
        ("0.0.0.0 0.0.0.0", ""),
        ("ff02::2 ip6-allrouters", ""),
        ("::1 localhost6 localhost6.localdomain6 ip6-localhost ip6-loopback", ""),
        ("fe00::0 ip6-localnet", ""),
        ("ff02::3 ip6-allhosts", ""),
        ("255.255.255.255 broadcasthost", ""),
        ("# 0.0.0.0 foo.com", ""),
    ],
)
def test_rules(line: str, rules: str):
    gives("hosts", line, rules)


@pytest.mark.parametrize(
    ("line", "kind", "reason"),
    [
        ("foo.com", SkippedKind.MALFORMED, "an address and names"),
        ("404: Not Found", SkippedKind.MALFORMED, "an address and names"),
        ("Bad: gateway.example", SkippedKind.MALFORMED, "an address and names"),
        ("Face: face.example", SkippedKind.MALFORMED, "an address and names"),
        ("1.2.3.999 foo.com", SkippedKind.MALFORMED, "an address and names"),
        ("1:2:3 foo.com", SkippedKind.MALFORMED, "an address and names"),
        ("0.0.0.0", SkippedKind.MALFORMED, "an address and names"),
        ("0.0.0.0 a..b", SkippedKind.MALFORMED, "empty label"),
        ("0.0.0.0 192.0.2.1", SkippedKind.MALFORMED, "only numbers"),
    ],
)
def test_skipped(line: str, kind: SkippedKind, reason: str):
    is_skipped("hosts", line, kind, reason)


def test_a_bad_name_does_not_cost_the_others_of_its_line():
    assert read("hosts", "0.0.0.0 foo.com a..b bar.net")[0] == ["=foo.com", "=bar.net"]
