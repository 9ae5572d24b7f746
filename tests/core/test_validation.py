"""Validation of addresses, prefixes, list names and attributes: what a configuration could give, and nothing else."""

from ipaddress import ip_address

import pytest

from dnstap_bgp.core.model import Attributes
from dnstap_bgp.core.validation import (
    clean_address,
    clean_name,
    community,
    is_class_e,
    is_instant,
    is_list_name,
    is_prefix,
    large_community,
    read_attributes,
    unusable_next_hop,
)
from dnstap_bgp.errors import BadNameError, BadValueError

SIX = bytes.fromhex("20010db8") + bytes(11) + b"\1"


@pytest.mark.parametrize(
    ("given", "packed"),
    [(b"\1\2\3\4", b"\1\2\3\4"), (SIX, SIX), (bytes(10) + b"\xff\xff\1\2\3\4", b"\1\2\3\4")],
)
def test_an_address_has_one_form(given: bytes, packed: bytes):
    assert clean_address(given) == packed


@pytest.mark.parametrize("given", [b"", b"\1\2\3", b"\1\2\3\4\5", "1.2.3.4", None, 7, [1, 2, 3, 4]])
def test_what_is_no_address_is_refused(given: object):
    with pytest.raises(BadValueError, match=r"^no address$"):
        clean_address(given)


@pytest.mark.parametrize(
    ("prefix", "right"),
    [
        (b"\1\2\3\4", True),
        (b"\1\2\3\0\x18", True),
        (b"\0\0\0\0\0", True),
        (SIX[:4] + bytes(12) + b"\x20", True),
        (b"\1\2\3\4\x18", False),
        (b"\1\2\3\4\x1d", False),
        (b"\1\2\3\4\x1e", True),
        (b"\x80\0\0\0\1", True),
        (b"\x80\0\0\0\0", False),
        (bytes(4) + b"\x21", False),
        (bytes(16) + b"\x81", False),
        (SIX[:15] + b"\0\x7f", True),
        (b"\1\2\3", False),
        (bytes(6), False),
        (bytes(15), False),
        (bytes(18), False),
        (b"\1\2\3\4\x21", False),
        (SIX + b"\x7f", False),
        (b"", False),
        ("1.2.3.4", False),
        (None, False),
    ],
)
def test_prefixes(prefix: object, right: bool):
    assert is_prefix(prefix) is right


@pytest.mark.parametrize("name", ["a", "0", "a" * 63, "A.b-c_d"])
def test_names_of_lists(name: str):
    assert is_list_name(name)


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a\n", "a\x1b[2J", "ü", "a" * 64, b"a", None])
def test_what_is_no_name_of_a_list(name: object):
    assert not is_list_name(name)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("65001:100", "65001:100"),
        ("065001:0100", "65001:100"),
        ("NO-EXPORT", "no-export"),
        ("65536:1", None),
        ("1:65536", None),
        ("65535:65535", "65535:65535"),
        ("0:0", "0:0"),
        ("1:2:3", None),
        ("1", None),
        ("Blackhole", "blackhole"),
        ("internet", None),
    ],
)
def test_communities(written: str, canonical: str | None):
    assert community(written) == canonical


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("4294967295:0:1", "4294967295:0:1"),
        ("0:4294967295:04294967295", None),
        ("01:02:003", "1:2:3"),
        ("0:0:4294967296", None),
        ("1:2", None),
        ("1:2:3:4", None),
        ("no-export", None),
        ("1:2:3\n", None),
    ],
)
def test_large_communities(written: str, canonical: str | None):
    assert large_community(written) == canonical


def test_attributes_are_read_with_the_defaults_of_what_is_missing():
    assert read_attributes({"next_hop": b"\n\0\0\1"}) == Attributes(b"\n\0\0\1")
    found = read_attributes({"next_hop": SIX, "communities": ["1:2"], "med": 0, "neighbors": ["2001:db8::9"]})
    assert found == Attributes(SIX, ("1:2",), med=0, neighbors=("2001:db8::9",))


