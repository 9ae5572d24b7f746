"""`dnstap-bgp replay`: plays a Frame Streams capture into a DNSTap listener, as a bidirectional sender.

A capture is what `fstrm_capture -w` writes: START, data frames, STOP. It is read in pieces, so its length does not
matter, and each frame is sent as it is.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TypeAlias

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from dnstap_bgp.commands.printing import say
from dnstap_bgp.commands.replay_sender import Sender, connect
from dnstap_bgp.core.tap.framestream import Fault, FrameStream, split_frames
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.process.latch import Latch

FRAME_MAX_BYTES = 1 << 20
"""What the C library that writes captures allows."""

TURN_S = 0.02
"""With a rate: how often frames are sent, a few at once."""

SAY_EVERY_S = 5.0
"""Between lines of progress where there is no terminal."""

_Tell: TypeAlias = Callable[[int, int], None]
"""Called with the bytes of the capture that were read, in this round, and the frames that were sent."""


@click.command("replay")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--to", required=True, metavar="SOCKET|HOST:PORT", help="The listener: a unix socket's path, or host:port."
)
@click.option("--rate", type=float, metavar="N", help="Frames a second.  [default: as fast as they are taken]")
@click.option("--loop", is_flag=True, help="From the start again and again, until Ctrl-C.")
def command(file: Path, to: str, rate: float | None, *, loop: bool) -> None:
    """Play a capture (a Frame Streams FILE, as fstrm_capture writes it) into a DNSTap listener.

    The resolver has to be let in at the socket that fstrm_capture makes: `chmod 666 /run/tap.sock`, for the while.

    \b
    Examples:
        fstrm_capture -t protobuf:dnstap.Dnstap -u /run/tap.sock -w capture.fstrm
        dnstap-bgp replay capture.fstrm --to /run/dnstap-bgp/tap.sock
        dnstap-bgp replay capture.fstrm --to 192.0.2.1:6000 --rate 100 --loop
    """  # noqa: D301 - click wants a real \b
    say(str(run(file, to, rate=rate, loop=loop)))


@dataclass(frozen=True, slots=True)
class Played:
    """Frames and seconds of a replay.

    Attributes:
        frames: Data frames, over all rounds.
        seconds: From START to FINISH.
        cut: Why the capture ended before its STOP, or None.
    """

    frames: int
    seconds: float
    cut: str | None

    def __str__(self) -> str:
        text = f"{self.frames:,} frames in {self.seconds:.2f} s, {self.frames / self.seconds:,.0f} frames/s"
        return f"{text}; {self.cut}" if self.cut else text


def run(
    path: Path, to: str, *, rate: float | None = None, loop: bool = False, console: Console | None = None
) -> Played:
    """Play a capture; with a progress bar on a terminal, and with a line now and then elsewhere.

    Ctrl-C ends the stream in order, a second one at once.

    Args:
        path: The capture.
        to: The listener: a unix socket's path, HOST:PORT or [IPv6]:PORT.
        rate: Frames a second, more than 0; None: as fast as the listener takes them.
        loop: From the start again and again, until Ctrl-C.
        console: Where progress goes; stderr by default.

    Returns:
        What was sent. A capture that is cut is played up to its last whole frame.

    Raises:
        CommandError: It is no capture, or nobody listens there, or the listener doesn't accept or stops taking.
        KeyboardInterrupt: After Ctrl-C, where there is an end that was not reached.
    """
    if rate is not None and not rate > 0:
        raise CommandError(f"a rate of {rate:g} frames/s: it has to be more than 0")
    next(iter(Capture(path)), None)  # what is no capture is told before anybody is connected
    with connect(to) as sock, _interrupted() as interrupted:
        sender = Sender(sock, to)
        sender.open()
        began = time.monotonic()
        with _progress(console or Console(stderr=True), path) as tell:
            cut = _Player(path, sender, rate, interrupted, tell).play(loop=loop)
        sender.close()
        if interrupted.is_set() and not loop:
            raise KeyboardInterrupt
        return Played(sender.frames, time.monotonic() - began, cut)


class Capture:
    """Frame Streams capture, read in pieces of whole frames.

    Attributes:
        cut: After the last piece: why it ended before its STOP, or None.
        read_bytes: How much of the file was read.
    """

    def __init__(self, path: Path) -> None:
        self.cut: str | None = None
        self.read_bytes = 0
        self._path = path

    def __iter__(self) -> Iterator[list[bytes]]:
        """Give the frames, some at once.

        Raises:
            CommandError: The file can't be read, is no capture of DNSTap, or is damaged.
        """
        stream = FrameStream(FRAME_MAX_BYTES)
        frames = 0
        try:
            with self._path.open("rb", buffering=0) as file:
                while not stream.over and (n := file.readinto(stream.free())):
                    self.read_bytes += n
                    if found := stream.received(n, split_frames):
                        frames += len(found)
                        yield found
        except OSError as error:
            raise CommandError(f"{self._path}: {error.strerror}") from error
        if not stream.over:
            stream.ended()
            self.cut = f"the capture is cut after frame {frames:,} (no STOP) and was played up to there"
        self._judge(stream, frames)

    def _judge(self, stream: FrameStream, frames: int) -> None:
        error = stream.error if stream.error and stream.error.fault != Fault.CUT else None
        if frames and error:
            raise CommandError(f"{self._path} is damaged after frame {frames:,}: {error}")
        if error or stream.bidirectional or not self.read_bytes:
            reason = f": {error}" if error else ""
            raise CommandError(f"{self._path} is no Frame Streams capture of DNSTap{reason}")


class _Player:
    """Replay of a capture at a pace into a sender, until its end or Ctrl-C."""

    def __init__(self, path: Path, sender: Sender, rate: float | None, interrupted: Latch, tell: _Tell) -> None:
        self._path = path
        self._sender = sender
        self._rate = rate
        self._interrupted = interrupted
        self._tell = tell
        self._began = time.monotonic()

    def play(self, *, loop: bool) -> str | None:
        """Play the capture once, or again and again; returns why it ended before its STOP, if it did."""
        while True:
            capture = Capture(self._path)
            sent_before = self._sender.frames
            for frames in capture:
                self._send(frames, capture)
                if self._interrupted.is_set():
                    return None
            if not loop:
                return capture.cut
            if self._sender.frames == sent_before:
                raise CommandError(f"{self._path} has no frames: nothing to play in a loop")

    def _send(self, frames: list[bytes], capture: Capture) -> None:
        at = 0
        while at < len(frames) and not self._interrupted.is_set():
            turn = frames[at : at + self._due(len(frames))]
            if turn:
                self._sender.send(turn)
                at += len(turn)
            else:
                self._interrupted.wait(TURN_S)
            self._tell(capture.read_bytes, self._sender.frames)

    def _due(self, most: int) -> int:
        """Count the frames that the pace asks for now; a late one is made up for."""
        if self._rate is None:
            return most
        return max(0, int((time.monotonic() - self._began) * self._rate) + 1 - self._sender.frames)


@contextlib.contextmanager
def _interrupted() -> Iterator[Latch]:
    """Give a latch that Ctrl-C sets, so that the stream ends between two frames; a second Ctrl-C is the usual one."""
    interrupted = Latch()

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _progress(console: Console, path: Path) -> Iterator[_Tell]:
    total_bytes = max(path.stat().st_size, 1)
    if not console.is_terminal:
        yield _lines(console, total_bytes)
        return
    columns = (TextColumn("playing"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[frames]:,} frames"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=total_bytes, frames=0)
        yield lambda read_bytes, frames: bar.update(task, completed=read_bytes, frames=frames)


def _lines(console: Console, total_bytes: int) -> _Tell:
    """Tell the progress line by line, where there is no terminal."""
    due = time.monotonic() + SAY_EVERY_S

    def tell(read_bytes: int, frames: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due += SAY_EVERY_S
            console.print(
                f"{frames:,} frames sent, {100 * read_bytes // total_bytes} % of the capture", highlight=False
            )

    return tell
