"""The conversation with ExaBGP as a state machine: lines of stdin in, lines for stdout out.

Strategy: `receive` takes what the host says, `next` gives what to say now, `prepare` what may be said next, `wait_s`
tells when to ask again; the caller brings the time, and holds the keeper's lock for each of these. The stages:

    OPENING   `enable-ack` (an operator may have switched answers off), `version`; another major version: REFUSED
    BARRIER   see `barrier`: the answers to a dead predecessor's commands come first
    READY     first the neighbors are asked for; then routes, within the window, and what the neighbors are due
    REFUSED   stdin is drained, nothing is said

Answers come first in, first out, for all that goes through ExaBGP's queue; the few commands that it may answer out of
turn (`announce eor`, `flush`, a comment) are *exclusive*: alone in flight, and so is a change of attributes. No missing
answer ends anything: after `ANSWER_WAIT_S` a new opening finds the place again, and what was unanswered is said again.
"""

from collections import deque
from collections.abc import Callable

from dnstap_bgp.core.exabgp import grammar
from dnstap_bgp.core.exabgp.ahead import Ahead
from dnstap_bgp.core.exabgp.barrier import Barrier
from dnstap_bgp.core.exabgp.batch import Batch
from dnstap_bgp.core.exabgp.duties import Duties
from dnstap_bgp.core.exabgp.flight import Flight, Kind, Outgoing, Stage
from dnstap_bgp.core.exabgp.grammar import Answer, FamiliesEvent, Item, Row, SignalEvent, StateEvent, Verb
from dnstap_bgp.core.exabgp.neighbors import Neighbor
from dnstap_bgp.core.exabgp.notes import Level, Notes
from dnstap_bgp.core.exabgp.outbox import Outbox
from dnstap_bgp.core.exabgp.settling import Settling

SILENCE_S = 10.0
"""Worth a line in the log: another client's `show adj-rib out` holds answers up for so long."""
ANSWER_WAIT_S = 300.0
"""The longest stall measured is 80 s (`show adj-rib out` of 100,000 routes); then answers are taken for lost."""
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
BRISK_S = 10.0
"""So long after a fresh address bulk keeps out of the next one's way."""
PAUSE_MIN_S = 1.0
PAUSE_MAX_S = 30.0
"""How long to wait after a refusal while the host refuses everything."""


