"""Capture of an interface's DNS packets by AF_PACKET (packet(7)): a filter in the kernel, and a ring that both map.

The socket gives packets from their network header on, so that every kind of link is the same. Its ring (TPACKET_V3) is
read in blocks: a full one costs one wake-up however many packets it has, and one that is not full is given up by the
kernel after a millisecond.
"""

import ctypes
import mmap
import os
import select
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple, Self

from dnstap_bgp.core.sniff.packets import DNS_PORT, TCP, UDP
from dnstap_bgp.errors import CommandError

BLOCK_BYTES = 1 << 18
BLOCKS = 64
"""16 MB in all: at 50,000 answers of 300 bytes a second half a second of a reader that does nothing."""

RETIRE_MS = 1
ANY = "any"

_ETH_P_ALL = 0x0003
_TAG_BYTES = 4  # IEEE 802.1Q
_TAGS_MAX = 2  # as the filter has it
_BEHIND_TAGS = frozenset({b"\x08\x00", b"\x86\xdd", b"\x81\x00"})
_SOL_PACKET = 263
_PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_VERSION = 5, 6, 10
_TPACKET_V3 = 2
_SO_ATTACH_FILTER = 26
_REQUEST = struct.Struct(
    "=7I"
)  # tpacket_req3: block size and number, frame size and number, timeout, private, features
_BLOCK = struct.Struct("=8x4I")  # tpacket_hdr_v1 behind version and offset: status, packets, first packet, length
_HEADER = struct.Struct(
    "=I8xI10xH4xI"
)  # tpacket3_hdr: next, (s, ns,) captured, (length, status, mac,) net, (hash,) tag
_KIND_OFFSET = 58  # TPACKET_ALIGN(sizeof(struct tpacket3_hdr)) is 48; there sockaddr_ll has its packet type at 10
_INTERFACE = struct.Struct("=i")
_INTERFACE_OFFSET = 52  # and its interface at 4
_STATUS_USER, _STATUS_KERNEL = 1, 0
_OUTGOING = 4  # PACKET_OUTGOING
_VLAN_MASK, _VLAN_BITS = 0xFFF, 12
_VLAN_SHIFT = 32  # an interface's number has 31 bits
_STATISTICS = struct.Struct("=III")  # tpacket_stats_v3: packets, drops, freezes


class Captured(NamedTuple):
    """Packet as the kernel gave it.

    Attributes:
        packet: From its IP header on.
        outgoing: It leaves this host, which sends it or passes it on.
        interface: The number of the interface where it does, or where it comes in; above its 32 bits that of the VLAN,
            or of both, as whoever is in another VLAN of a trunk is on another side of this host.
    """

    packet: bytes
    outgoing: bool
    interface: int


