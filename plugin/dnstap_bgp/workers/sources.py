"""List files -> rules, in whatever process is asked (no threads here): the child that compiles, or a command.

A file is read whole, so that its digest is that of the very bytes the rules came from.
"""

import hashlib
import io
import json
import mmap
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dnstap_bgp.core.domains import Rule, RuleSet
from dnstap_bgp.core.lists import Complaint, read_rules
from dnstap_bgp.errors import ListError, Problem

SOURCE_MAX_BYTES = 256 << 20
"""Ten times the largest list in use (a million names are 25 MB): a wrong path shall not fill the memory."""

_CHUNK_BYTES = 4 << 20  # large: between chunks another thread may keep the GIL for 5 ms

RULES_MAX = 4_000_000
"""In all lists together; they take 1 GB in the child while it builds."""

COMPLAINTS_KEPT = 20
"""Of each source, as an example; the rest is only counted: a whole file in another format is one mistake."""


@dataclass(frozen=True, slots=True)
class ListSource:
    """A list and the files that it is read from, in order."""

    name: str
    paths: tuple[Path, ...]


@dataclass(slots=True)
class SourceReport:
    """What one file gave.

    Attributes:
        list_name: The list that it belongs to.
        path: The file.
        digest: SHA-256 of its bytes, hexadecimal.
        rules: How many lines gave a rule, repeated ones included.
        complaints: How many lines were skipped.
        examples: The first of these.
        error: Why the file can't be used at all; None: it can.
    """

    list_name: str
    path: str
    digest: str = ""
    rules: int = 0
    complaints: int = 0
    examples: list[Complaint] = field(default_factory=list)
    error: str | None = None

    def problems(self) -> list[Problem]:
        """The error and the examples as a person reads them: `file:line: reason`."""
        lines = [Problem(f"{self.path}:{complaint.line}", complaint.reason) for complaint in self.examples]
        return [Problem(self.path, self.error), *lines] if self.error else lines


def build_here(
    sources: Sequence[ListSource], *, complaints_kept: int = COMPLAINTS_KEPT
) -> tuple[RuleSet, list[SourceReport]]:
    """Read and build in this process; 5 s for a million rules, in which other threads hardly run.

    Args:
        sources: The lists in the configuration's order.
        complaints_kept: How many skipped lines of each file to tell.

    Returns:
        The rules of all files that could be used, and a report of each file.
    """
    reports: list[SourceReport] = []
    lists = [(source.name, _rules_of(source, reports, complaints_kept)) for source in sources]
    return RuleSet.build(lists), reports


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal: 20 ms for a million names, hardly any of it with the GIL held.

    Raises:
        ListError: It is missing, unreadable, no plain file or too large.
    """
    digest = hashlib.sha256()
    # An anonymous map as the buffer: unlike memory of the heap it goes back to the system for certain.
    with opened(path) as file, mmap.mmap(-1, _CHUNK_BYTES) as buffer, memoryview(buffer) as chunk:
        while got := file.readinto(chunk):
            digest.update(chunk[:got])
    return digest.hexdigest()


def to_json(reports: Sequence[SourceReport]) -> str:
    """Write reports, for another process."""
    return json.dumps([asdict(report) for report in reports])


def from_json(text: str) -> list[SourceReport]:
    """Read reports that `to_json` wrote."""
    return [
        SourceReport(**(values | {"examples": [Complaint(**example) for example in values["examples"]]}))
        for values in json.loads(text)
    ]


def _rules_of(source: ListSource, reports: list[SourceReport], complaints_kept: int) -> Iterator[Rule]:
    for path in source.paths:
        report = SourceReport(source.name, str(path))
        room = RULES_MAX - sum(earlier.rules for earlier in reports)
        reports.append(report)
        try:
            with opened(path) as file:
                data = file.read()
        except ListError as error:
            report.error = str(error)
            continue
        report.digest = hashlib.sha256(data).hexdigest()
        for item in read_rules(io.BytesIO(data)):
            if isinstance(item, Complaint):
                report.complaints += 1
                if len(report.examples) < complaints_kept:
                    report.examples.append(item)
            elif report.rules == room:
                report.error = f"more than {RULES_MAX} rules in all lists"
                break
            else:
                report.rules += 1
                yield item


@contextmanager
def opened(path: Path) -> Iterator[io.FileIO]:
    """Open a list file; what the caller's reading raises becomes a `ListError` too."""
    try:
        # Not blocking: a FIFO in place of the list would wait for a writer for ever.
        with io.FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ListError("not a file")
            if status.st_size > SOURCE_MAX_BYTES:
                raise ListError(f"it has {status.st_size} bytes, {SOURCE_MAX_BYTES} are allowed")
            yield file
    except OSError as error:
        raise ListError(error.strerror or str(error)) from error
