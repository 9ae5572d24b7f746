"""A rule set as bytes that can be mapped from a file, and back without reading or building anything.

    magic       8 bytes
    version     u32, native byte order: a file of the other order shows as an unknown version
    checksum    32 bytes, SHA-256 of all that follows
    length      u32, of the header
    header      JSON: counts, rows, where the rest lies, `about`
    trie        as marisa writes it, at a multiple of 8
    row ids     an array of unsigned numbers, at a multiple of 8
    prefixes    each with its length in a byte before it, list by list

marisa trusts what it maps: a cut or changed trie crashes the process. So the checksum comes before any look inside.
"""

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import marisa_trie

from dnstap_bgp.core.lists.domains import Row, RuleSet
from dnstap_bgp.core.model import Prefix
from dnstap_bgp.errors import ListError

_MAGIC = b"DNSTAPRL"
_VERSION = 2
_FIXED = struct.Struct("=8sI32s")
_LENGTH = struct.Struct("=I")
_HEADER_AT = _FIXED.size + _LENGTH.size
_ALIGNMENT = 8  # marisa reads 64-bit words in place


def pack(rules: RuleSet, prefixes: Mapping[str, Sequence[Prefix]], about: str) -> bytes:
    """Write a rule set.

    Args:
        rules: Built or mapped.
        prefixes: List name -> its static prefixes.
        about: The caller's own note, given back by `unpack`: where the rules are from.
    """
    trie = rules.trie.tobytes()
    row_ids = rules.row_ids if rules.row_ids is not None else memoryview(b"")
    header = json.dumps(
        {
            "counts": list(rules.counts.items()),
            "rows": rules.rows,
            "trie_bytes": len(trie),
            "row_id_code": row_ids.format if len(row_ids) else None,
            "row_id_bytes": row_ids.nbytes,
            "prefixes": [(name, len(found)) for name, found in prefixes.items()],
            "about": about,
        }
    ).encode()
    parts = (
        _LENGTH.pack(len(header)),
        header,
        _padding(_HEADER_AT + len(header)),
        trie,
        _padding(len(trie)),
        row_ids.tobytes(),
        *(bytes([len(prefix)]) + prefix for found in prefixes.values() for prefix in found),
    )
    checksum = hashlib.sha256()
    for part in parts:
        checksum.update(part)
    return b"".join((_FIXED.pack(_MAGIC, _VERSION, checksum.digest()), *parts))


def unpack(buffer: memoryview) -> tuple[RuleSet, dict[str, tuple[Prefix, ...]], str]:
    """Open a rule set in place; the set keeps the buffer.

    Args:
        buffer: What `pack` wrote, usually a mapped file, which must not change as long as the set lives.

    Returns:
        The set, the static prefixes and the caller's note.

    Raises:
        ListError: It is cut, changed, of another kind or of another version.
    """
    if len(buffer) < _HEADER_AT:
        raise ListError(f"a compiled list of {len(buffer)} bytes is cut")
    magic, version, checksum = _FIXED.unpack_from(buffer)
    if magic != _MAGIC or version != _VERSION:
        raise ListError(f"no compiled list of version {_VERSION}")
    if hashlib.sha256(buffer[_FIXED.size :]).digest() != checksum:
        raise ListError("a compiled list is damaged: its checksum differs")
    # From here on it is what `pack` wrote: the checksum covers it.
    header_end = _HEADER_AT + _LENGTH.unpack_from(buffer, _FIXED.size)[0]
    header: dict[str, Any] = json.loads(bytes(buffer[_HEADER_AT:header_end]))
    trie_at = _aligned(header_end)
    row_ids_at = trie_at + _aligned(header["trie_bytes"])
    trie = marisa_trie.BinaryTrie()
    try:
        trie.map(buffer[trie_at : trie_at + header["trie_bytes"]])
    except RuntimeError as error:
        raise ListError(f"a compiled list is of another marisa version: {error}") from error
    code = header["row_id_code"]
    prefixes_at = row_ids_at + header["row_id_bytes"]
    row_ids = buffer[row_ids_at:prefixes_at].cast(code) if code else None
    each = _prefixes(bytes(buffer[prefixes_at:]))
    prefixes = {name: tuple(next(each) for _ in range(count)) for name, count in header["prefixes"]}
    rows = [Row(*row) for row in header["rows"]]
    return RuleSet(dict(header["counts"]), rows, row_ids, trie, buffer), prefixes, header["about"]


def _prefixes(packed: bytes) -> Iterator[Prefix]:
    at = 0
    while at < len(packed):
        end = at + 1 + packed[at]
        yield packed[at + 1 : end]
        at = end


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _padding(size: int) -> bytes:
    return bytes(_aligned(size) - size)
