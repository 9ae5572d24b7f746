from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.config import bgp_values


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (65001, 65001),
        ("65001", 65001),
        ("1.10", 65546),
        ("65535.65534", 4294967294),
        (4200000000, 4200000000),
        ("0.1", 1),
    ],
)
def test_as_number(value, number):
    assert bgp_values.as_number(value) == number


@pytest.mark.parametrize(
    "value", [0, 23456, 2**32 - 1, 2**32, -1, True, "AS65001", "1.65536", "1.2.3", "", "\uff11", 1.10, None]
)
def test_as_number_refuses(value):
    with pytest.raises(ValueError, match=r"AS number|reserved|asdot"):
        bgp_values.as_number(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("65001:100", "65001:100"),
        ("No-Export", "no-export"),
        ("0:0", "0:0"),
        ("065001:01", "65001:1"),
        ("blackhole", "blackhole"),
    ],
)
def test_community(value, expected):
    assert bgp_values.community(value) == expected


@pytest.mark.parametrize(
    "value", ["65536:1", "1:65536", "1", "1:2:3", "local-as", "1:2 ", "1:2]", "1:\uff12", "", 5, "1:-2", "a:b"]
)
def test_community_refuses(value):
    with pytest.raises(ValueError, match=r"no community|must be text"):
        bgp_values.community(value)


@pytest.mark.parametrize("value", ["1:2", "1:2:3:4", "4294967296:1:1", "1:2:", "no-export", "1:2:3\n"])
def test_large_community_refuses(value):
    with pytest.raises(ValueError, match=r"no large community|must be text"):
        bgp_values.large_community(value)


def test_large_community():
    assert bgp_values.large_community("4294967295:0:01") == "4294967295:0:1"


@given(st.text(max_size=12))
def test_no_text_can_leave_a_command_behind(text):
    for read in (bgp_values.community, bgp_values.large_community, bgp_values.neighbor_address):
        try:
            taken = read(text)
        except ValueError:
            continue
        assert taken.isascii()
        assert not set(taken) & set(" \t\r\n;{}[]#\"'\\,()")


@pytest.mark.parametrize("value", ["127.0.0.1", "0.0.0.0", "224.0.0.5", "255.255.255.255", "240.0.0.1", "169.254.1.1"])
def test_next_hop_that_no_router_can_use(value):
    with pytest.raises(ValueError, match="no router can forward"):
        bgp_values.next_hop(value)


@pytest.mark.parametrize("value", ["::", "::1", "ff02::1", "fe80::1"])
def test_next_hop_ipv6_that_no_router_can_use(value):
    with pytest.raises(ValueError, match="no router can forward"):
        bgp_values.next_hop_ipv6(value)


def test_next_hops_of_the_other_family_are_told_apart():
    with pytest.raises(ValueError, match="IPv6 address"):
        bgp_values.next_hop("2001:db8::1")
    with pytest.raises(ValueError, match="`next_hop`"):
        bgp_values.next_hop_ipv6("192.0.2.1")


def test_next_hops():
    assert bgp_values.next_hop("192.0.2.1") == ip_address("192.0.2.1")
    assert bgp_values.next_hop_ipv6("fd00::1") == ip_address("fd00::1")


def test_source_address():
    assert bgp_values.source_address("127.0.0.1") == ip_address("127.0.0.1")
    assert bgp_values.source_address("0.0.0.0") is None
    assert bgp_values.source_address("::") is None
    with pytest.raises(ValueError, match="multicast"):
        bgp_values.source_address("224.0.0.1")


def test_router_id():
    assert bgp_values.router_id("1.2.3.4") == ip_address("1.2.3.4")
    for value in ("0.0.0.0", "2001:db8::1", "x", 7):
        with pytest.raises(ValueError, match=r"identifier|IPv4|no IP address|must be text"):
            bgp_values.router_id(value)


@pytest.mark.parametrize("value", ["192.0.2.1", "127.0.0.2", "2001:db8::1", "fd00::2", "router.example"])
def test_neighbor_address(value):
    assert bgp_values.neighbor_address(value) == value


@pytest.mark.parametrize(
    "value", ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "fe80::1", "255.255.255.255", "192.0.2.0/24"]
)
def test_neighbor_address_refuses(value):
    with pytest.raises(ValueError, match=r"unspecified|multicast|link-local|reserved|neither"):
        bgp_values.neighbor_address(value)


def test_password_is_never_shown():
    told = "tr\u00e4umerei"
    for value in (told, "", "x" * 81, "a\nb", 5):
        with pytest.raises(ValueError, match="printable ASCII") as caught:
            bgp_values.password(value)
        assert told not in str(caught.value)
    assert bgp_values.password("a \"b;}#'\\") == "a \"b;}#'\\"


@pytest.mark.parametrize(("value", "seconds"), [(180, 180), ("3m", 180), (0, 0), (3, 3), (65535, 65535)])
def test_hold_time(value, seconds):
    assert bgp_values.hold_time(value) == seconds


@pytest.mark.parametrize("value", [1, 2, 65536, -3, True, "3.5s", "x"])
def test_hold_time_refuses(value):
    with pytest.raises(ValueError, match=r"hold time|must be text|duration"):
        bgp_values.hold_time(value)


def test_hops():
    assert [bgp_values.ttl_security(value) for value in (True, False, 3)] == [1, None, 3]
    assert [bgp_values.multihop(value) for value in (True, False, 3)] == [255, None, 3]


def test_prefix_budgets():
    found = bgp_values.prefix_budgets({"192.0.2.1": 4000, "2001:DB8::1": 1})
    assert found == (("192.0.2.1", 4000), ("2001:db8::1", 1))
    assert bgp_values.prefix_budgets({}) == ()


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (4000, "must be a table of addresses"),
        ({"192.0.2.1": 0}, "0 is no number of prefixes: 1 to 1000000"),
        ({"192.0.2.1": 1_000_001}, "no number of prefixes"),
        ({"192.0.2.1": True}, "no number of prefixes"),
        ({"192.0.2.1": "4000"}, "no number of prefixes"),
        ({"router.example": 4000}, "no IP address"),
        ({"2001:db8::1": 1, "2001:DB8::1": 2}, "stands here twice"),
    ],
)
def test_prefix_budgets_refuse(value, complaint):
    with pytest.raises(ValueError, match=complaint):
        bgp_values.prefix_budgets(value)
