"""The talk with a real ExaBGP, seen from the neighbors' end of the wire."""

import ipaddress
import os
import random
import signal
import sys
import threading
import time

import pytest

from dnstap_bgp.core.exabgp.grammar import address_text, nlri_text
from dnstap_bgp.core.model import Attributes
from tests.ports import free_port
from tests.workers.exabgp.bgp_kit import Plugin, has_caught_up
from tests.workers.exabgp.bgp_sink import IPV4, IPV6, Sink
from tests.workers.exabgp.exabgp_host import Host, neighbor

SETS4 = [Attributes(bytes([192, 0, 2, n]), ("no-export",) if n % 2 else (), ("65001:1:2",), med=n) for n in (1, 2, 3)]
SETS6 = [Attributes(bytes([0x20, 1, 0xD, 0xB8, *[0] * 11, n]), ("65001:7",), med=n) for n in (1, 2, 3)]
PREFIXES4 = [bytes([10, 0, n >> 8, n & 255]) for n in range(300)]
PREFIXES6 = [bytes([0x2A, 1, *[0] * 12, n >> 8, n & 255]) for n in range(300)]


def expected(live):
    return {
        str(ipaddress.ip_network(nlri_text(prefix))): (address_text(attributes.next_hop), attributes.med)
        for prefix, attributes in live.items()
    }


def table(sink):
    return {prefix: (hop, int.from_bytes(dict(said)[4], "big")) for prefix, (hop, said) in dict(sink.table).items()}


class World:
    """Two neighbors, one ExaBGP, and the plugin that it started."""

    def __init__(self, folder, *, count=2, live=None, **settings):
        port = free_port()
        self.sinks = [Sink(f"127.0.0.{2 + number}", port).start() for number in range(count)]
        self.stanzas = [neighbor(sink.address, port, extra=settings.pop("extra", "")) for sink in self.sinks]
        self.host = Host(folder, self.stanzas, **settings).start()
        self.process = self.host.accept()
        self.plugin = Plugin(self.process.stdin, self.process.stdout, live=live)

    def respawn(self):
        """The process dies, and the next one has the state file."""
        keeper = self.plugin.keeper
        self.plugin.stop()
        told = keeper.told()
        self.process.die()
        self.process = self.host.accept()
        self.plugin = Plugin(self.process.stdin, self.process.stdout, told=told, live=keeper.live)

    def wait_right(self, timeout=40.0):
        deadline = time.monotonic() + timeout
        want = expected(self.plugin.keeper.live)
        while not (has_caught_up(self.plugin.status) and all(table(sink) == want for sink in self.sinks)):
            if time.monotonic() > deadline:
                for sink in self.sinks:
                    assert table(sink) == want
                raise AssertionError(self.plugin.status)
            time.sleep(0.05)

    def close(self):
        self.plugin.bgp.shutdown()
        self.host.close()
        self.plugin.stop()
        self.process.die()
        for sink in self.sinks:
            sink.stop()


