"""`dnstap-bgp check`: everything that is wrong with a configuration file and its lists, at once."""

import grp
import pwd
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dnstap_bgp import config as configuration
from dnstap_bgp.config import Config
from dnstap_bgp.errors import ConfigError, Problem
from dnstap_bgp.workers.sources import ListSource, SourceReport, build_here

LINES_TOLD = 1000
"""Bad lines of each list file: more are one mistake, such as a file in another format, and only counted."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    Attributes:
        errors: What has to be put right; each names its file and its key or line.
        warnings: What works and is worth a thought.
        summary: What is in order, one sentence each.
    """

    errors: tuple[Problem, ...]
    warnings: tuple[str, ...]
    summary: tuple[str, ...]

    @property
    def exit_status(self) -> int:
        """0, or 1 where there is an error."""
        return 1 if self.errors else 0

    def lines(self) -> list[str]:
        """The report as a person reads it."""
        return [
            *(f"error: {problem}" for problem in self.errors),
            *(f"warning: {warning}" for warning in self.warnings),
            *self.summary,
        ]


def run(path: Path) -> Report:
    """Check a configuration file, its lists, and what it wants of this system.

    Neighbors that are host names are looked up, which blocks for as long as that takes.

    Args:
        path: The configuration file.
    """
    errors: list[Problem] = []
    warnings: list[str] = []
    try:
        config = configuration.load(path)
    except ConfigError as error:
        errors += error.problems
    else:
        errors += _accounts(config)
        warnings += config.warnings
        wrong, worth_a_thought = _speaker(config)
        errors += wrong
        warnings += worth_a_thought
    wrong, summary = _lists(configuration.list_files(path))
    return Report((*errors, *wrong), tuple(warnings), () if errors or wrong else (f"{path}: good", *summary))


def _accounts(config: Config) -> Iterator[Problem]:
    """Say which user and group this system doesn't have."""
    for key, name, find in (
        ("process.user", config.process.user, pwd.getpwnam),
        ("dnstap.group", config.dnstap.group, grp.getgrnam),
    ):
        if name is None or name.isdecimal():
            continue
        try:
            find(name)
        except KeyError:
            yield Problem(f"{config.path}: {key}", f"there is no {name!r} on this system")


def _speaker(config: Config) -> tuple[list[Problem], list[str]]:
    """Check what only `up` and `exabgp-conf` need; a file for an operator's own exabgp.conf may leave it out."""
    if config.bgp.as_number is None and not config.bgp.neighbors:
        return [], ["bgp.as and bgp.peers are missing: enough under an ExaBGP of your own, not for `dnstap-bgp up`"]
    try:
        config = config.resolve()
    except ConfigError as error:  # a name server may be away for now
        return [], list(map(str, error.problems))
    try:
        config.require_speaker()
    except ConfigError as error:
        return error.problems, []
    return [], []


def _lists(lists: Sequence[tuple[str, tuple[Path, ...]]]) -> tuple[list[Problem], list[str]]:
    """Read all lists; the problems of their files and lines, and what they hold."""
    if not lists:
        return [], []
    rules, reports = build_here([ListSource(name, paths) for name, paths in lists], complaints_kept=LINES_TOLD)
    problems = [problem for report in reports for problem in _problems(report)]
    if not problems and not len(rules):
        problems.append(Problem(", ".join(report.path for report in reports), "there is no rule in any list"))
    return problems, [f"list {name}: {count} rules" for name, count in rules.counts.items()]


def _problems(report: SourceReport) -> Iterator[Problem]:
    yield from report.problems()
    untold = report.complaints - len(report.examples)
    if untold:
        yield Problem(report.path, f"{untold} more lines like these")
