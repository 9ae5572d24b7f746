"""The HTTP server under control socket, [http] and sync listener: accepting, TLS, bodies, slow readers.

aiohttp parses and writes HTTP; what is around it, for the loop's thread, is one for all listeners: connections are
counted in before TLS or aiohttp cost anything for them (`connection_limits`), and one connection's fault ends that
connection.
"""

import asyncio
import hmac
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

from aiohttp import web, web_response

from dnstap_bgp.errors import DnstapBgpError
from dnstap_bgp.workers.net.connection_limits import ConnectionLimits, LimitedConnection, cut_off
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog

logger = logging.getLogger(__name__)

BODY_S = 5.0
"""For the whole body of a request: each is one packet."""

SEND_S = 10.0
"""Without any of an answer being taken, a client has gone."""

HANDSHAKE_S = 5.0
"""For TLS, from the connection on."""

ACCEPT_RETRY_S = 0.25
"""Where no descriptors are left."""

SHUTDOWN_S = 0.1
"""For answers under way, at the end."""

LINGER_S = 0.2
"""A refused body is read so long, for its sender to see the refusal."""

SERVER_NAME = "dnstap-bgp"
"""The header `Server` (RFC 9110, 10.2.4): whoever asks need not know which version we are, or of what."""

# aiohttp answers what it can't parse by itself, with this and before any handler or signal of ours.
web_response.SERVER_SOFTWARE = SERVER_NAME  # type: ignore[attr-defined]

_BEARER = "bearer "

_silent = logging.getLogger(f"{__name__}.requests")
_silent.disabled = True

PROTOCOL_OPTIONS: dict[str, Any] = {
    "access_log": None,
    # what aiohttp says of each broken request, with a traceback: strangers must not fill the log; faults of ours are
    # told where the handlers are called
    "logger": _silent,
    "keepalive_timeout": 60.0,  # more than any `request_s`, which is what counts
    "handler_cancellation": True,
    "auto_decompress": False,  # nobody needs to send us a compressed body, and nobody's may explode
    "lingering_time": LINGER_S,
}
"""For `aiohttp.web.Server` and `AppRunner`."""


class BodyError(DnstapBgpError):
    """A body that is too long, or not there in time.

    Attributes:
        status: Of HTTP.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class HttpServer:
    """Serves the clients of listening sockets within limits.

    Attributes:
        limits: Of its connections.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        protocols: web.Server,
        *,
        tls: ssl.SSLContext | None = None,
        tune: Callable[[socket.socket], None] | None = None,
    ) -> None:
        """Make it.

        Args:
            limits: Of its connections.
            protocols: Makes the protocol of each, and ends them all; made with `PROTOCOL_OPTIONS`.
            tls: What encrypts; None: plain.
            tune: Sets options of a socket that was accepted; may raise OSError: it is gone already.
        """
        self.limits = limits
        self._protocols = protocols
        self._tls = tls
        self._tune = tune
        self._log = RateLimitedLog(logger, process_clock)
        self._connections: set[LimitedConnection] = set()

    async def serve(self, listening: socket.socket) -> None:
        """Answer whoever connects, until cancelled; connections stay until `close`.

        Args:
            listening: Doesn't block; stays the caller's.
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = listening.accept()
            except BlockingIOError:
                await _readable(loop, listening)
                continue
            except OSError as error:  # it is gone already, or there are no descriptors left
                self._log.log(logging.WARNING, "accept", "a connection can't be accepted: %s", error)
                await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            sock.setblocking(False)  # noqa: FBT003 - the standard library's own
            self._begin(sock)
            await asyncio.sleep(0)  # a connection that is there already is accepted without giving way to others

    async def close(self) -> None:
        """End all connections: answers under way have `SHUTDOWN_S`."""
        for connection in list(self._connections):
            if connection.idle_since is not None:
                connection.abort()
        await self._protocols.shutdown(SHUTDOWN_S)
        for connection in list(self._connections):
            connection.abort()  # a polite end of TLS waits for the other side

    def _begin(self, sock: socket.socket) -> None:
        connection = self.limits.admit(sock, self._protocols)
        if connection is None:
            sock.close()
            return
        self._connections.add(connection)
        connection.task = asyncio.create_task(self._attend(connection, sock))

        def end(_: "asyncio.Task[None]") -> None:  # called for a task that is cancelled before it begins as well
            self.limits.leave(connection)
            self._connections.discard(connection)
            sock.close()

        connection.task.add_done_callback(end)

    async def _attend(self, connection: LimitedConnection, sock: socket.socket) -> None:
        """Hold the place of a connection, from before its TLS to its end."""
        try:
            if self._tune is not None:
                self._tune(sock)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, sock, ssl=self._tls, ssl_handshake_timeout=HANDSHAKE_S if self._tls else None
            )
            await connection.gone.wait()
        except OSError:  # it is gone, or speaks no TLS, or none that will do
            pass
        except Exception as error:  # a fault of ours: it ends this connection and no other
            self._log.log(logging.ERROR, "fault", "a connection has failed: %s", type(error).__name__)
            logger.debug("the fault", exc_info=True)
            connection.abort()


async def _readable(loop: asyncio.AbstractEventLoop, listening: socket.socket) -> None:
    """Wait until a client of a listening socket can be accepted.

    In place of `loop.sock_accept`, which accepts before whoever awaits it runs: a cancellation between the two loses a
    socket that nobody closes.
    """
    found = asyncio.Event()
    loop.add_reader(listening, found.set)
    try:
        await found.wait()
    finally:
        loop.remove_reader(listening)


async def read_body(request: web.BaseRequest, limits: ConnectionLimits, bytes_max: int) -> bytes:
    """Read a small body whole.

    Raises:
        BodyError: It has more than so many bytes, or is not there within `BODY_S`.
    """
    body = b""
    with limits.reading(request.transport, BODY_S):
        try:
            async with asyncio.timeout(BODY_S):
                async for piece in request.content.iter_any():
                    body += piece
                    if len(body) > bytes_max:
                        raise BodyError(413, f"a body of more than {bytes_max} bytes")
        except TimeoutError as error:
            raise BodyError(408, f"the body is not there within {BODY_S:g} s") from error
    return body


async def send(
    request: web.BaseRequest, response: web.StreamResponse, data: bytes, within_s: float | None = None
) -> None:
    """Send a part of an answer to a reader who keeps up.

    Args:
        request: What is answered.
        response: The answer, prepared.
        data: The part.
        within_s: How long the reader may take for what is before it; None: `SEND_S`.

    Raises:
        ConnectionResetError: The reader doesn't keep up, and was cut off, or is gone.
    """
    try:
        async with asyncio.timeout(SEND_S if within_s is None else within_s):
            await response.write(data)
    except TimeoutError:
        if request.transport is not None:
            cut_off(request.transport)
        raise ConnectionResetError("the reader does not keep up") from None


def is_bearer(authorization: str | None, token: bytes) -> bool:
    """Tell whether an Authorization header has the token (RFC 6750, 2.1), in a time that tells nothing of it."""
    given = (authorization or "")[len(_BEARER) :]
    same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token)
    return is_bearer_scheme(authorization) and same


def is_bearer_scheme(authorization: str | None) -> bool:
    """Tell whether an Authorization header is meant to have a token, the right one or another."""
    return (authorization or "")[: len(_BEARER)].lower() == _BEARER
