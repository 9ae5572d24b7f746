"""Reports on list files: what each gave, what of it was lost, and how the two processes hand them to each other."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

from dnstap_bgp.core.lists import rules
from dnstap_bgp.core.lists.lines import Complaint, SkippedKind
from dnstap_bgp.core.lists.plausibility import SourceContent, is_partial
from dnstap_bgp.core.lists.source import AUTO
from dnstap_bgp.core.text import count_text
from dnstap_bgp.errors import Problem
from dnstap_bgp.workers.lists.files import PATTERNS_WAITING

COSTLY_TOLD = 5
"""Expressions that are told in one sentence; the log has each."""


@dataclass(slots=True)
class FileReport:
    """A report on one file: its rules, and what was wrong with it.

    Attributes:
        list_name: The list that it belongs to.
        source: What the configuration says of it: a path, a glob or a URL.
        path: The file, or the URL whose copy it is.
        file: The file itself.
        asked: The format that the configuration names.
        format: The format that it was read in.
        included: It is here because another file includes it.
        pending: There is no copy of the URL yet.
        url: The URL that it is the copy of; empty: none.
        includes: The files that it includes, by name; each once.
        limits: The `UrlPrefixes` that it was read with; empty: none.
        selector: The part of it that was read; empty: all of it.
        patterns: As in `SourceFile`; empty: a version that skipped keywords and expressions read it.
        waiting: How many of these wait for the configuration's word.
        wide: Why its static prefixes were left out: they cover too much; empty: they were not.
        new_prefixes: Its static prefixes are announced without a word of the configuration (see `UrlPrefixes`).
        digest: SHA-256 of its bytes, hexadecimal.
        rules: How many rules its lines gave, repeated ones included.
        prefixes: How many static prefixes.
        complaints: How many lines, or parts of one, were malformed and skipped.
        skipped: SkippedKind -> how many were right and nothing that rules can say.
        examples: The first complaints and, where they were asked for, of what was skipped.
        error: Why the file can't be used at all; None: it can.
        no_list: Why its content is no list, such as an HTML page; empty: it may be one. Nothing of it is read.
        has_dots: Any line of it has a dot.
        lost: Format, or `names` -> lines that this file's format skips and that one reads.
        is_slow: Reading it takes too long, so that it was left out.
        is_kept: With `is_slow`: the rules of its list are those that were in force before.
        unproven: It gave nothing when nothing was known of its source before: it may as well be a broken file.
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
    no_list: str = ""
    has_dots: bool = True
    lost: dict[str, int] = field(default_factory=dict)
    url: str = ""
    includes: list[str] = field(default_factory=list)
    limits: list[bool | float | None] = field(default_factory=list)
    selector: str = ""
    patterns: str = ""
    waiting: int = 0
    wide: str = ""
    new_prefixes: bool = False
    is_slow: bool = False
    is_kept: bool = False
    unproven: bool = False

    @property
    def partial(self) -> str:
        """A sentence on lines that were lost in reading, where that is more than a slip; empty: nothing to speak of."""
        told: list[str] = []
        if is_partial(self.complaints, self.rules + self.prefixes):
            of = self.complaints + self.rules + self.prefixes
            bad = next((one for one in self.examples if one.kind is SkippedKind.MALFORMED), None)
            first = f", such as line {bad.line}: {bad.reason}" if bad else ""
            told.append(f"{self.complaints} of {of} lines are malformed{first}")
        if is_partial(sum(self.lost.values()), self.rules + self.prefixes):
            lines = " and ".join(f"{count} of {name}" for name, count in self.lost.items())
            told.append(f"it is read as {self.format}, and {lines} are skipped (`format` names the right one)")
        if self.wide:
            told.append(self.wide)
        costly = [one for one in self.examples if one.kind is SkippedKind.COSTLY]
        if costly:
            lines = ", ".join(f"line {one.line}: {one.reason}" for one in costly[:COSTLY_TOLD])
            told.append(f"{count_text(len(costly), 'expression')} would cost too much for each name: {lines}")
        return "; ".join(told)

    def problems(self) -> list[Problem]:
        """List the error and the examples as a person reads them: `file:line: reason`."""
        lines = [Problem(f"{self.path}:{complaint.line}", complaint.reason) for complaint in self.examples]
        error = self.error or (f"it is {self.no_list}" if self.no_list else None)
        return [Problem(self.path, error), *lines] if error else lines

    def log_lines(self) -> list[str]:
        """Tell the report for the log, bounded: lines that can be mended one by one, the rest as numbers."""
        counted = {SkippedKind.MALFORMED: self.complaints, **self.skipped}
        if self.path == self.file or self.error or self.no_list:
            lines = list(map(str, self.problems()))
            counted[SkippedKind.MALFORMED] -= len(self.examples)
        else:  # what a URL gave can't be mended here
            lines = []
        numbers = rules.skipped_text(counted)
        if numbers:
            lines.append(f"{self.path}: skipped: {numbers}")
        if self.partial:
            lines.append(f"{self.path}: read in part only: {self.partial}")
        return lines


