"""What every figure of the benchmark is: a value a round, what it is held against, and what it may be."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol


class LackingError(Exception):
    """A figure can't be taken here; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        name: What was measured.
        unit: Of the values.
        values: One for each round.
        reference: The value of the same round that it is held against, if there is one.
        against: What that is.
        at_most: The target for the ratio, where there is a reference; otherwise for the value.
        at_least: Likewise.
        proud: What would be better than the target.
        always: The target is for the worst round, not for the median: one lost frame is lost.
        series: Figures of one series, at different sizes, make a line of a plot.
        size: See there.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    reference: tuple[float, ...] = ()
    against: str = ""
    at_most: float | None = None
    at_least: float | None = None
    proud: float | None = None
    always: bool = False
    series: str = ""
    size: int | None = None

    @property
    def ratios(self) -> tuple[float, ...]:
        """Value to reference, each within its round, so that a change of the machine's pace meets both."""
        return tuple(value / floor if floor else 0.0 for value, floor in zip(self.values, self.reference, strict=True))

    @property
    def judged(self) -> tuple[float, ...]:
        """What the target is for."""
        return self.ratios if self.reference else self.values

    @property
    def is_met(self) -> bool | None:
        """Whether the median of the rounds, or `always` the worst, is within the target; None: there is none."""
        if self.at_most is not None:
            return (max if self.always else statistics.median)(self.judged) <= self.at_most
        if self.at_least is not None:
            return (min if self.always else statistics.median)(self.judged) >= self.at_least
        return None

    def as_json(self) -> dict[str, Any]:
        """All of it, with what follows from it."""
        return asdict(self) | {
            "median": statistics.median(self.values),
            "ratio": statistics.median(self.ratios) if self.reference else None,
            "met": self.is_met,
        }


@dataclass(frozen=True, slots=True)
class Settings:
    """How to measure.

    Attributes:
        folder: For sockets, state files and logs; removed in the end.
        rounds: How many values each figure has.
        quick: Tiny sizes, which only show that everything runs.
        say: Tells a person what is being done.
    """

    folder: Path
    rounds: int = 5
    quick: bool = False
    say: Callable[[str], None] = field(default=lambda _: None)

    def size(self, usual: int, quick: int) -> int:
        """A size, or its tiny stand-in."""
        return quick if self.quick else usual

    def fresh_folder(self, name: str) -> Path:
        """An empty folder of this name, numbered."""
        number = len(list(self.folder.glob(f"{name}.*")))
        made = self.folder / f"{name}.{number}"
        made.mkdir()
        return made


class Area(Protocol):
    """A module with figures."""

    def run(self, settings: Settings) -> Iterator[Figure]:
        """Take the figures.

        Raises:
            LackingError: Something that they need isn't here.
        """


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent don't exceed."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]
