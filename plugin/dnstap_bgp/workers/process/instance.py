"""One live plugin at a time, and a brake on crash loops; no thread of its own.

ExaBGP's SIGUSR2 starts the new plugin while the old one may live for two seconds more: what can't be shared (the state
file, the socket) waits for the pidfile's lock. The lock is the kernel's (flock), so it ends with its process, however
that died, and a pid in an unlocked file means nothing.
"""

import fcntl
import logging
import os
import threading
import time
from pathlib import Path

logger = logging.getLogger(__name__)

RETRY_S = 0.05
"""The old process ends within 1.5 s of its SIGTERM; the wait should add little to that."""

SAY_AFTER_S = 3.0
"""ExaBGP kills an old plugin after 2 s: longer than this, it is somebody else's."""

RESPAWN_WINDOW_S = 64
"""ExaBGP counts deaths in windows of the wall clock, 64 s long and aligned; the sixth death in one ends ExaBGP."""

RESPAWNS_SAFE = 4
"""Starts in one window after which the next one waits for the window's end."""


class PidFile:
    """The plugin's pid in a locked file.

    Others learn from `holder` which process it is, for a signal.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def acquire(self, stop: threading.Event) -> bool:
        """Wait for the lock and write our pid.

        Returns:
            False where `stop` was set first.

        Raises:
            OSError: The file can't be made.
        """
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        os.fchmod(self._fd, 0o644)  # the pid is no secret, and the umask is 077 by now
        began, said = time.monotonic(), False
        while not _lock(self._fd):
            if stop.wait(RETRY_S):
                os.close(self._fd)  # and no more: what is written there is its holder's pid
                self._fd = -1
                return False
            if not said and time.monotonic() - began > SAY_AFTER_S:
                said = True
                logger.warning("another plugin (pid %s) holds %s: waiting for its end", holder(self._path), self._path)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)
        return True

    def release(self) -> None:
        """Give the lock up; the file stays, empty, since removing it would race with a successor that waits."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1


def holder(path: Path) -> int | None:
    """The pid of the process that holds the pidfile's lock now, or None."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if _lock(fd, fcntl.LOCK_SH):
            return None
        text = os.pread(fd, 32, 0).strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(fd)


def brake(path: Path, stop: threading.Event) -> None:
    """Wait where a crash loop is about to end ExaBGP.

    Args:
        path: Where the starts of this window are noted, across processes.
        stop: Ends the wait.
    """
    now = time.time()
    window = int(now) // RESPAWN_WINDOW_S
    starts = [window, *(start for start in _starts(path) if start == window)]
    try:
        path.write_text(" ".join(map(str, starts)), encoding="ascii")
    except OSError as error:
        logger.warning("can't note the start in %s: %s", path, error)
    if len(starts) > RESPAWNS_SAFE:
        pause_s = (window + 1) * RESPAWN_WINDOW_S - now + 1
        logger.error(
            "start %d within %d s: waiting %.0f s before any work, so that ExaBGP does not give up on us",
            len(starts),
            RESPAWN_WINDOW_S,
            pause_s,
        )
        stop.wait(pause_s)


def _starts(path: Path) -> list[int]:
    try:
        return [int(word) for word in path.read_text(encoding="ascii").split()[:64]]
    except (OSError, ValueError):
        return []


def _lock(fd: int, mode: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(fd, mode | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
