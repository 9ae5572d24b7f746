"""A soak of the whole: hours of load, churn and faults; see tests/README.md.

    python -m tests.soak --hours N [--seed N] [--out FOLDER]

Exit status 1: at a quiet point the sets were not equal, something crashed, or something grows. It makes namespaces, so
it needs root; what it starts, it ends.
"""

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.soak.rounds import slope_text, soak

SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


def main() -> int:
    """Soak, and tell what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Hours of load, churn and faults.")
    parser.add_argument("--hours", type=float, default=1.0, help="how long (1)")
    parser.add_argument("--seed", type=int, default=1, help="of what is done when (1)")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()), help="for soak.json and soak.svg")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 200)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was started is ended
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        found = soak(Path(folder), arguments.out, arguments.hours * 3600, arguments.seed, say)
    for name, slope in found.slopes.items():
        say(f"{name:24} {slope_text(name, slope)}")
    say(f"{found.quiet} quiet points with equal sets, {len(found.events)} events; {arguments.out}/soak.svg")
    for failure in found.failures:
        say(f"FAILED: {failure}")
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
