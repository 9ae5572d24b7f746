"""Frame Streams: any split of the bytes gives the same frames, replies and end."""

import itertools
import struct

from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.tap.framestream import ControlType, FrameStream, StreamState, control_frame, split_frames

FRAME_MAX_BYTES = 4096

controls = st.sampled_from(list(ControlType)).map(control_frame)
frames = st.binary(min_size=1, max_size=300).map(lambda payload: struct.pack("!I", len(payload)) + payload)
garbage = st.binary(max_size=40)
wires = st.lists(st.one_of(frames, frames, controls, garbage), max_size=12).map(b"".join)
openings = st.sampled_from(
    [
        b"",
        control_frame(ControlType.START),
        control_frame(ControlType.READY) + control_frame(ControlType.START),
    ]
)


def run(wire, cuts):
    stream = FrameStream(FRAME_MAX_BYTES)
    given_frames = []
    edges = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
    for start, end in itertools.pairwise(edges):
        if end > start:
            stream.free()[: end - start] = wire[start:end]
            given_frames += stream.received(end - start, split_frames)
    stream.ended()
    return given_frames, stream.state, bytes(stream.replies), stream.bidirectional, str(stream.error)


@given(openings, wires, st.lists(st.integers(0, 10_000), max_size=30))
def test_any_split_gives_the_same(opening, wire, cuts):
    assert run(opening + wire, cuts) == run(opening + wire, [])


@given(openings, wires)
def test_every_single_byte(opening, wire):
    whole = opening + wire
    assert run(whole, range(len(whole))) == run(whole, [])


@given(st.lists(st.binary(min_size=1, max_size=FRAME_MAX_BYTES), max_size=20), st.lists(st.integers(0, 100_000)))
def test_a_good_stream_is_read_wholly(payloads, cuts):
    wire = (
        control_frame(ControlType.READY)
        + control_frame(ControlType.START)
        + b"".join(struct.pack("!I", len(payload)) + payload for payload in payloads)
        + control_frame(ControlType.STOP)
    )
    given_frames, state, replies, bidirectional, _ = run(wire, cuts)
    assert given_frames == payloads
    assert (state, bidirectional) == (StreamState.FINISHED, True)
    assert replies == control_frame(ControlType.ACCEPT) + control_frame(ControlType.FINISH)
