"""Who sends and whose answers count, by frames as a sender writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.tap.dnstap_pb2 import Frame
from dnstap_bgp.core.tap.ingest import Ingest
from dnstap_bgp.core.tap.trust import (
    RESOLVER_AGE_S,
    RESOLVERS_MAX,
    SENDER_TEXT_MAX,
    Distrust,
    ResolverAddresses,
    Trust,
    read_sender,
)

# One answer: a.listed.test A 192.0.2.1, TTL 300.
WIRE = b"\0\1\x81\x80\0\1\0\1\0\0\0\0\1a\6listed\4test\0\0\1\0\1" + b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1"
OTHER = WIRE.replace(b"listed", b"nobody")
RULES = RuleSet.build([("list", [Rule(b"listed.test")])])


def frame(
    identity: bytes = b"", resolver: bytes = b"", action: int | None = None, wire: bytes = WIRE, kind: int = 6
) -> Frame:
    made = Frame(type=1)
    if identity:
        made.identity = identity
    made.message.type = kind
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
    known = ResolverAddresses()
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
    assert len(trust.resolvers) <= RESOLVERS_MAX


def test_a_name_server_that_a_resolver_asked_is_no_resolver():
    """What the resolver hears (`messages = ["resolver_response"]`) comes from anybody's name server."""
    server, own = bytes((192, 0, 2, 53)), bytes((10, 0, 0, 1))
    for kind in (4, 8):
        trust = Trust()
        heard = frame(resolver=server, kind=kind)
        assert trust.distrust(heard) is None
        assert trust.resolvers == set()
        data = heard.message.SerializeToString() + b"\x22\x04" + own  # query_address, which the schema leaves out
        heard.message.ParseFromString(data)
        assert trust.distrust(heard) is None
        assert trust.resolvers == {own}
    odd = frame(kind=4)
    odd.message.ParseFromString(odd.message.SerializeToString() + b"\x20\x07")  # a number in its place
    assert Trust().distrust(odd) is None


def test_resolvers_that_no_longer_answer_are_forgotten():
    known = ResolverAddresses()
    trust = Trust(resolvers=known)
    gone, stays = bytes((9, 9, 9, 9)), bytes((8, 8, 8, 8))
    for address in (gone, stays):
        trust.distrust(frame(resolver=address))
    for now in (1.0, RESOLVER_AGE_S, RESOLVER_AGE_S + 1):
        known.age(now)
        assert known == {gone, stays}
    trust.distrust(frame(resolver=stays))
    known.age(2 * RESOLVER_AGE_S + 1)
    assert known == {stays}


def test_made_up_resolvers_give_way_to_real_ones_in_time():
    known = ResolverAddresses()
    for number in range(2 * RESOLVERS_MAX):
        known.note(number.to_bytes(16, "big"))
    known.age(0.0)
    known.age(RESOLVER_AGE_S)
    known.note(bytes((9, 9, 9, 9)))
    assert known == {bytes((9, 9, 9, 9))}


@pytest.mark.parametrize("spoil", [False, True], ids=["in a chunk", "frame by frame"])
def test_ingest_asks_for_hits_only_and_counts(spoil: bool):
    trust = Trust(frozenset({b"us"}))
    ingest = Ingest(RULES, frozenset({6}), trust=trust)
    frames = [
        frame(b"us", bytes((9, 9, 9, 9))),
        frame(b"them"),
        frame(b"others"),
        frame(b"us", action=1),
        frame(b"us", resolver=bytes((7, 7, 7, 7)), wire=OTHER),
    ]
    if spoil:  # no DNS message in a frame of an answer: it isn't clear then which message belongs to which frame
        bare = frame(b"us")
        bare.message.ClearField("response_message")
        frames.append(bare)
    assert fed(ingest, *frames) == 1
    counters = ingest.counters
    assert (counters.matched, counters.foreign, counters.rewritten, counters.odd_chunks) == (1, 2, 1, spoil)
    assert trust.resolvers == {bytes((9, 9, 9, 9))}


# -- who sends


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4) + payload


def text_field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2, len(value)]) + value


MESSAGE = b"\x72\x02\x08\x06"  # field 14
TYPE = b"\x78\x01"  # field 15


def read(buffer: bytes) -> tuple[str, str] | None:
    return read_sender(bytearray(buffer), 0, len(buffer))


def test_identity_and_version_come_out_wherever_they_stand():
    identity, version = text_field(1, b"ns1"), text_field(2, b"unbound 1.17.1")
    assert read(framed(identity + version + MESSAGE + TYPE)) == ("ns1", "unbound 1.17.1")
    assert read(framed(TYPE + MESSAGE + version + identity) + b"the next") == ("ns1", "unbound 1.17.1")


def test_a_sender_that_says_nothing_of_itself_has_neither():
    assert read(framed(MESSAGE + TYPE)) == ("", "")


@pytest.mark.parametrize("buffer", [b"", b"\0\0", framed(b"abc")[:-1], b"\0\0\0\0\0\0\0\x04\0\0\0\x02"])
def test_what_is_not_a_whole_data_frame_says_nothing_yet(buffer: bytes):
    assert read(buffer) is None


def test_text_is_printable_and_short():
    found = read(framed(text_field(1, b"a\x1b[2J\n\xff") + text_field(2, b"v" * 120)))
    assert found == ("a?[2J?\N{REPLACEMENT CHARACTER}", "v" * SENDER_TEXT_MAX)


def test_other_kinds_of_fields_are_passed_over():
    fixed = b"\x19" + bytes(8) + b"\x25" + bytes(4)  # fields 3 and 4: 64 and 32 bits
    assert read(framed(fixed + text_field(1, b"ns1"))) == ("ns1", "")


@given(st.binary(max_size=64))
def test_any_bytes_are_an_answer(payload: bytes):
    found = read(framed(payload))
    assert (found is None) == (not payload)
    if found is not None:
        assert all(text.isprintable() and len(text) <= SENDER_TEXT_MAX for text in found)


def test_a_period_is_over_at_its_end():
    known = ResolverAddresses()
    known.note(bytes((9, 9, 9, 9)))
    known.age(10.0)
    known.age(10.0 + RESOLVER_AGE_S)
    assert known == {bytes((9, 9, 9, 9))}, "it has answered in the first period"
    known.age(10.0 + 2 * RESOLVER_AGE_S - 0.001)
    assert known
    known.age(10.0 + 2 * RESOLVER_AGE_S)
    assert not known


def test_as_many_resolvers_as_may_be_are_known():
    known = ResolverAddresses()
    for number in range(RESOLVERS_MAX):
        known.note(number.to_bytes(4, "big"))
    assert len(known) == RESOLVERS_MAX == 256
    known.note(bytes((9, 9, 9, 9)))
    assert bytes((9, 9, 9, 9)) not in known, "all of them have answered of late"
    mapped = bytes(10) + b"\xff\xff" + (7).to_bytes(4, "big")
    known.note(mapped)
    assert len(known) == RESOLVERS_MAX
