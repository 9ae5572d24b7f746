"""Protocol of the Go program: a peer is pulled now and then, and told each sighting that is news; in thread "loop".

The Go program knows one request for each entry, so news gather here, the latest of each address, and go out over a few
connections that stay. What doesn't go out is not lost: it pulls everything from us in its own time.

Its times are those of its wall clock, which each of its answers tells (`Date`): see `core.sync.clock_offset`.
"""

import asyncio
import logging
import random
import time
from collections import OrderedDict

import aiohttp

from dnstap_bgp.core.model import Address, Claim
from dnstap_bgp.core.sync import go_json
from dnstap_bgp.core.sync.clock_offset import offset_by_date
from dnstap_bgp.core.timing import Backoff
from dnstap_bgp.errors import PeerError
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.sync.http_session import CONNECT_S, RETRY_FIRST_S, HttpSession
from dnstap_bgp.workers.sync.hub import MERGE_AT_ONCE, Hub, LogCursor
from dnstap_bgp.workers.sync.listener import FUTURE_MAX_S
from dnstap_bgp.workers.sync.peer import Peer

logger = logging.getLogger(__name__)

PULL_S = 300.0
"""For all of one pull: the Go program encodes its whole cache before the first byte; 100 MB at 1,000,000 entries."""

PUSH_S = 5.0
WAITING_MAX = 10_000
"""Entries that wait for a peer: more than the minute holds that it takes to restart. Beyond it the oldest give way."""

PUSHES_AT_ONCE = 4
"""Connections of one peer."""

CURSOR_S = 60.0
RETRY_MAX_S = 30.0


class GoPeer:
    """Conversation with one peer in the Go program's protocol."""

    def __init__(self, peer: Peer, hub: Hub, session: HttpSession, interval_s: float) -> None:
        """Make it.

        Args:
            peer: Whom with.
            hub: Where what it tells goes, and what it is told comes from.
            session: With all peers.
            interval_s: Between two pulls; 0: only one, at the start.
        """
        self._peer = peer
        self._hub = hub
        self._session = session
        self._interval_s = interval_s
        self._cursor: LogCursor | None = None
        self._waiting: OrderedDict[Address, Claim] = OrderedDict()
        self._pull_at = 0.0
        self._due = asyncio.Event()
        self._backoff = Backoff(RETRY_FIRST_S, RETRY_MAX_S)

    async def run(self) -> None:
        """Pull and push until cancelled; goes on where it was when it is called again."""
        if self._cursor is None:
            self._cursor = self._hub.cursor(lambda source: source in (str(self._peer), self._peer.node or None))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pull_on())
            group.create_task(self._gather(self._cursor))
            for _ in range(PUSHES_AT_ONCE):
                group.create_task(self._push_on())

    def resync(self) -> None:
        """Pull soon."""
        self._pull_at = 0.0

    # -- pulling

    async def _pull_on(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, min(self._pull_at - process_clock(), 1.0)))
            if process_clock() < self._pull_at:
                continue
            try:
                await self._pull()
            except (PeerError, aiohttp.ClientError, OSError, TimeoutError) as error:
                self._peer.failed(self._session.error_text(error))
                self._pull_at = process_clock() + self._backoff.next(random.random())  # noqa: S311 - spreads retries
            else:
                self._backoff.reset()
                self._pull_at = process_clock() + self._interval_s if self._interval_s else float("inf")
                self._peer.heard("following")

    async def _pull(self) -> None:
        peer, asked_s = self._peer, time.time()
        async with self._session.client.get(
            self._session.url(peer, "/fetch"),
            headers=self._session.headers,
            timeout=aiohttp.ClientTimeout(total=PULL_S, connect=CONNECT_S),
            allow_redirects=False,
            trace_request_ctx={},
        ) as response:
            if response.status != 200:
                raise PeerError(f"/fetch answers {response.status}: {response.reason}")
            peer.clock_is(offset_by_date(response.headers.get("Date"), asked_s, time.time()))
            if peer.state != "following":
                peer.heard("loading")
            reader = go_json.EntryReader()
            entries: list[go_json.Entry] = []
            async for chunk in response.content.iter_any():
                for entry in reader.feed(chunk):
                    entries.append(entry)
                    if len(entries) == MERGE_AT_ONCE:
                        await self._take(entries)
                        entries = []
            reader.end()
            await self._take(entries)

    async def _take(self, entries: list[go_json.Entry]) -> None:
        """Merge what it has seen, its times by its clock; what no clock could say is left out."""
        now, wall_s, offset = process_clock(), time.time(), self._peer.offset
        claims = []
        for entry in entries:
            age_s = wall_s - offset.here(entry.wall_s)
            if age_s > -FUTURE_MAX_S:
                seen = min(now, now - age_s)
                claims.append(Claim(entry.address, "", entry.name, seen, seen, 0.0))
        delivered = await self._hub.deliver(str(self._peer), claims)
        self._peer.came(delivered._replace(refused=delivered.refused + len(entries) - len(claims)))

    # -- pushing

    async def _gather(self, cursor: LogCursor) -> None:
        while True:
            claims = await cursor.next(CURSOR_S)
            for claim in claims or ():  # too many: its next pull has them
                known = self._waiting.pop(claim.address, None)
                self._waiting[claim.address] = claim if known is None or known.seen < claim.seen else known
            while len(self._waiting) > WAITING_MAX:
                self._waiting.popitem(last=False)
            if self._waiting:
                self._due.set()

    async def _push_on(self) -> None:
        backoff = Backoff(RETRY_FIRST_S, RETRY_MAX_S)
        while True:
            await self._due.wait()
            if not self._waiting:
                self._due.clear()
                continue
            address, claim = self._waiting.popitem(last=False)
            if claim.seen + claim.ttl_s < process_clock():  # it has waited for too long: nobody checks that there
                continue
            try:
                await self._push(claim)
            except (PeerError, aiohttp.ClientError, OSError, TimeoutError) as error:
                self._peer.failed(self._session.error_text(error))
                self._waiting.setdefault(address, claim)  # unless a later sighting of it waits by now
                await asyncio.sleep(backoff.next(random.random()))  # noqa: S311 - spreads retries
                self._due.set()  # another may have found nothing meanwhile
            else:
                backoff.reset()
                self._peer.given += 1
                self._peer.heard("following")

    async def _push(self, claim: Claim) -> None:
        asked_s = time.time()
        seen_s = self._peer.offset.there(asked_s - (process_clock() - claim.seen))
        async with self._session.client.put(
            self._session.url(self._peer, "/put"),
            data=go_json.write(claim.address, claim.name, seen_s).encode(),
            headers={**self._session.headers, "Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=PUSH_S, connect=CONNECT_S),
            allow_redirects=False,
            trace_request_ctx={},
        ) as response:
            self._peer.clock_is(offset_by_date(response.headers.get("Date"), asked_s, time.time()))
            if response.status >= 500 or response.status in (401, 403, 404, 429):
                raise PeerError(f"/put answers {response.status}: {response.reason}")
