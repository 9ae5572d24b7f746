"""List files as they lie on disk: opened within limits, with those that they include; no thread.

A file is read whole, so that its digest is that of the very bytes the rules came from.
"""

import hashlib
import io
import json
import mmap
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from dnstap_bgp.core.lists import counts
from dnstap_bgp.core.lists.formats import (
    FORMATS,
    HEAD_BYTES,
    Format,
    Include,
    Kind,
    detect,
    exceptions,
    filtered,
    under,
)
from dnstap_bgp.core.lists.lines import Complaint
from dnstap_bgp.core.lists.source import AUTO
from dnstap_bgp.errors import ListError, Problem

SOURCE_MAX_BYTES = 256 << 20
"""Ten times the largest list in use (a million names are 25 MB): a wrong path shall not fill the memory."""

_CHUNK_BYTES = 4 << 20  # large: between chunks another thread may keep the GIL for 5 ms

INCLUDES_MAX = 1000
"""Files that one source may include, at any depth; the whole of geosite has 1,400, its widest list 300."""

INCLUDE_DEPTH_MAX = 16
"""Geosite needs 4."""


class Place(NamedTuple):
    """One file of a list; a tuple, as it goes to a child as JSON.

    Attributes:
        source: What the configuration says: a path, a glob or a URL.
        path: The file.
        shown: What people call it: its path, or the URL whose copy it is.
        format: A key of `FORMATS`, or `AUTO`.
        missing: Why there is no file; None: there should be one.
        pending: It is a copy, which has not come yet: no error, just nothing so far.
    """

    source: str
    path: str
    shown: str
    format: str = AUTO
    missing: str | None = None
    pending: bool = False


@dataclass(slots=True)
class SourceReport:
    """What one file gave.

    Attributes:
        list_name: The list that it belongs to.
        source: What the configuration says of it: a path, a glob or a URL.
        path: The file, or the URL whose copy it is.
        file: The file itself.
        asked: The format that the configuration names.
        format: The format that it was read in.
        included: It is here because another file includes it.
        pending: There is no copy of the URL yet.
        digest: SHA-256 of its bytes, hexadecimal.
        rules: How many rules its lines gave, repeated ones included.
        prefixes: How many static prefixes.
        complaints: How many lines, or parts of one, were malformed and skipped.
        skipped: Kind -> how many were right and nothing that rules can say.
        examples: The first complaints and, where they were asked for, of what was skipped.
        error: Why the file can't be used at all; None: it can.
    """

    list_name: str
    source: str
    path: str
    file: str = ""
    asked: str = AUTO
    format: str = ""
    included: bool = False
    pending: bool = False
    digest: str = ""
    rules: int = 0
    prefixes: int = 0
    complaints: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    examples: list[Complaint] = field(default_factory=list)
    error: str | None = None

    def problems(self) -> list[Problem]:
        """The error and the examples as a person reads them: `file:line: reason`."""
        lines = [Problem(f"{self.path}:{complaint.line}", complaint.reason) for complaint in self.examples]
        return [Problem(self.path, self.error), *lines] if self.error else lines

    def told(self) -> list[str]:
        """What the log says of it, bounded: what can be mended line by line, the rest as numbers."""
        counted = {Kind.MALFORMED: self.complaints, **self.skipped}
        if self.path == self.file or self.error:
            lines = list(map(str, self.problems()))
            counted[Kind.MALFORMED] -= len(self.examples)
        else:  # what a URL gave can't be mended here
            lines = []
        numbers = counts.skipped(counted)
        return [*lines, f"{self.path}: skipped: {numbers}"] if numbers else lines


class Content:
    """A file of a list with its content, for as long as it is read.

    Attributes:
        report: Its path, format, digest and error filled in; the rest is for whoever reads it.
        data: Its bytes; empty where the report has an error.
        form: How to read them.
    """

    def __init__(self, walk: "_Walk", report: SourceReport, includes: tuple[Include, ...]) -> None:
        self.report = report
        self.data = b""
        self.form = FORMATS["plain"]
        self._walk = walk
        self._includes = includes

    def load(self, place: Place) -> None:
        """Read the file."""
        report = self.report
        if place.pending or place.missing is not None:
            report.error = place.missing
            return
        try:
            with opened(Path(place.path)) as file:
                self.data = file.read()
        except ListError as error:
            report.error = str(error)
            return
        report.digest = hashlib.sha256(self.data).hexdigest()
        report.format = detect(self.data) if place.format == AUTO else place.format
        self.form = self._form(report.format)

    def include(self, include: Include) -> None:
        """Have the walk go through another file too."""
        self._walk.add(self.report, include, (*self._includes, include))

    def free(self) -> None:
        """Give the memory back."""
        self.data = b""

    def _form(self, name: str) -> Format:
        if self._includes:
            return filtered(self._includes)
        return under(self._walk.excepted) if name == "adblock" else FORMATS[name]


