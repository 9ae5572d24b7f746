"""geosite.dat and geoip.dat: codes, attributes, and files that are damaged."""

import pytest

from dnstap_bgp.core.lists.formats import FORMATS, detect, geodata
from dnstap_bgp.core.lists.source import SELECTABLE_FORMATS
from dnstap_bgp.errors import ListError
from tests.core.lists.formats.encoders import field, geoip, geosite
from tests.core.lists.formats.format_kit import is_refused, read_whole

SITE = geosite(
    {
        "GOOGLE": [
            ("domain", "google.com", []),
            ("full", "www.Google.cn", ["cn"]),
            ("domain", "ads.google.cn", ["cn", "Ads"]),
            ("domain", "m\u00fcnchen.de", []),
            ("domain", "bad..name", []),
        ],
        "CATEGORY-ADS-ALL": [
            ("domain", "ads.example", ["ads"]),
            ("keyword", "adserver", []),
            ("regexp", "^ad[0-9]", []),
        ],
        "GEOLOCATION-!CN": [("domain", "example.org", [])],
    }
)
IP = geoip(
    {
        "DE": ["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32"],
        "PRIVATE": ["10.0.0.0/8"],
        "WIDE": ["0.0.0.0/0"],
        "NOT": ["192.0.2.0/24"],
    },
    inverse=["NOT"],
)


def test_a_code():
    rules, complaints = read_whole("geosite-dat", SITE, "google")
    assert rules == ["google.com", "=www.google.cn", "ads.google.cn", "xn--mnchen-3ya.de"]
    (bad,) = complaints
    assert bad.line == 5
    assert "empty label" in bad.reason


def test_every_type_of_rule():
    rules = ["ads.example", "keyword:adserver", "regexp:^ad[0-9]"]
    assert read_whole("geosite-dat", SITE, "category-ads-all") == (rules, [])


@pytest.mark.parametrize(
    ("selector", "rules"),
    [
        ("google@cn", "=www.google.cn ads.google.cn"),
        ("Google@CN@ads", "ads.google.cn"),
        ("geolocation-!cn", "example.org"),
    ],
)
def test_attributes_all_have_to_be_there(selector: str, rules: str):
    assert read_whole("geosite-dat", SITE, selector) == (rules.split(), [])


@pytest.mark.parametrize(
    ("selector", "reason"),
    [
        ("gogle", "there is no code 'gogle'; the nearest are: google"),
        ("zzz", "there is no code 'zzz' among its 3"),
        ("", "say which of its 3 codes, as in `geosite.dat#google`"),
        ("google@xx", "no rule of the code google has the attribute @xx; its attributes are: ads, cn"),
        ("geolocation-!cn@cn", "its attributes are: none"),
    ],
)
def test_codes_that_are_none(selector: str, reason: str):
    is_refused("geosite-dat", SITE, reason, selector)


def test_of_codes_and_attributes_that_are_near_some_are_told():
    codes = geosite({f"google{letter}": [("domain", "a.com", [])] for letter in "abcde"})
    with pytest.raises(ListError, match=r"the nearest are: \w+, \w+, \w+$"):
        read_whole("geosite-dat", codes, "google")
    for count, more in ((20, ""), (21, " and 1 more")):
        rules = [("domain", f"{number}.com", [f"at{number:02}"]) for number in range(count)]
        told = ", ".join(f"at{number:02}" for number in range(20)) + more
        with pytest.raises(ListError, match=f"its attributes are: {told}$"):
            read_whole("geosite-dat", geosite({"A": rules}), "a@x")


def test_a_long_attribute_is_told_by_its_beginning():
    content = geosite({"A": [("domain", "a.com", ["x" * 41])]})
    with pytest.raises(ListError, match=f"are: {'x' * 40}$"):
        read_whole("geosite-dat", content, "a@y")


def test_prefixes():
    assert read_whole("geoip-dat", IP, "de") == (["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"], [])
    assert read_whole("geoip-dat", IP, "wide") == (["0.0.0.0/0"], [])


@pytest.mark.parametrize(
    ("selector", "reason"),
    [
        ("!de", "!de means all addresses but those of de"),
        ("not", "the code not is inverse"),
        ("de@x", "codes of geoip.dat have no attributes"),
        ("dee", "the nearest are: de"),
    ],
)
def test_what_no_list_of_prefixes_says(selector: str, reason: str):
    is_refused("geoip-dat", IP, reason, selector)


