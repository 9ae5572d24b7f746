"""The reconciler: compares the wanted routes with the Adj-RIB-Out and hands out the updates, prefix by prefix.

Level, not edge: `put` states what is wanted of a prefix; only a difference from the Adj-RIB-Out waits, so that flaps
collapse and everything here is bounded by the prefixes. `take` hands out one line's worth, `answered` takes the answer.
What keeps ExaBGP's table right:

- A prefix has one unanswered command at most; what is wanted meanwhile is deferred until the answer.
- A withdraw names the very attributes that were announced, and the entry leaves the Adj-RIB-Out when it is answered.
- Other attributes than those of the prefix's last command wait until that command is *settled*: later lines, sent after
  its answer, are answered too. ExaBGP keeps pending prefixes in buckets by attribute set and sends the buckets in any
  order, so two attribute sets of one prefix must never be pending together; a settled one has left its bucket.
- What an earlier process announced (`recall`) is stale, because commands in a dead process's pipe are lost: it is
  announced again if wanted, and withdrawn if not (`resync`). If its last line was an attribute change, nobody knows
  whether ExaBGP read it, so neighbors that are down may still have the previous attributes pending (`take_previous`).
- A refused line is split and each prefix tried alone. A prefix that is refused twice in a line of its own, where
  ExaBGP took other lines between, is given up; an ExaBGP that takes nothing (no neighbor yet) loses nothing.
- Under a neighbor's budget (`announced_max`) what is not announced yet waits until the Adj-RIB-Out has room for it.
  Room comes with the answer to a withdraw, which says that ExaBGP has processed it, and not that it was sent.

A prefix's state has three dimensions. Nothing is stored for an idle prefix; `state_of` works the state out from the
containers that hold the prefix. Columns: from, event, to; `|` separates alternatives. An event that isn't listed leaves
the dimension as it is, and so may one that is listed.

Command, the last line that named the prefix (containers: in flight, unsettled):

    none | unsettled            taken      in flight
    none | unsettled            replayed   in flight
    in flight                   done       unsettled
    in flight                   error      none | unsettled
    in flight                   lost       none
    unsettled                   settled    none

An in-flight prefix may have an older command unsettled: of the same attributes, or it would have been deferred. So
after an error it is unsettled again.

Wish, an update that has yet to be taken (containers: live, bulk, alone, deferred, refused):

    none                        put        live | bulk | deferred | refused
    live                        put        none | deferred | refused
    bulk                        put        none | live | deferred | refused
    alone                       put        none | deferred | refused
    deferred                    put        none | live | bulk | alone | refused
    refused                     put        none | live | bulk | deferred
    live | bulk | alone         taken      none | refused
    bulk                        hurried    live
    live | bulk | alone         replayed   deferred
    deferred                    done       none | live | bulk | refused
    deferred                    settled    none | live | bulk | alone | refused
    none                        error      alone | deferred | refused
    deferred                    error      none | live | bulk | alone | refused
    refused                     error      alone
    none                        lost       live | bulk | alone | refused
    deferred                    lost       none | live | bulk | alone | refused
    refused                     lost       live | bulk | alone
    live | bulk                 reach      none | deferred | refused
    alone                       reach      none | bulk | deferred | refused
    refused                     reach      none | bulk | deferred
    none                        resync     bulk | refused

    live      fresh: goes first, first in, first out
    bulk      of a restore or a reload: goes last
    alone     of a refused line: tried in a line of its own
    deferred  waits for the prefix's last command: for its answer, or until it is settled
    refused   given up until the neighbors change, or for neighbors that ExaBGP doesn't have

Under `announced_max`, an update that is live, bulk or alone and announces one prefix more is not taken while there is
no room: it stays where it is, and what comes after it goes first.

Knowledge, what the Adj-RIB-Out says of the prefix:

    not announced               recall     stale
    stale                       recall     not announced
    not announced | stale       taken      announced
    announced                   done       not announced
    announced                   error      not announced | stale
    announced                   lost       not announced | stale
    stale                       error      not announced
    stale                       lost       not announced
    announced | stale           put        not announced
    announced | stale           reach      not announced
    announced | stale           settled    not announced
    stale                       resync     not announced

The last four remove an entry when no neighbor that was told is ExaBGP's any more: its table went with it.

Combinations that can't be, which `check_invariants` holds:

- deferred without a command in flight or unsettled; live, bulk or alone with one in flight;
- two wishes at once; except a refused announce behind the withdraw of what was announced before it;
- a wish to withdraw, or a stale mark, for a prefix that is not announced;
- a queued update whose `announced` differs from the Adj-RIB-Out, or that would change nothing that is certain;
- live, bulk or alone while the prefix's last command, unsettled, named other attributes than the update announces;
- alone for a prefix that was never refused.

There is no clock in here, and the caller holds the keeper's lock.
"""

