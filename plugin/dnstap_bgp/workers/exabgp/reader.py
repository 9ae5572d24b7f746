"""Reads what ExaBGP says; owns the thread "bgp-reader".

The most important loop of the process: if nobody drains stdin, ExaBGP hangs after 64 KiB, and then not even SIGTERM
ends it. So it starts before everything else, parses little, keeps nothing, and takes the keeper's lock only to hand
over what matters and to say what follows from it, at most once for each read; none of that blocks.
"""

import logging
import os
import select
import threading
from collections.abc import Callable
from typing import TypeAlias

from dnstap_bgp.core.exabgp.grammar import Item, Shutdown, read_line
from dnstap_bgp.workers.net.wakeup import Wakeup
from dnstap_bgp.workers.process.thread import CrashHandler, worker_thread

logger = logging.getLogger(__name__)

READ_BYTES = 65_536
"""What a pipe holds."""
LINE_MAX_BYTES = 4 << 20
"""`show neighbor json` takes 2 KiB a neighbor in one line, so this is enough for 2,000; a longer line is skipped."""

Deliver: TypeAlias = Callable[[list[Item]], None]
"""Takes what one read brought; called in the reader's thread, must not block."""


class LineReader:
    """Cuts chunks into lines; at most `LINE_MAX_BYTES` are kept, the rest of a longer line is skipped."""

    def __init__(self, line_max_bytes: int = LINE_MAX_BYTES) -> None:
        self.skipped = 0
        self._line_max_bytes = line_max_bytes
        self._begun = bytearray()
        self._skipping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next chunk; gives the lines that it ends, without their ends."""
        *ended, rest = chunk.split(b"\n")
        lines = []
        for part in ended:
            line = bytes(self._begun) + part
            self._begun.clear()
            if not self._skipping:
                lines.append(line.rstrip(b"\r"))
            self._skipping = False
        if not self._skipping:
            self._begun += rest
            if len(self._begun) > self._line_max_bytes:
                self._skipping = True
                self._begun.clear()
                self.skipped += 1
        return lines


class StdinReader:
    """Drains the host's pipe from the first to the last moment of the process.

    Attributes:
        lines: How many lines were read.
    """

    def __init__(self, fd: int, on_end: Callable[[], None], on_crash: CrashHandler) -> None:
        """Make it; `start` reads.

        Args:
            fd: The pipe's end; stays the caller's.
            on_end: Called once, in the reader's thread, when ExaBGP ends or closes the pipe; must not block.
            on_crash: See `worker_thread`.
        """
        self.lines = 0
        self._fd = fd
        self._on_end = on_end
        self._ended = False
        self._deliver: Deliver | None = None
        self._wake = Wakeup()
        self._closed = threading.Event()
        self._thread = worker_thread("bgp-reader", self._run, on_crash, prompt=True)

    def start(self) -> None:
        """Start the thread; what comes before `attach` is read and dropped."""
        self._thread.start()

    def attach(self, deliver: Deliver) -> None:
        """From now on hand over what is read: it belongs to nobody before the first command is written."""
        self._deliver = deliver

    def close(self, deadline_s: float) -> None:
        """Stop reading: only where the process ends, or where the pipe is another's."""
        self._closed.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(deadline_s)
        if not self._thread.is_alive():
            self._wake.close()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        reader = LineReader()
        while not self._closed.is_set():
            poll.poll()
            if self._closed.is_set():
                return
            try:
                chunk = os.read(self._fd, READ_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                logger.warning("stdin can't be read: %s", error)
                chunk = b""
            if not chunk:
                self._end("ExaBGP has closed the pipe")
                return
            self._take(reader.feed(chunk))

    def _take(self, lines: list[bytes]) -> None:
        self.lines += len(lines)
        items: list[Item] = []
        for line in lines:
            item = read_line(line)
            if isinstance(item, Shutdown):
                self._end("ExaBGP ends")
            elif item is not None:
                items.append(item)
        deliver = self._deliver
        if items and deliver is not None:
            deliver(items)

    def _end(self, why: str) -> None:
        if not self._ended:
            self._ended = True
            logger.info("%s", why)
            self._on_end()
