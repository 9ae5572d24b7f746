"""Frame Streams under mutation: nothing raises, memory stays bounded, and a naive reader of the whole agrees."""

import random
import struct

import pytest

from dnstap_bgp.core.tap.framestream import (
    BUFFER_BYTES,
    CONTENT_TYPE,
    CONTROL_MAX_BYTES,
    Control,
    FrameStream,
    State,
    control_frame,
    split_frames,
)

FRAME_MAX_BYTES = 1 << 17
READY, START, STOP, ACCEPT, FINISH = map(
    control_frame, (Control.READY, Control.START, Control.STOP, Control.ACCEPT, Control.FINISH)
)


def data(payload):
    return struct.pack("!I", len(payload)) + payload


CORPUS = [
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
NUMBERS = [0, 1, 4, 8, 512, 513, FRAME_MAX_BYTES, FRAME_MAX_BYTES + 1, 0x7FFFFFFF, 0xFFFFFFFF, *Control]


def mutate(pick):
    wire = bytearray(pick.choice(CORPUS))
    for _ in range(pick.randint(0, 4)):
        at = pick.randrange(len(wire) + 1)
        match pick.randrange(6):
            case 0:
                wire[at : at + 1] = pick.randbytes(1)
            case 1:
                wire[at : at + 4] = struct.pack("!I", pick.choice(NUMBERS))
            case 2:
                del wire[at : at + pick.randint(1, 40)]
            case 3:
                wire[at:at] = pick.choice([READY, START, STOP, ACCEPT, FINISH, data(b"z"), pick.randbytes(9)])
            case 4:
                wire[at:at] = wire[: pick.randint(0, 200)]
            case 5:
                del wire[at:]
    return bytes(wire)


def naive(wire):
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
        if number == Control.READY and state == "opening" and is_ours:
            state, replies, bidirectional = "accepted", replies + ACCEPT, True
        elif number == Control.START and state in ("opening", "accepted") and is_ours and len(fields) < 2:
            state = "streaming"
        elif number == Control.STOP and state == "streaming":
            state, replies = "finished", replies + FINISH * bidirectional
        else:
            return frames, replies
    if state == "streaming" and len(wire) - at >= 5:  # a last frame of 1 to 3 bytes: shorter than two lengths
        (length,) = struct.unpack_from("!I", wire, at)
        if length and at + 4 + length <= len(wire):
            frames.append(wire[at + 4 : at + 4 + length])
    return frames, replies


def content_types(body):
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


def run(wire, pick):
    """Feed it in random pieces, and look at the stream after each."""
    stream = FrameStream(FRAME_MAX_BYTES)
    frames: list[bytes] = []
    at = 0
    while at < len(wire):
        free = stream.free()
        assert len(free) > 0
        n = min(len(free), len(wire) - at, pick.choice([1, 2, 3, 5, 20, 200, 1 << 20]))
        free[:n] = wire[at : at + n]
        del free
        frames += stream.received(n, split_frames)
        at += n
        assert stream.buffer_bytes <= max(BUFFER_BYTES, FRAME_MAX_BYTES + 4)
        assert stream.buffer_bytes == BUFFER_BYTES or not stream.over
        assert (stream.error is not None) == (stream.state is State.FAILED)
        assert stream.error is None or str(stream.error).isprintable()
    stream.ended()
    return frames, bytes(stream.replies)


def rounds(seed, count):
    pick = random.Random(seed)
    for number in range(count):
        wire = mutate(pick)
        assert run(wire, pick) == naive(wire), f"seed {seed}, mutation {number}: {wire[:200].hex()}"


@pytest.mark.parametrize("seed", range(4))
def test_a_short_round(seed):
    rounds(seed, 2_000)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(100, 110))
def test_a_long_round(seed):
    rounds(seed, 200_000)
