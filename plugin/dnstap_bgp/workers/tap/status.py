"""What the tap tells about itself: copies for people and machines; no thread of its own."""

import enum
from dataclasses import dataclass

from dnstap_bgp.config import ListenAddress


class Refusal(enum.StrEnum):
    """Why a connection was turned away, beside the mistakes of core.framestream.Fault."""

    LIMIT = "limit"  # connections_max are streaming
    CROWDED = "crowded"  # had not come to START when its place was needed
    NOT_ALLOWED = "not-allowed"  # TCP, from outside of `allow`
    SILENT = "silent"  # sent nothing within the handshake timeout
    SLOW = "slow-handshake"  # began, but did not come to START within it
    TLS_HANDSHAKE = "tls-handshake"  # it speaks no TLS to a TLS listener, or none in common
    TLS_CERTIFICATE = "tls-certificate"  # theirs was not accepted by us, or ours not by them


@dataclass(frozen=True, slots=True)
class Trouble:
    """What senders got wrong in one way.

    Attributes:
        kind: A value of core.framestream.Fault or of Refusal.
        count: How often since the start.
        last: The last time's sender, and what is wrong or to be changed.
        at: When that was, process clock.
    """

    kind: str
    count: int
    last: str
    at: float


@dataclass(frozen=True, slots=True)
class ListenerStatus:
    """One address to listen on; `problem` is None while we do."""

    address: ListenAddress
    problem: str | None


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """One sender.

    Attributes:
        peer: Address and port, or the process at the other end of a unix socket: `unbound[1234]`.
        listener: The address that it came to.
        state: A value of core.framestream.State.
        bidirectional: It waits for our ACCEPT and FINISH.
        since: When it connected, process clock.
        bytes: Received so far.
        frames: Data frames so far.
        identity: What its frames say it is; empty where they don't, or none has come yet.
        version: Likewise, of its software.
    """

    peer: str
    listener: ListenAddress
    state: str
    bidirectional: bool
    since: float
    bytes: int
    frames: int
    identity: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class TapStatus:
    """How the tap stands; `accepted` counts connections since the start."""

    listeners: tuple[ListenerStatus, ...]
    connections: tuple[ConnectionStatus, ...]
    accepted: int
    troubles: tuple[Trouble, ...]
