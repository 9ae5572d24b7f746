"""Binary rule-sets of sing-box, as an independent writer makes them, and damaged ones."""

import struct
import zlib

import pytest

from dnstap_bgp.core.lists.formats import detect, srs
from dnstap_bgp.core.lists.formats.sing_box import LOGICAL_DEPTH_MAX
from dnstap_bgp.core.lists.lines import SkippedKind
from dnstap_bgp.errors import ListError
from tests.core.lists.formats.encoders import (
    addresses_item,
    adguard_item,
    default_rule,
    domain_item,
    logical_rule,
    succinct,
    texts_item,
    varint,
)
from tests.core.lists.formats.encoders import srs as packed
from tests.core.lists.formats.format_kit import is_refused, read_whole

DOMAINS = domain_item(["www.foo.com", "a.com"], ["bar.com", ".baz.com", "cn"])
RULES = {"=www.foo.com", "=a.com", "bar.com", "*.baz.com", "cn"}


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_names(version: int):
    rules, complaints = read_whole("srs", packed(default_rule(DOMAINS), version=version))
    assert set(rules) == RULES
    assert len(rules) == 5
    assert complaints == []


def test_the_first_versions_way_of_suffixes():
    rules, _ = read_whole("srs", packed(default_rule(domain_item(["a.com"], ["bar.com"], legacy=True)), version=1))
    assert set(rules) == {"=a.com", "=bar.com", "*.bar.com"}


def test_prefixes_and_filters():
    content = packed(
        default_rule(addresses_item(6, ["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32"])),
        default_rule(adguard_item(["||ads.com^", "|x.com^", "||open.com", "y.com^", "||*.z.com^"])),
    )
    rules, complaints = read_whole("srs", content)
    assert sorted(rules) == sorted(["192.0.2.0/24", "198.51.100.7", "2001:db8::/32", "ads.com", "=x.com"])
    assert [one.kind for one in complaints] == [SkippedKind.PATTERN] * 3


def test_ranges_that_are_no_prefix():
    item = b"\x06\x01" + struct.pack(">Q", 1) + b"\x04\xc0\x00\x02\x01\x04\xc0\x00\x02\x04"
    mapped = b"\x06\x01" + struct.pack(">Q", 1) + (b"\x10" + bytes(10) + b"\xff\xff\xc0\x00\x02\x00") * 2
    assert read_whole("srs", packed(default_rule(item)))[0] == ["192.0.2.1", "192.0.2.2/31", "192.0.2.4"]
    assert read_whole("srs", packed(default_rule(mapped)))[0] == ["192.0.2.0"]


def ranges_item(kind: int, count: int) -> bytes:
    """Ranges from ::1 to the last address but one, of 254 prefixes each."""
    one = b"\x10" + bytes(15) + b"\1" + b"\x10" + b"\xff" * 15 + b"\xfe"
    return bytes([kind, 1]) + struct.pack(">Q", count) + one * count


def test_ranges_of_more_prefixes_than_lists_may_have_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(srs, "PREFIXES_MAX", 1_000)
    assert len(read_whole("srs", packed(default_rule(ranges_item(6, 3))))[0]) == 3 * 254
    more = "more than 1000 prefixes"
    is_refused("srs", packed(default_rule(ranges_item(6, 4))), more)
    is_refused("srs", packed(*[default_rule(ranges_item(6, 1))] * 4), more)
    is_refused("srs", packed(logical_rule(1, *[default_rule(ranges_item(6, 1))] * 4)), more)
    assert read_whole("srs", packed(default_rule(ranges_item(5, 1_000))))[0] == [], "these are passed over"


