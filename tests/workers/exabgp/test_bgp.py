"""Reader and writer on pipes: floods, stalls, ends."""

import ipaddress
import os
import queue
import random
import threading
import time
from contextlib import closing
from typing import Any

import pytest

from dnstap_bgp.core.model import Attributes, Change
from dnstap_bgp.workers.exabgp.reader import LineReader
from tests.workers.exabgp.bgp_kit import Plugin

ONE = Attributes(bytes([192, 0, 2, 1]))
ROW = (
    b'[{"fsm": "ESTABLISHED", "duration": 5, "local": {"address": "192.0.2.8", "as": 1, "id": "1.1.1.1", "families": '
    b'{"ipv4 unicast": true}}, "peer": {"address": "192.0.2.9", "as": 2}, "families": ["ipv4 unicast"], "messages": '
    b'{"sent": {"update": 0}}}]\n'
)

FILL = b"# only fills the pipe\n"


class Script:
    """The other ends of the plugin's pipes; answers like an ExaBGP with one neighbor, or does not."""

    def __init__(self):
        self.stdin, self._to_plugin = os.pipe()
        self._from_plugin, self.stdout = os.pipe()
        self.lines = []
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
            self._thread.join(5)
            assert not self._thread.is_alive()
        os.close(self._from_plugin)

    def wait(self, count, timeout=10.0):
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
                    answer = ROW + answer
                elif b"nlri" in line:
                    self.on_line(line)
                    with self.changed:
                        self.lines.append(line)
                        self.changed.notify_all()
                try:
                    self.say(answer)
                except OSError:
                    return


@pytest.fixture
def script():
    with closing(Script()) as script:
        yield script


@pytest.fixture
def plugin(script):
    plugin = Plugin(script.stdin, script.stdout)
    yield plugin
    plugin.stop()


def ipv4(count, second=0):
    return {bytes([10, second, number >> 8, number & 255]): ONE for number in range(count)}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_are_the_same_however_they_are_cut(size):
    data = b"done\r\n\nerror\n{ }\nrest"
    reader = LineReader()
    lines = [line for at in range(0, len(data), size) for line in reader.feed(data[at : at + size])]
    assert lines == [b"done", b"", b"error", b"{ }"]


def test_a_line_over_the_limit_is_skipped_and_not_kept():
    reader = LineReader(line_max_bytes=100)
    assert reader.feed(b"a" * 90) == []
    assert reader.feed(b"a" * 90) == []
    for _ in range(1_000):
        assert reader.feed(b"a" * 90) == []
    assert len(reader._begun) == 0
    assert reader.feed(b"a\ndone\n") == [b"done"]
    assert reader.skipped == 1


def test_what_is_wanted_is_said(script, plugin):
    script.start()
    plugin.keeper.put(ipv4(1))
    script.wait(1)
    assert script.lines == [b"announce attributes next-hop 192.0.2.1 nlri 10.0.0.0/32\n"]
    plugin.wait(lambda status: status.settled)
    plugin.keeper.put({bytes([10, 0, 0, 0]): None})
    script.wait(2)
    plugin.wait(lambda status: status.settled)
    assert plugin.keeper.told() == {}


def test_stdin_is_drained_before_anything_is_said_and_whatever_comes(script):
    plugin = Plugin(script.stdin, script.stdout)
    noise = b"done\n" * 100 + b'{ "exabgp": "5.0.0", "type": "update", "x": "' + b"y" * 4_000 + b'" }\n' + b"\xff\x00\n"
    for _ in range(2_000):  # 8 MB; would block for ever if nobody read
        script.say(noise)
    script.start()
    plugin.keeper.put(ipv4(1))
    script.wait(1)
    plugin.stop()


def fill(fd):
    """Fill a pipe to the last byte."""
    os.set_blocking(fd, False)
    try:
        while True:
            os.write(fd, b"#")
    except BlockingIOError:
        pass


def test_a_host_that_reads_nothing_does_not_hold_up_the_end(script):
    fill(script.stdout)
    plugin = Plugin(script.stdin, script.stdout)
    plugin.wait(lambda status: status.stalled_s > 0)
    plugin.stop()
    assert plugin.bgp._writer is not None
    assert not plugin.bgp._writer._thread.is_alive()


def test_a_stall_loses_nothing(script, plugin):
    script.start()
    plugin.wait(lambda status: status.stage == "ready")
    script.answering.clear()
    plugin.keeper.put(ipv4(5_000), bulk=True)
    plugin.keeper.put(dict.fromkeys(ipv4(2_000), None), bulk=True)
    script.answering.set()
    plugin.wait(lambda status: status.settled)
    assert plugin.keeper.told() == plugin.keeper.live
    assert len(plugin.keeper.live) == 3_000


