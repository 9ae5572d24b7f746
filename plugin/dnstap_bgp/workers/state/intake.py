"""The callers' side of the store: a queue, and tickets that tell when it is written; no thread of its own."""

import logging
import threading
from collections.abc import Callable, Sequence

from dnstap_bgp.core.model import Attributes, Claim, Prefix
from dnstap_bgp.core.state.pending import Batch, Pending
from dnstap_bgp.workers.process.bounded_log import BoundedLog
from dnstap_bgp.workers.process.clocks import process_clock

logger = logging.getLogger(__name__)

SLOW_S = 0.2
"""A ticket that isn't served by then means a slow disk: nobody waits any more until it has caught up."""


class Ticket:
    """Tells when what was handed over is in the file."""

    __slots__ = ("_intake", "_number", "_progress")

    def __init__(self, intake: "Intake", progress: "Progress", number: int) -> None:
        self._intake = intake
        self._progress = progress
        self._number = number

    @property
    def served(self) -> bool:
        """Whether it is written."""
        return self._progress.served >= self._number

    @property
    def hopeless(self) -> bool:
        """Whether the disk is known to fail or to be slow: nobody should wait."""
        intake = self._intake
        return intake.stuck or intake.ended or intake.slow

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is written.

        Returns:
            False where it was not, in time; at once where the disk is known to fail or to be slow.
        """
        return self._intake.wait(self._progress, self._number, timeout_s)


class Progress:
    """Tickets of one kind are served in order.

    Attributes:
        given: Number of the last ticket.
        served: Number of the last one that was served.
    """

    __slots__ = ("given", "served")

    def __init__(self) -> None:
        self.given = self.served = 0


class Intake:
    """What the callers and the thread "store" share, under one lock that is never held during a call of the system.

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
        self.records = Progress()
        self.snapshots = Progress()
        self.since: float | None = None
        self.stuck = self.slow = self.ended = False
        self.stop_by: float | None = None
        self.on_recorded: Callable[[], None] = lambda: None
        # a log that nobody reads may hold up who writes to it, but nobody who only queues
        self._log = BoundedLog(logger, process_clock)
        self._log_lock = threading.Lock()

    # -- any thread

    def __len__(self) -> int:
        """How many records wait."""
        return len(self._pending)

    def append(
        self, claims: Sequence[Claim], told: Sequence[tuple[Prefix, Attributes]], untold: Sequence[Prefix]
    ) -> Ticket:
        """Queue records."""
        with self.work:
            self.records.given += 1
            if self.ended:
                return Ticket(self, self.records, self.records.given)
            self._pending.add(claims, told, untold)
            if self.since is None:
                self.since = process_clock()
                self.work.notify()
            return Ticket(self, self.records, self.records.given)

    def ask_snapshot(self) -> Ticket:
        """Queue a wish for a snapshot."""
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
        """Whether records wait for longer than a healthy disk needs."""
        since = self.since
        return self.slow or (since is not None and process_clock() - since > SLOW_S)

    def wait(self, progress: Progress, number: int, timeout_s: float) -> bool:
        """See `Ticket.wait`."""
        until = process_clock() + timeout_s
        with self.work:
            while progress.served < number:
                left_s = until - process_clock()
                if self.stuck or self.ended or (self.slow and progress is self.records) or left_s <= 0:
                    break
                self._served.wait(left_s)
            else:
                return True
            said = self.stuck or self.ended or self.slow or progress is not self.records
            if said or not self.late():
                return False
            self.slow = True
        self._warn("slow", "the disk of the state file is slow: going on without waiting for it")
        return False

    # -- the thread

    def take(self) -> tuple[Batch, int] | None:
        """Take what waits, with the number of its last ticket; None where a snapshot is owed."""
        with self.work:
            return None if self._pending.dropped else (self._pending.take(), self.records.given)

    def give_back(self, batch: Batch) -> None:
        """Put back what could not be written."""
        with self.work:
            self._pending.give_back(batch)

    def overflowed(self) -> bool:
        """Whether records were let go: a snapshot is owed."""
        return self._pending.dropped

    def restart(self) -> int:
        """Forget what waits, for a snapshot that begins now has it; gives the number of its last ticket."""
        with self.work:
            self._pending.clear()
            return self.records.given

    def serve(self, progress: Progress, number: int) -> None:
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
        """Say whether anything can be written; nobody waits while it can't."""
        with self.work:
            self.stuck = stuck
            self._served.notify_all()
        self.on_recorded()

    def end(self) -> None:
        """Nobody waits for anything any more."""
        with self.work:
            self.ended = True
            self._served.notify_all()
        self.on_recorded()

    # -- inside

    def _warn(self, kind: str, text: str) -> None:
        with self._log_lock:
            self._log.say(logging.WARNING, kind, "%s", text)
