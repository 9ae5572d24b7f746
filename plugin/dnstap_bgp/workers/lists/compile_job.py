"""Jobs of the child process that compiles lists, as its parent sees it: what it is given, and what it gives back.

The child itself is `compile_child`; nothing here needs a format, nor anything else that only the child needs.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dnstap_bgp.workers.lists.file_reports import FileReport, reports_from_json, reports_to_json
from dnstap_bgp.workers.lists.files import Plan, SourceFile
from dnstap_bgp.workers.lists.source_copies import ReadPlan, SourceCopies, SourceKey

CHILD = "dnstap_bgp.workers.lists.compile_child"
"""Module that the child process runs."""

TIME_LIMIT_S = 300
"""Many times what four million rules take; past it this process ends, also when its parent is gone."""

READING = 3
"""Number of the way in which files are read and owners told: another one makes the compiled file of before stale."""


class Before(NamedTuple):
    """Knowledge of what was in force before, where a new version can't be read or judged without it.

    Attributes:
        compiled: The compiled file in force; None: there is none.
        unknown: (list, source) of which nothing was in force: if one gives nothing now, that proves nothing.
        copies: The folder of `SourceCopies`; None: there are none.
        is_kept: Whether a copy is made of each file that is read.
        from_copies: (list, source, path -> digest) of the sources that keep their last content.
    """

    compiled: str | None = None
    unknown: tuple[SourceKey, ...] = ()
    copies: str | None = None
    is_kept: bool = False
    from_copies: tuple[tuple[str, str, dict[str, str]], ...] = ()

    @property
    def read_plan(self) -> ReadPlan:
        """Plan for whoever reads the files."""
        copies = SourceCopies(Path(self.copies)) if self.copies is not None else None
        return ReadPlan(copies, self.is_kept, {(name, source): found for name, source, found in self.from_copies})


NOTHING_BEFORE = Before()


def job(files: Plan, before: Before) -> bytes:
    """Write the job that has a child compile these lists, for its stdin."""
    return json.dumps({"files": list(files.items()), "before": before}).encode()


def counting_job(places: Sequence[SourceFile]) -> bytes:
    """Write the job that has a child count what files give, for its stdin."""
    return json.dumps(places).encode()


def counted(output: bytes) -> list[FileReport]:
    """Read the reports of a child that counted files."""
    return reports_from_json(output.decode())


def about(reports: Sequence[FileReport]) -> str:
    """Write the note of a compiled file: in which way its sources were read, and the reports on them."""
    return json.dumps({"reading": READING, "reports": reports_to_json(reports)})


def reports_about(note: str) -> tuple[tuple[FileReport, ...], bool]:
    """Read the note of a compiled file.

    Returns:
        The reports, and whether its sources would be read in the same way now: what an older version made of them may
        be less.
    """
    values = json.loads(note)
    if isinstance(values, list):  # of 0.1.0
        return tuple(reports_from_json(note)), False
    return tuple(reports_from_json(values["reports"])), values["reading"] == READING


def command(*arguments: str) -> list[str]:
    """The command line of a child: `FD`, an open file for the compiled set; or nothing, for counting."""
    return [sys.executable, "-P", "-m", CHILD, *arguments]


def environment() -> dict[str, str]:
    """The environment of a child, which finds our modules as we did."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
