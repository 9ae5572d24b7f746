"""Packets of UDP and TCP off the wire (RFC 791, 8200, 768, 9293), with IP fragments put together.

Only what a filter in the kernel has let through comes here: port 53, and later fragments of UDP, which have no ports.
Packets are hostile, as anybody may send any: each step is bounded by what the packet itself has, and fragments are
kept in bounded memory for a short time, by where they were seen: what is forged elsewhere completes no datagram.
Checksums are not looked at: what leaves this host has none yet.
"""

import struct
from collections import OrderedDict
from typing import NamedTuple

DNS_PORT = 53
UDP, TCP = 17, 6

FRAGMENTS_MAX_BYTES = 4 << 20
"""Of all fragments that wait for others, with what each costs beside its bytes."""

PIECE_BYTES = 600
"""Beside its bytes, of a fragment that is the only one of its datagram: objects and keys."""

FRAGMENT_S = 2.0
"""As long as fragments of one datagram are together on the wire, and much longer."""

FRAGMENTS_OF_ONE = 64
"""Pieces of one datagram: 45 at the usual 1,500 bytes."""

_DATAGRAM_MAX = 0xFFFF
_IPV4 = struct.Struct("!BxHHHxBxx4s4s")  # version and length, total length, identification, flags and offset, protocol
_USUAL = struct.Struct("!BxHxxHxBxx4s4sHHH")  # the same, and UDP behind it: ports, length
_USUAL_FIRST = 0x45  # version 4, a header of 20 bytes
_FRAGMENT_BITS = 0x3FFF  # more follow, or an offset
_IPV6 = struct.Struct("!IHBx16s16s")  # version, payload length, next header, source, destination
_FRAGMENT = struct.Struct("!BxHI")  # next header, offset and flags, identification (RFC 8200, 4.5)
_PORTS = struct.Struct("!HH")
_IPV6_FRAGMENT = 44
_IPV6_OPTIONS = frozenset({0, 43, 60})  # hop-by-hop, routing, destination options: length in units of 8 bytes
_OPTIONS_MAX = 8


class Packet(NamedTuple):
    """UDP datagram or TCP segment.

    Attributes:
        protocol: `UDP` or `TCP`.
        source: Packed address.
        source_port: Its port.
        target: Packed address.
        target_port: Its port.
        data: Of UDP what it carries; of TCP the segment, header included.
    """

    protocol: int
    source: bytes
    source_port: int
    target: bytes
    target_port: int
    data: bytes


_Key = tuple[bytes, bytes, int, int, int]
"""Source, target, identification and protocol of a datagram (RFC 791, 3.2); the way by which it was seen."""


class _Pieces:
    """Fragments of one datagram."""

    __slots__ = ("began", "by_offset", "cost", "held", "total")

    def __init__(self, began: float) -> None:
        self.began = began
        self.by_offset: dict[int, bytes] = {}
        self.held = 0  # bytes of the datagram
        self.cost = 0  # bytes of memory
        self.total: int | None = None