def waiting_lists(reports: Iterable[FileReport]) -> frozenset[str]:
    """Tell the lists that a version had in force which skipped keywords and expressions, by what was read last."""
    return frozenset(report.list_name for report in reports if report.patterns in ("", PATTERNS_WAITING))


def waiting_patterns(reports: Iterable[FileReport]) -> list[str]:
    """Tell how many keywords and expressions of each list wait for the configuration's word."""
    counts: Counter[str] = Counter()
    for report in reports:
        counts[report.list_name] += report.waiting
    return [
        f"list {name}: {count_text(count, 'keyword or expression', 'keywords and expressions')}, skipped by the version"
        " before, are left out: say patterns = true to use them, or false"
        for name, count in counts.items()
        if count
    ]


def unsaid_prefixes(reports: Iterable[FileReport]) -> list[str]:
    """Tell the static prefixes of URLs that are announced without a word of the configuration, as 0.1.0 did."""
    return [
        f"list {report.list_name}: {report.path} gives "
        f"{count_text(report.prefixes, 'static prefix', 'static prefixes')}:"
        " say prefixes_from_urls = true, or false if it should give names only"
        for report in reports
        if report.new_prefixes
    ]


def content_of(reports: Sequence[FileReport]) -> SourceContent:
    """Sum up the reports on a source's files, for the judge."""
    examples = [one.reason for report in reports for one in report.examples if one.kind is SkippedKind.MALFORMED]
    return SourceContent(
        rules=sum(report.rules + report.prefixes for report in reports),
        prefixes=sum(report.prefixes for report in reports),
        malformed=sum(report.complaints for report in reports),
        has_dots=any(report.has_dots for report in reports),
        no_list=next((report.no_list for report in reports if report.no_list), ""),
        example=examples[0] if examples else "",
    )


def by_source(reports: Iterable[FileReport]) -> dict[tuple[str, str], list[FileReport]]:
    """Sort reports by what the configuration names: (list, source) -> the reports on its files."""
    found: dict[tuple[str, str], list[FileReport]] = {}
    for report in reports:
        found.setdefault((report.list_name, report.source), []).append(report)
    return found


def totals(reports: Sequence[FileReport]) -> dict[str, int]:
    """Count skipped lines of each kind, malformed lines first, in several files together."""
    found: Counter[str] = Counter()
    for report in reports:
        found[SkippedKind.MALFORMED] += report.complaints
        found.update(report.skipped)
    return {kind: count for kind, count in found.items() if count}


def reports_to_json(reports: Sequence[FileReport]) -> str:
    """Write file reports, for another process."""
    return json.dumps([asdict(report) for report in reports])


def reports_from_json(text: str) -> list[FileReport]:
    """Read file reports that `reports_to_json` wrote."""
    return [
        FileReport(**(values | {"examples": [_complaint(**example) for example in values["examples"]]}))
        for values in json.loads(text)
    ]


_KINDS = frozenset(SkippedKind)


def _complaint(line: int, reason: str, kind: str) -> Complaint:
    return Complaint(line, reason, SkippedKind(kind) if kind in _KINDS else kind)
