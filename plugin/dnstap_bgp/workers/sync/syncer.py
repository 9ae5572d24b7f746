"""The sync as the rest of the program knows it: hub and carriers by the configuration, in the thread "loop".

Nothing is imported or paid for where the configuration has no `[syncer]` that does anything.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from dnstap_bgp.config.tables import SyncerConfig
from dnstap_bgp.core.model import Address, Claim
from dnstap_bgp.core.status.status import Peer
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.loop import Loop
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.state.store import Store
from dnstap_bgp.workers.sync.carrier import Carrier, PeerStatus

if TYPE_CHECKING:
    from dnstap_bgp.workers.sync.hub import Hub

WELL = frozenset({"loading", "following", "self"})
"""States in which nobody has to do anything."""


class Syncer:
    """For the main thread, but for `feed` (the timer's), `status` and `addresses` (any)."""

    def __init__(self, loop: Loop, keeper: Keeper, store: Store | None) -> None:
        self._loop = loop
        self._keeper = keeper
        self._store = store
        self._config = SyncerConfig()
        self._hub: Hub | None = None
        self._carriers: list[Carrier] = []
        self._hub_runs: Future[None] | None = None
        self._carriers_run: Future[None] | None = None

    def configure(self, config: SyncerConfig | None) -> None:
        """Put a configuration in force: the first, or after a reload; certificates are read again."""
        config = config or SyncerConfig()
        if config == self._config and config.tls_cert is None:
            return
        self._config = config
        self._carriers = []
        if self._carriers_run is not None:
            self._carriers_run.cancel()
            self._carriers_run = None
        if config.is_active:
            self._carry(config, self._hub or self._begin())
        elif self._hub is not None:
            self._end()

    def relearn(self) -> None:
        """The lists or policies are others now: what peers know may be welcome that was not."""
        for carrier in self._carriers:
            if self._hub is not None:
                self._hub.call(carrier.relearn)

    def feed(self, claims: Sequence[Claim]) -> None:
        """Take what `Keeper.dirty` gave."""
        if self._hub is not None:
            self._hub.feed(claims)

    def learnt(self) -> list[Claim]:
        """What was news of peers since the last call, as far as anybody could look at it."""
        return [] if self._hub is None else self._hub.learnt()

    def status(self) -> list[PeerStatus]:
        """How each peer is."""
        return [status for carrier in self._carriers for status in carrier.status()]

    def shown(self) -> list[Peer]:
        """The same as the status of the whole program tells it."""
        now = process_clock()
        return [
            Peer(
                address=found.peer,
                state="ok" if found.state in WELL else found.state,
                why="" if found.state in WELL else found.last_error or "not reached yet",
                synced_s_ago=None if found.last_contact_s is None else max(0.0, now - found.last_contact_s),
                carrier=found.carrier,
                lag_s=found.lag_s,
                given=found.given,
                taken=found.taken,
                refused=found.refused,
                errors=found.errors,
                is_configured=found.is_configured,
            )
            for found in self.status()
        ]

    def addresses(self) -> frozenset[Address]:
        """Where peers are: addresses that must never become routes."""
        return frozenset[Address]().union(*(carrier.addresses() for carrier in self._carriers))

    def _begin(self) -> "Hub":
        from dnstap_bgp.workers.sync.hub import Hub  # noqa: PLC0415 - brings asyncio, 10 MB

        hub = self._hub = Hub(self._keeper, self._store)
        self._keeper.record(on=True)
        self._hub_runs = self._loop.run(hub.run)
        return hub

    def _end(self) -> None:
        if self._hub_runs is not None:
            self._hub_runs.cancel()
        self._hub = self._hub_runs = None
        self._keeper.record(on=False)

    def _carry(self, config: SyncerConfig, hub: "Hub") -> None:
        import asyncio  # noqa: PLC0415 - as above

        carriers = self._carriers = _carriers(config, hub)

        async def run() -> None:
            # in turn: an address can be listened on once, and the carriers before may have it still
            async with hub.turn, asyncio.TaskGroup() as group:
                for carrier in carriers:
                    group.create_task(carrier.run())

        self._carriers_run = self._loop.run(run)


def _carriers(config: SyncerConfig, hub: "Hub") -> list[Carrier]:
    """A carrier for each way that is configured; each is imported only then."""
    found: list[Carrier] = []
    if config.listen is not None or config.peers:
        from dnstap_bgp.workers.sync.http import HttpCarrier  # noqa: PLC0415 - brings aiohttp, 17 MB

        found.append(HttpCarrier(config, hub))
    if config.engine is not None:
        from dnstap_bgp.workers.sync.engine import Engine  # noqa: PLC0415 - brings redis-py, 10 MB, an extra

        found.append(Engine(hub, config.engine))
    return found
