"""The pidfile's lock and the brake on crash loops, across real processes."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dnstap_bgp.workers.process.instance import Brake, Host, PidFile, brake, holder

HOLD = "import sys, threading, pathlib; from dnstap_bgp.workers.process.instance import PidFile; \
p = PidFile(pathlib.Path(sys.argv[1])); p.acquire(threading.Event()); print('held', flush=True); sys.stdin.read()"


def start_holder(path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def end(process):
    process.kill()
    process.communicate(timeout=30)


def test_holder_is_the_process_that_lives(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    path = tmp_path / "plugin.pid"
    assert holder(path) is None
    process = start_holder(path)
    try:
        assert holder(path) == process.pid
    finally:
        end(process)
    assert holder(path) is None


def test_successor_takes_over_when_the_old_one_dies(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    path = tmp_path / "plugin.pid"
    process = start_holder(path)
    pidfile = PidFile(path)
    killer = threading.Timer(0.2, process.kill)
    killer.start()
    try:
        assert pidfile.acquire(threading.Event())
        assert process.wait(30) != 0
        assert path.read_text() == f"{os.getpid()}\n"
    finally:
        killer.join()
        end(process)
        pidfile.release()


def test_waiting_ends_with_stop(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    path = tmp_path / "plugin.pid"
    process = start_holder(path)
    stop = threading.Event()
    stop.set()
    try:
        assert not PidFile(path).acquire(stop)
    finally:
        end(process)


def test_a_pidfile_that_could_not_be_written_is_not_in_the_way_of_the_next_try(tmp_path, monkeypatch):
    """The lock of the first try would be waited for as that of another plugin, for ever."""
    pidfile, stop = PidFile(tmp_path / "plugin.pid"), threading.Event()
    stop.set()

    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space left"):
            pidfile.acquire(stop)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert pidfile.acquire(stop)
    pidfile.release()


NOW = 64_000.5
HOST = Host(pid=4711, started=99)


def starts(path, *, host=HOST, now=NOW, times=1):
    """What the last of some starts is told."""
    return [brake(path, now, host) for _ in range(times)][-1]


def test_four_deaths_under_one_exabgp_in_one_window_brake(tmp_path):
    path = tmp_path / "starts"
    assert starts(path, times=4) is None, "the first start replaces nobody: three deaths"
    found = starts(path)
    assert found == Brake(deaths=4, until=64_065, pause_s=64.5)
    assert not found.is_last
    found = starts(path)
    assert (found.deaths, found.is_last) == (5, True), "the braked one has died, too"


def test_a_window_ends_with_exabgps_own(tmp_path):
    path = tmp_path / "starts"
    starts(path, times=4)
    assert starts(path, now=64_064.0, times=3) is None, "these replace dead ones: three deaths"
    found = starts(path, now=64_127.9)
    assert found == Brake(deaths=4, until=64_129, pause_s=64_129 - 64_127.9)


def test_a_restarted_service_or_a_new_operators_next_try_is_no_crash_loop(tmp_path):
    path = tmp_path / "starts"
    for pid in range(20):
        assert starts(path, host=Host(pid, 7), times=2) is None
    for started in range(20):  # a pid that was used again
        assert starts(path, host=Host(4711, started), times=2) is None
    assert starts(path, host=None, times=20) is None


def test_without_an_exabgp_nothing_is_noted(tmp_path):
    starts(tmp_path / "starts", host=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"\xff garbage", b"", b"1000 1000 1000 1000 1000", b"4711 99 x 9", b"1" * 10_000])
def test_a_spoiled_note_is_none(tmp_path, content):
    """0.1.0 noted the windows of starts alone."""
    path = tmp_path / "starts"
    path.write_bytes(content)
    assert starts(path, times=4) is None
    assert starts(path) is not None


def test_a_folder_that_can_not_be_written_to_is_told(tmp_path, caplog):
    assert starts(tmp_path / "gone" / "starts", times=9) is None
    assert "can't note the start" in caplog.text


def test_nothing_is_written_through_a_link_in_place_of_the_note(tmp_path):
    (tmp_path / "others").write_text("theirs")
    (tmp_path / "starts").symlink_to(tmp_path / "others")
    assert starts(tmp_path / "starts", times=5) is not None
    assert (tmp_path / "others").read_text() == "theirs"


def look(*words):
    """The ExaBGP that a process finds which runs below these words."""
    code = "from dnstap_bgp.workers.process import instance; print(instance.exabgp_host())"
    done = subprocess.run([*words, f"{sys.executable} -c '{code}'"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["exabgp", "dnstap_bgp.commands.exabgp_server"])
def test_exabgp_is_found_also_behind_a_shell(tmp_path, monkeypatch, name):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    program = tmp_path / name
    program.write_text(
        'import subprocess, sys, os; print(os.getpid()); subprocess.run(["sh", "-c", sys.argv[1] + "; true"])'
    )
    lines = look(sys.executable, str(program)).splitlines()
    assert lines[1].startswith(f"Host(pid={lines[0]}, started="), lines


def test_a_shell_or_a_configuration_below_exabgps_folder_is_no_exabgp(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    assert look("sh", "-c", 'eval "$2; true"', "/etc/exabgp/x.toml", "exabgp.conf") == "None"
