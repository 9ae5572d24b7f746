from ipaddress import ip_address

import msgpack
import pytest

from dnstap_bgp.core.model import (
    BY_HAND,
    Attributes,
    Audience,
    Claim,
    RibRecord,
    ViewPrefix,
    is_of_views,
    unknown_attributes,
)
from dnstap_bgp.core.routes.claim_store import ClaimStore
from dnstap_bgp.core.state.blocks import Block, BlockKind, file_header, scan
from dnstap_bgp.core.state.records import (
    NEIGHBORS_MAX,
    RECORDS_MAX,
    STATE_TTL_MAX_S,
    Decoder,
    _columns,
    attributes_object,
    audience_object,
    claim_object,
    encode,
    frames,
    is_payload_of_views,
)
from dnstap_bgp.core.state.timestamps import Stamp
from dnstap_bgp.core.timing import DURATION_MAX_S
from dnstap_bgp.errors import StateFileError

V4, V6 = bytes([192, 0, 2, 1]), bytes.fromhex("20010db8000000000000000000000001")
PLAIN = Attributes(next_hop=bytes([10, 0, 0, 1]))
RICH = Attributes(V6, ("65001:100", "no-export"), ("65001:1:2",), 0, 0, ("192.0.2.9",))
CLAIM = Claim(V4, "ads", b"www.example.com", seen=990.0, first=500.25, ttl_s=3600.0)


def test_claims_keep_their_age():
    payload = encode([CLAIM], [], stamp_s=1000.0)
    (claim,) = Decoder(now=50.0).decode_claims(payload, stamp_s=40.0)[0]  # another boot, ten seconds later
    assert claim == CLAIM._replace(seen=30.0, first=-459.75)


def test_claims_of_both_families_stand_in_one_block():
    claims = [CLAIM, CLAIM._replace(address=V6, name=BY_HAND)]
    found, _ = Decoder(now=1000.0).decode_claims(encode(claims, [], 1000.0), 1000.0)
    assert [(one.address, one.name) for one in found] == [(V4, CLAIM.name), (V6, BY_HAND)]


def test_claims_past_their_deadline_are_only_counted():
    claims = [CLAIM, CLAIM._replace(name=b"old.example.com", ttl_s=10.0)]
    found, expired = Decoder(now=1000.0).decode_claims(encode(claims, [], 1000.0), 1000.0)
    assert [claim.name for claim in found] == [b"www.example.com"]
    assert expired == 1


def test_told_and_untold_come_back_with_every_attribute():
    static = bytes([10, 0, 0, 0, 8])
    payload = encode([], [(V4, PLAIN), (b"abcd", None), (V6, RICH), (static, PLAIN)], 0.0)
    told, unknown = Decoder(0.0).decode_told(payload)
    assert told == [(b"abcd", None), (V4, PLAIN), (V6, RICH), (static, PLAIN)]
    assert unknown == 0


def test_equal_attributes_of_all_blocks_become_one_object():
    decoder = Decoder(0.0)
    payloads = [encode([CLAIM], [(V4, Attributes(bytes([10, 0, 0, 1])))], 0.0) for _ in range(2)]
    (one,), (two,) = (decoder.decode_told(payload)[0] for payload in payloads)
    assert one[1] is two[1]


def test_attributes_are_written_once_in_a_block():
    announced = [(bytes([10, 0, 0, n]), RICH) for n in range(200)]
    assert encode([], announced, 0.0).count(b"65001:100") == 1


def test_the_longest_ttl_that_a_person_may_ask_for_comes_back():
    claim = CLAIM._replace(name=BY_HAND, ttl_s=DURATION_MAX_S)
    assert Decoder(1000.0).decode_claims(encode([claim], [], 1000.0), 1000.0)[0] == [claim]


def test_an_endless_ttl_becomes_a_century():
    payload = encode([CLAIM._replace(ttl_s=float("inf"))], [], 1000.0)
    (claim,), _ = Decoder(0.0).decode_claims(payload, 1000.0)
    assert claim.ttl_s == STATE_TTL_MAX_S


