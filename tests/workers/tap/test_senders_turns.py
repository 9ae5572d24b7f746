"""Turns of the tap: whoever sends what is costly shares a part of each, and nobody else waits for more."""

import logging
import selectors
import socket
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dnstap_bgp.config import TcpAddress
from dnstap_bgp.core.tap.framestream import BUFFER_BYTES
from dnstap_bgp.core.tap.ingest import IngestCounters
from dnstap_bgp.workers.process.logs import RateLimitedLog
from dnstap_bgp.workers.tap.senders import CHUNK_FIRST_BYTES, CHUNK_MIN_BYTES, HEAVY_TURN_S, Senders
from tests.workers.tap.senders_kit import START, Recorder, config, data


class Costs(Recorder):
    """Each frame takes as long as it says, by a clock that only it moves."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.counters = IngestCounters()

    def observe(self, sightings: list[bytes], rules: object) -> None:
        self.seen += [(frame, rules) for frame in sightings]
        self.now += sum(struct.unpack("!d8x", frame[:16])[0] for frame in sightings)


class Turns:
    """Senders without a thread, and who is at their other ends."""

    def __init__(self, folder: Path) -> None:
        self.costs = Costs()
        self.selector = selectors.DefaultSelector()
        settings = config(folder, listen=[str(folder / "tap.sock")])
        log = RateLimitedLog(logging.getLogger("turns"), lambda: self.costs.now)
        costs: Any = self.costs
        self.senders = Senders(settings, costs, costs, selector=self.selector, log=log, clock=lambda: self.costs.now)
        self.listener = settings.listen[0]
        self._far: list[socket.socket] = []

    def sender(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        self._far.append(theirs)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.senders.admit(ours, self.listener)
        theirs.sendall(START)
        self.turn()
        return theirs

    def turn(self, *, is_last: bool = False) -> list[bytes]:
        """One turn; gives the senders' bytes of the frames that were read, in order."""
        before = len(self.costs.seen)
        for key, _ in self.selector.select(0):
            key.data()
        self.senders.end_turn(is_last=is_last)
        return [bytes(frame)[16:17] for frame in self.costs.frames[before:]]

    def close(self) -> None:
        for sock in self._far:
            sock.close()
        self.senders.close()
        self.selector.close()


@pytest.fixture
def turns(tmp_path):
    found = Turns(tmp_path)
    yield found
    found.close()


def frame(who: bytes, cost_s: float, size: int = 0) -> bytes:
    framed: bytes = data(struct.pack("!d8x", cost_s) + who + bytes(size))
    return framed


def test_costly_senders_share_a_part_of_each_turn_and_the_good_one_is_read_in_each(turns: Turns):
    """The attack: six floods, each with chunks of 100 ms; a newcomer's hello took four rounds of all of them."""
    costly = {who: turns.sender() for who in (b"a", b"b", b"c", b"d")}
    for who, sock in costly.items():
        sock.sendall(frame(who, 2 * HEAVY_TURN_S))
    turns.turn()
    good = turns.sender()
    order = []
    for _ in range(8):
        for who, sock in costly.items():
            sock.sendall(frame(who, 2 * HEAVY_TURN_S))
        good.sendall(frame(b"g", 0.0))
        read = turns.turn()
        assert read[0] == b"g"
        assert len(set(read)) == 2, "one of the costly ones in a turn"
        order.append(read[-1])
    assert sorted(order) == sorted([b"a", b"b", b"c", b"d"] * 2), "each in its turn"
    for _ in range(8):
        turns.turn()
    assert len(turns.costs.seen) == 4 + 4 * 8 + 8, "nothing is lost"


def test_chunks_get_shorter_while_they_cost_much_and_longer_again(turns: Turns):
    sock = turns.sender()
    connection = next(iter(turns.senders.connections))
    assert connection.chunk_bytes <= 2 * CHUNK_FIRST_BYTES
    for _ in range(4):
        sock.sendall(frame(b"a", 1.0))
        turns.turn()
    assert connection.chunk_bytes == CHUNK_MIN_BYTES
    sock.sendall(frame(b"a", HEAVY_TURN_S / 2))
    turns.turn()
    assert connection.chunk_bytes == CHUNK_MIN_BYTES, "as long as is good"
    for _ in range(8):
        sock.sendall(frame(b"a", 0.0))
        turns.turn()
    assert connection.chunk_bytes == BUFFER_BYTES


def test_a_long_frame_comes_whole_in_short_chunks(turns: Turns):
    sock = turns.sender()
    sock.sendall(frame(b"a", 1.0) * 3)
    for _ in range(3):
        turns.turn()
    sock.sendall(frame(b"l", 1.0, 100_000))
    for _ in range(60):
        turns.turn()
    assert turns.costs.frames[-1][16:17] == b"l"


def test_the_last_turn_reads_all_that_has_come(turns: Turns):
    costly = {who: turns.sender() for who in (b"a", b"b", b"c", b"d")}
    for who, sock in costly.items():
        sock.sendall(frame(who, 2 * HEAVY_TURN_S))
    turns.turn()
    for who, sock in costly.items():
        sock.sendall(frame(who, 2 * HEAVY_TURN_S, 1000) * 50)
    turns.senders.read_whole_chunks()
    assert len(turns.turn(is_last=True)) == 4 * 50


def test_what_is_costly_to_decrypt_is_costly(turns: Turns):
    """Bytes in records of their own take some ms a chunk, of which no frame tells."""

    class Wire:
        is_open, more = True, False

        def __init__(self, sock: socket.socket) -> None:
            self._sock = sock

        def recv_into(self, buffer: memoryview) -> int:
            turns.costs.now += 2 * HEAVY_TURN_S
            return self._sock.recv_into(buffer)

    tls: Any = SimpleNamespace(wire=Wire)
    turns.senders.tls = tls
    good, turns.listener = turns.sender(), TcpAddress("127.0.0.1", 6000, tls=True)
    costly = {who: turns.sender() for who in (b"a", b"b", b"c", b"d")}
    for _ in range(4):
        for who, sock in {**costly, b"g": good}.items():
            sock.sendall(frame(who, 0.0))
        read = turns.turn()
        assert read[0] == b"g"
        assert len(set(read)) == 2, "one of the costly ones in a turn"
