"""The ends of a plugin's pipes, for each test."""

from contextlib import closing

import pytest

from tests.workers.exabgp.bgp_kit import Plugin, Script


@pytest.fixture
def script():
    with closing(Script()) as script:
        yield script


@pytest.fixture
def plugin(script):
    plugin = Plugin(script.stdin, script.stdout)
    yield plugin
    plugin.stop()
