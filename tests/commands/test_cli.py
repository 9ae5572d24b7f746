"""The commands as a stranger meets them."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from dnstap_bgp import __version__
from dnstap_bgp.cli import main
from dnstap_bgp.commands.options import CONFIG
from dnstap_bgp.config import DEFAULT_PATH
from tests.commands.running import cli, environment, write_config

COMMANDS = [
    "add",
    "check",
    "demo",
    "diff",
    "doctor",
    "dump",
    "exabgp-conf",
    "forget",
    "import",
    "lists",
    "log-level",
    "match",
    "plugin",
    "reload",
    "replay",
    "routes",
    "save",
    "status",
    "up",
    "watch",
    "why",
]


def invoke(*arguments: str):
    return CliRunner().invoke(main, arguments)


def test_help_names_every_command():
    shown = invoke("--help")
    assert shown.exit_code == 0
    assert sorted(main.commands) == COMMANDS
    assert all(f"\n  {command} " in shown.output for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command):
    shown = invoke(command, "-h")
    assert shown.exit_code == 0
    assert len(shown.output) > 200
    assert "\b" not in shown.output


def test_version():
    assert invoke("--version").output == f"dnstap-bgp, version {__version__}\n"


def test_the_default_configuration_is_the_one_that_the_loader_knows():
    assert CONFIG == DEFAULT_PATH


@pytest.mark.parametrize("command", ["up", "exabgp-conf", "reload", "check"])
def test_a_configuration_with_errors_is_told_whole_and_ends_with_1(tmp_path, command):
    config = write_config(tmp_path)
    config.write_text(config.read_text().replace("as = 65001", "as = 0") + "nonsense = 1\n")
    done = cli(command, "--config", str(config))
    assert done.returncode == 1
    assert "bgp.as" in done.stdout + done.stderr
    assert "nonsense" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_configuration_is_named(tmp_path):
    done = cli("up", "--config", str(tmp_path / "none.toml"))
    assert done.returncode == 1
    assert f"{tmp_path}/none.toml" in done.stderr


def test_exabgp_conf_prints_the_configuration_and_nothing_else(tmp_path):
    done = cli("exabgp-conf", "--config", str(write_config(tmp_path)))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("process dnstap {\n")
    assert done.stdout.endswith("}\n")


def test_check_tells_what_is_good(tmp_path):
    done = cli("check", "--config", str(write_config(tmp_path)))
    assert done.returncode == 0
    assert "list default: 1 rule\n" in done.stdout


def test_match_tells_the_rule(tmp_path):
    shown = invoke("match", "www.example.com", "example.org", "--config", str(write_config(tmp_path)))
    assert shown.exit_code == 0
    assert "www.example.com: matched by example.com (list default, " in shown.output
    assert "example.org: no rule matches" in shown.output


def test_dump_of_a_file_that_is_not_there(tmp_path):
    shown = invoke("dump", str(tmp_path / "none"))
    assert shown.exit_code == 1
    assert "is empty or does not exist" in shown.output


def test_replay_without_a_listener(tmp_path):
    shown = invoke("replay", str(tmp_path / "none"), "--to", str(tmp_path / "sock"))
    assert shown.exit_code == 1
    assert str(tmp_path / "none") in shown.output


def test_the_plugins_start_imports_no_other_command():
    heavy = ("rich", "pydantic", "exabgp")
    code = f"import sys; import dnstap_bgp.cli; print([m for m in sys.modules if m.startswith({heavy})])"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
