import math
import tracemalloc

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.sync import delta
from dnstap_bgp.core.sync.delta import Claims, Deflater, Hello, Inflater, Reached
from dnstap_bgp.core.validation import INSTANT_MAX_S, LIST_NAME_MAX
from dnstap_bgp.errors import PeerError
from tests.core.sync.claims import CLAIMS


@given(st.lists(CLAIMS, min_size=1, max_size=20), st.floats(1e6, 2e6))
def test_claims_come_back_and_never_younger(claims, now):
    frame = delta.decode(delta.encode_claims(claims, now, 7))
    assert isinstance(frame, Claims)
    assert frame.seq == 7
    assert now - 0.002 < frame.stamp_s <= now
    for claim, found in zip(claims, frame.claims, strict=True):
        assert found[:3] == claim[:3]
        assert found.ttl_s == claim.ttl_s
        assert claim.seen - 0.0021 <= found.seen <= claim.seen


def test_the_other_frames():
    hello = delta.encode_hello("ab" * 8, 5.0004, resumed=True)
    assert delta.decode(hello) == Hello("ab" * 8, 5.001, resumed=True)
    assert delta.decode(delta.encode_reached(9, 5.0009)) == Reached(9, 5.0)


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(1, 50))
def test_a_stream_in_any_pieces(payloads, size):
    deflater, inflater = Deflater(), Inflater()
    middle = len(payloads) // 2
    stream = deflater.more(payloads[:middle]) + deflater.burst(payloads[middle:])
    found = [payload for at in range(0, len(stream), size) for payload in inflater.feed(stream[at : at + size])]
    assert found == payloads


@given(st.binary(max_size=200))
def test_no_bytes_are_worse_than_refused(payload):
    for read in (delta.decode, lambda data: list(Inflater().feed(data))):
        try:
            read(payload)
        except PeerError:
            continue


_VALUES = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=4) | st.binary(max_size=17),
    lambda inner: st.lists(inner, max_size=8),
    max_leaves=30,
)


@given(st.lists(_VALUES, max_size=7), st.integers(0, 3))
def test_no_values_are_worse_than_refused(values, kind):
    try:
        delta.decode(msgpack.packb([kind, *values]))
    except PeerError:
        return


def test_a_bomb_is_not_inflated():
    inflater = Inflater()
    bomb = Deflater().burst([bytes(delta.FRAME_MAX - 4)])
    assert len(bomb) < delta.FRAME_MAX / 100
    assert sum(map(len, inflater.feed(bomb))) == delta.FRAME_MAX - 4
    behind_others = [b"x" * 100, bytes(delta.FRAME_MAX - 4), b"y"]
    assert list(Inflater().feed(Deflater().burst(behind_others))) == behind_others
    with pytest.raises(PeerError, match="bytes"):
        list(Inflater().feed(Deflater().burst([bytes(delta.FRAME_MAX)])))


def test_a_chunk_takes_little_memory_however_many_frames_it_holds():
    bomb = Deflater().burst([bytes(10_000)] * 400)
    assert len(bomb) < 20_000
    tracemalloc.start()
    try:
        assert sum(map(len, Inflater().feed(bomb))) == 4_000_000
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("bad", [1, None, "abcd", (1, 1, 1, 1), (1,) * 16, {}, b"\0" * 5, True, 1.5])
def test_what_is_no_address_or_no_name_is_left_out_whatever_it_is(bad):
    good, name = bytes((11, 0, 0, 1)), b"a.example"
    columns = [1, 0, 1000, [("l", 1000)], [bad, good, good], [0, 0, 0], [name, bad, name], [0, 0, 0]]
    found = delta.decode(msgpack.packb(columns))
    assert isinstance(found, delta.Claims)
    names = {name} | ({b"abcd"} if bad == "abcd" else set())
    assert {(claim.address, claim.name) for claim in found.claims} == {(good, one) for one in names}


@pytest.mark.parametrize("stamp_ms", [1 << 63, -(1 << 62), 10**14 + 1])
@pytest.mark.parametrize("kind", ["hello", "reached", "claims", "age"])
def test_a_time_that_no_clock_tells_is_refused(stamp_ms: int, kind: str):
    frames = {
        "hello": [0, "0123456789abcdef" * 2, stamp_ms, False],
        "reached": [2, 1, stamp_ms],
        "claims": [1, 1, stamp_ms, [("l", 1000)], [b"abcd"], [0], [b"a.example"], [0]],
        "age": [1, 1, 1000, [("l", 1000)], [b"abcd"], [0], [b"a.example"], [abs(stamp_ms) + 1e6]],
    }
    with pytest.raises(PeerError):
        delta.decode(msgpack.packb(frames[kind]))


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8)
    | st.binary(max_size=16),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)  # fmt: skip


