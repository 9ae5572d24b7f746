"""`dnstap-bgp up` with a real ExaBGP and a stub in the plugin's place."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from dnstap_bgp.commands import host
from dnstap_bgp.commands.up import IDLE_S, Supervisor
from dnstap_bgp.config import load
from dnstap_bgp.workers.process import runtime
from tests.commands.running import environment, running, write_config
from tests.commands.test_exabgpcli import exabgpcli
from tests.integration.lab import eventually


def test_one_command_gives_a_running_speaker_that_ends_in_order(tmp_path):
    with running(write_config(tmp_path)) as up:
        up.until(lambda: "done" in up.noted, "ExaBGP's answer to the plugin")
        assert up.runtime_dir.stat().st_mode & 0o777 == 0o711
        assert runtime.host_file(up.runtime_dir).stat().st_mode & 0o777 == 0o600
        up.until(lambda: len(up.members()) == 3, "ExaBGP, its client process and the plugin")
        assert up.end() == 0
        assert "TERM" in up.noted
        assert up.members() == []
        assert not any(fifo.exists() for fifo in runtime.fifos(up.runtime_dir))


@pytest.mark.netns  # root
@pytest.mark.real("unshare")
def test_the_first_process_of_a_container_can_be_ended_before_exabgp_runs(tmp_path):
    """The kernel drops a signal to PID 1 that has no handler: it would be killed ten seconds later."""
    command = [sys.executable, "-m", "dnstap_bgp", "up", "--config", str(write_config(tmp_path))]
    log = tmp_path / "up.log"
    with log.open("wb") as output:
        unshare = ["unshare", "--pid", "--fork", "--mount-proc"]
        process = subprocess.Popen([*unshare, *command], env=environment(), stderr=output)
    first = eventually(lambda: host.children(process.pid), what="PID 1")[0]

    def has_ended() -> bool:
        with suppress(ProcessLookupError):
            os.kill(first, signal.SIGTERM)
        return process.poll() is not None

    eventually(has_ended, 20, "the end of PID 1")
    assert "started" not in log.read_text()
    assert process.returncode == 128 + signal.SIGTERM


def test_a_second_signal_kills_an_exabgp_that_hangs_once(tmp_path):
    with running(write_config(tmp_path)) as up:
        (exabgp,) = host.children(up.process.pid)
        os.kill(exabgp, signal.SIGSTOP)
        up.process.send_signal(signal.SIGTERM)
        up.until(lambda: "SIGTERM: ExaBGP ends" in up.log, "the first one heeded")
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(60) == 128 + signal.SIGKILL
        assert up.log.count("second SIGTERM: ExaBGP is killed") == up.log.count("killed") == 1
        assert up.members() == []


def test_nobody_spins_until_a_killed_exabgp_is_gone(tmp_path, monkeypatch):
    """A process in the kernel's hands, such as at a dead disk, may take its time to die of a kill."""
    kills = []
    with subprocess.Popen(["sleep", "60"]) as process:
        supervisor = Supervisor(load(write_config(tmp_path)), tmp_path / "dnstap-bgp.toml", process)
        monkeypatch.setattr(process, "terminate", lambda: None)
        monkeypatch.setattr(process, "kill", lambda: kills.append(supervisor))
        try:
            for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
                supervisor._handle(signum)
            assert kills == [supervisor]
            assert supervisor._pause_s() == IDLE_S
        finally:
            os.kill(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_up_when_exabgp_dies(tmp_path, signum):
    with running(write_config(tmp_path)) as up:
        (exabgp,) = host.children(up.process.pid)
        up.until(lambda: host.client_pid(exabgp), "ExaBGP's client process")
        os.kill(exabgp, signum)
        assert up.process.wait(60) == (0 if signum == signal.SIGTERM else 128 + signum)
        assert up.members() == []


def test_what_comes_to_us_by_a_kill_is_killed_as_well():
    """A child of a plugin that hangs is ours once the plugin is killed, and the plugin is to be collected by then."""
    code = """
import signal, subprocess, sys
from dnstap_bgp.commands import host, up
host.adopt_orphans()
signal.pthread_sigmask(signal.SIG_BLOCK, up.SIGNALS)
up.LEFTOVER_TIMEOUT_S = 0.1
hangs = 'import subprocess, time; print(subprocess.Popen(["sleep", "60"]).pid, flush=True); time.sleep(60)'
process = subprocess.Popen([sys.executable, "-c", hangs], stdout=subprocess.PIPE)
print(int(process.stdout.readline()), flush=True)
up._end_leftovers()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    try:
        assert not done.returncode, done.stderr
        assert not Path(f"/proc/{int(done.stdout)}").exists()
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(done.stdout), signal.SIGKILL)


def test_nothing_outlives_a_killed_up(tmp_path):
    with running(write_config(tmp_path)) as up:
        up.process.kill()
        up.process.wait(60)
        eventually(lambda: not up.members(), 20, "the end of ExaBGP and the plugin")
        assert "TERM" in up.noted, "ExaBGP ended in order"


def test_a_dead_instance_is_no_hindrance(tmp_path):
    config = write_config(tmp_path)
    with running(config) as up:
        pids = [up.process.pid, *up.members()]
        for signum in (signal.SIGSTOP, signal.SIGKILL):  # none of them has a moment to note another's end
            for pid in pids:
                os.kill(pid, signum)
        up.process.wait(60)
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
            timeout=90,
            check=False,
        )
        assert second.returncode == 1
        assert f"(pid {up.process.pid})" in second.stderr
        assert "A second instance needs a file of its own that sets runtime_dir" in second.stderr
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


def test_usr1_is_passed_on(tmp_path):
    with running(write_config(tmp_path)) as up:
        up.process.send_signal(signal.SIGUSR1)
        up.until(lambda: "USR1" in up.noted, "the plugin's USR1")
