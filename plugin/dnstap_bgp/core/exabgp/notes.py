"""Notes for the log from code that may not log: bounded, and each kind at a bounded rate.

The core may not log; it notes, and the worker that drives it logs what `take` gives.
"""

import enum
from typing import NamedTuple

NOTE_EVERY_S = 60.0
"""The same thing is said again after so long at the earliest."""


class Level(enum.IntEnum):
    """Levels of notes, as the logging module numbers them."""

    INFO = 20
    WARNING = 30
    ERROR = 40


class Note(NamedTuple):
    """One line for the log."""

    level: Level
    text: str


class Notes:
    """Notes that wait to be logged; `key` names the kind of thing, of which the program has few.

    Attributes:
        waiting: The notes, oldest first; a turn of the writer looks whether there are any.
    """

    def __init__(self) -> None:
        self.waiting: list[Note] = []
        self._said: dict[str, float] = {}

    def say(self, key: str, now: float, level: Level, text: str) -> None:
        """Add a note, unless one of the same kind was added less than `NOTE_EVERY_S` ago."""
        if now - self._said.get(key, float("-inf")) >= NOTE_EVERY_S:
            self._said[key] = now
            self.waiting.append(Note(level, text))

    def take(self) -> list[Note]:
        """Take the notes that wait."""
        waiting, self.waiting = self.waiting, []
        return waiting
