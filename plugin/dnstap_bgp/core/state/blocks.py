r"""Outer format of the state file: a header, then blocks that each stand for themselves.

    header  magic 16 | version u32 | crc32 u32 of the 20 bytes before
    block   marker 3 | kind u8 | length u32 | crc32 u32 | wall f64 | boottime f64 | boot id 16 | payload

All numbers are big-endian. The checksum covers the kind, the length, the stamp and the payload. A block needs nothing
of the blocks before it, so a damaged one costs what it held and no more: reading goes on at the next marker behind
which a checksum is right. The marker begins with 0xC1, which msgpack never uses and no name contains.
"""

import enum
import struct
import zlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from dnstap_bgp.core.state.timestamps import Stamp
from dnstap_bgp.core.validation import is_instant
from dnstap_bgp.errors import ForeignFileError, StateFileError

VERSION = 1
VERSION_VIEWS = 2
"""The file has records that are about the neighbors of one view; one without is of version 1, as it ever was."""
MAGIC = b"\x8bDNSTAP-BGP\r\n\x1a\n\x00"
"""High bit, CR LF, ^Z and LF: a transfer as text spoils it visibly."""

MARKER = b"\xc1\xb7\xc1"
PAYLOAD_MAX_BYTES = 4 << 20
"""A full block of the longest names takes 1.2 MB; a length beyond this is damage, not worth reading for."""

WINDOW_BYTES = 1 << 20
"""Read at once: enough that the calls don't count, little enough that memory doesn't."""

STEP_BYTES = 512
"""Of a damaged file a checksum is kept for so many bytes: 4 bytes each, and half as many to be read for each marker."""

_VERSION = struct.Struct(">16sI")
_CHECK = struct.Struct(">I")
_BLOCK = struct.Struct(">3sBII")
_STAMP = struct.Struct(">dd16s")
HEADER_BYTES = _VERSION.size + _CHECK.size
BLOCK_HEADER_BYTES = _BLOCK.size + _STAMP.size

Read: TypeAlias = Callable[[int, int], bytes]
"""(offset, length) -> the bytes there, fewer only at the end of the file."""


class BlockKind(enum.IntEnum):
    """Origin of a block; all kinds have the same payload.

    Attributes:
        SNAPSHOT: A walk over all that is held.
        CHANGES: What came since.
        EARLY: What came before all was back that the file has. Claims of such blocks that no other follows were never
            held against the caps beside all others, see `core/routes/newcomers.py`. A program that doesn't know the
            kind takes it for CHANGES.
    """

    SNAPSHOT = 1
    CHANGES = 2
    EARLY = 3


@dataclass(frozen=True, slots=True)
class Block:
    """A whole block whose checksum is right; `end` is the offset behind it."""

    offset: int
    end: int
    kind: int
    stamp: Stamp
    payload: bytes


@dataclass(frozen=True, slots=True)
class Hole:
    """Bytes that are no whole block.

    Attributes:
        offset: Where it begins.
        length: Up to the next whole block, or to the end of the file.
        torn: Nothing follows, and it is what an interrupted write leaves: a beginning only, or zero bytes.
        reason: What is wrong there.
    """

    offset: int
    length: int
    torn: bool
    reason: str

    def __str__(self) -> str:
        return f"{self.length} bytes at offset {self.offset}: {self.reason}"


def file_header(version: int = VERSION) -> bytes:
    """Write the file's header."""
    start = _VERSION.pack(MAGIC, version)
    return start + _CHECK.pack(zlib.crc32(start))


def frame(kind: BlockKind, stamp: Stamp, payload: bytes) -> bytes:
    """Put a payload into a block.

    Raises:
        StateFileError: It is over `PAYLOAD_MAX_BYTES`: nobody could read it again.
    """
    if len(payload) > PAYLOAD_MAX_BYTES:
        msg = f"a block of {len(payload)} bytes, where {PAYLOAD_MAX_BYTES} is the limit"
        raise StateFileError(msg)
    stamped = _STAMP.pack(*stamp) + payload
    return _BLOCK.pack(MARKER, kind, len(payload), _checksum(kind, len(payload), stamped)) + stamped


