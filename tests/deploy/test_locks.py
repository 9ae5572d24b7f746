"""The lock files of what the packages and the image ship: whole, with hashes, and to be had for each processor."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-build.lock", "requirements-lock.lock")
PYTHONS = ("3.11", "3.12", "3.13")
"""Of Debian 12, Ubuntu 24.04, Debian 13."""
PROCESSORS = ("x86_64", "aarch64")


def pins(name: str) -> dict[str, str]:
    """The version of each package that a lock names."""
    text = (ROOT / "deploy" / name).read_text()
    found = re.findall(r"^([\w.-]+)==([\w.]+)(?: ; [^\\\n]*)? \\$", text, re.MULTILINE)
    return {canonicalize_name(package): version for package, version in found}


@pytest.mark.parametrize("name", LOCKS)
def test_each_line_is_a_pin_or_a_hash(name: str):
    lines = [line for line in (ROOT / "deploy" / name).read_text().splitlines() if not line.lstrip().startswith("#")]
    starts = [number for number, line in enumerate(lines) if not line.startswith(" ")]
    assert len(starts) == len(pins(name))
    for start in starts:
        assert re.fullmatch(r" {4}--hash=sha256:[0-9a-f]{64}( \\)?", lines[start + 1]), lines[start]


def test_the_lock_has_all_that_the_program_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = pins("requirements.lock")
    for text in (*project["dependencies"], *project["optional-dependencies"]["redis"]):
        wanted = Requirement(text)
        version = locked.get(canonicalize_name(wanted.name))
        assert version is not None, f"{wanted.name} is not in the lock: run deploy/lock"
        assert wanted.specifier.contains(version), f"{text}, and the lock has {version}: run deploy/lock"


def test_the_lock_of_the_build_has_all_that_the_build_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    text = (ROOT / "deploy/packaging/requirements-build.in").read_text()
    asked = [line.partition("#")[0].strip() for line in text.splitlines()]
    locked = pins("requirements-build.lock")
    for wanted in map(Requirement, filter(None, [*asked, *project["build-system"]["requires"]])):
        assert wanted.specifier.contains(locked[canonicalize_name(wanted.name)])


def test_nothing_from_outside_is_installed_without_a_hash():
    assert set(pins("requirements-lock.lock")) == {"uv"}
    for script in (ROOT / "deploy/lock", ROOT / "deploy/packaging/stage", ROOT / "deploy/quickstart.sh"):
        text = script.read_text().replace("\\\n", " ")
        lines = re.findall(r"^(?! *fail ).*\bpip\b.* (?:install|download|wheel) .*$", text, re.MULTILINE)
        assert lines
        for line in lines:
            assert re.search("--require-hashes|--no-index|--no-deps --no-build-isolation", line), f"{script}: {line}"


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("python", PYTHONS)
def test_each_package_has_a_wheel_for_this_python_and_processor(tmp_path: Path, python: str, processor: str):
    """So that neither package nor image needs a compiler; its hash is one that the lock knows."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    command += [f"--platform={tag}_{processor}" for tag in ("manylinux2014", "manylinux_2_17", "manylinux_2_28")]
    command += [f"--dest={tmp_path}", f"--requirement={ROOT / 'deploy/requirements.lock'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    own = [path.name for path in tmp_path.iterdir() if processor in path.name]
    assert len(own) > 10
    assert len(list(tmp_path.iterdir())) >= len(pins("requirements.lock")) - 1  # one is for an old 3.11 alone
