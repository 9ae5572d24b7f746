"""The tap over real sockets: listeners, reload and stop."""

import contextlib
import os
import resource
import socket
import threading

import pytest

from tests.ports import free_port
from tests.workers.tap.senders_kit import (
    FINISH,
    STOP,
    Recorder,
    Stage,
    config,
    data,
    is_closed,
    receive,
    wait_until,
)


@pytest.fixture
def stage(tmp_path):
    with Stage(tmp_path) as stage:
        yield stage.listening()


# -- listeners


def test_no_descriptors_left(stage):
    """The limit of open files is reached: those who are in stay, the others get in when there is room again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as stack:
        good = stack.enter_context(stage.sender())
        late = stack.enter_context(socket.socket(socket.AF_UNIX))
        with contextlib.ExitStack() as hoard:
            hoard.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
            resource.setrlimit(resource.RLIMIT_NOFILE, (late.fileno() + 1, hard))
            with contextlib.suppress(OSError):
                while True:
                    hoard.callback(os.close, os.dup(late.fileno()))
            late.connect(str(stage.config.listen[0]))
            wait_until(lambda: "can't accept" in (stage.tap.status().listeners[0].problem or ""))
            good.sendall(data(b"good"))
            wait_until(lambda: stage.recorder.frames == [b"good"])
        stage.listening()
        newcomer = stack.enter_context(stage.sender())
        newcomer.sendall(data(b"new"))
        wait_until(lambda: stage.recorder.frames == [b"good", b"new"])


# -- reload


def test_a_new_ingest_is_in_force_with_the_next_chunk(stage):
    with stage.sender() as sock:
        sock.sendall(data(b"one"))
        wait_until(lambda: stage.recorder.frames == [b"one"])
        stage.tap.ingest = Recorder("new rules")
        sock.sendall(data(b"two"))
        wait_until(lambda: stage.recorder.seen == [(b"one", "rules"), (b"two", "new rules")])
        wait_until(lambda: stage.tap.status().connections[0].frames == 2)


def test_rebind_keeps_connections_and_standing_listeners(stage, tmp_path):
    kept, new = tmp_path / "tap.sock", tmp_path / "new.sock"
    inode = kept.stat().st_ino
    with stage.sender() as sock:
        stage.tap.rebind(config(tmp_path, listen=[str(new), str(kept)], perm="0600"))
        wait_until(lambda: [one.problem for one in stage.tap.status().listeners] == [None, None])
        assert kept.stat().st_ino == inode
        assert [path.stat().st_mode & 0o777 for path in (kept, new)] == [0o600, 0o600]
        stage.tap.rebind(config(tmp_path, listen=str(new)))
        wait_until(lambda: not kept.exists())
        wait_until(lambda: new.stat().st_mode & 0o777 == 0o660)
        sock.sendall(data(b"one"))
        wait_until(lambda: stage.recorder.frames == [b"one"])
    with stage.sender(config(tmp_path, listen=str(new)).listen[0]):
        pass


def test_rebind_to_an_unknown_group_closes_and_recovers(stage, tmp_path, caplog):
    path = tmp_path / "tap.sock"
    stage.tap.rebind(config(tmp_path, listen=str(path), group="no-such-group"))
    wait_until(lambda: "no-such-group" in (stage.tap.status().listeners[0].problem or ""))
    wait_until(lambda: "not listening for DNSTap" in caplog.text)
    assert not path.exists()
    stage.tap.rebind(config(tmp_path, listen=str(path)))
    stage.listening()
    with stage.sender():
        pass


# -- the stop


def test_a_successor_takes_the_listeners_over(tmp_path):
    listen = [str(tmp_path / "tap.sock"), f"127.0.0.1:{free_port()}"]
    with Stage(tmp_path, listen=listen) as old, contextlib.ExitStack() as stack:
        old.listening()
        new = stack.enter_context(Stage(tmp_path, listen=listen))
        wait_until(lambda: all("another process" in (one.problem or "") for one in new.tap.status().listeners))
        old.end()
        new.listening()
        for address in new.config.listen:
            with new.sender(address) as sock:
                sock.sendall(data(b"on"))
                wait_until(lambda: new.recorder.frames)
                new.recorder.seen.clear()


def test_shutdown_closes_everything_and_answers_what_has_come(tmp_path):
    stage = Stage(tmp_path)
    with stage:
        with stage.listening().sender() as streaming, stage.connect() as silent:
            stage.end()
            assert is_closed(streaming)
            assert is_closed(silent)
        assert not (tmp_path / "tap.sock").exists()
        assert stage.tap.status().connections == ()


def test_shutdown_takes_what_has_come(stage):
    with stage.sender() as sock:
        wait_until(lambda: stage.tap.status().connections[0].state == "streaming")
        gate = threading.Event()
        entered = threading.Event()
        observe = stage.recorder.observe

        def held(sightings, rules):
            entered.set()
            gate.wait(60)
            observe(sightings, rules)

        stage.recorder.observe = held
        sock.sendall(data(b"first"))
        assert entered.wait(60)
        sock.sendall(data(b"last") + STOP)
        stage.tap.shutdown()
        gate.set()
        assert receive(sock, 1000) == FINISH
    assert stage.recorder.frames == [b"first", b"last"]


def test_a_tap_that_never_started_can_be_closed(tmp_path):
    Stage(tmp_path).end()


def test_a_crash_is_told(stage, caplog):
    with stage.sender() as sock:
        del stage.recorder.counters.frames
        sock.sendall(data(b"one"))
        assert stage.crashed.wait(60)
        assert is_closed(sock)
    stage.end()
    stage.crashed.clear()
    assert "the tap thread has crashed" in caplog.text
    assert "AttributeError" in caplog.text
    assert not (stage.folder / "tap.sock").exists()
