"""A fleet's engine: Redis or Valkey as a carrier, in the thread "loop".

Strategy: a session loads everything, writes everything, then follows the stream and writes what is news. All that can
happen to the engine ends the session, and the next one begins from the start: so an engine that was slow, down,
flushed or failed over is as whole afterwards as its members are, and nothing in here ever takes a claim away. What is
news meanwhile waits in the hub's journal, bounded; the walk at the next start finds it anyway.
"""

import asyncio
import logging
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from typing import Any, TypeAlias
from uuid import uuid4

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from dnstap_bgp.config.engine import EngineConfig
from dnstap_bgp.core.model import Address, Claim
from dnstap_bgp.core.sync import engine
from dnstap_bgp.core.sync.backoff import Backoff
from dnstap_bgp.core.sync.clocks import Offset
from dnstap_bgp.errors import PeerError
from dnstap_bgp.workers.process.bounded_log import BoundedLog
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import one_line
from dnstap_bgp.workers.sync.carrier import PeerStatus
from dnstap_bgp.workers.sync.hub import Cursor, Hub

logger = logging.getLogger(__name__)

SOURCE = "redis"
OLDEST = (7, 0)
"""PEXPIRETIME came with it."""

TIMEOUT_S = 5.0
"""For any answer: one that takes longer is as good as none, and nobody but this carrier waits."""

BLOCK_MS = 1000
CHECK_S = 2.0
"""Between two looks at the engine's clock, epoch and stream."""

BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.5, 30.0

WRITE_AT_ONCE = 200
"""Claims of one script call: 1 ms in which the engine serves nobody else."""

READ_AT_ONCE = 500

FUTURE_MAX_S = 86_400.0
"""A time that is further ahead comes from no clock; less counts as now."""

ERROR_MAX = 300
"""Characters of an error that the status shows."""


_TRIPS = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
"""What redis-py raises where options of the URL are none, or where something answers that is no engine."""

Client: TypeAlias = Any
"""A `Redis`, whose own types are unions of all that its protocols and options may give."""


class _EndedError(Exception):
    """The session has to begin again, for a reason that is no failure of a command."""


