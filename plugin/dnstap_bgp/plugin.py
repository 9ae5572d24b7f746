"""The plugin as a process: what the main thread does from the first moment to the last.

The main thread blocks here and nowhere else: on signals, on the locks of a predecessor that is about to end, and on the
child process that builds the lists. Under a running ExaBGP nothing is fatal: what is wrong is reported, what is held is
kept, and the next HUP tries again; five quick deaths would end ExaBGP.
"""

import logging
import os
import queue
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from dnstap_bgp.config import Config
from dnstap_bgp.errors import CommandError, ConfigError, PassingError
from dnstap_bgp.running import Running
from dnstap_bgp.workers.exabgp.bgp import Bgp
from dnstap_bgp.workers.lists.listing import Listing
from dnstap_bgp.workers.lists.loader import compiled_dir
from dnstap_bgp.workers.process import logs, runtime
from dnstap_bgp.workers.process.config_reader import load
from dnstap_bgp.workers.process.instance import PidFile, brake

logger = logging.getLogger(__name__)

GUARD_S = 1.0
"""How soon a neighbor that ExaBGP has told of, or an address of this machine, is protected from becoming a route."""

RETRY_S = 5.0
RETRIES = 60
"""A machine that has no memory or time for a child is mostly through with that in minutes; then HUP is waited for."""

_END = 0
"""Stands beside the signal numbers for: the host is gone, or a worker has crashed."""

_LOOKED = -1
"""The same for: a URL was looked at, so that what is known of it is new."""

_CHANGED = -2
"""The same for: and its copy is another one."""


def run(config_path: Path) -> NoReturn:
    """Be the plugin until ExaBGP ends it.

    Args:
        config_path: The configuration file.
    """
    os.umask(0o077)
    host_out = os.dup(1)
    os.dup2(2, 1)  # from here on a stray print is a log line, never a BGP command
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    logs.begin()
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
        self._listing: Listing | None = None

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
        self._listing = Listing(compiled_dir(config), runtime.lists_file(config.runtime_dir), self._on_news, self._end)
        running = Running(config, self._bgp, self._listing, self._stopping, self._end)
        request = compared = None
        while not self._stopping.is_set():
            try:
                event = self._events.get(timeout=GUARD_S)
            except queue.Empty:
                running.protect()
                running.examine()
                continue
            if event == signal.SIGHUP:
                request = self._reload(running, request)
            elif event == _CHANGED:
                self._refresh(running)
            elif event == _LOOKED:
                self._listing.note()
            elif event == signal.SIGUSR1:
                running.log_counts()
                compared = self._compare(running, compared)
        running.stop()

    def _reload(self, running: Running, answered: runtime.Request | None) -> runtime.Request | None:
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

    def _compare(self, running: Running, answered: runtime.Request | None) -> runtime.Request | None:
        """Answer the request for a diff that this USR1 brought, if it did."""
        runtime_dir = running.config.runtime_dir
        request = runtime.read_diff_request(runtime_dir)
        if request is None or request == answered:
            return answered
        ok, messages = running.preview(self._path, force=request.force)
        runtime.answer(runtime.diff_result(runtime_dir), request, ok=ok, messages=messages)
        return request

    def _refresh(self, running: Running) -> None:
        ok, messages = running.refresh()
        for message in messages:
            logger.log(logging.INFO if ok else logging.ERROR, "lists: %s", message)
        logger.info("lists: %s; %s", "read again" if ok else "what was in force stays", _figures(running.counts()))

    def _first_config(self) -> Config | None:
        """Load the file; while it can't be used, say why and wait for HUP."""
        was_asked = False
        while not self._stopping.is_set():
            try:
                config = self._load_patiently()
                runtime.ensure_folder(config.runtime_dir)
            except ConfigError as error:
                for problem in error.problems:
                    logger.error("%s", problem)
            except CommandError as error:
                logger.error("%s", error)
            else:
                logs.configure(config.log.format, config.log.level)
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

    def _load_patiently(self) -> Config:
        """Load the file; again after a while where that failed for a reason that passes by itself."""
        for number in range(RETRIES):
            try:
                return load(self._path)
            except PassingError as error:
                if number == 0:
                    logger.warning("%s; tried again every %.0f s, %d times", error, RETRY_S, RETRIES)
                if self._stopping.wait(RETRY_S):
                    raise
        return load(self._path)

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
        if self._listing is not None:
            self._listing.cancel()

    def _on_news(self, changed: bool) -> None:  # noqa: FBT001 - the only thing there is to say
        self._events.put(_CHANGED if changed else _LOOKED)


def _figures(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
