"""Whatever happens between us and ExaBGP, every router ends with exactly the live set."""

import random

import pytest

from dnstap_bgp.core.exabgp.api_session import Stage
from dnstap_bgp.core.exabgp.grammar import Verb, attributes_text, route_line
from dnstap_bgp.core.model import Attributes, Change
from dnstap_bgp.core.prefix_map import SHARDS
from tests.property.exabgp_model import ExaBgp, Neighbor
from tests.property.exabgp_world import (
    ADDRESSES,
    IPV4,
    IPV6,
    SETS4,
    SETS6,
    Loop,
    down,
    live_through,
    respawn,
    text,
    turn,
    up,
)


class World(Loop):
    """The table's wishes on one side, a model of ExaBGP and its routers on the other."""

    def __init__(self, seed, neighbors=None):
        super().__init__(seed, neighbors if neighbors is not None else [Neighbor(one) for one in ADDRESSES[:2]])
        self.live = {}
        self.file = []  # (prefix, attributes or None) as the state file has them
        self.bad = set()  # prefixes that ExaBGP never takes
        self.was_hostile = False
        self.begin()
        self.set_restored()

    def begin(self):
        super().begin()
        self.reconciler = self.views.sole

    def correct(self, records):
        self.file += records

    def record(self, outgoing):
        self.file += outgoing.records

    def set_restored(self):
        self.talk.tasks.restored = True

    def pause(self, *, paused):
        self.views.paused = paused

    def want(self, prefix, attributes, *, bulk=False):
        if attributes is None:
            self.live.pop(prefix, None)
        else:
            self.live[prefix] = attributes
        self.reconciler.put([Change(prefix, attributes)], bulk=bulk)

    def respawn(self):
        """The process dies with whatever is in its pipe, and a new one has the state file."""
        self.cut_pipe()
        self.begin()
        for prefix, attributes in self.file:
            self.reconciler.recall([(prefix, attributes)] if attributes else [], [] if attributes else [prefix])
        self.reconciler.put([Change(prefix, attributes) for prefix, attributes in self.live.items()], bulk=True)
        for shard in range(SHARDS):
            self.reconciler.resync(shard)
        self.set_restored()

    def expected(self, neighbor):
        return {
            text(prefix): attributes_text(attributes)
            for prefix, attributes in self.live.items()
            if prefix not in self.bad
            and ("ipv6 unicast" if len(prefix) == 16 else "ipv4 unicast") in neighbor.families & neighbor.remote
        }

    def end(self):
        """All neighbors come up, ExaBGP refuses nothing but what is bad, and everything comes to rest."""
        self.exabgp.hasty = 0
        self.exabgp.refuses = {text(prefix) for prefix in self.bad}
        self.exabgp.unreadable = {}
        self.exabgp.assign(dict.fromkeys(self.exabgp.neighbors, True))
        for address in self.exabgp.neighbors:
            self.exabgp.up(address)
        if self.was_hostile:  # what was given up is tried again once neighbors change
            self.turn(100)
            self.exabgp.down(next(iter(self.exabgp.neighbors)))
            self.turn(100)
            for address in list(self.exabgp.neighbors):
                self.exabgp.up(address)
        self.rest()
        sayable = self.live.keys() - self.bad
        # what was recorded and never said may be bad, and its withdraw is refused, too
        assert len(sayable) <= self.reconciler.adj_rib_out.count.total() <= len(self.live.keys() | self.bad)
        assert self.talk.stage is Stage.READY
        recorded = dict(self.file)
        told = {
            prefix: attributes for shard in self.reconciler.adj_rib_out.shards for prefix, attributes in shard.items()
        }
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


def remove(world, dice):
    if len(world.exabgp.neighbors) > 1:
        world.exabgp.remove(dice.choice(list(world.exabgp.neighbors)))


def add(world, dice):
    address = dice.choice(ADDRESSES)
    if address not in world.exabgp.neighbors:
        world.exabgp.add(Neighbor(address, ours=all(one.ours for one in world.exabgp.neighbors.values())))


def refuse(world, dice):
    """ExaBGP refuses some prefixes for a while."""
    world.was_hostile = True
    world.exabgp.refuses |= {text(prefix) for prefix in dice.sample(IPV4[:8], 2) + dice.sample(IPV6[:4], 1)}


def relent(world, dice):
    del dice
    world.exabgp.refuses = {text(prefix) for prefix in world.bad}


def refuse_for_good(world, dice):
    """Prefixes that were never announced are bad from now on."""
    fresh = [prefix for prefix in IPV4[30:] + IPV6[30:] if prefix not in world.live and prefix not in dict(world.file)]
    world.bad |= set(dice.sample(fresh, min(2, len(fresh))))
    relent(world, dice)


def hasten(world, dice):
    world.was_hostile = True
    world.exabgp.hasty = dice.randrange(1, 4)


def disown(world, dice):
    """ExaBGP has all neighbors for another process, or for us again, and no event tells where nobody is left for us."""
    world.was_hostile = True
    ours = dice.random() < 0.5
    world.exabgp.assign(dict.fromkeys(world.exabgp.neighbors, ours))


def disown_some(world, dice):
    """ExaBGP reads its configuration: some neighbors are for another process now, or for us again, and stay up."""
    world.was_hostile = True
    world.exabgp.assign({address: dice.random() < 0.5 for address in world.exabgp.neighbors})


def garble(world, dice):
    """A neighbor's row can't be read, or all rows can again."""
    address, key = dice.choice(ADDRESSES), dice.choice(["", "families", "messages", "peer"])
    world.exabgp.unreadable = {address: key}


FLAPS = {want: 35, turn: 30, down: 10, up: 25}
EVERYTHING = {want: 35, turn: 30, down: 10, up: 10, respawn: 3, remove: 3, add: 3}
HOSTILE = {
    want: 35,
    turn: 35,
    down: 6,
    up: 8,
    respawn: 2,
    remove: 2,
    add: 3,
    refuse: 3,
    relent: 3,
    refuse_for_good: 3,
    hasten: 5,
    disown: 3,
    disown_some: 3,
    garble: 3,
}


@pytest.mark.parametrize("seeds", [range(start, start + 25) for start in range(0, 150, 25)], ids=str)
def test_flaps_and_bounces_leave_exactly_the_live_set(seeds):
    for seed in seeds:
        live_through(World, seed, FLAPS)


@pytest.mark.parametrize("seeds", [range(start, start + 25) for start in range(0, 300, 25)], ids=str)
def test_respawns_and_reloads_leave_exactly_the_live_set(seeds):
    for seed in seeds:
        live_through(World, seed, EVERYTHING)


@pytest.mark.parametrize("seeds", [range(start, start + 25) for start in range(0, 200, 25)], ids=str)
def test_refusals_of_any_kind_leave_exactly_the_live_set(seeds):
    for seed in seeds:
        live_through(World, seed, HOSTILE)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_twenty_thousand_lives():
    for seed in range(1_000, 21_000):
        live_through(World, seed, (EVERYTHING, FLAPS, HOSTILE)[seed % 3])


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
