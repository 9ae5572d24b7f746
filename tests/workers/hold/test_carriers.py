"""Carriers: what each does with its socket."""

import socket

import pytest

from dnstap_bgp.workers.hold.carriers import PacketConnection


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.settimeout(10)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_each_packet_is_a_message_and_the_end_is_told(pair):
    ours, theirs = pair
    asked: list[object] = []
    ended: list[object] = []
    connection = PacketConnection(ours, "me", lambda data, asker: asked.append((data, asker)), ended.append)
    connection.receive()
    theirs.send(b"one")
    theirs.send(b"two")
    connection.receive()
    connection.receive()
    assert asked == [(b"one", connection), (b"two", connection)]
    assert connection.reply(b"yes")
    assert theirs.recv(10) == b"yes"
    theirs.close()
    connection.receive()
    assert ended == [connection]


def test_a_reply_that_is_not_taken_is_dropped(pair):
    ours, _ = pair
    connection = PacketConnection(ours, "me", lambda *_: None, lambda *_: None)
    sent = 0
    while connection.reply(bytes(1000)):
        sent += 1
        assert sent < 100_000
    assert sent
    connection.is_open = False
    assert not connection.reply(b"x")
