"""The HTTP session with all peers: where they are, and what went wrong in words."""

import asyncio
import logging
import socket
import ssl
from contextlib import closing

import aiohttp
import pytest

from dnstap_bgp.config.addresses import TcpAddress
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog
from dnstap_bgp.workers.sync.http_session import HttpSession, open_session
from dnstap_bgp.workers.sync.peer import Peer
from tests.ports import free_port


def peer(port: int, host: str = "127.0.0.1") -> Peer:
    return Peer(TcpAddress(host, port), RateLimitedLog(logging.getLogger("dnstap_bgp.tests"), process_clock))


def error_of(session: HttpSession, port: int) -> str:
    async def ask() -> str:
        try:
            async with (
                asyncio.timeout(60),
                session.client.get(session.url(peer(port), "/"), headers=session.headers, trace_request_ctx={}),
            ):
                return ""
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return session.error_text(error)

    return asyncio.get_event_loop().run_until_complete(ask())


@pytest.fixture
def loop():
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield made
    made.run_until_complete(asyncio.sleep(0))
    asyncio.set_event_loop(None)
    made.close()


@pytest.fixture
def session(loop):
    async def make() -> HttpSession:
        return open_session("secret", None)

    made = loop.run_until_complete(make())
    yield made
    loop.run_until_complete(made.client.close())


def test_urls(session):
    assert session.url(peer(80), "/v1/changes") == "http://127.0.0.1:80/v1/changes"
    assert session.url(peer(80, "2001:db8::1"), "/fetch") == "http://[2001:db8::1]:80/fetch"
    assert session.headers["Authorization"] == "Bearer secret"


def test_nobody_there(session):
    assert error_of(session, free_port()) == "can't be reached: Connection refused"


def test_a_connection_that_ends(session, loop):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    assert error_of(session, server.sockets[0].getsockname()[1]) == "ended the connection"
    server.close()
    loop.run_until_complete(server.wait_closed())


def test_silence_and_what_has_no_words(session):
    assert session.error_text(TimeoutError()) == "does not answer in time"
    assert session.error_text(ValueError()) == "ValueError"


def test_tls_with_one_that_speaks_none(loop):
    async def make() -> HttpSession:
        return open_session(None, ssl.create_default_context())

    made = loop.run_until_complete(make())
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        server.settimeout(60)
        asked = loop.run_in_executor(None, _answer_plainly, server)
        assert error_of(made, server.getsockname()[1]).startswith(("TLS failed", "can't be reached"))
        loop.run_until_complete(asked)
    loop.run_until_complete(made.client.close())


def _answer_plainly(server: socket.socket) -> None:
    with closing(server.accept()[0]) as sock:
        sock.recv(100)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
