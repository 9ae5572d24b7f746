"""Tail proofs: that no rule speaks for a name, by its last labels and the tail table (core/lists/tail_table.py).

A proof takes two steps, for one name or for all new names of a chunk at once:

  - The bytes are a whole number of labels. Else their end is not the end of a name: a zero byte inside a label may have
    cut it. For many names this is known from their *shapes*. A shape is the name with every letter, digit, hyphen and
    underscore replaced by the same one. The bytes that are lengths stay what they are, unless they look like one of
    those; then nothing is proved. So the walk from length to length is the same for all names of a shape, and done
    once. Shapes are few: a thousand for millions of names.
  - The table has no bit for the last two labels, or for three where two are not enough.

One by one a proof takes 0.5 us; of many names 0.3 us each, most of it in steps of the interpreter that take all of
them (bench, names: all names new).
"""

from collections.abc import Callable, Sequence
from operator import getitem
from typing import cast, final
from zlib import crc32

from dnstap_bgp.core.dns.labels import LABEL_MAX_BYTES
from dnstap_bgp.core.lists.tail_table import MARKS, TailTable

SHAPES_MAX = 2048
"""Shapes that are remembered, in 0.4 MB. Beyond, they are learnt anew: each for the cost of a proof."""
SHAPE_MAX_BYTES = 100
"""The shape of a longer name is walked each time."""

_END = b"\0"
_SAME = b"-_0123456789abcdefghijklmnopqrstuvwxyz"
_SHAPE = bytes(0x78 if byte in _SAME or byte > LABEL_MAX_BYTES else byte for byte in range(256))
_FROM = [slice(start, None) for start in range(SHAPE_MAX_BYTES)]
_NOTHING = slice(0, 0)


class _Shapes(dict[bytes, slice]):
    """Shape -> where the last two labels of a name stand; a shape that proves nothing, or is new, is looked at.

    Attributes:
        unproved: How often a shape proved nothing: no whole number of labels, or fewer than two.
    """

    __slots__ = ("unproved",)

    def __init__(self) -> None:
        super().__init__()
        self.unproved = 0

    def __missing__(self, shape: bytes) -> slice:
        before = at = next_at = 0
        end = len(shape)
        while next_at < end and shape[next_at] <= LABEL_MAX_BYTES:
            before, at = at, next_at
            next_at += shape[next_at] + 1
        if next_at != end or not at:
            self.unproved += 1
            return _NOTHING
        if end > SHAPE_MAX_BYTES:
            return slice(before, None)
        if len(self) >= SHAPES_MAX:
            self.clear()
        self[shape] = found = _FROM[before]
        return found


@final
class TailProofs:
    """Proofs for one rule set, that no rule speaks for a name and that its bytes are a whole name.

    Names of a single label, which are rare, are not ruled out. Names that are too long may be: no rule speaks for what
    can't be read, either.

    Attributes:
        rules_out: Proves it of one name: takes its labels, lower-cased, or any bytes. False: it must be looked up.
    """

    __slots__ = ("_shapes", "_shift", "_tails", "rules_out")

    def __init__(self, tails: TailTable | None) -> None:
        """Make the proofs.

        Args:
            tails: Of the rule set; None: nothing is proved.
        """
        self._tails = tails
        self._shift = tails.shift if tails is not None else 0
        self._shapes = _Shapes()
        self.rules_out: Callable[[bytes], bool] = _proof(tails) if tails is not None else lambda _: False

    def doubtful(self, names: Sequence[bytes]) -> list[int]:
        """Tell by their places, in order, which of some names are not ruled out.

        Args:
            names: Their labels, lower-cased, or any bytes without a zero byte.
        """
        if self._tails is None or not names:
            return list(range(len(names)))
        bits, has_single, crowded = self._tails
        shift, marks = self._shift, MARKS
        shapes = self._shapes
        unproved = shapes.unproved
        found = _END.join(names).translate(_SHAPE).split(_END)
        tails = cast("list[bytes]", list(map(getitem, names, map(shapes.__getitem__, found))))
        doubtful = [
            place for place, hashed in enumerate(map(crc32, tails)) if not bits[hashed >> shift] & marks[hashed & 63]
        ]
        if crowded:
            doubtful = [place for place in doubtful if not self._is_apart(names[place], tails[place])]
        if shapes.unproved == unproved and not has_single:
            return doubtful
        more = {place for place, tail in enumerate(tails) if not tail}
        if has_single:
            lasts = map(crc32, [tail[tail[0] + 1 :] if tail else tail for tail in tails])
            more.update(place for place, hashed in enumerate(lasts) if not bits[hashed >> shift] & marks[hashed & 63])
        return sorted(more.union(doubtful))

    def _is_apart(self, labels: bytes, tail: bytes) -> bool:
        """Prove of a name in whose tail many rules are that its last three labels are no rule's.

        Args:
            labels: The name, surely whole.
            tail: Its last two labels, or nothing.
        """
        assert self._tails is not None
        if tail not in self._tails.crowded:
            return False
        hashed = crc32(_longer(labels, len(labels) - len(tail)))
        return len(labels) == len(tail) or bool(self._tails.bits[hashed >> self._shift] & MARKS[hashed & 63])


def _proof(tails: TailTable) -> Callable[[bytes], bool]:
    """Make the proof for a rule set; what it needs is local to it, which makes it a fifth faster than a method.

    The function takes a name's labels, lower-cased, or any bytes. True is a proof; False means that the name must be
    looked up. What is no sequence of labels is not ruled out, so whoever gets a True knows besides that the bytes are a
    whole name. Nor are names of a single label, which are rare. Names that are too long may be: no rule speaks for what
    can't be read, either.
    """
    bits, has_single, crowded = tails
    shift, marks = tails.shift, MARKS

    def rules_out(labels: bytes) -> bool:
        before, end = 0, len(labels)
        try:
            last = labels[0] + 1
            at = last + labels[last] + 1
            while at != end:  # a length that leads past the end finds nothing there
                before, last = last, at
                at += labels[at] + 1
        except IndexError:
            return False
        if end > LABEL_MAX_BYTES and not has_lengths(labels):  # else a longer label had no place
            return False
        tail = labels[before:]
        hashed = crc32(tail)
        if not bits[hashed >> shift] & marks[hashed & 63]:
            if tail not in crowded:
                return False
            hashed = crc32(_longer(labels, before))
            if before and not bits[hashed >> shift] & marks[hashed & 63]:
                return False
        if has_single:
            hashed = crc32(labels[last:])
            return bool(bits[hashed >> shift] & marks[hashed & 63])
        return True

    return rules_out


def has_lengths(labels: bytes) -> bool:
    """Check that the bytes are a whole number of labels, of which each has a length that a label may have."""
    at, end = 0, len(labels)
    while at < end:
        if labels[at] > LABEL_MAX_BYTES:
            return False
        at += labels[at] + 1
    return at == end


def _longer(labels: bytes, tail: int) -> bytes:
    """Give the tail that has one label more than the one at an offset."""
    before = at = 0
    while at < tail:
        before = at
        at += labels[at] + 1
    return labels[before:]
