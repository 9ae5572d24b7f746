"""Configured lists -> rules and static prefixes that are in force; owns a child process while it loads (no threads).

A child reads and compiles (see `compile_child.py`), we check and map the result: the tap stalls for milliseconds, and a
million rules cost the process next to no memory. The compiled file stays in a directory of ours, and as long as the
sources have the same bytes it is mapped at once. Their SHA-256 decides that, not size and time, which an edit within
one tick or a restored backup can leave alone; it costs 20 ms for a million names.

What is in force stays in force where a source's new content is worse: unreadable, suddenly empty or half gone. Each
source is judged by itself (see `judgement.py`): one that is held back or can't be read keeps its last content, of which
there is a copy (see `source_copies.py`), and the changes of all others come into force. That holds over a restart too:
the compiled file and the copies are then what was in force. Where a copy is missing, the whole set in force stays.
"""

import logging
import mmap
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Literal

from dnstap_bgp.config import Config
from dnstap_bgp.core.lists.compiled import unpack
from dnstap_bgp.core.lists.rules import RuleSet
from dnstap_bgp.core.lists.source import Force, ListSource, is_forced
from dnstap_bgp.core.model import Prefix
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists import compile_job
from dnstap_bgp.workers.lists.compile_job import Before
from dnstap_bgp.workers.lists.file_reports import FileReport, waiting_lists
from dnstap_bgp.workers.lists.files import Plan, digest_of, plan
from dnstap_bgp.workers.lists.judgement import Judgement
from dnstap_bgp.workers.lists.source_copies import SourceCopies, SourceKey
from dnstap_bgp.workers.lists.url_cache import UrlCache
from dnstap_bgp.workers.process.runtime import other_writers

logger = logging.getLogger(__name__)

COMPILED_FILE = "lists.compiled"

_ERRORS_TOLD = 5  # files in one sentence; the reports have all

_READS_MAX = 3  # of one load: what all have now; with what some keep; once more, where files change meanwhile


@dataclass(frozen=True, slots=True)
class Loaded:
    """The outcome of a load.

    Attributes:
        rules: What is to be in force.
        prefixes: List name -> its static prefixes, in force with `rules`.
        reports: Of each file, as it was read last: also of what is held back or was refused.
        how: Where `rules` is from. `unchanged`: the set of the load before, as the files have the same bytes;
            `mapped`: the compiled file; `compiled`: made by a child; `built`: made here, for want of a child.
        refused: Why nothing new is in force and `rules` is what was before; None: all is, but for `held` and `failed`.
        held: (list, source) -> why its new content is held back; its last content is in `rules`.
        failed: (list, source) -> why it can't be read; its last content is in `rules`, or nothing of it.
        awaited: (list, URL) -> what is in `rules` until it is fetched again.
        is_read_as_now: The sources were read by this version, or one that reads as it does.
    """

    rules: RuleSet
    prefixes: dict[str, tuple[Prefix, ...]]
    reports: tuple[FileReport, ...]
    how: Literal["unchanged", "mapped", "compiled", "built"]
    refused: str | None = None
    held: Mapping[SourceKey, str] = field(default_factory=dict)
    failed: Mapping[SourceKey, str] = field(default_factory=dict)
    awaited: Mapping[SourceKey, str] = field(default_factory=dict)
    is_read_as_now: bool = True

    @property
    def pending(self) -> tuple[str, ...]:
        """The lists that have a URL which was never fetched: they may be short of rules for now."""
        return tuple(dict.fromkeys(report.list_name for report in self.reports if report.pending))

    @property
    def unproven(self) -> tuple[str, ...]:
        """The lists of which a source gave nothing, or could not be read in time, and nothing from before is known."""
        doubtful = (one for one in self.reports if one.unproven or (one.is_slow and not one.is_kept))
        return tuple(dict.fromkeys(report.list_name for report in doubtful))

    @property
    def is_whole(self) -> bool:
        """Tell whether all that the sources have now is in force."""
        troubled = self.held or self.failed or any(report.is_slow for report in self.reports)
        return self.refused is None and not troubled


def compiled_dir(config: Config) -> Path:
    """Name the folder of compiled lists and copies of URLs: beside the state file, to outlive a boot as it does."""
    return config.cache.with_name(config.cache.name + ".lists") if config.cache else config.runtime_dir / "lists"


