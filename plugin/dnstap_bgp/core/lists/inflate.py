"""Decompression of a list's body by its Content-Encoding (RFC 9110, 8.4), never to more than a limit."""

import zlib
from collections.abc import Iterator

from dnstap_bgp.errors import ListError

ACCEPTED = "gzip"
"""The Accept-Encoding of our requests: the one that all servers have."""

_STEP_BYTES = 1 << 16
"""Bytes of content given out at once: else a thousand times what went in would be in memory before anybody counts."""

MEMBERS_MAX = 10_000
"""Members of one gzip file (RFC 1952, 2.2); block-wise compressors make one for each 64 KiB."""

GZIP_MAGIC = b"\x1f\x8b"

_GZIP = 16 + zlib.MAX_WBITS  # as zlib numbers the forms of its header


class Inflate:
    """Decoder of one body, piece by piece; a body that is a gzip file by itself (`list.txt.gz`) is unpacked, too."""

    def __init__(self, encoding: str, max_bytes: int) -> None:
        """Begin a body.

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
        self._is_deflate = name == "deflate"
        self._max_bytes = max_bytes
        self._bytes = 0
        self._members = 1
        self._begin = b""  # of the body, as long as it may be the magic of gzip, or of what follows a member

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Decode a piece of the body; nothing is done before it is iterated.

        Raises:
            ListError: The content is too long, or this is no such encoding, or something else follows it.
        """
        if self._inflater is None:
            piece = self._begin + piece
            self._begin = b""
            if self._bytes == 0 and GZIP_MAGIC.startswith(piece):
                self._begin = piece  # one byte at most: the next piece tells
                return
            if self._bytes or not piece.startswith(GZIP_MAGIC):
                yield self._counted(piece)
                return
            self._inflater = zlib.decompressobj(_GZIP)
        try:
            while piece:
                if self._inflater.eof:
                    piece = self._next_member(piece)
                    continue
                yield self._counted(self._inflater.decompress(piece, _STEP_BYTES))
                piece = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
        except zlib.error as error:
            raise ListError(f"it can't be decompressed: {error}") from error

    def end(self) -> None:
        """Take the end of the body.

        Raises:
            ListError: The body is cut.
        """
        if self._begin and self._inflater is not None:
            raise ListError(f"{len(self._begin)} bytes of something else follow its compressed content")
        if self._inflater is not None and not self._inflater.eof:
            raise ListError(f"it ends in the middle, after {self._bytes} bytes of content")

    def _next_member(self, rest: bytes) -> bytes:
        """Begin the member that follows one that has ended; zero bytes between and behind members are padding.

        Args:
            rest: Not empty; what follows.

        Returns:
            What is still to be decoded.
        """
        rest = self._begin + rest if self._begin else rest.lstrip(b"\0")
        self._begin = b""
        if not rest:
            return b""
        if not self._is_deflate and GZIP_MAGIC.startswith(rest):
            self._begin = rest
            return b""
        if self._is_deflate or not rest.startswith(GZIP_MAGIC):
            raise ListError(f"something else follows its compressed content: {rest[:20]!r}")
        self._members += 1
        if self._members > MEMBERS_MAX:
            raise ListError(f"it has more than {MEMBERS_MAX} gzip members")
        self._inflater = zlib.decompressobj(_GZIP)
        return rest

    def _counted(self, content: bytes) -> bytes:
        self._bytes += len(content)
        if self._bytes > self._max_bytes:
            raise ListError(f"it has more than {self._max_bytes} bytes (max_bytes)")
        return content
