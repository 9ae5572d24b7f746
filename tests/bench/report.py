"""The table, the JSON and the picture of the scaling plots."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

from rich.table import Table

from tests.bench.figure import Figure, LackingError

Results = Mapping[str, Sequence[Figure]]
"""The figures of each area."""


def table(results: Results) -> Table:
    """The table for people."""
    shown = Table(title="one line each: median of the rounds, and their range", title_justify="left")
    for title, justify in (
        ("area", "left"),
        ("figure", "left"),
        ("value", "right"),
        ("reference", "right"),
        ("ratio", "right"),
        ("range", "right"),
        ("target", "left"),
        ("", "left"),
    ):
        shown.add_column(title, justify=justify)  # type: ignore[arg-type]  # a literal of rich's, from a tuple
    for area, figures in results.items():
        for number, figure in enumerate(figures):
            shown.add_row(area if not number else "", *_cells(figure), end_section=number == len(figures) - 1)
    return shown


def _cells(figure: Figure) -> tuple[str, ...]:
    reference = ratio = ""
    if figure.reference:
        reference = f"{_number(statistics.median(figure.reference))} ({figure.against})"
        ratio = f"{statistics.median(figure.ratios):.2f}x"
    return (
        figure.name,
        f"{_number(statistics.median(figure.values))} {figure.unit}",
        reference,
        ratio,
        f"{_number(min(figure.judged))} - {_number(max(figure.judged))}",
        _target(figure),
        {True: "met", False: "[bold]missed[/bold]", None: ""}[figure.is_met],
    )


def _target(figure: Figure) -> str:
    limit = figure.at_most if figure.at_most is not None else figure.at_least
    if limit is None:
        return ""
    text = f"{'at most' if figure.at_most is not None else 'at least'} {_number(limit)}"
    text += " in every round" if figure.always else ""
    return text + (f" (proud: {_number(figure.proud)})" if figure.proud is not None else "")


def _number(value: float) -> str:
    """Three digits, or all before the point."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def write_json(path: Path, results: Results, lacking: Mapping[str, str]) -> None:
    """Write all values of all rounds."""
    path.write_text(
        json.dumps(
            {
                "machine": {
                    "cores": os.cpu_count(),
                    "kernel": platform.release(),
                    "python": platform.python_version(),
                    "protobuf": version("protobuf"),
                    "exabgp": version("exabgp"),
                    "load": os.getloadavg(),
                },
                "figures": {area: [figure.as_json() for figure in figures] for area, figures in results.items()},
                "not measured": dict(lacking),
            },
            indent=2,
        ),
        encoding="utf-8",
    )


def draw(path: Path, results: Results) -> bool:
    """Draw a plot for each series.

    Returns:
        False: there is nothing to draw.

    Raises:
        LackingError: matplotlib isn't installed.
    """
    sized = [figure for figures in results.values() for figure in figures if figure.size is not None]
    sized.sort(key=lambda figure: (figure.series, figure.size or 0))
    series = [(name, list(group)) for name, group in groupby(sized, key=lambda figure: figure.series)]
    if not series:
        return False
    try:
        from matplotlib.figure import Figure as Picture  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise LackingError("no picture: matplotlib is missing (pip install '.[bench]')") from error
    columns = min(3, len(series))
    rows = -(-len(series) // columns)
    picture = Picture(figsize=(4.6 * columns, 3.4 * rows), layout="constrained")
    for number, (name, figures) in enumerate(series, 1):
        plot = picture.add_subplot(rows, columns, number)
        sizes = [figure.size or 0 for figure in figures]
        low, middle, high = ([pick(figure.values) for figure in figures] for pick in (min, statistics.median, max))
        plot.fill_between(sizes, low, high, alpha=0.25, linewidth=0)
        plot.plot(sizes, middle, marker="o")
        limits = [(figure.size or 0, figure.at_most) for figure in figures if figure.at_most and not figure.reference]
        if limits:
            at, most = zip(*limits, strict=True)
            plot.scatter(at, most, marker="_", s=400, color="tab:red", label="at most")
            plot.legend()
        plot.set_xscale("log")
        plot.set_ylim(bottom=0)
        plot.set_title(name, fontsize="medium")
        plot.set_ylabel(figures[0].unit)
        plot.grid(alpha=0.3)
    picture.savefig(path)
    return True
