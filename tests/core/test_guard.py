import ipaddress
import random

import pytest

from dnstap_bgp.core.guard import IPV4_BLOCKS, IPV6_BLOCKS, Block, Guard, Tier


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def networks(*texts: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(text) for text in texts]


MINIMAL = Guard()
STRICT = Guard(strict=True)

GLOBAL = """
    1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 172.15.255.255
    172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255
    198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255
    2000::1 2001:200::1 2001:4860:4860::8888 2001:db7:ffff::1 2001:db9::1 2003::1 2606:4700::1111 2a00::1 3ffe::1
    3fff:1000::1 2002:808:808::1 64:ff9b::808:808
"""


@pytest.mark.parametrize("address", GLOBAL.split())
def test_global_addresses_pass(address: str):
    assert MINIMAL.refusal(packed(address)) is None
    assert STRICT.refusal(packed(address)) is None


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.255", "loopback"),
        ("169.254.0.1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("239.1.1.1", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.254", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::2", "reserved"),
        ("::7f00:1", "reserved"),  # IPv4-compatible, deprecated
        ("::ffff:8.8.8.8", "mapped"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::127.0.0.1", "loopback"),
        ("64:ff9b::e000:1", "multicast"),
        ("64:ff9b:1::808:808", "nat64-local"),
        ("64:ff9c::1", "reserved"),
        ("100::1", "discard"),
        ("100:0:0:1::1", "dummy"),
        ("2002:7f00:1::1", "loopback"),
        ("2002:a9fe:101::", "link-local"),
        ("4000::1", "reserved"),
        ("5f00::1", "srv6-sid"),
        ("fbff::1", "reserved"),
        ("fe00::1", "reserved"),
        ("fe80::1", "link-local"),
        ("febf::1", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
    ],
)
def test_never_a_route(address: str, reason: str):
    assert MINIMAL.refusal(packed(address)) == reason
    assert STRICT.refusal(packed(address)) == reason


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("10.0.0.1", "private"),
        ("100.64.0.1", "shared"),
        ("172.31.255.255", "private"),
        ("192.0.0.8", "protocol"),
        ("192.0.2.1", "documentation"),
        ("192.88.99.1", "6to4-relay"),
        ("192.168.1.1", "private"),
        ("198.19.255.255", "benchmarking"),
        ("198.51.100.1", "documentation"),
        ("203.0.113.1", "documentation"),
        ("2001::1", "teredo"),
        ("2001:1::4", "protocol"),
        ("2001:1ff::1", "protocol"),
        ("2001:2::1", "benchmarking"),
        ("2001:10::1", "orchid"),
        ("2001:db8::1", "documentation"),
        ("3fff::1", "documentation"),
        ("fc00::1", "private"),
        ("fdff::1", "private"),
        ("64:ff9b::a00:1", "private"),
        ("2002:a00:1::", "private"),
        ("2002:c000:201::1", "documentation"),
    ],
)
def test_only_a_strict_guard_refuses_what_a_lab_uses(address: str, reason: str):
    assert MINIMAL.refusal(packed(address)) is None
    assert STRICT.refusal(packed(address)) == reason


REACHABLE = """
    192.0.0.9 192.0.0.10 192.31.196.1 192.52.193.1 192.175.48.6
    2001:1::1 2001:1::2 2001:1::3 2001:3::1 2001:4:112::1 2001:20::1 2001:30::1 2620:4f:8000::1
"""


@pytest.mark.parametrize("address", REACHABLE.split())
def test_special_purpose_but_globally_reachable(address: str):
    assert STRICT.refusal(packed(address)) is None


def naive(address: bytes, refused_from: Tier) -> str | None:
    """The longest block, looked up one by one."""
    blocks = IPV4_BLOCKS if len(address) == 4 else IPV6_BLOCKS
    ip = ipaddress.ip_address(address)
    found: list[Block] = [block for block in blocks if ip in ipaddress.ip_network(block.prefix)]
    block = max(found, key=lambda block: ipaddress.ip_network(block.prefix).prefixlen, default=None)
    if block is None:
        return None
    inner = naive(address[block.inner], refused_from) if block.inner else None
    return inner or (block.reason if block.tier >= refused_from else None)


