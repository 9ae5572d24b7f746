"""Hostile clients of HTTP harm nothing: somebody else still gets an answer, and nothing is held for them."""

import http.client
import logging
import re
import socket
import threading
import zlib

import pytest

from dnstap_bgp.core.status.status import Peer
from dnstap_bgp.workers.web import gate
from dnstap_bgp.workers.web.gate import is_own_name
from tests.integration.lab import eventually
from tests.workers.web import site_kit
from tests.workers.web.site_kit import Site, addresses


def closed(sock: socket.socket) -> bool:
    """Whether the other end has ended the connection, as far as it says by now."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def say(site: Site, data: bytes) -> bytes:
    """Send bytes, and take what comes until the end."""
    with site.tcp() as sock:
        found = b""
        try:
            sock.sendall(data)
            while chunk := sock.recv(65536):
                found += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
        return found


def refused(site: Site) -> dict[str, int]:
    found = site.get("/v1/status", control=True)["web"]["refused"]
    assert isinstance(found, dict)
    return found


# -- names


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8179",
        "localhost.",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:8179",
        "192.0.2.5",
        "box.lan:80",
    ],
)
def test_own_names(host: str):
    assert is_own_name(host, frozenset({"localhost", "box.lan"}))


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "evil.example:8179",
        "127.0.0.1.evil.example",
        "::1",
        "[::1",
        "[]",
        "[evil]",
        "[127.0.0.1]",
        "localhost:x",
        "localhost:-1",
        "localhost:1:2",
        "localhost:123456",
        "127.1",
        "0x7f000001",
        "2130706433",
        "user@localhost",
        "localhost/",
        "local\u200bhost",
        "[::1]x",
        "[::1]:\u00b2",
    ],
)
def test_other_names(host: str):
    assert not is_own_name(host, frozenset({"localhost", "box.lan"}))


@pytest.mark.parametrize("path", ["/", "/v1/status", "/v1/routes", "/metrics", "/v1/events", "/nothing"])
def test_a_page_that_has_its_own_name_point_here_learns_nothing(site: Site, path: str):
    status, found, _ = site.ask(path, Host="rebound.example:8179")
    assert status == 421
    assert "hosts" in found["error"]
    assert refused(site) == {"host": 1}


def test_configured_names_are_ours(tmp_path):
    with site_kit.running(tmp_path, http='hosts = ["routes.example"]') as site:
        assert site.get("/healthz", Host="routes.example") == "ok\n"
        assert site.ask("/healthz", Host="other.example")[0] == 421


def test_a_request_without_or_with_two_hosts(site: Site):
    none = say(site, b"GET /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert b" 400 " in none or b" 421 " in none
    two = say(site, b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    assert b" 400 " in two or b" 421 " in two
    absolute = say(
        site, b"GET http://evil.example/v1/status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    )
    assert b" 421 " in absolute


def test_other_sites_may_not_ask(site: Site):
    assert site.ask("/v1/status", Sec_Fetch_Site="cross-site")[0] == 403
    assert site.ask("/v1/status", Sec_Fetch_Site="same-origin")[0] == 200
    _, _, response = site.ask("/v1/status", Origin="https://evil.example")
    assert not [name for name in response.headers if name.lower().startswith("access-control")]


def test_every_answer_has_the_headers_that_keep_browsers_safe(site: Site):
    for path in ("/v1/status", "/v1/routes", "/metrics", "/nothing", "/v1/why/a%20b"):
        headers = site.ask(path)[2].headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert "aiohttp" not in headers["Server"]


# -- paths


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/v1/../healthz",
        "/v1//status",
        "/v1/status/",
        "/v1/why/",
        "/v1/why/a/b",
        "/static/x",
        "/v1/forget",
        "/.git/config",
        "/v1/status;x",
        "/V1/STATUS",
    ],
)
def test_path_tricks_lead_nowhere(site: Site, path: str):
    answer = say(site, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert re.match(rb"HTTP/1\.1 (404|400|200) ", answer)
    assert b"root:" not in answer
    if b" 200 " in answer[:20]:  # the parser may resolve dots: then it is the very path that they lead to
        assert b"ok" in answer


# -- slow, large, many


def test_slow_headers_are_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gate, "REQUEST_S", 0.5)
    with site.tcp() as sock:
        sock.settimeout(0.05)
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")

        def trickled() -> bool:
            try:
                sock.sendall(b"X-A: b\r\n")
            except (BrokenPipeError, ConnectionResetError):
                return True
            return closed(sock)

        eventually(trickled, 20, "the end of a request that never ends")
    assert refused(site)["slow"] == 1


def test_an_idle_connection_is_cut_off_also_after_an_answer(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gate, "REQUEST_S", 0.3)
    with site.tcp() as sock, site.tcp() as silent:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert closed(sock)
        assert closed(silent)


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
    monkeypatch.setattr(gate, "REQUEST_S", 0.5)
    with caplog.at_level(logging.INFO):
        answer = say(site, request_bytes)
    assert not caplog.records  # strangers don't fill the log
    assert b" 200 " not in answer[:20]
    assert site.get("/healthz") == "ok\n"


def test_no_more_is_taken_of_a_flood_behind_a_request(site: Site):
    request = b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with site.tcp() as sock:
        sock.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in sock.recv(4096)
        sock.settimeout(0.5)
        taken = 0
        try:
            while taken < 32 << 20:
                taken += sock.send(request * 1000)
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            pass
    assert taken < 32 << 20  # what the sockets' own buffers hold
    assert site.get("/healthz") == "ok\n"


def test_at_the_limit_the_idle_give_way(tmp_path):
    with site_kit.running(tmp_path, http="connections_max = 4") as site:
        idle = [site.tcp() for _ in range(20)]
        try:
            assert site.get("/healthz") == "ok\n"
            assert refused(site)["limit"] >= 16
        finally:
            for sock in idle:
                sock.close()


def test_who_reads_nothing_is_let_go(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gate, "SEND_S", 0.3)
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


def test_who_may_not_connect_is_cut_off(tmp_path):
    with site_kit.running(tmp_path, http='allow = ["192.0.2.0/24"]') as site:
        with site.tcp() as sock:
            assert closed(sock)
        assert refused(site) == {"allow": 1}


def test_others_are_answered_while_all_routes_are_listed(site: Site):
    """The loop is never held for long: while two list 20,000 routes again and again, a third has quick answers."""
    site.see(addresses(20_000))
    stop = threading.Event()

    def lists() -> None:
        while not stop.is_set():
            site.get("/v1/routes?limit=10000")

    threads = [threading.Thread(target=lists) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert site.get("/healthz") == "ok\n"
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_slow_readers_of_the_routes_keep_nobody_from_them(site: Site):
    site.see(addresses(20_000))
    site.get("/v1/routes?limit=1")
    with site.tcp() as one, site.tcp() as two, site.tcp() as three:
        for slow in (one, two, three):
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.sendall(b"GET /v1/routes?limit=10000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert slow.recv(100)
        found = site.get("/v1/routes?limit=10000", control=True)
        assert len(found["routes"]) == 10_000
        for slow in (one, two, three):
            slow.settimeout(0)
            assert slow.recv(100), "they are still at it"


def test_a_compressed_body_is_not_inflated(site: Site):
    body = zlib.compress(b'{"level": "info"}')
    head = b"POST /v1/log-level HTTP/1.1\r\nHost: x\r\nContent-Encoding: deflate\r\nContent-Length: %d\r\n\r\n"
    with site.control() as sock:
        sock.sendall(head % len(body) + body)
        assert b" 400 " in sock.recv(4096)


def test_followers_from_anywhere_are_no_labels(site: Site):
    followers = [Peer(f"192.0.2.{n // 2} (follows us)", "ok", is_configured=False) for n in range(100)]
    site.services.view.peers = lambda: (Peer("192.0.2.9:1", "ok"), *followers)
    lines = site.get("/metrics").splitlines()
    assert [line for line in lines if "(follows us)" in line] == []
    assert "dnstap_bgp_peer_followers 100.0" in lines


@pytest.mark.parametrize(
    "accept", ["text/plain; version=x", "application/openmetrics-text; version=1.x", "x" * 5000, "\xff;=,"]
)
def test_whatever_form_is_asked_for_there_are_metrics(site: Site, accept: str):
    assert "dnstap_bgp_ready" in site.get("/metrics", Accept=accept)
