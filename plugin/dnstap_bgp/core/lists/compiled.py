"""Compiled rule sets: bytes that can be mapped from a file, and back without reading or building anything.

    magic       8 bytes
    version     u32, native byte order: a file of the other order shows as an unknown version
    checksum    32 bytes, SHA-256 of the version and all that follows
    length      u32, of the header
    header      JSON: counts, rows, public suffixes, patterns, where the rest lies, `about`
    trie        as marisa writes it, at a multiple of 8
    row ids     an array of unsigned numbers, at a multiple of 8
    prefixes    each with its length in a byte before it, list by list
    tails       the bits of the tail table; what 0.1.0 writes has none

marisa trusts what it maps: a cut or changed trie crashes the process. So the checksum comes before any look inside.
"""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import marisa_trie

from dnstap_bgp.core.digest import sha256
from dnstap_bgp.core.lists.pattern_rules import PatternRuleSet
from dnstap_bgp.core.lists.patterns import Pattern, PatternKind, PatternSet
from dnstap_bgp.core.lists.rules import RuleSet, TrieRow
from dnstap_bgp.core.lists.tail_table import MARKS, TailTable
from dnstap_bgp.core.model import Prefix
from dnstap_bgp.errors import ListError

_MAGIC = b"DNSTAPRL"
_VERSION = 3
_BEFORE_CHILDREN = 2  # what 0.1.0 writes: rows without rules of the kind CHILDREN; read, so that an upgrade has a past
_FIXED = struct.Struct("=8sI32s")
_LENGTH = struct.Struct("=I")
_HEADER_AT = _FIXED.size + _LENGTH.size
_ALIGNMENT = 8  # marisa reads 64-bit words in place


def pack(rules: RuleSet, prefixes: Mapping[str, Sequence[Prefix]], about: str) -> bytes:
    """Write a rule set as bytes.

    Args:
        rules: Built or mapped.
        prefixes: List name -> its static prefixes.
        about: The caller's own note, given back by `unpack`: where the rules are from.
    """
    trie = rules.trie.tobytes()
    row_ids = rules.row_ids if rules.row_ids is not None else memoryview(b"")
    tails = rules.domain_tails
    header = json.dumps(
        {
            "counts": list(rules.counts.items()),
            "rows": rules.rows,
            "trie_bytes": len(trie),
            "row_id_code": row_ids.format if len(row_ids) else None,
            "row_id_bytes": row_ids.nbytes,
            "prefixes": [(name, len(found)) for name, found in prefixes.items()],
            "tail_bytes": len(tails.bits) if tails is not None else 0,
            "tail_marks": len(MARKS),
            "has_single": tails is not None and tails.has_single,
            "crowded": [tail.hex() for tail in sorted(tails.crowded)] if tails is not None else [],
            "suffixes": sorted(entry.decode("ascii") for entry in rules.suffixes),
            "patterns": [(number, *pattern) for number, pattern in rules.patterns.patterns] if rules.patterns else [],
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
        tails.bits if tails is not None else b"",
    )
    checksum = sha256(_LENGTH.pack(_VERSION), total_bytes=sum(map(len, parts)))
    for part in parts:
        checksum.update(part)
    return b"".join((_FIXED.pack(_MAGIC, _VERSION, checksum.digest()), *parts))


def unpack(buffer: memoryview) -> tuple[RuleSet, dict[str, tuple[Prefix, ...]], str]:
    """Open a compiled rule set in place; the set keeps the buffer.

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
    if magic != _MAGIC or version not in (_VERSION, _BEFORE_CHILDREN):
        raise ListError(f"no compiled list of version {_VERSION}")
    found = sha256(b"" if version == _BEFORE_CHILDREN else _LENGTH.pack(version), total_bytes=len(buffer))
    found.update(buffer[_FIXED.size :])
    if found.digest() != checksum:
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
    tails_at = len(buffer) - header.get("tail_bytes", 0)
    tails = None
    if tails_at < len(buffer) and header.get("tail_marks") == len(MARKS):  # else of a form that was left before 0.2.0
        crowded = frozenset(map(bytes.fromhex, header.get("crowded", ())))
        tails = TailTable(bytes(buffer[tails_at:]), header["has_single"], crowded)
    each = _prefixes(bytes(buffer[prefixes_at:tails_at]))
    prefixes = {name: tuple(next(each) for _ in range(count)) for name, count in header["prefixes"]}
    if version == _BEFORE_CHILDREN:
        rows = [TrieRow(own, below, below, _with_children(rules)) for own, below, rules in header["rows"]]
    else:
        rows = [TrieRow(*row) for row in header["rows"]]
    # Files that earlier code wrote have none: there a name's owner is one label below the rule's domain.
    suffixes = frozenset(entry.encode("ascii") for entry in header.get("suffixes", ()))
    counts = dict(header["counts"])
    # Built anew from their texts, never from a library's own form of them, in which a damaged one is code or a crash.
    patterns = [(number, Pattern(text, PatternKind(kind))) for number, text, kind in header.get("patterns", ())]
    if patterns:
        made = PatternSet(patterns)
        return (
            PatternRuleSet(counts, rows, row_ids, trie, buffer, tails, suffixes, made),
            prefixes,
            header["about"],
        )
    return RuleSet(counts, rows, row_ids, trie, buffer, tails, suffixes), prefixes, header["about"]


def _with_children(rules: int) -> int:
    """Convert a row's rules from 3 kinds to 4: six bits a list become eight, with a gap for each of the new kind."""
    converted = number = 0
    while rules:
        converted |= (rules & 7 | (rules >> 3 & 7) << 4) << 8 * number
        rules, number = rules >> 6, number + 1
    return converted


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
