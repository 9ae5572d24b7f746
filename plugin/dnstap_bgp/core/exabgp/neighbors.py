"""ExaBGP's neighbors: the state of each BGP session, and what a neighbor is due: replay, End-of-RIB, flush.

The state is as events and the rows of `show neighbor json` tell it.

Who needs a replay: ExaBGP keeps one Adj-RIB-Out for each session's settings, and every route reaches it, up or down. So
a neighbor needs a replay only if its table began empty after routes had been announced: a session first seen after the
start, a family that its configuration has gained, or a configuration read again while nobody could see what that did
(the numbers of its events begin again at 1). A replay too many costs ExaBGP time and nothing on the wire; one too few
is a lost route. Events come and go; the rows correct what no event told.

Who is *foreign*: ExaBGP has the neighbor, but `processes` of its api section names others, so that no command of ours
reaches it. ExaBGP's reading of its configuration may make it so, or ours again, and no event tells. So each signal for
that leaves a neighbor in *doubt*, until the answer to a line that names it proves that commands reach it.

Who is *draining*: to an established neighbor ExaBGP 5 sends one generation of updates after the other, each being all
that were pending when it began (measured against real routers). While a generation is under way (after `up`, after a
flush) nothing is settled for that neighbor, however many lines are answered, until its count of UPDATEs stands still.

When attributes may change, from how ExaBGP 5 keeps what is pending (measured against real routers):

- While an established neighbor is draining attribute changes wait. After `DRAIN_WAIT_MAX_S` they are
  forced, and a flush repairs what that may have spoiled.
- For a neighbor that is down everything since then is pending together. When it comes up the withdraws among that are
  left out. So before an announced prefix gets other attributes it is withdrawn, with the old ones, from just those
  that are down. If one comes up meanwhile (its `up` is read before the answer), it gets a flush.

What a neighbor kept while commands didn't reach it (`kept_routes`) is withdrawn before its replay, and a flush comes
behind that.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dnstap_bgp.core.exabgp.adj_rib_out import Replay
from dnstap_bgp.core.exabgp.grammar import FAMILIES, FamiliesEvent, NeighborRow, SessionIdentity, StateEvent
from dnstap_bgp.core.exabgp.kept_routes import KEPT_ROUTES_MAX, KeptRoutes, RibCopy
from dnstap_bgp.core.exabgp.update_queue import Transition, UpdateBatch
from dnstap_bgp.core.exabgp.views import View, Views
from dnstap_bgp.core.model import EVERYONE, Attributes, Audience, Prefix
from dnstap_bgp.core.prefix_map import PrefixMap

BLIND_S = 60.0
"""A neighbor that was down for longer since it was first seen, and of which no event was ever seen, may have been taken
out of the configuration and put back between two looks at it."""
NEIGHBORS_MAX = 1_000
"""Sessions to keep track of; ExaBGP itself carries tens. What is over it gets its routes, but no End-of-RIB."""
OTHERS_MAX = 10_000
"""Addresses of neighbors over that; past this every line may reach somebody, as far as is known."""
PROBE_MIN_S = 60.0
PROBE_MAX_S = 3600.0
"""How often it is tried whether commands reach a foreign neighbor after all; ExaBGP logs each try."""
PROOF_AFTER_S = 5.0
"""After so long ExaBGP has read its configuration again, or never will; then each neighbor's answer counts."""
DRAIN_WAIT_MAX_S = 60.0
"""An attribute change waits at most so long for a draining neighbor: 100,000 IPv6 routes take 20 s."""
END_OF_RIB_WAIT_S = 30.0
"""After so long End-of-RIB doesn't wait for a pause in what is live any more, only for the restore."""
FLUSH_EVERY_S = 60.0
"""A flush resends a neighbor's whole table: not more often."""
DRAIN_LEAST_S = 0.2
DRAIN_ROUTES_A_S = 2_000
"""So soon ExaBGP has sent a neighbor what piled up, at the latest: half of its pace for IPv6, one UPDATE for each."""


