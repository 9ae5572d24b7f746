"""Contents of list files: read, unpacked, told apart by format, with the files that they include; no thread.

A file is read whole, so that its digest is that of the very bytes the rules came from. Only the child that compiles,
and commands, import this: the formats that it needs take 1 MB.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dnstap_bgp.core.digest import sha256
from dnstap_bgp.core.lists.formats import FORMATS, HEAD_BYTES, detect, detected, without_base64
from dnstap_bgp.core.lists.inflate import GZIP_MAGIC, Inflate
from dnstap_bgp.core.lists.lines import (
    SELECTOR_BEHIND,
    DocumentReader,
    Format,
    Include,
    Read,
    SkippedKind,
    open_document,
    read_document,
)
from dnstap_bgp.core.lists.plausibility import no_list
from dnstap_bgp.core.lists.source import AUTO
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists.file_reports import FileReport
from dnstap_bgp.workers.lists.files import (
    INCLUDE_DEPTH_MAX,
    INCLUDES_MAX,
    SOURCE_MAX_BYTES,
    SourceFile,
    included_url,
    opened,
)
from dnstap_bgp.workers.lists.source_copies import ReadPlan
from dnstap_bgp.workers.lists.url_cache import UrlCache, shown_url

_AS_THEY_ARE = ReadPlan()

_PIECE_BYTES = 1 << 16  # of a gzip file, unpacked at once


class Shelf:
    """Files that were opened and of which more than one part may be asked for, so that each is read once.

    Attributes:
        max_bytes: Of all of them together; beyond it the longest opened go.
    """

    max_bytes = 128 << 20

    def __init__(self) -> None:
        self._opened: dict[tuple[str, str], tuple[int, str, str, DocumentReader]] = {}

    def find(self, place: SourceFile) -> tuple[str, str, DocumentReader] | None:
        """Find a file: its digest, its format and its reader; None: it has to be opened."""
        found = self._opened.get((place.path, place.format))
        return found[1:] if found is not None else None

    def put(self, place: SourceFile, size: int, digest: str, form: str, reader: DocumentReader) -> None:
        """Keep a file of so many bytes."""
        self._opened[place.path, place.format] = size, digest, form, reader
        while len(self._opened) > 1 and sum(size for size, *_ in self._opened.values()) > self.max_bytes:
            del self._opened[next(iter(self._opened))]


class Content:
    """A file of a list with its content, for as long as it is read.

    Attributes:
        report: Its path, format, digest and error filled in; the rest is for whoever reads it.
        data: Its bytes, if it is read line by line; empty where the report has an error.
        form: How to read them.
    """

    def __init__(self, walk: "_Walk", report: FileReport, file: SourceFile, includes: tuple[Include, ...]) -> None:
        self.report = report
        self.file = file
        self.data = b""
        self.form = FORMATS["plain"]
        self._walk = walk
        self._includes = includes
        self._reader: DocumentReader | None = None

    @property
    def is_document(self) -> bool:
        """True where the file is read as a whole, by `document`, and not line by line."""
        return self._reader is not None

    def load(self, place: SourceFile) -> None:
        """Read the file and tell its format."""
        report = self.report
        if place.pending or place.missing is not None:
            report.error = place.missing
            report.file = ""
            return
        known = self._walk.shelf.find(self._shelved(place))
        if known is not None:
            report.digest, report.format, self._reader = known
            self.form = FORMATS[report.format]
            return
        try:
            packed = _read(place, self._walk.digests, self._walk.read_plan)
            report.digest = sha256(packed).hexdigest()
            if self._walk.read_plan.is_kept and self._walk.read_plan.copies is not None:
                immutable = Path(place.path) if place.url else None
                self._walk.read_plan.copies.keep(report.digest, packed, immutable)
            data = _unpacked(packed)
            report.format = detect(data) if place.format == AUTO else place.format
            self.form = self._form(report.format)
            self._open(place, data)
        except ListError as error:
            report.error = str(error)

    def document(self) -> Iterator[tuple[int, Read]]:
        """Read a file that is more than lines: (place, item). An error ends it, and is in the report."""
        assert self._reader is not None
        try:
            yield from read_document(self._reader, self.file.selector)
        except ListError as error:
            self.report.error = str(error)

    def _open(self, place: SourceFile, data: bytes) -> None:
        """Make the content ready to be read in its format.

        Raises:
            ListError: It can't be read as a whole.
        """
        document = self.form.document
        if document is not None and document.is_read is not None and not document.is_read(data):
            document = None
        if document is None or document.is_text:
            self.report.no_list = no_list(data[:HEAD_BYTES])
        if place.selector and not self.form.selects:
            raise ListError(f"it is read as {self.form.name}, which has no parts: leave #{place.selector} out")
        if self.report.no_list:
            return
        if document is None:
            self.report.has_dots = b"." in data
            self.data = data
            return
        self._reader = open_document(document, data)
        if document.selects == SELECTOR_BEHIND:
            self._walk.shelf.put(self._shelved(place), len(data), self.report.digest, self.form.name, self._reader)

    def _shelved(self, place: SourceFile) -> SourceFile:
        """Give a file as it stands on the shelf, where its copy is another one."""
        digest = self._walk.digests.get(place.path)
        return place if digest is None else place._replace(path=f"copy {digest}")

    def include(self, include: Include) -> None:
        """Have the walk go through another file too."""
        self._walk.add(self, include, (*self._includes, include))

    def end_walk(self) -> None:
        """Go through no more files that are included."""
        self._walk.is_ended = True

    def free(self) -> None:
        """Give the content's memory back."""
        self.data = b""
        self._reader = None

    def _form(self, name: str) -> Format:
        form = detected(name) if self.file.format == AUTO else FORMATS[name]
        if self._includes and form.including is not None:
            return form.including(self._includes)
        return form if form.excepting is None else form.excepting(self._walk.excepted)


