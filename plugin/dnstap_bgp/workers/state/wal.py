"""Write-ahead log of the state file: open and repair, append, sync, replace by a snapshot; no thread of its own.

When the file has grown to twice its last snapshot, and whenever appending can't make it whole again (the queue has
overflowed, a sync has failed, the file is gone), all that is held is walked out of the keeper into a draft, which then
replaces the file. What is appended meanwhile goes into both. While claims of the file are still to come back nothing
may replace it, so that it is gone on with as well as can be: see `mend_or_refuse`.
"""

import errno
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeAlias

from dnstap_bgp.core.model import Claim, RibRecord, is_of_views
from dnstap_bgp.core.state.blocks import VERSION, VERSION_VIEWS, BlockKind
from dnstap_bgp.core.state.pending import WriteBatch
from dnstap_bgp.core.state.records import RECORDS_MAX, frames
from dnstap_bgp.errors import StateFileError
from dnstap_bgp.workers.process.clocks import Clock, process_clock
from dnstap_bgp.workers.state.statefile import AppendOnlyFile, SnapshotDraft, StateFile
from dnstap_bgp.workers.state.write_queue import WriteQueue

if TYPE_CHECKING:
    from dnstap_bgp.workers.state.restore import LoadReport

logger = logging.getLogger(__name__)

GROWTH_MIN_BYTES = 4 << 20
"""A small table isn't rewritten for every few changes."""

PAUSE_MAX_S = 0.02
"""Between two blocks of a snapshot: a slow disk already gives the others all the time that they want."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The file is whole, and takes more as soon as there is room; any other failure makes a new one."""

Walk: TypeAlias = Callable[[], Iterator[tuple[list[Claim], list[RibRecord]]]]
"""Gives all that is held in bounded copies: claims, and the prefixes that were announced."""