OTHERS = [
    (b"\x00" + varint(3) + bytes(6), "query_type"),
    (texts_item(1, ["tcp"]), "network"),
    (addresses_item(5, ["192.0.2.0/24"]), "source_ip_cidr"),
    (b"\x07" + varint(3) + bytes(6), "source_port"),
    (texts_item(8, ["1:2"]), "source_port_range"),
    (b"\x09" + varint(1) + bytes(2), "port"),
    (texts_item(10, ["1:2"]), "port_range"),
    (texts_item(11, ["x", "y"]), "process_name"),
    (texts_item(12, ["x", "y"]), "process_path"),
    (texts_item(17, ["x", "y"]), "process_path_regex"),
    (texts_item(13, ["x"]), "package_name"),
    (texts_item(14, ["x"]), "wifi_ssid"),
    (texts_item(15, ["x"]), "wifi_bssid"),
    (b"\x12" + varint(1) + b"\0", "network_type"),
    (b"\x13", "network_is_expensive"),
    (b"\x14", "network_is_constrained"),
    (b"\x15" + varint(1) + b"\0" + varint(1) + b"\x04\xc0\x00\x02\x00\x18", "network_interface_address"),
    (b"\x16" + varint(1) + b"\x04\xc0\x00\x02\x00\x18", "default_interface_address"),
]


@pytest.mark.parametrize(("item", "told"), OTHERS, ids=[f"{item[0]}" for item, _ in OTHERS])
@pytest.mark.parametrize("first", [True, False])
def test_rules_with_other_conditions_are_skipped(item: bytes, told: str, *, first: bool):
    items = (item, DOMAINS) if first else (DOMAINS, item)
    rules, complaints = read_whole("srs", packed(default_rule(*items), default_rule(domain_item(["b.com"], []))))
    assert rules == ["=b.com"]
    assert [one.kind for one in complaints] == [SkippedKind.CONDITION]
    assert f" {told}," in complaints[0].reason


def test_logical_rules_and_inverse_ones():
    one, two = default_rule(domain_item(["a.com"], [])), default_rule(domain_item(["b.com"], []))
    assert read_whole("srs", packed(logical_rule(1, one, two)))[0] == ["=a.com", "=b.com"]
    for content in (
        packed(logical_rule(0, one, two)),
        packed(logical_rule(1, one, invert=True)),
        packed(default_rule(DOMAINS, invert=True)),
    ):
        rules, complaints = read_whole("srs", content)
        assert rules == []
        assert [found.kind for found in complaints] == [SkippedKind.CONDITION]


def test_the_oldest_suffixes_end_anywhere_in_a_label():
    rules, complaints = read_whole("srs", packed(default_rule(b"\x02" + succinct(["moc.oof\r"]))))
    assert rules == []
    assert complaints[0].kind is SkippedKind.PATTERN


def unpacked(content: bytes, version: int = 3) -> bytes:
    return b"SRS" + bytes([version]) + zlib.compress(content)


GOOD = packed(default_rule(DOMAINS))
CHAIN = succinct(["a" * 400])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"SR", "no binary rule-set of sing-box"),
        (b"XRS\3" + GOOD[4:], "no binary rule-set of sing-box"),
        (GOOD[:3] + b"\0" + GOOD[4:], "version 0: 1 to 4 are read"),
        (GOOD[:3] + b"\5" + GOOD[4:], "version 5: 1 to 4 are read"),
        (GOOD[:-5], "it is cut: its compressed content ends in the middle"),
        (GOOD + b"x", "1 bytes of something else follow"),
        (b"SRS\3garbage", "it can't be decompressed"),
        (unpacked(b""), "at byte 0 of its unpacked content: it is cut"),
        (unpacked(b"\1"), "at byte 1"),
        (unpacked(b"\1\2"), "no rule has the type 2"),
        (unpacked(b"\1\0\x40"), "no item of a rule has the type 64"),
        (unpacked(b"\1\1\2"), "no logical rule has the mode 2"),
        (unpacked(b"\0\0"), "something follows the last rule"),
        (unpacked(b"\xff" * 20), "a number of more than 64 bits"),
        (unpacked(b"\1\0\x03" + varint(1) + varint(1 << 60)), "it is cut"),
        (unpacked(b"\1\0\x02\0" + varint(1 << 50)), "it is cut"),
        (unpacked(b"\1\0\x02\0" + varint(0) * 3 + b"\xff\0"), "it is damaged"),
        (unpacked(b"\1\0\x06\2"), "addresses of the version 2"),
        (unpacked(b"\1\0\x06\1" + struct.pack(">Q", 1) + b"\3abc\3abc"), "an address of 3 bytes"),
        (unpacked(b"\1\0\x06\1" + struct.pack(">Q", 1) + b"\4\2\0\0\0\4\1\0\0\0"), "no range of addresses"),
        (unpacked(b"\1" + b"\1\1\1" * 40), "more than 16 logical rules"),
        (packed(default_rule(b"\x02" + CHAIN)), "a name of more than 300 bytes"),
    ],
)
def test_damaged_files(content: bytes, reason: str):
    is_refused("srs", content, reason)


