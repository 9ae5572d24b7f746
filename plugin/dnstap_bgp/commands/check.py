"""`dnstap-bgp check`: everything that is wrong with a configuration file and its lists, at once."""

import grp
import pwd
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dnstap_bgp import config as configuration
from dnstap_bgp.config import Config, asked
from dnstap_bgp.core.lists import counts
from dnstap_bgp.core.lists.formats import Kind
from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.core.model import Prefix
from dnstap_bgp.core.routes import remedies
from dnstap_bgp.core.routes.policies import Policies
from dnstap_bgp.core.state.records import prefix_text
from dnstap_bgp.errors import ConfigError, ListenerError, Problem
from dnstap_bgp.workers.lists.copies import Copies
from dnstap_bgp.workers.lists.files import SourceReport, totals
from dnstap_bgp.workers.lists.loader import compiled_dir
from dnstap_bgp.workers.lists.sources import Built, build_here, plan

LINES_TOLD = 1000
"""Bad lines of each list file: more are one mistake, such as a file in another format, and only counted."""

PREFIXES_TOLD = 20
"""Refused static prefixes of sources, one by one; the rest is only counted, unless every line is asked for."""

LINES_TOLD_ALL = 1_000_000
"""The same where every line is asked for."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    Attributes:
        errors: What has to be put right; each names its file and its key or line.
        warnings: What works and is worth a thought.
        summary: What is in order, one sentence each.
        details: Lines of lists that give no rule and are not wrong: all, where that was asked for.
    """

    errors: tuple[Problem, ...]
    warnings: tuple[str, ...]
    summary: tuple[str, ...]
    details: tuple[Problem, ...] = ()

    @property
    def exit_status(self) -> int:
        """0, or 1 where there is an error."""
        return 1 if self.errors else 0

    def lines(self) -> list[str]:
        """The report as a person reads it."""
        return [
            *(f"skipped: {problem}" for problem in self.details),
            *(f"error: {problem}" for problem in self.errors),
            *(f"warning: {warning}" for warning in self.warnings),
            *self.summary,
        ]


def run(path: Path, *, verbose: bool = False) -> Report:
    """Check a configuration file, its lists, and what it wants of this system.

    Neighbors that are host names are looked up, which blocks for as long as that takes.

    Args:
        path: The configuration file.
        verbose: Tell every line of a list that gives no rule.
    """
    errors: list[Problem] = []
    warnings: list[str] = []
    config: Config | None = None
    try:
        config = configuration.load(path)
    except ConfigError as error:
        errors += error.problems
    else:
        errors += _accounts(config)
        errors += _certificates(config)
        warnings += config.warnings
        wrong, worth_a_thought = _speaker(config)
        errors += wrong
        warnings += worth_a_thought
    lists = _lists(configuration.list_sources(path), config, verbose=verbose)
    errors += lists.errors
    summary = () if errors or config is None else (f"{path}: good", *lists.summary, _opened(config))
    return Report(tuple(errors), (*warnings, *lists.warnings), summary, lists.details)


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


def _certificates(config: Config) -> Iterator[Problem]:
    """Say which file of the tap's TLS can't be used."""
    if not config.dnstap.speaks_tls:
        return
    from dnstap_bgp.workers.tap.tls import Tls  # noqa: PLC0415 - ssl takes 5 MB, and few have it

    try:
        Tls(config.dnstap)
    except ListenerError as error:
        yield Problem(f"{config.path}: dnstap", str(error))


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


def _opened(config: Config) -> str:
    """Say what the guard keeps, which surprises whoever tries this in a lab."""
    told = "guard: addresses of private, documentation and other special-purpose space never become routes"
    opened = {"[guard]": config.guard.allow} | {f"list {found.name}": found.allow for found in config.lists}
    allowed = [f"{', '.join(map(str, networks))} ({where})" for where, networks in opened.items() if networks]
    return f"{told}{', but for ' + ', '.join(allowed) if allowed else '; [guard] allow = [...] opens it'}"


def _lists(lists: Sequence[ListSource], config: Config | None, *, verbose: bool) -> Report:
    """Read all lists: the problems of their files and lines, and what they hold."""
    told = LINES_TOLD_ALL if verbose else LINES_TOLD
    kept = Copies(compiled_dir(config)) if config is not None else None
    built = build_here(plan(lists, kept), complaints_kept=told, tell_skipped=verbose)
    errors = [problem for report in built.reports for problem in _errors(report)]
    files = [report for report in built.reports if not report.pending]
    if files and not errors and not len(built.rules) and not any(built.prefixes.values()):
        errors.append(Problem(", ".join(report.path for report in files), "there is no rule in any list"))
    return Report(
        tuple(errors),
        (
            *(warning for report in built.reports for warning in _warnings(report, verbose=verbose)),
            *(_refused(config, built.prefixes, told if verbose else PREFIXES_TOLD) if config is not None else ()),
        ),
        tuple(_held(built, source) for source in lists),
        tuple(problem for report in built.reports for problem in _details(report)) if verbose else (),
    )


def _held(built: Built, source: ListSource) -> str:
    held = counts.held(built.rules.counts[source.name], len(built.prefixes[source.name]) + source.prefixes)
    return f"list {source.name}: {held}"


def _refused(config: Config, prefixes: Mapping[str, Sequence[Prefix]], at_most: int) -> Iterator[str]:
    """Say which static prefixes of sources the guard keeps; those of the file itself are told with it."""
    refused = Policies(config.policies(), asked.guard(config), prefixes=prefixes).refused
    for found in refused[:at_most]:
        said = remedies.sentence(found.reason, found.prefix)
        yield f"list {found.list}: {prefix_text(found.prefix)} is not announced: {said}"
    if len(refused) > at_most:
        yield f"{len(refused)} static prefixes are not announced in all (`check -v` tells each)"


def _from_url(report: SourceReport) -> bool:
    """Whether its lines can't be mended here."""
    return report.path != report.file


def _errors(report: SourceReport) -> Iterator[Problem]:
    """What has to be put right."""
    if report.error:
        yield Problem(report.path, report.error)
    if report.complaints and not _from_url(report):
        bad = [one for one in report.examples if one.kind is Kind.MALFORMED]
        yield from (Problem(f"{report.path}:{one.line}", one.reason) for one in bad)
        if report.complaints > len(bad):
            yield Problem(report.path, f"{report.complaints - len(bad)} more lines like these")


def _warnings(report: SourceReport, *, verbose: bool) -> Iterator[str]:
    """What nobody here can put right."""
    if report.pending:
        yield f"{report.path}: not fetched yet: the running plugin does that"
        return
    skipped = totals([report])
    if not _from_url(report):
        skipped.pop(Kind.MALFORMED, None)
    if skipped:
        hint = "" if verbose else "; `check -v` shows each line"
        yield f"{report.path}: skipped, as no rule on names can say it: {counts.skipped(skipped)}{hint}"


def _details(report: SourceReport) -> Iterator[Problem]:
    for one in report.examples:
        if one.kind is not Kind.MALFORMED or _from_url(report):
            yield Problem(f"{report.path}:{one.line}", f"{one.kind}: {one.reason}")
