"""The composition root of the plugin: builds the parts, starts them, reloads, and stops them in order.

The main thread blocks here and nowhere else: on signals, on the locks of a predecessor that is about to end, and on the
child process that builds the lists. Under a running ExaBGP nothing is fatal: what is wrong is reported, what is held is
kept, and the next HUP tries again; five quick deaths would end ExaBGP.
"""

import gc
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NoReturn

from dnstap_bgp.config import Config, load
from dnstap_bgp.core.domains import RuleSet
from dnstap_bgp.core.guard import Guard
from dnstap_bgp.core.ingest import Ingest
from dnstap_bgp.core.model import Address
from dnstap_bgp.core.outbox import Outbox
from dnstap_bgp.core.routes import RouteTable
from dnstap_bgp.errors import CommandError, ConfigError, ForeignFileError, ListError, StateFileError
from dnstap_bgp.workers import runtime
from dnstap_bgp.workers.bgp import Bgp
from dnstap_bgp.workers.clocks import process_clock
from dnstap_bgp.workers.instance import PidFile, brake
from dnstap_bgp.workers.keeper import Keeper
from dnstap_bgp.workers.lists import ListLoader
from dnstap_bgp.workers.sources import ListSource
from dnstap_bgp.workers.store import Store
from dnstap_bgp.workers.tap import Tap
from dnstap_bgp.workers.thread import CrashHandler
from dnstap_bgp.workers.timer import Timer

logger = logging.getLogger(__name__)

STOP_S = 1.5
"""ExaBGP kills after 2 s what it has asked to end; within this all threads are joined and the last records written."""

LAST_SAVE_S = 0.5
"""Of these, what the last refreshes may take."""

GUARD_S = 1.0
"""How soon a neighbor that ExaBGP has told of is protected from becoming a route."""

_END = 0
"""Stands beside the signal numbers for: the host is gone, or a worker has crashed."""


def run(config_path: Path) -> NoReturn:
    """Be the plugin until ExaBGP ends it.

    Args:
        config_path: The configuration file.
    """
    os.umask(0o077)
    host_out = os.dup(1)
    os.dup2(2, 1)  # from here on a stray print is a log line, never a BGP command
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    logging.raiseExceptions = False  # a reader of stderr that is gone is no reason to say so there
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="dnstap-bgp: %(levelname)s: %(message)s")
    Plugin(config_path, host_in=0, host_out=host_out).run()
    logging.shutdown()
    os._exit(0)  # a million objects take a second to free one by one, and a thread may hang in a dead disk


class Plugin:
    """The main thread: first what can fail and be waited for, then the parts, then signals."""

    def __init__(self, config_path: Path, host_in: int, host_out: int) -> None:
        self._path = config_path
        self._events: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._bgp = Bgp(host_in, host_out, on_end=self._end, on_crash=self._end)
        self._loader: ListLoader | None = None

    def run(self) -> None:
        """Start, do what signals ask for, stop."""
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._bgp.start_reading()  # before anything that can take time: ExaBGP hangs when nobody reads
        config = self._first_config()
        if config is None:
            return
        brake(config.runtime_dir / "starts", self._stopping)
        pidfile = PidFile(config.pidfile)
        try:
            if self._acquire(pidfile):
                self._serve(config)
        finally:
            pidfile.release()

    def _serve(self, config: Config) -> None:
        self._loader = ListLoader(_compiled_dir(config))
        running = Running(config, self._bgp, self._loader, self._stopping, self._end)
        request = None
        while not self._stopping.is_set():
            try:
                event = self._events.get(timeout=GUARD_S)
            except queue.Empty:
                running.protect_neighbors()
                continue
            if event == signal.SIGHUP:
                request = self._reload(running, request)
            elif event == signal.SIGUSR1:
                running.log_counts()
        running.stop()

    def _reload(self, running: "Running", answered: runtime.Request | None) -> runtime.Request | None:
        """Reload, and answer the request that this HUP brought: one that was answered already is an old file."""
        runtime_dir = running.config.runtime_dir
        request = runtime.read_request(runtime_dir)
        if request == answered:
            request = None
        ok, messages = running.reload(self._path, force=request is not None and request.force)
        for message in messages:
            logger.log(logging.INFO if ok else logging.ERROR, "reload: %s", message)
        logger.info("reload: %s; %s", "done" if ok else "failed, what was held stays", _figures(running.counts()))
        if request is None:
            return answered
        runtime.answer(runtime.reload_result(runtime_dir), request, ok=ok, messages=messages, **running.counts())
        return request

    def _first_config(self) -> Config | None:
        """Load the file; while it can't be used, say why and wait for HUP."""
        was_asked = False
        while not self._stopping.is_set():
            try:
                config = load(self._path)
                runtime.ensure_folder(config.runtime_dir)
            except ConfigError as error:
                for problem in error.problems:
                    logger.error("%s", problem)
            except CommandError as error:
                logger.error("%s", error)
            else:
                for warning in config.warnings:
                    logger.warning("%s", warning)
                if was_asked:  # who sent HUP may wait for an answer, which only a reload gives
                    self._events.put(signal.SIGHUP)
                return config
            text = "nothing is announced until that is mended and HUP is sent: `dnstap-bgp reload`, or kill -HUP %d"
            logger.error(text, os.getpid())  # no pidfile tells it, since that is named by the file
            while not self._stopping.is_set() and self._events.get() != signal.SIGHUP:
                pass
            was_asked = True
        return None

    def _acquire(self, pidfile: PidFile) -> bool:
        while not self._stopping.is_set():
            try:
                return pidfile.acquire(self._stopping)
            except OSError as error:
                logger.error("%s; retried in 5 s", error)
                self._stopping.wait(5)
        return False

    def _on_signal(self, number: int, _frame: object) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._end()
        else:
            self._events.put(number)

    def _end(self) -> None:
        self._stopping.set()
        self._events.put(_END)
        if self._loader is not None:
            self._loader.cancel()


