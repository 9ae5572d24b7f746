"""Keeper: one lock around the route table and the reconciler; no thread of its own.

Order matters between what the table decides and what the reconciler hands on, so both change under the same lock.
Nothing that blocks or takes long is done while holding it: walks go shard by shard, expiry in bounded steps, names are
matched outside.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from heapq import merge, nlargest
from itertools import chain, groupby, islice
from typing import Any, TypeVar

from dnstap_bgp.core.exabgp.budget import BudgetFigures
from dnstap_bgp.core.exabgp.views import RestorePhase, View, Views
from dnstap_bgp.core.lists.rules import RuleSet
from dnstap_bgp.core.model import BY_HAND, Address, Change, Claim, Name, Prefix, RibRecord, Sighting
from dnstap_bgp.core.prefix_map import SHARDS
from dnstap_bgp.core.routes.history import RefusalCount
from dnstap_bgp.core.routes.policy import Policies
from dnstap_bgp.core.routes.reload_diff import ReloadDiff
from dnstap_bgp.core.routes.table import Merged, RouteTable
from dnstap_bgp.core.text import name_text
from dnstap_bgp.workers.process.clocks import process_clock

logger = logging.getLogger(__name__)

T = TypeVar("T")

EXPIRE_AT_ONCE = 2_000
"""Claims that one hold of the lock looks at: about 2 ms."""

COPY_AT_ONCE = 500
"""Addresses that one hold of the lock copies: about 0.5 ms."""

RANKED_MAX = 10_000
"""While a budget is restored, so many candidates for its places are gathered beside twice as many as there are places,
until the best are chosen among them: 2 MB."""

ADOPT_AT_ONCE = 50
"""Claims of the state file that one hold of the lock takes: 0.4 ms, or 0.8 at 1,000,000 routes, where little is in the
caches. When ExaBGP answers a line it has work for 0.7 to 1.5 ms, and idles if the next one takes longer (bulk to
ExaBGP, `python -m tests.bench router`)."""

PAUSE_S = 0.0003
"""Between two holds of the lock by who walks over everything, while others need it, too: without a pause whoever waits
for the lock would hardly get it, for 20 ms on end."""

RESYNC_AT_ONCE = 200
"""Addresses that one hold of the lock puts once the state file is read: 0.4 ms."""

JUDGE_AT_ONCE = 20
"""Claims that came during a restore and that one hold of the lock decides about: 3 ms where for each another ends."""

PUT_AT_ONCE = 1_000
"""Static prefixes that one hold of the lock puts into the reconcilers, over all views: about 2 ms. Also the prefixes
that one hold looks at or decides about where budgets have other limits than before."""


class Keeper:
    """Route table and reconciler, shared by the tap, the timer, the BGP writer, the loop and the main thread.

    Attributes:
        lock: Guards table and reconciler.
        work: Condition on `lock`: the reconciler has something new, or the BGP writer's thread has something to do.
        turn: Called with the lock held when the reconciler has something new: says what can be said; must not block.
        rules: The rule set by which sightings are valid now.
        unknown: Lists whose rules are not known yet, or not all: what they hold stays.
        stopping: Set when the end has begun: `end_recall`, `resync`, `revise` and `reload_diff` are given up then,
            between two holds of the lock. That leaves what a kill would: what is announced stays, and the next start
            does the rest.
    """

    def __init__(
        self, table: RouteTable, views: Views, rules: RuleSet, stopping: threading.Event | None = None
    ) -> None:
        self.stopping = threading.Event() if stopping is None else stopping
        self.lock = threading.Lock()
        self.work = threading.Condition(self.lock)
        self.turn: Callable[[], None] = self.work.notify_all
        self.table = table
        self.views = views
        views.last_seen = table.last_seen
        views.configure(table.policies.audiences, table.policies.budgets)
        self.rules = rules
        table.owner_of = rules.owner
        self.unknown: frozenset[str] = frozenset()
        self._recorded = table.claims.recording
        self._followers = 0
        self._news: list[Claim] = []  # for them: what `take_dirty` gave to whoever records it
        self._gone: list[Prefix] = []  # static prefixes that wait for `revise` to be withdrawn
        # while a state file is read: equal addresses and names become one object, for 80 bytes less a route
        self._same: dict[Any, Any] = {}

    def observe(self, sightings: Sequence[Sighting], rules: RuleSet) -> None:
        """Take the sightings of one chunk.

        Args:
            sightings: At least one.
            rules: The rule set that matched them. While a reload is under way it may be the old one: then each
                sighting is held against the new one, lest a removed domain come back for a TTL.
        """
        now = process_clock()
        with self.lock:
            if rules is not self.rules:
                sightings = [seen for seen in sightings if seen[1] in self.rules.lists(seen[2])]
            self._put(self.table.observe(sightings, now))
            if self.views.budgeted and self.views.seen(seen[0] for seen in sightings):
                self.turn()

    def ask(
        self, sightings: Sequence[Sighting], rules: RuleSet, reckon: Callable[[float], T], *, wait_s: float
    ) -> T | None:
        """Take the sightings of one answer, and find out how far their routes are.

        Args:
            sightings: At least one.
            rules: As for `observe`.
            reckon: Called with the lock held and the process clock, when what is wanted is known and nothing is said
                yet; must not block.
            wait_s: The longest to wait for the lock.

        Returns:
            What `reckon` gives; None: the lock was not to be had, and nothing is taken.
        """
        if not self.lock.acquire(timeout=wait_s):
            return None
        try:
            now = process_clock()
            if rules is not self.rules:
                sightings = [seen for seen in sightings if seen[1] in self.rules.lists(seen[2])]
            changes = self.table.observe(sightings, now)
            if self.is_restoring:
                # a refresh is no change, and what was announced otherwise before is said again only once it is put
                wishes = [(seen[0], self.table.wanted(seen[0])) for seen in sightings]
                changes += [Change(address, wanted) for address, wanted in wishes if wanted is not None]
            if changes:
                self.views.put(changes)
            if self.views.budgeted:
                self.views.seen(seen[0] for seen in sightings)
            found = reckon(now)
            self.turn()
        finally:
            self.lock.release()
        return found

    def expire(self) -> None:
        """End what is due, in steps that let the others have the lock between."""
        more = True
        while more:
            with self.lock:
                changes, more = self.table.expire(process_clock(), EXPIRE_AT_ONCE)
                self._put(changes, bulk=more)

    # -- what peers tell

    def merge(self, claims: Sequence[Claim], tolerance_s: float) -> Merged:
        """Merge claims from peers, as far as the rules of now match it; a few hundred claims take some ms.

        Args:
            claims: In the process clock; of a list that the name is not on, or none: for each list that it is on.
            tolerance_s: See `RouteTable.merge`.

        Returns:
            What became of it; its changes are on their way.
        """
        while True:
            rules = self.rules
            listed = [_of_lists(claim, rules.lists(claim.name)) for claim in claims]
            with self.lock:
                if rules is not self.rules:  # a reload has come between
                    continue
                merged = self.table.merge(chain.from_iterable(listed), process_clock(), tolerance_s)
                self._put(merged.changes)
                if self.views.budgeted and self.views.seen(claim.address for claim in merged.news):
                    self.turn()
            return merged._replace(refused=merged.refused + listed.count(()) + listed.count([]))

    def remind(self, tolerance_s: float) -> bool:
        """Have `dirty` tell refreshes in time for those who know of the deadlines before; see `RouteTable.remind`.

        Returns:
            Whether there is more to look at.
        """
        with self.lock:
            return self.table.remind(process_clock(), EXPIRE_AT_ONCE, tolerance_s)

    # -- restore and reload
    #
    # begin_restore   the tap may see addresses from now on; nothing is decided
    # recall          any number of times: what an earlier process announced
    # end_recall      the reconcilers know all of that: ExaBGP may be spoken to
    # adopt           any number of times: claims; their routes are said as they come
    # resync          all is there: what is announced otherwise, or for nothing, is changed and withdrawn
    #
    # Without the first and the third, nothing is said before the last.

    @property
    def is_restoring(self) -> bool:
        """Tell whether the state file is still being read, so that the table isn't whole."""
        return self.views.phase is not RestorePhase.WHOLE

    def begin_restore(self) -> None:
        """Decide nothing until `end_recall`: what was announced isn't known yet."""
        with self.lock:
            self.views.phase = RestorePhase.RECALL
            self.table.begin_restore(self._is_known)

    def end_recall(self) -> None:
        """Begin to decide, as far as that can be done without the claims that aren't back yet."""
        with self.lock:
            # what was recalled may have divided the views
            self.views.configure(self.table.policies.audiences, self.table.policies.budgets)
            self.views.phase = RestorePhase.ADOPT
        self._put_statics(list(self.table.policies.statics.announced))
        for shard in self._until_stopped(range(SHARDS)):  # what was seen meanwhile
            with self.lock:
                wanted = self.table.wanted
                self._put([Change(address, wanted(address)) for address in self.table.claims.addresses(shard)])
        with self.lock:
            unpaid = self.table.unpaid()
        for start in self._until_stopped(range(0, len(unpaid), JUDGE_AT_ONCE)):
            with self.lock:
                self._put(self.table.offer(unpaid[start : start + JUDGE_AT_ONCE], process_clock()))

    def adopt_newcomers(self, claims: Sequence[Claim]) -> None:
        """Take claims that came during a restore that was never finished, once all others are back."""
        self.adopt(claims, are_newcomers=True)

    def adopt(self, claims: Sequence[Claim], *, are_newcomers: bool = False) -> None:
        """Take claims from the state file.

        While the file is being read, the routes of these are announced at once, unless they are announced otherwise;
        what is to be changed or withdrawn waits for `resync`, as does what may be another claim's that isn't back yet.

        Args:
            claims: Any number. They count as far as the rules still match them; what a list gave up, or was renamed
                with, goes to the lists that the name is on now.
            are_newcomers: See `RouteTable.adopt`.
        """
        rules, unknown = self.rules, self.unknown
        same = self._same.setdefault
        claims = [
            Claim(same(address, address), list_name, same(name, name), seen, first, ttl_s)
            for claim in claims
            for address, list_name, name, seen, first, ttl_s in (
                (claim,)
                if claim.list in unknown or claim.name == BY_HAND
                else _of_lists(claim, rules.lists(claim.name))
            )
        ]
        for start in range(0, len(claims), ADOPT_AT_ONCE):
            some = claims[start : start + ADOPT_AT_ONCE]
            with self.lock:
                changes = self.table.adopt(some, process_clock(), are_newcomers=are_newcomers)
                if self.is_restoring:
                    # in the order of their addresses, the last first: see `resync`
                    addresses = sorted({claim.address for claim in some}, reverse=True)
                    wishes = [(address, self.table.wanted(address)) for address in addresses]
                    # what is not wanted may be another's, whose claim isn't back yet
                    changes += [Change(address, wanted) for address, wanted in wishes if wanted is not None]
                    self._put(changes, bulk=True)
            if self.is_restoring:
                time.sleep(PAUSE_S)

    def recall(self, records: Sequence[RibRecord]) -> None:
        """Take the announcements and withdrawals of an earlier process from the state file."""
        same = self._same.setdefault
        records = [
            (
                same(key, key) if isinstance(key, bytes) else key._replace(prefix=same(key.prefix, key.prefix)),
                attributes,
            )
            for key, attributes in records
        ]
        with self.lock:
            self.views.recall(records)

    def switch(self, rules: RuleSet, policies: Policies, unknown: frozenset[str] = frozenset()) -> None:
        """Put new lists and policies in force for what comes; `revise` follows for what is held.

        Args:
            rules: The rules.
            policies: The policies.
            unknown: See the attribute.
        """
        before = self.table.policies
        added, gone = policies.statics.difference(before.statics)
        if policies.audiences != before.audiences or policies.budgets.keys() != before.budgets.keys():
            added = list(policies.statics.announced)  # each view has other neighbors now
        with self.lock:
            self.rules, self.unknown = rules, unknown
            self.table.configure(policies)
            self.table.owner_of = rules.owner
            self.views.configure(policies.audiences, policies.budgets)
        # a network comes before the routes that it covers go, and goes after they are back
        self._put_statics(added)
        self._gone += gone

    def revise(self) -> int:
        """Hold all that is held against the rules and policies of now, shard by shard; given up at the end.

        Returns:
            How many claims ended by it; the state file holds them until its next snapshot.
        """
        rules, unknown, before = self.rules, self.unknown, self.table.claims.ended
        for shard in self._until_stopped(range(SHARDS)):
            with self.lock:
                names = self.table.claims.names(shard)
            lists = {name: rules.lists(name) for name in names if name != BY_HAND}
            with self.lock:
                self._put(self.table.revise(shard, lists, process_clock(), unknown), bulk=True)
            time.sleep(PAUSE_S)
        self._trim()
        self._adjust_budgets()
        gone, self._gone = self._gone, []
        self._put_statics(gone)
        return self.table.claims.ended - before

    def end_refused(self, addresses: Iterable[Address]) -> None:
        """Withdraw what `switch` has made the guard refuse, before `resync`: no claim to come could change that.

        That are static networks, and addresses that no list may claim any more.

        Args:
            addresses: All that the guard has learnt to refuse.
        """
        self._end_networks()
        for address in addresses:
            with self.lock:
                table = self.table
                if None in {table.policies.refusal(address, name) for name in table.policies.by_list}:
                    continue
                if address in table.claims.by_address:  # a shard of 1,000,000 claims takes 30 ms
                    self._put(table.revise(address[-1], {}, process_clock(), self.unknown), bulk=True)
                self.views.put([Change(address, None)], is_final=True)
                self.turn()

    def resync(self) -> int:
        """Announce all that is claimed, and withdraw what an earlier process told the host and nothing claims.

        Once, after all of `recall` and `adopt`: only a whole table tells what nothing claims. Given up at the end.

        Returns:
            How many claims had to end again; the state file holds them until its next snapshot.
        """
        before = self.table.claims.ended
        self._judge_newcomers()
        ended = self.table.claims.ended - before
        with self.lock:
            # what was recalled may have divided the views
            self.views.configure(self.table.policies.audiences, self.table.policies.budgets)
        for view in self.views.budgeted:
            self._restore_budget(view)
        if self.stopping.is_set():  # from here on what is put is decided for good, and that wants a whole table
            return ended
        with self.lock:
            unwanted = self.views.end_restore()
        self._put_statics(list(self.table.policies.statics.announced))
        # ExaBGP takes a tenth more routes a second in the order of their addresses (tests.bench router); what is put
        # as bulk leaves last in, first out. Merged, as one sort of them all would hold the interpreter for a second.
        shards = [sorted(self.table.claims.addresses(shard), reverse=True) for shard in range(SHARDS)]
        addresses = chain(merge(*shards, reverse=True), unwanted)
        while (some := list(islice(addresses, RESYNC_AT_ONCE))) and not self.stopping.is_set():
            with self.lock:
                wanted = self.table.wanted
                self._put([Change(address, wanted(address)) for address in some], bulk=True)
            time.sleep(PAUSE_S)
        with self.lock:
            for view in self.views.budgeted:
                view.end_restore()
        self._adjust_budgets()  # places that became free meanwhile
        for shard in self._until_stopped(range(SHARDS)):  # not unless all of the above was put: the event stays set
            with self.lock:
                self.views.resync(shard)
                self.work.notify_all()
        self._same.clear()
        return ended

    def pause(self, *, paused: bool) -> None:
        """Have the host told nothing for now (`dry_run`), or let it be told all that has waited."""
        with self.lock:
            self.views.paused = paused
            self.turn()

    def reload_diff(self, rules: RuleSet, policies: Policies, unknown: AbstractSet[str]) -> ReloadDiff | None:
        """Work out the difference that other rules and policies would make; some seconds for a million claims or rules.

        Args:
            rules: What would be in force.
            policies: What would be in force.
            unknown: Lists whose new rules are not known yet.

        Returns:
            None: it was given up, since the end has begun.
        """
        diff = ReloadDiff(self.table.policies, policies, unknown)
        for _ in diff.take_rules(self.rules, rules):
            time.sleep(0)  # gives up the interpreter: the others wait for a step at most
            if self.stopping.is_set():
                return None
        now = process_clock()
        for claims, _ in self.walk():
            for _, of_address in groupby(claims, key=lambda claim: claim.address):
                diff.take_claims(list(of_address), rules.lists, now)
            time.sleep(0)
            if self.stopping.is_set():
                return None
        diff.take_statics()
        return diff

    @property
    def is_one_view(self) -> bool:
        """Tell whether all neighbors that get anything get the same."""
        with self.lock:
            return self.views.is_one

    # -- by hand

    def add(self, address: Address, list_name: str, ttl_s: float) -> str | None:
        """Make a claim that no answer made.

        Returns:
            Why it is refused: a word of `Policies.refusal`, `full`, or `restoring`: whether there is room isn't known
            yet; None: it is held.
        """
        now = process_clock()
        with self.lock:
            if self.views.phase is RestorePhase.RECALL and not self.table.policies.caps.evicts:
                return self.table.policies.refusal(address, list_name) or "restoring"
            if self._is_full_of_what_comes_back(address):
                return self.table.policies.refusal(address, list_name) or "full"
            changes, refused = self.table.add(Claim(address, list_name, BY_HAND, now, now, ttl_s), now)
            self._put(changes)
            if self.views.budgeted and self.views.seen([address]):
                self.turn()
        return refused

    def forget(self, target: Address | Name, *, is_name: bool) -> int:
        """End all claims on an address or of a name, and let no peer bring them back for `FORGET_S`.

        Returns:
            How many claims ended; the state file holds them until its next snapshot.
        """
        before, more = self.table.claims.ended, True
        while more:
            with self.lock:
                if is_name:
                    changes, more = self.table.forget_name(target, process_clock(), EXPIRE_AT_ONCE)
                else:
                    changes, more = self.table.forget_address(target, process_clock()), False
                self._put(changes)
                if self.is_restoring and not is_name and self.table.wanted(target) is None:
                    self.views.put([Change(target, None)], is_final=True)  # claims to come are forgotten, too
                    self.turn()
        return self.table.claims.ended - before

    def record(self, *, on: bool) -> None:
        """Have `news` tell what is new, or no more: for whoever watches or syncs; each `on` has its `off`."""
        with self.lock:
            self._followers += 1 if on else -1
            self.table.claims.recording = self._recorded or self._followers > 0
            if not self.table.claims.recording:
                self.table.claims.dirty()
            if not self._followers:
                self._news = []

    # -- copies

    def refusals(self) -> list[RefusalCount]:
        """Take the refusals and evictions since the last call."""
        with self.lock:
            return self.table.admission.refusals.take()

    def fullness(self) -> list[tuple[str, int, int]]:
        """Give name, number of addresses and cap of the table, of lists with a cap, and of rules near theirs."""
        with self.lock:
            table, caps = self.table, self.table.policies.caps
            of_lists = [(policy.list, policy.routes_max) for policy in table.policies.by_list.values()]
            return [
                ("the table", len(table), caps.routes_max),
                *((f"list {name}", table.claims.routes_of(name), most) for name, most in of_lists if most is not None),
                *self._crowded_rules(),
            ]

    def budgets(self) -> list[BudgetFigures]:
        """Tell how full the budget of each neighbor is that has one."""
        with self.lock:
            return self.views.budgets

    def crowded_rules(self) -> list[tuple[str, int, int]]:
        """Give name, number of addresses and cap of rules that are near theirs."""
        with self.lock:
            return self._crowded_rules()

    def _crowded_rules(self) -> list[tuple[str, int, int]]:
        most = self.table.policies.caps.rule_routes_max
        crowded = self.table.admission.crowded_owners()
        return [(f"list {name}, rule {name_text(of)}", held, most) for name, of, held in crowded]

    def dirty(self) -> list[Claim]:
        """Take the claims that the state file should learn of."""
        with self.lock:
            return self.take_dirty()

    def take_dirty(self) -> list[Claim]:
        """Take the claims that the state file should learn of, for whoever holds the lock."""
        claims = self.table.claims.dirty()
        if self._followers:
            self._news += claims
        return claims

    def news(self) -> list[Claim]:
        """Take the claims that `dirty` gave since the last call; none while nobody has asked for them with `record`."""
        if not self._followers:
            return []
        with self.lock:
            news, self._news = self._news, []
        return news

    def unrecorded(self, deadline: float) -> Iterator[list[Claim]]:
        """Give claims that were refreshed after their last record, or wait for the end of a restore: for the last save.

        Args:
            deadline: Process clock; what is not given by then is left out.
        """
        with self.lock:
            undecided = self.table.undecided(process_clock())  # the end has come in the middle of a restore
        if undecided:
            yield undecided
        for shard in range(SHARDS):
            if process_clock() > deadline:
                logger.warning("stopping before every refresh was saved: some routes may end up to 5 %% of a TTL early")
                return
            with self.lock:
                claims = self.table.claims.unrecorded(shard)
            if claims:
                yield claims

    def walk(self) -> Iterator[tuple[list[Claim], list[RibRecord]]]:
        """Walk all claims and announcements, in copies that hold the lock for less than a millisecond each."""
        for shard in range(SHARDS):
            with self.lock:
                addresses = self.table.claims.addresses(shard)
                told = self.views.walk(shard)
            yield [], told
            for start in range(0, len(addresses), COPY_AT_ONCE):
                with self.lock:
                    claims = [
                        claim
                        for address in addresses[start : start + COPY_AT_ONCE]
                        for claim in self.table.claims.of_address(address)
                    ]
                yield claims, []

    def _is_known(self, address: Address) -> bool | None:
        """Tell whether an address was announced before the restart; None: that isn't known yet."""
        if self.views.announced(address) is not None:
            return True
        return None if self.views.phase is RestorePhase.RECALL else False

    def _is_full_of_what_comes_back(self, address: Address) -> bool:
        """Tell whether an address would take the place of one whose claim isn't back, where nothing gives way."""
        caps, newcomers = self.table.policies.caps, self.table.admission.newcomers
        if caps.evicts or newcomers is None or newcomers.is_judging or self._is_known(address):
            return False
        if address in self.table.claims.by_address:
            return False
        announced = max((len(view.reconciler.adj_rib_out) for view in self.views), default=0)
        return announced + self.views.backlog.live >= caps.routes_max

    def _judge_newcomers(self) -> None:
        """Bring the table within its caps, as if all that was held before had been back before anything was seen."""
        more = True
        while more and not self.stopping.is_set():
            with self.lock:
                more = self.table.set_aside(ADOPT_AT_ONCE)
            time.sleep(PAUSE_S)
        self._trim()  # what was added by hand comes back whatever the caps say
        more = True
        while more and not self.stopping.is_set():
            with self.lock:
                changes, more = self.table.judge(process_clock(), JUDGE_AT_ONCE)
                self._put(changes, bulk=True)
            time.sleep(PAUSE_S)

    def _trim(self) -> None:
        """End what is over the caps."""
        trimmed: int | None = 0
        while trimmed is not None and not self.stopping.is_set():
            with self.lock:
                changes, trimmed = self.table.trim(process_clock(), EXPIRE_AT_ONCE, trimmed)
                self._put(changes, bulk=True)

    def _restore_budget(self, view: View) -> None:
        """Put what has a place in a neighbor's budget, before all else is put: it keeps what it has; see `budget`."""
        if (budget := view.budget) is None:
            return
        budget.is_restoring = True
        prefixes = chain(
            self.table.policies.statics.announced,
            chain.from_iterable(map(self.table.claims.addresses, range(SHARDS))),
        )
        first: list[tuple[tuple[bool, bool, float], Prefix]] = []
        while (some := list(islice(prefixes, COPY_AT_ONCE))) and not self.stopping.is_set():
            with self.lock:
                wanted = self.table.wanted
                first += [(budget.priority(prefix), prefix) for prefix in some if view.own(wanted(prefix)) is not None]
            if len(first) > 2 * budget.limit + RANKED_MAX:
                first = nlargest(budget.limit, first)
        ordered = [prefix for _, prefix in nlargest(budget.limit, first)]
        for start in self._until_stopped(range(0, len(ordered), COPY_AT_ONCE)):
            with self.lock:
                wanted, some = self.table.wanted, ordered[start : start + COPY_AT_ONCE]
                view.put([Change(prefix, wanted(prefix)) for prefix in some], bulk=True)
                self.turn()

    def _adjust_budgets(self) -> None:
        """Have the budgets keep to their limits, and give away the places that are free."""
        more = True
        while more and not self.stopping.is_set():
            with self.lock:
                more = self.views.adjust(PUT_AT_ONCE)
                self.turn()

    def _end_networks(self) -> None:
        """Withdraw the static networks that are none any more, and have the routes that they covered back."""
        networks = [prefix for prefix in self._gone if len(prefix) not in (4, 16)]
        if not networks:
            return
        self._gone = [prefix for prefix in self._gone if len(prefix) in (4, 16)]
        for shard in range(SHARDS):
            with self.lock:
                addresses = self.table.claims.addresses(shard)
            covered = [address for address in addresses if any(_lies_in(address, network) for network in networks)]
            with self.lock:
                self._put([Change(address, self.table.wanted(address)) for address in covered], bulk=True)
        with self.lock:
            gone = [Change(network, None) for network in networks if self.table.wanted(network) is None]
            self.views.put(gone, bulk=True, is_final=True)
            self.turn()

    def _put_statics(self, prefixes: list[Prefix]) -> None:
        """Put what is wanted, by the policies of now, of static prefixes that have come, changed or gone.

        A lone address may be claimed by other lists, for other neighbors, too, and what has gone may be in force again.
        """
        at_once = max(1, PUT_AT_ONCE // len(self.views))
        for start in self._until_stopped(range(0, len(prefixes), at_once)):
            with self.lock:
                wanted, some = self.table.wanted, prefixes[start : start + at_once]
                self._put([Change(prefix, wanted(prefix)) for prefix in some], bulk=True)

    def _until_stopped(self, steps: Iterable[int]) -> Iterator[int]:
        """Give the steps of a long walk until the end begins."""
        for step in steps:
            if self.stopping.is_set():
                return
            yield step

    def _put(self, changes: list[Change], *, bulk: bool = False) -> None:
        if changes:
            self.views.put(changes, bulk=bulk)
            self.turn()


def _lies_in(address: Address, network: Prefix) -> bool:
    size = len(network) - 1
    dropped = size * 8 - network[-1]
    return len(address) == size and int.from_bytes(address) >> dropped == int.from_bytes(network[:-1]) >> dropped


def _of_lists(claim: Claim, lists: Sequence[str]) -> Sequence[Claim]:
    if claim.list in lists:
        return (claim,)
    return [claim._replace(list=list_name) for list_name in lists]
