"""Refresher of lists from URLs: each is fetched again and again, in the thread "loop", from the first URL on.

Each URL has a task: it waits for its time, fetches into a file aside, lets a child count what is in it, and only then
is it the new copy, or held back, or thrown away. Whoever reads the lists sees whole copies only. Nothing a server does
can do more than leave the copy as it is. What touches the disk, or hashes, is done by a thread of its own beside the
loop, "lists-disk", one thing after the other: others' conversations wait for none of it.
"""

import asyncio
import contextlib
import logging
import os
import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeAlias, TypeVar

from dnstap_bgp.core.lists import plausibility
from dnstap_bgp.core.lists.plausibility import SourceContent
from dnstap_bgp.core.lists.source import NOT_SAID, Fetching, ListSource, UrlPrefixes, is_url
from dnstap_bgp.core.timing import backoff_s
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists import compile_job
from dnstap_bgp.workers.lists.file_reports import FileReport, content_of
from dnstap_bgp.workers.lists.files import INCLUDE_DEPTH_MAX, INCLUDES_MAX, SourceFile, digest_of, included_url
from dnstap_bgp.workers.lists.url_cache import HeldVersion, UrlCache, UrlState, shown_url
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.loop import Loop, in_executor, supervise

if TYPE_CHECKING:
    import aiohttp

    from dnstap_bgp.workers.lists.fetch import Fetched

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""Fetches at the same time: a start with fifty URLs shall not fill a line, nor the machine with counting children."""

JITTER = 0.1
"""The share of an interval that each wait is moved by, at random."""

RETRY_S = 30.0
"""Seconds to wait after a first failure; then twice as long each time, up to the interval."""

WAKE_S = 60.0
"""Seconds between looks at the clock: the loop's own stands still while the machine sleeps; ours doesn't."""

NewsHandler: TypeAlias = Callable[[bool], None]
"""Called after each look at a URL, in the loop's thread, with whether its copy changed; must not block."""


_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class FollowedUrl:
    """A URL and what its list says of it; the first list, if it stands in several.

    Attributes:
        selectors: The parts of it that all lists together have; `("",)`: all of it.
    """

    url: str
    format: str
    fetching: Fetching
    shrink_max: float | None
    growth_max: float | None
    url_prefixes: UrlPrefixes = NOT_SAID
    selectors: tuple[str, ...] = ("",)


