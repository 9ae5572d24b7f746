"""Configured peers: where each is and what is known of it; and who follows our stream; in the thread "loop"."""

import asyncio
import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address

from dnstap_bgp.config.addresses import TcpAddress
from dnstap_bgp.core.model import Address
from dnstap_bgp.core.status.report import PeerStatus
from dnstap_bgp.core.sync.clock_offset import SKEW_TOLD_S, Offset
from dnstap_bgp.core.validation import packed_peer_address
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog
from dnstap_bgp.workers.sync.transport import PeerProgress

LOOKUP_S = 5.0
"""For the addresses of a name: what a resolver takes that asks a dead server first."""

ADDRESSES_MAX = 16
"""Of one name; a host has one or two."""


class Peer(PeerProgress):
    """A configured peer, as its client, the listener and the status share it.

    Attributes:
        endpoint: As it is configured.
        addresses: Packed; of a name as it was looked up last.
        node: Its process, as it said last; "": not known.
        offset: Its wall clock.
        knocked: Set when it was here: so trying it again is worth while.
    """

    def __init__(self, endpoint: TcpAddress, log: RateLimitedLog) -> None:
        super().__init__(str(endpoint), log)
        ip = endpoint.ip
        self.endpoint = endpoint
        self.addresses = frozenset[Address]() if ip is None else frozenset({packed_peer_address(ip.packed)})
        self.node = ""
        self.offset = Offset()
        self.knocked = asyncio.Event()
        self._skew_told = False

    async def look_up(self) -> None:
        """Look up the addresses of its name, if it has one.

        Raises:
            OSError: It has none, or nobody knows.
        """
        if self.endpoint.ip is not None:
            return
        try:
            async with asyncio.timeout(LOOKUP_S):
                found = await asyncio.get_running_loop().getaddrinfo(
                    self.endpoint.host, self.endpoint.port, type=socket.SOCK_STREAM
                )
        except TimeoutError as error:
            raise OSError(f"{self.endpoint.host} is not looked up within {LOOKUP_S:.0f} s") from error
        except UnicodeError as error:
            raise OSError(f"{self.endpoint.host} can't be looked up") from error
        self.addresses = frozenset(packed_peer_address(ip_address(row[4][0]).packed) for row in found[:ADDRESSES_MAX])

    def clock_is(self, offset: Offset) -> None:
        """Note the offset of its wall clock; a large one is logged once."""
        self.offset = offset
        skew_s = (offset.low_s + offset.high_s) / 2
        if abs(skew_s) < SKEW_TOLD_S:
            self._skew_told = False
        elif not self._skew_told:
            self._skew_told = True
            self._log.log(
                logging.WARNING,
                f"skew {self}",
                "sync: the clock of peer %s is %.0f s %s ours; its times are read by it, but somebody should look"
                " after NTP",
                self,
                abs(skew_s),
                "ahead of" if skew_s > 0 else "behind",
            )


class Follower:
    """A stream of ours to somebody who follows our changes.

    Attributes:
        remote: Where it goes.
        peer: The configured peer that follows; None: none.
        given: Claims that it got.
        since: When it began, process clock.
    """

    def __init__(self, remote: str, peer: Peer | None) -> None:
        self.remote = remote
        self.peer = peer
        self.given = 0
        self.since = process_clock()

    def give(self, claims: int) -> None:
        """Count claims that it got."""
        self.given += claims
        if self.peer is not None:
            self.peer.given += claims


class Followers:
    """All streams of ours."""

    def __init__(self, peers: Sequence[Peer], node: str) -> None:
        self._peers = peers
        self._node = node
        self._followers: set[Follower] = set()

    def __len__(self) -> int:
        return len(self._followers)

    @contextmanager
    def joined(self, remote: str, address: Address, node: str) -> Iterator[Follower]:
        """Count a follower in, as long as it follows.

        Args:
            remote: Where it is, for people.
            address: The same packed.
            node: Its process.
        """
        at_address = [peer for peer in self._peers if address in peer.addresses]
        peer = next((peer for peer in self._peers if node and peer.node == node), None)
        if peer is None and len(at_address) == 1:
            peer = at_address[0]
        if node != self._node:  # else we are our own peer
            for found in at_address:
                found.knocked.set()
        follower = Follower(remote, peer)
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    def status(self) -> list[PeerStatus]:
        """Copy those that are no configured peers; these have their own."""
        now = process_clock()
        return [
            PeerStatus(
                address=f"{found.remote} (follows us)",
                state="ok",
                synced_s_ago=max(0.0, now - found.since),
                carrier="delta",
                given=found.given,
                is_configured=False,
            )
            for found in list(self._followers)
            if found.peer is None
        ]