@pytest.mark.parametrize(
    ("bits", "labels", "reason"),
    [(0b011, b"a", "1 labels and 2 nodes"), (0b10101, b"ab", "nodes that hang in the air"), (0b1, b"ab", "1 nodes")],
)
def test_tries_that_are_none(bits: int, labels: bytes, reason: str):
    item = b"\x02\0" + varint(0) + varint(1) + struct.pack(">Q", bits) + varint(len(labels)) + labels
    is_refused("srs", unpacked(b"\1\0" + item + b"\xff\0"), reason)


def test_a_name_in_a_trie_is_as_long_as_it_may_be():
    rules, complaints = read_whole("srs", packed(default_rule(b"\x02" + succinct(["a" * 300]))))
    assert (rules, len(complaints)) == ([], 1), "no name has so many bytes, which costs that one alone"
    is_refused("srs", packed(default_rule(b"\x02" + succinct(["a" * 301]))), "a name of more than 300 bytes")


def test_a_bomb(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(srs, "INFLATED_MAX_BYTES", 1 << 16)
    is_refused("srs", unpacked(bytes(1 << 17)), "more than 65536 bytes are packed in it")
    monkeypatch.undo()
    bomb = b"SRS\3" + zlib.compress(bytes((32 << 20) + 1), 1)
    is_refused("srs", bomb, f"more than {32 << 20} bytes are packed in it")


@pytest.mark.parametrize("kind", [3, 4])
def test_keywords_and_expressions_are_bounded(monkeypatch: pytest.MonkeyPatch, kind: int):
    """The attack: 15,000,000 of them, in some KB, are all kept until the end of the rule tells whether they count."""
    monkeypatch.setattr(srs, "PATTERNS_MAX", 5)
    few, many = (default_rule(texts_item(kind, ["a"] * count)) for count in (3, 6))
    assert len(read_whole("srs", packed(few))[0]) == 3
    is_refused("srs", packed(many), "more than 5 keywords and expressions")
    is_refused("srs", packed(few, few), "more than 5 keywords and expressions")


def test_what_a_logical_rule_keeps_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(srs, "LOGICAL_ITEMS_MAX", 2)
    one = default_rule(domain_item(["a.com"], []))
    assert read_whole("srs", packed(logical_rule(1, one, one)))[0] == ["=a.com"] * 2
    for rule in (logical_rule(1, one, one, one), logical_rule(1, logical_rule(1, one, one), one)):
        is_refused("srs", packed(rule), "more than 2 items in a logical rule")


def test_detection():
    assert detect(GOOD) == "srs"
    assert detect(b"SRS.example.com\n") == "plain"
    assert [detect(b"SRS" + bytes((version,)) + b"x") for version in (31, 32)] == ["srs", "plain"]
    assert detect(b"SRS\3") != "srs", "nothing is packed in it"
    assert detect(b"SRS example.com\n") != "srs"


@pytest.mark.parametrize("more", [0, 1])
def test_logical_rules_may_be_so_deep_in_one_another(more: int):
    depth = LOGICAL_DEPTH_MAX + more
    content = b"\1" + b"\1\1\1" * depth + b"\0\xff\0" + b"\0" * depth
    if more:
        with pytest.raises(ListError, match="in one another"):
            list(srs._rules(srs._Bytes(content)))
    else:
        assert list(srs._rules(srs._Bytes(content))) == []
