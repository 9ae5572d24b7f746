"""DNSTap senders that write as fast as they are read, in a process of their own, until it is ended."""

import select
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Self

ENOUGH_BYTES = 1 << 20
"""The stream is repeated up to this, so that a turn of this process isn't about its own pace."""


class Blaster:
    """The bench's end of the process."""

    def __init__(self, tap: Path, stream: Path, connections: int = 1) -> None:
        """Start it.

        Args:
            tap: The unix socket.
            stream: A file of whole data frames, sent over and over.
            connections: How many; each has all of the stream.
        """
        self.process = subprocess.Popen([sys.executable, "-P", __file__, str(tap), str(stream), str(connections)])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def start_frame() -> bytes:
    """A START of Frame Streams, as a unidirectional sender begins."""
    content_type = b"protobuf:dnstap.Dnstap"
    field = struct.pack("!II", 1, len(content_type)) + content_type
    return struct.pack("!III", 0, 4 + len(field), 2) + field


def blast(tap: str, stream: str, connections: int) -> None:
    """What the process does."""
    data = Path(stream).read_bytes()
    data *= max(1, ENOUGH_BYTES // len(data))
    poll = select.poll()
    senders: dict[int, socket.socket] = {}
    offsets: dict[int, int] = {}
    for _ in range(connections):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(tap)
        sock.sendall(start_frame())
        sock.setblocking(False)
        senders[sock.fileno()], offsets[sock.fileno()] = sock, 0
        poll.register(sock, select.POLLOUT)
    while True:
        for fd, _ in poll.poll():
            sent = senders[fd].send(memoryview(data)[offsets[fd] : offsets[fd] + (1 << 18)])
            offsets[fd] = (offsets[fd] + sent) % len(data)


if __name__ == "__main__":
    blast(sys.argv[1], sys.argv[2], int(sys.argv[3]))
