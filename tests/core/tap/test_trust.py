"""Whose answers count, by frames as a sender writes them."""

import pytest

from dnstap_bgp.core.lists.domains import Rule, RuleSet
from dnstap_bgp.core.tap.dnstap_pb2 import Frame
from dnstap_bgp.core.tap.ingest import Ingest
from dnstap_bgp.core.tap.trust import RESOLVERS_MAX, Distrust, Trust

# One answer: a.listed.test A 192.0.2.1, TTL 300.
WIRE = b"\0\1\x81\x80\0\1\0\1\0\0\0\0\1a\6listed\4test\0\0\1\0\1" + b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1"
OTHER = WIRE.replace(b"listed", b"nobody")
RULES = RuleSet.build([("list", [Rule(b"listed.test")])])


def frame(identity: bytes = b"", resolver: bytes = b"", action: int | None = None, wire: bytes = WIRE) -> Frame:
    made = Frame(type=1)
    if identity:
        made.identity = identity
    made.message.type = 6
    if resolver:
        made.message.response_address = resolver
    made.message.response_message = wire
    if action is not None:
        made.message.policy.action = action
    return made


def fed(ingest: Ingest, *frames: Frame) -> int:
    """How many sightings come of the frames in one chunk."""
    buffer = bytearray()
    for one in frames:
        data = one.SerializeToString()
        buffer += len(data).to_bytes(4, "big") + data
    consumed, sightings = ingest.feed(buffer, 0, len(buffer), 1 << 18)
    assert consumed == len(buffer)
    return len(sightings)


def test_identities():
    trust = Trust(frozenset({b"resolver-1"}))
    assert trust.distrust(frame(b"resolver-1")) is None
    assert trust.distrust(frame(b"resolver-2")) is trust.distrust(frame()) is Distrust.FOREIGN
    assert Trust().distrust(frame(b"anybody")) is None


def test_what_a_policy_rewrote():
    for action in (1, 2, 4, 5, 6, 0, 99):
        assert Trust().distrust(frame(action=action)) is Distrust.REWRITTEN
        assert Trust(rewritten=True).distrust(frame(action=action)) is None
    assert Trust().distrust(frame(action=3)) is None  # PASS: the answer is as it came
    without_action = frame()
    without_action.message.policy.SetInParent()
    assert Trust().distrust(without_action) is Distrust.REWRITTEN


def test_resolvers_are_learnt_from_what_counts():
    known: set[bytes] = set()
    trust = Trust(frozenset({b"us"}), resolvers=known)
    trust.distrust(frame(b"them", bytes((9, 9, 9, 9))))
    assert known == set()
    trust.distrust(frame(b"us", bytes((9, 9, 9, 9))))
    trust.distrust(frame(b"us", b"five5"))
    mapped = bytes(10) + b"\xff\xff\x08\x08\x08\x08"
    trust.distrust(frame(b"us", mapped))
    assert known == {bytes((9, 9, 9, 9)), mapped, bytes((8, 8, 8, 8))}


def test_made_up_resolvers_fill_no_memory():
    trust = Trust()
    for number in range(3 * RESOLVERS_MAX):
        trust.distrust(frame(resolver=number.to_bytes(16, "big")))
    assert len(trust.resolvers) <= RESOLVERS_MAX + 1


@pytest.mark.parametrize("spoil", [False, True], ids=["in a chunk", "frame by frame"])
def test_ingest_asks_for_hits_only_and_counts(spoil: bool):
    trust = Trust(frozenset({b"us"}))
    ingest = Ingest(RULES, frozenset({6}), trust=trust)
    frames = [
        frame(b"us", bytes((9, 9, 9, 9))),
        frame(b"them"),
        frame(b"us", action=1),
        frame(b"us", resolver=bytes((7, 7, 7, 7)), wire=OTHER),
    ]
    if spoil:  # no DNS message in a frame of an answer: it isn't clear then which message belongs to which frame
        bare = frame(b"us")
        bare.message.ClearField("response_message")
        frames.append(bare)
    assert fed(ingest, *frames) == 1
    counters = ingest.counters
    assert (counters.matched, counters.foreign, counters.rewritten, counters.odd_chunks) == (1, 1, 1, spoil)
    assert trust.resolvers == {bytes((9, 9, 9, 9))}
