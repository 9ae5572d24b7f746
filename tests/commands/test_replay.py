"""`replay`: whole captures, cut ones and none at all, into our tap, into fstrm_capture, and into odd listeners."""

import io
import os
import signal
import subprocess
import threading

import pytest
from rich.console import Console

from dnstap_bgp.commands import replay
from dnstap_bgp.errors import CommandError
from tests.commands.replay_kit import FRAMES
from tests.ports import free_port
from tests.workers.tap.senders_kit import (
    READY,
    START,
    STOP,
    Stage,
    data,
    wait_until,
)

# -- the good case


def test_a_capture_arrives_wholly(capture, stage, to):
    played = replay.run(capture, to)
    assert (played.frames, played.cut) == (len(FRAMES), None)
    assert stage.recorder.frames == FRAMES  # no wait: FINISH says that they were taken
    assert stage.troubles() == {}
    assert str(played).startswith("5,000 frames in ")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_tcp(capture, tmp_path, host):
    port = free_port()
    with Stage(tmp_path, listen=f"{host}:{port}") as stage:
        stage.listening()
        assert replay.run(capture, f"{host}:{port}").frames == len(FRAMES)
        assert stage.recorder.frames == FRAMES


def test_a_relative_socket_without_a_slash(capture, stage, monkeypatch):
    monkeypatch.chdir(stage.folder)
    assert replay.run(capture, "tap.sock").frames == len(FRAMES)


@pytest.mark.real("fstrm_capture")
def test_the_c_library_takes_it_and_writes_the_same_capture(capture, tmp_path):
    path, written = tmp_path / "c.sock", tmp_path / "written.fstrm"
    command = ["fstrm_capture", "-t", "protobuf:dnstap.Dnstap", "-u", str(path), "-w", str(written)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(path.exists)
            assert replay.run(capture, str(path)).frames == len(FRAMES)
        finally:
            process.terminate()
    assert written.read_bytes() == capture.read_bytes()


@pytest.mark.real("fstrm_replay")
def test_the_c_library_plays_it_into_our_tap(capture, stage, to):
    subprocess.run(["fstrm_replay", "-t", "protobuf:dnstap.Dnstap", "-r", str(capture), "-u", to], check=True)
    wait_until(lambda: len(stage.recorder.seen) == len(FRAMES))
    assert stage.recorder.frames == FRAMES
    assert stage.troubles() == {}


def test_rate(tmp_path, stage, to):
    path = tmp_path / "short.fstrm"
    path.write_bytes(START + b"".join(map(data, FRAMES[:21])) + STOP)
    assert replay.run(path, to, rate=100).seconds >= 0.2
    assert stage.recorder.frames == FRAMES[:21]


def test_loop_until_interrupted(capture, stage, to):
    def interrupt():
        wait_until(lambda: len(stage.recorder.seen) > 3 * len(FRAMES))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        played = replay.run(capture, to, loop=True)
    finally:
        thread.join(20)
    assert stage.recorder.frames[: 2 * len(FRAMES)] == FRAMES + FRAMES
    assert played.frames == len(stage.recorder.seen)
    assert stage.troubles() == {}


def test_an_interrupt_ends_the_stream_in_order(capture, stage, to):
    def interrupt():
        wait_until(lambda: stage.recorder.seen)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        replay.run(capture, to, rate=10)
    thread.join(20)
    assert 1 <= len(stage.recorder.seen) < len(FRAMES)
    assert stage.troubles() == {}


def test_progress(capture, to, monkeypatch):
    monkeypatch.setattr(replay, "SAY_EVERY_S", 0.0)
    lines = io.StringIO()
    replay.run(capture, to, console=Console(file=lines, force_terminal=False))
    assert lines.getvalue().rstrip().endswith("5,000 frames sent, 100 % of the capture")
    bar = io.StringIO()
    replay.run(capture, to, console=Console(file=bar, force_terminal=True, width=100))
    assert "100%" in bar.getvalue()
    assert "5,000 frames" in bar.getvalue()


# -- captures that are none, or not whole


@pytest.mark.parametrize(("cut", "frames"), [(len(STOP), 5000), (len(STOP) + 1, 4999), (len(STOP) - 1, 5000)])
def test_a_cut_capture_is_played_up_to_the_cut(capture, stage, to, cut, frames):
    capture.write_bytes(capture.read_bytes()[:-cut])
    played = replay.run(capture, to)
    assert played.frames == frames
    assert stage.recorder.frames == FRAMES[:frames]
    assert f"is cut after frame {frames:,}" in str(played)


def test_an_empty_round(tmp_path, to):
    path = tmp_path / "empty.fstrm"
    path.write_bytes(START + STOP)
    assert replay.run(path, to).frames == 0
    with pytest.raises(CommandError, match="no frames"):
        replay.run(path, to, loop=True)


@pytest.mark.parametrize(
    "wire", [b"", b"PK\x03\x04 a zip file", READY, START.replace(b"dnstap", b"other!"), data(b"headless"), b"\0" * 64]
)
def test_no_capture(tmp_path, to, stage, wire):
    path = tmp_path / "none.fstrm"
    path.write_bytes(wire)
    with pytest.raises(CommandError, match=r"none\.fstrm is no Frame Streams capture of DNSTap"):
        replay.run(path, to)
    assert stage.tap.status().accepted == 0


def test_a_damaged_capture(tmp_path, to, stage):
    path = tmp_path / "bad.fstrm"
    path.write_bytes(START + b"".join(map(data, FRAMES[:10])) + b"\xff" * 100)
    with pytest.raises(CommandError, match="damaged after frame 10: a data frame of 4294967295 bytes"):
        replay.run(path, to)
    wait_until(lambda: stage.recorder.frames == FRAMES[:10])


def test_no_file(tmp_path, to):
    with pytest.raises(CommandError, match=r"nowhere\.fstrm: No such file"):
        replay.run(tmp_path / "nowhere.fstrm", to)
    with pytest.raises(CommandError, match="Is a directory"):
        replay.run(tmp_path, to)


def test_a_rate_of_nothing(capture, to):
    with pytest.raises(CommandError, match="more than 0"):
        replay.run(capture, to, rate=0)
