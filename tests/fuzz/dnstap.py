"""DNSTap and DNS: whatever is in a chunk of frames, the fast path sees what protobuf and dnspython see, frame by frame.

The first byte says what the rest is: a chunk of frames, DNS messages in good frames, or choices for the writer of the
property tests. A second feed of the same chunk, with a memo that knows the names now, must give the same.
"""

import random
from collections.abc import Iterator

from dnstap_bgp.core.tap.ingest import Ingest
from tests.fuzz.choices import Choices
from tests.property.messages import (
    ACCEPTED,
    draw_frame,
    draw_message,
    draw_wires,
    expected,
    expected_of_frame,
    field,
    rules,
    stream,
)

COVERS = {
    "dnstap_bgp.core.tap.ingest": 0.75,
    "dnstap_bgp.core.tap.prefilter": 0.9,
    "dnstap_bgp.core.dns.answer": 0.95,
    "dnstap_bgp.core.dns.svcb": 0.95,
}
RULES = rules()
FRAMES_MAX = 12


def one_input(data: bytes) -> None:
    frames = [frame for frame in frames_of(data) if frame][:FRAMES_MAX]
    wanted = sorted(one for frame in frames for one in expected_of_frame(frame, RULES.lists))
    ingest = Ingest(RULES, ACCEPTED)
    for _ in range(2):
        buffer = bytearray(stream(frames))
        consumed, sightings = ingest.feed(buffer, 0, len(buffer), 1 << 16)
        assert consumed == len(buffer)
        assert sorted(sightings) == wanted
    assert ingest.counters.frames == 2 * len(frames)
    assert ingest.counters.costly == 0, "so few frames exceed no budget"


def frames_of(data: bytes) -> Iterator[bytes]:
    kind, dice = data[:1], Choices(data[1:])
    if kind < b"\x40":
        while dice:
            yield dice.take(int.from_bytes(dice.take(2), "big"))
    elif kind < b"\x80":
        while dice:
            yield framed(dice.take(int.from_bytes(dice.take(2), "big")))
    elif kind < b"\xc0":
        yield framed(data[1:])
    else:
        while dice:
            yield from (draw_frame(dice, wire) for wire in draw_wires(dice, 3))


def framed(wire: bytes) -> bytes:
    return field(14, field(1, 6) + field(14, wire)) + field(15, 1)


def seeds() -> Iterator[bytes]:
    for seed in range(60):
        pick = random.Random(seed)
        wires = draw_wires(pick, 3)
        good = [wire for wire in (draw_message(pick) for _ in range(40)) if expected(wire, RULES.lists)][:2]
        for wire in good:
            yield b"\x80" + wire
        yield b"\x40" + b"".join(len(wire).to_bytes(2, "big") + wire for wire in [*good, *wires])
        frames = [draw_frame(pick, wire) for wire in [*good, *wires]]
        yield b"\0" + b"".join(len(frame).to_bytes(2, "big") + frame for frame in frames)
        yield b"\xff" + pick.randbytes(100)
