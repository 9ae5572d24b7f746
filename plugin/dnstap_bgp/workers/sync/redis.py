"""Transport of the sync over a fleet's Redis or Valkey server; in the thread "loop".

Strategy: a session loads everything, writes everything, then follows the stream and writes what is news. All that can
happen to the server ends the session, and the next one begins from the start: so a server that was slow, down, flushed
or failed over is as whole afterwards as its members are, and nothing in here ever takes a claim away. What is news
meanwhile waits in the hub's replication log, bounded; the walk at the next start finds it anyway.

Whoever can write to the server can put anything there: values are judged by their length where they lie
(`redis_schema.LOAD`), and no answer may have more than `ANSWER_MAX_BYTES`, whatever it is an answer to.
"""

import asyncio
import logging
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from ipaddress import ip_address
from typing import Any, TypeAlias
from uuid import uuid4

from redis import exceptions
from redis._parsers import _AsyncRESP2Parser
from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from dnstap_bgp.config.settings import RedisConfig
from dnstap_bgp.core.model import Address, Claim
from dnstap_bgp.core.status.report import PeerStatus
from dnstap_bgp.core.sync import redis_schema
from dnstap_bgp.core.sync.clock_offset import Offset
from dnstap_bgp.core.text import one_line
from dnstap_bgp.core.timing import Backoff
from dnstap_bgp.core.validation import is_instant
from dnstap_bgp.errors import PeerError
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog
from dnstap_bgp.workers.process.loop import heed_cancellation
from dnstap_bgp.workers.sync.hub import Hub, LogCursor
from dnstap_bgp.workers.sync.transport import PeerProgress

logger = logging.getLogger(__name__)

SOURCE = "redis"
OLDEST = (7, 0)
"""PEXPIRETIME came with it."""

TIMEOUT_S = 5.0
"""For any answer: one that takes longer is as good as none, and nobody but this transport waits."""

BLOCK_MS = 1000
CHECK_S = 2.0
"""Between two looks at the server's clock, epoch and stream."""

BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.5, 30.0

WRITE_AT_ONCE = 200
"""Claims of one script call: 1 ms in which the server serves nobody else."""

READ_AT_ONCE = 500

FUTURE_MAX_S = 86_400.0
"""A time that is further ahead comes from no clock; less counts as now."""

ANSWER_MAX_BYTES = 4 << 20
"""Of one answer: `READ_AT_ONCE` keys and values of the longest kind take 0.6 MB; SCAN may give some more."""

VALUES_MAX = 20_000
"""Of one answer, each of which takes 4 us of the loop without a pause; `READ_AT_ONCE` entries of the stream have 3,500.
(500,000 of one byte, short enough all together, kept all other conversations waiting for 2 s.)"""

DEPTH_MAX = 8
"""Arrays within arrays of an answer: those of XREAD have four."""

_TRIPS = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
"""What redis-py raises where options of the URL are none, or where something answers that is no such server."""

_SENTINEL_OPTIONS = ("socket_timeout", "socket_connect_timeout", "protocol", "maint_notifications_config")
"""Options of a connection to a sentinel: it has no password of the server's."""

Client: TypeAlias = Any
"""A `Redis`, whose own types are unions of all that its protocols and options may give."""


class _EndedError(Exception):
    """The session has to begin again, for a reason that is no failure of a command."""


