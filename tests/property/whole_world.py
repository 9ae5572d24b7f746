"""The pure core as one machine: frames, peers and hooks in, ExaBGP's model and a state file out, in one thread.

What any neighbor's table should be is looked up here from the claims and the configuration, from scratch, and shares
no code with the policies, the views or the reconcilers. `rest` holds it against the routers' tables, and the state file
against both. Whatever drives the world (bytes of a fuzzer, rules of hypothesis) may do anything in any order.
"""

import ipaddress
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from unittest.mock import patch

from dnstap_bgp.core.exabgp.api_session import ApiSession, Stage
from dnstap_bgp.core.exabgp.grammar import Row, attributes_text, read_line
from dnstap_bgp.core.exabgp.in_flight import LineKind
from dnstap_bgp.core.exabgp.reconciler import Reconciler
from dnstap_bgp.core.exabgp.views import View, Views
from dnstap_bgp.core.hold.held_questions import HeldQuestion, HeldQuestions
from dnstap_bgp.core.hold.hook_answers import HookAnswers
from dnstap_bgp.core.hold.margins import Margins
from dnstap_bgp.core.hold.message import read_question
from dnstap_bgp.core.hold.reckoning import Reckoning, prefixes_of, reckon
from dnstap_bgp.core.lists.rules import Rule, RuleKind, RuleSet
from dnstap_bgp.core.model import BY_HAND, EVERYONE, Attributes, Audience, Claim, DnsTtl, Policy, Prefix, RibRecord
from dnstap_bgp.core.routes.guard import Guard, Space
from dnstap_bgp.core.routes.policy import Caps, Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.core.state.blocks import Block, BlockKind, file_header, scan
from dnstap_bgp.core.state.pending import Pending
from dnstap_bgp.core.state.records import Decoder, frames
from dnstap_bgp.core.state.timestamps import Stamp
from dnstap_bgp.core.sync import delta
from dnstap_bgp.core.tap.framestream import ControlType, FrameStream, control_frame
from dnstap_bgp.core.tap.ingest import Ingest
from dnstap_bgp.errors import HoldMessageError, PeerError
from dnstap_bgp.workers.routes import keeper as keeper_module
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.state.restore import Restoration
from tests.core.exabgp.watched import WatchedReconciler
from tests.property.exabgp_model import ExaBgp, Neighbor
from tests.property.exabgp_world import ADDRESSES as NEIGHBORS
from tests.property.exabgp_world import Loop, text

ONE, TWO, THREE = NEIGHBORS
LISTS = ("one", "two", "three")
NAMES = (b"a.example", b"b.example", b"www.a.example", b"c.test")
ADDRESSES = [
    *(bytes((11, 0, third, last)) for third in (0, 1) for last in (1, 2, 129)),
    *(bytes((0x2A, 1, *[0] * 13, last)) for last in (1, 2)),
]
FRAME_MAX_BYTES = 1 << 16
START = control_frame(ControlType.START)


def network(given: str) -> Prefix:
    found = ipaddress.ip_network(given)
    return found.network_address.packed + (bytes([found.prefixlen]) if found.prefixlen < found.max_prefixlen else b"")


PREFIXES = [
    network(given)
    for given in ("11.0.0.0/16", "11.0.0.0/24", "11.0.0.128/25", "11.0.1.0/24", "11.0.1.1/32", "2a01::/126")
]
DENIED = ipaddress.ip_network("11.0.1.0/24")


@dataclass(frozen=True)
class Configuration:
    """One reading of the file and its lists; the order of the lists is that of precedence, and a list that is off
    is not there."""

    policies: tuple[Policy, ...]
    names: tuple[frozenset[bytes], ...]  # of each list
    prefixes: tuple[tuple[Prefix, ...], ...]
    denied: tuple[bool, ...]  # the list may not have `DENIED`
    caps: Caps
    budgets: tuple[tuple[str, int], ...] = ()  # the most prefixes of a neighbor

    def rules(self) -> RuleSet:
        return _rules(tuple(policy.list for policy in self.policies), self.names)

    def made(self) -> Policies:
        lists = [policy.list for policy in self.policies]
        guard = _guard(tuple(name for name, is_denied in zip(lists, self.denied, strict=True) if is_denied))
        prefixes = dict(zip(lists, self.prefixes, strict=True))
        return Policies(self.policies, guard, self.caps, prefixes, budgets=dict(self.budgets))

    @property
    def is_capped(self) -> bool:
        return self.caps != Caps() or any(policy.routes_max is not None for policy in self.policies)

    def may(self, number: int, prefix: Prefix) -> bool:
        if len(prefix) >= 16 or not self.denied[number]:
            return True
        address, length = prefix[:4], prefix[4] if len(prefix) == 5 else 32
        found = ipaddress.ip_network((address, length))
        return not found.overlaps(DENIED)

    def table(self, neighbor: str, claims: dict[bytes, set[str]]) -> dict[Prefix, Attributes]:
        """What a neighbor should have: the first list that serves it decides, and a static network covers."""
        statics: dict[Prefix, Attributes] = {}
        for number, policy in enumerate(self.policies):
            for prefix in self.prefixes[number]:
                found = serving(policy, prefix, neighbor)
                if found is not None and self.may(number, prefix):
                    statics.setdefault(prefix, found)
        wanted: dict[Prefix, Attributes] = {}
        for address, lists in claims.items():
            for policy in self.policies:
                found = serving(policy, address, neighbor)
                if policy.list in lists and found is not None:
                    wanted[address] = found
                    break
        return {address: found for address, found in wanted.items() if not covered(address, statics)} | statics


