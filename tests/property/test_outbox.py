"""Whatever happens between us and ExaBGP, every router ends with exactly the live set."""

import itertools
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnstap_bgp.core.conversation import Conversation, Stage
from dnstap_bgp.core.exabgp import attributes_text, prefix_text, read_line
from dnstap_bgp.core.model import Attributes, Change
from dnstap_bgp.core.outbox import Outbox
from dnstap_bgp.core.prefixmap import SHARDS
from tests.property.exabgp_model import ExaBgp, Neighbor

import ipaddress

TURN_S = 0.01
ADDRESSES = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
IPV4 = [bytes([10, 0, 0, number]) for number in range(40)]
IPV6 = [bytes([0x2A, 1, *[0] * 13, number]) for number in range(40)]
SETS4 = [Attributes(bytes([192, 0, 2, number]), med=number) for number in (11, 12, 13)]
SETS6 = [Attributes(bytes([0x20, 1, 0xD, 0xB8, *[0] * 11, number]), med=number) for number in (11, 12, 13)]
SOME = [
    Attributes(bytes([192, 0, 2, 14]), neighbors=(ADDRESSES[0],)),
    Attributes(bytes([192, 0, 2, 14]), neighbors=(ADDRESSES[1], ADDRESSES[2])),
    Attributes(bytes([192, 0, 2, 11]), med=11, neighbors=(ADDRESSES[0], ADDRESSES[1])),
]


def text(prefix):
    return str(ipaddress.ip_network(prefix_text(prefix)))


class World:
    """The table's wishes on one side, a model of ExaBGP and its routers on the other."""

    def __init__(self, seed, neighbors=None):
        self.random = random.Random(seed)
        self.live = {}
        self.now = 1000.0
        self.exabgp = ExaBgp(neighbors if neighbors is not None else [Neighbor(ADDRESSES[0]), Neighbor(ADDRESSES[1])])
        self.outbox = Outbox()
        self.talk = Conversation(self.outbox, self.random.getrandbits)
        self.talk.duties.restored = True

    def want(self, prefix, attributes, *, bulk=False):
        if attributes is None:
            self.live.pop(prefix, None)
        else:
            self.live[prefix] = attributes
        self.outbox.put([Change(prefix, attributes)], bulk=bulk)

    def turn(self, count=1):
        for _ in range(count):
            self.now += TURN_S
            self._speak()
            self.exabgp.turn()
            self._listen()

    def _speak(self):
        while (outgoing := self.talk.next(self.now)) is not None:
            outgoing.data.decode("ascii")
            self.exabgp.write(outgoing.data)
        self.outbox.take_corrections()

    def _listen(self):
        for line in self.exabgp.read():
            item = read_line(line)
            if item is not None:
                self.talk.receive(item, self.now)
        # now and then an answer to what it reads comes in the same turn
        if self.random.random() < 0.5:
            self._speak()

    def respawn(self):
        """The process dies with whatever is in its pipe, and a new one has the state file."""
        told = [(prefix, attributes) for shard in self.outbox.told.shards for prefix, attributes in shard.items()]
        if self.random.random() < 0.5:
            lines = self.exabgp._pipe.split(b"\n")
            self.exabgp._pipe = b"\n".join([*lines[: self.random.randrange(len(lines) + 1)], b""])
        self.outbox = Outbox()
        self.talk = Conversation(self.outbox, self.random.getrandbits)
        self.outbox.recall(told)
        self.outbox.put([Change(prefix, attributes) for prefix, attributes in self.live.items()], bulk=True)
        for shard in range(SHARDS):
            self.outbox.resync(shard)
        self.talk.duties.restored = True

    def expected(self, neighbor):
        return {
            text(prefix): attributes_text(attributes)
            for prefix, attributes in self.live.items()
            if (not attributes.neighbors or neighbor.address in attributes.neighbors)
            and ("ipv6 unicast" if len(prefix) == 16 else "ipv4 unicast") in neighbor.families & neighbor.remote
        }

    @property
    def right(self):
        return all(neighbor.table == self.expected(neighbor) for neighbor in self.exabgp.neighbors.values())

    def end(self):
        """All neighbors come up, and everything comes to rest."""
        for address in list(self.exabgp.neighbors):
            self.exabgp.up(address)
        for _ in range(300):
            self.turn(50)
            if self.right and self.outbox.handed_over and not self.talk.unanswered:
                break
        for neighbor in self.exabgp.neighbors.values():
            expected = self.expected(neighbor)
            assert neighbor.table == expected, {
                "lost": expected.keys() - neighbor.table.keys(),
                "ghosts": neighbor.table.keys() - expected.keys(),
                "wrong": {p for p in expected.keys() & neighbor.table.keys() if expected[p] != neighbor.table[p]},
            }
        neighbors = self.exabgp.neighbors.keys()
        sayable = [a for a in self.live.values() if not a.neighbors or neighbors & set(a.neighbors)]
        assert len(sayable) <= self.outbox.told_count.total() <= len(self.live)
        assert self.talk.stage is Stage.READY


prefixes = st.integers(0, 2 * len(IPV4) - 1)
sets = st.integers(-1, 2)
operation = st.one_of(
    st.tuples(st.just("want"), st.lists(st.tuples(prefixes, sets), min_size=1, max_size=30), st.booleans()),
    st.tuples(st.just("turn"), st.integers(1, 4)),
    st.tuples(st.just("turn"), st.integers(1, 4)),
    st.tuples(st.just("down"), st.integers(0, 2)),
    st.tuples(st.just("up"), st.integers(0, 2)),
)
rare = st.one_of(
    operation,
    operation,
    st.tuples(st.just("respawn")),
    st.tuples(st.just("remove"), st.integers(0, 2)),
    st.tuples(st.just("add"), st.integers(0, 2)),
    st.tuples(st.just("some"), st.lists(st.tuples(prefixes, sets), min_size=1, max_size=10)),
)


def perform(world, what):
    match what:
        case ("want", wishes, bulk):
            for number, which in wishes:
                ipv6 = number >= len(IPV4)
                prefix = (IPV6 if ipv6 else IPV4)[number % len(IPV4)]
                world.want(prefix, None if which < 0 else (SETS6 if ipv6 else SETS4)[which], bulk=bulk)
        case ("some", wishes):
            for number, which in wishes:
                world.want(IPV4[number % len(IPV4)], None if which < 0 else SOME[which])
        case ("turn", count):
            world.turn(count)
        case ("down", index):
            if ADDRESSES[index] in world.exabgp.neighbors:
                world.exabgp.down(ADDRESSES[index])
        case ("up", index):
            if ADDRESSES[index] in world.exabgp.neighbors:
                world.exabgp.up(ADDRESSES[index])
        case ("respawn",):
            world.respawn()
        case ("remove", index):
            if ADDRESSES[index] in world.exabgp.neighbors and len(world.exabgp.neighbors) > 1:
                world.exabgp.remove(ADDRESSES[index])
        case ("add", index):
            if ADDRESSES[index] not in world.exabgp.neighbors:
                world.exabgp.add(Neighbor(ADDRESSES[index]))


slow = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@slow
@given(st.integers(0, 2**32), st.lists(operation, max_size=60))
def test_flaps_and_bounces_leave_exactly_the_live_set(seed, operations):
    world = World(seed)
    world.exabgp.up(ADDRESSES[0])
    for what in operations:
        perform(world, what)
    world.end()


@slow
@given(st.integers(0, 2**32), st.lists(rare, max_size=60))
def test_respawns_and_reloads_leave_exactly_the_live_set(seed, operations):
    world = World(seed)
    for what in operations:
        perform(world, what)
    world.end()
