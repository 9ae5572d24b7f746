"""List files of the configuration: found as they lie on disk now, opened within limits, hashed; no thread.

The plugin's process does no more than this with a list's file, to tell whether anything has changed. What reads it
(`contents`) is the business of the child that compiles, with all that knows the formats.
"""

import errno
import glob
import io
import mmap
import os
import stat
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.parse import quote, urlsplit, urlunsplit

from dnstap_bgp.core.digest import sha256
from dnstap_bgp.core.lists.source import AUTO, ListSource, UrlPrefixes, is_url
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists.url_cache import UrlCache, shown_url
from dnstap_bgp.workers.process.runtime import other_writers

SOURCE_MAX_BYTES = 256 << 20
"""Bytes of a file, ten times the largest list in use (25 MB): a wrong path shall not fill the memory."""

_CHUNK_BYTES = 4 << 20  # large: between chunks another thread may keep the GIL for 5 ms

GLOB_MAX = 1000
"""Files that one glob may find: a folder of lists has dozens."""

INCLUDES_MAX = 1000
"""Files that one source may include, at any depth; the whole of geosite has 1,400, its widest list 300."""

INCLUDE_DEPTH_MAX = 16
"""Includes on the way to a file; geosite needs 4."""

_STEPS_MAX = 256  # folders and links on the way to a file: a link has room for 2,000, and may lead to another one

PATTERNS_USED, PATTERNS_OFF, PATTERNS_WAITING = "used", "off", "waiting"
"""Keywords and expressions count; they don't, as the configuration says; they don't until it says so, as a version that
skipped them had the list in force."""


class SourceFile(NamedTuple):
    """One file of a list; a tuple, as it goes to a child as JSON.

    Attributes:
        source: What the configuration says: a path, a glob or a URL.
        path: The file.
        shown: What people call it: its path, or the URL whose copy it is.
        format: A key of `FORMATS`, or `AUTO`.
        missing: Why there is no file; None: there should be one.
        pending: It is a copy, which has not come yet: no error, just nothing so far.
        url: The URL that it is the copy of; empty: none.
        is_pinned: Only one content of the URL is accepted, so that its includes, which anybody may change, don't count.
        with_held: Versions that are held back stand for copies.
        url_prefixes: With `url`: which static prefixes it may give; a tuple as `UrlPrefixes`.
        selector: The part of it that belongs to the list, see `core.lists.lines.Document`; empty: all of it.
        patterns: What becomes of keywords and expressions: `PATTERNS_USED`, `PATTERNS_OFF` or `PATTERNS_WAITING`.
    """

    source: str
    path: str
    shown: str
    format: str = AUTO
    missing: str | None = None
    pending: bool = False
    url: str = ""
    is_pinned: bool = False
    with_held: bool = False
    url_prefixes: UrlPrefixes | None = None
    selector: str = ""
    patterns: str = PATTERNS_USED


Plan: TypeAlias = dict[str, tuple[SourceFile, ...]]
"""List name -> its files, in the configuration's order."""


def plan(
    lists: Sequence[ListSource],
    url_cache: UrlCache | None,
    waiting: AbstractSet[str] = frozenset(),
    *,
    only_ours: bool = False,
) -> Plan:
    """Find the files of lists as they are now: expand globs, take copies for URLs.

    Args:
        lists: In the configuration's order; names are unique.
        url_cache: The copies of URLs; None: there are none.
        waiting: Lists whose keywords and expressions wait for the configuration's word, see `waiting_lists`.
        only_ours: Of managed lists, leave out files that others can have put there: for the process that announces what
            they say. Whoever only looks may be another user than the one whose files they are.
    """
    return {
        source.name: tuple(
            place._replace(patterns=_patterns(source, waiting))
            for text in source.sources
            for place in _places(text, source, url_cache, only_ours=only_ours)
        )
        for source in lists
    }


def _patterns(source: ListSource, waiting: AbstractSet[str]) -> str:
    if source.patterns is None:
        return PATTERNS_WAITING if source.name in waiting else PATTERNS_USED
    return PATTERNS_USED if source.patterns else PATTERNS_OFF


def unreadable(lists: Sequence[ListSource], known: Sequence[ListSource]) -> list[str]:
    """Tell what files of lists can't be opened, but for those of sources that are known; what is in them is not read.

    Args:
        lists: The lists.
        known: Lists with the sources that may be as they are.
    """
    old = {(listed.name, text) for listed in known for text in listed.sources}
    problems = []
    for listed in lists:
        for text in listed.sources:
            if is_url(text) or (listed.name, text) in old:
                continue
            for place in _places(text, listed, None, only_ours=False):
                try:
                    if place.missing is not None:
                        raise ListError(place.missing)  # noqa: TRY301 - as for those that are there
                    with opened(Path(place.path)):
                        pass
                except ListError as error:
                    problems.append(f"list {listed.name}: {place.shown}: {error}")
    return problems


def foreign_file(path: Path) -> str | None:
    """Tell why somebody else can have written a file of ours, or put it into its folder; None: nobody can."""
    for each, where in ((path.parent, "of its folder, "), (path, "")):
        with suppress(OSError):  # to read it tells what is wrong
            if (others := other_writers(each.stat())) is not None:
                return f"it may be somebody else's: {where}{others}"
    return None