@lru_cache
def _guard(lists: tuple[str, ...]) -> Guard:
    return Guard(strict=True, lists=dict.fromkeys(lists, Space(deny=(DENIED,))))


@lru_cache(maxsize=512)
def _rules(lists: tuple[str, ...], names: tuple[frozenset[bytes], ...]) -> RuleSet:
    """The rules: a name of two labels is a suffix, a longer one exact."""
    return RuleSet.build(
        [
            (name, [Rule(one, RuleKind.SUFFIX if one.count(b".") == 1 else RuleKind.EXACT) for one in sorted(found)])
            for name, found in zip(lists, names, strict=True)
        ]
    )


def serving(policy: Policy, prefix: Prefix, neighbor: str) -> Attributes | None:
    found = policy.attributes(prefix)
    return found if found is not None and (not found.neighbors or neighbor in found.neighbors) else None


def covered(address: bytes, statics: dict[Prefix, Attributes]) -> bool:
    return any(
        len(prefix) == len(address) + 1
        and ipaddress.ip_address(address) in ipaddress.ip_network((prefix[:-1], prefix[-1]))
        for prefix in statics
    )


class RecordFile:
    """The state file as the store writes it: queued, in blocks, and now and then replaced by a snapshot."""

    def __init__(self, world: "Whole") -> None:
        self._world = world
        self.data = file_header()
        self._known, self._records = b"", list[RibRecord]()  # as far as `of` has read it

    def begin(self) -> None:
        """A process begins: what was queued or drafted died with the one before."""
        self._pending = Pending()
        self._draft = b""
        self._walk: Iterator[int] | None = None
        self.snapshots_begun = 0
        self._is_owed = False
        self.kind = BlockKind.CHANGES

    def begin_restore(self, *, has_blocks: bool) -> None:
        """What is appended from now on came before all was back."""
        self.kind = BlockKind.EARLY if has_blocks else BlockKind.CHANGES

    def judged(self, *, rewrite: bool) -> None:
        """All is back, and what came meanwhile is judged; `rewrite`: the file has claims that are not held any more."""
        if rewrite:
            self._walk = None
            self.step()
            while self._walk is not None:
                self.step()
        elif self.kind is BlockKind.EARLY:
            self.kind = BlockKind.CHANGES
            self.write(fails=0.0)
            self.data += b"".join(frames(BlockKind.CHANGES, [], [], self._world.stamp))

    def append(self, records: Sequence[RibRecord] = (), claims: Sequence[Claim] = ()) -> None:
        self._pending.add(claims, records)
        if self._world.random.random() < 0.5:
            self.write()

    def write(self, *, fails: float = 0.1) -> None:
        batch = self._pending.take()
        if self._world.random.random() < fails:
            self._pending.give_back(batch)  # a full disk
            return
        blocks = b"".join(frames(self.kind, batch.claims, batch.records, self._world.stamp))
        if not self._is_owed:
            self.data += blocks
        if self._walk is not None:
            self._draft += blocks

    def make_durable(self) -> None:
        """Wait for the record of a line."""
        for attempt in range(1000):
            if not self._pending and not self._is_owed:
                return
            while len(self._pending):
                self.write(fails=0.1 if attempt < 10 else 0.0)
            while self._is_owed:
                self.step()

    def step(self) -> None:
        """Begin a snapshot, or go on with it; not before all is held that the file has."""
        if self._world.is_restoring:
            return
        if self._walk is None:
            self.snapshots_begun += 1
            self._is_owed = self._world.random.random() < 0.3
            if self._is_owed:
                self._pending.clear()
            self._walk, self._draft = iter(sorted(self._world.shards)), file_header()
        shard = next(self._walk, None)
        if shard is None:
            while len(self._pending):
                self.write(fails=0.0)
            self.data, self._walk, self._is_owed = self._draft, None, False
            self.kind = BlockKind.CHANGES
            return
        told, claims = self._world.views.walk(shard), self._world.claims([shard])
        if told or claims:
            self._draft += b"".join(frames(BlockKind.SNAPSHOT, claims, told, self._world.stamp))

    def snapshot(self) -> None:
        """Write a whole one."""
        self._world.end_restore()
        self._walk = None
        self.step()
        while self._walk is not None:
            self.step()

    def of(self, neighbor: str) -> dict[str, str]:
        """What a neighbor has, as the file says."""
        self._read()
        found: dict[Prefix, str | None] = {}
        for key, attributes in self._records:
            prefix, audience = (key, EVERYONE) if isinstance(key, bytes) else key
            if attributes is not None and attributes.neighbors:
                audience = Audience(attributes.neighbors)
            if neighbor in audience:
                found[prefix] = None if attributes is None else attributes_text(attributes)
        return {text(prefix): attributes for prefix, attributes in found.items() if attributes}

    def _read(self) -> None:
        """Read what was appended since the last time; a file that was replaced from its beginning."""
        if not self.data.startswith(self._known):
            self._known, self._records = b"", []
        decoder, new = Decoder(float("-inf")), file_header() + self.data[max(len(self._known), len(file_header())) :]
        for part in scan(lambda at, length: new[at : at + length], len(new)):
            assert isinstance(part, Block), part
            self._records += decoder.decode_told(part.payload)[0]
        self._known = self.data