class Refresher:
    """Scheduler of fetches that keeps the copies of URLs up to date."""

    def __init__(self, url_cache: UrlCache, on_news: NewsHandler, loop: Loop) -> None:
        self._url_cache = url_cache
        self._on_news = on_news
        self._loop = loop
        self._service: Future[None] | None = None
        self._disk = ThreadPoolExecutor(1, "lists-disk")
        self._poke = asyncio.Event()
        self._followed: dict[str, FollowedUrl] = {}
        self._look_now = False

    def follow(self, lists: Sequence[ListSource], *, look_now: bool = False) -> None:
        """Fetch the URLs of these lists from now on, and no others; for one thread, which owns this.

        Args:
            lists: All of them.
            look_now: Look at each at once, not when its time comes.
        """
        followed: dict[str, FollowedUrl] = {}
        for source in lists:
            for url, selector in map(source.located, filter(is_url, source.sources)):
                fresh = FollowedUrl(
                    url,
                    source.format,
                    source.fetching,
                    source.shrink_max,
                    source.growth_max,
                    source.url_prefixes,
                    (selector,),
                )
                known = followed.setdefault(url, fresh)
                selectors = tuple(sorted({*known.selectors, selector}))
                followed[url] = replace(known, selectors=selectors)
        self._followed = followed
        self._look_now = look_now or self._look_now  # what was asked for and has not begun yet still stands
        if self._service is not None:
            self._loop.call(self._poke.set)
        elif followed:
            self._start(self._with_included())

    def shutdown(self) -> None:
        """End all fetches; returns at once."""
        if self._service is not None:
            self._service.cancel()

    def _start(self, urls: Iterable[str]) -> None:
        self._url_cache.clean(urls)
        try:
            # Here, for a quarter of a second and 15 MB that nobody without a URL needs.
            from dnstap_bgp.workers.lists import fetch  # noqa: PLC0415
        except ImportError as error:
            logger.error("URLs can't be fetched, their last copies are used: %s", error)
            return
        self._service = self._loop.run("lists", partial(self._serve, fetch.session))

    # -- in the loop

    async def _serve(self, session: "Callable[[], aiohttp.ClientSession]") -> None:
        tasks: dict[FollowedUrl, asyncio.Task[None]] = {}
        pokes: dict[FollowedUrl, asyncio.Event] = {}
        room = asyncio.Semaphore(AT_ONCE)
        try:
            async with session() as web:
                while True:
                    self._poke.clear()
                    # taken before what is followed: what `follow` says meanwhile is for the next round
                    look_now, self._look_now = self._look_now, False
                    followed = set((await self._on_disk(self._with_included)).values())
                    for gone in tasks.keys() - followed:
                        del pokes[gone]  # a list's server could name others to include with each look
                        await _end(tasks.pop(gone))
                    for new in followed - tasks.keys():
                        pokes[new] = asyncio.Event()
                        keep = partial(self._keep, web, new, room, pokes[new])
                        tasks[new] = asyncio.create_task(supervise(shown_url(new.url), keep))
                    if look_now:
                        for one in followed:
                            pokes[one].set()
                    await self._poke.wait()
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _keep(
        self, web: "aiohttp.ClientSession", one: FollowedUrl, room: asyncio.Semaphore, poke: asyncio.Event
    ) -> None:
        """Look at one URL for ever."""
        wait_s = await self._on_disk(self._first_wait_s, one)
        while True:
            await _until(process_clock() + wait_s, poke)
            async with room:
                state, changed = await self._look(web, one)
            if changed:
                self._poke.set()  # it may include others now
            self._on_news(changed)
            wait_s = _wait_s(one, state)

    def _with_included(self) -> dict[str, FollowedUrl]:
        """Add the URLs of files that copies include, at any depth, each with the settings of the one that does.

        A pinned URL's includes don't count: what they give is not pinned.
        """
        followed = self._followed
        found = dict(followed)
        level = list(followed.values())
        for _ in range(INCLUDE_DEPTH_MAX):
            level = [new for one in level for new in self._included(one) if new.url not in found]
            for new in level:
                if len(found) < len(followed) + INCLUDES_MAX:
                    found.setdefault(new.url, new)
        return found

    def _included(self, one: FollowedUrl) -> list[FollowedUrl]:
        if one.fetching.sha256 is not None:
            return []
        state = self._url_cache.state(one.url)
        return [replace(one, url=included_url(one.url, name), format=state.format) for name in state.includes]

    def _first_wait_s(self, one: FollowedUrl) -> float:
        """Work out the wait after a start as if we had never stopped: no restart makes us ask a server again."""
        state = self._url_cache.state(one.url)
        age_s = time.time() - state.checked
        if state.error or not state.digest or age_s < 0 or _stale(self._url_cache.path(one.url), one.fetching.sha256):
            return 0.0
        return max(0.0, _wait_s(one, state) - age_s)

    async def _look(self, web: "aiohttp.ClientSession", one: FollowedUrl) -> tuple[UrlState, bool]:
        """Fetch once; what is known then, and whether the copy is another one."""
        before = await self._on_disk(self._url_cache.state, one.url)
        scratch = _FetchedFile(self._url_cache)
        try:
            try:
                await self._on_disk(scratch.open)
                changed = await self._fetch(web, one, scratch)
            finally:
                await self._on_disk(scratch.discard)
        except (ListError, OSError) as error:
            reason, changed = str(error), False
            state = replace(before, error=reason, failures=before.failures + 1)
            with contextlib.suppress(OSError):  # a full disk: what is wrong with it is in the reason
                state = await self._on_disk(
                    self._url_cache.update,
                    one.url,
                    lambda now: replace(now, error=reason, failures=now.failures + 1),
                )
        else:
            state = replace(before, error=None, failures=0)
            with contextlib.suppress(OSError):
                state = await self._on_disk(self._url_cache.update, one.url, _succeeded)
        self._log(one, before, state, changed=changed)
        return state, changed

    async def _fetch(self, web: "aiohttp.ClientSession", one: FollowedUrl, scratch: "_FetchedFile") -> bool:
        """Fetch into a file, judge it, and put it where it belongs.

        Returns:
            Whether the copy is another one.

        Raises:
            ListError: Nothing usable came.
            OSError: It can't be kept.
        """
        from dnstap_bgp.workers.lists import fetch  # noqa: PLC0415 - see `_start`

        state = await self._on_disk(self._url_cache.state, one.url)
        current = await self._on_disk(_digest, self._url_cache.path(one.url))
        # What doesn't match the pin must come again, even if the server says that it is still the newest.
        have = current is not None and one.fetching.sha256 in (None, current)
        known = fetch.Conditions.sendable(state.etag, state.last_modified) if have else fetch.Conditions()
        came = await fetch.fetch(web, one.url, known, one.fetching.max_bytes, scratch.output, disk=self._disk)
        if came is None:
            return await self._on_disk(self._reconsider, one, state)
        await self._on_disk(scratch.sync)
        if one.fetching.sha256 not in (None, came.digest):
            raise ListError(f"its SHA-256 is {came.digest}, another one is pinned (sha256)")
        if came.digest == current:
            # A state that isn't the copy's is of before a power cut, or empty since: who trusted it would never again
            # look for what the copy includes, and judge the next version by another one's rules.
            fresh = await self._counted(one, came, scratch.path) if state.digest != current else None
            await self._on_disk(
                self._url_cache.update,
                one.url,
                lambda now: _tagged(replace(fresh or now, digest=came.digest, held=None), came),
            )
            if fresh is not None:
                self._poke.set()
            return False
        reports, broken = await self._judge(one, came, scratch.path)
        content = content_of(reports)
        before = await self._content_before(one, state) if current is not None else _content(state)
        reason = broken or plausibility.refusal(before, content, one.shrink_max, one.growth_max, shrink_from=0)
        if broken is not None and (current is None or one.fetching.sha256 is not None):
            raise ListError(f"it {broken}")
        if reason is not None and current is not None and one.fetching.sha256 is None:
            held = HeldVersion(
                came.digest, content.rules, reason, time.time(), content.prefixes, is_broken=broken is not None
            )
            if state.held is not None and state.held.digest == came.digest:
                held = replace(held, since=state.held.since)
            await self._on_disk(
                self._url_cache.hold, one.url, scratch.path, lambda now: _tagged(replace(now, held=held), came)
            )
            return False
        accepted = _state_of(one, came, reports)
        await self._on_disk(self._url_cache.accept, one.url, scratch.path, lambda _: _tagged(accepted, came))
        return True

    async def _counted(self, one: FollowedUrl, came: "Fetched", scratch: Path) -> UrlState | None:
        """Count what a fetched file gives that is the copy in use already; None: it is no list, as a person wants it.

        Raises:
            ListError: It can't be read, or has too much.
        """
        reports, broken = await self._judge(one, came, scratch)
        return _state_of(one, came, reports) if broken is None else None

    async def _on_disk(
        self, function: Callable[_Params, _Result], *args: _Params.args, **kwargs: _Params.kwargs
    ) -> _Result:
        return await in_executor(self._disk, function, *args, **kwargs)

    async def _judge(self, one: FollowedUrl, came: "Fetched", scratch: Path) -> tuple[list[FileReport], str | None]:
        """Count what a fetched file gives: a report for each of its selectors, and why it is no list; None: it is one.

        Raises:
            ListError: It can't be read, or has too much.
        """
        if came.html:
            return [], "is an HTML page, not a list"
        reports = await _count(_places(one, scratch))
        for report in reports:
            if report.error is not None:
                raise ListError(report.error)
            if report.wide:
                raise ListError(report.wide)
        content = content_of(reports)
        if content.no_list:
            return reports, f"is {content.no_list}"
        if not content.rules and not any(report.includes for report in reports):
            skipped = sum(report.complaints + sum(report.skipped.values()) for report in reports)
            return reports, f"has no rule in it; {skipped} lines were skipped"
        if content.malformed > content.rules:
            bad = f"{content.malformed} malformed lines and only {content.rules} rules"
            return reports, f"has {bad}: {content.example}"
        return reports, None

    async def _content_before(self, one: FollowedUrl, state: UrlState) -> SourceContent:
        """Give the copy's content in numbers; counted anew where other parts of it were asked for before."""
        if state.selectors == _kept(one.selectors):
            return _content(state)
        try:
            return content_of(await _count(_places(one, self._url_cache.path(one.url))))
        except ListError:
            return SourceContent(0)

    def _reconsider(self, one: FollowedUrl, state: UrlState) -> bool:
        """Judge the version held back anew, where nothing newer came: the list's limits may have been changed."""
        if state.held is None or state.held.is_broken or state.selectors != _kept(one.selectors):
            return False
        reason = plausibility.refusal(
            _content(state), _content(state.held), one.shrink_max, one.growth_max, shrink_from=0
        )
        return reason is None and self._url_cache.release(one.url)

    def _log(self, one: FollowedUrl, before: UrlState, state: UrlState, *, changed: bool) -> None:
        """Log what is new: a failure or a version held back is told once."""
        name = shown_url(one.url)
        if state.error is not None:
            if state.error != before.error:
                instead = "the last copy is used" if state.digest else "and there is no copy yet"
                logger.warning("%s: not fetched, %s: %s", name, instead, state.error)
            return
        if before.error is not None:
            logger.info("%s: is fetched again, after %d failures", name, before.failures)
        if state.held is not None and (before.held is None or before.held.digest != state.held.digest):
            logger.warning(
                "%s: a new version is held back, for it %s; `dnstap-bgp reload --force` takes it",
                name,
                state.held.reason,
            )
        if changed:
            logger.info("%s: a new version with %d rules", name, state.rules)


