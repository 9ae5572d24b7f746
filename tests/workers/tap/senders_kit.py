"""A tap with recording stand-ins behind it, and senders that play their part by hand."""

import contextlib
import socket
import struct
import threading
import time
from typing import Any

from dnstap_bgp.config import TcpAddress
from dnstap_bgp.config.tables import DnstapTable
from dnstap_bgp.core.tap.framestream import ControlType, control_frame, split_frames
from dnstap_bgp.core.tap.ingest import IngestCounters
from dnstap_bgp.workers.tap.tap import Tap

DEADLINE_S = 60.0
READY, ACCEPT, START, STOP, FINISH = (
    control_frame(control)
    for control in (ControlType.READY, ControlType.ACCEPT, ControlType.START, ControlType.STOP, ControlType.FINISH)
)


def wait_until(condition, what="the condition"):
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true: {found!r}"
        time.sleep(0.005)
    return found


def data(payload):
    return struct.pack("!I", len(payload)) + payload


def config(folder, **keys):
    return DnstapTable.model_validate(keys, context={"folder": folder}).settings()


class Recorder:
    """Keeper and ingest in one: every frame is a sighting, and is kept with the rules that it came under."""

    reads = True

    def __init__(self, rules="rules"):
        self.rules = rules
        self.counters = IngestCounters()
        self.costly = 0  # with each chunk
        self.seen = []

    def feed(self, buffer, start, end, frame_max_bytes):
        start, frames = split_frames(buffer, start, end, frame_max_bytes)
        self.counters.frames += len(frames)
        self.counters.costly += self.costly
        return start, frames

    def memo_status(self):
        return None

    def observe(self, sightings, rules):
        assert threading.current_thread().name == "tap"
        assert sightings
        self.seen += [(frame, rules) for frame in sightings]

    @property
    def frames(self):
        return [frame for frame, _ in self.seen]


class Stage:
    """A running tap, its recorder, and what has crashed (nothing)."""

    def __init__(self, folder, **keys):
        self.folder = folder
        keys.setdefault("listen", [str(folder / "tap.sock")])
        self.config = config(folder, **keys)
        self.recorder = Recorder()
        self.crashed = threading.Event()
        stand_in: Any = self.recorder
        self.tap = Tap(self.config, stand_in, stand_in, self.crashed.set)

    def __enter__(self):
        self.tap.start()
        return self

    def __exit__(self, *_):
        self.end()
        assert not self.crashed.is_set()

    def end(self):
        self.tap.shutdown()
        self.tap.join(DEADLINE_S)
        self.tap.close()

    def listening(self):
        """Wait until every listener is open."""
        wait_until(lambda: all(one.problem is None for one in self.tap.status().listeners), "listening")
        return self

    def troubles(self):
        return {trouble.kind: trouble.count for trouble in self.tap.status().troubles}

    def trouble(self, kind):
        """Wait for one kind of trouble and return its text."""
        wait_until(lambda: kind in self.troubles(), kind)
        return next(trouble.last for trouble in self.tap.status().troubles if trouble.kind == kind)

    def connect(self, address=None):
        """Connect to a listener, the first one by default."""
        address = address or self.config.listen[0]
        if isinstance(address, TcpAddress):
            sock = socket.create_connection((address.host, address.port), timeout=DEADLINE_S)
        else:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(str(address.path))  # blocking, or a full backlog would be an error
            sock.settimeout(DEADLINE_S)
        return sock

    @contextlib.contextmanager
    def sender(self, address=None):
        """A sender that has started, bidirectionally."""
        with self.connect(address) as sock:
            sock.sendall(READY)
            assert receive(sock, len(ACCEPT)) == ACCEPT
            sock.sendall(START)
            yield sock


def receive(sock, size):
    """Exactly so many bytes, or fewer at the end."""
    received = b""
    while len(received) < size and (more := sock.recv(size - len(received))):
        received += more
    return received


def is_closed(sock):
    """The other side has closed the connection, politely or not."""
    try:
        return sock.recv(4096) == b""
    except ConnectionError:
        return True
