"""Reading a state file, whole or damaged, in the caller's thread; used at start and by `dnstap-bgp dump`.

Three passes at bounded memory, each in the order of the file, so that the last record of a prefix or claim wins:

    survey    the damage, and the last stamp of each boot: none of the content is looked at
    recall    what was announced and withdrawn: a second for 1,000,000 routes
    adopt     the claims: 20 s for as many

The passes are apart because a reconciler may decide on a prefix as soon as all is known that was announced, while the
claims are still on their way; see `Keeper.end_recall`. The file may grow meanwhile, or be replaced: what is read is
what it was. Nothing is changed in it.
"""

import errno
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from dnstap_bgp.core.model import Claim, RibRecord
from dnstap_bgp.core.state.blocks import HEADER_BYTES, Block, BlockKind, Hole, Read, identify, scan
from dnstap_bgp.core.state.records import Decoder, is_payload_of_views
from dnstap_bgp.core.state.timestamps import Stamp, elapsed_s, same_boot
from dnstap_bgp.core.text import count_text
from dnstap_bgp.errors import StateFileError

HOLES_MAX = 8
"""Damage that a report describes one by one; the rest is only counted."""

Adopt: TypeAlias = Callable[[list[Claim]], None]
Recall: TypeAlias = Callable[[list[RibRecord]], None]


class FileReadError(OSError):
    """The state file can't be read to its end; of whoever takes what is read an OSError is none."""


@dataclass(slots=True)
class FileSurvey:
    """Findings of the first pass over a state file.

    Attributes:
        end: Behind the last whole block: where to append.
        judged: Behind the last of them that is not `EARLY`: claims from here on are newcomers of unfinished restores.
        blocks: Whole blocks.
        snapshot_bytes: Of these, what snapshots take.
        holes: The first `HOLES_MAX` damaged parts, a torn tail among them.
        holes_total: All of them.
        torn_only: The damage is what an interrupted write leaves, so cutting the tail is all the repair.
        last: The last stamp of each boot, by its id.
        of_views: Some records are about the neighbors of one view.
    """

    end: int = HEADER_BYTES
    judged: int = HEADER_BYTES
    blocks: int = 0
    snapshot_bytes: int = 0
    holes: list[Hole] = field(default_factory=list)
    holes_total: int = 0
    torn_only: bool = True
    last: dict[bytes, Stamp] = field(default_factory=dict)
    of_views: bool = False

    def damage(self, hole: Hole) -> None:
        """Take note of a damaged part."""
        self.holes_total += 1
        self.torn_only = self.torn_only and hole.torn
        if len(self.holes) < HOLES_MAX:
            self.holes.append(hole)


@dataclass(slots=True)
class LoadReport:
    """Outcome of a load.

    Attributes:
        found: There was a file with something in it.
        size: Its bytes.
        claims: Records of claims before their deadline, handed on; a claim may have several.
        newcomers: Of these, those that came during a restore that was never finished.
        expired: Records of claims past it, left out.
        announced: Records of announcements, handed on.
        withdrawn: Records of withdrawals, handed on.
        unknown: Announcements among them whose attributes are none that a configuration could give.
        survey: Blocks and damage.
        same_boot: Everything in it was written since the machine started.
        downtime_s: From the last block to the load; 0 also where the wall clock gives no possible answer.
        seconds: How long the passes took, without what was done between them.
    """

    found: bool = False
    size: int = 0
    claims: int = 0
    newcomers: int = 0
    expired: int = 0
    announced: int = 0
    withdrawn: int = 0
    unknown: int = 0
    survey: FileSurvey = field(default_factory=FileSurvey)
    same_boot: bool = True
    downtime_s: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        if not self.found:
            return "there is no state file, or an empty one"
        text = (
            f"{count_text(self.claims, 'record')} of claims restored, {self.expired} expired meanwhile,"
            f" {count_text(self.announced, 'record')} of announcements, downtime {self.downtime_s:.1f} s,"
            f" {self.seconds:.2f} s for {self.size} bytes"
        )
        if self.unknown:
            text += (
                f"; {self.unknown} announcements with attributes that no configuration gives: they are never said, and"
                " each neighbor is sent its whole table again"
            )
        if self.survey.holes_total:
            text += f"; {self.survey.holes_total} damaged part(s): {'; '.join(map(str, self.survey.holes))}"
        return text


def survey(read: Read, size: int) -> FileSurvey:
    """Check every block.

    Raises:
        ForeignFileError: The file is of another kind or a newer version.
    """
    found = FileSurvey()
    header = identify(read, size)
    if header is not None:
        found.damage(header)
    for part in scan(read, size):
        if isinstance(part, Hole):
            found.damage(part)
            continue
        found.blocks += 1
        found.end = part.end
        found.last[part.stamp.boot_id] = part.stamp
        found.of_views = found.of_views or is_payload_of_views(part.payload)
        if part.kind != BlockKind.EARLY:
            found.judged = part.end
        if part.kind == BlockKind.SNAPSHOT:
            found.snapshot_bytes += part.end - part.offset
    return found


