"""Ingest, the fast path for DNSTap: a chunk of data frames -> sightings.

A protobuf decode for each frame is what bounds a plain reader. Here a whole chunk is decoded at once: the four bytes of
each frame's length are overwritten by a protobuf tag and a three-byte varint of the same length. That makes the chunk
one `Chunk` message (see dnstap.proto) whose parts merge, and so the types and the DNS messages of all frames come out
as two lists, for 0.2 of the cost of a decode each. A lying length inside a frame can't reach the next one, because the
decoder holds it to the frame's own.

Why that is exact: the list of DNS messages has at least the one that counts in each frame (a field that is singular
counts as it stands last), so what `Prefilter.scan` passes over needs no second look. A message with an outcome does:
its frame is decoded once more, alone, and must have just that message. Where it has not, or where it isn't clear which
frame a message belongs to, the whole chunk is read again frame by frame, which is slow and simple.

Whoever sends frames, or owns a domain that is asked for, chooses what is in a chunk. So every step here is linear in
its bytes, and what isn't (names, sightings) is charged to a budget of work that each chunk starts with.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import cast

from google.protobuf.message import DecodeError

from dnstap_bgp.core.dns.answer import is_truncated
from dnstap_bgp.core.lists.rules import RuleSet
from dnstap_bgp.core.model import Address, Name, Sighting
from dnstap_bgp.core.refresh.asked_names import AskedNames
from dnstap_bgp.core.status.report import MemoStatus
from dnstap_bgp.core.tap.dnstap_pb2 import Chunk, Frame
from dnstap_bgp.core.tap.memo import ListedName
from dnstap_bgp.core.tap.prefilter import EXCEPTED, MEMO_MAX_BYTES, Candidate, Prefilter
from dnstap_bgp.core.tap.trust import Distrust, Trust
from dnstap_bgp.errors import DnsError, WorkExceededError

FRAME_MAX_BYTES = (1 << 21) - 1
"""The most that three bytes of varint can say; no `frame_max` may be more. (The C library caps at 1 MiB.)"""
CUT_NAMES_MAX = 256
"""Names that are remembered for having come truncated, the latest ones."""
EXCEPTED_NAMES_MAX = 4096
EXCEPTED_ADDRESSES_MAX = 16
"""Excepted names that are remembered with their addresses, the latest of both: 2 MB at most."""
TYPES_MAX = 16
"""Different message types in a chunk that are counted one by one: DNSTap has 14. More are made up."""

_USUAL_MAX_BYTES = 4095
_PREFIX_BYTES = 4
_LENGTH = struct.Struct("!I")
_MESSAGE = 1  # Dnstap.type
_TAG = 1 << 3 | 2  # field 1, length-delimited


def _header(size: int) -> int:
    """Make the four bytes, as a big-endian number: the tag of `Chunk.frames` and a varint, padded to three bytes."""
    return _TAG << 24 | (size & 0x7F | 0x80) << 16 | (size >> 7 & 0x7F | 0x80) << 8 | size >> 14


_HEADERS = {size: _header(size) for size in range(1, _USUAL_MAX_BYTES + 1)}
"""Looking one up takes a tenth of working it out. A size that is not here stops the inner loop of `_split`, which so
needs no comparison: 0, a control frame's escape, and what is unusually long."""


