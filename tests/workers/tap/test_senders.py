"""DNSTap senders over real sockets: handshakes, many at once, what goes wrong with them."""

import contextlib
import os
import random
import socket
import struct
import threading

import pytest

from dnstap_bgp.core.tap.framestream import Fault
from tests.ports import free_port
from tests.workers.tap.senders_kit import (
    ACCEPT,
    FINISH,
    READY,
    START,
    STOP,
    Stage,
    data,
    is_closed,
    receive,
    wait_until,
)


@pytest.fixture
def stage(tmp_path):
    with Stage(tmp_path) as stage:
        yield stage.listening()


# -- the handshakes


def test_bidirectional_from_ready_to_finish(stage):
    with stage.sender() as sock:
        sock.sendall(data(b"one") + data(b"two"))
        wait_until(lambda: [one.frames for one in stage.tap.status().connections] == [2])
        assert stage.recorder.frames == [b"one", b"two"]
        (status,) = stage.tap.status().connections
        assert (status.state, status.bidirectional) == ("streaming", True)
        assert status.bytes == len(READY + START) + 14
        assert f"[{os.getpid()}]" in status.peer
        sock.sendall(data(b"three") + STOP)
        assert receive(sock, len(FINISH) + 1) == FINISH
    wait_until(lambda: not stage.tap.status().connections)
    assert stage.recorder.frames == [b"one", b"two", b"three"]
    assert stage.troubles() == {}


def test_unidirectional_is_closed_after_stop(stage):
    with stage.connect() as sock:
        sock.sendall(START + data(b"one") + STOP)
        assert is_closed(sock)
    assert stage.recorder.frames == [b"one"]
    assert stage.troubles() == {}


def test_a_sender_that_just_ends_is_no_trouble(stage):
    with stage.connect() as sock:
        sock.sendall(START + data(b"one"))
    with stage.connect():
        pass
    wait_until(lambda: stage.recorder.frames == [b"one"] and not stage.tap.status().connections)
    wait_until(lambda: stage.tap.status().accepted == 2)
    assert stage.troubles() == {}


def test_all_in_one_write_and_half_closed(stage):
    with stage.connect() as sock:
        sock.sendall(READY + START + data(b"one") + STOP)
        sock.shutdown(socket.SHUT_WR)
        assert receive(sock, 1000) == ACCEPT + FINISH
    assert stage.recorder.frames == [b"one"]
    wait_until(lambda: not stage.tap.status().connections)
    assert stage.troubles() == {}


def test_byte_by_byte(stage):
    with stage.connect() as sock:
        for byte in READY + START + data(b"one") + STOP:
            sock.send(bytes([byte]))
        assert receive(sock, 1000) == ACCEPT + FINISH
    assert stage.recorder.frames == [b"one"]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_tcp(tmp_path, host):
    port = free_port()
    with Stage(tmp_path, listen=f"{host}:{port}") as stage, stage.listening().sender() as sock:
        sock.sendall(data(b"one"))
        wait_until(lambda: stage.recorder.frames)
        (status,) = stage.tap.status().connections
        local = sock.getsockname()
        assert status.peer in (f"{local[0]}:{local[1]}", f"[{local[0]}]:{local[1]}")


def test_every_ipv6_address_means_ipv4_too(tmp_path):
    port = free_port()
    with Stage(tmp_path, listen=f"[::]:{port}", allow=["127.0.0.0/8"]) as stage:
        stage.listening()
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(START + data(b"four"))
            wait_until(lambda: stage.recorder.frames == [b"four"])
            assert stage.tap.status().connections[0].peer.startswith("127.0.0.1:")
        with socket.create_connection(("::1", port)) as sock:
            assert is_closed(sock)


def test_both_any_addresses_on_one_port(tmp_path):
    port = free_port()
    with Stage(tmp_path, listen=[f"0.0.0.0:{port}", f"[::]:{port}"]) as stage:
        stage.listening()


# -- many senders


