"""Samples of senders."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.doctor.evidence import (
    PASSED_MAX,
    SAMPLE_MAX_BYTES,
    SAMPLED_MAX,
    TYPES_MAX,
    Evidence,
    HoldEvidence,
    Recent,
    SenderSamples,
    sample_of,
)
from dnstap_bgp.core.tap.dnstap_pb2 import Frame
from tests.core.doctor.frames import frames


def test_samples_add_up_and_what_is_cut_waits():
    sample = frames(6, 5, 6)
    total = SenderSamples().plus(sample + sample[:9]).plus(sample)
    assert (total.frames, total.undecodable, total.types, total.wires) == (6, 0, {6: 4, 5: 2}, {6: 4, 5: 2})
    assert total.looks == 2


def test_only_messages_with_an_answer_count_as_such():
    total = SenderSamples().plus(frames(6, 6) + frames(6, wire=b""))
    assert (total.frames, total.types, total.wires) == (3, {6: 3}, {6: 2})


@pytest.mark.parametrize("payload", [b"\xffabcd", Frame(type=1).SerializeToString()])
def test_frames_without_a_message_are_undecodable(payload):
    total = SenderSamples().plus(len(payload).to_bytes(4) + payload + frames(6))
    assert (total.frames, total.undecodable, total.types) == (2, 1, {6: 1})


def test_made_up_types_take_no_memory():
    total = SenderSamples()
    for start in range(0, 2000, 100):
        total = total.plus(frames(*range(start, start + 100))[:SAMPLE_MAX_BYTES])
    assert len(total.types) == TYPES_MAX


def test_what_a_sender_sent_long_ago_counts_less_and_less():
    total = SenderSamples()
    for kind in [5] * 100 + [6] * 100:
        total = total.plus(frames(*[kind] * 50))
    assert total.looks == 200
    assert 5 not in total.types
    assert total.types[6] == total.wires[6] == total.frames <= SAMPLED_MAX + 50


def test_so_does_what_could_not_be_read():
    total = SenderSamples()
    for sample in [(b"\0\0\0\5\xffabcd") * 50] * 10 + [frames(*[6] * 50)] * 100:
        total = total.plus(sample)
    assert total.undecodable == 0
    assert total.types == {6: total.frames}


def test_a_long_chunk_gives_a_sample_of_a_bounded_length():
    chunk = bytearray(frames(*[6] * 1_000))
    assert [len(sample_of(chunk, 0, len(chunk), passed)) for passed in (0, 5)] == [8_192, 8_192]


@given(st.lists(st.integers(1, 300), max_size=30), st.integers(0, PASSED_MAX), st.integers(0, 50))
def test_a_sample_begins_with_a_frame(sizes, passed, cut):
    whole = [len(body := random.randbytes(size)).to_bytes(4, "big") + body for size in sizes]
    chunk = b"head" + b"".join(whole)
    end = max(4, len(chunk) - cut)
    sample = sample_of(bytearray(chunk), 4, end, passed)
    assert len(sample) <= SAMPLE_MAX_BYTES
    starts = [4 + sum(map(len, whole[:number])) for number in range(max(1, len(whole)))]
    assert any(chunk[at:end].startswith(sample) and len(sample) == min(SAMPLE_MAX_BYTES, end - at) for at in starts)


def test_samples_come_from_all_over_a_chunk():
    chunk = bytearray(frames(*[5] * 60, *[6] * 60))
    total = SenderSamples()
    for passed in range(0, PASSED_MAX, 5):
        total = total.plus(sample_of(chunk, 0, len(chunk), passed))
    assert {5, 6} <= total.types.keys()


def test_where_nothing_was_seen_nothing_is_counted():
    assert SenderSamples() == SenderSamples(0, 0, 0, 0, 0, {}, {})
    assert Recent() == Recent(0, 0, 0, 0, {})
    assert HoldEvidence() == HoldEvidence({}, 0, None, None, 86_400.0)
    assert (Evidence().messages, Evidence().static_refused, Evidence().recent) == (frozenset({6}), 0, Recent())