import enum
from collections import OrderedDict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import NamedTuple, TypeVar

from dnstap_bgp.core.exabgp.adj_rib_out import AdjRibOut, Replay
from dnstap_bgp.core.exabgp.update_queue import (
    ALONE,
    BulkQueue,
    Fifo,
    Lifo,
    Transition,
    UpdateBatch,
    UpdateQueue,
    line_shape,
    transition,
)
from dnstap_bgp.core.model import Attributes, Change, Prefix

DECIDED_AT_ONCE = 1_000
"""Prefixes that are decided again by one hold of the lock once neighbors came or went: 3 ms."""


_AMPLE = 1_000_000
"""Room without a budget: more than any line has."""

SPARSE_MIN_BYTES, SPARSE_ENTRY_BYTES = 1 << 18, 1 << 10
"""A dict that has outgrown both, in all and for each entry, is made anew: 36 to 150 bytes an entry are usual."""

V = TypeVar("V")


class Command(enum.Enum):
    """The last line that named a prefix: how far ExaBGP is with it."""

    NONE = "none"
    IN_FLIGHT = "in flight"
    UNSETTLED = "unsettled"


class Wish(enum.Enum):
    """An update of a prefix that has yet to be taken: where it waits."""

    NONE = "none"
    LIVE = "live"
    BULK = "bulk"
    ALONE = "alone"
    DEFERRED = "deferred"
    REFUSED = "refused"


class Knowledge(enum.Enum):
    """Entry of a prefix in the Adj-RIB-Out, and whether it is certain."""

    NOT_ANNOUNCED = "not announced"
    ANNOUNCED = "announced"
    STALE = "stale"


class PrefixState(NamedTuple):
    """The state of one prefix in its three dimensions; see the tables of this module."""

    command: Command
    wish: Wish
    knowledge: Knowledge


class Backlog(NamedTuple):
    """Numbers of prefixes that wait, by what they wait for.

    Attributes:
        live: Fresh changes that wait for a line.
        bulk: Changes of a restore or a reload that wait for a line.
        deferred: Wait for the answer to their last command, or for it to settle.
        suspects: Of refused lines; wait to be tried alone.
        refused: Given up for now: ExaBGP refuses them, or has no neighbor for them.
    """

    live: int
    bulk: int
    deferred: int
    suspects: int
    refused: int


