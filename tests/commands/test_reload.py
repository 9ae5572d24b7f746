"""`dnstap-bgp reload` against a real `up` with a stub plugin, and against a plugin alone."""

import json
import os
import re
import socket
import subprocess
import sys
import threading

import pytest

from dnstap_bgp import config as configuration
from dnstap_bgp.commands import reload
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.process import instance, runtime
from tests.commands.running import STUB, cli, environment, running, write_config
from tests.integration.lab import eventually


def test_it_reloads_and_tells_what_runs_now(tmp_path):
    config = write_config(tmp_path)
    with running(config) as up:
        done = cli("reload", "--config", str(config))
        assert (done.returncode, done.stdout) == (0, "reloaded: 3 rules, 1 routes\n"), done.stderr
        assert up.noted.count("HUP") == 1
        done = cli("reload", "--json", "--config", str(config))
        assert json.loads(done.stdout) == {"messages": ["reloaded: 3 rules, 1 routes"]}
        assert not (up.runtime_dir / "reload.request").exists(), "a plain HUP is no answer to it"


def test_a_failed_reload_is_told_with_exit_status_1(tmp_path):
    config = write_config(tmp_path)
    with running(config):
        done = cli("reload", "--force", "--config", str(config))
        assert done.returncode == 1
        assert "the reload failed; what ran before still runs:\nno\n" in done.stderr


def test_a_reload_in_part_is_told_with_what_is_left_out(tmp_path):
    config = write_config(tmp_path)
    with running(config):
        done = cli("reload", "--force", "part", "--config", str(config))
        assert done.returncode == 1
        assert "reloaded: 3 rules, 1 routes; but not all of it is in force:\nno\n" in done.stderr
        assert cli("reload", "--force", "a", "--force", "--config", str(config)).stderr.count("the reload failed") == 1


@pytest.mark.parametrize(
    ("top", "more", "what"),
    [
        ('domains = "missing.txt"', "", "list default: {}/missing.txt: No such file"),
        ("", '[[list]]\nname = "new"\nsources = ["new.txt"]', "list new: {}/new.txt: No such file"),
        ('[dnstap]\nlisten = "127.0.0.1:1"\ntls_cert = "domains.txt"', "", "dnstap.tls_cert"),
        ("", '[http]\nlisten = "127.0.0.1:1"\ntls_cert = "no.pem"\ntls_key = "no.pem"', "http.tls_cert"),
    ],
)
def test_what_the_plugin_could_not_use_changes_no_session_either(tmp_path, top: str, more: str, what: str):
    config = write_config(tmp_path)
    with running(config, HOST_FIRST_S="60") as up:
        up.until(lambda: "done" in up.noted, "the route")
        before = runtime.host_file(up.runtime_dir).read_bytes()
        text = write_config(tmp_path, peer_as=65009, more=more).read_text()
        for line in top.splitlines():
            text = re.sub(rf"^{re.escape(line.split(' = ')[0])}( = .*)?$", line, text, count=1, flags=re.MULTILINE)
        if "tls_cert" in top:
            text = text.replace("[bgp]", 'tls_cert = "domains.txt"\n[bgp]')
        config.write_text(text)
        done = cli("reload", "--config", str(config))
        assert done.returncode == 1
        assert done.stderr.startswith("the reload failed; what ran before still runs:\n")
        assert what.format(tmp_path) in done.stderr
        assert "HUP" not in up.noted
        assert runtime.host_file(up.runtime_dir).read_bytes() == before
        assert not runtime.host_file(up.runtime_dir).with_suffix(".new").exists()
        write_config(tmp_path, peer_as=65009)
        assert cli("reload", "--config", str(config)).returncode == 0
        assert b"65009" in runtime.host_file(up.runtime_dir).read_bytes()


def test_a_broken_file_is_told_without_bothering_the_instance(tmp_path):
    config = write_config(tmp_path)
    with running(config) as up:
        config.write_text(config.read_text() + "nonsense = 1\n")
        done = cli("reload", "--config", str(config))
        assert done.returncode == 1
        assert "nonsense" in done.stderr
        assert "HUP" not in up.noted


def test_a_change_of_sessions_has_reached_exabgp_when_it_returns(tmp_path):
    config = write_config(tmp_path)
    with running(config, HOST_FIRST_S="60") as up:
        up.until(lambda: "done" in up.noted, "the route")
        write_config(tmp_path, peer_as=65009)
        assert cli("reload", "--config", str(config)).returncode == 0
        assert "runs with its new configuration" in up.log


def test_sessions_that_could_not_change_yet_are_told_apart_from_the_rest(tmp_path):
    with socket.socket() as deaf:  # a neighbor that swallows SYNs keeps routes pending, and ExaBGP as it is
        deaf.bind(("127.0.0.2", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        config = write_config(tmp_path, port=port)
        with socket.create_connection(("127.0.0.2", port)), running(config) as up:
            up.until(lambda: "done" in up.noted, "a route that is pending")
            write_config(tmp_path, port=port, peer_as=65009)
            done = cli("reload", "--config", str(config))
    assert done.returncode == 1
    assert done.stderr.startswith("reloaded: 3 rules, 1 routes; but not the sessions:\nExaBGP has not read")


def test_a_plugin_without_up_is_found_by_its_pidfile(tmp_path):
    config = write_config(tmp_path)
    pidfile = configuration.load(config).pidfile
    pidfile.parent.mkdir()
    command = [sys.executable, str(STUB), "plugin", "--config", str(config)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment()) as plugin:
        try:
            eventually((tmp_path / "noted").exists, 20, "the plugin")
            assert cli("reload", "--config", str(config)).returncode == 0
        finally:
            plugin.kill()


def test_without_a_plugin_it_says_so(tmp_path):
    config = write_config(tmp_path)
    done = cli("reload", "--config", str(config))
    assert done.returncode == 2
    assert "no plugin is running" in done.stderr


def test_a_pid_in_an_unlocked_file_is_nobody(tmp_path):
    config = write_config(tmp_path)
    pidfile = configuration.load(config).pidfile
    pidfile.parent.mkdir()
    pidfile.write_text(f"{os.getpid()}\n")
    runtime.up_pidfile(pidfile.parent).write_text(f"{os.getpid()}\n")
    with pytest.raises(CommandError, match="no plugin is running"):
        reload.run(config)


def test_silence_has_a_deadline(tmp_path, monkeypatch):
    config = write_config(tmp_path)
    pidfile = configuration.load(config).pidfile
    pidfile.parent.mkdir()
    lock = instance.PidFile(pidfile)
    assert lock.acquire(threading.Event())
    signals = []
    monkeypatch.setattr(os, "kill", lambda pid, signum: signals.append((pid, signum)))
    (pidfile.parent / "reload.result").write_text('{"id": "of an earlier one", "ok": true}')
    try:
        with pytest.raises(CommandError, match="no answer in"):
            reload.run(config, timeout_s=0.2)
    finally:
        lock.release()
    assert len(signals) == 1