class PacketCapture:
    """Open capture of an interface; a context manager.

    Attributes:
        seen: Packets that the filter let through.
        lost: Of these, packets for which the ring had no room.
    """

    def __init__(self, interface: str) -> None:
        """Open the socket, which needs CAP_NET_RAW; afterwards nothing does.

        Args:
            interface: Its name, or `any`.

        Raises:
            CommandError: There is none of that name, or we may not.
        """
        self.seen = self.lost = 0
        self._next = 0
        # Protocol 0: nothing comes before the filter is in place.
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        except PermissionError:
            raise CommandError("a capture needs CAP_NET_RAW: run it as root, or by its unit") from None
        except OSError as error:
            raise CommandError(f"no capture: {error.strerror}") from error
        try:
            self._attach_filter()
            self._socket.setsockopt(_SOL_PACKET, _PACKET_VERSION, struct.pack("=i", _TPACKET_V3))
            frames = BLOCK_BYTES // 2048 * BLOCKS
            request = _REQUEST.pack(BLOCK_BYTES, BLOCKS, 2048, frames, RETIRE_MS, 0, 0)
            self._socket.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
            self._ring = mmap.mmap(self._socket.fileno(), BLOCK_BYTES * BLOCKS)
            self._bind(0 if interface == ANY else _index(interface))
        except OSError as error:
            self._socket.close()
            raise CommandError(f"interface {interface}: no ring: {error.strerror}") from error
        except BaseException:
            self._socket.close()
            raise
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN | select.POLLERR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ring.close()
        self._socket.close()

    def read(self, timeout_s: float) -> Iterator[Captured]:
        """Give what has come, at most one turn of the ring; wait for it at most so long.

        Args:
            timeout_s: Seconds.

        Raises:
            CommandError: The interface is gone.
        """
        if self._status(self._next) != _STATUS_USER:
            for _, event in self._poll.poll(timeout_s * 1000):
                if event & select.POLLERR:
                    self._check_error()
        for _ in range(BLOCKS):
            if self._status(self._next) != _STATUS_USER:
                return
            yield from self._block(self._next * BLOCK_BYTES)
            self._release(self._next)
            self._next = (self._next + 1) % BLOCKS

    def count(self) -> None:
        """Add what the kernel has counted since the last call to `seen` and `lost`."""
        data = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size)
        packets, drops, _ = _STATISTICS.unpack(data)
        self.seen += packets
        self.lost += drops

    def _bind(self, index: int) -> None:
        """Bind to an interface; the socket module takes no number, and 0 is all of them."""
        address = struct.pack("=HHiHBB8x", socket.AF_PACKET, socket.htons(_ETH_P_ALL), index, 0, 0, 0)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.bind(self._socket.fileno(), address, len(address)) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def _status(self, block: int) -> int:
        return int(_BLOCK.unpack_from(self._ring, block * BLOCK_BYTES)[0]) & _STATUS_USER

    def _release(self, block: int) -> None:
        """Give a block back to the kernel: its status is one aligned word, which is written at once."""
        ctypes.c_uint32.from_buffer(self._ring, block * BLOCK_BYTES + 8).value = _STATUS_KERNEL

    def _block(self, start: int) -> list[Captured]:
        _, packets, first, _ = _BLOCK.unpack_from(self._ring, start)
        ring, at = self._ring, start + first
        found = []
        for _ in range(packets):
            following, captured, network, tag = _HEADER.unpack_from(ring, at)
            packet = ring[at + network : at + network + captured]
            vlan = tag & _VLAN_MASK
            if packet[2:4] in _BEHIND_TAGS:
                packet, vlan = _without_tags(packet, vlan)
            (interface,) = _INTERFACE.unpack_from(ring, at + _INTERFACE_OFFSET)
            if vlan:
                interface |= vlan << _VLAN_SHIFT
            found.append(Captured(packet, ring[at + _KIND_OFFSET] == _OUTGOING, interface))
            at += following
        return found

    def _check_error(self) -> None:
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise CommandError(f"the interface is gone: {os.strerror(code)}")

    def _attach_filter(self) -> None:
        program = b"".join(struct.pack("=HBBI", *step) for step in dns_filter())
        buffer = ctypes.create_string_buffer(program, len(program))
        fprog = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)


