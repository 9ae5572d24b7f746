"""URLs are fetched again and again; owns the thread "refresh", which starts with the first URL: one asyncio loop.

Each URL has a task: it waits for its time, fetches into a file aside, lets a child count what is in it, and only then
is it the new copy, or held back, or thrown away. Whoever reads the lists sees whole copies only. Nothing a server does
can do more than leave the copy as it is.
"""

import asyncio
import contextlib
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from dnstap_bgp.core.lists import plausible
from dnstap_bgp.core.lists.source import Fetching, ListSource, is_url
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists import compiler
from dnstap_bgp.workers.lists.copies import Copies, Held, State, shown
from dnstap_bgp.workers.lists.files import Place, SourceReport, digest_of
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.thread import CrashHandler, worker_thread

if TYPE_CHECKING:
    import aiohttp

    from dnstap_bgp.workers.lists.fetch import Fetched

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""Fetches at the same time: a start with fifty URLs shall not fill a line, nor the machine with counting children."""

JITTER = 0.1
"""The share of an interval that each wait is moved by, at random."""

RETRY_S = 30.0
"""After a first failure; then twice as long each time, up to the interval."""

WAKE_S = 60.0
"""The loop's clock stands still while the machine sleeps; ours doesn't, so it is looked at this often."""

NewsHandler: TypeAlias = Callable[[bool], None]
"""Told after each look at a URL, in the refresh thread, whether its copy changed; must not block."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A URL and what its list says of it; the first list, if it stands in several."""

    url: str
    format: str
    fetching: Fetching
    shrink_max: float | None
    growth_max: float | None


class Refresher:
    """Keeps the copies of URLs up to date."""

    def __init__(self, kept: Copies, on_news: NewsHandler, on_crash: CrashHandler) -> None:
        self._kept = kept
        self._on_news = on_news
        self._on_crash = on_crash
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # of the thread, while it runs
        self._poke = asyncio.Event()
        self._followed: dict[str, Followed] = {}
        self._look_now = False
        self._stopping = False

    def follow(self, lists: Sequence[ListSource], *, look_now: bool = False) -> None:
        """Fetch the URLs of these lists from now on, and no others; for one thread, which owns this.

        Args:
            lists: All of them.
            look_now: Look at each at once, not when its time comes.
        """
        followed: dict[str, Followed] = {}
        for source in lists:
            for url in filter(is_url, source.sources):
                followed.setdefault(
                    url, Followed(url, source.format, source.fetching, source.shrink_max, source.growth_max)
                )
        self._followed = followed
        self._look_now = look_now
        if self._thread is not None:
            self._wake()
        elif followed:
            self._kept.clean(followed)
            self._thread = worker_thread("refresh", self._run, self._on_crash)
            self._thread.start()

    def shutdown(self) -> None:
        """Ask the thread to end; returns at once."""
        self._stopping = True
        self._wake()

    def join(self, deadline_s: float) -> None:
        """Wait for the thread's end, at most so long."""
        if self._thread is not None:
            self._thread.join(deadline_s)

    def _wake(self) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(self._poke.set)

    # -- in the thread

    def _run(self) -> None:
        try:
            # Here, for a quarter of a second and 15 MB that nobody without a URL needs.
            from dnstap_bgp.workers.lists import fetch  # noqa: PLC0415
        except ImportError as error:
            logger.error("URLs can't be fetched, their last copies are used: %s", error)
            return
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._serve(fetch.session))

    async def _serve(self, session: "Callable[[], aiohttp.ClientSession]") -> None:
        tasks: dict[Followed, asyncio.Task[None]] = {}
        pokes: dict[Followed, asyncio.Event] = {}
        room = asyncio.Semaphore(AT_ONCE)
        async with session() as web:
            while not self._stopping:
                followed = set(self._followed.values())
                for gone in tasks.keys() - followed:
                    await _end(tasks.pop(gone))
                for new in followed - tasks.keys():
                    pokes[new] = asyncio.Event()
                    tasks[new] = asyncio.create_task(self._keep(web, new, room, pokes[new]))
                if self._look_now:
                    self._look_now = False
                    for one in followed:
                        pokes[one].set()
                await _first(self._poke, tasks.values())
                self._poke.clear()
            for task in tasks.values():
                await _end(task)

    async def _keep(
        self, web: "aiohttp.ClientSession", one: Followed, room: asyncio.Semaphore, poke: asyncio.Event
    ) -> None:
        """Look at one URL for ever."""
        wait_s = self._first_wait_s(one)
        while True:
            await _until(process_clock() + wait_s, poke)
            async with room:
                state, changed = await self._look(web, one)
            self._on_news(changed)
            wait_s = _wait_s(one, state)

    def _first_wait_s(self, one: Followed) -> float:
        """As if we had never stopped: a restart is no reason to ask the server again."""
        state = self._kept.state(one.url)
        age_s = time.time() - state.checked
        if state.error or not state.digest or age_s < 0 or _stale(self._kept.path(one.url), one.fetching.sha256):
            return 0.0
        return max(0.0, _wait_s(one, state) - age_s)

    async def _look(self, web: "aiohttp.ClientSession", one: Followed) -> tuple[State, bool]:
        """Fetch once; what is known then, and whether the copy is another one."""
        before = self._kept.state(one.url)
        try:
            handle, scratch = self._kept.scratch()
            try:
                with FileIO(handle, "w") as output:
                    changed = await self._fetch(web, one, output, scratch)
            finally:
                scratch.unlink(missing_ok=True)
        except (ListError, OSError) as error:
            reason, changed = str(error), False
            state = replace(before, error=reason, failures=before.failures + 1)
            with contextlib.suppress(OSError):  # a full disk: what is wrong with it is in the reason
                state = self._kept.update(one.url, lambda now: replace(now, error=reason, failures=now.failures + 1))
        else:
            state = replace(before, error=None, failures=0)
            with contextlib.suppress(OSError):
                state = self._kept.update(one.url, _succeeded)
        self._log(one, before, state, changed=changed)
        return state, changed

    async def _fetch(self, web: "aiohttp.ClientSession", one: Followed, output: FileIO, scratch: Path) -> bool:
        """Fetch into a file, judge it, and put it where it belongs.

        Returns:
            Whether the copy is another one.

        Raises:
            ListError: Nothing usable came.
            OSError: It can't be kept.
        """
        from dnstap_bgp.workers.lists import fetch  # noqa: PLC0415 - see `_run`

        state = self._kept.state(one.url)
        current = _digest(self._kept.path(one.url))
        # What doesn't match the pin must come again, even if the server says that it is still the newest.
        have = current is not None and one.fetching.sha256 in (None, current)
        known = fetch.Conditions(state.etag, state.last_modified) if have else fetch.Conditions()
        came = await fetch.fetch(web, one.url, known, one.fetching.max_bytes, output)
        if came is None:
            return self._reconsider(one, state)
        os.fsync(output.fileno())  # lest a power cut after the rename leave an empty copy
        if one.fetching.sha256 not in (None, came.digest):
            raise ListError(f"its SHA-256 is {came.digest}, another one is pinned (sha256)")
        if came.digest == current:
            self._kept.update(one.url, lambda now: _tagged(replace(now, digest=came.digest, held=None), came))
            return False
        count = await self._judge(one, came, scratch)
        reason = plausible.refusal(state.rules, count, one.shrink_max, one.growth_max, shrink_from=0)
        if reason is not None and current is not None and one.fetching.sha256 is None:
            held = Held(came.digest, count, reason, time.time())
            if state.held is not None and state.held.digest == came.digest:
                held = replace(held, since=state.held.since)
            self._kept.hold(one.url, scratch, lambda now: _tagged(replace(now, held=held), came))
            return False
        fresh = State(digest=came.digest, rules=count, fetched=time.time())
        self._kept.accept(one.url, scratch, lambda _: _tagged(fresh, came))
        return True

    async def _judge(self, one: Followed, came: "Fetched", scratch: Path) -> int:
        """Count what a fetched file gives.

        Raises:
            ListError: It is no list.
        """
        if came.html:
            raise ListError("it is an HTML page, not a list")
        report = await _count(Place(one.url, str(scratch), shown(one.url), one.format))
        if report.error is not None:
            raise ListError(report.error)
        count = report.rules + report.prefixes
        if not count:
            skipped = report.complaints + sum(report.skipped.values())
            raise ListError(f"there is no rule in it; {skipped} lines were skipped")
        if report.complaints > count:
            raise ListError(
                f"it has {report.complaints} malformed lines and only {count} rules: {report.examples[0].reason}"
            )
        return count

    def _reconsider(self, one: Followed, state: State) -> bool:
        """Nothing is newer than what is held back, but what a list may lose or gain was changed, perhaps."""
        if state.held is None:
            return False
        reason = plausible.refusal(state.rules, state.held.rules, one.shrink_max, one.growth_max, shrink_from=0)
        return reason is None and self._kept.release(one.url)

    def _log(self, one: Followed, before: State, state: State, *, changed: bool) -> None:
        """Say what is new: a failure or a version held back is told once."""
        name = shown(one.url)
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


