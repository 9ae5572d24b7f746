"""What URLs gave, kept on disk beside the compiled lists; no thread of its own.

    url-KEY.list    the copy in use, KEY being of the URL
    url-KEY.held    a newer version that looks wrong, until a person says that it is right or the source mends it
    url-KEY.json    the `State`

A copy is replaced as a whole or not at all, so it is good at every start, with its server up or not.
"""

import hashlib
import json
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dnstap_bgp.workers.process.runtime import write_atomically

logger = logging.getLogger(__name__)

FORGOTTEN_AFTER_S = 30 * 86400.0
"""A copy whose URL is not configured any more goes after so long: a mistake in the file shall not cost it."""


@dataclass(frozen=True, slots=True)
class Held:
    """A version that is held back.

    Attributes:
        digest: SHA-256 of its bytes, hexadecimal.
        rules: Its rules and static prefixes.
        reason: Why.
        since: When it was first fetched, wall clock.
    """

    digest: str
    rules: int
    reason: str
    since: float


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a URL. Times are of the wall clock, as they outlive the process; 0: never.

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
    """

    digest: str = ""
    rules: int = 0
    fetched: float = 0.0
    checked: float = 0.0
    etag: str | None = None
    last_modified: str | None = None
    error: str | None = None
    failures: int = 0
    held: Held | None = None


class Copies:
    """The copies in one directory; for any thread."""

    def __init__(self, directory: Path) -> None:
        """Make one.

        Args:
            directory: Made when the first copy comes.
        """
        self.directory = directory
        self._lock = threading.Lock()  # over reading and writing a state; held for one small file

    def path(self, url: str) -> Path:
        """Where the copy in use is, if there is one."""
        return self._file(url, "list")

    def state(self, url: str) -> State:
        """What is known of a URL; nothing, if its file is missing or damaged."""
        try:
            values = json.loads(self._file(url, "json").read_bytes())
            held = values.pop("held")
            return State(**values, held=None if held is None else Held(**held))
        except FileNotFoundError:
            return State()
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            logger.warning("what is known of %s can't be read, so it is fetched anew: %s", shown(url), error)
            return State()

    def scratch(self) -> tuple[int, Path]:
        """Make the file that a version is fetched into: its descriptor and path.

        Raises:
            OSError: There is no room, or no such directory can be made.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(".tmp", ".url-", self.directory)
        return handle, Path(name)

    def update(self, url: str, change: Callable[[State], State]) -> State:
        """Change what is known of a URL, in the way that `change` says; what is no longer held back is removed.

        Raises:
            OSError: It can't be written.
        """
        with self._lock:
            state = change(self.state(url))
            if state.held is None:
                self._file(url, "held").unlink(missing_ok=True)
            return self._write(url, state)

    def accept(self, url: str, scratch: Path, change: Callable[[State], State]) -> State:
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
                logger.warning("what is known of %s can't be written: %s", shown(url), error)
                return state

    def hold(self, url: str, scratch: Path, change: Callable[[State], State]) -> State:
        """Keep a fetched file aside; `change` says why.

        Raises:
            OSError: It can't be.
        """
        with self._lock:
            scratch.replace(self._file(url, "held"))
            return self._write(url, change(self.state(url)))

    def release(self, url: str) -> bool:
        """Put what is held back of a URL in use: a person says that it is right.

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
                self._write(url, replace(state, digest=held.digest, rules=held.rules, fetched=held.since, held=None))
            except OSError as error:
                logger.error("what is held back of %s can't be put in use: %s", shown(url), error)
                return False
            return True

    def as_released(self) -> "Copies":
        """The same copies, as if all that is held back were in use; only to be read."""
        return _Released(self.directory)

    def clean(self, urls: Iterable[str]) -> None:
        """Remove what a killed process left, and what belongs to none of these URLs and is old."""
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
        return self.directory / f"url-{hashlib.sha256(url.encode()).hexdigest()[:20]}.{kind}"

    def _write(self, url: str, state: State) -> State:
        self.directory.mkdir(parents=True, exist_ok=True)
        write_atomically(self._file(url, "json"), json.dumps(asdict(state)), 0o600)
        return state


class _Released(Copies):
    def path(self, url: str) -> Path:
        held = self._file(url, "held")
        return held if held.exists() else super().path(url)


def shown(url: str) -> str:
    """The URL without the user and password that it may have: for messages."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
