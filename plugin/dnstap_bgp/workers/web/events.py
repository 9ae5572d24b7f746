"""/v1/events: live events as they come (`text/event-stream` of the HTML standard), in the thread "loop"."""

import asyncio
import socket
import time
from dataclasses import asdict

from aiohttp import web

from dnstap_bgp import __version__
from dnstap_bgp.core.status.findings import Finding
from dnstap_bgp.workers.web.answers import Failure
from dnstap_bgp.workers.web.feed import WATCHERS_HTTP_MAX, WATCHERS_MAX, Feed, encoded
from dnstap_bgp.workers.web.gate import send
from dnstap_bgp.workers.web.view import View

KEEP_ALIVE_S = 15.0
"""A comment so often, so that a proxy in between, or we, notice that the other end is gone."""

LOOK_S = 2.0
"""How often it is looked for what changed in neighbors and findings, while somebody watches."""


class Events:
    """The handler, and what looks for events that nobody brings."""

    def __init__(self, view: View, feed: Feed) -> None:
        self._view = view
        self._feed = feed
        self._looking: asyncio.Task[None] | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Give a watcher all events until he leaves."""
        at_most = WATCHERS_MAX if _is_local(request) else WATCHERS_HTTP_MAX
        watcher = self._feed.join(asyncio.get_running_loop(), asyncio.Event(), at_most)
        if watcher is None:
            raise Failure(503, f"{at_most} watch already")
        try:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look())
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await send(request, response, encoded("hello", {"version": __version__}))
            while True:
                try:
                    async with asyncio.timeout(KEEP_ALIVE_S):
                        await watcher.wait()
                except TimeoutError:
                    await send(request, response, b": keep-alive\n\n")
                else:
                    await send(request, response, watcher.take())
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
        """Neighbor -> whether it is up; findings by what stays the same while their texts tell durations."""
        status = self._view.status()
        neighbors = status.exabgp.neighbors if status.exabgp is not None else ()
        return {one.address: one.up for one in neighbors}, {(one.kind, one.subject): one for one in status.findings}


def _is_local(request: web.Request) -> bool:
    sock = request.transport.get_extra_info("socket") if request.transport is not None else None
    return sock is not None and sock.family == socket.AF_UNIX


def _finding(one: Finding, at: float, *, gone: bool) -> dict[str, object]:
    return {"at": at, **asdict(one), "gone": gone}
