"""Views: neighbors for which the same lists speak, each view with a reconciler of its own.

What is wanted, and so what was announced, is decided for each neighbor. Neighbors that are served by the same lists
form a view; the neighbors that no list names are the view "everyone except {...}". Views share no neighbor, and
ExaBGP's order of pending updates is a matter of one neighbor alone, so nothing that a view does can spoil another.
Without `peers` in any list there is one view, everyone, and its lines name no neighbor.

    audience    neighbors of the view: its lines reach these and no other
    policy      which of the policies' views says what is wanted here; None: nothing is
    reconciler  wanted routes against the view's own Adj-RIB-Out
    budget      which of the wanted routes are announced, where the neighbor has room for some only; see `budget`

A neighbor with a budget is a view of its own, so nothing that its budget does concerns anybody else.

After a reload the neighbors are divided anew. What was announced to a neighbor doesn't change by that, so a view is
split where its neighbors go different ways, each part with a copy of the state, commands in flight included; from then
on the parts want different routes, and get there as always: withdrawn with what was announced, changed once settled.
Parts of one view that have come to hold the same are joined again. Records that say which neighbors
they are about, read back, divide the views in the same way.

Records, for each view and time (the file is of version 2 only while it has some of the last form):

    everyone                          prefix -> attributes
    some neighbors, the only view     prefix -> attributes with these neighbors, as 0.1.0 writes it
    the only view that has neighbors  as the only view, with the neighbors of all: the others have none to mind that
    some of several                   (prefix, neighbors) -> attributes

While a state file is read what is wanted is not known of every prefix; see `RestorePhase`.

Neither a split nor a join needs a record: each is about the neighbors that it names or did, and the last one counts.
"""

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias

from dnstap_bgp.core.exabgp.acknowledgments import Acknowledgments
from dnstap_bgp.core.exabgp.budget import Budget, BudgetFigures
from dnstap_bgp.core.exabgp.in_flight import PreparedLine, SettlingBatches
from dnstap_bgp.core.exabgp.reconciler import Backlog, Reconciler
from dnstap_bgp.core.exabgp.update_queue import UpdateBatch
from dnstap_bgp.core.model import (
    EVERYONE,
    UNKNOWN_ATTRIBUTES,
    Attributes,
    Audience,
    Change,
    PerView,
    Prefix,
    RibRecord,
    ViewPrefix,
    is_of_views,
)
from dnstap_bgp.core.timing import Backoff

PAUSE_MIN_S = 1.0
PAUSE_MAX_S = 30.0
"""How long to wait after a refusal while ExaBGP refuses everything."""


class RestorePhase(enum.Enum):
    """Phase of a restore: what may be decided while the state file is read.

    RECALL    what an earlier process announced is read: nothing is put at all
    ADOPT     all of that is known, and claims are coming back: what is announced stays as it is, whatever is put,
              for the claim that wants it so may not be back yet; what is announced is said again where it is wanted
              so, or seen, and anything new is announced; a neighbor with a budget is told nothing
    WHOLE     the table is whole
    """

    RECALL = "recall"
    ADOPT = "adopt"
    WHOLE = "whole"


_Entry: TypeAlias = tuple[Prefix, Attributes | None]
"""A prefix as some neighbors have it; None: they have it no more."""


