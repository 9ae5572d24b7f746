"""Aggregation of prefixes, against what the standard library makes of the same."""

import ipaddress
import random
from typing import cast

import pytest

from dnstap_bgp.core.aggregation import aggregated
from dnstap_bgp.core.model import Prefix
from dnstap_bgp.core.text import prefix_text

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def packed(text: str) -> Prefix:
    network = ipaddress.ip_network(text)
    address = network.network_address.packed
    return address if network.prefixlen == network.max_prefixlen else address + bytes([network.prefixlen])


def texts(*given: str) -> list[str]:
    return [prefix_text(prefix) for prefix in aggregated(map(packed, given))]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", ""),
        ("192.0.2.0/24 192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.0/25 192.0.2.128/25", "192.0.2.0/24"),
        ("192.0.2.128/25 192.0.3.0/25", "192.0.2.128/25 192.0.3.0/25"),
        ("192.0.2.0/24 192.0.2.7", "192.0.2.0/24"),
        ("192.0.2.0 192.0.2.1 192.0.2.2/31 192.0.2.4/30", "192.0.2.0/29"),
        ("0.0.0.0/1 128.0.0.0/1", "0.0.0.0/1 128.0.0.0/1"),
        ("0.0.0.0/0 10.0.0.0/8", "0.0.0.0/0"),
        ("2001:db8::/33 2001:db8:8000::/33 192.0.2.0/24", "192.0.2.0/24 2001:db8::/32"),
    ],
)
def test_aggregation(given: str, expected: str):
    assert texts(*given.split()) == expected.split()


@pytest.mark.parametrize("seed", range(200))
def test_the_same_as_the_standard_library(seed: int):
    pick = random.Random(seed)
    bits, kind = pick.choice([(32, ipaddress.IPv4Network), (128, ipaddress.IPv6Network)])
    space = pick.randrange(1 << bits)  # all near each other, so that they touch
    found = [
        kind(
            ((space >> 8 << 8) + pick.randrange(256), pick.choice([bits, bits, bits - 1, bits - 2, bits - 5])),
            strict=False,
        )
        for _ in range(pick.randrange(120))
    ]
    ours = [prefix_text(prefix) for prefix in aggregated(packed(str(network)) for network in found)]
    theirs = [str(network) for network in ipaddress.collapse_addresses(cast("list[ipaddress.IPv4Network]", found))]
    assert [text.removesuffix(f"/{bits}") for text in theirs] == ours