class _FetchedFile:
    """File that a version is fetched into; its methods block.

    Attributes:
        output: Takes the content.
        path: Where it is; moved away by whoever keeps the version.
    """

    def __init__(self, url_cache: UrlCache) -> None:
        self._url_cache = url_cache
        self._opened: tuple[FileIO, Path] | None = None

    @property
    def output(self) -> FileIO:
        assert self._opened is not None
        return self._opened[0]

    @property
    def path(self) -> Path:
        assert self._opened is not None
        return self._opened[1]

    def open(self) -> None:
        """Make the file.

        Raises:
            OSError: There is no room, or no such directory can be made.
        """
        handle, path = self._url_cache.scratch()
        self._opened = FileIO(handle, "w"), path

    def sync(self) -> None:
        """Have the disk take it, lest a power cut after the rename leave an empty copy."""
        os.fsync(self.output.fileno())

    def discard(self) -> None:
        """Close the file, and remove it unless it was kept."""
        if self._opened is not None:
            self.output.close()
            self.path.unlink(missing_ok=True)


def _places(one: FollowedUrl, path: Path) -> list[SourceFile]:
    """Give the parts of a file that is or may be the copy of a URL."""
    place = SourceFile(one.url, str(path), shown_url(one.url), one.format, url=one.url, url_prefixes=one.url_prefixes)
    return [place._replace(selector=selector) for selector in one.selectors]


