"""The table as it grows: memory of live routes in the real plugin, and what `observe` and `expire` take.

Memory is that of the whole process: routes that came through the tap and were told to a host that answers at once, and
the same routes restored from the state file by the next process. Names hold two addresses each, and no two are alike.
"""

import gc
import random
import struct
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dnstap_bgp.core.model import Sighting
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Caps, Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.workers.process.clocks import process_clock
from tests.bench import traffic
from tests.bench.figure import Figure, Settings
from tests.bench.plugin_process import Host, Plugin, wait_until
from tests.bench.store import POLICY, TTL_S, claims
from tests.integration.tap_sender import TapSender

MEMORY_MB = {200_000: 100.0, 1_000_000: 350.0}
SETTLE_S = 11.0
"""By then the timer has given back what a burst or a restore has left free (every 10 s)."""
OBSERVED = 20_000
OBSERVE_FLOORS = 2.5
"""A refresh may take so many times what it takes at the least, at any size."""
EXPIRED = 2_000


def run(settings: Settings) -> Iterator[Figure]:
    """Take the figures."""
    sizes = [10_000, 100_000, 1_000_000] if not settings.quick else [500, 1000]
    yield from _pace(settings, sizes)
    for size in [0, 10_000, 100_000, 200_000, 1_000_000] if not settings.quick else [0, 1000]:
        rounds = min(settings.rounds, 2) if size >= 1_000_000 else min(settings.rounds, 3)
        taken = []
        for number in range(rounds):
            settings.say(f"memory of {size:,} routes, round {number + 1} of {rounds}")
            taken.append(_memory_mb(settings.fresh_folder("table"), size, 0.5 if settings.quick else SETTLE_S))
        live, restored, share = zip(*taken, strict=True)
        yield Figure(
            f"{size:,} routes live: resident",
            "MB",
            live,
            at_most=MEMORY_MB.get(size),
            series="resident",
            size=size or 1,
        )
        yield Figure(f"{size:,} routes restored: resident", "MB", restored, at_most=MEMORY_MB.get(size))
        yield Figure(f"{size:,} routes restored: proportional share", "MB", share)


def _memory_mb(folder: Path, size: int, settle_s: float = SETTLE_S) -> tuple[float, float, float]:
    """Resident after living, resident after a restore, and the proportional share then."""
    with Host() as host:
        with Plugin(folder, ["example"]).start(host.stdin, host.stdout).listening() as plugin:
            with TapSender(plugin.tap) as sender:
                sender.send(answers(size))
            wait_until(lambda: host.announced >= size, "all routes are announced")
            time.sleep(settle_s)
            live, _ = plugin.memory_mb()
        host.announced = 0
        with Plugin(folder, ["example"]).start(host.stdin, host.stdout).listening() as plugin:
            wait_until(lambda: host.announced >= size, "all routes are announced again")
            time.sleep(settle_s)
            return live, *plugin.memory_mb()


def answers(count: int) -> Iterator[bytes]:
    """Frames with so many addresses of 11.0.0.0/8 and above, two under each name."""
    record = struct.Struct("!HHHIH4s")
    for number in range(0, count, 2):
        wire = struct.pack("!6H", number & 0xFFFF, 0x8180, 1, 2, 0, 0)
        wire += b"\x0acdn%07d\x03www\x07example\0" % number + b"\0\1\0\1"
        for each in (number, number + 1):
            wire += record.pack(0xC00C, 1, 1, 300, 4, (0x0B000000 + each).to_bytes(4))
        yield traffic.frame(wire)


def _pace(settings: Settings, sizes: list[int]) -> Iterator[Figure]:
    """CPU of one `observe` of a known address and of one expiry, at each size, round by round.

    Addresses are chosen at random, so that at a large size hardly anything is in the CPU's caches: that alone makes a
    dict's lookup four times as slow. What `observe` adds to it is told by its ratio to `Floor`.
    """
    tables, known, floors = [], [], []
    now = process_clock()
    for size in sizes:
        settings.say(f"a table of {size:,} routes")
        table = RouteTable(Policies([POLICY], Guard(), Caps(routes_max=sizes[-1] + 2 * EXPIRED)))
        held = [claim for chunk in claims(size) for claim in chunk]
        table.adopt(held, now)
        tables.append(table)
        pick = random.Random(4)
        chosen = [pick.choice(held) for _ in range(OBSERVED)]
        # as an answer brings them: an address that is equal, and the name as the screen knows it
        known.append([(_copied(one.address), one.list, one.name, 60) for one in chosen])
        floors.append(Floor([one.address for one in held]))
    del held, chosen
    gc.collect()
    gc.freeze()
    observe: list[list[float]] = [[] for _ in sizes]
    floor: list[list[float]] = [[] for _ in sizes]
    expire: list[list[float]] = [[] for _ in sizes]
    for number in range(settings.rounds):
        settings.say(f"observe and expire, round {number + 1}")
        for index, table in enumerate(tables):
            floor[index].append(_observe_us(floors[index], known[index], now))
            observe[index].append(_observe_us(table, known[index], now))
            expire[index].append(_expire_us(table, now, number))
    for index, size in enumerate(sizes):
        yield Figure(
            f"observe a known address among {size:,}",
            "us",
            tuple(observe[index]),
            reference=tuple(floor[index]),
            against="a dict's lookup and an array's store",
            at_most=OBSERVE_FLOORS if not settings.quick else None,
            series="observe a known address",
            size=size,
        )
    for index, size in enumerate(sizes):
        yield Figure(
            f"expire one of {size:,}",
            "us",
            tuple(expire[index]),
            reference=tuple(expire[0]),
            against=f"one of {sizes[0]:,}",
            series="expire",
            size=size,
        )
    gc.unfreeze()


class Floor:
    """The least that a refresh could be: an address is looked up in a dict, and a time stored in an array."""

    def __init__(self, addresses: Sequence[bytes]) -> None:
        self._rows = {_copied(address): row for row, address in enumerate(addresses)}
        self._seen = array("d", bytes(8 * len(addresses)))

    def observe(self, sightings: Iterable[Sighting], now: float) -> None:
        """Do that for each sighting."""
        rows, seen = self._rows, self._seen
        for address, _, _, _ in sightings:
            seen[rows[address]] = now


def _copied(address: bytes) -> bytes:
    return bytes(bytearray(address))


def _observe_us(table: RouteTable | Floor, known: list[Sighting], now: float) -> float:
    began = time.thread_time()
    for start in range(0, len(known), 20):
        table.observe(known[start : start + 20], now)
    return (time.thread_time() - began) / len(known) * 1e6


def _expire_us(table: RouteTable, now: float, number: int) -> float:
    """Short-lived claims come and go: what is expired never shrinks the table."""
    name = b"gone%d.example.com" % number
    first = 0x64000000 + number * EXPIRED
    brief = [((first + each).to_bytes(4), "ads", name, 60) for each in range(EXPIRED)]
    table.observe(brief, now - TTL_S + 1 + number * 1e-3)
    began = time.thread_time()
    changes, _ = table.expire(now + 3, 10 * EXPIRED)
    taken = time.thread_time() - began
    assert len(changes) == EXPIRED
    return taken / len(changes) * 1e6
