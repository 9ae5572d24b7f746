"""Hub of the sync, in the thread "loop": what transports bring is merged, and what is news is told on.

Strategy: the table decides what is news (`RouteTable.merge`, `RouteTable.remind`); `core.sync.delta` says why nothing
can go round in circles. News are written down once, as frames of the replication log, with the node that they came
from; whoever follows has a place in it. Who falls out of it walks through everything: so memory is bounded whatever a
peer does or doesn't do.

Merging takes the keeper's lock for a millisecond at a time, and the loop is left to others between.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple
from uuid import uuid4

from dnstap_bgp.core.model import BY_HAND, Claim
from dnstap_bgp.core.sync import delta
from dnstap_bgp.core.sync.delta import CLAIMS_MAX, TOLERANCE_S
from dnstap_bgp.core.sync.replication_log import ReplicationLog
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.state.store import Store

OURS = ""
"""The source of our own sightings."""

MERGE_AT_ONCE = 200
"""Claims: 2 ms of the loop, half of it with the lock."""

GATHER_S = 0.05
"""News of peers wait so long for others to share a frame: nobody sees it, and a burst costs a tenth."""

REFRESH_S = 2.0
"""Refreshes of our own wait so long for others: a packet for each would be five times its bytes. Nobody waits for them,
since whoever holds the claim still has half of its lifetime (`RouteTable.remind`)."""

REFRESH_TTL_S = 20 * REFRESH_S
"""Claims with a shorter lifetime don't wait."""

FRESH_S = 5.0
"""What was first seen so lately is new to peers: the timer brings it within a quarter of a second, the rest is load."""

REMIND_S = 0.5
"""Between two looks for refreshes that peers should know of. The shortest TTL is 1 s."""

FED_MAX = 300_000
"""Claims that may wait to be written down: more than the replication log holds. Beyond it everything is walked."""

LEARNT_MAX = 1_000
"""What an eye or a socket follows in a quarter of a second."""

BURST_BYTES = 1 << 16
"""What a follower gets in one piece."""


class Delivered(NamedTuple):
    """Outcome of a merge: how many claims were news, known, refused."""

    taken: int = 0
    known: int = 0
    refused: int = 0


