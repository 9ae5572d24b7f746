import math
import random
import struct
import zlib

import pytest

from dnstap_bgp.core.state import blocks
from dnstap_bgp.core.state.blocks import (
    BLOCK_HEADER_BYTES,
    HEADER_BYTES,
    MARKER,
    PAYLOAD_MAX_BYTES,
    STEP_BYTES,
    WINDOW_BYTES,
    Block,
    BlockKind,
    Hole,
    file_header,
    frame,
    identify,
    scan,
)
from dnstap_bgp.core.state.timestamps import Stamp
from dnstap_bgp.errors import ForeignFileError, StateFileError

STAMP = Stamp(1.8e9, 12.5, bytes(range(16)))
FILE = file_header() + b"".join(frame(BlockKind.CHANGES, STAMP, bytes([n]) * (3 * n)) for n in range(1, 6))


def reader(data):
    return lambda offset, length: data[offset : offset + length]


def parts(data):
    return list(scan(reader(data), len(data)))


def payloads(data):
    return [part.payload for part in parts(data) if isinstance(part, Block)]


def test_what_is_framed_comes_back():
    data = file_header() + frame(BlockKind.SNAPSHOT, STAMP, b"hello") + frame(BlockKind.CHANGES, STAMP, b"")
    assert identify(reader(data), len(data)) is None
    middle = HEADER_BYTES + BLOCK_HEADER_BYTES + 5
    assert parts(data) == [
        Block(HEADER_BYTES, middle, BlockKind.SNAPSHOT, STAMP, b"hello"),
        Block(middle, len(data), BlockKind.CHANGES, STAMP, b""),
    ]


def test_the_format_is_what_0_1_0_wrote():
    """Whoever changes one of these bytes makes every state file that there is a damaged one."""
    assert file_header().hex() == "8b444e535441502d4247500d0a1a0a00000000011ba82833"
    assert frame(BlockKind.CHANGES, STAMP, b"hello").hex() == (
        "c1b7c102000000059b083bdc41dad274800000004029000000000000000102030405060708090a0b0c0d0e0f68656c6c6f"
    )


@pytest.mark.parametrize("short_of", range(5))
def test_a_block_that_begins_where_the_window_ends_is_found(short_of: int):
    """Behind damage that is as long as the window, less what its marker has."""
    found = parts(file_header() + bytes(WINDOW_BYTES - short_of) + frame(BlockKind.CHANGES, STAMP, b"good"))
    assert [part.payload for part in found if isinstance(part, Block)] == [b"good"]
    assert [part.length for part in found if isinstance(part, Hole)] == [WINDOW_BYTES - short_of]


