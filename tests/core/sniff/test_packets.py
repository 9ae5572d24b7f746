"""IP packets: what they carry, fragments in any order, and what hostile ones cost."""

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.sniff import packets
from dnstap_bgp.core.sniff.packets import FRAGMENT_S, TCP, UDP, Packet, PacketReader
from tests.core.sniff.wire import fragments4, fragments6, ip, ipv4, ipv6, tcp, udp

A, B, A6, B6 = "192.0.2.1", "192.0.2.53", "2001:db8::1", "2001:db8::53"


def test_datagrams_and_segments():
    reader = PacketReader()
    assert reader.read(ipv4(A, B, 17, udp(1000, 53, b"hello")) + b"padding", 0, 1) == Packet(
        UDP, ip(A), 1000, ip(B), 53, b"hello"
    )
    assert reader.read(ipv6(A6, B6, 17, udp(53, 9, b"x")), 0, 1) == Packet(UDP, ip(A6), 53, ip(B6), 9, b"x")
    segment = tcp(53, 9, 1, b"data")
    assert reader.read(ipv4(A, B, 6, segment), 0, 1) == Packet(TCP, ip(A), 53, ip(B), 9, segment)
    options = struct.pack("!BB6x", 17, 0) + udp(1, 53, b"y")
    assert reader.read(ipv6(A6, B6, 0, options), 0, 1) == Packet(UDP, ip(A6), 1, ip(B6), 53, b"y")
    assert reader.malformed == 0


@pytest.mark.parametrize("cut", [fragments4, fragments6])
@given(st.randoms(use_true_random=False), st.integers(1, 3000), st.sampled_from([8, 64, 1480]))
def test_fragments_in_any_order(cut, random, length: int, size: int):
    data = random.randbytes(length)
    source, target = (A, B) if cut is fragments4 else (A6, B6)
    pieces = cut(source, target, udp(53, 1000, data), size)[:60]
    if len(pieces) * size < length + 8:
        return
    random.shuffle(pieces)
    reader = PacketReader()
    found = [reader.read(piece, 0, 1) for piece in pieces]
    assert found[:-1] == [None] * (len(pieces) - 1)
    assert found[-1] == Packet(UDP, ip(source), 53, ip(target), 1000, data)
    assert reader._held == 0
    assert not reader._pieces


def test_two_datagrams_at_once_do_not_mix():
    reader = PacketReader()
    one, other = (
        fragments4(A, B, udp(53, 1000, data * 100), 480, number) for number, data in enumerate((b"1234" * 4, b"ab" * 4))
    )
    assert [reader.read(piece, 0, 1) for piece in (one[0], other[0])] == [None, None]
    assert reader.read(one[1], 0, 1) is not None or len(one) > 2
    rest = [reader.read(piece, 0, 1) for piece in (*one[2:], *other[1:])]
    assert {found.data for found in rest if found} <= {b"1234" * 400, b"ab" * 400}


def test_overlapping_and_repeated_fragments_are_given_up():
    reader = PacketReader()
    data = udp(53, 1000, bytes(2000))
    first, second = fragments4(A, B, data, 1480)
    assert reader.read(first, 0, 1) is None
    assert reader.read(first, 0, 1) is None
    assert reader.lost_fragments == 1
    overlap = ipv4(A, B, 17, bytes(1480), number=7, offset=8, more=True)
    for piece in (first, overlap, second):
        assert reader.read(piece, 0, 1) is None


def test_fragments_that_stay_alone_are_forgotten():
    reader = PacketReader()
    first, second = fragments4(A, B, udp(53, 1000, bytes(2000)), 1480)
    reader.read(first, 0, 1)
    assert reader.read(second, FRAGMENT_S + 1, 1) is None
    assert reader.lost_fragments == 1


def test_a_fragment_that_ends_behind_every_datagram_is_malformed():
    """It would be held until its time is over, or make a datagram that is longer than any."""
    reader = PacketReader()
    assert reader.read(ipv4(A, B, 17, bytes(7), offset=0xFFF8), 0, 1) is None
    assert (reader.malformed, len(reader._pieces)) == (0, 1)
    assert reader.read(ipv4(A, B, 17, bytes(8), number=2, offset=0xFFF8), 0, 1) is None
    assert (reader.malformed, len(reader._pieces)) == (1, 1)


def test_fragments_take_bounded_memory():
    reader = PacketReader()
    for number in range(10_000):
        reader.read(ipv4(A, B, 17, bytes(1480), number=number, offset=0, more=True), 0, 1)
        assert reader._held <= packets.FRAGMENTS_MAX_BYTES
    assert reader.lost_fragments > 5000


def test_the_oldest_datagram_makes_room_also_for_its_own_last_fragment(monkeypatch: pytest.MonkeyPatch):
    """A flood of fragments fills the memory; then the datagram that has waited longest is completed."""
    monkeypatch.setattr(packets, "FRAGMENTS_MAX_BYTES", 4_000)
    reader = PacketReader()
    first, last = fragments4(A, B, udp(53, 1000, bytes(2000)), 1480)
    assert reader.read(first, 0, 1) is None
    assert reader.read(ipv4(A, B, 17, bytes(800), number=9, offset=0, more=True), 0, 1) is None
    assert reader.read(last, 0, 1) is None
    assert (reader.lost_fragments, len(reader._pieces), reader._held) == (2, 1, 800 + packets.PIECE_BYTES)


def test_small_fragments_are_charged_for_what_they_cost(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packets, "FRAGMENTS_MAX_BYTES", 1_000_000)
    reader = PacketReader()
    tracemalloc.start()
    try:
        for number in range(6_000):
            reader.read(ipv4(A, B, 17, b"x", number=number, offset=8), 0, 1)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < packets.FRAGMENTS_MAX_BYTES * 1.5
    assert reader._held <= packets.FRAGMENTS_MAX_BYTES
    assert len(reader._pieces) > 1000


@given(st.binary(max_size=200))
def test_any_bytes_are_a_packet_or_counted(data: bytes):
    reader = PacketReader()
    before = reader.malformed
    reader.read(data, 0, 1)
    assert reader.malformed - before in (0, 1)


@given(st.binary(max_size=80), st.sampled_from([0x45, 0x4F, 0x60]))
def test_what_looks_like_a_packet_breaks_nothing(data: bytes, first: int):
    PacketReader().read(bytes([first]) + data, 0, 1)
