"""The sender of a capture, and listeners that are none."""

import socket
import threading
import time

import pytest

from dnstap_bgp.commands import replay, replay_sender
from dnstap_bgp.errors import CommandError
from tests.commands.replay_kit import FRAMES, listener, until_closed
from tests.ports import free_port
from tests.workers.tap.senders_kit import (
    ACCEPT,
    FINISH,
    READY,
    START,
    STOP,
    data,
    receive,
)


def test_nobody_listens(capture, tmp_path, monkeypatch):
    monkeypatch.setattr(replay_sender, "OPENING_S", 0.05)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    for to, text in (
        (str(tmp_path / "dead.sock"), "nobody listens there"),
        (f"127.0.0.1:{free_port()}", "nobody listens there"),
        (str(tmp_path / "none.sock"), "there is no such socket"),
        ("", "no listener is named"),
        ("192.0.2.1:99999", "99999 is no port"),
        ("[::1]", "neither"),
    ):
        with pytest.raises(CommandError, match=text):
            replay.run(capture, to)


def test_a_listener_that_is_just_opening(capture, tmp_path):
    path = tmp_path / "tap.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))

        def serve():
            time.sleep(0.1)  # the refusals before this are what the test is about
            sock.listen()
            connection, _ = sock.accept()
            with connection:
                receive(connection, len(READY))
                connection.sendall(ACCEPT + FINISH)
                until_closed(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        assert replay.run(capture, str(path)).frames == len(FRAMES)
        thread.join(20)


def test_a_listener_that_never_accepts(capture, tmp_path, monkeypatch):
    monkeypatch.setattr(replay_sender, "HANDSHAKE_TIMEOUT_S", 0.2)
    with (
        listener(tmp_path / "s", until_closed) as to,
        pytest.raises(CommandError, match=r"sent no ACCEPT within 0 s: is it a DNSTap listener\?"),
    ):
        replay.run(capture, to)


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (b"", "closed the connection after 0 frames"),
        (ACCEPT[:10], "closed the connection after 0 frames"),
        (b"HTTP/1.1 400 Bad Request\r\n", "does not speak Frame Streams: it sent 48 54"),
        (FINISH, "sent FINISH in place of ACCEPT"),
        (ACCEPT.replace(b"dnstap", b"other!"), "does not accept DNSTap"),
        (ACCEPT + ACCEPT, "sent ACCEPT in place of FINISH"),
    ],
)
def test_a_listener_with_odd_answers(capture, tmp_path, wire, text):
    def play(sock):
        receive(sock, len(READY))
        sock.sendall(wire)
        if wire.startswith(ACCEPT):
            until_closed(sock)

    with listener(tmp_path / "s", play) as to, pytest.raises(CommandError, match=text):
        replay.run(capture, to)


def test_a_listener_that_closes_in_the_middle(tmp_path):
    path = tmp_path / "long.fstrm"
    path.write_bytes(START + data(b"x" * 1000) * 5000 + STOP)

    def play(sock):
        receive(sock, len(READY))
        sock.sendall(ACCEPT)
        receive(sock, 100_000)

    with listener(tmp_path / "s", play) as to, pytest.raises(CommandError, match="closed the connection after"):
        replay.run(path, to)


def test_a_listener_that_stops_taking(tmp_path, monkeypatch):
    monkeypatch.setattr(replay_sender, "STALL_TIMEOUT_S", 0.2)
    path = tmp_path / "long.fstrm"
    path.write_bytes(START + data(b"x" * 1000) * 5000 + STOP)
    done = threading.Event()

    def play(sock):
        receive(sock, len(READY))
        sock.sendall(ACCEPT)
        done.wait(20)

    with listener(tmp_path / "s", play) as to:
        with pytest.raises(CommandError, match="takes no more data, after"):
            replay.run(path, to)
        done.set()


def test_the_end_of_a_listener_is_seen_by_a_look_that_does_not_wait():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = replay_sender.Sender(ours, "tap")
        began = time.monotonic()
        sender.look()
        sender.send([b"x"])  # the socket blocks again
        assert time.monotonic() - began < 1
        assert ours.gettimeout() == replay_sender.STALL_TIMEOUT_S
        theirs.close()
        with pytest.raises(CommandError, match="tap closed the connection after 1 frames"):
            sender.look()
