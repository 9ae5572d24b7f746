"""Policies, next-hops and protected addresses: what follows from the settings of a file."""

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from dnstap_bgp.config import parse
from dnstap_bgp.config.policies import list_policies, protected
from dnstap_bgp.core.model import Attributes


def config(top="", bgp="", dnstap="", rest=""):
    text = f'domains = "x"\n{top}\n[dnstap]\nlisten = "/x"\n{dnstap}\n[bgp]\n{bgp}\n{rest}'
    return parse(text.encode(), Path("/etc/d/d.toml"))


def next_hops(**parts):
    (policy,) = list_policies(config(**parts))
    return tuple(
        None if attributes is None else str(ip_address(attributes.next_hop))
        for attributes in (policy.ipv4, policy.ipv6)
    )


@pytest.mark.parametrize(
    ("bgp", "expected"),
    [
        ('next_hop="192.0.2.1"\nsource_ip="192.0.2.2"\nrouter_id="192.0.2.3"', ("192.0.2.1", None)),
        ('source_ip="192.0.2.2"\nrouter_id="192.0.2.3"', ("192.0.2.2", None)),
        ('router_id="192.0.2.3"', ("192.0.2.3", None)),
        ('source_ip="127.0.0.1"\nrouter_id="192.0.2.3"', ("192.0.2.3", None)),
        ('source_ip="0.0.0.0"\nrouter_id="192.0.2.3"', ("192.0.2.3", None)),
        ('source_ip="2001:db8::2"\nrouter_id="192.0.2.3"', ("192.0.2.3", "2001:db8::2")),
        ('source_ip="2001:db8::2"\nnext_hop_ipv6="2001:db8::1"', (None, "2001:db8::1")),
        ('source_ip="2001:db8::2"\nrouter_id="127.0.0.1"', (None, "2001:db8::2")),
        ('source_ip="fe80::2"\nnext_hop="192.0.2.1"', ("192.0.2.1", None)),
        ('next_hop="192.0.2.1"\nnext_hop_ipv6="fd00::9"', ("192.0.2.1", "fd00::9")),
    ],
)
def test_next_hops_fall_back_per_family(bgp, expected):
    assert next_hops(bgp=bgp) == expected


@pytest.mark.parametrize(
    ("top", "expected"),
    [("", (None, "fd00::9")), ("ipv6 = true", (None, "fd00::9"))],
)
def test_ipv6_is_on_where_a_next_hop_can_be_had(top, expected):
    assert next_hops(top=top, bgp='next_hop_ipv6 = "fd00::9"') == expected


def test_ipv6_true_without_next_hop():
    assert next_hops(top="ipv6 = true", bgp='next_hop = "192.0.2.1"') == ("192.0.2.1", "fd00::1")


def test_ipv6_false_is_off_whatever_there_is():
    assert next_hops(top="ipv6 = false", bgp='next_hop = "192.0.2.1"\nnext_hop_ipv6 = "fd00::9"') == ("192.0.2.1", None)


def test_policies():
    bgp = """
    next_hop = "192.0.2.1"
    communities = ["65001:1", "NO-EXPORT", "65001:1"]
    large_communities = "65001:1:2"
    local_preference = 200
    med = 0
    """
    (policy,) = list_policies(config(top='ttl = "90s"', bgp=bgp))
    assert (policy.list, policy.ttl_s, policy.ipv6) == ("default", 90, None)
    assert policy.ipv4 == Attributes(
        next_hop=bytes([192, 0, 2, 1]),
        communities=("65001:1", "no-export"),
        large_communities=("65001:1:2",),
        local_preference=200,
        med=0,
    )


def test_host_routes_do_not_leak_by_default_and_may_be_let_out():
    default = list_policies(config(bgp='next_hop = "192.0.2.1"'))[0].ipv4
    assert default is not None
    assert default.communities == ("no-export",)
    chosen = list_policies(config(bgp='next_hop = "192.0.2.1"\ncommunities = []'))[0].ipv4
    assert chosen is not None
    assert chosen.communities == ()


def test_protected():
    found = config(
        top="ipv6 = true",
        dnstap='allow = ["0.0.0.0/0"]',
        bgp="""
        router_id = "192.0.2.1"
        source_ip = "192.0.2.2"
        next_hop = "192.0.2.3"
        peers = ["192.0.2.4", "[2001:db8::5]:179", "router.example", "192.0.2.2"]
        """,
    )
    found = replace(found, dnstap=config(bgp='next_hop="192.0.2.1"').dnstap)
    expected = ["192.0.2.3", "fd00::1", "192.0.2.2", "192.0.2.4", "2001:db8::5"]
    assert protected(found) == tuple(ip_address(text).packed for text in expected)


def test_router_id_is_protected_only_as_a_next_hop():
    assert protected(config(bgp='router_id = "1.1.1.1"\nnext_hop = "192.0.2.1"')) == (bytes([192, 0, 2, 1]),)
    assert protected(config(bgp='router_id = "1.1.1.1"')) == (bytes([1, 1, 1, 1]),)


def test_where_we_listen_is_protected_unless_it_is_everywhere():
    listen = parse(
        b'domains = "x"\n[bgp]\nnext_hop = "192.0.2.3"\n'
        b'[dnstap]\nlisten = ["192.0.2.9:6000", ":6001", "[::]:6001", "host:1"]',
        Path("/d.toml"),
    )
    assert protected(listen) == (bytes([192, 0, 2, 3]), bytes([192, 0, 2, 9]))
