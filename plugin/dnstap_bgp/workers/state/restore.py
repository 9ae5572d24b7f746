"""Reading a state file, whole or damaged, in the caller's thread; used at start and by `dnstap-bgp dump`.

Two passes at bounded memory: the first finds the damage and the last stamp of each boot, the second hands the records
on in the order of the file, so that the last one wins. Nothing is changed in the file.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from dnstap_bgp.core.model import Claim, RibRecord
from dnstap_bgp.core.state.blocks import HEADER_BYTES, Block, BlockKind, Hole, Read, identify, scan
from dnstap_bgp.core.state.records import NOTHING, Decoder, Records, is_payload_of_views
from dnstap_bgp.core.state.timestamps import Stamp, elapsed_s, same_boot
from dnstap_bgp.errors import StateFileError

HOLES_MAX = 8
"""Damage that a report describes one by one; the rest is only counted."""

Adopt: TypeAlias = Callable[[list[Claim]], None]
Recall: TypeAlias = Callable[[list[RibRecord]], None]


@dataclass(slots=True)
class FileSurvey:
    """Findings of the first pass over a state file.

    Attributes:
        end: Behind the last whole block: where to append.
        blocks: Whole blocks.
        snapshot_bytes: Of these, what snapshots take.
        holes: The first `HOLES_MAX` damaged parts, a torn tail among them.
        holes_total: All of them.
        torn_only: The damage is what an interrupted write leaves, so cutting the tail is all the repair.
        last: The last stamp of each boot, by its id.
        of_views: Some records are about the neighbors of one view.
    """

    end: int = HEADER_BYTES
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
        expired: Records of claims past it, left out.
        announced: Records of announcements, handed on.
        withdrawn: Records of withdrawals, handed on.
        unknown: Announcements among them whose attributes are none that a configuration could give.
        survey: Blocks and damage.
        same_boot: Everything in it was written since the machine started.
        downtime_s: From the last block to the load; 0 also where the wall clock gives no possible answer.
        seconds: How long the load took.
    """

    found: bool = False
    size: int = 0
    claims: int = 0
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
            f"{self.claims} claims restored, {self.expired} expired meanwhile, {self.announced} announcements known,"
            f" downtime {self.downtime_s:.1f} s, {self.seconds:.2f} s for {self.size} bytes"
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
        if part.kind == BlockKind.SNAPSHOT:
            found.snapshot_bytes += part.end - part.offset
    return found


def restore(
    read: Read, size: int, now: Stamp, adopt: Adopt, recall: Recall, *, with_expired: bool = False
) -> LoadReport:
    """Hand on the records of a state file.

    Args:
        read: Gives the file's bytes.
        size: Its length.
        now: The reader's clocks.
        adopt: Takes at most `RECORDS_MAX` claims, their times in the reader's process clock.
        recall: Takes the announcements and withdrawals of a block, in order.
        with_expired: Hand on claims past their deadline, too.

    Raises:
        ForeignFileError: The file is of another kind or a newer version.
    """
    began = time.perf_counter()
    report = LoadReport(found=size > 0, size=size, survey=survey(read, size))
    decoder = Decoder(-math.inf if with_expired else now.boottime_s)
    for part in scan(read, size):
        if not isinstance(part, Block):
            continue
        records = _decode(part, decoder, now, report)
        if records.claims:
            adopt(records.claims)
        if records.told:
            recall(records.told)
        time.sleep(0)  # gives up the interpreter: others wait for one block at most
    report.seconds = time.perf_counter() - began
    return report


def _decode(block: Block, decoder: Decoder, now: Stamp, report: LoadReport) -> Records:
    """Read one block into the reader's time, and count."""
    last = report.survey.last.get(block.stamp.boot_id, block.stamp)
    report.same_boot = report.same_boot and same_boot(block.stamp, now)
    report.downtime_s = elapsed_s(last, last, now)
    try:
        records = decoder.decode(block.payload, now.boottime_s - elapsed_s(block.stamp, last, now))
    except StateFileError as error:
        report.survey.damage(Hole(block.offset, block.end - block.offset, torn=False, reason=str(error)))
        return NOTHING
    report.claims += len(records.claims)
    report.expired += records.expired
    withdrawn = sum(attributes is None for _, attributes in records.told)
    report.announced += len(records.told) - withdrawn
    report.withdrawn += withdrawn
    report.unknown += records.unknown
    return records
