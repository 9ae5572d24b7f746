"""Feeds of prefixes in JSON, from samples in the form of those that networks publish."""

import json

import pytest

from dnstap_bgp.core.lists.formats import FORMATS, json_prefixes
from dnstap_bgp.core.lists.lines import open_document
from dnstap_bgp.errors import ListError
from tests.core.lists.formats.format_kit import is_refused, read_whole

FEEDS = {
    "AWS": (
        {
            "syncToken": "1700000000",
            "prefixes": [{"ip_prefix": "192.0.2.0/24", "region": "eu", "service": "S3"}],
            "ipv6_prefixes": [{"ipv6_prefix": "2001:db8::/32", "region": "eu", "service": "S3"}],
        },
        "[prefixes[].ip_prefix, ipv6_prefixes[].ipv6_prefix][]",
    ),
    "AWS, one service": (
        {
            "prefixes": [
                {"ip_prefix": "192.0.2.0/24", "service": "S3"},
                {"ip_prefix": "198.51.100.0/24", "service": "EC2"},
            ],
            "ipv6_prefixes": [{"ipv6_prefix": "2001:db8::/32", "service": "S3"}],
        },
        "[prefixes[?service=='S3'].ip_prefix, ipv6_prefixes[?service=='S3'].ipv6_prefix][]",
    ),
    "Google": (
        {"syncToken": "1", "prefixes": [{"ipv4Prefix": "192.0.2.0/24"}, {"ipv6Prefix": "2001:db8::/32"}]},
        "prefixes[].[ipv4Prefix, ipv6Prefix][]",
    ),
    "Cloudflare": (
        {"result": {"ipv4_cidrs": ["192.0.2.0/24"], "ipv6_cidrs": ["2001:db8::/32"], "etag": "x"}, "success": True},
        "result.[ipv4_cidrs, ipv6_cidrs][]",
    ),
    "Fastly": (
        {"addresses": ["192.0.2.0/24"], "ipv6_addresses": ["2001:db8::/32"]},
        "[addresses, ipv6_addresses][]",
    ),
    "GitHub": (
        {"verifiable_password_authentication": False, "web": ["192.0.2.0/24"], "git": ["2001:db8::/32"]},
        "[web, git][]",
    ),
    "RIPEstat": (
        {
            "messages": [],
            "data": {
                "prefixes": [{"prefix": "192.0.2.0/24", "timelines": []}, {"prefix": "2001:db8::/32", "timelines": []}],
                "resource": "64496",
            },
        },
        "data.prefixes[].prefix",
    ),
}


@pytest.mark.parametrize(("feed", "path"), FEEDS.values(), ids=FEEDS)
def test_the_feeds_of_networks(feed: object, path: str):
    assert read_whole("json", json.dumps(feed).encode(), path) == (["192.0.2.0/24", "2001:db8::/32"], [])


def test_the_paths_of_the_documentation_are_these():
    told = json_prefixes.__doc__ or ""
    for name in ("AWS", "Google", "Cloudflare", "Fastly", "RIPEstat"):
        assert f'path = "{FEEDS[name][1]}"' in told


def test_bad_prefixes_cost_themselves_and_addresses_are_host_routes():
    rules, complaints = read_whole("json", b'["192.0.2.1/24", "192.0.2.9", "x", null]', "@")
    assert rules == ["192.0.2.9"]
    assert [complaint.line for complaint in complaints] == [1, 3]
    assert read_whole("json", b'{"a": "192.0.2.9"}', "a")[0] == ["192.0.2.9"]


@pytest.mark.parametrize(
    ("content", "path", "reason"),
    [
        (b'{"a": 1}', "b", "path gives nothing"),
        (b'{"a": []}', "a", "path gives nothing"),
        (b'{"a": {}}', "a", "path gives an object"),
        (b'{"a": {"b": 1}}', "a", "path gives an object"),
        (b'{"a": [1]}', "a", "path gives a number as number 1"),
        (b'{"a": [["192.0.2.0/24"]]}', "a", "path gives a list as number 1"),
        (b'{"a": [true]}', "a", "path gives true or false"),
        (b"[]", "a[", "path: "),
        (b"[]", "nofunction(@)", "path: "),
        (b"{", "a", "line 1, column 2: no JSON"),
        (b'{"a": ["192.0.2.0/24"], "a": []}', "a", "the key 'a' stands there twice"),
        (b"[" * 100_000, "a", "nested too deeply"),
    ],
)
def test_feeds_that_cannot_be_used(content: bytes, path: str, reason: str):
    is_refused("json", content, reason, path)


def test_a_feed_of_more_than_16_mb_is_not_read():
    document = FORMATS["json"].document
    assert document is not None
    with pytest.raises(ListError, match="16777216 are allowed"):
        open_document(document, b" " * (16 << 20) + b"[]")
