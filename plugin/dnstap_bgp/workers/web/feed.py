"""Live events for whoever watches; no thread of its own. While nobody does, it costs a look at one attribute a tick.

The timer's thread brings what is new, refreshed and ended; in the loop's thread each watcher has a queue of its own.
What a watcher is too slow for is lost to it, and counted; nobody waits for a watcher.
"""

import json
import time
from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.text import name_text, prefix_text
from dnstap_bgp.workers.net.fair_share import crowding
from dnstap_bgp.workers.routes.keeper import Keeper

if TYPE_CHECKING:
    import asyncio

WATCHERS_MAX = 16
"""A few people and their browser tabs; each may hold a queue."""

WATCHERS_HTTP_MAX = 12
"""Of these over TCP: whoever may steer must not be kept out by whoever may only look."""

QUEUE_MAX = 2_000
"""Events that a watcher may be behind: 400 KB."""

TICK_MAX = 1_000
"""Events of one kind in a quarter of a second; of more the rest is only counted: no eye or socket follows."""

_Event = tuple[str, dict[str, Any]]


class Watcher:
    """One who watches; for the loop's thread.

    Attributes:
        owner: Who watches; see `fair_share.owner_of`.
        is_local: Over the control socket.
        is_displaced: Its place is another's by now: it is to end.
        lost: Events since the last `take` that it was too slow for.
    """

    def __init__(self, wake: "asyncio.Event", owner: Hashable = None, *, is_local: bool = False) -> None:
        self.owner = owner
        self.is_local = is_local
        self.is_displaced = False
        self.lost = 0
        self._queue: deque[bytes] = deque()
        self._wake = wake

    def put(self, events: Iterable[bytes], lost: int) -> None:
        """Queue events, and count what is lost to all."""
        self.lost += lost
        for event in events:
            if len(self._queue) < QUEUE_MAX:
                self._queue.append(event)
            else:
                self.lost += 1
        self._wake.set()

    async def wait(self) -> None:
        """Wait for something to take."""
        await self._wake.wait()

    def take(self) -> bytes:
        """Take all that waits, as the lines of `text/event-stream`."""
        self._wake.clear()
        parts = list(self._queue)
        self._queue.clear()
        if self.lost:
            parts.append(encoded("lost", {"count": self.lost}))
            self.lost = 0
        return b"".join(parts)


class EventFeed:
    """Events from the parts to the watchers.

    Attributes:
        lost: Events that some watcher was too slow for, or that were too many, ever.
    """

    def __init__(self, keeper: Keeper) -> None:
        self.lost = 0
        self._keeper = keeper
        self._watchers: tuple[Watcher, ...] = ()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ends = 0

    def __len__(self) -> int:
        """Count those who watch."""
        return len(self._watchers)

    # -- the loop's thread

    def join(self, loop: "asyncio.AbstractEventLoop", watcher: Watcher) -> bool:
        """Begin to watch; False: too many do, and nobody has more than a fair share of the places.

        Args:
            loop: Where events are given out.
            watcher: Who; over TCP it takes no place of the control socket's.
        """
        if not self._make_room(watcher):
            return False
        if not self._watchers:
            self._loop = loop
            self._ends = self._keeper.table.history.ends
            self._keeper.record(on=True)
        self._watchers = (*self._watchers, watcher)
        return True

    def leave(self, watcher: Watcher) -> None:
        """Watch no more; a watcher that was displaced does already, and whoever came in its place may have left."""
        if watcher not in self._watchers:
            return
        self._watchers = tuple(one for one in self._watchers if one is not watcher)
        if not self._watchers:
            self._keeper.record(on=False)

    def tell(self, events: Sequence[_Event], lost: int = 0) -> None:
        """Give all watchers these events."""
        lines = [encoded(kind, data) for kind, data in events]
        for watcher in self._watchers:
            before = watcher.lost
            watcher.put(lines, lost)
            self.lost += watcher.lost - before

    def _make_room(self, newcomer: Watcher) -> bool:
        over_tcp = [one for one in self._watchers if not one.is_local]
        if len(self._watchers) < WATCHERS_MAX and (newcomer.is_local or len(over_tcp) < WATCHERS_HTTP_MAX):
            return True
        rivals = self._watchers if newcomer.is_local else over_tcp
        owner = crowding((one.owner for one in rivals), newcomer.owner)
        if owner is None:
            return False
        displaced = next(one for one in rivals if one.owner == owner)  # the oldest
        displaced.is_displaced = True
        displaced.put((), 0)
        self._watchers = tuple(one for one in self._watchers if one is not displaced)
        return True

    # -- the timer's thread

    def take(self, claims: Sequence[Claim]) -> None:
        """Tell what is new.

        Args:
            claims: `Keeper.news`: those that are new, or whose deadline moved far enough to be recorded.
        """
        if not self._watchers:
            return
        with self._keeper.lock:
            table = self._keeper.table
            ends, past = table.history.ends, table.history.ended_since(self._ends, TICK_MAX)
            touched = {claim.address for claim in claims[:TICK_MAX]} | {one.address for one in past}
            routed = {address for address in touched if table.wanted(address) is not None}
        lost = max(0, len(claims) - TICK_MAX) + ends - self._ends - len(past)
        self._ends = ends
        at = round(time.time(), 3)
        events = [_of_claim(claim, at, routed=claim.address in routed) for claim in claims[:TICK_MAX]]
        for one in past:
            said = _named(one.address, one.list, one.name, at, routed=one.address in routed)
            events.append(("ended", said | {"reason": one.reason}))
        if (events or lost) and self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self.tell, events, lost)


def encoded(kind: str, data: dict[str, Any]) -> bytes:
    """One event of `text/event-stream`; JSON has no line end in it."""
    return f"event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _of_claim(claim: Claim, at: float, *, routed: bool) -> _Event:
    kind = "learnt" if claim.first == claim.seen else "refreshed"
    return kind, _named(claim.address, claim.list, claim.name, at, routed=routed)


def _named(address: bytes, list_name: str, name: bytes, at: float, *, routed: bool) -> dict[str, Any]:
    return {"at": at, "address": prefix_text(address), "list": list_name, "name": name_text(name), "routed": routed}
