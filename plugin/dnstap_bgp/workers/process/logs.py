"""Format, level and rate limit of the log; no thread of its own.

Records go to stderr, one line each: stdout belongs to ExaBGP, which passes our stderr on as its own. Whatever a record
says, no character of it can end the line or drive a terminal. Lines that input can provoke go through a
`RateLimitedLog`.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, TextIO

from dnstap_bgp.core.text import one_line
from dnstap_bgp.core.timing import EventLimiter
from dnstap_bgp.errors import CommandError

LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
"""By their names in the configuration."""

LINE_MAX_CHARS: Final = 8192
"""A traceback's length; journald cuts at 48 KiB, syslog often at 8."""

OTHERS_LEVEL: Final = logging.WARNING
"""Of what other packages log (asyncio, aiohttp): their everyday business is none of an operator's."""

BURST: Final = 10
"""Lines of one kind in a window: enough to see who they come from."""

WINDOW_S: Final = 60.0

_OURS = "dnstap_bgp"
_SYSLOG = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class Plain(logging.Formatter):
    """`2026-05-04T03:02:01.234+02:00 dnstap-bgp: WARNING: text`; the journal has the time and level itself."""

    def __init__(self, name: str, *, journal: bool) -> None:
        super().__init__()
        self._name = name
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        text = f"{self._name}: {record.levelname}: {record.getMessage()}"
        if record.exc_info:
            text += " | " + self.formatException(record.exc_info).replace("\n", " | ")
        line = one_line(text, LINE_MAX_CHARS)
        return f"<{priority(record.levelno)}>{line}" if self._journal else f"{_time_text(record)} {line}"


class Json(logging.Formatter):
    """One object a line: time, level, name, logger, thread, message, and exception where there is one."""

    def __init__(self, name: str, *, journal: bool) -> None:
        super().__init__()
        self._name = name
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """Give the line: ASCII, for json escapes all else."""
        found = {
            "time": _time_text(record),
            "level": record.levelname.lower(),
            "name": self._name,
            "logger": record.name,
            "thread": record.threadName,
            "message": record.getMessage()[:LINE_MAX_CHARS],
        }
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)[-LINE_MAX_CHARS:]
        return (f"<{priority(record.levelno)}>" if self._journal else "") + json.dumps(found)


_FORMATS: Final[Mapping[str, Callable[..., logging.Formatter]]] = {"plain": Plain, "json": Json}


def begin(name: str = "dnstap-bgp", stream: TextIO | None = None) -> None:
    """Log to stderr from now on, plainly; `configure` follows once there is a configuration.

    Args:
        name: Stands at each line's beginning.
        stream: A test's, in place of stderr.
    """
    logging.raiseExceptions = False  # a reader of stderr that is gone is no reason to say so there
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.set_name(name)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    configure("plain", "info")


def configure(form: str, level: str) -> None:
    """Put a configuration's `[log]` in force; at the start and at each reload.

    Args:
        form: `plain` or `json`.
        level: One of LEVELS.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.name:
            handler.setFormatter(_FORMATS[form](handler.name, journal=is_journal(handler.stream)))
    set_level(level)


def set_level(name: str) -> None:
    """Say less or more from now on, until the next reload brings the configuration's level back; any thread may.

    Raises:
        CommandError: There is no such level.
    """
    number = LEVELS.get(name)
    if number is None:
        raise CommandError(f"{name!r} is no level of the log: {', '.join(LEVELS)}")
    logging.getLogger(_OURS).setLevel(number)
    logging.getLogger().setLevel(max(number, OTHERS_LEVEL))


def level() -> str:
    """The level in force."""
    return logging.getLevelName(logging.getLogger(_OURS).getEffectiveLevel()).lower()


def is_journal(stream: TextIO, given: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a stream goes to systemd's journal: JOURNAL_STREAM names its file, systemd.exec(5)."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or a test's
        return False
    return given.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def priority(levelno: int) -> int:
    """The journal's number for a level, sd-daemon(3)."""
    return _SYSLOG.get(levelno, 5)


class RateLimitedLog:
    """Logs the first lines of each kind in a window; the first line of a later one tells how many were left out.

    For one thread.
    """

    def __init__(
        self, logger: logging.Logger, clock: Callable[[], float], burst: int = BURST, window_s: float = WINDOW_S
    ) -> None:
        """Make one.

        Args:
            logger: Where the lines go.
            clock: Seconds, never going back.
            burst: Lines of one kind in a window.
            window_s: Length of a window.
        """
        self._logger = logger
        self._clock = clock
        self._limiter = EventLimiter(burst, window_s)

    def log(self, level: int, kind: str, message: str, *args: object) -> None:
        """Log a line, or count it.

        Args:
            level: As in logging.
            kind: What is limited together; words of the code or the configuration, never of input: each is remembered.
            message: With its args, as in logging.
            *args: For the message.
        """
        left_out = self._limiter.admit(kind, self._clock())
        if left_out is None:
            return
        if left_out.times:
            message += " (and %d more like this since %.0f s ago)"
            args = (*args, *left_out)
        self._logger.log(level, message, *args)


def _time_text(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