class View:
    """Some neighbors, what is announced to them, and how far ExaBGP is with it.

    Attributes:
        policy: Number of the policies' view that says what is wanted; None: nothing is.
        reconciler: Wanted routes against the Adj-RIB-Out.
        budget: Which of the wanted routes are announced; None: all of them.
        settling: Answered batches on the way to being settled.
        prepared: The line that is recorded ahead.
        updates_asked: The most UPDATEs for one neighbor that were asked for since its last row.
        pause_s: How long to wait after a refusal while ExaBGP refuses everything of this view; 0: it doesn't.
        pause: Makes the next pause.
        pause_until: The end of that, process clock.
        draining_since: Since when an attribute change waits for draining neighbors, process clock; None: none does.
    """

    def __init__(self, audience: Audience, policy: int | None, reconciler: Reconciler) -> None:
        self.reconciler = reconciler
        self.budget: Budget | None = None
        self.audience = audience
        self.policy = policy
        self.settling = SettlingBatches()
        self.prepared = PreparedLine(reconciler)
        self.updates_asked = 0
        self.pause_s, self.pause = 0.0, Backoff(PAUSE_MIN_S, PAUSE_MAX_S)
        self.pause_until = 0.0
        self.draining_since: float | None = None

    @property
    def backlog(self) -> Backlog:
        """Numbers of what waits; in "everyone except" nobody may be left, which is no fault of a route."""
        backlog = self.reconciler.backlog
        return backlog._replace(refused=0) if self.is_deserted else backlog

    @property
    def is_deserted(self) -> bool:
        """Nobody is left in "everyone except": ExaBGP has no other neighbor than those."""
        return self.audience.is_except and bool(self.audience.names) and not self.reconciler.is_reachable

    @property
    def audience(self) -> Audience:
        """Neighbors of the view."""
        return self._audience

    @audience.setter
    def audience(self, audience: Audience) -> None:
        self._audience = audience
        self.reconciler.for_everyone = audience == EVERYONE

    def own(self, wanted: Attributes | None) -> Attributes | None:
        """Pick what is wanted for these neighbors."""
        if wanted is None or self.policy is None:
            return None
        if isinstance(wanted, PerView):
            return wanted.by_view[self.policy]
        return _bare(wanted) if wanted.neighbors else wanted

    def keep_to(self, limit: int | None, last_seen: Callable[[Prefix], float]) -> None:
        """Announce at most so many prefixes from now on; None: all.

        Args:
            limit: The limit; `Budget.adjust` is to follow where it is another one.
            last_seen: See `Budget`.
        """
        self.reconciler.announced_max = limit
        if limit is None:
            self.budget = None
        elif self.budget is None:
            self.budget = Budget(limit, last_seen, self.reconciler.adj_rib_out.__contains__)
        else:
            self.budget.limit = limit

    def put(self, changes: Sequence[Change], *, bulk: bool, is_restoring: bool = False) -> None:
        """State what is wanted; see `Views.put`.

        Args:
            changes: See there.
            bulk: See there.
            is_restoring: Leave out what only a whole table can tell: other attributes of what is announced, or none;
                and which prefixes a budget has room for.
        """
        if not self.reconciler.for_everyone:
            changes = [Change(prefix, self.own(wanted)) for prefix, wanted in changes]
            if self.budget is not None:
                changes = self.budget.decide(changes, bulk=bulk) if not is_restoring else []
        if is_restoring:
            announced = self.reconciler.adj_rib_out.get
            decided = [change for change in changes if announced(change.prefix) in (None, change.attributes)]
            changes = decided if bulk else decided + self._repeated(changes)
        self.reconciler.put(changes, bulk=bulk)

    def _repeated(self, changes: Sequence[Change]) -> list[Change]:
        """Have prefixes that somebody may wait for said again as they were recalled, until other attributes may be."""
        rib = self.reconciler.adj_rib_out
        found = [(prefix, rib.get(prefix)) for prefix, wanted in changes if wanted is not None and rib.is_stale(prefix)]
        return [Change(prefix, told) for prefix, told in found if told and told not in UNKNOWN_ATTRIBUTES]

    def end_restore(self) -> None:
        """Have the budget decide as always: all that is claimed was put."""
        if self.budget is not None:
            self.budget.is_restoring = False

    def leaves_out(self, prefix: Prefix) -> bool:
        """Tell whether a prefix is wanted and has no room in the budget."""
        return self.budget is not None and prefix in self.budget.left_out

    def has_decided(self, prefix: Prefix) -> bool:
        """Tell whether the budget has given a prefix a place, or left it out."""
        return self.budget is not None and (prefix in self.budget or prefix in self.budget.left_out)

    def progress(self, prefix: Prefix) -> str:
        """Tell how far a prefix is; see `Reconciler.progress`. `left-out`: there is no room in the budget."""
        return "left-out" if self.leaves_out(prefix) else self.reconciler.progress(prefix)

    def pause_after_refusal(self, now: float) -> None:
        """Write nothing for a while, longer each time: ExaBGP takes nothing at all for these neighbors."""
        self.pause_s = self.pause.next()
        self.pause_until = now + self.pause_s

    def end_pause(self) -> None:
        """Go on: ExaBGP has taken a line for these neighbors."""
        if self.pause_s:
            self.pause_s = self.pause_until = 0.0
            self.pause.reset()

    def fork(self, audience: Audience) -> "View":
        """Copy the view for some of its neighbors; the lines in flight are both parts'."""
        part = View(audience, self.policy, self.reconciler.fork())
        part.settling = self.settling.fork()
        part.updates_asked = self.updates_asked
        part.pause_s, part.pause, part.pause_until = self.pause_s, copy(self.pause), self.pause_until
        part.draining_since = self.draining_since
        return part