def test_a_ttl_that_only_a_stranger_wrote_is_read_as_the_longest():
    """A claim added by hand keeps it, and an expiry wheel has no second for a deadline in 900 years."""
    columns = msgpack.unpackb(encode([CLAIM._replace(name=BY_HAND)], [], 1000.0))
    columns[0][0][1] = round(9 * STATE_TTL_MAX_S) * 1000
    (claim,) = Decoder(now=1000.0).decode_claims(msgpack.packb(columns), 1000.0)[0]
    assert claim.ttl_s == STATE_TTL_MAX_S
    store = ClaimStore()
    store.begin(claim)
    assert store.by_list["ads"].by_hand.due(1000.0 + claim.ttl_s, 9)[0], "it can be held"


def test_any_number_of_records_becomes_full_blocks():
    claims = [CLAIM._replace(address=n.to_bytes(4, "big")) for n in range(2 * RECORDS_MAX + 1)]
    data = file_header() + b"".join(
        frames(BlockKind.CHANGES, claims, [(V4, PLAIN), (V6, None)], Stamp(0.0, 1000.0, bytes(16)))
    )
    decoder = Decoder(0.0)
    blocks = [part for part in scan(lambda at, length: data[at : at + length], len(data)) if isinstance(part, Block)]
    found = [decoder.decode_claims(block.payload, 1000.0)[0] for block in blocks]
    assert list(map(len, found)) == [RECORDS_MAX, RECORDS_MAX, 1]
    assert [claim for of_block in found for claim in of_block] == claims
    told = [record for block in blocks for record in decoder.decode_told(block.payload)[0]]
    assert told == [(V6, None), (V4, PLAIN)]


def test_nothing_at_all_is_one_block():
    assert len(list(frames(BlockKind.SNAPSHOT, [], [], Stamp(0.0, 0.0, bytes(16))))) == 1


GOOD = msgpack.unpackb(encode([CLAIM], [(V4, PLAIN), (V6, None)], 1000.0))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (0, [["ads"]]),
        (0, 5),
        (1, [b"abc"]),
        (1, ["abcd"]),
        (2, [1]),
        (2, ["0"]),
        (3, ["text"]),
        (3, [b"x" * 1017]),
        (4, []),
        (4, ["1"]),
        (5, [None]),
        (0, [("default", -1)]),
        (0, [("default", float("nan"))]),
        (0, [("a list", 1000)]),
        (0, [("a\x1b[2J", 1000)]),
        (0, [("a" * 64, 1000)]),
        (3, [b"a.example\n"]),
        (3, [b"a\x1b[2J.example"]),
        (3, ["ü.example".encode()]),
        (3, [b""]),
        (3, [b".example"]),
        (3, [b"a..example"]),
        (3, [b"a.example."]),
        (3, [b"WWW.example"]),
        (3, [b"-" * 64 + b".example"]),
        (3, [b"a." * 126 + b"aa"]),
        (3, [rb"a\01.example"]),
        (3, [rb"a\999.example"]),
        (3, [rb"a\.example"]),
        (3, [b"a\\"]),
        (3, [b"by  hand"]),
        (4, [float("nan")]),
        (4, [float("inf")]),
        (4, [1 << 60]),
        (5, [float("nan")]),
        (7, [b"\x0a\x00\x00\x01\x08"]),
        (7, [b"\x0a\x00\x00\x00\x21"]),
        (7, [b"abcd", b"abcd"]),
        (8, [7]),
        (9, [b""]),
        (9, 0),
    ],
)
def test_content_of_another_form_is_an_error(column, value):
    broken = list(GOOD)
    broken[column] = value
    with pytest.raises(StateFileError, match="content"):
        Decoder(0.0).decode_told(msgpack.packb(broken))


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x90", msgpack.packb(None), b"\x90\x90"])
def test_other_bytes_are_an_error(payload):
    with pytest.raises(StateFileError):
        Decoder(0.0).decode_told(payload)


def test_a_claim_as_json_says_ages():
    assert claim_object(CLAIM, 1000.0) == {
        "address": "192.0.2.1",
        "list": "ads",
        "name": "www.example.com",
        "seen_s_ago": 10.0,
        "first_s_ago": 499.75,
        "ttl_s": 3600.0,
    }


def test_attributes_as_json_say_what_was_said():
    assert attributes_object(PLAIN) == {"next_hop": "10.0.0.1"}
    assert attributes_object(RICH)["local_preference"] == 0


