"""Write queue of the store: records that wait, and tickets that tell when they are written; no thread of its own.

A caller queues records and gets a ticket, a number; the thread "store" takes all that waits at once, writes it, and
serves every ticket up to the number that it took. Recorded before it is said: whoever announces a prefix waits for its
ticket first, but never for long. States of the queue, and what a waiting caller does:

    healthy    the ticket is served within a write: wait
    late       the oldest record waits for longer than `SLOW_S`: the caller whose time ran out makes it `slow`
    slow       one caller has waited in vain: nobody waits any more until everything is written
    stuck      the last write failed: nobody waits until one succeeds
    ended      nothing will be written any more: tickets are never served

So a hung disk costs one wait of `SLOW_S` in all, not one for each record. Two races shape the code:

  - The thread takes records and the number of their last ticket in one hold of the lock. A record that comes while
    they are written has a higher number, so serving the number taken never promises what was not written.
  - A snapshot that is owed drops the queue (`restart`) before its walk begins. A record dropped there is in the walk,
    because callers change the table first and queue then. Its ticket is served when the snapshot is in place.
"""

import logging
import threading
from collections.abc import Callable, Sequence

from dnstap_bgp.core.model import Claim, RibRecord
from dnstap_bgp.core.state.pending import Pending, WriteBatch
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog

logger = logging.getLogger(__name__)

SLOW_S = 0.2
"""A ticket that isn't served by then means a slow disk: nobody waits any more until it has caught up."""


class Ticket:
    """Promise that tells when the records of one `append` are in the file."""

    __slots__ = ("_number", "_progress", "_queue")

    def __init__(self, queue: "WriteQueue", progress: "TicketCount", number: int) -> None:
        self._queue = queue
        self._progress = progress
        self._number = number

    @property
    def served(self) -> bool:
        """Tell whether the records are written."""
        return self._progress.served >= self._number

    @property
    def hopeless(self) -> bool:
        """Tell whether the disk is known to fail or to be slow: nobody should wait."""
        queue = self._queue
        return queue.stuck or queue.ended or queue.slow

    def wait(self, timeout_s: float) -> bool:
        """Wait until the records are written.

        Returns:
            False where it was not, in time; at once where the disk is known to fail or to be slow.
        """
        return self._queue.wait(self._progress, self._number, timeout_s)


class TicketCount:
    """Count of the tickets of one kind, which are served in order.

    Attributes:
        given: Number of the last ticket.
        served: Number of the last one that was served.
    """

    __slots__ = ("given", "served")

    def __init__(self) -> None:
        self.given = self.served = 0


class WriteQueue:
    """Queue that the callers and the thread "store" share; its lock is never held during a system call.

    Attributes:
        work: Condition: there is something for the thread.
        records: Tickets for records.
        snapshots: Tickets for snapshots that somebody asked for.
        since: When the oldest record that isn't written was handed over, process clock; None: all are.
        stuck: Nothing can be written now; set by the thread.
        slow: Somebody has waited in vain.
        stop_by: The thread is to end, by then at the latest.
        ended: Nothing will be written any more.
        on_recorded: Called in the thread, without the lock, once records were written or nobody should wait for them.
    """

    def __init__(self, pending: Pending) -> None:
        lock = threading.Lock()
        self.work = threading.Condition(lock)
        self._served = threading.Condition(lock)
        self._pending = pending
        self.records = TicketCount()
        self.snapshots = TicketCount()
        self.since: float | None = None
        self.stuck = self.slow = self.ended = False
        self.stop_by: float | None = None
        self.on_recorded: Callable[[], None] = lambda: None
        # a log that nobody reads may hold up who writes to it, but nobody who only queues
        self._log = RateLimitedLog(logger, process_clock)
        self._log_lock = threading.Lock()

    # -- any thread

    def __len__(self) -> int:
        """Count the records that wait."""
        return len(self._pending)

    def append(self, claims: Sequence[Claim], records: Sequence[RibRecord]) -> Ticket:
        """Queue records."""
        with self.work:
            self.records.given += 1
            if self.ended:
                return Ticket(self, self.records, self.records.given)
            self._pending.add(claims, records)
            if self.since is None:
                self.since = process_clock()
                self.work.notify()
            return Ticket(self, self.records, self.records.given)

    def ask_snapshot(self) -> Ticket:
        """Ask for a snapshot; its ticket is served when it has replaced the file."""
        with self.work:
            self.snapshots.given += 1
            self.work.notify()
            return Ticket(self, self.snapshots, self.snapshots.given)

    def shutdown(self, stop_by: float) -> None:
        """Tell the thread to end."""
        with self.work:
            self.stop_by = stop_by
            self.work.notify()

    def late(self) -> bool:
        """Tell whether records wait for longer than a healthy disk needs."""
        since = self.since
        return self.slow or (since is not None and process_clock() - since > SLOW_S)

    def wait(self, progress: TicketCount, number: int, timeout_s: float) -> bool:
        """Wait until a ticket is served; False: it was not, in time or because nobody should wait."""
        until = process_clock() + timeout_s
        with self.work:
            while progress.served < number:
                left_s = until - process_clock()
                if self.stuck or self.ended or (self.slow and progress is self.records) or left_s <= 0:
                    break
                self._served.wait(left_s)
            else:
                return True
            is_known = self.stuck or self.ended or self.slow or progress is not self.records
            if is_known or not self.late():
                return False
            self.slow = True
        self._warn("slow", "the disk of the state file is slow: going on without waiting for it")
        return False

    # -- the thread

    def take(self) -> tuple[WriteBatch, int] | None:
        """Take the records that wait, with the number of their last ticket; None where a snapshot is owed."""
        with self.work:
            return None if self._pending.dropped else (self._pending.take(), self.records.given)

    def give_back(self, batch: WriteBatch) -> None:
        """Put a batch back that could not be written."""
        with self.work:
            self._pending.give_back(batch)

    def overflowed(self) -> bool:
        """Tell whether records were let go, so that a snapshot is owed."""
        return self._pending.dropped

    def restart(self) -> int:
        """Drop the records that wait, for the snapshot that begins has them; gives the number of their last ticket."""
        with self.work:
            self._pending.clear()
            return self.records.given

    def serve(self, progress: TicketCount, number: int) -> None:
        """Serve the tickets up to a number."""
        caught_up = False
        with self.work:
            progress.served = max(progress.served, number)
            if self.records.served == self.records.given:
                self.since = None
                caught_up, self.slow = self.slow, False
            elif progress is self.records:
                self.since = process_clock()
            self._served.notify_all()
        if caught_up:
            self._warn("caught up", "the state file has caught up")
        if progress is self.records:
            self.on_recorded()

    def set_stuck(self, *, stuck: bool) -> None:
        """Set whether anything can be written; nobody waits while nothing can."""
        with self.work:
            self.stuck = stuck
            self._served.notify_all()
        self.on_recorded()

    def end(self) -> None:
        """End the queue: nobody waits for anything any more."""
        with self.work:
            self.ended = True
            self._served.notify_all()
        self.on_recorded()

    # -- inside

    def _warn(self, kind: str, text: str) -> None:
        with self._log_lock:
            self._log.log(logging.WARNING, kind, "%s", text)
