"""Composition root: the parts at work, built from one configuration, revised by the next, stopped in order.

This and `plugin` wire; nothing else does. All of it is called by the main thread.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dnstap_bgp.config import Config
from dnstap_bgp.config.settings import ListConfig, managed_file
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.lists.managed import EditRequest
from dnstap_bgp.core.lists.rules import RuleSet
from dnstap_bgp.core.lists.source import Force, ListSource
from dnstap_bgp.core.lists.switches import Switch, Switches, SwitchRequest
from dnstap_bgp.core.model import Claim, Prefix
from dnstap_bgp.core.routes.policy import Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.core.status.report import Finding
from dnstap_bgp.core.tap.ingest import Ingest, IngestCounters, UnreadIngest
from dnstap_bgp.errors import CommandError, ConfigError, ForeignFileError, ListError, StateFileError
from dnstap_bgp.workers.doctor.doctor import Doctor
from dnstap_bgp.workers.exabgp.bgp import Bgp
from dnstap_bgp.workers.lists.loader import Loaded
from dnstap_bgp.workers.lists.manager import ListManager
from dnstap_bgp.workers.lists.steering import SwitchFile, edit_managed, switches_file
from dnstap_bgp.workers.net.certificates import unusable_certificates
from dnstap_bgp.workers.process import logs
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.config_reader import load
from dnstap_bgp.workers.process.instance import RESPAWN_WINDOW_S, Brake
from dnstap_bgp.workers.process.loop import Loop
from dnstap_bgp.workers.process.mailbox import Errand, Outcome
from dnstap_bgp.workers.process.thread import CrashHandler
from dnstap_bgp.workers.refresh.active_refresh import ActiveRefresh
from dnstap_bgp.workers.routes.guard_inputs import GuardInputs
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.routes.timer import Timer
from dnstap_bgp.workers.state.store import Store
from dnstap_bgp.workers.sync.syncer import Syncer
from dnstap_bgp.workers.tap.tap import Tap
from dnstap_bgp.workers.web.inspector import Parts
from dnstap_bgp.workers.web.server import WebServer

if TYPE_CHECKING:
    from dnstap_bgp.core.hold.hook_answers import HookAnswerCounters, HookAnswers
    from dnstap_bgp.workers.hold.service import HoldService

logger = logging.getLogger(__name__)

STOP_S = 1.5
"""ExaBGP kills after 2 s what it has asked to end; within this all threads are joined and the last records written."""

LAST_SAVE_S = 0.5
"""The part of `STOP_S` that the last refreshes may take."""

_ENDING = "the plugin ends: what would come and go was not worked out"

GUARD_S = 1.0
"""How soon a neighbor that ExaBGP has told of, or an address of this machine, is protected from becoming a route; and a
signal heeded that came right before the main thread began to wait, or to another thread after a SIGSTOP: no such signal
ends a wait, and its handler runs once the main thread does."""


class App:
    """Parts at work: table, tap, ExaBGP's api session, state, lists, web, sync and refresh, wired to each other.

    Attributes:
        config: What is in force.
    """

    def __init__(
        self,
        config: Config,
        bgp: Bgp,
        list_manager: ListManager,
        loop: Loop,
        *,
        stopping: threading.Event,
        end: CrashHandler,
        send: Callable[[Errand], None],
        brake: Brake | None = None,
    ) -> None:
        """Build all parts and start them, unless `stopping` is set meanwhile.

        Args:
            config: What is in force at first.
            bgp: The conversation with ExaBGP, which is being read already.
            list_manager: Loads and fetches lists.
            loop: Where services run.
            stopping: Set when the end has begun.
            end: Begins the end; for threads that crash.
            send: Puts an errand into the main thread's queue.
            brake: Why nothing may be read that others send, for now; `release_brake` ends that.
        """
        self.config = config
        self._brake = brake
        self._brake_ends = process_clock() + (brake.pause_s if brake is not None else 0.0)
        self._bgp = bgp
        self._list_manager = list_manager
        self._switches = SwitchFile(switches_file(config), only_ours=True)
        self._loop = loop
        self._guard_inputs = GuardInputs()
        self._prefixes: dict[str, tuple[Prefix, ...]] = {}  # of the lists' sources
        self._store = self._open_store(stopping, end)
        loaded = self._load(config)
        table = RouteTable(self._policies(), recording=self._store is not None)
        rules = loaded.rules if loaded else RuleSet.build([])
        self._keeper = Keeper(table, Views(), rules.without(self._off(config)), stopping)
        self._keeper.unknown = _unknown(loaded, config) - self._off(config)
        self._is_revision_due = False  # the guard has learnt of addresses while claims were coming back
        self._doubted: frozenset[str] = frozenset()  # lists that gave nothing at the start, and came with routes
        self._mute()
        self._refresh = ActiveRefresh(self._loop, self._keeper)
        self._tap = Tap(config.dnstap, self._keeper, self._ingest(self._keeper.rules), end)
        self._end = end
        self._hold: HoldService | None = None
        parts = Parts(self._keeper, self._tap, bgp, self._store, list_manager)
        self._web = WebServer(config, parts, self._loop, end)
        self._doctor = Doctor(config, self._tap, self._keeper, self._web.inspector.status)
        self._doctor_is_ill = False
        self._web.inspector.findings = self._findings
        self._web.inspector.send = send
        self._web.inspector.switches = lambda: self._switches.switches
        # The inspector exists before its sources of findings and peers: those look through it themselves.
        self._sync = Syncer(self._loop, self._keeper, self._store)
        self._web.inspector.peers = self._sync.status
        self._web.inspector.hold = lambda: self._hold.status() if self._hold is not None else None
        self._web.inspector.refresh = self._refresh.status
        self._web.inspector.switch_hold = self._switch_hold
        self._make_hold()
        self._timer = Timer(self._keeper, self._store, self._tick, end)
        if not stopping.is_set():
            self._start(stopping)
        if not stopping.is_set():
            self._connect()

    def reload(self, path: Path, *, force: Force) -> Outcome:
        """Read the configuration and the lists again. What is wrong with the configuration changes nothing.

        All is checked before anything of it comes into force. A list source that gets worse or can't be read any more
        is no matter of the configuration: it keeps what it had, and the outcome is one in part.

        Args:
            path: The configuration file.
            force: The lists that take what they would hold back.
        """
        try:
            config = load(path)
        except ConfigError as error:
            return Outcome(ok=False, messages=tuple(str(problem) for problem in error.problems))
        messages = [f"{key}: the new value needs a restart" for key in config.restart_keys(self.config)]
        messages += config.warnings
        config = config.keeping(self.config)
        problems = _problems(config, force)
        if problems:
            return Outcome(ok=False, messages=(*messages, *problems))
        loaded, told = self._list_manager.load(config.list_sources(), force=force, new_must_work=True)
        messages += told
        if loaded is None or loaded.refused is not None:
            return Outcome(ok=False, messages=tuple(messages))
        self.config = self._doctor.config = config
        logs.configure(config.log.format, config.log.level)
        self._mute()
        self._web.configure(self.config)
        self._enforce(loaded)
        refused = self._tap.rebind(self.config.dnstap)
        self._configure_hold()
        self._connect(look_now=True)
        is_whole = loaded.is_whole and not refused
        return Outcome(is_whole, (*messages, *refused), in_part=not is_whole)

    def refresh(self) -> Outcome:
        """Read the lists again, by the configuration that is in force."""
        loaded, messages = self._list_manager.load(self.config.list_sources(), only_news=True)
        if loaded is None:
            return Outcome(ok=False, messages=tuple(messages))
        if loaded.how != "unchanged":
            self._enforce(loaded)
        return Outcome(loaded.is_whole, tuple(messages), in_part=loaded.refused is None and not loaded.is_whole)

    def release_brake(self, now: float) -> None:
        """Begin to read what others send, once the brake's time is over.

        Args:
            now: Process clock.
        """
        if self._brake is None or now < self._brake_ends:
            return
        self._brake = None
        logger.warning("what senders and peers say is read again, %d frames later", self._tap.ingest.counters.unread)
        self._tap.ingest = self._ingest(self._keeper.rules, self._tap.ingest.counters)
        self._replace_hook_answers(self._keeper.rules)
        self._connect()

    def protect(self) -> None:
        """Keep newly learnt addresses of neighbors, peers and this machine from becoming or staying routes."""
        if self._learn():
            self._revise()

    def _learn(self) -> bool:
        """Keep newly learnt addresses from becoming routes; tells whether there are any, so that `_revise` is due."""
        is_news = self._guard_inputs.learn(self._bgp.session_addresses() | self._sync.addresses())
        if is_news:
            self._keeper.switch(self._keeper.rules, self._policies(), self._keeper.unknown)
        return is_news

    def examine(self) -> None:
        """Let the doctor look, if it is time; while nothing is read, there is nothing to look at."""
        if self._brake is not None:
            return
        try:
            self._doctor.look()
        except Exception:  # it only gives advice: no route may depend on it
            if not self._doctor_is_ill:
                self._doctor_is_ill = True
                logger.exception("the doctor has crashed; nothing else depends on it")

    def preview(self, path: Path, *, force: Force = False) -> Outcome:
        """Tell what `reload` would do now, without doing it: its outcome, and what would come and go.

        Args:
            path: The configuration file.
            force: As for `reload`.
        """
        try:
            config = load(path).keeping(self.config)
            problems = _problems(config, force)
            if problems:
                return Outcome(ok=False, messages=tuple(problems))
            loaded = self._list_manager.preview(config.list_sources(), force=force, new_must_work=True)
        except ConfigError as error:
            return Outcome(ok=False, messages=tuple(str(problem) for problem in error.problems))
        except ListError as error:
            return Outcome(ok=False, messages=(f"lists: {error}",))
        if loaded.refused is not None:
            return Outcome(ok=False, messages=(f"lists: {loaded.refused}",))
        troubles = (*loaded.held.values(), *loaded.failed.values(), *loaded.awaited.values())
        differences = self._difference(config, loaded)
        if differences is None:
            return Outcome(ok=False, messages=(_ENDING,))
        return Outcome(loaded.is_whole, (*troubles, *differences), in_part=not loaded.is_whole)

    def switch_list(self, request: SwitchRequest) -> Outcome:
        """Switch a list on or off, in place of its `enabled` in the configuration; at once.

        Args:
            request: The list, and what it is to be.

        Raises:
            CommandError: There is no such list, or the switch can't be written.
        """
        now, name = time.time(), self._known_list(request.list).name
        until = None if request.for_s is None else now + request.for_s
        switch = Switch(request.enabled, until, now, request.who)
        self._switches.switch(name, switch, configured=self._known_list(name).enabled)
        logger.info("list %s: switched %s by %s", name, "on" if request.enabled else "off", request.who or "somebody")
        return Outcome(ok=True, messages=(*self._enforce_switches(), *_switched_text(self._switches.switches, name)))

    def undo_switches(self) -> None:
        """Undo the switches whose time is over."""
        gone = self._switches.undo_expired()
        if gone:
            logger.info("lists as configured again, since the time of their switch is over: %s", ", ".join(gone))
            self._enforce_switches()

    def edit_list(self, request: EditRequest) -> Outcome:
        """Add names to a managed list, or remove some.

        Args:
            request: The list and the change.

        Returns:
            Whether it is in force, or would be, and what came and went.

        Raises:
            CommandError: There is no such list, it is not managed, or the change is refused.
        """
        listed, cache = self._known_list(request.list), self.config.cache
        if not listed.managed or cache is None:
            raise CommandError(f"the list {listed.name} is not managed: it is what its sources say")
        path, sources = managed_file(cache, listed.name), self.config.list_sources()
        if request.is_preview:
            return self._preview_edit(path, request, sources)
        edit_managed(path, request.edit)
        logger.info("list %s: changed by %s", listed.name, request.edit.who or "somebody")
        loaded, messages = self._list_manager.load(sources, only_news=True)
        if loaded is None:
            return Outcome(ok=False, messages=tuple(messages))
        lines = _changes_only(self._difference(self.config, loaded))
        self._enforce(loaded)
        return Outcome(_is_in_force(loaded, listed.name), (*messages, *lines))

    def counts(self) -> dict[str, int]:
        """Count rules, claims, routes and static prefixes, for a glance."""
        table = self._keeper.table
        return {
            "rules": len(self._keeper.rules),
            "claims": len(table.claims),
            "routes": len(table),
            "prefixes": len(table.policies.statics),
        }

    def stop(self) -> None:
        """Stop all threads and save, within `STOP_S` altogether."""
        # First all are asked, then all are awaited: their ends overlap. The tap stops before the store saves, so that
        # what has come by now is saved; the store is the last, since each of the others may still hand it a record.
        deadline = process_clock() + STOP_S
        self._list_manager.shutdown()
        self._web.shutdown()
        self._tap.shutdown()
        if self._hold is not None:
            self._hold.shutdown()
        self._timer.shutdown()
        self._bgp.shutdown()
        self._loop.shutdown()
        for worker in (self._web, self._tap, self._hold, self._timer, self._bgp, self._loop):
            if worker is not None:
                worker.join(max(0.0, deadline - process_clock()))
        if self._store is not None:
            self._store.append(claims=self._keeper.dirty())
            for claims in self._keeper.unrecorded(process_clock() + LAST_SAVE_S):
                self._store.append(claims=claims).wait(max(0.0, deadline - process_clock()))
            self._store.shutdown(max(0.0, deadline - process_clock()))
            self._store.join(max(0.0, deadline - process_clock()))

    def log_counts(self) -> None:
        """Log the counts, a line for each part."""
        logger.info("%(rules)d rules, %(claims)d claims, %(routes)d routes", self.counts())
        logger.info("tap: %s", figures(asdict(self._tap.ingest.counters)))
        table = self._keeper.table
        refusals = table.admission.refusals
        logger.info("refused sightings: %s; claims let go: %s", *map(figures, (refusals.refused, refusals.evicted)))
        for name in table.policies.by_list:
            logger.info(
                "list %s: %d rules, %d routes",
                name,
                self._keeper.rules.counts.get(name, 0),
                table.claims.routes_of(name),
            )
        host = self._bgp.status()
        if host is not None:
            up = [neighbor.address for neighbor in host.neighbors if neighbor.up]
            logger.info("bgp: ExaBGP %s; %d of %d neighbors up", host.version, len(up), len(host.neighbors))
            logger.info("bgp: %d routes told, %d waiting", host.told_ipv4 + host.told_ipv6, host.waiting)
        if self._store is not None:
            status = self._store.status
            logger.info("state file: %d bytes, %s", status.size, status.error or "in order")

    # -- building

    def _findings(self) -> tuple[Finding, ...]:
        """Give what is wrong: the doctor's findings, or the brake while that is on."""
        brake = self._brake
        if brake is None:
            return self._doctor.findings()
        until = time.strftime("%H:%M:%S", time.localtime(brake.until))
        text = (
            f"ExaBGP has seen {brake.deaths} deaths of the plugin within {RESPAWN_WINDOW_S} s: until {until} what"
            f" senders and peers say is taken and not read ({self._tap.ingest.counters.unread} frames so far); what was"
            " held stays announced"
        )
        advice = "the log tells what ended it: a traceback, or a signal from outside (the kernel's log for memory)"
        return (Finding("error", "brake", text, advice),)

    def _connect(self, *, look_now: bool = False) -> None:
        """Talk to peers and list servers as configured, unless the brake is on."""
        if self._brake is None:
            self._sync.configure(self.config.syncer)
            self._refresh.configure(self.config)
            self._list_manager.follow(self.config.list_sources(), look_now=look_now)

    def _open_store(self, stopping: threading.Event, end: CrashHandler) -> Store | None:
        if self.config.cache is None:
            logger.warning("no `cache` is set: what is learnt is lost with this process")
            return None
        store = Store(self.config.cache, end)
        store.lock(stopping)
        return store

    def _revise(self) -> None:
        if self._keeper.revise() and self._store is not None:
            self._store.save()  # or a restart would bring back what has just ended, should a list name it again

    def _off(self, config: Config) -> frozenset[str]:
        """Name the lists that are switched off, by the configuration or by hand."""
        return self._switches.switches.off({found.name: found.enabled for found in config.all_lists}, time.time())

    def _known_list(self, name: str) -> ListConfig:
        """Find a list of the configuration.

        Raises:
            CommandError: There is none.
        """
        for found in self.config.all_lists:
            if found.name == name:
                return found
        known = ", ".join(found.name for found in self.config.all_lists)
        raise CommandError(f"there is no list {name!r}; there are: {known}")

    def _enforce_switches(self) -> list[str]:
        """Bring the switches into force; returns what came and went."""
        loaded = self._list_manager.loaded
        if loaded is None:
            return ["no list could be read yet"]
        lines = _changes_only(self._difference(self.config, loaded))
        self._enforce(loaded)
        return lines

    def _preview_edit(self, path: Path, request: EditRequest, sources: Sequence[ListSource]) -> Outcome:
        """Tell what a change of a managed list would do: by a copy of its file, which nobody else reads."""
        copy = path.with_name(f".{path.name}.preview")
        edit_managed(path, request.edit, target=copy)
        try:
            changed = [replace(one, sources=(str(copy),)) if one.name == path.name else one for one in sources]
            loaded = self._list_manager.preview(changed)
        except ListError as error:
            return Outcome(ok=False, messages=(f"lists: {error}",))
        finally:
            copy.unlink(missing_ok=True)
        return Outcome(_is_in_force(loaded, path.name), tuple(_changes_only(self._difference(self.config, loaded))))

    def _difference(self, config: Config, loaded: Loaded) -> list[str] | None:
        """Tell what would come and go with a configuration, lists, and the switches of now; None: the end has begun."""
        off = self._off(config)
        policies = self._guard_inputs.policies(config.without(off), loaded.prefixes)
        rules = loaded.rules.without(off)
        diff = self._keeper.reload_diff(rules, policies, self._unknown(loaded, config))
        return None if diff is None else diff.lines()

    def _policies(self) -> Policies:
        policies = self._guard_inputs.policies(self.config.without(self._off(self.config)), self._prefixes)
        self._guard_inputs.log_refused(policies)
        return policies

    def _tick(self, now: float, claims: Sequence[Claim]) -> None:
        """Hand on the timer's claims: our own to peers, and these with those of peers to whoever watches."""
        self._sync.feed(claims)
        self._web.tick(now, [*claims, *self._sync.learnt()])

    def _ingest(self, rules: RuleSet, counters: IngestCounters | None = None) -> Ingest:
        kind = Ingest if self._brake is None else UnreadIngest
        dnstap = self.config.dnstap
        trust, asked_names = self._guard_inputs.trust(dnstap), self._refresh.names_for(self.config)
        ingest = kind(rules, dnstap.messages, counters, trust, dnstap.memo_bytes, asked_names=asked_names)
        if counters is not None:
            ingest.remember(self._tap.ingest)
        return ingest

    def _make_hold(self) -> None:
        """Make the hold service once it is configured: it is 1 MB that a plugin without `[hold]` does without."""
        if self._hold is not None or self.config.hold is None:
            return
        from dnstap_bgp.workers.hold.service import HoldService  # noqa: PLC0415

        self._hold = HoldService(self.config, self._keeper, lambda: self._bgp.tasks, self._end)
        self._replace_hook_answers(self._keeper.rules)

    def _configure_hold(self) -> None:
        """Have the hold service follow the configuration of now, begun if it is new there."""
        if self._hold is not None:
            self._hold.configure(self.config)
            return
        self._make_hold()
        if self._hold is not None:
            self._hold.start()

    def _replace_hook_answers(self, rules: RuleSet) -> None:
        if self._hold is None:
            return
        from dnstap_bgp.workers.hold.filter_file import renew_filter  # noqa: PLC0415 - as above

        answers = self._hook_answers(rules, self._hold.counters)
        renew_filter(self.config, rules if answers is not None else None)
        self._hold.answers = answers

    def _hook_answers(self, rules: RuleSet, counters: "HookAnswerCounters") -> "HookAnswers | None":
        dnstap = self.config.dnstap
        if self._brake is not None or self.config.hold is None:
            return None
        from dnstap_bgp.core.hold.hook_answers import HookAnswers  # noqa: PLC0415 - as above

        return HookAnswers(
            rules,
            counters,
            identities=dnstap.identities,
            rewritten=dnstap.rewritten,
            memo_bytes=dnstap.memo_bytes,
            asked_names=self._refresh.names_for(self.config),
        )

    def _switch_hold(self, on: bool) -> None:  # noqa: FBT001 - the only thing there is to say
        if self.config.hold is None or self._hold is None:
            raise CommandError("there is no [hold] in the configuration")
        self._hold.switch(on=on)

    def _mute(self) -> None:
        self._keeper.pause(paused=self.config.dry_run)

    def _load(self, config: Config) -> Loaded | None:
        """Load the lists at the start; None: there is nothing that could be in force."""
        loaded, messages = self._list_manager.load(config.list_sources())
        for message in messages:
            logger.warning("%s", message)
        if loaded is not None:
            self._prefixes = loaded.prefixes
        return loaded

    def _enforce(self, loaded: Loaded) -> None:
        """Bring new lists, and whatever the configuration in force says of them, into force."""
        self._prefixes = loaded.prefixes
        if loaded.refused is None:
            self._doubted &= frozenset(loaded.unproven)
        rules = loaded.rules.without(self._off(self.config))
        self._keeper.switch(rules, self._policies(), self._unknown(loaded, self.config))
        self._tap.ingest = self._ingest(rules, self._tap.ingest.counters)
        self._replace_hook_answers(rules)
        self._revise()
        self._sync.resync()

    def _start(self, stopping: threading.Event) -> None:
        """Restore and start all threads; given up where `stopping` is set meanwhile."""
        # The order: who asks is answered from the first moment, and what senders say is taken; what was announced is
        # known before ExaBGP hears of anything; the claims, which take the longest, come back beside all the rest.
        self._web.start()
        gc.disable()  # it would look at the growing table again and again, for half of the time of a restore
        try:
            self._keeper.begin_restore()
            self._tap.start()
            is_read = self._recall(stopping)
            if stopping.is_set():  # with a part of what was announced nothing may be said
                return
            self._keeper.end_recall()
            self._bgp.start(self._keeper, self._store)
            if self._hold is not None:
                self._hold.start()
            self._timer.start()
            if is_read and not self._adopt(stopping):
                return
            loaded = self._list_manager.loaded
            routes_of = self._keeper.table.claims.routes_of
            # Where not even one list has a rule, nothing is known of any of them: a source that comes later proves its
            # own.
            unproven = loaded.unproven if loaded is not None else (found.name for found in self.config.all_lists)
            self._doubted = frozenset(filter(routes_of, unproven))
            self._keeper.unknown = self._unknown(loaded, self.config)
            ended = self._keeper.resync()
            if stopping.is_set():
                return
            if self._store is not None:
                self._store.end_restore(rewrite=ended > 0)
            gc.freeze()
        finally:
            gc.enable()
        self._bgp.restored()
        self._web.restored()
        # What the guard has learnt to refuse meanwhile is withdrawn already: nobody's End-of-RIB waits for the rest.
        if self._is_revision_due:
            self._revise()

    def _unknown(self, loaded: Loaded | None, config: Config) -> frozenset[str]:
        """Name the lists whose rules are not known; an empty source proves nothing where its list came with routes."""
        unknown = _unknown(loaded, config) - self._off(config)
        if loaded is None:
            return unknown
        if loaded.refused is not None:  # what is in force stays, and so does what is not known of it
            return unknown | (self._keeper.unknown & {found.name for found in config.all_lists}) - self._off(config)
        return unknown - (frozenset(loaded.unproven) - self._doubted - frozenset(loaded.pending))

    def _recall(self, stopping: threading.Event) -> bool:
        """Take over what was announced, then let the store write the file; tells whether its claims can follow."""
        store = self._store
        if store is None:
            return False
        try:
            store.recall(self._keeper.recall, stopping.is_set)
        except ForeignFileError as error:
            logger.error("%s; nothing is kept across restarts until `cache` names another file", error)
            return False
        except StateFileError as error:
            logger.error("%s", error)
        store.start(self._keeper.walk)
        return store.can_adopt

    def _adopt(self, stopping: threading.Event) -> bool:
        """Take over the state file's claims; tells whether all were read, as far as the disk allows."""
        store = self._store
        assert store is not None
        look_at = process_clock() + GUARD_S

        def is_given_up() -> bool:
            nonlocal look_at
            if process_clock() >= look_at:
                if self._learn():
                    self._keeper.end_refused(self._guard_inputs.protected)
                    self._is_revision_due = True
                look_at = process_clock() + GUARD_S
            return stopping.is_set()

        try:
            report = store.adopt(self._keeper.adopt, is_given_up, self._keeper.adopt_newcomers)
        except StateFileError as error:
            logger.error("%s", error)
            return True
        if report is None:
            return False
        logger.info("state file: %s", report)
        return True


