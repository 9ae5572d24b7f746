import pytest
from hypothesis import given

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.sync import redis_schema
from dnstap_bgp.core.sync.clock_offset import Offset
from dnstap_bgp.core.sync.redis_schema import CLAIMS, KEY_MAX, VALUE_MAX
from dnstap_bgp.core.validation import PRESENTATION_MAX
from dnstap_bgp.errors import PeerError
from tests.core.sync.claims import CLAIMS as SOME_CLAIMS

NODE = "0123456789abcdef"
OFFSET = Offset(5.0, 5.25)


@given(SOME_CLAIMS)
def test_a_claim_comes_back_and_never_younger(claim: Claim):
    keys, values = redis_schema.arguments([claim], OFFSET, NODE)
    assert (len(keys), len(values)) == (2, 4)
    found = redis_schema.read(keys[1], values[2], OFFSET)
    assert (found.address, found.name, found.list) == (claim.address, claim.name, "")
    assert found.ttl_s == pytest.approx(claim.ttl_s, abs=0.001)
    assert claim.seen - 0.2511 <= found.seen <= claim.seen
    assert redis_schema.read_change(keys[1] + b" " + values[2], OFFSET) == found
    seen_ms, ttl_ms = map(int, values[2].split())
    assert int(values[3]) == seen_ms + ttl_ms, "the key expires with the claim"


def test_the_longest_claim_is_within_the_bounds():
    name = b".".join([rb"\001" * 63] * 4)[:PRESENTATION_MAX]
    claim = Claim(b"\xfe" * 16, "", name, 2e9, 2e9, 366 * 86_400.0)
    keys, values = redis_schema.arguments([claim], Offset(), NODE)
    assert len(keys[1]) <= KEY_MAX
    assert len(values[2]) <= VALUE_MAX


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"other", b"1 1"),
        (CLAIMS + b"11.0.0.1", b"1 1"),
        (CLAIMS + b"11.0.0 a.b", b"1 1"),
        (CLAIMS + b"11.0.0.1 a b", b"1 1"),
        (CLAIMS + b"\xff a.b", b"1 1"),
        (CLAIMS + b"11.0.0.1 a.b", b""),
        (CLAIMS + b"11.0.0.1 a.b", b"1"),
        (CLAIMS + b"11.0.0.1 a.b", b"1 -1"),
        (CLAIMS + b"11.0.0.1 a.b", b"1.5 1"),
        (CLAIMS + b"11.0.0.1 a.b", b"1 " + b"1" * VALUE_MAX),
        (CLAIMS + b"11.0.0.1 a.b", b"9" * 50 + b" 1"),
        (CLAIMS + b"11.0.0.1 " + b"a" * KEY_MAX, b"1 1"),
    ],
)
def test_what_is_no_claim_is_refused_without_a_word_of_it(key: bytes, value: bytes):
    for read in (
        lambda: redis_schema.read(key, value, OFFSET),
        lambda: redis_schema.read_change(key + b" " + value, OFFSET),
    ):
        with pytest.raises(PeerError) as caught:
            read()
        assert str(caught.value) in {
            "no key of a claim", "no value of a claim", "no address", "no domain name", "no change"
        }  # fmt: skip


def test_lengths_are_judged_at_the_server():
    assert redis_schema.load_arguments(b"17", 500) == [
        b"17", CLAIMS + b"*", b"500", b"%d" % KEY_MAX, b"%d" % VALUE_MAX
    ]  # fmt: skip
    assert redis_schema.LOAD.index("STRLEN") < redis_schema.LOAD.index("'GET'")


def test_what_is_longer_than_may_be_is_refused_and_what_is_as_long_is_read():
    name = b".".join([rb"\001" * 63] * 3 + [rb"\001" * 60])
    key = CLAIMS + b"11.0.0.1 " + name
    value = b"1000 " + b"0" * (VALUE_MAX - len("1000 "))
    assert redis_schema.read(key, value, Offset()).ttl_s == 0.0
    with pytest.raises(PeerError, match="no key"):
        redis_schema.read(key, value + b"0", Offset())
    with pytest.raises(PeerError, match="no domain name"):
        redis_schema.read(CLAIMS + b"11.0.0.1 " + b"a" * (KEY_MAX - len(CLAIMS) - 9), b"1 1", Offset())
    with pytest.raises(PeerError, match="no key"):
        redis_schema.read(CLAIMS + b"11.0.0.1 " + b"a" * (KEY_MAX - len(CLAIMS) - 8), b"1 1", Offset())


def test_times_are_whole_milliseconds_rounded_down():
    claim = Claim(bytes((11, 0, 0, 1)), "", b"a.test", 1.0019, 1.0, 2.0019)
    keys, values = redis_schema.arguments([claim, claim._replace(seen=-5.0)], Offset(10.0, 10.5), NODE)
    assert keys == [b"dnstap-bgp:changes", *[b"dnstap-bgp:claim:11.0.0.1 a.test"] * 2]
    assert values == [NODE.encode(), b"200000", b"11001 2001", b"13002", b"5000 2001", b"7001"]
    assert redis_schema.read(keys[1], values[2], Offset(10.0, 10.5)).seen == pytest.approx(0.501)
    before = redis_schema.arguments([claim._replace(seen=-50.0)], Offset(), NODE)[1]
    assert before[2:] == [b"0 2001", b"2001"], "nothing was seen before a clock's beginning"


def test_a_lifetime_of_more_than_a_year_is_a_year():
    year_ms = 366 * 86_400 * 1000
    for ttl_ms in (year_ms - 1, year_ms, year_ms + 1):
        found = redis_schema.read(CLAIMS + b"11.0.0.1 a.test", b"0 %d" % ttl_ms, Offset())
        assert found.ttl_s == min(ttl_ms, year_ms) / 1000
