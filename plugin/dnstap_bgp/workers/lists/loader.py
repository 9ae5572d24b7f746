"""Configured lists -> rules and static prefixes that are in force; owns a child process while it loads (no threads).

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
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal

from dnstap_bgp.config import Config
from dnstap_bgp.core.lists import plausible
from dnstap_bgp.core.lists.compiled import unpack
from dnstap_bgp.core.lists.domains import RuleSet
from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.core.model import Prefix
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists import compiler
from dnstap_bgp.workers.lists.copies import Copies
from dnstap_bgp.workers.lists.files import SourceReport, digest_of, from_json
from dnstap_bgp.workers.lists.sources import Plan, build_here, plan

logger = logging.getLogger(__name__)

COMPILED_FILE = "lists.compiled"

_ERRORS_TOLD = 5  # files in one sentence; the reports have all


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of a load.

    Attributes:
        rules: What is to be in force.
        prefixes: List name -> its static prefixes, in force with `rules`.
        reports: Of each file, as `rules` or, where they were refused, the new lists were read from it.
        how: Where `rules` is from. `unchanged`: the set of the load before, as the files have the same bytes;
            `mapped`: the compiled file; `compiled`: made by a child; `built`: made here, for want of a child.
        refused: Why the new lists are not in force and `rules` is what was before; None: they are.
    """

    rules: RuleSet
    prefixes: dict[str, tuple[Prefix, ...]]
    reports: tuple[SourceReport, ...]
    how: Literal["unchanged", "mapped", "compiled", "built"]
    refused: str | None = None

    @property
    def pending(self) -> tuple[str, ...]:
        """The lists that have a URL which was never fetched: they may be short of rules for now."""
        return tuple(dict.fromkeys(report.list_name for report in self.reports if report.pending))


def compiled_dir(config: Config) -> Path:
    """Where compiled lists and copies of URLs live: beside the state file, so that they outlive a boot as it does."""
    return config.cache.with_name(config.cache.name + ".lists") if config.cache else config.runtime_dir / "lists"


class ListLoader:
    """Loads lists, and remembers what it gave last; used by one thread, but for `cancel`.

    Args:
        directory: Where the compiled file lives, made if missing. None, or if it can't be written: nothing is kept
            for the next start.
        kept: The copies of URLs; None: there are none.
    """

    def __init__(self, directory: Path | None, kept: Copies | None = None) -> None:
        self._dir = directory
        self._kept = kept
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
        places = plan(sources, self._kept)
        if held is not None and _is_from(held.reports, places):
            return held
        with _scratch_file(self._dir) as scratch:
            try:
                new = self._compile(places, scratch)
            except ListError as error:
                if held is None or self._cancelled:
                    raise
                return replace(held, reports=(), refused=str(error))
            refused = _refusal(new, held, sources, force=force)
            if refused is None:
                self._held = new
                scratch.keep()
                return new
        if held is None:
            raise ListError(refused)
        return replace(held, reports=new.reports, refused=refused)

    def aside(self, kept: Copies | None) -> "ListLoader":
        """A loader that knows what is in force and whose loads change nothing here, nor on the disk."""
        other = ListLoader(None, kept)
        other._held = self._held
        return other

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
                found = _map(file)
        except FileNotFoundError:
            return None
        except (OSError, ListError) as error:
            logger.warning("%s: not used, the lists are compiled anew: %s", self._dir / COMPILED_FILE, error)
            return None
        rules, _, reports = found
        if rules.list_names != tuple(source.name for source in sources) or not _is_of(reports, sources):
            return None
        self._held = Loaded(*found, "mapped")
        return self._held

    def _compile(self, places: Plan, scratch: "_Scratch") -> Loaded:
        """Let a child compile into the scratch file and map it; without a child or a file, build here.

        Raises:
            ListError: The child was killed, failed or took too long.
        """
        try:
            failure = self._run_child(places, scratch.file.fileno())
            if failure is None:
                return Loaded(*_map(scratch.file), "compiled")
        except OSError as error:
            failure = str(error)
        logger.warning("the lists are built in this process, which stalls for as long as that takes: %s", failure)
        scratch.drop()
        built = build_here(places)
        return Loaded(built.rules, built.prefixes, tuple(built.reports), "built")

    def _run_child(self, places: Plan, output: int) -> str | None:
        """Compile into a descriptor; None, or why that couldn't be written.

        Raises:
            ListError: The child was killed, failed or took too long.
            OSError: There is no child.
        """
        with subprocess.Popen(  # noqa: S603 - our own module; paths go by stdin
            compiler.command(str(output)),
            stdin=subprocess.PIPE,  # never ours: the host's answers come there
            stdout=subprocess.PIPE,
            pass_fds=(output,),
            env=compiler.environment(),
            # a Ctrl-C is for us; we end the child. No session of its own: to Linux's autogroups its niceness would
            # then say nothing against us
            process_group=0,
        ) as child:
            self._child = child
            try:
                if self._cancelled:
                    child.kill()
                failure, _ = child.communicate(compiler.job(places), timeout=compiler.TIME_LIMIT_S)
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


