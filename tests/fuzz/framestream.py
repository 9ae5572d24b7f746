"""Frame Streams: any bytes in any pieces give what a naive reader of the whole gives, in bounded memory."""

import struct
from collections.abc import Iterator

from dnstap_bgp.core.tap.framestream import (
    BUFFER_BYTES,
    CONTENT_TYPE,
    CONTROL_MAX_BYTES,
    ControlType,
    FrameStream,
    StreamState,
    control_frame,
    split_frames,
)
from tests.fuzz.choices import Choices

COVERS = {"dnstap_bgp.core.tap.framestream": 0.9}
FRAME_MAX_BYTES = 1 << 17
TIMES_MAX_BYTES = 1 << 10
"""The beginning of an input comes up to 255 times, so that short inputs reach what only long streams do."""
READY, START, STOP, ACCEPT, FINISH = map(
    control_frame, (ControlType.READY, ControlType.START, ControlType.STOP, ControlType.ACCEPT, ControlType.FINISH)
)


def one_input(data: bytes) -> None:
    sizes, times, wire = data[:8], data[8:9], data[9:]
    check(wire[:TIMES_MAX_BYTES] * int.from_bytes(times, "big") + wire, Choices(sizes))


def check(wire: bytes, sizes: Choices) -> None:
    """Compare the reader with the naive one."""
    assert run(wire, sizes) == naive(wire)


def data(payload: bytes) -> bytes:
    return struct.pack("!I", len(payload)) + payload


SEEDS = [
    READY + START + data(b"one") + data(b"two" * 50) + STOP,
    START + data(b"x" * 300) * 3 + STOP,
    START + data(b"long" * (FRAME_MAX_BYTES // 4)) + data(b"next") + STOP,
    struct.pack("!IIIII", 0, 12 + 22, 4, 9, 0) + struct.pack("!II", 1, 22) + CONTENT_TYPE + START,
    READY + READY + START + START,
    START + STOP + START + data(b"again"),
    bytes.fromhex("16030100c8010000c4"),
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x00\x80\x08\x01\x12\x10",
]


def seeds() -> Iterator[bytes]:
    for wire in SEEDS:
        for sizes in (b"\xff" * 8, b"\1" * 8, bytes(range(8))):
            yield sizes + b"\0" + wire[:TIMES_MAX_BYTES]
    for wrong in (
        struct.pack("!IIII", 0, 12, 4, 1),
        struct.pack("!IIIII", 0, 12, 4, 1, 99),
        READY + data(b"too early" * 9),
        START + struct.pack("!II", FRAME_MAX_BYTES + 1, 9),
        START + struct.pack("!II", 1 << 31, 9),
        struct.pack("!IIIII", 0, 12, 77, 1, 0),
        b"\x08\x01\x72\x70\x00",
    ):
        yield b"\xff" * 8 + b"\0" + wrong
    for piece in (b"\x40", b"\xff"):  # a frame that is longer than the buffer
        yield piece * 8 + b"\xff" + START + struct.pack("!I", 70_000) + b"x" * 400


def naive(wire: bytes) -> tuple[list[bytes], bytes]:
    """The frames and replies of a whole stream, read without any buffer; wrong control frames simply end it."""
    frames: list[bytes] = []
    replies, state, bidirectional, at = b"", "opening", False, 0
    while state != "finished" and at + 8 <= len(wire):
        length, second = struct.unpack_from("!II", wire, at)
        if length:
            if state != "streaming" or length > FRAME_MAX_BYTES or at + 4 + length > len(wire):
                return frames, replies
            frames.append(wire[at + 4 : at + 4 + length])
            at += 4 + length
            continue
        body = wire[at + 8 : at + 8 + second]
        if not 4 <= second <= CONTROL_MAX_BYTES or len(body) < second or (fields := content_types(body[4:])) is None:
            return frames, replies
        at += 8 + second
        number = int.from_bytes(body[:4], "big")
        is_ours = not fields or CONTENT_TYPE in fields
        if number == ControlType.READY and state == "opening" and is_ours:
            state, replies, bidirectional = "accepted", replies + ACCEPT, True
        elif number == ControlType.START and state in ("opening", "accepted") and is_ours and len(fields) < 2:
            state = "streaming"
        elif number == ControlType.STOP and state == "streaming":
            state, replies = "finished", replies + FINISH * bidirectional
        else:
            return frames, replies
    if state == "streaming" and len(wire) - at >= 5:  # a last frame of 1 to 3 bytes: shorter than two lengths
        (length,) = struct.unpack_from("!I", wire, at)
        if length and at + 4 + length <= len(wire):
            frames.append(wire[at + 4 : at + 4 + length])
    return frames, replies


def content_types(body: bytes) -> list[bytes] | None:
    found = []
    while body:
        if len(body) < 8:
            return None
        field, length = struct.unpack_from("!II", body)
        if length > len(body) - 8 or (field == 1 and not 1 <= length <= 256):
            return None
        if field == 1:
            found.append(body[8 : 8 + length])
        body = body[8 + length :]
    return found


def run(wire: bytes, sizes: Choices) -> tuple[list[bytes], bytes]:
    """Feed it in pieces, and look at the stream after each; the sizes of the pieces come round and round."""
    stream = FrameStream(FRAME_MAX_BYTES)
    frames: list[bytes] = []
    given = [1 + size if size < 200 else 1 << 20 for size in sizes.take(8)] or [1 << 20]
    at = number = 0
    while at < len(wire):
        free = stream.free()
        assert len(free) > 0
        n = min(len(free), len(wire) - at, given[number % len(given)])
        number += 1
        free[:n] = wire[at : at + n]
        del free
        frames += stream.received(n, split_frames)
        at += n
        assert len(stream._buffer) <= max(BUFFER_BYTES, FRAME_MAX_BYTES + 4)
        assert len(stream._buffer) == BUFFER_BYTES or not stream.over
        assert (stream.error is not None) == (stream.state is StreamState.FAILED)
        assert stream.error is None or str(stream.error).isprintable()
    stream.ended()
    return frames, bytes(stream.replies)
