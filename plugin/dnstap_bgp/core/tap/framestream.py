"""Frame Streams, the transport of DNSTap: bytes of a connection -> whole data frames, and replies to the sender.

Strategy. One `FrameStream` is the reader's side of one connection and owns its receive buffer. The caller receives
into `free()`, says how many bytes came with `received(n, feed)`, sends what then stands in `replies`, and closes when
`over`. Data frames never pass through here one by one: `feed` gets the buffer and takes all whole data frames of it at
once; it stops where this module has to decide, that is before a control frame, a frame that is not whole yet, or one
that is too long. So the work here is per chunk, and nothing here knows what a data frame holds.

The format (https://farsightsec.github.io/fstrm/): a data frame is a 32-bit length and so many bytes. The length 0
escapes a control frame: its own 32-bit length, a 32-bit type, and fields (32-bit type, 32-bit length, bytes).

    bidirectional    READY ->  <- ACCEPT   START ->  data ... ->  STOP ->  <- FINISH
    unidirectional                         START ->  data ... ->  STOP ->

The handshake as states, and what each takes; anything else is FAILED:

    state        READY       START       data        STOP        end of the bytes, between frames
    OPENING      ACCEPTED    STREAMING   -           -           (nobody spoke: no fault)
    ACCEPTED     -           STREAMING   -           -           -
    STREAMING    -           -           STREAMING   FINISHED    FINISHED (a killed sender sends no STOP)
    FINISHED, FAILED: whatever comes is ignored

Internals raise FrameError; `received` and `ended` keep it in `error`, because a chunk may bring good frames ahead of
the bad byte, and these still count.
"""

import enum
import struct
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from fstrm import FstrmCodec

from dnstap_bgp.errors import FrameError

CONTENT_TYPE = b"protobuf:dnstap.Dnstap"
CONTROL_MAX_BYTES = 512
"""The longest control frame, type and fields: the format's own limit."""
CONTENT_TYPE_MAX_BYTES = 256
"""The longest content type: the format's own limit."""
BUFFER_BYTES = 1 << 16
"""The most that one turn of a connection brings, some 400 frames, and the memory of an idle connection. 16 to 256 KiB
drain equally fast (tests.bench saturated)."""
PLAUSIBLE_MAX_BYTES = 2 * 65_535 + 4096
"""The longest that a DNSTap frame can be: a query and a response of the longest DNS message, and their envelope. A
length beyond is no length, but bytes of something else."""
PREFIX_BYTES = 4
"""The length before each frame."""

_LENGTH = struct.Struct("!I")
_PAIR = struct.Struct("!II")
_FIELD_CONTENT_TYPE = 1
_HTTP_STARTS = (b"GET ", b"HEAD", b"POST", b"PUT ", b"OPTI", b"PRI ")
_DNSTAP_TAGS = b"\x0a\x12\x72\x78"
"""First bytes of a bare Dnstap message: its fields identity, version, message, type."""

T = TypeVar("T")
Feed: TypeAlias = Callable[[bytearray, int, int, int], tuple[int, list[T]]]
"""feed(buffer, start, end, frame_max_bytes) -> (offset of the first byte not consumed, what the frames gave).

Takes whole data frames of buffer[start:end] and may overwrite what it consumed; `split_frames` is the plainest one."""


class ControlType(enum.IntEnum):
    """The types of control frames."""

    ACCEPT = 1
    START = 2
    STOP = 3
    READY = 4
    FINISH = 5


class StreamState(enum.Enum):
    """States of a connection; the module has the table of transitions."""

    OPENING = "opening"  # nothing understood yet: READY or START must come
    ACCEPTED = "accepted"  # READY was answered: START must come
    STREAMING = "streaming"  # data frames, until STOP
    FINISHED = "finished"  # STOP or a clean end came: what follows is ignored
    FAILED = "failed"  # `error` tells why: what follows is ignored


