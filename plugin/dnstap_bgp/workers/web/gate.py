"""Hostile clients of HTTP: connections and time are limited, and the Host header is held against our names.

A connection is in one of two states. Within a request it may take its time, as far as its reader keeps up (`send`).
Outside of one it has to bring a whole request within `REQUEST_S`, however slowly it trickles in. At the limit of
connections the one that has been longest without a request gives way, so that a flood keeps nobody out.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from dnstap_bgp.config import IPNetwork
from dnstap_bgp.workers.tap.listeners import peer_address
from dnstap_bgp.workers.web.refused import Refused

if TYPE_CHECKING:
    from aiohttp import web

REQUEST_S = 10.0
"""From the connection, or the last answer, to the end of the next request's headers. Browsers keep idle connections,
and open another when they find one closed."""

SEND_S = 10.0
"""Without any of an answer being taken, a client has gone."""

AHEAD_MAX_BYTES = 1 << 16
"""What may be sent within a request that is being answered: pipelining is of no use here, but to fill the memory."""


class Gate:
    """The connections of one listening socket; for the loop's thread."""

    def __init__(
        self, made: Callable[[], asyncio.Protocol], refused: Refused, *, allow: Sequence[IPNetwork], at_most: int
    ) -> None:
        """Make it.

        Args:
            made: Makes the protocol that a connection is handed to.
            refused: Counts who is turned away.
            allow: Who may connect over TCP; empty: everybody.
            at_most: How many connections.
        """
        self._made = made
        self._refused = refused
        self._allow = allow
        self._at_most = at_most
        self._guests: dict[asyncio.BaseTransport, Guest] = {}

    def connect(self) -> "Guest":
        """The protocol of a new connection."""
        return Guest(self, self._made())

    def admit(self, guest: "Guest", transport: asyncio.Transport) -> bool:
        """Take a connection in, or turn it away."""
        if not self._is_allowed(transport):
            self._refused.count("allow")
            return False
        if len(self._guests) >= self._at_most:
            self._refused.count("limit")
            idle = [one for one in self._guests.values() if one.since is not None]
            if not idle:
                return False
            min(idle, key=lambda one: one.since or 0.0).abort()
        self._guests[transport] = guest
        return True

    def began(self, transport: asyncio.BaseTransport | None) -> None:
        """A whole request has come."""
        guest = self._guests.get(transport) if transport is not None else None
        if guest is not None:
            guest.within_request()

    def ended(self, transport: asyncio.BaseTransport | None) -> None:
        """Its answer is out."""
        guest = self._guests.get(transport) if transport is not None else None
        if guest is not None:
            guest.between_requests()

    def gone(self, transport: asyncio.BaseTransport) -> None:
        """A connection has ended."""
        self._guests.pop(transport, None)

    def refuse(self, reason: str) -> None:
        """Count one that was turned away."""
        self._refused.count(reason)

    def _is_allowed(self, transport: asyncio.Transport) -> bool:
        sock = transport.get_extra_info("socket")
        if not self._allow or sock is None or sock.family == socket.AF_UNIX:
            return True
        try:
            address = peer_address(cast("socket.socket", sock))
        except OSError:  # it is gone already
            return False
        return any(address in network for network in self._allow)


class Guest(asyncio.Protocol):
    """One connection: passes everything on to aiohttp's protocol, and looks at the clock.

    Attributes:
        since: When it was last without a request, the loop's clock; None: it is within one.
    """

    def __init__(self, gate: Gate, inner: asyncio.Protocol) -> None:
        self._gate = gate
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._ahead = 0
        self._admitted = False
        self.since: float | None = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or cut it off."""
        self._transport = cast("asyncio.Transport", transport)
        self._admitted = self._gate.admit(self, self._transport)
        if not self._admitted:
            self._transport.abort()
            return
        self._inner.connection_made(transport)
        self.between_requests()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._stop_clock()
        if self._admitted:
            assert self._transport is not None
            self._gate.gone(self._transport)
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on what came; within a request only so much of it."""
        if not self._admitted:
            return
        if self.since is None:
            self._ahead += len(data)
            if self._ahead > AHEAD_MAX_BYTES:
                self._gate.refuse("flood")
                self.abort()
                return
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """It has nothing more to say."""
        return self._inner.eof_received() if self._admitted else None

    def pause_writing(self) -> None:
        """Its reader is slow."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Its reader goes on."""
        self._inner.resume_writing()

    def within_request(self) -> None:
        """A whole request is there: from now on its handler looks at the clock."""
        self.since, self._ahead = None, 0
        self._stop_clock()

    def between_requests(self) -> None:
        """It has to bring the next one in time."""
        self.since = self._loop.time()
        self._stop_clock()
        self._deadline = self._loop.call_later(REQUEST_S, self._too_slow)

    def abort(self) -> None:
        """Cut it off, whatever it has not taken yet."""
        if self._transport is not None:
            self._transport.abort()

    def _too_slow(self) -> None:
        self._gate.refuse("slow")
        self.abort()

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def is_own_name(header: str, own: frozenset[str]) -> bool:
    """Whether a Host header names us: a page elsewhere whose name was made to point here has that other name.

    An address can't be made to point elsewhere, so any address will do: it may be one of a forwarding in between.

    Args:
        header: `host`, `host:port`, `[v6]` or `[v6]:port`.
        own: Names, lower-case.
    """
    host = header.strip().lower()
    if host.startswith("["):
        host, bracket, port = host[1:].partition("]")
        return bool(bracket) and _is_address(host, 6) and _is_port(port)
    host, colon, port = host.partition(":")
    return _is_port(colon + port) and (host.rstrip(".") in own or _is_address(host, 4))


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def _is_port(text: str) -> bool:
    return not text or (text.startswith(":") and text[1:].isascii() and text[1:].isdecimal() and len(text) <= 6)


async def send(request: "web.Request", response: "web.StreamResponse", data: bytes) -> None:
    """Send a part of an answer to a reader who keeps up.

    Raises:
        ConnectionResetError: He doesn't, and was cut off, or he is gone.
    """
    try:
        async with asyncio.timeout(SEND_S):
            await response.write(data)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError from None