@dataclass(slots=True, eq=False)
class Neighbor:
    """One BGP session of ExaBGP's. Only the methods here write its fields.

    Attributes:
        session: Identity of the session.
        configured: Families for which ExaBGP keeps routes for the neighbor.
        since: When the neighbor was first seen, process clock.
        up: Whether the session is established.
        negotiated: Families of this session; None: not known yet.
        counter: Number of the neighbor's last event; 0: none was seen.
        reread: Whether ExaBGP read its configuration again since the neighbor was last told everything.
        replay: Families whose routes the neighbor has to be told from the beginning.
        eor_due_since: When the session came up (process clock), if End-of-RIB was not sent since.
        eor_sent: Families for which End-of-RIB was sent since then.
        flush_due: Whether the neighbor's whole table has to be sent again.
        flushed_at: When that was done the last time, process clock.
        draining: Whether ExaBGP may still be sending the neighbor what piled up before.
        drains_since: Since when that is so, process clock.
        updates: UPDATEs sent to the neighbor as of the last row; None: no row of this session yet.
        age_s: Age of the session as of the last row.
        foreign: Whether ExaBGP has the neighbor, but not for this process: it refuses even harmless commands that name
            it.
        probe_wait_s: How long it is left alone since it was found to be foreign; 0: it isn't, or is expected back.
        probe_at: The end of that, process clock.
        end_of_rib_missed: Whether ExaBGP refused End-of-RIB: due again if the session turns out to be there.
        unconfirmed: Whether the last row said up and no event had: the event follows a moment later, or never.
        copies: The Adj-RIB-Out as of the last moment at which commands surely reached it, where that may be over:
            before a doubt, and an earlier process's. One for each time, until it proves to be ours, or the walk takes
            them over that withdraws what it kept.
        proof_due_at: An answer counts as proof that commands still reach it from then on (process clock); None: no
            proof is due.
        missed: Whether the neighbor may have been foreign before the proof that is due. So where two signals come
            within `PROOF_AFTER_S`: the first reload may give it to another process and the second give it back, and
            the proof would tell nothing of the time between. What it may have missed is said again then. Of one that
            is foreign: whether it may have been this process's for a moment.
        proven: Whether commands reach it as far as is known: one that names it was taken since the last doubt, or
            `PROOF_AFTER_S` after that doubt where a proof was due. A signal of ExaBGP's ends it.
    """

    session: SessionIdentity
    configured: frozenset[str]
    since: float
    up: bool = False
    negotiated: frozenset[str] | None = None
    counter: int = 0
    reread: bool = False
    replay: frozenset[str] = frozenset()
    eor_due_since: float | None = None
    eor_sent: frozenset[str] = frozenset()
    flush_due: bool = False
    flushed_at: float | None = None
    draining: bool = False
    drains_since: float = 0.0
    updates: int | None = None
    age_s: int = 0
    foreign: bool = False
    probe_wait_s: float = 0.0
    probe_at: float = 0.0
    end_of_rib_missed: bool = False
    unconfirmed: bool = False
    copies: tuple[RibCopy, ...] = ()
    proof_due_at: float | None = None
    missed: bool = False
    proven: bool = False

    @property
    def address(self) -> str:
        """The neighbor's address, by which commands name it."""
        return self.session.address

    @property
    def accepts_end_of_rib(self) -> bool:
        """End-of-RIB is due, and the neighbor is there to get it."""
        return self.eor_due_since is not None and self.up and self.negotiated is not None and not self.foreign

    def identify(self, session: SessionIdentity, configured: frozenset[str]) -> None:
        """Take which session it is, where only its address could be read before.

        Its events found nobody meanwhile: it is told everything, as one that is new. What it kept and is owed stays.
        """
        self.session, self.configured = session, configured
        self.replay_all()
        self.want_flush()

    # -- what events tell

    def came_up(self, now: float, age_s: float = 0.0) -> None:
        """Begin a new session: ExaBGP now sends all that it keeps for it, and End-of-RIB is ours to send.

        Args:
            now: Process clock.
            age_s: So old it is already, where a row tells of it first: an earlier process's.
        """
        self.up = self.draining = True
        self.drains_since = now - age_s
        self.unconfirmed = False
        self.eor_due_since = now
        self.eor_sent = frozenset()
        self.updates = None
        self.age_s = 0
        self.end_of_rib_missed = False
        if self.reread:
            self.reread = False
            self.replay_all()

    def went_down(self) -> None:
        """End the session: what it negotiated is void."""
        self.up = self.draining = False
        self.negotiated = self.eor_due_since = self.updates = None

    def count_event(self, counter: int, now: float) -> None:
        """Take the number of an event: one that doesn't grow tells that the configuration was read again."""
        blind = not self.counter and not self.up and now - self.since > BLIND_S
        self.reread |= blind or counter <= self.counter
        self.counter = counter

    def negotiate(self, families: frozenset[str]) -> None:
        """Take the families that an OPEN negotiated."""
        self.negotiated = families

    def configuration_read(self, *, unseen: bool = False) -> None:
        """Note that ExaBGP reads its configuration: a neighbor that is down may come back with an empty table.

        Args:
            unseen: No event would tell if it goes down.
        """
        self.reread |= unseen or not self.up

    # -- what rows tell

    def compare(self, row: NeighborRow, now: float) -> bool:
        """Correct the state by a row.

        The cases: the row says up and no event did (wait for the event until the next row); the row contradicts the
        state, or its session is younger than the last one seen (an event was missed); they agree.

        Returns:
            Whether an event was missed.
        """
        self.replay |= (row.configured - self.configured).intersection(FAMILIES)
        self.configured = row.configured
        if row.up and not self.up and not self.unconfirmed:
            self.unconfirmed = True
        elif row.up != self.up or (row.up and row.age_s < self.age_s):
            self.reread = self.flush_due = True
            if row.up:
                self.came_up(now)
            else:
                self.went_down()
            return True
        else:
            self.unconfirmed = False
        if self.end_of_rib_missed and self.up:
            self.end_of_rib_missed = False
            self.eor_due_since, self.eor_sent = now, frozenset()
        return False

    def measure(self, row: NeighborRow, updates_asked: int) -> None:
        """Take a row's count of UPDATEs: draining ends when no more were sent than our commands caused."""
        if self.updates is not None and row.updates - self.updates <= updates_asked:
            self.draining = False
        self.updates = row.updates
        self.age_s = row.age_s
        self.negotiated = row.negotiated

    def is_drained(self, routes: int, now: float) -> bool:
        """Tell whether ExaBGP has sent what piled up: as its rows say, or because so few routes take no longer.

        Rows come every two seconds, and two have to agree; whoever waits for a route would not be held meanwhile.
        """
        return not self.draining or now >= self.drains_since + DRAIN_LEAST_S + routes / DRAIN_ROUTES_A_S

    # -- what the neighbor is due

    def replay_all(self) -> None:
        """Have the neighbor told everything from the beginning."""
        self.replay = self.configured.intersection(FAMILIES)

    def take_replay(self) -> frozenset[str]:
        """Take the families whose replay begins now."""
        families, self.replay = self.replay, frozenset()
        return families

    def refuse(self, now: float) -> None:
        """Note that ExaBGP refuses even a harmless command that names the neighbor."""
        self.foreign = True
        self.proven = self.missed = False
        self.proof_due_at = None
        self.probe_wait_s = min(max(PROBE_MIN_S, 2 * self.probe_wait_s), PROBE_MAX_S)
        self.probe_at = now + self.probe_wait_s

    def expect_back(self, now: float) -> None:
        """Have a foreign neighbor tried soon, and as often as in the beginning: it may be ours by a reload.

        A second signal before that puts it off, for the first may have given it to this process, and the second taken
        it away: then it has what was announced between the two.
        """
        self.missed = self.proof_due_at is not None
        self.proof_due_at = now + PROOF_AFTER_S
        self.probe_wait_s = 0.0
        self.probe_at = min(self.probe_at, now + PROOF_AFTER_S)

    def keep(self, copy: RibCopy | None) -> None:
        """Note what the neighbor may keep of what is announced to it now; None: not known."""
        if copy is not None and (not self.copies or self.copies[-1] != copy):  # mostly the same: nothing is said then
            self.copies += (copy,)

    def recall(self, copy: RibCopy | None, now: float) -> None:
        """Note what an earlier process announced to the neighbor, which may be foreign: it is tried in a while.

        Mostly a line that names it alone shows that it isn't before that, but none does where it is down.
        """
        self.keep(copy)
        self.probe_at = now + PROOF_AFTER_S

    def is_probe_due(self, now: float) -> bool:
        """Tell whether a harmless command is to be tried that shows whether commands reach the neighbor."""
        if self.proof_due_at is not None:
            return now >= self.proof_due_at
        return now >= self.probe_at and (self.foreign or (bool(self.copies) and not self.proven))

    def keep_nothing(self) -> None:
        """Note that the neighbor was never foreign."""
        self.copies = ()

    def take_copies(self) -> tuple[RibCopy, ...]:
        """Hand the copies over to a walk: a doubt from now on has a copy of its own, though it be the same."""
        copies, self.copies = self.copies, ()
        return copies

    def give_back(self, copies: tuple[RibCopy, ...]) -> None:
        """Keep the copies of a walk that didn't come to its end; they are older than all others."""
        self.copies = copies + self.copies

    def doubt(self, copy: RibCopy | None, now: float, *, may_miss: bool = False) -> None:
        """Note that commands may cease to reach the neighbor now: an answer in a while has to prove that they do.

        A second doubt before that proof (two signals within 5 s) puts it off, and what happened between the two stays
        unknown: see `missed`.

        Args:
            copy: What it may keep, if they have ceased; None: not known. Copies from earlier doubts go before.
            now: Process clock.
            may_miss: It may be foreign already, and this process's again before the proof.
        """
        self.missed = may_miss or not self.proven
        self.proven = False
        self.keep(copy)
        self.proof_due_at = now + PROOF_AFTER_S

    def adopt(self, now: float) -> bool:
        """Note that the neighbor is this process's, perhaps after all.

        What was said while it was not may not have reached it, which a replay makes up for, behind the withdraws of
        what it kept; or it has, but attributes were changed without the withdraw that must come first there, which a
        flush repairs.

        Returns:
            Whether anything may not have reached it.
        """
        self.probe_wait_s = 0.0
        is_proof = self.proof_due_at is not None and now >= self.proof_due_at
        self.proven = self.proof_due_at is None or is_proof
        if not self.foreign and not is_proof:
            if self.proven:
                self.keep_nothing()  # what was recalled: it has been ours since
            return False
        was_away = self.foreign or self.missed
        self.foreign = self.missed = False
        if is_proof:  # or else it came up before that, and may be taken away by the reload that is yet to be read
            self.proof_due_at = None
        if was_away:
            self.flush_due = True
            self.replay_all()
        else:
            self.keep_nothing()
        return was_away

    def next_end_of_rib(self) -> str | None:
        """Take the next family whose End-of-RIB is due; with the last one nothing is due any more."""
        for family in FAMILIES:
            if family in (self.negotiated or ()) and family not in self.eor_sent:
                self.eor_sent |= {family}
                return family
        self.eor_due_since = None
        return None

    def want_flush(self) -> None:
        """Have the neighbor's whole table sent again."""
        self.flush_due = True

    def can_flush(self, now: float) -> bool:
        """Tell whether a flush is due that may be asked for now."""
        if not self.flush_due or not self.up or self.draining or self.foreign:
            return False
        return self.flushed_at is None or now - self.flushed_at >= FLUSH_EVERY_S

    def flush_asked(self, now: float) -> None:
        """Note that the flush was asked for."""
        self.flush_due = False
        self.flushed_at = self.drains_since = now

    def task_answered(self, *, flush: bool, done: bool) -> None:
        """Take the answer to a flush or an End-of-RIB; what is refused is due again.

        A flush that is taken begins to send the whole table. End-of-RIB is refused where there is no session any more,
        whose next one makes it due, or hastily: then the next row does.
        """
        if flush and done:
            self.draining = True
            self.updates = None
        elif flush:
            self.flush_due = True
        elif not done:
            self.eor_due_since = None
            self.end_of_rib_missed = True


