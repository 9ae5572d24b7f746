"""The benchmark's entry point works: tiny sizes, whose figures say nothing."""

import json
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
AREAS = [
    ["scrape", "store"],
    pytest.param(["restart"], marks=pytest.mark.long),
    pytest.param(["ingest"], marks=pytest.mark.long),
    pytest.param(["names"], marks=pytest.mark.long),
    pytest.param(["saturated"], marks=pytest.mark.long),
    pytest.param(["table"], marks=pytest.mark.long),
]
"""Those that need no daemon."""


@pytest.mark.parametrize("areas", AREAS, ids="-".join)
def test_the_entry_point_gives_figures(tmp_path: Path, areas: list[str]):
    bench(tmp_path, *areas)
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found["not measured"] == {}
    assert list(found["figures"]) == areas
    for figure in chain.from_iterable(found["figures"].values()):
        assert figure["values"], figure
        assert len(figure["reference"]) in (0, len(figure["values"])), figure


def test_a_wrong_area_is_named(tmp_path: Path):
    with pytest.raises(AssertionError, match="nonsense"):
        bench(tmp_path, "nonsense")


def bench(folder: Path, *words: str) -> None:
    command = [sys.executable, "-m", "tests.bench", *words, "--quick", "--rounds", "1"]
    files = ["--json", str(folder / "figures.json"), "--plot", str(folder / "plots.svg")]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
