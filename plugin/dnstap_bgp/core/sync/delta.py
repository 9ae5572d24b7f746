"""Our own stream: what `GET /v1/changes` answers.

    stream = zlib( frame* )          flushed after each burst of frames
    frame  = length, 4 bytes big-endian; payload, one msgpack array, its first item the kind:

    [0, node, stamp, resumed]        HELLO     first, at once: who speaks, its clock, whether it goes on where we were
    [1, seq, stamp, sources, addresses, source, names, ages]    CLAIMS   columns; `sources` are (list, TTL in ms)
    [2, seq, stamp]                  REACHED   nothing is left out up to `seq`: everything was told, or nothing is new

Times are milliseconds: stamps of the sender's process clock, ages before the stamp. `seq` counts the sender's journal,
which begins with its process (`node`, 16 hexadecimal digits); in claims out of a walk through everything it is 0. Who
has (node, seq) gets what came after, any other gets everything first.

Why no topology can make a loop or an echo storm: a claim is its (address, name), and of it only the last sighting
counts. An age is rounded up, and the receiver takes the earliest instant that the two clocks allow (see `clocks`), so
a hop never makes a sighting younger, and it is never later than now. An instance takes and tells on only what moves its
own knowledge forward by more than `TOLERANCE_S`; so one sighting crosses each link at most once in each direction, and
what comes back to where it has been is not later than what is there. Clocks of different speed could make an age shrink
on the way, by seconds a day at worst: that is below the tolerance, or worth one telling each time that it is passed.
"""

import enum
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgpack

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.sync.entries import clean_address, clean_name
from dnstap_bgp.errors import PeerError

TOLERANCE_S = 0.5
"""A sighting that is later by less is not later: below what anyone sees of a deadline, above what measuring clocks
costs."""

CLAIMS_MAX = 500
"""Claims of one frame: reading it takes 1 ms."""

FRAME_MAX = 1 << 20
"""Bytes of one: `CLAIMS_MAX` names of the longest kind take 520 KB."""

INFLATE_AT_ONCE = 1 << 16
"""Bytes inflated in one call, whatever a chunk claims to hold."""

STRANGE_LIST_MAX = 63  # characters, as in `config.values.list_name`
TTL_MAX_S = 10 * 366 * 86400.0  # as in `config.values.duration`
_NODE = re.compile(r"[0-9a-f]{16}", re.ASCII)
_WBITS, _MEM_LEVEL, _LEVEL = 14, 7, 5  # 128 KB for each follower


class Kind(enum.IntEnum):
    """What a frame is."""

    HELLO = 0
    CLAIMS = 1
    REACHED = 2


class Hello(NamedTuple):
    """Who speaks.

    Attributes:
        node: The sender's process.
        stamp_s: Its process clock, at the latest.
        resumed: The stream goes on where we were; False: everything follows.
    """

    node: str
    stamp_s: float
    resumed: bool


class Claims(NamedTuple):
    """What the sender knows.

    Attributes:
        seq: Of the sender's journal; 0: out of a walk.
        claims: `seen` in the sender's process clock, at the earliest. Some may be past their deadline.
        stamp_s: The sender's process clock when it was written.
    """

    seq: int
    claims: list[Claim]
    stamp_s: float


class Reached(NamedTuple):
    """Nothing is left out up to `seq`."""

    seq: int
    stamp_s: float


Frame: TypeAlias = Hello | Claims | Reached


def encode_hello(node: str, now: float, *, resumed: bool) -> bytes:
    """Write the first frame's payload."""
    return _pack([Kind.HELLO, node, math.ceil(now * 1000), resumed])


def encode_reached(seq: int, now: float) -> bytes:
    """Write a payload that says how far all was told."""
    return _pack([Kind.REACHED, seq, math.floor(now * 1000)])


def encode_claims(claims: Sequence[Claim], now: float, seq: int = 0) -> bytes:
    """Write claims.

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
            Kind.CLAIMS,
            seq,
            stamp_ms,
            [(name, round(min(ttl_s, TTL_MAX_S) * 1000)) for name, ttl_s in sources],
            addresses,
            list(map(sources.__getitem__, pairs)),
            names,
            [max(0, math.ceil(stamp_ms - last * 1000)) for last in seen],
        ]
    )


def decode(payload: bytes) -> Frame:
    """Read one payload.

    Raises:
        PeerError: It is none. Claims with a name or an address that is none are left out.
    """
    try:
        kind, *rest = msgpack.unpackb(payload, use_list=False, max_array_len=CLAIMS_MAX)
        match kind:
            case Kind.HELLO:
                node, stamp_ms, resumed = rest
                return Hello(_node(node), _whole(stamp_ms) / 1000, bool(resumed))
            case Kind.REACHED:
                seq, stamp_ms = rest
                return Reached(_whole(seq), _whole(stamp_ms) / 1000)
            case Kind.CLAIMS:
                return _claims(rest)
    except (ValueError, TypeError, IndexError, OverflowError, msgpack.UnpackException) as error:
        raise PeerError(f"a frame can't be read: {error}") from error
    raise PeerError(f"a frame of an unknown kind: {kind!r:.20}")


class Deflater:
    """Frames -> bytes of the stream."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WBITS, _MEM_LEVEL)

    def more(self, payloads: Sequence[bytes]) -> bytes:
        """Write some frames that others follow soon: the receiver may not see all of them yet."""
        return b"".join([self._zlib.compress(len(payload).to_bytes(4, "big") + payload) for payload in payloads])

    def burst(self, payloads: Sequence[bytes]) -> bytes:
        """Write some frames so that the receiver sees all of them."""
        return self.more(payloads) + self._zlib.flush(zlib.Z_SYNC_FLUSH)


class Inflater:
    """Bytes of the stream -> payloads; holds one frame and one step at most, whatever comes."""

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


def _claims(columns: Sequence[Any]) -> Claims:
    seq, stamp_ms, sources, addresses, source_ids, names, ages_ms = columns
    stamp_ms = _whole(stamp_ms)
    known = [(_text(name), min(max(0.0, ttl_ms / 1000), TTL_MAX_S)) for name, ttl_ms in sources]
    claims = []
    for address, source_id, name, age_ms in zip(addresses, source_ids, names, ages_ms, strict=True):
        list_name, ttl_s = known[source_id]
        seen = (stamp_ms - max(0, age_ms)) / 1000
        try:
            claims.append(Claim(clean_address(address), list_name, clean_name(name), seen, seen, ttl_s))
        except PeerError:
            continue
    return Claims(_whole(seq), claims, stamp_ms / 1000)


def is_node(text: str) -> bool:
    """Whether a text can be a node's name: no other source of news has one that looks like it."""
    return _NODE.fullmatch(text) is not None


def _node(value: object) -> str:
    if not isinstance(value, str) or not is_node(value):
        raise TypeError("a node's name is none")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > STRANGE_LIST_MAX:
        raise TypeError("a name of a list is none")
    return value


def _whole(value: object) -> int:
    """A stamp or a number of the journal: a float may be no number, or endless."""
    if not isinstance(value, int):
        raise TypeError("a stamp or a sequence number is no whole number")
    return value


def _pack(values: list[object]) -> bytes:
    packed: bytes = msgpack.packb(values)
    return packed
