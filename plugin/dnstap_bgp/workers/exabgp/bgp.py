"""The session with ExaBGP as one part: reader, writer and status; the threads belong to `reader` and `writer`."""

import ipaddress
import random
from collections.abc import Callable, Mapping
from contextlib import suppress

from dnstap_bgp.core.exabgp.api_session import ApiSession
from dnstap_bgp.core.exabgp.budget import BudgetFigures
from dnstap_bgp.core.exabgp.grammar import FAMILIES, IPV4, IPV6, Item
from dnstap_bgp.core.exabgp.neighbors import Neighbor, NeighborTasks
from dnstap_bgp.core.exabgp.views import View
from dnstap_bgp.core.model import Address
from dnstap_bgp.core.status.report import BudgetStatus, ExabgpStatus, NeighborStatus, ViewStatus
from dnstap_bgp.workers.exabgp.reader import StdinReader
from dnstap_bgp.workers.exabgp.writer import StdoutWriter
from dnstap_bgp.workers.process import runtime
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.thread import CrashHandler
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.state.store import Store


class Bgp:
    """The talk with ExaBGP: reader, api session and writer, from the first line read to the last one written."""

    def __init__(self, host_in: int, host_out: int, on_end: Callable[[], None], on_crash: CrashHandler) -> None:
        """Make it: `start_reading` first of all, `start` when there is something to say.

        Args:
            host_in: Where ExaBGP's lines come from; stays the caller's.
            host_out: Where commands go; becomes non-blocking, and stays the caller's.
            on_end: Called, in a worker's thread, when ExaBGP ends or is gone: the process should end too.
            on_crash: See `worker_thread`.
        """
        self._host_out = host_out
        self._on_end = on_end
        self._on_crash = on_crash
        self._reader = StdinReader(host_in, on_end, on_crash)
        self._patches = runtime.exabgp_patches()
        self._keeper: Keeper | None = None
        self._session: ApiSession | None = None
        self._writer: StdoutWriter | None = None

    def start_reading(self) -> None:
        """Drain ExaBGP's pipe from now on, whatever else happens."""
        self._reader.start()

    def start(self, keeper: Keeper, store: Store | None) -> None:
        """Talk: tell ExaBGP what the keeper's reconciler holds."""
        session = ApiSession(keeper.views, random.SystemRandom().getrandbits)

        writer = StdoutWriter(self._host_out, keeper, store, session, on_end=self._on_end, on_crash=self._on_crash)

        def deliver(items: list[Item]) -> None:
            now = process_clock()
            with keeper.lock:
                for item in items:
                    session.receive(item, now)
                writer.turn()
            if keeper.views.acknowledgments.news:
                keeper.views.acknowledgments.wake()

        self._keeper, self._session, self._writer = keeper, session, writer
        self._reader.attach(deliver)
        writer.start()

    def restored(self) -> None:
        """Let neighbors have their End-of-RIB: all that is live was put, and the reconcilers are resynced."""
        if self._keeper is None or self._session is None:
            return
        with self._keeper.lock:
            self._session.tasks.restored = True
            self._keeper.turn()

    @property
    def tasks(self) -> NeighborTasks | None:
        """Neighbors and what they are due, for the holder of the keeper's lock; None before `start`."""
        return self._session.tasks if self._session is not None else None

    def session_addresses(self) -> frozenset[Address]:
        """Both ends of all BGP sessions, packed, as far as ExaBGP has told of them: none of these may be a route."""
        if self._keeper is None or self._session is None:
            return frozenset()
        with self._keeper.lock:
            sessions = [neighbor.session for neighbor in self._session.tasks.neighbors]
        packed = set()
        for end in (end for session in sessions for end in (session.address, session.local)):
            with suppress(ValueError):  # `auto`, before the session is up
                packed.add(ipaddress.ip_address(end).packed)
        return frozenset(packed)

    def status(self) -> ExabgpStatus | None:
        """Copy how things are; None before `start`."""
        if self._keeper is None or self._session is None or self._writer is None:
            return None
        now = process_clock()
        with self._keeper.lock:
            session, views = self._session, self._keeper.views
            told, backlog = views.count, views.backlog
            budgets = {one.neighbor: one for one in views.budgets}
            stalled_since = self._writer.stalled_since
            return ExabgpStatus(
                stage=session.stage.value,
                version=session.version,
                neighbors=tuple(
                    _neighbor_status(
                        neighbor,
                        views.count_of(neighbor.address),
                        budgets.get(neighbor.address),
                        replaying=session.tasks.is_replaying(neighbor),
                    )
                    for neighbor in session.tasks.neighbors
                ),
                told_ipv4=told[IPV4],
                told_ipv6=told[IPV6],
                waiting=sum(backlog) - backlog.refused,
                unanswered=session.unanswered,
                silent_s=round(session.silent_s(now), 3),
                stalled_s=round(now - stalled_since, 3) if stalled_since is not None else 0.0,
                backlog=backlog._asdict(),
                lines=session.lines,
                acknowledged=session.acknowledged,
                errors=session.errors,
                stray=session.stray,
                patches=self._patches,
                views=() if views.is_one else tuple(map(_view_status, views)),
            )

    def shutdown(self) -> None:
        """Say nothing more; returns at once. Reading goes on to the end of the process."""
        if self._writer is not None:
            self._writer.shutdown()

    def join(self, deadline_s: float) -> None:
        """Wait for the writer's end, at most so long."""
        if self._writer is not None:
            self._writer.join(deadline_s)

    def close(self, deadline_s: float = 1.0) -> None:
        """Stop reading, too: only for a process that goes on without ExaBGP."""
        self._reader.close(deadline_s)
        if self._writer is not None and self._writer.join(deadline_s):
            self._writer.close()


def _view_status(view: View) -> ViewStatus:
    told, backlog = view.reconciler.adj_rib_out.count, view.backlog
    return ViewStatus(
        neighbors=view.audience.names,
        except_these=view.audience.is_except,
        told_ipv4=told[IPV4],
        told_ipv6=told[IPV6],
        waiting=sum(backlog) - backlog.refused,
        refused=backlog.refused,
    )


def _neighbor_status(
    neighbor: Neighbor, told: Mapping[str, int], budget: BudgetFigures | None, *, replaying: bool
) -> NeighborStatus:
    known = neighbor.up and neighbor.negotiated is not None
    families = neighbor.negotiated or frozenset()
    return NeighborStatus(
        address=neighbor.address,
        peer_as=neighbor.session.peer_as,
        up=neighbor.up,
        families=tuple(family for family in FAMILIES if family in families),
        lacking=tuple(family for family in FAMILIES if known and told.get(family) and family not in families),
        end_of_rib=neighbor.up and neighbor.eor_due_since is None,
        replaying=replaying,
        foreign=neighbor.foreign,
        budget=None if budget is None else BudgetStatus(*budget[1:]),
    )