@given(
    st.sampled_from([0, 1, 2]),
    st.lists(_values, min_size=1, max_size=8),
    st.tuples(_values, _values, _values, _values, _values, _values),
)
def test_whatever_a_frame_holds_it_is_refused_or_can_be_reckoned_with(kind, rest, row):
    seq, stamp, ttl, address, name, age = row
    for columns in ([kind, *rest], [1, seq, stamp, [("l", ttl)], [address], [0], [name], [age]]):
        try:
            found = delta.decode(msgpack.packb(columns))
        except PeerError:
            continue
        assert abs(found.stamp_s) <= INSTANT_MAX_S
        for claim in getattr(found, "claims", ()):
            assert type(claim.address) is bytes
            assert len(claim.address) in (4, 16)
            assert type(claim.name) is bytes
            assert math.isfinite(claim.ttl_s)
            assert abs(claim.seen) <= INSTANT_MAX_S
            assert claim.seen <= found.stamp_s


NESTED = [
    b"\x91" * 1010 + b"\x00",
    b"\x92\x01" * 400 + b"\x00",
    b"\x93\x00" + b"\x91" * 800 + b"\x00\xc3",
    b"\x98\x01\x00\x00" + b"\x91" * 500 + b"\x00" + b"\x90" * 4,
    b"\x81\xa1a" * 600 + b"\x00",
    b"\x97\x01\x01\x01\x91\x92" + b"\x91" * 700 + b"\x00\x01\x90\x90\x90\x90",
]


@pytest.mark.parametrize("payload", NESTED)
def test_arrays_deep_in_each_other_are_refused_in_a_short_text(payload):
    with pytest.raises(PeerError) as caught:
        delta.decode(payload)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", [[9], {}, "x" * 1000, b"\x1b[2J", 4, -1, None, 1.5])
def test_a_frame_of_an_unknown_kind_is_refused_without_a_word_of_it(kind):
    with pytest.raises(PeerError) as caught:
        delta.decode(msgpack.packb([kind, 1]))
    assert "x" * 10 not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_list_s_name_has_a_longest_length():
    claim = Claim(bytes(4), "l" * LIST_NAME_MAX, b"a.test", 1e6, 1e6, 60.0)
    frame = delta.decode(delta.encode_claims([claim], 1e6, 7))
    assert isinstance(frame, Claims)
    assert [found.list for found in frame.claims] == [claim.list]
    with pytest.raises(PeerError):
        delta.decode(delta.encode_claims([claim._replace(list=claim.list + "l")], 1e6, 7))


def test_a_frame_has_so_many_claims():
    claims = [Claim(number.to_bytes(4), "l", b"a.test", 1e6, 1e6, 60.0) for number in range(501)]
    frame = delta.decode(delta.encode_claims(claims[:500], 1e6, 7))
    assert isinstance(frame, Claims)
    assert len(frame.claims) == 500
    with pytest.raises(PeerError):
        delta.decode(delta.encode_claims(claims, 1e6, 7))


def test_lifetimes_and_ages_are_kept_within_their_bounds():
    """A lifetime is none below nothing and none beyond ten years; a sighting is never later than its frame."""
    columns = [
        1,
        3,
        5000,
        [("a", -7), ("b", 1 << 60), ("c", 1500)],
        [b"abcd"] * 3,
        [0, 1, 2],
        [b"a.test"] * 3,
        [-9, 0, 9],
    ]
    frame = delta.decode(msgpack.packb(columns))
    assert isinstance(frame, Claims)
    assert [(one.list, one.ttl_s, one.seen) for one in frame.claims] == [
        ("a", 0.0, 5.0),
        ("b", 10 * 366 * 86_400.0, 5.0),
        ("c", 1.5, 4.991),
    ]
    endless = Claim(b"abcd", "l", b"a.test", 1.0, 1.0, math.inf)
    written = delta.decode(delta.encode_claims([endless], 2.0))
    assert isinstance(written, Claims)
    assert (written.seq, written.claims[0].ttl_s, written.claims[0].seen) == (0, 10 * 366 * 86_400.0, 1.0)


def test_a_node_has_sixteen_hexadecimal_digits():
    assert delta.is_node("0123456789abcdef")
    assert not any(map(delta.is_node, ("", "0" * 15, "0" * 17, "0" * 15 + "g", "0" * 15 + "A", "0" * 16 + "\n")))


def test_what_is_too_deep_goes_before_anything_looks_at_it():
    """Pairs in a column are as deep as a frame may be."""
    columns = [1, 0, 1000, [("l", 1000)], [b"abcd"], [0], [b"a.test"], [0]]
    assert delta.decode(msgpack.packb(columns)).stamp_s == 1.0
    for place in (0, 1, 3, 7):
        deep = [*columns[:place], [("l", (1000,))], *columns[place + 1 :]]
        with pytest.raises(PeerError, match="too deep"):
            delta.decode(msgpack.packb(deep))
