"""Store of claims and of what was announced, kept in the state file; owns the thread "store".

The thread does all writing, so a disk that hangs, is full or read-only blocks nobody: `append` only queues, and whoever
must know that it is written waits for the ticket, as long as it likes. A write without fsync survives the death of
this process; every `sync_interval_s` the disk is made to take it, for a power cut.

What is appended must be visible to the walk that `start` is given before it is appended. Whoever appends something
earlier, as the writer does for a prepared line, compares `snapshots_begun` and appends again; see `wal`.

The file is read beside that: while `adopt` runs it grows, and is not replaced. So a process that is killed meanwhile
leaves all that it has found, and what it has added.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dnstap_bgp.core.model import Claim, RibRecord
from dnstap_bgp.core.state.blocks import BlockKind
from dnstap_bgp.core.state.pending import Pending
from dnstap_bgp.core.status.report import StateFileStatus
from dnstap_bgp.core.timing import Backoff
from dnstap_bgp.errors import ForeignFileError, StateFileError
from dnstap_bgp.workers.process.clocks import Clock, process_clock, system_clock
from dnstap_bgp.workers.process.thread import CrashHandler, worker_thread
from dnstap_bgp.workers.state.restore import Adopt, FileReadError, LoadReport, Recall, Restoration
from dnstap_bgp.workers.state.statefile import StateFile, reading
from dnstap_bgp.workers.state.wal import Walk, WriteAheadLog
from dnstap_bgp.workers.state.write_queue import Ticket, WriteQueue

logger = logging.getLogger(__name__)

SYNC_INTERVAL_S = 5.0
"""What a power cut may cost. One sync writes two or three pages, so an SSD hardly notices 720 an hour."""

RETRY_FIRST_S, RETRY_MAX_S = 0.5, 30.0
"""After a failure: soon, for a passing one; half a minute is short for the person who frees the disk."""

LOCK_RETRY_S = 0.05
LOCK_SAY_AFTER_S = 3.0
"""ExaBGP kills an old plugin after 2 s: a lock that is held for longer is somebody else's."""

STOP_WITHIN_S = 1.0
"""The process has 1.5 s; a snapshot of 1,000,000 routes at full speed takes about as long."""


