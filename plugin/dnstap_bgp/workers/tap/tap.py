"""The DNSTap listener; owns the thread "tap".

One thread, one selector, no lock: it alone touches listeners and connections (`senders.py`), others leave a message
and ring the bell, or read a copy.
"""

import contextlib
import functools
import logging
import selectors
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from dnstap_bgp.config import DnstapConfig, TcpAddress
from dnstap_bgp.core.tap.ingest import Ingest
from dnstap_bgp.errors import ListenerError
from dnstap_bgp.workers.process.bounded_log import BoundedLog
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.thread import CrashHandler, worker_thread
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.tap.listeners import Listener
from dnstap_bgp.workers.tap.senders import Senders
from dnstap_bgp.workers.tap.status import ListenerStatus, TapStatus

if TYPE_CHECKING:
    from dnstap_bgp.workers.tap.tls import Tls

logger = logging.getLogger(__name__)

TICK_S = 0.25
"""How often deadlines and listeners are looked at; a stop or a new configuration wakes the thread at once."""

ACCEPTS_PER_TURN = 16
"""A flood of connects shouldn't keep the others waiting: some 50 us each."""


class Tap:
    """Receives DNSTap on every configured address and feeds the keeper."""

    def __init__(
        self,
        config: DnstapConfig,
        keeper: Keeper,
        ingest: Ingest,
        on_crash: CrashHandler,
        *,
        clock: Callable[[], float] = process_clock,
    ) -> None:
        """Make the tap; nothing is open before `start`. May take seconds where a host name must be resolved."""
        self._config = config
        self._clock = clock
        self._log = BoundedLog(logger, clock)
        self._listeners = self._wanted(config)
        self._selector = selectors.DefaultSelector()
        self._senders = Senders(config, keeper, ingest, selector=self._selector, log=self._log, clock=clock)
        self._rebinding: tuple[DnstapConfig, list[Listener], Tls | None] | None = None
        self._stopping = False
        self._tick_due = 0.0
        self._bell, self._rope = socket.socketpair()
        self._bell.settimeout(0)
        self._rope.settimeout(0)
        self._selector.register(self._bell, selectors.EVENT_READ, self._woken)
        self._thread = worker_thread("tap", self._run, on_crash, prompt=True)

    @property
    def ingest(self) -> Ingest:
        """What reads the data frames; a reload puts another one in its place, in force with the next chunk."""
        return self._senders.ingest

    @ingest.setter
    def ingest(self, ingest: Ingest) -> None:
        self._senders.ingest = ingest

    def start(self) -> None:
        """Start the thread, which opens the listeners; those that can't be opened now are tried again."""
        self._thread.start()

    def rebind(self, config: DnstapConfig) -> list[str]:
        """Put a new configuration in force; connections stay. May take seconds, as the constructor.

        Returns:
            What isn't in force: a certificate that can't be used. The one from before goes on.
        """
        problems = []
        try:
            tls = _tls(config)
        except ListenerError as error:
            tls = None
            stays = "; the certificate from before stays in use" if self._senders.tls is not None else ""
            problems = [f"dnstap.{error}{stays}"]
        self._rebinding = config, self._wanted(config), tls
        self._wake()
        return problems

    def status(self) -> TapStatus:
        """A copy of how things stand."""
        # Each list(...) and tuple(...) is one step of the interpreter: the tap thread can't change its source under it.
        return TapStatus(
            listeners=tuple(ListenerStatus(one.address, one.problem) for one in list(self._listeners)),
            connections=tuple(connection.status() for connection in list(self._senders.connections)),
            accepted=self._senders.accepted,
            troubles=tuple(self._senders.troubles.values()),
        )

    def take_samples(self) -> list[tuple[str, bytes]]:
        """Some frames of each connection that has sent any since the last call; the next chunk gives the next ones.

        Returns:
            (peer, sample), the first as in the status.
        """
        found = []
        for connection in list(self._senders.connections):
            if connection.sample is not None:
                found.append((connection.peer, connection.sample))
                connection.sample = None
        return found

    def shutdown(self) -> None:
        """Ask the thread to stop listening, take what has already come, and end; returns at once."""
        self._stopping = True
        self._wake()

    def join(self, deadline_s: float) -> None:
        """Wait for the thread's end, at most so long."""
        if self._thread.ident is not None:
            self._thread.join(deadline_s)

    def close(self) -> None:
        """Give back what a tap holds without its thread: after `join`, or where it was never started."""
        if not self._thread.is_alive():
            self._selector.close()
            self._bell.close()
            self._rope.close()

    # -- the thread

    def _run(self) -> None:
        try:
            self._tick()
            while not self._stopping:
                self._turn(TICK_S)
                if self._clock() >= self._tick_due:
                    self._tick()
            self._close_listeners()
            self._turn(0)  # what has come by now counts, and a STOP gets its FINISH
        finally:
            self._close_listeners()
            self._senders.close()

    def _turn(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            key.data()

    def _tick(self) -> None:
        now = self._clock()
        self._tick_due = now + TICK_S
        rebinding, self._rebinding = self._rebinding, None
        if rebinding is not None:
            self._apply(*rebinding)
        for listener in self._listeners:
            self._attend(listener, now)
        self._senders.time_out(now)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it has rung already, or the thread has ended
            self._rope.send(b"\0")

    def _woken(self) -> None:
        self._bell.recv(1024)
        self._tick_due = 0.0

    # -- listeners

    def _wanted(self, config: DnstapConfig) -> list[Listener]:
        """The listeners of a configuration, none open yet."""

        def prepare() -> None:
            if self._senders.tls is None:
                self._senders.tls = _tls(config)

        return [
            Listener(at, config.perm, config.group, prepare if isinstance(at, TcpAddress) and at.tls else None)
            for at in config.listen
        ]

    def _attend(self, listener: Listener, now: float) -> None:
        before = listener.sock
        if listener.attend(now):
            self._follow(listener, before)

    def _follow(self, listener: Listener, before: socket.socket | None) -> None:
        """Bring the selector in line with a listener that was opened or has failed, and say so."""
        if before is not None:
            self._selector.unregister(before)
        if listener.sock is not None:
            self._selector.register(listener.sock, selectors.EVENT_READ, functools.partial(self._accept, listener))
            self._log.say(logging.INFO, f"open {listener.address}", "listening for DNSTap on %s", listener.address)
        else:
            text = "not listening for DNSTap on %s: %s; trying again"
            self._log.say(logging.WARNING, f"closed {listener.address}", text, listener.address, listener.problem)

    def _accept(self, listener: Listener) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            assert listener.sock is not None
            try:
                sock, _ = listener.sock.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:  # no descriptors or memory left; without a pause this would spin
                before = listener.sock
                listener.fail(f"can't accept connections: {error.strerror}")
                self._follow(listener, before)
                return
            self._senders.admit(sock, listener.address)

    def _apply(self, config: DnstapConfig, listeners: list[Listener], tls: "Tls | None") -> None:
        """Keep the open listeners that are still wanted, close the others, take the new ones."""
        is_given_anew = (config.perm, config.group) != (self._config.perm, self._config.group)
        standing = {listener.address: listener for listener in self._listeners if listener.sock is not None}
        self._config = self._senders.config = config
        if tls is not None or not config.speaks_tls:
            self._senders.tls = tls
        self._listeners = [standing.pop(listener.address, listener) for listener in listeners]
        for gone in standing.values():
            self._close_listener(gone)
        for listener in self._listeners if is_given_anew else ():
            before = listener.sock
            listener.give(config.perm, config.group)
            if listener.sock is not before:
                self._follow(listener, before)

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            self._close_listener(listener)

    def _close_listener(self, listener: Listener) -> None:
        if listener.sock is not None:
            self._selector.unregister(listener.sock)
            listener.close()


def _tls(config: DnstapConfig) -> "Tls | None":
    """What encrypts, if anything is to be encrypted.

    Raises:
        ListenerError: A file of it can't be used.
    """
    if not config.speaks_tls:
        return None
    from dnstap_bgp.workers.tap.tls import Tls  # noqa: PLC0415 - ssl takes 5 MB

    return Tls(config)