def payload_with(attributes: object, prefix: bytes = V4) -> bytes:
    payload: bytes = msgpack.packb([[], [], [], [], [], [], [attributes], [prefix], [0], []])
    return payload


LINE = "65001:100 ]\nannounce route 0.0.0.0/0 next-hop 10.0.0.9"


@pytest.mark.parametrize(
    "attributes",
    [
        {"next_hop": b"abcd", "communities": [LINE]},
        {"next_hop": b"abcd", "large_communities": [LINE]},
        {"next_hop": b"abcd", "communities": ["65001:100\n"]},
        {"next_hop": b"abcd", "communities": ["65001:\u0661"]},
        {"next_hop": b"abcd", "communities": ["65001:0100"]},
        {"next_hop": b"abcd", "communities": ["no-export"] * 65},
        {"next_hop": b"abcd", "large_communities": ["65001:1:2"] * 33},
        {"next_hop": b"abcd", "communities": "no-export"},
        {"next_hop": b"abcd", "communities": [["65001:100"]]},
        {"next_hop": b"abcd", "communities": [{}]},
        {"next_hop": b"abcd", "neighbors": ["10.0.0.1 announce route 0.0.0.0/0"]},
        {"next_hop": b"abcd", "neighbors": ["host.example"]},
        {"next_hop": b"abcd", "neighbors": ["fe80::1%eth0"]},
        {"next_hop": b"abcd", "local_preference": "100 med 5"},
        {"next_hop": b"abcd", "local_preference": True},
        {"next_hop": b"abcd", "local_preference": -1},
        {"next_hop": b"abcd", "med": 1 << 32},
        {"next_hop": b"abcd", "med": float("nan")},
        {"next_hop": b"abcd", "shoe_size": 44},
        {"next_hop": bytes((127, 0, 0, 1))},
        {"next_hop": bytes((0, 0, 0, 0))},
        {"next_hop": bytes((224, 0, 0, 1))},
        {"next_hop": b"abc"},
        {"next_hop": "10.0.0.1"},
        {"next_hop": bytes.fromhex("20010db8") + bytes(11) + b"\1"},
        {},
        [],
        None,
        7,
    ],
    ids=repr,
)
def test_announced_attributes_that_no_configuration_gives_are_unknown(attributes: object):
    """The attack: whoever can place the file has commands of his choice written to ExaBGP."""
    assert Decoder(0.0).decode_told(payload_with(attributes)) == ([(V4, unknown_attributes(V4))], 1)


def test_what_stands_for_unknown_attributes_stays_unknown_in_the_next_file():
    payload = encode([], [(V4, unknown_attributes(V4))], 0.0)
    assert Decoder(0.0).decode_told(payload) == ([(V4, unknown_attributes(V4))], 1)


def test_an_error_has_nothing_of_the_content():
    broken = list(GOOD)
    broken[0] = [("a\x1b[2Jlist", 1000)]
    with pytest.raises(StateFileError) as caught:
        Decoder(0.0).decode_told(msgpack.packb(broken))
    assert "\x1b" not in str(caught.value)
    assert "list" not in str(caught.value)


def test_deeply_nested_content_is_an_error():
    nested: object = []
    for _ in range(900):
        nested = [nested]
    with pytest.raises(StateFileError):
        Decoder(0.0).decode_told(msgpack.packb([nested] * 10))


COMMUNITIES = ("no-export", "no-advertise", "no-export-subconfed", "blackhole", "0:0", "65535:65535")


