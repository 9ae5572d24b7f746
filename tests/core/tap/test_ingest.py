"""Chunks of frames: their borders, what is odd about them, and the counters."""

import struct

import pytest

from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.refresh.asked_names import AskedNames
from dnstap_bgp.core.tap import prefilter
from dnstap_bgp.core.tap.ingest import (
    CUT_NAMES_MAX,
    EXCEPTED_ADDRESSES_MAX,
    EXCEPTED_NAMES_MAX,
    FRAME_MAX_BYTES,
    TYPES_MAX,
    Ingest,
    IngestCounters,
    UnreadIngest,
)
from dnstap_bgp.core.tap.prefilter import EXCEPTED_SAMPLE

RULES = RuleSet.build([("list", [Rule(b"listed.test")])])
CLIENT_QUERY, CLIENT_RESPONSE, RESOLVER_RESPONSE = 5, 6, 4


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def answer(name, address=b"\xc0\0\2\1", flags=0x8180):
    labels = b"".join(bytes([len(label)]) + label for label in name.split(b".")) + b"\0"
    record = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4" + address
    return struct.pack("!6H", 7, flags, 1, 1, 0, 0) + labels + b"\0\1\0\1" + record


LISTED, PLAIN = answer(b"a.listed.test"), answer(b"a.plain.test")
SIGHTING = (b"\xc0\0\2\1", "list", b"a.listed.test", 300)


def payload(*fields, rdtype=CLIENT_RESPONSE, tail=b"\x78\x01"):
    return field(1, b"ns") + field(14, field(1, rdtype) + b"".join(fields)) + tail


def stream(*payloads):
    return b"".join(struct.pack("!I", len(data)) + data for data in payloads)


LAST = field(14, LISTED)
YES, NO = payload(LAST), payload(field(14, PLAIN))
QUERY = payload(field(10, b"?"), rdtype=CLIENT_QUERY)


@pytest.fixture
def ingest():
    return Ingest(RULES, frozenset({CLIENT_RESPONSE}))


def feed(ingest, data, *, frame_max=1 << 17):
    buffer = bytearray(data)
    done, sightings = ingest.feed(buffer, 0, len(buffer), frame_max)
    assert buffer[done:] == data[done:]
    return done, sightings


def test_a_chunk(ingest):
    data = stream(YES, NO, NO, YES)
    assert feed(ingest, data) == (len(data), [SIGHTING] * 2)
    assert ingest.counters == IngestCounters(frames=4, messages=4, matched=2, sightings=2)


def test_nothing(ingest):
    assert feed(ingest, b"") == (0, [])
    assert ingest.feed(bytearray(100), 50, 50, 1000) == (50, [])
    assert ingest.counters == IngestCounters()


def test_it_stops_before_what_is_not_whole(ingest):
    data = stream(YES, YES)
    whole = len(stream(YES))
    for end in range(len(data)):
        done, sightings = feed(ingest, data[:end])
        assert (done, sightings) == ((whole, [SIGHTING]) if end >= whole else (0, []))


def test_it_does_not_look_behind_the_end(ingest):
    data = stream(YES, YES)
    buffer = bytearray(data)
    assert ingest.feed(buffer, 0, len(data) - 1, 1 << 17) == (len(stream(YES)), [SIGHTING])
    assert ingest.feed(buffer, len(stream(YES)), len(data), 1 << 17) == (len(data), [SIGHTING])


def test_it_starts_where_it_is_told(ingest):
    buffer = bytearray(b"junk" + stream(YES) + b"junk")
    assert ingest.feed(buffer, 4, len(buffer) - 4, 1 << 17) == (len(buffer) - 4, [SIGHTING])
    assert buffer[:4] == buffer[-4:] == b"junk"


def test_it_stops_before_a_control_frame(ingest):
    data = stream(YES) + struct.pack("!III", 0, 4, 3)
    assert feed(ingest, data) == (len(stream(YES)), [SIGHTING])


@pytest.mark.parametrize("size", [100, 4095, 4096, 20_000, FRAME_MAX_BYTES])
def test_frames_of_any_length_up_to_the_limit(ingest, size):
    long = next(data for pad in range(size - 80, size) if len(data := payload(field(3, bytes(pad)), LAST)) == size)
    data = stream(YES, long, YES)
    assert feed(ingest, data, frame_max=size) == (len(data), [SIGHTING] * 3)
    assert feed(ingest, data, frame_max=size - 1) == (len(stream(YES)), [SIGHTING])
    assert not ingest.counters.odd_chunks


