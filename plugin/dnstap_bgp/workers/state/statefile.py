"""State file on disk: its lock, appending, replacing and setting aside; no thread of its own.

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

from dnstap_bgp.core.state.blocks import VERSION, VERSION_VIEWS, Block, Read, file_header, identify, scan
from dnstap_bgp.core.state.records import is_payload_of_views
from dnstap_bgp.errors import ForeignFileError
from dnstap_bgp.workers.process.runtime import other_writers

ASIDE_MAX = 3
"""Damaged files that are kept as evidence; each may be as big as the state."""

WRITE_BYTES = 256 << 10
"""A draft is written in pieces of this: each call may cost the wait for the interpreter, 5 ms."""

SYNC_BYTES = 4 << 20
"""And given to the disk in portions of this, so that appends meanwhile wait tens of milliseconds, not for all of it."""

_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # not blocking: opening a FIFO would wait for its other end


@contextlib.contextmanager
def reading(path: Path, *, ours: bool = False) -> Iterator[tuple[Read, int]]:
    """Open a file for `core.state.blocks`.

    Args:
        path: The file.
        ours: Refuse a file that somebody else may have put there, or written to: what it says would be announced.

    Yields:
        Its reader and its size; of a file that doesn't exist, an empty one.

    Raises:
        ForeignFileError: It is a folder, a device or a pipe; or, with `ours`, a link, or others can write to it.
        OSError: It can't be opened.
    """
    try:
        fd = os.open(path, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        yield (lambda _offset, _length: b""), 0
        return
    except OSError as error:
        if error.errno == errno.ELOOP:
            msg = "is a symbolic link, which anybody may have put there: name the file itself in `cache`"
            raise ForeignFileError(msg) from error
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            msg = "is no regular file"
            raise ForeignFileError(msg)
        if ours and (others := other_writers(status)) is not None:
            user = os.geteuid()
            msg = (
                f"is not believed: {others}; if nobody else has written to it: `chown {user} {path}; chmod go-w {path}`"
            )
            raise ForeignFileError(msg)
        yield (lambda offset, length: os.pread(fd, length, offset)), status.st_size
    finally:
        os.close(fd)


class AppendOnlyFile:
    """An open file that grows by whole pieces only.

    Attributes:
        size: Bytes in it.
        version: What this object has said in the header.
    """

    def __init__(self, path: Path, flags: int, size: int, sync: Callable[[int], None]) -> None:
        self._fd = os.open(path, os.O_WRONLY | _FLAGS | flags, 0o600)
        self._sync = sync
        self.version = VERSION
        self.size = size
        try:
            os.fchmod(self._fd, 0o600)
            os.ftruncate(self._fd, size)
        except OSError:
            self.close()
            raise

    def append(self, data: bytes) -> None:
        """Write all of the data or nothing."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.pwrite(self._fd, view, self.size + len(data) - len(view)) :]
        except OSError:
            with contextlib.suppress(OSError):  # the next write overwrites the rest, or reading skips it
                os.ftruncate(self._fd, self.size)
            raise
        self.size += len(data)

    def cut(self, size: int) -> None:
        """Cut off what was written behind a size."""
        os.ftruncate(self._fd, size)
        self.size = size

    def set_version(self, version: int) -> None:
        """Say a version in the header, unless this object has: it lies in one sector, and the blocks prove the rest."""
        if version != self.version:
            os.pwrite(self._fd, file_header(version), 0)
            self.version = version

    @property
    def status(self) -> os.stat_result:
        """Read what the system tells of the file, wherever that is by now."""
        return os.fstat(self._fd)

    def sync(self) -> None:
        """Have the disk take all that was written."""
        self._sync(self._fd)

    def is_at(self, path: Path) -> bool:
        """Tell whether the path still names this file."""
        try:
            return os.path.samestat(self.status, path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class SnapshotDraft:
    """Draft of the next state file, written beside the present one."""

    def __init__(self, path: Path, sync: Callable[[int], None]) -> None:
        self._path = path
        # Never what is there, although it may be our own of a killed process: in a shared folder it may be somebody
        # else's, who holds it open to write, or a hard link to a file of ours. One that comes in between is EEXIST.
        path.unlink(missing_ok=True)
        self._output = AppendOnlyFile(path, os.O_CREAT | os.O_EXCL, 0, sync)
        self._replaced = False
        self._buffer = bytearray(file_header())
        self._synced = 0

    def set_version(self, version: int) -> None:
        """Say a version in the header."""
        if not self._output.size:
            self._flush()  # the header itself is written first
        self._output.set_version(version)

    def append(self, data: bytes) -> None:
        """Add a piece, which may stay in memory until enough has come together."""
        self._buffer += data
        if len(self._buffer) >= WRITE_BYTES:
            self._flush()

    def replace(self, target: Path) -> AppendOnlyFile:
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
        """Give the draft up, unless it took the target's place."""
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
    """The state file at one path.

    Attributes:
        path: Its folder with symbolic links resolved; the file itself is never a link.
        output: Where to append; None: not open.
        sync: `os.fdatasync`, or a test's slow disk.
    """

    def __init__(self, path: Path, sync: Callable[[int], None] = os.fdatasync) -> None:
        self.path = Path(os.path.realpath(path.parent)) / path.name
        self.sync = sync
        self.output: AppendOnlyFile | None = None
        self._draft_path = self.path.with_name(f"{self.path.name}.new")
        self._lock_path = self.path.with_name(f"{self.path.name}.lock")
        self._lock_fd = -1
        self._left: tuple[os.stat_result, int] | None = None  # what was closed last, and its whole blocks' end
        self._kept: os.stat_result | None = None  # what has another name, too

    def warn_of_folder(self) -> str | None:
        """Say who else can put files into the folder; None: nobody can."""
        try:
            status = self.path.parent.stat()
        except OSError:
            return None
        if other_writers(status) is not None:
            return f"others can put files into {self.path.parent}, the folder of `cache`: a folder of its own is safer"
        return None

    @property
    def locked(self) -> bool:
        """Tell whether this process may write."""
        return self._lock_fd >= 0

    def lock(self) -> bool:
        """Try to get the right to write, which ends with `close` or with the process, however that dies.

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
        """Read the file's size; 0 where there is none."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def resume(self, end: int) -> None:
        """Open the file to append behind `end`; what is there is cut off."""
        self.output = AppendOnlyFile(self.path, 0, end, self.sync)

    def is_gone(self) -> bool:
        """Tell whether there is no file any more.

        Raises:
            OSError: The disk doesn't tell.
        """
        try:
            self.path.lstat()
        except FileNotFoundError:
            return True
        return False

    def reopen(self) -> bool:
        """Open the file that was closed last, to append behind its last whole block; False: it isn't there any more."""
        if self._left is None:
            return False
        status, size = self._left
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return False
        if not os.path.samestat(found, status) or found.st_size < size:
            return False
        self.resume(size)
        return True

    def draft(self) -> SnapshotDraft:
        """Begin a file to replace this one; a draft that a killed process left is removed."""
        return SnapshotDraft(self._draft_path, self.sync)

    def publish(self, draft: SnapshotDraft) -> AppendOnlyFile:
        """Put the draft in the file's place, so that a power cut leaves the one or the other.

        Returns:
            The file's new output.

        Raises:
            ForeignFileError: Somebody put another kind of file there meanwhile.
            OSError: The disk refuses; the draft is still the caller's.
        """
        if self.output is None or not self.output.is_at(self.path):
            self._identify()
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
                self._kept = aside.stat()
                return aside
        aside = self.path.with_name(f"{self.path.name}.damaged-{when}")
        aside.unlink(missing_ok=True)
        try:
            aside.hardlink_to(self.path)
            self._kept = aside.stat()
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}:
                raise
            shutil.copy(self.path, aside)  # a file system without hard links
        for old in kept[: len(kept) + 1 - ASIDE_MAX]:
            old.unlink(missing_ok=True)
        return aside

    def _identify(self) -> None:
        """Refuse another kind of file; one that can't be read is replaced if it was set aside."""
        with reading(self.path, ours=True) as (read, size):
            try:
                identify(read, size)
            except OSError:
                if self._kept is None or not os.path.samestat(self._kept, self.path.lstat()):
                    raise

    def salvage(self) -> None:
        """Replace the file by its whole blocks."""
        draft = self.draft()
        try:
            with reading(self.path) as (read, size):
                for part in scan(read, size):
                    if isinstance(part, Block):
                        if is_payload_of_views(part.payload):
                            draft.set_version(VERSION_VIEWS)
                        draft.append(read(part.offset, part.end - part.offset))
            self.publish(draft)
        except BaseException:
            draft.discard()
            raise

    def close_output(self) -> None:
        """Stop appending, whatever the disk says: whoever closes has synced, or writes all of it elsewhere."""
        output, self.output = self.output, None  # at first: a descriptor is gone also where closing it fails, as on NFS
        if output is not None:
            self._left = None
            with contextlib.suppress(OSError):
                self._left = output.status, output.size
            with contextlib.suppress(OSError):
                output.close()

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