def own_compiled_dir(config: Config) -> Path:
    """Give the folder of `compiled_dir`, made if missing, or a private one while others can have put files into it.

    What is in it is in force, names as well as static prefixes. Where others may make files in the folder of `cache`
    (/tmp, say), one of them could have made this one before us.
    """
    folder = compiled_dir(config)
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        others = other_writers(folder.stat())
    except OSError:  # which is told when something is to be kept in it
        return folder
    if others is None:
        return folder
    instead = config.runtime_dir / "lists"
    text = (
        "%s: %s, and what is in it may be somebody else's: lists are kept in %s, and those of URLs fetched anew, until"
        " it is removed; if nobody has written to it: chown -R %d, and chmod go-w"
    )
    logger.error(text, folder, others, instead, os.geteuid())
    return instead


def waiting_in(directory: Path) -> frozenset[str]:
    """Tell the lists whose keywords and expressions wait for the configuration's word, by the compiled file."""
    try:
        with (directory / COMPILED_FILE).open("rb") as file:
            return waiting_lists(_map(file).reports)
    except (OSError, ListError):
        return frozenset()


class ListLoader:
    """Loader of lists, which remembers the rules in force; used by one thread, but for `cancel`.

    Args:
        directory: Where the compiled file lives, made if missing. None, or if it can't be written: nothing is kept
            for the next start.
        url_cache: The copies of URLs; None: there are none.
    """

    def __init__(self, directory: Path | None, url_cache: UrlCache | None = None) -> None:
        self._dir = directory
        self._url_cache = url_cache
        self._compiled_file = directory / COMPILED_FILE if directory is not None else None
        self._copies_dir = directory
        self._in_force: Loaded | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._cancelled = False

    def load(self, sources: Sequence[ListSource], *, force: Force = False, new_must_work: bool = False) -> Loaded:
        """Load the lists: some seconds for a million rules, unless nothing changed.

        Args:
            sources: The lists in the configuration's order; names are unique.
            force: The lists of which to take what would be held back, and to read again what could not be read in time.
            new_must_work: Refuse all where a source can't be read that is not among those in force.

        Raises:
            ListError: They can't be in force, and nothing was before; or `cancel` was called.
        """
        in_force = self._find_in_force()
        waiting = waiting_lists(in_force.reports) if in_force is not None else frozenset[str]()
        files = plan(sources, self._url_cache, waiting, only_ours=True)
        if in_force is not None and self._is_current(in_force, sources, files, force=force):
            return in_force
        judgement = Judgement(in_force.reports if in_force is not None else (), sources, force)
        try:
            found = self._read(in_force, sources, files, judgement, force=force, new_must_work=new_must_work)
        except ListError as error:
            if in_force is None or self._cancelled:
                raise
            found = replace(in_force, refused=str(error))
        self._clean_copies()
        return replace(
            found,
            reports=judgement.reports,
            held=judgement.held,
            failed=judgement.failed,
            awaited=judgement.awaited,
        )

    def aside(self, url_cache: UrlCache | None) -> "ListLoader":
        """Make a loader that knows the rules in force and whose loads change nothing here, nor on the disk."""
        other = ListLoader(None, url_cache)
        other._in_force = self._in_force
        other._compiled_file = self._compiled_file
        other._copies_dir = self._copies_dir
        return other

    def cancel(self) -> None:
        """End a load that is under way, and any later one; from any thread or a signal handler."""
        self._cancelled = True
        child = self._child
        if child is not None:
            child.kill()

    def _find_in_force(self) -> Loaded | None:
        """Find the rules in force: those of the last load or, at the first, the compiled file.

        That file may be of other lists than are configured now: each source is judged by its own past, whatever came
        and went beside it.
        """
        if self._in_force is not None:
            return replace(self._in_force, how="unchanged")
        if self._compiled_file is None:
            return None
        try:
            with self._compiled_file.open("rb") as file:
                self._in_force = _map(file)
        except FileNotFoundError:
            return None
        except (OSError, ListError) as error:
            logger.warning("%s: not used, the lists are compiled anew: %s", self._compiled_file, error)
        return self._in_force

    def _is_current(self, in_force: Loaded, sources: Sequence[ListSource], files: Plan, *, force: Force) -> bool:
        """Tell whether rules read now would be those in force."""
        doubtful = {report.list_name for report in in_force.reports if report.unproven or report.is_slow}
        if any(is_forced(force, name) for name in doubtful):
            return False
        names = tuple(source.name for source in sources)
        return (
            in_force.is_read_as_now
            and in_force.rules.list_names == names
            and _is_from(in_force.reports, files, self._url_cache)
        )

    def _read(
        self,
        in_force: Loaded | None,
        sources: Sequence[ListSource],
        files: Plan,
        judgement: Judgement,
        *,
        force: Force,
        new_must_work: bool,
    ) -> Loaded:
        """Read and compile the lists, until all that was read may come into force, and put it there.

        Raises:
            ListError: Nothing of it may.
        """
        for _ in range(_READS_MAX):
            with _scratch_file(self._dir) as scratch:
                plan_now = {name: judgement.places(name, found) for name, found in files.items()}
                new = self._compile(plan_now, self._before(in_force, judgement), scratch)
                is_final = judgement.take(new.reports)
                if judgement.unkept or (new_must_work and judgement.failed_anew):
                    raise _refusal(judgement.unkept + judgement.failed_anew)
                if is_final:
                    if not force and (emptiness := _emptiness(new, sources)):
                        raise _refusal([*judgement.failed.values()] or [emptiness])
                    self._in_force = new
                    scratch.keep()
                    return new
            assert in_force is not None, "only what had rules keeps them"
            self._check_copies(judgement)
            is_same = in_force.is_read_as_now and in_force.rules.list_names == tuple(files)
            if is_same and judgement.is_all_as_before(new.reports):
                return in_force
        raise ListError("the files change faster than they are read")

    def _check_copies(self, judgement: Judgement) -> None:
        """Check that there is a copy of all that sources are to keep.

        Raises:
            ListError: There is none of something, such as what 0.1.0 has read; all in force stays then.
        """
        copies = SourceCopies(self._copies_dir) if self._copies_dir is not None else None
        digests = [one.digest for reports in judgement.kept.values() for one in reports if one.digest]
        if copies is None or not all(map(copies.has, digests)):
            raise _refusal([*judgement.failed.values(), *judgement.held.values(), *judgement.awaited.values()])

    def _clean_copies(self) -> None:
        if self._dir is not None and self._in_force is not None:
            SourceCopies(self._dir).clean({report.digest for report in self._in_force.reports})

    def _before(self, in_force: Loaded | None, judgement: Judgement) -> Before:
        """Tell the child what was in force. A person's word is enough for a source to be known."""
        there = in_force is not None and self._compiled_file is not None
        return Before(
            str(self._compiled_file) if there else None,
            tuple(judgement.unknown()),
            str(self._copies_dir) if self._copies_dir is not None else None,
            self._dir is not None,
            tuple(
                (name, source, {one.file: one.digest for one in reports if one.digest})
                for (name, source), reports in judgement.kept.items()
            ),
        )

    def _compile(self, files: Plan, before: Before, scratch: "_Scratch") -> Loaded:
        """Let a child compile into the scratch file and map it; without a child or a file, build here.

        Raises:
            ListError: The child was killed, failed or took too long.
        """
        try:
            failure = self._run_child(files, before, scratch.file.fileno())
            if failure is None:
                return replace(_map(scratch.file), how="compiled")
        except OSError as error:
            failure = str(error)
        logger.warning("the lists are built in this process, which stalls for as long as that takes: %s", failure)
        scratch.drop()
        from dnstap_bgp.workers.lists.compile_child import build_lists  # noqa: PLC0415 - 1.5 MB that hardly anyone needs

        built = build_lists(files, before)
        return Loaded(built.rules, built.prefixes, tuple(built.reports), "built")

    def _run_child(self, files: Plan, before: Before, output: int) -> str | None:
        """Compile into a descriptor; None, or why that couldn't be written.

        Raises:
            ListError: The child was killed, failed or took too long.
            OSError: There is no child.
        """
        with subprocess.Popen(  # noqa: S603 - our own module; paths go by stdin
            compile_job.command(str(output)),
            stdin=subprocess.PIPE,  # never ours: the host's answers come there
            stdout=subprocess.PIPE,
            pass_fds=(output,),
            env=compile_job.environment(),
            # a Ctrl-C is for us; we end the child. No session of its own: to Linux's autogroups its niceness would
            # then say nothing against us
            process_group=0,
        ) as child:
            self._child = child
            try:
                if self._cancelled:
                    child.kill()
                failure, _ = child.communicate(compile_job.job(files, before), timeout=compile_job.TIME_LIMIT_S)
            except subprocess.TimeoutExpired as error:
                raise ListError(f"the lists took longer than {compile_job.TIME_LIMIT_S} s to compile") from error
            finally:
                child.kill()  # a no-op, unless we come here by an exception
                self._child = None
        if self._cancelled:
            raise ListError("loading was cancelled")
        if child.returncode != 0:
            raise ListError(f"the compiler failed (status {child.returncode}); the log has its messages")
        return failure.decode() or None