def test_many_senders_at_once(stage):
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(stage.sender()) for _ in range(64)]
        for i, sock in enumerate(socks):
            sock.sendall(data(b"%d" % i))
        wait_until(lambda: len(stage.recorder.frames) == 64)
        assert sorted(map(int, stage.recorder.frames)) == list(range(64))
        assert len(stage.tap.status().connections) == 64


def test_blasting_senders_share(stage):
    """Eight senders blast without end: by the time the last has come to its share, no one is far ahead."""
    stop = threading.Event()
    chunk = data(b"x" * 150) * 400

    def blast():
        with stage.sender() as sock, contextlib.suppress(OSError):
            while not stop.is_set():
                sock.sendall(chunk)

    threads = [threading.Thread(target=blast) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(stage.tap.status().connections) == 8)
        bytes_before = {one.peer: one.bytes for one in stage.tap.status().connections}
        assert len(bytes_before) >= 1
        start = sorted(one.bytes for one in stage.tap.status().connections)
        wait_until(lambda: min(one.bytes for one in stage.tap.status().connections) > start[-1] + 4_000_000)
        ends = sorted(one.bytes for one in stage.tap.status().connections)
        assert ends[-1] < 4 * ends[0]
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    stage.recorder.seen.clear()


def test_at_the_limit_a_streaming_sender_stays(tmp_path):
    with Stage(tmp_path, connections_max=2) as stage, stage.listening().sender() as first, stage.sender() as second:
        for sock in (first, second):
            sock.sendall(data(b"one"))
        wait_until(lambda: len(stage.recorder.frames) == 2)
        stage.recorder.seen.clear()
        with stage.connect() as third:
            assert is_closed(third)
        assert "refused: 2 connections (connections_max)" in stage.trouble(Fault.LIMIT)
        first.sendall(data(b"still here"))
        wait_until(lambda: stage.recorder.frames == [b"still here"])
    assert stage.troubles() == {Fault.LIMIT: 1}


def test_at_the_limit_a_silent_one_makes_room(tmp_path):
    with Stage(tmp_path, connections_max=2) as stage, stage.listening().connect() as silent, stage.sender():
        with stage.sender() as third:
            assert is_closed(silent)
            third.sendall(data(b"in"))
            wait_until(lambda: stage.recorder.frames == [b"in"])
        assert "make room" in stage.trouble(Fault.CROWDED)


def test_allow(tmp_path):
    port = free_port()
    with Stage(tmp_path, listen=[f"127.0.0.1:{port}", str(tmp_path / "s")], allow=["192.0.2.0/24"]) as stage:
        stage.listening()
        with stage.connect() as sock:
            assert is_closed(sock)
        assert "127.0.0.1" in stage.trouble(Fault.NOT_ALLOWED)
        with stage.sender(stage.config.listen[1]) as sock:
            sock.sendall(data(b"unix is not concerned"))
            wait_until(lambda: stage.recorder.frames)


# -- what goes wrong


def test_silence_is_ended_and_streaming_is_not(tmp_path):
    with contextlib.ExitStack() as stack:
        stage = stack.enter_context(Stage(tmp_path, handshake_timeout="1500ms")).listening()
        idle = stack.enter_context(stage.sender())
        silent = stack.enter_context(stage.connect())
        slow = stack.enter_context(stage.connect())
        slow.sendall(READY)
        assert receive(slow, 1000) == ACCEPT
        assert is_closed(silent)
        assert "sent nothing for 1.5 s" in stage.trouble(Fault.SILENT)
        assert "did not send START" in stage.trouble(Fault.SLOW)
        assert [one.state for one in stage.tap.status().connections] == ["streaming"]
        idle.sendall(data(b"after a while"))
        wait_until(lambda: stage.recorder.frames == [b"after a while"])


