"""The sync: frames of our own stream, JSON as the Go program writes it, Redis' keys; pieces, bounds and oracles.

The oracle of the Go program's arrays is the standard library's JSON, of its times `datetime`; what our own stream gives
is written and read again.
"""

import json
import random
import zlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from ipaddress import ip_address

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.sync import delta, go_json
from dnstap_bgp.core.validation import clean_name
from dnstap_bgp.errors import PeerError
from tests.fuzz.choices import Choices

COVERS = {"dnstap_bgp.core.sync.delta": 0.85, "dnstap_bgp.core.sync.go_json": 0.85}


def one_input(data: bytes) -> None:
    kind, rest = data[:1], data[1:]
    if kind < b"\x40":
        check_frame(rest)
    elif kind < b"\x80":
        check_stream(rest)
    else:
        check_array(rest[8:], Choices(rest[:8]))


def check_frame(payload: bytes) -> None:
    with suppress(PeerError):
        found = delta.decode(payload)
        if isinstance(found, delta.Claims) and found.claims:
            for claim in found.claims:
                ip_address(claim.address)
                assert clean_name(claim.name) == claim.name
                assert 0 <= claim.ttl_s < 1e9
                assert claim.seen <= found.stamp_s
            again = delta.decode(delta.encode_claims(found.claims, found.stamp_s, found.seq))
            assert isinstance(again, delta.Claims)
            assert [one[:3] for one in again.claims] == [one[:3] for one in found.claims]
            for one, two in zip(again.claims, found.claims, strict=True):
                assert two.seen - 0.003 <= one.seen <= two.seen + 1e-4, "on the way a sighting never gets younger"


def check_stream(data: bytes) -> None:
    """What a stream holds is given in whole frames, and no more than a frame is kept."""
    inflater = delta.Inflater()
    frames: list[bytes] = []
    try:
        for at in range(0, len(data), 7):
            for frame in inflater.feed(data[at : at + 7]):
                frames.append(frame)
                check_frame(frame)
                assert len(inflater._rest) <= delta.FRAME_MAX + delta.INFLATE_AT_ONCE
    except PeerError:
        return
    whole = zlib.decompressobj(14).decompress(data)
    begun = b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames)
    assert whole.startswith(begun)
    assert len(whole) - len(begun) < 4 + delta.FRAME_MAX


def check_array(data: bytes, sizes: Choices) -> None:
    found = read_pieces(data, [1 + size for size in sizes.take(8)])
    entries, is_whole = read_pieces(data, [1 << 20])
    assert found[1] == is_whole
    # what stands before a byte that is no UTF-8 counts if it came in an earlier piece
    assert found[0] == entries if is_whole else found[0][: len(entries)] == entries
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError):
        return
    entries, is_whole = found
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        assert not is_whole or value is None or value == []
    elif is_whole:
        assert entries == [entry for one in value for entry in naive(one)]


def read_pieces(data: bytes, sizes: list[int]) -> tuple[list[go_json.Entry], bool]:
    reader = go_json.EntryReader()
    entries: list[go_json.Entry] = []
    at = number = 0
    try:
        while at < len(data):
            size = sizes[number % len(sizes)] if sizes else len(data)
            entries += reader.feed(data[at : at + size])
            assert len(reader._rest) <= go_json.ENTRY_MAX + size
            at, number = at + size, number + 1
        reader.end()
    except PeerError:
        return entries, False
    return entries, True


def naive(found: dict[str, object]) -> Iterator[go_json.Entry]:
    try:
        entry = go_json.read(json.dumps(found))
    except PeerError:
        return
    with suppress(ValueError):
        written = next(str(value) for key, value in found.items() if key.lower() == "ts")
        assert abs(entry.wall_s - datetime.fromisoformat(written).timestamp()) < 1.001  # a leap second
    yield entry


def seeds() -> Iterator[bytes]:
    claims = [
        Claim(bytes((192, 0, 2, number)), "one", b"a%d.example" % number, 900.0 + number, 900.0, 60.0)
        for number in range(5)
    ]
    claims.append(Claim(bytes.fromhex("2001 0db8") + bytes(12), "two", rb"a\046b.test", 950.5, 900.0, 3600.0))
    payloads = [
        delta.encode_hello("0123456789abcdef", 1000.0, resumed=True),
        delta.encode_claims(claims, 1000.0, 7),
        delta.encode_reached(8, 1000.0),
    ]
    for payload in payloads:
        yield b"\0" + payload
    deflater = delta.Deflater()
    yield b"\x40" + deflater.burst(payloads) + deflater.burst(payloads[1:])
    entries = [go_json.write(claim.address, claim.name, 1_700_000_000.25) for claim in claims]
    entries += ['{"ip":"192.0.2.1","DOMAIN":"B.example.","ts":"2026-02-28T23:59:60+01:30","x":[1,{"y":null}]}', "{}"]
    for sizes in (bytes(8), b"\xff" * 8, random.Random(1).randbytes(8)):
        for text in ("[" + ",".join(entries) + "]", " [ ]", "null", "[" + entries[0], "[1]", "[{}] x", '{"a":1}'):
            yield b"\xff" + sizes + text.encode()
