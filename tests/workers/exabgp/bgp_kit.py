"""What the tests of the talk with ExaBGP share: a keeper without a table, and a plugin without a tap."""

import threading
import time

from dnstap_bgp.core.exabgp.outbox import Outbox
from dnstap_bgp.core.model import Attributes, Change
from dnstap_bgp.core.prefixmap import SHARDS
from dnstap_bgp.workers.exabgp.bgp import Bgp


class Wishes:
    """Stands where the keeper stands; remembers what is wanted."""

    def __init__(self):
        self.lock = threading.Lock()
        self.work = threading.Condition(self.lock)
        self.turn = self.work.notify_all
        self.outbox = Outbox()
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
            self.outbox.put([Change(prefix, attributes) for prefix, attributes in wishes.items()], bulk=bulk)
            self.turn()

    def told(self):
        with self.lock:
            return {prefix: attributes for shard in self.outbox.told.shards for prefix, attributes in shard.items()}


class Plugin:
    """Reader and writer at the ends of one process's pipes."""

    def __init__(self, stdin, stdout, *, told=None, live=None, store=None):
        self.ended = threading.Event()
        self.crashed = threading.Event()
        self.keeper = Wishes()
        self.bgp = Bgp(stdin, stdout, self.ended.set, self.crashed.set)
        self.bgp.start_reading()
        with self.keeper.lock:
            self.keeper.outbox.recall((told or {}).items())
        self.keeper.put(live or {}, bulk=True)
        with self.keeper.lock:
            for shard in range(SHARDS):
                self.keeper.outbox.resync(shard)
        self.bgp.start(self.keeper, store)  # type: ignore[arg-type]  # a stand-in
        self.bgp.restored()

    @property
    def status(self):
        status = self.bgp.status()
        assert status is not None
        return status

    def wait(self, condition, timeout=20.0):
        deadline = time.monotonic() + timeout
        while not condition(self.status):
            assert time.monotonic() < deadline, self.status
            time.sleep(0.02)

    def stop(self):
        self.bgp.shutdown()
        self.bgp.join(5)
        self.bgp.close()
        assert not self.crashed.is_set()
