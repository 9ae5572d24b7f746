"""The outbox: what the host is to be told next, from what the table wants and what the host was told already.

Strategy: level, not edge. `put` states what is wanted of a prefix; only a difference from `told` waits, so flaps
collapse and everything here is bounded by the prefixes. `take` hands out one line's worth, and `answered` takes the
answer to it. What keeps ExaBGP's table right:

- A prefix has one unanswered command at most; what is wanted meanwhile is deferred until the answer.
- A withdraw says the very attributes that were announced (`told`), and leaves `told` only when it is answered.
- Other attributes than those of the prefix's last command wait until that command is *settled*: later lines, sent after
  its answer, are answered too. ExaBGP keeps pending prefixes in buckets by attribute set and sends the buckets in any
  order, so two attribute sets of one prefix must never be pending together; a settled one has left its bucket.
- What an earlier process told (`recall`) is in doubt, because commands in a dead process's pipe are lost: it is said
  again if wanted, and withdrawn if not (`resync`). If its last words were a change of attributes, nobody knows whether
  ExaBGP read them, so neighbors that are down may still have the former ones pending (`take_former`).
- A refused line is split and each prefix tried alone. A prefix that is refused twice while the host took other lines
  between is given up; a host that takes nothing (no neighbor yet) loses nothing.

Nothing here knows a clock, and the caller holds the keeper's lock.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from dnstap_bgp.core.exabgp.batch import ALONE, Backlog, Batch, Replay, shape
from dnstap_bgp.core.exabgp.lanes import BulkLane, Lane, Queue, Stack, Step, step
from dnstap_bgp.core.exabgp.told import Told
from dnstap_bgp.core.model import Attributes, Change, Prefix


class Outbox:
    """Wishes in, lines' worth out.

    Attributes:
        told: What the host was told and not yet untold: always withdrawn with exactly these.
        told_count: How many of each family.
        given_up: How many prefixes the host has refused for good, ever.
        changes: How many wishes were put in.
        muted: Nothing is to be said for now: wishes wait.
    """

    def __init__(self) -> None:
        self.told = Told()
        self.told_count = self.told.count
        self.given_up = 0
        self.changes = 0
        self.muted = False
        self._live = Lane(Queue)
        self._bulk = BulkLane()
        self._alone: OrderedDict[Prefix, Step] = OrderedDict()  # suspects that wait to be tried alone
        self._flying: set[Prefix] = set()
        self._deferred: dict[Prefix, tuple[Attributes | None, bool]] = {}  # wanted, bulk
        self._unsettled: dict[Prefix, Batch] = {}  # the last command of a prefix, if answered and not settled
        self._suspects: dict[Prefix, int | None] = {}  # lines taken when it was refused alone; None: not tried alone
        self._refused: dict[Prefix, Attributes | None] = {}
        self._reachable: frozenset[str] | None = None
        self._taken = 0  # lines that the host took
        self._taken_at_refusal = -1
        self._tried_alone = False

    # -- wishes

    def put(self, changes: Iterable[Change], *, bulk: bool = False) -> None:
        """State what is wanted of prefixes from now on; the newest wish counts.

        Args:
            changes: Attributes, or None for no route.
            bulk: Nobody waits for it (a restore, a reload): goes after what is live.
        """
        for prefix, wanted in changes:
            self.changes += 1
            self._want(prefix, wanted, bulk=bulk)

    def recall(self, told: Iterable[tuple[Prefix, Attributes]], untold: Iterable[Prefix] = ()) -> None:
        """Take what an earlier process told the host and untold it, in the order of its records; before any `put`."""
        self.told.recall(told, untold)

    def resync(self, shard: int) -> None:
        """Withdraw what was recalled and is not wanted; for each shard of `told`, once all that is live was put."""
        for prefix in self.told.doubted(shard):
            if not self._waits(prefix):
                self._want(prefix, None, bulk=True)

    def reach(self, neighbors: frozenset[str], *, again: bool) -> None:
        """Learn the addresses of all neighbors: what none of them would get is not said.

        Args:
            neighbors: Those that commands reach.
            again: Try what was given up in any case; otherwise only if the neighbors are others than before.
        """
        if neighbors == self._reachable and not again:
            return
        self._reachable = neighbors
        wishes = dict(self._refused)
        self._refused.clear()
        for lane in (self._live, self._bulk):
            wishes.update(lane.select(lambda what: what.wanted is not None and not self._reaches(what.wanted)))
        wishes.update((prefix, what.wanted) for prefix, what in self._alone.items())
        self._suspects.clear()
        for prefix, wanted in wishes.items():
            self._want(prefix, wanted, bulk=True)

    # -- lines

    def take(
        self, flying: int, *, brisk: bool, moves: bool, refusing: bool = False, replay: Replay | None = None
    ) -> Batch | None:
        """Take the next line's worth; it then counts as told, and its prefixes wait for the answer.

        Args:
            flying: How many lines are unanswered.
            brisk: Fresh addresses come and go: bulk keeps out of their way.
            moves: Whether prefixes may change their attributes now.
            refusing: The host refused every line of late: a suspect and another line are tried in turn.
            replay: What a new neighbor has to be told, after what is live.

        Returns:
            None: nothing waits, or it has to wait for answers.
        """
        if refusing and self._alone and not self._tried_alone:
            return self._take_alone(flying)
        what = self._live.first(lambda kind: moves or not kind.is_move)
        if what is not None:
            return self._take_from(self._live, what, flying, brisk=brisk)
        if self._alone and not refusing:
            return self._take_alone(flying)
        if replay is not None and not replay.ended:
            batch = self._take_replay(replay, flying, brisk=brisk)
            if not replay.ended:
                return batch
        what = self._bulk.first(lambda kind: moves or not kind.is_move)
        if what is not None:
            return self._take_from(self._bulk, what, flying, brisk=brisk)
        return self._take_alone(flying) if self._alone else None

    def foresee(self, *, brisk: bool, moves: bool) -> Batch | None:
        """What `take` gives of bulk next, if nothing changes; None: nothing, or a change of attributes."""
        what = self._bulk.first(lambda kind: moves or not kind.is_move)
        if what is None or what.is_move:
            return None
        count, _ = shape(what, live=0, brisk=brisk)
        return Batch(what, self._bulk.foresee(what, count))

    def disown(self, news: Iterable[tuple[Prefix, Attributes]]) -> None:
        """These were recorded for a line that was not said: have the state file learn what is so."""
        for prefix, _ in news:
            self.told.correct(prefix)

    def take_former(self) -> Batch:
        """See `Told.take_former`."""
        return self.told.take_former()

    def answered(self, batch: Batch, *, done: bool) -> bool:
        """Take the answer to a batch.

        Returns:
            Whether the host looks as if it refused everything: then wait before the next line.
        """
        self._flying.difference_update(batch.prefixes)
        if done:
            self._done(batch)
            return False
        if batch.replay_to:
            self._wake(batch.prefixes)
            return False
        return self._refuse(batch)

    def settle(self, batch: Batch) -> None:
        """A line that was sent after this batch's answer is answered: no bucket holds its prefixes any more."""
        for prefix in batch.prefixes:
            if self._unsettled.get(prefix) is batch:
                del self._unsettled[prefix]
        self._wake(batch.prefixes)

    def unsure(self, batches: Iterable[Batch]) -> None:
        """The answers to these are lost: say them again."""
        for batch in batches:
            self._flying.difference_update(batch.prefixes)
            for prefix in batch.prefixes:
                self.told.lose(prefix, batch.step)
                wanted, bulk = self._deferred.pop(prefix, (batch.step.wanted, not batch.live))
                self._want(prefix, wanted, bulk=bulk)

    def take_corrections(self) -> list[tuple[Prefix, Attributes | None]]:
        """What the state file must learn now: (prefix, attributes that the host has after all, or None)."""
        return self.told.take_corrections()

    def forget_former(self) -> None:
        """No neighbor is down: there are no former attributes any more."""
        self.told.forget_former()

    # -- copies for status and decisions

    def stage(self, prefix: Prefix) -> str:
        """How far a prefix is: `unanswered`, `waiting`, `refused`, `announced` (and acknowledged), or `none`."""
        if prefix in self._flying:
            return "unanswered"
        if self._waits(prefix) or self.told.is_doubted(prefix):
            return "waiting"
        if prefix in self._refused:
            return "refused"
        return "announced" if prefix in self.told else "none"

    @property
    def backlog(self) -> Backlog:
        """What waits, in numbers."""
        return Backlog(len(self._live), len(self._bulk), len(self._deferred), len(self._alone), len(self._refused))

    @property
    def bulk(self) -> int:
        """How many bulk prefixes wait."""
        return len(self._bulk)

    @property
    def awaits_settling(self) -> bool:
        """Whether a prefix waits only for a later line to be answered."""
        return bool(self._deferred) and any(prefix in self._unsettled for prefix in self._deferred)

    @property
    def changing(self) -> bool:
        """Whether a prefix waits for other attributes than its last command had."""
        return self.awaits_settling or any(lane.first(lambda kind: kind.is_move) for lane in (self._live, self._bulk))

    @property
    def has_former(self) -> bool:
        """Whether `take_former` has something."""
        return self.told.has_former

    @property
    def handed_over(self) -> bool:
        """Whether nothing waits but what the host refuses."""
        return not (self._live or self._bulk or self._deferred or self._flying)

    # -- inside

    def _want(self, prefix: Prefix, wanted: Attributes | None, *, bulk: bool) -> None:
        was_live = self._live.discard(prefix) or not self._deferred.pop(prefix, (None, True))[1]
        self._bulk.discard(prefix)
        self._alone.pop(prefix, None)
        self._refused.pop(prefix, None)
        bulk = bulk and not was_live
        if prefix in self._flying or self._conflicts(prefix, wanted):
            self._deferred[prefix] = wanted, bulk
            return
        if wanted is not None and not self._reaches(wanted):
            self._refused[prefix] = wanted
            wanted = None
        told = self.told.get(prefix)
        if told is not None and wanted is None and not self._reaches(told):
            # the neighbors that had it are no longer the host's, and their tables went with them
            self.told.untell(prefix)
            self.told.correct(prefix)
            self._suspects.pop(prefix, None)
        elif told == wanted and (told is None or not self.told.is_doubted(prefix)):
            self._suspects.pop(prefix, None)
        elif prefix in self._suspects:
            self._alone[prefix] = step(prefix, told, wanted)
        else:
            lane = self._bulk if bulk else self._live
            lane.put(prefix, step(prefix, told, wanted))

    def _conflicts(self, prefix: Prefix, wanted: Attributes | None) -> bool:
        last = self._unsettled.get(prefix)
        return last is not None and wanted is not None and last.step.attributes != wanted

    def _reaches(self, attributes: Attributes) -> bool:
        wanted = attributes.neighbors
        return not wanted or self._reachable is None or not self._reachable.isdisjoint(wanted)

    def _waits(self, prefix: Prefix) -> bool:
        return (
            prefix in self._flying
            or prefix in self._deferred
            or prefix in self._alone
            or prefix in self._live
            or prefix in self._bulk
        )

    def _take_from(self, lane: Lane[Queue] | Lane[Stack], what: Step, flying: int, *, brisk: bool) -> Batch | None:
        live = lane is self._live
        count, window = shape(what, live=len(lane) if live else 0, brisk=brisk)
        if flying >= window:
            return None
        self._tried_alone = False
        return self._sent(Batch(what, lane.take(what, count), live))

    def _take_replay(self, replay: Replay, flying: int, *, brisk: bool) -> Batch | None:
        while (groups := replay.groups(self.told)) is not None:
            what = next(iter(groups))
            count, window = shape(what, live=0, brisk=brisk)
            if flying >= window:
                return None
            waiting = groups.pop(what)
            if waiting[count:]:
                groups[what] = waiting[count:]
            prefixes = tuple(
                prefix
                for prefix in waiting[:count]
                # whatever is unanswered reaches that neighbor too
                if prefix not in self._flying and self.told.get(prefix) == what.told
            )
            if prefixes:
                self._flying.update(prefixes)
                return Batch(what, prefixes, replay_to=replay.neighbor)
        replay.ended = True
        return None

    def _take_alone(self, flying: int) -> Batch | None:
        if flying >= ALONE[1]:
            return None
        self._tried_alone = True
        prefix, what = self._alone.popitem(last=False)
        return self._sent(Batch(what, (prefix,)))

    def _sent(self, batch: Batch) -> Batch:
        self._flying.update(batch.prefixes)
        wanted = batch.step.wanted
        for prefix in batch.prefixes:
            self.told.trust(prefix)
            if wanted is not None:
                self.told.tell(prefix, wanted)
        return batch

    def _done(self, batch: Batch) -> None:
        self._taken += 1
        for prefix in batch.prefixes:
            if batch.step.wanted is None:
                self.told.untell(prefix)
                self.told.correct(prefix)
            self._suspects.pop(prefix, None)
            self._unsettled[prefix] = batch
        self._wake(batch.prefixes)

    def _wake(self, prefixes: Sequence[Prefix]) -> None:
        if self._deferred:
            for prefix in prefixes:
                if prefix in self._deferred:
                    wanted, bulk = self._deferred[prefix]
                    self._want(prefix, wanted, bulk=bulk)

    def _refuse(self, batch: Batch) -> bool:
        """The host has dropped the whole line: put back what it was told before, and try each prefix alone."""
        refuses_all = self._taken == self._taken_at_refusal
        self._taken_at_refusal = self._taken
        for prefix in batch.prefixes:
            self.told.restore(prefix, batch.step)
            refused_at = self._suspects.setdefault(prefix, None)
            if len(batch.prefixes) == 1:
                if refused_at is not None and self._taken > refused_at:
                    self._give_up(prefix, batch.step)
                    continue
                self._suspects[prefix] = self._taken if refused_at is None else refused_at
            wanted, bulk = self._deferred.get(prefix, (batch.step.wanted, not batch.live))
            self._want(prefix, wanted, bulk=bulk)
        return refuses_all

    def _give_up(self, prefix: Prefix, what: Step) -> None:
        self.given_up += 1
        del self._suspects[prefix]
        if prefix in self._deferred:
            wanted, bulk = self._deferred[prefix]
            self._want(prefix, wanted, bulk=bulk)
            return
        self._refused[prefix] = what.wanted
