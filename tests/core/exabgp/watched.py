"""A reconciler that is watched: after each event its invariants hold, and each state followed by the tables."""

import random

from dnstap_bgp.core.exabgp import reconciler as module
from dnstap_bgp.core.exabgp.adj_rib_out import Replay
from dnstap_bgp.core.exabgp.grammar import IPV4
from dnstap_bgp.core.exabgp.reconciler import Reconciler
from dnstap_bgp.core.model import Attributes, Change
from tests.core.exabgp.state_tables import transitions

DIMENSIONS = ("Command,", "Wish,", "Knowledge,")
TABLES = [transitions(module.__doc__, heading) for heading in DIMENSIONS]


class WatchedReconciler(Reconciler):
    """Notes every change of state as (dimension, from, event, to)."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def put(self, changes, *, bulk=False):
        changes = list(changes)
        for change in changes:
            with self._watched("put", [change.prefix]):
                super().put([change], bulk=bulk)

    def hurry(self, prefix):
        with self._watched("hurried", [prefix]):
            super().hurry(prefix)

    def recall(self, announced, withdrawn=()):
        announced, withdrawn = list(announced), list(withdrawn)
        with self._watched("recall", {*withdrawn, *(prefix for prefix, _ in announced)}):
            super().recall(announced, withdrawn)

    def resync(self, shard):
        with self._watched("resync", set(self.adj_rib_out.stale(shard))):
            super().resync(shard)

    def reach(self, neighbors, *, again, kept=frozenset()):
        queued = {*self._live, *self._bulk, *self._alone, *self._refused}
        with self._watched("reach", queued):
            super().reach(neighbors, again=again, kept=kept)

    def _taken(self, batch):
        before = [self._states(prefix) for prefix in batch.prefixes]
        # a prefix has left its queue by now
        wish = "alone" if self._tried_alone else "live" if batch.live else "bulk"
        before = [(command, wish, knowledge) for command, _, knowledge in before]
        super()._taken(batch)
        self._note("taken", before, [self._states(prefix) for prefix in batch.prefixes])
        return batch

    def _take_replay(self, replay, in_flight, *, low_latency):
        before = {prefix: self._states(prefix) for shard in self.adj_rib_out.shards for prefix in shard}
        batch = super()._take_replay(replay, in_flight, low_latency=low_latency)
        if batch is not None:
            old = [before[prefix] for prefix in batch.prefixes]
            self._note("replayed", old, [self._states(prefix) for prefix in batch.prefixes])
        return batch

    def answered(self, batch, *, done):
        with self._watched("done" if done else "error", batch.prefixes):
            return super().answered(batch, done=done)

    def settle(self, batch):
        with self._watched("settled", batch.prefixes):
            super().settle(batch)

    def answers_lost(self, batches):
        for batch in batches:
            with self._watched("lost", batch.prefixes):
                super().answers_lost([batch])

    def _watched(self, event, prefixes):
        return _Watch(self, event, tuple(prefixes))

    def _states(self, prefix):
        return tuple(part.value for part in self.state_of(prefix))

    def _note(self, event, before, after):
        for old, new in zip(before, after, strict=True):
            for dimension, (start, end) in enumerate(zip(old, new, strict=True)):
                if start != end:
                    self.seen.add((dimension, start, event, end))
                    self.allowed(dimension, start, event, end)

    def allowed(self, dimension, start, event, end):
        assert (start, event, end) in TABLES[dimension], (DIMENSIONS[dimension], start, event, end)


class _Watch:
    def __init__(self, reconciler, event, prefixes):
        self.reconciler, self.event, self.prefixes = reconciler, event, prefixes

    def __enter__(self):
        self.before = [self.reconciler._states(prefix) for prefix in self.prefixes]

    def __exit__(self, kind, *_):
        if kind is None and self.prefixes:
            after = [self.reconciler._states(prefix) for prefix in self.prefixes]
            self.reconciler._note(self.event, self.before, after)
            self.reconciler.check_invariants()


PREFIXES = [bytes([10, 0, 0, number]) for number in range(4)]
EVERYONE = [Attributes(bytes([192, 0, 2, number])) for number in (1, 2)]
SOME = [Attributes(bytes([192, 0, 2, 1]), neighbors=("192.0.2.9",)), Attributes(bytes(4), neighbors=("192.0.2.8",))]


def wander(reconciler, seed, steps=40):
    """Do anything that a caller may do, in the order that the seed draws."""
    walk = Walk(reconciler, random.Random(seed))
    walk.begin()
    walk.go(steps)


_STEPS = {"put": 9, "take": 12, "answer": 10, "settle": 4, "lose": 2, "reach": 3, "replay": 1, "hurry": 2}


class Walk:
    """A caller: answers come first in, first out, and what is answered settles once nothing is in flight."""

    def __init__(self, reconciler, dice):
        self.reconciler, self.dice = reconciler, dice
        self.wishes = [None, *EVERYONE, *(SOME if dice.random() < 0.5 else ())]
        self.refusing = dice.random() < 0.5
        reconciler.for_everyone = dice.random() < 0.5
        reconciler.announced_max = dice.choice([None, None, 1, 2])
        self.flying, self.answered, self.due = [], [], None

    def begin(self):
        dice = self.dice
        if dice.random() < 0.5:
            return
        for _ in range(dice.randrange(4)):
            prefix, attributes = dice.choice(PREFIXES), dice.choice(self.wishes)
            self.reconciler.recall([(prefix, attributes)] if attributes else [], [] if attributes else [prefix])
        if dice.random() < 0.7:
            self.reconciler.put([Change(prefix, dice.choice(EVERYONE)) for prefix in PREFIXES[:2]], bulk=True)
        for shard in range(len(PREFIXES)) if dice.random() < 0.8 else ():
            self.reconciler.resync(shard)

    def go(self, steps):
        for step in self.dice.choices(list(_STEPS), list(_STEPS.values()), k=steps):
            getattr(self, step)()

    def put(self):
        change = Change(self.dice.choice(PREFIXES), self.dice.choice(self.wishes))
        self.reconciler.put([change], bulk=self.dice.random() < 0.5)

    def take(self):
        flying = len(self.flying)
        most, before = self.reconciler.announced_max, self.reconciler.adj_rib_out.count.total()
        batch = self.reconciler.take(flying, low_latency=False, attribute_changes=not flying, replay=self.due)
        assert most is None or self.reconciler.adj_rib_out.count.total() <= max(most, before)
        if self.due is not None and self.due.ended:
            self.due = None
        if batch is not None:
            self.flying.append(batch)

    def answer(self):
        if self.flying:
            batch = self.flying.pop(0)
            done = not self.refusing or self.dice.random() < 0.5
            self.reconciler.answered(batch, done=done)
            if done:
                self.answered.append(batch)

    def settle(self):
        if self.answered and not self.flying:
            self.reconciler.settle(self.answered.pop(0))

    def lose(self):
        lost, self.flying = self.flying, []
        for batch in self.answered:
            self.reconciler.settle(batch)
        self.answered = []
        self.reconciler.answers_lost(lost)

    def reach(self):
        there = self.dice.choice([set(), {"192.0.2.9"}, {"192.0.2.8"}, {"192.0.2.8", "192.0.2.9"}])
        kept = {"192.0.2.8", "192.0.2.9"} - there if self.dice.random() < 0.3 else set()
        known = frozenset(there) if self.dice.random() < 0.9 else None
        self.reconciler.reach(known, again=self.dice.random() < 0.5, kept=frozenset(kept))

    def hurry(self):
        self.reconciler.hurry(self.dice.choice(PREFIXES))

    def replay(self):
        if self.due is None:
            self.due = Replay("192.0.2.9", frozenset({IPV4}))
