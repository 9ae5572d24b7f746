"""Messages within TCP: any cut, order and repetition; and what hostile streams cost."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.sniff import tcp as module
from dnstap_bgp.core.sniff.tcp import TcpMessages
from tests.core.sniff.wire import ip, tcp

FLOW = (ip("192.0.2.53"), 53, ip("192.0.2.1"), 1000, 2, False)
SYN, FIN, RST = 2, 1, 4


def framed(messages: list[bytes]) -> bytes:
    return b"".join(struct.pack("!H", len(one)) + one for one in messages)


@given(
    st.lists(st.binary(min_size=12, max_size=400), max_size=8),
    st.integers(0, (1 << 32) - 1),
    st.lists(st.integers(1, 300), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
def test_messages_come_whole_and_once(messages: list[bytes], start: int, cuts: list[int], random):
    stream = TcpMessages()
    data, at = framed(messages), 0
    segments: list[tuple[int, bytes]] = []
    while at < len(data):
        size = cuts[len(segments) % len(cuts)]
        segments.append((start + 1 + at, data[at : at + size]))
        at += size
    for number in range(0, len(segments) - 1, 3):  # neighbors change places, and some come twice
        segments[number], segments[number + 1] = segments[number + 1], segments[number]
    segments += random.sample(segments, min(3, len(segments)))
    found = list(stream.read(FLOW, tcp(53, 1000, start, flags=SYN)))
    for sequence, piece in segments:
        found += stream.read(FLOW, tcp(53, 1000, sequence, piece))
    assert found == messages
    assert stream.lost == 0


def test_a_connection_that_was_there_before():
    stream, message = TcpMessages(), b"m" * 40
    assert list(stream.read(FLOW, tcp(53, 1000, 77, b"not a length" * 9))) == []
    assert list(stream.read(FLOW, tcp(53, 1000, 500, framed([message])))) == [message]
    assert list(stream.read(FLOW, tcp(53, 1000, 542, framed([message])))) == [message]


@pytest.mark.parametrize("flags", [FIN, RST, FIN | RST])
def test_a_connection_that_ends_without_data_is_forgotten(flags):
    stream = TcpMessages()
    list(stream.read(FLOW, tcp(53, 1000, 0, flags=SYN)))
    list(stream.read(FLOW, tcp(53, 1000, 1, b"\0\x14begun")))
    assert stream._held == 7
    assert list(stream.read(FLOW, tcp(53, 1000, 8, flags=flags))) == []
    assert (len(stream._streams), stream._held, stream.lost) == (0, 0, 0)


def test_a_connection_that_begins_anew_forgets_what_it_had():
    stream = TcpMessages()
    list(stream.read(FLOW, tcp(53, 1000, 0, flags=SYN)))
    list(stream.read(FLOW, tcp(53, 1000, 1, b"\0\x14begun")))
    list(stream.read(FLOW, tcp(53, 1000, 70, flags=SYN)))
    assert list(stream.read(FLOW, tcp(53, 1000, 71, framed([b"m" * 20])))) == [b"m" * 20]
    assert (stream._held, stream.lost) == (0, 0)


@pytest.mark.parametrize(("words", "is_read"), [(4, False), (5, True), (6, True), (7, False)])
def test_a_header_s_length_is_that_of_a_header_within_the_segment(words, is_read):
    """Twenty bytes at least; what lies between that and the data are options."""
    segment = bytearray(tcp(53, 1000, 1, bytes(4) * (words - 5) + framed([b"m" * 20])[: 4 if words > 6 else None]))
    if words > 6:
        segment = segment[:24]
    segment[12] = words << 4
    stream = TcpMessages()
    list(stream.read(FLOW, tcp(53, 1000, 0, flags=SYN)))
    assert list(stream.read(FLOW, bytes(segment))) == ([b"m" * 20] if is_read else [])


def test_what_is_too_short_for_a_message_is_passed_over():
    stream = TcpMessages()
    list(stream.read(FLOW, tcp(53, 1000, 0, flags=SYN)))
    messages = [b"m" * 11, b"n" * 12, b"", b"o" * 13]
    assert list(stream.read(FLOW, tcp(53, 1000, 1, framed(messages)))) == [b"n" * 12, b"o" * 13]


def test_a_segment_that_is_repeated_with_more_gives_what_is_new_of_it():
    stream, data = TcpMessages(), framed([b"m" * 20, b"n" * 20])
    list(stream.read(FLOW, tcp(53, 1000, 0, flags=SYN)))
    assert list(stream.read(FLOW, tcp(53, 1000, 1, data[:30]))) == [b"m" * 20]
    assert list(stream.read(FLOW, tcp(53, 1000, 1, data[:30]))) == []
    assert list(stream.read(FLOW, tcp(53, 1000, 11, data[10:]))) == [b"n" * 20]


@pytest.mark.parametrize(("ahead", "lost"), [(70_000, 0), (70_001, 1)])
def test_what_is_too_far_ahead_is_given_up(ahead, lost):
    """A message and what begins behind it are no longer."""
    stream = TcpMessages()
    list(stream.read(FLOW, tcp(53, 1000, 0, flags=SYN)))
    list(stream.read(FLOW, tcp(53, 1000, 1 + ahead, b"x")))
    assert stream.lost == lost


@pytest.mark.parametrize("start", [0xFFFF_FFF0, 0xFFFF_FFFE, 0xFFFF_FFFF])
def test_numbers_begin_again_behind_the_largest(start):
    """Segments that come early, late and twice are compared across that, too."""
    stream, data = TcpMessages(), framed([b"m" * 20, b"n" * 20, b"o" * 20])
    pieces = [(start + 1 + at, data[at : at + 15]) for at in range(0, len(data), 15)]
    found = list(stream.read(FLOW, tcp(53, 1000, start, flags=SYN)))
    for sequence, piece in [pieces[1], pieces[0], pieces[0], pieces[3], pieces[2], pieces[1], pieces[4]]:
        found += stream.read(FLOW, tcp(53, 1000, sequence, piece))
    assert found == [b"m" * 20, b"n" * 20, b"o" * 20]
    assert (stream._held, stream.lost) == (0, 0)


def test_a_message_of_the_longest_length_comes_whole():
    stream, message = TcpMessages(), bytes(range(256)) * 256
    data = framed([message[:65_535]])
    list(stream.read(FLOW, tcp(53, 1000, 0, flags=SYN)))
    found = [
        one for at in range(0, len(data), 1460) for one in stream.read(FLOW, tcp(53, 1000, 1 + at, data[at:][:1460]))
    ]
    assert found == [message[:65_535]]
    assert stream.lost == 0


def test_the_connection_that_was_silent_longest_gives_way(monkeypatch):
    monkeypatch.setattr(module, "CONNECTIONS_MAX", 2)
    stream = TcpMessages()
    flows = [(*FLOW[:3], port, 2, False) for port in (1, 2, 3)]
    for flow in flows[:2]:
        list(stream.read(flow, tcp(53, flow[3], 0, flags=SYN)))
    list(stream.read(flows[0], tcp(53, 1, 1, b"\0\x14")))
    list(stream.read(flows[2], tcp(53, 3, 0, flags=SYN)))
    assert list(stream._streams) == [flows[0], flows[2]]
    assert stream.lost == 1


def test_an_end_is_forgotten():
    stream = TcpMessages()
    list(stream.read(FLOW, tcp(53, 1000, 0, flags=SYN)))
    assert list(stream.read(FLOW, tcp(53, 1000, 1, framed([b"m" * 20]), flags=FIN | 0x10))) == [b"m" * 20]
    assert not stream._streams


def test_a_segment_that_is_early_twice_is_held_once():
    stream, message = TcpMessages(), b"m" * 40
    data = framed([message])
    assert list(stream.read(FLOW, tcp(53, 1000, 0, flags=SYN))) == []
    for piece in (data[20:30], data[20:], data[20:]):
        assert list(stream.read(FLOW, tcp(53, 1000, 21, piece))) == []
        assert stream._held == len(piece)
    assert list(stream.read(FLOW, tcp(53, 1000, 1, data[:20]))) == [message]
    assert stream._held == 0


def test_what_came_early_counts_although_it_is_sent_again_in_other_segments():
    """So a sender does that sends several lost segments as one."""
    stream, messages = TcpMessages(), [bytes([number]) * 40 for number in range(3)]
    data = framed(messages)
    assert list(stream.read(FLOW, tcp(53, 1000, 0, flags=SYN))) == []
    for begin, end in ((20, 30), (60, 126), (40, 50)):
        assert list(stream.read(FLOW, tcp(53, 1000, 1 + begin, data[begin:end]))) == []
    assert list(stream.read(FLOW, tcp(53, 1000, 1, data[:70]))) == messages
    assert stream._held == 0, "nor is anything left that would count against the stream"


def test_connections_take_bounded_memory():
    stream = TcpMessages()
    for number in range(module.CONNECTIONS_MAX + 500):
        flow = (FLOW[0], 53, FLOW[2], number, 2, False)
        list(stream.read(flow, tcp(53, number % 65536, 0, flags=SYN)))
        list(stream.read(flow, tcp(53, number % 65536, 1, b"\xff\xff" + bytes(20_000))))
        list(stream.read(flow, tcp(53, number % 65536, 60_000, bytes(20_000))))
        assert len(stream._streams) <= module.CONNECTIONS_MAX
        assert stream._held <= module.HELD_MAX_BYTES
        assert stream._held == sum(one.held for one in stream._streams.values())
    assert stream.lost > 500


def test_connections_that_say_nothing_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "CONNECTIONS_MAX", 3)
    stream = TcpMessages()
    for number in range(5):
        list(stream.read((*FLOW[:3], number, 2, False), tcp(53, number, 0, flags=SYN)))
    assert [flow[3] for flow in stream._streams] == [2, 3, 4]
    assert stream.lost == 2


def test_a_connection_holds_so_many_early_segments():
    stream = TcpMessages()
    list(stream.read(FLOW, tcp(53, 1000, 0, flags=SYN)))
    for number in range(module.EARLY_MAX):
        list(stream.read(FLOW, tcp(53, 1000, 10 + 2 * number, b"x")))
    assert len(stream._streams[FLOW].early) == module.EARLY_MAX
    list(stream.read(FLOW, tcp(53, 1000, 10 + 2 * module.EARLY_MAX, b"x")))
    assert (len(stream._streams), stream._held, stream.lost) == (0, 0, 1)


@given(st.lists(st.tuples(st.integers(0, 200_000), st.binary(max_size=60), st.integers(0, 31)), max_size=60))
def test_any_segments(segments: list[tuple[int, bytes, int]]):
    stream = TcpMessages()
    for sequence, data, flags in segments:
        list(stream.read(FLOW, tcp(53, 1000, sequence, data, flags)))
        assert stream._held == sum(one.held for one in stream._streams.values())


def test_a_connection_is_joined_with_a_message_of_a_header_s_length_and_none_shorter():
    stream = TcpMessages()
    assert list(stream.read(FLOW, tcp(53, 1000, 77, framed([b"m" * 11])))) == []
    assert list(stream.read(FLOW, tcp(53, 1000, 77, framed([b"m" * 12])))) == [b"m" * 12]


def test_a_connection_holds_two_messages_of_the_longest_length():
    """One that has begun, and what came early behind it."""
    stream = TcpMessages()
    list(stream.read(FLOW, tcp(53, 1000, 0, flags=SYN)))
    list(stream.read(FLOW, tcp(53, 1000, 1, b"\xff\xff" + bytes(64_998))))
    for sequence, size in ((65_011, 60_000), (65_012, 15_000)):
        list(stream.read(FLOW, tcp(53, 1000, sequence, bytes(size))))
    assert (stream._held, stream.lost) == (2 * module.HELD_OF_ONE, 0)
    list(stream.read(FLOW, tcp(53, 1000, 65_013, b"x")))
    assert (stream._held, stream.lost) == (0, 1)


def test_an_early_segment_waits_for_all_in_front_of_it():
    stream, data = TcpMessages(), framed([b"m" * 20, b"n" * 20])
    pieces = [(1 + at, data[at : at + 11]) for at in range(0, 44, 11)]
    found = list(stream.read(FLOW, tcp(53, 1000, 0, flags=SYN)))
    for sequence, piece in (pieces[1], pieces[3], pieces[0], pieces[2]):
        found += stream.read(FLOW, tcp(53, 1000, sequence, piece))
    assert found == [b"m" * 20, b"n" * 20]
