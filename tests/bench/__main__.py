"""All benchmarks by one command; see tests/README.md, "Performance".

    python -m tests.bench [AREA ...] [--rounds N] [--json FILE] [--plot FILE] [--quick]

Each area is a module of this folder, and takes its figures in rounds, with what it is held against in the same round.
What an area lacks (a daemon, root) is said and left out. Nothing here is part of the test run.
"""

import argparse
import importlib
import logging
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.bench import report
from tests.bench.figure import Area, Figure, LackingError, Settings

AREAS = {
    "ingest": "CPU a frame, as a multiple of the decode floor",
    "names": "the same against the number of distinct names, by the CPU of the whole process",
    "saturated": "through a unix socket: pace, fairness, and the way out while the tap is saturated",
    "resolver": "behind unbound at full tilt",
    "scrape": "what a scrape a second costs",
    "lists": "1,000,000 domains: reload, stall, memory",
    "list_mix": "2,000,000 rules in 13 formats: time and memory until they are in force",
    "table": "memory of live routes; observe and expire as the table grows",
    "restart": "with 1,000,000 routes in the state file: until the tap is open, and until the first line",
    "router": "through a real ExaBGP: bulk, a fresh address, latency",
    "hold": "hooks' questions: a round trip, and until ExaBGP's acknowledgment",
    "first_connection": "hooks: first packets that take the right way, and what holding answers costs",
    "sniff": "answers off the wire: CPU, pace, and from the packet to the tap",
    "store": "the state file: save, restore, stalls",
    "aggregation": "what joining full pairs of routes would save, on three captures of a model",
    "sync": "a fleet: bytes of a change and an hour, everything to a new member",
    "engine": "a fleet's engine: what a claim takes in Redis",
}
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
"""Debian keeps daemons where a plain user's PATH does not look."""


def main() -> None:
    """Measure, and show what was found."""
    arguments = _arguments()
    _find_this_checkout()
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    logging.basicConfig(level=logging.ERROR)
    console = Console(width=None if sys.stdout.isatty() else 200)
    results: dict[str, list[Figure]] = {}
    lacking: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="dnstap-bgp-bench-") as folder:
        settings = Settings(Path(folder), arguments.rounds, arguments.quick)
        _measure(arguments.areas or list(AREAS), settings, results, lacking)
    console.print(report.table(results))
    for area, reason in lacking.items():
        console.print(f"{area}: not measured: {reason}", markup=False)
    if arguments.json:
        report.write_json(arguments.json, results, lacking)
    try:
        if report.draw(arguments.plot, results):
            console.print(f"scaling plots: {arguments.plot}")
    except LackingError as error:
        console.print(str(error), markup=False)


def _measure(areas: list[str], settings: Settings, results: dict[str, list[Figure]], lacking: dict[str, str]) -> None:
    """Take the figures of one area after the other, and show how far it is."""
    columns = (SpinnerColumn(), BarColumn(20), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(areas))
        for area in areas:
            progress.update(task, description=area)

            def say(text: str, area: str = area) -> None:
                progress.update(task, description=f"{area}: {text}")

            began = time.monotonic()
            module = cast("Area", importlib.import_module(f"tests.bench.{area}"))
            found = results[area] = []
            try:
                for figure in module.run(replace(settings, say=say)):
                    found.append(figure)  # noqa: PERF402 - what was found before something is lacking stays
            except LackingError as error:
                lacking[area] = str(error)
            progress.advance(task)
            progress.console.print(f"{area}: {len(found)} figures, {time.monotonic() - began:.0f} s")


def _find_this_checkout() -> None:
    """Measure the sources beside us, not what may be installed; processes that we start, too."""
    root = Path(__file__).parents[2]
    sys.path.insert(0, str(root / "plugin"))
    os.environ["PYTHONPATH"] = f"{root / 'plugin'}:{root}"


def _arguments() -> argparse.Namespace:
    listed = "\n".join(f"  {area:16} {what}" for area, what in AREAS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measures, prints a table, draws scaling plots.",
        epilog=f"areas:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("areas", nargs="*", choices=[[], *AREAS], metavar="AREA", help="all, unless named")
    parser.add_argument("--rounds", type=int, default=5, help="values of each figure (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value of every round there")
    default = Path(tempfile.gettempdir()) / "dnstap-bgp-bench.svg"
    parser.add_argument("--plot", type=Path, metavar="FILE", default=default, help=f".svg or .png ({default})")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only to see that everything runs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
