"""What the tests of the talk with ExaBGP share: a keeper without a table, and a plugin without a tap."""

import os
import threading
import time

from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.model import Attributes, Change
from dnstap_bgp.core.prefix_map import SHARDS
from dnstap_bgp.workers.exabgp.bgp import Bgp


def has_caught_up(status):
    """Whether ExaBGP has taken all that is wanted: nothing waits, nothing is unanswered."""
    replaying = any(neighbor.replaying for neighbor in status.neighbors)
    return status.stage == "ready" and not status.waiting and not replaying and not status.unanswered


class Wishes:
    """Stands where the keeper stands; remembers what is wanted."""

    def __init__(self):
        self.lock = threading.Lock()
        self.work = threading.Condition(self.lock)
        self.turn = self.work.notify_all
        self.views = Views()
        self.live: dict[bytes, Attributes] = {}

    def take_dirty(self):
        return []

    def put(self, wishes, *, bulk=False):
        with self.lock:
            for prefix, attributes in wishes.items():
                if attributes is None:
                    self.live.pop(prefix, None)
                else:
                    self.live[prefix] = attributes
            self.views.put([Change(prefix, attributes) for prefix, attributes in wishes.items()], bulk=bulk)
            self.turn()

    def told(self):
        with self.lock:
            return {
                prefix: attributes
                for shard in self.views.sole.adj_rib_out.shards
                for prefix, attributes in shard.items()
            }


class Plugin:
    """StdinReader and writer at the ends of one process's pipes."""

    def __init__(self, stdin, stdout, *, told=None, live=None, store=None):
        self.ended = threading.Event()
        self.crashed = threading.Event()
        self.keeper = Wishes()
        self.bgp = Bgp(stdin, stdout, self.ended.set, self.crashed.set)
        self.bgp.start_reading()
        with self.keeper.lock:
            self.keeper.views.sole.recall((told or {}).items())
        self.keeper.put(live or {}, bulk=True)
        with self.keeper.lock:
            for shard in range(SHARDS):
                self.keeper.views.resync(shard)
        self.bgp.start(self.keeper, store)  # type: ignore[arg-type]  # a stand-in
        self.bgp.restored()

    @property
    def status(self):
        status = self.bgp.status()
        assert status is not None
        return status

    @property
    def durable(self):
        assert self.bgp._writer is not None
        return self.bgp._writer.durable

    def wait(self, condition, timeout=40.0):
        deadline = time.monotonic() + timeout
        while not condition(self.status):
            assert time.monotonic() < deadline, self.status
            time.sleep(0.02)

    def stop(self):
        self.bgp.shutdown()
        self.bgp.join(20)
        self.bgp.close()
        assert not self.crashed.is_set()


ONE = Attributes(bytes([192, 0, 2, 1]))


ROW = (
    b'[{"fsm": "ESTABLISHED", "duration": 5, "local": {"address": "192.0.2.8", "as": 1, "id": "1.1.1.1", "families": '
    b'{"ipv4 unicast": true}}, "peer": {"address": "192.0.2.9", "as": 2}, "families": ["ipv4 unicast"], "messages": '
    b'{"sent": {"update": 0}}}]\n'
)


DOWN_ROW = ROW.replace(b"ESTABLISHED", b"IDLE")


FILL = b"# only fills the pipe\n"


class Script:
    """The other ends of the plugin's pipes; answers like an ExaBGP with one neighbor, or does not."""

    def __init__(self):
        self.stdin, self._to_plugin = os.pipe()
        self._from_plugin, self.stdout = os.pipe()
        self.lines = []
        self.row = ROW
        self.changed = threading.Condition()
        self.on_line = lambda _: None
        self.answering = threading.Event()
        self.answering.set()
        self.holding = threading.Event()  # reads nothing more
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def say(self, data):
        os.write(self._to_plugin, data)

    def hang_up(self):
        os.close(self._to_plugin)
        self._to_plugin = -1

    def close(self):
        self.answering.set()
        for fd in (self.stdin, self.stdout, self._to_plugin):
            if fd >= 0:
                os.close(fd)
        if self._thread.ident is not None:
            self._thread.join(20)
            assert not self._thread.is_alive()
        os.close(self._from_plugin)

    def wait(self, count, timeout=30.0):
        """Wait for so many lines about routes."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.lines) >= count, timeout), self.lines

    def _run(self):
        with os.fdopen(os.dup(self._from_plugin), "rb") as stream:
            for line in stream:
                if not self.answering.is_set():
                    self.holding.set()
                self.answering.wait()
                assert line.isascii()
                if line == FILL:
                    continue
                answer = b"done\n"
                if line == b"version\n":
                    answer = b"exabgp 5.0.15\n" + answer
                elif b"summary" in line:
                    answer = b"Peer            AS\n" + answer
                elif b"json" in line:
                    answer = self.row + answer
                elif b"nlri" in line:
                    self.on_line(line)
                    with self.changed:
                        self.lines.append(line)
                        self.changed.notify_all()
                try:
                    self.say(answer)
                except OSError:
                    return


def ipv4(count, second=0):
    return {bytes([10, second, number >> 8, number & 255]): ONE for number in range(count)}


def fill(fd):
    """Fill a pipe to the last byte."""
    os.set_blocking(fd, False)
    try:
        while True:
            os.write(fd, b"#")
    except BlockingIOError:
        pass


class SlowTicket:
    def __init__(self, store):
        self._store = store

    hopeless = False

    @property
    def served(self):
        return self._store.quick.is_set()

    def wait(self, timeout_s):
        return self._store.quick.wait(timeout_s)


class SlowStore:
    """A store whose disk can be told to hang."""

    def __init__(self):
        self.quick = threading.Event()
        self.records = []
        self.snapshots_begun = 0

    def on_recorded(self, call):
        """What has become quick is so from the beginning of a line, or is noticed by the writer's own look."""

    @property
    def status(self):
        return self

    @property
    def durable(self):
        return self.quick.is_set()

    def append(self, *, claims=(), records=()):
        del claims
        self.records += records
        return SlowTicket(self)