def test_bits_beyond_a_length_do_not_count_and_odd_addresses_are_told():
    def cidr(address: bytes, length: int) -> bytes:
        return field(2, field(1, address) + field(2, length))

    content = field(1, field(1, b"X") + cidr(bytes([192, 0, 2, 9]), 24) + cidr(b"abc", 8) + cidr(bytes(4), 33))
    content += field(1, field(1, b"Y") + cidr(bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 0]), 120))
    rules, complaints = read_whole("geoip-dat", content, "x")
    assert rules == ["192.0.2.0/24"]
    assert [complaint.line for complaint in complaints] == [2, 3]
    assert read_whole("geoip-dat", content, "y") == (["192.0.2.0/24"], [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (SITE[:-1], "it is cut: a code at byte"),
        (SITE + b"\x12\x00", "no code of a geosite.dat or geoip.dat begins here"),
        (b"\x0a", "at byte 0"),
        (b"\x0a\xff\xff\xff\xff\xff\xff", "at byte 0"),
        (b"\x0a\x03abc", "the code there is damaged"),
        (geosite({"A": []}) + geosite({"a": []}), "the code a stands in it more than once"),
        (field(1, field(1, b"A") + field(2, b"\x0f")), "the code a is damaged"),
        (b"", "there is no code 'a' among its 0"),
    ],
)
def test_damaged_files(content: bytes, reason: str):
    is_refused("geosite-dat", content, reason, "a")


def test_codes_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(geodata, "CODES_MAX", 2)
    is_refused("geosite-dat", SITE, "more than 2 codes", "google")


EMPTY = {
    "rules": b"\x12\x00" * 20,
    "attributes": field(2, b"\x1a\x00" * 20),
    "rules, with a longer tag": b"\x92\x00\x00" * 20,
    "attributes, with a longer tag": field(2, b"\x9a\x00\x00" * 20),
}


@pytest.mark.parametrize("empty", EMPTY)
def test_parts_of_a_code_are_bounded(monkeypatch: pytest.MonkeyPatch, empty: str):
    """The attack: 30,000,000 empty rules, 300 KB as they are fetched, take 2 GB as objects."""
    content = field(1, field(1, b"A") + EMPTY[empty])
    read_whole("geosite-dat", content, "a")
    monkeypatch.setattr(geodata, "PARTS_MAX", 19)
    is_refused("geosite-dat", content, "the code a has more than 19 parts", "a")


def test_prefixes_of_a_code_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(geodata, "PARTS_MAX", 1)
    is_refused("geoip-dat", geoip({"A": ["192.0.2.0/24", "198.51.100.0/24"]}), "the code a has more than 1 parts", "a")


def test_an_unknown_type_of_rule_costs_that_rule():
    domain = field(2, field(1, 9) + field(2, b"a.com"))
    rules, complaints = read_whole("geosite-dat", field(1, field(1, b"A") + domain), "a")
    assert rules == []
    assert "type 9" in complaints[0].reason


def test_detection():
    assert detect(SITE) == "geosite-dat"
    assert detect(IP) == "geoip-dat"
    assert detect(geosite({"A" * 9: [("keyword", "x", [])]})) == "geosite-dat"
    assert detect(b"\nexample.com\n") == "plain"


def test_the_formats_with_selectors_are_those_that_the_configuration_knows():
    assert {form.name for form in FORMATS.values() if form.selects == "#"} == SELECTABLE_FORMATS


def test_all_of_ipv4_in_its_ipv6_form_is_all_of_ipv4():
    mapped = bytes(10) + b"\xff\xff" + bytes(4)
    assert geodata._prefix(mapped, 96) == bytes(5)
    assert geodata._prefix(mapped, 95) == bytes(10) + b"\xff\xfe" + bytes(4) + bytes([95])


def test_a_file_may_have_so_many_codes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(geodata, "CODES_MAX", 3)
    assert read_whole("geosite-dat", SITE, "google")[0]
    monkeypatch.setattr(geodata, "CODES_MAX", 2)
    is_refused("geosite-dat", SITE, "more than 2 codes", "google")
