"""Packets for tests, written from the RFCs, so that they share no code with the reader under test."""

import ipaddress
import struct


def ip(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def ipv4(source: str, target: str, protocol: int, data: bytes, *, number: int = 1, offset: int = 0, more: bool = False):
    fragment = offset // 8 | (0x2000 if more else 0)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), number, fragment, 64, protocol, 0)
    return head + ip(source) + ip(target) + data


def ipv6(source: str, target: str, header: int, data: bytes) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(data), header, 64) + ip(source) + ip(target) + data


def udp(source_port: int, target_port: int, data: bytes) -> bytes:
    return struct.pack("!HHHH", source_port, target_port, 8 + len(data), 0) + data


def tcp(source_port: int, target_port: int, sequence: int, data: bytes = b"", flags: int = 0x10) -> bytes:
    return struct.pack("!HHIIBBHHH", source_port, target_port, sequence % (1 << 32), 0, 5 << 4, flags, 0, 0, 0) + data


def fragments4(source: str, target: str, data: bytes, size: int, number: int = 7) -> list[bytes]:
    pieces = [(at, data[at : at + size]) for at in range(0, len(data), size)]
    return [
        ipv4(source, target, 17, piece, number=number, offset=at, more=at + size < len(data)) for at, piece in pieces
    ]


def fragments6(source: str, target: str, data: bytes, size: int, number: int = 7) -> list[bytes]:
    found = []
    for at in range(0, len(data), size):
        more = at + size < len(data)
        found.append(ipv6(source, target, 44, struct.pack("!BBHI", 17, 0, at | more, number) + data[at : at + size]))
    return found
