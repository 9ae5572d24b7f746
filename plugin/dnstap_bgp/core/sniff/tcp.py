"""DNS messages within TCP connections (RFC 7766), as far as answers of a few segments need it.

What comes in order is put together; what comes early waits for the gap to be filled, within limits. A connection that
was there before us is joined where a segment is just one message.
"""

import struct
from collections import OrderedDict
from collections.abc import Iterator

CONNECTIONS_MAX = 4096
"""Directions of connections that are followed; the one that was silent longest is forgotten for a new one."""

HELD_MAX_BYTES = 8 << 20
"""Of all parts of messages that wait for the rest."""

HELD_OF_ONE = 70_000
"""One message of 65,535 bytes, and what begins behind it."""

EARLY_MAX = 16
"""Segments that are kept of one direction before those in front of them."""

_HEADER = struct.Struct("!HHIIBB")  # ports, sequence, acknowledgement, data offset, flags (RFC 9293, 3.1)
_FIN, _SYN, _RST = 1, 2, 4
_SPACE = 1 << 32
_LEAST = 12  # a DNS header

Flow = tuple[bytes, int, bytes, int, int, bool]
"""Source address and port, target address and port: one direction of a connection; the interface, and whether it leaves
there: what comes in by another way may be forged, and must not mix with it."""


class _Stream:
    """One direction of a connection."""

    __slots__ = ("begun", "early", "held", "next")

    def __init__(self, sequence: int) -> None:
        self.next = sequence
        self.begun = b""  # in order, without a whole message
        self.early: dict[int, bytes] = {}
        self.held = 0


class TcpMessages:
    """Messages of the TCP connections that were seen.

    Attributes:
        lost: Directions of connections that had to be given up: too much was missing, or too many were open.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._streams: OrderedDict[Flow, _Stream] = OrderedDict()  # least recently used first
        self._held = 0

    def read(self, flow: Flow, segment: bytes) -> Iterator[bytes]:
        """Take one segment; give the messages that are whole by it.

        Args:
            flow: Its direction.
            segment: From its TCP header on.
        """
        try:
            _, _, sequence, _, offset, flags = _HEADER.unpack_from(segment)
        except struct.error:
            return
        begin = (offset >> 4) * 4
        if begin < 20 or begin > len(segment):
            return
        if flags & _SYN:
            self._forget(flow)
            self._open(flow, (sequence + 1) % _SPACE)
            return
        data = segment[begin:]
        stream = self._streams.get(flow)
        if stream is None and data:
            stream = self._join(flow, sequence, data)
        if stream is not None and data:
            self._streams.move_to_end(flow)
            yield from self._take(flow, stream, sequence, data)
        if flags & (_FIN | _RST):
            self._forget(flow)

    def _open(self, flow: Flow, sequence: int) -> _Stream:
        while len(self._streams) >= CONNECTIONS_MAX:
            self._give_up(next(iter(self._streams)))
        stream = self._streams[flow] = _Stream(sequence)
        return stream

    def _join(self, flow: Flow, sequence: int, data: bytes) -> _Stream | None:
        """Begin with a connection that was open before us, where a segment is one message."""
        length = int.from_bytes(data[:2], "big")
        if length < _LEAST or length + 2 != len(data):
            return None
        return self._open(flow, sequence)

    def _take(self, flow: Flow, stream: _Stream, sequence: int, data: bytes) -> Iterator[bytes]:
        ahead = (sequence - stream.next) % _SPACE
        if ahead >= _SPACE // 2:  # it begins before what is expected: repeated, or partly new
            known = _SPACE - ahead
            if known >= len(data):
                return
            ahead, data = 0, data[known:]
        if ahead:
            if len(stream.early) >= EARLY_MAX or ahead > HELD_OF_ONE:
                self._give_up(flow)
                return
            self._hold(stream, len(data) - len(stream.early.get(sequence, b"")))
            stream.early[sequence] = data
        else:
            yield from self._append(stream, data)
            while (following := self._take_early(stream)) is not None:
                yield from self._append(stream, following)
        if stream.held > HELD_OF_ONE * 2:
            self._give_up(flow)
        while self._held > HELD_MAX_BYTES:
            self._give_up(next(iter(self._streams)))

    def _take_early(self, stream: _Stream) -> bytes | None:
        """Take out an early segment that the stream has reached, without what is known of it; None: none is reached.

        What is sent again may be cut into other segments, so one may have been reached in its middle, or passed.
        """
        for sequence, data in stream.early.items():
            known = (stream.next - sequence) % _SPACE
            if known < _SPACE // 2:
                del stream.early[sequence]
                self._hold(stream, -len(data))
                return data[known:]
        return None

    def _append(self, stream: _Stream, data: bytes) -> Iterator[bytes]:
        stream.next = (stream.next + len(data)) % _SPACE
        self._hold(stream, -len(stream.begun))
        begun, at = stream.begun + data, 0
        while len(begun) - at >= 2:
            length = int.from_bytes(begun[at : at + 2], "big")
            if len(begun) - at - 2 < length:
                break
            if length >= _LEAST:
                yield begun[at + 2 : at + 2 + length]
            at += 2 + length
        stream.begun = begun[at:]
        self._hold(stream, len(stream.begun))

    def _hold(self, stream: _Stream, more: int) -> None:
        stream.held += more
        self._held += more

    def _give_up(self, flow: Flow) -> None:
        self.lost += 1
        self._forget(flow)

    def _forget(self, flow: Flow) -> None:
        stream = self._streams.pop(flow, None)
        if stream is not None:
            self._held -= stream.held