class Neighbors:
    """All sessions of ExaBGP's.

    Attributes:
        known: Whether ExaBGP has told its neighbors yet.
        others: Addresses of neighbors over `NEIGHBORS_MAX`, of which nothing else is kept.
        unread: How many rows of the last ones could not be read.
        incomplete: Whether there may be neighbors of which not even the address is known.
        silent: Whether no event of some neighbor has reached us, although there were some (its `api` section lacks
            `neighbor-changes`).
    """

    def __init__(self) -> None:
        self._sessions: dict[SessionIdentity, Neighbor] = {}
        self.known = False
        self.silent = False
        self.others: frozenset[str] = frozenset()
        self.unread = 0
        self.incomplete = False

    def __iter__(self) -> Iterator[Neighbor]:
        return iter(self._sessions.values())

    def __len__(self) -> int:
        return len(self._sessions)

    def at(self, address: str) -> list[Neighbor]:
        """Find the sessions with one address."""
        return [neighbor for neighbor in self if neighbor.address == address]

    @property
    def exist(self) -> bool:
        """ExaBGP has some neighbor."""
        return bool(self._sessions or self.others or self.incomplete)

    @property
    def reachable(self) -> frozenset[str] | None:
        """The addresses of all neighbors that commands reach; None: that can't be told."""
        if self.incomplete:
            return None
        return self.others | {neighbor.address for neighbor in self if not neighbor.foreign}

    @property
    def kept(self) -> frozenset[str]:
        """The addresses of all neighbors for which ExaBGP keeps routes although commands don't reach them."""
        return frozenset(neighbor.address for neighbor in self if neighbor.foreign)

    @property
    def draining(self) -> bool:
        """ExaBGP may still be sending some neighbor what piled up."""
        return self.draining_among(EVERYONE)

    def draining_among(self, audience: Audience) -> bool:
        """Tell whether ExaBGP may still be sending one of these neighbors what piled up."""
        return any(neighbor.draining and not neighbor.foreign and neighbor.address in audience for neighbor in self)

    def on_state(self, event: StateEvent, now: float) -> bool:
        """Take a change of state.

        Returns:
            Whether ExaBGP should be asked for its neighbors: something changed that an event doesn't tell.
        """
        ask = False
        found = self._sessions.get(event.session) if event.session is not None else None
        neighbors = [found] if found is not None else self.at(event.address) if event.session is None else []
        for neighbor in neighbors:
            neighbor.count_event(event.counter, now)
            if event.state == "up":
                neighbor.came_up(now)
                ask |= neighbor.negotiated is None
            elif event.state == "down":
                neighbor.went_down()
                ask = True  # it may have been taken out of the configuration
        return ask or not neighbors

    def on_families(self, event: FamiliesEvent, now: float) -> None:
        """Take the families that an OPEN negotiated."""
        neighbor = self._sessions.get(event.session)
        if neighbor is not None:
            neighbor.count_event(event.counter, now)
            neighbor.negotiate(event.families)

    def on_signal(self, now: float) -> None:
        """Take that ExaBGP may read its configuration again: foreign neighbors may be ours by that."""
        for neighbor in self:
            neighbor.configuration_read()
            if neighbor.foreign:
                neighbor.expect_back(now)

    def on_unreachable(self) -> None:
        """Take that no neighbor at all is this process's now: any may go and come back with an empty table, unseen."""
        for neighbor in self:
            neighbor.configuration_read(unseen=True)

    def on_rows(
        self, rows: Sequence[NeighborRow], updates_asked: Callable[[str], int], now: float, unread: Sequence[str] = ()
    ) -> None:
        """Take the rows of `show neighbor json`.

        A session ends with its row. But a row that can't be read may be anybody's, so nobody's session ends by it: a
        neighbor whose address is all that can be read is told everything, like one that is down, until a row tells
        which session it is.

        Args:
            rows: Every neighbor; past `NEIGHBORS_MAX` only its address counts.
            updates_asked: Gives the most UPDATEs that our commands since the last rows can have caused at a neighbor.
            now: Process clock.
            unread: Addresses of the rows that can't be read; empty where the address can't, either.
        """
        present = {row.session for row in rows} | {_unread_session(row.session.address) for row in rows}
        if "" not in unread:
            gone = [session for session in self._sessions if session not in present and session.address not in unread]
            for session in gone:
                del self._sessions[session]
        others = set()
        for row in rows:
            neighbor = self._sessions.get(row.session)
            if neighbor is not None:
                self.silent |= neighbor.compare(row, now) and not neighbor.counter
            else:
                neighbor = self._identify(row) or self._begin(row.session, row.configured, now)
                if neighbor is None:
                    others.add(row.session.address)
                    continue
                if row.up:
                    neighbor.came_up(now, row.age_s)
            if row.up:
                neighbor.measure(row, updates_asked(neighbor.address))
        for address in unread:
            session, families = _unread_session(address), frozenset(FAMILIES)
            if address and not self.at(address) and self._begin(session, families, now) is None:
                others.add(address)
        self.others = frozenset(others) if len(others) <= OTHERS_MAX else frozenset()
        self.incomplete = "" in unread or len(others) > OTHERS_MAX
        self.unread = len(unread)
        self.known = True

    def _identify(self, row: NeighborRow) -> Neighbor | None:
        """Give the session of a row to the neighbor of which only the address could be read; None: there is none."""
        neighbor = self._sessions.pop(_unread_session(row.session.address), None)
        if neighbor is not None:
            neighbor.identify(row.session, row.configured)
            self._sessions[row.session] = neighbor
        return neighbor

    def _begin(self, session: SessionIdentity, configured: frozenset[str], now: float) -> Neighbor | None:
        """Keep track of a session; None: there are too many."""
        if len(self._sessions) >= NEIGHBORS_MAX:
            return None
        neighbor = self._sessions[session] = Neighbor(session, configured, now)
        if self.known:
            neighbor.replay_all()
        # It may have been there, and attributes were changed without a withdraw before: where no address could be read,
        # or where one address stood for several sessions.
        if self.incomplete or (self.known and len(self.at(session.address)) > 1):
            neighbor.want_flush()
        return neighbor


