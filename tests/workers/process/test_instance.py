"""The pidfile's lock and the brake on crash loops, across real processes."""

import os
import subprocess
import sys
import threading
import time

from dnstap_bgp.workers.process import instance
from dnstap_bgp.workers.process.instance import PidFile, brake, holder

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
    process.communicate(timeout=10)


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
        assert process.wait(5) != 0
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


def test_brake_waits_at_the_fifth_start_of_a_window(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 64_000.5)
    waits = []

    class Stop(threading.Event):
        def wait(self, timeout=None):
            waits.append(timeout)
            return False

    for _ in range(instance.RESPAWNS_SAFE):
        brake(tmp_path / "starts", Stop())
    assert waits == []
    brake(tmp_path / "starts", Stop())
    assert waits == [64.5]
    monkeypatch.setattr(time, "time", lambda: 64_070.0)
    brake(tmp_path / "starts", Stop())
    assert len(waits) == 1


def test_brake_survives_a_spoiled_file(tmp_path):
    (tmp_path / "starts").write_bytes(b"\xff garbage")
    brake(tmp_path / "starts", threading.Event())
