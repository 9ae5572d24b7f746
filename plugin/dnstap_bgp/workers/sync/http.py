"""HTTP transport of the sync: a listener, and a client for each peer; in the thread "loop".

This module is the only way in to aiohttp, 17 MB.
"""

import asyncio
import logging
import ssl
from functools import partial

from dnstap_bgp.config.addresses import TcpAddress
from dnstap_bgp.config.settings import SyncerConfig
from dnstap_bgp.core.model import Address
from dnstap_bgp.core.status.report import PeerStatus
from dnstap_bgp.errors import ListenerError
from dnstap_bgp.workers.net.tls import client_context, server_context
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog
from dnstap_bgp.workers.process.loop import supervise
from dnstap_bgp.workers.sync.access import SyncAccess
from dnstap_bgp.workers.sync.client import PeerClient
from dnstap_bgp.workers.sync.go_peer import GoPeer
from dnstap_bgp.workers.sync.http_session import HttpSession, open_session
from dnstap_bgp.workers.sync.hub import Hub
from dnstap_bgp.workers.sync.listener import SyncListener
from dnstap_bgp.workers.sync.peer import Followers, Peer

logger = logging.getLogger(__name__)

RETRY_S = 5.0
"""Until the address to listen on is there, or a certificate can be read."""

REPEAT_S = 3600.0
"""Until what is still wrong is logged again."""


class HttpTransport:
    """A `Transport` over HTTP."""

    def __init__(self, config: SyncerConfig, hub: Hub) -> None:
        log = RateLimitedLog(logger, process_clock)
        self._config = config
        self._hub = hub
        self._repeats = RateLimitedLog(logger, process_clock, burst=1, window_s=REPEAT_S)
        self._peers = [Peer(endpoint, log) for endpoint in config.peers]
        self._followers = Followers(self._peers, hub.node)
        self._clients: list[PeerClient] = []

    async def run(self) -> None:
        """Listen and follow until cancelled."""
        server_tls, client_tls = await self._certificates()
        session = open_session(self._config.token, client_tls)
        self._clients = [PeerClient(peer, self._hub, session, self._go_peer(peer, session)) for peer in self._peers]
        try:
            async with asyncio.TaskGroup() as group:
                if self._config.listen is not None:
                    listen = partial(self._listen, self._config.listen, server_tls)
                    group.create_task(supervise("sync: the listener", listen))
                for client in self._clients:
                    group.create_task(client.run())
        finally:
            await session.client.close()

    def resync(self) -> None:
        """Have each client load everything again."""
        for client in self._clients:
            client.resync()

    def status(self) -> list[PeerStatus]:
        """Copy how the peers and other followers are."""
        return [peer.status() for peer in self._peers] + self._followers.status()

    def addresses(self) -> frozenset[Address]:
        """Give the addresses of all peers."""
        return frozenset[Address]().union(*(peer.addresses for peer in self._peers))

    def _go_peer(self, peer: Peer, session: HttpSession) -> GoPeer | None:
        if not self._config.compatible:
            return None
        return GoPeer(peer, self._hub, session, self._config.sync_interval_s)

    async def _certificates(self) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
        """Make the TLS contexts of listener and clients, once their files can be read."""
        while True:
            try:
                return _contexts(self._config)
            except ListenerError as error:
                self._complain(f"syncer.{error}")
            await asyncio.sleep(RETRY_S)

    async def _listen(self, endpoint: TcpAddress, tls: ssl.SSLContext | None) -> None:
        """Listen, as soon as the address can be had, until cancelled."""
        access = SyncAccess(self._config, self._peers)
        listener = SyncListener(self._hub, access, self._followers, tls=tls, compatible=self._config.compatible)
        try:
            while True:
                try:
                    await listener.open(endpoint.host, endpoint.port)
                    break
                except OSError as error:
                    self._complain(f"can't listen on syncer.listen {endpoint}: {error}")
                await asyncio.sleep(RETRY_S)
            logger.info("sync: listening on %s", endpoint)
            await listener.serve()
        finally:
            await listener.close()

    def _complain(self, problem: str) -> None:
        self._repeats.log(logging.ERROR, problem, "sync: %s; tried again every %.0f s", problem, RETRY_S)


def _contexts(config: SyncerConfig) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    """Make the TLS contexts of listener and clients from the files of now; None: plain.

    Raises:
        ListenerError: A file can't be used.
    """
    if config.tls_cert is None or config.tls_ca is None:
        return None, None
    ca = "tls_ca", config.tls_ca
    return server_context(config.tls_cert, config.tls_key, ca), client_context(config.tls_cert, config.tls_key, ca)
