"""Tasks that neighbors are due beside routes: replay, End-of-RIB, flush, and the withdraws around an attribute change.

When attributes may change, from how ExaBGP 5 keeps what is pending (measured against real routers):

- While an established neighbor is draining (see `neighbors`) attribute changes wait. After `DRAIN_WAIT_MAX_S` they are
  forced, and a flush repairs what that may have spoiled.
- For a neighbor that is down everything since then is pending together. When it comes up the withdraws among that are
  left out. So before an announced prefix gets other attributes it is withdrawn, with the old ones, from just those
  that are down. If one comes up meanwhile (its `up` is read before the answer), it gets a flush.

What a neighbor kept while commands didn't reach it (`kept_routes`) is withdrawn before its replay, and a flush comes
behind that.
"""

from collections.abc import Callable, Sequence

from dnstap_bgp.core.exabgp.adj_rib_out import Replay
from dnstap_bgp.core.exabgp.grammar import NeighborRow, StateEvent
from dnstap_bgp.core.exabgp.kept_routes import KeptRoutes, RibCopy
from dnstap_bgp.core.exabgp.neighbors import Neighbor, Neighbors
from dnstap_bgp.core.exabgp.update_queue import Transition, UpdateBatch
from dnstap_bgp.core.exabgp.views import View, Views
from dnstap_bgp.core.model import Audience, Prefix

DRAIN_WAIT_MAX_S = 60.0
"""An attribute change waits at most so long for a draining neighbor: 100,000 IPv6 routes take 20 s."""
END_OF_RIB_WAIT_S = 30.0
"""After so long End-of-RIB doesn't wait for a pause in what is live any more, only for the restore."""


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
        self._hidden: list[tuple[Audience, RibCopy]] = []  # what neighbors may have whose address can't be read
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
        self, rows: Sequence[NeighborRow], units: Callable[[str], int], now: float, unread: Sequence[str] = ()
    ) -> None:
        """Take the rows of `show neighbor json`; see `Neighbors.on_rows`."""
        before = set(self.neighbors)
        self.neighbors.on_rows(rows, units, now, unread)
        present = set(self.neighbors)
        for neighbor in present - before:
            copies = tuple(copy for audience, copy in self._hidden if neighbor.address in audience)
            if copies:
                self._kept[neighbor] = KeptRoutes(neighbor.address, copies)
        if not self.neighbors.incomplete:
            self._hidden.clear()
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
            if not neighbor.foreign:
                neighbor.keep(copy())
            neighbor.refuse(now)
            self._replays.pop(neighbor, None)

    def doubt_all(self, copy: Callable[[str], RibCopy | None], now: float, *, may_miss: bool) -> None:
        """Have each neighbor prove in a while that commands reach it; see `Neighbor.doubt`."""
        for neighbor in self.neighbors:
            if not neighbor.foreign:
                neighbor.doubt(copy(neighbor.address), now, may_miss=may_miss)

    def take_probes(self, now: float) -> list[str]:
        """Find the neighbors for which a harmless command is to be tried: foreign ones again, and those in doubt."""
        return [
            neighbor.address
            for neighbor in self.neighbors
            if (neighbor.foreign and now >= neighbor.probe_at)
            or (neighbor.proof_due_at is not None and now >= neighbor.proof_due_at)
        ]

    # -- what a neighbor kept while it was foreign

    def hide(self, audience: Audience, copy: RibCopy) -> None:
        """Keep what is announced to these neighbors, for those among them whose address can't be read for now."""
        self._hidden.append((audience, copy))

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