def _problems(config: Config, force: Force) -> list[str]:
    """Tell what of a configuration can't be put in force, beside its lists."""
    problems = [f"{table}.{problem}" for table, problem in unusable_certificates(config)]
    if not isinstance(force, bool):
        names = [found.name for found in config.all_lists]
        problems += [f"there is no list {name!r}; there are: {', '.join(names)}" for name in sorted(force - {*names})]
    return problems


def _is_in_force(loaded: Loaded, list_name: str) -> bool:
    """Tell whether all that a list has is in force; others may wait."""
    return loaded.refused is None and not any(name == list_name for name, _ in (*loaded.held, *loaded.failed))


def _unknown(loaded: Loaded | None, config: Config) -> frozenset[str]:
    """Name the lists whose rules are not known: all without a rule set, or those with a source that gave nothing."""
    if loaded is None:
        return frozenset(found.name for found in config.all_lists)
    if loaded.refused is not None:  # what was in force before may be of other lists
        return frozenset(found.name for found in config.all_lists) - frozenset(loaded.rules.list_names)
    return frozenset((*loaded.pending, *loaded.unproven))


def _changes_only(lines: Sequence[str] | None) -> list[str]:
    """Leave out the lists that a change doesn't touch; None: the end has begun."""
    if lines is None:
        return [_ENDING]
    return [line for line in lines if not line.endswith(": no change")] or ["no change"]


def _switched_text(switches: Switches, name: str) -> list[str]:
    switch = switches.by_list.get(name)
    if switch is None:
        return [f"list {name}: as the configuration says"]
    until = "" if switch.until is None else time.strftime(" until %Y-%m-%d %H:%M:%S", time.localtime(switch.until))
    return [f"list {name}: switched {'on' if switch.enabled else 'off'} by hand{until}"]


def figures(counts: Mapping[str, int]) -> str:
    """Write counts by name for the log."""
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
