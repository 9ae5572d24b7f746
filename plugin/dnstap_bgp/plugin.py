"""Main thread of the plugin's process, from its first moment to its last.

The main thread blocks here and nowhere else: on signals, on the locks of a predecessor that is about to end, and on the
child process that builds the lists. Under a running ExaBGP nothing is fatal: what is wrong is reported, what is held is
kept, and the next HUP tries again; five quick deaths would end ExaBGP.
"""

import logging
import os
import queue
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from dnstap_bgp.app import GUARD_S, App, figures
from dnstap_bgp.config import Config
from dnstap_bgp.core.lists.source import Force
from dnstap_bgp.core.lists.switches import SwitchRequest
from dnstap_bgp.errors import CommandError, ConfigError, PassingError
from dnstap_bgp.workers.exabgp.bgp import Bgp
from dnstap_bgp.workers.lists.loader import own_compiled_dir
from dnstap_bgp.workers.lists.manager import ListManager
from dnstap_bgp.workers.process import heap, instance, logs, runtime
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.config_reader import load
from dnstap_bgp.workers.process.ending import end_process
from dnstap_bgp.workers.process.instance import Brake, PidFile
from dnstap_bgp.workers.process.latch import Latch
from dnstap_bgp.workers.process.loop import Loop
from dnstap_bgp.workers.process.mailbox import DIFF_PLUGIN, RELOAD_PLUGIN, Errand, Mailbox, Outcome

logger = logging.getLogger(__name__)

RETRY_S = 5.0
RETRIES = 60
"""A machine that has no memory or time for a child is mostly through with that in minutes; then HUP is waited for."""

_END = 0
"""Stands beside the signal numbers for: the host is gone, or a worker has crashed."""

_LOOKED = -1
"""The same for: a URL was looked at, so that what is known of it is new."""

_CHANGED = -2
"""The same for: and its copy is another one."""

SWITCH_INTERVAL_S = 0.0001
"""How long a thread that waits for the interpreter's lock (GIL) lets another one have it. The tap's thread gives it up
for 20 us at each chunk, every 0.1 to 0.5 ms when senders blast: too short to be had, and a waiting thread that is
woken in vain begins its interval anew. With Python's 5 ms it may so wait for dozens of chunks (bench, hold and router:
p99 of a hook's question 1 to 34 ms, with this 1 to 4; of a fresh address 13 to 60 ms, with this 6 to 7)."""


def run(config_path: Path) -> NoReturn:
    """Be the plugin until ExaBGP ends it.

    Args:
        config_path: The configuration file.
    """
    os.umask(0o077)
    heap.use_one_heap()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    host_out = os.dup(1)
    os.dup2(2, 1)  # from here on a stray print is a log line, never a BGP command
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    logs.begin()
    Plugin(config_path, host_in=0, host_out=host_out).run()
    end_process(0)  # a thread may hang in a dead disk


