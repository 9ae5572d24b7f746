"""`dnstap-bgp check`: everything that is wrong with a configuration file and its lists, at once."""

import grp
import pwd
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from dnstap_bgp import config as configuration
from dnstap_bgp.commands import exposure
from dnstap_bgp.commands.options import config_option
from dnstap_bgp.commands.printing import say
from dnstap_bgp.config import Config, UnixAddress, exabgp_sessions, policies
from dnstap_bgp.core.lists import rules
from dnstap_bgp.core.lists.lines import SkippedKind
from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.core.model import Prefix
from dnstap_bgp.core.routes import refusal_texts
from dnstap_bgp.core.routes.policy import Policies
from dnstap_bgp.core.text import count_text, prefix_text
from dnstap_bgp.errors import ConfigError, Problem
from dnstap_bgp.workers.lists.compile_child import Built, build_lists
from dnstap_bgp.workers.lists.file_reports import FileReport, totals, unsaid_prefixes, waiting_patterns
from dnstap_bgp.workers.lists.files import plan
from dnstap_bgp.workers.lists.loader import compiled_dir, waiting_in
from dnstap_bgp.workers.lists.url_cache import UrlCache
from dnstap_bgp.workers.net.certificates import unusable_certificates

LINES_TOLD = 1000
"""Bad lines of each list file: more are one mistake, such as a file in another format, and only counted."""

PREFIXES_TOLD = 20
"""Refused static prefixes of sources, one by one; the rest is only counted, unless every line is asked for."""

LINES_TOLD_ALL = 1_000_000
"""The same where every line is asked for."""


@click.command("check")
@config_option
@click.option("--verbose", "-v", is_flag=True, help="Tell every line of a list that gives no rule.")
def command(config_path: Path, *, verbose: bool) -> None:
    """Say everything that is wrong with a configuration and its lists.

    Every error at once, each with its file and its key or line, then warnings. Exit status 1 where there is an error.

    What a list has and rules on names can't say (cosmetic filters, filters with options, expressions over URLs) is no
    error: it is counted, and told line by line with -v. Nothing is fetched: of URLs the last copies count.

    \b
    Examples:
        dnstap-bgp check --config ./dnstap-bgp.toml
        dnstap-bgp check -v | grep skipped
    """  # noqa: D301 - click wants a real \b
    report = run(config_path, verbose=verbose)
    for line in report.lines():
        say(line)
    sys.exit(report.exit_status)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Errors, warnings and a summary of one check.

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
        """Exit status: 0, or 1 where there is an error."""
        return 1 if self.errors else 0

    def lines(self) -> list[str]:
        """Write the report as a person reads it."""
        return [
            *(f"skipped: {problem}" for problem in self.details),
            *(f"error: {problem}" for problem in self.errors),
            *(f"warning: {warning}" for warning in self.warnings),
            *self.summary,
        ]


def run(path: Path, *, verbose: bool = False) -> CheckReport:
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
        errors += [Problem(f"{config.path}: {table}", text) for table, text in unusable_certificates(config)]
        warnings += config.warnings
        wrong, worth_a_thought = _speaker(config)
        errors += wrong
        warnings += worth_a_thought
        warnings += exposure.warnings(config, config.list_sources())
        warnings += _missing(config)
    lists = _lists(configuration.list_sources(path), config, verbose=verbose)
    errors += lists.errors
    summary = () if errors or config is None else (f"{path}: good", *lists.summary, _opened(config))
    return CheckReport(tuple(errors), (*warnings, *lists.warnings), summary, lists.details)


def _missing(config: Config) -> Iterator[str]:
    """Tell what is not there and mostly should be: folders, but for the runtime folder, which is made; and keys."""
    folders = {"cache": config.cache.parent} if config.cache is not None else {}
    for address in config.dnstap.listen:
        if isinstance(address, UnixAddress):
            folders[f"dnstap.listen {address.path}"] = address.path.parent
    for key, folder in folders.items():
        if not folder.exists() and folder != config.runtime_dir:
            yield f"{key}: there is no folder {folder}: unless a unit makes it at the start, nothing opens this"
    if config.cache is None:
        yield "cache is missing: what is learnt is lost with each restart"
    if config.bgp.neighbors and config.bgp.source_ip is None:
        yield "bgp.source_ip is missing: each router has to know us by the address that this system chooses for it"


def _accounts(config: Config) -> Iterator[Problem]:
    """Give each configured user and group that this system doesn't have."""
    for key, name, find in (
        ("process.user", config.process.user, pwd.getpwnam),
        ("dnstap.group", config.dnstap.group, grp.getgrnam),
        ("hold.group", config.hold.group if config.hold is not None else None, grp.getgrnam),
    ):
        if name is None or name.isdecimal():
            continue
        try:
            find(name)
        except KeyError:
            yield Problem(f"{config.path}: {key}", f"there is no {name!r} on this system")


