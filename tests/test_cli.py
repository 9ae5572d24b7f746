"""The commands as a stranger meets them."""

import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from dnstap_bgp import __version__, commands
from dnstap_bgp import cli as cli_module
from dnstap_bgp.cli import COMMANDS, main
from tests.commands.running import cli, environment, write_config


def invoke(*arguments: str):
    return CliRunner().invoke(main, arguments)


def test_help_names_every_command():
    shown = invoke("--help")
    assert shown.exit_code == 0
    assert all(f"\n  {command} " in shown.output for command in COMMANDS)
    assert list(COMMANDS) == sorted(COMMANDS)
    assert max(map(len, shown.output.splitlines())) <= 100


def test_every_module_that_defines_a_command_is_in_the_table():
    defining = [
        path
        for path in Path(commands.__file__).parent.glob("*.py")
        if re.search(r"^@click\.(command|group)\(", path.read_text(), re.MULTILINE)
    ]
    names = {import_module(f"dnstap_bgp.commands.{path.stem}").command.name for path in defining}
    assert names == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_line_of_each_command_is_its_own_first_one(command):
    found = main.get_command(click.Context(main), command)
    assert found is not None
    assert found.name == command
    assert inspect.cleandoc(found.help or "").split("\n\n")[0].replace("\n", " ") == COMMANDS[command]


def test_all_that_is_printed_is_escaped_in_one_place():
    """`demo` and `replay` draw with rich; `exabgpcli` hands over to ExaBGP's own client."""
    for path in (*Path(commands.__file__).parent.glob("*.py"), Path(cli_module.__file__)):
        if path.name not in ("printing.py", "exabgp_server.py"):  # the latter is ExaBGP, with ExaBGP's own stderr
            for words in ("click.echo", "click.secho", " print(", "sys.stdout.write", "sys.stderr.write"):
                assert words not in path.read_text(), f"{path}: {words}"


def test_an_error_text_drives_no_terminal(tmp_path):
    shown = invoke("check", "--config", str(tmp_path / "\x1b]0;owned\x07\n.toml"))
    assert shown.exit_code == 1
    assert "\\x1b]0;owned\\x07\\n.toml" in shown.output
    assert not {"\x1b", "\x07"} & set(shown.output)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command):
    shown = invoke(command, "-h")
    assert shown.exit_code == 0
    assert len(shown.output) > 200
    assert "\b" not in shown.output


def test_version():
    assert invoke("--version").output == f"dnstap-bgp, version {__version__}\n"


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


def test_the_help_imports_no_command_and_nothing_heavy():
    heavy = ("rich", "pydantic", "exabgp", "dnstap_bgp.config", "dnstap_bgp.workers")
    code = f"import sys; import dnstap_bgp.cli; print([m for m in sys.modules if m.startswith({heavy})])"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
