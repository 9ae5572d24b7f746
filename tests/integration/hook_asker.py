"""A hook for tests, written from the wire format itself, so that it shares no code with the service under test.

Question: version 1, flags, 8 bytes of id, length of the identity, identity, DNS response. Reply: version 1, verdict,
the id, the bound in milliseconds (16 bits), the generation of the lists (32 bits).
"""

import ipaddress
import itertools
import socket
import ssl
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

import dns.message
import dns.rrset

from tests.integration.lab import eventually

NOT_OURS, THERE, INSTALLED, REFUSED, OFF, NO_NEIGHBOR, GAVE_UP, TOO_MANY, NOT_UNDERSTOOD = range(9)

_numbers = itertools.count(1)


class Reply(NamedTuple):
    """A reply, with the seconds that it took."""

    verdict: int
    id: bytes
    bound_ms: int
    generation: int
    took_s: float = 0.0


def answer(name: str, addresses: list[str]) -> bytes:
    """A DNS response that gives a name these addresses, of one family."""
    kind = "AAAA" if any(ipaddress.ip_address(one).version == 6 for one in addresses) else "A"
    found = dns.message.make_response(dns.message.make_query(name, kind))
    if addresses:
        found.answer.append(dns.rrset.from_text(f"{name}.", 300, "IN", kind, *addresses))
    return found.to_wire()


def question(wire: bytes, *, hook: str = "test", flags: int = 0, number: bytes | None = None) -> bytes:
    """A question's bytes; without an id it gets one of its own."""
    number = struct.pack("!Q", next(_numbers)) if number is None else number
    return struct.pack("!BB8sB", 1, flags, number, len(hook)) + hook.encode() + wire


def read_reply(data: bytes, took_s: float = 0.0) -> Reply:
    version, verdict, number, bound_ms, generation = struct.unpack("!BB8sHI", data)
    assert version == 1
    return Reply(verdict, number, bound_ms, generation, took_s)


class Asker:
    """A hook that asks one question after the other by sequenced packets."""

    def __init__(self, path: Path, hook: str = "test", timeout_s: float = 40.0) -> None:
        self.hook = hook
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(timeout_s)

        def connected() -> bool:
            with suppress(ConnectionRefusedError, FileNotFoundError):
                self.sock.connect(str(path))
                return True
            return False

        try:
            eventually(connected, 20, f"{path} listens")
        except BaseException:
            self.sock.close()
            raise

    def send(self, name: str, addresses: list[str], flags: int = 0) -> bytes:
        """Ask for the answer to a name; returns the question's id."""
        data = question(answer(name, addresses), hook=self.hook, flags=flags)
        self.sock.send(data)
        return data[2:10]

    def receive(self) -> Reply:
        return read_reply(self.sock.recv(1024))

    def ask(self, name: str, addresses: list[str], flags: int = 0) -> Reply:
        """Ask, and wait for the reply."""
        data = question(answer(name, addresses), hook=self.hook, flags=flags)
        began = time.perf_counter()
        self.sock.send(data)
        received = self.sock.recv(1024)
        found = read_reply(received, time.perf_counter() - began)
        assert found.id == data[2:10]
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


def tls_connection(address: tuple[str, int], context: ssl.SSLContext) -> ssl.SSLSocket:
    """A connection with TLS, for questions with their length in front."""
    return context.wrap_socket(socket.create_connection(address, 10), server_hostname="hold.test")