def _index(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        raise CommandError(f"interface {interface}: there is none of this name; `ip link` shows them") from None


def _without_tags(packet: bytes, vlan: int = 0) -> tuple[bytes, int]:
    """Take the VLAN tags off a packet; what has more than the filter knows stays as none.

    Args:
        packet: From its first tag or IP header on.
        vlan: The VLAN of a tag in front of these, which the driver has taken off; 0: there was none.

    Returns:
        The packet from its IP header on; its VLAN, an outer one above the 12 bits of an inner one.
    """
    for _ in range(_TAGS_MAX):
        if packet[2:4] not in _BEHIND_TAGS or not _begins_with_tag(packet):
            break
        vlan = vlan << _VLAN_BITS | int.from_bytes(packet[:2], "big") & _VLAN_MASK
        packet = packet[_TAG_BYTES:]
    return packet, vlan


def _begins_with_tag(packet: bytes) -> bool:
    """Tell a VLAN tag from an IP header; the kernel's own word is of what is behind all tags (since Linux 6.10).

    Args:
        packet: Its third and fourth byte are a type that stands behind a tag; of an IPv4 header they are its length.
    """
    return packet[0] >> 4 not in (4, 6) or int.from_bytes(packet[2:4], "big") > len(packet)


_Step = tuple[int, int, int, int]
_LDB, _LDH, _LDH_X, _LDX_LENGTH = 0x30, 0x28, 0x48, 0xB1  # A = P[k:1], A = P[k:2], A = P[X+k:2], X = 4*(P[k:1]&0xf)
_RSH, _JEQ, _JSET, _JA, _RETURN = 0x74, 0x15, 0x45, 0x05, 0x06
_PROTOCOL_FIELD = 0xFFFFF000  # SKF_AD_OFF + SKF_AD_PROTOCOL


def dns_filter() -> list[_Step]:
    """Write the filter (classic BPF): port 53 of UDP and TCP, later fragments of UDP, below up to two VLAN tags.

    Returns:
        Instructions: code, jump if true, jump if false, constant.
    """
    plain, once, twice = _ip_filter(0), _ip_filter(_TAG_BYTES), _ip_filter(2 * _TAG_BYTES)
    # A tag that the driver has not taken off may stand in front of the IP header: the type behind it tells.
    tagged: list[_Step] = [
        (_LDH, 0, 0, _PROTOCOL_FIELD),
        (_JEQ, 1, 0, 0x8100),
        (_JEQ, 0, 4, 0x88A8),  # no tag: plain
        (_LDH, 0, 0, 2),
        (_JEQ, 3, 0, 0x0800),
        (_JEQ, 2, 0, 0x86DD),
        (_JEQ, 2, 0, 0x8100),
        (_JA, 0, 0, 2),  # plain
        (_JA, 0, 0, 1 + len(plain)),  # once
        (_JA, 0, 0, len(plain) + len(once)),  # twice
    ]
    return [*tagged, *plain, *once, *twice]


def _ip_filter(base: int) -> list[_Step]:
    """Write the part of the filter that looks at an IP packet at an offset; each way through it ends in it."""
    # (label, code, if true, if false, constant); labels become distances below
    steps: list[tuple[str, int, str, str, int]] = [
        ("", _LDB, "", "", base),
        ("", _RSH, "", "", 4),
        ("", _JEQ, "v4", "six", 4),
        ("v4", _LDB, "", "", base + 9),
        ("", _JEQ, "fragment", "", UDP),
        ("", _JEQ, "ports", "no", TCP),
        ("fragment", _LDH, "", "", base + 6),
        ("", _JSET, "yes", "ports", 0x1FFF),
        ("ports", _LDX_LENGTH, "", "", base),
        ("", _LDH_X, "", "", base),
        ("", _JEQ, "yes", "", DNS_PORT),
        ("", _LDH_X, "", "", base + 2),
        ("", _JEQ, "yes", "no", DNS_PORT),
        ("six", _JEQ, "", "no", 6),
        ("", _LDB, "", "", base + 6),
        ("", _JEQ, "yes", "", 44),  # fragments: only their first has ports
        ("", _JEQ, "yes", "", 0),  # options in front, as nobody sends them: looked at later
        ("", _JEQ, "yes", "", 60),
        ("", _JEQ, "ports6", "", UDP),
        ("", _JEQ, "ports6", "no", TCP),
        ("ports6", _LDH, "", "", base + 40),
        ("", _JEQ, "yes", "", DNS_PORT),
        ("", _LDH, "", "", base + 42),
        ("", _JEQ, "yes", "no", DNS_PORT),
        ("yes", _RETURN, "", "", 0x40000),
        ("no", _RETURN, "", "", 0),
    ]
    places = {label: number for number, (label, *_) in enumerate(steps) if label}
    found: list[_Step] = []
    for number, (_, code, if_true, if_false, constant) in enumerate(steps):
        jumps = [places[label] - number - 1 if label else 0 for label in (if_true, if_false)]
        found.append((code, jumps[0], jumps[1], constant))
    return found