def _state_of(one: FollowedUrl, came: "Fetched", reports: Sequence[FileReport]) -> UrlState:
    """Make the state of a fetched version that comes into use."""
    content = content_of(reports)
    return UrlState(
        digest=came.digest,
        rules=content.rules,
        fetched=time.time(),
        prefixes=content.prefixes,
        includes=tuple(reports[0].includes),
        format=reports[0].format,
        selectors=_kept(one.selectors),
    )


def _kept(selectors: tuple[str, ...]) -> tuple[str, ...]:
    """Give selectors as a state has them: none where all of a file counts."""
    return () if selectors == ("",) else selectors


def _content(known: UrlState | HeldVersion) -> SourceContent:
    """Give a version's content in numbers, as far as they are kept."""
    return SourceContent(known.rules, known.prefixes)


def _succeeded(state: UrlState) -> UrlState:
    """Note a look that gave something; in place of a list it is looked again soon, as after a failure."""
    failures = state.failures + 1 if state.held is not None and state.held.is_broken else 0
    return replace(state, checked=time.time(), error=None, failures=failures)


def _tagged(state: UrlState, came: "Fetched") -> UrlState:
    return replace(state, etag=came.conditions.etag, last_modified=came.conditions.last_modified)


def _wait_s(one: FollowedUrl, state: UrlState) -> float:
    interval_s = one.fetching.interval_s
    if state.failures:
        interval_s = backoff_s(state.failures - 1, RETRY_S, interval_s)
    return interval_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load


def _stale(copy: Path, pinned: str | None) -> bool:
    """Tell whether there is no copy, or another one than is pinned."""
    digest = _digest(copy)
    return digest is None or pinned not in (None, digest)


def _digest(copy: Path) -> str | None:
    try:
        return digest_of(copy)
    except ListError:
        return None


async def _until(due: float, poke: asyncio.Event) -> None:
    """Wait for a time of the process clock, or to be poked."""
    while not poke.is_set() and (left_s := due - process_clock()) > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(left_s, WAKE_S)):  # `wait_for` of Python 3.11 may swallow a cancellation
                await poke.wait()
    poke.clear()


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _count(places: Sequence[SourceFile]) -> list[FileReport]:
    """Let a child count what files give: seconds for a million lines, in which it would hold the GIL here.

    Raises:
        ListError: It was killed or failed.
        OSError: There is no child.
    """
    child = await asyncio.create_subprocess_exec(
        *compile_job.command(),
        stdin=asyncio.subprocess.PIPE,  # never ours: the host's answers come there
        stdout=asyncio.subprocess.PIPE,
        env=compile_job.environment(),
        process_group=0,  # as in `loader`
    )
    try:
        async with asyncio.timeout(compile_job.TIME_LIMIT_S):
            output, _ = await child.communicate(compile_job.counting_job(places))
        return compile_job.counted(output)
    except (TimeoutError, ValueError, TypeError, KeyError) as error:
        raise ListError(f"its lines could not be counted (status {child.returncode})") from error
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