@pytest.mark.parametrize(
    ("wire", "fault"),
    [
        (bytes.fromhex("16030100fa0100"), Fault.TLS),
        (b"GET / HTTP/1.1\r\n\r\n", Fault.HTTP),
        (START + struct.pack("!I", 1 << 31), Fault.OUT_OF_STEP),
        (struct.pack("!II", 0, 1 << 31), Fault.CONTROL),
        (struct.pack("!III", 0, 4, 99), Fault.CONTROL),
        (READY * 10_000, Fault.CONTROL),
        (START.replace(b"dnstap", b"DNSTAP"), Fault.CONTENT_TYPE),
        (random.Random(1).randbytes(100).replace(b"\0", b"\1"), Fault.NO_START),
    ],
)
def test_a_broken_sender_disturbs_nobody(stage, wire, fault):
    with stage.sender() as good, stage.connect() as bad:
        with contextlib.suppress(ConnectionError):
            bad.sendall(wire)
        with contextlib.suppress(ConnectionError):
            while bad.recv(4096):
                pass
        kinds = {fault} if fault is not Fault.NO_START else {Fault.NO_START, Fault.TLS, Fault.RAW_PROTOBUF}
        wait_until(lambda: kinds & stage.troubles().keys())
        good.sendall(data(b"good"))
        wait_until(lambda: stage.recorder.frames == [b"good"])


def test_frames_ahead_of_the_error_count(stage):
    with stage.connect() as sock:
        sock.sendall(START + data(b"one") + b"\xff\xff\xff\xff")
        assert is_closed(sock)
    assert stage.recorder.frames == [b"one"]


def test_reset_in_the_middle_of_a_frame(tmp_path):
    with Stage(tmp_path, listen=f"127.0.0.1:{free_port()}") as stage, stage.listening().sender() as good:
        bad = stage.connect()
        bad.sendall(START + data(b"one") + data(b"two")[:-1])
        wait_until(lambda: stage.recorder.frames == [b"one"])
        bad.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        bad.close()
        assert "reset" in stage.trouble(Fault.CUT)
        good.sendall(data(b"good"))
        wait_until(lambda: stage.recorder.frames == [b"one", b"good"])


def test_a_flood_of_connects_is_bounded_and_lets_a_sender_in(stage):
    with stage.sender() as good, contextlib.ExitStack() as flood:
        for i in range(10_000):
            if i % 200 == 0:
                flood.pop_all().close()
            flood.enter_context(stage.connect())
        assert len(stage.tap.status().connections) <= stage.config.connections_max
        good.sendall(data(b"good"))
        with stage.sender() as newcomer:
            newcomer.sendall(data(b"new"))
            wait_until(lambda: sorted(stage.recorder.frames) == [b"good", b"new"])


def test_a_sender_that_never_reads_its_replies(stage):
    with stage.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sock.sendall(READY + START + data(b"one") + STOP)
        wait_until(lambda: stage.recorder.frames == [b"one"])
        wait_until(lambda: not stage.tap.status().connections)  # after the time to linger
    assert stage.troubles() == {}


def test_a_sender_that_goes_on_after_stop_is_closed(stage):
    with stage.sender() as sock:
        sock.sendall(STOP)
        with pytest.raises(ConnectionError):  # noqa: PT012 - it takes a while until the kernel says so
            while True:
                sock.sendall(data(b"late"))
    assert stage.recorder.frames == []


def test_troubles_are_logged_at_a_bounded_rate(stage, caplog):
    for _ in range(100):
        with stage.connect() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert is_closed(sock)
    wait_until(lambda: stage.troubles() == {Fault.HTTP: 100})
    assert sum("HTTP" in record.getMessage() for record in caplog.records) == 10


def test_costly_answers_are_told(stage):
    with stage.sender() as sock:
        sock.sendall(data(b"usual"))
        wait_until(lambda: stage.recorder.frames == [b"usual"])
        assert stage.troubles() == {}
        stage.recorder.costly = 3
        sock.sendall(data(b"costly"))
        assert "3 answers of one chunk were skipped" in stage.trouble(Fault.COSTLY)
