"""Live events: for whoever watches, and at no cost while nobody does."""

import socket
import time
from contextlib import ExitStack

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.status.report import Status
from dnstap_bgp.workers.process import loop
from dnstap_bgp.workers.web import events
from dnstap_bgp.workers.web.feed import WATCHERS_HTTP_MAX, WATCHERS_MAX
from tests.integration.lab import eventually
from tests.workers.web.site_kit import Site
from tests.workers.web.watcher_kit import watching

A, B = b"\1\1\1\1", b"\1\1\1\2"


def test_what_is_learnt_refreshed_and_ended(site: Site):
    with watching(site) as one, watching(site, control=True) as other:
        site.see([A, B])
        site.tick()
        site.keeper.forget(A, is_name=False)
        site.tick()
        for watcher in (one, other):
            learnt = [watcher.next(), watcher.next()]
            assert {kind for kind, _ in learnt} == {"learnt"}
            assert {data["address"] for _, data in learnt} == {"1.1.1.1", "1.1.1.2"}
            kind, data = watcher.next()
            assert (kind, data["address"], data["reason"], data["routed"]) == ("ended", "1.1.1.1", "forgotten", False)
            assert abs(data["at"] - time.time()) < 60
    claims = [Claim(B, "l", b"www.example.com", 2.0, 1.0, 60.0)]
    with watching(site) as one:
        site.server.tick(0.0, claims)
        kind, data = one.next()
        assert (kind, data["name"], data["routed"]) == ("refreshed", "www.example.com", True)


def watch(sock: socket.socket) -> socket.socket:
    """Watch, once it is certain that one does."""
    sock.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while b"hello" not in answer:
        answer += (more := sock.recv(4096))
        assert more, answer
    return sock


def from_address(site: Site, source: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", site.port), 60, source_address=(source, 0))


def test_too_many_watchers_of_one_address_are_refused(site: Site):
    with ExitStack() as all_of_them:
        for _ in range(WATCHERS_HTTP_MAX):
            all_of_them.enter_context(watch(site.tcp()))
        status, found, _ = site.ask("/v1/events")
        assert (status, found["error"]) == (503, f"{WATCHERS_HTTP_MAX} watch already")
        assert site.get("/v1/status")["web"]["watchers"] == WATCHERS_HTTP_MAX
    eventually(lambda: site.get("/v1/status")["web"]["watchers"] == 0, 20, "all have left")


def test_an_address_that_watches_with_all_places_keeps_no_other_out(site: Site):
    with ExitStack() as all_of_them:
        flood = [all_of_them.enter_context(watch(site.tcp())) for _ in range(WATCHERS_HTTP_MAX)]
        other = all_of_them.enter_context(watch(from_address(site, "127.0.0.2")))
        assert closed_or_ended(flood[0]), "the oldest of the address that has the most"
        for _ in range(WATCHERS_MAX):  # and it tries again and again
            status, _, _ = site.ask("/v1/events")
            assert status == 503
        site.see([A])
        site.tick()
        assert tells(other, b"learnt")
        assert tells(flood[1], b"learnt")


def test_the_control_socket_s_watchers_are_not_kept_out_by_those_over_tcp(site: Site):
    with ExitStack() as all_of_them:
        for _ in range(WATCHERS_HTTP_MAX):
            all_of_them.enter_context(watch(site.tcp()))
        for _ in range(WATCHERS_MAX // 2):
            all_of_them.enter_context(watch(site.control()))
        status, found, _ = site.ask("/v1/events", control=True)
        assert (status, found["error"]) == (503, f"{WATCHERS_MAX} watch already")
        assert site.get("/v1/status")["web"]["watchers"] == WATCHERS_MAX


def tells(sock: socket.socket, word: bytes) -> bool:
    """Whether its stream has a word, before it comes to an end."""
    found = b""
    while word not in found:
        if not (more := sock.recv(4096)):
            return False
        found += more
    return True


def closed_or_ended(sock: socket.socket) -> bool:
    """Whether its stream comes to an end: the last chunk of a chunked answer, or the connection's end."""
    found = b""
    while not found.endswith(b"0\r\n\r\n"):
        more = sock.recv(4096)
        if not more:
            return True
        found += more
    return True


def test_a_fault_in_looking_for_events_ends_nobody_s_watching(site: Site, monkeypatch, caplog):
    monkeypatch.setattr(events, "LOOK_S", 0.01)
    monkeypatch.setattr(loop, "RESTART_FIRST_S", 0.01)
    status = site.server.inspector.status
    times: list[int] = []

    def failing() -> Status:
        times.append(1)
        if 2 <= len(times) <= 3:
            raise RecursionError("planted")
        return status()

    monkeypatch.setattr(site.server.inspector, "status", failing)
    with watching(site) as one:
        eventually(lambda: len(times) > 5, 20, "it is looked again")
        site.see([A])
        site.tick()
        assert one.next()[0] == "learnt"
    assert "planted" in caplog.text
