"""The filter in the kernel, run here instruction by instruction, against what the packets say; and tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.sniff.packets import PacketReader
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.sniff import capture
from dnstap_bgp.workers.sniff.capture import PacketCapture, dns_filter
from tests.core.sniff.wire import ipv4, ipv6, tcp, udp

A, B, A6, B6 = "192.0.2.1", "192.0.2.53", "2001:db8::1", "2001:db8::53"
TAG = b"\x00\x07"


def passes(packet: bytes, protocol: int) -> bool:  # noqa: C901 - a case for each instruction
    """Run the filter as bpf(4) tells: what reads beyond the packet ends it with no."""
    steps, at, a, x = dns_filter(), 0, 0, 0
    while True:
        code, if_true, if_false, k = steps[at]
        at += 1
        if code == 0x28 and k >= 0xFFFFF000:
            a = protocol
        elif code in (0x28, 0x30, 0x48):
            place = k + (x if code == 0x48 else 0)
            size = 1 if code == 0x30 else 2
            if place + size > len(packet):
                return False
            a = int.from_bytes(packet[place : place + size], "big")
        elif code == 0xB1:
            x = 4 * (packet[k] & 0xF)
        elif code == 0x74:
            a >>= k
        elif code == 0x15:
            at += if_true if a == k else if_false
        elif code == 0x45:
            at += if_true if a & k else if_false
        elif code == 0x05:
            at += k
        elif code == 0x06:
            return k > 0
        else:
            raise AssertionError(code)


@pytest.mark.parametrize("tags", [0, 1, 2])
@pytest.mark.parametrize(
    ("packet", "wanted"),
    [
        (ipv4(A, B, 17, udp(53, 9, b"x")), True),
        (ipv4(A, B, 17, udp(9, 53, b"x")), True),
        (ipv4(A, B, 17, udp(9, 54, b"x")), False),
        (ipv4(A, B, 6, tcp(53, 9, 1)), True),
        (ipv4(A, B, 6, tcp(9, 54, 1)), False),
        (ipv4(A, B, 1, udp(53, 53, b"x")), False),
        (ipv4(A, B, 17, b"anything", offset=800), True),
        (ipv4(A, B, 17, udp(53, 9, b"x"), more=True), True),
        (ipv6(A6, B6, 17, udp(53, 9, b"x")), True),
        (ipv6(A6, B6, 6, tcp(9, 53, 1)), True),
        (ipv6(A6, B6, 17, udp(9, 9, b"x")), False),
        (ipv6(A6, B6, 44, b"anything"), True),
        (ipv6(A6, B6, 58, udp(53, 53, b"x")), False),
    ],
)
def test_the_filter(packet: bytes, wanted: bool, tags: int):
    kind = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
    protocol = int.from_bytes(kind, "big")
    for _ in range(tags):
        packet, kind, protocol = TAG + kind + packet, b"\x81\x00", 0x8100
    assert passes(packet, protocol) is wanted


@given(st.binary(max_size=80), st.sampled_from([0x0800, 0x86DD, 0x8100, 0x88A8, 0x0806]))
def test_the_filter_ends_with_any_packet(packet: bytes, protocol: int):
    passes(packet, protocol)


@given(st.binary(min_size=1, max_size=40), st.integers(0, 65535), st.integers(0, 65535))
def test_what_the_reader_wants_passes_the_filter(data: bytes, one: int, other: int):
    for packet, protocol in (
        (ipv4(A, B, 17, udp(one, other, data)), 0x800),
        (ipv6(A6, B6, 17, udp(one, other, data)), 0x86DD),
    ):
        assert passes(packet, protocol) is (53 in (one, other))
        assert PacketReader().read(packet, 0, 1) is not None


@pytest.mark.parametrize(
    ("packet", "is_tagged"),
    [
        (TAG + b"\x08\x00" + ipv4(A, B, 17, udp(1, 2, b"")), True),
        (b"\x45\x07\x08\x00" + ipv4(A, B, 17, udp(1, 2, b"")), True),
        (ipv4(A, B, 17, bytes(2048 - 20)), False),
        (ipv4(A, B, 17, udp(1, 2, b"")), False),
    ],
)
def test_tags_are_told_from_headers(packet: bytes, is_tagged: bool):
    assert (packet[2:4] in capture._BEHIND_TAGS and capture._begins_with_tag(packet)) is is_tagged


def test_tags_are_taken_off_as_far_as_the_filter_looks():
    packet = ipv4(A, B, 17, udp(1, 2, b""))
    tagged = [TAG + b"\x08\x00" + packet, b"\x60\x02\x81\x00" + TAG + b"\x08\x00" + packet]
    vlans = [0, 7, 2 << 12 | 7]
    assert [capture._without_tags(one) for one in (packet, *tagged)] == [(packet, vlan) for vlan in vlans]
    assert capture._without_tags(tagged[0], 2) == (packet, vlans[2]), "the driver has taken the outer one"
    deep = (TAG + b"\x81\x00") * 10_000
    assert len(capture._without_tags(deep)[0]) == len(deep) - 8


def test_an_interface_that_is_not_there():
    with pytest.raises(CommandError, match=r"interface nope: there is none|needs CAP_NET_RAW"):
        PacketCapture("nope")