class PacketReader:
    """Reader of IP packets, which keeps fragments until their datagram is whole.

    Attributes:
        malformed: Packets that were none, or broke a limit.
        lost_fragments: Fragments whose datagram never became whole, or that there was no room for.
    """

    def __init__(self) -> None:
        self.malformed = 0
        self.lost_fragments = 0
        self._pieces: OrderedDict[_Key, _Pieces] = OrderedDict()  # oldest first
        self._held = 0

    def read(self, packet: bytes, now: float, way: int) -> Packet | None:
        """Read one packet.

        Args:
            packet: From its IP header on; what follows its length is padding.
            now: Seconds, never going back.
            way: Where it was seen: the number of an interface, and negative if it leaves there.

        Returns:
            None: it is no UDP or TCP, or a fragment of what is not whole yet.
        """
        try:
            # Nearly all are UDP over IPv4, whole and without options: both headers at once take half of the time.
            if packet[0] == _USUAL_FIRST and len(packet) >= _USUAL.size:
                _, total, fragment, protocol, source, target, source_port, target_port, length = _USUAL.unpack_from(
                    packet
                )
                if protocol == UDP and not fragment & _FRAGMENT_BITS and 28 <= 20 + length <= total <= len(packet):
                    return Packet(UDP, source, source_port, target, target_port, packet[28 : 20 + length])
            version = packet[0] >> 4
            if version == 4:
                return self._read_ipv4(packet, now, way)
            if version == 6:
                return self._read_ipv6(packet, now, way)
        except (IndexError, struct.error):
            pass
        self.malformed += 1
        return None

    def _read_ipv4(self, packet: bytes, now: float, way: int) -> Packet | None:
        first, total, number, fragment, protocol, source, target = _IPV4.unpack_from(packet)
        begin = (first & 0xF) * 4
        if begin < 20 or total < begin or total > len(packet):
            raise IndexError
        data = packet[begin:total]
        if fragment & _FRAGMENT_BITS:
            key = (source, target, number, protocol, way)
            return self._piece(key, (fragment & 0x1FFF) * 8, data, more=bool(fragment & 0x2000), now=now)
        return _packet(protocol, source, target, data)

    def _read_ipv6(self, packet: bytes, now: float, way: int) -> Packet | None:
        _, length, header, source, target = _IPV6.unpack_from(packet)
        at, end = 40, 40 + length
        if end > len(packet):
            raise IndexError
        for _ in range(_OPTIONS_MAX):
            if header == _IPV6_FRAGMENT:
                header, fragment, number = _FRAGMENT.unpack_from(packet, at)
                data = packet[at + 8 : end]
                if fragment & 0xFFF9:  # else it is whole (RFC 6946)
                    key = (source, target, number, header, way)
                    return self._piece(key, fragment & 0xFFF8, data, more=bool(fragment & 1), now=now)
                return _packet(header, source, target, data)
            if header not in _IPV6_OPTIONS:
                return _packet(header, source, target, packet[at:end])
            header, at = packet[at], at + 8 + packet[at + 1] * 8
        raise IndexError

    def _piece(self, key: _Key, offset: int, data: bytes, *, more: bool, now: float) -> Packet | None:
        """Take a fragment; give the datagram once it is whole."""
        self._drop_old(now)
        source, target, _, protocol, _ = key
        if protocol != UDP or not data or offset + len(data) > _DATAGRAM_MAX or (more and len(data) % 8):
            raise IndexError
        pieces = self._pieces.get(key)
        if pieces is None:
            pieces = self._pieces[key] = _Pieces(now)
        if offset in pieces.by_offset or len(pieces.by_offset) >= FRAGMENTS_OF_ONE:
            self._drop(key)  # overlapping fragments are an attack (RFC 5722), and a repeated one is worth nothing
            return None
        pieces.by_offset[offset] = data
        pieces.held += len(data)
        pieces.cost += len(data) + PIECE_BYTES
        self._held += len(data) + PIECE_BYTES
        if not more:
            pieces.total = offset + len(data)
        while self._held > FRAGMENTS_MAX_BYTES:
            self._drop(next(iter(self._pieces)))
        # The oldest datagram makes room, and that may be the one that this fragment belongs to.
        if key not in self._pieces or pieces.total is None or pieces.held < pieces.total:
            return None
        whole = _joined(pieces)
        if whole is None:
            self._drop(key)
            return None
        self._forget(key)
        return _packet(protocol, source, target, whole)

    def _drop_old(self, now: float) -> None:
        while self._pieces:
            key, pieces = next(iter(self._pieces.items()))
            if now - pieces.began <= FRAGMENT_S:
                return
            self._drop(key)

    def _drop(self, key: _Key) -> None:
        self.lost_fragments += len(self._pieces[key].by_offset)
        self._forget(key)

    def _forget(self, key: _Key) -> None:
        self._held -= self._pieces.pop(key).cost


def _joined(pieces: _Pieces) -> bytes | None:
    """Join the fragments of a datagram whose end is known; None: they overlap, or leave a gap."""
    by_offset = pieces.by_offset
    whole = b"".join(piece for _, piece in sorted(by_offset.items()))
    ends_meet = all(at + len(piece) in by_offset or at + len(piece) == pieces.total for at, piece in by_offset.items())
    return whole if len(whole) == pieces.total and 0 in by_offset and ends_meet else None


def _packet(protocol: int, source: bytes, target: bytes, data: bytes) -> Packet | None:
    if protocol == UDP:
        source_port, target_port = _PORTS.unpack_from(data)
        length = int.from_bytes(data[4:6], "big")
        if length < 8 or length > len(data):
            raise IndexError
        return Packet(UDP, source, source_port, target, target_port, data[8:length])
    if protocol == TCP:
        source_port, target_port = _PORTS.unpack_from(data)
        return Packet(TCP, source, source_port, target, target_port, data)
    return None
