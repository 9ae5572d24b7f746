"""IP packets: what they carry, fragments in any order, and what hostile ones cost."""

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.sniff import packets
from dnstap_bgp.core.sniff.packets import TCP, UDP, Packet, PacketReader
from tests.core.sniff.wire import fragments4, fragments6, ip, ipv4, ipv6, tcp, udp

A, B, A6, B6 = "192.0.2.1", "192.0.2.53", "2001:db8::1", "2001:db8::53"


def test_datagrams_and_segments():
    reader = PacketReader()
    assert reader.read(ipv4(A, B, 17, udp(1000, 53, b"hello")) + b"padding", 0, 1) == Packet(
        UDP, ip(A), 1000, ip(B), 53, b"hello"
    )
    assert reader.read(ipv6(A6, B6, 17, udp(53, 9, b"x")), 0, 1) == Packet(UDP, ip(A6), 53, ip(B6), 9, b"x")
    for sequence in (1, 20 << 16):  # the second would be a datagram's length
        segment = tcp(53, 9, sequence, b"data")
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


def checked(packet: bytes) -> tuple[Packet | None, int]:
    """What a packet carries, and whether it is malformed."""
    reader = PacketReader()
    return reader.read(packet, 0, 1), reader.malformed


HELLO = udp(1000, 53, b"hello")
DATAGRAM = Packet(UDP, ip(A), 1000, ip(B), 53, b"hello")


def with_total(packet: bytes, total: int) -> bytes:
    return packet[:2] + total.to_bytes(2) + packet[4:]


@pytest.mark.parametrize(
    ("packet", "found"),
    [
        (ipv4(A, B, 17, HELLO), DATAGRAM),
        (ipv4(A, B, 17, HELLO)[:-1], None),  # cut
        (with_total(ipv4(A, B, 17, HELLO), 32), None),  # shorter than the datagram
        (with_total(ipv4(A, B, 17, HELLO), 19), None),  # shorter than its header
        (ipv4(A, B, 17, HELLO[:4] + b"\0\x08" + HELLO[6:]), DATAGRAM._replace(data=b"")),
        (ipv4(A, B, 17, HELLO[:4] + b"\0\x07" + HELLO[6:]), None),  # shorter than its own header
        (ipv4(A, B, 17, HELLO[:4] + b"\0\x0e" + HELLO[6:]), None),  # longer than the packet
        (ipv4(A, B, 17, HELLO[:7]), None),
        (ipv4(A, B, 6, b"\0\1\0"), None),
        (b"", None),
        (b"\x55" + ipv4(A, B, 17, HELLO)[1:], None),  # of no version
        (b"\x44" + ipv4(A, B, 17, HELLO)[1:], None),  # a header of 16 bytes
        (ipv6(A6, B6, 17, HELLO)[:-1], None),
        (ipv6(A6, B6, 17, HELLO) + b"padding", DATAGRAM._replace(source=ip(A6), target=ip(B6))),
    ],
)
def test_what_is_cut_or_lies_about_its_length_is_malformed(packet: bytes, found: Packet | None):
    assert checked(packet) == (found, found is None)


@pytest.mark.parametrize("protocol", [1, 47, 132])
def test_other_protocols_are_no_fault(protocol: int):
    assert checked(ipv4(A, B, protocol, b"x" * 20)) == (None, 0)
    assert checked(ipv6(A6, B6, protocol, b"x" * 20)) == (None, 0)


def test_a_packet_that_may_not_be_cut_is_whole():
    """As nearly all are: the flag DF."""
    packet = bytearray(ipv4(A, B, 17, HELLO))
    packet[6] |= 0x40
    assert checked(bytes(packet)) == (DATAGRAM, 0)


def test_options_of_ipv4_are_passed_over():
    plain = ipv4(A, B, 17, HELLO)
    with_options = b"\x46" + plain[1:2] + (len(plain) + 4).to_bytes(2) + plain[4:20] + b"\1\1\1\0" + plain[20:]
    assert checked(with_options) == (DATAGRAM, 0)


