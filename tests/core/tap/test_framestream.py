"""Frame Streams: handshakes, limits, odd starts, and a buffer that grows with what came, not with what was claimed."""

import struct

import pytest
from fstrm import FstrmCodec

from dnstap_bgp.core.tap import framestream
from dnstap_bgp.core.tap.framestream import (
    BUFFER_BYTES,
    CONTENT_TYPE,
    PLAUSIBLE_MAX_BYTES,
    ControlType,
    Fault,
    FrameStream,
    StreamState,
    control_frame,
    read_control,
    split_frames,
)
from dnstap_bgp.errors import FrameError

FRAME_MAX_BYTES = 1 << 20
READY, START, STOP, ACCEPT, FINISH = map(
    control_frame, (ControlType.READY, ControlType.START, ControlType.STOP, ControlType.ACCEPT, ControlType.FINISH)
)


def data(payload):
    return struct.pack("!I", len(payload)) + payload


def control(number, *fields):
    body = struct.pack("!I", number) + b"".join(struct.pack("!II", kind, len(value)) + value for kind, value in fields)
    return struct.pack("!II", 0, len(body)) + body


def push(stream, wire):
    """Receive all of `wire`, in turns as a socket would give it."""
    frames = []
    while wire and not stream.over:
        free = stream.free()
        n = min(len(free), len(wire))
        free[:n] = wire[:n]
        del free
        frames += stream.received(n, split_frames)
        wire = wire[n:]
    return frames


def stream_of(wire, frame_max_bytes=FRAME_MAX_BYTES):
    stream = FrameStream(frame_max_bytes)
    return stream, push(stream, wire)


def fault_of(wire, **limits):
    stream, _ = stream_of(wire, **limits)
    assert stream.state is StreamState.FAILED
    return stream.error.fault


# -- the two handshakes


def test_bidirectional_answers_ready_and_stop():
    stream = FrameStream(FRAME_MAX_BYTES)
    push(stream, READY)
    assert (stream.state, bytes(stream.replies)) == (StreamState.ACCEPTED, ACCEPT)
    stream.replies.clear()
    assert push(stream, START + data(b"one") + data(b"two")) == [b"one", b"two"]
    assert stream.replies == b""
    assert push(stream, data(b"three") + STOP) == [b"three"]
    assert (stream.state, bytes(stream.replies), stream.error) == (StreamState.FINISHED, FINISH, None)


def test_unidirectional_gets_no_replies():
    stream, frames = stream_of(START + data(b"one") + STOP)
    assert (stream.state, frames, stream.replies) == (StreamState.FINISHED, [b"one"], b"")


def test_the_fstrm_package_agrees_with_our_frames():
    codec = FstrmCodec()
    assert codec.encode_ctrlready(CONTENT_TYPE) == READY
    assert codec.encode_ctrlstart(CONTENT_TYPE) == START
    assert codec.encode_data(b"x") == data(b"x")
    assert codec.encode(3) == STOP


def test_byte_by_byte():
    stream = FrameStream(FRAME_MAX_BYTES)
    frames = []
    for byte in READY + START + data(b"one") + data(b"two" * 100) + STOP:
        frames += push(stream, bytes([byte]))
    assert frames == [b"one", b"two" * 100]
    assert (stream.state, bytes(stream.replies)) == (StreamState.FINISHED, ACCEPT + FINISH)


def test_what_follows_stop_is_ignored():
    stream, frames = stream_of(START + STOP + data(b"late") + b"\xff" * 100)
    assert (stream.state, frames) == (StreamState.FINISHED, [])
    stream.received(4, split_frames)
    assert stream.state is StreamState.FINISHED


@pytest.mark.parametrize("number", [ControlType.READY, ControlType.START])
def test_no_content_type_means_any(number):
    stream, _ = stream_of(control(number))
    assert stream.error is None


