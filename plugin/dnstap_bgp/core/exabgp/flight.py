"""Lines on their way: what they are for, and what stays until their answer."""

import enum
from dataclasses import dataclass, field

from dnstap_bgp.core.exabgp.batch import Batch
from dnstap_bgp.core.exabgp.neighbors import Neighbor
from dnstap_bgp.core.model import Attributes, Prefix


class Stage(enum.Enum):
    """Where the conversation stands."""

    OPENING = "opening"
    BARRIER = "barrier"
    READY = "ready"
    REFUSED = "refused"


class Kind(enum.Enum):
    """What a line in flight is for; those that are exclusive are alone in flight."""

    HANDSHAKE = "handshake"
    ROUTES = "routes"
    NEIGHBORS = "neighbors"
    CLEAN = "clean"
    PREPARE = "prepare"
    CHANGE = "change"
    LATER = "later"
    END_OF_RIB = "end of rib"
    FLUSH = "flush"

    @property
    def exclusive(self) -> bool:
        """Whether nothing else may be unanswered with it."""
        return self not in (Kind.ROUTES, Kind.NEIGHBORS)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What to write now.

    Attributes:
        data: Whole lines, ASCII.
        news: What the state file must know before they leave.
    """

    data: bytes
    news: list[tuple[Prefix, Attributes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Flight:
    """What was said and is not answered yet."""

    number: int
    kind: Kind
    since: float
    batch: Batch | None = None
    neighbors: tuple[Neighbor, ...] = ()
