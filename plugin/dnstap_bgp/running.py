"""The parts at work: built from one configuration, revised by the next, stopped in order.

This and `plugin` wire; nothing else does. All of it is called by the main thread.
"""

import gc
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from dnstap_bgp.config import Config
from dnstap_bgp.core.exabgp.outbox import Outbox
from dnstap_bgp.core.lists.domains import RuleSet
from dnstap_bgp.core.model import Claim, Prefix
from dnstap_bgp.core.routes.policies import Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.core.tap.ingest import Ingest, IngestCounters
from dnstap_bgp.errors import ConfigError, ForeignFileError, ListError, StateFileError
from dnstap_bgp.workers.doctor.doctor import Doctor
from dnstap_bgp.workers.exabgp.bgp import Bgp
from dnstap_bgp.workers.lists.listing import Listing
from dnstap_bgp.workers.lists.loader import Loaded
from dnstap_bgp.workers.process import logs
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.config_reader import load
from dnstap_bgp.workers.process.loop import Loop
from dnstap_bgp.workers.process.thread import CrashHandler
from dnstap_bgp.workers.routes.foresight import foresee
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.routes.rails import Rails
from dnstap_bgp.workers.routes.timer import Timer
from dnstap_bgp.workers.state.store import Store
from dnstap_bgp.workers.sync.syncer import Syncer
from dnstap_bgp.workers.tap.tap import Tap
from dnstap_bgp.workers.web.services import Services
from dnstap_bgp.workers.web.view import Parts

logger = logging.getLogger(__name__)

STOP_S = 1.5
"""ExaBGP kills after 2 s what it has asked to end; within this all threads are joined and the last records written."""

LAST_SAVE_S = 0.5
"""Of these, what the last refreshes may take."""