def _speaker(config: Config) -> tuple[list[Problem], list[str]]:
    """Check the keys that only `up` and `exabgp-conf` need; under an operator's own exabgp.conf they may be missing."""
    if config.bgp.as_number is None and not config.bgp.neighbors:
        return [], ["bgp.as and bgp.peers are missing: enough under an ExaBGP of your own, not for `dnstap-bgp up`"]
    try:
        config = exabgp_sessions.look_up_neighbors(config)
    except ConfigError as error:  # a name server may be away for now
        return [], list(map(str, error.problems))
    try:
        exabgp_sessions.speaker(config)
    except ConfigError as error:
        return error.problems, []
    return [], []


def _opened(config: Config) -> str:
    """Tell the special-purpose space that the guard keeps from becoming routes, which surprises in a lab."""
    told = "guard: addresses of private, documentation and other special-purpose space never become routes"
    opened = {"[guard]": config.guard.allow} | {f"list {found.name}": found.allow for found in config.lists}
    allowed = [f"{', '.join(map(str, networks))} ({where})" for where, networks in opened.items() if networks]
    return f"{told}{', but for ' + ', '.join(allowed) if allowed else '; [guard] allow = [...] opens it'}"


def _lists(lists: Sequence[ListSource], config: Config | None, *, verbose: bool) -> CheckReport:
    """Read all lists: the problems of their files and lines, and what they hold."""
    told = LINES_TOLD_ALL if verbose else LINES_TOLD
    url_cache = UrlCache(compiled_dir(config)) if config is not None else None
    waiting = waiting_in(compiled_dir(config)) if config is not None else frozenset[str]()
    built = build_lists(plan(lists, url_cache, waiting), complaints_kept=told, tell_skipped=verbose)
    errors = [problem for report in built.reports for problem in _errors(report)]
    files = [report for report in built.reports if not report.pending]
    if files and not errors and not len(built.rules) and not any(built.prefixes.values()):
        errors.append(Problem(", ".join(report.path for report in files), "there is no rule in any list"))
    return CheckReport(
        tuple(errors),
        (
            *unsaid_prefixes(built.reports),
            *waiting_patterns(built.reports),
            *(warning for report in built.reports for warning in _warnings(report, verbose=verbose)),
            *(_refused(config, built.prefixes, told if verbose else PREFIXES_TOLD) if config is not None else ()),
        ),
        tuple(_held(built, source) for source in lists),
        tuple(problem for report in built.reports for problem in _details(report)) if verbose else (),
    )


def _held(built: Built, source: ListSource) -> str:
    held = rules.size_text(built.rules.counts[source.name], len(built.prefixes[source.name]) + source.prefixes)
    return f"list {source.name}: {held}"


def _refused(config: Config, prefixes: Mapping[str, Sequence[Prefix]], at_most: int) -> Iterator[str]:
    """Tell the static prefixes of sources that the guard refuses; those of the configuration are told with it."""
    refused = Policies(policies.list_policies(config), policies.guard(config), prefixes=prefixes).refused
    for found in refused[:at_most]:
        said = refusal_texts.sentence(found.reason, found.prefix)
        yield f"list {found.list}: {prefix_text(found.prefix)} is not announced: {said}"
    if len(refused) > at_most:
        yield f"{len(refused)} static prefixes are not announced in all (`check -v` tells each)"


def _from_url(report: FileReport) -> bool:
    """Tell whether a source came by URL, so that its lines can't be mended here."""
    return report.path != report.file


def _errors(report: FileReport) -> Iterator[Problem]:
    """Give the problems of a source that have to be put right."""
    if report.error:
        yield Problem(report.path, report.error)
    if report.no_list:
        yield Problem(report.path, f"it is {report.no_list}")
    if report.complaints and not _from_url(report):
        bad = [one for one in report.examples if one.kind is SkippedKind.MALFORMED]
        yield from (Problem(f"{report.path}:{one.line}", one.reason) for one in bad)
        if report.complaints > len(bad):
            yield Problem(report.path, f"{report.complaints - len(bad)} more lines like these")


def _warnings(report: FileReport, *, verbose: bool) -> Iterator[str]:
    """Give what a source has and nobody here can put right."""
    if report.pending:
        yield f"{report.path}: not fetched yet: the running plugin does that"
        return
    if not (report.rules or report.prefixes or report.error or report.no_list or report.complaints or report.included):
        yield f"{report.path}: there is no rule in it"
    if report.partial and (report.lost or _from_url(report)):
        yield f"{report.path}: read in part only: {report.partial}"
    elif report.complaints and _from_url(report):
        yield f"{report.path}: {count_text(report.complaints, 'malformed line')}: {report.examples[0].reason}"
    skipped = totals([report])
    skipped.pop(SkippedKind.MALFORMED, None)
    for name, count in report.lost.items():
        if not report.partial:
            yield f"{report.path}: {count_text(count, 'line')} of {name} skipped, as it is read as {report.format}"
    if skipped:
        hint = "" if verbose else "; `check -v` shows each line"
        yield f"{report.path}: skipped, as no rule on names can say it: {rules.skipped_text(skipped)}{hint}"


def _details(report: FileReport) -> Iterator[Problem]:
    for one in report.examples:
        if one.kind is not SkippedKind.MALFORMED or _from_url(report):
            yield Problem(f"{report.path}:{one.line}", f"{one.kind}: {one.reason}")
