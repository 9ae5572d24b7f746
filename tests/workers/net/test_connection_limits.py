"""Connection limits: slow, silent and flooding clients give way, and harm nobody."""

import asyncio
import socket
from collections import Counter
from contextlib import ExitStack

import pytest

from dnstap_bgp.workers.net import connection_limits
from dnstap_bgp.workers.net.connection_limits import ConnectionLimits, LimitedConnection, Room, RoomOf
from tests.integration.lab import eventually
from tests.workers.web import site_kit
from tests.workers.web.site_kit import Site, addresses, closed, refused


def test_slow_headers_are_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(connection_limits, "REQUEST_S", 0.5)
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
    monkeypatch.setattr(connection_limits, "REQUEST_S", 0.3)
    with site.tcp() as sock, site.tcp() as silent:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert closed(sock)
        assert closed(silent)


def test_who_leaves_in_the_middle_of_an_answer_is_no_slow_client(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connection_limits, "REQUEST_S", 0.3)
    with site.tcp() as sock:
        sock.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in sock.recv(4096)
    eventually(lambda: not len(site.server._feed), 20, "it has left")
    with site.tcp() as silent:  # whose end comes later than that of one that had left would
        assert closed(silent)
    assert refused(site) == {"slow": 1}


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


def test_a_flood_that_says_nothing_leaves_others_the_time_to_ask(tmp_path):
    """The attack: who needs a moment from the connection to its request, as TLS does, is always the oldest by then."""
    with site_kit.running(tmp_path, http="connections_max = 4") as site, ExitStack() as held:
        assert site.get("/healthz") == "ok\n"
        with site.tcp() as sock:
            sock.sendall(b"GET /healthz HTTP/1.1\r\n")
            for number in range(1, 20):
                held.enter_context(from_address(site, "127.0.0.2"))
                eventually(lambda: refused(site).get("limit", 0) >= number - 3, 10, "it is let in")  # noqa: B023
            sock.sendall(b"Host: localhost\r\n\r\n")
            assert b"200 OK" in sock.recv(4096)
        assert refused(site) == {"limit": 16}


def test_who_may_not_connect_is_cut_off(tmp_path):
    with site_kit.running(tmp_path, http='allow = ["192.0.2.0/24"]') as site:
        with site.tcp() as sock:
            assert closed(sock)
        assert refused(site) == {"allow": 1}


def busy(sock: socket.socket) -> socket.socket:
    """Have a request answered that takes as long as its reader."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.sendall(b"GET /v1/routes?limit=10000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert sock.recv(100)
    return sock


def from_address(site: Site, source: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", site.port), 60, source_address=(source, 0))


def test_an_address_that_reads_slowly_with_all_connections_keeps_no_other_out(tmp_path):
    with site_kit.running(tmp_path, http="connections_max = 4") as site, ExitStack() as held:
        site.see(addresses(20_000))
        for _ in range(4):
            held.enter_context(busy(site.tcp()))
        with from_address(site, "127.0.0.2") as other:
            other.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in other.recv(4096)
        assert refused(site)["limit"] >= 1


def test_with_a_place_each_a_newcomer_is_turned_away(tmp_path):
    with site_kit.running(tmp_path, http="connections_max = 3") as site, ExitStack() as held:
        site.see(addresses(20_000))
        socks = [held.enter_context(busy(from_address(site, f"127.0.0.{number}"))) for number in (2, 3, 4)]
        with from_address(site, "127.0.0.5") as newcomer:
            assert closed(newcomer)
        for sock in socks:
            assert sock.recv(100), "they are still at it"


class Stand:
    """A connection that was accepted, and the limits that it is held to, in a loop of its own."""

    def __init__(self, room_of: RoomOf) -> None:
        self.refused: Counter[str] = Counter()
        self.limits = ConnectionLimits(self.refused, room_of, request_s=lambda: 20.0)
        self._socks: list[socket.socket] = []

    def admit(self) -> LimitedConnection | None:
        one, other = socket.socketpair()
        self._socks += [one, other]
        return self.limits.admit(one, asyncio.Protocol)

    def close(self) -> None:
        for sock in self._socks:
            sock.close()


def test_rooms_take_no_place_from_each_other():
    async def run() -> None:
        rooms = iter(["a", "a", "a", "b", "b"])
        stand = Stand(lambda _: Room(next(rooms), 2))
        try:
            first, second, third, other, last = (stand.admit() for _ in range(5))
            for one in (first, second, third, other, last):
                assert one is not None
            assert stand.refused == {"limit": 1}, "the oldest of the room gave way"
            assert second is not None
            assert third is not None
            stand.limits.leave(second)
            stand.limits.leave(third)
        finally:
            stand.close()

    asyncio.run(run())


def test_who_is_gone_before_it_is_admitted_costs_nothing():
    async def run() -> None:
        stand = Stand(lambda sock: Room(sock.getpeername(), 1))
        one, other = socket.socketpair()
        other.close()
        one.close()
        assert stand.limits.admit(one, asyncio.Protocol) is None
        assert not stand.refused

    asyncio.run(run())


class EndedTls(asyncio.Transport):
    """A TLS transport of Python 3.11.2 (Debian 12) that was closed twice, and waits for the other side's goodbye."""

    def abort(self) -> None:
        raise AttributeError("'NoneType' object has no attribute '_abort'")


def test_a_tls_connection_that_is_ending_already_may_be_cut_off():
    async def run() -> None:
        stand = Stand(lambda _: Room("a", 2))
        try:
            connection = stand.admit()
            assert connection is not None
            connection.connection_made(EndedTls())
            connection.abort()
            stand.limits.leave(connection)
        finally:
            stand.close()

    asyncio.run(run())


class Pieces(asyncio.Protocol):
    """Notes how much it is handed at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def data_received(self, data: bytes) -> None:
        self.sizes.append(len(data))


def test_of_a_flood_little_is_taken_at_once():
    """The attack: what is no request stays in memory beside its error, as large as it was handed on."""

    async def run() -> None:
        limits = ConnectionLimits(Counter(), lambda _: Room("all", 1), request_s=lambda: 20.0)
        pieces = Pieces()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            theirs.settimeout(20)
            flood = bytes(1 << 17)
            theirs.sendall(flood)
            theirs.shutdown(socket.SHUT_WR)
            connection = limits.admit(ours, lambda: pieces)
            assert connection is not None
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, ours)
            await connection.gone.wait()
        assert sum(pieces.sizes) == len(flood)
        assert max(pieces.sizes) <= connection_limits.READ_BYTES

    asyncio.run(run())
