"""The child process that reads list files and compiles their rules; no threads. Commands do the same work in their own.

Building the trie of a million names holds the GIL for seconds, in which the tap would stand still. So a child does it:
the job comes as JSON on stdin, the compiled set goes with the reports on its sources into an open file.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from dnstap_bgp.core.lists.compiled import pack, unpack
from dnstap_bgp.core.lists.formats import lost_format
from dnstap_bgp.core.lists.lines import Complaint, FileLines, Include, Read, SkippedKind, read_bulk
from dnstap_bgp.core.lists.pattern_rules import with_patterns
from dnstap_bgp.core.lists.patterns import EXPRESSIONS_MAX, KEYWORDS_MAX, Pattern, PatternKind
from dnstap_bgp.core.lists.plausibility import covered_share
from dnstap_bgp.core.lists.rules import PublicSuffixes, Rule, RuleBatch, RuleSet
from dnstap_bgp.core.lists.source import UrlPrefixes
from dnstap_bgp.core.model import Prefix
from dnstap_bgp.core.text import count_text, prefix_text
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists.compile_job import NOTHING_BEFORE, TIME_LIMIT_S, Before, about
from dnstap_bgp.workers.lists.contents import Content, Shelf, contents
from dnstap_bgp.workers.lists.file_reports import FileReport, reports_to_json
from dnstap_bgp.workers.lists.files import PATTERNS_USED, PATTERNS_WAITING, Plan, SourceFile
from dnstap_bgp.workers.lists.pattern_costs import costly

NICENESS = 10
"""The tap and BGP come first: a list is in force a little later."""

RULES_MAX = 4_000_000
"""Rules in all lists together; they take 1 GB in the child while it builds."""

PREFIXES_MAX = 200_000
"""Static prefixes in all lists together: each is a route at once, and the default cap is half of this."""

COMPLAINTS_KEPT = 20
"""Bad lines of each source that are told; the rest is counted: a whole file in another format is one mistake."""


READING_CPU_S = 80.0
"""CPU time for reading all files: twice what four million slow lines take. Each may take half of what is left, together
with all that it includes: were those for themselves, a dozen of them would leave the other lists nothing."""


LOST_MAX = 1_000_000
"""Lines of a file, or parts of one, that give no rule, repeated prefixes included: three times those of the longest
filter lists. A line of two bytes costs as much as another, 10 us, and a file has room for 100,000,000."""

LOST_LINE_BYTES = 1024
"""Of a line that is looked at to tell which format lost it."""

_LINES_BETWEEN_LOOKS = 1024  # at the clock: 0.1 s of the slowest lines

_PATTERNS_MAX = {PatternKind.KEYWORD: KEYWORDS_MAX, PatternKind.EXPRESSION: EXPRESSIONS_MAX}

_MAY_BE_LOST = frozenset({SkippedKind.MALFORMED, SkippedKind.DIRECTIVE})


class Built(NamedTuple):
    """The rules and prefixes of all sources.

    Attributes:
        rules: Of all files that could be used.
        prefixes: List name -> its static prefixes, sorted, each once.
        reports: Of each file.
    """

    rules: RuleSet
    prefixes: dict[str, tuple[Prefix, ...]]
    reports: list[FileReport]


def build_lists(
    files: Plan,
    before: Before = NOTHING_BEFORE,
    *,
    complaints_kept: int = COMPLAINTS_KEPT,
    tell_skipped: bool = False,
    public_suffixes: PublicSuffixes | None = None,
) -> Built:
    """Read and build lists in this process; 5 s for a million rules, in which other threads hardly run.

    A file that takes too long costs the other lists nothing: its list keeps the rules that were in force.

    Args:
        files: As `plan` gives them.
        before: What was in force.
        complaints_kept: How many lines of each file to tell.
        tell_skipped: Tell also what was right and nothing that rules can say.
        public_suffixes: See `RuleSet.build`; None where nobody asks for owners.
    """
    reader = _Reader(complaints_kept, before, tell_skipped=tell_skipped)
    built = reader.build([(name, reader.rules(name, found)) for name, found in files.items()], public_suffixes)
    slow = {report.list_name for report in built.reports if report.is_slow}
    if not slow:
        return built
    # Its lines are in the set already, half of them: all is read again, but for the lists with a slow file.
    again = _Reader(complaints_kept, before, tell_skipped=tell_skipped)
    rules, prefixes, patterns = _in_force(before.compiled, slow)
    for report in built.reports:
        report.is_kept = report.list_name in rules
    for name, kept in patterns.items():
        again.keep(name, kept)
    again.prefixes.update({name: set(prefixes.get(name, ())) for name in slow})
    rebuilt = again.build(
        [(name, rules.get(name, ()) if name in slow else again.rules(name, found)) for name, found in files.items()],
        public_suffixes,
    )
    return rebuilt._replace(reports=built.reports)


def _in_force(
    compiled: str | None, lists: AbstractSet[str]
) -> tuple[dict[str, Iterator[Rule]], dict[str, tuple[Prefix, ...]], dict[str, Sequence[Pattern]]]:
    """Read rules, prefixes and patterns of some lists out of the compiled file in force; none, if it can't be read."""
    if compiled is None:
        return {}, {}, {}
    try:
        rules, prefixes, _ = unpack(memoryview(Path(compiled).read_bytes()))
    except (OSError, ListError):
        return {}, {}, {}
    there = [name for name in rules.list_names if name in lists]
    return {name: rules.of_list(name) for name in there}, prefixes, {name: rules.patterns_of(name) for name in there}


