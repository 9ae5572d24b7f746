"""The api session: the conversation with ExaBGP as a state machine, lines of stdin in, lines for stdout out.

`receive` takes what ExaBGP says, `next` gives what to write now, `prepare` what may be written next, `wait_s` tells
when to ask again; the caller brings the time, and holds the keeper's lock for each of these. The stages:

    stage      by event                        next stage   what is written there
    opening    version of the known major      resync       `enable-ack` (an operator may have switched answers off),
    opening    version of another major        refused      `version`
    resync     all of the barrier answered     ready        the barrier: answers to a dead predecessor's commands come
    resync     no answer for `ANSWER_WAIT_S`   opening      first, and are discarded
    ready      no answer for `ANSWER_WAIT_S`   opening      the question for the neighbors; then routes, within the
                                                            window, and what the neighbors are due
    opening    no answer for `ANSWER_WAIT_S`   opening
    refused    -                               -            nothing; stdin is drained

Answers come first in, first out, for all that goes through ExaBGP's queue; the few commands that it may answer out of
turn (`announce eor`, `flush`, a comment) are *exclusive*: alone in flight, and so is an attribute change. No missing
answer ends anything: a new opening finds the place again, and what was unanswered is said again. After a refusal no
other route is written until a probe has shown whose fault that was (`doubts`).
"""

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from dnstap_bgp.core.exabgp import grammar
from dnstap_bgp.core.exabgp.doubts import Doubt, Doubts
from dnstap_bgp.core.exabgp.grammar import CommandAnswer, FamiliesEvent, Item, Row, SignalEvent, StateEvent, Verb
from dnstap_bgp.core.exabgp.in_flight import Barrier, LineKind, Outgoing
from dnstap_bgp.core.exabgp.kept_routes import NO_SHARDS
from dnstap_bgp.core.exabgp.neighbors import NEIGHBORS_MAX, Neighbor, NeighborTasks
from dnstap_bgp.core.exabgp.notes import Level, Notes
from dnstap_bgp.core.exabgp.update_queue import UpdateBatch
from dnstap_bgp.core.exabgp.views import View, Views
from dnstap_bgp.core.model import EVERYONE, Audience
from dnstap_bgp.core.timing import Backoff

SILENCE_S = 10.0
"""Worth a line in the log: another client's `show adj-rib out` holds answers up for so long."""
ANSWER_WAIT_S = 300.0
"""The longest stall measured is 80 s (`show adj-rib out` of 100,000 routes, by an ExaBGP that the operator starts; see
`host.SHOWN_AT_ONCE`); then answers are taken for lost."""
ANSWER_WAIT_MAX_S = 3600.0
"""Each opening without an answer doubles the wait, so that a dead pipe isn't filled."""
POLL_S = 10.0
"""How often the neighbors are asked for; costs ExaBGP a millisecond."""
POLL_DRAINING_S = 2.0
"""The same until ExaBGP has sent everything to a neighbor that came up. No oftener than needed: should this process
die with 8 KiB of answers under way, ExaBGP would give up all its neighbors."""
POLL_SOON_S = 0.5
"""The same while something waits for it."""
POLL_MIN_S = 0.1
"""Neighbors that come and go all the time don't make us ask more often."""
WALK_PAUSE_S = 0.001
"""Between two steps of a walk that finds nothing to write: others wait for the keeper's lock."""
RETAINED_S = 3600.0
"""So long the state file keeps as announced what is withdrawn and some neighbor may keep. No longer: a neighbor may be
another process's for good, and what is kept is withdrawn again by each process that begins."""
RELEASED_AT_ONCE = 1_000
"""Withdraws of which the state file learns by one hold of the lock once that is known: 2 ms. All at once 100,000 would
hold it for a second, and be more than the store's queue takes, so that routes would wait for a new file."""
LOW_LATENCY_S = 10.0
"""So long after a fresh address bulk keeps out of the next one's way."""


class Stage(enum.Enum):
    """The stage of an api session; the values are part of the status."""

    OPENING = "opening"
    RESYNC = "barrier"
    READY = "ready"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, eq=False)
class InFlight:
    """One line that was written and is not answered yet.

    Attributes:
        number: Position among all lines of the session.
        kind: Purpose of the line.
        since: When it was written, process clock.
        batch: The routes that it names, if any.
        addresses: Addresses of the only neighbors that it names; empty: none by name.
        neighbor: The only neighbor that it is for, where it has no routes.
    """

    number: int
    kind: LineKind
    since: float
    batch: UpdateBatch | None = None
    addresses: tuple[str, ...] = ()
    neighbor: Neighbor | None = None


