"""Evidence beside the status of one moment: samples of senders, what has changed of late, access to sockets."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from google.protobuf.message import DecodeError

from dnstap_bgp.core.doctor.sniffers import SnifferReport
from dnstap_bgp.core.tap.dnstap_pb2 import Frame
from dnstap_bgp.core.tap.framestream import split_frames

SAMPLE_MAX_BYTES = 8192
"""Of one chunk: some fifty frames."""

PASSED_MAX = 200
"""Frames of a chunk that a sample may begin behind: walking over so many takes 30 us."""

SAMPLED_MAX = 400
"""Frames; when there are more, the older ones count half, so that a sender whose settings change is soon seen anew."""

TYPES_MAX = 32
"""DNSTap knows 14 types of messages; a sender can make up any number."""

_MESSAGE = 1  # Dnstap.type


@dataclass(frozen=True, slots=True)
class SenderSamples:
    """Evidence of one sender: samples of its frames, and what the tap has counted of them.

    The hot path decodes only what matters there. So now and then some bytes of a chunk are copied before they are read,
    to be looked at later and in another thread; which chunk, and where in it, is chance, since what a resolver sends
    comes in bursts of one kind. Samples alone can't tell that something never comes: what is counted does.

    Attributes:
        looks: Samples so far.
        messages: Frames of a type that counts, of late, exactly.
        empty: Of these, those without a DNS message.
        frames: Whole frames in the samples.
        undecodable: Those that are no DNSTap message.
        types: Message type -> how many.
        wires: The same of those with a DNS response in them.
    """

    looks: int = 0
    messages: int = 0
    empty: int = 0
    frames: int = 0
    undecodable: int = 0
    types: Mapping[int, int] = field(default_factory=dict)
    wires: Mapping[int, int] = field(default_factory=dict)

    def plus(self, sample: bytes) -> "SenderSamples":
        """Add a sample.

        Args:
            sample: Bytes of a Frame Streams connection from a frame's start; the last frame may be cut.
        """
        _, payloads = split_frames(bytearray(sample), 0, len(sample), SAMPLE_MAX_BYTES)
        share = 2 if self.frames > SAMPLED_MAX else 1
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
        return replace(
            self,
            looks=self.looks + 1,
            frames=self.frames // share + len(payloads),
            undecodable=undecodable,
            types=dict(types),
            wires=dict(wires),
        )


def sample_of(buffer: bytearray, start: int, end: int, passed: int) -> bytes:
    """Copy a sample out of a chunk.

    Args:
        buffer: Bytes of a Frame Streams connection.
        start: Of a frame.
        end: Of what has come.
        passed: Frames that are passed over first, as far as there are so many; at most `PASSED_MAX`.

    Returns:
        At most `SAMPLE_MAX_BYTES`, from a frame's start on; the last frame may be cut.
    """
    at = start
    for _ in range(passed):
        following = at + 4 + int.from_bytes(buffer[at : at + 4], "big")
        if following >= end:
            break
        at = following
    return bytes(buffer[at : min(end, at + SAMPLE_MAX_BYTES)])


def _shrunk(counts: Mapping[int, int], share: int) -> Counter[int]:
    return Counter({number: count // share for number, count in counts.items() if count >= share})


def _frame(payload: bytes) -> Frame | None:
    try:
        frame = Frame.FromString(payload)
    except DecodeError:
        return None
    return frame if frame.type == _MESSAGE and frame.HasField("message") else None


class PathStep(NamedTuple):
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
class SocketAccess:
    """Access to the unix sockets of the tap, as modes and accounts have it.

    Attributes:
        paths: The steps to each.
        accounts: The users of resolvers that this system has.
    """

    paths: tuple[tuple[PathStep, ...], ...] = ()
    accounts: tuple[Account, ...] = ()


@dataclass(frozen=True, slots=True)
class Recent:
    """Counts of the last minutes.

    Attributes:
        sightings: Addresses seen for listed names.
        claims: Of these, such that were new: claims that came, a peer's among them.
        foreign: Answers for listed names of an identity that doesn't count.
        rewritten: Answers for listed names that the resolver's policy made.
        refused: Reason -> sightings that could not become a claim.
    """

    sightings: int = 0
    claims: int = 0
    foreign: int = 0
    rewritten: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HoldEvidence:
    """Evidence of resolvers' hooks beside the status.

    Attributes:
        replies: Word of each verdict -> replies of the last minutes, all hooks together.
        told: Answers of that time that hooks only told.
        datagram_queue: Datagrams that wait at a unix socket of this system (`net.unix.max_dgram_qlen`); None: nobody
            asks by those, or it is not known.
        ttl_s: How long routes outlive their last sighting, the shortest of all lists; None: as the DNS says.
        cache_ttl_max_s: The longest that this system's resolvers keep an answer.
    """

    replies: Mapping[str, int] = field(default_factory=dict)
    told: int = 0
    datagram_queue: int | None = None
    ttl_s: float | None = None
    cache_ttl_max_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence of one look; durations are in seconds.

    Attributes:
        messages: The numbers of the message types that count.
        samples: Peer, as the status names it -> samples of it.
        alone_s: How long no sender has streamed; 0: one does, or hooks ask where none ever came.
        opening_s: How long ExaBGP has not been ready; 0: it is.
        down_s: Neighbor -> how long it has been down, for those that are.
        recent: See there.
        no_next_hop: Families without a next-hop that weren't switched off: `IPv4`, `IPv6`.
        static_refused: Static prefixes that are not announced.
        crowded_rules: Name, number of addresses and cap of rules that are near theirs.
        access: See there.
        hold: See there.
        sniffers: Counters of captures on this machine.
    """

    messages: frozenset[int] = frozenset({6})
    samples: Mapping[str, SenderSamples] = field(default_factory=dict)
    alone_s: float = 0.0
    opening_s: float = 0.0
    down_s: Mapping[str, float] = field(default_factory=dict)
    recent: Recent = Recent()
    no_next_hop: tuple[str, ...] = ()
    static_refused: int = 0
    crowded_rules: Sequence[tuple[str, int, int]] = ()
    access: SocketAccess = SocketAccess()
    hold: HoldEvidence = HoldEvidence()
    sniffers: Sequence[SnifferReport] = ()
