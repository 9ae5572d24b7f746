"""Reading a state file, whole or damaged, in the caller's thread; used at start and by `dnstap-bgp dump`.

Two passes at bounded memory: the first finds the damage and the last stamp of each boot, the second hands the records
on in the order of the file, so that the last one wins. Nothing is changed in the file.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from dnstap_bgp.core.model import Attributes, Claim, Prefix
from dnstap_bgp.core.state.blocks import HEADER_BYTES, Block, Hole, Kind, Read, identify, scan
from dnstap_bgp.core.state.records import NOTHING, Decoder, Records
from dnstap_bgp.core.state.stamps import Stamp, elapsed_s, same_boot
from dnstap_bgp.errors import StateFileError

HOLES_TOLD = 8
"""Damage that a report describes one by one; the rest is only counted."""

Adopt: TypeAlias = Callable[[list[Claim]], None]
Recall: TypeAlias = Callable[[list[tuple[Prefix, Attributes]], list[Prefix]], None]


@dataclass(slots=True)
class Survey:
    """What the first pass finds.

    Attributes:
        end: Behind the last whole block: where to append.
        blocks: Whole blocks.
        snapshot_bytes: Of these, what snapshots take.
        holes: The first `HOLES_TOLD` damaged parts, a torn tail among them.
        holes_total: All of them.
        torn_only: The damage is what an interrupted write leaves, so cutting the tail is all the repair.
        last: The last stamp of each boot, by its id.
    """

    end: int = HEADER_BYTES
    blocks: int = 0
    snapshot_bytes: int = 0
    holes: list[Hole] = field(default_factory=list)
    holes_total: int = 0
    torn_only: bool = True
    last: dict[bytes, Stamp] = field(default_factory=dict)

    def damage(self, hole: Hole) -> None:
        """Take note of a damaged part."""
        self.holes_total += 1
        self.torn_only = self.torn_only and hole.torn
        if len(self.holes) < HOLES_TOLD:
            self.holes.append(hole)


@dataclass(slots=True)
class LoadReport:
    """What a load brought.

    Attributes:
        found: There was a file with something in it.
        size: Its bytes.
        claims: Records of claims before their deadline, handed on; a claim may have several.
        expired: Records of claims past it, left out.
        told: Records of what the host was told, handed on.
        untold: Records of what was withdrawn, handed on.
        survey: Blocks and damage.
        same_boot: Everything in it was written since the machine started.
        downtime_s: From the last block to the load; 0 also where the wall clock gives no possible answer.
        seconds: How long the load took.
    """

    found: bool = False
    size: int = 0
    claims: int = 0
    expired: int = 0
    told: int = 0
    untold: int = 0
    survey: Survey = field(default_factory=Survey)
    same_boot: bool = True
    downtime_s: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        if not self.found:
            return "there is no state file, or an empty one"
        text = (
            f"{self.claims} claims restored, {self.expired} expired meanwhile, {self.told} announcements known,"
            f" downtime {self.downtime_s:.1f} s, {self.seconds:.2f} s for {self.size} bytes"
        )
        if self.survey.holes_total:
            text += f"; {self.survey.holes_total} damaged part(s): {'; '.join(map(str, self.survey.holes))}"
        return text


def survey(read: Read, size: int) -> Survey:
    """Check every block.

    Raises:
        ForeignFileError: The file is of another kind or a newer version.
    """
    found = Survey()
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
        if part.kind == Kind.SNAPSHOT:
            found.snapshot_bytes += part.end - part.offset
    return found


def restore(
    read: Read, size: int, now: Stamp, adopt: Adopt, recall: Recall, *, with_expired: bool = False
) -> LoadReport:
    """Hand on what a state file holds.

    Args:
        read: Gives the file's bytes.
        size: Its length.
        now: The reader's clocks.
        adopt: Takes at most `RECORDS_MAX` claims, their times in the reader's process clock.
        recall: Takes what was told and what was untold; the two don't overlap.
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
        if records.told or records.untold:
            recall(records.told, records.untold)
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
    report.told += len(records.told)
    report.untold += len(records.untold)
    return records
