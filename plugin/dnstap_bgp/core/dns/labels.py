"""Names on the wire: read them, skip them, turn them into presentation format.

Inside this ring a name read from the wire is its *labels*: length bytes and labels as they stand there, uncompressed,
lower-cased, without the root's final zero byte (a length byte is at most 63 and no letter, so lower() is safe).
"""

from dnstap_bgp.core.model import Name
from dnstap_bgp.errors import DnsError

NAME_MAX_BYTES = 255
"""RFC 1035, 2.3.4: the length of a whole name, its length bytes and final zero included."""
LABEL_MAX_BYTES = 63
"""RFC 1035, 2.3.4; a byte beyond is no length."""
POINTERS_MAX = 127
"""A name of 255 bytes has at most 127 labels, and no compressor points at a bare pointer. Without this limit a message
could be all pointers, and each of its records cost thousands of steps."""

_LABEL = LABEL_MAX_BYTES + 1  # below: the length of a label
_POINTER = 0xC0  # from here on: with the next byte an offset (RFC 1035, 4.1.4); between the two: unused types

_PRINTED = 0x21  # from here on a length byte looks like a printed one
_PLAIN = bytes(byte for byte in range(_PRINTED, 0x7F) if byte not in b".\\")
_DOTTED = bytes(byte if byte in _PLAIN else 0x2E for byte in range(256))
_SPELLED = [bytes([byte]) if byte in _PLAIN else b"\\%03d" % byte for byte in range(256)]


def read_name(wire: bytes, offset: int) -> tuple[bytes, int]:
    """Read a name that may be compressed.

    Pointers must point strictly backwards, and what is read where one points to must end before it: so it always ends,
    and no byte is at the same time a pointer and a part of what it points to.

    Args:
        wire: The whole message.
        offset: Where the name starts.

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
    """The offset after a name whose content doesn't matter; a pointer is not followed.

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
    """Labels as `read_name` gives them -> presentation format; the root is empty.

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
    dotted = labels.translate(_DOTTED)
    if (
        dotted.count(b".") == count
    ):  # only the length bytes became dots, so nothing else is odd; twice as fast as slicing
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
    """Which bytes (from, to) spell the name at `offset`, one that `read_name` accepted."""
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