def identify(read: Read, size: int) -> Hole | None:
    """Check that the file is a state file of a known version.

    Returns:
        None if its header is whole; else what is wrong with it, the file being ours (or empty) all the same.

    Raises:
        ForeignFileError: It is of a newer version or of another kind.
    """
    head = read(0, HEADER_BYTES)
    if len(head) < HEADER_BYTES and any(file_header(one).startswith(head) for one in (VERSION, VERSION_VIEWS)):
        return Hole(0, size, torn=True, reason="the header isn't whole") if head else None
    if len(head) == HEADER_BYTES:
        magic, version = _VERSION.unpack_from(head)
        right = _CHECK.unpack_from(head, _VERSION.size)[0] == zlib.crc32(head[: _VERSION.size])
        if magic == MAGIC and right and version in (VERSION, VERSION_VIEWS):
            return None
        if magic == MAGIC and right:
            msg = f"is of version {version} of the format, and this program knows {VERSION} and {VERSION_VIEWS}"
            raise ForeignFileError(msg)
        # A flipped bit in the header must not cost the file: a whole block behind it proves whose it is.
        if magic == MAGIC or isinstance(_block_at(_Window(read), HEADER_BYTES, size), Block):
            return Hole(0, HEADER_BYTES, torn=False, reason="the header is damaged")
    msg = f"is no state file of this program but {_kind(read(0, 4096))}"
    raise ForeignFileError(msg)


def scan(read: Read, size: int) -> Iterator[Block | Hole]:
    """Go through the blocks of a file that `identify` accepted, in order, at bounded memory.

    Args:
        read: Gives the file's bytes.
        size: The file's length in bytes.
    """
    window, checksums = _Window(read), None
    offset = HEADER_BYTES
    while offset < size:
        found = _block_at(window, offset, size, checksums)
        if isinstance(found, Block):
            yield found
            offset = found.end
            continue
        checksums = checksums or _Checksums(read)
        following = _find_block(window, offset + 1, size, checksums)
        torn = following == size and (found is _CUT or _is_zero(window, offset, size))
        yield Hole(offset, following - offset, torn, found)
        offset = following


class _Window:
    """Window over a part of the file, moved on as the file is read."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._base = 0
        self._bytes = b""

    def at(self, offset: int, length: int) -> bytes:
        start = offset - self._base
        if start < 0 or start + length > len(self._bytes):
            self._base, start = offset, 0
            self._bytes = self._read(offset, max(length, WINDOW_BYTES))
        return self._bytes[start : start + length]

    def rest(self, offset: int) -> bytes:
        """Give the window's bytes from an offset on; at least one unless the file ends."""
        self.at(offset, 1)
        return self._bytes[offset - self._base :]

    def find(self, marker: bytes, offset: int) -> tuple[int, bool]:
        """Find a marker: where, or where to look on; and whether it is there."""
        self.at(offset, BLOCK_HEADER_BYTES)
        at = self._bytes.find(marker, offset - self._base)
        if at >= 0:
            return self._base + at, True
        return max(offset + 1, self._base + len(self._bytes) - len(marker) + 1), False


