"""Whole instances of the sync in one process: table, keeper and syncer, without DNS and BGP."""

import asyncio
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

from dnstap_bgp.config.addresses import TcpAddress
from dnstap_bgp.config.settings import SyncerConfig
from dnstap_bgp.config.tables import SyncerTable
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.model import Attributes, Policy
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Caps, Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.workers.process.loop import Loop
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.sync.http import HttpTransport
from dnstap_bgp.workers.sync.peer import Peer
from dnstap_bgp.workers.sync.syncer import Syncer

TICK_S = 0.05


def packed(text: str) -> bytes:
    return ip_address(text).packed


class Instance:
    """One; `see` is what its resolver answers."""

    def __init__(self, config: SyncerConfig, domains: Iterable[str] = ("example",), ttl_s: float = 3600.0) -> None:
        self.config = config
        self.crashes: list[int] = []
        policies = Policies([policy(ttl_s)], Guard(strict=True), Caps())
        self.keeper = Keeper(RouteTable(policies, recording=False), Views(), rules(domains))
        self.loop = Loop(lambda: self.crashes.append(1))
        self.syncer = Syncer(self.loop, self.keeper, None)
        self._stop = threading.Event()
        self._ticking = threading.Thread(target=self._tick, daemon=True)

    def start(self) -> None:
        self.syncer.configure(self.config)
        self._ticking.start()

    def stop(self) -> None:
        self._stop.set()
        if self._ticking.ident is not None:
            self._ticking.join()
            settled = self.loop.run("test", _settle)
            if settled is not None:
                settled.result(30)
        self.loop.shutdown()
        self.loop.join(30)
        assert not self.crashes

    def see(self, name: str, *addresses: str) -> None:
        seen = [(packed(address), "default", name.encode(), 300) for address in addresses]
        self.keeper.observe(seen, self.keeper.rules)

    def routes(self) -> set[str]:
        with self.keeper.lock:
            return {
                str(ip_address(address))
                for shard in range(256)
                for address in self.keeper.table.claims.addresses(shard)
            }

    def seen(self, address: str) -> float:
        with self.keeper.lock:
            return max(claim.seen for claim in self.keeper.table.claims.of_address(packed(address)))

    def peers(self) -> list[Peer]:
        """The configured peers, live."""
        (transport,) = self.syncer._transports
        assert isinstance(transport, HttpTransport)
        return transport._peers

    def peer(self, number: int = 0) -> Peer:
        return self.peers()[number]

    def _tick(self) -> None:
        while not self._stop.wait(TICK_S):
            self.keeper.expire()
            self.syncer.feed(self.keeper.dirty())


async def _settle() -> None:
    """Let what was cancelled close its connections."""
    await asyncio.sleep(0.2)


def rules(domains: Iterable[str]) -> RuleSet:
    return RuleSet.build([("default", [Rule(domain.encode()) for domain in domains])])


def policy(ttl_s: float) -> Policy:
    return Policy("default", Attributes(packed("192.0.2.1")), Attributes(packed("2001:db8::1")), ttl_s)


def config(port: int | None, *peers: int, **more: Any) -> SyncerConfig:
    """A syncer on loopback that listens on a port and has peers on others."""
    return SyncerTable.model_construct(
        listen=None if port is None else TcpAddress("127.0.0.1", port),
        sync_interval_s=more.pop("sync_interval_s", 600.0),
        peers=tuple(TcpAddress("127.0.0.1", peer) for peer in peers),
        **more,
    ).settings()


@contextmanager
def running(*instances: Instance) -> Iterator[None]:
    try:
        for instance in instances:
            instance.start()
        yield
    finally:
        for instance in instances:
            instance.syncer.configure(None)
        for instance in instances:
            instance.stop()