def contents(
    list_name: str,
    places: Sequence[SourceFile],
    *,
    follow: bool = True,
    shelf: Shelf | None = None,
    read_plan: ReadPlan = _AS_THEY_ARE,
) -> Iterator[Content]:
    """Go through the files of a list, and those that they include; one is in memory at a time, if it is freed.

    Args:
        list_name: The list's name.
        places: Its files.
        follow: Go through included files, too.
        shelf: Has files that other lists need, too; None: none do.
        read_plan: Which files are read from copies.
    """
    excepted = frozenset[bytes]().union(
        *(_excepted(place, read_plan.digests((list_name, place.source)), read_plan) for place in places)
    )
    shelf = shelf or Shelf()
    for place in places:
        yield from _Walk(list_name, place, excepted, shelf, read_plan, follow=follow)


class _Walk:
    """A walk through a file and those that it includes, each once for each set of filters; their order is no matter."""

    def __init__(
        self,
        list_name: str,
        place: SourceFile,
        excepted: frozenset[bytes],
        shelf: Shelf,
        read_plan: ReadPlan,
        *,
        follow: bool,
    ) -> None:
        self.excepted = excepted
        self.shelf = shelf
        self.read_plan = read_plan
        self.digests = read_plan.digests((list_name, place.source))  # of the copies that are read instead
        self.is_ended = False
        self._follow = follow
        self._list_name = list_name
        self._place = place
        self._seen: set[tuple[str, frozenset[str], frozenset[str]]] = set()  # by path or URL
        self._named: set[tuple[str, str, frozenset[str], frozenset[str]]] = set()  # by folder or URL, and name
        self._todo: list[tuple[SourceFile, tuple[Include, ...]]] = []

    def __iter__(self) -> Iterator[Content]:
        self._todo = [(self._place, ())]
        for place, includes in self._todo:  # grows meanwhile
            report = FileReport(
                self._list_name,
                self._place.source,
                place.shown,
                file=place.path,
                asked=self._place.format,
                included=bool(includes),
                pending=place.pending,
                url=place.url,
                limits=list(place.url_prefixes or ()),
                selector=place.selector,
                patterns=place.patterns,
            )
            content = Content(self, report, place, includes)
            content.load(place)
            yield content
            if self.is_ended:
                return

    def add(self, content: Content, include: Include, includes: tuple[Include, ...]) -> None:
        """Go through an included file too, which is looked for beside the including one: in its folder, or at its URL.

        Args:
            content: The file that includes it; its report gets the error where that can't be.
            include: The included file and its filters.
            includes: All includes on the way, whose filters hold together.
        """
        report = content.report
        if content.file.is_pinned:
            report.skipped[SkippedKind.DIRECTIVE] = report.skipped.get(SkippedKind.DIRECTIVE, 0) + 1
            return
        wanted = frozenset[str]().union(*(each.wanted for each in includes))
        unwanted = frozenset[str]().union(*(each.unwanted for each in includes))
        # By its name first: a file may have millions of such lines, and looking for one on the disk is slow.
        place = content.file.url or str(Path(report.file).parent)
        if (place, include.name, wanted, unwanted) in self._named:
            return
        if len(includes) > INCLUDE_DEPTH_MAX or len(self._named) >= INCLUDES_MAX:
            report.error = f"more than {INCLUDES_MAX} files are included, or more than {INCLUDE_DEPTH_MAX} deep"
            return
        self._named.add((place, include.name, wanted, unwanted))
        if include.name not in report.includes:
            report.includes.append(include.name)
        if not self._follow:
            return
        try:
            file = self._included(content, include.name)
        except (ListError, OSError) as error:
            report.error = report.error or f"include:{include.name}: {error}"
            return
        if (file.url or file.path, wanted, unwanted) not in self._seen:
            self._seen.add((file.url or file.path, wanted, unwanted))
            self._todo.append((file, includes))

    def _included(self, content: Content, name: str) -> SourceFile:
        """Find an included file.

        Raises:
            ListError: It is elsewhere.
            OSError: It can't be looked for.
        """
        by, form = content.file, content.report.format
        if not by.url:
            path = _copied_beside(Path(by.path), name, self.digests) or _beside(Path(by.path), name)
            return SourceFile(path, path, path, form, patterns=by.patterns)
        url = included_url(by.url, name)
        # Copies lie side by side, so the folder of this one is the cache.
        cache = UrlCache(Path(by.path).parent)
        path = str((cache.with_held() if by.with_held else cache).path(url))
        file = SourceFile(by.source, path, shown_url(url), form, url=url, with_held=by.with_held)
        pending = path not in self.digests if self.digests else not Path(path).exists()
        file = file._replace(patterns=by.patterns)
        return file._replace(url_prefixes=by.url_prefixes, pending=pending)