class BoundedParser(_AsyncRESP2Parser):
    """Reader of answers (RESP 2) that refuses one that is too long or too deep before it is held."""

    def __init__(self, socket_read_size: int) -> None:
        super().__init__(socket_read_size)
        self._left = ANSWER_MAX_BYTES
        self._values = self._depth = 0

    async def read_response(self, disable_decoding: bool = False) -> Any:  # noqa: FBT001, FBT002, ANN401 - as redis-py
        """Read one answer.

        Raises:
            InvalidResponse: It is none, or breaks a bound; redis-py closes the connection.
        """
        self._left, self._values, self._depth = ANSWER_MAX_BYTES, 0, 0
        return await super().read_response(disable_decoding)

    async def _read_response(self, disable_decoding: bool = False) -> Any:  # noqa: FBT001, FBT002, ANN401 - as redis-py
        self._depth += 1
        self._values += 1
        if self._depth > DEPTH_MAX:
            raise _too_much(f"arrays more than {DEPTH_MAX} deep in each other")
        if self._values > VALUES_MAX:
            raise _too_much(f"more than {VALUES_MAX} values in one answer")
        answer = await super()._read_response(disable_decoding)
        self._depth -= 1
        return answer

    async def _read(self, length: int) -> bytes:
        self._spend(length)
        return await super()._read(length)

    async def _readline(self) -> bytes:
        try:
            line = await super()._readline()
        except ValueError:  # asyncio's own bound, 64 KB
            raise _too_much("a line without an end") from None
        self._spend(len(line))
        return line

    def _spend(self, count: int) -> None:
        self._left -= max(count, 0) + 2
        if self._left < 0:
            raise _too_much(f"more than {ANSWER_MAX_BYTES} bytes in one answer")


class RedisTransport:
    """A `Transport` over a server of Redis or Valkey."""

    def __init__(self, hub: Hub, config: RedisConfig) -> None:
        self._hub = hub
        self._config = config
        self._log = RateLimitedLog(logger, process_clock)
        self._progress = PeerProgress(config.shown, self._log, "redis")
        self._addresses: frozenset[Address] = frozenset()
        self._offset = Offset()
        self._at = b"0-0"  # the last entry of the stream that was read
        self._read = 0  # entries of the stream up to it, since the stream began
        self._resync = asyncio.Event()

    async def run(self) -> None:
        """Run sessions, one after the other, until cancelled."""
        backoff = Backoff(BACKOFF_FIRST_S, BACKOFF_MAX_S)
        while True:
            try:
                async with self._connected() as redis:
                    await self._session(redis, backoff)
            except (exceptions.RedisError, OSError, _EndedError) as error:
                self._failed(error)
            except _TRIPS as error:
                self._failed(_EndedError(f"it, or its URL, is not what it should be: {error}"))
            except Exception as error:  # noqa: BLE001 - whatever an answer provokes ends this session, never the process
                self._progress.failed_by_fault(logger, error)
            heed_cancellation()
            await asyncio.sleep(backoff.next(random.random()))  # noqa: S311 - spreads a fleet, guards nothing

    def resync(self) -> None:
        """Load everything again."""
        self._resync.set()

    def status(self) -> list[PeerStatus]:
        """Copy how the server is."""
        return [self._progress.status()]

    def addresses(self) -> frozenset[Address]:
        """Give the addresses that the server's name means now."""
        return self._addresses

    # -- a session

    async def _session(self, redis: Client, backoff: Backoff) -> None:
        # The order matters. The place in the stream is taken before the load, and the place in our own log before we
        # tell: what changes during either comes once more afterwards, and nothing is missed.
        await _require_version(redis)
        epoch = await self._epoch(redis)
        await self._measure(redis)
        self._at, self._read, _ = await _stream(redis)
        cursor = self._hub.cursor(skip=lambda source: source == SOURCE)
        self._progress.state = "loading"
        await self._load(redis)
        await self._tell_all(redis)
        self._progress.heard("following")
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
        """Take all claims that the server holds."""
        load, cursor = redis.register_script(redis_schema.LOAD), b"0"
        while True:
            cursor, odd, *found = await _answer(load(args=redis_schema.load_arguments(cursor, READ_AT_ONCE)))
            self._progress.refused += odd
            await self._deliver(
                partial(redis_schema.read, key, value, self._offset)
                for key, value in zip(found[::2], found[1::2], strict=True)
            )
            if cursor == b"0":
                return

    async def _follow(self, redis: Client) -> None:
        """Take what others tell."""
        while True:
            found = await _answer(redis.xread({redis_schema.CHANGES: self._at}, count=READ_AT_ONCE, block=BLOCK_MS))
            self._progress.heard()
            for _, entries in found:
                self._at, self._read = entries[-1][0], self._read + len(entries)
                told = [fields.get(b"c", b"") for _, fields in entries if fields.get(b"n") != self._hub.node.encode()]
                await self._deliver(partial(redis_schema.read_change, change, self._offset) for change in told)
                if told:
                    told_s = self._offset.here(int(self._at.partition(b"-")[0]) / 1000)
                    self._progress.lag_s = max(0.0, process_clock() - told_s)

    async def _tell_news(self, redis: Client, cursor: LogCursor) -> None:
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
        store = redis.register_script(redis_schema.STORE)
        for start in range(0, len(claims), WRITE_AT_ONCE):
            part = claims[start : start + WRITE_AT_ONCE]
            keys, values = redis_schema.arguments(part, self._offset, self._hub.node)
            given = await _answer(store(keys=keys, args=values))
            self._progress.given += given
            self._progress.heard()

    async def _check(self, redis: Client, epoch: bytes, backoff: Backoff) -> None:
        """Check that the server still is what it was, and that we keep up with it.

        Only a session that got so far makes the next wait short: each begins with everything, which must not go round.
        """
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await self._resync.wait()
            if self._resync.is_set():
                self._resync.clear()
                await self._load(redis)
            await self._measure(redis)
            read = self._read  # before the answers, for `_follow` goes on meanwhile
            last, added, length = await _stream(redis)
            if await _answer(redis.get(redis_schema.EPOCH)) != epoch or added < read:
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
        self._progress.came(became._replace(refused=became.refused + bad))

    async def _measure(self, redis: Client) -> None:
        """Learn how far the server's clock is ahead of ours."""
        asked_s = process_clock()
        seconds, micros = await _answer(redis.time())
        theirs_s = seconds + micros / 1_000_000
        if not is_instant(theirs_s):
            raise _EndedError("its clock tells no time")
        self._offset = Offset(theirs_s - process_clock(), theirs_s - asked_s)

    async def _epoch(self, redis: Client) -> bytes:
        await _answer(redis.set(redis_schema.EPOCH, uuid4().hex, nx=True))
        epoch = await _answer(redis.get(redis_schema.EPOCH))
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
            "parser_class": BoundedParser,
            "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        }
        async with AsyncExitStack() as stack:
            if self._config.sentinels:
                asked = {key: options[key] for key in _SENTINEL_OPTIONS}
                sentinels: Any = Sentinel(self._config.sentinels, sentinel_kwargs=asked, **options)  # type: ignore[no-untyped-call]  # as it is
                for sentinel in sentinels.sentinels:
                    sentinel.connection_pool.connection_kwargs["parser_class"] = BoundedParser
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
        self._progress.failed(str(error) or type(error).__name__)