class Views:
    """All views; each neighbor is in one at most.

    Attributes:
        paused: Whether nothing is to be written for now (`dry_run`): wishes wait.
        acknowledgments: Answers that somebody waits for.
        budgeted: The views that have a budget.
        last_seen: Gives the process clock's time at which a prefix was last seen; see `Budget`.
        phase: How far the restore of the route table is; see `RestorePhase`.
    """

    def __init__(self, make: Callable[[], Reconciler] = Reconciler) -> None:
        """Start with everyone in one view.

        Args:
            make: Makes a reconciler; tests have one that is watched.
        """
        self.paused = False
        self.acknowledgments = Acknowledgments()
        self.budgeted: tuple[View, ...] = ()
        self.last_seen: Callable[[Prefix], float] = _never
        self.phase = RestorePhase.WHOLE
        self._unwanted: set[Prefix] = set()  # put as not wanted before the table was whole, and known to some view
        self._make = make
        self._views = [View(EVERYONE, 0, make())]
        self._audiences: Sequence[Audience] = (EVERYONE,)  # of the policies' views
        self._corrections: list[tuple[Audience, _Entry]] = []
        self._reach: tuple[frozenset[str] | None, frozenset[str]] = None, frozenset()  # as `reach` was told last

    def __iter__(self) -> Iterator[View]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def of(self, address: str) -> View | None:
        """Find the view of a neighbor; None: no list serves it, and nothing is announced to it."""
        return next((view for view in self._views if address in view.audience), None)

    @property
    def sole(self) -> Reconciler:
        """Reconciler of the first view: where there is one, that of all neighbors; for tests."""
        return self._views[0].reconciler

    @property
    def count(self) -> Counter[str]:
        """Numbers of announced prefixes, by family; a prefix of several views counts once for each."""
        return sum((view.reconciler.adj_rib_out.count for view in self._views), Counter())

    def count_of(self, address: str) -> Counter[str]:
        """Count the prefixes that are announced to one neighbor, by family."""
        view = self.of(address)
        return view.reconciler.adj_rib_out.count if view is not None else Counter()

    @property
    def is_one(self) -> bool:
        """All neighbors that get anything get the same: the state file is of version 1."""
        return self._only_audience is not None

    @property
    def _only_audience(self) -> Audience | None:
        """Neighbors of the only view, or of the only one that has any; None: there are more."""
        if len(self._views) == 1:
            return self._views[0].audience
        occupied = [view for view in self._views if not view.reconciler.is_vacant]
        return occupied[0].audience if len(occupied) == 1 else None if occupied else self._views[0].audience

    @property
    def backlog(self) -> Backlog:
        """Numbers of what waits, of all views."""
        return Backlog(*map(sum, zip(*(view.backlog for view in self._views), strict=True)))

    @property
    def changes(self) -> int:
        """Number of wishes that were put in."""
        return sum(view.reconciler.changes for view in self._views)

    def announced(self, prefix: Prefix, policy: int | None = None) -> Attributes | None:
        """Find the attributes that a prefix was announced with, in the first view that has it.

        Args:
            prefix: The prefix.
            policy: Only in this one of the policies' views; None: in all.
        """
        found = (view.reconciler.adj_rib_out.get(prefix) for view in self._of_policy(policy))
        attributes = next(filter(None, found), None)
        names = self._views[0].audience.names
        is_only = len(self._views) == 1 and bool(names)
        return _named(attributes, names) if attributes is not None and is_only else attributes

    def progress(self, prefix: Prefix, policy: int | None = None) -> str:
        """Tell how far a prefix is, in the view that is the least far; see `View.progress`.

        Args:
            prefix: The prefix.
            policy: Only in this one of the policies' views; None: in all.
        """
        return self._first_stage(("unanswered", "waiting", "refused", "announced", "left-out"), prefix, policy)

    def awaited_stage(self, prefix: Prefix) -> str:
        """Tell the stage that a held answer cares for: a view that has announced it counts before one that refused."""
        return self._first_stage(("unanswered", "waiting", "announced", "refused", "left-out"), prefix)

    def _first_stage(self, stages: Sequence[str], prefix: Prefix, policy: int | None = None) -> str:
        views = self._of_policy(policy)
        counted = [view for view in views if not (view.is_deserted or self.is_withheld(view))]
        found = {view.progress(prefix) for view in (views if len(views) == 1 else counted)}
        return next((stage for stage in stages if stage in found), "none")

    def is_withheld(self, view: View) -> bool:
        """Tell whether a view is told nothing for now: which prefixes its budget has room for isn't known yet."""
        return view.budget is not None and self.phase is not RestorePhase.WHOLE

    def _of_policy(self, policy: int | None) -> list[View]:
        return [view for view in self._views if policy in (None, view.policy)]

    def owners(self, batch: UpdateBatch) -> list[View]:
        """Find the views of which a batch is in flight: one, or the parts of one that was split since."""
        return [view for view in self._views if view.reconciler.has_in_flight(batch)]

    def reach(self, neighbors: frozenset[str] | None, *, again: bool, kept: frozenset[str] = frozenset()) -> None:
        """Learn the addresses of all neighbors; see `Reconciler.reach`."""
        self._reach = (neighbors, kept)
        for view in self._views:
            there = None if neighbors is None else frozenset(one for one in neighbors if one in view.audience)
            view.reconciler.reach(there, kept=frozenset(one for one in kept if one in view.audience), again=again)

    def yield_turn(self, view: View) -> None:
        """Have the other views go first with the next line."""
        if len(self._views) > 1:
            self._views.remove(view)
            self._views.append(view)

    # -- what is wanted

    def put(self, changes: Sequence[Change], *, bulk: bool = False, is_final: bool = False) -> None:
        """State what is wanted of prefixes from now on; see `Reconciler.put`.

        Args:
            changes: With plain attributes, or with those for each of the policies' views.
            bulk: Nobody waits for it (a restore, a reload): goes after what is live.
            is_final: No claim that isn't back yet could change it.
        """
        if self.phase is RestorePhase.RECALL:
            return
        is_restoring = self.phase is RestorePhase.ADOPT and not is_final
        if is_restoring:
            self._unwanted.update(prefix for prefix, wanted in changes if not wanted and self._is_known(prefix))
        for view in self._views:
            view.put(changes, bulk=bulk, is_restoring=is_restoring)
        self._note_given_way()

    def end_restore(self) -> list[Prefix]:
        """Decide as always from now on: the table is whole.

        Returns:
            Prefixes of which it is to be put again what is wanted: they may be no part of the table any more.
        """
        unwanted, self._unwanted = list(self._unwanted), set()
        self.phase = RestorePhase.WHOLE
        return unwanted

    def seen(self, prefixes: Iterable[Prefix]) -> bool:
        """Have prefixes that budgets leave out try again: they were seen; where there are `budgeted` views.

        Returns:
            Whether the reconcilers have something new.
        """
        changed = False
        for prefix in prefixes:
            for view in self.budgeted:
                if view.leaves_out(prefix):
                    changes = view.budget.seen(prefix) if view.budget is not None else []
                    view.reconciler.put(changes)
                    changed = changed or bool(changes)
        self._note_given_way()
        return changed

    @property
    def budgets(self) -> list[BudgetFigures]:
        """Figures of each neighbor's budget."""
        return [
            BudgetFigures(view.audience.names[0], budget.limit, len(budget), len(budget.left_out), budget.displaced)
            for view in self.budgeted
            if (budget := view.budget) is not None
        ]

    def budget_where_left_out(self, prefix: Prefix, policy: int) -> int | None:
        """Give the limit of the budget that has no room for a prefix, in one of the policies' views; None: it has."""
        found = (view.budget.limit for view in self._of_policy(policy) if view.budget and view.leaves_out(prefix))
        return next(found, None)

    def adjust(self, at_most: int) -> bool:
        """Have the budgets keep to other limits than before, in steps.

        Args:
            at_most: Prefixes to look at or decide about, over all budgets; see `Budget.adjust`.

        Returns:
            Whether there is more.
        """
        more = False
        for view in self.budgeted:
            if view.budget is not None:
                changes, has_more = view.budget.adjust(max(1, at_most // len(self.budgeted)))
                view.reconciler.put(changes, bulk=True)
                more = more or has_more
        self._note_given_way()
        return more

    def recall(self, records: Iterable[RibRecord]) -> None:
        """Enter what an earlier process announced and withdrew, in the order of its records; before any `put`.

        A record that names its neighbors divides the views. One of version 1 is about all neighbors, or about those
        that its attributes name.
        """
        views: dict[tuple[Audience, bool], list[View]] = {}  # as found before, until they are divided again
        for audience, announced, withdrawn in _runs(list(records)):
            is_withdrawn = bool(withdrawn)
            if (audience, is_withdrawn) not in views:
                before = len(self._views)
                if not is_withdrawn:
                    self._cover(audience)
                self._divide([audience])
                if len(self._views) != before:
                    views.clear()
                views[audience, is_withdrawn] = [view for view in self._views if not view.audience - audience]
            for view in views[audience, is_withdrawn]:
                view.reconciler.recall(announced, withdrawn)

    def resync(self, shard: int) -> None:
        """Withdraw what was recalled and is not wanted; see `Reconciler.resync`."""
        for view in self._views:
            view.reconciler.resync(shard)

    def configure(self, audiences: Sequence[Audience], budgets: Mapping[str, int] | None = None) -> None:
        """Divide the neighbors anew; what is wanted of any prefix is to be put after that, also that it is not wanted.

        Args:
            audiences: Of the policies' views, which share no neighbor.
            budgets: Neighbors of which each is one of the audiences -> the most prefixes to announce there.
        """
        self._audiences = audiences
        self._divide(audiences)
        for view in self._views:
            view.policy = next(
                (number for number, audience in enumerate(audiences) if not view.audience - audience), None
            )
        covered = self._covered()
        for number, audience in enumerate(audiences):
            rest = audience - covered
            if rest:
                self._views.append(View(rest, number, self._make()))
        for view in self._views:
            limit = (budgets or {}).get(view.audience.names[0]) if _is_lone(view.audience) else None
            view.keep_to(limit, self.last_seen)
        self.join()
        self.budgeted = tuple(view for view in self._views if view.budget is not None)
        neighbors, kept = self._reach
        self.reach(neighbors, kept=kept, again=False)  # each view has other neighbors now

    def join(self) -> None:
        """Join views of one policy that hold the same; drop those that no list serves, once they are empty."""
        kept: list[View] = []
        for view in self._views:
            twin = next((one for one in kept if one.policy == view.policy and _hold_the_same(one, view)), None)
            if twin is not None:
                self._close(view)
                self._close(twin)  # a line that it has prepared is about its neighbors of before
                twin.updates_asked = max(twin.updates_asked, view.updates_asked)
                twin.audience |= view.audience
            elif view.policy is None and view.reconciler.is_empty and len(self._views) > 1:
                self._close(view)
            else:
                kept.append(view)
        self._views = kept or self._views[:1]
        for view in self._views:
            if view.policy is not None and view.audience == self._audiences[view.policy]:
                view.audience = self._audiences[view.policy]  # in the order of the file, as 0.1.0 records it

    def records(self, entries: Iterable[_Entry], audience: Audience) -> list[RibRecord]:
        """Make the records of what some neighbors have; see this module.

        Args:
            entries: Prefixes, with what they have of them.
            audience: These neighbors.
        """
        if audience != EVERYONE and audience == self._only_audience:
            # Views without a neighbor have nothing, and are counted in: a withdraw too many is harmless.
            audience = self._covered()
            if not audience.is_except:
                names = audience.names
                return [(prefix, attributes and _named(attributes, names)) for prefix, attributes in entries]
        if audience == EVERYONE:
            return list(entries)
        return [(ViewPrefix(prefix, audience), attributes) for prefix, attributes in entries]

    def take_corrections(self) -> list[RibRecord]:
        """Take what the state file must learn now."""
        corrections, self._corrections = self._corrections, []
        records: list[RibRecord] = []
        for audience, of_audience in groupby(corrections, itemgetter(0)):
            records += self.records((entry for _, entry in of_audience), audience)
        for view in self._views:
            found = view.reconciler.take_corrections()
            if found:
                records += self.records(found, view.audience)
        return records

    def walk(self, shard: int) -> list[RibRecord]:
        """Copy what is announced of one shard, as records; see `Reconciler.walk`."""
        found: list[RibRecord] = []
        for view in self._views:
            found += self.records(view.reconciler.walk(shard), view.audience)
        return found

    # -- inside

    def _is_known(self, prefix: Prefix) -> bool:
        """Tell whether a prefix is announced, or was put to a budget before all else was."""
        return bool(self.announced(prefix)) or any(view.has_decided(prefix) for view in self.budgeted)

    def _note_given_way(self) -> None:
        """Have nobody wait for what gave way in a budget, once all views know of it."""
        for view in self.budgeted:
            if view.budget is not None and view.budget.given_way:
                self.acknowledgments.note_given_way(view.budget.given_way, self.awaited_stage)
                view.budget.given_way.clear()

    def _covered(self) -> Audience:
        covered = Audience()
        for view in self._views:
            covered |= view.audience
        return covered

    def _cover(self, audience: Audience) -> None:
        """Have a view for all of these neighbors, one in which nothing is wanted where no list serves them."""
        rest = audience - self._covered()
        if rest:
            self._views.append(View(rest, None, self._make()))

    def _divide(self, audiences: Sequence[Audience]) -> None:
        """Split the views that reach across the borders of these audiences."""
        views: list[View] = []
        for view in self._views:
            pieces = [view.audience]
            for audience in audiences:
                pieces = [part for piece in pieces for part in (piece & audience, piece - audience) if part]
            if len(pieces) == 1:
                views.append(view)
                continue
            self._close(view)  # before the split: what was recorded ahead is corrected for all parts
            views += [view.fork(piece) for piece in pieces[1:]]
            view.audience = pieces[0]
            views.append(view)
        self._views = views

    def _close(self, view: View) -> None:
        """Take what the state file must learn of a view under its present audience."""
        view.prepared.prepare(None)
        for prefix, attributes in view.reconciler.take_corrections():
            self._corrections.append((view.audience, (prefix, attributes)))


def _never(prefix: Prefix) -> float:
    """Stand for `Views.last_seen` where there is no route table."""
    del prefix
    return float("-inf")


def _is_lone(audience: Audience) -> bool:
    return not audience.is_except and len(audience.names) == 1


def _hold_the_same(one: View, other: View) -> bool:
    first, second = one.reconciler, other.reconciler
    return (
        first.adj_rib_out.count == second.adj_rib_out.count
        and first.is_idle
        and second.is_idle
        and all(map(dict.__eq__, first.adj_rib_out.shards, second.adj_rib_out.shards))  # quick: the values are shared
    )


def _runs(records: list[RibRecord]) -> Iterator[tuple[Audience, list[tuple[Prefix, Attributes]], list[Prefix]]]:
    """Cut records into runs about the same neighbors: what was announced to them, or else what was withdrawn."""
    sets = {id(attributes): attributes for _, attributes in records}
    if None not in sets.values() and not is_of_views(key for key, _ in records):
        # Nearly always these are all about the same neighbors: a look at each set is a second less for 1,000,000.
        bare: dict[int, Attributes] = {}
        audiences = set()
        for number, attributes in sets.items():
            audience, (_, found_bare) = _of_audience((b"", attributes))
            audiences.add(audience)
            if found_bare is not None:
                bare[number] = found_bare
        if len(audiences) == 1:
            yield audience, [(key, bare[id(found)]) for key, found in records if isinstance(key, bytes)], []
            return
    for audience, entries in groupby(map(_of_audience, records), itemgetter(0)):
        for is_withdrawn, run in groupby((entry for _, entry in entries), lambda entry: entry[1] is None):
            found = list(run)
            announced = [(prefix, attributes) for prefix, attributes in found if attributes is not None]
            yield audience, announced, [prefix for prefix, _ in found] if is_withdrawn else []


def _of_audience(record: RibRecord) -> tuple[Audience, _Entry]:
    """Find out whom a record is about, and what these neighbors have of its prefix."""
    key, attributes = record
    if not isinstance(key, bytes):
        return key.audience, (key.prefix, attributes)
    if attributes is None or not attributes.neighbors:
        return EVERYONE, (key, attributes)
    return _audience_of(attributes.neighbors), (key, _bare(attributes))


@lru_cache(maxsize=256)
def _audience_of(names: tuple[str, ...]) -> Audience:
    return Audience(tuple(dict.fromkeys(names)))


@lru_cache(maxsize=256)
def _bare(attributes: Attributes) -> Attributes:
    """Leave the neighbors out; equal results are one object, mostly."""
    return replace(attributes, neighbors=())


@lru_cache(maxsize=256)
def _named(attributes: Attributes, names: tuple[str, ...]) -> Attributes:
    """Add the neighbors; what stands for unknown attributes stays what it is."""
    return attributes if attributes in UNKNOWN_ATTRIBUTES else replace(attributes, neighbors=names)