def test_the_end_of_the_pipe_ends_the_process(script, plugin):
    script.hang_up()
    assert plugin.ended.wait(5)


@pytest.mark.parametrize(
    "line", [b'{ "exabgp": "5.0.0", "type": "notification", "notification": "shutdown" }\n', b"shutdown 1 2\n"]
)
def test_the_word_shutdown_ends_the_process_and_reading_goes_on(script, plugin, line):
    script.say(line)
    assert plugin.ended.wait(5)
    for _ in range(100):
        script.say(b"done\n" * 1_000)


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

    def on_recorded(self, call):
        """What has become quick is so from the beginning of a line, or is noticed by the writer's own look."""

    @property
    def status(self):
        return self

    @property
    def durable(self):
        return self.quick.is_set()

    def append(self, *, claims=(), told=(), untold=()):
        del claims
        self.records += [(prefix, attributes) for prefix, attributes in told]
        self.records += [(prefix, None) for prefix in untold]
        return SlowTicket(self)


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
    plugin.wait(lambda status: status.settled)
    plugin.keeper.put({prefix: None})
    script.wait(2)
    plugin.wait(lambda status: status.settled and len(store.records) == 2)
    assert store.records[1] == (prefix, None)
    plugin.stop()


def test_a_disk_that_hangs_does_not_hold_up_routes(script):
    store = SlowStore()
    plugin = Plugin(script.stdin, script.stdout, store=store)
    script.start()
    plugin.keeper.put(ipv4(5_000), bulk=True)
    plugin.wait(lambda status: status.settled)
    assert not plugin.status.durable
    store.quick.set()
    plugin.keeper.put(ipv4(1, second=9))
    plugin.wait(lambda status: status.durable)
    plugin.stop()


class HandStore:
    """A store that writes when it likes, in a thread of its own, and remembers what its file would say."""

    durable = True

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

    def append(self, *, claims=(), told=(), untold=()):
        del claims
        self.given += 1
        self._queue.put((self.given, dict.fromkeys(untold) | dict(told)))
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
        plugin.wait(lambda status: status.settled)
        assert unrecorded == []
        assert heard >= plugin.keeper.live.keys()
        assert plugin.keeper.told() == plugin.keeper.live
        plugin.wait(lambda _: store.served == store.given)
        plugin.stop()
        recorded = {prefix: attributes for prefix, attributes in store.written.items() if attributes is not None}
        assert recorded == plugin.keeper.live
        assert plugin.status.durable


def test_a_line_waits_for_its_record_and_goes_with_it(script):
    store = SlowStore()
    plugin = Plugin(script.stdin, script.stdout, store=store)
    script.start()
    plugin.wait(lambda status: status.settled)
    with plugin.keeper.lock:
        plugin.keeper.outbox.put([Change(bytes([10, 0, 0, 0]), ONE)])
        plugin.keeper.turn()
        assert len(store.records) == 1
        assert plugin.bgp._writer is not None
        assert plugin.bgp._writer._line is not None
        store.quick.set()
        plugin.keeper.turn()
        assert plugin.bgp._writer._line is None
    script.wait(1)
    assert plugin.status.durable
    plugin.stop()


def test_the_answer_brings_the_prepared_line_in_the_thread_that_reads(script):
    store = SlowStore()
    store.quick.set()
    plugin = Plugin(script.stdin, script.stdout, store=store)
    script.start()
    plugin.wait(lambda status: status.settled)
    script.answering.clear()
    plugin.keeper.put(ipv4(3 * 49), bulk=True)
    plugin.wait(lambda _: len(store.records) == 3 * 49)  # two lines under way, and the third is recorded
    assert plugin.status.unanswered == 2
    script.answering.set()
    script.wait(3)
    plugin.wait(lambda status: status.settled)
    assert len(store.records) == 3 * 49, "nothing is recorded twice"
    plugin.stop()


def test_a_full_pipe_takes_up_where_it_left_off(script):
    plugin = Plugin(script.stdin, script.stdout)
    script.start()
    plugin.wait(lambda status: status.settled)
    script.answering.clear()
    plugin.keeper.put(ipv4(1))
    assert script.holding.wait(5)
    try:
        while True:
            os.write(script.stdout, FILL)
    except BlockingIOError:
        pass
    plugin.keeper.put(ipv4(30, second=2))
    plugin.wait(lambda status: status.stalled_s > 0)
    plugin.keeper.put(ipv4(5, second=3))
    script.answering.set()
    plugin.wait(lambda status: status.settled and not status.stalled_s)
    assert plugin.keeper.told() == plugin.keeper.live
    assert sum(len(prefixes_of(line)) for line in script.lines) == 36
    plugin.stop()
