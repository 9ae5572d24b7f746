"""What a status at one moment doesn't tell: samples, what has changed of late, who can reach what."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from google.protobuf.message import DecodeError

from dnstap_bgp.core.tap.dnstap_pb2 import Frame
from dnstap_bgp.core.tap.framestream import split_frames

SAMPLE_MAX_BYTES = 8192
"""Of one chunk: some fifty frames."""

SEEN_MAX = 400
"""Frames; when there are more, the older ones count half, so that a sender whose settings change is soon seen anew."""

TYPES_MAX = 32
"""DNSTap knows 14 types of messages; a sender can make up any number."""

_MESSAGE = 1  # Dnstap.type


@dataclass(frozen=True, slots=True)
class Seen:
    """What samples showed of one sender.

    The hot path counts only what all senders send together, and decodes only what matters there. So now and then the
    first bytes of a chunk are copied before they are read, to be looked at later and in another thread.

    Attributes:
        frames: Whole frames in the samples.
        undecodable: Those that are no DNSTap message.
        types: Message type -> how many.
        wires: The same of those with a DNS response in them.
    """

    frames: int = 0
    undecodable: int = 0
    types: Mapping[int, int] = field(default_factory=dict)
    wires: Mapping[int, int] = field(default_factory=dict)

    def plus(self, sample: bytes) -> "Seen":
        """Add a sample.

        Args:
            sample: Bytes of a Frame Streams connection from a frame's start; the last frame may be cut.
        """
        _, payloads = split_frames(bytearray(sample), 0, len(sample), SAMPLE_MAX_BYTES)
        share = 2 if self.frames > SEEN_MAX else 1
        types, wires = _shrunk(self.types, share), _shrunk(self.wires, share)
        undecodable = self.undecodable // share
        for payload in payloads:
            frame = _frame(payload)
            if frame is None:
                undecodable += 1
                continue
            number = frame.message.type
            if number in types or len(types) < TYPES_MAX:
                types[number] += 1
                wires[number] += bool(frame.message.response_message)
        return Seen(self.frames // share + len(payloads), undecodable, dict(types), dict(wires))


def _shrunk(counts: Mapping[int, int], share: int) -> Counter[int]:
    return Counter({number: count // share for number, count in counts.items() if count >= share})


def _frame(payload: bytes) -> Frame | None:
    try:
        frame = Frame.FromString(payload)
    except DecodeError:
        return None
    return frame if frame.type == _MESSAGE and frame.HasField("message") else None


class Step(NamedTuple):
    """A folder on the way to a socket, or the socket itself, which is the last one."""

    path: str
    mode: int
    uid: int
    gid: int


class Account(NamedTuple):
    """A user that a resolver runs as."""

    name: str
    uid: int
    groups: frozenset[int]


@dataclass(frozen=True, slots=True)
class Access:
    """How the unix sockets lie.

    Attributes:
        paths: The steps to each.
        accounts: The users of resolvers that this system has.
    """

    paths: tuple[tuple[Step, ...], ...] = ()
    accounts: tuple[Account, ...] = ()


@dataclass(frozen=True, slots=True)
class Recent:
    """What has come in the last minutes.

    Attributes:
        sightings: Addresses seen for listed names.
        foreign: Answers for listed names of an identity that doesn't count.
        rewritten: Answers for listed names that the resolver's policy made.
        refused: Reason -> sightings that could not become a claim.
    """

    sightings: int = 0
    foreign: int = 0
    rewritten: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clues:
    """All of it; durations are in seconds.

    Attributes:
        messages: The numbers of the message types that count.
        seen: Peer, as the status names it -> what samples showed of it.
        alone_s: How long no sender has streamed; 0: one does.
        opening_s: How long ExaBGP has not been ready; 0: it is.
        down_s: Neighbor -> how long it has been down, for those that are.
        recent: See there.
        no_next_hop: Families without a next-hop that weren't switched off: `IPv4`, `IPv6`.
        static_refused: Static prefixes that are not announced.
        access: See there.
    """

    messages: frozenset[int] = frozenset({6})
    seen: Mapping[str, Seen] = field(default_factory=dict)
    alone_s: float = 0.0
    opening_s: float = 0.0
    down_s: Mapping[str, float] = field(default_factory=dict)
    recent: Recent = Recent()
    no_next_hop: tuple[str, ...] = ()
    static_refused: int = 0
    access: Access = Access()
