import ipaddress
import random

import pytest

from dnstap_bgp.core.routes.guard import IPV4_BLOCKS, IPV6_BLOCKS, AddressBlock, Guard, Space, Tier


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
    ("address", "block"),
    [
        ("127.0.0.1", "127.0.0.0/8"),
        ("64:ff9b::127.0.0.1", "127.0.0.0/8"),
        ("2002:a9fe:101::", "169.254.0.0/16"),
        ("fe80::1", "fe80::/10"),
        ("8.8.8.8", None),
        ("64:ff9b::8.8.8.8", None),
    ],
)
def test_the_block_for_which_an_address_is_refused_is_that_of_what_it_carries(address: str, block: str | None):
    found = MINIMAL.block(packed(address))
    assert (None if found is None else str(found)) == block


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
    found: list[AddressBlock] = [block for block in blocks if ip in ipaddress.ip_network(block.prefix)]
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


# -- lists, resolvers, networks

OUTER = (*IPV4_BLOCKS, *IPV6_BLOCKS)


def inside(block: AddressBlock, percent: int) -> bytes:
    network = ipaddress.ip_network(block.prefix)
    return network[(network.num_addresses - 1) * percent // 100].packed


@pytest.mark.parametrize("percent", [0, 37, 100])
@pytest.mark.parametrize("block", OUTER, ids=lambda block: block.prefix)
def test_each_special_purpose_block_wrapped_and_unwrapped(block: AddressBlock, percent: int):
    """Whatever is refused by itself is refused in every wrapping, and `allow` of the wrapping alone opens nothing."""
    address = inside(block, percent)
    refused = STRICT.refusal(address)
    assert (refused is None) == (naive(address, Tier.STRICT) is None)
    if len(address) == 4:
        wrappings = [
            packed("::ffff:0:0")[:12] + address,
            packed("64:ff9b::")[:12] + address,
            b"\x20\x02" + address + bytes(10),
        ]
        for guard in (STRICT, Guard(strict=True, allow=networks("64:ff9b::/96", "2002::/16", "::ffff:0:0/96"))):
            for wrapped in wrappings[1:]:
                assert guard.refusal(wrapped) == refused
            assert guard.refusal(wrappings[0])


def test_a_list_opens_and_refuses_for_itself_only():
    guard = Guard(
        strict=True,
        allow=networks("10.1.0.0/16"),
        deny=networks("8.8.8.0/24"),
        lists={
            "lab": Space(allow=tuple(networks("192.168.0.0/16", "8.8.8.0/24"))),
            "web": Space(deny=tuple(networks("9.0.0.0/8"))),
        },
    )
    for list_name, refused in (("lab", "8.8.8.8"), ("web", "8.8.8.8 9.9.9.9 192.168.0.1"), ("", "8.8.8.8 192.168.0.1")):
        for address in ("8.8.8.8", "9.9.9.9", "10.1.0.1", "192.168.0.1"):
            assert bool(guard.refusal(packed(address), list_name)) == (address in refused.split()), (list_name, address)


def test_resolvers_are_learnt_while_the_guard_is_in_use():
    resolvers: set[bytes] = set()
    guard = Guard(resolvers=resolvers)
    assert guard.refusal(packed("9.9.9.9")) is None
    resolvers.add(packed("9.9.9.9"))
    assert guard.refusal(packed("9.9.9.9")) == "resolver"
    assert guard.refusal(packed("64:ff9b::909:909")) == "resolver"
    assert prefix_refusals(guard, "9.9.9.0/24", "9.9.9.9") == [None, "resolver"]


def as_prefix(text: str) -> bytes:
    network = ipaddress.ip_network(text)
    address = network.network_address.packed
    return address if network.prefixlen == network.max_prefixlen else address + bytes([network.prefixlen])


def prefix_refusals(guard: Guard, *texts: str, list_name: str = "") -> list[str | None]:
    return [reason for _, reason in guard.prefix_refusals(map(as_prefix, texts), list_name)]


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ("0.0.0.0/0", "default-route"),
        ("::/0", "default-route"),
        ("8.8.8.0/24", None),
        ("8.8.8.8/32", None),
        ("8.0.0.0/7", None),
        ("8.0.0.0/5", "private"),
        ("10.0.0.0/8", "private"),
        ("10.1.2.0/24", "private"),
        ("0.0.0.0/1", "unspecified"),
        ("128.0.0.0/1", "broadcast"),
        ("127.0.0.0/24", "loopback"),
        ("224.0.0.0/8", "multicast"),
        ("192.0.0.0/24", "protocol"),
        ("192.0.0.0/16", "protocol"),
        ("192.31.196.0/24", None),
        ("2001:4860::/32", None),
        ("2000::/3", "benchmarking"),
        ("2001:db8:1::/48", "documentation"),
        ("2600::/12", None),
        ("4000::/8", "reserved"),
        ("fd00::/8", "private"),
        ("fe80::/64", "link-local"),
        ("64:ff9b::/96", None),
        ("64:ff9b::a00:0/104", "private"),
        ("64:ff9b::808:0/112", None),
        ("2002::/16", None),
        ("2002:a00::/24", "private"),
        ("2002:808::/32", None),
        ("2002:808:808:1::/64", None),
        ("2002:7f00:1:1::/64", "loopback"),
        ("::ffff:8.8.8.0/120", "mapped"),
    ],
)
def test_a_network_is_no_better_than_the_worst_address_in_it(network: str, reason: str | None):
    assert prefix_refusals(STRICT, network) == [reason]


def test_a_network_around_a_protected_address_is_refused():
    guard = Guard([packed("8.8.8.8"), packed("2a00::1")], allow=networks("0.0.0.0/0", "::/0"))
    texts = "8.8.8.8/32", "8.8.8.0/24", "8.8.9.0/24", "8.8.0.0/13", "2a00::/16", "2a01::/16", "2a00::/128"
    assert prefix_refusals(guard, *texts) == ["protected", "protected", None, "protected", "protected", None, None]


def test_an_allowed_network_may_be_announced_whole_or_in_part():
    guard = Guard(strict=True, allow=networks("10.0.0.0/8", "fd00:1::/32"), deny=networks("10.9.0.0/16"))
    texts = "10.1.0.0/16", "10.0.0.0/8", "10.9.1.0/24", "fd00:1:2::/48", "fd00::/16"
    assert prefix_refusals(guard, *texts) == [None, "denied", "denied", None, "private"]
    assert prefix_refusals(Guard(strict=True, allow=networks("10.0.0.0/8")), "8.0.0.0/5") == [None]


def test_prefixes_agree_with_their_addresses():
    """A network that passes has no refused address, as far as chance finds one; a small one that fails has one."""
    rng = random.Random(2)
    guard = Guard([rng.randbytes(4)], strict=True, allow=networks("10.64.0.0/10"), deny=networks("100.0.0.0/14"))
    for _ in range(3000):
        length = rng.randint(2, 30)
        value = rng.getrandbits(32) >> 32 - length << 32 - length
        network = ipaddress.ip_network((value, length))
        [reason] = prefix_refusals(guard, str(network))
        borders = [ipaddress.ip_network(block.prefix) for block in IPV4_BLOCKS]
        starts = [found.network_address for found in borders if found.network_address in network]
        samples = [address.packed for address in (network[0], network[-1], *starts)]
        samples += [network[rng.randrange(network.num_addresses)].packed for _ in range(10)]
        refused = {guard.refusal(address) for address in samples} - {None}
        if reason is None:
            assert not refused, network
        elif length >= 24:
            assert refused, network
