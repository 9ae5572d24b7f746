"""The engine carrier against a real Redis: several members, each with a table of its own, in one loop."""

import asyncio
import random
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from dnstap_bgp.config import RedisConfig
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.model import Attributes, Claim, Policy
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.core.sync import redis_schema as data
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.sync import redis
from dnstap_bgp.workers.sync.hub import OURS, Hub
from dnstap_bgp.workers.sync.redis import BoundedParser, RedisTransport
from tests.ports import free_port
from tests.workers.sync.redis_server import RedisServer

pytestmark = pytest.mark.real("redis-server")

DEADLINE_S = 80.0


class Member:
    """One instance, as far as the engine sees it."""

    def __init__(self, *servers: str, ttl_s: float = 3600.0, domain: bytes = b"example", service: str = "") -> None:
        policy = Policy("default", Attributes(bytes((192, 0, 2, 1))), None, ttl_s)
        table = RouteTable(Policies([policy], Guard(strict=True)), recording=True)
        self.keeper = Keeper(table, Views(), RuleSet.build([("default", [Rule(domain)])]))
        self.hub = Hub(self.keeper, None)
        url, *sentinels = servers
        found = tuple((host, int(port)) for host, port in (one.split(":") for one in sentinels))
        self.transport = RedisTransport(self.hub, RedisConfig(url, found, service or "mymaster"))

    def see(self, *addresses: bytes, name: bytes = b"www.example") -> None:
        self.keeper.observe([(address, "default", name, 300) for address in addresses], self.keeper.rules)
        self.hub.feed(self.keeper.dirty())

    @property
    def held(self) -> set[bytes]:
        return {claim.address for claims, _ in self.keeper.walk() for claim in claims}

    @property
    def state(self) -> str:
        return self.transport._progress.state


