"""Live events: for whoever watches, and at no cost while nobody does."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import Any

from dnstap_bgp.core.model import Claim
from dnstap_bgp.workers.web import feed
from dnstap_bgp.workers.web.feed import QUEUE_MAX, TICK_MAX, WATCHERS_HTTP_MAX, WATCHERS_MAX, Watcher
from tests.integration.lab import eventually
from tests.workers.web.site_kit import Site, addresses

A, B = b"\1\1\1\1", b"\1\1\1\2"


class Watching:
    """A watcher's end."""

    def __init__(self, connection: HTTPConnection) -> None:
        self._response = connection.getresponse()
        assert self._response.status == 200
        assert self._response.headers["Content-Type"] == "text/event-stream"
        assert self.next()[0] == "hello"

    def next(self) -> tuple[str, dict[str, Any]]:
        kind = ""
        while line := self._response.readline().decode():
            field, _, value = line.rstrip("\n").partition(": ")
            if field == "event":
                kind = value
            elif field == "data":
                return kind, json.loads(value)
        raise AssertionError("the stream has ended")


@contextmanager
def watching(site: Site, *, control: bool = False) -> Iterator[Watching]:
    with closing(HTTPConnection("localhost")) as connection:
        connection.sock = site.control() if control else site.tcp()
        connection.request("GET", "/v1/events")
        yield Watching(connection)


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
        site.services.tick(0.0, claims)
        kind, data = one.next()
        assert (kind, data["name"], data["routed"]) == ("refreshed", "www.example.com", True)


def test_nothing_is_recorded_while_nobody_watches(site: Site):
    assert not site.keeper.table.recording
    with watching(site):
        assert site.keeper.table.recording
    eventually(lambda: not site.keeper.table.recording, 20, "the watcher is missed")
    site.see([A])
    site.tick()
    with watching(site) as one:  # what came before is not told
        site.see([B])
        site.tick()
        assert one.next()[1]["address"] == "1.1.1.2"


def test_of_a_burst_the_rest_is_counted(site: Site):
    with watching(site) as one:
        site.see(addresses(TICK_MAX + 500))
        site.tick()
        told = 0
        while (event := one.next())[0] == "learnt":
            told += 1
        assert (told, event) == (TICK_MAX, ("lost", {"count": 500}))
    assert site.get("/v1/status")["web"]["events_lost"] == 500


def test_a_slow_watcher_loses_and_is_told():
    watcher = Watcher(asyncio.Event())
    for _ in range(3):
        watcher.put([b"x"] * QUEUE_MAX, 0)
    assert watcher.lost == 2 * QUEUE_MAX
    taken = watcher.take()
    assert taken == b"x" * QUEUE_MAX + feed.encoded("lost", {"count": 2 * QUEUE_MAX})
    assert (watcher.lost, watcher.take()) == (0, b"")


def test_too_many_watchers_are_refused(site: Site):
    socks: list[socket.socket] = []
    try:
        for number in range(WATCHERS_MAX):
            if number == WATCHERS_HTTP_MAX:
                assert site.ask("/v1/events")[0] == 503, "the rest is for the control socket"
            sock = site.tcp() if number < WATCHERS_HTTP_MAX else site.control()
            socks.append(sock)
            sock.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while b"hello" not in answer:
                answer += (more := sock.recv(4096))
                assert more, answer
        status, found, _ = site.ask("/v1/events", control=True)
        assert (status, found["error"]) == (503, f"{WATCHERS_MAX} watch already")
    finally:
        for sock in socks:
            sock.close()
    eventually(lambda: site.get("/v1/status")["web"]["watchers"] == 0, 20, "all have left")
