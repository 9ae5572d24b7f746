"""The fast path for DNSTap: a chunk of data frames -> sightings.

A protobuf decode for each frame is what bounds a plain reader. Here a whole chunk is decoded at once: the four bytes of
each frame's length are overwritten by a protobuf tag and a three-byte varint of the same length. That makes the chunk
one `Chunk` message (see dnstap.proto) whose parts merge, and so the types and the DNS messages of all frames come out
as two lists, for 0.2 of the cost of a decode each. A lying length inside a frame can't reach the next one, because the
decoder holds it to the frame's own.

Why that is exact: the list of DNS messages has at least the one that counts in each frame (a field that is singular
counts as it stands last), so what `Screen.scan` passes over needs no second look. A message with an outcome does: its
frame is decoded once more, alone, and must have just that message. Where it has not, or where it isn't clear which
frame a message belongs to, the whole chunk is read again frame by frame, which is slow and simple.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import cast

from google.protobuf.message import DecodeError

from dnstap_bgp.core.lists.domains import RuleSet
from dnstap_bgp.core.model import Sighting
from dnstap_bgp.core.tap.dnstap_pb2 import Chunk, Frame
from dnstap_bgp.core.tap.screen import Hit, Screen
from dnstap_bgp.core.tap.trust import Distrust, Trust
from dnstap_bgp.errors import DnsError

FRAME_MAX_BYTES = (1 << 21) - 1
"""What three bytes of varint can say; no `frame_max` may be more. (The C library of Frame Streams caps at 1 MiB.)"""

_USUAL_MAX_BYTES = 4095
_PREFIX_BYTES = 4
_LENGTH = struct.Struct("!I")
_MESSAGE = 1  # Dnstap.type
_TAG = 1 << 3 | 2  # field 1, length-delimited


def _header(size: int) -> int:
    """Four bytes, as a big-endian number: the tag of `Chunk.frames` and a varint, padded to three bytes."""
    return _TAG << 24 | (size & 0x7F | 0x80) << 16 | (size >> 7 & 0x7F | 0x80) << 8 | size >> 14


_HEADERS = {size: _header(size) for size in range(1, _USUAL_MAX_BYTES + 1)}
"""Looking one up takes a tenth of working it out. A size that is not here stops the inner loop of `_split`, which so
needs no comparison: 0, a control frame's escape, and what is unusually long."""