@pytest.mark.parametrize(
    "values",
    [
        {"next_hop": b"\n\0\0\1", "communities": ("0065001:100",)},
        {"next_hop": b"\x7f\0\0\1"},
        {"next_hop": b"\n\0\0\1", "neighbors": ("2001:DB8::9",)},
        {"next_hop": b"\n\0\0\1", "local_preference": 1 << 32},
        {"communities": ()},
        {"next_hop": b"\n\0\0\1", b"med": 1},
        None,
    ],
)
def test_attributes_that_no_configuration_gives_are_refused(values: object):
    with pytest.raises(BadValueError):
        read_attributes(values)


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("communities", [f"0:{number}" for number in range(64)]),
        ("large_communities", [f"0:0:{number}" for number in range(32)]),
        ("neighbors", [f"10.0.{number >> 8}.{number & 255}" for number in range(4096)]),
    ],
)
def test_a_route_has_no_more_than_fits_into_an_update(field: str, most: list[str]):
    found = read_attributes({"next_hop": b"\n\0\0\1", field: most})
    assert getattr(found, field) == tuple(most)
    with pytest.raises(BadValueError, match=f"more than {len(most)}"):
        read_attributes({"next_hop": b"\n\0\0\1", field: [*most, most[0]]})


@pytest.mark.parametrize("field", ["med", "local_preference"])
def test_numbers_of_a_route_have_32_bits(field: str):
    for number in (0, 1, (1 << 32) - 1):
        assert getattr(read_attributes({"next_hop": b"\n\0\0\1", field: number}), field) == number
    for none in (-1, 1 << 32, True, False, 1.0, "1", None):
        with pytest.raises(BadValueError, match=r"^no number from 0 to 4294967295$"):
            read_attributes({"next_hop": b"\n\0\0\1", field: none})


@pytest.mark.parametrize("value", ["65000:1", b"65000:1", {"65000:1"}, 7, [65000], [b"65000:1"], [None]])
@pytest.mark.parametrize("field", ["communities", "large_communities", "neighbors"])
def test_what_is_no_sequence_of_texts_is_refused(field: str, value: object):
    with pytest.raises(BadValueError):
        read_attributes({"next_hop": b"\n\0\0\1", field: value})


@pytest.mark.parametrize(
    "value", [None, "10.0.0.1", b"\n\0\0", b"\n\0\0\1\x20", bytes(16), b"\xe0\0\0\1", b"\xf0\0\0\1"]
)
def test_what_is_no_next_hop_is_refused(value: object):
    with pytest.raises(BadValueError, match="next-hop"):
        read_attributes({"next_hop": value})


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("127.255.255.254", "a loopback address"),
        ("::1", "a loopback address"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("240.0.0.1", "reserved"),
        ("4000::1", None),
        ("10.0.0.1", None),
        ("223.255.255.255", None),
        ("fd00::1", None),
    ],
)
def test_a_router_cannot_forward_to_some_addresses(address: str, kind: str | None):
    found = unusable_next_hop(ip_address(address))
    assert found == (kind and f"{address} is {kind}: no router can forward to it")
    assert is_class_e(ip_address(address)) == (kind == "reserved")


def test_instants_of_clocks_and_others():
    assert all(map(is_instant, (0.0, -3600.0, 1.8e9, 253_402_300_799 / 3, 1e11, -1e11)))
    assert not any(map(is_instant, (1e308, -1e308, float("inf"), float("nan"), 1.1e11, 1.00000001e11, -1.00000001e11)))


def test_names_of_peers_and_files():
    assert clean_name("WWW.Example.COM.") == b"www.example.com"
    assert clean_name(rb"a\046b._x.example") == rb"a\046b._x.example"
    longest = b".".join([rb"\001" * 63] * 3 + [rb"\255" * 61])
    assert clean_name(longest) == longest
    assert clean_name(b"a." * 126 + b"a") == b"a." * 126 + b"a", "253 bytes"
    for name in ("", ".", "a..b", "a b", "é", "a" * 64, "x." * 600 + "x", "a\\b", "a\\04", "a\n", None, 1, ("a",)):
        with pytest.raises(BadNameError):
            clean_name(name)
    for none in (".a", "a..", "a\\256", "a\\999b", "a\\", "x." * 127 + "x", longest + b"a", b"\\" * 10_000):
        with pytest.raises(BadNameError):
            clean_name(none)
