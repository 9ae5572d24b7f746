"""`dnstap-bgp up` with a real ExaBGP and a stub in the plugin's place."""

import importlib.metadata
import os
import pwd
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from dnstap_bgp.commands import host
from dnstap_bgp.errors import CommandError, HostError
from dnstap_bgp.workers.process import runtime
from tests.commands.running import environment, python_for_others, running, write_config
from tests.commands.test_exabgpcli import exabgpcli
from tests.integration.lab import eventually

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_one_command_gives_a_running_speaker_that_ends_in_order(tmp_path):
    with running(write_config(tmp_path)) as up:
        up.until(lambda: "done" in up.noted, "ExaBGP's answer to the plugin")
        assert up.runtime_dir.stat().st_mode & 0o777 == 0o711
        assert runtime.host_file(up.runtime_dir).stat().st_mode & 0o777 == 0o600
        assert len(up.members()) == 3, "ExaBGP, its client process and the plugin"
        assert up.end() == 0
        assert "TERM" in up.noted
        assert up.members() == []
        assert not any(fifo.exists() for fifo in runtime.fifos(up.runtime_dir))


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_up_when_exabgp_dies(tmp_path, signum):
    with running(write_config(tmp_path)) as up:
        (exabgp,) = host.children(up.process.pid)
        up.until(lambda: host.client_pid(exabgp), "ExaBGP's client process")
        os.kill(exabgp, signum)
        assert up.process.wait(20) == (0 if signum == signal.SIGTERM else 128 + signum)
        assert up.members() == []


def test_nothing_outlives_a_killed_up(tmp_path):
    with running(write_config(tmp_path)) as up:
        up.process.kill()
        up.process.wait(20)
        eventually(lambda: not up.members(), 20, "the end of ExaBGP and the plugin")
        assert "TERM" in up.noted, "ExaBGP ended in order"


def test_a_dead_instance_is_no_hindrance(tmp_path):
    config = write_config(tmp_path)
    with running(config) as up:
        for pid in [up.process.pid, *up.members()]:
            os.kill(pid, signal.SIGKILL)
        up.process.wait(20)
        assert all(fifo.exists() for fifo in runtime.fifos(up.runtime_dir)), "left behind"
    with running(config) as up:
        up.until(lambda: "203.0.113.7/32" in exabgpcli(up.runtime_dir, "show", "adj-rib", "out").stdout, "the route")