@pytest.mark.parametrize(
    "attributes",
    [
        Attributes(V4),
        Attributes(V4, COMMUNITIES, ("0:0:0", "4294967295:4294967295:4294967295"), 0, (1 << 32) - 1),
        Attributes(V4, tuple(f"{n}:{n}" for n in range(64)), tuple(f"{n}:0:{n}" for n in range(32)), (1 << 32) - 1, 0),
        # a mapped address as this Python spells it: from 3.13 on `::ffff:1.2.3.4`
        Attributes(V4, neighbors=("192.0.2.9", "2001:db8::9", str(ip_address("::ffff:102:304")), "10.0.0.1")),
        Attributes(bytes((10, 0, 0, 1))),
        Attributes(bytes((100, 64, 0, 1))),
        Attributes(V6, ("no-export",), neighbors=("2001:db8::9",)),
        Attributes(bytes.fromhex("fd00") + bytes(13) + b"\1"),
    ],
)
@pytest.mark.parametrize(
    ("name", "list_name", "ttl_s"),
    [
        (b"a.example", "default", 86_400.0),
        (b"by hand", "a" * 63, 1.0),
        (b"\\000.\\255\\046\\092_-.example", "0.a_b-C", 3_600.5),
        (b".".join([b"\\001" * 63] * 3 + [b"\\001" * 61]), "l", STATE_TTL_MAX_S),
        (b"xn--mnchen-3ya.de", "l", float("inf")),
    ],
)
def test_whatever_a_configuration_gives_comes_back(attributes: Attributes, name: bytes, list_name: str, ttl_s: float):
    prefix = V4 if len(attributes.next_hop) == 4 else V6
    network = bytes((203, 0, 113, 0, 24)) if len(prefix) == 4 else V6[:4] + bytes(12) + b"\x20"
    claim = Claim(prefix, list_name, name, 1000.5, -5.25, ttl_s)
    gone = bytes((203, 0, 113, 9)) if len(prefix) == 4 else V6[:15] + b"\x09"
    told: list[RibRecord] = [(gone, None), (prefix, attributes), (network, attributes)]
    payload = encode([claim], told, 1000.0)
    found, _ = Decoder(0.0).decode_claims(payload, 1000.0)
    assert found == [claim._replace(ttl_s=min(ttl_s, STATE_TTL_MAX_S))]
    assert Decoder(0.0).decode_told(payload) == (told, 0)


A, B = Audience(("192.0.2.9",)), Audience(("192.0.2.9",), is_except=True)


def test_records_of_views_say_whom_they_are_about():
    told: list[RibRecord] = [
        (ViewPrefix(V4, A), PLAIN),
        (ViewPrefix(V4, B), PLAIN),
        (V6, RICH),
        (ViewPrefix(V6, A), None),
        (b"abcd", None),
    ]
    assert is_of_views(key for key, _ in told)
    payload = encode([CLAIM], told, 1000.0)
    assert Decoder(0.0).decode_told(payload)[0] == told
    assert Decoder(0.0).decode_claims(payload, 1000.0)[0] == [CLAIM]
    assert is_payload_of_views(payload)


def test_the_order_of_records_that_overlap_is_kept():
    everyone, told = Audience(is_except=True), []
    for number in range(RECORDS_MAX + 10):
        audience = (A, B, everyone)[number % 3]
        told.append((ViewPrefix(V4, audience), PLAIN if number % 2 else None))
    data = file_header() + b"".join(frames(BlockKind.CHANGES, [], told, Stamp(0.0, 0.0, bytes(16))))
    blocks = [part for part in scan(lambda at, length: data[at : at + length], len(data)) if isinstance(part, Block)]
    assert [one for block in blocks for one in Decoder(0.0).decode_told(block.payload)[0]] == told


def test_equal_audiences_of_all_blocks_become_one_object():
    decoder = Decoder(0.0)
    payloads = [encode([], [(ViewPrefix(V4, Audience(("192.0.2.9",))), PLAIN)], 0.0) for _ in range(2)]
    (one,), (two,) = (decoder.decode_told(payload)[0] for payload in payloads)
    assert isinstance(one[0], ViewPrefix)
    assert isinstance(two[0], ViewPrefix)
    assert one[0].audience is two[0].audience


def test_a_file_names_no_more_neighbors_than_there_can_be():
    decoder = Decoder(0.0)

    def payload(first: int, count: int) -> bytes:
        names = tuple(f"10.0.{number >> 8}.{number & 255}" for number in range(first, first + count))
        return encode([], [(ViewPrefix(V4, Audience(names)), PLAIN)], 0.0)

    decoder.decode_told(payload(0, NEIGHBORS_MAX))
    decoder.decode_told(payload(0, NEIGHBORS_MAX))
    with pytest.raises(StateFileError):
        decoder.decode_told(payload(1, NEIGHBORS_MAX))


def test_records_about_all_neighbors_are_written_as_ever():
    payload = encode([CLAIM], [(V4, PLAIN), (V6, RICH), (b"abcd", None)], 1000.0)
    assert len(msgpack.unpackb(payload)) == 10
    assert not is_payload_of_views(payload)
    assert not is_of_views([V4, V6, b"abcd"])