class Fault(enum.StrEnum):
    """Kinds of trouble with a sender: they count by kind, and each has its advice (`core.doctor.senders`)."""

    # What its bytes are instead of Frame Streams.
    TLS = "tls"  # a TLS hello
    HTTP = "http"  # a browser or a scraper
    RAW_PROTOBUF = "raw-protobuf"  # dnsdist's own protocol, or DNSTap without Frame Streams
    NO_START = "no-start"  # data, or anything else, without a handshake
    CONTENT_TYPE = "content-type"  # Frame Streams of something else
    # How its frames break the format.
    CONTROL = "control"  # a control frame that breaks its bounds or is out of order
    OVERSIZE = "oversize"  # a data frame over the limit
    OUT_OF_STEP = "out-of-step"  # a length that no DNSTap frame can have
    CUT = "cut"  # the end came inside a frame or before START
    # Why it was turned away before its bytes mattered.
    LIMIT = "limit"  # connections_max are streaming, and nobody has more than a fair share
    CROWDED = "crowded"  # had sent no frame when its place was needed, or was one of too many of the same sender
    NOT_ALLOWED = "not-allowed"  # TCP, from outside of `allow`
    SILENT = "silent"  # sent nothing within the handshake timeout
    SLOW = "slow-handshake"  # began, but did not come to START within it
    TLS_HANDSHAKE = "tls-handshake"  # it speaks no TLS to a TLS listener, or none in common
    TLS_CERTIFICATE = "tls-certificate"  # theirs was not accepted by us, or ours not by them
    # What it goes on sending.
    COSTLY = "costly"  # answers that are made to cost much: skipped


