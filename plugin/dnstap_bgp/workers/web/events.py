"""/v1/events: live events as they come (`text/event-stream` of the HTML standard), in the thread "loop"."""

import asyncio
import socket
import time
from dataclasses import asdict

from aiohttp import web

from dnstap_bgp import __version__
from dnstap_bgp.core.status.report import Finding
from dnstap_bgp.workers.net.fair_share import owner_of
from dnstap_bgp.workers.net.http_server import send
from dnstap_bgp.workers.process.loop import supervise
from dnstap_bgp.workers.web.feed import WATCHERS_HTTP_MAX, WATCHERS_MAX, EventFeed, Watcher, encoded
from dnstap_bgp.workers.web.inspector import Inspector
from dnstap_bgp.workers.web.middleware import Failure

KEEP_ALIVE_S = 15.0
"""A comment so often, so that a proxy in between, or we, notice that the other end is gone."""

LOOK_S = 2.0
"""How often it is looked for what changed in neighbors and findings, while somebody watches."""


class EventStreams:
    """Handler of /v1/events, with the look-out for events that nobody brings."""

    def __init__(self, inspector: Inspector, feed: EventFeed) -> None:
        self._inspector = inspector
        self._feed = feed
        self._looking: asyncio.Task[None] | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Give a watcher all events until he leaves."""
        watcher = _watcher(request)
        if not self._feed.join(asyncio.get_running_loop(), watcher):
            raise Failure(503, f"{WATCHERS_MAX if watcher.is_local else WATCHERS_HTTP_MAX} watch already")
        try:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(supervise("events of neighbors and findings", self._look))
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await send(request, response, encoded("hello", {"version": __version__}))
            while not watcher.is_displaced:
                try:
                    async with asyncio.timeout(KEEP_ALIVE_S):
                        await watcher.wait()
                except TimeoutError:
                    await send(request, response, b": keep-alive\n\n")
                else:
                    await send(request, response, watcher.take())
            await send(request, response, b": the place is needed for somebody else\n\n")
            return response
        finally:
            self._feed.leave(watcher)

    async def _look(self) -> None:
        """Tell what comes and goes in neighbors and findings, as long as anybody watches."""
        up, known = self._state()
        while len(self._feed):
            await asyncio.sleep(LOOK_S)
            up_before, known_before = up, known
            up, known = self._state()
            at = round(time.time(), 3)
            changed = [address for address in up if up[address] != up_before.get(address)]
            told = [("neighbor", {"at": at, "address": address, "up": up[address]}) for address in changed]
            come = [one for key, one in known.items() if key not in known_before]
            gone = [one for key, one in known_before.items() if key not in known]
            told += [("finding", _finding(one, at, gone=False)) for one in come]
            told += [("finding", _finding(one, at, gone=True)) for one in gone]
            if told:
                self._feed.tell(told)

    def _state(self) -> tuple[dict[str, bool], dict[tuple[str, str], Finding]]:
        """Give neighbor -> whether it is up, and findings by what stays the same while their texts tell durations."""
        status = self._inspector.status()
        neighbors = status.exabgp.neighbors if status.exabgp is not None else ()
        return {one.address: one.up for one in neighbors}, {(one.kind, one.subject): one for one in status.findings}


def _watcher(request: web.Request) -> Watcher:
    """Make the watcher behind a request.

    Raises:
        ConnectionResetError: It is gone already.
    """
    sock = request.transport.get_extra_info("socket") if request.transport is not None else None
    if sock is None:
        raise ConnectionResetError
    try:
        owner = owner_of(sock)
    except OSError:
        raise ConnectionResetError from None
    return Watcher(asyncio.Event(), owner, is_local=sock.family == socket.AF_UNIX)


def _finding(one: Finding, at: float, *, gone: bool) -> dict[str, object]:
    return {"at": at, **asdict(one), "gone": gone}
