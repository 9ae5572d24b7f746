"""HTTP server: broken, huge and slow requests, and readers that don't read."""

import asyncio
import gc
import http.client
import logging
import os
import socket
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web

from dnstap_bgp.workers.net import connection_limits, http_server
from dnstap_bgp.workers.net.connection_limits import ConnectionLimits, LimitedConnection, room_of_allowed
from dnstap_bgp.workers.net.http_server import HttpServer
from dnstap_bgp.workers.web import http_app
from tests.integration.lab import eventually
from tests.workers.web import site_kit
from tests.workers.web.site_kit import Site, addresses, closed, say


def test_the_body_of_a_get_is_not_waited_for(site: Site):
    with site.tcp() as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        assert b"200 OK" in sock.recv(4096)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"\0" * 5000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/forget HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    ],
)
def test_huge_and_broken_requests_are_refused(
    site: Site, request_bytes: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    with monkeypatch.context() as patch, caplog.at_level(logging.INFO):
        patch.setattr(connection_limits, "REQUEST_S", 0.5)
        answer = say(site, request_bytes)
    assert not caplog.records  # strangers don't fill the log
    assert b" 200 " not in answer[:20]
    assert site.get("/healthz") == "ok\n"


def test_who_reads_nothing_is_let_go(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_server, "SEND_S", 0.3)
    with site_kit.running(tmp_path, http="connections_max = 2") as site:
        site.see(addresses(20_000))
        readers = [site.tcp() for _ in range(2)]
        try:
            for sock in readers:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.sendall(b"GET /v1/routes?limit=10000 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 4)

            def answered() -> bool:
                try:
                    return bool(site.get("/healthz") == "ok\n")
                except (ConnectionError, http.client.HTTPException):
                    return False

            eventually(answered, 60, "a place for who reads")
        finally:
            for sock in readers:
                sock.close()


def test_a_compressed_body_is_not_inflated(site: Site):
    body = zlib.compress(b'{"level": "info"}')
    head = b"POST /v1/log-level HTTP/1.1\r\nHost: x\r\nContent-Encoding: deflate\r\nContent-Length: %d\r\n\r\n"
    with site.control() as sock:
        sock.sendall(head % len(body) + body)
        assert b" 400 " in sock.recv(4096)


@pytest.mark.parametrize("path", ["/v1/events", "/v1/routes", "/v1/status", "/metrics", "/", "/nothing"])
def test_http_1_0_is_answered_and_not_logged(site: Site, path: str, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        for _ in range(20):
            with site.tcp() as sock:
                sock.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
                assert sock.recv(4096).startswith(b"HTTP/1.0 ")
    assert not caplog.records


@pytest.mark.parametrize(
    "fault", [RecursionError("planted"), ValueError("planted"), ExceptionGroup("planted", [OSError()])]
)
def test_a_fault_in_a_handler_ends_that_request_alone(
    site: Site, fault: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """An exception at the entry of what is asked: an answer each time, a few lines in the log, and the rest goes on."""

    def status() -> None:
        raise fault

    with monkeypatch.context() as patch, caplog.at_level(logging.INFO):
        patch.setattr(site.server.inspector, "status", status)
        for control in (False, True):
            for _ in range(30):
                answer, found, _ = site.ask("/v1/status", control=control)
                assert (answer, found["error"]) == (500, "a fault of ours; the log has it at level debug")
        assert site.get("/healthz") == "ok\n"
    assert 1 <= len(caplog.records) <= 20
    assert not any(record.exc_info for record in caplog.records)
    assert site.get("/v1/status")["pid"]


@pytest.mark.parametrize("entry", ["connection_made", "buffer_updated", "eof_received", "connection_lost"])
def test_a_fault_at_the_protocol_s_entry_ends_that_connection_alone(
    site: Site, entry: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def failing(*_: object) -> None:
        raise RecursionError("planted")

    assert site.get("/healthz") == "ok\n"
    with monkeypatch.context() as patch, caplog.at_level(logging.INFO):
        patch.setattr(LimitedConnection, entry, failing)
        for _ in range(30):
            with site.tcp() as sock:
                sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(0.2)
                with suppress(OSError):
                    while sock.recv(4096):
                        pass
    assert len(caplog.records) <= 40
    assert site.get("/healthz") == "ok\n"
    assert site.get("/healthz", control=True) == "ok\n"


async def _refuse(_: web.BaseRequest) -> web.Response:
    raise web.HTTPNotFound


@pytest.mark.parametrize("turns", range(5))
def test_a_listener_that_ends_loses_no_connection_that_comes_then(turns: int):
    """The cancellation comes some turns of the loop after the client: between the two no socket may be left open."""

    async def end() -> None:
        limits = ConnectionLimits(Counter(), room_of_allowed((), 8), request_s=lambda: 5.0)
        server = HttpServer(limits, web.Server(_refuse, **http_server.PROTOCOL_OPTIONS))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setblocking(False)
            serving = asyncio.create_task(server.serve(listening))
            await asyncio.sleep(0.01)
            with socket.create_connection(listening.getsockname()):
                for _ in range(turns):
                    await asyncio.sleep(0)
                serving.cancel()
                await asyncio.wait({serving})
                await server.close()
                await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)

    asyncio.run(end())
    gc.collect()


SLOW_POST = b"POST /v1/forget HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"


def test_slow_bodies_do_not_keep_commands_from_the_control_socket(site: Site):
    with ExitStack() as slow:
        for _ in range(2 * http_app.CONTROL_CONNECTIONS_MAX):
            slow.enter_context(site.control()).sendall(SLOW_POST)
        for _ in range(10):
            status, found, _ = site.ask("/v1/forget", method="POST", body={"target": "1.1.1.1"}, control=True)
            assert (status, found["ended"]) == (200, 0)


def test_a_slow_body_has_a_deadline(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_server, "BODY_S", 0.3)
    with site.control() as sock:
        sock.sendall(SLOW_POST)
        answer = sock.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"the body is not there within 0.3 s" in answer + sock.recv(4096)
        assert closed(sock)


def test_a_long_body_is_refused(site: Site):
    status, found, _ = site.ask("/v1/forget", method="POST", body={"target": "x" * 5000}, control=True)
    assert (status, found["error"]) == (413, "a body of more than 4096 bytes")


FLOOD = """
import os, socket, sys, time
os.setgid(65534), os.setuid(65534)
held = []
for _ in range(int(sys.argv[2])):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(sys.argv[1])
    sock.sendall(sys.argv[3].encode())
    held.append(sock)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for another user's process")
@pytest.mark.parametrize(
    "request_text", [SLOW_POST.decode(), "GET /v1/routes HTTP/1.1\r\nHost: x\r\n\r\n" * 3, "GET /"]
)
def test_another_user_s_connections_take_no_place_of_root_s(site: Site, request_text: str):
    site.see(addresses(20_000))
    path = site.config.control_socket
    assert site.get("/healthz", control=True) == "ok\n"
    path.chmod(0o666)
    with open_to_others(path), subprocess.Popen(
        [sys.executable, "-c", FLOOD, str(path), "200", request_text],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as flood:  # fmt: skip
        assert flood.stdout is not None
        assert flood.stdin is not None
        assert flood.stdout.readline() == "held\n"
        socks = [site.control() for _ in range(8)]  # all of root's at once, none of them reset
        for sock in socks:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        for sock in socks:
            with sock:
                assert b"200 OK" in sock.recv(4096)
        flood.stdin.close()


@contextmanager
def open_to_others(path: Path) -> Iterator[None]:
    """Have everybody search the folders on the way to a file."""
    modes = [(folder, folder.stat().st_mode) for folder in path.parents if not folder.stat().st_mode & 0o001]
    for folder, mode in modes:
        folder.chmod(mode | 0o001)
    try:
        yield
    finally:
        for folder, mode in modes:
            folder.chmod(mode)
