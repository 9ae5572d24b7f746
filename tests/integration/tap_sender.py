"""A DNSTap sender for tests, written from the formats themselves, so that it shares no code with the reader under test.

Frame Streams (fstrm's control.h): each frame has a 32-bit length before it; length 0 announces a control frame, which
has its own length, its type, and a content type. DNSTap (dnstap.proto): Dnstap.message is field 14 and .type 15;
Message.type is field 1 (CLIENT_RESPONSE = 6) and .response_message 14.
"""

import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import dns.message
import dns.name
import dns.rrset

from tests.integration.lab import eventually

CONTENT_TYPE = b"protobuf:dnstap.Dnstap"
ACCEPT, START, STOP, READY, FINISH = 1, 2, 3, 4, 5
CLIENT_RESPONSE = 6


class TapSender:
    """One bidirectional Frame Streams connection; as a context manager it ends in order with STOP and FINISH."""

    def __init__(self, target: Path | socket.socket) -> None:
        """`target` is a unix socket's path, or a socket that is connected already."""
        self.socket = socket.socket(socket.AF_UNIX) if isinstance(target, Path) else target
        try:
            if isinstance(target, Path):
                self._connect(str(target))
            self.socket.settimeout(30)
            self._shake_hands()
        except BaseException:
            self.socket.close()
            raise

    def _connect(self, path: str) -> None:
        """Connect as a resolver does: again, where the listener is not quite there."""

        def connected() -> bool:
            with suppress(ConnectionRefusedError, FileNotFoundError):
                self.socket.connect(path)
                return True
            return False

        eventually(connected, 10, f"{path} listens")

    def send(self, messages: Iterable[bytes]) -> None:
        """Send whole Dnstap payloads, many in one write."""
        batch = bytearray()
        for message in messages:
            batch += struct.pack("!I", len(message)) + message
            if len(batch) > 1 << 16:
                self.socket.sendall(batch)
                batch.clear()
        self.socket.sendall(batch)

    def finish(self) -> None:
        """Say STOP and wait for FINISH: all that was sent has then been read."""
        self._send_control(STOP)
        assert self._read_control() == FINISH

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.socket.close()

    def _shake_hands(self) -> None:
        self._send_control(READY)
        assert self._read_control() == ACCEPT
        self._send_control(START)

    def _send_control(self, kind: int) -> None:
        body = struct.pack("!I", kind)
        if kind in (READY, START):
            body += struct.pack("!II", 1, len(CONTENT_TYPE)) + CONTENT_TYPE
        self.socket.sendall(struct.pack("!II", 0, len(body)) + body)

    def _read_control(self) -> int:
        escape, length = struct.unpack("!II", self._read(8))
        assert escape == 0
        return int(struct.unpack_from("!I", self._read(length))[0])

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, "the plugin closed the connection"
            data += more
        return data


def send(target: Path, messages: Iterable[bytes]) -> None:
    """Connect, send all, and end in order: what was sent has been read when this returns."""
    with TapSender(target) as sender:
        sender.send(messages)


def dnstap(wire: bytes, kind: int = CLIENT_RESPONSE, more: bytes = b"") -> bytes:
    """Wrap one DNS response, with `more` fields of its message."""
    message = b"\x08" + bytes([kind]) + _field(14, wire) + more
    return _field(14, message) + b"\x78\x01"


def response(question: str, *records: str, policy_action: int | None = None) -> bytes:
    """A DNSTap payload of a response: `records` are lines such as `www.example 300 IN CNAME edge.example`.

    `policy_action` is what dnstap's policy field says (Policy.Action): 3 PASS, 6 LOCAL_DATA.
    """
    [*_, last] = (line.split()[3] for line in records) if records else ["A"]
    answer = dns.message.make_response(dns.message.make_query(question, last))
    for line in records:
        owner, ttl, _, kind, data = line.split(maxsplit=4)
        answer.answer.append(dns.rrset.from_text(owner, int(ttl), "IN", kind, data))
    policy = b"" if policy_action is None else _field(15, b"\x18" + bytes([policy_action]))
    return dnstap(answer.to_wire(origin=dns.name.root), more=policy)


def sightings(name: str, addresses: Iterable[str]) -> Iterator[bytes]:
    """Quickly: one response for each address, all for one name."""
    templates = {4: _around(name, "A", "0.0.0.0"), 6: _around(name, "AAAA", "::")}
    for address in map(ipaddress.ip_address, addresses):
        before, after = templates[address.version]
        yield before + address.packed + after


def _around(name: str, kind: str, sample: str) -> tuple[bytes, bytes]:
    before, _, after = response(name, f"{name} 300 IN {kind} {sample}").rpartition(ipaddress.ip_address(sample).packed)
    return before, after


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
