"""All lists, loaded and kept up to date, in one hand; for the main thread (its parts own a child and a thread).

Beside loading and fetching it keeps `lists.json` as it is now, for the command that shows it.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dnstap_bgp.core.lists.source import ListSource, is_url
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists import status as liststatus
from dnstap_bgp.workers.lists.copies import Copies, shown
from dnstap_bgp.workers.lists.loader import ListLoader, Loaded
from dnstap_bgp.workers.process.runtime import write_atomically
from dnstap_bgp.workers.process.thread import CrashHandler

if TYPE_CHECKING:
    from dnstap_bgp.workers.lists.refresh import NewsHandler, Refresher

logger = logging.getLogger(__name__)


class Listing:
    """What the configured lists give.

    Attributes:
        loaded: The last load; None: nothing was ever in force.
        status: What each list has, as of the last load or look; None: there was none. Any thread may read it.
    """

    def __init__(self, directory: Path, status_file: Path, on_news: "NewsHandler", on_crash: CrashHandler) -> None:
        """Make it; nothing is read or fetched yet.

        Args:
            directory: See `lists.compiled_dir`.
            status_file: Where `liststatus.Status` is kept.
            on_news: Told whenever a URL was looked at, and whether its copy is another one: then `load` again.
            on_crash: As of every thread.
        """
        self.loaded: Loaded | None = None
        self.status: liststatus.Status | None = None
        self._kept = Copies(directory)
        self._loader = ListLoader(directory, self._kept)
        self._aside: ListLoader | None = None
        self._on_news, self._on_crash = on_news, on_crash
        self._refresher: Refresher | None = None
        self._status_file = status_file
        self._sources: Sequence[ListSource] = ()

    def load(self, sources: Sequence[ListSource], *, force: bool = False) -> tuple[Loaded | None, list[str]]:
        """Load lists: some seconds for a million rules, unless nothing changed.

        Args:
            sources: All of them, in the configuration's order.
            force: Take what lost or gained too much, also of URLs: what is held back of them comes into use.

        Returns:
            What is to be in force (None: there is nothing), and what there is to say.
        """
        messages: list[str] = []
        if force:
            released = [url for source in sources for url in source.sources if is_url(url) and self._kept.release(url)]
            messages += [f"{shown(url)}: what was held back is in use" for url in released]
        try:
            loaded = self._loader.load(sources, force=force)
        except ListError as error:
            return None, [*messages, f"lists: {error}"]
        messages += [line for report in loaded.reports for line in report.told()]
        messages += [f"{report.path}: not fetched yet" for report in loaded.reports if report.pending]
        if loaded.refused is not None:
            messages.append(f"the old rules stay in force: {loaded.refused}")
        self.loaded, self._sources = loaded, sources
        self.note()
        return loaded, messages

    def preview(self, sources: Sequence[ListSource], *, force: bool = False) -> Loaded:
        """Load lists as `load` would, without anything of it coming into force or being kept.

        Raises:
            ListError: They can't be in force, and nothing was before; or `cancel` was called.
        """
        self._aside = self._loader.aside(self._kept.as_released() if force else self._kept)
        try:
            return self._aside.load(sources, force=force)
        finally:
            self._aside = None

    def follow(self, sources: Sequence[ListSource], *, look_now: bool = False) -> None:
        """Keep the URLs of these lists up to date from now on, and no others.

        Args:
            sources: All lists.
            look_now: Look at each URL at once, not when its time comes.
        """
        if self._refresher is None:
            if not any(is_url(source) for listed in sources for source in listed.sources):
                return
            from dnstap_bgp.workers.lists.refresh import Refresher  # noqa: PLC0415 - asyncio, 5 MB: only for URLs

            self._refresher = Refresher(self._kept, self._on_news, self._on_crash)
        self._refresher.follow(sources, look_now=look_now)

    def note(self) -> None:
        """Write down what is known now."""
        if self.loaded is None:
            return
        counts, prefixes, refused = self.loaded.rules.counts, self.loaded.prefixes, self.loaded.refused
        status = liststatus.take(self._sources, counts, prefixes, self.loaded.reports, self._kept, refused=refused)
        self.status = status
        try:
            write_atomically(self._status_file, status.to_json(), 0o600)
        except OSError as error:
            logger.warning("the lists' status can't be written: %s", error)

    def cancel(self) -> None:
        """End a load that is under way, and any later one; from any thread or a signal handler."""
        for loader in (self._loader, self._aside):
            if loader is not None:
                loader.cancel()

    def shutdown(self) -> None:
        """Ask the thread to end; returns at once."""
        if self._refresher is not None:
            self._refresher.shutdown()

    def join(self, deadline_s: float) -> None:
        """Wait for the thread's end, at most so long."""
        if self._refresher is not None:
            self._refresher.join(deadline_s)
