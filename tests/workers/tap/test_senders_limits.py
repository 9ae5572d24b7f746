"""Senders at the limit of connections: who floods takes no place from who sends, on whatever listener and address."""

import contextlib
import socket

import pytest

from dnstap_bgp.config import TcpAddress
from dnstap_bgp.core.tap.framestream import Fault
from tests.ports import free_port
from tests.workers.tap.senders_kit import (
    ACCEPT,
    DEADLINE_S,
    READY,
    START,
    Stage,
    data,
    is_closed,
    receive,
    wait_until,
)

LIMIT = 16


@pytest.fixture
def stage(tmp_path):
    """TCP first, and a unix socket for a resolver on this machine."""
    with Stage(
        tmp_path, listen=[f"127.0.0.1:{free_port()}", str(tmp_path / "tap.sock")], connections_max=LIMIT
    ) as stage:
        yield stage.listening()


def from_address(stage, source):
    address = stage.config.listen[0]
    assert isinstance(address, TcpAddress)
    return socket.create_connection((address.host, address.port), DEADLINE_S, source_address=(source, 0))


def started(stage, source="127.0.0.1", frame=b""):
    """A connection that says START, and a frame perhaps, and nothing more."""
    sock = from_address(stage, source)
    sock.sendall(START + frame)
    return sock


def fill(stage, flood, frame=b""):
    """Have one address open twice as many connections as there may be."""
    for number in range(2 * LIMIT):
        flood.enter_context(started(stage, frame=frame))
        wait_until(lambda: stage.tap.status().accepted > number)  # noqa: B023 - waited for at once
    count = 0 if not frame else LIMIT
    wait_until(lambda: len(stage.recorder.frames) >= count)


@pytest.mark.parametrize("frame", [b"", data(b"flood")], ids=["START and nothing more", "START and a frame"])
def test_a_flood_over_tcp_does_not_lock_out_the_resolver_on_the_unix_socket(stage, frame):
    with contextlib.ExitStack() as flood:
        fill(stage, flood, frame)
        with stage.sender(stage.config.listen[1]) as resolver:
            resolver.sendall(data(b"resolver"))
            wait_until(lambda: b"resolver" in stage.recorder.frames)
            for _ in range(LIMIT):  # and the flood goes on
                flood.enter_context(started(stage, frame=frame))
            resolver.sendall(data(b"still there"))
            wait_until(lambda: b"still there" in stage.recorder.frames)
        assert "to make room" in stage.trouble(Fault.CROWDED)


def test_who_streams_stays_while_others_say_nothing(stage):
    with from_address(stage, "127.0.0.2") as good, contextlib.ExitStack() as flood:
        good.sendall(START + data(b"good"))
        wait_until(lambda: stage.recorder.frames == [b"good"])
        fill(stage, flood)
        good.sendall(data(b"better"))
        wait_until(lambda: stage.recorder.frames == [b"good", b"better"])


def test_a_resolver_that_has_nothing_to_say_yet_stays_through_a_flood(stage):
    with stage.sender(stage.config.listen[1]) as idle, contextlib.ExitStack() as flood:
        fill(stage, flood)
        idle.sendall(data(b"at last"))
        wait_until(lambda: stage.recorder.frames == [b"at last"])


def test_an_address_that_has_all_places_gives_one_to_another(stage):
    with contextlib.ExitStack() as flood:
        fill(stage, flood, data(b"flood"))
        with from_address(stage, "127.0.0.2") as other:
            other.sendall(READY)
            assert receive(other, len(ACCEPT)) == ACCEPT
            other.sendall(START + data(b"other"))
            wait_until(lambda: b"other" in stage.recorder.frames)
        assert "one of many" in stage.trouble(Fault.CROWDED)


def test_a_place_each_is_kept(stage):
    """Where nobody has more than a fair share, and all have sent frames, the newcomer is refused as ever."""
    with contextlib.ExitStack() as senders:
        for number in range(LIMIT):
            senders.enter_context(started(stage, f"127.0.1.{number + 1}", data(b"one")))
        wait_until(lambda: len(stage.recorder.frames) == LIMIT)
        with from_address(stage, "127.0.2.1") as newcomer:
            assert is_closed(newcomer)
        assert stage.troubles() == {Fault.LIMIT: 1}
        with stage.sender(stage.config.listen[1]) as resolver:  # its listener has none of its share
            resolver.sendall(data(b"resolver"))
            wait_until(lambda: b"resolver" in stage.recorder.frames)


def test_of_the_silent_the_one_without_start_goes_first(stage):
    with started(stage) as old, contextlib.ExitStack() as more:
        wait_until(lambda: any(one.state == "streaming" for one in stage.tap.status().connections))
        mute = more.enter_context(from_address(stage, "127.0.0.1"))
        wait_until(lambda: len(stage.tap.status().connections) == 2)
        for _ in range(LIMIT - 1):
            more.enter_context(started(stage))
        assert is_closed(mute)
        old.sendall(data(b"old"))
        wait_until(lambda: stage.recorder.frames == [b"old"])