class _Checksums:
    """Checksums of any stretches of the file, for which it is read once, however many are asked for.

    A false marker is followed by the length of up to 4 MB, and a damaged file may have one every few bytes. So the
    checksum of a stretch is not taken over its bytes but from those of all that is before either end. It is linear:
    what distinguishes two checksums before the same bytes goes on as if these were zeros (`_zeros_behind`).
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._steps = array("I", [0])  # of the file's first bytes: none, STEP_BYTES, twice as many, ...

    def of(self, start: int, end: int, before: int) -> int:
        """Give the checksum of a stretch, begun with `before`."""
        return self._up_to(end) ^ _zeros_behind(self._up_to(start) ^ before, end - start)

    def _up_to(self, offset: int) -> int:
        steps, rest = divmod(offset, STEP_BYTES)
        while len(self._steps) <= steps:
            data = self._read((len(self._steps) - 1) * STEP_BYTES, WINDOW_BYTES)
            for at in range(0, WINDOW_BYTES, STEP_BYTES):
                self._steps.append(zlib.crc32(data[at : at + STEP_BYTES], self._steps[-1]))
        return zlib.crc32(self._read(offset - rest, rest), self._steps[steps])


_CUT = "the file ends within a block"


def _block_at(window: _Window, offset: int, size: int, checksums: _Checksums | None = None) -> Block | str:
    """Read the block at this offset, or say why there is none.

    Args:
        window: Over the file.
        offset: Of the block.
        size: Of the file.
        checksums: Of a damaged file; else a block is read to the end before its checksum is known.
    """
    header = window.at(offset, BLOCK_HEADER_BYTES)
    if len(header) < BLOCK_HEADER_BYTES:
        return _CUT
    marker, kind, length, checksum = _BLOCK.unpack_from(header)
    if marker != MARKER:
        return "no block begins here"
    if length > PAYLOAD_MAX_BYTES:
        return f"a block of {length} bytes, where {PAYLOAD_MAX_BYTES} is the limit"
    end = offset + BLOCK_HEADER_BYTES + length
    if end > size:
        return _CUT
    stamp = Stamp(*_STAMP.unpack_from(header, _BLOCK.size))
    start = offset + _BLOCK.size
    if checksums is None:
        found = _checksum(kind, length, window.at(start, end - start))
    else:
        found = checksums.of(start, end, _checksum(kind, length, b""))
    is_whole = found == checksum
    if not is_whole or not all(map(is_instant, stamp[:2])):
        return "the time is none" if is_whole else "the checksum is wrong"
    return Block(offset, end, kind, stamp, window.at(offset + BLOCK_HEADER_BYTES, length))


def _find_block(window: _Window, offset: int, size: int, checksums: _Checksums) -> int:
    """Find the offset of the next whole block, or `size`."""
    while offset < size:
        offset, is_there = window.find(MARKER, offset)
        if is_there:
            if isinstance(_block_at(window, offset, size, checksums), Block):
                return offset
            offset += 1
    return size


def _checksum(kind: int, length: int, stamped: bytes) -> int:
    return zlib.crc32(stamped, zlib.crc32(_BLOCK.pack(MARKER, kind, length, 0)))


def _zeros_behind(checksum: int, count: int) -> int:
    """Give what a checksum is after so many zero bytes, but for what that makes of 0 (zlib's `crc32_combine`)."""
    for matrix in _zero_matrices():
        if count & 1:
            checksum = _product(matrix, checksum)
        count >>= 1
    return checksum


@cache
def _zero_matrices() -> tuple[tuple[int, ...], ...]:
    """Make the matrices over GF(2), as columns, that put 1, 2, 4, ... zero bytes behind a checksum."""
    none = zlib.crc32(b"\0")
    matrices = [tuple(zlib.crc32(b"\0", 1 << bit) ^ none for bit in range(32))]
    while 1 << len(matrices) <= _STAMP.size + PAYLOAD_MAX_BYTES:
        matrices.append(tuple(_product(matrices[-1], column) for column in matrices[-1]))
    return tuple(matrices)


def _product(matrix: tuple[int, ...], vector: int) -> int:
    product = 0
    for column in matrix:
        if vector & 1:
            product ^= column
        vector >>= 1
    return product


def _is_zero(window: _Window, offset: int, size: int) -> bool:
    """Tell whether only zero bytes follow: a length that a power cut wrote before the data."""
    while offset < size and (part := window.rest(offset)):
        if part.count(0) < len(part):
            return False
        offset += len(part)
    return True


_KINDS = (
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file"),
    (0, b"PK\x03\x04", "a zip file"),
    (0, b"SQLite format 3\x00", "an SQLite database"),
    (16, b"\xed\x0c\xda\xed", "a Bolt database, as the Go program writes it"),
    (16, b"\xed\xda\x0c\xed", "a Bolt database, as the Go program writes it"),
)
"""(offset, bytes, what it is). Bolt's magic number 0xED0CDAED stands behind its first page's header, in host order."""


def _kind(head: bytes) -> str:
    """Name the kind of a file that is no state file, by its first bytes."""
    for offset, magic, kind in _KINDS:
        if head[offset : offset + len(magic)] == magic:
            return kind
    if not head.strip(b"\x00"):
        return "zero bytes"
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return "a text file"
    return f"something else (it begins with {head[:8].hex(' ')})"
