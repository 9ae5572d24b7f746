"""The addresses of this machine's interfaces, in our network namespace; no thread of its own.

Asked of the kernel by rtnetlink (RTM_GETADDR of rtnetlink(7)): one request, its answer in a few datagrams.
"""

import socket
import struct

from dnstap_bgp.core.model import Address

_GETADDR, _NEWADDR, _DONE, _ERROR = 22, 20, 3, 2
_REQUEST_DUMP = 0x301
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_IFADDR = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_DATAGRAM_MAX_BYTES = 1 << 16
_DATAGRAMS_MAX = 1024  # some 100 addresses in each
_WAIT_S = 1.0


def own_addresses() -> frozenset[Address]:
    """Every IPv4 and IPv6 address that an interface has, packed.

    Raises:
        OSError: The kernel doesn't say.
    """
    found: set[Address] = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(_WAIT_S)
        request = _IFADDR.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        netlink.send(_HEADER.pack(_HEADER.size + len(request), _GETADDR, _REQUEST_DUMP, 1, 0) + request)
        for _ in range(_DATAGRAMS_MAX):
            if _read(netlink.recv(_DATAGRAM_MAX_BYTES), found):
                break
    return frozenset(found)


def _read(datagram: bytes, found: set[Address]) -> bool:
    """Take the addresses out of one datagram; says whether it was the last."""
    at = 0
    while at + _HEADER.size <= len(datagram):
        length, kind, _, _, _ = _HEADER.unpack_from(datagram, at)
        if kind in (_DONE, _ERROR) or length < _HEADER.size:
            return True
        if kind == _NEWADDR:
            attributes = _attributes(datagram[at + _HEADER.size + _IFADDR.size : at + length])
            address = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)  # of a point-to-point link: the first
            if address is not None:
                found.add(address)
        at += _aligned(length)
    return False


def _attributes(data: bytes) -> dict[int, bytes]:
    attributes = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            break
        attributes[kind] = data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)
    return attributes


def _aligned(length: int) -> int:
    return -(-length // 4) * 4