class Whole(Loop):
    """The plugin, its ExaBGP, and all that both are told."""

    def __init__(self, dice, configuration: Configuration, *, watched: bool = False) -> None:
        super().__init__(0, [Neighbor(ONE), Neighbor(TWO)])
        self.random = dice
        self.configuration = configuration
        self.make = WatchedReconciler if watched else Reconciler
        self.boot, self.wall = bytes(15) + b"\1", 1_700_000_000.0
        self.seen: dict[tuple[bytes, bytes], float] = {}  # when each address of a name was seen last, by anybody
        self.shards = {prefix[-1] for prefix in [*ADDRESSES, *PREFIXES]}
        self.limits = dict(configuration.budgets)  # the highest budgets of all that there were
        self.was_hostile = False
        self.is_paused = False
        self._restoring: Iterator[None] | None = None
        self.forgotten: set[bytes] = set()  # addresses, in this process
        self.is_calm = False  # nothing happens in the middle of a restore
        self.file = RecordFile(self)
        self.begin()
        self.keeper.resync()
        self.talk.tasks.restored = True

    def clock(self):
        """Have the keeper go by the clock of this world, as long as the `with` block lasts."""
        return patch.object(keeper_module, "process_clock", lambda: self.now)

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.wall + self.now, self.now, self.boot)

    def begin(self) -> None:
        """A process begins."""
        self.views = Views(self.make)
        self.table = RouteTable(self.configuration.made())
        rules = self.configuration.rules()
        self.keeper = Keeper(self.table, self.views, rules)
        self.talk = ApiSession(self.views, self.random.getrandbits)
        self.prepared, self.prepared_at = None, 0
        self.forgotten.clear()
        self.margins = Margins()
        self.held: HeldQuestions[frozenset[str]] = HeldQuestions(8)
        self.views.acknowledgments.awaited = self.held.by_prefix
        self.views.acknowledgments.keep_s = self.margins.largest_s
        self.file.begin()
        self._read_by(rules)
        self._connect()

    def _read_by(self, rules: RuleSet) -> None:
        self.ingest, self.hooks = Ingest(rules, frozenset({6})), HookAnswers(rules)

    def _connect(self) -> None:
        self.stream = FrameStream(FRAME_MAX_BYTES)
        self._feed(START)

    # -- the loop's

    def correct(self, records) -> None:
        self.file.append(records)

    def record(self, outgoing) -> None:
        self.file.append(self.views.records(outgoing.records, outgoing.audience))

    def make_durable(self) -> None:
        self.file.make_durable()

    def step(self) -> None:
        self._tell()
        if self.random.random() < 0.1:
            self.file.append(claims=self.keeper.take_dirty())
        if self.random.random() < 0.1:
            self.file.step()
        if self.random.random() < 0.1:
            self.go_on_restoring()

    def written(self) -> None:
        """While claims are coming back nothing is withdrawn but what was forgotten; nothing gets other attributes."""
        line = self.talk._in_flight[-1]
        if self.is_restoring:
            assert line.kind not in (LineKind.ATTRIBUTE_CHANGE, LineKind.WITHDRAW_FIRST, LineKind.END_OF_RIB)
            if line.kind is LineKind.ROUTES and line.batch is not None and not line.batch.transition.wanted:
                assert self.forgotten.issuperset(line.batch.prefixes), line

    @property
    def records_begun(self) -> int:
        return self.file.snapshots_begun

    def expected(self, neighbor: Neighbor) -> dict[str, str]:
        found = self.configuration.table(neighbor.address, self.claimed())
        families = neighbor.families & neighbor.remote
        return {
            text(prefix): attributes_text(bare(attributes))
            for prefix, attributes in found.items()
            if ("ipv6 unicast" if len(prefix) >= 16 else "ipv4 unicast") in families
        }

    def is_right(self, neighbor: Neighbor, found: dict[str, str]) -> bool:
        """Whether a table is the one that the neighbor should have; where it has a budget, a part of that size."""
        expected = self.expected(neighbor)
        limit = dict(self.configuration.budgets).get(neighbor.address)
        if limit is None or len(expected) <= limit:
            return found == expected
        return len(found) == limit and found.items() <= expected.items()

    def claims(self, shards: Sequence[int] | None = None) -> list[Claim]:
        return [
            claim
            for shard in shards or self.shards
            for address in self.table.claims.addresses(shard)
            for claim in self.table.claims.of_address(address)
        ]

    def claimed(self) -> dict[bytes, set[str]]:
        """The lists that claim each address."""
        found: dict[bytes, set[str]] = {}
        for claim in self.claims():
            found.setdefault(claim.address, set()).add(claim.list)
        return found

    # -- what happens

    def tick(self, seconds: float) -> None:
        """Time passes, and the timer ticks."""
        self.now += seconds
        self.keeper.expire()

    def tap(self, data: bytes, pieces: int = 1 << 20) -> None:
        """The resolver sends these bytes, in pieces of this size."""
        for at in range(0, len(data), pieces):
            self._feed(data[at : at + pieces])
        if self.stream.over:
            self._connect()

    def _feed(self, data: bytes) -> None:
        while data and not self.stream.over:
            free = self.stream.free()
            n = min(len(free), len(data))
            free[:n] = data[:n]
            del free
            found = self.stream.received(n, self.ingest.feed)
            data = data[n:]
            if found:
                self._note((address, name) for address, _, name, _ in found)
                self.keeper.observe(found, self.ingest.rules)

    def _note(self, seen: Iterable[tuple[bytes, bytes]]) -> None:
        seen = list(seen)
        self.seen.update(dict.fromkeys(seen, self.now))
        self.shards.update(address[-1] for address, _ in seen)

    def ask(self, data: bytes) -> None:
        """A hook sends a question; it waits for what must be said first."""
        try:
            question = read_question(data)
        except HoldMessageError:
            return
        sightings = self.hooks.read(question)
        if not sightings:
            return
        self._note((address, name) for address, _, name, _ in sightings)
        asked_at = self.now

        def hold(now: float) -> Reckoning:
            prefixes = prefixes_of((sighting[0] for sighting in sightings), self.table)
            found = reckon(prefixes, self.views, self.talk.tasks, self.margins, now)
            if found.verdict is None and self.held.make_room(question.hook) is not None:
                times = asked_at, asked_at + self.margins.bound_s, found.ready_at
                there = frozenset(neighbor for neighbor in self.exabgp.neighbors)
                self.held.hold(
                    HeldQuestion(there, question.hook, set(found.awaited), times=times, margin_s=found.margin_s)
                )
            return found

        self.keeper.ask(sightings, self.hooks.rules, hold, wait_s=0)

    def _tell(self) -> None:
        """Reply to the hooks whose routes are there, as the hold service does."""
        news = self.views.acknowledgments.news
        while news:
            prefix, at, stage = news.popleft()
            if stage == "announced":
                self._check_announced(prefix)
                self.held.acknowledged(prefix, at)
            elif stage in ("refused", "none"):
                self.held.refused(prefix)
        self.held.due(self.now)

    def _check_announced(self, prefix: Prefix) -> None:
        """Who is told that a prefix is announced can rely on it, unless what comes later is on its way already."""
        if self.was_hostile or self.talk.unanswered or self.views.progress(prefix) != "announced":
            return
        for view in self.views:
            attributes = view.reconciler.adj_rib_out.get(prefix)
            for one in self.talk.tasks.neighbors if attributes is not None else ():
                neighbor = self.exabgp.neighbors.get(one.address)
                is_meant = one.up and one.address in view.audience and not self.talk.tasks.is_replaying(one)
                if is_meant and neighbor is not None and neighbor.up:
                    assert text(prefix) in neighbor.cache, f"{text(prefix)} is not at {one.address}"

    def peer(self, frame: bytes) -> None:
        """A peer sends a frame of our own stream."""
        with suppress(PeerError):
            found = delta.decode(frame)
            if isinstance(found, delta.Claims):
                self.merge(found.claims)

    def merge(self, claims: list[Claim]) -> None:
        self.end_restore()
        for claim in claims:
            key = claim.address, claim.name
            self.shards.add(claim.address[-1])
            self.seen[key] = max(self.seen.get(key, float("-inf")), min(claim.seen, self.now))
        self.file.append(claims=self.keeper.merge(claims, delta.TOLERANCE_S).news)

    def add_by_hand(self, address: bytes, list_name: str, ttl_s: float) -> None:
        self._note([(address, b"by hand")])
        self.keeper.add(address, list_name, ttl_s)

    def forget(self, target: bytes, *, is_name: bool) -> None:
        if not is_name:
            self.forgotten.add(target)
        self.keeper.forget(target, is_name=is_name)

    def pause(self, *, paused: bool) -> None:
        self.end_restore()
        self.is_paused = paused
        self.keeper.pause(paused=paused)

    def reload(self, configuration: Configuration) -> None:
        self.end_restore()
        self.configuration = configuration
        budgets = dict(configuration.budgets)
        self.limits = {one: max(limit, budgets[one]) for one, limit in self.limits.items() if one in budgets}
        rules = configuration.rules()
        self.keeper.switch(rules, configuration.made())
        self.keeper.revise()
        self._read_by(rules)

    def hears(self, line: bytes) -> None:
        """ExaBGP says something that has no meaning for us; what has one is the model's to say."""
        item = read_line(line)
        if isinstance(item, Row) and not line.startswith((b"[", b"exabgp ", b"{", b"Peer ")):
            self.talk.receive(item, self.now)

    def respawn(self) -> None:
        """The process dies with whatever is in its pipe, and a new one has the state file."""
        self.cut_pipe()
        self.start()

    def stop(self) -> None:
        """The process ends in good order, and a new one begins."""
        self.save()
        self.cut_pipe()
        self.start()

    def save(self) -> None:
        self.talk.prepare(self.now)
        self.correct(self.views.take_corrections())
        self.file.append(claims=self.keeper.take_dirty())
        for claims in self.keeper.unrecorded(float("inf")):
            self.file.append(claims=claims)
        self.file.make_durable()

    def reboot(self, downtime_s: float, wall_error_s: float) -> None:
        """The machine starts again, and ExaBGP with it; its wall clock may be off."""
        self.wall += self.now + downtime_s + wall_error_s
        self.now = 20.0
        self.wall -= self.now
        self.boot = self.boot[:-1] + bytes([self.boot[-1] % 255 + 1])
        self.seen = dict.fromkeys(self.seen, self.now)
        self.exabgp = ExaBgp([Neighbor(address) for address in self.exabgp.neighbors])
        self.start()
        self.file.snapshot()  # where the wall clock is off, each reading of what the last boot wrote is from now on

    def start(self) -> None:
        self.begin()
        self.is_paused = False
        self._restoring = self._restore()
        next(self._restoring)
        if self.random.random() < 0.3:
            self.end_restore()

    def _restore(self) -> Iterator[None]:
        """Read the state file: what was announced at once, and the claims beside all else."""
        data = self.file.data
        restoration = Restoration(lambda at, n: data[at : at + n], len(data), self.stamp)
        self.keeper.begin_restore()
        if self.random.random() < 0.3:
            self.tap(data_frame(draw_answer(self.random)))
        restoration.recall(self.keeper.recall)
        self.keeper.end_recall()
        self.file.begin_restore(has_blocks=restoration.report.survey.blocks > 0)
        claims: list[Claim] = []
        newcomers: list[Claim] = []
        restoration.adopt(claims.extend, adopt_newcomers=newcomers.extend)
        had_newcomers = bool(newcomers)
        yield
        for adopt, waiting in ((self.keeper.adopt, claims), (self.keeper.adopt_newcomers, newcomers)):
            while waiting:
                count = self.random.randrange(1, 4)
                adopt(waiting[:count])
                del waiting[:count]
                yield
        ended = self._resync()
        self.file.judged(rewrite=had_newcomers or bool(ended))
        self.talk.tasks.restored = True

    def _resync(self) -> int:
        """Decide on all that is held; what happens meanwhile comes between, once a budget has its prefixes."""
        restore_budget = self.keeper._restore_budget

        def restore(view: View) -> None:
            restore_budget(view)
            if self.is_calm:
                return
            if self.random.random() < 0.3:
                self.tap(data_frame(draw_answer(self.random)))
            if self.random.random() < 0.3:
                self.forget(self.random.choice(ADDRESSES), is_name=False)
            if self.random.random() < 0.3:
                self.forget(self.random.choice(NAMES), is_name=True)

        with patch.object(self.keeper, "_restore_budget", restore):
            return self.keeper.resync()

    @property
    def is_restoring(self) -> bool:
        return self.keeper.is_restoring

    def go_on_restoring(self) -> None:
        """Take some more claims of the state file, or come to its end."""
        if self._restoring is not None and next(self._restoring, self) is self:
            self._restoring = None

    def end_restore(self) -> None:
        while self._restoring is not None:
            self.go_on_restoring()

    def damage(self, payload: bytes, *, torn: bool) -> None:
        """Something stands in the state file that is no record of ours, or is torn; no block is lost by it."""
        if torn:
            self.file.data += payload
        else:
            with suppress(struct.error):
                self.file.data += b"".join(frames(BlockKind.CHANGES, [], [], self.stamp))

    # -- the end

    def end(self) -> None:
        """All neighbors come up, ExaBGP refuses nothing any more, and everything comes to rest."""
        self.end_restore()
        self.exabgp.hasty = 0
        self.exabgp.refuses = set()
        self.exabgp.unreadable = {}
        self.pause(paused=False)
        self.exabgp.assign(dict.fromkeys(self.exabgp.neighbors, True))
        for address in self.exabgp.neighbors:
            self.exabgp.up(address)
        if self.was_hostile:  # what was given up is tried again once neighbors change
            self.turn(100)
            for address in list(self.exabgp.neighbors):
                self.exabgp.down(address)
            self.turn(100)
        self.keeper.expire()
        self.rest()
        assert self.talk.stage is Stage.READY
        for neighbor in self.exabgp.neighbors.values():
            recorded = self.file.of(neighbor.address)
            assert recorded == neighbor.table, f"{neighbor.address} has {neighbor.table}, recorded: {recorded}"
        self.check()

    def rest(self) -> None:
        """Everything comes to rest: each router has exactly what it should."""
        self.end_restore()
        for address in list(self.exabgp.neighbors):
            self.exabgp.up(address)
        for _ in range(400):
            self.turn(10)
            if self.is_at_rest:
                break
            self.now += 0.3
        for neighbor in self.exabgp.neighbors.values():
            expected = self.expected(neighbor)
            assert self.is_right(neighbor, neighbor.table), {
                "neighbor": neighbor.address,
                "lost": expected.keys() - neighbor.table.keys(),
                "ghosts": neighbor.table.keys() - expected.keys(),
                "wrong": {p for p in expected.keys() & neighbor.table.keys() if expected[p] != neighbor.table[p]},
            }

    @property
    def is_at_rest(self) -> bool:
        right = all(self.is_right(neighbor, neighbor.table) for neighbor in self.exabgp.neighbors.values())
        handed_over = all(view.reconciler.handed_over for view in self.views)
        return right and handed_over and not self.talk.unanswered and self.is_recorded()

    def is_recorded(self) -> bool:
        self.talk.prepare(self.now)
        self.correct(self.views.take_corrections())
        self.make_durable()
        found = self.exabgp.neighbors.values()
        return all(self.file.of(neighbor.address) == neighbor.table for neighbor in found)

    def check(self) -> None:
        """What holds at any time."""
        for address, limit in self.limits.items():
            neighbor = self.exabgp.neighbors.get(address)
            assert neighbor is None or len(neighbor.cache) <= limit, f"{address} has more than {limit} prefixes"
        claims, caps = self.claims(), self.configuration.caps
        assert len(self.table.claims) == len(claims)
        assert len(self.table) == len({claim.address for claim in claims})
        # what was added by hand comes back whatever the caps; only then room is made for it
        assert len(self.table) <= caps.routes_max or self.is_restoring
        by_name: dict[tuple[str, bytes], int] = {}
        for claim in claims:
            if claim.name != BY_HAND:  # no cap of a name counts those
                by_name[claim.list, claim.name] = by_name.get((claim.list, claim.name), 0) + 1
            seen = self.seen.get((claim.address, claim.name))
            assert seen is not None, f"a claim out of nowhere: {claim}"
            assert claim.seen <= seen + 0.002, f"younger than it is: {claim}, seen {seen}"
            assert claim.seen <= self.now
        assert max(by_name.values(), default=0) <= caps.name_routes_max or self.is_restoring  # see `newcomers`
        for policy in self.configuration.policies:
            held = {claim.address for claim in claims if claim.list == policy.list}
            assert self.table.claims.routes_of(policy.list) == len(held)
            assert policy.routes_max is None or len(held) <= policy.routes_max or self.is_restoring

    def end_and_start_again(self) -> None:
        """At rest; and what is restored after an orderly end is what was there, and no router notices."""
        self.end()
        alive = [claim for claim in self.claims() if claim.seen + claim.ttl_s > self.now + 0.01]
        before = {(claim.address, claim.list, claim.name) for claim in alive}
        self.is_calm = True
        self.stop()
        self.end_restore()
        self.is_calm = False
        after = {(claim.address, claim.list, claim.name) for claim in self.claims()}
        assert before <= after or self.configuration.is_capped, before - after
        self.end()


