"""Whatever happens, and however the lists' neighbors are divided anew, every router has what is wanted for it."""

import random
from dataclasses import replace

import pytest

from dnstap_bgp.core.exabgp.grammar import attributes_text
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.model import EVERYONE, Attributes, Audience, Change, PerView
from dnstap_bgp.core.prefix_map import SHARDS
from dnstap_bgp.core.state.blocks import Block, BlockKind, file_header, scan
from dnstap_bgp.core.state.pending import Pending
from dnstap_bgp.core.state.records import Decoder, frames
from dnstap_bgp.core.state.timestamps import Stamp
from tests.property.exabgp_model import Neighbor
from tests.property.exabgp_world import (
    ADDRESSES,
    IPV4,
    IPV6,
    SETS4,
    SETS6,
    TURN_S,
    Loop,
    down,
    live_through,
    respawn,
    text,
    turn,
    up,
)
from tests.property.test_exabgp import add, disown, disown_some, garble, hasten, refuse, relent, remove

ONE, TWO, THREE = ADDRESSES
PARTITIONS = [
    [EVERYONE],
    [Audience((ONE,)), Audience((ONE,), is_except=True)],
    [Audience((ONE, TWO)), Audience((ONE, TWO), is_except=True)],
    [Audience((ONE,)), Audience((TWO,)), Audience((ONE, TWO), is_except=True)],
    [Audience((TWO,)), Audience((THREE,)), Audience((TWO, THREE), is_except=True)],
    [Audience((ONE, THREE))],
]
PREFIXES = [*IPV4[:12], *IPV6[:12]]


STAMP = Stamp(0.0, 0.0, bytes(16))


class StateFile:
    """Records as the store writes them: queued, in blocks, and now and then replaced by a snapshot; in one thread."""

    def __init__(self, dice):
        self._random = dice
        self.data = file_header()
        self.begin(Views())

    def begin(self, views):
        """A process begins: what was queued or drafted died with the one before."""
        self.views = views
        self._pending = Pending()
        self._draft, self._walk = b"", None
        self.snapshots_begun = 0
        self._is_owed = False

    def append(self, records):
        self._pending.add([], records)
        if self._random.random() < 0.5:
            self.write()

    def write(self):
        batch = self._pending.take()
        if self._random.random() < 0.1:
            self._pending.give_back(batch)  # a full disk
            return
        blocks = b"".join(frames(BlockKind.CHANGES, batch.claims, batch.records, STAMP))
        if not self._is_owed:
            self.data += blocks
        if self._walk is not None:
            self._draft += blocks

    def make_durable(self):
        """Wait for the record of a line."""
        while len(self._pending):
            self.write()
        while self._is_owed:
            self.step()

    def step(self):
        """Begin a snapshot, or go on with it by a shard."""
        views = self.views
        if self._walk is None:
            self.snapshots_begun += 1
            self._is_owed = self._random.random() < 0.3
            if self._is_owed:
                self._pending.clear()
            self._walk, self._draft = iter(sorted({prefix[-1] for prefix in PREFIXES})), file_header()
        shard = next(self._walk, None)
        if shard is not None:
            self._draft += b"".join(frames(BlockKind.SNAPSHOT, [], views.walk(shard), STAMP))
            return
        while len(self._pending):
            self.write()
        self.data, self._walk, self._is_owed = self._draft, None, False

    def blocks(self):
        """The records of each block."""
        decoder = Decoder(0.0)
        for part in scan(lambda at, length: self.data[at : at + length], len(self.data)):
            assert isinstance(part, Block), part
            yield decoder.decode_told(part.payload)[0]

    def of(self, neighbor):
        """What a neighbor has, as the file says."""
        found = {}
        for key, attributes in (record for block in self.blocks() for record in block):
            prefix, audience = (key, EVERYONE) if isinstance(key, bytes) else key
            if attributes is not None and attributes.neighbors:
                audience = Audience(attributes.neighbors)
            if neighbor in audience:
                found[prefix] = attributes and attributes_text(attributes)
        return {text(prefix): attributes for prefix, attributes in found.items() if attributes}


