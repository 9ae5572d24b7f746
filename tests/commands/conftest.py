"""Fixtures of the commands' tests."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can pass through, unlike pytest's own."""
    folder = Path("/tmp", f"dnstap-bgp-test-{uuid.uuid4().hex[:8]}")  # noqa: S108 - a fresh random name
    folder.mkdir(mode=0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
