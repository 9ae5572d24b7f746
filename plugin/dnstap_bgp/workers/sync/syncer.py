"""Sync as the rest of the program knows it: hub and transports by the configuration, in the thread "loop".

Nothing is imported or paid for where the configuration has no `[syncer]` that does anything.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from dnstap_bgp.config.settings import SyncerConfig
from dnstap_bgp.core.model import Address, Claim
from dnstap_bgp.core.status.report import PeerStatus
from dnstap_bgp.workers.process.loop import Loop, supervise
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.state.store import Store
from dnstap_bgp.workers.sync.transport import Transport

if TYPE_CHECKING:
    from dnstap_bgp.workers.sync.hub import Hub


class Syncer:
    """Owner of hub and transports; for the main thread; `feed` for the timer, `status` and `addresses` for any."""

    def __init__(self, loop: Loop, keeper: Keeper, store: Store | None) -> None:
        self._loop = loop
        self._keeper = keeper
        self._store = store
        self._config: SyncerConfig | None = None
        self._hub: Hub | None = None
        self._transports: list[Transport] = []
        self._hub_runs: Future[None] | None = None
        self._transports_run: Future[None] | None = None

    def configure(self, config: SyncerConfig | None) -> None:
        """Put a configuration in force: the first, or after a reload; certificates are read again."""
        if config == self._config and (config is None or config.tls_cert is None):
            return
        self._config = config
        self._transports = []
        if self._transports_run is not None:
            self._transports_run.cancel()
            self._transports_run = None
        if config is not None and config.is_active:
            self._connect(config, self._hub or self._begin())
        elif self._hub is not None:
            self._end()

    def resync(self) -> None:
        """Load everything again: by the lists and policies of now, what peers know may be welcome that was not."""
        for transport in self._transports:
            if self._hub is not None:
                self._hub.call(transport.resync)

    def feed(self, claims: Sequence[Claim]) -> None:
        """Take what `Keeper.dirty` gave."""
        if self._hub is not None:
            self._hub.feed(claims)

    def learnt(self) -> list[Claim]:
        """Take what was news of peers since the last call, as far as anybody could look at it."""
        return [] if self._hub is None else self._hub.learnt()

    def status(self) -> list[PeerStatus]:
        """Copy how each peer is, and who else follows us."""
        return [status for transport in self._transports for status in transport.status()]

    def addresses(self) -> frozenset[Address]:
        """Give the peers' addresses: they must never become routes."""
        return frozenset[Address]().union(*(transport.addresses() for transport in self._transports))

    def _begin(self) -> "Hub":
        from dnstap_bgp.workers.sync.hub import Hub  # noqa: PLC0415 - brings asyncio, 10 MB

        hub = self._hub = Hub(self._keeper, self._store)
        self._keeper.record(on=True)
        self._hub_runs = self._loop.run("sync: the hub", hub.run)
        return hub

    def _end(self) -> None:
        if self._hub_runs is not None:
            self._hub_runs.cancel()
        self._hub = self._hub_runs = None
        self._keeper.record(on=False)

    def _connect(self, config: SyncerConfig, hub: "Hub") -> None:
        import asyncio  # noqa: PLC0415 - as above

        transports = self._transports = _transports(config, hub)

        async def run() -> None:
            # in turn: an address can be listened on once, and the transports before may have it still
            async with hub.turn, asyncio.TaskGroup() as group:
                for transport in transports:
                    group.create_task(supervise("sync", transport.run))

        self._transports_run = self._loop.run("sync", run)


def _transports(config: SyncerConfig, hub: "Hub") -> list[Transport]:
    """Make a transport for each way that is configured; each is imported only then."""
    found: list[Transport] = []
    if config.listen is not None or config.peers:
        from dnstap_bgp.workers.sync.http import HttpTransport  # noqa: PLC0415 - brings aiohttp, 17 MB

        found.append(HttpTransport(config, hub))
    if config.redis_config is not None:
        from dnstap_bgp.workers.sync.redis import RedisTransport  # noqa: PLC0415 - brings redis-py, 10 MB, an extra

        found.append(RedisTransport(hub, config.redis_config))
    return found