def test_ready_with_several_content_types_is_answered_with_ours():
    stream, _ = stream_of(control(4, (1, b"protobuf:other"), (1, CONTENT_TYPE)))
    assert bytes(stream.replies) == ACCEPT


def test_unknown_control_fields_are_ignored():
    stream, _ = stream_of(control(2, (77, b"new"), (1, CONTENT_TYPE), (78, b"")))
    assert stream.state is StreamState.STREAMING
    assert read_control(control(4, (9, b"x"))) == (ControlType.READY, [])
    assert read_control(control(4, (77, b"x" * 500))) == (ControlType.READY, []), "512 bytes"
    assert stream_of(control(4, (77, b"x" * 500)))[0].state is StreamState.ACCEPTED


# -- the end


@pytest.mark.parametrize(
    ("wire", "state"),
    [
        (b"", StreamState.OPENING),
        (START, StreamState.FINISHED),
        (START + data(b"x"), StreamState.FINISHED),
        (START + STOP, StreamState.FINISHED),
    ],
)
def test_an_end_between_frames_is_no_error(wire, state):
    stream, _ = stream_of(wire)
    stream.ended()
    assert (stream.state, stream.error) == (state, None)


@pytest.mark.parametrize("wire", [READY, START[:5], READY + START[:5], START + data(b"cut")[:-1], START + STOP[:-1]])
def test_an_end_inside_a_frame_is_cut(wire):
    stream, _ = stream_of(wire)
    stream.ended()
    assert (stream.state, stream.error.fault) == (StreamState.FAILED, Fault.CUT)


def test_an_end_tells_how_much_of_a_frame_there_was():
    stream, _ = stream_of(START + data(b"cut")[:-1])
    stream.ended()
    assert str(stream.error).startswith("the stream ended 6 bytes into a frame (streaming)")


def test_an_end_keeps_the_first_error():
    stream, _ = stream_of(b"GET / HTTP/1.1\r\n")
    stream.ended()
    assert stream.error.fault is Fault.HTTP


# -- what goes wrong