def contents(list_name: str, places: Sequence[Place]) -> Iterator[Content]:
    """Go through the files of a list, and those that they include; one is in memory at a time, if it is freed."""
    excepted = frozenset[bytes]().union(*map(_excepted, places))
    for place in places:
        yield from _Walk(list_name, place, excepted)


def _excepted(place: Place) -> set[bytes]:
    """The exceptions that hold for the whole list, wherever they stand: only adblock has such."""
    if place.format not in (AUTO, "adblock") or not place.path:
        return set()
    try:
        with opened(Path(place.path)) as file:
            head = file.read(HEAD_BYTES)
            if place.format == AUTO and detect(head) != "adblock":
                return set()
            return exceptions(head + file.read())
    except ListError:
        return set()  # it is told when the file is read for good


class _Walk:
    """Goes through a file and those that it includes, each once for each set of filters; their order is no matter."""

    def __init__(self, list_name: str, place: Place, excepted: frozenset[bytes]) -> None:
        self.excepted = excepted
        self._list_name = list_name
        self._place = place
        self._seen: set[tuple[str, frozenset[str], frozenset[str]]] = set()
        self._todo: list[tuple[Place, tuple[Include, ...]]] = []

    def __iter__(self) -> Iterator[Content]:
        self._todo = [(self._place, ())]
        for place, includes in self._todo:  # grows meanwhile
            report = SourceReport(
                self._list_name,
                self._place.source,
                place.shown,
                file=place.path,
                asked=self._place.format,
                included=bool(includes),
                pending=place.pending,
            )
            content = Content(self, report, includes)
            content.load(place)
            yield content

    def add(self, report: SourceReport, include: Include, includes: tuple[Include, ...]) -> None:
        """Go through an included file too.

        Args:
            report: Of the file that includes it; gets the error where that can't be.
            include: What it says.
            includes: All includes on the way, whose filters hold together.
        """
        if report.path != report.file:  # what a URL gave has nothing beside it
            report.skipped[Kind.DIRECTIVE] = report.skipped.get(Kind.DIRECTIVE, 0) + 1
            return
        try:
            path = _beside(Path(report.file), include.name)
        except (ListError, OSError) as error:
            report.error = report.error or f"include:{include.name}: {error}"
            return
        wanted = frozenset[str]().union(*(each.wanted for each in includes))
        unwanted = frozenset[str]().union(*(each.unwanted for each in includes))
        if (path, wanted, unwanted) in self._seen:
            return
        if len(includes) > INCLUDE_DEPTH_MAX or len(self._seen) >= INCLUDES_MAX:
            report.error = f"more than {INCLUDES_MAX} files are included, or more than {INCLUDE_DEPTH_MAX} deep"
            return
        self._seen.add((path, wanted, unwanted))
        self._todo.append((Place(path, path, path, "v2fly"), includes))


def _beside(file: Path, name: str) -> str:
    """The path of an included file, which is in the same folder, as links are followed too.

    Raises:
        ListError: It is elsewhere.
        OSError: It can't be looked for.
    """
    folder = file.parent
    path = next((folder / each for each in (name, name.lower()) if (folder / each).exists()), folder / name)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ListError("it leads out of the folder")
    return str(path)


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


def totals(reports: Sequence[SourceReport]) -> dict[str, int]:
    """How much was skipped of each kind, malformed lines first, in several files together."""
    found: Counter[str] = Counter()
    for report in reports:
        found[Kind.MALFORMED] += report.complaints
        found.update(report.skipped)
    return {kind: count for kind, count in found.items() if count}


def to_json(reports: Sequence[SourceReport]) -> str:
    """Write reports, for another process."""
    return json.dumps([asdict(report) for report in reports])


def from_json(text: str) -> list[SourceReport]:
    """Read reports that `to_json` wrote."""
    return [
        SourceReport(**(values | {"examples": [_complaint(**example) for example in values["examples"]]}))
        for values in json.loads(text)
    ]


def _complaint(line: int, reason: str, kind: str) -> Complaint:
    return Complaint(line, reason, Kind(kind))


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