class FrameStream:
    """The reader's side of one Frame Streams connection.

    Attributes:
        state: The state of the handshake and the stream.
        bidirectional: The sender began with READY and waits for ACCEPT and FINISH.
        replies: Bytes for the sender, at most one ACCEPT and one FINISH; the caller deletes what it has sent.
        error: The reason of a failure, or None.
    """

    __slots__ = ("_buffer", "_end", "_frame_max_bytes", "_start", "bidirectional", "error", "replies", "state")

    def __init__(self, frame_max_bytes: int) -> None:
        """Begin a connection.

        Args:
            frame_max_bytes: The longest data frame to take. The buffer grows to that and no further, only while
                such a frame is coming in, and with what has really come: a claimed length costs nothing.
        """
        self.state = StreamState.OPENING
        self.bidirectional = False
        self.replies = bytearray()
        self.error: FrameError | None = None
        self._frame_max_bytes = frame_max_bytes
        self._buffer = bytearray(BUFFER_BYTES)
        self._start = self._end = 0

    @property
    def over(self) -> bool:
        """True where nothing more is wanted from the sender: the stream is finished, or has failed."""
        return self.state in (StreamState.FINISHED, StreamState.FAILED)

    def free(self) -> memoryview:
        """Give the part of the buffer to receive into, 1 to BUFFER_BYTES; let go of it before `received`.

        A buffer that has grown for a long frame has more room, but a turn of a connection brings no more for it: else
        one sender could keep the others waiting for a megabyte of small frames.
        """
        return memoryview(self._buffer)[self._end : self._end + BUFFER_BYTES]

    def received(self, n: int, feed: Feed[T]) -> list[T]:
        """Take n more bytes that were received into `free()`.

        Args:
            n: Bytes received, 1 or more.
            feed: Takes the data frames.

        Returns:
            The values that `feed` gave, in order. `state`, `replies` and `error` tell the rest.
        """
        self._end += n
        given: list[T] = []
        try:
            while not self.over:
                if self.state is StreamState.STREAMING:
                    self._start, more = feed(self._buffer, self._start, self._end, self._frame_max_bytes)
                    given = given + more if given else more
                if not self._take_control():
                    break
        except FrameError as error:
            self._fail(error)
        self._compact()
        return given

    def ended(self) -> None:
        """Take the end of the sender's bytes; senders that are killed end without STOP, which is no error."""
        left = self._end - self._start
        if self.over:
            return
        if left or self.state is StreamState.ACCEPTED:
            self._fail(FrameError(f"the stream ended {left} bytes into a frame ({self.state.value})", Fault.CUT))
        elif self.state is StreamState.STREAMING:
            self.state = StreamState.FINISHED

    def _fail(self, error: FrameError) -> None:
        self.error = error
        self.state = StreamState.FAILED

    def _take_control(self) -> bool:
        """Take the control frame at the buffer's start; False: there is none, or it is not whole yet."""
        have = self._end - self._start
        if have < PREFIX_BYTES:
            return False
        (length,) = _LENGTH.unpack_from(self._buffer, self._start)
        if length:
            self._check_data(length, have)
            return False
        if have < 2 * PREFIX_BYTES:
            return False
        (length,) = _LENGTH.unpack_from(self._buffer, self._start + PREFIX_BYTES)
        if not PREFIX_BYTES <= length <= CONTROL_MAX_BYTES:
            raise FrameError(f"a control frame of {length} bytes, allowed are 4 to {CONTROL_MAX_BYTES}", Fault.CONTROL)
        size = 2 * PREFIX_BYTES + length
        if have < size:
            return False
        frame = bytes(self._buffer[self._start : self._start + size])
        self._start += size
        self._advance(*read_control(frame))
        return True

    def _check_data(self, length: int, have: int) -> None:
        """Decide on the data frame that `feed` has left at the buffer's start."""
        if self.state is StreamState.OPENING:
            raise _fault_of_start(bytes(self._buffer[self._start : self._start + 4]))
        if self.state is not StreamState.STREAMING:
            raise FrameError("a data frame before START", Fault.NO_START)
        if length > max(self._frame_max_bytes, PLAUSIBLE_MAX_BYTES):
            text = f"a data frame of {length} bytes, longer than any of DNSTap ({PLAUSIBLE_MAX_BYTES}): out of step"
            raise FrameError(text, Fault.OUT_OF_STEP)
        if length > self._frame_max_bytes:
            text = f"a data frame of {length} bytes, the limit (frame_max_bytes) is {self._frame_max_bytes}"
            raise FrameError(text, Fault.OVERSIZE)
        assert have < PREFIX_BYTES + length, "feed takes every whole frame"

    def _advance(self, control: ControlType, content_types: list[bytes]) -> None:
        """Go on by one control frame, as the table of the module says."""
        if control is ControlType.READY and self.state is StreamState.OPENING:
            _check_content_type(content_types)
            self.bidirectional = True
            self.replies += control_frame(ControlType.ACCEPT)
            self.state = StreamState.ACCEPTED
        elif control is ControlType.START and self.state in (StreamState.OPENING, StreamState.ACCEPTED):
            if len(content_types) > 1:
                raise FrameError(f"START with {len(content_types)} content types, allowed is one", Fault.CONTROL)
            _check_content_type(content_types)
            self.state = StreamState.STREAMING
        elif control is ControlType.STOP and self.state is StreamState.STREAMING:
            if self.bidirectional:
                self.replies += control_frame(ControlType.FINISH)
            self.state = StreamState.FINISHED
        else:
            raise FrameError(f"{control.name} out of order: the stream is {self.state.value}", Fault.CONTROL)

    def _compact(self) -> None:
        """Move what is left to the buffer's start, and fit the buffer to it.

        A frame's bytes are moved once at most, and grow by doubling, so a sender of single bytes costs no copies.
        """
        left = 0 if self.over else self._end - self._start
        if left == len(self._buffer):
            self._resize(min(2 * left, PREFIX_BYTES + self._frame_max_bytes), left)
        elif left < BUFFER_BYTES < len(self._buffer):
            self._resize(BUFFER_BYTES, left)
        elif self._start:
            self._buffer[:left] = self._buffer[self._start : self._start + left]
        self._start, self._end = 0, left

    def _resize(self, size: int, left: int) -> None:
        assert size > left, "longer frames were refused"
        buffer = bytearray(size)
        buffer[:left] = self._buffer[self._start : self._start + left]
        self._buffer = buffer