@pytest.mark.parametrize(
    ("wire", "fault", "text"),
    [
        (bytes.fromhex("160301020001"), Fault.TLS, "dnstap-tls: no"),
        (b"GET /metrics HTTP/1.1\r\n", Fault.HTTP, "HTTP"),
        (b"\x00\x80\x08\x01\x12\x10", Fault.RAW_PROTOBUF, "newRemoteLogger"),
        (b"\x00\x80\x08\x04", Fault.RAW_PROTOBUF, "newRemoteLogger"),
        (b"\x00\x80\x08\x00", Fault.NO_START, "00 80 08 00"),
        (b"\x00\x80\x08\x05", Fault.NO_START, "00 80 08 05"),
        (b"\x00\x80\x09\x01", Fault.NO_START, "00 80 09 01"),
        (b"\x12\x07unbound", Fault.RAW_PROTOBUF, "bare protobuf"),
        (b"\x78\x01\x72\x10", Fault.RAW_PROTOBUF, "bare protobuf"),
        (b"PRI * HTTP/2.0\r\n", Fault.HTTP, "HTTP"),
        (control(2, (1, b"x" * 256)), Fault.CONTENT_TYPE, "x" * 256),
        (control(4, (77, b"x" * 501)), Fault.CONTROL, "513 bytes"),
        (b"\x0a\x07unbound", Fault.RAW_PROTOBUF, "bare protobuf"),
        (b"\x72\x10\x08\x06", Fault.RAW_PROTOBUF, "bare protobuf"),
        (data(b"\x0a" * 0x0801), Fault.NO_START, "before READY or START"),
        (b"SSH-2.0-OpenSSH\r\n", Fault.NO_START, "53 53 48 2d"),
        (b"\xff\xff\xff\xff", Fault.NO_START, "ff ff ff ff"),
        (READY + data(b"early"), Fault.NO_START, "before START"),
        (control(2, (1, b"protobuf:x\x1b[31m\xff")), Fault.CONTENT_TYPE, r"protobuf:x\x1b[31m\xff"),
        (control(4, (1, b"a"), (1, b"b")), Fault.CONTENT_TYPE, "'a', 'b'"),
        (control(4, (1, b"")), Fault.CONTROL, "0 bytes"),
        (control(2, (1, CONTENT_TYPE), (1, CONTENT_TYPE)), Fault.CONTROL, "2 content types"),
        (READY + READY, Fault.CONTROL, "READY out of order: the stream is accepted"),
        (START + START, Fault.CONTROL, "START out of order: the stream is streaming"),
        (STOP, Fault.CONTROL, "STOP out of order"),
        (ACCEPT, Fault.CONTROL, "ACCEPT out of order"),
        (START + FINISH, Fault.CONTROL, "FINISH out of order"),
        (control(0), Fault.CONTROL, "0"),
        (control(6), Fault.CONTROL, "6"),
        (struct.pack("!II", 0, 0), Fault.CONTROL, "0 bytes"),
        (struct.pack("!IIH", 0, 2, 0), Fault.CONTROL, "2 bytes"),
        (struct.pack("!II", 0, 513), Fault.CONTROL, "513 bytes"),
        (struct.pack("!II", 0, 0xFFFFFFFF), Fault.CONTROL, "4294967295"),
        (control(2, (1, b"x" * 257)), Fault.CONTROL, "257 bytes"),
        (struct.pack("!IIIII", 0, 12, 2, 1, 1), Fault.CONTROL, "field of 1 bytes at byte 12 of 20"),
        (struct.pack("!IIIII", 0, 12, 2, 1, 0xFFFFFFFF), Fault.CONTROL, "4294967295"),
        (struct.pack("!IIIB", 0, 5, 2, 1), Fault.CONTROL, "cut at byte 12 of 13"),
        (START + struct.pack("!I", FRAME_MAX_BYTES + 1), Fault.OUT_OF_STEP, "1048577"),
        (START + b"\xff\xff\xff\xff", Fault.OUT_OF_STEP, "4294967295"),
    ],
)
def test_faults_are_told_apart(wire, fault, text):
    stream, frames = stream_of(wire)
    assert (stream.state, stream.error.fault, frames) == (StreamState.FAILED, fault, [])
    assert text in str(stream.error)
    assert str(stream.error).isprintable()


def test_a_decision_waits_for_four_bytes():
    stream, _ = stream_of(b"\x16\x03\x01")
    assert stream.state is StreamState.OPENING


def test_frames_ahead_of_an_error_count():
    stream, frames = stream_of(START + data(b"one") + data(b"two") + b"\xff\xff\xff\xff")
    assert frames == [b"one", b"two"]
    assert stream.error.fault is Fault.OUT_OF_STEP


def test_exceptions_of_the_package_become_ours(monkeypatch):
    def broken(_self):
        raise struct.error("short")

    monkeypatch.setattr(FstrmCodec, "decode", broken)
    with pytest.raises(FrameError, match="short"):
        read_control(START)


def test_a_feed_that_leaves_a_whole_frame_is_a_bug():
    stream = FrameStream(FRAME_MAX_BYTES)
    stream.free()[: len(START) + 5] = START + data(b"x")
    with pytest.raises(AssertionError, match="every whole frame"):
        stream.received(len(START) + 5, lambda _buffer, start, _end, _frame_max: (start, []))


# -- the buffer