class Restoration:
    """Passes over one state file: `recall`, then `adopt`.

    Attributes:
        report: What was found; whole once both passes are done.
    """

    def __init__(self, read: Read, size: int, now: Stamp, *, with_expired: bool = False) -> None:
        """Survey the file.

        Args:
            read: Gives the file's bytes.
            size: Its length.
            now: The reader's clocks.
            with_expired: Hand on claims past their deadline, too.

        Raises:
            ForeignFileError: The file is of another kind or a newer version.
            FileReadError: It can't be read; from here on by all passes.
        """
        began = time.perf_counter()
        self._read = _telling(read)
        self.report = LoadReport(found=size > 0, size=size, survey=survey(self._read, size))
        self._now = now
        self._decoder = Decoder(-math.inf if with_expired else now.boottime_s)
        for last in self.report.survey.last.values():
            self.report.same_boot = self.report.same_boot and same_boot(last, now)
            self.report.downtime_s = elapsed_s(last, last, now)  # of the boot that stands last in the file
        self.report.seconds += time.perf_counter() - began

    def recall(self, recall: Recall, is_stopped: Callable[[], bool] = lambda: False) -> bool:
        """Hand on what was announced and withdrawn; a block whose content is none counts as damage.

        Args:
            recall: Takes the announcements and withdrawals of a block, in order.
            is_stopped: Asked after each block: whether to give it up.

        Returns:
            Whether all was read; False: it was given up.
        """
        began, report = time.perf_counter(), self.report
        for block in self._blocks():
            try:
                records, unknown = self._decoder.decode_told(block.payload)
            except StateFileError as error:
                report.survey.damage(Hole(block.offset, block.end - block.offset, torn=False, reason=str(error)))
                continue
            if records:
                withdrawn = [attributes for _, attributes in records].count(None)
                report.announced += len(records) - withdrawn
                report.withdrawn += withdrawn
                report.unknown += unknown
                recall(records)
            time.sleep(0)  # gives up the interpreter: others wait for one block at most
            if is_stopped():
                return False
        report.seconds += time.perf_counter() - began
        return True

    def adopt(
        self,
        adopt: Adopt,
        is_stopped: Callable[[], bool] = lambda: False,
        adopt_newcomers: Adopt | None = None,
    ) -> bool:
        """Hand on the claims.

        Args:
            adopt: Takes at most `RECORDS_MAX` claims, their times in the reader's process clock.
            is_stopped: Asked after each block: whether to give it up.
            adopt_newcomers: Takes those that came during a restore that was never finished, behind all others; None:
                `adopt` does.

        Returns:
            Whether all was read; False: it was given up.
        """
        began, report = time.perf_counter(), self.report
        newcomers_from = report.survey.judged if adopt_newcomers is not None else math.inf
        for block in self._blocks():
            last = report.survey.last.get(block.stamp.boot_id, block.stamp)
            stamp_s = self._now.boottime_s - elapsed_s(block.stamp, last, self._now)
            try:
                claims, expired = self._decoder.decode_claims(block.payload, stamp_s)
            except StateFileError:
                continue  # known since `recall`
            report.claims += len(claims)
            report.expired += expired
            are_new = block.offset >= newcomers_from
            report.newcomers += len(claims) if are_new else 0
            if claims:
                (adopt_newcomers if are_new and adopt_newcomers is not None else adopt)(claims)
            time.sleep(0)
            if is_stopped():
                return False
        report.seconds += time.perf_counter() - began
        return True

    def _blocks(self) -> Iterator[Block]:
        # up to the end as it was surveyed: what is appended by now is in the tables already
        left = self.report.survey.blocks
        for part in scan(self._read, self.report.survey.end):
            if isinstance(part, Block):
                left -= 1
                yield part
        if left > 0:
            raise FileReadError(errno.EIO, f"{left} blocks are gone or damaged since the first pass over it")


def _telling(read: Read) -> Read:
    """Have the errors of reading told from others."""

    def read_or_tell(offset: int, length: int) -> bytes:
        try:
            return read(offset, length)
        except OSError as error:
            raise FileReadError(error.errno, error.strerror) from error

    return read_or_tell


def restore(
    read: Read, size: int, now: Stamp, adopt: Adopt, recall: Recall, *, with_expired: bool = False
) -> LoadReport:
    """Hand on all records of a state file: first what was announced, then the claims; see `Restoration`."""
    restoration = Restoration(read, size, now, with_expired=with_expired)
    restoration.recall(recall)
    restoration.adopt(adopt)
    return restoration.report
