"""Domain names on the wire (RFC 1035, 3.1 and 4.1.4): read, skipped, turned into presentation format.

Inside this ring a name read from the wire is its *labels*: length bytes and labels as they stand there, uncompressed,
lower-cased, without the root's final zero byte (a length byte is at most 63 and no letter, so lower() is safe).
"""

from dnstap_bgp.core.model import Name
from dnstap_bgp.errors import DnsError, WorkExceededError

NAME_MAX_BYTES = 255
"""RFC 1035, 2.3.4: the length of a whole name, its length bytes and final zero included."""
LABEL_MAX_BYTES = 63
"""RFC 1035, 2.3.4; a byte beyond is no length."""
POINTERS_MAX = 127
"""A name of 255 bytes has at most 127 labels, and no compressor points at a bare pointer. Without this limit a message
could be all pointers, and each of its records cost thousands of steps."""

NAME_UNITS, RECORD_UNITS = 2, 4
"""Units of work for one name, beside its length and its pointers, and for one record that is walked."""

UNLIMITED_UNITS = 1 << 62
"""A budget that nothing spends."""

_LABEL = LABEL_MAX_BYTES + 1  # below: the length of a label
_POINTER = 0xC0  # from here on: with the next byte an offset (RFC 1035, 4.1.4); between the two: unused types

FIRST_POINTER = b"\xc0"
"""Two bytes that spell a pointer compare as at least this; those that begin a label as less."""

_PRINTED = 0x21  # from here on a length byte looks like a printed one
_PLAIN = bytes(byte for byte in range(_PRINTED, 0x7F) if byte not in b".\\")
_DOTTED = bytes(byte if byte in _PLAIN else 0x2E for byte in range(256))
_SPELLED = [bytes([byte]) if byte in _PLAIN else b"\\%03d" % byte for byte in range(256)]


class WorkBudget:
    """A budget of work: what the costly ways of reading may still spend before the rest is skipped.

    The budget counts work, not time, so that the same bytes always have the same outcome. A unit is about 0.25 us.

    Attributes:
        left: Units that are left; below zero the budget is spent.
    """

    __slots__ = ("left",)

    def __init__(self, units: int) -> None:
        self.left = units

    def check(self) -> None:
        """Refuse to go on once the budget is spent.

        Raises:
            WorkExceededError: The budget is spent.
        """
        if self.left < 0:
            raise WorkExceededError("the work for this chunk is spent")


def read_name(wire: bytes, offset: int, work: WorkBudget | None = None) -> tuple[bytes, int]:  # noqa: C901 - a call for each label or pointer costs half of it
    """Read a name that may be compressed (RFC 1035, 4.1.4).

    Pointers must point strictly backwards, and what is read where one points to must end before it: so it always ends,
    and no byte is at the same time a pointer and a part of what it points to.

    Args:
        wire: The whole message.
        offset: Where the name starts.
        work: Charged for a name that could be read; the caller looks whether the budget is spent.

    Returns:
        Its labels and the offset of the first byte after it.

    Raises:
        DnsError: It is cut, too long, of an unknown label type, or its pointers loop.
    """
    first = start = offset  # of the name, and of the stretch of labels that is being walked
    end = len(wire)  # what this stretch must not reach
    after = pointers = 0
    labels = b""
    try:
        while True:
            length = wire[offset]
            if 0 < length < _LABEL:
                offset += length + 1
                if offset - start > NAME_MAX_BYTES:
                    raise DnsError(f"the name at {first} is longer than {NAME_MAX_BYTES} bytes")
                continue
            labels += wire[start:offset]
            if len(labels) >= NAME_MAX_BYTES:
                raise DnsError(f"the name at {first} is longer than {NAME_MAX_BYTES} bytes")
            if offset >= end or (length and offset + 1 >= end):
                raise DnsError(f"the name at {first} is cut or runs into itself at {end}")
            if not length:
                if work is not None:
                    work.left -= NAME_UNITS + pointers + (len(labels) >> 3)
                return labels.lower(), after or offset + 1
            if length < _POINTER:
                raise DnsError(f"label type {length:#x} at {offset}")
            pointers += 1
            target = (length & ~_POINTER) << 8 | wire[offset + 1]
            if target >= start or pointers > POINTERS_MAX:
                raise DnsError(f"pointer {pointers} of the name at {first} points from {offset} to {target}")
            after = after or offset + 2
            end, start, offset = offset, target, target
    except IndexError:
        raise DnsError(f"the name at {first} is cut at {len(wire)}") from None


def skip_name(wire: bytes, offset: int) -> int:
    """Give the offset behind a name whose content doesn't matter; a pointer is not followed.

    Raises:
        DnsError: It is cut or of an unknown label type.
    """
    try:
        while length := wire[offset]:
            if length >= _POINTER:
                return offset + 2
            if length >= _LABEL:
                raise DnsError(f"label type {length:#x} at {offset}")
            offset += length + 1
    except IndexError:
        raise DnsError(f"a name is cut at {len(wire)}") from None
    return offset + 1


def to_name(labels: bytes) -> Name:
    """Turn labels, as `read_name` gives them, into presentation format (`core.model`); the root is empty.

    Raises:
        DnsError: The bytes are not exactly a sequence of labels.
    """
    offset = count = 0
    end = len(labels)
    while offset < end:
        length = labels[offset]
        if length >= _PRINTED:
            return _spell(labels)
        offset += length + 1
        count += 1
    if offset != end or end >= NAME_MAX_BYTES:
        raise DnsError(f"{end} bytes are no labels: the last one ends at {offset}")
    # Every byte that is not printed as it is became a dot. As many dots as labels: then only the length bytes did, and
    # the name is done, in half of the time that slicing takes.
    dotted = labels.translate(_DOTTED)
    if dotted.count(b".") == count:
        return dotted[1:]
    return _spell(labels)


def _spell(labels: bytes) -> Name:
    parts = []
    offset = 0
    end = len(labels)
    while offset < end and labels[offset] < _LABEL:
        after = offset + labels[offset] + 1
        parts.append(b"".join(map(_SPELLED.__getitem__, labels[offset + 1 : after])))
        offset = after
    if offset != end or end >= NAME_MAX_BYTES:
        raise DnsError(f"{end} bytes are no labels: the last one starts or ends at {offset}")
    return b".".join(parts)


def spans(wire: bytes, offset: int) -> list[tuple[int, int]]:
    """List the stretches of bytes (from, to) that spell the name at `offset`, one that `read_name` accepted."""
    found = []
    start = offset
    while length := wire[offset]:
        if length >= _POINTER:
            found.append((start, offset + 2))
            start = offset = (length & ~_POINTER) << 8 | wire[offset + 1]
        else:
            offset += length + 1
    found.append((start, offset + 1))
    return found