def _read(place: SourceFile, digests: Mapping[str, str], read_plan: ReadPlan) -> bytes:
    """Read a file's bytes, or those of its copy.

    Raises:
        ListError: It can't be read.
    """
    if digests:
        assert read_plan.copies is not None
        return read_plan.copies.read(digests.get(place.path, ""))
    with opened(Path(place.path)) as file:
        return file.read()


def _excepted(place: SourceFile, digests: Mapping[str, str], read_plan: ReadPlan) -> set[bytes]:
    """Collect the exceptions of a file that hold for the whole list, wherever they stand."""
    if not place.path or (place.format != AUTO and FORMATS[place.format].exceptions is None):
        return set()
    try:
        if digests:
            return _exceptions_in(_unpacked(_read(place, digests, read_plan)), place)
        with opened(Path(place.path)) as file:
            head = file.read(HEAD_BYTES)
            is_wrapped = head.startswith(GZIP_MAGIC)
            if place.format == AUTO and not is_wrapped and FORMATS[detect(head)].exceptions is None:
                return set()
            content = _unpacked(head + file.read())
        return _exceptions_in(content, place)
    except ListError:
        return set()  # it is told when the file is read for good


def _exceptions_in(content: bytes, place: SourceFile) -> set[bytes]:
    form = FORMATS[detect(content) if place.format == AUTO else place.format]
    return set() if form.exceptions is None else form.exceptions(content)


def _copied_beside(file: Path, name: str, digests: Mapping[str, str]) -> str | None:
    """Find the path of an included file among those that there are copies of."""
    return next((path for each in (name, name.lower()) if (path := str(file.parent / each)) in digests), None)


def _beside(file: Path, name: str) -> str:
    """Find the path of an included file, which is in the same folder, as links are followed too.

    Raises:
        ListError: It is elsewhere.
        OSError: It can't be looked for.
    """
    folder = file.parent
    path = next((folder / each for each in (name, name.lower()) if (folder / each).exists()), folder / name)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ListError("it leads out of the folder")
    return str(path)


def _unpacked(content: bytes) -> bytes:
    """Give a file's text: unpacked where it is a gzip file, and out of Base64 where a known list is wrapped in it.

    Raises:
        ListError: It is a damaged gzip file, or has too much in it.
    """
    if content.startswith(GZIP_MAGIC):
        inflate = Inflate("", SOURCE_MAX_BYTES)
        # In pieces: zlib copies what it has not read yet, after each step of its output and after each member.
        pieces = (content[at : at + _PIECE_BYTES] for at in range(0, len(content), _PIECE_BYTES))
        content = b"".join(part for piece in pieces for part in inflate.feed(piece))
        inflate.end()
    return without_base64(content)