class Plugin:
    """Main thread of the plugin: first what can fail and be waited for, then the parts, then signals and errands."""

    def __init__(self, config_path: Path, host_in: int, host_out: int) -> None:
        self._path = config_path
        self._events: queue.SimpleQueue[int | Errand] = queue.SimpleQueue()
        self._stopping = Latch()
        self._bgp = Bgp(host_in, host_out, on_end=self._end, on_crash=self._end)
        self._list_manager: ListManager | None = None
        self._is_change_queued = False  # a _CHANGED among the events

    def run(self) -> None:
        """Start, do what signals ask for, stop."""
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._bgp.start_reading()  # before anything that can take time: ExaBGP hangs when nobody reads
        config = self._first_config()
        if config is None:
            return
        brake = self._brake(config)
        pidfile = PidFile(config.pidfile)
        try:
            if self._acquire(pidfile):
                self._serve(config, brake)
        finally:
            pidfile.release()

    def _brake(self, config: Config) -> Brake | None:
        """Note this start; wait here where ExaBGP is close to giving up on us, so that nothing of ours can die."""
        brake = instance.brake(config.runtime_dir / "starts", time.time(), instance.exabgp_host())
        if brake is None:
            return None
        text = "ExaBGP has seen %d deaths of the plugin within %d s: %s for %.0f s, so that it does not give up on us"
        how = "all work waits" if brake.is_last else "what senders and peers say is not read"
        logger.error(text, brake.deaths, instance.RESPAWN_WINDOW_S, how, brake.pause_s)
        if not brake.is_last:
            return brake
        self._wait_out(config, brake)
        return None

    def _wait_out(self, config: Config, brake: Brake) -> None:
        """Wait for the window's end with nothing at work; a `dnstap-bgp reload` is told so meanwhile."""
        until = time.strftime("%H:%M:%S", time.localtime(brake.until))
        why = (
            f"ExaBGP has seen {brake.deaths} deaths of the plugin: all work waits until {until}; then the file is read"
        )
        mailbox, is_asked = Mailbox(config.runtime_dir, RELOAD_PLUGIN), False
        ends = process_clock() + brake.pause_s
        while not self._stopping.is_set() and (left_s := ends - process_clock()) > 0:
            if self._next_event(min(left_s, GUARD_S)) == signal.SIGHUP:
                is_asked = True
                if (request := mailbox.take()) is not None:
                    mailbox.answer(request, Outcome(ok=False, messages=(why,)))
        if is_asked:  # what was mended meanwhile counts: the configuration at hand is of before
            self._events.put(signal.SIGHUP)

    def _serve(self, config: Config, brake: Brake | None) -> None:
        loop = Loop(self._end)
        self._list_manager = ListManager(own_compiled_dir(config), self._on_news, loop)
        app = App(
            config,
            self._bgp,
            self._list_manager,
            loop,
            stopping=self._stopping,
            end=self._end,
            send=self._events.put,
            brake=brake,
        )
        reloads, diffs = (Mailbox(config.runtime_dir, box) for box in (RELOAD_PLUGIN, DIFF_PLUGIN))
        look_at = process_clock() + GUARD_S
        while not self._stopping.is_set():
            app.release_brake(process_clock())
            event = self._next_event(max(0.0, look_at - process_clock()))
            if process_clock() >= look_at:  # whether there is an event or not: a client may send one after the other
                app.protect()
                app.undo_switches()
                app.examine()
                look_at = process_clock() + GUARD_S
            if event is not None:
                self._heed(event, app, self._list_manager, reloads, diffs)
        app.stop()

    def _heed(self, event: int | Errand, app: App, list_manager: ListManager, reloads: Mailbox, diffs: Mailbox) -> None:
        """Do what an event asks for."""
        # HUP            a reload; if `dnstap-bgp reload` has left a request, it waits for the answer
        # USR1           the counts to the log; if `dnstap-bgp diff` has left a request, the same
        # _CHANGED       a URL's copy is another one: the lists are read again
        # _LOOKED        a URL was looked at and is as it was: only the lists' status changes
        # an Errand      a client of the control socket waits
        # _END           the condition of the loop in `_serve` has it
        if event == signal.SIGHUP:
            request = reloads.take()
            outcome = self._reload(app, force=request.force if request is not None else False)
            if request is not None:
                reloads.answer(request, outcome)
        elif event == signal.SIGUSR1:
            app.log_counts()
            if (request := diffs.take()) is not None:
                diffs.answer(request, self._preview(app, force=request.force))
        elif event == _CHANGED:
            self._is_change_queued = False  # before the lists are read: what comes meanwhile is read next
            _logged("lists", app.refresh(), app)
        elif event == _LOOKED:
            list_manager.note()
        elif isinstance(event, Errand):
            self._run_errand(app, event)

    def _next_event(self, timeout_s: float = GUARD_S) -> int | Errand | None:
        """Wait for the next event; None: there was none."""
        try:
            return self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _run_errand(self, app: App, errand: Errand) -> None:
        """Do the errand that a client of the control socket waits for, unless the client has left meanwhile."""
        if not errand.outcome.set_running_or_notify_cancel():
            return
        try:
            errand.outcome.set_result(self._outcome(app, errand))
        except CommandError as error:  # who asked is told; nothing is changed
            errand.outcome.set_exception(error)
        except BaseException as error:
            errand.outcome.set_exception(error)  # or the client would wait while the process ends
            raise

    def _outcome(self, app: App, errand: Errand) -> Outcome:
        """Do an errand.

        Raises:
            CommandError: It can't be done.
        """
        change = errand.change
        if change is None:
            step = self._reload if errand.kind == "reload" else self._preview
            return step(app, force=errand.force)
        outcome = app.switch_list(change) if isinstance(change, SwitchRequest) else app.edit_list(change)
        return replace(outcome, counts=app.counts())

    def _reload(self, app: App, *, force: Force) -> Outcome:
        """Read configuration and lists again, and log what came of it."""
        return _logged("reload", app.reload(self._path, force=force), app)

    def _preview(self, app: App, *, force: Force) -> Outcome:
        """Tell what a reload would do."""
        return app.preview(self._path, force=force)

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
            while not self._stopping.is_set() and self._next_event() != signal.SIGHUP:
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
        # A latch and SimpleQueue.put may be interrupted by themselves: a handler can run within another's wait or put.
        if number in (signal.SIGTERM, signal.SIGINT):
            self._end()
        else:
            self._events.put(number)

    def _end(self) -> None:
        # The order matters: whoever is woken by either of the next two must find `_stopping` set.
        self._stopping.set()
        self._events.put(_END)
        if self._list_manager is not None:
            self._list_manager.cancel()

    def _on_news(self, changed: bool) -> None:  # noqa: FBT001 - the only thing there is to say
        if not changed:
            self._events.put(_LOOKED)
        elif not self._is_change_queued:  # however many URLs change while the lists are read: once more is enough
            self._is_change_queued = True
            self._events.put(_CHANGED)


def _logged(what: str, outcome: Outcome, app: App) -> Outcome:
    """Log what came of reading the files again, and add the counts to it."""
    outcome = replace(outcome, counts=app.counts())
    for message in outcome.messages:
        logger.log(logging.INFO if outcome.ok else logging.ERROR, "%s: %s", what, message)
    done = "done" if outcome.ok else "done, but for this" if outcome.in_part else "failed, and nothing has changed"
    logger.info("%s: %s; %s", what, done, figures(outcome.counts))
    return outcome
