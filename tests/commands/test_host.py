"""ExaBGP as a child process: the version, the environment, the processes that are found below it."""

import importlib.metadata
import signal

import pytest

from dnstap_bgp.commands import host
from dnstap_bgp.errors import HostError
from tests.commands.running import running, write_config


@pytest.mark.parametrize(("signum", "catches"), [(signal.SIGHUP, True), (signal.SIGUSR2, False)])
def test_a_plugin_is_only_found_if_the_signal_would_not_end_it(tmp_path, signum, catches):
    with running(write_config(tmp_path)) as up:
        (exabgp,) = host.children(up.process.pid)
        expected = up.plugin_pid if catches else None
        up.until(lambda: host.plugin_pid(exabgp, signum) == expected, "the plugin's handlers")


def test_an_operators_exabgp_variables_do_not_break_it(tmp_path):
    stray = {"exabgp_api_ack": "false", "exabgp.daemon.daemonize": "true", "exabgp_cli_pipe": "/nowhere/"}
    stray["exabgp_api_chunk"] = "0"  # no `show` would ever end
    with running(write_config(tmp_path), **stray) as up:
        up.until(lambda: "done" in up.noted, "ExaBGP's answer to the plugin")
        assert "exabgp.daemon.daemonize, exabgp_api_ack, exabgp_api_chunk, exabgp_cli_pipe" in up.log


def test_environment_keeps_what_only_concerns_the_log(tmp_path):
    given = {"exabgp_log_level": "DEBUG", "exabgp.log.destination": "syslog", "exabgp_tcp_once": "true", "HOME": "/h"}
    env = host.environment(tmp_path, given)
    assert env["exabgp_log_level"] == "DEBUG"
    assert env["exabgp.log.destination"] == "syslog"
    assert "exabgp_tcp_once" not in env
    assert env["HOME"] == "/h"


@pytest.mark.parametrize("version", ["4.2.25", "5.0.14", "6.0.0"])
def test_another_exabgp_is_refused(monkeypatch, version):
    monkeypatch.setattr(importlib.metadata, "version", lambda _name: version)
    with pytest.raises(HostError, match=f"ExaBGP {version} is installed.*>=5.0.15,<6"):
        host.installed_version()


@pytest.mark.parametrize("version", ["5.0.15", "5.1", "5.99.0"])
def test_any_later_version_of_the_dialect_will_do(monkeypatch, version):
    monkeypatch.setattr(importlib.metadata, "version", lambda _name: version)
    assert host.installed_version() == version


def test_exabgp_names_the_reason_when_it_refuses_a_configuration(tmp_path):
    file = tmp_path / "exabgp.conf"
    file.write_text("neighbor 127.0.0.1 {\n    unheard-of 1;\n}\n")
    with pytest.raises(HostError, match="unheard-of"):
        host.validate(file, host.environment(tmp_path))