class Reconciler:
    """Wanted routes in, batches for command lines out.

    Attributes:
        adj_rib_out: The announced prefixes.
        announced_max: While so many are in the Adj-RIB-Out, no further one is announced, whoever waits; None: no limit.
        changes: How many wishes were put in.
        for_everyone: Whether its lines name no neighbor, and so reach all of them.
        given_up: How many times a prefix was given up because ExaBGP refuses it.
    """

    def __init__(self) -> None:
        self.adj_rib_out = AdjRibOut()
        self.announced_max: int | None = None
        self.changes = 0
        self.for_everyone = True
        self.given_up = 0
        self._live = UpdateQueue(Fifo)
        self._bulk = BulkQueue()
        self._alone: OrderedDict[Prefix, Transition] = OrderedDict()
        self._deferred: dict[Prefix, tuple[Attributes | None, bool]] = {}  # wanted, bulk
        self._refused: dict[Prefix, Attributes | None] = {}
        self._in_flight: set[Prefix] = set()
        self._batches: set[UpdateBatch] = set()  # in flight, and those whose answers are lost and not made up for
        self._unsettled: dict[Prefix, UpdateBatch] = {}  # the last answered command of a prefix, until it is settled
        # Prefixes of refused lines: how many lines ExaBGP had taken when it refused the prefix alone; None: untried.
        self._suspects: dict[Prefix, int | None] = {}
        self._reachable: frozenset[str] | None = None
        self._kept: frozenset[str] = frozenset()
        self._undecided: list[Prefix] = []  # may be reachable now, or not any more: decided again a few at a time
        self._lines_taken = 0  # lines that ExaBGP has taken
        self._taken_at_refusal = -1
        self._tried_alone = False
        self._window_full = False

    # -- what is wanted

    def put(self, changes: Iterable[Change], *, bulk: bool = False) -> None:
        """State what is wanted of prefixes from now on; the newest wish counts.

        Args:
            changes: Attributes, or None for no route.
            bulk: Nobody waits for it (a restore, a reload): goes after what is live.
        """
        for prefix, wanted in changes:
            self.changes += 1
            self._want(prefix, wanted, bulk=bulk)

    def recall(self, announced: Iterable[tuple[Prefix, Attributes]], withdrawn: Iterable[Prefix] = ()) -> None:
        """Enter what an earlier process announced and withdrew, in the order of its records; before any `put`."""
        self.adj_rib_out.recall(announced, withdrawn)

    def resync(self, shard: int) -> None:
        """Withdraw what was recalled and is not wanted; for each shard, once all wanted routes were put."""
        for prefix in tuple(self.adj_rib_out.stale(shard)):  # a copy: an unreachable prefix loses its mark on the way
            # what was given up meanwhile is wanted all the same
            if prefix not in self._refused and not self._is_pending(prefix):
                self._want(prefix, None, bulk=True)

    def fork(self) -> "Reconciler":
        """Copy everything; batches in flight and unsettled are both reconcilers'."""
        twin = copy(self)
        twin.adj_rib_out = self.adj_rib_out.fork()
        own = ("_live", "_bulk", "_alone", "_deferred", "_refused", "_in_flight", "_batches", "_unsettled", "_suspects")
        for name in (*own, "_undecided"):
            setattr(twin, name, copy(getattr(self, name)))
        return twin

    def reach(self, neighbors: frozenset[str] | None, *, again: bool, kept: frozenset[str] = frozenset()) -> None:
        """Learn the addresses of all neighbors: what none of them would get is not written.

        Args:
            neighbors: Those that commands reach; None: that can't be told, and every line may reach somebody.
            again: Try what was given up in any case; otherwise only if the neighbors are others than before.
            kept: Those that commands don't reach for now. What was announced to them is still theirs, so that its
                withdraw waits for them.
        """
        if (neighbors, kept) == (self._reachable, self._kept) and not again:
            return
        self._reachable, self._kept = neighbors, kept
        self._undecided = list(self._refused)
        for queue in (self._live, self._bulk):
            self._undecided += queue.select(lambda what: not self._may_be_written(what))
        self._suspects.clear()
        for prefix, update in tuple(self._alone.items()):
            # a refused announce behind the withdraw of what was before it counts
            self._want(prefix, self._refused.get(prefix, update.wanted), bulk=True)
        self._decide_some()

    def _decide_some(self) -> None:
        """Decide again on some of what other neighbors may have made possible, or impossible.

        All of it at once would hold the keeper's lock for 3 ms per 1,000 prefixes. What is still undecided stays where
        it is: refused, or queued and not taken.
        """
        for _ in range(min(DECIDED_AT_ONCE, len(self._undecided))):
            prefix = self._undecided.pop()
            if prefix in self._refused:
                self._want(prefix, self._refused[prefix], bulk=True)
                continue
            for queue in (self._live, self._bulk):
                update = queue.find(prefix)
                if update is not None and not self._may_be_written(update):
                    self._want(prefix, update.wanted, bulk=True)
                    break
        self._refused = _compact(self._refused)

    def _may_be_written(self, update: Transition) -> bool:
        """Tell whether commands reach some neighbor that gets an update."""
        return self._reaches(update.attributes)

    def hurry(self, prefix: Prefix) -> None:
        """Have the update of a prefix go before bulk, because somebody waits for it."""
        update = self._bulk.discard(prefix)
        if update is not None:
            self._live.put(prefix, update)
        elif prefix in self._deferred:
            self._deferred[prefix] = self._deferred[prefix][0], False

    # -- lines

    def take(
        self,
        in_flight: int,
        *,
        low_latency: bool,
        attribute_changes: bool,
        refusing: bool = False,
        replay: Replay | None = None,
    ) -> UpdateBatch | None:
        """Take the next line's worth; it then counts as announced, and its prefixes wait for the answer.

        The order: live, alone, replay, bulk. While ExaBGP refuses every line, a prefix alone and another line take
        turns, because either may be the one that it takes.

        Args:
            in_flight: How many lines are unanswered.
            low_latency: Fresh addresses come and go: bulk keeps out of their way.
            attribute_changes: Whether prefixes may change their attributes now.
            refusing: ExaBGP has refused every line of late.
            replay: What a new neighbor has to be told.

        Returns:
            None: nothing waits, or it has to wait for answers.
        """
        self._window_full = False
        if self._undecided:
            self._decide_some()
        alone = self._next_alone() if self._alone else None
        if refusing and alone is not None and not self._tried_alone:
            return self._take_alone(alone, in_flight)
        update = self._first(self._live, attribute_changes=attribute_changes)
        if update is not None:
            return self._take_from(self._live, update, in_flight, low_latency=low_latency)
        if alone is not None and not refusing:
            return self._take_alone(alone, in_flight)
        if replay is not None and not replay.ended:
            batch = self._take_replay(replay, in_flight, low_latency=low_latency)
            if not replay.ended:
                return batch
        update = self._first(self._bulk, attribute_changes=attribute_changes)
        if update is not None:
            return self._take_from(self._bulk, update, in_flight, low_latency=low_latency)
        return None if alone is None else self._take_alone(alone, in_flight)

    def peek(self, *, low_latency: bool, attribute_changes: bool) -> UpdateBatch | None:
        """Foresee what `take` gives of bulk next, if nothing changes; None: nothing, or an attribute change."""
        update = self._first(self._bulk, attribute_changes=attribute_changes)
        if update is None or update.is_attribute_change:
            return None
        count, _ = line_shape(update, live=0, low_latency=low_latency)
        return UpdateBatch(update, self._bulk.peek(update, min(count, self._room(update))))

    def disown(self, records: Iterable[tuple[Prefix, Attributes]]) -> None:
        """Correct the records that were made for a line that was never written."""
        for prefix, _ in records:
            self.adj_rib_out.correct(prefix)

    def answered(self, batch: UpdateBatch, *, done: bool) -> bool:
        """Take the answer to a batch.

        Returns:
            Whether ExaBGP looks as if it refused everything: then wait before the next line.
        """
        self._in_flight.difference_update(batch.prefixes)
        self._batches.discard(batch)
        if done:
            self.line_taken()
            self._done(batch)
            return False
        if batch.replay_to:
            self._redecide(batch.prefixes)
            return False
        return self._split(batch)

    def line_taken(self) -> None:
        """Note that ExaBGP has taken a line for these neighbors: what it refuses alone from now on is at fault."""
        self._lines_taken += 1

    def settle(self, batch: UpdateBatch) -> None:
        """Note that no bucket holds a batch's prefixes any more: a line that was sent after its answer is answered."""
        unsettled = self._unsettled
        for prefix in batch.prefixes:
            if unsettled.get(prefix) is batch:
                del unsettled[prefix]
        self._unsettled = _compact(unsettled)
        self._redecide(batch.prefixes)

    def answers_lost(self, batches: Iterable[UpdateBatch]) -> None:
        """Make the updates again whose answers are lost."""
        for batch in batches:
            self._in_flight.difference_update(batch.prefixes)
            self._batches.discard(batch)
            for prefix in batch.prefixes:
                self.adj_rib_out.answer_lost(prefix, batch.transition)
                self._want_again(prefix, batch)

    def walk(self, shard: int) -> Iterable[tuple[Prefix, Attributes]]:
        """Walk over what is announced of one shard, for a snapshot: the attributes before a change come first.

        That is while the change is in flight, or as long as neighbors that are down may have them pending: a process
        that begins with the snapshot must withdraw those, too. So do prefixes that are retained.
        """
        rib = self.adj_rib_out
        changing = [(prefix, before) for prefix, before in self._before_changes() if prefix[-1] == shard]
        return [*rib.previous(shard), *changing, *rib.retained(shard).items(), *rib.shards[shard].items()]

    def shards_kept(self) -> list[Mapping[Prefix, Attributes]]:
        """Give the shards of what neighbors may have that commands cease to reach: the attributes before a change.

        That is while the change is in flight: it may be answered, and not have reached some of the neighbors.
        """
        shards = self.adj_rib_out.shards_kept()
        for prefix, before in self._before_changes():
            shards[prefix[-1]] = {**shards[prefix[-1]], prefix: before}
        return shards

    def _before_changes(self) -> Iterator[tuple[Prefix, Attributes]]:
        """Give the prefixes of attribute changes in flight, with the attributes before."""
        for batch in self._batches:
            if batch.transition.is_attribute_change and (before := batch.transition.announced) is not None:
                for prefix in batch.prefixes:
                    yield prefix, before

    def take_corrections(self) -> list[tuple[Prefix, Attributes | None]]:
        """Take what the state file must learn now; see `AdjRibOut.take_corrections`."""
        return self.adj_rib_out.take_corrections()

    # -- states

    def state_of(self, prefix: Prefix) -> PrefixState:
        """Work out the state of a prefix from the containers that hold it."""
        rib = self.adj_rib_out
        return PrefixState(
            command=Command.IN_FLIGHT
            if prefix in self._in_flight
            else Command.UNSETTLED
            if prefix in self._unsettled
            else Command.NONE,
            wish=next((wish for wish, holder in self._holders() if prefix in holder), Wish.NONE),
            knowledge=Knowledge.NOT_ANNOUNCED
            if prefix not in rib
            else Knowledge.STALE
            if rib.is_stale(prefix)
            else Knowledge.ANNOUNCED,
        )

    def progress(self, prefix: Prefix) -> str:
        """Tell how far a prefix is, for `why` and `routes`.

        Returns:
            `unanswered`, `waiting`, `refused`, `announced` (and acknowledged), or `none`.
        """
        state = self.state_of(prefix)
        if state.command is Command.IN_FLIGHT:
            return "unanswered"
        if state.wish is Wish.REFUSED:
            return "refused"
        if state.wish is not Wish.NONE or state.knowledge is Knowledge.STALE:
            return "waiting"
        return "none" if state.knowledge is Knowledge.NOT_ANNOUNCED else "announced"

    def has_in_flight(self, batch: UpdateBatch) -> bool:
        """Tell whether a batch of this reconciler, or of the one that it was copied from, waits for its answer."""
        return batch in self._batches

    @property
    def is_blocked(self) -> bool:
        """The last `take` found something that has to wait until lines in flight are answered."""
        return self._window_full

    @property
    def has_live(self) -> bool:
        """Some live prefix waits for its line."""
        return bool(self._live)

    @property
    def is_reachable(self) -> bool:
        """Some neighbor of the view is ExaBGP's, as far as is known."""
        return self.for_everyone or self._reachable is None or bool(self._reachable)

    @property
    def is_vacant(self) -> bool:
        """None of the view's neighbors is ExaBGP's, so that nothing is announced to any: all wishes are refused."""
        if self.for_everyone or self._reachable is None or self._reachable or self._kept or len(self.adj_rib_out):
            return False
        rib = self.adj_rib_out
        unsure = rib.has_previous or rib.repair_due or rib.has_retained
        return not (self._in_flight or self._batches or self._unsettled or unsure)

    @property
    def is_idle(self) -> bool:
        """Nothing waits, is in flight, unsettled, refused, retained or unsure; no neighbor is due its whole table."""
        rib = self.adj_rib_out
        return (
            self.handed_over
            and not (self._alone or self._unsettled or self._refused or self._suspects)
            and not (rib.has_previous or rib.repair_due or rib.has_retained)
            and not any(rib.stale(shard) for shard in range(len(rib.shards)))
        )

    @property
    def is_empty(self) -> bool:
        """Nothing is announced, and nothing is on its way."""
        return self.is_idle and not len(self.adj_rib_out)

    @property
    def backlog(self) -> Backlog:
        """Numbers of waiting prefixes."""
        return Backlog(len(self._live), len(self._bulk), len(self._deferred), len(self._alone), len(self._refused))

    @property
    def bulk(self) -> int:
        """Number of bulk prefixes that wait, at most."""
        return len(self._bulk) + len(self._undecided)

    @property
    def awaits_settling(self) -> bool:
        """Some prefix waits only for a later line to be answered."""
        return bool(self._deferred) and any(prefix in self._unsettled for prefix in self._deferred)

    @property
    def awaits_attribute_change(self) -> bool:
        """Some prefix waits for other attributes than its last command had."""
        return self.awaits_settling or any(
            queue.first(lambda what: what.is_attribute_change) for queue in (self._live, self._bulk)
        )

    @property
    def handed_over(self) -> bool:
        """Nothing waits or is in flight, but what ExaBGP refuses."""
        return not (self._live or self._bulk or self._deferred or self._in_flight or self._undecided)

    def check_invariants(self) -> None:
        """Assert what the docstring of this module says can't be; takes a walk over everything that waits."""
        rib = self.adj_rib_out
        for shard, announced in enumerate(rib.shards):
            assert rib.stale(shard) <= announced.keys(), "stale and not announced"
        for prefix in self._deferred:
            assert prefix in self._in_flight or prefix in self._unsettled, f"{prefix!r} is deferred behind nothing"
        waiting: dict[Prefix, Transition] = {}
        queued: list[tuple[Transition, Collection[Prefix]]] = [*self._live.transitions(), *self._bulk.transitions()]
        queued += [(update, (prefix,)) for prefix, update in self._alone.items()]
        for update, prefixes in queued:
            assert prefixes, "an empty queue stays"
            for prefix in prefixes:
                assert prefix not in waiting, f"{prefix!r} waits twice"
                assert prefix not in self._deferred, f"{prefix!r} waits and is deferred"
                assert prefix not in self._in_flight, f"{prefix!r} waits and is in flight"
                assert prefix not in self._refused or update.wanted is None, f"{prefix!r} waits and is refused"
                waiting[prefix] = update
        for prefix, update in waiting.items():
            assert update.announced == rib.get(prefix), f"{prefix!r} waits for an update of what isn't announced"
            assert update.announced != update.wanted or rib.is_stale(prefix), f"{prefix!r} waits for nothing"
            assert not self._conflicts(prefix, update.wanted), f"{prefix!r} would overtake its last command"
        for prefix in self._refused:
            assert prefix not in self._deferred, f"{prefix!r} is refused and deferred"
        assert self._suspects.keys() >= self._alone.keys(), "tried alone, and never refused"

    # -- decisions

    def _want(self, prefix: Prefix, wanted: Attributes | None, *, bulk: bool) -> None:
        """Decide where a wish waits.

        The cases, in this order:

        1. The prefix's last command is in flight, or unsettled with other attributes: deferred. Also where it is
           unsettled and no neighbor that had it is left, as far as is known: one that came unnoticed may have it, and
           once it is settled that is known.
        2. No neighbor would get it: refused. What is announced is withdrawn, so the cases go on with no route wanted.
        3. It is not wanted, and no neighbor that had it is left: ExaBGP dropped it with them, nothing is to be said.
        4. It is not wanted, and commands don't reach the neighbors that have it: refused until they do.
        5. It is announced so already, and that is certain: nothing is to be said.
        6. The prefix was in a refused line: alone.
        7. Otherwise live or bulk. What somebody waits for stays live, whoever states the newest wish.
        """
        was_live = self._live.discard(prefix) is not None or not self._deferred.pop(prefix, (None, True))[1]
        self._bulk.discard(prefix)
        self._alone.pop(prefix, None)
        self._refused.pop(prefix, None)
        bulk = bulk and not was_live
        rib = self.adj_rib_out
        announced = rib.get(prefix)
        is_abandoned = announced is not None and not self._reaches(announced, self._kept)
        if prefix in self._in_flight or self._conflicts(prefix, wanted) or (is_abandoned and prefix in self._unsettled):
            self._deferred[prefix] = wanted, bulk
            return
        if wanted is not None and not self._reaches(wanted):
            self._refused[prefix] = wanted
            wanted = None
        if is_abandoned and wanted is None:
            rib.withdrawn(prefix)
            rib.correct(prefix)
            self._suspects.pop(prefix, None)
        elif announced is not None and wanted is None and not self._reaches(announced):
            self._refused.setdefault(prefix, None)
            self._suspects.pop(prefix, None)
        elif announced == wanted and (announced is None or not rib.is_stale(prefix)):
            self._suspects.pop(prefix, None)
        elif prefix in self._suspects:
            self._alone[prefix] = transition(prefix, announced, wanted)
        else:
            queue = self._bulk if bulk else self._live
            queue.put(prefix, transition(prefix, announced, wanted))

    def _conflicts(self, prefix: Prefix, wanted: Attributes | None) -> bool:
        """Tell whether a wish waits for the last command to settle; a withdraw of the same attributes never does."""
        last = self._unsettled.get(prefix)
        return last is not None and wanted is not None and last.transition.attributes != wanted

    def _reaches(self, attributes: Attributes, kept: frozenset[str] = frozenset()) -> bool:
        if self._reachable is None:
            return True
        there = self._reachable | kept
        wanted = attributes.neighbors
        return not there.isdisjoint(wanted) if wanted else self.for_everyone or bool(there)

    def _is_pending(self, prefix: Prefix) -> bool:
        return prefix in self._in_flight or any(
            prefix in holder for wish, holder in self._holders() if wish is not Wish.REFUSED
        )

    def _holders(self) -> tuple[tuple[Wish, Container[Prefix]], ...]:
        # refused comes last: it may stand behind a withdraw that is live, bulk or alone
        return (
            (Wish.DEFERRED, self._deferred),
            (Wish.ALONE, self._alone),
            (Wish.LIVE, self._live),
            (Wish.BULK, self._bulk),
            (Wish.REFUSED, self._refused),
        )

    # -- taking

    def _first(self, queue: UpdateQueue[Fifo] | UpdateQueue[Lifo], *, attribute_changes: bool) -> Transition | None:
        """Find the transition of a queue's next line."""
        return queue.first(
            lambda what: (
                (attribute_changes or not what.is_attribute_change)
                and self._may_be_written(what)
                and self._room(what) > 0
            )
        )

    def _room(self, update: Transition) -> int:
        """Count the prefixes that may be in the next line of an update, as far as `announced_max` goes."""
        if self.announced_max is None or update.announced is not None or update.wanted is None:
            return _AMPLE
        return self.announced_max - self.adj_rib_out.count.total()

    def _take_from(
        self, queue: UpdateQueue[Fifo] | UpdateQueue[Lifo], update: Transition, in_flight: int, *, low_latency: bool
    ) -> UpdateBatch | None:
        live = queue is self._live
        shape = line_shape(update, live=len(queue) if live else 0, low_latency=low_latency)
        if in_flight >= shape.unanswered_max:
            self._window_full = True
            return None
        self._tried_alone = False
        return self._taken(UpdateBatch(update, queue.take(update, min(shape.prefixes_max, self._room(update))), live))

    def _take_replay(self, replay: Replay, in_flight: int, *, low_latency: bool) -> UpdateBatch | None:
        while (update := replay.next(self.adj_rib_out)) is not None:
            shape = ALONE if replay.has_alone else line_shape(update, live=0, low_latency=low_latency)
            if in_flight >= shape.unanswered_max:
                self._window_full = True
                return None
            prefixes = tuple(
                prefix
                for prefix in replay.take(shape.prefixes_max)
                # the shard was copied a while ago, and whatever is unanswered reaches that neighbor too
                if prefix not in self._in_flight and self.adj_rib_out.get(prefix) == update.announced
            )
            if prefixes:
                self._in_flight.update(prefixes)
                for prefix in prefixes:
                    self._defer(prefix)
                batch = UpdateBatch(update, prefixes, replay_to=replay.neighbor)
                self._batches.add(batch)
                return batch
        replay.ended = not in_flight
        self._window_full = not replay.ended  # a line of it may yet be refused
        return None

    def _defer(self, prefix: Prefix) -> None:
        """Have a queued update wait for the answer to a replay of its prefix.

        Otherwise, other attributes could be announced while the replay is still pending at the new neighbor: two
        attribute sets of one prefix, in an order of ExaBGP's.
        """
        live = self._live.discard(prefix)
        update = live or self._bulk.discard(prefix) or self._alone.pop(prefix, None)
        if update is not None:
            wanted = self._refused.pop(prefix, update.wanted)
            self._deferred[prefix] = wanted, live is None

    def _next_alone(self) -> Prefix | None:
        return next((prefix for prefix, update in self._alone.items() if self._room(update) > 0), None)

    def _take_alone(self, prefix: Prefix, in_flight: int) -> UpdateBatch | None:
        if in_flight >= ALONE.unanswered_max:
            self._window_full = True
            return None
        self._tried_alone = True
        return self._taken(UpdateBatch(self._alone.pop(prefix), (prefix,)))

    def _taken(self, batch: UpdateBatch) -> UpdateBatch:
        """Enter announcements at once, for the line leaves now; a withdraw only when it is answered.

        So the Adj-RIB-Out holds at least what ExaBGP may have: a ghost would stay for good, a withdraw too many is
        harmless.
        """
        self._in_flight.update(batch.prefixes)
        self._batches.add(batch)
        wanted = batch.transition.wanted
        if wanted is not None:
            self.adj_rib_out.announced_line(batch.prefixes, wanted)
        else:
            for prefix in batch.prefixes:
                self.adj_rib_out.mark_known(prefix)
        return batch

    # -- answers

    def _done(self, batch: UpdateBatch) -> None:
        if batch.transition.wanted is None:
            for prefix in batch.prefixes:
                self.adj_rib_out.withdrawn(prefix)
                self.adj_rib_out.correct(prefix)
        if self._suspects:
            for prefix in batch.prefixes:
                self._suspects.pop(prefix, None)
        self._unsettled.update(dict.fromkeys(batch.prefixes, batch))
        self._redecide(batch.prefixes)

    def _redecide(self, prefixes: Sequence[Prefix]) -> None:
        """Decide deferred wishes again, now that a command of theirs is answered or settled."""
        if self._deferred:
            for prefix in prefixes:
                if prefix in self._deferred:
                    wanted, bulk = self._deferred[prefix]
                    self._want(prefix, wanted, bulk=bulk)

    def _split(self, batch: UpdateBatch) -> bool:
        """Put back what was announced before a refused line, and have each of its prefixes tried alone.

        ExaBGP drops the whole line for one bad prefix. A prefix is given up when it was refused alone twice and
        ExaBGP took another line between: then the fault is the prefix's and not ExaBGP's.

        Returns:
            Whether ExaBGP has taken no line at all since its last refusal.
        """
        refuses_all = self._lines_taken == self._taken_at_refusal
        self._taken_at_refusal = self._lines_taken
        for prefix in batch.prefixes:
            self.adj_rib_out.refused(prefix, batch.transition)
            refused_at = self._suspects.setdefault(prefix, None)
            if len(batch.prefixes) == 1:
                if refused_at is not None and self._lines_taken > refused_at:
                    self._give_up(prefix, batch.transition)
                    continue
                self._suspects[prefix] = self._lines_taken if refused_at is None else refused_at
            self._want_again(prefix, batch)
        return refuses_all

    def _want_again(self, prefix: Prefix, batch: UpdateBatch) -> None:
        """Decide anew on a prefix whose line had no effect, as far as anybody knows: the newest wish counts.

        That is a deferred one; or an announce for neighbors that aren't there, behind the withdraw that failed; or
        the line's own.
        """
        wanted = self._refused.get(prefix, batch.transition.wanted)
        wanted, bulk = self._deferred.get(prefix, (wanted, not batch.live))
        self._want(prefix, wanted, bulk=bulk)

    def _give_up(self, prefix: Prefix, update: Transition) -> None:
        self.given_up += 1
        del self._suspects[prefix]
        if prefix in self._deferred:
            wanted, bulk = self._deferred[prefix]
            self._want(prefix, wanted, bulk=bulk)
            return
        self._refused.setdefault(prefix, update.wanted)


def _compact(held: dict[Prefix, V]) -> dict[Prefix, V]:
    """Give a dict without the table that a burst has left: it keeps that for as many entries as it has ever had.

    Of 200,000 routes that come at once half may be unsettled, until the neighbors are known from after them: 10 MB.
    """
    size = held.__sizeof__()
    return dict(held) if size > SPARSE_MIN_BYTES and size > SPARSE_ENTRY_BYTES * len(held) else held