def bare(attributes: Attributes) -> Attributes:
    return Attributes(
        attributes.next_hop,
        attributes.communities,
        attributes.large_communities,
        attributes.local_preference,
        attributes.med,
    )


# -- what is drawn


def draw_configuration(dice) -> Configuration:
    lists = dice.sample(LISTS, dice.randrange(1, 4))
    policies, names, prefixes, denied = [], [], [], []
    for name in lists:
        peers = dice.choice([(), (ONE,), (TWO,), (ONE, TWO), (TWO, THREE)])
        hop = 100 + LISTS.index(name) + dice.choice([1, 11])
        following = dice.choice([None, None, DnsTtl(2.0, 20.0, 1.0)])
        has6 = dice.random() < 0.7
        policies.append(
            Policy(
                name,
                Attributes(bytes((10, 99, 0, hop)), med=hop, neighbors=peers),
                Attributes(bytes((0x20, 1, *[0] * 13, hop)), neighbors=peers) if has6 else None,
                21.0 if following else dice.choice([5.0, 300.0, 90_000.0]),
                following,
                dice.choice([None, None, None, 2]),
            )
        )
        names.append(frozenset(one for one in NAMES if dice.random() < 0.6))
        prefixes.append(tuple(dice.sample(PREFIXES, dice.choice([0, 0, 1, 2]))))
        denied.append(dice.random() < 0.2)
    caps = dice.choice([Caps(), Caps(), Caps(routes_max=4, evicts=True, claims_max=6), Caps(4, 3, rule_routes_max=3)])
    budgets = dice.choice([(), (), (), ((ONE, 3),), ((TWO, 2), (THREE, 1))])
    return Configuration(tuple(policies), tuple(names), tuple(prefixes), tuple(denied), caps, budgets)


