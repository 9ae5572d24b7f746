"""What is known of ExaBGP's neighbors, and what each of them still has to be told.

Strategy: ExaBGP keeps one Adj-RIB-Out for each session's settings, and every route reaches it, up or down. So a
neighbor needs a replay only if its table began empty after routes had been told: a session first seen after the start,
a family that its configuration has gained, or a configuration read again while we couldn't see what it did (the numbers
of its events begin again at 1). A replay too many costs ExaBGP time and nothing on the wire; one too few is a lost
route. Events come and go; the rows of `show neighbor json` are the truth that corrects what no event told.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dnstap_bgp.core.exabgp.grammar import FAMILIES, FamiliesEvent, NeighborRow, Session, StateEvent

BLIND_S = 60.0
"""A neighbor that was down for longer since we know it, and whose events we have never seen, may have been taken out
of the configuration and put back between two looks at it."""

NEIGHBORS_MAX = 1_000
"""Sessions to keep track of; ExaBGP itself carries tens. What is over it gets its routes, but no End-of-RIB."""


@dataclass(slots=True, eq=False)
class Neighbor:
    """One session of ExaBGP's.

    Attributes:
        session: Its identity.
        configured: Families for which ExaBGP keeps routes for it.
        since: When it was first seen, process clock.
        up: Whether it is established.
        negotiated: Families of this session; None: not known yet.
        counter: Number of its last event; 0: none was seen.
        reread: Whether ExaBGP read its configuration again since it was last told everything.
        replay: Families whose routes it has to be told from the beginning.
        eor_due_since: When it came up (process clock), if it has not had its End-of-RIB since.
        eor_said: Families for which it has had it.
        flush_due: Whether its whole table has to be sent again.
        flushed_at: When that was done the last time.
        draining: Whether ExaBGP may still be sending it what piled up before.
        updates: UPDATEs sent to it as of the last row; None: no row of this session yet.
        age_s: Of the session, as of the last row.
        foreign: Whether ExaBGP has it, but not for us: it refuses commands that name it.
        unconfirmed: Whether the last row said up and no event had: the event follows a moment later, or never.
    """

    session: Session
    configured: frozenset[str]
    since: float
    up: bool = False
    negotiated: frozenset[str] | None = None
    counter: int = 0
    reread: bool = False
    replay: frozenset[str] = frozenset()
    eor_due_since: float | None = None
    eor_said: frozenset[str] = frozenset()
    flush_due: bool = False
    flushed_at: float | None = None
    draining: bool = False
    updates: int | None = None
    age_s: int = 0
    foreign: bool = False
    unconfirmed: bool = False

    @property
    def address(self) -> str:
        """Its address, by which commands name it."""
        return self.session.address

    def came_up(self, now: float) -> None:
        """A new session: ExaBGP now sends all that it keeps for it, and End-of-RIB is ours to send."""
        self.up = self.draining = True
        self.unconfirmed = False
        self.eor_due_since = now
        self.eor_said = frozenset()
        self.updates = None
        self.age_s = 0
        if self.reread:
            self.reread = False
            self.replay_all()

    def went_down(self) -> None:
        """No session any more: what it negotiated is void."""
        self.up = self.draining = False
        self.negotiated = self.eor_due_since = self.updates = None

    def count(self, counter: int, now: float) -> None:
        """Take the number of an event: one that doesn't grow tells that the configuration was read again."""
        blind = not self.counter and not self.up and now - self.since > BLIND_S
        self.reread |= blind or counter <= self.counter
        self.counter = counter

    def replay_all(self) -> None:
        """Tell it everything from the beginning."""
        self.replay = self.configured.intersection(FAMILIES)


class Neighbors:
    """All sessions of ExaBGP's.

    Attributes:
        known: Whether ExaBGP has told its neighbors yet.
        silent: Whether the events of some neighbor don't reach us (its `api` section lacks `neighbor-changes`).
    """

    def __init__(self) -> None:
        self._sessions: dict[Session, Neighbor] = {}
        self.known = False
        self.silent = False

    def __iter__(self) -> Iterator[Neighbor]:
        return iter(self._sessions.values())

    def __len__(self) -> int:
        return len(self._sessions)

    def at(self, address: str) -> list[Neighbor]:
        """The sessions with one address."""
        return [neighbor for neighbor in self if neighbor.address == address]

    def on_state(self, event: StateEvent, now: float) -> bool:
        """Take a change of state.

        Returns:
            Whether ExaBGP should be asked for its neighbors: something changed that an event doesn't tell.
        """
        ask = False
        found = self._sessions.get(event.session) if event.session is not None else None
        neighbors = [found] if found is not None else self.at(event.address) if event.session is None else []
        for neighbor in neighbors:
            neighbor.count(event.counter, now)
            if event.state == "up":
                neighbor.came_up(now)
                ask |= neighbor.negotiated is None
            elif event.state == "down":
                neighbor.went_down()
                ask = True  # it may have been taken out of the configuration
        return ask or not neighbors

    def on_families(self, event: FamiliesEvent, now: float) -> None:
        """Take what an OPEN negotiated."""
        neighbor = self._sessions.get(event.session)
        if neighbor is not None:
            neighbor.count(event.counter, now)
            neighbor.negotiated = event.families

    def on_signal(self) -> None:
        """Take that the configuration may be read again: who is down now may come back with an empty table."""
        for neighbor in self:
            neighbor.reread |= not neighbor.up

    def on_rows(self, rows: Sequence[NeighborRow], units: int, now: float) -> None:
        """Take the truth.

        Args:
            rows: Every neighbor.
            units: The most UPDATEs that our commands since the last rows can have caused at one neighbor.
            now: Process clock.
        """
        rows = rows[:NEIGHBORS_MAX]
        for row in rows:
            neighbor = self._sessions.get(row.session)
            if neighbor is None:
                neighbor = self._sessions[row.session] = Neighbor(row.session, row.configured, now)
                if self.known:
                    neighbor.replay_all()
                if row.up:
                    neighbor.came_up(now)
            else:
                self._compare(neighbor, row, now)
            if row.up:
                self._measure(neighbor, row, units)
        present = {row.session for row in rows}
        for session in [session for session in self._sessions if session not in present]:
            del self._sessions[session]
        self.known = True

    def _compare(self, neighbor: Neighbor, row: NeighborRow, now: float) -> None:
        neighbor.replay |= (row.configured - neighbor.configured).intersection(FAMILIES)
        neighbor.configured = row.configured
        if row.up and not neighbor.up and not neighbor.unconfirmed:
            neighbor.unconfirmed = True
        elif row.up != neighbor.up or (row.up and row.age_s < neighbor.age_s):
            self.silent = neighbor.reread = neighbor.flush_due = True
            if row.up:
                neighbor.came_up(now)
            else:
                neighbor.went_down()
        else:
            neighbor.unconfirmed = False

    def _measure(self, neighbor: Neighbor, row: NeighborRow, units: int) -> None:
        if neighbor.updates is not None and row.updates - neighbor.updates <= units:
            neighbor.draining = False
        neighbor.updates = row.updates
        neighbor.age_s = row.age_s
        neighbor.negotiated = row.negotiated
