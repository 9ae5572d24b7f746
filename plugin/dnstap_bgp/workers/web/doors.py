"""The sockets by which the instance is asked; owns the thread "doors".

It opens them at once and then only waits: what serves a client (asyncio and aiohttp, 27 MB) is imported with the first
one that knocks, so an instance that nobody asks pays for a thread that sleeps.
"""

import contextlib
import logging
import selectors
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from dnstap_bgp.config import ListenAddress
from dnstap_bgp.core.status.status import Listener as ListenerStatus
from dnstap_bgp.workers.process.bounded_log import BoundedLog
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.loop import Loop
from dnstap_bgp.workers.process.thread import CrashHandler, worker_thread
from dnstap_bgp.workers.tap.listeners import Listener

logger = logging.getLogger(__name__)

CHECK_S = 1.0
"""How often it is seen to that a socket is open and its file is there."""

Serve = Callable[[socket.socket], "Future[None] | None"]
"""Serves the clients of a listening socket, whose copy it gets, until it is cancelled."""


@dataclass(frozen=True, slots=True)
class Door:
    """An address to be asked at.

    Attributes:
        address: A unix socket or a TCP endpoint.
        serve: Who serves there.
        limits: What he holds clients to: with others the door is another one.
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
    door: Door
    listener: Listener
    told: str | None = field(default=None)
    serving: "Future[None] | None" = None

    def stop_serving(self) -> None:
        if self.serving is not None:
            self.serving.cancel()
            self.serving = None


class Doors:
    """All of them."""

    def __init__(self, loop: Loop, on_crash: CrashHandler) -> None:
        self._loop = loop
        self._log = BoundedLog(logger, process_clock)
        self._wanted: Sequence[Door] | None = None
        self._opened: list[_Opened] = []
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._bell, self._rope = socket.socketpair()
        self._bell.settimeout(0)
        self._rope.settimeout(0)
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._thread = worker_thread("doors", self._run, on_crash)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def want(self, doors: Sequence[Door]) -> None:
        """Have these and no others from now on; those that stay the same keep their clients."""
        self._wanted = doors
        self._ring()

    def status(self) -> tuple[ListenerStatus, ...]:
        """How they stand; any thread may ask."""
        return tuple(ListenerStatus(str(one.door.address), one.listener.problem) for one in list(self._opened))

    def shutdown(self) -> None:
        """Ask the thread to end; returns at once."""
        self._stopping = True
        self._ring()

    def join(self, deadline_s: float) -> None:
        """Wait for the thread's end, at most so long."""
        if self._thread.ident is not None:
            self._thread.join(deadline_s)

    # -- the thread

    def _run(self) -> None:
        try:
            while not self._stopping:
                wanted, self._wanted = self._wanted, None
                if wanted is not None:
                    self._apply(wanted)
                for one in self._opened:
                    self._attend(one)
                for key, _ in self._selector.select(CHECK_S):
                    self._knocked(key.data)
        finally:
            for one in self._opened:
                self._close(one)
            self._selector.close()
            self._bell.close()
            self._rope.close()

    def _apply(self, wanted: Sequence[Door]) -> None:
        standing = {one.door: one for one in self._opened}
        opened = [
            standing.pop(door) if door in standing else _Opened(door, Listener(door.address, door.perm, door.group))
            for door in wanted
        ]
        for gone in standing.values():
            self._close(gone)
        self._opened = opened

    def _attend(self, one: _Opened) -> None:
        before = one.listener.sock
        if one.serving is not None and one.serving.done():
            one.serving = None  # an end that was not asked for: it is told where it ran, and begins anew
            if before is not None:
                self._selector.register(before, selectors.EVENT_READ, one)
        if not one.listener.attend(process_clock()):
            return
        if before is not None and one.listener.sock is not before:
            self._leave(one, before)
        if one.listener.sock is not None and one.listener.sock is not before:
            self._selector.register(one.listener.sock, selectors.EVENT_READ, one)
        self._say(one)

    def _knocked(self, one: _Opened | None) -> None:
        """The first client of a door has come, or the bell has rung."""
        if one is None:
            self._bell.recv(1024)
            return
        sock = one.listener.sock
        assert sock is not None
        self._selector.unregister(sock)
        try:
            copy = sock.dup()
        except OSError as error:  # no descriptors left
            one.listener.fail(f"can't be served: {error.strerror}")
            self._say(one)
            return
        one.serving = one.door.serve(copy)
        if one.serving is None:  # the end has begun
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

    def _say(self, one: _Opened) -> None:
        problem = one.listener.problem
        if problem != one.told and problem is not None:
            text = "nobody can ask at %s: %s; trying again"
            self._log.say(logging.WARNING, f"closed {one.door.address}", text, one.door.address, problem)
        one.told = problem

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # it has rung already, or the thread has ended
            self._rope.send(b"\0")
