"""List sources -> rules, in whatever process is asked (no threads here): the child that compiles, or a command."""

import glob
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from dnstap_bgp.core.lists.domains import Rule, RuleSet
from dnstap_bgp.core.lists.formats import Include, Kind
from dnstap_bgp.core.lists.lines import Complaint, read_rules
from dnstap_bgp.core.lists.source import ListSource, is_url
from dnstap_bgp.core.model import Prefix
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists import copies
from dnstap_bgp.workers.lists.copies import Copies
from dnstap_bgp.workers.lists.files import Content, Place, SourceReport, contents, digest_of

RULES_MAX = 4_000_000
"""In all lists together; they take 1 GB in the child while it builds."""

PREFIXES_MAX = 200_000
"""Static prefixes in all lists together: each is a route at once, and the default cap is half of this."""

COMPLAINTS_KEPT = 20
"""Of each source, as an example; the rest is only counted: a whole file in another format is one mistake."""

GLOB_MAX = 1000
"""Files that one glob may find: a folder of lists has dozens."""

Plan: TypeAlias = dict[str, tuple[Place, ...]]
"""List name -> its files, in the configuration's order."""


class Built(NamedTuple):
    """What all sources gave.

    Attributes:
        rules: Of all files that could be used.
        prefixes: List name -> its static prefixes, sorted, each once.
        reports: Of each file.
    """

    rules: RuleSet
    prefixes: dict[str, tuple[Prefix, ...]]
    reports: list[SourceReport]


def plan(lists: Sequence[ListSource], kept: Copies | None) -> Plan:
    """Find the files of lists as they are now: expand globs, take copies for URLs.

    Args:
        lists: In the configuration's order; names are unique.
        kept: The copies of URLs; None: there are none.
    """
    return {
        source.name: tuple(place for text in source.sources for place in _places(text, source, kept))
        for source in lists
    }


def build_here(places: Plan, *, complaints_kept: int = COMPLAINTS_KEPT, tell_skipped: bool = False) -> Built:
    """Read and build in this process; 5 s for a million rules, in which other threads hardly run.

    Args:
        places: As `plan` gives them.
        complaints_kept: How many lines of each file to tell.
        tell_skipped: Tell also what was right and nothing that rules can say.
    """
    reader = _Reader(complaints_kept, tell_skipped=tell_skipped)
    rules = RuleSet.build([(name, reader.rules(name, files)) for name, files in places.items()])
    prefixes = {name: tuple(sorted(reader.prefixes[name])) for name in places}
    return Built(rules, prefixes, reader.reports)


def inspect(place: Place) -> SourceReport:
    """Read a file only to count what it gives."""
    reader = _Reader(COMPLAINTS_KEPT, tell_skipped=False)
    for _ in reader.rules("", (place,)):
        pass
    return reader.reports[0]


def _places(text: str, source: ListSource, kept: Copies | None) -> list[Place]:
    if is_url(text):
        return [_copy(text, source, kept)]
    if not glob.has_magic(text) or os.path.lexists(text):
        return [Place(text, text, text, source.format)]
    found = sorted(path for path in glob.iglob(text) if not Path(path).is_dir())  # noqa: PTH207 - absolute already
    if not found or len(found) > GLOB_MAX:
        return [Place(text, "", text, source.format, f"it names {len(found)} files, 1 to {GLOB_MAX} are allowed")]
    return [Place(text, path, path, source.format) for path in found]


def _copy(url: str, source: ListSource, kept: Copies | None) -> Place:
    """The copy of a URL; one that isn't what is pinned now is as good as none."""
    shown = copies.shown(url)
    if kept is None or not kept.path(url).exists():
        return Place(url, "", shown, source.format, pending=True)
    path = kept.path(url)
    pinned = source.fetching.sha256
    try:
        good = pinned is None or digest_of(path) == pinned
    except ListError as error:
        return Place(url, str(path), shown, source.format, str(error))
    return Place(url, str(path), shown, source.format, pending=not good)


class _Reader:
    """Reads lists one after the other, within limits that hold for all together."""

    def __init__(self, complaints_kept: int, *, tell_skipped: bool) -> None:
        self.reports: list[SourceReport] = []
        self.prefixes: dict[str, set[Prefix]] = {}
        self._complaints_kept = complaints_kept
        self._tell_skipped = tell_skipped
        self._rules = 0

    def rules(self, list_name: str, places: Sequence[Place]) -> Iterator[Rule]:
        """Read one list."""
        prefixes = self.prefixes.setdefault(list_name, set())
        for file in contents(list_name, places):
            self.reports.append(file.report)
            yield from self._rules_of(file, prefixes)

    def _rules_of(self, file: Content, prefixes: set[Prefix]) -> Iterator[Rule]:
        report = file.report
        room = RULES_MAX - self._rules
        for item in read_rules(io.BytesIO(file.data), file.form):
            if type(item) is Rule:  # nearly all are, and this is the fastest way to see it
                if report.rules == room:
                    report.error = f"more than {RULES_MAX} rules in all lists"
                    break
                report.rules += 1
                yield item
            elif isinstance(item, bytes):
                if sum(map(len, self.prefixes.values())) >= PREFIXES_MAX:
                    report.error = f"more than {PREFIXES_MAX} static prefixes in all lists"
                    break
                report.prefixes += 1
                prefixes.add(item)
            elif isinstance(item, Include):
                file.include(item)
            elif isinstance(item, Complaint):
                self._note(report, item)
        self._rules += report.rules
        file.free()

    def _note(self, report: SourceReport, complaint: Complaint) -> None:
        malformed = complaint.kind is Kind.MALFORMED
        if malformed:
            report.complaints += 1
        else:
            report.skipped[complaint.kind] = report.skipped.get(complaint.kind, 0) + 1
        if (malformed or self._tell_skipped) and len(report.examples) < self._complaints_kept:
            report.examples.append(complaint)
