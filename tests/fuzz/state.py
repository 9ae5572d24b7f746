"""The state file: whatever is in it, what is read is valid, is read the same again, and every good block is read.

The first byte says what the rest is: a file, a file behind a good header, or payloads in blocks whose checksums are
right, as only who can write the file could make them.
"""

import math
import random
import struct
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from dnstap_bgp.core.exabgp.grammar import UNUSABLE, attributes_text
from dnstap_bgp.core.model import (
    BY_HAND,
    UNKNOWN_ATTRIBUTES,
    Attributes,
    Audience,
    Claim,
    RibKey,
    RibRecord,
    ViewPrefix,
)
from dnstap_bgp.core.state.blocks import BlockKind, file_header, frame
from dnstap_bgp.core.state.records import STATE_TTL_MAX_S, Decoder, encode, frames
from dnstap_bgp.core.state.timestamps import GAP_MAX_S, Stamp
from dnstap_bgp.core.validation import clean_name
from dnstap_bgp.errors import ForeignFileError
from dnstap_bgp.workers.state.restore import restore
from tests.fuzz.choices import Choices

COVERS = {
    "dnstap_bgp.core.state.blocks": 0.9,
    "dnstap_bgp.core.state.records": 0.9,
    "dnstap_bgp.core.state.timestamps": 0.95,
    "dnstap_bgp.core.validation": 0.6,
    # but for a file that changes between its passes, errors of the disk, and passes that are given up
    "dnstap_bgp.workers.state.restore": 0.93,
}
NOW = Stamp(1_700_000_000.0, 5_000.0, b"b" * 16)
THEN = Stamp(1_699_999_000.0, 4_000.0, b"b" * 16)
STAMPS = [
    NOW,
    THEN,
    THEN._replace(boot_id=b"o" * 16),
    THEN._replace(boot_id=bytes(16)),
    Stamp(1e300, -1e300, b"b" * 16),
    Stamp(float("nan"), float("inf"), b"b" * 16),
]


def one_input(data: bytes) -> None:
    file, payloads = file_of(data)
    claims: list[Claim] = []
    told: list[RibRecord] = []
    try:
        report = restore(lambda at, n: file[at : at + n], len(file), NOW, claims.extend, told.extend)
    except ForeignFileError:
        assert payloads is None, "a good header was not found"
        return
    assert str(report).isprintable()
    assert payloads is None or report.survey.blocks >= payloads, "a good block was not found"
    assert 0 <= report.downtime_s <= GAP_MAX_S + NOW.boottime_s
    for claim in claims:
        check_claim(claim)
    for key, attributes in told:
        check_record(key, attributes)
    last: dict[RibKey, Attributes | None] = {}
    for key, attributes in told:  # of one prefix the last one counts, as where they are queued
        last.pop(key, None)
        last[key] = attributes
    again: list[Claim] = []
    told_again: list[RibRecord] = []
    for block in frames(BlockKind.SNAPSHOT, claims, list(last.items()), NOW):
        payload = block[len(frame(BlockKind.SNAPSHOT, NOW, b"")) :]
        decoder = Decoder(NOW.boottime_s - 1)
        again += decoder.decode_claims(payload, NOW.boottime_s)[0]
        told_again += decoder.decode_told(payload)[0]
    assert [claim[:3] for claim in again] == [claim[:3] for claim in claims]
    assert all(abs(one.seen - two.seen) < 0.002 for one, two in zip(again, claims, strict=True))
    assert dict(told_again) == last


def check_claim(claim: Claim) -> None:
    ip_address(claim.address)
    assert claim.name == BY_HAND or clean_name(claim.name) == claim.name
    assert claim.list.isascii()
    assert claim.list.isprintable()
    assert 0 < len(claim.list) < 64
    assert claim.seen + claim.ttl_s > NOW.boottime_s
    assert claim.ttl_s <= STATE_TTL_MAX_S
    assert math.isfinite(claim.first)
    assert math.isfinite(claim.seen)


def check_record(key: bytes | ViewPrefix, attributes: Attributes | None) -> None:
    prefix = key if isinstance(key, bytes) else key.prefix
    if len(prefix) in (4, 16):
        ip_address(prefix)
    else:
        ip_network((prefix[:-1], prefix[-1]))
    if not isinstance(key, bytes):
        for name in key.audience.names:
            assert str(ip_address(name)) == name
    if attributes is not None and attributes not in UNKNOWN_ATTRIBUTES:
        text = attributes_text(attributes)
        assert text != UNUSABLE
        assert text.isascii()
        assert text.isprintable()
        assert len(attributes.next_hop) == (16 if len(prefix) > 5 else 4)
        for name in attributes.neighbors:
            ip_address(name)


def file_of(data: bytes) -> tuple[bytes, int | None]:
    """The file, and how many good blocks it has for certain."""
    kind, dice = data[:1], Choices(data[1:])
    if kind < b"\x20":
        return data[1:], None
    if kind < b"\x60":
        return file_header(1 + (kind[0] & 1)) + data[1:], None
    file, count = file_header(1 + (kind[0] & 1)), 0
    while dice:
        stamp = dice.choice(STAMPS)
        payload = dice.take(int.from_bytes(dice.take(2), "big") & 0xFFF)
        file += frame(BlockKind.CHANGES, stamp, payload)
        count += stamp in STAMPS[:4]
        if dice.random() < 0.2:
            file += dice.take(5)
    return file, count


def seeds() -> Iterator[bytes]:
    for seed in range(40):
        pick = random.Random(seed)
        payloads = []
        for _ in range(pick.randrange(1, 4)):
            claims = [
                Claim(
                    pick.randbytes(pick.choice((4, 16))),
                    pick.choice(("one", "two-2")),
                    pick.choice((b"a.example", b"by hand", rb"a\046b.test", b"x" * 63 + b".example")),
                    NOW.boottime_s - pick.randrange(2000),
                    NOW.boottime_s - 3000.0,
                    pick.choice((60.0, 86_400.0, 1e9)),
                )
                for _ in range(pick.randrange(4))
            ]
            sets = (
                Attributes(bytes((192, 0, 2, 1)), ("65001:1", "no-export"), ("65001:1:2",), 100, 5),
                Attributes(bytes((192, 0, 2, 2)), neighbors=("192.0.2.9",)),
                None,
            )
            to = Audience(("192.0.2.9", "2001:db8::1"), is_except=pick.random() < 0.5)
            of_views = pick.random() < 0.5
            records: list[RibRecord] = []
            for _ in range(pick.randrange(4)):
                prefix = pick.choice((pick.randbytes(4), b"\x0b\0\0\0\x08"))
                records.append((ViewPrefix(prefix, to) if of_views else prefix, pick.choice(sets)))
            payloads.append(encode(claims, records, NOW.boottime_s))
        yield b"\xff" + b"".join(
            bytes((pick.randrange(6),)) + struct.pack("!H", len(p)) + p + b"\xff" for p in payloads
        )
        yield b"\0" + file_header() + b"".join(frame(BlockKind.CHANGES, THEN, p) for p in payloads)