@pytest.mark.parametrize(
    "columns",
    [
        [[[["no address"], False]], [0]],
        [[[["fe80::1%eth0"], False]], [0]],
        [[[["192.0.2.9"], 1]], [0]],
        [[[["192.0.2.9"], False]], [1]],
        [[[["192.0.2.9"], False]], []],
        [[[["192.0.2.9"], False]], [0, 0]],
        [[[["192.0.2.9"], False]], [0], [0]],
        [[]],
        [5, [None]],
    ],
    ids=str,
)
def test_audiences_that_are_none_are_refused(columns):
    whole = msgpack.unpackb(encode([], [(V4, PLAIN)], 0.0))
    with pytest.raises(StateFileError):
        Decoder(0.0).decode_told(msgpack.packb([*whole, *columns]))


def test_a_claim_is_over_at_its_deadline():
    payload = encode([CLAIM._replace(seen=900.0, ttl_s=100.0)], [], 1000.0)
    assert Decoder(now=1000.0).decode_claims(payload, 1000.0) == ([], 1)
    found, expired = Decoder(now=999.999).decode_claims(payload, 1000.0)
    assert ([claim.seen for claim in found], expired) == ([900.0], 0)


TIME_MAX_MS = 1000 * 366 * 86_400_000
"""A thousand years."""


@pytest.mark.parametrize("column", [4, 5])
@pytest.mark.parametrize("sign", [1, -1])
def test_times_have_bounds_on_either_side(column: int, sign: int):
    values = list(GOOD)
    values[column] = [sign * TIME_MAX_MS]
    Decoder(0.0).decode_told(msgpack.packb(values))
    values[column] = [sign * (TIME_MAX_MS + 1)]
    with pytest.raises(StateFileError):
        Decoder(0.0).decode_told(msgpack.packb(values))


def test_lifetimes_have_bounds_on_either_side():
    for ttl_ms, is_right in ((0, True), (TIME_MAX_MS, True), (-1, False), (TIME_MAX_MS + 1, False)):
        payload = msgpack.packb([[("ads", ttl_ms)], *GOOD[1:]])
        if is_right:
            assert Decoder(0.0)._check(_columns(payload)) == [("ads", min(ttl_ms / 1000, STATE_TTL_MAX_S))]
        else:
            with pytest.raises(StateFileError):
                Decoder(0.0).decode_told(payload)


def test_a_record_too_many_of_any_kind_makes_a_block():
    for claims, announced, withdrawn, blocks in (
        (1025, 0, 0, 2),
        (0, 1025, 0, 2),
        (0, 0, 1025, 2),
        (1024, 1024, 1024, 1),
    ):
        records: list[RibRecord] = [(number.to_bytes(4), PLAIN) for number in range(announced)]
        records += [(number.to_bytes(4), None) for number in range(5000, 5000 + withdrawn)]
        some = [CLAIM._replace(address=number.to_bytes(4)) for number in range(claims)]
        made = list(frames(BlockKind.CHANGES, some, records, Stamp(0.0, 1000.0, bytes(16))))
        assert len(made) == blocks


def test_an_audience_as_json():
    assert audience_object(A) == {"neighbors": ["192.0.2.9"], "except_these": False}
    assert audience_object(B) == {"neighbors": ["192.0.2.9"], "except_these": True}


def test_names_of_every_length_stand_in_one_block():
    """Each length that a label may have, and each that a name may have."""
    names = [b"x" * length for length in range(1, 64)]
    names += [b"a." * ((length - 1) // 2) + b"a" * (2 - length % 2) for length in range(1, 254)]
    payload = encode([CLAIM._replace(name=name) for name in names], [], 1000.0)
    assert [claim.name for claim in Decoder(0.0).decode_claims(payload, 1000.0)[0]] == names
    for wrong in (b"x" * 64, b"a." * 126 + b"aa", b""):
        with pytest.raises(StateFileError):
            Decoder(0.0).decode_told(encode([CLAIM._replace(name=name) for name in (*names, wrong)], [], 1000.0))


def test_ages_are_told_in_whole_milliseconds():
    found = claim_object(CLAIM._replace(seen=990.00049, first=500.00051), 1000.0)
    assert (found["seen_s_ago"], found["first_s_ago"]) == (10.0, 499.999)
