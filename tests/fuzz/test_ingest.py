"""DNS messages and DNSTap frames under mutation: nothing raises, and one long-lived reader agrees with a plain one.

The memo of the fast path is what makes this more than the property tests: here it has seen thousands of other messages,
good and bad, and in one of the rounds it is so small that names come and go all the time.
"""

import random

import pytest

from dnstap_bgp.core.dns.answer import parse
from dnstap_bgp.core.tap import screen
from dnstap_bgp.core.tap.ingest import Ingest
from dnstap_bgp.errors import DnsError
from tests.property.messages import ACCEPTED, draw_frame, draw_wires, expected, expected_of_frame, mutate, rules, stream

RULES = rules()
BATCH = 40


def check_messages(seed: int, batches: int) -> None:
    reader = screen.Screen(RULES)
    for number in range(batches):
        pick = random.Random(seed + number)
        wires = draw_wires(pick, BATCH)
        wires += [mutate(pick, wire) for wire in wires[:10]]
        found = {}
        for hit in reader.scan(wires):
            try:
                found[hit[0]] = reader.read(hit) or []
            except DnsError:
                found[hit[0]] = []
        for index, wire in enumerate(wires):
            wanted = sorted(expected(wire, RULES.lists))
            where = f"seed {seed + number}, message {index}: {wire.hex()}"
            assert sorted(found.get(index, [])) == wanted, where
            try:
                assert sorted(parse(wire).sightings(RULES.lists)) == wanted, where
            except DnsError:
                assert not wanted, where


def check_frames(seed: int, batches: int) -> None:
    ingest = Ingest(RULES, ACCEPTED)
    for number in range(batches):
        pick = random.Random(seed + number)
        frames = [draw_frame(pick, wire) for wire in draw_wires(pick, BATCH)]
        frames += [mutate(pick, frame) or b"\0" for frame in frames[:3]]
        buffer = bytearray(stream(frames))
        consumed, sightings = ingest.feed(buffer, 0, len(buffer), 1 << 16)
        assert consumed == len(buffer)
        wanted = [sighting for frame in frames for sighting in expected_of_frame(frame, RULES.lists)]
        assert sorted(sightings) == sorted(wanted), f"seed {seed + number}"


@pytest.mark.parametrize("memo_max", [screen.MEMO_MAX, 16])
def test_messages(monkeypatch: pytest.MonkeyPatch, memo_max: int):
    monkeypatch.setattr(screen, "MEMO_MAX", memo_max)
    check_messages(1, 100)


def test_frames():
    check_frames(1, 100)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("memo_max", [screen.MEMO_MAX, 16])
def test_messages_for_long(monkeypatch: pytest.MonkeyPatch, memo_max: int):
    monkeypatch.setattr(screen, "MEMO_MAX", memo_max)
    check_messages(random.randrange(1 << 32), 10_000)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_frames_for_long():
    check_frames(random.randrange(1 << 32), 10_000)