def answer(name: bytes, addresses: list[bytes], ttl_s: int, *, alias: bytes | None = None) -> bytes:
    """A DNS response for the name, perhaps by an alias of another name (RFC 1035, 4.1)."""
    kind = 28 if addresses and len(addresses[0]) == 16 else 1
    addresses = [one for one in addresses if len(one) == (16 if kind == 28 else 4)]
    asked = alias or name
    wire = struct.pack("!6H", 7, 0x8180, 1, len(addresses) + (alias is not None), 0, 0)
    wire += _name(asked) + struct.pack("!HH", kind, 1)
    owner = b"\xc0\x0c"
    if alias is not None:
        wire += owner + struct.pack("!HHIH", 5, 1, ttl_s, len(_name(name))) + _name(name)
        owner = _name(name)
    for address in addresses:
        wire += owner + struct.pack("!HHIH", kind, 1, ttl_s, len(address)) + address
    return wire


def _name(name: bytes) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in name.split(b".")) + b"\0"


def data_frame(wire: bytes) -> bytes:
    """A DNSTap data frame, CLIENT_RESPONSE, with its length."""
    body = b"\x08\x06\x72" + _varint(len(wire)) + wire
    payload = b"\x72" + _varint(len(body)) + body + b"\x78\x01"
    return struct.pack("!I", len(payload)) + payload


