"""A BGP neighbor in a process of its own that counts routes and notes when a watched one comes; as light as can be.

Commands come as lines on stdin, answers are JSON lines on stdout:

    status      {"routes", "first", "routes_first", "last"}: since the last reset; of what came first, and when
    reset       counts from nothing
    watch HEX   tells when an UPDATE with this packed address comes: {"seen": HEX, "at": seconds}

Times are of the monotonic clock, which all processes share.
"""

import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from typing import Any

HEADER_BYTES = 19
OPEN, UPDATE, NOTIFICATION, KEEPALIVE = 1, 2, 3, 4
MP_REACH = 14
HOST_ROUTE_BYTES = {1: 5, 2: 17}
"""A length byte and the address, by address family."""


class Sink:
    """The bench's end: starts the process and asks it."""

    def __init__(self, address: str, port: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, address, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._ask("status")

    def status(self) -> dict[str, Any]:
        """What has come since the last reset."""
        return self._ask("status")

    def reset(self) -> None:
        """Count from nothing."""
        self._ask("reset")

    def watch(self, address: bytes) -> None:
        """Note when this address comes; `seen_at` waits for it."""
        self._ask(f"watch {address.hex()}")

    def seen_at(self, timeout_s: float = 30.0) -> float | None:
        """When it came, monotonic clock; None: it did not."""
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], timeout_s)
        return float(json.loads(os.read(self._process.stdout.fileno(), 4096))["at"]) if readable else None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()

    def _ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command.encode() + b"\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(os.read(self._process.stdout.fileno(), 4096))
        return found


class Session:
    """What the process does: one session after the other, nothing kept but counts."""

    def __init__(self, address: str, port: int) -> None:
        self._address = address
        self._listener = socket.create_server((address, port), reuse_port=True)
        self._connection: socket.socket | None = None
        self._buffer = b""
        self._watched: bytes | None = None
        self._reset()

    def run(self) -> None:
        """Serve until stdin ends."""
        rest = b""
        while True:
            sources = [sys.stdin.fileno(), self._connection or self._listener]
            readable, _, _ = select.select(sources, [], [])
            if sources[1] in readable:
                if self._connection is None:
                    self._connection, _ = self._listener.accept()
                else:
                    self._receive(self._connection)
            if sources[0] in readable:
                chunk = os.read(sys.stdin.fileno(), 4096)
                if not chunk:
                    return
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._command(*line.decode().split())

    def _command(self, word: str, argument: str = "") -> None:
        if word == "reset":
            self._reset()
        elif word == "watch":
            self._watched = bytes.fromhex(argument)
        _say(self._counts)

    def _reset(self) -> None:
        self._counts = {"routes": 0, "first": 0.0, "routes_first": 0, "last": 0.0}

    def _receive(self, connection: socket.socket) -> None:
        try:
            chunk = connection.recv(1 << 18)
        except ConnectionError:
            chunk = b""
        now = time.monotonic()
        self._buffer += chunk
        at = 0
        while len(self._buffer) - at >= HEADER_BYTES:
            size, kind = struct.unpack_from("!HB", self._buffer, at + 16)
            if len(self._buffer) - at < size:
                break
            self._message(kind, self._buffer[at + HEADER_BYTES : at + size], connection, now)
            at += size
        self._buffer = self._buffer[at:]
        if not chunk:
            connection.close()
            self._connection, self._buffer = None, b""

    def _message(self, kind: int, body: bytes, connection: socket.socket, now: float) -> None:
        if kind == OPEN:
            connection.sendall(_message(OPEN, self._open()) + _message(KEEPALIVE))
        elif kind == KEEPALIVE:
            connection.sendall(_message(KEEPALIVE))
        elif kind == UPDATE:
            announced = _announced(body)
            if announced:
                counts = self._counts
                counts["routes"] += announced
                counts["last"] = now
                if not counts["first"]:
                    counts["first"], counts["routes_first"] = now, announced
                if self._watched is not None and self._watched in body:
                    _say({"seen": self._watched.hex(), "at": now})
                    self._watched = None

    def _open(self) -> bytes:
        capabilities = b"".join(struct.pack("!BBHBB", 1, 4, afi, 0, 1) for afi in HOST_ROUTE_BYTES)
        capabilities += struct.pack("!BBI", 65, 4, 65002)
        options = struct.pack("!BB", 2, len(capabilities)) + capabilities
        return struct.pack("!BHH4sB", 4, 65002, 180, socket.inet_aton(self._address), len(options)) + options


def _announced(body: bytes) -> int:
    """How many host routes an UPDATE announces (RFC 4271, 4.3; RFC 4760, 3)."""
    (withdrawn,) = struct.unpack_from("!H", body)
    (size,) = struct.unpack_from("!H", body, 2 + withdrawn)
    at, end = 4 + withdrawn, 4 + withdrawn + size
    count: int = (len(body) - end) // HOST_ROUTE_BYTES[1]
    while at < end:
        flags, code = body[at], body[at + 1]
        length, start = (struct.unpack_from("!H", body, at + 2)[0], at + 4) if flags & 0x10 else (body[at + 2], at + 3)
        if code == MP_REACH:
            afi, next_hop_bytes = struct.unpack_from("!HxB", body, start)
            count += (length - 5 - next_hop_bytes) // HOST_ROUTE_BYTES[afi]
        at = start + length
    return count


def _message(kind: int, body: bytes = b"") -> bytes:
    return b"\xff" * 16 + struct.pack("!HB", HEADER_BYTES + len(body), kind) + body


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    Session(sys.argv[1], int(sys.argv[2])).run()
