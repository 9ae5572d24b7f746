"""Audit file: who has changed what by the control socket or the page, one JSON object a line, in two files.

`STATE.audit` beside the state file, mode 0600, and `STATE.audit.1`, what was before; 10 MB together. Whatever people
wrote is escaped as JSON does it, so that no terminal takes it for a command.
"""

import errno
import json
import logging
import os
import time
from io import FileIO
from pathlib import Path
from typing import Any

from dnstap_bgp.config import Config
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists.files import opened
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog

logger = logging.getLogger(__name__)

FILE_MAX_BYTES = 5 << 20
ASKED_MAX = 1000
"""Characters of what was asked for that are kept: a change of a managed list may have thousands of names."""

TAIL_BYTES = 256 << 10
TAIL_MAX = 200
"""Entries that are shown."""


def audit_file(config: Config) -> Path:
    """Name the audit file: beside the state file, to outlive a boot as it does."""
    return config.cache.with_name(config.cache.name + ".audit") if config.cache else config.runtime_dir / "audit"


class AuditFile:
    """Audit file; blocks as the disk does, so for an executor, one call at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = RateLimitedLog(logger, process_clock)

    def add(self, who: str, what: str, asked: object, outcome: str) -> None:
        """Add an entry; what can't be written is told in the log, and hinders nobody.

        Args:
            who: Who asked.
            what: The path that was asked for.
            asked: What was asked for, as JSON can say it.
            outcome: `done`, or why not.
        """
        text = json.dumps(asked)
        entry = {
            "at": round(time.time(), 3),
            "who": who,
            "what": what,
            "asked": text if len(text) <= ASKED_MAX else f"{text[:ASKED_MAX]}...",
            "outcome": outcome[:ASKED_MAX],
        }
        try:
            self._append(f"{json.dumps(entry)}\n".encode())
        except OSError as error:
            self._log.log(logging.WARNING, "audit", "%s can't be written: %s", self._path, error.strerror or error)

    def tail(self) -> list[dict[str, Any]]:
        """Read the last entries, the newest first; none where there is no file."""
        found: list[dict[str, Any]] = []
        for path in (self._path, self._before):
            try:
                with opened(path) as file:
                    file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                    lines = file.read(TAIL_BYTES).splitlines()
            except ListError:
                continue
            found += [entry for line in reversed(lines) if (entry := _entry(line)) is not None]
            if len(found) >= TAIL_MAX:
                break
        return found[:TAIL_MAX]

    @property
    def _before(self) -> Path:
        return self._path.with_name(self._path.name + ".1")

    def _append(self, line: bytes) -> None:
        with self._opened() as file:
            if os.fstat(file.fileno()).st_size + len(line) <= FILE_MAX_BYTES:
                _write_whole(file, line)
                return
        self._path.replace(self._before)
        with self._opened() as file:
            _write_whole(file, line)

    def _opened(self) -> FileIO:
        """Open the file to append; nothing is written through what somebody else has put there."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        return FileIO(os.open(self._path, flags, 0o600), "a")


def _write_whole(file: FileIO, line: bytes) -> None:
    """Append a whole line or nothing: half of one, as a disk that gets full has room for, would spoil the next.

    Raises:
        OSError: There is no room.
    """
    size = os.fstat(file.fileno()).st_size
    if file.write(line) < len(line):
        os.ftruncate(file.fileno(), size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _entry(line: bytes) -> dict[str, Any] | None:
    """Read a line; None: it is none of ours, as the first of a tail mostly is."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and {"at", "who", "what", "asked", "outcome"} <= found.keys() else None
