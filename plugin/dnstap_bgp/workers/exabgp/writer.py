"""Writes what the conversation has to say to ExaBGP; owns the thread "bgp-writer".

Each turn decides under the keeper's lock and works after it: the state file learns of an announce before the line
leaves, then the line is written. stdout doesn't block: a host that reads nothing holds up this thread, never our end.
"""

import logging
import os
import select
import threading
from collections.abc import Callable

from dnstap_bgp.core.exabgp.conversation import Conversation
from dnstap_bgp.core.exabgp.flight import Outgoing
from dnstap_bgp.core.exabgp.notes import Note
from dnstap_bgp.core.model import Attributes, Prefix
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.thread import CrashHandler, worker_thread
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.state.store import Store

logger = logging.getLogger(__name__)

DURABLE_WAIT_S = 0.2
"""So long an announce waits for its record; then it goes all the same, and the status says `not durable`."""
STALL_S = 10.0
"""Worth a line in the log: so long ExaBGP reads no commands while another client's large query is answered."""


class Writer:
    """Says what there is to say.

    Attributes:
        durable: Whether the last announces were in the state file before they left; True without one.
        stalled_since: Since when ExaBGP has read nothing although there is something to read, process clock.
    """

    def __init__(
        self,
        fd: int,
        keeper: Keeper,
        store: Store | None,
        conversation: Conversation,
        *,
        on_end: Callable[[], None],
        on_crash: CrashHandler,
    ) -> None:
        """Make it; `start` writes.

        Args:
            fd: The pipe's end; becomes non-blocking, and stays the caller's.
            keeper: Whose lock guards the conversation and the outbox.
            store: The state file, if there is one.
            conversation: What decides.
            on_end: Called once when nobody reads the pipe any more; must not block.
            on_crash: See `worker_thread`.
        """
        self.durable = True
        self.stalled_since: float | None = None
        self._fd = fd
        self._keeper = keeper
        self._store = store
        self._conversation = conversation
        self._on_end = on_end
        self._stopping = threading.Event()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = worker_thread("bgp-writer", self._run, on_crash)

    def start(self) -> None:
        """Start the thread."""
        os.set_blocking(self._fd, False)
        self._thread.start()

    def shutdown(self) -> None:
        """Ask the thread to end, in the middle of a line if need be (ExaBGP drops it); returns at once."""
        self._stopping.set()
        os.eventfd_write(self._wake, 1)
        # never waits for the lock: whoever holds it may be what hangs; the thread looks again soon enough
        if self._keeper.lock.acquire(timeout=0.1):
            try:
                self._keeper.work.notify_all()
            finally:
                self._keeper.lock.release()

    def join(self, deadline_s: float) -> bool:
        """Wait for the thread's end, at most so long; says whether it has ended."""
        if self._thread.ident is not None:
            self._thread.join(deadline_s)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Give back what the ended thread held."""
        os.close(self._wake)

    def _run(self) -> None:
        while not self._stopping.is_set():
            outgoing, corrections, notes = self._turn()
            for note in notes:
                logger.log(note.level, "%s", note.text)
            self._correct(corrections)
            if outgoing is not None:
                if outgoing.news:
                    self._record(outgoing.news)
                self._write(outgoing.data)

    def _turn(self) -> tuple[Outgoing | None, list[tuple[Prefix, Attributes | None]], list[Note]]:
        with self._keeper.lock:
            now = process_clock()
            outgoing = self._conversation.next(now)
            corrections = self._keeper.outbox.take_corrections()
            notes = self._conversation.notes.take()
            if outgoing is None and not corrections and not notes and not self._stopping.is_set():
                self._keeper.work.wait(self._conversation.wait_s(now))
        return outgoing, corrections, notes

    def _correct(self, corrections: list[tuple[Prefix, Attributes | None]]) -> None:
        if self._store is not None and corrections:
            self._store.append(
                told=[(prefix, attributes) for prefix, attributes in corrections if attributes is not None],
                untold=[prefix for prefix, attributes in corrections if attributes is None],
            )

    def _record(self, news: list[tuple[Prefix, Attributes]]) -> None:
        if self._store is None:
            return
        ticket = self._store.append(told=news, claims=self._keeper.dirty())
        # once it is late, nobody waits for it any more: 200 ms a line would be 250 routes a second
        durable = ticket.wait(DURABLE_WAIT_S if self.durable else 0.0) or (
            not self.durable and self._store.status.durable
        )
        if durable != self.durable:
            self.durable = durable
            if durable:
                logger.info("the state file keeps up again")
            else:
                logger.warning("the state file can't keep up: routes are announced before they are recorded")

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and not self._stopping.is_set():
            try:
                rest = rest[os.write(self._fd, rest) :]
                self.stalled_since = None
            except BlockingIOError:
                self._wait_writable()
            except OSError as error:
                logger.info("ExaBGP doesn't read any more: %s", error)
                self._stopping.set()
                self._on_end()

    def _wait_writable(self) -> None:
        now = process_clock()
        if self.stalled_since is None:
            self.stalled_since = now
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        poll.register(self._wake, select.POLLIN)
        if not poll.poll(STALL_S * 1000):
            logger.warning("ExaBGP has read no command for %.0f s; nothing is lost", now - self.stalled_since + STALL_S)
