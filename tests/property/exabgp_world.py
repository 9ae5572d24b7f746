"""One driving loop for tests of the way to ExaBGP: an api session and the model of ExaBGP, in one thread, by a seed."""

import ipaddress
import random

from dnstap_bgp.core.exabgp.api_session import ApiSession
from dnstap_bgp.core.exabgp.grammar import nlri_text, read_line
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.model import Attributes
from tests.core.exabgp.watched import WatchedReconciler
from tests.property.exabgp_model import ExaBgp

TURN_S = 0.01
ADDRESSES = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
IPV4 = [bytes([10, 0, 0, number]) for number in range(40)]
IPV6 = [bytes([0x2A, 1, *[0] * 13, number]) for number in range(40)]
SETS4 = [Attributes(bytes([192, 0, 2, number]), med=number) for number in (11, 12, 13)]
SETS6 = [Attributes(bytes([0x20, 1, 0xD, 0xB8, *[0] * 11, number]), med=number) for number in (11, 12, 13)]


def text(prefix):
    return str(ipaddress.ip_network(nlri_text(prefix)))


class Loop:
    """What the bgp reader and writer do, one turn of ExaBGP's at a time; a test says what is wanted and recorded."""

    def __init__(self, seed, neighbors):
        self.random = random.Random(seed)
        self.now = 1000.0
        self.exabgp = ExaBgp(neighbors)

    # what a test has of its own

    def correct(self, records):
        """Take corrections of the state file."""
        raise NotImplementedError

    def record(self, outgoing):
        """Take the records of a line, ahead of it."""
        raise NotImplementedError

    def make_durable(self):
        """Wait until what was recorded is written."""

    def step(self):
        """Do a bit of what goes on beside."""

    def written(self):
        """A line was written."""

    def watch(self):
        """ExaBGP has taken commands, and has sent what it sends in a turn."""

    @property
    def records_begun(self):
        """Something that changes when earlier records may be lost: what is prepared is recorded again then."""
        return 0

    def expected(self, neighbor):
        """The table that a neighbor should have."""
        raise NotImplementedError

    # the loop

    def begin(self):
        """A process begins."""
        self.views = Views(WatchedReconciler)
        self.talk = ApiSession(self.views, self.random.getrandbits)
        self.prepared, self.prepared_at = None, 0

    def turn(self, count=1):
        for _ in range(count):
            self.now += TURN_S
            self.speak()
            self.exabgp.turn()
            self.watch()
            self._listen()

    def speak(self):
        while (outgoing := self.talk.next(self.now)) is not None:
            outgoing.data.decode("ascii")
            self.correct(self.views.take_corrections())
            if outgoing is not self.prepared or self.prepared_at != self.records_begun:
                self.record(outgoing)
            if outgoing.records:
                self.make_durable()
            self.exabgp.write(outgoing.data)
            self.written()
        self.correct(self.views.take_corrections())
        self.step()
        if self.random.random() < 0.7:  # what is prepared may be overtaken by anything, or prepared long before
            self.prepare()

    def prepare(self):
        prepared = self.talk.prepare(self.now)
        self.correct(self.views.take_corrections())
        if prepared is not None:
            self.prepared, self.prepared_at = prepared, self.records_begun
            self.record(prepared)

    def _listen(self):
        for line in self.exabgp.read():
            item = read_line(line)
            if item is not None:
                self.talk.receive(item, self.now)
        # now and then an answer to what it reads comes in the same turn
        if self.random.random() < 0.5:
            self.speak()

    def cut_pipe(self):
        """The process dies with whatever is in its pipe."""
        pipe = self.exabgp._pipe
        if self.random.random() < 0.5:
            self.exabgp._pipe = pipe[: self.random.randrange(len(pipe) + 1)]
        elif not pipe.endswith(b"\n"):
            self.exabgp._pipe += b"\n"

    @property
    def is_at_rest(self):
        """Every router is right, and nothing is on its way."""
        right = all(neighbor.table == self.expected(neighbor) for neighbor in self.exabgp.neighbors.values())
        settled = all(
            view.reconciler.handed_over and not view.reconciler.adj_rib_out.has_retained for view in self.views
        )
        return right and settled and not self.talk.unanswered

    def rest(self):
        """All neighbors come up, and everything comes to rest: each router has exactly what it should."""
        for address in list(self.exabgp.neighbors):
            self.exabgp.up(address)
        for _ in range(400):
            self.turn(50)
            if self.is_at_rest:
                break
        for neighbor in self.exabgp.neighbors.values():
            expected = self.expected(neighbor)
            assert neighbor.table == expected, {
                "neighbor": neighbor.address,
                "lost": expected.keys() - neighbor.table.keys(),
                "ghosts": neighbor.table.keys() - expected.keys(),
                "wrong": {p for p in expected.keys() & neighbor.table.keys() if expected[p] != neighbor.table[p]},
            }
        self.talk.prepare(self.now)
        self.correct(self.views.take_corrections())
        self.make_durable()


# -- what happens to either


def turn(world, dice):
    world.turn(dice.randrange(1, 5) if dice.random() < 0.9 else 200)


def down(world, dice):
    world.exabgp.down(dice.choice(list(world.exabgp.neighbors)))


def up(world, dice):
    world.exabgp.up(dice.choice(list(world.exabgp.neighbors)))


def respawn(world, dice):
    del dice
    world.respawn()


def live_through(make, seed, events):
    """Let a world live through events that a seed draws, and come to rest."""
    dice = random.Random(seed)
    world = make(seed)
    for event in dice.choices(list(events), list(events.values()), k=dice.randrange(3, 40)):
        event(world, dice)
    world.end()