def inspect(places: Sequence[SourceFile]) -> list[FileReport]:
    """Read files only to count what they give."""
    reader = _Reader(COMPLAINTS_KEPT, follow=False)
    for _ in reader.rules("", places):
        pass
    return reader.reports


def main() -> int:
    """Do one job: `compile_child.py FD < job > failure`, where a failure is why the result couldn't be written."""
    signal.alarm(TIME_LIMIT_S)
    os.nice(NICENESS)
    try:
        work = json.load(sys.stdin)
    except json.JSONDecodeError:
        return 1  # whoever started us has ended before all of the job was written, and nobody waits for a word
    if len(sys.argv) == 1:
        sys.stdout.write(reports_to_json(inspect([_source_file(one) for one in work])))
        return 0
    files = {name: tuple(map(_source_file, found)) for name, found in work["files"]}
    before = Before(*work["before"])
    before = before._replace(unknown=tuple((name, source) for name, source in before.unknown))
    built = build_lists(files, before, public_suffixes=_public_suffixes())
    try:
        with os.fdopen(int(sys.argv[1]), "wb") as output:
            output.write(pack(built.rules, built.prefixes, about(built.reports)))
    except OSError as error:
        sys.stdout.write(str(error))
    return 0


def _public_suffixes() -> PublicSuffixes:
    """Load the Public Suffix List, private domains such as `github.io` included; 0.2 s and 5 MB, for this process."""
    from publicsuffixlist import PSLFILE, PublicSuffixList  # noqa: PLC0415 - heavy, and needed here only

    lines = Path(PSLFILE).read_text("utf-8").splitlines()
    # Up to the first blank, as the list's format has it; comments are lines of their own.
    entries = [line.split()[0] for line in lines if line.strip() and not line.startswith("//")]
    return PublicSuffixes(PublicSuffixList(lines).is_public, [_in_ascii(entry.lower()) for entry in entries])


def _in_ascii(entry: str) -> str:
    return entry if entry.isascii() else entry.encode("idna").decode("ascii")


def _source_file(values: Sequence[Any]) -> SourceFile:
    """Read a file of a job, whose tuples JSON has made lists."""
    file = SourceFile(*values)
    return file._replace(url_prefixes=None if file.url_prefixes is None else UrlPrefixes(*file.url_prefixes))