class Engine:
    """The carrier: see `carrier.Carrier`."""

    def __init__(self, hub: Hub, config: EngineConfig) -> None:
        self._hub = hub
        self._config = config
        self._status = PeerStatus(config.shown, "redis", "connecting")
        self._addresses: frozenset[Address] = frozenset()
        self._offset = Offset()
        self._at = b"0-0"  # the last entry of the stream that was read
        self._read = 0  # entries of the stream up to it, since the stream began
        self._relearn = asyncio.Event()
        self._log = BoundedLog(logger, process_clock)

    async def run(self) -> None:
        """Sessions, one after the other."""
        backoff = Backoff(BACKOFF_FIRST_S, BACKOFF_MAX_S)
        while True:
            try:
                async with self._connected() as redis:
                    await self._session(redis, backoff)
            except (exceptions.RedisError, OSError, _EndedError) as error:
                self._failed(error)
            except _TRIPS as error:
                self._failed(_EndedError(f"it, or its URL, is not what it should be: {error}"))
            await asyncio.sleep(backoff.next(random.random()))  # noqa: S311 - spreads a fleet, guards nothing

    def relearn(self) -> None:
        """Load everything again."""
        self._relearn.set()

    def status(self) -> list[PeerStatus]:
        """How the engine is."""
        return [self._status]

    def addresses(self) -> frozenset[Address]:
        """What the engine's name means now."""
        return self._addresses

    # -- a session

    async def _session(self, redis: Client, backoff: Backoff) -> None:
        await _require_version(redis)
        epoch = await self._epoch(redis)
        await self._measure(redis)
        self._at, self._read, _ = await _stream(redis)
        cursor = self._hub.cursor(skip=lambda source: source == SOURCE)
        self._set(state="loading")
        await self._load(redis)
        await self._tell_all(redis)
        if self._status.errors:
            self._log.say(logging.INFO, "back", "%s: follows again", self._config.shown)
        self._set(state="following")
        working = [self._follow(redis), self._tell_news(redis, cursor), self._check(redis, epoch, backoff)]
        tasks = [asyncio.create_task(part) for part in working]
        try:  # no TaskGroup: with Python 3.11 its task counts as cancelled for good once a part of it has failed
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _load(self, redis: Client) -> None:
        """Take all claims that the engine holds."""
        cursor = 0
        while True:
            cursor, keys = await _answer(redis.scan(cursor, match=engine.CLAIMS + b"*", count=READ_AT_ONCE))
            if keys:
                values = await _answer(redis.mget(keys))
                # what expired between the two is not there any more
                await self._deliver(
                    partial(engine.read, key, value, self._offset)
                    for key, value in zip(keys, values, strict=True)
                    if value is not None
                )
            if cursor == 0:
                return

    async def _follow(self, redis: Client) -> None:
        """Take what others tell."""
        while True:
            found = await _answer(redis.xread({engine.CHANGES: self._at}, count=READ_AT_ONCE, block=BLOCK_MS))
            self._set(last_contact_s=process_clock())
            for _, entries in found:
                self._at, self._read = entries[-1][0], self._read + len(entries)
                told = [fields.get(b"c", b"") for _, fields in entries if fields.get(b"n") != self._hub.node.encode()]
                await self._deliver(partial(engine.read_change, change, self._offset) for change in told)
                if told:
                    told_s = self._offset.here(int(self._at.partition(b"-")[0]) / 1000)
                    self._set(lag_s=max(0.0, process_clock() - told_s))

    async def _tell_news(self, redis: Client, cursor: Cursor) -> None:
        while True:
            claims = await cursor.next(BLOCK_MS / 1000)
            if claims is None:
                await self._tell_all(redis)
            elif claims:
                await self._tell(redis, claims)

    async def _tell_all(self, redis: Client) -> None:
        async for claims in self._hub.walk():
            await self._tell(redis, claims)

    async def _tell(self, redis: Client, claims: list[Claim]) -> None:
        store = redis.register_script(engine.STORE)
        for start in range(0, len(claims), WRITE_AT_ONCE):
            part = claims[start : start + WRITE_AT_ONCE]
            keys, values = engine.arguments(part, self._offset, self._hub.node)
            given = await _answer(store(keys=keys, args=values))
            self._set(given=self._status.given + given, last_contact_s=process_clock())

    async def _check(self, redis: Client, epoch: bytes, backoff: Backoff) -> None:
        """See whether the engine still is what it was, and whether we keep up with it.

        Only a session that got so far makes the next wait short: each begins with everything, which must not go round.
        """
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._relearn.wait(), CHECK_S)
            if self._relearn.is_set():
                self._relearn.clear()
                await self._load(redis)
            await self._measure(redis)
            read = self._read  # before the answers, for `_follow` goes on meanwhile
            last, added, length = await _stream(redis)
            if await _answer(redis.get(engine.EPOCH)) != epoch or added < read:
                raise _EndedError("it has lost what it held")
            if added - length > self._read or (last == self._at and added != self._read):
                raise _EndedError("its stream went on without us: all is loaded again")
            backoff.reset()

    # -- helpers

    async def _deliver(self, readers: Iterable[Callable[[], Claim]]) -> None:
        """Merge what was read; what can't be read is refused."""
        claims, bad, latest = [], 0, process_clock() + FUTURE_MAX_S
        for read in readers:
            try:
                claim = read()
            except PeerError:
                bad += 1
                continue
            if claim.seen > latest:  # forged, or it would be seen anew with each load for as long as its key lives
                bad += 1
            else:
                claims.append(claim)
        became = await self._hub.deliver(SOURCE, claims)
        self._set(taken=self._status.taken + became.taken, refused=self._status.refused + became.refused + bad)

    async def _measure(self, redis: Client) -> None:
        """Learn how far the engine's clock is ahead of ours."""
        asked_s = process_clock()
        seconds, micros = await _answer(redis.time())
        theirs_s = seconds + micros / 1_000_000
        self._offset = Offset(theirs_s - process_clock(), theirs_s - asked_s)

    async def _epoch(self, redis: Client) -> bytes:
        await _answer(redis.set(engine.EPOCH, uuid4().hex, nx=True))
        epoch = await _answer(redis.get(engine.EPOCH))
        if not isinstance(epoch, bytes):
            raise _EndedError("it forgets at once what it is told")
        return epoch

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        options: dict[str, Any] = {
            "socket_timeout": TIMEOUT_S,
            "socket_connect_timeout": TIMEOUT_S,
            "retry": Retry(NoBackoff(), 0),  # a session that failed begins again as a whole
            "client_name": f"dnstap-bgp-{self._hub.node}",
            "protocol": 2,
            "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        }
        async with AsyncExitStack() as stack:
            if self._config.sentinels:
                sentinels: Any = Sentinel(self._config.sentinels, **options)  # type: ignore[no-untyped-call]  # as it is
                for sentinel in sentinels.sentinels:
                    stack.push_async_callback(sentinel.aclose)
                more = parse_url(self._config.url)
                master: Client = sentinels.master_for(self._config.service, **options, **_of_master(more))
                primary, _ = await _answer(sentinels.discover_master(self._config.service))
                self._addresses = await _resolve([primary, *(host for host, _ in self._config.sentinels)])
            else:
                self._addresses = await _resolve([self._config.host] if self._config.host else [])
                master = Redis.from_url(self._config.url, **options)
            stack.push_async_callback(master.aclose)
            yield master

    def _failed(self, error: BaseException) -> None:
        text = one_line(str(error)) or type(error).__name__
        self._log.say(logging.WARNING, "failed", "%s: %s; what is routed stays", self._config.shown, text)
        self._set(state="failing", errors=self._status.errors + 1, last_error=text[:ERROR_MAX])

    def _set(self, **what: Any) -> None:  # noqa: ANN401 - fields of the status
        self._status = replace(self._status, **what)


async def _answer(asked: Awaitable[Any]) -> Any:  # noqa: ANN401 - as in `Client`
    """Wait for the engine; heed a cancellation that went astray: `asyncio.wait_for` of Python 3.11 can lose one."""
    answer = await asked
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    return answer


def _of_master(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a URL says beside the host, which the sentinels know."""
    return {key: value for key, value in options.items() if key in ("db", "username", "password")}


async def _require_version(redis: Client) -> None:
    told = str((await _answer(redis.info("server"))).get("redis_version", "0"))
    version = tuple(int(part) for part in told.split(".")[:2] if part.isdigit())
    if version < OLDEST:
        raise _EndedError(f"it is version {told}, and {OLDEST[0]}.{OLDEST[1]} is the oldest that will do")


async def _stream(redis: Client) -> tuple[bytes, int, int]:
    """The stream's last id, how many entries it ever had, and how many it has."""
    try:
        found = await _answer(redis.xinfo_stream(engine.CHANGES))
    except exceptions.ResponseError:  # nobody has told anything yet
        return b"0-0", 0, 0
    return found["last-generated-id"], found["entries-added"], found["length"]


async def _resolve(hosts: Iterable[str]) -> frozenset[Address]:
    loop = asyncio.get_running_loop()
    found: set[Address] = set()
    for host in hosts:
        for *_, address in await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM):
            found.add(ip_address(str(address[0]).partition("%")[0]).packed)
    return frozenset(found)
