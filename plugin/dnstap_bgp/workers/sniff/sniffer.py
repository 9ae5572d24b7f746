"""The process of `dnstap-bgp sniff`: packets of an interface become DNSTap frames, which a thread sends to a tap.

The thread that captures never waits for the tap: what that doesn't take in time is dropped and counted.

A tap that ends is noticed in three ways, of which only the last loses frames:
  idle            the connection is looked at once a second, so that it is mostly open again before the next answer
  before sending  it is looked at again, as the end of a TCP connection fails no first write: the frames are kept, for
                  a minute
  while sending   the frames are sent once more by the next connection, as some may have come to nobody; what ends that,
                  too, is dropped: a frame that the tap refuses would end every connection
What the tap had received and not read when it ended is lost with it.
"""

import json
import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from dnstap_bgp.core.sniff.answers import AnswerReader
from dnstap_bgp.core.timing import Backoff
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.runtime import write_atomically
from dnstap_bgp.workers.process.thread import worker_thread
from dnstap_bgp.workers.routes.guard_inputs import own_addresses
from dnstap_bgp.workers.sniff.capture import PacketCapture

logger = logging.getLogger(__name__)

BATCHES_MAX = 2048
"""Turns of the capture that wait for the tap: a second of 50,000 answers."""

WAITING_MAX_BYTES = 16 << 20
"""Of all frames that wait for the tap or are on their way to it: one turn of the capture alone may have as much."""

_FRAME_BYTES = 50  # beside its bytes

WAIT_S = 0.2
TOGETHER = 1000
"""Frames from which on no more are gathered for one write."""

TRIES_MAX = 2
"""Connections that the same frames are given to: whatever ends the second is in the frames."""

KEEP_S = 60.0
"""The longest that answers wait for a tap that is away: it takes them for new, and newer ones have their room then."""

LOOK_S = 1.0
"""Between two looks at a connection that has nothing to send: a plugin that restarts is back within a second."""

STATUS_S = 5.0
TELL_S = 60.0
RETRY_FIRST_S, RETRY_MAX_S = 0.2, 5.0
QUIET_QUESTIONS = 20
"""So many questions without one answer are told: the capture sees one direction only, or another server answers."""


class FrameSender(Protocol):
    """Connection to a tap."""

    def send(self, frames: list[bytes]) -> None:
        """Send frames.

        Raises:
            CommandError: The tap takes no more.
        """

    def look(self) -> None:
        """Look whether the tap is still there; never waits.

        Raises:
            CommandError: It has closed the connection.
        """


Connect = Callable[[], AbstractContextManager[FrameSender]]


class TapThread:
    """Thread that sends frames to a tap, and connects again whenever that is gone.

    Attributes:
        sent: Frames that the tap was given.
        lost: Frames that it did not take in time, or that ended two connections.
        problem: Why there is no connection; None: there is one.
        has_crashed: Set when the thread has ended by a fault of ours: nothing is sent any more.
    """

    def __init__(self, connect: Connect, to: str) -> None:
        """Make the thread, which ends with the process.

        Args:
            connect: Opens a connection to the tap, handshake included.
            to: What people call the tap.
        """
        self.sent = self.lost = 0
        self.has_crashed = threading.Event()
        self.problem: str | None = "not connected yet"
        self._connect, self._to = connect, to
        self._batches: queue.Queue[tuple[float, list[bytes]]] = queue.Queue(BATCHES_MAX)  # with the time of each
        self._kept: list[bytes] = []  # what the last connection was given or was to be given, and may not have taken
        self._kept_at, self._tries = 0.0, 0  # of these: the time of the oldest, and how often they were sent
        self._put_bytes = self._done_bytes = 0  # each is written by one thread
        self._thread = worker_thread("tap", self._run, self.has_crashed.set)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, frames: list[bytes]) -> None:
        """Hand over frames, as many as there is room for; never waits."""
        room = WAITING_MAX_BYTES - (self._put_bytes - self._done_bytes)
        size = _size(frames)
        while frames and size > room:  # the half of them, until it fits
            keep = len(frames) // 2
            self.lost += len(frames) - keep
            frames = frames[:keep]
            size = _size(frames)
        if not frames:
            return
        try:
            self._batches.put_nowait((process_clock(), frames))
        except queue.Full:
            self.lost += len(frames)
        else:
            self._put_bytes += size

    def _run(self) -> None:
        backoff = Backoff(RETRY_FIRST_S, RETRY_MAX_S)
        while True:
            self._drop_stale()
            try:
                with self._connect() as sender:
                    self.problem = None
                    logger.info("%s takes frames", self._to)
                    backoff.reset()
                    self._send(sender)
            except (CommandError, OSError) as error:
                if self.problem is None or self.problem == "not connected yet":
                    logger.warning("no frame is sent until %s is back: %s", self._to, error)
                self.problem = str(error)
            time.sleep(backoff.next())

    def _send(self, sender: FrameSender) -> None:
        while True:
            if not self._kept:
                self._kept, self._tries = self._take(), 0
            sender.look()
            if not self._kept:
                continue
            self._tries += 1
            try:
                sender.send(self._kept)
            except CommandError:
                if self._tries >= TRIES_MAX:
                    self.lost += self._done()
                raise
            self.sent += self._done()

    def _drop_stale(self) -> None:
        """Drop what has waited for longer than `KEEP_S`; nobody else takes from the queue."""
        before = process_clock() - KEEP_S
        if self._kept and self._kept_at < before:
            self.lost += self._done()
        while self._batches.qsize() and self._batches.queue[0][0] < before:
            _, frames = self._batches.get_nowait()
            self.lost += len(frames)
            self._done_bytes += _size(frames)

    def _take(self) -> list[bytes]:
        """Take what waits for the tap, together; empty: nothing has come for `LOOK_S`."""
        try:
            self._kept_at, frames = self._batches.get(timeout=LOOK_S)
        except queue.Empty:
            return []
        while len(frames) < TOGETHER:
            try:
                frames += self._batches.get_nowait()[1]
            except queue.Empty:
                break
        return frames

    def _done(self) -> int:
        """Let go of the frames that were kept; returns their number."""
        self._done_bytes += _size(self._kept)
        count, self._kept = len(self._kept), []
        return count


