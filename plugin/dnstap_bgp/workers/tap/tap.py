"""The DNSTap listener; owns the thread "tap".

One thread, one selector, no lock: that thread alone touches listeners and connections (`senders.py`). Others leave a
message and wake it up (a new configuration, a stop), replace one reference (`ingest`), or read a copy (`status`).

The loop: wait until a socket has something, or for a tick at most; give each that has something one turn; then, when
the tick is due, put a new configuration in force, open what is to be opened, and close what has passed its deadline.
Nothing in a turn blocks, and each is bounded: one chunk, or so many accepts.
"""

import functools
import logging
import random
import selectors
import socket
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from dnstap_bgp.config import DnstapConfig, TcpAddress, UdpAddress
from dnstap_bgp.core.status.report import ListenerStatus, TapStatus
from dnstap_bgp.core.tap.ingest import Ingest
from dnstap_bgp.errors import ListenerError
from dnstap_bgp.workers.net.listeners import Listener
from dnstap_bgp.workers.net.wakeup import Wakeup
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog
from dnstap_bgp.workers.process.thread import CrashHandler, worker_thread
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.tap.senders import Senders

if TYPE_CHECKING:
    from dnstap_bgp.workers.tap.tls_wire import TapTls

logger = logging.getLogger(__name__)

TICK_S = 0.25
"""How often deadlines and listeners are looked at; a stop or a new configuration wakes the thread at once."""

ACCEPTS_PER_TURN = 16
"""Connections that one turn of a listener accepts, some 50 us each: a flood of them doesn't keep senders waiting."""


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
        self._log = RateLimitedLog(logger, clock)
        self._listeners = self._wanted(config)
        self._selector = selectors.DefaultSelector()
        self._senders = Senders(config, keeper, ingest, selector=self._selector, log=self._log, clock=clock)
        self._rebinding: tuple[DnstapConfig, list[Listener], TapTls | None] | None = None
        self._stopping = False
        self._tick_due = 0.0
        self._wakeup = Wakeup()
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._woken)
        self._thread = worker_thread("tap", self._run, on_crash, prompt=True)

    @property
    def ingest(self) -> Ingest:
        """The reader of the data frames; a reload puts another one in its place, in force with the next chunk."""
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
            The parts that are not in force: a certificate that can't be used. The one from before goes on.
        """
        problems = []
        try:
            tls = _tls(config)
        except ListenerError as error:
            tls = None
            stays = "; the certificate from before stays in use" if self._senders.tls is not None else ""
            problems = [f"dnstap.{error}{stays}"]
        self._rebinding = config, self._wanted(config), tls
        self._wakeup.set()
        return problems

    def status(self) -> TapStatus:
        """Copy how things stand; without rates, which need more than one look."""
        # Each list(...) and tuple(...) is one step of the interpreter: the tap thread can't change its source under it.
        now = self._clock()
        return TapStatus(
            frames_per_s=None,
            matched_per_s=None,
            match_share=None,
            counters=asdict(self.ingest.counters),
            listeners=tuple(ListenerStatus(str(one.address), one.problem) for one in list(self._listeners)),
            connections=tuple(connection.status(now) for connection in list(self._senders.connections)),
            accepted=self._senders.accepted,
            troubles=self._senders.troubles(now),
            memo=self.ingest.memo_status(),
        )

    def take_samples(self) -> list[tuple[str, bytes]]:
        """Take some frames of each connection that has sent any since the last call; the next chunk gives others.

        Returns:
            (peer, sample), the first as in the status.
        """
        found = []
        for connection in list(self._senders.connections):
            if connection.sample is not None:
                found.append((connection.peer, connection.sample))
                chunks, before = connection.chunks, connection.sampled_at
                # as many more chunks as came since the last call, at most: so each has the same chance
                connection.sample_in = chunks + random.randrange(max(1, chunks - before))  # noqa: S311 - guards nothing
                connection.sampled_at, connection.sample = chunks, None
        return found

    def counted(self) -> dict[str, tuple[int, int]]:
        """Count what each sender has sent so far of messages that count, and of these, those without a DNS message.

        Returns:
            By peer, as in the status; a process's connections together.
        """
        found: dict[str, tuple[int, int]] = {}
        for connection in list(self._senders.connections):
            messages, empty = found.get(connection.peer, (0, 0))
            found[connection.peer] = messages + connection.messages, empty + connection.empty
        return found

    def shutdown(self) -> None:
        """Ask the thread to stop listening, take what has already come, and end; returns at once."""
        self._stopping = True
        self._wakeup.set()

    def join(self, deadline_s: float) -> None:
        """Wait for the thread's end, at most so long."""
        if self._thread.ident is not None:
            self._thread.join(deadline_s)

    def close(self) -> None:
        """Give back what a tap holds without its thread: after `join`, or where it was never started."""
        if not self._thread.is_alive():
            self._selector.close()
            self._wakeup.close()

    # -- the thread

    def _run(self) -> None:
        try:
            self._tick()
            while not self._stopping:
                self._turn(TICK_S)
                if self._clock() >= self._tick_due:
                    self._tick()
            # First no newcomers, then one more turn for the others: what has come by now counts, and a STOP that is
            # already here gets its FINISH, without which BIND hangs at its own stop.
            self._close_listeners()
            self._senders.read_whole_chunks()
            self._turn(0, is_last=True)
        finally:
            self._close_listeners()
            self._senders.close()

    def _turn(self, timeout_s: float, *, is_last: bool = False) -> None:
        for key, _ in self._selector.select(timeout_s):
            key.data()
        self._senders.end_turn(is_last=is_last)

    def _tick(self) -> None:
        now = self._clock()
        self._tick_due = now + TICK_S
        rebinding, self._rebinding = self._rebinding, None  # no call between: the interpreter changes no thread there
        if rebinding is not None:
            self._apply(*rebinding)
        for listener in self._listeners:
            self._attend(listener, now)
        self._senders.time_out(now)

    def _woken(self) -> None:
        self._wakeup.clear()
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
            self._log.log(logging.INFO, f"open {listener.address}", "listening for DNSTap on %s", listener.address)
        else:
            text = "not listening for DNSTap on %s: %s; trying again"
            self._log.log(logging.WARNING, f"closed {listener.address}", text, listener.address, listener.problem)

    def _accept(self, listener: Listener) -> None:
        assert not isinstance(listener.address, UdpAddress), "nothing connects over UDP"
        before = listener.sock
        for sock in listener.accept(ACCEPTS_PER_TURN):
            self._senders.admit(sock, listener.address)
        if listener.sock is None:
            self._follow(listener, before)

    def _apply(self, config: DnstapConfig, listeners: list[Listener], tls: "TapTls | None") -> None:
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


def _tls(config: DnstapConfig) -> "TapTls | None":
    """Read the certificate, if any listener is to speak TLS.

    Raises:
        ListenerError: A file of it can't be used.
    """
    if not config.speaks_tls:
        return None
    from dnstap_bgp.workers.tap.tls_wire import TapTls  # noqa: PLC0415 - ssl takes 5 MB

    return TapTls(config)