@pytest.mark.parametrize(("guard", "refused_from"), [(MINIMAL, Tier.ALLOW), (STRICT, Tier.STRICT)])
def test_agrees_with_a_plain_search(guard: Guard, refused_from: Tier):
    """At each block's borders, plain and carried, and at random."""
    rng = random.Random(1)
    addresses = [rng.randbytes(size) for size in (4, 16) for _ in range(3000)]
    for block in (*IPV4_BLOCKS, *IPV6_BLOCKS):
        network = ipaddress.ip_network(block.prefix)
        first, last = int(network.network_address), int(network.broadcast_address)
        size = network.max_prefixlen // 8
        borders = [value.to_bytes(size) for value in (first - 1, first, last, last + 1) if 0 <= value < 1 << 8 * size]
        addresses += borders
        if size == 4:
            for border in borders:
                addresses += [b"\x20\x02" + border + bytes(10), packed("64:ff9b::")[:12] + border]
                addresses += [packed("::ffff:0:0")[:12] + border]
    for address in addresses:
        assert guard.refusal(address) == naive(address, refused_from), ipaddress.ip_address(address)


def test_protected_addresses():
    guard = Guard([packed("8.8.8.8"), packed("2a00::1")], allow=networks("0.0.0.0/0", "::/0"))
    for address in ("8.8.8.8", "2a00::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"):
        assert guard.refusal(packed(address)) == "protected"
    assert guard.refusal(packed("8.8.8.9")) is None
    assert guard.refusal(packed("2a00::2")) is None


def test_allow_opens_a_private_range_and_nothing_beside_it():
    guard = Guard(strict=True, allow=networks("10.1.0.0/16", "fd00:1::/32", "240.0.0.0/5", "64:ff9b:1::/48"))
    for address in ("10.1.2.3", "fd00:1::1", "240.0.0.1", "64:ff9b:1::1", "64:ff9b::a01:203", "2002:a01:203::1"):
        assert guard.refusal(packed(address)) is None, address
    for address in ("10.2.0.1", "fd00:2::1", "248.0.0.1", "192.168.0.1", "64:ff9b::a02:1"):
        assert guard.refusal(packed(address)), address


@pytest.mark.parametrize("strict", [False, True])
def test_allow_never_opens_what_breaks_a_router(strict: bool):
    guard = Guard(
        strict=strict, allow=networks("0.0.0.0/0", "::/0", "127.0.0.0/8", "::1/128", "fe80::/10", "224.0.0.0/4")
    )
    for address in (
        "0.0.0.0",
        "127.0.0.1",
        "169.254.1.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "ff02::1",
    ):
        assert guard.refusal(packed(address)), address
    for address in ("::ffff:8.8.8.8", "64:ff9b::7f00:1", "2002:7f00:1::1"):
        assert guard.refusal(packed(address)), address
    for address in ("10.0.0.1", "192.0.2.1", "240.0.0.1", "fd00::1", "2001:db8::1", "4000::1", "2001::1"):
        assert guard.refusal(packed(address)) is None, address


def test_deny_is_stronger_than_allow():
    guard = Guard(deny=networks("8.8.0.0/16", "2a00:1::/32", "10.1.0.0/16"), allow=networks("8.8.8.8/32", "10.0.0.0/8"))
    for address in ("8.8.8.8", "2a00:1::1", "10.1.0.1", "64:ff9b::808:808", "2002:808:808::1"):
        assert guard.refusal(packed(address)) == "denied", address
    for address in ("8.9.0.1", "2a00:2::1", "10.2.0.1"):
        assert guard.refusal(packed(address)) is None, address


@pytest.mark.parametrize("address", [b"", b"\x01", bytes(5), bytes(15), bytes(17)])
def test_other_lengths_are_no_address(address: bytes):
    assert MINIMAL.refusal(address) == "malformed"