def question(wire: bytes, hook: bytes = b"hook") -> bytes:
    """A hook's question."""
    return struct.pack("!BB8sB", 1, 0, b"12345678", len(hook)) + hook + wire


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return out + bytes((number,))


# -- what happens, drawn


def draw_answer(dice) -> bytes:
    addresses = [dice.choice(ADDRESSES) for _ in range(dice.randrange(1, 5))]
    alias = dice.choice([None, None, b"alias.example", b"x.b.example"])
    wire = answer(dice.choice(NAMES), addresses, dice.choice([0, 8, 100]), alias=alias)
    if dice.random() < 0.1:
        at = dice.randrange(len(wire))
        wire = wire[:at] + dice.randbytes(1) + wire[at + 1 :]
    return wire


def taps(world, dice):
    data = b"".join(data_frame(draw_answer(dice)) for _ in range(dice.randrange(1, 4)))
    world.tap(data, dice.choice([1 << 20, 1 << 20, 7, 64]))


def asks(world, dice):
    world.ask(question(draw_answer(dice)))


def turns(world, dice):
    world.turn(dice.randrange(1, 6))


def turns_long(world, dice):
    world.turn(dice.choice([30, 100]))


def waits(world, dice):
    world.tick(dice.choice([0.2, 1.0, 4.0, 7.0, 30.0, 400.0]))


