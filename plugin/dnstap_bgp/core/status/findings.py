"""What is worth telling an operator: one thing that is wrong, or to be known, with what to change."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["error", "warning", "note"]
"""An error keeps routes from being right, a warning may; a note is only to be known."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One of them.

    Attributes:
        level: See `Level`.
        kind: A word that stays the same, for machines: `neighbor-down`.
        text: A sentence for a person: what is wrong, where, and what to change.
        advice: What to change, or where to look, if `text` doesn't tell.
        subject: What it is about where there may be several: a sender, a listener, a neighbor, a list.
    """

    level: Level
    kind: str
    text: str
    advice: str = ""
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.text}; {self.advice}" if self.advice else self.text
