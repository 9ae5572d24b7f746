"""Who follows our changes, and what they got; for the thread "loop"."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dnstap_bgp.core.model import Address
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.sync.carrier import PeerStatus
from dnstap_bgp.workers.sync.peer import Peer


class Follower:
    """One stream.

    Attributes:
        remote: Where it goes.
        peer: Which configured peer that is; None: none.
        given: Claims that it got.
    """

    def __init__(self, remote: str, peer: Peer | None) -> None:
        self.remote = remote
        self.peer = peer
        self.given = 0
        self.since = process_clock()

    def give(self, claims: int) -> None:
        """Count."""
        self.given += claims
        if self.peer is not None:
            self.peer.given += claims


class Followers:
    """All streams."""

    def __init__(self, peers: Sequence[Peer], node: str) -> None:
        self._peers = peers
        self._node = node
        self._followers: set[Follower] = set()

    def __len__(self) -> int:
        return len(self._followers)

    @contextmanager
    def joined(self, remote: str, address: Address, node: str) -> Iterator[Follower]:
        """A follower, as long as it follows.

        Args:
            remote: Where it is, for people.
            address: The same packed.
            node: Its process.
        """
        at_address = [peer for peer in self._peers if address in peer.addresses]
        peer = next((peer for peer in self._peers if node and peer.node == node), None)
        if peer is None and len(at_address) == 1:
            peer = at_address[0]
        if node != self._node:  # we are our own peer
            for found in at_address:
                found.knocked.set()
        follower = Follower(remote, peer)
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    def status(self) -> list[PeerStatus]:
        """Those that are no configured peers; these have their own."""
        return [
            PeerStatus(
                f"{found.remote} (follows us)",
                "delta",
                "following",
                found.since,
                given=found.given,
                is_configured=False,
            )
            for found in list(self._followers)
            if found.peer is None
        ]
