"""Whatever happens between us and ExaBGP, every router ends with exactly the live set."""

import ipaddress
import random

import pytest

from dnstap_bgp.core.exabgp.conversation import Conversation
from dnstap_bgp.core.exabgp.flight import Stage
from dnstap_bgp.core.exabgp.grammar import Verb, attributes_text, prefix_text, read_line, route_line
from dnstap_bgp.core.exabgp.outbox import Outbox
from dnstap_bgp.core.model import Attributes, Change
from dnstap_bgp.core.prefixmap import SHARDS
from tests.property.exabgp_model import ExaBgp, Neighbor

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
        self.file = []  # (prefix, attributes or None) as the state file has them
        self.prepared = None  # a line that is recorded and not said
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
            self.file += self.outbox.take_corrections()
            if outgoing is not self.prepared:
                self.file += outgoing.news
            self.exabgp.write(outgoing.data)
        self.file += self.outbox.take_corrections()
        if self.random.random() < 0.7:  # what is prepared may be overtaken by anything, or prepared long before
            prepared = self.talk.prepare(self.now)
            self.file += self.outbox.take_corrections()
            if prepared is not None:
                self.prepared = prepared
                self.file += prepared.news

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
        if self.random.random() < 0.5:
            self.exabgp._pipe = self.exabgp._pipe[: self.random.randrange(len(self.exabgp._pipe) + 1)]
        elif not self.exabgp._pipe.endswith(b"\n"):
            self.exabgp._pipe += b"\n"
        self.outbox = Outbox()
        self.talk = Conversation(self.outbox, self.random.getrandbits)
        for prefix, attributes in self.file:
            self.outbox.recall([(prefix, attributes)] if attributes else [], [] if attributes else [prefix])
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
        self.talk.prepare(self.now)
        self.file += self.outbox.take_corrections()
        recorded = dict(self.file)
        told = {prefix: attributes for shard in self.outbox.told.shards for prefix, attributes in shard.items()}
        assert {prefix: attributes for prefix, attributes in recorded.items() if attributes} == told


def some_wishes(dice, count):
    """Half of them on few prefixes, so that these change often."""
    return [
        (dice.randrange(80) if dice.random() < 0.5 else dice.randrange(6), dice.randrange(-1, 3))
        for _ in range(dice.randrange(1, count))
    ]


def want(world, dice):
    bulk = dice.random() < 0.5
    for number, which in some_wishes(dice, 30):
        prefix, sets = (IPV6, SETS6) if number >= len(IPV4) else (IPV4, SETS4)
        world.want(prefix[number % len(IPV4)], None if which < 0 else sets[which], bulk=bulk)


def want_for_some_neighbors(world, dice):
    for number, which in some_wishes(dice, 10):
        world.want(IPV4[number % len(IPV4)], None if which < 0 else SOME[which])


def turn(world, dice):
    world.turn(dice.randrange(1, 5) if dice.random() < 0.9 else 200)


def down(world, dice):
    world.exabgp.down(dice.choice(list(world.exabgp.neighbors)))


def up(world, dice):
    world.exabgp.up(dice.choice(list(world.exabgp.neighbors)))


def respawn(world, dice):
    del dice
    world.respawn()


def remove(world, dice):
    if len(world.exabgp.neighbors) > 1:
        world.exabgp.remove(dice.choice(list(world.exabgp.neighbors)))


def add(world, dice):
    address = dice.choice(ADDRESSES)
    if address not in world.exabgp.neighbors:
        world.exabgp.add(Neighbor(address))


FLAPS = {want: 35, turn: 30, down: 10, up: 25}
EVERYTHING = {want: 35, want_for_some_neighbors: 6, turn: 30, down: 10, up: 10, respawn: 3, remove: 3, add: 3}


def live_through(seed, events):
    dice = random.Random(seed)
    world = World(seed)
    for event in dice.choices(list(events), list(events.values()), k=dice.randrange(3, 40)):
        event(world, dice)
    world.end()


@pytest.mark.parametrize("seeds", [range(start, start + 25) for start in range(0, 150, 25)], ids=str)
def test_flaps_and_bounces_leave_exactly_the_live_set(seeds):
    for seed in seeds:
        live_through(seed, FLAPS)


@pytest.mark.parametrize("seeds", [range(start, start + 25) for start in range(0, 300, 25)], ids=str)
def test_respawns_and_reloads_leave_exactly_the_live_set(seeds):
    for seed in seeds:
        live_through(seed, EVERYTHING)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_twenty_thousand_lives():
    for seed in range(1_000, 21_000):
        live_through(seed, EVERYTHING if seed % 2 else FLAPS)


def naive(seed, sets, window):
    """Random announces and withdraws, one a line, so many unanswered; gives how many prefixes end wrong."""
    dice = random.Random(seed)
    neighbor = Neighbor(ADDRESSES[0])
    exabgp = ExaBgp([neighbor])
    exabgp.up(ADDRESSES[0])
    told: dict[bytes, Attributes] = {}
    unanswered = 0
    for _ in range(4_000):
        prefix = dice.choice(IPV4)
        if prefix in told and dice.random() < 0.5:
            exabgp.write(route_line(Verb.WITHDRAW, told.pop(prefix), [prefix]))
        else:
            told[prefix] = dice.choice(sets)
            exabgp.write(route_line(Verb.ANNOUNCE, told[prefix], [prefix]))
        unanswered += 1
        while unanswered >= window:
            exabgp.turn()
            unanswered -= exabgp.read().count(b"done")
    for _ in range(100):
        exabgp.turn()
    expected = {text(prefix): attributes_text(attributes) for prefix, attributes in told.items()}
    return len(expected.items() ^ neighbor.table.items())


def test_the_model_goes_wrong_where_exabgp_does():
    assert not any(naive(seed, SETS4[:1], 64) for seed in range(5))
    assert any(naive(seed, SETS4, 64) for seed in range(5))
