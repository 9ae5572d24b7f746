"""A BGP neighbor that only listens: accepts sessions, keeps what it is told, and shows it as a table.

Real enough to be exact (RFC 4271, 4760, 4724, 7313) and small enough to be driven: it can stop reading, drop its
session, or stay away.
"""

import contextlib
import ipaddress
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Any

HEADER = b"\xff" * 16
OPEN, UPDATE, NOTIFICATION, KEEPALIVE, ROUTE_REFRESH = 1, 2, 3, 4, 5
IPV4, IPV6 = (1, 1), (2, 1)


def message(kind, body=b""):
    return HEADER + struct.pack("!HB", 19 + len(body), kind) + body


@dataclass
class Sink:
    address: str
    port: int
    asn: int = 65002
    families: tuple[tuple[int, int], ...] = (IPV4, IPV6)
    table: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    history: list[tuple[Any, ...]] = field(default_factory=list)
    eors: list[tuple[int, int]] = field(default_factory=list)
    sessions: int = 0
    updates: int = 0

    def __post_init__(self):
        self.changed = threading.Condition()
        self.reading = threading.Event()
        self.reading.set()
        self._closed = False
        self._connection = None
        self._listener = None
        self._thread = None

    def start(self):
        self._closed = False
        self._listener = socket.create_server((self.address, self.port), reuse_port=True)
        self._thread = threading.Thread(target=self._serve, name="sink", daemon=True)
        self._thread.start()
        return self

    def stop(self):
        """Close the session and listen no more."""
        self._closed = True
        self.reading.set()
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self.drop()
        if self._thread is not None:
            self._thread.join(20)
            assert not self._thread.is_alive()
        self._listener = self._thread = None

    def drop(self):
        """Drop the session; ExaBGP comes again."""
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def wait(self, condition, timeout=40.0):
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self), timeout), (
                f"{self.sessions} sessions, {len(self.table)} routes, {self.eors}"
            )

    def _serve(self):
        listener = self._listener
        assert listener is not None
        while not self._closed:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            self._connection = connection
            try:
                self._session(connection)
            except (OSError, EOFError):
                pass
            finally:
                self._connection = None
                connection.close()
            with self.changed:
                self.table.clear()
                self.changed.notify_all()

    def _session(self, connection):
        stream = connection.makefile("rb")
        with stream:
            self._receive(stream)
            connection.sendall(message(OPEN, self._open()) + message(KEEPALIVE))
            with self.changed:
                self.table.clear()
                self.eors.clear()
                self.updates = 0
                self.sessions += 1
                self.changed.notify_all()
            while not self._closed:
                self.reading.wait()
                kind, body = self._receive(stream)
                if kind == KEEPALIVE:
                    connection.sendall(message(KEEPALIVE))
                elif kind == UPDATE:
                    with self.changed:
                        self.updates += 1
                        self._update(body)
                        self.changed.notify_all()
                elif kind == NOTIFICATION:
                    return

    def _receive(self, stream):
        header = stream.read(19)
        if len(header) < 19:
            raise EOFError
        size, kind = struct.unpack("!HB", header[16:])
        body = stream.read(size - 19)
        if len(body) < size - 19:
            raise EOFError
        return kind, body

    def _open(self):
        capabilities = b"".join(struct.pack("!BBHBB", 1, 4, afi, 0, safi) for afi, safi in self.families)
        capabilities += struct.pack("!BBI", 65, 4, self.asn)
        capabilities += b"\x02\x00\x46\x00"  # route refresh, enhanced route refresh
        options = struct.pack("!BB", 2, len(capabilities)) + capabilities
        return struct.pack("!BHH4sB", 4, self.asn, 180, socket.inet_aton(self.address), len(options)) + options

    def _update(self, body):
        (withdrawn_size,) = struct.unpack_from("!H", body)
        withdrawn = body[2 : 2 + withdrawn_size]
        (attributes_size,) = struct.unpack_from("!H", body, 2 + withdrawn_size)
        start = 4 + withdrawn_size
        attributes = self._attributes(body[start : start + attributes_size])
        announced = body[start + attributes_size :]
        if not withdrawn and not attributes and not announced:
            self.eors.append(IPV4)
        reach, unreach = attributes.pop(14, None), attributes.pop(15, None)
        next_hop = attributes.pop(3, None)
        said = tuple(sorted(attributes.items()))
        for prefix in self._prefixes(withdrawn, 4):
            self._withdraw(prefix)
        for prefix in self._prefixes(announced, 4):
            self._announce(prefix, (str(ipaddress.ip_address(next_hop)), said))
        if unreach is not None:
            if len(unreach) == 3:
                self.eors.append(struct.unpack("!HB", unreach))
            for prefix in self._prefixes(unreach[3:], 16):
                self._withdraw(prefix)
        if reach is not None:
            size = reach[3]
            hop = str(ipaddress.ip_address(reach[4 : 4 + size][:16]))
            for prefix in self._prefixes(reach[5 + size :], 16):
                self._announce(prefix, (hop, said))

    def _announce(self, prefix, route):
        self.table[prefix] = route
        self.history.append((prefix, route))

    def _withdraw(self, prefix):
        self.table.pop(prefix, None)
        self.history.append((prefix, None))

    @staticmethod
    def _attributes(data):
        found = {}
        while data:
            flags, code = data[0], data[1]
            size, start = (struct.unpack_from("!H", data, 2)[0], 4) if flags & 0x10 else (data[2], 3)
            found[code] = data[start : start + size]
            data = data[start + size :]
        return found

    @staticmethod
    def _prefixes(data, width):
        while data:
            bits = data[0]
            size = (bits + 7) // 8
            packed = data[1 : 1 + size] + bytes(width - size)
            yield f"{ipaddress.ip_address(packed)}/{bits}"
            data = data[1 + size :]