@pytest.fixture
def world(tmp_path):
    made = []

    def make(**settings):
        made.append(World(tmp_path, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def some(dice):
    wishes = {}
    for _ in range(dice.choice((1, 1, 3, 20, 60))):
        prefixes, sets = dice.choice(((PREFIXES4, SETS4), (PREFIXES6, SETS6)))
        wishes[dice.choice(prefixes)] = dice.choice([None, *sets])
    return wishes


@pytest.mark.parametrize("seed", [1, 2])
def test_random_flaps_bounces_and_respawns_leave_exactly_the_live_set(world, seed):
    one = world()
    dice = random.Random(seed)
    respawns = 0
    timers: list[threading.Timer] = []
    for sink in one.sinks:
        sink.wait(lambda sink: sink.sessions)
    for _ in range(300):
        one.plugin.keeper.put(some(dice), bulk=dice.random() < 0.3)
        if dice.random() < 0.5:
            time.sleep(dice.random() * 0.02)
        if dice.random() < 0.03:
            dice.choice(one.sinks).drop()
        if dice.random() < 0.02:
            sink = dice.choice(one.sinks)
            if sink._listener is not None and not any(timer.is_alive() for timer in timers):
                sink.stop()
                timers.append(threading.Timer(dice.random() * 2, sink.start))
                timers[-1].start()
        if dice.random() < 0.02 and respawns < 3:  # the sixth death in a minute ends ExaBGP
            one.respawn()
            respawns += 1
    for timer in timers:
        timer.join()
    one.wait_right()


def test_answers_to_a_dead_process_do_not_confuse_the_next(world):
    one = world(count=1)
    for number in range(3):
        # its last words, in the middle of a line; unpatched, over 8 KiB of answers would end ExaBGP's sessions
        os.write(
            one.process.stdout,
            b"show neighbor nobody summary\n" * 10 + b"announce attributes next-hop 192.0.2.1 nlri 32.0.0.0/3",
        )
        one.plugin.keeper.put({PREFIXES4[number]: SETS4[0]})
        one.respawn()
    one.wait_right()
    assert one.plugin.status.stray == 0


def test_many_answers_to_a_dead_process_end_no_session_of_a_patched_exabgp(world, tmp_path):
    patched = tmp_path / "exabgp"
    patched.write_text(f'#!/bin/sh\nexec {sys.executable} -m dnstap_bgp.commands.exabgp_server server "$1"\n')
    patched.chmod(0o755)
    one = world(count=1, exabgp=patched)
    one.sinks[0].wait(lambda sink: sink.sessions)
    for number in range(4):
        os.write(one.process.stdout, b"show neighbor json\n" * 50)
        time.sleep(number * 0.002)  # so that it may die while they are answered
        one.plugin.keeper.put({PREFIXES4[number]: SETS4[0]})
        one.respawn()
    one.wait_right()
    assert one.sinks[0].sessions == 1


def test_nobody_sees_a_prefix_vanish_while_processes_come_and_go(world):
    one = world(count=1)
    live = dict.fromkeys(PREFIXES4, SETS4[0])
    one.plugin.keeper.put(live)
    one.wait_right()
    sink = one.sinks[0]
    before = len(sink.history)
    for _ in range(3):
        one.respawn()
        one.wait_right()
    moved = dict.fromkeys(PREFIXES4, SETS4[1])
    one.plugin.keeper.put(moved, bulk=True)
    one.wait_right()
    assert not [prefix for prefix, route in sink.history[before:] if route is None]


def test_a_burst_arrives_complete_and_leaves_again(world):
    one = world(count=1)
    burst = {bytes([10, 1, n >> 8, n & 255]): SETS4[0] for n in range(20_000)}
    one.plugin.keeper.put(burst)
    one.wait_right()
    one.plugin.keeper.put(dict.fromkeys(burst), bulk=True)
    one.plugin.keeper.put({PREFIXES4[0]: SETS4[0]})
    one.wait_right()


def test_end_of_rib_follows_the_restore(world):
    one = world(count=1, live=dict.fromkeys(PREFIXES4, SETS4[0]) | dict.fromkeys(PREFIXES6, SETS6[0]))
    sink = one.sinks[0]
    sink.wait(lambda sink: set(sink.eors) == {IPV4, IPV6})
    assert len(sink.table) == 600
    sink.drop()
    sink.wait(lambda sink: sink.sessions == 2 and set(sink.eors) == {IPV4, IPV6})
    assert len(sink.table) == 600


def test_a_neighbor_that_a_reload_adds_is_told_everything(world):
    one = world(count=2)
    first, second = one.sinks
    one.host.configure([one.stanzas[0]])
    one.plugin.keeper.put(dict.fromkeys(PREFIXES4, SETS4[0]) | dict.fromkeys(PREFIXES6, SETS6[0]))
    one.wait_right()
    one.host.signal(signal.SIGUSR1)
    one.plugin.wait(lambda status: len(status.neighbors) == 1)
    second.wait(lambda sink: not sink.table)
    one.host.configure(one.stanzas)
    one.host.signal(signal.SIGUSR1)
    second.wait(lambda sink: len(sink.table) == 600)
    one.wait_right()
    assert first.sessions == 1


def test_a_neighbor_without_ipv6_shows_in_the_status(world):
    one = world(count=1)
    sink = one.sinks[0]
    sink.families = (IPV4,)
    sink.drop()
    sink.wait(lambda sink: sink.sessions >= 1 and sink.families == (IPV4,))
    one.plugin.keeper.put(dict.fromkeys(PREFIXES6, SETS6[0]))
    sink.drop()
    one.plugin.wait(lambda status: status.neighbors and status.neighbors[0].lacking == ("ipv6 unicast",))


@pytest.mark.parametrize(
    "settings", [{"encoder": "text"}, {"environment": {"exabgp_api_ack": "false"}}], ids=["text", "ack=false"]
)
def test_other_settings_of_the_operator(world, settings):
    one = world(**settings)
    one.plugin.keeper.put(dict.fromkeys(PREFIXES4, SETS4[0]))
    one.wait_right()
    one.sinks[0].drop()
    one.sinks[0].wait(lambda sink: sink.sessions == 2 and sink.eors)
    one.wait_right()


def test_a_killed_exabgp_ends_the_process(world):
    one = world(count=1)
    one.plugin.wait(lambda status: status.stage == "ready")
    one.host.stop()
    assert one.plugin.ended.wait(40)


def test_an_exabgp_that_ends_says_so(world):
    one = world(count=1)
    one.plugin.wait(lambda status: status.stage == "ready")
    one.host.signal(signal.SIGTERM)
    assert one.plugin.ended.wait(40)
