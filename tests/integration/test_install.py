"""What `pip install .` brings: the wheel alone, without this checkout, has to work."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.integration.lab import run
from tests.integration.speaker import ROOT

PACKAGE = ROOT / "plugin" / "dnstap_bgp"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since the build leaves its traces beside the sources."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("pyproject.toml", "README.md", "LICENSE", "deploy/CHANGELOG.md"):
        (copy / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    shutil.copytree(ROOT / "plugin", copy / "plugin", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(copy), str(copy))
    [wheel] = copy.glob("*.whl")
    return wheel


def test_it_has_every_file(wheel: Path):
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("dnstap_bgp/")}
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert inside == {str(path.relative_to(PACKAGE.parent)) for path in files}


def test_license_and_changelog_come_with_it(wheel: Path):
    inside = {name.split("/", 1)[1] for name in zipfile.ZipFile(wheel).namelist() if not name.startswith("dnstap_bgp/")}
    assert {"licenses/LICENSE", "data/share/doc/dnstap-bgp/CHANGELOG.md"} <= inside


def test_its_commands_run_without_the_checkout(wheel: Path, tmp_path: Path):
    site = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel))
    environment = {**os.environ, "PYTHONPATH": str(site)}
    for command, word in (("dnstap-bgp", "up"), ("exabgpcli", "usage: exabgpcli")):
        done = subprocess.run(
            [sys.executable, site / "bin" / command, "--help"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert word in done.stdout
    where = run("env", f"PYTHONPATH={site}", sys.executable, "-c", "import dnstap_bgp; print(dnstap_bgp.__file__)")
    assert where.startswith(str(site))
