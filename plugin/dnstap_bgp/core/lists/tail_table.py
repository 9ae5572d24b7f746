"""Tail table: bits that prove, from the last labels of a name, that no rule can speak for it.

A rule speaks for its domain or for names below it. So a name that a rule speaks for ends with the labels of that rule's
domain, and where the domain has two labels or more, the name's last two are the domain's last two. The CRC-32 of each
such pair tells a byte of the table, and in it two bits, which are cleared; where either bit of a name's pair is set, no
rule speaks for the name. (Bits that are cleared say nothing: other pairs share them.) Domains of one label are rare,
`cn` for a country; only where there are any, a name's last label is looked up as well.

Below some pairs are many rules, and many names beside them: `co.uk`, or a host of customers' pages. Such a pair is
*crowded*, unless a rule speaks for all below it: there the last three labels have a bit, and tell a name from the rules
beside it.

Most names are on no list, and have no rule near. For these a proof takes 0.3 to 0.5 us (core/tap/tail_proofs.py),
where a lookup in the trie takes 1.3 us, the name's presentation format included. Two bits of one byte are looked up as
fast as one bit, and leave half as many names.
"""

import heapq
import re
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple
from zlib import crc32

BITS_PER_TAIL = 16
"""With so many bits for each different tail, one name in 36 without a rule near is not ruled out."""
BYTES_MIN, BYTES_MAX = 1 << 9, 1 << 23
"""Size of a table: a power of two, so that a hash is cut by a shift. Four million different tails fill the largest."""
SMALL_BYTES = 1 << 17
"""A table smaller than this has twice the bits: they fit the CPU's cache, and only one name in 80 is not ruled out."""
CROWDED_MIN = 4
"""A pair with rules below so many different third labels is crowded."""
CROWDED_MAX = 1024
"""The most crowded pairs of a rule set, in 100 KB."""

MARKS = bytes([*([1 << one | 1 << other for one, other in combinations(range(8), 2)] * 3)[:64]])
"""The two bits of a tail in its byte, by the last six bits of its hash."""
HASH_BITS = 32

_CHUNK = 1 << 16  # keys that are looked at together
_PAIR = re.compile(rb"^[^.\n]*+\.(?:[^.\n]*+\.)?+", re.MULTILINE)  # the first two labels of a key, or its only one
_BEHIND_DOT = b"/"  # follows the dot, so that it is behind all keys with the same labels
_LENGTHS = [bytes((length,)) for length in range(256)]
_NONE = b"\0"  # in place of a key's beginning: no key has it
_ESCAPE = re.compile(rb"\\([0-9]{3})")


class TailTable(NamedTuple):
    """A tail table.

    Attributes:
        bits: 2 ** n bytes. The first n bits of a hash tell a byte, the last six the bits in it that are cleared, by
            `MARKS`.
        has_single: Some rule's domain has one label.
        crowded: Pairs of labels as on the wire, for which three labels decide.
    """

    bits: bytes
    has_single: bool
    crowded: frozenset[bytes] = frozenset()

    @property
    def shift(self) -> int:
        """Tell how many of a hash's bits stand behind those that tell its byte."""
        return HASH_BITS + 1 - len(self.bits).bit_length()


def build(keys: Iterable[bytes]) -> TailTable:
    """Make the table of a rule set; 1 us a key.

    Args:
        keys: Domains as the trie has them: backwards, with a dot behind (`moc.elpmaxe.`).
    """
    ordered = sorted(keys)  # so the domains below a pair of labels follow one another
    hashes = array("I")
    candidates: dict[bytes, _Group] = {}
    has_single = False
    last = _NONE
    for begin in range(0, len(ordered), _CHUNK):
        # One regular expression over many keys at once: a loop over 2,000,000 keys took three times as long.
        pair_of_key = _PAIR.findall(b"\n".join(ordered[begin : begin + _CHUNK]))
        pairs = Counter(pair_of_key)
        at_border = last if pairs.pop(last, 0) else b""
        hashes.extend(_hashes(pairs, 2))
        has_single = has_single or b"".join(pairs).count(b".") < 2 * len(pairs)
        last = pair_of_key[-1]
        # What goes over a border is counted as a whole below.
        several = [pair for pair, count in pairs.items() if count >= CROWDED_MIN]
        candidates |= {pair: _group(pair, ordered) for pair in {*several, last, at_border} if pair}
    crowded = heapq.nlargest(
        CROWDED_MAX,
        ((pair, group) for pair, group in candidates.items() if group.thirds >= CROWDED_MIN),
        key=lambda each: each[1].thirds,
    )
    for _, group in crowded:
        hashes.extend(_hashes(tuple(_thirds(ordered, group.begin, group.end)), 3))
    bits = _bits(hashes)
    return TailTable(bits, has_single, frozenset(_spelled(pair) for pair, _ in crowded))


def _bits(hashes: Sequence[int]) -> bytes:
    """Make the bits of hashes."""
    size = BYTES_MIN
    while size * 8 < BITS_PER_TAIL * len(hashes) and size < BYTES_MAX:
        size *= 2
    size *= 2 if size < SMALL_BYTES else 1
    bits = bytearray(b"\xff" * size)
    shift = TailTable(bytes(bits), has_single=False).shift
    for hashed in hashes:
        bits[hashed >> shift] &= ~MARKS[hashed & 63]
    return bytes(bits)


class _Group(NamedTuple):
    """The domains that end with the same two labels.

    Attributes:
        begin: The place of the first one among all; `end`: behind the last one.
        thirds: How many different third labels they have; 0 where a rule speaks for all below the pair.
    """

    begin: int
    end: int
    thirds: int


def _group(pair: bytes, ordered: Sequence[bytes]) -> _Group:
    """Find the domains of a pair among sorted keys."""
    begin = bisect_left(ordered, pair)
    end = bisect_left(ordered, pair[:-1] + _BEHIND_DOT, begin)
    is_ruled = pair.count(b".") == 1 or ordered[begin] == pair
    return _Group(begin, end, 0 if is_ruled else sum(1 for _ in _thirds(ordered, begin, end)))


def _thirds(ordered: Sequence[bytes], begin: int, end: int) -> Iterator[bytes]:
    """Give the first three labels of some of the sorted keys, each once."""
    third = _NONE
    for place in range(begin, end):
        key = ordered[place]
        if not key.startswith(third):
            labels = key.split(b".", 3)
            third = b"%b.%b.%b." % tuple(labels[:3])
            yield third


def _hashes(beginnings: Collection[bytes], count: int) -> Iterable[int]:
    """Hash beginnings of keys, of so many labels each: in a fifth of the time that they take one by one."""
    text = b"".join(beginnings)
    if not text or b"\\" in text or text.count(b".") != count * len(beginnings):
        return map(_hash, beginnings)
    labels = [_LENGTHS[len(label)] + label for label in text[-2::-1].split(b".")]
    return map(crc32, map(b"".join, zip(*[iter(labels)] * count, strict=True)))


def _hash(key: bytes) -> int:
    """Hash the labels of a key's beginning."""
    return crc32(_spelled(key))


def _spelled(key: bytes) -> bytes:
    """Spell the labels of a key's beginning as on the wire."""
    return b"".join(map(_label, reversed(key[:-1].split(b"."))))


def _label(backwards: bytes) -> bytes:
    """Turn a label of a key into what stands on the wire."""
    label = backwards[::-1]
    if b"\\" in label:
        label = _ESCAPE.sub(lambda found: bytes((int(found[1]) & 0xFF,)), label)
    return bytes((min(len(label), 0xFF),)) + label