class Running:
    """The parts at work, built from one configuration and revised by the next.

    Attributes:
        config: What is in force.
    """

    def __init__(
        self, config: Config, bgp: Bgp, loader: ListLoader, stopping: threading.Event, end: CrashHandler
    ) -> None:
        """Build all parts and start them, unless `stopping` is set meanwhile."""
        self.config = config
        self._bgp = bgp
        self._loader = loader
        self._neighbors: frozenset[Address] = frozenset()
        self._store = self._open_store(stopping, end)
        messages: list[str] = []
        rules, _ = self._load_rules(config, messages)
        self._listed = rules is not None
        for message in messages:
            logger.warning("%s", message)
        table = RouteTable(config.policies(), self._guard(), recording=self._store is not None)
        self._keeper = Keeper(table, Outbox(), rules or RuleSet.build([]))
        self._tap = Tap(config.dnstap, self._keeper, Ingest(self._keeper.rules, config.dnstap.messages), end)
        self._timer = Timer(self._keeper, self._store, end)
        if not stopping.is_set():
            self._start()

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
        rules, ok = self._load_rules(config, messages, force=force)
        if rules is None:
            return False, messages
        self.config, self._listed = config, True
        self._keeper.switch(rules, self.config.policies(), self._guard())
        self._tap.ingest = Ingest(rules, self.config.dnstap.messages, self._tap.ingest.counters)
        self._tap.rebind(self.config.dnstap)
        self._revise()
        return ok, messages

    def protect_neighbors(self) -> None:
        """Keep the neighbors that ExaBGP has, and our ends of their sessions, from ever becoming routes."""
        neighbors = self._bgp.session_addresses()
        if neighbors != self._neighbors:
            self._neighbors = neighbors
            self._keeper.switch(self._keeper.rules, self.config.policies(), self._guard())
            self._revise()

    def counts(self) -> dict[str, int]:
        """The figures of a glance: rules, claims, routes."""
        table = self._keeper.table
        return {"rules": len(self._keeper.rules), "claims": table.claims, "routes": len(table)}

    def stop(self) -> None:
        """Stop all threads and save, within `STOP_S` altogether."""
        deadline = process_clock() + STOP_S
        self._tap.shutdown()
        self._timer.shutdown()
        self._bgp.shutdown()
        for worker in (self._tap, self._timer, self._bgp):
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
        logger.info("refused addresses: %s", _figures(self._keeper.table.refused))
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
        if self._keeper.revise(listed=self._listed) and self._store is not None:
            self._store.save()  # or a restart would bring back what has just ended, should a list name it again

    def _guard(self) -> Guard:
        return Guard((*self.config.protected(), *self._neighbors))

    def _load_rules(self, config: Config, messages: list[str], *, force: bool = False) -> tuple[RuleSet | None, bool]:
        """Load the lists of a configuration.

        Returns:
            The rules to be in force (None: there are none) and whether they are those of the files as they are now.
        """
        sources = [ListSource(*files) for files in config.list_files()]
        try:
            loaded = self._loader.load(sources, force=force)
        except ListError as error:
            messages.append(f"domains: {error}")
            return None, False
        for report in loaded.reports:
            messages += [str(problem) for problem in report.problems()]
            if report.complaints > len(report.examples):
                messages.append(f"{report.path}: {report.complaints} lines were skipped in all")
        if loaded.refused is not None:
            messages.append(f"the old rules stay in force: {loaded.refused}")
        return loaded.rules, loaded.refused is None

    def _start(self) -> None:
        """Restore and start all threads."""
        gc.disable()  # it would look at the growing table again and again, for half of the time of a restore
        if self._store is not None:
            self._restore(self._store)
        self._keeper.resync()
        gc.freeze()
        gc.enable()
        self._bgp.start(self._keeper, self._store)
        self._bgp.restored()
        self._tap.start()
        self._timer.start()

    def _restore(self, store: Store) -> None:
        """Take over what the state file holds, all of it where there are no rules yet; then let the store write it."""
        adopt = partial(self._keeper.adopt, listed=self._listed)
        try:
            logger.info("state file: %s", store.load(adopt, self._keeper.recall))
        except ForeignFileError as error:
            logger.error("%s; nothing is kept across restarts until `cache` names another file", error)
            return
        except StateFileError as error:
            logger.error("%s", error)
        store.start(self._keeper.walk)


def _compiled_dir(config: Config) -> Path:
    """Where compiled lists live: beside the state file, so that they outlive a boot as it does."""
    return config.cache.with_name(config.cache.name + ".lists") if config.cache else config.runtime_dir / "lists"


def _figures(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
