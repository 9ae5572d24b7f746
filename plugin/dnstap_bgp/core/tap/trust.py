"""Whose answers count: by the sender's identity, and by what the resolver's own policy did to them.

Asked for messages with an outcome only. It also learns the resolvers' addresses, so that none becomes a route.
"""

from collections.abc import Set as AbstractSet
from enum import Enum

from dnstap_bgp.core.model import Address
from dnstap_bgp.core.tap.dnstap_pb2 import Frame

RESOLVERS_MAX = 256
"""Addresses that answers come from: a farm has dozens. More are made up, to fill the memory."""

_PASS = 3  # dnstap PolicyAction: the answer is as it came
_MAPPED = bytes(10) + b"\xff\xff"


class Distrust(Enum):
    """Why an answer doesn't count."""

    FOREIGN = "foreign"  # of an identity that is not among those that count
    REWRITTEN = "rewritten"  # the resolver's policy (RPZ) made it


class Trust:
    """What the configuration says about senders.

    Attributes:
        resolvers: The addresses that answers came from; grows.
    """

    __slots__ = ("_identities", "_rewritten", "resolvers")

    def __init__(
        self,
        identities: AbstractSet[bytes] = frozenset(),
        *,
        rewritten: bool = False,
        resolvers: set[Address] | None = None,
    ) -> None:
        """Make one.

        Args:
            identities: Those that count; empty: all.
            rewritten: Answers that a policy rewrote count too.
            resolvers: Addresses that are known already, to be added to.
        """
        self.resolvers = resolvers if resolvers is not None else set()
        self._identities = identities
        self._rewritten = rewritten

    def distrust(self, frame: Frame) -> Distrust | None:
        """Why the answer in a frame doesn't count; None: it does."""
        if self._identities and frame.identity not in self._identities:
            return Distrust.FOREIGN
        message = frame.message
        resolver = message.response_address
        if resolver not in self.resolvers:
            self._learn(resolver)
        if not self._rewritten and message.HasField("policy") and message.policy.action != _PASS:
            return Distrust.REWRITTEN
        return None

    def _learn(self, address: bytes) -> None:
        if len(address) not in (4, 16) or len(self.resolvers) >= RESOLVERS_MAX:
            return
        self.resolvers.add(address)
        if address.startswith(_MAPPED):
            self.resolvers.add(address[len(_MAPPED) :])