def test_a_second_up_is_refused_and_disturbs_nothing(tmp_path):
    config = write_config(tmp_path)
    with running(config) as up:
        second = subprocess.run(
            [sys.executable, "-m", "dnstap_bgp", "up", "--config", str(config)],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert second.returncode == 1
        assert f"(pid {up.process.pid})" in second.stderr
        up.until(lambda: "203.0.113.7/32" in exabgpcli(up.runtime_dir, "show", "adj-rib", "out").stdout, "the route")


def test_hangup_brings_changed_sessions_to_exabgp_and_then_tells_the_plugin(tmp_path):
    config = write_config(tmp_path)
    with running(config) as up:
        plugin = up.plugin_pid
        write_config(tmp_path, peer_as=65009)
        up.process.send_signal(signal.SIGHUP)
        up.until(lambda: "HUP" in up.noted, "the plugin's HUP")
        up.until(lambda: "65009" in exabgpcli(up.runtime_dir, "show", "neighbor", "summary").stdout, "the new AS")
        assert up.plugin_pid == plugin


def test_reload_gets_through_although_routes_are_pending(tmp_path):
    """A neighbor that swallows SYNs keeps routes pending: ExaBGP drops the first signals silently."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.2", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        with socket.create_connection(("127.0.0.2", port)), running(write_config(tmp_path, port=port)) as up:
            up.until(lambda: "done" in up.noted, "a route that is pending")
            write_config(tmp_path, port=port, peer_as=65009)
            up.process.send_signal(signal.SIGHUP)
            up.until(lambda: "HUP" in up.noted, "the plugin's HUP, which does not wait for ExaBGP")
            assert "has not read its new configuration yet" in up.log
            deaf.close()
            up.until(lambda: "runs with its new configuration" in up.log, "ExaBGP's reload")
            assert "65009" in exabgpcli(up.runtime_dir, "show", "neighbor", "summary").stdout


def test_a_broken_configuration_is_reported_and_the_old_one_kept(tmp_path):
    config = write_config(tmp_path)
    with running(config) as up:
        before = runtime.host_file(up.runtime_dir).read_text()
        config.write_text(config.read_text() + "nonsense = 1\n")
        up.process.send_signal(signal.SIGHUP)
        up.until(lambda: "nonsense" in up.log, "a complaint")
        assert runtime.host_file(up.runtime_dir).read_text() == before
        assert "65002" in exabgpcli(up.runtime_dir, "show", "neighbor", "summary").stdout


def test_hangup_reaches_a_plugin_that_has_no_pidfile_yet(tmp_path):
    with running(write_config(tmp_path)) as up:
        (tmp_path / "run" / "dnstap-bgp.pid").unlink()
        assert up.plugin_pid is None
        up.process.send_signal(signal.SIGHUP)
        up.until(lambda: "HUP" in up.noted, "the HUP")


@pytest.mark.parametrize(("signum", "catches"), [(signal.SIGHUP, True), (signal.SIGUSR2, False)])
def test_a_plugin_is_only_found_if_the_signal_would_not_end_it(tmp_path, signum, catches):
    with running(write_config(tmp_path)) as up:
        (exabgp,) = host.children(up.process.pid)
        expected = up.plugin_pid if catches else None
        up.until(lambda: host.plugin_pid(exabgp, signum) == expected, "the plugin's handlers")


def test_usr1_is_passed_on(tmp_path):
    with running(write_config(tmp_path)) as up:
        up.process.send_signal(signal.SIGUSR1)
        up.until(lambda: "USR1" in up.noted, "the plugin's USR1")


def test_an_operators_exabgp_variables_do_not_break_it(tmp_path):
    stray = {"exabgp_api_ack": "false", "exabgp.daemon.daemonize": "true", "exabgp_cli_pipe": "/nowhere/"}
    with running(write_config(tmp_path), **stray) as up:
        up.until(lambda: "done" in up.noted, "ExaBGP's answer to the plugin")
        assert "exabgp.daemon.daemonize, exabgp_api_ack, exabgp_cli_pipe" in up.log


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


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_runtime_folder_that_others_can_write_to_is_refused(tmp_path, mode):
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(CommandError, match="writable by nobody else"):
        runtime.prepare_folder(folder, os.geteuid(), os.getegid())


def test_a_link_in_the_runtime_folders_place_is_refused(tmp_path):
    (tmp_path / "run").symlink_to(tmp_path)
    with pytest.raises(CommandError, match="no folder"):
        runtime.prepare_folder(tmp_path / "run", os.geteuid(), os.getegid())


@needs_root
def test_a_folder_that_root_left_is_handed_on_whole(tmp_path):
    folder = tmp_path / "run"
    runtime.prepare_folder(folder, 0, 0)
    runtime.make_fifos(folder)
    runtime.up_pidfile(folder).touch()
    (folder / "link").symlink_to("/etc/passwd")
    nobody = pwd.getpwnam("nobody")
    runtime.prepare_folder(folder, nobody.pw_uid, nobody.pw_gid)
    assert {path.lstat().st_uid for path in [folder, *folder.rglob("*")]} == {nobody.pw_uid}
    assert Path("/etc/passwd").stat().st_uid == 0
    with pytest.raises(CommandError, match="must belong to uid 0"):
        runtime.prepare_folder(folder, 0, 0)


def test_the_folders_of_the_fifos_have_their_mode_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        runtime.make_fifos(tmp_path)
    finally:
        os.umask(before)
    folders = {fifo.parent for fifo in runtime.fifos(tmp_path)}
    assert {folder.stat().st_mode & 0o777 for one in folders for folder in (one, one.parent)} == {0o711}


@needs_root
def test_it_drops_to_the_named_user_before_exabgp_starts(open_folder):
    config = write_config(open_folder, more='[process]\nuser = "nobody"')
    open_folder.chmod(0o777)  # where the stub writes its notes
    nobody = pwd.getpwnam("nobody").pw_uid
    python = python_for_others() or pytest.skip("no interpreter that `nobody` may run")
    with running(config, python=python) as up:
        up.until(lambda: "done" in up.noted, "ExaBGP's answer to the plugin")
        assert f"uid {nobody} " in up.noted
        assert all(Path(f"/proc/{pid}").stat().st_uid == nobody for pid in [up.process.pid, *up.members()])
        assert up.runtime_dir.stat().st_uid == nobody
        assert "203.0.113.7/32" in exabgpcli(up.runtime_dir, "show", "adj-rib", "out").stdout, "root may use the client"


@needs_root
def test_it_says_so_when_the_named_user_cannot_read_the_configuration(open_folder):
    config = write_config(open_folder, more='[process]\nuser = "nobody"')
    config.chmod(0o600)
    with running(config) as up:
        assert up.process.wait(20) == 1
        assert f"'nobody' must be able to read {config}" in up.log


@pytest.mark.netns
def test_it_enters_the_named_network_namespace(tmp_path):
    name = f"dtap-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        with running(write_config(tmp_path, more=f'[process]\nnetns = "{name}"')) as up:
            inode = Path("/run/netns", name).stat().st_ino
            assert f"netns net:[{inode}]" in up.noted
            up.end()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_a_namespace_that_is_not_there_is_named(tmp_path):
    with running(write_config(tmp_path, more='[process]\nnetns = "nowhere-9"')) as up:
        assert up.process.wait(20) == 1
        assert "/run/netns/nowhere-9" in up.log


def test_a_user_that_is_not_there_is_named(tmp_path):
    with running(write_config(tmp_path, more='[process]\nuser = "nobody-knows-9"')) as up:
        assert up.process.wait(20) == 1
        assert "there is no user 'nobody-knows-9'" in up.log
