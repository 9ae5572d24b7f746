"""Listeners that are opened at once and served from their first client on; owns the thread "listeners".

What serves a client (asyncio and aiohttp, 27 MB) is imported with the first one that connects, so an instance that
nobody asks pays for a thread that sleeps.
"""

import contextlib
import logging
import selectors
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from dnstap_bgp.config import ListenAddress
from dnstap_bgp.core.status.report import ListenerStatus
from dnstap_bgp.workers.net.listeners import Listener
from dnstap_bgp.workers.net.wakeup import Wakeup
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog
from dnstap_bgp.workers.process.thread import CrashHandler, worker_thread

logger = logging.getLogger(__name__)

CHECK_S = 1.0
"""How often it is seen to that a socket is open and its file is there."""

Serve = Callable[[socket.socket], "Future[None] | None"]
"""Serves the clients of a listening socket, whose copy it gets, until it is cancelled."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address to listen at, and who serves its clients.

    Attributes:
        address: A unix socket or a TCP endpoint.
        serve: See `Serve`.
        limits: What clients are held to: with other limits the endpoint is another one, and opened anew.
        perm: A unix socket's mode.
        group: A unix socket's group; None: ours.
    """

    address: ListenAddress
    serve: Serve
    limits: object = None
    perm: int = 0o660
    group: str | None = None


@dataclass(slots=True, eq=False)
class _Opened:
    endpoint: Endpoint
    listener: Listener
    logged: str | None = field(default=None)
    serving: "Future[None] | None" = None

    def stop_serving(self) -> None:
        if self.serving is not None:
            self.serving.cancel()
            self.serving = None


class LazyListeners:
    """All endpoints of one kind of service."""

    def __init__(self, on_crash: CrashHandler) -> None:
        self._log = RateLimitedLog(logger, process_clock)
        self._wanted: Sequence[Endpoint] | None = None
        self._opened: list[_Opened] = []
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._wakeup = Wakeup()
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        self._thread = worker_thread("listeners", self._run, on_crash)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def listen(self, endpoints: Sequence[Endpoint]) -> None:
        """Listen at these endpoints and no others from now on; those that stay the same keep their clients."""
        self._wanted = endpoints
        self._wakeup.set()

    def status(self) -> tuple[ListenerStatus, ...]:
        """Give the state of each; any thread may ask."""
        return tuple(ListenerStatus(str(one.endpoint.address), one.listener.problem) for one in list(self._opened))

    def shutdown(self) -> None:
        """Ask the thread to end; returns at once."""
        self._stopping = True
        self._wakeup.set()

    def join(self, deadline_s: float) -> None:
        """Wait for the thread's end, at most so long."""
        if self._thread.ident is not None:
            self._thread.join(deadline_s)

    # -- the thread

    def _run(self) -> None:
        try:
            while not self._stopping:
                wanted, self._wanted = self._wanted, None  # no call between, so no other thread's turn
                if wanted is not None:
                    self._apply(wanted)
                for one in self._opened:
                    self._attend(one)
                for key, _ in self._selector.select(CHECK_S):
                    self._connected(key.data)
        finally:
            for one in self._opened:
                self._close(one)
            self._selector.close()
            self._wakeup.close()

    def _apply(self, wanted: Sequence[Endpoint]) -> None:
        standing = {one.endpoint: one for one in self._opened}
        kept = {endpoint: standing.pop(endpoint) for endpoint in wanted if endpoint in standing}
        # With other limits: the same socket. Whoever serves it ends in its own time, and one opened beside it would be
        # refused until then, as if another process had it.
        open_at = {_place(one.endpoint): one for one in standing.values() if one.listener.sock is not None}
        self._opened = []
        for endpoint in wanted:
            one = kept.get(endpoint)
            if one is None and (before := open_at.pop(_place(endpoint), None)) is not None:
                del standing[before.endpoint]
                one = self._take_over(before, endpoint)
            self._opened.append(one or _to_open(endpoint))
        for gone in standing.values():
            self._close(gone)

    def _take_over(self, before: _Opened, endpoint: Endpoint) -> _Opened:
        """Have an open socket wait for the first client of another endpoint."""
        sock = before.listener.sock
        assert sock is not None
        self._leave(before, sock)
        one = _Opened(endpoint, before.listener)
        self._selector.register(sock, selectors.EVENT_READ, one)
        return one

    def _attend(self, one: _Opened) -> None:
        before = one.listener.sock
        if one.serving is not None and one.serving.done():
            # an end that nobody asked for, and that was logged where it ran: the next client begins it anew
            one.serving = None
            if before is not None:
                self._selector.register(before, selectors.EVENT_READ, one)
        if not one.listener.attend(process_clock()):
            return
        if before is not None and one.listener.sock is not before:
            self._leave(one, before)
        if one.listener.sock is not None and one.listener.sock is not before:
            self._selector.register(one.listener.sock, selectors.EVENT_READ, one)
        self._log_state(one)

    def _connected(self, one: _Opened | None) -> None:
        """Have the first client of an endpoint served, or take note that somebody has woken the thread."""
        if one is None:
            self._wakeup.clear()
            return
        sock = one.listener.sock
        assert sock is not None
        self._selector.unregister(sock)
        try:
            copy = sock.dup()
        except OSError as error:  # no descriptors left
            one.listener.fail(f"can't be served: {error.strerror}")
            self._log_state(one)
            return
        try:
            one.serving = one.endpoint.serve(copy)
        except Exception as error:  # what serves can't be imported, say: other listeners go on, and so does the plugin
            logger.exception("%s can't be served", one.endpoint.address)
            one.listener.fail(f"can't be served: {type(error).__name__}")
            self._log_state(one)
        if one.serving is None:  # or the end has begun
            copy.close()

    def _leave(self, one: _Opened, sock: socket.socket) -> None:
        if one.serving is None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(sock)
        one.stop_serving()

    def _close(self, one: _Opened) -> None:
        if one.listener.sock is not None:
            self._leave(one, one.listener.sock)
            one.listener.close()

    def _log_state(self, one: _Opened) -> None:
        problem = one.listener.problem
        if problem != one.logged and problem is not None:
            text = "nobody can ask at %s: %s; trying again"
            self._log.log(logging.WARNING, f"closed {one.endpoint.address}", text, one.endpoint.address, problem)
        one.logged = problem


def _place(endpoint: Endpoint) -> object:
    """Give what a socket is opened with."""
    return endpoint.address, endpoint.perm, endpoint.group


def _to_open(endpoint: Endpoint) -> _Opened:
    return _Opened(endpoint, Listener(endpoint.address, endpoint.perm, endpoint.group))