@pytest.mark.parametrize("time_s", [1e308, -1e308, 1.1e11, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("clock", [0, 1])
def test_a_time_that_no_clock_tells_costs_its_block(time_s: float, clock: int):
    """The attack: a file whose stamp made a downtime of 309 digits."""
    times = [1.8e9, 12.5]
    times[clock] = time_s
    odd = frame(BlockKind.CHANGES, Stamp(times[0], times[1], STAMP.boot_id), b"odd")
    found = parts(file_header() + odd + frame(BlockKind.CHANGES, STAMP, b"good"))
    assert isinstance(found[0], Hole)
    assert found[0].reason == "the time is none"
    assert [part.payload for part in found if isinstance(part, Block)] == [b"good"]


def test_blocks_may_straddle_the_window():
    sizes = [WINDOW_BYTES - 100, 300, 2 * WINDOW_BYTES, 1, WINDOW_BYTES]
    data = file_header() + b"".join(frame(BlockKind.CHANGES, STAMP, bytes(size)) for size in sizes)
    assert [len(payload) for payload in payloads(data)] == sizes


def test_a_cut_anywhere_leaves_the_whole_blocks_and_is_torn():
    ends = [part.end for part in parts(FILE)]
    for size in range(HEADER_BYTES, len(FILE)):
        cut = FILE[:size]
        found = parts(cut)
        assert len([part for part in found if isinstance(part, Block)]) == sum(end <= size for end in ends)
        if size not in (HEADER_BYTES, *ends):
            assert isinstance(found[-1], Hole)
            assert found[-1].torn
            assert found[-1].offset + found[-1].length == size


def test_a_flipped_bit_costs_one_block_at_most():
    whole = payloads(FILE)
    for bit in range(8 * HEADER_BYTES, 8 * len(FILE)):
        data = bytearray(FILE)
        data[bit // 8] ^= 1 << bit % 8
        left = payloads(bytes(data))
        assert len(left) == len(whole) - 1
        assert all(payload in whole for payload in left)


def test_a_flip_in_the_last_block_is_no_torn_tail():
    data = FILE[:-1] + bytes([FILE[-1] ^ 1])
    assert [part.torn for part in parts(data) if isinstance(part, Hole)] == [False]


def test_zero_bytes_at_the_end_are_a_torn_tail():
    hole = parts(FILE + bytes(5000))[-1]
    assert isinstance(hole, Hole)
    assert (hole.torn, hole.offset, hole.length) == (True, len(FILE), 5000)


def test_markers_in_a_damaged_payload_deceive_nobody():
    damaged = bytearray(frame(BlockKind.CHANGES, STAMP, (MARKER + b"\x02\x00\x00\x00\x01") * 200))
    damaged[-1] ^= 1
    good = frame(BlockKind.CHANGES, STAMP, b"good")
    assert payloads(file_header() + bytes(damaged) + good) == [b"good"]


@pytest.mark.parametrize("are_parted", [False, True])
def test_markers_of_blocks_that_seem_to_be_long_take_linear_work(monkeypatch, are_parted: bool):
    """Each was followed to the end of its block: a damaged file of 20 MB could take hours."""
    monkeypatch.setattr(blocks, "WINDOW_BYTES", 8 * STEP_BYTES)  # so that what is looked at has to be read
    good = frame(BlockKind.CHANGES, STAMP, b"good")

    def bytes_read(count: int) -> int:
        marker = (MARKER + struct.pack(">BII", BlockKind.CHANGES, 32 * count, 7)).ljust(64, b"x")
        data = file_header() + (marker + good * are_parted) * count + good
        lengths = []

        def read(offset: int, length: int) -> bytes:
            found = data[offset : offset + length]
            lengths.append(len(found))
            return found

        found = [part.payload for part in scan(read, len(data)) if isinstance(part, Block)]
        assert found == [b"good"] * (1 + count * are_parted)
        return sum(lengths)

    assert bytes_read(2000) < 2.2 * bytes_read(1000)


def test_the_checksum_of_any_stretch_is_that_of_its_bytes():
    data = random.Random(1).randbytes(5 * STEP_BYTES)
    checksums = blocks._Checksums(reader(data))
    for start in (0, 1, STEP_BYTES - 1, STEP_BYTES, 2 * STEP_BYTES + 7):
        for end in (start, start + 1, start + 77, 3 * STEP_BYTES, len(data)):
            assert checksums.of(start, end, 12345) == zlib.crc32(data[start:end], 12345)


def test_a_file_that_grows_while_it_is_read_ends_where_it_began_to():
    grown = FILE + frame(BlockKind.CHANGES, STAMP, b"later")
    assert len(list(scan(reader(grown), len(FILE)))) == 5


def test_an_empty_file_and_a_torn_header_are_ours():
    assert identify(reader(b""), 0) is None
    for size in range(1, HEADER_BYTES):
        hole = identify(reader(FILE[:size]), size)
        assert hole is not None
        assert hole.torn


def test_a_damaged_header_before_a_whole_block_is_ours():
    for bit in range(8 * HEADER_BYTES):
        data = bytearray(FILE)
        data[bit // 8] ^= 1 << bit % 8
        hole = identify(reader(bytes(data)), len(data))
        assert hole is not None
        assert not hole.torn
        assert len(payloads(bytes(data))) == 5


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (bytes(16) + (0xED0CDAED).to_bytes(4, "little") + bytes(4000), "Bolt database"),
        (b"\x1f\x8b\x08" + bytes(40), "gzip"),
        (b"\x28\xb5\x2f\xfd" + bytes(40), "zstd"),
        (b"PK\x03\x04" + bytes(40), "zip"),
        (b"SQLite format 3\x00" + bytes(40), "SQLite"),
        (b"# a list\nexample.com\n", "text file"),
        (b"hello", "text file"),
        (b"~hello \t\r\n", "text file"),
        (b"\x7fhello", "begins with 7f"),
        (bytes(4096), "zero bytes"),
        (bytes(range(256)), "begins with 00 01 02"),
        (file_header(version=3), "version 3"),
        (file_header(version=0), "version 0"),
    ],
)
def test_other_kinds_are_named(data, kind):
    with pytest.raises(ForeignFileError, match=kind):
        identify(reader(data), len(data))


def test_a_payload_that_nobody_could_read_again_is_refused():
    with pytest.raises(StateFileError, match="4194305 bytes"):
        frame(BlockKind.CHANGES, STAMP, bytes(PAYLOAD_MAX_BYTES + 1))


def test_a_block_of_the_longest_length_is_read_behind_damage():
    longest = frame(BlockKind.CHANGES, STAMP, bytes(PAYLOAD_MAX_BYTES))
    assert [len(payload) for payload in payloads(FILE[:-1] + longest)][-1] == PAYLOAD_MAX_BYTES


def test_a_block_of_the_longest_length_is_read():
    payload = bytes(PAYLOAD_MAX_BYTES)
    assert payloads(file_header() + frame(BlockKind.SNAPSHOT, STAMP, payload)) == [payload]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda block: b"\0" + block[1:], "no block begins here"),
        (lambda block: block[:4] + b"\0\x40\0\1" + block[8:], "a block of 4194305 bytes, where 4194304 is the limit"),
        (lambda block: block[:-1] + b"!", "the checksum is wrong"),
        (lambda block: block[:-1], "the file ends within a block"),
        (lambda block: block[:9], "the file ends within a block"),
        (lambda block: block[:4] + b"\0\x40\0\0" + block[8:], "the file ends within a block"),
    ],
)
def test_damage_is_named(spoil, reason: str):
    [hole] = parts(file_header() + spoil(frame(BlockKind.CHANGES, STAMP, b"hello")))
    assert isinstance(hole, Hole)
    assert hole.reason == reason
    assert str(hole) == f"{hole.length} bytes at offset {HEADER_BYTES}: {reason}"
    assert hole.torn == (reason == "the file ends within a block")
