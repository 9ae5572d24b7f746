"""What the neighbors are due beside routes: replays, End-of-RIB, flushes, and care when attributes change.

Strategy, from how ExaBGP 5 keeps what is pending for a neighbor (facts measured against real routers):

- To an established neighbor it sends one generation of pending buckets after the other. While a generation is under
  way (after `up`, after a flush) nothing is settled for that neighbor, however many lines are answered: it is
  *draining*, and changes of attributes wait until its count of UPDATEs stands still. After `HOLD_MAX_S` they are
  forced, and a flush repairs what that may have spoiled.
- For a neighbor that is down everything since then is pending together. When it comes up the withdraws among that are
  left out. So before an announced prefix gets other attributes it is withdrawn, with the old ones, from just those
  that are down. If one comes up meanwhile (its `up` is read before the answer), it gets a flush.
"""

from collections.abc import Sequence

from dnstap_bgp.core.exabgp.batch import Replay
from dnstap_bgp.core.exabgp.grammar import FAMILIES, FamiliesEvent, NeighborRow, StateEvent
from dnstap_bgp.core.exabgp.lanes import Step
from dnstap_bgp.core.exabgp.neighbors import Neighbor, Neighbors

HOLD_MAX_S = 60.0
"""A change of attributes waits at most so long for a draining neighbor: 100,000 IPv6 routes take 20 s."""
FLUSH_EVERY_S = 60.0
"""A flush resends a neighbor's whole table: not more often."""
EOR_WAIT_S = 30.0
"""After so long End-of-RIB doesn't wait for a pause in what is live any more, only for the restore."""


class Duties:
    """Keeps what each neighbor is due; the conversation says it.

    Attributes:
        neighbors: All that are known.
        restored: Whether all that is live was put and the outbox is resynced: the earliest time for End-of-RIB.
    """

    def __init__(self) -> None:
        self.neighbors = Neighbors()
        self.restored = False
        self._replays: dict[Neighbor, Replay] = {}
        self._changing: tuple[Neighbor, ...] = ()
        self._held_since: float | None = None

    # -- what ExaBGP tells

    def on_state(self, event: StateEvent, now: float) -> bool:
        """Take a change of state; says whether ExaBGP should be asked for its neighbors."""
        ask = self.neighbors.on_state(event, now)
        if event.state == "up":
            for neighbor in self._changing:
                neighbor.flush_due |= neighbor.address == event.address
            for neighbor in self.neighbors.at(event.address):
                if neighbor.foreign:  # events reach us: it is ours now
                    neighbor.foreign = False
                    neighbor.replay_all()
        return ask

    def on_families(self, event: FamiliesEvent, now: float) -> None:
        """Take what an OPEN negotiated."""
        self.neighbors.on_families(event, now)

    def on_signal(self) -> None:
        """Take that ExaBGP may read its configuration again."""
        self.neighbors.on_signal()

    def on_rows(self, rows: Sequence[NeighborRow], units: int, now: float) -> None:
        """Take all neighbors as they are; see `Neighbors.on_rows`."""
        self.neighbors.on_rows(rows, units, now)
        present = set(self.neighbors)
        self._replays = {neighbor: replay for neighbor, replay in self._replays.items() if neighbor in present}

    @property
    def reachable(self) -> frozenset[str]:
        """The addresses of all neighbors that commands reach."""
        return frozenset(neighbor.address for neighbor in self.neighbors if not neighbor.foreign)

    # -- what is due

    def replay(self) -> Replay | None:
        """The replay that is under way or due, if any."""
        for neighbor in self.neighbors:
            if neighbor.replay and not neighbor.foreign:
                families = neighbor.replay
                if neighbor in self._replays:
                    families |= self._replays.pop(neighbor).families
                self._replays[neighbor] = Replay(neighbor.address, families)
                neighbor.replay = frozenset()
        return next(iter(self._replays.values()), None)

    def replaying(self, neighbor: Neighbor) -> bool:
        """Whether a neighbor is yet to be told something from before it came."""
        return bool(neighbor.replay) or neighbor in self._replays

    def replayed(self, replay: Replay) -> None:
        """It is at its end, or ExaBGP refuses it."""
        self._replays = {neighbor: other for neighbor, other in self._replays.items() if other is not replay}

    def end_of_rib(self, now: float, *, handed_over: bool, bulk: int) -> tuple[Neighbor, str] | None:
        """The End-of-RIB that is due now, if any; it then counts as said.

        Args:
            now: Process clock.
            handed_over: Whether nothing waits in the outbox at this moment.
            bulk: How many bulk prefixes wait.
        """
        if not self.restored:
            return None
        for neighbor in self.neighbors:
            since = neighbor.eor_due_since
            if since is None or not neighbor.up or neighbor.negotiated is None or neighbor.foreign:
                continue
            if self.replaying(neighbor):
                continue
            if not handed_over and (bulk or now - since < EOR_WAIT_S):
                continue
            for family in FAMILIES:
                if family in neighbor.negotiated and family not in neighbor.eor_said:
                    neighbor.eor_said |= {family}
                    return neighbor, family
            neighbor.eor_due_since = None
        return None

    def flush(self, now: float) -> Neighbor | None:
        """The neighbor whose table has to be sent again now, if any; it then counts as flushed."""
        for neighbor in self.neighbors:
            if not neighbor.flush_due or not neighbor.up or neighbor.draining or neighbor.foreign:
                continue
            if neighbor.flushed_at is None or now - neighbor.flushed_at >= FLUSH_EVERY_S:
                neighbor.flush_due = False
                neighbor.flushed_at = now
                return neighbor
        return None

    # -- changes of attributes

    def calm(self, now: float, *, waiting: bool) -> bool:
        """Whether prefixes may change their attributes: no neighbor is draining, or that took too long.

        Args:
            now: Process clock.
            waiting: Whether any prefix waits for that.
        """
        if not self.draining:
            self._held_since = None
            return True
        if not waiting:
            self._held_since = None
        elif self._held_since is None:
            self._held_since = now
        return self.forced(now)

    def forced(self, now: float) -> bool:
        """Whether changes of attributes have waited long enough for draining neighbors."""
        return self._held_since is not None and now - self._held_since >= HOLD_MAX_S

    @property
    def draining(self) -> bool:
        """Whether ExaBGP may still be sending somebody what piled up."""
        return any(neighbor.draining and not neighbor.foreign for neighbor in self.neighbors)

    def change(self, step: Step) -> tuple[Neighbor, ...]:
        """A prefix is about to change its attributes: who must first be told to withdraw the old ones.

        These are the neighbors that are down, and those that get it no more. Neighbors that are draining although
        the change can't wait any longer are marked for a flush.
        """
        old = step.told.neighbors if step.told is not None else ()
        new = step.attributes.neighbors
        targets = []
        for neighbor in self.neighbors:
            if neighbor.foreign or (old and neighbor.address not in old):
                continue
            if not neighbor.up or (new and neighbor.address not in new):
                targets.append(neighbor)
            else:
                neighbor.flush_due |= neighbor.draining
        self._changing = tuple(targets)
        return self._changing

    def clean(self) -> tuple[Neighbor, ...]:
        """Who is down, and may have former attributes pending that have to be withdrawn there."""
        self._changing = tuple(neighbor for neighbor in self.neighbors if not neighbor.up and not neighbor.foreign)
        return self._changing

    def changed(self) -> None:
        """The change is answered."""
        self._changing = ()