class Conversation:
    """One process's talk with its ExaBGP.

    Attributes:
        stage: Where it stands.
        version: What the host says it is; empty until then.
        duties: What is known of the neighbors and what they are due.
        notes: What the log should say.
        lines: How many lines were said; of these `acknowledged` and `errors` were answered so.
        stray: Answers that nothing had been asked for.
    """

    def __init__(self, outbox: Outbox, bits: Callable[[int], int]) -> None:
        """Start at the opening.

        Args:
            outbox: What to say.
            bits: Gives so many random bits.
        """
        self.stage = Stage.OPENING
        self.version = ""
        self.duties = Duties()
        self.notes = Notes()
        self.lines = self.acknowledged = self.errors = self.stray = 0
        self._outbox = outbox
        self._bits = bits
        self._barrier = Barrier(bits)
        self._flights: deque[Flight] = deque()
        self._settling = Settling()
        self._lost: list[Batch] = []
        self._change: Batch | None = None  # of attributes: withdrawn where it must be, and to be said next
        self._ahead = Ahead(outbox)
        self._answer_wait_s = ANSWER_WAIT_S
        self._neighbors_due = self._neighbors_asked = float("-inf")
        self._retrying = False  # something happened that may help what was given up
        self._units = 0
        self._last_live = float("-inf")
        self._pause_s = 0.0
        self._pause_until = 0.0

    # -- what the host says

    def receive(self, item: Item, now: float) -> None:
        """Take one line of stdin."""
        if isinstance(item, Answer):
            self._on_answer(item, now)
        elif isinstance(item, Row):
            self._on_row(item.text, now)
        elif not self.duties.neighbors.known:
            pass  # what we are about to ask for says it all
        elif isinstance(item, FamiliesEvent):
            self.duties.on_families(item, now)
        elif isinstance(item, SignalEvent):
            self.duties.on_signal()
            self._neighbors_due = now
            self._retrying = True
        elif isinstance(item, StateEvent):
            if self.duties.on_state(item, now):
                self._neighbors_due = now
            self._retrying |= item.state == "up"

    def _on_row(self, text: bytes, now: float) -> None:
        if self.stage is Stage.OPENING:
            version = grammar.read_version(text)
            if version is not None:
                self._on_version(*version, now)
        elif self.stage is Stage.BARRIER:
            self._barrier.row(text)
        elif self._flights and self._flights[0].kind is Kind.NEIGHBORS:
            self._on_neighbors(text, now)

    def _on_version(self, version: str, major: int | None, now: float) -> None:
        self.version = version
        self._flights.clear()
        self.stage = Stage.BARRIER if major == grammar.MAJOR else Stage.REFUSED
        if self.stage is Stage.REFUSED:
            self.notes.say(
                "version",
                now,
                Level.ERROR,
                f"this is ExaBGP {version}, and only {grammar.MAJOR}.x is spoken here: nothing is announced. "
                "Install exabgp>=5.0.15,<6 and start it again",
            )

    def _on_neighbors(self, text: bytes, now: float) -> None:
        rows = grammar.read_neighbors(text)
        if rows is None:
            return
        self.duties.on_rows(rows, self._units, now)
        self._outbox.reach(self.duties.reachable, again=self._retrying)
        self._retrying = False
        self._units = 0
        neighbors = self.duties.neighbors
        draining = self.duties.draining
        waited_for = not rows or (draining and self._outbox.changing)
        soon = waited_for or any(neighbor.unconfirmed for neighbor in neighbors)
        self._neighbors_due = now + (POLL_SOON_S if soon else POLL_DRAINING_S if draining else POLL_S)
        if not rows:
            self.notes.say("lonely", now, Level.WARNING, "ExaBGP has no neighbor yet: routes wait until it has one")
        if neighbors.silent:
            self.notes.say(
                "silent",
                now,
                Level.WARNING,
                "ExaBGP doesn't tell when a neighbor comes up: its api section lacks `neighbor-changes; negotiated;`",
            )

    def _on_answer(self, answer: Answer, now: float) -> None:
        if self.stage is Stage.BARRIER and self._flights:
            if self._barrier.answered(answer):
                self._on_passed()
        elif self.stage is Stage.READY and self._flights:
            self._on_flight(self._flights.popleft(), now, done=answer is Answer.DONE)
        elif self.stage is Stage.READY:
            self.stray += 1

    def _on_passed(self) -> None:
        """Everything from before is answered, and so is settled."""
        self.stage = Stage.READY
        self._flights.clear()
        self._answer_wait_s = ANSWER_WAIT_S
        self._neighbors_due = float("-inf")
        for batch in self._settling.clear():
            self._outbox.settle(batch)
        lost, self._lost = self._lost, []
        self._outbox.unsure(lost)

    def _on_flight(self, flight: Flight, now: float, *, done: bool) -> None:
        self.acknowledged += done
        self.errors += not done
        if flight.kind is Kind.NEIGHBORS:
            self._settling.asked(flight.number)
        if self.duties.calm(now, waiting=self._outbox.changing):
            for batch in self._settling.line(flight.number, self.lines):
                self._outbox.settle(batch)
        if flight.kind in (Kind.PREPARE, Kind.CLEAN):
            self._change = flight.batch if flight.kind is Kind.PREPARE else None
            for neighbor in flight.neighbors if not done else ():
                neighbor.foreign = True
        elif flight.batch is not None:
            self._on_routes(flight.batch, now, done=done)
        elif flight.kind is Kind.END_OF_RIB and not done:
            flight.neighbors[0].eor_due_since = None  # no session any more; its next one makes it due again
        elif flight.kind is Kind.FLUSH and done:
            flight.neighbors[0].draining = True
            flight.neighbors[0].updates = None

    def _on_routes(self, batch: Batch, now: float, *, done: bool) -> None:
        if batch.step.is_move:
            self.duties.changed()
        refuses_all = self._outbox.answered(batch, done=done)
        if done:
            self._settling.add(batch, self.lines)
            self._pause_s = 0.0
        elif batch.replay_to:
            for neighbor in self.duties.neighbors.at(batch.replay_to):
                neighbor.foreign = True
        else:
            self._neighbors_due = now
            if refuses_all:
                self._pause_s = min(PAUSE_MAX_S, max(PAUSE_MIN_S, 2 * self._pause_s))
                self._pause_until = now + self._pause_s
            self.notes.say(
                "refused",
                now,
                Level.WARNING,
                f"ExaBGP refused to {batch.step.verb.value} {grammar.prefix_text(batch.prefixes[0])} with "
                f"{grammar.attributes_text(batch.step.attributes)} (a line of {len(batch.prefixes)}): "
                "each prefix is tried alone",
            )

    # -- what to say

    def next(self, now: float) -> Outgoing | None:
        """What to write now, if anything; it then counts as said."""
        self._watch(now)
        if self.stage is Stage.READY:
            return self._speak(now)
        if self._flights or self.stage is Stage.REFUSED:
            return None
        data = grammar.OPENING
        if self.stage is Stage.BARRIER:
            self._barrier = Barrier(self._bits)
            data = self._barrier.lines
        return self._say(Outgoing(data), Kind.HANDSHAKE, now)

    def prepare(self, now: float) -> Outgoing | None:
        """Make the line that `next` will most likely give once an answer comes; nothing counts as said by it.

        Returns:
            To be recorded now, for `next` to give it, or any other line that is due by then. None: nothing new.
        """
        batch = None
        if self._is_routine and self.duties.replay() is None:
            batch = self._outbox.foresee(brisk=now - self._last_live < BRISK_S, moves=self._may_move(now))
        return self._ahead.prepare(batch)

    def wait_s(self, now: float) -> float:
        """After how long `next` may have something to say although nothing was received or put."""
        due = [self._neighbors_due if self.stage is Stage.READY else now + POLL_S]
        if self._flights:
            due = [self._flights[0].since + SILENCE_S]
        if self._pause_s:
            due.append(self._pause_until)
        return min(POLL_S, max(POLL_MIN_S, min(due) - now))

    def silent_s(self, now: float) -> float:
        """How long the oldest unanswered line has waited."""
        return now - self._flights[0].since if self._flights else 0.0

    @property
    def unanswered(self) -> int:
        """How many lines wait for their answer."""
        return len(self._flights)

    def _watch(self, now: float) -> None:
        if not self._flights:
            return
        silent_s = now - self._flights[0].since
        if silent_s >= SILENCE_S:
            backlog = self._outbox.backlog
            self.notes.say(
                "silence",
                now,
                Level.WARNING,
                f"ExaBGP has not answered for {silent_s:.0f} s; nothing is lost, "
                f"{backlog.live + backlog.bulk} prefixes wait",
            )
        if silent_s >= self._answer_wait_s:
            self._answer_wait_s = min(ANSWER_WAIT_MAX_S, 2 * self._answer_wait_s)
            self._lost += [flight.batch for flight in self._flights if flight.batch and flight.kind is not Kind.CLEAN]
            if self._change is not None:
                self._lost.append(self._change)
            self._change = None
            self._flights.clear()
            self.duties.changed()
            self.stage = Stage.OPENING

    def _speak(self, now: float) -> Outgoing | None:
        if self._flights and self._flights[-1].kind.exclusive:
            return None
        if self._change is not None:
            batch, self._change = self._change, None
            return self._say_routes(batch, now)
        if self._neighbors_due <= now and now - self._neighbors_asked >= POLL_MIN_S and not self._asking:
            return self._ask(now)
        if not self.duties.neighbors or now < self._pause_until or self._outbox.muted:
            return None
        return self._say_next_routes(now) or (None if self._flights else self._say_duty(now))

    def _say_next_routes(self, now: float) -> Outgoing | None:
        if self._outbox.has_former:
            return self._say_clean(now)
        replay = self.duties.replay()
        batch = self._outbox.take(
            sum(flight.kind is not Kind.NEIGHBORS for flight in self._flights),
            brisk=now - self._last_live < BRISK_S,
            moves=self._may_move(now),
            refusing=self._pause_s > 0,
            replay=replay,
        )
        if replay is not None and replay.ended:
            self.duties.replayed(replay)
        if batch is None:
            return None
        if batch.live:
            self._last_live = now
        if batch.step.is_move:
            neighbors = self.duties.change(batch.step)
            if neighbors:
                return self._say_withdraw(Kind.PREPARE, batch, neighbors, now)
        return self._say_routes(batch, now)

    def _say_clean(self, now: float) -> Outgoing | None:
        """Before anything else: withdraw what may be pending under former attributes, where it may be."""
        neighbors = self.duties.clean()
        if not neighbors:
            self._outbox.forget_former()
            return self._say_next_routes(now)
        return None if self._flights else self._say_withdraw(Kind.CLEAN, self._outbox.take_former(), neighbors, now)

    def _say_withdraw(self, kind: Kind, batch: Batch, neighbors: tuple[Neighbor, ...], now: float) -> Outgoing:
        told = batch.step.told
        assert told is not None
        addresses = tuple(dict.fromkeys(neighbor.address for neighbor in neighbors))
        data = grammar.route_line(Verb.WITHDRAW, told, batch.prefixes, addresses)
        self._count_units(batch)
        return self._say(Outgoing(data, batch.news), kind, now, batch=batch, neighbors=neighbors)

    def _say_routes(self, batch: Batch, now: float) -> Outgoing:
        self._count_units(batch)
        kind = Kind.CHANGE if batch.step.is_move else Kind.ROUTES
        return self._say(self._ahead.say(batch), kind, now, batch=batch)

    def _say_duty(self, now: float) -> Outgoing | None:
        """What is exclusive, and so waits for a pause in the routes."""
        if self._outbox.awaits_settling and self.duties.calm(now, waiting=True):
            if self._settling.lacks_neighbors:
                return self._ask(now)
            return self._say(Outgoing(grammar.LATER_LINE), Kind.LATER, now)
        neighbor = self.duties.flush(now)
        if neighbor is not None:
            return self._say(Outgoing(grammar.flush_line(neighbor.address)), Kind.FLUSH, now, neighbors=(neighbor,))
        due = self.duties.end_of_rib(now, handed_over=self._outbox.handed_over, bulk=self._outbox.bulk)
        if due is not None:
            neighbor, family = due
            data = grammar.end_of_rib_line(neighbor.address, family)
            return self._say(Outgoing(data), Kind.END_OF_RIB, now, neighbors=(neighbor,))
        return None

    def _ask(self, now: float) -> Outgoing:
        self._neighbors_asked = now
        return self._say(Outgoing(grammar.SHOW_NEIGHBORS), Kind.NEIGHBORS, now)

    @property
    def _asking(self) -> bool:
        return any(flight.kind is Kind.NEIGHBORS for flight in self._flights)

    @property
    def _is_routine(self) -> bool:
        """Whether routes follow routes: nothing else is due, as far as one can see."""
        return (
            self.stage is Stage.READY
            and bool(self._flights)
            and not self._flights[-1].kind.exclusive
            and not self._pause_s
            and not self._outbox.muted
            and not self._outbox.has_former
        )

    def _may_move(self, now: float) -> bool:
        return self.duties.calm(now, waiting=self._outbox.changing)

    def _count_units(self, batch: Batch) -> None:
        self._units += len(batch.prefixes) if batch.step.family == grammar.IPV6 else 1

    def _say(
        self,
        outgoing: Outgoing,
        kind: Kind,
        now: float,
        *,
        batch: Batch | None = None,
        neighbors: tuple[Neighbor, ...] = (),
    ) -> Outgoing:
        self._flights.append(Flight(self.lines, kind, now, batch, neighbors))
        self.lines += 1
        return outgoing