class _Scratch:
    """Scratch file that a child writes, and that may become the compiled file."""

    def __init__(self, file: IO[bytes], path: Path | None) -> None:
        self.file = file
        self._path = path

    def keep(self) -> None:
        """Make the scratch file the compiled file; one that is mapped stays whole and only loses its name."""
        if self._path is None:
            return
        try:
            self._path.replace(self._path.with_name(COMPILED_FILE))
            self._path = None
        except OSError as error:
            logger.warning("the compiled lists can't be kept for the next start: %s", error)

    def drop(self) -> None:
        """Remove the scratch file, unless it was kept."""
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


def _map(file: IO[bytes]) -> Loaded:
    """Map a compiled file.

    Raises:
        ListError: It is damaged, of another version, or someone else's.
    """
    status = os.fstat(file.fileno())
    if (others := other_writers(status)) is not None:
        raise ListError(others)
    if status.st_size == 0:
        raise ListError("it is empty")
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    rules, prefixes, note = unpack(memoryview(mapped))
    # The checksum has touched every page; the tap will need few of them.
    mapped.madvise(mmap.MADV_DONTNEED)
    reports, is_read_as_now = compile_job.reports_about(note)
    return Loaded(rules, prefixes, reports, "mapped", is_read_as_now=is_read_as_now)


