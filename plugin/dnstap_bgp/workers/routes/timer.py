"""The timer; owns the thread "timer".

A few times a second it ends claims that are due, hands to the store what changed in the table, and has the log told
what the table refused; every few seconds it keeps the garbage collector away from the table, and has the state file
rewritten as of version 1 where there is one view again.
"""

import threading
from collections.abc import Callable, Sequence
from typing import TypeAlias

from dnstap_bgp.core.model import Claim
from dnstap_bgp.workers.process import heap
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.thread import CrashHandler, worker_thread
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.routes.refusal_log import RefusalLog
from dnstap_bgp.workers.state.store import Store

TICK_S = 0.25
"""An expired route is withdrawn within 2 s: one for its bucket's second, this, and the writer's turn."""

COLLECT_S = 10.0
"""Between two collections of garbage."""


TickHandler: TypeAlias = Callable[[float, Sequence[Claim]], None]
"""Told each tick the process clock, and the claims that are new or were refreshed enough; must not block."""


class Timer:
    """Calls `Keeper.expire` and feeds the store, every tick."""

    def __init__(self, keeper: Keeper, store: Store | None, on_tick: TickHandler, on_crash: CrashHandler) -> None:
        self._keeper = keeper
        self._store = store
        self._on_tick = on_tick
        self._watch = RefusalLog(keeper)
        self._stop = threading.Event()
        self._thread = worker_thread("timer", self._run, on_crash)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def shutdown(self) -> None:
        """Ask the thread to end; returns at once."""
        self._stop.set()

    def join(self, deadline_s: float) -> None:
        """Wait for the thread's end, at most so long."""
        if self._thread.ident is not None:
            self._thread.join(deadline_s)

    def _run(self) -> None:
        collect_at, collector = 0.0, heap.CycleCollector()
        while not self._stop.wait(TICK_S):
            self._keeper.expire()
            self._watch.look(process_clock())
            claims = self._keeper.dirty()
            if claims and self._store is not None:
                self._store.append(claims=claims)
            self._on_tick(process_clock(), self._keeper.news())
            if process_clock() >= collect_at and not self._keeper.is_restoring:
                collector.run(process_clock())
                heap.trim()
                if self._store is not None and self._store.of_views and self._keeper.is_one_view:
                    self._store.save()
                collect_at = process_clock() + COLLECT_S
