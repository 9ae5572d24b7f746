"""Fixtures of the web's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workers.web import site_kit
from tests.workers.web.site_kit import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_kit.running(tmp_path) as site:
        yield site