@asynccontextmanager
async def at_work(*members: Member) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(part.run()) for member in members for part in (member.hub, member.transport)]
    try:
        await asyncio.sleep(0)
        yield
        for task in tasks:
            assert not task.done() or task.exception() is None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(int(DEADLINE_S / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(what)


def address(number: int) -> bytes:
    return (0x0B000000 + number).to_bytes(4, "big")


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(100):
            await test()

    asyncio.run(bounded())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    made = RedisServer(tmp_path / "redis").start()
    yield made
    made.close()


def test_what_one_sees_all_hold(server: RedisServer):
    async def scene() -> None:
        members = [Member(server.url) for _ in range(3)]
        async with at_work(*members):
            await until(lambda: all(member.state == "following" for member in members), "all follow")
            members[0].see(address(1), address(2))
            members[1].see(address(2), address(3))
            wanted = {address(1), address(2), address(3)}
            await until(lambda: all(member.held == wanted for member in members), "all hold the same")

    run(scene)


def test_who_comes_later_loads_what_is_there_and_brings_what_it_has(server: RedisServer):
    async def scene() -> None:
        early, late = Member(server.url), Member(server.url)
        async with at_work(early):
            early.see(*map(address, range(1500)))
            await until(lambda: early.transport._progress.given == 1500, "all is in the engine")
            late.see(address(5000))
            async with at_work(late):
                wanted = {*map(address, range(1500)), address(5000)}
                await until(lambda: early.held == late.held == wanted, "both hold all")

    run(scene)


def test_a_sighting_that_is_told_late_is_no_lag_of_the_engine(server: RedisServer):
    async def scene() -> None:
        one, two = Member(server.url), Member(server.url)
        async with at_work(one, two):
            await until(lambda: one.state == two.state == "following", "both follow")
            seen = process_clock() - 1000
            one.hub.feed([Claim(address(1), "default", b"www.example", seen, seen, 3600.0)])
            await until(lambda: two.held == {address(1)}, "the other has it")
            await until(lambda: two.transport._progress.lag_s is not None, "it is measured")
            assert (two.transport._progress.lag_s or 0) < 500

    run(scene)


def test_a_key_for_each_claim_that_expires_with_it_and_is_only_ever_extended(server: RedisServer):
    async def scene() -> None:
        long, short = Member(server.url, ttl_s=1000), Member(server.url, ttl_s=100)
        key = data.CLAIMS + b"11.0.0.1 www.example"
        async with at_work(long, short):
            await until(lambda: long.state == short.state == "following", "both follow")
            long.see(address(1))
            await until(lambda: server.client.exists(key) == 1, "the key is there")
            assert 990 < server.client.ttl(key) <= 1000
            await until(lambda: bool(short.held), "the other has it")
            short.see(address(1))
            short.hub.feed([claim for claims, _ in short.keeper.walk() for claim in claims])
            await until(lambda: short.transport._progress.given > 0, "the later sighting is told")
            assert server.client.ttl(key) > 900, "a shorter lifetime takes nothing away"

    run(scene)


def test_an_engine_that_is_flushed_is_filled_again_and_nothing_is_withdrawn(server: RedisServer):
    async def scene() -> None:
        one, two = Member(server.url), Member(server.url)
        async with at_work(one, two):
            one.see(address(1))
            two.see(address(2))
            wanted = {address(1), address(2)}
            await until(lambda: one.held == two.held == wanted, "both hold both")
            server.client.flushall()
            assert one.held == two.held == wanted
            await until(lambda: all(member.transport._progress.errors for member in (one, two)), "both notice")
            await until(lambda: len(server.client.keys(data.CLAIMS + b"*")) == 2, "the engine has both again")
            await until(lambda: one.state == two.state == "following", "both follow")
            one.see(address(3))
            await until(lambda: address(3) in two.held, "what is new goes through")
        assert "lost" in one.transport._progress.last_error

    run(scene)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
def test_an_engine_that_is_away_withdraws_nothing_and_is_followed_again(
    server: RedisServer, how: signal.Signals, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(redis, "TIMEOUT_S", 1.5)
    monkeypatch.setattr(redis, "BACKOFF_MAX_S", 1.0)

    async def scene() -> None:
        one, two = Member(server.url), Member(server.url)
        async with at_work(one, two):
            one.see(address(1))
            await until(lambda: two.held == {address(1)}, "it is told")
            server.signal(how)
            await until(lambda: one.state == two.state == "failing", "both notice")
            one.see(address(2))  # nobody waits for the engine
            assert one.held == {address(1), address(2)}
            assert two.held == {address(1)}
            if how is signal.SIGKILL:
                server.kill()
                server.start()
            else:
                server.signal(signal.SIGCONT)
            await until(lambda: two.held == {address(1), address(2)}, "what was seen meanwhile arrives")
            await until(lambda: server.client.exists(data.CLAIMS + b"11.0.0.1 www.example") == 1, "all is back")

    run(scene)


def test_sentinels_lead_to_the_new_primary(tmp_path: Path):
    primary = RedisServer(tmp_path / "primary").start()
    replica = RedisServer(tmp_path / "replica", "--replicaof", "127.0.0.1", str(primary.port)).start()
    port = free_port()
    conf = tmp_path / "sentinel.conf"
    conf.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor fleet 127.0.0.1 {primary.port} 1\n"
        "sentinel down-after-milliseconds fleet 500\nsentinel failover-timeout fleet 3000\n"
    )
    sentinel = subprocess.Popen(["redis-server", str(conf), "--sentinel"], stdout=subprocess.DEVNULL)
    try:

        async def scene() -> None:
            where = ("redis://nowhere.invalid/0", f"127.0.0.1:{port}")
            one, two = Member(*where, service="fleet"), Member(*where, service="fleet")
            async with at_work(one, two):
                await until(lambda: one.state == two.state == "following", "both follow")
                one.see(address(1))
                await until(lambda: replica.client.exists(data.CLAIMS + b"11.0.0.1 www.example") == 1, "it is copied")
                primary.kill()
                await until(lambda: replica.client.info("replication")["role"] == "master", "the replica takes over")
                await until(lambda: one.state == two.state == "following", "both follow it")
                one.see(address(2))
                await until(lambda: two.held == {address(1), address(2)}, "what is new goes through")

        run(scene)
    finally:
        sentinel.terminate()
        sentinel.wait(30)
        primary.close()
        replica.close()


def test_what_strangers_write_there_harms_nothing(server: RedisServer):
    async def scene() -> None:
        member = Member(server.url)
        now_ms = int(server.client.time()[0]) * 1000
        bad = {
            b"11.0.0.1 evil.test": b"%d 3600000" % now_ms,  # on no list
            b"127.0.0.1 www.example": b"%d 3600000" % now_ms,  # refused by the guard
            b"11.0.0.2 www.example": b"x" * 100_000,
            b"11.0.0.3 www.example": b"",
            b"11.0.0.4 www.example": b"1 3600000",  # long past
            b"11.0.0.5.6 www.example": b"%d 1000" % now_ms,
            b"11.0.0.6 \xff\xfe": b"%d 1000" % now_ms,
            b"": b"",
        }
        for key, value in bad.items():
            server.client.set(data.CLAIMS + key, value)
        server.client.set(data.CLAIMS + b"11.0.0.7 www.example", b"%d 3600000" % (now_ms + 86_400_000))  # tomorrow
        server.client.hset(data.CLAIMS + b"a hash", "field", "value")
        async with at_work(member):
            await until(lambda: member.state == "following", "it follows")
            for change in (b"", b"a", b"a b c", b"\xff" * 5000, data.CLAIMS + b"11.0.0.8 www.example 1"):
                server.client.xadd(data.CHANGES, {"n": "stranger", "c": change})
            server.client.xadd(data.CHANGES, {"other": "fields"})
            member.see(address(9))
            good = data.CLAIMS + b"11.0.0.10 www.example %d 3600000" % now_ms
            server.client.xadd(data.CHANGES, {"n": "stranger", "c": good})
            await until(lambda: member.held == {address(7), address(9), address(10)}, "only what is good is held")
            seen = [claim.seen for claims, _ in member.keeper.walk() for claim in claims]
            assert max(seen) <= process_clock()
            await until(lambda: member.transport._progress.refused >= 10, "what is bad is counted")

    run(scene)


def test_the_primary_that_sentinels_tell_never_becomes_a_route(tmp_path: Path):
    primary = RedisServer(tmp_path / "primary", "--bind", "127.0.0.1", "127.0.0.2").start()
    port = free_port()
    conf = tmp_path / "sentinel.conf"
    conf.write_text(f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor fleet 127.0.0.2 {primary.port} 1\n")
    sentinel = subprocess.Popen(["redis-server", str(conf), "--sentinel"], stdout=subprocess.DEVNULL)
    try:

        async def scene() -> None:
            member = Member("redis://nowhere.invalid/0", f"127.0.0.1:{port}", service="fleet")
            async with at_work(member):
                await until(lambda: member.state == "following", "it follows")
                assert member.transport.addresses() == {bytes((127, 0, 0, 1)), bytes((127, 0, 0, 2))}

        run(scene)
    finally:
        sentinel.terminate()
        sentinel.wait(30)
        primary.close()


@pytest.mark.parametrize("bad", ["of another type", "of tomorrow", "no number", "too long a number"])
def test_a_bad_key_in_the_place_of_a_claim_gives_way(server: RedisServer, bad: str):
    async def scene() -> None:
        key, tomorrow_ms = data.CLAIMS + b"11.0.0.1 www.example", int(server.client.time()[0] + 86_400) * 1000
        values = {"of tomorrow": b"%d 3600000" % tomorrow_ms, "no number": b"x", "too long a number": b"9" * 400}
        if bad in values:
            server.client.set(key, values[bad])
        else:
            server.client.hset(key, "field", "value")
        one, two = (Member(server.url, ttl_s=100) for _ in range(2))
        async with at_work(one, two):
            await until(lambda: one.state == two.state == "following", "both follow")
            one.see(address(1), address(2))
            one.hub.feed([claim for claims, _ in one.keeper.walk() for claim in claims])
            await until(lambda: two.held == {address(1), address(2)}, "the other has both")
            await until(lambda: 0 < server.client.ttl(key) <= 100, "and it is a claim now")
            assert one.transport._progress.errors == 0

    run(scene)


def test_who_cannot_follow_does_not_load_everything_over_and_over(server: RedisServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(redis, "BACKOFF_FIRST_S", 0.1)

    async def scene() -> None:
        member = Member(server.url)
        server.client.set(data.CHANGES, "no stream")
        async with at_work(member):
            await until(lambda: member.transport._progress.errors == 3, "it fails again and again")
            began = process_clock()
            await until(lambda: member.transport._progress.errors == 5, "and again")
            assert process_clock() - began > 0.05 * (1 << 3), "at growing intervals"
            server.client.delete(data.CHANGES)
            member.see(address(1))
            await until(lambda: server.client.type(data.CHANGES) == b"stream", "until it can")

    run(scene)


def test_a_stream_that_went_on_without_us_is_noticed(server: RedisServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(redis, "BACKOFF_FIRST_S", 0.1)

    async def scene() -> None:
        member = Member(server.url)
        async with at_work(member):
            await until(lambda: member.state == "following", "it follows")
            now_ms = int(server.client.time()[0]) * 1000
            lost = data.CLAIMS + b"11.0.0.1 www.example"
            with server.client.pipeline() as pipe:  # at once, so that nobody reads between
                pipe.set(lost, b"%d 3600000" % now_ms)
                pipe.xadd(data.CHANGES, {"n": "other", "c": lost + b" %d 3600000" % now_ms})
                pipe.xadd(data.CHANGES, {"n": "other", "c": b""})
                pipe.xtrim(data.CHANGES, maxlen=1, approximate=False)
                pipe.execute()
            await until(lambda: member.held == {address(1)}, "what was trimmed is loaded")

    run(scene)


def test_an_old_engine_is_refused_in_words(server: RedisServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(redis, "OLDEST", (99, 0))

    async def scene() -> None:
        member = Member(server.url)
        async with at_work(member):
            await until(lambda: member.state == "failing", "it says no")
            assert "99.0 is the oldest" in member.transport._progress.last_error

    run(scene)


def test_our_own_sightings_alone_do_not_come_back(server: RedisServer):
    async def scene() -> None:
        member = Member(server.url)
        async with at_work(member):
            await until(lambda: member.state == "following", "it follows")
            member.see(*map(address, range(10)))
            await until(lambda: member.transport._progress.given == 10, "all is told")
            await asyncio.sleep(0.2)
            assert member.transport._progress.taken == 0
            assert {record.source for record in member.hub.replication_log.after(0, 1 << 20)} == {OURS}

    run(scene)


def test_a_busy_stream_is_no_reason_to_load_everything_again(server: RedisServer, monkeypatch: pytest.MonkeyPatch):
    """What was read while the look at the stream was on its way is no loss."""
    monkeypatch.setattr(redis, "CHECK_S", 0.001)

    async def scene() -> None:
        one, other = Member(server.url), Member(server.url)
        async with at_work(one, other):
            await until(lambda: one.state == other.state == "following", "both follow")
            for number in range(300):
                one.see(address(number))
                await asyncio.sleep(0.005)
            await until(lambda: len(other.held) == 300, "all of it")
            assert one.transport._progress.errors == other.transport._progress.errors == 0

    run(scene)


def test_a_forged_time_keeps_no_claim_alive(server: RedisServer):
    async def scene() -> None:
        member = Member(server.url)
        far = 10**15
        for value in (f"{far} 1000", "9" * 40 + " 1000", f"{far} " + "9" * 20):
            server.client.set(data.CLAIMS + f"11.0.0.{len(value)} www.example".encode(), value)
        server.client.set(data.CLAIMS + b"11.0.1.1 www.example", b"x")
        async with at_work(member):
            await until(lambda: member.state == "following", "it follows")
            await until(lambda: member.transport._progress.refused >= 4, "all are refused")
            assert member.held == set()

    run(scene)


@pytest.mark.parametrize(
    "url",
    ["redis://a..b/0", "redis://127.0.0.1:1/0?socket_timeout=x", "redis://127.0.0.1:1/0?nothing=1", "unix:///x?db=y"],
)
def test_a_url_that_can_not_be_is_told_and_ends_nothing(url: str):
    async def scene() -> None:
        member = Member(url)
        async with at_work(member):
            await until(lambda: member.state == "failing", "it fails")
            assert member.transport._progress.last_error

    run(scene)


def test_what_answers_anything_at_all_ends_nothing(monkeypatch: pytest.MonkeyPatch):
    """Sessions with something that speaks the protocol, and is no engine."""
    monkeypatch.setattr(redis, "BACKOFF_FIRST_S", 0.001)
    monkeypatch.setattr(redis, "BACKOFF_MAX_S", 0.002)
    monkeypatch.setattr(redis, "TIMEOUT_S", 0.2)
    chance = random.Random(1)
    right = {
        b"CLIENT": b"+OK\r\n",
        b"INFO": b"$19\r\nredis_version:7.2.0\r\n",
        b"SET": b"+OK\r\n",
        b"GET": b"$5\r\nepoch\r\n",
        b"TIME": b"*2\r\n$10\r\n1795334641\r\n$1\r\n5\r\n",
        b"SCAN": b"*2\r\n$1\r\n0\r\n*1\r\n$3\r\nkey\r\n",
    }
    wrong = (
        b":1\r\n", b":-1\r\n", b":" + b"9" * 5000 + b"\r\n", b"+OK\r\n", b"$-1\r\n", b"*-1\r\n", b"*0\r\n",
        b"-ERR \x1bx\r\n", b"$3\r\n\xff\xfe\xfd\r\n", b"*1\r\n:1\r\n", b"*2\r\n$1\r\na\r\n*1\r\n$-1\r\n",
        b"*3\r\n:1\r\n:2\r\n*0\r\n", b"HTTP/1.1 400\r\n",
    )  # fmt: skip

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while asked := await reader.read(65536):
                for command in asked.split(b"*")[1:]:
                    name = (command.split(b"\r\n") + [b""] * 3)[2].upper()
                    is_right = name in right and chance.random() < 0.8
                    writer.write(right[name] if is_right else chance.choice(wrong))
        writer.close()

    async def scene() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        member = Member(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
        async with server, at_work(member):
            await until(lambda: member.transport._progress.errors > 200, "it is tried again and again")
        assert member.held == set()
        assert member.transport._progress.last_error.isprintable()

    run(scene)


# -- whoever writes to the server, or is it, and means no good


@pytest.fixture
def longest_answer(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of the longest answer that was read so far, as the only item."""
    found, read_response = [0], BoundedParser.read_response

    async def measured(self: BoundedParser, disable_decoding: bool = False) -> object:
        try:
            return await read_response(self, disable_decoding)
        finally:
            found[0] = max(found[0], redis.ANSWER_MAX_BYTES - self._left)

    monkeypatch.setattr(BoundedParser, "read_response", measured)
    return found


def test_large_values_are_judged_before_they_are_fetched(server: RedisServer, longest_answer: list[int]):
    """64 MB a value made 1.4 GB of memory once."""
    keys = [data.CLAIMS + f"11.0.1.{number} www.example".encode() for number in range(8)]
    for key in keys[:4]:
        server.client.setrange(key, (64 << 20) - 1, b"x")
    server.client.set(keys[4], b"1" * 65)
    server.client.rpush(keys[5], *[b"x" * 1000] * 1000)
    server.client.set(data.CLAIMS + b"k" * 70_000, b"1 1")
    server.client.set(data.CLAIMS + b"11.0.0.7 www.example", b"%d %d" % (time.time() * 1000, 1_000_000))

    async def scene() -> None:
        member = Member(server.url)
        async with at_work(member):
            await until(lambda: member.state == "following", "it follows")
            assert member.held == {bytes([11, 0, 0, 7])}
            assert member.transport._progress.refused == 7
            assert member.transport._progress.errors == 0

    run(scene)
    assert longest_answer[0] < 100_000


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"n": "x", "c": b"y" * (32 << 20)}, f"more than {redis.ANSWER_MAX_BYTES} bytes"),
        ({str(number): "" for number in range(100_000)}, f"more than {redis.VALUES_MAX} values"),
    ],
)
def test_large_entries_of_the_stream_are_left_and_the_session_begins_again(
    server: RedisServer, longest_answer: list[int], monkeypatch: pytest.MonkeyPatch, fields: Any, what: str
):
    monkeypatch.setattr(redis, "BACKOFF_FIRST_S", 0.01)

    async def scene() -> None:
        one, two = Member(server.url), Member(server.url)
        async with at_work(one, two):
            await until(lambda: one.state == two.state == "following", "both follow")
            server.client.xadd(data.CHANGES, fields)
            await until(lambda: one.transport._progress.errors > 0, "it is noticed")
            assert what in one.transport._progress.last_error
            await until(lambda: one.state == two.state == "following", "both follow again")
            one.see(bytes([11, 0, 0, 1]))
            await until(lambda: two.held == {bytes([11, 0, 0, 1])}, "and what is news goes on")

    run(scene)
    assert longest_answer[0] <= redis.ANSWER_MAX_BYTES + (33 << 20), "its length was read, nothing else"


@pytest.mark.parametrize(
    "answer",
    [
        b"$1000000000\r\n" + b"x" * 100_000,
        b"+" + b"x" * 5_000_000,
        b"*100000000\r\n" + b"$-1\r\n" * 1_000_000,
        b"*1\r\n" * 100_000,
        b"*2\r\n$4000000\r\n" + b"x" * 4_000_000 + b"\r\n$4000000\r\n" + b"x" * 100_000,
        b":" + b"9" * 60_000 + b"\r\n",
        b"$-5\r\n",
        b"*-5\r\n+OK\r\n",
    ],
)
def test_answers_without_measure_end_the_session_alone(answer: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(redis, "BACKOFF_FIRST_S", 0.001)
    monkeypatch.setattr(redis, "BACKOFF_MAX_S", 0.002)
    monkeypatch.setattr(redis, "TIMEOUT_S", 0.5)

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(65536):
                writer.write(answer)
                await writer.drain()
        writer.close()

    async def scene() -> None:
        fake = await asyncio.start_server(speak, "127.0.0.1", 0)
        member = Member(f"redis://127.0.0.1:{fake.sockets[0].getsockname()[1]}/0")
        async with fake, at_work(member):
            await until(lambda: member.transport._progress.errors > 3, "it is tried again and again")
            assert len(member.transport._progress.last_error) <= 200
            assert member.transport._progress.last_error.isprintable()

    run(scene)


@pytest.mark.parametrize("where", ["read", "read_change", "arguments", "deliver", "measure"])
def test_a_fault_at_the_servers_entry_ends_that_session(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, where: str
):
    monkeypatch.setattr(redis, "BACKOFF_FIRST_S", 0.01)
    monkeypatch.setattr(redis, "BACKOFF_MAX_S", 0.1)
    is_planted = [True]
    targets: dict[str, tuple[Any, str]] = {
        "read": (data, "read"),
        "read_change": (data, "read_change"),
        "arguments": (data, "arguments"),
        "deliver": (Hub, "deliver"),
        "measure": (RedisTransport, "_measure"),
    }
    target, name = targets[where]
    original = getattr(target, name)

    def planted(*args: Any) -> Any:
        if is_planted[0]:
            raise RecursionError("planted \x1b")
        return original(*args)

    monkeypatch.setattr(target, name, planted)
    now_ms = time.time() * 1000
    server.client.set(data.CLAIMS + b"11.0.0.7 www.example", b"%d %d" % (now_ms, 1_000_000))

    async def scene() -> None:
        member = Member(server.url)
        member.see(bytes([11, 0, 0, 1]))
        async with at_work(member):
            while "a fault of ours" not in member.transport._progress.last_error:
                server.client.xadd(data.CHANGES, {"n": "x", "c": data.CLAIMS + b"11.0.0.8 www.example 1 1"})
                await asyncio.sleep(0.05)
            assert member.transport._progress.last_error.isprintable()
            is_planted[0] = False
            await until(lambda: member.state == "following", "it follows")
            await until(lambda: bytes([11, 0, 0, 7]) in member.held, "and has what it missed")

    run(scene)
