"""The lines of the format plain, one by one."""

import pytest

from tests.core.lists.formats.format_kit import read


@pytest.mark.parametrize(
    ("line", "prefix"),
    [
        ("192.0.2.0/24", b"\xc0\x00\x02\x00\x18"),
        ("192.0.2.1", b"\xc0\x00\x02\x01"),
        ("192.0.2.1/32 # one", b"\xc0\x00\x02\x01"),
        ("2001:db8::/32", bytes.fromhex("20010db8") + bytes(12) + b"\x20"),
        ("2001:DB8::1", bytes.fromhex("20010db8") + bytes(11) + b"\x01"),
        ("2001:db8::1/128", bytes.fromhex("20010db8") + bytes(11) + b"\x01"),
        ("192.0.2.0/24 ## why ##", b"\xc0\x00\x02\x00\x18"),
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
