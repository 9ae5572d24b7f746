"""Refusals in words, and for each the line that opens it, which then does."""

import ipaddress

import pytest

from dnstap_bgp.core.routes import refusal_texts
from dnstap_bgp.core.routes.guard import IPV4_BLOCKS, IPV6_BLOCKS, AddressBlock, Guard, Tier


@pytest.mark.parametrize(
    ("address", "reason", "cause", "remedy"),
    [
        ("10.1.2.3", "private", "by the guard (private 10.0.0.0/8)", '[guard] allow = ["10.0.0.0/8"] opens it'),
        ("172.31.0.1", "private", "by the guard (private 172.16.0.0/12)", '[guard] allow = ["172.16.0.0/12"] opens it'),
        ("64:ff9b::a01:203", "private", "by the guard (private 10.0.0.0/8)", '[guard] allow = ["10.0.0.0/8"] opens it'),
        ("127.0.0.1", "loopback", "by the guard (loopback 127.0.0.0/8)", "no configuration opens it"),
        ("4000::1", "reserved", "by the guard (reserved ::/0)", '[guard] allow = ["4000::1/128"] opens it'),
        ("11.0.0.1", "routes", "at the cap (routes)", "[guard] max_routes raises it"),
    ],
)
def test_words(address: str, reason: str, cause: str, remedy: str):
    assert refusal_texts.refusal_text(reason, ipaddress.ip_address(address).packed) == (cause, remedy)


@pytest.mark.parametrize(
    "block", [found for found in IPV4_BLOCKS + IPV6_BLOCKS if found.tier is not Tier.OPEN], ids=str
)
def test_what_is_said_to_open_a_block_does(block: AddressBlock):
    network = ipaddress.ip_network(block.prefix)
    for address in (network[0], network[-1], network[network.num_addresses // 3]):
        reason = Guard(strict=True).refusal(address.packed)
        if reason is None:
            continue
        said = refusal_texts.sentence(reason, address.packed)
        if "allow" in said:
            allowed = ipaddress.ip_network(said.split('"')[1])
            assert Guard(strict=True, allow=[allowed]).refusal(address.packed) is None, said
        else:
            everything = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
            assert "no configuration" in said
            assert Guard(strict=True, allow=everything).refusal(address.packed) == reason


def test_a_network_is_named_by_the_block_that_it_touches():
    said = refusal_texts.sentence("private", ipaddress.ip_address("172.0.0.0").packed + b"\x08")
    assert said == 'refused by the guard (private 172.16.0.0/12); [guard] allow = ["172.16.0.0/12"] opens it'