class _Reader:
    """Reader of lists one after the other, within limits that hold for all together."""

    def __init__(
        self,
        complaints_kept: int,
        before: Before = NOTHING_BEFORE,
        *,
        tell_skipped: bool = False,
        follow: bool = True,
    ) -> None:
        self.reports: list[FileReport] = []
        self.prefixes: dict[str, set[Prefix]] = {}
        self._complaints_kept = complaints_kept
        self._unknown = frozenset(before.unknown)
        self._read_plan = before.read_plan
        self._tell_skipped = tell_skipped
        self._follow = follow
        self._cpu_s = READING_CPU_S
        self._rules = 0
        self._prefixes = 0
        self._of_urls: dict[str, set[Prefix]] = {}
        self._compiled = before.compiled
        self._before: dict[str, frozenset[Prefix]] | None = None  # read when it is asked for
        self._lines_of: FileLines | None = None  # of the file that is read now; None: it is a document
        self._place = 0  # in that document
        self._lost = 0  # parts of the file that gave no rule
        self._shelf = Shelf()
        self._patterns: list[tuple[str, Pattern, FileReport | None, int]] = []  # list, pattern, and where it stands
        self._different: dict[PatternKind, set[str]] = {kind: set() for kind in PatternKind}

    def build(
        self, lists: Sequence[tuple[str, Iterable[Rule | RuleBatch]]], public_suffixes: PublicSuffixes | None = None
    ) -> Built:
        """Build a set of lists, which are read meanwhile."""
        rules = with_patterns(RuleSet.build(lists, public_suffixes), self._accepted(lists), public_suffixes)
        return Built(rules, {name: tuple(sorted(self.prefixes[name])) for name, _ in lists}, self.reports)

    def keep(self, list_name: str, patterns: Iterable[Pattern]) -> None:
        """Take patterns that are in force already."""
        self._patterns += [(list_name, pattern, None, 0) for pattern in patterns]

    def _accepted(self, lists: Sequence[tuple[str, Iterable[Rule | RuleBatch]]]) -> list[tuple[int, Pattern]]:
        """Give the patterns of all lists but for expressions that would cost too much, which their files tell."""
        numbers = {name: number for number, (name, _) in enumerate(lists)}
        found = [(numbers[name], pattern) for name, pattern, _, _ in self._patterns]
        left_out = set(costly(found))
        for _, pattern, report, place in self._patterns if left_out else ():
            if pattern in left_out and report is not None:
                report.rules -= 1
                report.skipped[SkippedKind.COSTLY] = report.skipped.get(SkippedKind.COSTLY, 0) + 1
                report.examples.append(Complaint(place, f"`{pattern}`", SkippedKind.COSTLY))
        return [one for one in found if one[1] not in left_out]

    def rules(self, list_name: str, files: Sequence[SourceFile]) -> Iterator[Rule | RuleBatch]:
        """Read one list."""
        prefixes = self.prefixes.setdefault(list_name, set())
        deadline, began = 0.0, time.process_time()
        for file in contents(list_name, files, follow=self._follow, shelf=self._shelf, read_plan=self._read_plan):
            self.reports.append(file.report)
            if not file.report.included:
                deadline = began + self._cpu_s / 2  # from before it was opened and unpacked
            yield from self._rules_of(file, prefixes, deadline)
            if file.report.included and _is_late(file, deadline):
                file.end_walk()  # to open a thousand others takes too long as well
            ended = time.process_time()
            self._cpu_s -= ended - began
            began = ended

    def _rules_of(self, file: Content, prefixes: set[Prefix], deadline: float) -> Iterator[Rule | RuleBatch]:
        report = file.report
        room = self._room(report)
        given: set[Prefix] = set()
        self._lost = 0
        items = (
            self._document(file, deadline) if file.is_document else read_bulk(self._lines(file, deadline), file.form)
        )
        for item in items:
            if type(item) is RuleBatch:
                if not (yield from self._fitting(report, item)):
                    break
                continue
            if type(item) is Rule:
                if report.rules >= room:
                    report.error = _too_many_rules()
                    break
                report.rules += 1
                yield item
                continue
            if isinstance(item, Include):
                file.include(item)
            elif isinstance(item, Complaint):
                self._note(report, item)
            elif isinstance(item, bytes | Pattern) and not self._take_either(file, item, given):
                break
            if self._lost > LOST_MAX:
                report.error = f"more than {LOST_MAX} lines, or parts of one, that give no rule"
                break
        self._give(file, given, prefixes)
        self._rules += report.rules
        # A word without a dot is a rule, and all that many an error page has.
        gives = report.prefixes or (report.rules and report.has_dots)
        gives_nothing = not (gives or report.included or report.pending)
        is_unknown = (report.list_name, report.source) in self._unknown
        report.unproven = gives_nothing and (is_unknown or (report.error is not None and not report.is_slow))
        file.free()

    def _room(self, report: FileReport) -> int:
        """Tell how many more rules and patterns the file that is read now may give; repeated ones count as well."""
        return max(0, RULES_MAX - self._rules - report.rules)

    def _fitting(self, report: FileReport, batch: RuleBatch) -> Generator[RuleBatch, None, bool]:
        """Give of a batch what there is room for, and nothing where there is none; return True if it was all."""
        domains = batch.domains[: self._room(report)]
        report.rules += len(domains)
        if domains:
            yield replace(batch, domains=domains)
        if len(domains) == len(batch.domains):
            return True
        report.error = _too_many_rules()
        return False

    def _take(self, file: Content, pattern: Pattern) -> bool:
        """Take a pattern, or count it where patterns don't count; False: there are too many."""
        report = file.report
        if file.file.patterns != PATTERNS_USED:
            report.waiting += file.file.patterns == PATTERNS_WAITING
            kind = SkippedKind.KEYWORD if pattern.kind is PatternKind.KEYWORD else SkippedKind.REGEXP
            self._note(report, Complaint(self._where(), f"`{pattern}`: patterns don't count in this list", kind))
            return True
        different, most = self._different[pattern.kind], _PATTERNS_MAX[pattern.kind]
        different.add(pattern.text)
        if len(different) > most:
            report.error = f"more than {most} {pattern.kind.name.lower()}s in all lists"
            return False
        if not self._room(report):
            report.error = _too_many_rules()
            return False
        report.rules += 1
        self._patterns.append((report.list_name, pattern, report, self._where()))
        return True

    def _take_either(self, file: Content, item: Prefix | Pattern, given: set[Prefix]) -> bool:
        """Take a pattern or a static prefix, the latter where its source may give it; False: there are too many."""
        if isinstance(item, Pattern):
            return self._take(file, item)
        if self._prefixes + len(given) >= PREFIXES_MAX:
            file.report.error = f"more than {PREFIXES_MAX} static prefixes in all lists"
            return False
        if self._may_give(file, item):
            file.report.prefixes += 1
            self._lost += item in given
            given.add(item)
        return True

    def _may_give(self, file: Content, prefix: Prefix) -> bool:
        """Tell whether a source may give a static prefix; what a URL may not is counted."""
        limits = file.file.url_prefixes
        if limits is None:
            return True
        length = prefix[-1] if len(prefix) in (5, 17) else 8 * len(prefix)
        shortest = limits.min_ipv4 if len(prefix) <= 5 else limits.min_ipv6
        if limits.allowed is not False and (length >= shortest or self._is_kept(file, prefix)):
            return True
        reason = (
            f"a URL of this list gives no prefixes (prefixes_from_urls), {prefix_text(prefix)}"
            if limits.allowed is False
            else f"shorter than /{shortest}, the least that a URL may give (prefix_min_ipv{4 if length <= 32 else 6})"
        )
        self._note(file.report, Complaint(self._where(), reason, SkippedKind.PREFIX))
        return False

    def _is_kept(self, file: Content, prefix: Prefix) -> bool:
        """Tell whether a prefix is in force from before, where the configuration doesn't say whether it may."""
        limits = file.file.url_prefixes
        if limits is None or limits.allowed is not None:
            return False
        if self._before is None:
            self._before = {name: frozenset(found) for name, found in _in_force(self._compiled, frozenset())[1].items()}
        return prefix in self._before.get(file.report.list_name, ())

    def _give(self, file: Content, given: set[Prefix], prefixes: set[Prefix]) -> None:
        """Add the static prefixes of a file to those of its list, unless URLs would cover too much with them."""
        report, limits = file.report, file.file.url_prefixes
        if limits is not None and given:
            of_urls = self._of_urls.setdefault(report.list_name, set())
            share = covered_share(of_urls | given)
            if share > limits.share_max and not all(self._is_kept(file, prefix) for prefix in given):
                report.wide = (
                    f"with its {count_text(report.prefixes, 'static prefix', 'static prefixes')} the list's URLs cover"
                    f" {share:.1%} of an address space, {limits.share_max:.1%} are allowed (prefix_share_max)"
                )
                report.prefixes = 0
                return
            of_urls |= given
            report.new_prefixes = limits.allowed is None and not file.form.is_of_prefixes
        self._prefixes += len(given - prefixes)
        prefixes |= given

    def _lines(self, file: Content, deadline: float) -> Iterator[bytes | RuleBatch]:
        """Give the lines, simple ones together, until a deadline; each is asked for when the one before is done."""
        self._lines_of = FileLines(file.data, file.form)
        for count, line in enumerate(self._lines_of.bulk()):
            if (type(line) is RuleBatch or not count % _LINES_BETWEEN_LOOKS) and _is_late(file, deadline):
                return
            yield line

    def _document(self, file: Content, deadline: float) -> Iterator[Read]:
        """Give the items of a file that is read as a whole, until a deadline."""
        self._lines_of = None
        for count, (place, item) in enumerate(file.document()):
            if not count % _LINES_BETWEEN_LOOKS and _is_late(file, deadline):
                return
            self._place = place
            yield item

    def _note(self, report: FileReport, complaint: Complaint) -> None:
        self._lost += 1
        malformed = complaint.kind is SkippedKind.MALFORMED
        if malformed:
            report.complaints += 1
        else:
            report.skipped[complaint.kind] = report.skipped.get(complaint.kind, 0) + 1
        if complaint.kind in _MAY_BE_LOST:
            line = self._lines_of.line if self._lines_of is not None else b""
            lost = lost_format(line[:LOST_LINE_BYTES].strip())
            if lost is not None and lost != report.format:
                report.lost[lost] = report.lost.get(lost, 0) + 1
        if (malformed or self._tell_skipped) and len(report.examples) < self._complaints_kept:
            report.examples.append(replace(complaint, line=self._where()))

    def _where(self) -> int:
        """Tell the number of the line that is read now, or the place in its document."""
        return self._place if self._lines_of is None else self._lines_of.number


def _too_many_rules() -> str:
    return f"more than {RULES_MAX} rules in all lists"


def _is_late(file: Content, deadline: float) -> bool:
    if time.process_time() <= deadline:
        return False
    file.report.error = "reading it takes too long, so its list keeps what it had"
    file.report.is_slow = True
    return True


if __name__ == "__main__":
    sys.exit(main())
