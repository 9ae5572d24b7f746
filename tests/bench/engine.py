"""A fleet's engine: what a claim takes in Redis, and how fast one instance tells and loads all it holds.

From these follows what a fleet of any size needs: memory grows with the claims, the work of a change with the members.
"""

import asyncio
import shutil
import time
from collections.abc import Iterator
from contextlib import closing

from dnstap_bgp.config import RedisConfig
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Caps, Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.core.sync import redis_schema as data
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.sync.hub import Hub
from tests.bench.figure import Figure, LackingError, Settings
from tests.bench.store import POLICY, claims

COUNT = 200_000


def run(settings: Settings) -> Iterator[Figure]:
    """Take the figures, each round with an empty server."""
    try:
        from dnstap_bgp.workers.sync import redis as carrier  # noqa: PLC0415 - an extra of the package
        from tests.workers.sync.redis_server import RedisServer  # noqa: PLC0415 - the same
    except ImportError as error:
        raise LackingError("redis-py (pip install dnstap-bgp[redis])") from error
    if shutil.which("redis-server") is None:
        raise LackingError("redis-server")
    count = settings.size(COUNT, 500)
    rows: dict[str, list[float]] = {}
    for number in range(settings.rounds):
        settings.say(f"round {number + 1}: {count:,} claims")
        with closing(RedisServer(settings.fresh_folder("engine")).start()) as server:
            _round(carrier.RedisTransport, server, count, rows)
    for name, values in rows.items():
        what, _, unit = name.rpartition(", ")
        yield Figure(what, unit, tuple(values))


def _round(engine, server, count: int, rows: dict[str, list[float]]) -> None:
    """One instance tells all it holds, and one that is empty loads it."""

    def note(name: str, value: float) -> None:
        rows.setdefault(name, []).append(value)

    def cpu_s() -> float:
        info = server.client.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    async def session(hub: Hub) -> float:
        """Seconds until everything is loaded and told."""
        working = engine(hub, RedisConfig(server.url))
        began = time.perf_counter()
        task = asyncio.create_task(working.run())
        while working.status()[0].state != "following":
            await asyncio.sleep(0.01)
            if task.done():
                task.result()  # raises what it died of
        took_s = time.perf_counter() - began
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return took_s

    empty_bytes, cpu = server.client.info("memory")["used_memory"], cpu_s()
    full = _hub(count)
    note("one instance tells all: claims a second, claims/s", count / asyncio.run(session(full)))
    note("the server's CPU for a claim that is told, us", (cpu_s() - cpu) / count * 1e6)
    stream_bytes = server.client.memory_usage(data.CHANGES, samples=0)
    held_bytes = server.client.info("memory")["used_memory"] - empty_bytes
    note("a claim in the server, bytes", (held_bytes - stream_bytes) / count)
    note("an entry of its stream, bytes", stream_bytes / server.client.xlen(data.CHANGES))
    cpu = cpu_s()
    fresh = _hub(0)
    note("an empty instance loads all: claims a second, claims/s", count / asyncio.run(session(fresh)))
    note("the server's CPU for a claim that is loaded, us", (cpu_s() - cpu) / count * 1e6)


def _hub(count: int) -> Hub:
    caps = Caps(routes_max=2 * COUNT)
    table = RouteTable(Policies([POLICY], Guard(), caps), recording=False)
    held = [claim for chunk in claims(count) for claim in chunk] if count else []
    keeper = Keeper(table, Views(), RuleSet.build([(POLICY.list, [Rule(b"example.com")])]))
    table.adopt(held, process_clock())
    return Hub(keeper, None)
