"""Configured lists -> a rule set that is in force; owns a child process while it loads (no threads).

A child reads and compiles (see `compiler.py`), we check and map the result: the tap stalls for milliseconds, and a
million rules cost the process next to no memory. The compiled file stays in a directory of ours, and as long as the
sources have the same bytes it is mapped at once. Their SHA-256 decides that, not size and time, which an edit within
one tick or a restored backup can leave alone; it costs 20 ms for a million names.

What is in force stays in force when the new lists are worse: unreadable, suddenly empty or half gone. That holds over
a restart too, for the same files: the compiled file is then what was in force.
"""

import logging
import mmap
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal

from dnstap_bgp.core.compiled import unpack
from dnstap_bgp.core.domains import RuleSet
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers import compiler
from dnstap_bgp.workers.sources import ListSource, SourceReport, build_here, digest_of, from_json

logger = logging.getLogger(__name__)

COMPILED_FILE = "lists.compiled"

SHRINK_FROM = 1000
"""Rules that a list must have had for a loss of more than half to look like a half-written file."""

_ERRORS_TOLD = 5  # files in one sentence; the reports have all


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of a load.

    Attributes:
        rules: What is to be in force.
        reports: Of each file, as `rules` or, where they were refused, the new lists were read from it.
        how: Where `rules` is from. `unchanged`: the set of the load before, as the files have the same bytes;
            `mapped`: the compiled file; `compiled`: made by a child; `built`: made here, for want of a child.
        refused: Why the new lists are not in force and `rules` is what was before; None: they are.
    """

    rules: RuleSet
    reports: tuple[SourceReport, ...]
    how: Literal["unchanged", "mapped", "compiled", "built"]
    refused: str | None = None


class ListLoader:
    """Loads lists, and remembers what it gave last; used by one thread, but for `cancel`.

    Args:
        compiled_dir: Where the compiled file lives, made if missing. None, or if it can't be written: nothing is kept
            for the next start.
    """

    def __init__(self, compiled_dir: Path | None) -> None:
        self._dir = compiled_dir
        self._held: Loaded | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._cancelled = False

    def load(self, sources: Sequence[ListSource], *, force: bool = False) -> Loaded:
        """Load the lists: some seconds for a million rules, unless nothing changed.

        Args:
            sources: The lists in the configuration's order; names are unique.
            force: Take lists that are empty or half gone.

        Raises:
            ListError: They can't be in force, and nothing was before; or `cancel` was called.
        """
        held = self._standing(sources)
        if held is not None and _origin(held.reports) == _current_origin(sources):
            return held
        with _scratch_file(self._dir) as scratch:
            try:
                new = self._compile(sources, scratch)
            except ListError as error:
                if held is None or self._cancelled:
                    raise
                return replace(held, reports=(), refused=str(error))
            refused = _refusal(new, held, force=force)
            if refused is None:
                self._held = new
                scratch.keep()
                return new
        if held is None:
            raise ListError(refused)
        return replace(held, reports=new.reports, refused=refused)

    def cancel(self) -> None:
        """End a load that is under way, and any later one; from any thread or a signal handler."""
        self._cancelled = True
        if self._child is not None:
            self._child.kill()

    def _standing(self, sources: Sequence[ListSource]) -> Loaded | None:
        """What is in force: given by us, or at the first load the compiled file, if it is of these lists and files."""
        if self._held is not None:
            return replace(self._held, how="unchanged")
        if self._dir is None:
            return None
        try:
            with (self._dir / COMPILED_FILE).open("rb") as file:
                rules, reports = _map(file)
        except FileNotFoundError:
            return None
        except (OSError, ListError) as error:
            logger.warning("%s: not used, the lists are compiled anew: %s", self._dir / COMPILED_FILE, error)
            return None
        if rules.list_names != tuple(source.name for source in sources) or _places(reports) != _places_of(sources):
            return None
        self._held = Loaded(rules, reports, "mapped")
        return self._held

    def _compile(self, sources: Sequence[ListSource], scratch: "_Scratch") -> Loaded:
        """Let a child compile into the scratch file and map it; without a child or a file, build here.

        Raises:
            ListError: The child was killed, failed or took too long.
        """
        try:
            failure = self._run_child(sources, scratch.file.fileno())
            if failure is None:
                return Loaded(*_map(scratch.file), "compiled")
        except OSError as error:
            failure = str(error)
        logger.warning("the lists are built in this process, which stalls for as long as that takes: %s", failure)
        scratch.drop()
        rules, reports = build_here(sources)
        return Loaded(rules, tuple(reports), "built")

    def _run_child(self, sources: Sequence[ListSource], output: int) -> str | None:
        """Compile into a descriptor; None, or why that couldn't be written.

        Raises:
            ListError: The child was killed, failed or took too long.
            OSError: There is no child.
        """
        with subprocess.Popen(  # noqa: S603 - our own module; paths go by stdin
            [sys.executable, "-P", "-m", compiler.__name__, str(output)],
            stdin=subprocess.PIPE,  # never ours: the host's answers come there
            stdout=subprocess.PIPE,
            pass_fds=(output,),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
            start_new_session=True,  # a Ctrl-C is for us; we end the child
        ) as child:
            self._child = child
            try:
                if self._cancelled:
                    child.kill()
                failure, _ = child.communicate(compiler.job(sources), timeout=compiler.TIME_LIMIT_S)
            except subprocess.TimeoutExpired as error:
                raise ListError(f"the lists took longer than {compiler.TIME_LIMIT_S} s to compile") from error
            finally:
                child.kill()  # a no-op, unless we come here by an exception
                self._child = None
        if self._cancelled:
            raise ListError("loading was cancelled")
        if child.returncode != 0:
            raise ListError(f"the compiler failed (status {child.returncode}); the log has its messages")
        return failure.decode() or None


class _Scratch:
    """Where a child writes: a file that may become the compiled file."""

    def __init__(self, file: IO[bytes], path: Path | None) -> None:
        self.file = file
        self._path = path

    def keep(self) -> None:
        """Make it the compiled file. One that is mapped from before stays whole: it only loses its name."""
        if self._path is None:
            return
        try:
            self._path.replace(self._path.with_name(COMPILED_FILE))
            self._path = None
        except OSError as error:
            logger.warning("the compiled lists can't be kept for the next start: %s", error)

    def drop(self) -> None:
        """Remove it, unless it was kept."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None


