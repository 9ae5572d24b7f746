"""Replication log: what changed here, in order, as frames that are ready to be sent to whoever follows.

Each frame is encoded once, whatever the number of followers. Of the oldest, as many are forgotten as it takes to stay
within `LOG_BYTES`; who is behind that gets everything instead.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

LOG_BYTES = 8 << 20
"""About 200,000 changes: what a busy fleet sees in the minutes that a peer needs to restart."""

FRAME_OVERHEAD = 150
"""What a frame takes beside its bytes."""


class LogRecord(NamedTuple):
    """A frame of the log.

    Attributes:
        source: The node that it was learnt from; "": our own sightings.
        payload: See `delta`.
        claims: How many it has.
    """

    source: str
    payload: bytes
    claims: int


class ReplicationLog:
    """A bounded log of frames, numbered from 1.

    Attributes:
        seq: The number of the last one; 0: there was none.
    """

    def __init__(self, bytes_max: int = LOG_BYTES) -> None:
        self.seq = 0
        self._records: deque[LogRecord] = deque()
        self._bytes_max = bytes_max
        self._bytes = 0

    def append(self, source: str, claims: int, encode: Callable[[int], bytes]) -> None:
        """Add a frame.

        Args:
            source: See `LogRecord`.
            claims: See there.
            encode: Makes the payload, given its number.
        """
        self.seq += 1
        record = LogRecord(source, encode(self.seq), claims)
        self._records.append(record)
        self._bytes += len(record.payload) + FRAME_OVERHEAD
        # one frame stays whatever its size: a follower that is up to date must never fall out of the log
        while self._bytes > self._bytes_max and len(self._records) > 1:
            self._bytes -= len(self._records.popleft().payload) + FRAME_OVERHEAD

    def clear(self) -> None:
        """Forget all frames: changes were lost, and whoever follows needs everything that is held."""
        self.seq += 1
        self._records.clear()
        self._bytes = 0

    def reaches(self, seq: int) -> bool:
        """Tell whether all that came after a number is still here."""
        return self.seq - len(self._records) <= seq <= self.seq

    def after(self, seq: int, bytes_max: int) -> list[LogRecord]:
        """Give the frames after a number that is reached, at least one if there is one, up to so many bytes."""
        found: list[LogRecord] = []
        first = self.seq - len(self._records) + 1
        for index in range(seq + 1 - first, len(self._records)):
            record = self._records[index]
            found.append(record)
            bytes_max -= len(record.payload)
            if bytes_max <= 0:
                break
        return found