class WriteAheadLog:
    """Writer of the state file, for one thread; a failure is an OSError, after which every call may be tried again.

    Attributes:
        report: What was found in the file; None: nothing that one may append to.
        damaged: The file is to be kept under another name before it changes.
        written_bytes: Bytes written, snapshots included.
        snapshots: How many replaced the file.
        snapshots_begun: How many were begun; counted between the drop of the queue for it, if there is one, and the
            walk. So who looks before it appends and sees the new count is behind the drop, and who sees the old one
            when it takes what it has prepared is before the walk.
        synced: When the disk last had everything, process clock; None: not yet.
        of_views: The file has records that are about the neighbors of one view, and so is of version 2.
        is_held: All that the file has is held, and what came meanwhile is judged. Until then no snapshot is begun, for
            it would lack the rest, or have too much: unless the file is gone.
        kind: Of the blocks that are appended: `EARLY` until then, and as long as the file has claims that were refused.
    """

    def __init__(self, file: StateFile, queue: WriteQueue, clock: Clock, sync_interval_s: float) -> None:
        self._file = file
        self._queue = queue
        self._clock = clock
        self._sync_interval_s = sync_interval_s
        self.report: LoadReport | None = None
        self.damaged = False
        self.walk: Walk = lambda: iter(())
        self.written_bytes = self.snapshots = self.snapshots_begun = 0
        self.synced: float | None = None
        self.of_views = False
        self.is_held = True
        self.kind = BlockKind.CHANGES
        self._prepared = False
        self._rewrite = False  # a snapshot is wanted, though the file is whole
        self._snapshot_bytes = 0
        self._dirty_since: float | None = None
        self._drafted = 0  # number of the last ticket whose records are in the draft
        self._lacks = False  # records were dropped that are not in the file

    @property
    def sync_at(self) -> float | None:
        """Give the time of the next sync, process clock; None: the disk has everything."""
        return None if self._dirty_since is None else self._dirty_since + self._sync_interval_s

    def owed(self) -> bool:
        """Tell whether only a snapshot makes the file whole, and may be begun."""
        return self.is_held and self._is_broken

    @property
    def _is_broken(self) -> bool:
        return self._file.output is None or self._queue.overflowed() or self._lacks

    def mend_or_refuse(self) -> None:
        """Go on in the old file where it would take a snapshot to replace it, and none may be begun yet.

        So little is lost as can be; a snapshot follows in any case. The cases:

            a write or a sync failed      the file is whole up to there, unless the machine dies: go on behind it
            records were dropped          go on, and append all that is held so far: what was dropped is in it
            the file is gone              begin another one with what is held so far: more than none at all
            another one is in its place   who knows what it has: refuse, until all is held

        Raises:
            StateFileError: Another file is in its place, or there is no time to append all.
            OSError: It can't be opened or written.
        """
        if self.is_held or not self._is_broken:
            return
        self._rewrite = True
        if self._file.output is None and not self._file.reopen():
            if not self._file.is_gone():
                msg = "another file is in its place: it has to be written anew, once all of it is restored"
                raise StateFileError(msg)
            self.snapshot(is_gone=True)
        elif self._queue.overflowed() or self._lacks:
            self._append_all()

    def _append_all(self) -> None:
        """Append all that is held so far, since records were dropped, which are in it.

        All that was announced is held from the beginning, and claims that are not back yet stand in the file already.
        A withdrawal that was dropped is not made up for: the next start would withdraw that prefix once more.
        Nothing is served meanwhile: that would serve the tickets of what was dropped.
        """
        output = self._file.output
        assert output is not None, "it was opened again"
        self._lacks = True
        number, began = self._queue.restart(), process_clock()
        self.snapshots_begun += 1
        with self._closing(), _undone_by_failure(output):
            for blocks in self._held_blocks(output, self.kind):
                output.append(blocks)
                self._note_written(len(blocks))
                if not self._pause(process_clock() - began, owed=True):
                    msg = "there was no time to write what its queue had no room for"
                    raise StateFileError(msg)
                began = process_clock()
        self.of_views = self.of_views or output.version != VERSION
        self._lacks = False
        self._queue.serve(self._queue.records, number)

    def wanted(self) -> bool:
        """Tell whether a snapshot would do good, and may be begun."""
        if not self.is_held:
            return False
        output = self._file.output
        grown = output is not None and output.size > 2 * self._snapshot_bytes + GROWTH_MIN_BYTES
        return grown or self._rewrite or self.damaged or self._queue.snapshots.given > self._queue.snapshots.served

    def prepare(self) -> None:
        """Get the lock, and open or repair what `Store.recall` has read; once."""
        if self._prepared:
            return
        file, report = self._file, self.report
        if not file.lock():
            msg = "another process holds its lock"
            raise BlockingIOError(msg)
        size = file.size_on_disk()
        self._set_aside(size)
        if report is not None and report.survey.blocks and size == report.size:
            if report.survey.torn_only:
                file.resume(report.survey.end)
                for hole in report.survey.holes:
                    logger.warning("the state file %s ended in a torn write, now cut: %s", file.path, hole)
            elif not self.is_held:  # else a snapshot is owed, which needs nothing that can't be read
                file.salvage()
            self._snapshot_bytes = report.survey.snapshot_bytes
            self.of_views = report.survey.of_views
            self._rewrite |= not report.same_boot  # stamps of this boot don't depend on the wall clock
        self._prepared = True

    def _set_aside(self, size: int) -> None:
        """Keep a damaged file under another name, before it changes or is replaced."""
        if self.damaged and size:
            file = self._file
            aside = file.set_aside(time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock().wall_s)))
            logger.error("the state file %s is damaged and kept as %s; what could be read is in use", file.path, aside)
            self.damaged = False
            self._rewrite = True

    def serve(self, draft: SnapshotDraft | None = None) -> None:
        """Write the queued records: into the file if it is whole, and into the draft if there is one."""
        output = self._file.output
        taken = self._queue.take() if output is not None or draft is not None else None
        if taken is None or taken[1] == (self._drafted if output is None else self._queue.records.served):
            return
        batch, number = taken
        data, now = b"", self._clock()
        if output is not None:
            data = b"".join(frames(self.kind, batch.claims, batch.records, now))
        of_views = is_of_views(key for key, _ in batch.records)
        if output is not None:
            self._append(output, data, batch, of_views=of_views)
            self._queue.serve(self._queue.records, number)
        if draft is not None:
            if of_views:
                draft.set_version(VERSION_VIEWS)
            if output is None or self.kind is not BlockKind.CHANGES:
                data = b"".join(frames(BlockKind.CHANGES, batch.claims, batch.records, now))
            draft.append(data)
            self._drafted = number

    def _append(self, output: AppendOnlyFile, data: bytes, batch: WriteBatch, *, of_views: bool) -> None:
        try:
            with self._closing():
                if of_views:
                    # Before the first such record: a program that doesn't know the version must not read on without it.
                    output.set_version(VERSION_VIEWS)
                    self.of_views = True
                output.append(data)
        except OSError:
            self._queue.give_back(batch)
            raise
        self._note_written(len(data))

    @contextmanager
    def _closing(self) -> Iterator[None]:
        """Close the file where a write to it fails, unless it only has no room."""
        try:
            yield
        except OSError as error:
            if error.errno not in _FULL:
                self._file.close_output()
            raise

    def _note_written(self, size: int) -> None:
        self.written_bytes += size
        if self._dirty_since is None:
            self._dirty_since = process_clock()

    def sync_when_due(self) -> None:
        """Make the disk take all that was written, once in an interval."""
        if self.sync_at is not None and process_clock() >= self.sync_at:
            self.sync()

    def sync(self) -> None:
        """Make the disk take all that was written; see that the file still is at its path."""
        output = self._file.output
        if output is None:
            return
        try:
            output.sync()
        except OSError:
            self._file.close_output()  # what the system could not write it may have forgotten: all of it again
            raise
        self._dirty_since = None
        self.synced = process_clock()
        if not output.is_at(self._file.path):
            logger.warning("the state file %s was moved or removed: writing it anew", self._file.path)
            self._file.close_output()

    def snapshot(self, *, is_gone: bool = False) -> None:
        """Replace the file by all that is held now; given up where the thread is to end.

        Records that come during the walk are written into the draft behind the part that was walked. So whatever the
        walk has missed stands behind it, and the last record of a prefix wins when the file is read. That needs what
        is appended to be visible to the walk before: then it is in the walk, or behind it, or both. The one exception
        is a line that is prepared: it is recorded before its prefixes are in the Adj-RIB-Out, so the writer records it
        once more if `snapshots_begun` has changed by the time that it is taken.

        Args:
            is_gone: There is no file, so that it can't wait until all is held; once that is so, another one follows.
        """
        was_held, owed, asked = self.is_held, is_gone or self.owed(), self._queue.snapshots.given
        if owed:
            self._file.close_output()  # what comes meanwhile is served with the snapshot, not before
            self._lacks, self._drafted = True, self._queue.restart()
        self.snapshots_begun += 1
        self._set_aside(self._file.size_on_disk())  # where the damage was found after `prepare`
        draft = self._file.draft()
        try:
            if not self._write_all(draft, owed=owed):
                return
            self.serve(draft)
            output = self._file.publish(draft)
        finally:
            draft.discard()
        self._snapshot_bytes = output.size
        self.of_views = output.version != VERSION
        self.written_bytes += output.size
        self.snapshots += 1
        self._rewrite = not was_held  # a part of it may have come back while the rest was walked
        self.damaged = self._lacks = False
        if was_held:
            self.kind = BlockKind.CHANGES
        self._dirty_since = None
        self.synced = process_clock()
        self._queue.serve(self._queue.records, self._drafted)
        if was_held:
            self._queue.serve(self._queue.snapshots, asked)

    def _write_all(self, draft: SnapshotDraft, *, owed: bool) -> bool:
        """Write what is held and what comes meanwhile; False: given up."""
        began = process_clock()
        for blocks in self._held_blocks(draft, BlockKind.SNAPSHOT):
            draft.append(blocks)
            self.serve(draft)
            self.sync_when_due()
            if not self._pause(process_clock() - began, owed=owed):
                return False
            began = process_clock()
        return True

    def _held_blocks(self, file: SnapshotDraft | AppendOnlyFile, kind: BlockKind) -> Iterator[bytes]:
        """Give all that is held, in full blocks; at least one, so that the file has a stamp.

        What was walked until then comes as one piece, of one or several blocks: what is appended between two pieces
        is newer than all before, and would be older than what follows it if a walked copy were parted.

        Args:
            file: Where they go: its header is to say what version they are of.
            kind: Of the blocks.
        """
        claims: list[Claim] = []
        announced: list[RibRecord] = []
        for more_claims, more_told in self.walk():
            claims += more_claims
            announced += more_told
            if is_of_views(key for key, _ in more_told):
                file.set_version(VERSION_VIEWS)
            if max(len(claims), len(announced)) >= RECORDS_MAX:
                yield b"".join(frames(kind, claims, announced, self._clock()))
                claims, announced = [], []
        yield b"".join(frames(kind, claims, announced, self._clock()))

    def _pause(self, worked_s: float, *, owed: bool) -> bool:
        """Let the others work for as long as this thread did; False: give the snapshot up."""
        queue = self._queue
        with queue.work:
            if queue.stop_by is not None:
                return owed and process_clock() < queue.stop_by
            if not len(queue):
                queue.work.wait(min(worked_s, PAUSE_MAX_S))
        return True


@contextmanager
def _undone_by_failure(output: AppendOnlyFile) -> Iterator[None]:
    """Cut off what was appended before a failure: on a full disk each further try would take what room there is."""
    size = output.size
    try:
        yield
    except OSError:
        with suppress(OSError):
            output.cut(size)
        raise
