"""The HTTP carrier: a listener, and a client for each peer; on the thread "loop". The only way in to aiohttp."""

import asyncio
import logging
import ssl

from dnstap_bgp.config.addresses import TcpAddress
from dnstap_bgp.config.tables import SyncerConfig
from dnstap_bgp.core.model import Address
from dnstap_bgp.errors import PeerError
from dnstap_bgp.workers.process.bounded_log import BoundedLog
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.sync.carrier import PeerStatus
from dnstap_bgp.workers.sync.client import Client
from dnstap_bgp.workers.sync.door import Door
from dnstap_bgp.workers.sync.followers import Followers
from dnstap_bgp.workers.sync.hub import Hub
from dnstap_bgp.workers.sync.listener import Listener
from dnstap_bgp.workers.sync.original import Original
from dnstap_bgp.workers.sync.peer import Peer
from dnstap_bgp.workers.sync.tls import contexts
from dnstap_bgp.workers.sync.ways import Ways, ways

logger = logging.getLogger(__name__)

RETRY_S = 5.0
"""Until the address to listen on is there, or a certificate can be read."""


class HttpCarrier:
    """See `carrier.Carrier`."""

    def __init__(self, config: SyncerConfig, hub: Hub) -> None:
        log = BoundedLog(logger, process_clock)
        self._config = config
        self._hub = hub
        self._peers = [Peer(endpoint, log) for endpoint in config.peers]
        self._followers = Followers(self._peers, hub.node)
        self._clients: list[Client] = []

    async def run(self) -> None:
        """Listen and follow until cancelled."""
        server_tls, client_tls = await self._certificates()
        shared = ways(self._config.token, client_tls)
        self._clients = [Client(peer, self._hub, shared, self._original(peer, shared)) for peer in self._peers]
        try:
            async with asyncio.TaskGroup() as group:
                if self._config.listen is not None:
                    group.create_task(self._listen(self._config.listen, server_tls))
                for client in self._clients:
                    group.create_task(client.run())
        finally:
            await shared.session.close()

    def relearn(self) -> None:
        """See `Carrier`."""
        for client in self._clients:
            client.relearn()

    def status(self) -> list[PeerStatus]:
        """See `Carrier`."""
        return [peer.status() for peer in self._peers] + self._followers.status()

    def addresses(self) -> frozenset[Address]:
        """See `Carrier`."""
        return frozenset[Address]().union(*(peer.addresses for peer in self._peers))

    def _original(self, peer: Peer, shared: Ways) -> Original | None:
        if not self._config.compatible:
            return None
        return Original(peer, self._hub, shared, self._config.sync_interval_s)

    async def _certificates(self) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
        """Those of the listener and of the clients, once they can be read."""
        told = ""
        while True:
            try:
                return contexts(self._config)
            except PeerError as error:
                told = _tell_once(error, told)
            await asyncio.sleep(RETRY_S)

    async def _listen(self, endpoint: TcpAddress, tls: ssl.SSLContext | None) -> None:
        """Listen, as soon as the address can be had, until cancelled."""
        door = Door(self._config, self._peers)
        listener = Listener(self._hub, door, self._followers, compatible=self._config.compatible)
        told = ""
        try:
            while True:
                try:
                    await listener.open(endpoint.host, endpoint.port)
                    break
                except OSError as error:
                    told = _tell_once(f"can't listen on syncer.listen {endpoint}: {error}", told)
                await asyncio.sleep(RETRY_S)
            logger.info("sync: listening on %s", endpoint)
            await listener.serve(tls)
        finally:
            await listener.close()


def _tell_once(what: object, told: str) -> str:
    if str(what) != told:
        logger.error("sync: %s; tried again every %.0f s", what, RETRY_S)
    return str(what)
