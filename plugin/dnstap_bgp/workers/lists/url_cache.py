"""Cache of URLs: the last good copy of each, on disk beside the compiled lists; no thread of its own.

    url-KEY.list    the copy in use, KEY being of the URL
    url-KEY.held    a newer version that looks wrong, until a person says that it is right or the source mends it
    url-KEY.json    the `UrlState`

A copy is replaced as a whole or not at all, so it is good at every start, with its server up or not.
"""

import json
import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dnstap_bgp.core.digest import sha256
from dnstap_bgp.workers.process.runtime import write_atomically

logger = logging.getLogger(__name__)

FORGOTTEN_AFTER_S = 30 * 86400.0
"""A copy whose URL is not configured any more goes after so long: a mistake in the file shall not cost it."""


@dataclass(frozen=True, slots=True)
class HeldVersion:
    """A version of a list that is held back.

    Attributes:
        digest: SHA-256 of its bytes, hexadecimal.
        rules: Its rules and static prefixes.
        reason: Why.
        since: When it was first fetched, wall clock.
        prefixes: The static prefixes among its rules.
        is_broken: It is held for what it is, such as an HTML page, and not for its size.
    """

    digest: str
    rules: int
    reason: str
    since: float
    prefixes: int = 0
    is_broken: bool = False


@dataclass(frozen=True, slots=True)
class UrlState:
    """Facts about a URL and its copy. Times are of the wall clock, as they outlive the process; 0: never.

    Attributes:
        digest: SHA-256 of the copy's bytes, hexadecimal; empty: there is none.
        rules: Its rules and static prefixes.
        fetched: When the copy came.
        checked: When the server last gave it or said that nothing is newer.
        etag: Of what it gave last, be it in use or held; None: it named none. The same for `last_modified`.
        last_modified: As the server wrote it.
        error: Why the last look failed; None: it didn't.
        failures: Looks that failed since the last that didn't.
        held: What is held back.
        prefixes: The static prefixes among `rules`.
        includes: Names of files that the copy includes, which are fetched beside it.
        format: That the copy is read in, and its includes as well.
        selectors: The parts of it that `rules` and `prefixes` count; none: all of it.
    """

    digest: str = ""
    rules: int = 0
    fetched: float = 0.0
    checked: float = 0.0
    etag: str | None = None
    last_modified: str | None = None
    error: str | None = None
    failures: int = 0
    held: HeldVersion | None = None
    prefixes: int = 0
    includes: tuple[str, ...] = ()
    format: str = ""
    selectors: tuple[str, ...] = ()


