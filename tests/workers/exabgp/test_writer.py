"""Lines leave whole, in order and after their records, whoever takes the turn."""

import ipaddress
import os
import queue
import random
import threading
import time
from contextlib import closing
from typing import Any

import pytest

from dnstap_bgp.core.model import Change
from dnstap_bgp.workers.exabgp import writer
from tests.workers.exabgp.bgp_kit import FILL, ONE, Plugin, SlowStore, has_caught_up, ipv4


def test_a_route_is_recorded_before_it_is_said_and_a_withdraw_after_its_answer(script):
    store = SlowStore()
    store.quick.set()
    plugin = Plugin(script.stdin, script.stdout, store=store)
    script.answering.clear()
    script.start()
    prefix = bytes([10, 0, 0, 0])
    plugin.keeper.put({prefix: ONE})
    assert store.records == []
    script.answering.set()
    script.wait(1)
    assert store.records == [(prefix, ONE)]
    plugin.wait(has_caught_up)
    plugin.keeper.put({prefix: None})
    script.wait(2)
    plugin.wait(lambda status: has_caught_up(status) and len(store.records) == 2)
    assert store.records[1] == (prefix, None)
    plugin.stop()


def test_a_disk_that_hangs_does_not_hold_up_routes(script):
    store = SlowStore()
    plugin = Plugin(script.stdin, script.stdout, store=store)
    script.start()
    plugin.keeper.put(ipv4(5_000), bulk=True)
    plugin.wait(has_caught_up)
    assert not plugin.durable
    store.quick.set()
    plugin.keeper.put(ipv4(1, second=9))
    plugin.wait(lambda _: plugin.durable)
    plugin.stop()


class HandStore:
    """A store that writes when it likes, in a thread of its own, and remembers what its file would say."""

    durable = True
    snapshots_begun = 0

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.written = {}  # prefix -> attributes, or None
        self.given = self.served = 0
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._on_recorded = lambda: None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def status(self):
        return self

    def on_recorded(self, call):
        self._on_recorded = call

    def append(self, *, claims=(), records=()):
        del claims
        self.given += 1
        self._queue.put((self.given, dict(records)))
        return HandTicket(self, self.given)

    def close(self):
        self._queue.put(None)
        self._thread.join(10)

    def _run(self):
        while (item := self._queue.get()) is not None:
            if self.random.random() < 0.3:
                time.sleep(self.random.uniform(0, 0.002))
            self.served, records = item
            self.written.update(records)
            self._on_recorded()


class HandTicket:
    hopeless = False

    def __init__(self, store, number):
        self._store = store
        self._number = number

    @property
    def served(self):
        return self._store.served >= self._number

    def wait(self, timeout_s):
        del timeout_s
        return self.served


def prefixes_of(line):
    return [ipaddress.ip_network(word).network_address.packed for word in line.split(b" nlri ")[1].decode().split()]


@pytest.fixture
def patient(monkeypatch):
    """However late a record is on a busy machine, its line waits for it."""
    monkeypatch.setattr(writer, "DURABLE_WAIT_S", 100.0)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("seed", range(4))
def test_turns_of_many_threads_keep_lines_whole_and_records_first(script, seed):
    with closing(HandStore(seed)) as store:
        unrecorded: list[Any] = []
        heard = set()

        def check(line):
            # the answer isn't given yet, so no later command of these prefixes can have changed the file
            if line.startswith(b"announce"):
                unrecorded.extend(prefix for prefix in prefixes_of(line) if store.written.get(prefix) is None)
                heard.update(prefixes_of(line))

        script.on_line = check
        script.start()
        plugin = Plugin(script.stdin, script.stdout, store=store)
        plugin.keeper.put(ipv4(2_000), bulk=True)

        def flap(second):
            dice = random.Random(second)
            mine = list(ipv4(50, second)) + [
                bytes([10, 0, number >> 8, number & 255]) for number in range(second, 2_000, 3)
            ]
            for _ in range(300):
                plugin.keeper.put({dice.choice(mine): dice.choice([ONE, None])}, bulk=dice.random() < 0.3)

        threads = [threading.Thread(target=flap, args=(second,)) for second in (1, 2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        plugin.wait(has_caught_up)
        assert unrecorded == []
        assert heard >= plugin.keeper.live.keys()
        assert plugin.keeper.told() == plugin.keeper.live
        plugin.wait(lambda _: store.served == store.given)
        plugin.stop()
        recorded = {prefix: attributes for prefix, attributes in store.written.items() if attributes is not None}
        assert recorded == plugin.keeper.live
        assert plugin.durable


@pytest.mark.usefixtures("patient")
def test_a_line_waits_for_its_record_and_goes_with_it(script):
    store = SlowStore()
    plugin = Plugin(script.stdin, script.stdout, store=store)
    script.start()
    plugin.wait(has_caught_up)
    with plugin.keeper.lock:
        plugin.keeper.views.put([Change(bytes([10, 0, 0, 0]), ONE)])
        plugin.keeper.turn()
        assert len(store.records) == 1
        assert plugin.bgp._writer is not None
        assert plugin.bgp._writer._line is not None
        store.quick.set()
        plugin.keeper.turn()
        assert plugin.bgp._writer._line is None
    script.wait(1)
    assert plugin.durable
    plugin.stop()


@pytest.mark.parametrize("snapshots", [0, 1])
def test_the_answer_brings_the_prepared_line_recorded_again_only_if_a_snapshot_began_meanwhile(script, snapshots):
    """In the thread that reads. A snapshot may have passed its prefixes before they were announced, and dropped it."""
    store = SlowStore()
    store.quick.set()
    plugin = Plugin(script.stdin, script.stdout, store=store)
    script.start()
    plugin.wait(has_caught_up)
    script.answering.clear()
    plugin.keeper.put(ipv4(3 * 49), bulk=True)
    plugin.wait(lambda _: len(store.records) == 3 * 49)  # two lines under way, and the third is recorded
    assert plugin.status.unanswered == 2
    prepared = store.records[-49:]
    store.snapshots_begun += snapshots
    script.answering.set()
    script.wait(3)
    plugin.wait(has_caught_up)
    assert store.records[3 * 49 :] == prepared * snapshots, "nothing else is recorded twice"
    assert plugin.keeper.told() == plugin.keeper.live
    plugin.stop()


def test_a_full_pipe_takes_up_where_it_left_off(script):
    plugin = Plugin(script.stdin, script.stdout)
    script.start()
    plugin.wait(has_caught_up)
    script.answering.clear()
    plugin.keeper.put(ipv4(1))
    assert script.holding.wait(20)
    try:
        while True:
            os.write(script.stdout, FILL)
    except BlockingIOError:
        pass
    plugin.keeper.put(ipv4(30, second=2))
    plugin.wait(lambda status: status.stalled_s > 0)
    plugin.keeper.put(ipv4(5, second=3))
    script.answering.set()
    plugin.wait(lambda status: has_caught_up(status) and not status.stalled_s)
    assert plugin.keeper.told() == plugin.keeper.live
    assert sum(len(prefixes_of(line)) for line in script.lines) == 36
    plugin.stop()