def test_a_long_frame_grows_the_buffer_and_gives_it_back():
    stream, _ = stream_of(START)
    payload = bytes(range(256)) * (FRAME_MAX_BYTES // 256)
    wire = data(payload)
    push(stream, wire[:-1])
    assert len(stream._buffer) <= FRAME_MAX_BYTES + 4
    assert push(stream, wire[-1:] + data(b"next")) == [payload, b"next"]
    assert len(stream._buffer) == BUFFER_BYTES


def test_a_buffer_doubles_up_to_the_longest_frame():
    stream, _ = stream_of(START)
    wire, sizes = data(bytes(FRAME_MAX_BYTES)), set()
    for start in range(0, len(wire), BUFFER_BYTES):
        push(stream, wire[start : start + BUFFER_BYTES])
        sizes.add(len(stream._buffer))
    assert sizes == {BUFFER_BYTES << doubled for doubled in range(5)} | {FRAME_MAX_BYTES + 4}


def test_frames_are_split_up_to_the_limit_and_no_further():
    """The plainest feed: it stops before a control frame, what is too long and what is not whole."""
    wire = bytearray(data(b"one") + data(b"four") + data(b"three"))
    assert split_frames(wire, 0, len(wire), 5) == (len(wire), [b"one", b"four", b"three"])
    assert split_frames(wire, 0, len(wire), 4) == (15, [b"one", b"four"])
    assert split_frames(wire, 7, len(wire) - 1, 5) == (15, [b"four"])
    assert split_frames(wire, 7, 10, 5) == (7, [])
    assert split_frames(bytearray(data(b"one") + bytes(8)), 0, 15, 5) == (7, [b"one"])


def test_a_claimed_length_costs_nothing():
    stream, _ = stream_of(START + struct.pack("!I", FRAME_MAX_BYTES) + b"only this")
    assert len(stream._buffer) == BUFFER_BYTES


def test_a_turn_brings_no_more_than_a_chunk_though_the_buffer_has_grown():
    stream, _ = stream_of(START + data(bytes(3 * BUFFER_BYTES))[:-1])
    assert len(stream._buffer) > 2 * BUFFER_BYTES
    assert len(stream.free()) <= BUFFER_BYTES


@pytest.mark.parametrize("length", [20 << 20, 0x7FFFFFFF, PLAUSIBLE_MAX_BYTES + 1])
def test_a_length_that_no_dnstap_frame_has_is_a_stream_out_of_step(length):
    stream, frames = stream_of(START + data(b"one") + struct.pack("!I", length) + b"of another frame", 1 << 17)
    assert (frames, stream.error.fault) == ([b"one"], Fault.OUT_OF_STEP)
    assert str(length) in str(stream.error)
    assert "out of step" in str(stream.error)
    assert "frame_max_bytes" not in str(stream.error)
    assert fault_of(START + struct.pack("!I", PLAUSIBLE_MAX_BYTES), frame_max_bytes=1 << 17) is Fault.OVERSIZE


def test_a_failed_or_finished_stream_holds_no_long_buffer():
    stream, _ = stream_of(START + data(b"x" * FRAME_MAX_BYTES)[:-1])
    push(stream, b"x" + b"\xff\xff\xff\xff")
    assert (stream.state, len(stream._buffer)) == (StreamState.FAILED, BUFFER_BYTES)


@pytest.mark.parametrize("size", [BUFFER_BYTES - 5, BUFFER_BYTES - 4, BUFFER_BYTES - 3, BUFFER_BYTES, BUFFER_BYTES + 1])
def test_frames_about_as_long_as_the_buffer(size):
    wire = START + data(b"a" * size) + data(b"b" * size) + STOP
    stream, frames = stream_of(wire)
    assert [len(frame) for frame in frames] == [size, size]
    assert stream.state is StreamState.FINISHED


def test_a_limit_below_the_buffer():
    stream, frames = stream_of(START + data(b"a" * 600) * 1000 + STOP, frame_max_bytes=600)
    assert len(frames) == 1000
    assert stream.state is StreamState.FINISHED
    assert fault_of(START + data(b"a" * 601), frame_max_bytes=600) is Fault.OVERSIZE


def test_there_is_always_room(monkeypatch):
    monkeypatch.setattr(framestream, "BUFFER_BYTES", 1024)
    stream, _ = stream_of(START)
    wire = data(b"x" * 5000)
    for byte in wire:
        assert len(stream.free()) > 0
        push(stream, bytes([byte]))