class World(Loop):
    def __init__(self, seed):
        super().__init__(seed, [Neighbor(ONE), Neighbor(TWO)])
        self.file = StateFile(self.random)
        self.bad: set[bytes] = set()
        self.was_hostile = False
        self.audiences = self.random.choice(PARTITIONS)
        self.live: list[dict[bytes, Attributes]] = [{} for _ in self.audiences]
        self.begin()
        self.configure()
        self.talk.tasks.restored = True

    def begin(self):
        super().begin()
        self.file.begin(self.views)

    def correct(self, records):
        self.file.append(records)

    def record(self, outgoing):
        self.file.append(self.views.records(outgoing.records, outgoing.audience))

    def make_durable(self):
        self.file.make_durable()

    def step(self):
        if self.random.random() < 0.2:
            self.file.step()

    @property
    def records_begun(self):
        return self.file.snapshots_begun

    def configure(self):
        self.views.configure(self.audiences)

    def want(self, policy, prefix, attributes, *, bulk=False):
        if attributes is None:
            self.live[policy].pop(prefix, None)
        else:
            self.live[policy][prefix] = attributes
        self.put([prefix], bulk=bulk)

    def put(self, prefixes, *, bulk=True):
        """State what is wanted of prefixes, as the policies do: plain attributes where there is one view."""
        changes = []
        for prefix in prefixes:
            by_view = tuple(live.get(prefix) for live in self.live)
            first = next(filter(None, by_view), None)
            wanted = first if first is None or len(by_view) < 2 else PerView(first.next_hop, by_view=by_view)
            if wanted is not None and self.audiences == PARTITIONS[-1]:
                wanted = replace(wanted, neighbors=self.audiences[0].names)
            changes.append(Change(prefix, wanted))
        self.views.put(changes, bulk=bulk)

    def divide(self):
        """A reload: other neighbors for the same lists, and all that is wanted is put again."""
        self.audiences = self.random.choice(PARTITIONS)
        before = self.live
        self.live = [dict(self.random.choice(before)) for _ in self.audiences]
        self.configure()
        self.put(PREFIXES)

    def respawn(self):
        self.cut_pipe()
        self.begin()
        self.configure()
        for records in self.file.blocks():
            self.views.recall(records)
        self.configure()
        self.restore()
        for shard in range(SHARDS):
            self.views.resync(shard)
        self.talk.tasks.restored = True

    def restore(self):
        self.put({prefix for live in self.live for prefix in live})

    def expected(self, neighbor):
        found = [live for audience, live in zip(self.audiences, self.live, strict=True) if neighbor.address in audience]
        return {text(prefix): attributes_text(attributes) for live in found for prefix, attributes in live.items()}

    def end(self):
        self.exabgp.hasty = 0
        self.exabgp.refuses = set()
        self.exabgp.unreadable = {}
        self.exabgp.assign(dict.fromkeys(self.exabgp.neighbors, True))
        for address in self.exabgp.neighbors:
            self.exabgp.up(address)
        if self.was_hostile:  # what was given up is tried again once neighbors change
            self.turn(100)
            for address in list(self.exabgp.neighbors):
                self.exabgp.down(address)
            self.turn(100)
        self.rest()
        assert self.is_recorded(), [
            (neighbor.address, self.file.of(neighbor.address), self.expected(neighbor))
            for neighbor in self.exabgp.neighbors.values()
        ]

    @property
    def is_at_rest(self):
        return super().is_at_rest and self.is_recorded()

    def is_recorded(self):
        """Whether the file says what each neighbor has; a withdraw that was given up is tried again in a while."""
        self.talk.prepare(self.now)
        self.file.append(self.views.take_corrections())
        self.file.make_durable()
        found = self.exabgp.neighbors.values()
        return all(self.file.of(neighbor.address) == self.expected(neighbor) for neighbor in found)