def split_frames(buffer: bytearray, start: int, end: int, frame_max_bytes: int) -> tuple[int, list[bytes]]:
    """Give the payload of each whole data frame: the plainest `Feed`, for tests and tools."""
    frames = []
    while end - start >= PREFIX_BYTES:
        (length,) = _LENGTH.unpack_from(buffer, start)
        after = start + PREFIX_BYTES + length
        if not length or length > frame_max_bytes or after > end:
            break
        frames.append(bytes(buffer[start + PREFIX_BYTES : after]))
        start = after
    return start, frames


def control_frame(control: ControlType) -> bytes:
    """Write one whole control frame of ours, with our content type where the format wants one."""
    content_types = [] if control in (ControlType.STOP, ControlType.FINISH) else [CONTENT_TYPE]
    frame: bytes = FstrmCodec().encode(control.value, content_types)
    return frame


def read_control(frame: bytes) -> tuple[ControlType, list[bytes]]:
    """Read one whole control frame.

    Args:
        frame: Escape, length, type and fields; 12 to 8 + CONTROL_MAX_BYTES bytes.

    Returns:
        Its type and content types; fields of other kinds are ignored, as later versions of the format may bring some.

    Raises:
        FrameError: An unknown type, or a field breaks its bounds.
    """
    codec = FstrmCodec()
    codec.append(_without_unknown_fields(frame))
    try:
        codec.process()
        number, content_types, _ = codec.decode()
        return ControlType(number), content_types
    except Exception as error:  # the package raises bare Exception and struct.error
        raise FrameError(f"a control frame that can't be read: {error}", Fault.CONTROL) from error


def _without_unknown_fields(frame: bytes) -> bytes:
    """Copy a control frame with its content types only, each within its bounds."""
    kept = [frame[8:12]]
    at = 12
    while at < len(frame):
        if len(frame) - at < _PAIR.size:
            raise FrameError(f"a control field is cut at byte {at} of {len(frame)}", Fault.CONTROL)
        field, length = _PAIR.unpack_from(frame, at)
        after = at + _PAIR.size + length
        if after > len(frame):
            raise FrameError(f"a control field of {length} bytes at byte {at} of {len(frame)}", Fault.CONTROL)
        if field == _FIELD_CONTENT_TYPE:
            if not 1 <= length <= CONTENT_TYPE_MAX_BYTES:  # the package would overlook an empty one
                raise FrameError(f"a content type of {length} bytes, allowed are 1 to 256", Fault.CONTROL)
            kept.append(frame[at:after])
        at = after
    body = b"".join(kept)
    return _PAIR.pack(0, len(body)) + body


def _check_content_type(content_types: list[bytes]) -> None:
    """Check that our type is among the offered ones; none at all means any, as in the format's C library."""
    if content_types and CONTENT_TYPE not in content_types:
        shown = ", ".join(ascii(content_type.decode("latin-1")) for content_type in content_types)
        raise FrameError(f"content type {shown}, wanted is {CONTENT_TYPE.decode()!r}", Fault.CONTENT_TYPE)


def _fault_of_start(first: bytes) -> FrameError:
    """Recognise from its first four bytes what a sender speaks that does not speak Frame Streams."""
    if first.startswith(b"\x16\x03"):
        text = "a TLS hello on a plain listener (unbound: set `dnstap-tls: no`, or here [dnstap] tls_cert)"
        return FrameError(text, Fault.TLS)
    if first in _HTTP_STARTS:
        return FrameError("an HTTP request on a DNSTap listener", Fault.HTTP)
    if first.startswith(b"\0\0"):
        text = "a data frame before READY or START: the sender skips the Frame Streams handshake"
        return FrameError(text, Fault.NO_START)
    if first[2] == 0x08 and 1 <= first[3] <= 4:  # 16-bit length, then field 1 (type) of dnsdist's PBDNSMessage
        text = "raw protobuf of dnsdist (`newRemoteLogger`): use `newFrameStreamUnixLogger` or `...TcpLogger`"
        return FrameError(text, Fault.RAW_PROTOBUF)
    if first[0] in _DNSTAP_TAGS:
        return FrameError("bare protobuf: DNSTap has to come in Frame Streams", Fault.RAW_PROTOBUF)
    return FrameError(f"not Frame Streams: it begins with the bytes {first.hex(' ')}", Fault.NO_START)
