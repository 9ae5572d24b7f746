"""Who may speak to the listener, and how much; for the thread "loop".

With a token, or certificates, whoever has it is let in; without either the addresses of the configured peers are, and
with `insecure` everybody. Peers have connections that strangers can't take from them, however many these open.
"""

import asyncio
import hmac
from collections import Counter, OrderedDict
from collections.abc import Sequence
from ipaddress import ip_address

from dnstap_bgp.config.tables import SyncerConfig
from dnstap_bgp.core.model import Address
from dnstap_bgp.core.routes.allowance import Allowance
from dnstap_bgp.core.sync.entries import clean_address
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

ALLOWANCES_MAX = 1024
"""Addresses whose rate is remembered."""

STRANGER = b""

_BEARER = "bearer "


class Door:
    """Decides by address and token; what comes through TLS has shown its certificate already."""

    def __init__(self, config: SyncerConfig, peers: Sequence[Peer]) -> None:
        self._token = None if config.token is None else config.token.encode()
        self._is_open = config.insecure or config.is_authenticated
        self._peers = peers
        self._connections: Counter[bytes] = Counter()
        self._allowances: OrderedDict[tuple[Address, bool], Allowance] = OrderedDict()

    def peer_at(self, address: Address) -> Peer | None:
        """The first peer that has this address."""
        return next((peer for peer in self._peers if address in peer.addresses), None)

    def enter(self, address: Address) -> bytes | None:
        """Count a connection in; what `leave` wants for it, or None: there are too many."""
        key = STRANGER if self.peer_at(address) is None else address
        if self._connections[key] >= (STRANGERS_MAX if key == STRANGER else CONNECTIONS_MAX):
            return None
        self._connections[key] += 1
        return key

    def leave(self, key: bytes) -> None:
        """Count a connection out."""
        self._connections[key] -= 1
        if not self._connections[key]:
            del self._connections[key]

    async def refusal(self, address: Address, authorization: str | None) -> tuple[int, str] | None:
        """Why a request is not answered, as an HTTP status and a sentence; None: it is, perhaps after a while.

        Args:
            address: Where it comes from.
            authorization: Its header of this name.
        """
        refused = None
        if self._token is not None and not self._is_bearer(authorization):
            refused = 401, "the token is missing or another one"
        elif not self._is_open and self.peer_at(address) is None:
            refused = 403, "not the address of a peer"
        allowance = self._allowance(address, refused is None)
        rate = REQUESTS_PER_S if refused is None else REFUSALS_PER_S
        for _ in range(PACES_MAX):
            if allowance.take(rate, process_clock()):
                return refused
            await asyncio.sleep(PACE_S)
        return 429, "too many requests"

    def _is_bearer(self, authorization: str | None) -> bool:
        assert self._token is not None
        scheme, given = (authorization or "")[: len(_BEARER)], (authorization or "")[len(_BEARER) :]
        same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), self._token)
        return scheme.lower() == _BEARER and same

    def _allowance(self, address: Address, is_let_in: bool) -> Allowance:  # noqa: FBT001 - of one caller
        key = address, is_let_in
        allowance = self._allowances.pop(key, None) or Allowance()
        self._allowances[key] = allowance
        if len(self._allowances) > ALLOWANCES_MAX:
            self._allowances.popitem(last=False)
        return allowance


def packed(host: str) -> Address:
    """The address of a connection's other end."""
    return clean_address(ip_address(host.partition("%")[0]).packed)