@dataclass(slots=True)
class IngestCounters:
    """Counters of the frames and messages that came in since the start.

    Attributes:
        frames: Data frames.
        undecodable: Frames that are no Dnstap protobuf.
        messages: Frames of an accepted message type.
        empty: Those of them without a DNS message: the sender leaves it out.
        matched: Messages that gave a sighting.
        sightings: Sightings.
        cut: Those of them with TC set: the addresses that came whole count.
        truncated: Messages for listed names with TC set in which no address came whole.
        malformed: Messages that were dropped because they are cut, lying or looping, as far as anyone looked: what is
            for a name on no list is not read on.
        costly: Messages that were skipped because the budget of work for their chunk was spent.
        foreign: Answers for listed names that didn't count, because `identities` has not their sender.
        rewritten: Answers for listed names that didn't count, because the resolver's own policy (RPZ) rewrote them.
        odd_chunks: Chunks that had to be read frame by frame.
        unread: Frames that were taken and not read, while the plugin's start was braked.
    """

    frames: int = 0
    undecodable: int = 0
    messages: int = 0
    empty: int = 0
    matched: int = 0
    sightings: int = 0
    cut: int = 0
    truncated: int = 0
    malformed: int = 0
    costly: int = 0
    foreign: int = 0
    rewritten: int = 0
    odd_chunks: int = 0
    unread: int = 0

    def add(self, other: "IngestCounters") -> None:
        """Add the counts of another one."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class _OddChunkError(Exception):
    """A chunk in which a field is missing or stands twice: no message surely belongs to its frame."""


class Ingest:
    """Reads the data frames of all connections for one rule set; its memo of names dies with it.

    Attributes:
        rules: The rules that names are matched with.
        counters: Of all that came in; a successor goes on with them.
        cut_names: Listed names whose answers came truncated of late, for `why`; others may look.
        excepted: Names that an exception keeps off a list -> addresses that they were seen with, alike.
        reads: False where frames are only counted, so that nobody else should decode one either.
    """

    reads = True

    def __init__(
        self,
        rules: RuleSet,
        messages: frozenset[int],
        counters: IngestCounters | None = None,
        trust: Trust | None = None,
        memo_max_bytes: int = MEMO_MAX_BYTES,
        *,
        asked_names: AskedNames | None = None,
    ) -> None:
        """Start with an empty memo.

        Args:
            rules: The rules that names are matched with.
            messages: The numbers of the dnstap message types whose answers count (6: CLIENT_RESPONSE).
            counters: The counters of the Ingest that this one replaces.
            trust: The answers that count; None: everybody's that no policy rewrote.
            memo_max_bytes: The memory for names.
            asked_names: Takes note of names for the active refresh; None: no list is refreshed.
        """
        self.rules = rules
        self.counters = counters or IngestCounters()
        self.cut_names: dict[Name, None] = {}
        self.excepted: dict[Name, tuple[Address, ...]] = {}
        self._messages = messages
        self._trust = trust or Trust()
        self._asked_names = asked_names
        self._prefilter = Prefilter(rules, memo_max_bytes, reads_excepted=True)

    def memo_status(self) -> MemoStatus:
        """Copy how the memo stands; any thread may ask."""
        found = self._prefilter
        memo = found.memo
        return MemoStatus(
            len(memo), memo.used_bytes, memo.max_bytes, found.asked, found.recalled, found.ruled_out, found.looked_up
        )

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
            # Nothing of the first reading was kept but for the memo, which holds only what was proved.
            tally = IngestCounters(frames=len(offsets) - 1, odd_chunks=1)
            sightings = self._read_frames(buffer, offsets, tally)
        self.counters.add(tally)
        return offsets[-1], sightings

    def _read_chunk(self, buffer: bytearray, offsets: list[int], tally: IngestCounters) -> list[Sighting]:
        """Decode all frames at once.

        Each frame gives one type, and each response one message. As many of either as there are frames, or messages as
        there are types of responses, is what pairs them: queries among the frames are usual, have odd numbers and bring
        no response. A frame that lacks what another one has twice makes the counts right and the pairs wrong; that is
        why `accepts` looks at the frame itself.

        Raises:
            DecodeError: At least one of the frames is broken.
            _OddChunkError: The counts don't pair, or a message is not that of its frame.
        """
        # FromString takes a bytearray as well, which saves a copy, here and below.
        decoded = Chunk.FromString(cast("bytes", buffer[offsets[0] : offsets[-1]])).frames.message
        types, wires = list(decoded.type), list(decoded.response_message)
        if len(types) != tally.frames:
            raise _OddChunkError
        frame_of: Sequence[int] = range(len(wires))
        if len(wires) != len(types):
            kinds = set(types)  # few, so that counting one after the other is the fastest way
            if len(kinds) > TYPES_MAX or len(wires) != sum(types.count(kind) for kind in kinds if kind % 2 == 0):
                raise _OddChunkError
            frame_of = ()
        tally.messages = sum(map(types.count, self._messages))
        candidates = self._prefilter.scan(wires)
        if candidates and not frame_of:
            frame_of = [index for index, number in enumerate(types) if number % 2 == 0]

        decode, accepted = Frame.FromString, self._messages

        def accepts(index: int) -> bool:
            """Check that a message is of an accepted type, once it is sure that the message is that of its frame."""
            number = frame_of[index]
            frame = decode(cast("bytes", buffer[offsets[number] + _PREFIX_BYTES : offsets[number + 1]]))
            message = frame.message
            if message.response_message != wires[index]:
                raise _OddChunkError
            return frame.type == _MESSAGE and message.type in accepted and self._trusts(frame, tally)

        return self._read(candidates, accepts, tally)

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
        return self._read(self._prefilter.scan(wires), lambda index: self._trusts(frames[index], tally), tally)

    def _trusts(self, frame: Frame, tally: IngestCounters) -> bool:
        """Check that the answer in a frame counts, by its sender and by what became of it there."""
        distrust = self._trust.distrust(frame)
        if distrust is None:
            return True
        tally.foreign += distrust is Distrust.FOREIGN
        tally.rewritten += distrust is Distrust.REWRITTEN
        return False

    def _read(
        self, candidates: list[Candidate], accepts: Callable[[int], bool], tally: IngestCounters
    ) -> list[Sighting]:
        """Read the candidates; only a message with an outcome is worth asking whether it counts."""
        sightings: list[Sighting] = []
        read = self._prefilter.read
        for candidate in candidates:
            try:
                found = read(candidate)
            except WorkExceededError:
                tally.costly += accepts(candidate[0])
                continue
            except DnsError:
                tally.malformed += accepts(candidate[0])
                continue
            if found is None:
                if accepts(candidate[0]):
                    self._note_truncated(candidate[3], tally)
            elif found and accepts(candidate[0]):
                known = candidate[3]
                if known is not None and known.is_excepted:
                    found = self._without_excepted(found)
                    if not found:
                        continue
                self._note_matched(candidate[1], found, tally)
                sightings += found
        tally.sightings = len(sightings)
        return sightings

    def _note_matched(self, wire: bytes, found: list[Sighting], tally: IngestCounters) -> None:
        """Count an answer that gave sightings; names of cut ones, and of refreshed lists, are remembered."""
        tally.matched += 1
        if is_truncated(wire):
            tally.cut += 1
            self._note_cut({name for _, _, name, _ in found})
        if self._asked_names is not None:
            self._asked_names.note(wire, found)

    def _note_truncated(self, known: ListedName | None, tally: IngestCounters) -> None:
        """Take note of an answer for a listed name of which no address came whole."""
        tally.truncated += 1
        if known is not None:
            self._note_cut([known.name])

    def _without_excepted(self, sightings: list[Sighting]) -> list[Sighting]:
        """Remember the addresses of excepted names; give the other sightings."""
        for address, list_name, name, _ in sightings:
            if list_name == EXCEPTED:
                before = self.excepted.pop(name, ())
                others = [one for one in before if one != address]
                self.excepted[name] = (address, *others[: EXCEPTED_ADDRESSES_MAX - 1])
        while len(self.excepted) > EXCEPTED_NAMES_MAX:
            del self.excepted[next(iter(self.excepted))]
        return [sighting for sighting in sightings if sighting[1] != EXCEPTED]

    def remember(self, before: "Ingest") -> None:
        """Take over what an ingest has noticed that this one replaces."""
        self.cut_names = dict(before.cut_names)
        self.excepted = dict(before.excepted)

    def _note_cut(self, names: Iterable[Name]) -> None:
        """Remember names whose answer came truncated; the oldest ones go."""
        for name in names:
            self.cut_names.pop(name, None)
            self.cut_names[name] = None
        while len(self.cut_names) > CUT_NAMES_MAX:
            del self.cut_names[next(iter(self.cut_names))]


class UnreadIngest(Ingest):
    """Takes frames and counts them, without decoding a byte of one: while a crash loop is waited out."""

    reads = False

    def feed(self, buffer: bytearray, start: int, end: int, frame_max: int) -> tuple[int, list[Sighting]]:
        """Consume whole data frames, as the ingest that reads does; there are no sightings."""
        offsets = _split(buffer, start, end, frame_max)
        self.counters.add(IngestCounters(frames=len(offsets) - 1, unread=len(offsets) - 1))
        return offsets[-1], []


def _split(buffer: bytearray, start: int, end: int, frame_max: int) -> list[int]:
    """Find the whole data frames of buffer[start:end] and put a protobuf tag over each length.

    The inner loop has no comparison of its own but `start <= last`: a length without an entry in `_HEADERS` (0, the
    escape of a control frame, or a long frame) leaves it by the KeyError, which costs nothing until it happens.

    Returns:
        The frames' offsets, and behind them the offset of the first byte that was not consumed.
    """
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