def _unread_session(address: str) -> SessionIdentity:
    """Give the session that stands for whatever has an address, while nothing else of its row can be read."""
    return SessionIdentity(address, "", 0, 0, "")


class NeighborTasks:
    """Tasks that neighbors are due beside routes: the api session asks here and writes the lines.

    Attributes:
        neighbors: All sessions.
        restored: Whether all wanted routes were put and the reconciler is resynced: the earliest time for End-of-RIB.
    """

    def __init__(self) -> None:
        self.neighbors = Neighbors()
        self.restored = False
        self._replays: dict[Neighbor, Replay] = {}
        self._given_up: dict[Neighbor, dict[Prefix, Transition]] = {}  # what replays could not tell
        self._kept: dict[Neighbor, KeptRoutes] = {}  # withdrawn before their replay
        # What neighbors may have whose address can't be read: from before, and what was announced to all since then.
        self._hidden: list[tuple[Audience, RibCopy]] = []
        self._told_hidden: PrefixMap[Attributes] = PrefixMap()
        self._withdrawing: tuple[Neighbor, ...] = ()  # first withdraw the old attributes of a change under way

    # -- what ExaBGP tells

    def on_state(self, event: StateEvent, now: float) -> bool:
        """Take a change of state; returns whether ExaBGP should be asked for its neighbors."""
        ask = self.neighbors.on_state(event, now)
        if event.state == "up":
            for neighbor in self._withdrawing:
                if neighbor.address == event.address:
                    neighbor.want_flush()
            ask |= self.adopt(event.address, now)  # events reach us: it is ours now
        return ask

    def on_rows(
        self, rows: Sequence[NeighborRow], updates_asked: Callable[[str], int], now: float, unread: Sequence[str] = ()
    ) -> None:
        """Take the rows of `show neighbor json`; see `Neighbors.on_rows`."""
        before = set(self.neighbors)
        self.neighbors.on_rows(rows, updates_asked, now, unread)
        present = set(self.neighbors)
        for neighbor in present - before:
            copies = tuple(copy for audience, copy in self._hidden if neighbor.address in audience)
            if len(self._told_hidden):
                copies += (tuple(self._told_hidden.copy().shards),)
            if copies:
                self._kept[neighbor] = KeptRoutes(neighbor.address, copies)
        if not self.neighbors.incomplete:
            self._hidden.clear()
            self._told_hidden = PrefixMap()
        self._replays = {neighbor: replay for neighbor, replay in self._replays.items() if neighbor in present}
        self._given_up = {neighbor: refused for neighbor, refused in self._given_up.items() if neighbor in present}
        self._kept = {neighbor: kept for neighbor, kept in self._kept.items() if neighbor in present}

    # -- whose fault a refusal is

    def adopt(self, address: str, now: float) -> bool:
        """Note that commands reach a neighbor; returns whether that is news."""
        is_news = False
        for neighbor in self.neighbors.at(address):
            if neighbor.adopt(now):
                is_news = True
                before = self._kept.pop(neighbor, None)  # it went away and came back during the walk: all of it again
                copies = (before.copies if before is not None else ()) + neighbor.take_copies()
                if copies:
                    self._kept[neighbor] = KeptRoutes(address, copies)
        return is_news

    def refuse(self, address: str, now: float, copy: Callable[[], RibCopy | None]) -> None:
        """Note that not even a harmless command reaches a neighbor: it is due nothing until one does.

        Args:
            address: The neighbor's address.
            now: Process clock.
            copy: Copies what is announced to it, as far as copies are made.
        """
        for neighbor in self.neighbors.at(address):
            walk = self._kept.pop(neighbor, None)
            if walk is not None:
                neighbor.give_back(walk.copies)
            if not neighbor.foreign or neighbor.missed:
                neighbor.keep(copy())
            neighbor.refuse(now)
            self._replays.pop(neighbor, None)

    def doubt_all(self, copy: Callable[[str], RibCopy | None], now: float, *, may_miss: bool) -> None:
        """Have each neighbor prove in a while that commands reach it; see `Neighbor.doubt`."""
        for neighbor in self.neighbors:
            if not neighbor.foreign:
                neighbor.doubt(copy(neighbor.address), now, may_miss=may_miss)

    def take_probes(self, now: float) -> list[str]:
        """Find the neighbors for which a harmless command is to be tried.

        Foreign ones again, those in doubt, and those of which an earlier process's routes are copied (`recall`).
        """
        return [neighbor.address for neighbor in self.neighbors if neighbor.is_probe_due(now)]

    # -- what a neighbor kept while it was foreign

    def hide(self, audience: Audience, copy: RibCopy) -> None:
        """Keep what is announced to these neighbors, for those among them whose address can't be read for now."""
        self._hidden.append((audience, copy))

    def told_all(self, update: Transition, prefixes: Sequence[Prefix]) -> None:
        """Keep what is announced by a line without names, which reaches those whose address can't be read, too."""
        if update.wanted is None or not self.neighbors.incomplete:
            return
        if len(self._told_hidden) + len(prefixes) <= KEPT_ROUTES_MAX:
            for prefix in prefixes:
                self._told_hidden.shards[prefix[-1]].setdefault(prefix, update.wanted)

    def may_keep(self, audience: Audience) -> bool:
        """Tell whether some of these neighbors may keep what is withdrawn, because commands may not reach it."""
        return bool(self._hidden) or any(
            neighbor.proof_due_at is not None or neighbor.copies or neighbor in self._kept
            for neighbor in self.neighbors
            if neighbor.address in audience
        )

    def kept_of(self, prefixes: Sequence[Prefix], audience: Audience) -> Sequence[Prefix]:
        """Find which of these prefixes, that are withdrawn now, some of these neighbors may keep.

        Where it isn't known whether commands reach a neighbor it may be any, also one that was announced since then.
        """
        if not self.may_keep(audience):
            return ()
        copies = [copy for of, copy in self._hidden if of & audience]
        for neighbor in self.neighbors:
            if neighbor.address in audience:
                if neighbor.proof_due_at is not None:
                    return prefixes
                walk = self._kept.get(neighbor)
                copies += neighbor.copies + (walk.copies if walk is not None else ())
        return [prefix for prefix in prefixes if any(prefix in copy[prefix[-1]] for copy in copies)]

    @property
    def copied_routes(self) -> int:
        """Number of routes in all copies; neighbors may share one, and copies may share shards."""
        copies = {id(copy): copy for neighbor in self.neighbors for copy in neighbor.copies}
        copies |= {id(copy): copy for walk in self._kept.values() for copy in walk.copies}
        copies |= {id(copy): copy for _, copy in self._hidden}
        shards = {id(shard): shard for copy in copies.values() for shard in copy}
        return sum(map(len, shards.values()))

    def last_copy(self, address: str, audience: Audience) -> RibCopy | None:
        """Find the last copy of a neighbor's, or else some other neighbor's of these: mostly little is new in it."""
        found = None
        for neighbor in self.neighbors:
            if neighbor.address not in audience or (found is not None and neighbor.address != address):
                continue
            walk = self._kept.get(neighbor)
            copies = neighbor.copies or (walk.copies if walk is not None else ())
            found = copies[-1] if copies else found
        return found

    @property
    def kept_routes(self) -> KeptRoutes | None:
        """Routes that a neighbor kept, to be withdrawn there before anything is announced to it."""
        return next(iter(self._kept.values())) if self._kept else None

    def kept_answered(self, address: str, *, done: bool) -> None:
        """Take the answer to the withdraws of what a neighbor kept; a refusal is theirs and not the neighbor's."""
        for neighbor in self.neighbors.at(address):
            if (kept := self._kept.get(neighbor)) is not None:
                (kept.answered if done else kept.refused)()

    def kept_ended(self, kept: KeptRoutes) -> None:
        """Forget what a neighbor kept, now that all of it is withdrawn; not what it may keep since a later doubt."""
        for neighbor in self.neighbors.at(kept.neighbor):
            if self._kept.get(neighbor) is kept:
                del self._kept[neighbor]

    def replay_refused(self, batch: UpdateBatch) -> Prefix | None:
        """Have each prefix of a refused line of a replay tried alone; returns the prefix that is given up, if any."""
        given_up = None
        for neighbor in self.neighbors.at(batch.replay_to):
            if neighbor in self._replays:
                given_up = self._replays[neighbor].refused(batch) or given_up
            if given_up is not None:
                self._given_up.setdefault(neighbor, {})[given_up] = batch.transition
        return given_up

    def retry(self) -> None:
        """Try again what replays could not tell, because something happened that may help."""
        for neighbor in [one for one in self._given_up if one not in self._replays and not one.foreign]:
            self._replays[neighbor] = Replay.retry(neighbor.address, self._given_up.pop(neighbor))

    # -- what is due

    def replay(self, view: View, views: Views, lines: int) -> Replay | None:
        """Find the replay of a view's routes that is under way or due, if any.

        Args:
            view: The view.
            views: All views.
            lines: The number of the next line: where lines name their neighbors, those before don't name a new one.
        """
        for neighbor in self.neighbors:
            if neighbor.replay and not neighbor.foreign:
                families, of = neighbor.take_replay(), views.of(neighbor.address)
                self._given_up.pop(neighbor, None)
                if of is None:
                    continue  # no list serves it
                if neighbor in self._replays:
                    families |= self._replays.pop(neighbor).families
                after = 0 if of.reconciler.for_everyone else lines
                self._replays[neighbor] = Replay(neighbor.address, families, after=after)
        return next((replay for replay in self._replays.values() if replay.neighbor in view.audience), None)

    def is_replaying(self, neighbor: Neighbor) -> bool:
        """Tell whether a neighbor is yet to be told something from before it came."""
        return bool(neighbor.replay) or neighbor in self._replays

    def replay_ended(self, replay: Replay) -> None:
        """Forget a replay that is at its end."""
        self._replays = {neighbor: other for neighbor, other in self._replays.items() if other is not replay}

    def end_of_rib(self, now: float, views: Views) -> tuple[Neighbor, str] | None:
        """Take the End-of-RIB that is due now, if any; it then counts as sent.

        Args:
            now: Process clock.
            views: All views: End-of-RIB waits for what waits in the neighbor's own.
        """
        for neighbor in self.neighbors:
            if self._may_end_rib(neighbor, views, now):
                family = neighbor.next_end_of_rib()
                if family is not None:
                    return neighbor, family
        return None

    def is_any_due(self, now: float, views: Views) -> bool:
        """Tell whether a flush or End-of-RIB is due that only waits for the lines in flight."""
        return any(
            self._may_flush(neighbor, views, now) or self._may_end_rib(neighbor, views, now)
            for neighbor in self.neighbors
        )

    def _may_end_rib(self, neighbor: Neighbor, views: Views, now: float) -> bool:
        since, view = neighbor.eor_due_since, views.of(neighbor.address)
        if not self.restored or since is None or not neighbor.accepts_end_of_rib or self.is_replaying(neighbor):
            return False
        if view is None or view.reconciler.handed_over:
            return True
        return not view.reconciler.bulk and now - since >= END_OF_RIB_WAIT_S

    def flush_all(self, audience: Audience) -> None:
        """Have the whole table of each of these neighbors sent again."""
        for neighbor in self.neighbors:
            if neighbor.address in audience:
                neighbor.want_flush()

    def flush(self, now: float, views: Views) -> Neighbor | None:
        """Take the neighbor whose table has to be sent again now, if any; it then counts as flushed."""
        for neighbor in self.neighbors:
            if self._may_flush(neighbor, views, now):
                neighbor.flush_asked(now)
                return neighbor
        return None

    def _may_flush(self, neighbor: Neighbor, views: Views, now: float) -> bool:
        """Tell whether a flush may be asked for now.

        Not before a replay, whose order it is to repair; nor, where there are several views and so no other rest, amid
        the routes of the neighbor's own.
        """
        if not neighbor.can_flush(now) or self.is_replaying(neighbor):
            return False
        view = views.of(neighbor.address) if len(views) > 1 else None
        return view is None or not (view.reconciler.has_live or view.reconciler.bulk)

    # -- attribute changes

    def is_calm(self, view: View, now: float, *, waiting: bool) -> bool:
        """Tell whether prefixes of a view may change their attributes: none of its neighbors drains, or for too long.

        The view notes since when any prefix has waited for that (`View.draining_since`).

        Args:
            view: The view.
            now: Process clock.
            waiting: Whether any prefix waits for that.
        """
        if not self.neighbors.draining_among(view.audience):
            view.draining_since = None
            return True
        if not waiting:
            view.draining_since = None
        elif view.draining_since is None:
            view.draining_since = now
        return view.draining_since is not None and now - view.draining_since >= DRAIN_WAIT_MAX_S

    def begin_change(self, update: Transition, audience: Audience) -> tuple[Neighbor, ...]:
        """Begin an attribute change: find who must first be told to withdraw the old attributes.

        These are the neighbors that are down, and those that get the prefix no more. Neighbors that are draining
        although the change can't wait any longer are marked for a flush.
        """
        old = update.announced.neighbors if update.announced is not None else ()
        new = update.attributes.neighbors
        targets = []
        for neighbor in self.neighbors:
            if neighbor.foreign or neighbor.address not in audience or (old and neighbor.address not in old):
                continue
            if not neighbor.up or (new and neighbor.address not in new):
                targets.append(neighbor)
            elif neighbor.draining:
                neighbor.want_flush()
        self._withdrawing = tuple(targets)
        return self._withdrawing

    def begin_cleaning(self, audience: Audience) -> tuple[Neighbor, ...]:
        """Find who is down, and may have previous attributes pending that have to be withdrawn there."""
        self._withdrawing = tuple(
            neighbor
            for neighbor in self.neighbors
            if not neighbor.up and not neighbor.foreign and neighbor.address in audience
        )
        return self._withdrawing

    def end_change(self) -> None:
        """Note that the attribute change is answered."""
        self._withdrawing = ()