def falls(world, dice):
    world.exabgp.down(dice.choice(list(world.exabgp.neighbors)))


def rises(world, dice):
    world.exabgp.up(dice.choice(list(world.exabgp.neighbors)))


def is_removed(world, dice):
    if len(world.exabgp.neighbors) > 1 and all(neighbor.ours for neighbor in world.exabgp.neighbors.values()):
        world.exabgp.remove(dice.choice(list(world.exabgp.neighbors)))


def is_added(world, dice):
    address = dice.choice(NEIGHBORS)
    if address not in world.exabgp.neighbors:
        world.exabgp.add(Neighbor(address, ours=all(one.ours for one in world.exabgp.neighbors.values())))


def merges(world, dice):
    claims = []
    for _ in range(dice.randrange(1, 4)):
        seen = world.now - dice.choice([0.0, 0.3, 3.0, 30.0, 600.0, -5.0])
        ttl_s = dice.choice([0.0, 5.0, 300.0])
        list_name = dice.choice([*LISTS, "strange"])
        claims.append(Claim(dice.choice(ADDRESSES), list_name, dice.choice(NAMES), seen, seen, ttl_s))
    frame = delta.encode_claims(claims, world.now)
    if dice.random() < 0.2:
        at = dice.randrange(len(frame))
        frame = frame[:at] + dice.randbytes(1) + frame[at + 1 :]
    world.peer(frame)


