"""Judgement of list sources in the course of one load: each by its own last content, whatever comes and goes beside it.

    what a source has now                        it had rules before            it had none, or nothing is known
    can't be read                                failed: keeps its last content failed: gives nothing
    worse than before (core/lists/plausibility)  held: keeps its last content   in force
    a URL without a copy                         awaited: keeps its last content in force, with nothing
    anything else                                in force                       in force

A load reads all lists once, and again where a source keeps its last content, which then comes from copies.
"""

from collections.abc import Mapping, Sequence

from dnstap_bgp.core.lists import plausibility
from dnstap_bgp.core.lists.source import Force, ListSource, is_forced, is_url
from dnstap_bgp.core.text import count_text
from dnstap_bgp.workers.lists.file_reports import FileReport, by_source, content_of
from dnstap_bgp.workers.lists.files import SourceFile
from dnstap_bgp.workers.lists.source_copies import SourceKey
from dnstap_bgp.workers.lists.url_cache import shown_url


class Judgement:
    """Decision on each source: what it has now, or what it had.

    Attributes:
        before: Source -> the reports on its files in force.
        kept: Source -> the same, of those that keep their last content from the next read on.
        held: Source -> why its new content is held back.
        failed: Source -> why it can't be read, and what is in force instead.
        awaited: URL -> what is in force until it is fetched again.
        unkept: Why sources that are to keep their last content can't.
    """

    def __init__(self, in_force: Sequence[FileReport], sources: Sequence[ListSource], force: Force) -> None:
        """Begin with what is in force.

        Args:
            in_force: The reports on it; none where nothing is.
            sources: The lists in the configuration's order.
            force: The lists whose new content is not held back.
        """
        self.before: Mapping[SourceKey, Sequence[FileReport]] = by_source(in_force)
        self.kept: dict[SourceKey, Sequence[FileReport]] = {}
        self.held: dict[SourceKey, str] = {}
        self.failed: dict[SourceKey, str] = {}
        self.awaited: dict[SourceKey, str] = {}
        self.unkept: list[str] = []
        self._sources = sources
        self._force = force
        self._parts: dict[SourceKey, tuple[str, str]] = {}  # selector, and what becomes of patterns
        self._now: dict[SourceKey, Sequence[FileReport]] = {}  # as each source was when it was judged last

    @property
    def reports(self) -> tuple[FileReport, ...]:
        """The reports on what the sources have now, also of those that keep their last content."""
        return tuple(report for reports in self._now.values() for report in reports)

    @property
    def failed_anew(self) -> list[str]:
        """Why sources can't be read that were not among those in force."""
        return [text for key, text in self.failed.items() if key not in self.before]

    def unknown(self) -> list[SourceKey]:
        """Give the sources of whose past nothing is known: if one gives nothing, that proves nothing.

        What people force or keep by hand is known by their word.
        """
        return [
            (listed.name, text)
            for listed in self._sources
            if not listed.is_managed and not is_forced(self._force, listed.name)
            for text in dict.fromkeys(listed.sources)
            if not (old := self.before.get((listed.name, text))) or any(report.unproven for report in old)
        ]

    def take(self, reports: Sequence[FileReport]) -> bool:
        """Judge what was read.

        Args:
            reports: Of all files, in the order of the lists; of sources in `kept` those on the copies.

        Returns:
            Whether it may come into force as it is; else all is to be read again, by `kept`.
        """
        after = by_source(reports)
        is_final = True
        for listed in self._sources:
            for text in listed.sources:
                key = listed.name, text
                if key in self.kept:
                    self.unkept += [f"{one.path}: {one.error}" for one in after.get(key, ()) if one.error]
                    continue
                self._now[key] = after.get(key, [])
                is_final &= self._judge(listed, text, self._now[key])
        return is_final

    def is_all_as_before(self, reports: Sequence[FileReport]) -> bool:
        """Tell whether what is in force has just these sources, with the same bytes where they don't keep these anyway.

        Args:
            reports: What `take` was told last.
        """
        after = by_source(reports)
        formats = {listed.name: listed.format for listed in self._sources}
        return after.keys() == self.before.keys() and all(
            all(
                one.asked == formats[key[0]] and (one.selector, one.patterns) == self._parts.get(key, ("", ""))
                for one in self.before[key]
            )
            if key in self.kept
            else _signature(found) == _signature(self.before[key])
            for key, found in after.items()
        )

    def places(self, list_name: str, found: Sequence[SourceFile]) -> tuple[SourceFile, ...]:
        """Give the files to read for a list: as they are now, or as they were for sources that keep these.

        Args:
            list_name: The list.
            found: Its files, as they are now.
        """
        places: dict[SourceFile, None] = {}
        for file in found:
            self._parts[list_name, file.source] = file.selector, file.patterns
            kept = self.kept.get((list_name, file.source))
            if kept is None:
                places[file] = None
                continue
            for one in kept:
                if not one.included and one.digest:
                    there = file._replace(path=one.file, shown=one.path, missing=None, pending=False)
                    places[there] = None
        return tuple(places)

    def _judge(self, listed: ListSource, text: str, now: Sequence[FileReport]) -> bool:
        key = listed.name, text
        old = self.before.get(key, [])
        had_rules = content_of(old).rules > 0
        self.failed.pop(key, None)
        location, _ = listed.located(text)
        where = shown_url(location) + text[len(location) :] if is_url(text) else text
        errors = [f"{one.path}: {one.error}" for one in now if one.error and not one.is_slow]
        if errors:
            instead = "its last content stays in force" if had_rules else "so far it gives nothing"
            self.failed[key] = f"list {listed.name}: {errors[0]}; {instead}"
        elif listed.is_managed or is_forced(self._force, listed.name):  # what a person takes away is meant
            return True
        elif is_url(text):
            if not (had_rules and not content_of(now).rules and any(one.pending for one in now)):
                return True
            rules = count_text(content_of(old).rules, "rule")
            self.awaited[key] = f"list {listed.name}: {where} is still to be fetched; until then its last {rules} stay"
        else:
            reason = _reason_to_hold(listed, old, now)
            if reason is None:
                return True
            self.held[key] = (
                f"list {listed.name} {reason} ({where}); held back: what it had stays in force;"
                f" `dnstap-bgp reload --force` or `--force {listed.name}` takes it"
            )
        if had_rules:
            self.kept[key] = old
        return not had_rules


def _reason_to_hold(listed: ListSource, old: Sequence[FileReport], now: Sequence[FileReport]) -> str | None:
    """Give the reason why a file's new content must not come into force. A URL's was judged when it was fetched."""
    before, after = content_of(old), content_of(now)
    if any(report.is_slow for report in now):
        return None
    if after.rules and {report.digest for report in old} == {report.digest for report in now}:
        return None  # the same bytes, read in another way: by another format, or by another version of ours
    return plausibility.refusal(before, after, listed.shrink_max, listed.growth_max)


def _signature(reports: Sequence[FileReport]) -> list[tuple[object, ...]]:
    return [
        (*(one.path, one.asked, one.limits, one.selector, one.patterns), one.included, one.pending, one.digest)
        for one in reports
    ]
