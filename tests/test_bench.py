"""The benchmark's entry point works: tiny sizes, whose figures say nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("area", ["ingest", "saturated", "lists", "table", "store"])
def test_an_area_gives_its_figures(tmp_path: Path, area: str):
    bench(tmp_path, area)
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found["not measured"] == {}
    figures = found["figures"][area]
    assert figures
    for figure in figures:
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