def _too_much(what: str) -> exceptions.InvalidResponse:
    return exceptions.InvalidResponse(f"an answer that no claims of ours make: {what}")


async def _answer(asked: Awaitable[Any]) -> Any:  # noqa: ANN401 - as in `Client`
    """Wait for an answer; heed a cancellation that redis-py has swallowed meanwhile."""
    answer = await asked
    heed_cancellation()
    return answer


def _of_master(options: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the options of a URL that matter beside the host, which the sentinels know."""
    return {key: value for key, value in options.items() if key in ("db", "username", "password")}


async def _require_version(redis: Client) -> None:
    told = str((await _answer(redis.info("server"))).get("redis_version", "0"))
    version = tuple(int(part) for part in told[:20].split(".")[:2] if part.isdecimal())
    if version < OLDEST:
        raise _EndedError(f"it is version {one_line(told, 40)}, and {OLDEST[0]}.{OLDEST[1]} is the oldest that will do")


async def _stream(redis: Client) -> tuple[bytes, int, int]:
    """Ask for the stream's last id, how many entries it ever had, and how many it has."""
    last, added, length = await _answer(redis.register_script(redis_schema.POSITION)(keys=[redis_schema.CHANGES]))
    return last, added, length


async def _resolve(hosts: Iterable[str]) -> frozenset[Address]:
    loop = asyncio.get_running_loop()
    found: set[Address] = set()
    for host in hosts:
        for *_, address in await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM):
            found.add(ip_address(str(address[0]).partition("%")[0]).packed)
    return frozenset(found)