def adds(world, dice):
    world.add_by_hand(dice.choice(ADDRESSES), dice.choice(LISTS), dice.choice([3.0, 600.0]))


def forgets(world, dice):
    is_name = dice.random() < 0.5
    world.forget(dice.choice(NAMES if is_name else ADDRESSES), is_name=is_name)


def reloads(world, dice):
    world.reload(draw_configuration(dice))


def restores(world, dice):
    del dice
    world.go_on_restoring()


def respawns(world, dice):
    del dice
    world.respawn()


def stops(world, dice):
    del dice
    world.stop()


def reboots(world, dice):
    world.reboot(dice.choice([0.0, 10.0, 1000.0]), dice.choice([0.0, 0.0, 1e9, -1e9]))


def pauses(world, dice):
    del dice
    world.pause(paused=not world.is_paused)


def refuses(world, dice):
    world.was_hostile = True
    world.exabgp.refuses |= {text(prefix) for prefix in dice.sample([*ADDRESSES, *PREFIXES], 2)}


def relents(world, dice):
    del dice
    world.exabgp.refuses = set()


def hastens(world, dice):
    world.was_hostile = True
    world.exabgp.hasty = dice.randrange(1, 4)


def disowns(world, dice):
    """ExaBGP reads a configuration that gives neighbors to another process, or back to ours; they stay up."""
    world.was_hostile = True
    world.exabgp.assign({address: dice.random() < 0.5 for address in world.exabgp.neighbors})


def garbles(world, dice):
    world.exabgp.unreadable = {dice.choice(NEIGHBORS): dice.choice(["", "families", "messages", "peer"])}


def is_torn(world, dice):
    world.damage(dice.randbytes(dice.randrange(40)), torn=True)
    world.respawn()
    world.file.snapshot()


def says_odd_things(world, dice):
    world.hears(dice.randbytes(dice.randrange(1, 30)))


EVENTS = [
    *[taps] * 5,
    *[asks] * 2,
    *[turns] * 6,
    *[turns_long] * 2,
    *[waits] * 2,
    *[rises] * 2,
    *[merges] * 2,
    falls,
    is_removed,
    is_added,
    adds,
    forgets,
    *[reloads] * 2,
    *[restores] * 2,
    respawns,
    stops,
    reboots,
    pauses,
    refuses,
    relents,
    hastens,
    disowns,
    garbles,
    is_torn,
    says_odd_things,
]
