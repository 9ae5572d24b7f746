"""HTTP session that the clients of all peers share, and its errors in an operator's words; in the thread "loop"."""

import os
import ssl
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp

from dnstap_bgp import __version__
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.sync.peer import Peer

CONNECT_S = 3.0
"""A connection across a continent takes 0.3 s; a first packet that was lost is sent again after 1 s."""

RETRY_FIRST_S = 0.25
"""After the first failure: a restarted program is back within a second."""


@dataclass(frozen=True, slots=True)
class HttpSession:
    """A session with the peers.

    Attributes:
        client: Shared by all requests; whoever opened the session closes it.
        scheme: `http` or `https`.
        tls: For `https`; None: plain.
        headers: Of each request.
    """

    client: aiohttp.ClientSession
    scheme: str
    tls: ssl.SSLContext | None
    headers: dict[str, str]

    def url(self, peer: Peer, path: str) -> str:
        """Give the URL of a path at a peer."""
        return f"{self.scheme}://{peer.endpoint}{path}"

    def error_text(self, error: Exception) -> str:
        """Say what went wrong with a request."""
        if self.tls is not None and isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError):
            return "ended the connection before it answered: perhaps it does not accept our certificate"
        if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
            return f"TLS failed: {error}"
        if isinstance(error, aiohttp.ClientConnectorError):
            number = error.os_error.errno
            return f"can't be reached: {os.strerror(number) if number else error.os_error}"
        if isinstance(error, TimeoutError):
            return "does not answer in time"
        if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
            return "ended the connection"
        return str(error) or type(error).__name__


def open_session(token: str | None, tls: ssl.SSLContext | None) -> HttpSession:
    """Open a session; its client is to be closed.

    Args:
        token: Sent with each request; None: none.
        tls: See `HttpSession`.
    """
    tracing = aiohttp.TraceConfig()

    async def connected(_session: object, context: SimpleNamespace, _params: object) -> None:
        context.trace_request_ctx["asked"] = process_clock()

    tracing.on_connection_create_end.append(connected)
    tracing.on_connection_reuseconn.append(connected)
    headers = {"Accept-Encoding": "identity", "User-Agent": f"dnstap-bgp/{__version__}"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    client = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(use_dns_cache=False, limit=0, ssl=tls if tls is not None else True),
        trace_configs=[tracing],
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    return HttpSession(client, "https" if tls is not None else "http", tls, headers)