@dataclass(slots=True)
class IngestCounters:
    """What came in, since the start.

    Attributes:
        frames: Data frames.
        undecodable: Frames that are no Dnstap protobuf.
        messages: Frames of an accepted message type.
        empty: Those of them without a DNS message: the sender leaves it out.
        matched: Messages that gave a sighting.
        sightings: Sightings.
        truncated: Messages for listed names that were skipped because TC is set.
        malformed: Messages that were dropped because they are cut, lying or looping, as far as anyone looked: what is
            for a name on no list is not read on.
        foreign: Answers for listed names that didn't count, because `identities` has not their sender.
        rewritten: Answers for listed names that didn't count, because the resolver's own policy (RPZ) rewrote them.
        odd_chunks: Chunks that had to be read frame by frame.
    """

    frames: int = 0
    undecodable: int = 0
    messages: int = 0
    empty: int = 0
    matched: int = 0
    sightings: int = 0
    truncated: int = 0
    malformed: int = 0
    foreign: int = 0
    rewritten: int = 0
    odd_chunks: int = 0

    def add(self, other: "IngestCounters") -> None:
        """Add what another one counted."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class _OddChunkError(Exception):
    """It is not clear which message belongs to which frame: a field is missing, or stands twice."""


class Ingest:
    """Reads the data frames of all connections for one rule set; its memo of names dies with it.

    Attributes:
        rules: What the names are matched with.
        counters: What came in; a successor goes on with them.
    """

    def __init__(
        self,
        rules: RuleSet,
        messages: frozenset[int],
        counters: IngestCounters | None = None,
        trust: Trust | None = None,
    ) -> None:
        """Start with an empty memo.

        Args:
            rules: What the names are matched with.
            messages: The numbers of the dnstap message types whose answers count (6: CLIENT_RESPONSE).
            counters: Those of the Ingest that this one replaces.
            trust: Whose answers count; None: everybody's that no policy rewrote.
        """
        self.rules = rules
        self.counters = counters or IngestCounters()
        self._messages = messages
        self._trust = trust or Trust()
        self._screen = Screen(rules)

    def feed(self, buffer: bytearray, start: int, end: int, frame_max: int) -> tuple[int, list[Sighting]]:
        """Consume the whole data frames of buffer[start:end], which it may overwrite.

        Args:
            buffer: Bytes of one Frame Streams connection.
            start: Where a frame starts.
            end: Where the valid bytes end.
            frame_max: The longest frame to take, at most FRAME_MAX_BYTES.

        Returns:
            The offset of the first byte that was not consumed (a control frame, a frame that is not whole yet, one that
            is too long), and the sightings.
        """
        assert frame_max <= FRAME_MAX_BYTES
        offsets = _split(buffer, start, end, frame_max)
        tally = IngestCounters(frames=len(offsets) - 1)
        if not tally.frames:
            return start, []
        try:
            sightings = self._read_chunk(buffer, offsets, tally)
        except (DecodeError, _OddChunkError):
            tally = IngestCounters(frames=len(offsets) - 1, odd_chunks=1)
            sightings = self._read_frames(buffer, offsets, tally)
        self.counters.add(tally)
        return offsets[-1], sightings

    def _read_chunk(self, buffer: bytearray, offsets: list[int], tally: IngestCounters) -> list[Sighting]:
        """Decode all frames at once.

        Raises:
            DecodeError: At least one of them is broken.
            _OddChunkError: See there.
        """
        # FromString takes a bytearray as well, which saves a copy, here and below.
        decoded = Chunk.FromString(cast("bytes", buffer[offsets[0] : offsets[-1]])).frames.message
        types, wires = list(decoded.type), list(decoded.response_message)
        if len(types) != tally.frames:
            raise _OddChunkError
        frame_of: Sequence[int] = range(len(wires))
        if len(wires) != len(types):  # queries among them are usual: they have odd numbers and bring no response
            if len(wires) != sum(types.count(number) for number in set(types) if number % 2 == 0):
                raise _OddChunkError
            frame_of = ()
        tally.messages = sum(map(types.count, self._messages))
        hits = self._screen.scan(wires)
        if hits and not frame_of:
            frame_of = [index for index, number in enumerate(types) if number % 2 == 0]

        decode, accepted = Frame.FromString, self._messages

        def accepts(index: int) -> bool:
            """Whether a message is of an accepted type, once it is sure that it is its frame's."""
            number = frame_of[index]
            frame = decode(cast("bytes", buffer[offsets[number] + _PREFIX_BYTES : offsets[number + 1]]))
            message = frame.message
            if message.response_message != wires[index]:
                raise _OddChunkError
            return frame.type == _MESSAGE and message.type in accepted and self._trusts(frame, tally)

        return self._read(hits, accepts, tally)

    def _read_frames(self, buffer: bytearray, offsets: list[int], tally: IngestCounters) -> list[Sighting]:
        """Decode frame by frame; `buffer` may be overwritten already, `offsets` tell the frames."""
        frames: list[Frame] = []
        for start, end in pairwise(offsets):
            try:
                frame = Frame.FromString(bytes(buffer[start + _PREFIX_BYTES : end]))
            except DecodeError:
                tally.undecodable += 1
                continue
            if frame.type == _MESSAGE and frame.message.type in self._messages:
                tally.messages += 1
                if frame.message.response_message:
                    frames.append(frame)
        tally.empty = tally.messages - len(frames)
        wires = [frame.message.response_message for frame in frames]
        return self._read(self._screen.scan(wires), lambda index: self._trusts(frames[index], tally), tally)

    def _trusts(self, frame: Frame, tally: IngestCounters) -> bool:
        """Whether the answer in a frame counts, by who sent it and what became of it there."""
        distrust = self._trust.distrust(frame)
        if distrust is None:
            return True
        tally.foreign += distrust is Distrust.FOREIGN
        tally.rewritten += distrust is Distrust.REWRITTEN
        return False

    def _read(self, hits: list[Hit], accepts: Callable[[int], bool], tally: IngestCounters) -> list[Sighting]:
        """Read what the screen let through; only a message with an outcome is worth asking whether it counts."""
        sightings: list[Sighting] = []
        read = self._screen.read
        for hit in hits:
            try:
                found = read(hit)
            except DnsError:
                tally.malformed += accepts(hit[0])
                continue
            if found is None:
                tally.truncated += accepts(hit[0])
            elif found and accepts(hit[0]):
                tally.matched += 1
                sightings += found
        tally.sightings = len(sightings)
        return sightings


def _split(buffer: bytearray, start: int, end: int, frame_max: int) -> list[int]:
    """Find the whole data frames and put a protobuf tag over each length: their offsets, and that of what follows."""
    offsets = [start]
    size = 0
    last = end - _PREFIX_BYTES
    headers = _HEADERS if frame_max >= _USUAL_MAX_BYTES else {}
    append, length_at, put = offsets.append, _LENGTH.unpack_from, _LENGTH.pack_into
    while start <= last:
        try:
            while start <= last:
                (size,) = length_at(buffer, start)
                put(buffer, start, headers[size])
                start += _PREFIX_BYTES + size
                append(start)
        except KeyError:
            if not 0 < size <= frame_max:
                break
            put(buffer, start, _header(size))
            start += _PREFIX_BYTES + size
            append(start)
    if start > end:  # the last one is not whole; looking back once is cheaper than looking ahead each time
        offsets.pop()
        put(buffer, offsets[-1], size)
    return offsets
