"""Access to the sync listener: who may ask, how often, in how many connections; for the thread "loop".

With a token, or certificates, whoever has it is let in; without either the addresses of the configured peers are, and
with `insecure` everybody. Peers have connections that strangers can't take from them, however many these open.
"""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Sequence
from ipaddress import ip_address

from dnstap_bgp.config.settings import SyncerConfig
from dnstap_bgp.core.model import Address
from dnstap_bgp.core.timing import TokenBucket
from dnstap_bgp.core.validation import packed_peer_address
from dnstap_bgp.workers.net.connection_limits import Room
from dnstap_bgp.workers.net.http_server import is_bearer
from dnstap_bgp.workers.net.listeners import peer_address
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.sync.peer import Peer

STRANGERS_MAX = 64
"""Connections from addresses of no peer, all together: for members that are no peers of ours, and for their refusal."""

CONNECTIONS_MAX = 64
"""From the address of a peer: the Go program opens one for each sighting that it pushes while others are under way."""

REQUESTS_PER_S = 1000.0
"""From one address: each pushed sighting of the Go program is a request. More would take from the tap."""

REFUSALS_PER_S = 20.0
"""The same for those that are not let in."""

PACE_S, PACES_MAX = 0.05, 100
"""Who asks faster waits; who has waited for 5 s is told to come back later."""

BUCKETS_MAX = 1024
"""Addresses whose rate is remembered."""


class SyncAccess:
    """Decides by address and token; who comes through TLS has shown a certificate already."""

    def __init__(self, config: SyncerConfig, peers: Sequence[Peer]) -> None:
        self._token = None if config.token is None else config.token.encode()
        self._is_open = config.insecure or config.is_authenticated
        self._peers = peers
        self._buckets: OrderedDict[tuple[Address, bool], TokenBucket] = OrderedDict()

    def peer_at(self, address: Address) -> Peer | None:
        """Give the first peer that has this address."""
        return next((peer for peer in self._peers if address in peer.addresses), None)

    def room_of(self, sock: socket.socket) -> Room:
        """Give the room of a connection: each peer's address has one, and strangers have one together."""
        address = packed_peer_address(peer_address(sock).packed)
        if self.peer_at(address) is None:
            return Room("strangers", STRANGERS_MAX)
        return Room(address, CONNECTIONS_MAX)

    async def refusal(self, address: Address, authorization: str | None) -> tuple[int, str] | None:
        """Say why a request is not answered, as an HTTP status and a sentence; None: it is, perhaps after a while.

        Args:
            address: Where it comes from.
            authorization: Its header of this name.
        """
        refused = None
        if self._token is not None and not is_bearer(authorization, self._token):
            refused = 401, "the token is missing or another one"
        elif not self._is_open and self.peer_at(address) is None:
            refused = 403, "not the address of a peer"
        bucket = self._bucket(address, refused is None)
        rate = REQUESTS_PER_S if refused is None else REFUSALS_PER_S
        for _ in range(PACES_MAX):
            if bucket.take(rate, process_clock()):
                return refused
            await asyncio.sleep(PACE_S)
        return 429, "too many requests"

    def _bucket(self, address: Address, is_let_in: bool) -> TokenBucket:  # noqa: FBT001 - of one caller
        key = address, is_let_in
        bucket = self._buckets.pop(key, None) or TokenBucket()
        self._buckets[key] = bucket
        if len(self._buckets) > BUCKETS_MAX:
            self._buckets.popitem(last=False)
        return bucket


def packed(host: str) -> Address:
    """Read the address of a connection's other end."""
    return packed_peer_address(ip_address(host.partition("%")[0]).packed)