class Running:
    """The parts at work, built from one configuration and revised by the next.

    Attributes:
        config: What is in force.
    """

    def __init__(
        self, config: Config, bgp: Bgp, listing: Listing, stopping: threading.Event, end: CrashHandler
    ) -> None:
        """Build all parts and start them, unless `stopping` is set meanwhile."""
        self.config = config
        self._bgp = bgp
        self._listing = listing
        self._loop = Loop(end)
        self._rails = Rails()
        self._prefixes: dict[str, tuple[Prefix, ...]] = {}  # of the lists' sources
        self._store = self._open_store(stopping, end)
        loaded = self._load(config)
        table = RouteTable(self._policies(), recording=self._store is not None)
        self._keeper = Keeper(table, Outbox(), loaded.rules if loaded else RuleSet.build([]))
        self._keeper.unknown = _unknown(loaded, config)
        self._mute()
        self._tap = Tap(config.dnstap, self._keeper, self._ingest(self._keeper.rules), end)
        parts = Parts(self._keeper, self._tap, bgp, self._store, listing)
        self._services = Services(config, parts, self._loop, end)
        self._doctor = Doctor(config, self._tap, self._keeper, self._services.view.status)
        self._doctor_is_ill = False
        self._services.view.findings = self._doctor.findings
        self._sync = Syncer(self._loop, self._keeper, self._store)
        self._services.view.peers = self._sync.shown
        self._timer = Timer(self._keeper, self._store, self._tick, end)
        if not stopping.is_set():
            self._start()
            self._listing.follow(config.list_sources())

    def reload(self, path: Path, *, force: bool) -> tuple[bool, list[str]]:
        """Read the configuration and the lists again; what is broken changes nothing.

        Args:
            path: The configuration file.
            force: Take lists that are empty or half gone.

        Returns:
            Whether all of it is in force, and what there is to say.
        """
        try:
            config = load(path)
        except ConfigError as error:
            return False, [str(problem) for problem in error.problems]
        messages = [f"{key}: the new value needs a restart" for key in config.restart_keys(self.config)]
        messages += config.warnings
        config = config.keeping(self.config)
        loaded, told = self._listing.load(config.list_sources(), force=force)
        messages += told
        if loaded is None:
            return False, messages
        self.config = self._doctor.config = config
        logs.configure(config.log.format, config.log.level)
        self._mute()
        self._services.configure(self.config)
        self._sync.configure(self.config.syncer)
        self._enforce(loaded)
        refused = self._tap.rebind(self.config.dnstap)
        self._listing.follow(config.list_sources(), look_now=True)
        return loaded.refused is None and not refused, messages + refused

    def refresh(self) -> tuple[bool, list[str]]:
        """Read the lists again, by the configuration that is in force.

        Returns:
            As `reload`.
        """
        loaded, messages = self._listing.load(self.config.list_sources())
        if loaded is None:
            return False, messages
        if loaded.how != "unchanged":
            self._enforce(loaded)
        return loaded.refused is None, messages

    def protect(self) -> None:
        """Keep what we learnt of since from ever becoming a route, or staying one."""
        if self._rails.learn(self._bgp.session_addresses() | self._sync.addresses()):
            self._keeper.switch(self._keeper.rules, self._policies(), self._keeper.unknown)
            self._revise()

    def examine(self) -> None:
        """Let the doctor look, if it is time."""
        try:
            self._doctor.look()
        except Exception:  # it only gives advice: no route may depend on it
            if not self._doctor_is_ill:
                self._doctor_is_ill = True
                logger.exception("the doctor has crashed; nothing else depends on it")

    def preview(self, path: Path, *, force: bool = False) -> tuple[bool, list[str]]:
        """Say what `reload` would do now, without doing it.

        Args:
            path: The configuration file.
            force: As for `reload`.

        Returns:
            Whether all of it would be in force, and what would come and go.
        """
        try:
            config = load(path).keeping(self.config)
            loaded = self._listing.preview(config.list_sources(), force=force)
        except ConfigError as error:
            return False, [str(problem) for problem in error.problems]
        except ListError as error:
            return False, [f"lists: {error}"]
        refused = [f"the old rules would stay in force: {loaded.refused}"] if loaded.refused is not None else []
        policies = self._rails.policies(config, loaded.prefixes)
        return not refused, refused + foresee(self._keeper, loaded.rules, policies, _unknown(loaded, config)).lines()

    def counts(self) -> dict[str, int]:
        """The figures of a glance: rules, claims, routes, static prefixes."""
        table = self._keeper.table
        return {
            "rules": len(self._keeper.rules),
            "claims": table.claims,
            "routes": len(table),
            "prefixes": len(table.policies.statics),
        }

    def stop(self) -> None:
        """Stop all threads and save, within `STOP_S` altogether."""
        deadline = process_clock() + STOP_S
        self._listing.shutdown()
        self._services.shutdown()
        self._tap.shutdown()
        self._timer.shutdown()
        self._bgp.shutdown()
        self._loop.shutdown()
        for worker in (self._services, self._tap, self._timer, self._bgp, self._listing, self._loop):
            worker.join(max(0.0, deadline - process_clock()))
        if self._store is not None:
            self._store.append(claims=self._keeper.dirty())
            for claims in self._keeper.unrecorded(process_clock() + LAST_SAVE_S):
                self._store.append(claims=claims).wait(max(0.0, deadline - process_clock()))
            self._store.shutdown(max(0.0, deadline - process_clock()))
            self._store.join(max(0.0, deadline - process_clock()))

    def log_counts(self) -> None:
        """Say how much there is, a line for each part."""
        logger.info("%(rules)d rules, %(claims)d claims, %(routes)d routes", self.counts())
        logger.info("tap: %s", _figures(asdict(self._tap.ingest.counters)))
        table = self._keeper.table
        logger.info(
            "refused sightings: %s; claims let go: %s", *map(_figures, (table.refusals.refused, table.refusals.evicted))
        )
        for name in table.policies.by_list:
            logger.info(
                "list %s: %d rules, %d routes", name, self._keeper.rules.counts.get(name, 0), table.routes_of(name)
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

    def _policies(self) -> Policies:
        policies = self._rails.policies(self.config, self._prefixes)
        self._rails.tell(policies)
        return policies

    def _tick(self, now: float, claims: Sequence[Claim]) -> None:
        """Hand on what the timer brings: our own news to peers, and these with those of peers to whoever watches."""
        self._sync.feed(claims)
        self._services.tick(now, [*claims, *self._sync.learnt()])

    def _ingest(self, rules: RuleSet, counters: IngestCounters | None = None) -> Ingest:
        return Ingest(rules, self.config.dnstap.messages, counters, self._rails.trust(self.config.dnstap))

    def _mute(self) -> None:
        self._keeper.mute(muted=self.config.dry_run)

    def _load(self, config: Config) -> Loaded | None:
        """Load the lists at the start; None: there is nothing that could be in force."""
        loaded, messages = self._listing.load(config.list_sources())
        for message in messages:
            logger.warning("%s", message)
        if loaded is not None:
            self._prefixes = loaded.prefixes
        return loaded

    def _enforce(self, loaded: Loaded) -> None:
        """Bring new lists, and whatever the configuration in force says of them, into force."""
        self._prefixes = loaded.prefixes
        self._keeper.switch(loaded.rules, self._policies(), _unknown(loaded, self.config))
        self._tap.ingest = self._ingest(loaded.rules, self._tap.ingest.counters)
        self._revise()
        self._sync.relearn()

    def _start(self) -> None:
        """Restore and start all threads."""
        self._services.start()
        gc.disable()  # it would look at the growing table again and again, for half of the time of a restore
        if self._store is not None:
            self._restore(self._store)
        self._keeper.resync()
        gc.freeze()
        gc.enable()
        self._bgp.start(self._keeper, self._store)
        self._bgp.restored()
        self._services.restored()
        self._sync.configure(self.config.syncer)
        self._tap.start()
        self._timer.start()

    def _restore(self, store: Store) -> None:
        """Take over what the state file holds, then let the store write it."""
        try:
            logger.info("state file: %s", store.load(self._keeper.adopt, self._keeper.recall))
        except ForeignFileError as error:
            logger.error("%s; nothing is kept across restarts until `cache` names another file", error)
            return
        except StateFileError as error:
            logger.error("%s", error)
        store.start(self._keeper.walk)


def _unknown(loaded: Loaded | None, config: Config) -> frozenset[str]:
    """The lists whose rules are not known yet: all without a rule set, and those with a URL that was never fetched."""
    if loaded is None:
        return frozenset(found.name for found in config.all_lists)
    return frozenset(() if loaded.refused is not None else loaded.pending)


def _figures(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