def _places(text: str, source: ListSource, url_cache: UrlCache | None, *, only_ours: bool) -> list[SourceFile]:
    location, selector = source.located(text)
    if is_url(text):
        return [_copy(text, source, url_cache)]
    if source.is_managed and not os.path.lexists(text):
        return []  # nobody has put a name on it yet
    if source.is_managed and only_ours and (foreign := foreign_file(Path(text))) is not None:
        return [SourceFile(text, "", text, source.format, missing=foreign)]
    if os.path.lexists(text):  # a file whose own name has a `#`
        location, selector = text, source.path
    part = text[len(location) :]
    if not glob.has_magic(location) or os.path.lexists(location):
        return [SourceFile(text, location, text, source.format, selector=selector)]
    # `Path` has other such calls, which raise where a folder may not be looked into: a plugin would end by that.
    found = sorted(path for path in glob.iglob(location) if not os.path.isdir(path))  # noqa: PTH112, PTH207
    if not found or len(found) > GLOB_MAX:
        return [SourceFile(text, "", text, source.format, f"it names {len(found)} files, 1 to {GLOB_MAX} are allowed")]
    return [SourceFile(text, path, path + part, source.format, selector=selector) for path in found]


def _copy(text: str, source: ListSource, url_cache: UrlCache | None) -> SourceFile:
    """Find the copy of a URL; a copy that differs from the pinned digest is as good as none."""
    url, selector = source.located(text)
    file = SourceFile(
        text,
        "",
        shown_url(url) + text[len(url) :],
        source.format,
        selector=selector,
        url=url,
        is_pinned=source.fetching.sha256 is not None,
        with_held=url_cache is not None and url_cache.prefers_held(url),
        url_prefixes=source.url_prefixes,
    )
    if url_cache is None or not os.path.lexists(url_cache.path(url)):
        return file._replace(pending=True)
    file = file._replace(path=str(url_cache.path(url)))
    pinned = source.fetching.sha256
    try:
        good = pinned is None or digest_of(Path(file.path)) == pinned
    except ListError as error:
        return file._replace(missing=str(error))
    return file._replace(pending=not good)


def included_url(url: str, name: str) -> str:
    """Tell the URL of a file that one at a URL includes: in the same folder there, asked for with the same query."""
    parts = urlsplit(url)
    folder = parts.path.rpartition("/")[0]
    return urlunsplit(parts._replace(path=f"{folder}/{quote(name.lower(), safe='!')}", fragment=""))


def digest_of(path: Path) -> str:
    """Hash a file's bytes by SHA-256, hexadecimal: 20 ms for a million names, hardly any of it with the GIL held.

    Raises:
        ListError: It is missing, unreadable, no plain file or too large.
    """
    # An anonymous map as the buffer: unlike memory of the heap it goes back to the system for certain.
    with opened(path) as file, mmap.mmap(-1, _CHUNK_BYTES) as buffer, memoryview(buffer) as chunk:
        digest = sha256(total_bytes=os.fstat(file.fileno()).st_size)
        while got := file.readinto(chunk):
            digest.update(chunk[:got])
    return digest.hexdigest()


@contextmanager
def opened(path: Path) -> Iterator[io.FileIO]:
    """Open a list file; what the caller's reading raises becomes a `ListError` too.

    Lines that are none are shown to people. So a link of somebody else's, in whose folder a list may lie, leads to no
    file that he may not read himself.
    """
    try:
        with io.FileIO(_open(path)) as file:
            status = os.fstat(file.fileno())
            if status.st_size > SOURCE_MAX_BYTES:
                raise ListError(f"it has {status.st_size} bytes, {SOURCE_MAX_BYTES} are allowed")
            yield file
    except OSError as error:
        raise ListError(error.strerror or str(error)) from error


def _open(path: Path) -> int:
    """Open a file to read it; a pipe, which would wait for a writer, or a device is not opened.

    Raises:
        ListError: It is no file, or a link of another user leads to what not everybody may read.
        OSError: It can't be opened.
    """
    with ExitStack() as stack:
        fd, strangers, is_public = _walk(path, stack)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ListError(os.strerror(errno.EISDIR) if stat.S_ISDIR(status.st_mode) else "not a file")
        strangers.discard(status.st_uid)
        if strangers and not is_public:
            raise ListError(
                f"a link of the user {min(strangers)} leads to a file that not everybody may read: name the file itself"
            )
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _walk(path: Path, stack: ExitStack) -> tuple[int, set[int], bool]:
    """Walk to a file, link by link: nobody can put another one there between a look at it and its use.

    Returns:
        The file, not open to be read; the users who own a link on the way, but for root and ours; whether everybody may
        read it.

    Raises:
        OSError: There is none, or we may not go there.
    """
    todo = [*reversed(path.absolute().parts)]
    strangers: set[int] = set()
    fd, is_public = -1, True
    for _ in range(_STEPS_MAX):
        with ExitStack() as step:
            found = _step(todo.pop(), None if fd < 0 else fd, is_last=not todo)
            step.callback(os.close, found)
            status = os.fstat(found)
            if stat.S_ISLNK(status.st_mode):
                if status.st_uid not in (0, os.geteuid()):
                    strangers.add(status.st_uid)
                target = Path(os.readlink("", dir_fd=found))
                is_public |= target.is_absolute()  # where it lies is no matter then
                todo += reversed(target.parts)
            else:
                stack.close()  # the folder before it
                stack.push(step.pop_all())
                fd = found
                is_public &= bool(status.st_mode & (stat.S_IXOTH if stat.S_ISDIR(status.st_mode) else stat.S_IROTH))
        if not todo:
            return fd, strangers, is_public
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _step(name: str, folder: int | None, *, is_last: bool) -> int:
    """Go to an entry of a folder, not over a link."""
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    if not is_last:
        with suppress(NotADirectoryError):
            return os.open(name, flags | os.O_DIRECTORY, dir_fd=folder)  # has an automount mounted
    return os.open(name, flags, dir_fd=folder)