def headers(count: int, of: int = 60) -> bytes:
    """Extension headers, every second one of 16 bytes."""
    found = b""
    for number in range(count):
        following, units = 17 if number == count - 1 else of, number % 2
        found += bytes((following, units)) + bytes(6 + 8 * units)
    return found


@pytest.mark.parametrize("kind", [0, 43, 60])
def test_extension_headers_are_passed_over_and_bounded(kind: int):
    """Seven and the datagram's own; more of them are made to cost."""
    datagram = DATAGRAM._replace(source=ip(A6), target=ip(B6))
    assert checked(ipv6(A6, B6, kind, headers(7) + HELLO)) == (datagram, 0)
    assert checked(ipv6(A6, B6, kind, headers(8) + HELLO)) == (None, 1)


def test_a_fragment_that_is_alone_is_whole():
    """RFC 6946: no offset, none follows; it waits for nothing, whatever its identification."""
    reader = PacketReader()
    [piece] = fragments6(A6, B6, HELLO, 1480)
    for _ in range(2):
        assert reader.read(piece, 0, 1) == DATAGRAM._replace(source=ip(A6), target=ip(B6))
    assert not reader._pieces


@pytest.mark.parametrize(
    ("protocol", "size", "more", "malformed"),
    [(17, 16, True, 0), (17, 15, True, 1), (17, 15, False, 0), (17, 0, False, 1), (6, 16, True, 1)],
)
def test_which_fragments_are_kept(protocol: int, size: int, more: bool, malformed: int):
    reader = PacketReader()
    assert reader.read(ipv4(A, B, protocol, bytes(size), offset=8, more=more), 0, 1) is None
    assert (reader.malformed, len(reader._pieces)) == (malformed, 1 - malformed)


def test_fragments_of_other_datagrams_are_apart():
    """By address, number, protocol and where they were seen."""
    reader = PacketReader()
    data = udp(53, 1000, bytes(2000))
    first, last = fragments4(A, B, data, 1480)
    others = [fragments4(B, A, data, 1480)[1], fragments4(A, A, data, 1480)[1], fragments4(A, B, data, 1480, 8)[1]]
    assert reader.read(first, 0, 1) is None
    for piece, way in (*((piece, 1) for piece in others), (last, 2), (last, -1)):
        assert reader.read(piece, 0, way) is None
    assert reader.read(last, 0, 1) is not None


def test_a_datagram_has_64_fragments_at_most():
    for count, found in ((64, True), (65, False)):
        reader = PacketReader()
        pieces = fragments4(A, B, udp(53, 1000, bytes(count * 8 - 8)), 8)
        assert len(pieces) == count
        assert (reader_gives(reader, pieces) is not None) == found
        assert reader.lost_fragments == (0 if found else 64)


def reader_gives(reader: PacketReader, pieces: list[bytes]) -> Packet | None:
    return [reader.read(piece, 0, 1) for piece in pieces][-1]


def test_fragments_that_leave_a_gap_or_overlap_make_no_datagram():
    """All bytes are there in number, and some are not."""
    data = udp(53, 1000, bytes(32))
    gap = [
        ipv4(A, B, 17, data[:16], offset=0, more=True),
        ipv4(A, B, 17, data[8:24], offset=8, more=True),
        ipv4(A, B, 17, data[32:], offset=32),
    ]
    no_begin = [ipv4(A, B, 17, data[8:], offset=8, more=True), ipv4(A, B, 17, data[32:], offset=32)]
    for pieces in (gap, no_begin):
        reader = PacketReader()
        assert reader_gives(reader, pieces) is None
        assert (reader.lost_fragments, reader._held, len(reader._pieces)) == (len(pieces), 0, 0)


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
    assert reader.read(second, 2.5, 1) is None
    assert reader.lost_fragments == 1
    reader = PacketReader()
    reader.read(first, 0, 1)
    assert reader.read(second, 2.0, 1) is not None


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
