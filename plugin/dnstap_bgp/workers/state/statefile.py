"""The state file on disk: its lock, appending, replacing and setting aside; no thread of its own.

Every call may block for as long as the disk likes, so all but reading at start is done by the thread "store". What
fails raises OSError and leaves the file as it was.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from dnstap_bgp.core.state.blocks import Block, Read, file_header, identify, scan
from dnstap_bgp.errors import ForeignFileError

ASIDE_MAX = 3
"""Damaged files that are kept as evidence; each may be as big as the state."""

WRITE_BYTES = 256 << 10
"""A draft is written in pieces of this: each call may cost the wait for the interpreter, 5 ms."""

SYNC_BYTES = 4 << 20
"""And given to the disk in portions of this, so that appends meanwhile wait tens of milliseconds, not for all of it."""

_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # not blocking: opening a FIFO would wait for its other end


@contextlib.contextmanager
def reading(path: Path) -> Iterator[tuple[Read, int]]:
    """Open a file for `core.blocks`.

    Yields:
        Its reader and its size; of a file that doesn't exist, an empty one.

    Raises:
        ForeignFileError: It is a folder, a device or a pipe.
        OSError: It can't be opened.
    """
    try:
        fd = os.open(path, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        yield (lambda _offset, _length: b""), 0
        return
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            msg = "is no regular file"
            raise ForeignFileError(msg)
        yield (lambda offset, length: os.pread(fd, length, offset)), status.st_size
    finally:
        os.close(fd)


class Output:
    """A file that grows by whole pieces only.

    Attributes:
        size: Bytes in it.
    """

    def __init__(self, path: Path, flags: int, size: int, sync: Callable[[int], None]) -> None:
        self._fd = os.open(path, os.O_WRONLY | _FLAGS | flags, 0o600)
        self._sync = sync
        self.size = size
        try:
            os.fchmod(self._fd, 0o600)
            os.ftruncate(self._fd, size)
        except OSError:
            self.close()
            raise

    def append(self, data: bytes) -> None:
        """Write all of it or nothing."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.pwrite(self._fd, view, self.size + len(data) - len(view)) :]
        except OSError:
            with contextlib.suppress(OSError):  # the next write overwrites the rest, or reading skips it
                os.ftruncate(self._fd, self.size)
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Have the disk take what was written."""
        self._sync(self._fd)

    def is_at(self, path: Path) -> bool:
        """Whether the path still names this file."""
        try:
            return os.path.samestat(os.fstat(self._fd), path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)


class Draft:
    """The next state file, written beside the present one."""

    def __init__(self, path: Path, sync: Callable[[int], None]) -> None:
        self._path = path
        self._output = Output(path, os.O_CREAT | os.O_TRUNC, 0, sync)
        self._replaced = False
        self._buffer = bytearray(file_header())
        self._synced = 0

    def append(self, data: bytes) -> None:
        """Add a piece; it may stay in memory for a while."""
        self._buffer += data
        if len(self._buffer) >= WRITE_BYTES:
            self._flush()

    def replace(self, target: Path) -> Output:
        """Take the target's place, all of it on the disk before.

        Returns:
            The file, to append to; it belongs to the caller.
        """
        self._flush()
        self._output.sync()
        self._path.replace(target)
        self._replaced = True
        return self._output

    def discard(self) -> None:
        """Give it up, unless it took its place."""
        if not self._replaced:
            self._output.close()
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _flush(self) -> None:
        self._output.append(bytes(self._buffer))
        self._buffer.clear()
        if self._output.size - self._synced >= SYNC_BYTES:
            self._output.sync()
            self._synced = self._output.size


class StateFile:
    """The file at one path.

    Attributes:
        path: With its symbolic links resolved, lest a replacement break one.
        output: Where to append; None: not open.
        sync: `os.fdatasync`, or a test's slow disk.
    """

    def __init__(self, path: Path, sync: Callable[[int], None] = os.fdatasync) -> None:
        self.path = Path(os.path.realpath(path))
        self.sync = sync
        self.output: Output | None = None
        self._draft_path = self.path.with_name(f"{self.path.name}.new")
        self._lock_path = self.path.with_name(f"{self.path.name}.lock")
        self._lock_fd = -1

    @property
    def locked(self) -> bool:
        """Whether this process may write."""
        return self._lock_fd >= 0

    def lock(self) -> bool:
        """Try to get the right to write; it ends with `close` or with the process, however that dies.

        Raises:
            OSError: The lock file can't be made.
        """
        if self.locked:
            return True
        fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        except OSError:
            os.close(fd)
            raise
        self._lock_fd = fd
        return True

    def size_on_disk(self) -> int:
        """What the path's file takes now; 0 where there is none."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def resume(self, end: int) -> None:
        """Open the file to append behind `end`; what is there is cut off."""
        self.output = Output(self.path, 0, end, self.sync)

    def draft(self) -> Draft:
        """Begin a file to replace this one; a draft that a killed process left is overwritten."""
        return Draft(self._draft_path, self.sync)

    def publish(self, draft: Draft) -> Output:
        """Put the draft in the file's place, so that a power cut leaves the one or the other.

        Returns:
            The file's new output.

        Raises:
            ForeignFileError: Somebody put another kind of file there meanwhile.
            OSError: The disk refuses; the draft is still the caller's.
        """
        if self.output is None or not self.output.is_at(self.path):
            with reading(self.path) as (read, size):
                identify(read, size)
        output = draft.replace(self.path)
        self.close_output()
        self.output = output
        self._sync_folder()
        return output

    def set_aside(self, when: str) -> Path:
        """Keep the present file under another name as well; at most `ASIDE_MAX` of them.

        Args:
            when: For the name, sorting by age.
        """
        kept = sorted(file for file in self.path.parent.iterdir() if file.name.startswith(f"{self.path.name}.damaged-"))
        for aside in kept:
            if aside.samefile(self.path):
                return aside
        aside = self.path.with_name(f"{self.path.name}.damaged-{when}")
        aside.unlink(missing_ok=True)
        try:
            aside.hardlink_to(self.path)
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}:
                raise
            shutil.copy(self.path, aside)  # a file system without hard links
        for old in kept[: len(kept) + 1 - ASIDE_MAX]:
            old.unlink(missing_ok=True)
        return aside

    def salvage(self) -> None:
        """Replace the file by its whole blocks."""
        draft = self.draft()
        try:
            with reading(self.path) as (read, size):
                for part in scan(read, size):
                    if isinstance(part, Block):
                        draft.append(read(part.offset, part.end - part.offset))
            self.publish(draft)
        except BaseException:
            draft.discard()
            raise

    def close_output(self) -> None:
        """Stop appending."""
        if self.output is not None:
            self.output.close()
            self.output = None

    def close(self) -> None:
        """Close the file and let another process write it."""
        self.close_output()
        if self.locked:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _sync_folder(self) -> None:
        fd = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system that can't: then it has no need
                raise
        finally:
            os.close(fd)
