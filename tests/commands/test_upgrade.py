"""The commands of today and an `up` of 0.1.0, which runs on after an upgrade of the packages."""

import os
import signal
import site
from pathlib import Path

import pytest

from tests import earlier
from tests.commands.running import PACKAGE_FOLDER, Instance, cli, up, write_config

CACHE = 'cache = "state"'


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Where the package is installed: a link, to 0.1.0 for now."""
    link = tmp_path / "installed"
    link.symlink_to(earlier.unpack(tmp_path / "0.1.0"))
    return link


def python_path(installed: Path) -> str:
    return os.pathsep.join([str(installed), *site.getsitepackages()])


def upgrade(installed: Path) -> None:
    new = installed.with_name("new")
    new.symlink_to(PACKAGE_FOLDER)
    new.replace(installed)


def reload(found: Instance) -> str:
    done = cli("reload", "--config", str(found.config))
    if "but not the sessions" in done.stderr:  # a busy ExaBGP has not read them in two seconds
        found.until(lambda: "runs with its new configuration" in found.log, "the sessions")
        done = cli("reload", "--config", str(found.config))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_up_of_0_1_0_with_its_plugin(tmp_path: Path, installed: Path):
    config = write_config(tmp_path, top=CACHE)
    with up(config, PYTHONPATH=python_path(installed)) as found:
        assert reload(found).endswith("reloaded: 1 rules, 0 routes\n")
        write_config(tmp_path, top=CACHE, peer_as=65009)
        (tmp_path / "domains.txt").write_text("example.com\nexample.org\n")
        shown = cli("diff", "--config", str(config))
        assert "list default: rules: 1 added" in shown.stdout, shown.stderr
        assert reload(found).endswith("reloaded: 2 rules, 0 routes\n")
        assert "runs with its new configuration" in found.log, "the sessions came first"
        assert "default: 2 rules" in cli("lists", "--config", str(config)).stdout
        assert cli("status", "--config", str(config)).returncode == 0
        upgrade(installed)  # from now on its children are of another version, and it can read nothing new
        (tmp_path / "domains.txt").write_text("example.org\n")
        failed = cli("reload", "--config", str(config))
        assert failed.returncode == 1
        assert failed.stderr.startswith("the reload failed; what ran before still runs:\n")
        assert "which is installed: restart the service" in failed.stderr
        assert "default: 2 rules" in cli("lists", "--config", str(config)).stdout


def test_an_up_of_0_1_0_with_a_plugin_of_today(tmp_path: Path, installed: Path):
    config = write_config(tmp_path)
    with up(config, PYTHONPATH=python_path(installed)) as found:
        old = found.plugin_pid
        assert old is not None
        # The pidfile is there before the lists: 0.1.0's child that compiles them must not import half of each tree.
        found.until(lambda: "listening for DNSTap" in found.log, "the lists of the earlier plugin")
        upgrade(installed)
        os.kill(old, signal.SIGKILL)  # ExaBGP starts what is installed now
        found.until(lambda: found.plugin_pid not in (None, old), "the new plugin")
        write_config(tmp_path, peer_as=65009)
        assert reload(found).endswith("reloaded: 1 rules, 0 routes\n")
        assert "runs with its new configuration" in found.log
        assert "no change" in cli("diff", "--config", str(config)).stdout


def test_a_reload_costs_a_plugin_no_memory_whose_control_socket_nobody_uses(tmp_path: Path):
    config = write_config(tmp_path)
    with up(config) as found:

        def loaded() -> bool:
            return "_asyncio" in Path(f"/proc/{found.plugin_pid}/maps").read_text()

        reload(found)
        assert not loaded(), "asyncio, and with it aiohttp"
        assert cli("status", "--config", str(config)).returncode == 0
        assert loaded()
