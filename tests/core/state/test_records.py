import msgpack
import pytest

from dnstap_bgp.core.model import Attributes, Claim
from dnstap_bgp.core.state.blocks import Block, Kind, file_header, scan
from dnstap_bgp.core.state.records import (
    RECORDS_MAX,
    TTL_MAX_S,
    Decoder,
    attributes_object,
    claim_object,
    encode,
    frames,
    prefix_text,
)
from dnstap_bgp.core.state.stamps import Stamp
from dnstap_bgp.errors import StateFileError

V4, V6 = bytes([192, 0, 2, 1]), bytes.fromhex("20010db8000000000000000000000001")
PLAIN = Attributes(next_hop=bytes([10, 0, 0, 1]))
RICH = Attributes(V6, ("65001:100", "no-export"), ("65001:1:2",), 0, 0, ("192.0.2.9",))
CLAIM = Claim(V4, "ads", b"www.example.com", seen=990.0, first=500.25, ttl_s=3600.0)


def test_claims_keep_their_age():
    payload = encode([CLAIM], [], [], stamp_s=1000.0)
    (claim,) = Decoder(now=50.0).decode(payload, stamp_s=40.0).claims  # another boot, ten seconds later
    assert claim == CLAIM._replace(seen=30.0, first=-459.75)


def test_claims_past_their_deadline_are_only_counted():
    claims = [CLAIM, CLAIM._replace(name=b"old.example.com", ttl_s=10.0)]
    records = Decoder(now=1000.0).decode(encode(claims, [], [], 1000.0), 1000.0)
    assert [claim.name for claim in records.claims] == [b"www.example.com"]
    assert records.expired == 1


def test_told_and_untold_come_back_with_every_attribute():
    static = bytes([10, 0, 0, 0, 8])
    payload = encode([], [(V4, PLAIN), (V6, RICH), (static, PLAIN)], [b"abcd"], 0.0)
    records = Decoder(0.0).decode(payload, 0.0)
    assert records.told == [(V4, PLAIN), (V6, RICH), (static, PLAIN)]
    assert records.untold == [b"abcd"]


def test_equal_attributes_of_all_blocks_become_one_object():
    decoder = Decoder(0.0)
    payloads = [encode([CLAIM], [(V4, Attributes(bytes([10, 0, 0, 1])))], [], 0.0) for _ in range(2)]
    (one,), (two,) = (decoder.decode(payload, 0.0).told for payload in payloads)
    assert one[1] is two[1]


def test_attributes_are_written_once_in_a_block():
    told = [(bytes([10, 0, 0, n]), RICH) for n in range(200)]
    assert encode([], told, [], 0.0).count(b"65001:100") == 1


def test_an_endless_ttl_becomes_a_century():
    records = Decoder(0.0).decode(encode([CLAIM._replace(ttl_s=float("inf"))], [], [], 1000.0), 1000.0)
    assert records.claims[0].ttl_s == TTL_MAX_S


def test_any_number_of_records_becomes_full_blocks():
    claims = [CLAIM._replace(address=n.to_bytes(4, "big")) for n in range(2 * RECORDS_MAX + 1)]
    data = file_header() + b"".join(frames(Kind.CHANGES, claims, [(V4, PLAIN)], [V6], Stamp(0.0, 1000.0, bytes(16))))
    decoder = Decoder(0.0)
    blocks = [part for part in scan(lambda at, length: data[at : at + length], len(data)) if isinstance(part, Block)]
    found = [decoder.decode(block.payload, 1000.0) for block in blocks]
    assert [len(records.claims) for records in found] == [RECORDS_MAX, RECORDS_MAX, 1]
    assert [claim for records in found for claim in records.claims] == claims
    assert [pair for records in found for pair in records.told] == [(V4, PLAIN)]
    assert [prefix for records in found for prefix in records.untold] == [V6]


def test_nothing_at_all_is_one_block():
    assert len(list(frames(Kind.SNAPSHOT, [], [], [], Stamp(0.0, 0.0, bytes(16))))) == 1


GOOD = msgpack.unpackb(encode([CLAIM], [(V4, PLAIN)], [V6], 1000.0))


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
        (6, [{"next_hop": b"abcd", "shoe_size": 44}]),
        (6, [{}]),
        (6, [{"next_hop": b"abcd", "communities": [{}]}]),
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
        Decoder(0.0).decode(msgpack.packb(broken), 1000.0)


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x90", msgpack.packb(None), b"\x90\x90"])
def test_other_bytes_are_an_error(payload):
    with pytest.raises(StateFileError):
        Decoder(0.0).decode(payload, 0.0)


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


def test_prefixes_as_text():
    assert prefix_text(V4) == "192.0.2.1"
    assert prefix_text(V6) == "2001:db8::1"
    assert prefix_text(bytes([10, 0, 0, 0, 8])) == "10.0.0.0/8"