def _size(frames: list[bytes]) -> int:
    """Give the memory that frames take."""
    return sum(map(len, frames)) + _FRAME_BYTES * len(frames)


class Sniffer:
    """Loop that captures, until `stop`."""

    def __init__(
        self, capture: PacketCapture, reader: AnswerReader, tap: TapThread, interface: str, status_file: Path | None
    ) -> None:
        """Make it.

        Args:
            capture: Open.
            reader: Says which answers count.
            tap: Takes their frames; started here.
            interface: What is captured, for people.
            status_file: Where the counters are written every few seconds; None: nowhere.
        """
        self._capture, self._reader, self._tap = capture, reader, tap
        self._interface, self._file = interface, status_file
        self._stopping = False
        self._told_lost = 0
        self._own_problem = ""

    def stop(self) -> None:
        """End the loop; also from a signal's handler."""
        self._stopping = True

    def run(self) -> None:
        """Capture until `stop`.

        Raises:
            CommandError: The interface is gone, or the thread that sends to the tap.
        """
        self._tap.start()
        self._look_at_own()
        write_at = tell_at = process_clock()
        read = self._reader.read
        while not self._stopping:
            if self._tap.has_crashed.is_set():
                raise CommandError("the thread that sends frames to the tap has crashed; the log has the traceback")
            now = process_clock()
            frames: list[bytes] = []
            for packet, outgoing, interface in self._capture.read(WAIT_S):
                frames += read(packet, now, outgoing=outgoing, interface=interface)
            if frames:
                self._tap.put(frames)
            if now >= write_at:
                write_at = now + STATUS_S
                self._capture.count()
                self._look_at_own()
                self._write()
            if now >= tell_at:
                tell_at = now + TELL_S
                self._tell()
        self._capture.count()
        self._write()

    def _look_at_own(self) -> None:
        """Look which servers are addresses of this host, as these may come and go."""
        try:
            self._reader.own = own_addresses()
        except OSError as error:
            if str(error) != self._own_problem:  # this is tried every few seconds
                logger.warning("this machine's addresses are not known: %s", error)
            self._own_problem = str(error)

    def status(self) -> dict[str, object]:
        """Give all counters, for the status file."""
        return {
            "at": time.time(),
            "interface": self._interface,
            **asdict(self._reader.counters),
            "malformed": self._reader.packets.malformed,
            "lost_fragments": self._reader.packets.lost_fragments,
            "lost_streams": self._reader.streams.lost,
            "lost_packets": self._capture.lost,
            "sent": self._tap.sent,
            "lost_frames": self._tap.lost,
            "problem": self._tap.problem,
        }

    def _write(self) -> None:
        if self._file is None:
            return
        try:
            write_atomically(self._file, json.dumps(self.status()) + "\n", 0o644)
        except OSError as error:
            logger.warning("%s can't be written, so the doctor knows nothing of us: %s", self._file, error)
            self._file = None

    def _tell(self) -> None:
        """Log what is wrong, at most once a minute."""
        counters = self._reader.counters
        if not counters.answers and not counters.empty and counters.questions >= QUIET_QUESTIONS:
            text = (
                "%d questions and no answer: %d answers came from elsewhere and were not asked for; %d were only passed"
                " on; is --server right, and --interface its side of this machine?"
            )
            logger.warning(text, counters.questions, counters.unasked, counters.passed_on)
        lost = self._capture.lost + self._tap.lost
        if lost > self._told_lost:
            logger.warning("%d packets and %d frames are lost by now", self._capture.lost, self._tap.lost)
            self._told_lost = lost
