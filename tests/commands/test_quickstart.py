"""`deploy/quickstart.sh`: its refusals quickly, and all of it in the long round."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PATH = "/usr/bin:/bin"


def quickstart(checkout: Path, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "HTTP", "http", "HOME"))}
    command = ["sh", str(checkout / "deploy/quickstart.sh")]
    given = {"PATH": PATH, **kept, **env}
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture
def python(tmp_path):
    """A Python that lacks modules: those whose names stand in LACKS."""
    script = tmp_path / "python"
    script.write_text(
        f'#!/bin/sh\ncase " $LACKS " in *" ${{2#import }} "*) exit 1;; esac\nexec {sys.executable} "$@"\n'
    )
    script.chmod(0o755)
    return str(script)


def test_without_a_fitting_python_it_says_what_it_needs(tmp_path):
    done = quickstart(CHECKOUT, PYTHON="false", VENV=str(tmp_path / "venv"))
    assert done.returncode == 1
    assert "Python 3.11 or later is needed" in done.stderr


def test_without_the_means_to_make_an_environment_it_says_what_to_install(tmp_path, python):
    (tmp_path / "bin").mkdir()
    apt = tmp_path / "bin/apt-get"
    apt.write_text("#!/bin/sh\nexit 100\n")
    apt.chmod(0o755)
    path = f"{apt.parent}:{PATH}"
    done = quickstart(CHECKOUT, PYTHON=python, LACKS="ensurepip pip", VENV=str(tmp_path / "venv"), PATH=path)
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr


def test_it_never_clears_a_folder_that_is_no_environment(tmp_path, python):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/work").write_text("of years")
    done = quickstart(CHECKOUT, PYTHON=python, VENV=str(tmp_path / "mine"))
    assert done.returncode == 1
    assert "is no Python environment" in done.stderr
    assert (tmp_path / "mine/work").read_text() == "of years"


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("lacks", ["", "ensurepip"])
def test_from_a_clone_to_the_demo_and_again(tmp_path, python, lacks):
    clone = tmp_path / "clone"
    shutil.copytree(CHECKOUT, clone, ignore=shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", ".*_cache"))
    for _ in range(2):
        done = quickstart(clone, PYTHON=python, LACKS=lacks)
        assert done.returncode == 0, done.stderr
        assert "12 routes." in done.stdout
        assert f"{clone}/.venv/bin/dnstap-bgp --help" in done.stdout
