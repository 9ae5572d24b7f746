"""Writes what the session has to say to ExaBGP; owns the thread "bgp-writer".

Whoever changes something under the keeper's lock (the tap and the timer wishes, the reader an answer) says at once what
follows from it: `turn`. The thread "store" says the line whose record it has just written. So a fresh address passes
from one thread to another once, not three times (each time costs 50 to 300 us, more than all the work, and 5 ms while
the tap is saturated), and an answer is followed by the next line in the reader's own thread, made and recorded before.

Nothing in a turn can block: stdout doesn't, and the state file's disk has a thread of its own. What may take long is
for the thread here: the log, a host that reads nothing, a record that is late.
"""

import logging
import os
import select
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dnstap_bgp.core.exabgp.api_session import ApiSession
from dnstap_bgp.core.exabgp.in_flight import Outgoing
from dnstap_bgp.workers.net.wakeup import Wakeup
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog
from dnstap_bgp.workers.process.thread import CrashHandler, worker_thread
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.state.store import Store
from dnstap_bgp.workers.state.write_queue import Ticket

logger = logging.getLogger(__name__)

DURABLE_WAIT_S = 0.2
"""So long an announce waits for its record; then it goes all the same, and the status says `not durable`."""
LOOK_S = 0.1
"""How often the thread looks for a record that is late: to wake it for each line would cost the line its time."""
DEBUG_LINES = 600
"""A minute, at level debug: ten a second tell all that a household learns, and a bulk load its beginning."""
STALL_S = 10.0
"""Worth a line in the log: so long ExaBGP reads no commands while another client's large query is answered."""


@dataclass(slots=True)
class _Line:
    """A line under way to ExaBGP: first to be recorded, then written.

    Attributes:
        rest: What is not written yet.
        ticket: Of its record; None: it needs none, or waits for it no more.
        until: How long it waits for that at most, process clock.
    """

    rest: memoryview
    ticket: Ticket | None
    until: float


