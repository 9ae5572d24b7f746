"""Pidfile for one live plugin at a time, and the brake on crash loops; no thread of its own.

ExaBGP's SIGUSR2 starts the new plugin while the old one may live for two seconds more: what can't be shared (the state
file, the socket) waits for the pidfile's lock. The lock is the kernel's (flock), so it ends with its process, however
that died, and a pid in an unlocked file means nothing.
"""

import fcntl
import logging
import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dnstap_bgp.workers.process.runtime import write_atomically

logger = logging.getLogger(__name__)

RETRY_S = 0.05
"""The old process ends within 1.5 s of its SIGTERM; the wait should add little to that."""

SAY_AFTER_S = 3.0
"""ExaBGP kills an old plugin after 2 s: longer than this, it is somebody else's."""

RESPAWN_WINDOW_S = 64
"""ExaBGP counts deaths in windows of the wall clock, 64 s long and aligned; the sixth death in one ends ExaBGP.
(exabgp.reactor.api.processes, `_record_respawn`.)"""

DEATHS_BRAKED = 4
"""Deaths in one window after which a start goes easy: two more are left then, for it and for the last stage."""

ANCESTORS_MAX = 8
"""Processes between ExaBGP and us that are looked through: a shell, an environment's wrapper."""

_EXABGP = re.compile(rb"(^|/)exabgp(\.exe)?$|\.exabgp_server$|exabgp/__main__\.py$")
"""A word of ExaBGP's command line: `exabgp`, `python -m exabgp`, or as `up` starts it."""


class Host(NamedTuple):
    """ExaBGP process: its pid, and its start in clock ticks since the boot (proc(5)), which no successor shares."""

    pid: int
    started: int


class PidFile:
    """Pidfile: the pid of its holder in a locked file.

    Others learn from `holder` which process it is, for a signal.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def acquire(self, stop: threading.Event) -> bool:
        """Wait for the pidfile's lock and write our pid.

        Returns:
            False where `stop` was set first.

        Raises:
            OSError: The file can't be made or written; it may be tried again.
        """
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            os.fchmod(fd, 0o644)  # the pid is no secret, and the umask is 077 by now
            began, said = time.monotonic(), False
            while not _lock(fd):
                if stop.wait(RETRY_S):
                    os.close(fd)  # and no more: what is written there is its holder's pid
                    return False
                if not said and time.monotonic() - began > SAY_AFTER_S:
                    said = True
                    text = "another plugin (pid %s) holds %s: waiting for its end"
                    logger.warning(text, holder(self._path), self._path)
            os.ftruncate(fd, 0)  # only now: until here the file tells the holder's pid, whom a HUP may be for
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        except OSError:
            os.close(fd)  # and with it the lock, which the next try would wait for as for another plugin's
            raise
        self._fd = fd
        return True

    def release(self) -> None:
        """Give the lock up; the file stays, empty, since removing it would race with a successor that waits."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1


def holder(path: Path) -> int | None:
    """Look up the pid of the process that holds a pidfile's lock now, or None."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if _lock(fd, fcntl.LOCK_SH):  # nobody holds it; a shared one, so that two who look don't take us for a holder
            return None
        text = os.pread(fd, 32, 0).strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class Brake:
    """Brake of a start that follows several deaths of the plugin: one or two more would end ExaBGP.

    Attributes:
        deaths: Deaths of the plugin that this ExaBGP has seen in the present window of `RESPAWN_WINDOW_S`.
        until: Wall clock: when the next window has begun for certain. For people: the clock may be set meanwhile.
        pause_s: Seconds until then, a window's length at most.
    """

    deaths: int
    until: float
    pause_s: float

    @property
    def is_last(self) -> bool:
        """True where the braked start before this one has died as well: nothing may be tried before the window ends."""
        return self.deaths > DEATHS_BRAKED


def brake(starts: Path, now: float, host: Host | None) -> Brake | None:
    """Note a start of the plugin, and tell whether it has to go easy.

    Only deaths under one and the same ExaBGP count: a service that is restarted, or a new operator's next try, has a
    new one, which has seen no death. Two stages, by the deaths in the present window:

    - `DEATHS_BRAKED`: what others send is taken and not read until the window ends (see `App`), for most crashes come
      from there; the state is read, and what is held stays announced.
    - one more: that was not the reason. Nothing is done at all until the window ends, since the next death is the last
      but one.

    Args:
        starts: The file in which starts are noted, across processes.
        now: Wall clock, as ExaBGP counts by it.
        host: The ExaBGP that has started us; None: there is none.
    """
    if host is None:
        return None
    window = int(now) // RESPAWN_WINDOW_S
    deaths = 0  # the first start under this ExaBGP replaces nobody
    noted = _noted(starts)
    if noted is not None and noted[:2] == host:
        deaths = noted[3] + 1 if noted[2] == window else 1
    try:
        write_atomically(starts, f"{host.pid} {host.started} {window} {deaths}\n", 0o600)
    except OSError as error:
        logger.warning("can't note the start in %s: %s", starts, error)
    if deaths < DEATHS_BRAKED:
        return None
    until = (window + 1) * RESPAWN_WINDOW_S + 1
    return Brake(deaths, until, until - now)


def exabgp_host() -> Host | None:
    """Find the ExaBGP that has started this process: the nearest of its ancestors that is one.

    Returns:
        None: there is none. Where another user's processes are hidden (hidepid), the parent is taken for one.
    """
    pid = os.getppid()
    for _ in range(ANCESTORS_MAX):  # a shell may stand between: `run /bin/sh -c ...`
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()  # proc(5), from `state` on
        except OSError:
            return Host(pid, 0)
        if any(_EXABGP.search(word) for word in words[:5]):
            return Host(pid, int(fields[19]))
        pid = int(fields[1])
        if pid <= 1:
            break
    return None


def _noted(starts: Path) -> tuple[int, int, int, int] | None:
    """Read the last start's note: ExaBGP's pid and start time, the window, the deaths in it; None: there is none."""
    try:
        pid, started, window, deaths = map(int, starts.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return None
    return pid, started, window, deaths


def _lock(fd: int, mode: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(fd, mode | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
