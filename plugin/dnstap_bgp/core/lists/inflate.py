"""Content-Encoding (RFC 9110, 8.4) -> the content itself, never more of it than allowed."""

import zlib
from collections.abc import Iterator

from dnstap_bgp.errors import ListError

ACCEPTED = "gzip"
"""What we ask servers for: the one that all have."""

_STEP_BYTES = 1 << 16
"""Given out at once: a thousand times as much as went in would otherwise be in memory before anybody counts it."""

_GZIP = 16 + zlib.MAX_WBITS  # as zlib numbers the forms of its header
_MAGIC = b"\x1f\x8b"


class Inflate:
    """Decodes one body, piece by piece. A body that is a gzip file by itself (`list.txt.gz`) is unpacked, too."""

    def __init__(self, encoding: str, max_bytes: int) -> None:
        """Begin.

        Args:
            encoding: The header's value; empty: none.
            max_bytes: Of the content.

        Raises:
            ListError: The encoding is none that we asked for.
        """
        name = encoding.strip().lower()
        if name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise ListError(f"it is encoded as {name[:40]!r}, which was not asked for")
        self._inflater = None
        if name in ("gzip", "x-gzip"):
            self._inflater = zlib.decompressobj(_GZIP)
        elif name == "deflate":
            self._inflater = zlib.decompressobj()
        self._begun = self._inflater is not None
        self._max_bytes = max_bytes
        self._bytes = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Decode a piece of the body; nothing is done before it is iterated.

        Raises:
            ListError: The content is too long, or this is no such encoding.
        """
        if not self._begun and piece:
            self._begun = True
            if piece.startswith(_MAGIC):
                self._inflater = zlib.decompressobj(_GZIP)
        if self._inflater is None:
            yield self._counted(piece)
            return
        try:
            while piece and not self._inflater.eof:
                yield self._counted(self._inflater.decompress(piece, _STEP_BYTES))
                piece = self._inflater.unconsumed_tail
        except zlib.error as error:
            raise ListError(f"it can't be decompressed: {error}") from error

    def end(self) -> None:
        """Say that there are no more pieces.

        Raises:
            ListError: The body is cut.
        """
        if self._inflater is not None and not self._inflater.eof:
            raise ListError(f"it ends in the middle, after {self._bytes} bytes of content")

    def _counted(self, content: bytes) -> bytes:
        self._bytes += len(content)
        if self._bytes > self._max_bytes:
            raise ListError(f"it has more than {self._max_bytes} bytes (max_bytes)")
        return content