class Hub:
    """Hub of all transports; for the loop's thread, but for `feed`, `learnt` and `call`.

    Attributes:
        node: Who we are on the wire: 16 hexadecimal digits of this process.
        replication_log: What was news here.
        turn: Held by the transports at work: a configuration's after the other's.
    """

    def __init__(self, keeper: Keeper, store: Store | None) -> None:
        self.node = uuid4().hex[:16]
        self.replication_log = ReplicationLog()
        self.turn = asyncio.Lock()
        self._keeper = keeper
        self._store = store
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fed: deque[tuple[str, Sequence[Claim]]] = deque()
        self._fed_claims = 0
        self._refreshes: list[Claim] = []
        self._learnt: deque[Claim] = deque(maxlen=LEARNT_MAX)
        self._has_fed = asyncio.Event()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Write news down, and look for what peers must be reminded of, until cancelled."""
        self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as group:  # a fault in either is one of the service
                group.create_task(self._remind())
                group.create_task(self._write())
        finally:
            self._loop = None

    # -- for transports

    async def deliver(self, source: str, claims: Sequence[Claim]) -> Delivered:
        """Merge what a peer has seen.

        Args:
            source: The node that told, or a name for it that no other has.
            claims: Clean names and addresses; `seen` in our process clock, at the earliest. See `Keeper.merge`.
        """
        total = Delivered()
        for start in range(0, len(claims), MERGE_AT_ONCE):
            part = claims[start : start + MERGE_AT_ONCE]
            merged = self._keeper.merge(part, TOLERANCE_S)
            # The state file first, then the others: what a peer has from us must not be lost with us.
            if merged.news:
                if self._store is not None:
                    self._store.append(claims=merged.news)
                self._note(source, merged.news)
                self._learnt.extend(merged.news)
            taken, refused = len(merged.news), merged.refused
            known = max(0, len(part) - taken - refused)  # a claim of two lists is news twice
            total = Delivered(total.taken + taken, total.known + known, total.refused + refused)
            await asyncio.sleep(0)
        return total

    async def walk(self) -> AsyncIterator[list[Claim]]:
        """Walk through all that is held, in copies, a few hundred at a time."""
        for claims, _ in self._keeper.walk():
            found = [claim for claim in claims if claim.name != BY_HAND]
            if found:
                yield found
            await asyncio.sleep(0)

    def cursor(self, skip: Callable[[str], bool] = bool) -> "LogCursor":
        """Give a place in the replication log: its end.

        Args:
            skip: Which sources' news are not wanted. By default what came from peers: only our own sightings are.
        """
        return LogCursor(self, skip)

    async def changed(self, seq: int, timeout_s: float) -> bool:
        """Wait until the replication log is past a number; False: it isn't."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.replication_log.seq <= seq:
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    # -- any thread

    def feed(self, claims: Sequence[Claim]) -> None:
        """Take our own sightings that are worth telling; what comes before `run` is found by a walk."""
        if claims:
            self.call(partial(self._hear, claims))

    def learnt(self) -> list[Claim]:
        """Take news of peers since the last call, the last `LEARNT_MAX` of them: for whoever watches."""
        found = []
        with suppress(IndexError):
            while True:
                found.append(self._learnt.popleft())
        return found

    def call(self, what: Callable[[], None]) -> None:
        """Have the loop call something, if it runs."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it has just ended
                loop.call_soon_threadsafe(what)

    # -- helpers

    def _hear(self, claims: Sequence[Claim]) -> None:
        """Note what is new at once, and refreshes together with those that come soon."""
        refreshes = [claim for claim in claims if _can_wait(claim)]
        if len(refreshes) < len(claims):
            self._note(OURS, [claim for claim in claims if not _can_wait(claim)])
        if refreshes and not self._refreshes:
            asyncio.get_running_loop().call_later(REFRESH_S, self._note_refreshes)
        self._refreshes += refreshes
        if len(self._refreshes) > CLAIMS_MAX:
            self._note_refreshes()

    def _note_refreshes(self) -> None:
        refreshes, self._refreshes = self._refreshes, []
        if refreshes:
            self._note(OURS, refreshes)

    def _note(self, source: str, claims: Sequence[Claim]) -> None:
        self._fed.append((source, claims))
        self._fed_claims += len(claims)
        # More than anybody could be told one by one: the log's number goes on without frames, so that every position
        # is out of reach, and each follower walks through everything instead.
        if self._fed_claims > FED_MAX:
            self._fed.clear()
            self._fed_claims = 0
            self.replication_log.clear()
            self._wake()
        self._has_fed.set()

    async def _write(self) -> None:
        while True:
            await self._has_fed.wait()
            self._has_fed.clear()
            await asyncio.sleep(GATHER_S)
            await self._write_down()

    async def _write_down(self) -> None:
        """Turn what was noted into frames, those of one source together."""
        while self._fed:
            source, claims = self._fed.popleft()
            while self._fed and self._fed[0][0] == source and len(claims) < CLAIMS_MAX:
                claims = [*claims, *self._fed.popleft()[1]]
            self._fed_claims -= len(claims)
            for start in range(0, len(claims), CLAIMS_MAX):
                part = [claim for claim in claims[start : start + CLAIMS_MAX] if claim.name != BY_HAND]
                if part:
                    self.replication_log.append(source, len(part), partial(delta.encode_claims, part, process_clock()))
                    self._wake()
                await asyncio.sleep(0)

    def _wake(self) -> None:
        # Each waiter holds the event that it began to wait for: setting it and putting a new one in its place wakes
        # all of them once, and none is left waiting for an event that is cleared before it ran.
        self._changed.set()
        self._changed = asyncio.Event()

    async def _remind(self) -> None:
        while True:
            await asyncio.sleep(REMIND_S)
            more = True
            while more:
                more = self._keeper.remind(TOLERANCE_S)
                await asyncio.sleep(0)


def _can_wait(claim: Claim) -> bool:
    """Tell whether peers know a claim already, and have time."""
    return claim.seen - claim.first > FRESH_S and claim.ttl_s > REFRESH_TTL_S


class LogCursor:
    """A place in the replication log, for a transport that wants claims, not frames."""

    def __init__(self, hub: Hub, skip: Callable[[str], bool]) -> None:
        self._hub = hub
        self._skip = skip
        self._seq = hub.replication_log.seq

    async def next(self, timeout_s: float) -> list[Claim] | None:
        """Take news since the last call, a few hundred at a time.

        Args:
            timeout_s: How long to wait for some.

        Returns:
            Claims; [] after the timeout or where all news were skipped; None: too many came, and a walk through
            everything is needed. The cursor goes on from where the call returned.
        """
        log = self._hub.replication_log
        await self._hub.changed(self._seq, timeout_s)
        # No `await` between this look and the read below: frames can't leave the log meanwhile.
        if not log.reaches(self._seq):
            self._seq = log.seq
            return None
        claims: list[Claim] = []
        for record in log.after(self._seq, BURST_BYTES):
            self._seq += 1
            if not self._skip(record.source):
                frame = delta.decode(record.payload)
                assert isinstance(frame, delta.Claims)
                claims += frame.claims
        return claims
