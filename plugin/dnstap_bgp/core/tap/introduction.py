"""Who sends: the identity and version that the first frame of a connection tells, for people.

Read by hand from that one frame, so that the schema of all frames need not have a field that no other reads.
"""

TEXT_MAX = 64
"""Characters of each that are kept: a host name, `unbound 1.17.1`."""

_LENGTH_BYTES = 4
_VARINT, _I64, _LEN, _I32 = 0, 1, 2, 5  # wire types of protobuf
_IDENTITY, _VERSION = 1, 2  # fields of dnstap.Dnstap


def introduction(buffer: bytes | bytearray, start: int, end: int) -> tuple[str, str] | None:
    """Read the first data frame of a buffer.

    Args:
        buffer: Bytes of a Frame Streams connection.
        start: Where a frame starts, with its length.
        end: Where the valid bytes end.

    Returns:
        Identity and version, printable, empty where the sender leaves them out or the frame is broken; None: the frame
        is not whole yet, or it is a control frame.
    """
    size = int.from_bytes(buffer[start : start + _LENGTH_BYTES])
    first = start + _LENGTH_BYTES
    if not size or end < first + size:
        return None
    try:
        found = _fields(bytes(buffer[first : first + size]))
    except IndexError:  # it ends within a field, which whoever decodes it counts
        found = {}
    return _printable(found.get(_IDENTITY, b"")), _printable(found.get(_VERSION, b""))


def _fields(frame: bytes) -> dict[int, bytes]:
    """The values of the wanted fields, by number; of one that stands twice the last counts."""
    found = {}
    at = 0
    while at < len(frame):
        key, at = _varint(frame, at)
        kind, number = key & 7, key >> 3
        if kind == _VARINT:
            _, at = _varint(frame, at)
        elif kind == _LEN:
            size, at = _varint(frame, at)
            if number in (_IDENTITY, _VERSION):
                found[number] = frame[at : at + size]
            at += size
        elif kind in (_I64, _I32):
            at += 8 if kind == _I64 else 4
        else:
            break
    return found


def _varint(frame: bytes, at: int) -> tuple[int, int]:
    """A number and what follows it.

    Raises:
        IndexError: The frame ends within it, or it is longer than any.
    """
    value = 0
    for shift in range(0, 64, 7):
        byte = frame[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise IndexError


def _printable(value: bytes) -> str:
    text = value[: 4 * TEXT_MAX].decode("utf-8", "replace")[:TEXT_MAX]
    return "".join(char if char.isprintable() else "?" for char in text)
