"""Copies of the list files whose rules are in force, on disk beside the compiled lists; no thread.

    source-DIGEST.list    a file's bytes, DIGEST being their SHA-256

They are what a source keeps when its new content is held back or can't be read: its file has that new content by then.
A copy is written by the child that reads the file, of the very bytes that it reads. One whose bytes are not those of
its name, as after a power cut, is as good as none. What URLs gave is linked: those files are only ever replaced.
"""

import contextlib
import logging
import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from dnstap_bgp.core.digest import sha256
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.process.runtime import write_atomically

logger = logging.getLogger(__name__)

SourceKey: TypeAlias = tuple[str, str]
"""(list, what the configuration says: a path, a glob or a URL)."""


class SourceCopies:
    """The copies in one directory, which the caller sees to."""

    def __init__(self, directory: Path) -> None:
        self._dir = directory

    def has(self, digest: str) -> bool:
        """Tell whether there is a copy with these bytes, or should be."""
        return os.path.exists(self._path(digest))  # noqa: PTH110 - `Path.exists` raises where we may not look

    def read(self, digest: str) -> bytes:
        """Read a copy.

        Raises:
            ListError: It is missing, or has other bytes.
        """
        try:
            content = self._path(digest).read_bytes()
        except OSError as error:
            raise ListError(f"the copy of its last content can't be read: {error.strerror}") from error
        if sha256(content).hexdigest() != digest:
            raise ListError("the copy of its last content is damaged")
        return content

    def keep(self, digest: str, content: bytes, immutable: Path | None = None) -> None:
        """Keep a file's bytes, if they are not kept; without room for them there is no copy.

        Args:
            digest: SHA-256 of the bytes.
            content: The bytes.
            immutable: A file that has these bytes for good, only ever replaced as a whole; None: there is none.
        """
        path = self._path(digest)
        try:
            # One of another length is what a power cut has left of it: it would be as good as none for good.
            if (path.exists() and path.stat().st_size == len(content)) or not self._dir.is_dir():
                return
            if immutable is not None:
                with contextlib.suppress(OSError):
                    os.link(immutable, path)
                    return
            write_atomically(path, content, 0o600)
        except OSError as error:
            logger.warning("%s: no copy of a list file is kept: %s", path, error)

    def clean(self, used: AbstractSet[str]) -> None:
        """Remove all copies but those with these digests."""
        with contextlib.suppress(OSError):
            for path in self._dir.glob("source-*.list"):
                if path.stem.removeprefix("source-") not in used:
                    path.unlink()
            for left in self._dir.glob(".source-*"):  # by a child that was killed
                left.unlink()

    def _path(self, digest: str) -> Path:
        return self._dir / f"source-{digest}.list"


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """Plan for reading list files: which of them come from copies, and whether copies are made of the others.

    Attributes:
        copies: The copies; None: there are none.
        is_kept: Whether a copy is made of each file that is read.
        from_copies: Source -> path -> digest, for all files of the sources that keep their last content.
    """

    copies: SourceCopies | None = None
    is_kept: bool = False
    from_copies: Mapping[SourceKey, Mapping[str, str]] = field(default_factory=dict)

    def digests(self, source: SourceKey) -> Mapping[str, str]:
        """Give path -> digest of the copies that are read in place of a source's files; empty: these are read."""
        return self.from_copies.get(source, {}) if self.copies is not None else {}
