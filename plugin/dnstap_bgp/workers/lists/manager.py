"""List manager: loads all lists and keeps them up to date; for the main thread (its parts own a child and a thread)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dnstap_bgp.core.lists.source import Force, ListSource, is_forced
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists import status as liststatus
from dnstap_bgp.workers.lists.file_reports import unsaid_prefixes, waiting_patterns
from dnstap_bgp.workers.lists.loader import ListLoader, Loaded
from dnstap_bgp.workers.lists.url_cache import UrlCache, shown_url
from dnstap_bgp.workers.process.loop import Loop

if TYPE_CHECKING:
    from dnstap_bgp.workers.lists.refresher import NewsHandler, Refresher


PENDING_TOLD = 3
"""URLs still to be fetched that are named; the rest is only counted."""


class ListManager:
    """Front of the configured lists: loading, following URLs, preview and status.

    Attributes:
        loaded: The last load; None: nothing was ever in force.
        status: What each list has, as of the last load or look; None: there was none. Any thread may read it.
    """

    def __init__(self, directory: Path, on_news: "NewsHandler", loop: Loop) -> None:
        """Make a manager; nothing is read or fetched yet.

        Args:
            directory: See `loader.own_compiled_dir`.
            on_news: Told whenever a URL was looked at, and whether its copy is another one: then `load` again.
            loop: Where URLs are fetched.
        """
        self.loaded: Loaded | None = None
        self.status: liststatus.ListsStatus | None = None
        self._url_cache = UrlCache(directory)
        self._loader = ListLoader(directory, self._url_cache)
        self._aside: ListLoader | None = None
        self._on_news, self._loop = on_news, loop
        self._refresher: Refresher | None = None
        self._sources: Sequence[ListSource] = ()
        self._told: frozenset[tuple[str, str, str]] = frozenset()  # (list, path, digest) that the log knows of
        self._told_troubles: frozenset[str] = frozenset()

    def load(
        self,
        sources: Sequence[ListSource],
        *,
        force: Force = False,
        only_news: bool = False,
        new_must_work: bool = False,
    ) -> tuple[Loaded | None, list[str]]:
        """Load lists: some seconds for a million rules, unless nothing changed.

        Args:
            sources: All of them, in the configuration's order.
            force: The lists that take what they would hold back, also of URLs: that comes into use.
            only_news: Say of a source only what was not said when it was read last.
            new_must_work: Refuse all where a source can't be read that is not among those in force.

        Returns:
            What is to be in force (None: there is nothing), and what there is to say.
        """
        messages: list[str] = []
        if force:
            forced = [source for source in sources if is_forced(force, source.name)]
            urls = dict.fromkeys(url for source in forced for url in source.urls)
            if self.loaded is not None:  # included ones, too
                reports = [one for one in self.loaded.reports if one.url and is_forced(force, one.list_name)]
                urls |= dict.fromkeys(report.url for report in reports)
            released = [url for url in urls if self._url_cache.release(url)]
            messages += [f"{shown_url(url)}: what was held back is in use" for url in released]
        try:
            loaded = self._loader.load(sources, force=force, new_must_work=new_must_work)
        except ListError as error:
            return None, [*messages, f"lists: {error}"]
        troubles = {**loaded.held, **loaded.failed, **loaded.awaited}
        read = {
            (report.list_name, report.path, report.digest): report
            for report in loaded.reports
            if (report.list_name, report.source) not in troubles
        }
        messages += [
            line
            for key, report in read.items()
            if not only_news or key not in self._told
            for line in report.log_lines()
        ]
        pending = [report.path for report in read.values() if report.pending]
        if not only_news:
            messages += [*unsaid_prefixes(loaded.reports), *waiting_patterns(loaded.reports)]
        if pending and not only_news:
            messages.append(_pending(pending))
        if loaded.refused is not None:
            messages.append(f"all that was in force stays: {loaded.refused}")
        else:
            messages += [text for text in troubles.values() if not only_news or text not in self._told_troubles]
        self._told, self._told_troubles = frozenset(read), frozenset(troubles.values())
        self.loaded = loaded
        if loaded.refused is None or not new_must_work:  # else the configuration in force stays as well
            self._sources = sources
        self.note()
        return loaded, messages

    def preview(self, sources: Sequence[ListSource], *, force: Force = False, new_must_work: bool = False) -> Loaded:
        """Load lists as `load` would, without anything of it coming into force or being kept.

        Raises:
            ListError: They can't be in force, and nothing was before; or `cancel` was called.
        """
        forced = [url for source in sources if is_forced(force, source.name) for url in source.urls]
        self._aside = self._loader.aside(self._url_cache.with_held(forced) if forced else self._url_cache)
        try:
            return self._aside.load(sources, force=force, new_must_work=new_must_work)
        finally:
            self._aside = None

    def follow(self, sources: Sequence[ListSource], *, look_now: bool = False) -> None:
        """Keep the URLs of these lists up to date from now on, and no others.

        Args:
            sources: All lists.
            look_now: Look at each URL at once, not when its time comes.
        """
        if self._refresher is None:
            if not any(listed.urls for listed in sources):
                return
            from dnstap_bgp.workers.lists.refresher import Refresher  # noqa: PLC0415 - asyncio, 5 MB: only for URLs

            self._refresher = Refresher(self._url_cache, self._on_news, self._loop)
        self._refresher.follow(sources, look_now=look_now)

    def note(self) -> None:
        """Renew the status from the last load and what is known of the URLs now."""
        if self.loaded is None:
            return
        loaded, cache = self.loaded, self._url_cache
        counts, prefixes = loaded.rules.counts, loaded.prefixes
        troubles = liststatus.Troubles(loaded.held, loaded.failed)
        self.status = liststatus.take(
            self._sources, counts, prefixes, loaded.reports, cache, refused=loaded.refused, troubles=troubles
        )

    def cancel(self) -> None:
        """End a load that is under way, and any later one; from any thread or a signal handler."""
        for loader in (self._loader, self._aside):
            if loader is not None:
                loader.cancel()

    def shutdown(self) -> None:
        """End all fetches; returns at once."""
        if self._refresher is not None:
            self._refresher.shutdown()


def _pending(paths: Sequence[str]) -> str:
    """Tell what is still to be fetched, in one line however much it is."""
    more = f" and {len(paths) - PENDING_TOLD} more" if len(paths) > PENDING_TOLD else ""
    return f"{', '.join(paths[:PENDING_TOLD])}{more}: not fetched yet"
