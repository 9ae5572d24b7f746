"""Wire format of our own stream, which `GET /v1/changes` answers.

    stream = zlib( frame* )          flushed after each burst of frames
    frame  = length, 4 bytes big-endian; payload, one msgpack array, its first item the kind:

    [0, node, stamp, resumed]        HELLO     first, at once: who speaks, its clock, whether it goes on where we were
    [1, seq, stamp, sources, addresses, source, names, ages]    CLAIMS   columns; `sources` are (list, TTL in ms)
    [2, seq, stamp]                  REACHED   nothing is left out up to `seq`: everything was told, or nothing is new

Times are milliseconds: stamps of the sender's process clock, ages before the stamp. `seq` counts the frames of the
sender's replication log, which begins with its process (`node`, 16 hexadecimal digits); in claims out of a walk through
everything it is 0. Who has (node, seq) gets what came after, any other gets everything first.

Why no topology can make a loop or an echo storm: a claim is its (address, name), and of it only the last sighting
counts. An age is rounded up, and the receiver takes the earliest instant that the two clocks allow (see
`clock_offset`), so a hop never makes a sighting younger, and it is never later than now. An instance takes and tells on
only what moves its own knowledge forward by more than `TOLERANCE_S`; so one sighting crosses each link at most once in
each direction, and what comes back to where it has been is not later than what is there. Clocks of different speed
could make an age shrink on the way, by seconds a day at worst: that is below the tolerance, or worth one telling each
time that it is passed.
"""

import enum
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgpack

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.timing import DURATION_MAX_S
from dnstap_bgp.core.validation import LIST_NAME_MAX, clean_name, is_instant, packed_peer_address
from dnstap_bgp.errors import BadNameError, PeerError

TOLERANCE_S = 0.5
"""A sighting that is later by less is not later: below what anyone sees of a deadline, above what measuring clocks
costs."""

CLAIMS_MAX = 500
"""Claims of one frame: reading it takes 1 ms."""

FRAME_MAX = 1 << 20
"""Bytes of one: `CLAIMS_MAX` names of the longest kind take 520 KB."""

INFLATE_AT_ONCE = 1 << 16
"""Bytes inflated in one call, whatever a chunk claims to hold."""

_NODE = re.compile(r"[0-9a-f]{16}", re.ASCII)
_WBITS, _MEM_LEVEL, _LEVEL = 14, 7, 5  # 128 KB for each follower


class FrameKind(enum.IntEnum):
    """The first item of a frame."""

    HELLO = 0
    CLAIMS = 1
    REACHED = 2


class Hello(NamedTuple):
    """The first frame of a stream: its sender.

    Attributes:
        node: The sender's process.
        stamp_s: Its process clock, at the latest.
        resumed: The stream goes on where we were; False: everything follows.
    """

    node: str
    stamp_s: float
    resumed: bool


class Claims(NamedTuple):
    """A frame of claims that the sender knows.

    Attributes:
        seq: Of the sender's replication log; 0: out of a walk.
        claims: `seen` in the sender's process clock, at the earliest. Some may be past their deadline.
        stamp_s: The sender's process clock when it was written.
    """

    seq: int
    claims: list[Claim]
    stamp_s: float


class Reached(NamedTuple):
    """A frame that says that nothing is left out up to `seq`."""

    seq: int
    stamp_s: float


Frame: TypeAlias = Hello | Claims | Reached


def encode_hello(node: str, now: float, *, resumed: bool) -> bytes:
    """Write the first frame's payload."""
    return _pack([FrameKind.HELLO, node, math.ceil(now * 1000), resumed])


def encode_reached(seq: int, now: float) -> bytes:
    """Write a payload that says up to where all was told."""
    return _pack([FrameKind.REACHED, seq, math.floor(now * 1000)])


def encode_claims(claims: Sequence[Claim], now: float, seq: int = 0) -> bytes:
    """Write a payload of claims.

    Args:
        claims: 1 to `CLAIMS_MAX`.
        now: Process clock.
        seq: See `Claims`.
    """
    addresses, lists, names, seen, _, ttls = zip(*claims, strict=True)
    pairs = list(zip(lists, ttls, strict=True))
    sources = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
    stamp_ms = math.floor(now * 1000)
    return _pack(
        [
            FrameKind.CLAIMS,
            seq,
            stamp_ms,
            [(name, round(min(ttl_s, DURATION_MAX_S) * 1000)) for name, ttl_s in sources],
            addresses,
            list(map(sources.__getitem__, pairs)),
            names,
            # the stamp was rounded down and ages are rounded up: a sighting never gets younger on the way
            [max(0, math.ceil(stamp_ms - last * 1000)) for last in seen],
        ]
    )