@contextmanager
def _scratch_file(directory: Path | None) -> Iterator[_Scratch]:
    """Open a file beside the compiled one or, if that can't be, one without a name."""
    if directory is not None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for left in directory.glob(".lists-*.tmp"):  # by one of us that was killed
                left.unlink()
            handle, name = tempfile.mkstemp(".tmp", ".lists-", directory)
        except OSError as error:
            logger.warning("the compiled lists can't be kept for the next start: %s", error)
        else:
            with os.fdopen(handle, "rb") as file:
                scratch = _Scratch(file, Path(name))
                try:
                    yield scratch
                finally:
                    scratch.drop()
            return
    with tempfile.TemporaryFile() as file:
        yield _Scratch(file, None)


def _map(file: IO[bytes]) -> tuple[RuleSet, tuple[SourceReport, ...]]:
    """Map a compiled file.

    Raises:
        ListError: It is damaged, of another version, or someone else's.
    """
    status = os.fstat(file.fileno())
    if status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o022:
        raise ListError("others may write to it")
    if status.st_size == 0:
        raise ListError("it is empty")
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    rules, about = unpack(memoryview(mapped))
    # The checksum has touched every page; the tap will need few of them.
    mapped.madvise(mmap.MADV_DONTNEED)
    return rules, tuple(from_json(about))


def _refusal(new: Loaded, held: Loaded | None, *, force: bool) -> str | None:
    """Why the new lists must not come into force; None: they may."""
    errors = [f"{report.path}: {report.error}" for report in new.reports if report.error]
    if errors:
        return "; ".join(errors[:_ERRORS_TOLD])
    if force:
        return None
    before = held.rules.counts if held is not None else {}
    for name, count in new.rules.counts.items():
        had = before.get(name, 0)
        where = _files(new, name)
        if had and not count:
            return f"list {name} had {had} rules and is empty now ({where})"
        if had >= SHRINK_FROM and count < had / 2:
            return f"list {name} had {had} rules and has only {count} now, as if it were half-written ({where})"
    if not len(new.rules):
        skipped = sum(report.complaints for report in new.reports)
        return f"there is no rule in any list; {skipped} lines were skipped"
    return None


def _files(loaded: Loaded, name: str) -> str:
    return ", ".join([report.path for report in loaded.reports if report.list_name == name][:_ERRORS_TOLD])


_Origin = list[tuple[str, str, str]]


def _origin(reports: Sequence[SourceReport]) -> _Origin:
    return [(report.list_name, report.path, report.digest) for report in reports]


def _current_origin(sources: Sequence[ListSource]) -> _Origin | None:
    """The origin that rules read now would have; None: a file can't be read."""
    try:
        return [(source.name, str(path), digest_of(path)) for source in sources for path in source.paths]
    except ListError:
        return None


def _places(reports: Sequence[SourceReport]) -> list[tuple[str, str]]:
    return [(report.list_name, report.path) for report in reports]


def _places_of(sources: Sequence[ListSource]) -> list[tuple[str, str]]:
    return [(source.name, str(path)) for source in sources for path in source.paths]