def _map(file: IO[bytes]) -> tuple[RuleSet, dict[str, tuple[Prefix, ...]], tuple[SourceReport, ...]]:
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
    rules, prefixes, about = unpack(memoryview(mapped))
    # The checksum has touched every page; the tap will need few of them.
    mapped.madvise(mmap.MADV_DONTNEED)
    return rules, prefixes, tuple(from_json(about))


def _refusal(new: Loaded, held: Loaded | None, sources: Sequence[ListSource], *, force: bool) -> str | None:
    """Why the new lists must not come into force; None: they may."""
    errors = [f"{report.path}: {report.error}" for report in new.reports if report.error]
    if errors:
        return "; ".join(errors[:_ERRORS_TOLD])
    if force:
        return None
    before, after = _sizes(held), _sizes(new)
    for source in sources:
        reason = plausible.refusal(before.get(source.name, 0), after[source.name], source.shrink_max, source.growth_max)
        if reason is not None:
            where = _where(new, source.name)
            return f"list {source.name} {reason} ({where}); `dnstap-bgp reload --force` takes it"
    if not any(after.values()) and not all(report.pending for report in new.reports):
        skipped = sum(report.complaints + sum(report.skipped.values()) for report in new.reports)
        return f"there is no rule in any list; {skipped} lines were skipped"
    return None


def _sizes(loaded: Loaded | None) -> dict[str, int]:
    """List name -> its different rules and static prefixes."""
    if loaded is None:
        return {}
    return {name: count + len(loaded.prefixes.get(name, ())) for name, count in loaded.rules.counts.items()}


def _where(loaded: Loaded, list_name: str) -> str:
    reports = [report for report in loaded.reports if report.list_name == list_name]
    pending = [report.path for report in reports if report.pending]
    if pending:
        return f"{', '.join(pending[:_ERRORS_TOLD])} is still to be fetched"
    return ", ".join([report.path for report in reports][:_ERRORS_TOLD])


def _is_of(reports: Sequence[SourceReport], sources: Sequence[ListSource]) -> bool:
    """Whether reports are of these very sources, whatever a glob finds now and whatever is in them."""
    there = dict.fromkeys((report.list_name, report.source, report.asked) for report in reports)
    return list(there) == list(
        dict.fromkeys((source.name, text, source.format) for source in sources for text in source.sources)
    )


def _is_from(reports: Sequence[SourceReport], places: Plan) -> bool:
    """Whether rules read now would be those that the reports are of: the same files with the same bytes."""
    try:
        now = [
            (name, place.source, place.shown, place.format, "" if place.pending else digest_of(Path(place.path)))
            for name, found in places.items()
            for place in found
        ]
        included = all(digest_of(Path(report.file)) == report.digest for report in reports if report.included)
    except ListError:
        return False
    return included and now == [
        (report.list_name, report.source, report.path, report.asked, report.digest)
        for report in reports
        if not report.included
    ]