def test_queries_between_are_usual(ingest):
    data = stream(QUERY, YES, QUERY, QUERY, NO, YES)
    assert feed(ingest, data) == (len(data), [SIGHTING] * 2)
    assert ingest.counters == IngestCounters(frames=6, messages=3, matched=2, sightings=2)


def test_only_accepted_types_count(ingest):
    other = payload(field(14, LISTED), rdtype=RESOLVER_RESPONSE)
    assert feed(ingest, stream(other, YES, other))[1] == [SIGHTING]
    assert ingest.counters == IngestCounters(frames=3, messages=1, matched=1, sightings=1)
    both = Ingest(RULES, frozenset({CLIENT_RESPONSE, RESOLVER_RESPONSE}))
    assert len(feed(both, stream(other, YES, other))[1]) == 3


def test_a_frame_must_be_a_message(ingest):
    assert feed(ingest, stream(payload(field(14, LISTED), tail=field(15, 2)), YES))[1] == [SIGHTING]
    assert feed(ingest, stream(payload(field(14, LISTED), tail=b"")))[1] == []


@pytest.mark.parametrize(
    ("odd", "count"),
    [
        pytest.param(payload(field(14, PLAIN), LAST), 1, id="two messages, the last counts"),
        pytest.param(payload(LAST, field(14, PLAIN)), 0, id="two messages, the last is another"),
        pytest.param(payload(LAST, LAST), 1, id="the same twice"),
        pytest.param(payload(LAST, field(1, CLIENT_QUERY)), 0, id="two types, the last counts"),
        pytest.param(payload(LAST, field(1, CLIENT_RESPONSE), rdtype=CLIENT_QUERY), 1, id="two types"),
        pytest.param(payload(), 0, id="no message"),
        pytest.param(field(14, field(1, 6)) + field(14, LAST) + field(15, 1), 1, id="two halves that merge"),
        pytest.param(field(14, LAST) + field(15, 1), 0, id="no type"),
        pytest.param(field(15, 1), 0, id="nothing in it"),
        pytest.param(payload(LAST, rdtype=CLIENT_QUERY), 0, id="a query with a response"),
        pytest.param(payload(field(4, b"1234"), LAST), 1, id="another order"),
        pytest.param(payload(LAST, field(4, b"1234")), 1, id="more behind it"),
        pytest.param(field(15, 1) + payload(LAST, tail=b""), 1, id="the type first"),
        pytest.param(b"\x0a\xff", 0, id="no protobuf"),
        pytest.param(payload(LAST)[:-5], 0, id="cut"),
        pytest.param(payload(b"\x73", LAST, b"\x74"), 0, id="inside a group"),
        pytest.param(payload(LAST, b"\x73"), 0, id="a group without an end"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_odd_frames_mean_what_they_mean_alone(ingest, odd, count, place):
    frames = [YES, NO]
    frames.insert(place, odd)
    assert len(feed(ingest, stream(*frames))[1]) == 1 + count
    assert len(feed(ingest, stream(odd))[1]) == count
    assert ingest.counters.frames == 4
    assert ingest.counters.matched == 1 + 2 * count


def test_one_frame_that_lacks_what_another_has_twice(ingest):
    twice, none = payload(field(14, PLAIN), LAST), payload(field(3, b"x"))
    for frames in ((twice, none), (none, twice), (none, NO, twice, YES), (twice, YES, none)):
        wanted = sum(frame in (YES, twice) for frame in frames)
        assert feed(ingest, stream(*frames))[1] == [SIGHTING] * wanted
    swapped = payload(LAST, field(14, PLAIN))
    assert feed(ingest, stream(swapped, none))[1] == []
    assert feed(ingest, stream(none, swapped))[1] == []


def test_one_frame_that_lacks_the_type_that_another_has_twice(ingest):
    twice = payload(field(1, CLIENT_RESPONSE), LAST, rdtype=CLIENT_QUERY)
    none = field(14, field(14, answer(b"b.listed.test"))) + field(15, 1)
    for frames in ((twice, none), (none, twice), (YES, none, twice)):
        wanted = sum(frame is not none for frame in frames)
        assert feed(ingest, stream(*frames))[1] == [SIGHTING] * wanted


def test_a_superseded_message_does_not_count_even_if_its_frame_ends_with_it(ingest):
    superseded = payload(LAST, field(14, PLAIN), tail=field(15, 1) + field(3, LAST + field(15, 1)))
    assert feed(ingest, stream(superseded, payload(field(3, b"x"))))[1] == []


def test_a_lying_length_does_not_reach_the_next_frame(ingest):
    lying = bytearray(NO)
    lying[5] = 0x7F
    assert feed(ingest, stream(YES, bytes(lying), YES))[1] == [SIGHTING] * 2
    assert (ingest.counters.undecodable, ingest.counters.odd_chunks) == (1, 1)


def test_counters_of_what_came_to_nothing(ingest):
    truncated, malformed = answer(b"a.listed.test", flags=0x8380)[:-1], LISTED[:-1]
    feed(ingest, stream(*(payload(field(14, wire)) for wire in (truncated, malformed, PLAIN, PLAIN[:-1]))))
    assert ingest.counters == IngestCounters(frames=4, messages=4, truncated=1, malformed=1)
    feed(ingest, stream(payload(), payload(), NO))
    assert ingest.counters == IngestCounters(frames=7, messages=7, truncated=1, malformed=1, empty=2, odd_chunks=1)


def test_a_truncated_answer_counts_as_far_as_it_came_whole(ingest):
    cut = payload(field(14, answer(b"a.listed.test", flags=0x8380)))
    assert feed(ingest, stream(cut, YES, cut))[1] == [SIGHTING] * 3
    assert ingest.counters == IngestCounters(frames=3, messages=3, matched=3, sightings=3, cut=2)
    assert list(ingest.cut_names) == [b"a.listed.test"]


def test_names_that_come_truncated_are_remembered_up_to_a_limit(ingest):
    for number in range(2 * CUT_NAMES_MAX):
        wire = answer(b"a%d.listed.test" % number, flags=0x8380)
        feed(ingest, stream(payload(field(14, wire if number % 2 else wire[:-1]))))
    names = list(ingest.cut_names)
    assert len(names) == CUT_NAMES_MAX
    assert names[-2:] == [b"a%d.listed.test" % (2 * CUT_NAMES_MAX - back) for back in (2, 1)]


EXCEPTING = RuleSet.build(
    [("list", [Rule(b"listed.test"), Rule(b"bank.test", exception=True), Rule(b"test.bank.test")]), ("m", [])]
)


def test_an_excepted_name_gives_no_sighting_and_is_remembered_with_its_address():
    ingest = Ingest(EXCEPTING, frozenset({CLIENT_RESPONSE}))
    wires = [answer(b"www.bank.test"), answer(b"a.listed.test"), answer(b"Bank.test", b"\xc0\0\2\2"), PLAIN]
    assert feed(ingest, stream(*(payload(field(14, wire)) for wire in wires)))[1] == [SIGHTING]
    assert ingest.excepted == {b"www.bank.test": (b"\xc0\0\2\1",), b"bank.test": (b"\xc0\0\2\2",)}
    assert ingest.counters == IngestCounters(frames=4, messages=4, matched=1, sightings=1)
    successor = Ingest(EXCEPTING, frozenset({CLIENT_RESPONSE}), ingest.counters)
    successor.remember(ingest)
    assert successor.excepted == ingest.excepted


def test_of_an_excepted_name_samples_are_read():
    ingest = Ingest(EXCEPTING, frozenset({CLIENT_RESPONSE}))
    for number in range(2 * EXCEPTED_ADDRESSES_MAX * EXCEPTED_SAMPLE):
        feed(ingest, stream(payload(field(14, answer(b"bank.test", b"\xc0\0" + number.to_bytes(2, "big"))))))
    [addresses] = ingest.excepted.values()
    read = [number for number in range(2 * EXCEPTED_ADDRESSES_MAX * EXCEPTED_SAMPLE) if not number % EXCEPTED_SAMPLE]
    assert [int.from_bytes(address[2:], "big") for address in addresses] == read[::-1][:EXCEPTED_ADDRESSES_MAX]
    frames = 2 * EXCEPTED_ADDRESSES_MAX * EXCEPTED_SAMPLE
    assert ingest.counters == IngestCounters(frames=frames, messages=frames), "and of the others nothing is amiss"


def test_an_excepted_name_with_a_listed_alias_gives_that_one_s_sighting_each_time():
    ingest = Ingest(EXCEPTING, frozenset({CLIENT_RESPONSE}))
    question = b"\4bank\4test\0\0\1\0\1"
    alias = b"\xc0\x0c\0\5\0\1\0\0\1\x2c\0\x0f\1a\6listed\4test\0"
    record = b"\xc0\x27\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1"
    wire = struct.pack("!6H", 7, 0x8180, 1, 2, 0, 0) + question + alias + record
    for _ in range(3):
        assert feed(ingest, stream(payload(field(14, wire))))[1] == [SIGHTING]
    assert ingest.excepted == {b"bank.test": (b"\xc0\0\2\1",)}
    assert ingest.counters.sightings == 3


def test_excepted_names_are_remembered_up_to_a_limit():
    ingest = Ingest(EXCEPTING, frozenset({CLIENT_RESPONSE}))
    for start in range(0, EXCEPTED_NAMES_MAX + 100, 100):
        names = (b"a%d.bank.test" % number for number in range(start, start + 100))
        feed(ingest, stream(*(payload(field(14, answer(name))) for name in names)))
    assert len(ingest.excepted) == EXCEPTED_NAMES_MAX
    assert b"a0.bank.test" not in ingest.excepted


def test_an_excepted_answer_that_does_not_count_is_not_remembered():
    ingest = Ingest(EXCEPTING, frozenset({CLIENT_RESPONSE}))
    feed(ingest, stream(payload(field(14, answer(b"bank.test")), rdtype=RESOLVER_RESPONSE)))
    assert ingest.excepted == {}
    assert not RULES.has_exceptions
    assert EXCEPTING.has_exceptions
    assert EXCEPTING.is_excepted(b"x.bank.test")
    assert not EXCEPTING.is_excepted(b"a.test.bank.test")


def test_types_that_are_not_accepted_count_for_nothing(ingest):
    for wire in (answer(b"a.listed.test", flags=0x8380), LISTED[:-1], LISTED):
        feed(ingest, stream(payload(field(14, wire), rdtype=RESOLVER_RESPONSE)))
    assert ingest.counters == IngestCounters(frames=3)


def test_a_successor_goes_on_counting(ingest):
    feed(ingest, stream(YES))
    successor = Ingest(RuleSet.build([]), frozenset({CLIENT_RESPONSE}), ingest.counters)
    assert feed(successor, stream(YES))[1] == []
    assert successor.counters is ingest.counters
    assert successor.counters.frames == 2


@pytest.mark.parametrize("cut", [0, 1, 7])
def test_frames_that_are_not_read_are_consumed_and_counted_alike(cut):
    """While a crash loop is waited out: whatever is in a frame, no byte of it is decoded."""
    data = stream(YES, b"\xff no protobuf", NO, QUERY, YES) + struct.pack("!I", 0)
    data = data[: len(data) - cut]
    reading, unread = Ingest(RULES, frozenset({CLIENT_RESPONSE})), UnreadIngest(RULES, frozenset({CLIENT_RESPONSE}))
    consumed, sightings = reading.feed(bytearray(data), 0, len(data), FRAME_MAX_BYTES)
    assert sightings
    assert unread.feed(bytearray(data), 0, len(data), FRAME_MAX_BYTES) == (consumed, [])
    frames = reading.counters.frames
    assert unread.counters == IngestCounters(frames=frames, unread=frames)
    assert (reading.reads, unread.reads) == (True, False)


def test_names_of_refreshed_lists_are_noted_whatever_the_form_of_the_chunk():
    names = AskedNames({"list"})
    reader = Ingest(RULES, frozenset({CLIENT_RESPONSE}), asked_names=names)
    for odd in ((), (b"\xff",)):
        feed(reader, stream(YES, NO, *odd))
        assert [name for name, _ in names.take()] == [b"a.listed.test"]


def test_answers_beyond_the_budget_of_work_are_counted_if_their_type_is_accepted(ingest, monkeypatch):
    monkeypatch.setattr(prefilter, "WORK_UNITS_MAX", -1)
    chain = (b"a.listed.test", b"b.listed.test", b"c.listed.test")
    frames = [payload(field(14, answer(name).replace(b"\xc0\x0c", b"\xc0\x0d"))) for name in chain]
    other = payload(field(14, LISTED.replace(b"\xc0\x0c", b"\xc0\x0d")), rdtype=RESOLVER_RESPONSE)
    assert feed(ingest, stream(*frames, other))[1] == []
    assert (ingest.counters.costly, ingest.counters.malformed) == (3, 0)


@pytest.mark.parametrize(("kinds", "odd"), [(TYPES_MAX, 0), (TYPES_MAX + 1, 1)])
def test_a_chunk_with_more_types_than_there_are_is_odd(ingest, kinds, odd):
    """Of numbers that are in no enumeration, the even ones have a response."""
    frames = [
        payload(*([field(14, PLAIN)] if number % 2 == 0 else []), rdtype=number) for number in range(1, kinds + 1)
    ]
    feed(ingest, stream(*frames))
    assert ingest.counters.odd_chunks == odd
