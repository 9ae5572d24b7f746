"""What the markers mean, and the daemons' logs beside a failed test.

A test that lacks its programs is skipped and says which; under CI (or DNSTAP_BGP_TEST_STRICT) it fails instead, so
that nothing is left out there unnoticed.
"""

import os
import shutil
import subprocess
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.integration.lab import Lab, unique_name

# a slow machine proves nothing
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
"""Debian keeps daemons where a plain user's PATH does not look."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="the long rounds, too")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name odd bytes by their number: what is in them may change from run to run, and test processes compare names."""
    if isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable() and len(val) < 40):
        return f"{len(val)} bytes"
    return None


def pytest_configure() -> None:
    os.environ["PATH"] = SYSTEM_PATH


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("full"):
        skip = pytest.mark.skip(reason="a long round: only with --full")
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(skip)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    wanted = {program for marker in item.iter_markers("real") for program in marker.args}
    missing = sorted(program for program in wanted if not shutil.which(program))
    if item.get_closest_marker("netns") and (reason := no_namespaces()):
        missing.append(reason)
    if missing:
        text = f"missing: {', '.join(missing)}"
        if _strict():
            pytest.fail(f"{text} (a skip anywhere else, a failure in CI)", pytrace=False)
        pytest.skip(text)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give a failed test's report the ends of the logs of the lab that it used."""
    report = yield
    # test processes hand their reports over as UTF-8, and some tests log what is none
    report.sections = [(title, text.encode("utf-8", "backslashreplace").decode()) for title, text in report.sections]
    lab = getattr(item, "funcargs", {}).get("lab")
    if report.failed and lab is not None:
        report.sections += [(f"end of {name}", text) for name, text in lab.logs()]
    return report


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Two linked namespaces; everything that was started in them is ended, and what outlives that fails the test."""
    lab = Lab(tmp_path)
    try:
        yield lab
    finally:
        lab.close()


@cache
def no_namespaces() -> str | None:
    """Why network namespaces can't be made here; None: they can."""
    if os.geteuid() != 0:
        return "root (for network namespaces)"
    if not shutil.which("ip"):
        return "ip (iproute2)"
    name = unique_name()
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"network namespaces ({made.stderr.strip()})"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


def _strict() -> bool:
    return os.environ.get("CI", "").lower() in ("1", "true") or bool(os.environ.get("DNSTAP_BGP_TEST_STRICT"))