def _succeeded(state: State) -> State:
    return replace(state, checked=time.time(), error=None, failures=0)


def _tagged(state: State, came: "Fetched") -> State:
    return replace(state, etag=came.conditions.etag, last_modified=came.conditions.last_modified)


def _wait_s(one: Followed, state: State) -> float:
    interval_s = one.fetching.interval_s
    if state.failures:
        interval_s = min(interval_s, RETRY_S * 2 ** min(state.failures - 1, 20))
    return interval_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load


def _stale(copy: Path, pinned: str | None) -> bool:
    """Whether there is no copy, or another one than is pinned."""
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
            await asyncio.wait_for(poke.wait(), min(left_s, WAKE_S))
    poke.clear()


async def _first(poke: asyncio.Event, tasks: "Collection[asyncio.Task[None]]") -> None:
    """Wait to be poked; what a task raises on its way is a crash of the thread."""
    waiting = asyncio.ensure_future(poke.wait())
    try:
        done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()
    finally:
        waiting.cancel()


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _count(place: Place) -> SourceReport:
    """Let a child count what a file gives: seconds for a million lines, in which it would hold the GIL here.

    Raises:
        ListError: It was killed or failed.
        OSError: There is no child.
    """
    child = await asyncio.create_subprocess_exec(
        *compiler.command(),
        stdin=asyncio.subprocess.PIPE,  # never ours: the host's answers come there
        stdout=asyncio.subprocess.PIPE,
        env=compiler.environment(),
        process_group=0,  # as in `loader`
    )
    try:
        output, _ = await asyncio.wait_for(child.communicate(compiler.counting_job(place)), compiler.TIME_LIMIT_S)
        return compiler.counted(output)
    except (TimeoutError, ValueError, TypeError, KeyError) as error:
        raise ListError(f"its lines could not be counted (status {child.returncode})") from error
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
