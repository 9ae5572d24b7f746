"""The status of each list for people: its content, its sources and their age; no thread."""

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from dnstap_bgp.core.lists.lines import SkippedKind
from dnstap_bgp.core.lists.source import ListSource, is_url
from dnstap_bgp.core.status.report import SourceStatus
from dnstap_bgp.workers.lists.file_reports import FileReport
from dnstap_bgp.workers.lists.source_copies import SourceKey
from dnstap_bgp.workers.lists.url_cache import UrlCache, UrlState, shown_url


@dataclass(frozen=True, slots=True)
class ListContent:
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
class ListsStatus:
    """All lists at one time.

    Attributes:
        at: Wall clock.
        refused: Why what the sources have now is not in force; None: it is.
        lists: In the configuration's order.
    """

    at: float
    refused: str | None
    lists: tuple[ListContent, ...]

    def to_json(self) -> str:
        """Write it."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Troubles:
    """Sources whose present content is not in force: why, and what is in force instead.

    Attributes:
        held: What they have is held back.
        failed: They can't be read.
    """

    held: Mapping[SourceKey, str] = field(default_factory=dict)
    failed: Mapping[SourceKey, str] = field(default_factory=dict)


_NO_TROUBLES = Troubles()


def take(
    lists: Iterable[ListSource],
    counts: Mapping[str, int],
    prefixes: Mapping[str, Sequence[bytes]],
    reports: Sequence[FileReport],
    url_cache: UrlCache,
    *,
    refused: str | None = None,
    troubles: Troubles = _NO_TROUBLES,
) -> ListsStatus:
    """Put together what is known.

    Args:
        lists: The configuration's.
        counts: List name -> rules in force.
        prefixes: List name -> static prefixes in force.
        reports: Of the files.
        url_cache: The copies of URLs.
        refused: Why what the reports are of is not in force; None: it is.
        troubles: Of the sources whose present content is not in force.
    """
    found = tuple(
        ListContent(
            source.name,
            counts.get(source.name, 0),
            len(prefixes.get(source.name, ())) + source.prefixes,
            tuple(_source(source, text, reports, url_cache, troubles) for text in source.sources),
        )
        for source in lists
    )
    return ListsStatus(time.time(), refused, found)


def _source(
    listed: ListSource, text: str, reports: Sequence[FileReport], url_cache: UrlCache, troubles: Troubles
) -> SourceStatus:
    mine = [report for report in reports if report.list_name == listed.name and report.source == text]
    location, _ = listed.located(text)
    skipped: dict[str, int] = {}
    for report in mine:
        for kind, count in {SkippedKind.MALFORMED: report.complaints, **report.skipped}.items():
            if count:
                skipped[kind] = skipped.get(kind, 0) + count
    key = listed.name, text
    state, why = _state(location, mine, url_cache, troubles.held.get(key), troubles.failed.get(key))
    known = url_cache.state(location) if is_url(text) else None
    return SourceStatus(
        source=shown_url(location) + text[len(location) :] if is_url(text) else text,
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


def _state(
    text: str, reports: Sequence[FileReport], url_cache: UrlCache, held: str | None, failed: str | None
) -> tuple[str, str]:
    """Tell the state of a source, the worst that holds: error, pending, held, stale, partial, ok."""
    errors = [f"{report.path}: {report.error}" for report in reports if report.error]
    if errors:
        return "error", failed or errors[0]
    if held is not None:
        return "held", held
    # Of files that a URL includes, each has a copy and a state of its own.
    urls = dict.fromkeys([text, *(report.url for report in reports if report.url)]) if is_url(text) else {}
    known = {url: url_cache.state(url) for url in urls}
    for report in reports:
        if report.pending:
            error = known.get(report.url, UrlState()).error or "not fetched yet"
            return "pending", f"{report.path}: {error}" if report.included else error
    for url, state in known.items():
        if state.held is not None:
            version = "the new version" if url == text else f"the new version of {shown_url(url)}"
            return "held", f"{version} {state.held.reason}; `dnstap-bgp reload --force` takes it"
    for url, state in known.items():
        if state.error:
            copy = "the last copy" if url == text else f"the last copy of {shown_url(url)}"
            return "stale", f"{copy} is used: {state.error}"
    partial = [f"{report.path}: {report.partial}" for report in reports if report.partial]
    partial += [f"{report.path} is {report.no_list}" for report in reports if report.no_list]
    return ("partial", partial[0]) if partial else ("ok", "")


def _changed(file: str) -> float:
    try:
        return os.stat(file).st_mtime  # noqa: PTH116 - a report's file is text
    except OSError:
        return 0.0
