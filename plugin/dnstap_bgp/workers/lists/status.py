"""What each list has and where it is from, for people; no thread. The plugin keeps it in `lists.json` for a command."""

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from dnstap_bgp.core.lists.formats import Kind
from dnstap_bgp.core.lists.source import ListSource, is_url
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.lists.copies import Copies, shown
from dnstap_bgp.workers.lists.files import SourceReport


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source of a list: a file, a glob's files together, or a URL.

    Attributes:
        source: As it is configured, without user and password.
        state: `ok`; `pending`: never fetched yet; `stale`: the last look failed, the copy is used; `held`: a newer
            version is held back; `error`: it can't be used.
        why: Of each state but `ok`.
        formats: That its files were read in.
        files: How many, included ones too.
        rules: That they gave, repeated ones included; what they give when the lists were refused.
        prefixes: Static prefixes, alike.
        skipped: Kind -> lines that gave no rule.
        changed: When its content is from, wall clock: the newest file's time, or the fetch; 0: unknown.
        checked: When the server last gave or confirmed it, wall clock; None: it is no URL.
    """

    source: str
    state: str
    why: str = ""
    formats: tuple[str, ...] = ()
    files: int = 0
    rules: int = 0
    prefixes: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    changed: float = 0.0
    checked: float | None = None


@dataclass(frozen=True, slots=True)
class ListStatus:
    """One list.

    Attributes:
        name: Its name.
        rules: Different rules in force.
        prefixes: Different static prefixes of its sources, in force, and those that the configuration itself has.
        sources: In order.
    """

    name: str
    rules: int
    prefixes: int
    sources: tuple[SourceStatus, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """All lists at one time.

    Attributes:
        at: Wall clock.
        refused: Why what the sources have now is not in force; None: it is.
        lists: In the configuration's order.
    """

    at: float
    refused: str | None
    lists: tuple[ListStatus, ...]

    def to_json(self) -> str:
        """Write it."""
        return json.dumps(asdict(self))


def take(
    lists: Iterable[ListSource],
    counts: Mapping[str, int],
    prefixes: Mapping[str, Sequence[bytes]],
    reports: Sequence[SourceReport],
    kept: Copies,
    *,
    refused: str | None = None,
) -> Status:
    """Put together what is known.

    Args:
        lists: The configuration's.
        counts: List name -> rules in force.
        prefixes: List name -> static prefixes in force.
        reports: Of the files.
        kept: The copies of URLs.
        refused: Why what the reports are of is not in force; None: it is.
    """
    found = tuple(
        ListStatus(
            source.name,
            counts.get(source.name, 0),
            len(prefixes.get(source.name, ())) + source.prefixes,
            tuple(_source(source.name, text, reports, kept) for text in source.sources),
        )
        for source in lists
    )
    return Status(time.time(), refused, found)


def from_json(text: str | bytes) -> Status:
    """Read what `to_json` wrote.

    Raises:
        CommandError: It is something else.
    """
    try:
        values: dict[str, Any] = json.loads(text)
        lists = tuple(
            ListStatus(
                one["name"], one["rules"], one["prefixes"], tuple(SourceStatus(**source) for source in one["sources"])
            )
            for one in values["lists"]
        )
        return Status(values["at"], values["refused"], lists)
    except (ValueError, TypeError, KeyError) as error:
        raise CommandError(f"this is no status of lists: {error}") from error


def _source(list_name: str, text: str, reports: Sequence[SourceReport], kept: Copies) -> SourceStatus:
    mine = [report for report in reports if report.list_name == list_name and report.source == text]
    skipped: dict[str, int] = {}
    for report in mine:
        for kind, count in {Kind.MALFORMED: report.complaints, **report.skipped}.items():
            if count:
                skipped[kind] = skipped.get(kind, 0) + count
    state, why = _state(text, mine, kept)
    known = kept.state(text) if is_url(text) else None
    return SourceStatus(
        source=shown(text) if is_url(text) else text,
        state=state,
        why=why,
        formats=tuple(dict.fromkeys(report.format for report in mine if report.format)),
        files=sum(not report.pending for report in mine),
        rules=sum(report.rules for report in mine),
        prefixes=sum(report.prefixes for report in mine),
        skipped=skipped,
        changed=known.fetched if known else max((_changed(report.file) for report in mine), default=0.0),
        checked=known.checked if known else None,
    )


def _state(text: str, reports: Sequence[SourceReport], kept: Copies) -> tuple[str, str]:
    errors = [f"{report.path}: {report.error}" for report in reports if report.error]
    if errors:
        return "error", errors[0]
    if not is_url(text):
        return "ok", ""
    known = kept.state(text)
    if any(report.pending for report in reports):
        return "pending", known.error or "not fetched yet"
    if known.held is not None:
        return "held", f"the new version {known.held.reason}; `dnstap-bgp reload --force` takes it"
    return ("stale", f"the last copy is used: {known.error}") if known.error else ("ok", "")


def _changed(file: str) -> float:
    try:
        return os.stat(file).st_mtime  # noqa: PTH116 - a report's file is text
    except OSError:
        return 0.0
