"""An earlier release as it was, for what has to work across an upgrade: taken from this repository's history."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RELEASE_0_1_0 = "f3926fa"


def unpack(folder: Path, commit: str = RELEASE_0_1_0) -> Path:
    """Write a release's package below a folder.

    Returns:
        What belongs into PYTHONPATH.
    """
    command = ["git", "-C", str(ROOT), "archive", commit, "plugin"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs commit {commit} in the history (not a shallow checkout): {done.stderr.decode()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "plugin"
