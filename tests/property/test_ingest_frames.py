"""The chunk reader agrees with a plain one that goes frame by frame, wherever the bytes are cut."""

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from dnstap_bgp.core.model import Sighting
from dnstap_bgp.core.tap.ingest import Ingest
from tests.property.messages import ACCEPTED, draw_frame, draw_wires, expected_of_frame, rules, stream

RULES = rules()
INGEST = Ingest(RULES, ACCEPTED)  # of all examples: what one leaves in the memo must not mislead the next
FRAME_MAX = 1 << 16


def fed(ingest: Ingest, data: bytes, cuts: list[int]) -> list[Sighting]:
    """What comes out when the bytes arrive in pieces, as a connection's buffer gets them."""
    buffer = bytearray(len(data))
    sightings: list[Sighting] = []
    done = 0
    before = 0
    for end in [*sorted(cut % len(data) for cut in cuts), len(data)]:
        buffer[before:end] = data[before:end]
        before = end
        done, found = ingest.feed(buffer, done, end, FRAME_MAX)
        assert buffer[done:end] == data[done:end]  # what was not consumed is as it was
        sightings += found
    assert done == len(data)
    return sightings


@given(st.integers(0, 1 << 64), st.lists(st.integers(0, 1 << 20), max_size=8))
@settings(max_examples=150, deadline=None)
def test_chunks_agree_with_single_frames(seed: int, cuts: list[int]):
    pick = random.Random(seed)
    frames = [draw_frame(pick, wire) for wire in draw_wires(pick, pick.choice((1, 3, 20)))]
    wanted = [expected_of_frame(frame, RULES.lists) for frame in frames]
    for ingest in (INGEST, Ingest(RULES, ACCEPTED)):
        before = ingest.counters.matched
        assert sorted(fed(ingest, stream(frames), cuts)) == sorted(itertools.chain(*wanted))
        assert ingest.counters.matched - before == sum(map(bool, wanted))


def test_the_generator_makes_what_matters():
    pick = random.Random(1)
    ingest = Ingest(RULES, ACCEPTED)
    for _ in range(100):
        frames = [draw_frame(pick, wire) for wire in draw_wires(pick, 5)]
        fed(ingest, stream(frames), [])
    counters = ingest.counters
    assert counters.frames == 500
    assert 20 < counters.odd_chunks < 80
    assert min(counters.matched, counters.malformed, counters.undecodable, counters.messages, counters.empty) > 0