class StdoutWriter:
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
        session: ApiSession,
        *,
        on_end: Callable[[], None],
        on_crash: CrashHandler,
    ) -> None:
        """Make it; `start` writes.

        Args:
            fd: The pipe's end; becomes non-blocking, and stays the caller's.
            keeper: Whose lock guards the session, the reconciler and all of this.
            store: The state file, if there is one.
            session: What decides.
            on_end: Called once when nobody reads the pipe any more; must not block.
            on_crash: See `worker_thread`.
        """
        self.durable = True
        self.stalled_since: float | None = None
        self._fd = fd
        self._keeper = keeper
        self._store = store
        self._session = session
        self._on_end = on_end
        self._line: _Line | None = None
        self._prepared: tuple[Outgoing, Ticket | None, int] | None = None  # with the snapshots begun before its record
        self._broken: OSError | None = None
        self._said: list[tuple[int, str, str]] = []  # for the log: level, kind, text
        self._log = RateLimitedLog(logger, process_clock)
        self._lines_log = RateLimitedLog(logger, process_clock, DEBUG_LINES)
        self._stopping = threading.Event()
        self._wake = Wakeup()
        self._thread = worker_thread("bgp-writer", self._run, on_crash, prompt=True)
        os.set_blocking(fd, False)

    def start(self) -> None:
        """Start the thread; from now on a turn says something."""
        if self._store is not None:
            self._store.on_recorded(self._recorded)
        with self._keeper.lock:
            self._keeper.turn = self.turn
        self._thread.start()

    def shutdown(self) -> None:
        """Ask the thread to end, in the middle of a line if need be (ExaBGP drops it); returns at once."""
        self._stopping.set()
        self._wake.set()
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
        self._wake.close()

    # -- any thread that holds the keeper's lock; nothing here blocks

    def turn(self) -> None:
        """Say what there is to say now; the keeper's lock must be held."""
        now = process_clock()
        self._go_on(now)
        while self._line is None and not self._stopping.is_set():
            outgoing = self._session.next(now)
            self._correct()
            if outgoing is None:
                self._prepare(now)
                break
            if logger.isEnabledFor(logging.DEBUG) and len(self._said) < DEBUG_LINES:
                self._said.append((logging.DEBUG, "line", outgoing.data.decode("ascii").rstrip()))
            self._line = _Line(memoryview(outgoing.data), self._ticket(outgoing), now + DURABLE_WAIT_S)
            self._go_on(now)
        if self._said or self._broken is not None or self.stalled_since is not None or self._session.notes.waiting:
            self._keeper.work.notify_all()

    def _prepare(self, now: float) -> None:
        """Have the next line ready and recorded by the time that it may be said."""
        outgoing = self._session.prepare(now)
        self._correct()
        if outgoing is not None:
            begun = self._snapshots_begun()  # before the record: one that begins between the two counts as later
            self._prepared = outgoing, self._record(outgoing), begun

    def _ticket(self, outgoing: Outgoing) -> Ticket | None:
        """Give the ticket of a line's record, which is made now unless it was when the line was prepared.

        A snapshot that began between the two has walked tables in which the prefixes were not announced yet, and has
        dropped the record, or stands behind it: so the record is made again. One that begins from now on sees them.
        """
        prepared = self._prepared
        if prepared is not None and prepared[0] is outgoing:
            self._prepared = None
            if prepared[2] == self._snapshots_begun():
                return prepared[1]
        return self._record(outgoing)

    def _snapshots_begun(self) -> int:
        return self._store.snapshots_begun if self._store is not None else 0

    def _record(self, outgoing: Outgoing) -> Ticket | None:
        if self._store is None or not outgoing.records:
            return None
        records = self._keeper.views.records(outgoing.records, outgoing.audience)
        return self._store.append(records=records, claims=self._keeper.take_dirty())

    def _correct(self) -> None:
        """Record corrections, before anything that is recorded next of the same prefixes."""
        corrections = self._keeper.views.take_corrections()
        if self._store is not None and corrections:
            self._store.append(records=corrections)

    def _go_on(self, now: float) -> None:
        """Write the line under way, unless it has to wait."""
        line = self._line
        if line is None or self._stopping.is_set():
            return
        if line.ticket is not None:
            if self._waits_for(line.ticket):
                return
            line.ticket = None
        self._write(line, now)

    def _waits_for(self, ticket: Ticket) -> bool:
        """Tell whether a line's record is still worth waiting for."""
        if not ticket.served and self.durable and not ticket.hopeless:
            return True
        # once one was late, nobody waits any more: 200 ms a line would be 250 routes a second
        has_caught_up = not self.durable and self._store is not None and self._store.status.durable
        self._note(durable=ticket.served or has_caught_up)
        return False

    def _note(self, *, durable: bool) -> None:
        if durable != self.durable:
            self.durable = durable
            if durable:
                self._said.append((logging.INFO, "durable", "the state file keeps up again"))
            else:
                text = "the state file can't keep up: routes are announced before they are recorded"
                self._said.append((logging.WARNING, "late", text))

    def _write(self, line: _Line, now: float) -> None:
        try:
            while line.rest:
                line.rest = line.rest[os.write(self._fd, line.rest) :]
                self.stalled_since = None
        except BlockingIOError:
            if self.stalled_since is None:
                self.stalled_since = now
        except OSError as error:
            self._broken = error
            self._stopping.set()
        else:
            self._line = None

    # -- the thread "store"

    def _recorded(self) -> None:
        """Go on with the line under way: records were written or can't be, perhaps this line's.

        Nearly always no line waits, and then the lock isn't waited for: its holder may take long, and the next record
        waits for this thread. Whoever has a line wait sets `_line` first and looks at its ticket then, which was served
        before this.
        """
        if self._line is None:
            return
        with self._keeper.lock:
            if self._line is not None:
                self.turn()

    # -- the thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._keeper.lock:
                self.turn()
                said, self._said = self._said, []
                notes, stalled_since = self._session.notes.take(), self.stalled_since
                if not said and not notes and stalled_since is None and not self._stopping.is_set():
                    self._keeper.work.wait(min(LOOK_S, self._session.wait_s(process_clock())))
                line = self._line
            for note in notes:
                logger.log(note.level, "%s", note.text)
            self._tell(said)
            if stalled_since is not None:
                self._wait_writable(stalled_since)
            elif line is not None:
                self._hurry(line)
        if self._broken is not None:
            logger.info("ExaBGP doesn't read any more: %s", self._broken)
            self._on_end()

    def _hurry(self, line: _Line) -> None:
        """Let a line go whose record is late."""
        ticket = line.ticket
        if ticket is None or process_clock() < line.until or ticket.wait(0.0):
            return
        with self._keeper.lock:
            if line is self._line and line.ticket is not None:
                line.ticket = None
                self._note(durable=False)

    def _tell(self, said: Sequence[tuple[int, str, str]]) -> None:
        for level, kind, text in said:
            if level == logging.DEBUG:
                self._lines_log.log(level, kind, "to ExaBGP: %s", text)
            else:
                self._log.log(level, kind, "%s", text)

    def _wait_writable(self, since: float) -> None:
        now = process_clock()
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        poll.register(self._wake, select.POLLIN)
        if not poll.poll(STALL_S * 1000):
            logger.warning("ExaBGP has read no command for %.0f s; nothing is lost", now - since + STALL_S)