class Store:
    """The state file's writer and reader.

    Order of use: `lock`, `recall`, `start`, any number of `append`, `shutdown`, `join`; `adopt` after `recall`, before
    `start` or beside all that follows it, and `end_restore` once all is held and judged.
    """

    def __init__(
        self,
        path: Path,
        on_crash: CrashHandler,
        *,
        sync_interval_s: float = SYNC_INTERVAL_S,
        clock: Clock | None = None,
        file: StateFile | None = None,
        pending: Pending | None = None,
    ) -> None:
        """Make the store; nothing is opened yet.

        Args:
            path: The state file. Beside it come `.lock`, `.new` while a snapshot is written, and `.damaged-*`.
            on_crash: Called when the thread ends by an error of ours.
            sync_interval_s: The most that a power cut may cost.
            clock: The machine's, or a test's.
            file: A test's file on a slow or failing disk.
            pending: A test's shorter queue.
        """
        self._clock = clock or system_clock()
        self._file = file or StateFile(path)
        self._queue = WriteQueue(Pending() if pending is None else pending)
        self._wal = WriteAheadLog(self._file, self._queue, self._clock, sync_interval_s)
        self._thread = worker_thread("store", self._run, on_crash, prompt=True)
        self._error: str | None = None
        self._failures = 0
        self._retry_at, self._backoff = 0.0, Backoff(RETRY_FIRST_S, RETRY_MAX_S)
        self._was_held = True  # as the turn under way found it
        self._opened = ExitStack()  # the file, while it is read
        self._restoration: Restoration | None = None
        self._had_newcomers = False  # of a restore that was never finished

    # -- before the start

    def lock(self, stop: threading.Event) -> bool:
        """Wait until no other process writes the file.

        Returns:
            False where `stop` was set first. True also where the lock can't be had because of the disk: then reading
            does no harm, and the thread gets the lock before it writes.
        """
        began, said = process_clock(), False
        try:
            while not self._file.lock():
                if stop.wait(LOCK_RETRY_S):
                    return False
                if not said and process_clock() - began > LOCK_SAY_AFTER_S:
                    said = True
                    logger.warning("another process holds the lock of %s: waiting for its end", self._file.path)
        except OSError as error:
            logger.warning("can't lock the state file %s: %s", self._file.path, error)
        return True

    def recall(self, recall: Recall, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Read what was announced, in the caller's thread; see `restore`. `adopt` is to follow where it `can_adopt`.

        Args:
            recall: See `Restoration.recall`.
            is_stopped: See there. Nothing may be told to ExaBGP after a read that was given up.

        Raises:
            ForeignFileError: The file is of another kind or a newer version, and stays as it is. Don't `start` then:
                what is appended is let go, and its tickets say False at once.
            StateFileError: It can't be read to its end. It is set aside before a new one takes its place.
        """
        warning = self._file.warn_of_folder()
        if warning is not None:
            logger.warning("%s", warning)
        with self._reading():
            try:
                read, size = self._opened.enter_context(reading(self._file.path, ours=True))
            except OSError as error:
                raise FileReadError(error.errno, error.strerror) from error
            self._restoration = Restoration(read, size, self._clock())
            report = self._restoration.report
            try:
                self._restoration.recall(recall, is_stopped)
            finally:
                self._wal.damaged = not report.survey.torn_only
                self._wal.report = report if self._file.locked else None
                self._wal.is_held = not report.survey.blocks
                self._wal.kind = BlockKind.EARLY if report.survey.blocks else BlockKind.CHANGES

    @property
    def can_adopt(self) -> bool:
        """Tell whether `adopt` may find claims: also where `recall` met a bad spot, which may be passing."""
        return self._restoration is not None

    def adopt(
        self,
        adopt: Adopt,
        is_stopped: Callable[[], bool] = lambda: False,
        adopt_newcomers: Adopt | None = None,
    ) -> LoadReport | None:
        """Read the claims, in the caller's thread, after `recall`; others may `append` meanwhile.

        Args:
            adopt: See `Restoration.adopt`.
            is_stopped: See there.
            adopt_newcomers: See there.

        Returns:
            What was found; None: it was given up before the end.

        Raises:
            StateFileError: The file can't be read any more. It is set aside before a new one takes its place.
        """
        restoration = self._restoration
        assert restoration is not None
        with self._reading():
            self._restoration = None
            if not restoration.adopt(adopt, is_stopped, adopt_newcomers):
                return None
        self._opened.close()
        self._had_newcomers = restoration.report.newcomers > 0
        return restoration.report

    def end_restore(self, *, rewrite: bool = False) -> None:
        """Let snapshots be begun from now on: all is held, and what came meanwhile is judged.

        Args:
            rewrite: The file has claims that are not held any more: the next start would bring them back beside all
                others, so it is to be written anew.
        """
        if rewrite or self._had_newcomers:
            self.save()  # until then what is appended is no better known than what came before
        elif self._wal.kind is BlockKind.EARLY:
            self._wal.kind = BlockKind.CHANGES
            self.append()  # a block that says so
        with self._queue.work:
            self._wal.is_held = True
            self._retry_at = 0.0
            self._queue.work.notify()

    def start(self, walk: Walk) -> None:
        """Start the thread.

        Args:
            walk: Walks all that is held; called in the thread, each step may take the keeper's lock. Not before all is
                held that the file has: no snapshot is begun before `end_restore`.
        """
        self._wal.walk = walk
        self._thread.start()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Say which file can't be read, and let it go."""
        try:
            yield
        except ForeignFileError as error:
            self._opened.close()
            self._error = f"{self._file.path} {error}"
            self._queue.end()
            raise ForeignFileError(self._error) from error
        except FileReadError as error:
            self._wal.damaged = True
            if self._restoration is None:
                self._opened.close()
            msg = f"{self._file.path} can't be read: {error}"
            raise StateFileError(msg) from error

    # -- any thread

    def append(self, *, claims: Sequence[Claim] = (), records: Sequence[RibRecord] = ()) -> Ticket:
        """Queue records; never blocks.

        Args:
            claims: New ones, or with a deadline that moved far enough.
            records: Prefixes that ExaBGP is about to be told, with their attributes, and those that it has answered to
                have withdrawn, in order.
        """
        return self._queue.append(claims, records)

    def save(self) -> Ticket:
        """Have a full snapshot written; its ticket is served when it has replaced the file, synced."""
        return self._queue.ask_snapshot()

    @property
    def snapshots_begun(self) -> int:
        """Count the snapshots that were begun; what was appended before the last of them may be missing in the file."""
        return self._wal.snapshots_begun

    @property
    def of_views(self) -> bool:
        """Tell whether the file is of version 2: with one view a snapshot makes it what it was."""
        return self._wal.of_views

    def on_recorded(self, call: Callable[[], None]) -> None:
        """Have a function that doesn't block called in the thread, after records were written or could not be."""
        self._queue.on_recorded = call

    @property
    def status(self) -> StateFileStatus:
        """Read the status of now."""
        output, late, synced = self._file.output, self._queue.late(), self._wal.synced
        return StateFileStatus(
            path=str(self._file.path),
            durable=not (self._queue.stuck or self._queue.ended or late),
            error=self._error or ("the disk is slow" if late else None),
            size=output.size if output else 0,
            written_bytes=self._wal.written_bytes,
            queued=len(self._queue),
            snapshots=self._wal.snapshots,
            synced_s_ago=None if synced is None else round(process_clock() - synced, 3),
            failures=self._failures,
        )

    def shutdown(self, within_s: float = STOP_WITHIN_S) -> None:
        """Ask the thread to write and sync what is queued, and to end; returns at once.

        Args:
            within_s: How long a snapshot may still take that is owed because the queue overflowed.
        """
        self._opened.close()
        self._queue.shutdown(process_clock() + within_s)
        if self._thread.ident is None:
            self._file.close()

    def join(self, deadline_s: float) -> bool:
        """Wait for the thread's end.

        Returns:
            Whether it has ended, with everything written as far as the disk allows.
        """
        if self._thread.ident is not None:
            self._thread.join(deadline_s)
        return not self._thread.is_alive()

    # -- the thread

    def _run(self) -> None:
        try:
            while self._await_work():
                self._turn()
            self._last_turn()
        finally:
            self._queue.end()
            self._file.close()

    def _await_work(self) -> bool:
        """Sleep until there is something to do; False: to stop."""
        with self._queue.work:
            while self._queue.stop_by is None:
                idle_s = self._idle_s(process_clock())
                if idle_s is not None and idle_s <= 0:
                    return True
                self._queue.work.wait(None if idle_s is None else min(idle_s, threading.TIMEOUT_MAX))
        return False

    def _idle_s(self, now: float) -> float | None:
        """Work out how long there is nothing to do; None: until somebody comes."""
        if self._queue.stuck:
            return self._retry_at - now
        if self._queue.since is not None or self._wal.owed():
            return 0.0
        due = [self._retry_at] if self._wal.wanted() else []
        if self._wal.sync_at is not None:
            due.append(self._wal.sync_at)
        return min(due) - now if due else None

    def _turn(self) -> None:
        """Do what is due; a failure is logged once, and tried again later."""
        self._was_held = self._wal.is_held
        try:
            self._wal.prepare()
            if self._wal.owed():
                self._wal.snapshot()
            self._wal.mend_or_refuse()
            self._wal.serve()
            self._wal.sync_when_due()
        except (OSError, StateFileError) as error:
            self._failed(error, stuck=True)
            return
        if self._queue.stuck:
            self._recovered()
        if self._wal.wanted() and process_clock() >= self._retry_at:
            try:
                self._wal.snapshot()
            except (OSError, StateFileError) as error:
                self._failed(error, stuck=False)
            else:
                self._recovered()

    def _last_turn(self) -> None:
        """Leave nothing behind."""
        try:
            self._wal.prepare()
            if self._wal.owed():
                self._wal.snapshot()
            self._wal.mend_or_refuse()
            self._wal.serve()
            self._wal.sync()
        except (OSError, StateFileError) as error:
            self._failed(error, stuck=True)
        if self._queue.records.served < self._queue.records.given:
            logger.error("stopping, and the state file %s could not be written to its end", self._file.path)

    def _failed(self, error: Exception, *, stuck: bool) -> None:
        self._failures += 1
        is_known, self._error = self._error is not None and stuck <= self._queue.stuck, str(error)
        self._queue.set_stuck(stuck=stuck)
        retry_at = process_clock() + self._backoff.next()
        with self._queue.work:
            # What failed because not all was held may have become possible meanwhile.
            self._retry_at = retry_at if self._was_held == self._wal.is_held else 0.0
        if isinstance(error, ForeignFileError):
            self._retry_at = float("inf")
        if is_known:
            return
        if stuck:
            logger.error("can't write the state file %s: %s; routing goes on without it", self._file.path, error)
        else:
            logger.error("can't rewrite the state file %s, which grows on: %s", self._file.path, error)

    def _recovered(self) -> None:
        self._retry_at = 0.0
        self._backoff.reset()
        if self._error is not None:
            self._error = None
            self._queue.set_stuck(stuck=False)
            logger.warning("the state file %s is written again", self._file.path)