def want(world, dice):
    bulk = dice.random() < 0.5
    for _ in range(dice.randrange(1, 20)):
        policy = dice.randrange(len(world.live))
        number = dice.randrange(24) if dice.random() < 0.5 else dice.choice((0, 1, 12))
        sets = SETS4 if number < 12 else SETS6
        world.want(policy, PREFIXES[number], dice.choice([None, *sets]), bulk=bulk)


def divide(world, dice):
    del dice
    world.divide()


EVENTS = {want: 35, turn: 30, down: 8, up: 12, respawn: 3, divide: 4, remove: 3, add: 4}
HOSTILE = EVENTS | {divide: 6, refuse: 3, relent: 3, hasten: 1, disown: 3, disown_some: 3, garble: 2}


@pytest.mark.parametrize("seeds", [range(start, start + 15) for start in range(0, 150, 15)], ids=str)
def test_each_neighbor_has_what_its_lists_want(seeds):
    for seed in seeds:
        live_through(World, seed, EVENTS)


@pytest.mark.parametrize("seeds", [range(start, start + 15) for start in range(0, 60, 15)], ids=str)
def test_each_neighbor_has_it_also_where_exabgp_refuses_lines(seeds):
    for seed in seeds:
        live_through(World, seed, HOSTILE)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("events", [EVENTS, HOSTILE], ids=["all", "hostile"])
def test_ten_thousand_lives_of_views(events):
    for seed in range(1_000, 11_000):
        live_through(World, seed, events)


# -- killed between the record of an attribute change and ExaBGP's reading it


class Dice(random.Random):
    """Dice that always show the same: what is decided by them is decided in one way."""

    def __init__(self, shown: float) -> None:
        super().__init__(1)
        self.shown = shown

    def random(self) -> float:
        return self.shown


def through_the_log(world):
    """The usual: each record is a block of its own."""


def through_a_snapshot(world):
    """All of it goes through a snapshot, which says what is announced now."""
    while True:
        world.file.step()
        if world.file._walk is None:
            return


def through_the_queue(world):
    """The disk was late: both records have waited in the queue, and are one block."""
    blocks = list(world.file.blocks())
    world.file.data, world.file._pending = file_header(), Pending()
    for records in blocks:
        world.file._pending.add([], records)
    while len(world.file._pending):
        world.file.write()


@pytest.mark.parametrize("wanted", [None, *SETS4[:3]], ids=["gone", "old", "new", "other"])
@pytest.mark.parametrize("is_read", [True, False], ids=["read", "lost"])
@pytest.mark.parametrize("recorded", [through_the_log, through_a_snapshot, through_the_queue])
@pytest.mark.parametrize("times", [1, 2])
def test_killed_with_an_attribute_change_in_the_pipe(times, recorded, is_read, wanted):
    """A neighbor that is down has the old attributes pending, or the new ones: the next process withdraws both."""
    old, new, prefix = SETS4[0], SETS4[1], PREFIXES[0]
    world = World(1)
    world.file._random = Dice(0.3)  # writes at once
    world.random = Dice(0.9)  # no snapshot and nothing prepared on the way, and the pipe is cut here
    world.audiences, world.live = [EVERYONE], [{}]
    world.views.configure(world.audiences)
    world.exabgp.up(TWO)
    world.want(0, prefix, old)
    world.turn(300)
    assert world.views.announced(prefix) == old
    world.want(0, prefix, new)
    while world.views.announced(prefix) != new:
        world.now += TURN_S
        world.speak()
        if world.views.announced(prefix) != new:
            world.turn()
    for _ in range(times):  # the second process is killed before it says anything
        recorded(world)
        if not is_read:
            world.exabgp._pipe = b""
        world.live = [{prefix: wanted} if wanted else {}]
        world.respawn()
    world.turn(300)
    world.end()