def _refusal(reasons: Sequence[str]) -> ListError:
    return ListError("; ".join(reasons[:_ERRORS_TOLD]))


def _emptiness(new: Loaded, sources: Sequence[ListSource]) -> str | None:
    """Tell that no list has a rule, where no source is still to come; None: some has, or people keep one by hand."""
    if any(source.is_managed for source in sources):
        return None
    if len(new.rules) or any(new.prefixes.values()) or all(report.pending for report in new.reports):
        return None
    skipped = sum(report.complaints + sum(report.skipped.values()) for report in new.reports)
    reasons = "".join(f"; {report.path} is {report.no_list}" for report in new.reports if report.no_list)
    return f"there is no rule in any list; {skipped} lines were skipped{reasons}"


def _is_from(reports: Sequence[FileReport], files: Plan, url_cache: UrlCache | None) -> bool:
    """Tell whether rules read now would be those of the reports: the same files with the same bytes."""
    try:
        places = [(name, file) for name, found in files.items() for file in found]
        digests = {path: digest_of(Path(path)) for path in {file.path for _, file in places if not file.pending}}
        now = [
            (
                *(
                    name,
                    file.source,
                    file.shown,
                    file.format,
                    file.selector,
                    file.patterns,
                    list(file.url_prefixes or ()),
                ),
                "" if file.pending else digests[file.path],
            )
            for name, file in places
        ]
        included = all(_is_included_as_before(report, url_cache) for report in reports if report.included)
    except ListError:
        return False
    return included and now == [
        (
            *(
                report.list_name,
                report.source,
                report.path,
                report.asked,
                report.selector,
                report.patterns,
                report.limits,
            ),
            report.digest,
        )
        for report in reports
        if not report.included
    ]


def _is_included_as_before(report: FileReport, url_cache: UrlCache | None) -> bool:
    path = Path(report.file)
    if report.url:
        if url_cache is None:
            return False
        path = url_cache.path(report.url)
        is_there = os.path.lexists(path)
        if report.pending or not is_there:
            return report.pending and not is_there
    return digest_of(path) == report.digest