def decode(payload: bytes) -> Frame:
    """Read one payload.

    Raises:
        PeerError: It is none. Claims with a name or an address that is none are left out.
    """
    try:
        # The decoder has a stack of its own, so depth does no harm in it; what is too deep goes at once, since nothing
        # that recurses (repr, hash, comparison) must ever see it.
        kind, *rest = _shallow(msgpack.unpackb(payload, use_list=False, max_array_len=CLAIMS_MAX, max_map_len=0))
        match kind:
            case FrameKind.HELLO:
                node, stamp_ms, resumed = rest
                return Hello(_node(node), _instant_s(stamp_ms), bool(resumed))
            case FrameKind.REACHED:
                seq, stamp_ms = rest
                return Reached(_whole(seq), _instant_s(stamp_ms))
            case FrameKind.CLAIMS:
                return _claims(rest)
    except (ValueError, TypeError, IndexError, OverflowError, msgpack.UnpackException) as error:
        raise PeerError(f"a frame can't be read: {error}") from error
    raise PeerError("a frame of an unknown kind")


class Deflater:
    """Writer of a stream: frames -> compressed bytes."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WBITS, _MEM_LEVEL)

    def more(self, payloads: Sequence[bytes]) -> bytes:
        """Write some frames that others follow soon: the receiver may not see all of them yet."""
        return b"".join([self._zlib.compress(len(payload).to_bytes(4, "big") + payload) for payload in payloads])

    def burst(self, payloads: Sequence[bytes]) -> bytes:
        """Write some frames so that the receiver sees all of them."""
        return self.more(payloads) + self._zlib.flush(zlib.Z_SYNC_FLUSH)


class Inflater:
    """Reader of a stream: compressed bytes -> payloads; holds one frame and one step at most, whatever comes."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(_WBITS)
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take the next bytes.

        Raises:
            PeerError: They are no stream.
        """
        while chunk:
            try:
                # in steps: what is left of a chunk waits compressed, and the frames of each step go out before the next
                self._rest += self._zlib.decompress(chunk, INFLATE_AT_ONCE)
            except zlib.error as error:
                raise PeerError(f"the stream can't be inflated: {error}") from error
            chunk = self._zlib.unconsumed_tail
            if self._zlib.eof:
                raise PeerError("the stream has an end")
            yield from self._frames()

    def _frames(self) -> Iterator[bytes]:
        at = 0
        while len(self._rest) - at >= 4:
            end = at + 4 + int.from_bytes(self._rest[at : at + 4], "big")
            if end - at > FRAME_MAX:
                raise PeerError(f"a frame of {end - at} bytes, {FRAME_MAX} are allowed")
            if end > len(self._rest):
                break
            payload = bytes(self._rest[at + 4 : end])
            at = end
            yield payload
        del self._rest[:at]


def _shallow(values: object) -> Sequence[Any]:
    """Give a decoded frame whose depth is that of CLAIMS at most: columns, and pairs in one of them."""
    if not isinstance(values, tuple):
        raise TypeError("a frame is no array")
    for column in values:
        has_arrays = type(column) is tuple and tuple in set(map(type, column))  # as only `sources` has, of scalars
        if has_arrays and any(type(pair) is tuple and tuple in set(map(type, pair)) for pair in column):
            raise ValueError("arrays are too deep in each other")
    return values


def _claims(columns: Sequence[Any]) -> Claims:
    seq, stamp_ms, sources, addresses, source_ids, names, ages_ms = columns
    stamp_s = _instant_s(stamp_ms)
    known = [(_text(name), min(max(0.0, ttl_ms / 1000), DURATION_MAX_S)) for name, ttl_ms in sources]
    claims = []
    for address, source_id, name, age_ms in zip(addresses, source_ids, names, ages_ms, strict=True):
        list_name, ttl_s = known[source_id]
        seen = (stamp_ms - max(0, age_ms)) / 1000
        if not is_instant(seen):
            raise ValueError("an age is none")
        try:
            claims.append(Claim(packed_peer_address(address), list_name, clean_name(name), seen, seen, ttl_s))
        except (PeerError, BadNameError):
            continue
    return Claims(_whole(seq), claims, stamp_s)


def is_node(text: str) -> bool:
    """Tell whether a text can be a node's name: no other source of news has one that looks like it."""
    return _NODE.fullmatch(text) is not None


def _node(value: object) -> str:
    if not isinstance(value, str) or not is_node(value):
        raise TypeError("a node's name is none")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > LIST_NAME_MAX:
        raise TypeError("a name of a list is none")
    return value


def _whole(value: object) -> int:
    """Check a stamp or a sequence number: a float may be no number, or endless."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("a stamp or a sequence number is no whole number")
    return value


def _instant_s(stamp_ms: object) -> float:
    """Check a stamp, and give its seconds."""
    seconds = _whole(stamp_ms) / 1000
    if not is_instant(seconds):
        raise ValueError("a stamp is none")
    return seconds


def _pack(values: list[object]) -> bytes:
    packed: bytes = msgpack.packb(values)
    return packed