class UrlCache:
    """The copies of URLs in one directory; for any thread."""

    def __init__(self, directory: Path) -> None:
        """Make a cache.

        Args:
            directory: Made when the first copy comes.
        """
        self.directory = directory
        self._lock = threading.Lock()  # over reading and writing a state; held for one small file

    def prefers_held(self, url: str) -> bool:
        """Tell whether `path` names the version of a URL that is held back, where there is one."""
        del url
        return False

    def path(self, url: str) -> Path:
        """Name the file of the copy in use, which may be missing."""
        return self._file(url, "list")

    def state(self, url: str) -> UrlState:
        """Read the facts about a URL; none, if their file is missing or damaged."""
        try:
            values = json.loads(self._file(url, "json").read_bytes())
            held = values.pop("held")
            values["includes"] = tuple(values.get("includes", ()))
            values["selectors"] = tuple(values.get("selectors", ()))
            return UrlState(**values, held=None if held is None else HeldVersion(**held))
        except FileNotFoundError:
            return UrlState()
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            logger.warning("what is known of %s can't be read, so it is fetched anew: %s", shown_url(url), error)
            return UrlState()

    def scratch(self) -> tuple[int, Path]:
        """Make the file that a version is fetched into: its descriptor and path.

        Raises:
            OSError: There is no room, or no such directory can be made.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(".tmp", ".url-", self.directory)
        return handle, Path(name)

    def update(self, url: str, change: Callable[[UrlState], UrlState]) -> UrlState:
        """Change the facts about a URL by `change`; a file that is no longer held back is removed.

        Raises:
            OSError: It can't be written.
        """
        with self._lock:
            state = change(self.state(url))
            if state.held is None:
                self._file(url, "held").unlink(missing_ok=True)
            return self._write(url, state)

    def accept(self, url: str, scratch: Path, change: Callable[[UrlState], UrlState]) -> UrlState:
        """Make a fetched file the copy in use; drop what was held.

        Raises:
            OSError: It can't be.
        """
        with self._lock:
            state = replace(change(self.state(url)), held=None)
            self._file(url, "held").unlink(missing_ok=True)
            scratch.replace(self.path(url))
            try:
                return self._write(url, state)
            except OSError as error:  # the copy counts: without its state it is only fetched again
                logger.warning("what is known of %s can't be written: %s", shown_url(url), error)
                return state

    def hold(self, url: str, scratch: Path, change: Callable[[UrlState], UrlState]) -> UrlState:
        """Keep a fetched file aside; `change` says why.

        Raises:
            OSError: It can't be.
        """
        with self._lock:
            scratch.replace(self._file(url, "held"))
            return self._write(url, change(self.state(url)))

    def release(self, url: str) -> bool:
        """Put the version held back of a URL in use: a person says that it is right.

        Returns:
            Whether anything was held.
        """
        with self._lock:
            state = self.state(url)
            if state.held is None:
                return False
            try:
                self._file(url, "held").replace(self.path(url))
                held = state.held
                used = replace(state, digest=held.digest, rules=held.rules, prefixes=held.prefixes, held=None)
                self._write(url, replace(used, fetched=held.since))
            except OSError as error:
                logger.error("what is held back of %s can't be put in use: %s", shown_url(url), error)
                return False
            return True

    def with_held(self, urls: Iterable[str] | None = None) -> "UrlCache":
        """Give the same copies as if what is held back of some URLs were in use; only to be read.

        Args:
            urls: The URLs; None: all.
        """
        return _UrlCacheWithHeld(self.directory, None if urls is None else frozenset(urls))

    def clean(self, urls: Iterable[str]) -> None:
        """Remove files that a killed process left, and old ones that belong to none of these URLs."""
        keep = {self._file(url, "json").stem for url in urls}
        try:
            for left in self.directory.glob(".url-*.tmp"):
                left.unlink()
            for file in self.directory.glob("url-*.*"):
                if file.stem not in keep and time.time() - file.stat().st_mtime > FORGOTTEN_AFTER_S:
                    file.unlink()
        except OSError as error:
            logger.warning("%s can't be tidied up: %s", self.directory, error)

    def _file(self, url: str, kind: str) -> Path:
        return self.directory / f"url-{sha256(url.encode()).hexdigest()[:20]}.{kind}"

    def _write(self, url: str, state: UrlState) -> UrlState:
        self.directory.mkdir(parents=True, exist_ok=True)
        write_atomically(self._file(url, "json"), json.dumps(asdict(state)), 0o600)
        return state


class _UrlCacheWithHeld(UrlCache):
    def __init__(self, directory: Path, urls: frozenset[str] | None) -> None:
        super().__init__(directory)
        self._urls = urls

    def prefers_held(self, url: str) -> bool:
        return self._urls is None or url in self._urls

    def path(self, url: str) -> Path:
        held = self._file(url, "held")
        return held if self.prefers_held(url) and os.path.lexists(held) else super().path(url)


def shown_url(url: str) -> str:
    """Show a URL without its user, password and query, for messages: any of them may be a secret."""
    return _SECRETS.sub(_without_secrets, url.partition("#")[0])


def without_secrets(text: str) -> str:
    """Take users, passwords and queries out of all URLs in a text of others, such as an error of a library."""
    return _SECRETS.sub(_without_secrets, text)


_SECRETS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,20}:)?//([^\s/?#@'\"]*@)?([^\s?'\"]*)(\?[^\s'\"]*)?")


def _without_secrets(found: re.Match[str]) -> str:
    authority, slash, path = found[3].partition("/")
    return f"{found[1] or ''}//{authority.rpartition('@')[2]}{slash}{path}{'?...' if found[4] else ''}"