class ApiSession:
    """One process's conversation with its ExaBGP.

    Attributes:
        stage: The stage at the moment.
        version: ExaBGP's version as it says; empty until then.
        tasks: What is known of the neighbors and what they are due.
        notes: What the log should say.
        lines: How many lines were written; `acknowledged` and `errors` of them were answered so.
        stray: Answers that nothing had been asked for.
    """

    def __init__(self, views: Views, bits: Callable[[int], int]) -> None:
        """Start at the opening.

        Args:
            views: Give the routes to write.
            bits: Gives so many random bits.
        """
        self.stage = Stage.OPENING
        self.version = ""
        self.tasks = NeighborTasks()
        self.notes = Notes()
        self.lines = self.acknowledged = self.errors = self.stray = 0
        self._views = views
        self._bits = bits
        self._barrier = Barrier(bits)
        self._in_flight: deque[InFlight] = deque()
        self._doubts = Doubts(views, self.tasks, self.notes)
        self._lost: list[UpdateBatch] = []  # batches whose answers are lost; said again once the place is found
        # An attribute change whose old attributes are withdrawn where they must be: it is written next. Until then
        # nothing is in flight, as the line whose answer has made it due was alone.
        self._change: UpdateBatch | None = None
        self._answer_wait = Backoff(ANSWER_WAIT_S, ANSWER_WAIT_MAX_S)
        self._answer_wait_s = ANSWER_WAIT_S  # its delay: looked at in each turn
        self._neighbors_due = self._neighbors_asked = float("-inf")
        self._neighbors_read = False  # the rows that were asked for last
        self._retry_refused = False  # something happened that may help what was given up
        self._last_live = float("-inf")
        self._goes_on = False  # the last `next` was interrupted
        self._releases = False  # the state file may have more withdraws to learn of

    # -- what ExaBGP says

    def receive(self, item: Item, now: float) -> None:
        """Take one line of stdin.

        Events count only once the neighbors are known: before that, the rows that are about to be asked for tell
        everything that an event could.
        """
        if isinstance(item, CommandAnswer):
            self._on_answer(item, now)
        elif isinstance(item, Row):
            self._on_row(item.text, now)
        elif not self.tasks.neighbors.known:
            pass
        elif isinstance(item, FamiliesEvent):
            self.tasks.neighbors.on_families(item, now)
        elif isinstance(item, SignalEvent):
            self.tasks.neighbors.on_signal(now)
            self._doubts.doubt_all(now)
            self._neighbors_due = now
            self._retry_refused = True
        elif isinstance(item, StateEvent):
            if self.tasks.on_state(item, now):
                self._neighbors_due = now
            self._retry_refused |= item.state == "up"

    def _on_row(self, text: bytes, now: float) -> None:
        if self.stage is Stage.OPENING:
            version = grammar.read_version(text)
            if version is not None:
                self._on_version(*version, now)
        elif self.stage is Stage.RESYNC:
            self._barrier.row(text)
        elif self._in_flight and self._in_flight[0].kind is LineKind.NEIGHBORS:
            self._on_neighbors(text, now)

    def _on_version(self, version: str, major: int | None, now: float) -> None:
        self.version = version
        self._in_flight.clear()
        self.stage = Stage.RESYNC if major == grammar.MAJOR else Stage.REFUSED
        if self.stage is Stage.REFUSED:
            self.notes.say(
                "version",
                now,
                Level.ERROR,
                f"this is ExaBGP {version}, and only {grammar.MAJOR}.x is spoken here: nothing is announced. "
                "Install exabgp>=5.0.15,<6 and start it again",
            )

    def _on_neighbors(self, text: bytes, now: float) -> None:
        found = grammar.read_neighbors(text)
        if found is None:
            return
        self._neighbors_read = True
        rows, unread = found
        neighbors, was_incomplete = self.tasks.neighbors, self.tasks.neighbors.incomplete
        was_known = neighbors.known
        self.tasks.on_rows(rows, self._updates_asked_of, now, unread)
        if not was_known:
            self._doubts.copy_recalled(now)
        if neighbors.incomplete and not was_incomplete:
            self._doubts.copy_for_hidden()
        self._views.join()
        self._doubts.reach(again=self._retry_refused)
        self._retry_refused = False
        self._doubts.probe_foreign(now)
        for view in self._views:
            view.updates_asked = 0
        waited_for = not neighbors.exist or any(
            neighbors.draining_among(view.audience) and view.reconciler.awaits_attribute_change for view in self._views
        )
        soon = waited_for or any(neighbor.unconfirmed for neighbor in neighbors)
        self._neighbors_due = now + (POLL_SOON_S if soon else POLL_DRAINING_S if neighbors.draining else POLL_S)
        self._tell_unread(now)
        if not neighbors.exist:
            self.notes.say("lonely", now, Level.WARNING, "ExaBGP has no neighbor yet: routes wait until it has one")
        if neighbors.silent:
            self.notes.say(
                "silent",
                now,
                Level.WARNING,
                "ExaBGP doesn't tell when a neighbor comes up: its api section lacks `neighbor-changes; negotiated;`",
            )

    def _on_neighbors_lost(self, now: float) -> None:
        """Ask for the neighbors again in a while: the answer had no row that can be read, as of too many neighbors."""
        self._neighbors_due = now + POLL_S
        self.notes.say(
            "neighbors lost",
            now,
            Level.WARNING,
            "ExaBGP's answer to `show neighbor json` can't be read as a whole: its neighbors count as they were known "
            f"before, and are asked for again every {POLL_S:g} s; before the first such answer nothing is announced",
        )

    def _tell_unread(self, now: float) -> None:
        """Tell of neighbors of which nothing, or only the address, is known."""
        neighbors = self.tasks.neighbors
        if neighbors.unread:
            self.notes.say(
                "unread",
                now,
                Level.WARNING,
                f"{neighbors.unread} rows of `show neighbor json` can't be read (ExaBGP {self.version}): these "
                "neighbors get all routes, but no End-of-RIB",
            )
        if neighbors.others:
            self.notes.say(
                "many neighbors",
                now,
                Level.WARNING,
                f"ExaBGP has {len(neighbors) + len(neighbors.others)} neighbors; at most {NEIGHBORS_MAX} are kept "
                "track of. The others get routes from now on, but neither those from before they came nor End-of-RIB. "
                "Have a second instance serve some of them: fewer in `[bgp] peers`, or in ExaBGP's configuration",
            )

    # -- answers

    def _on_answer(self, answer: CommandAnswer, now: float) -> None:
        """Give an answer to the oldest line in flight.

        In the opening an answer may be a dead predecessor's, so only the version's row counts there. In the resync
        it goes to the barrier, and in the ready stage to the line that has waited longest.
        """
        if self.stage is Stage.RESYNC and self._in_flight:
            if self._barrier.answered(answer):
                self._on_resynced()
        elif self.stage is Stage.READY and self._in_flight:
            self._on_line_answered(self._in_flight.popleft(), now, done=answer is CommandAnswer.DONE)
        elif self.stage is Stage.READY:
            self.stray += 1

    def _on_resynced(self) -> None:
        """Begin to be ready: everything from before is answered, and so is settled."""
        self.stage = Stage.READY
        self._in_flight.clear()
        if self._answer_wait_s != ANSWER_WAIT_S:
            self._answer_wait.reset()
            self._answer_wait_s = ANSWER_WAIT_S
        self._neighbors_due = float("-inf")
        lost, self._lost = self._lost, []
        for view in self._views:
            for batch in view.settling.clear():
                view.reconciler.settle(batch)
            view.reconciler.answers_lost([batch for batch in lost if view.reconciler.has_in_flight(batch)])

    def _on_line_answered(self, line: InFlight, now: float, *, done: bool) -> None:
        self.acknowledged += done
        self.errors += not done
        for view in self._views:
            if line.kind is LineKind.NEIGHBORS:
                view.settling.neighbors_known(line.number)
            # Older batches settle before this line's own batch is added: it can't be a later line to itself.
            if self._may_change_attributes(view, now):
                for batch in view.settling.line_answered(line.number, self.lines):
                    view.reconciler.settle(batch)
        if done and len(line.addresses) == 1 and self.tasks.adopt(line.addresses[0], line.since):
            self._neighbors_due = now
        if line.kind is LineKind.NEIGHBORS and not self._neighbors_read:
            self._on_neighbors_lost(now)
        self._on_purpose_served(line, now, done=done)
        if not done and line.addresses and line.kind is not LineKind.PROBE:
            self._doubt(line, now)
        if line.addresses or line.kind is LineKind.NEIGHBORS:
            self._releases = self._release_retained(now)

    def _release_retained(self, now: float) -> bool:
        """Have the state file learn of withdraws, once no neighbor may keep the routes, or after `RETAINED_S`.

        Returns:
            Whether there may be more of them: only some are looked at.
        """
        left = RELEASED_AT_ONCE
        for view in self._views:
            rib = view.reconciler.adj_rib_out
            if not rib.has_retained:
                continue
            until = now - RETAINED_S if self.tasks.may_keep(view.audience) else now
            if left and rib.has_retained_since(until):
                view.prepared.prepare(None)  # its records may be of the same prefixes, and come before
                left -= rib.release(until, left)
        return not left

    def _on_purpose_served(self, line: InFlight, now: float, *, done: bool) -> None:
        if line.kind is LineKind.PROBE:
            self._change = self._doubts.resolve(now, done=done)
        elif line.kind is LineKind.KEPT:
            if done:
                self.tasks.kept_answered(line.addresses[0], done=True)
        elif line.kind in (LineKind.WITHDRAW_FIRST, LineKind.CLEAN):
            self._change = line.batch if done and line.kind is LineKind.WITHDRAW_FIRST else None
        elif line.batch is not None:
            self._on_routes_answered(line, line.batch, now, done=done)
        elif line.neighbor is not None:
            line.neighbor.task_answered(flush=line.kind is LineKind.FLUSH, done=done)

    def _doubt(self, line: InFlight, now: float) -> None:
        self._neighbors_due = now
        self._doubts.add(Doubt(line.addresses, line.kind, line.batch))

    def _on_routes_answered(self, line: InFlight, batch: UpdateBatch, now: float, *, done: bool) -> None:
        """Take the answer to routes.

        The cases:

        - done: the batch settles from now on;
        - a replay is refused: its prefixes are tried alone at that neighbor, if it is ours;
        - refused: each prefix is tried alone, behind a probe if ExaBGP has taken nothing since its last refusal.
        """
        if batch.transition.is_attribute_change:
            self.tasks.end_change()
        for view in self._views.owners(batch):
            if not done:
                if self._doubts.refused(view, batch, now) and not line.addresses:
                    self._doubt(line, now)
            else:
                if batch.transition.wanted is None:
                    # A line that names one neighbor alone was taken, so that one is rid of them. Retained they would
                    # count in its budget after a restart, and could be said again beside what has their place now.
                    reached = line.addresses if len(line.addresses) == 1 else ()
                    kept = self.tasks.kept_of(batch.prefixes, view.audience - Audience(reached))
                    view.reconciler.adj_rib_out.retain(kept, batch.transition.attributes, now)
                view.reconciler.answered(batch, done=True)
                view.settling.add(batch, self.lines)
                view.end_pause()
        if self._views.acknowledgments.keep_s is not None:
            self._views.acknowledgments.note(batch.prefixes, now, self._views.awaited_stage, done=done)
        if not done:
            update = batch.transition
            self.notes.say(
                "refused",
                now,
                Level.WARNING,
                f"ExaBGP refused to {update.verb.value} {grammar.nlri_text(batch.prefixes[0])} with "
                f"{grammar.attributes_text(update.attributes)} (a line of {len(batch.prefixes)}): "
                "each prefix is tried alone",
            )

    # -- what to write

    def next(self, now: float) -> Outgoing | None:
        """Give the line to write now, if any; it then counts as written."""
        self._watch(now)
        self._goes_on = False
        if self._releases:
            self._releases = self._release_retained(now)
        if self.stage is Stage.READY:
            return self._next_ready(now)
        if self._in_flight or self.stage is Stage.REFUSED:
            return None
        data = grammar.OPENING
        if self.stage is Stage.RESYNC:
            self._barrier = Barrier(self._bits)
            data = self._barrier.lines
        return self._write(Outgoing(data), LineKind.HANDSHAKE, now)

    def prepare(self, now: float) -> Outgoing | None:
        """Make the line that `next` will most likely give once an answer comes; nothing counts as written by it.

        Returns:
            To be recorded now, for `next` to give it, or any other line that is due by then. None: nothing new.
        """
        outgoing = None
        for view in self._views:
            batch = None
            if outgoing is None and self._is_routine(view) and self.tasks.replay(view, self._views, self.lines) is None:
                batch = view.reconciler.peek(
                    low_latency=self._is_low_latency(now), attribute_changes=self._may_change_attributes(view, now)
                )
            neighbors = self._targets(batch, [view]) if batch is not None else ()
            outgoing = view.prepared.prepare(batch, neighbors, view.audience) or outgoing
        return outgoing

    def wait_s(self, now: float) -> float:
        """After how many seconds `next` may have a line although nothing was received or put."""
        if self._goes_on or self._releases:
            return WALK_PAUSE_S
        due = [self._neighbors_due if self.stage is Stage.READY else now + POLL_S]
        if self._in_flight:
            due = [self._in_flight[0].since + SILENCE_S]
        due += [view.pause_until for view in self._views if view.pause_s]
        return min(POLL_S, max(POLL_MIN_S, min(due) - now))

    def silent_s(self, now: float) -> float:
        """Measure the seconds that the oldest unanswered line has waited."""
        return now - self._in_flight[0].since if self._in_flight else 0.0

    @property
    def unanswered(self) -> int:
        """Number of lines that wait for their answer."""
        return len(self._in_flight)

    def _watch(self, now: float) -> None:
        """Tell a long silence, and begin again after a very long one."""
        if not self._in_flight:
            return
        silent_s = now - self._in_flight[0].since
        if silent_s >= SILENCE_S:
            backlogs = [view.backlog for view in self._views]
            self.notes.say(
                "silence",
                now,
                Level.WARNING,
                f"ExaBGP has not answered for {silent_s:.0f} s; nothing is lost, "
                f"{sum(backlog.live + backlog.bulk for backlog in backlogs)} prefixes wait",
            )
        if silent_s >= self._answer_wait_s:
            self._answer_wait.next()
            self._answer_wait_s = self._answer_wait.delay_s
            # A cleaning withdraw is no command of the reconciler's. The withdraw before an attribute change is lost
            # as that change: both are made again.
            no_commands = (LineKind.CLEAN, LineKind.KEPT)
            self._lost += [line.batch for line in self._in_flight if line.batch and line.kind not in no_commands]
            self._in_flight.clear()
            self.tasks.end_change()
            self.stage = Stage.OPENING

    def _next_ready(self, now: float) -> Outgoing | None:
        """Choose what to write in the ready stage.

        The cases, in this order:

        1. An exclusive line is in flight: nothing.
        2. An attribute change whose old attributes are withdrawn where they must be: the change, before anything else
           can come between.
        3. The neighbors are due to be asked for, which routes don't wait for.
        4. No neighbor, or `dry_run`: nothing.
        5. A doubt: the probe that resolves it, once nothing is in flight.
        6. A neighbor that is ours again and kept routes from before: their withdraws, once nothing is in flight.
        7. Routes, as far as pauses and the window let them; and once nothing is in flight, what the neighbors are due.
        """
        if self._in_flight and self._in_flight[-1].kind.exclusive:
            return None
        if self._change is not None:
            change, self._change = self._change, None
            return self._write_routes(change, now)
        if self._neighbors_due <= now and now - self._neighbors_asked >= POLL_MIN_S and not self._asks_neighbors:
            return self._ask_neighbors(now)
        if not self.tasks.neighbors.exist or self._views.paused:
            return None
        if self._doubts.waiting or self.tasks.kept_routes is not None:
            return None if self._in_flight else self._next_repair(now)
        return self._next_routes(now) if self._in_flight else self._next_routes_or_task(now)

    def _next_routes_or_task(self, now: float) -> Outgoing | None:
        """Choose what to write while nothing is in flight.

        Routes go first. But where there are several views, what a neighbor is due would wait for the routes of all
        others: for as long as there are any.
        """
        if len(self._views) > 1 and self._is_task_due(now):
            return self._next_task(now) or self._next_routes(now)
        return self._next_routes(now) or self._next_task(now)

    def _next_repair(self, now: float) -> Outgoing | None:
        """Resolve a doubt; or withdraw at a neighbor what it kept from before and what is not announced any more."""
        kept = self.tasks.kept_routes
        if self._doubts.waiting or kept is None:
            return self._write_probe(self._doubts.waiting[0].addresses, now)
        view = self._views.of(kept.neighbor)
        batch = kept.next(view.reconciler.adj_rib_out.shards if view is not None else NO_SHARDS)
        if batch is None:
            if kept.ended:
                self.tasks.kept_ended(kept)
            self._goes_on = self.tasks.kept_routes is not None  # after a pause: others wait for the lock
            return None if self._goes_on else self._next_ready(now)
        neighbors = tuple(self.tasks.neighbors.at(kept.neighbor))
        return self._write_withdraw(LineKind.KEPT, [view] if view is not None else [], batch, neighbors, now)

    def _next_routes(self, now: float) -> Outgoing | None:
        """Choose the view whose routes are written next.

        Views with live prefixes go first, and the view that has written last goes last. A view that has to wait for
        the window keeps its turn, or one with longer lines could take every place; one that pauses after refusals
        keeps nobody waiting. Where some neighbor's own view is done, its End-of-RIB or flush only needs a moment with
        nothing in flight: then all routes wait for that moment.
        """
        views = list(self._views)
        if len(views) > 1:
            if self._in_flight and self._is_task_due(now):
                return None
            views.sort(key=lambda view: not view.reconciler.has_live)
        for view in views:
            if now < view.pause_until:
                continue
            outgoing = self._next_routes_of(view, now)
            if outgoing is not None:
                self._views.yield_turn(view)
                return outgoing
            if view.reconciler.is_blocked or view.reconciler.adj_rib_out.has_previous:
                return None
        return None

    def _is_task_due(self, now: float) -> bool:
        """Tell whether something only waits until nothing is in flight; the question for the neighbors not always."""
        return self.tasks.is_any_due(now, self._views) or (
            now - self._neighbors_asked >= POLL_SOON_S
            and any(
                view.reconciler.awaits_settling
                and view.settling.lacks_neighbors
                and self.tasks.is_calm(view, now, waiting=True)
                for view in self._views
            )
        )

    def _next_routes_of(self, view: View, now: float) -> Outgoing | None:
        reconciler = view.reconciler
        if reconciler.adj_rib_out.has_previous:
            return self._next_cleaning(view, now)
        replay = self.tasks.replay(view, self._views, self.lines)
        if replay is not None and self._in_flight and self._in_flight[0].number < replay.after:
            replay = None
        batch = reconciler.take(
            sum(line.kind is not LineKind.NEIGHBORS for line in self._in_flight),
            low_latency=self._is_low_latency(now),
            attribute_changes=self._may_change_attributes(view, now),
            refusing=view.pause_s > 0,
            replay=replay,
        )
        if replay is not None and replay.ended:
            self.tasks.replay_ended(replay)
        if batch is None:
            return None
        if batch.live:
            self._last_live = now
        if batch.transition.is_attribute_change:
            neighbors = self.tasks.begin_change(batch.transition, view.audience)
            if neighbors:
                return self._write_withdraw(LineKind.WITHDRAW_FIRST, [view], batch, neighbors, now)
        return self._write_routes(batch, now)

    def _next_cleaning(self, view: View, now: float) -> Outgoing | None:
        """Withdraw, before anything else, what may be pending under previous attributes, where it may be."""
        neighbors = self.tasks.begin_cleaning(view.audience)
        if not neighbors:
            view.reconciler.adj_rib_out.forget_previous()
            return self._next_routes_of(view, now)
        if self._in_flight:
            return None
        batch = view.reconciler.adj_rib_out.take_previous()
        return self._write_withdraw(LineKind.CLEAN, [view], batch, neighbors, now)

    def _next_task(self, now: float) -> Outgoing | None:
        """Choose among what is exclusive, and so waits for a pause in the routes."""
        for view in self._views:
            if view.reconciler.awaits_settling and self.tasks.is_calm(view, now, waiting=True):
                if view.settling.lacks_neighbors:
                    return self._ask_neighbors(now)
                return self._write(Outgoing(grammar.LATER_LINE), LineKind.LATER, now)
        for view in self._views:
            rib = view.reconciler.adj_rib_out
            if rib.repair_due and self.tasks.restored and view.reconciler.handed_over:
                rib.repair_due = False
                self.tasks.flush_all(view.audience)
        neighbor = self.tasks.flush(now, self._views)
        if neighbor is not None:
            return self._write(Outgoing(grammar.flush_line(neighbor.address)), LineKind.FLUSH, now, neighbor=neighbor)
        due = self.tasks.end_of_rib(now, self._views)
        if due is not None:
            neighbor, family = due
            data = grammar.end_of_rib_line(neighbor.address, family)
            return self._write(Outgoing(data), LineKind.END_OF_RIB, now, neighbor=neighbor)
        return None

    @property
    def _asks_neighbors(self) -> bool:
        return any(line.kind is LineKind.NEIGHBORS for line in self._in_flight)

    def _is_routine(self, view: View) -> bool:
        """Tell whether routes of a view follow routes: nothing else is due, as far as one can see."""
        return (
            self.stage is Stage.READY
            and bool(self._in_flight)
            and not self._in_flight[-1].kind.exclusive
            and not view.pause_s
            and not self._views.paused
            and not view.reconciler.adj_rib_out.has_previous
        )

    def _is_low_latency(self, now: float) -> bool:
        return now - self._last_live < LOW_LATENCY_S

    def _may_change_attributes(self, view: View, now: float) -> bool:
        return self.tasks.is_calm(view, now, waiting=view.reconciler.awaits_attribute_change)

    # -- lines on their way

    def _ask_neighbors(self, now: float) -> Outgoing:
        self._neighbors_asked = now
        self._neighbors_read = False
        return self._write(Outgoing(grammar.SHOW_NEIGHBORS), LineKind.NEIGHBORS, now)

    def _write_probe(self, addresses: tuple[str, ...], now: float) -> Outgoing:
        for view in self._doubts.views_of(addresses):
            view.updates_asked += 1
        return self._write(Outgoing(grammar.probe_line(addresses)), LineKind.PROBE, now, addresses=addresses)

    def _write_withdraw(
        self, kind: LineKind, views: list[View], batch: UpdateBatch, neighbors: tuple[Neighbor, ...], now: float
    ) -> Outgoing:
        """Write the withdraw of a batch's announced attributes at these neighbors alone."""
        announced = batch.transition.announced
        assert announced is not None
        addresses = tuple(dict.fromkeys(neighbor.address for neighbor in neighbors))
        data = grammar.route_line(Verb.WITHDRAW, announced, batch.prefixes, addresses)
        _count_updates(views, batch)
        return self._write(Outgoing(data, batch.records, _audience(views)), kind, now, batch, addresses=addresses)

    def _write_routes(self, batch: UpdateBatch, now: float) -> Outgoing | None:
        """Write the line of a batch, to the neighbors of all views that it is in flight for."""
        views = self._views.owners(batch)
        neighbors, audience = self._targets(batch, views), _audience(views)
        if not neighbors and audience != EVERYONE:
            # The last neighbor of "everyone except" is gone or foreign since: a line without names would reach all.
            for view in views:
                view.reconciler.answered(batch, done=False)
            self._doubts.reach(again=True)
            return None
        if not neighbors:
            self.tasks.told_all(batch.transition, batch.prefixes)
        _count_updates(views, batch)
        kind = LineKind.ATTRIBUTE_CHANGE if batch.transition.is_attribute_change else LineKind.ROUTES
        return self._write(views[0].prepared.line(batch, neighbors, audience), kind, now, batch, addresses=neighbors)

    def _targets(self, batch: UpdateBatch, views: list[View]) -> tuple[str, ...]:
        """Find the neighbors that a line must name; none: it reaches all. "Everyone except" is expanded here."""
        if batch.replay_to:
            return (batch.replay_to,)
        audience, named = _audience(views), batch.transition.attributes.neighbors
        if audience == EVERYONE or named:
            return named
        if not audience.is_except:
            return audience.names
        there = self.tasks.neighbors
        addresses = [one.address for one in there if not one.foreign] + sorted(there.others)
        return tuple(dict.fromkeys(address for address in addresses if address in audience))

    def _updates_asked_of(self, address: str) -> int:
        view = self._views.of(address)
        return view.updates_asked if view is not None else 0

    def _write(
        self,
        outgoing: Outgoing,
        kind: LineKind,
        now: float,
        batch: UpdateBatch | None = None,
        *,
        addresses: tuple[str, ...] = (),
        neighbor: Neighbor | None = None,
    ) -> Outgoing:
        if neighbor is not None:
            addresses = (neighbor.address,)
        self._in_flight.append(InFlight(self.lines, kind, now, batch, addresses, neighbor))
        self.lines += 1
        return outgoing


def _count_updates(views: list[View], batch: UpdateBatch) -> None:
    for view in views:
        view.updates_asked += len(batch.prefixes) if batch.transition.family == grammar.IPV6 else 1


def _audience(views: list[View]) -> Audience:
    audience = Audience()
    for view in views:
        audience |= view.audience
    return audience
