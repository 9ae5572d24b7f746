"""The state file at 10,000, 100,000 and 1,000,000 routes: restore, save, the stalls of a save, and bytes an hour.

    python -m tests.bench.store [--json FILE] [SIZE ...]

Restore is into the keeper's own table, as at a start. The stall is the longest time that a thread which only counts
could not run while a snapshot was written; beside it stands the same without a snapshot, and with another thread that
only counts (what CPython's hand-over costs by itself).
"""

import argparse
import gc
import json
import logging
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.model import Attributes, Claim, Policy
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.core.state.pending import Pending
from dnstap_bgp.workers.process.clocks import process_clock, system_clock
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.state.statefile import StateFile
from dnstap_bgp.workers.state.store import Store
from dnstap_bgp.workers.state.wal import WriteAheadLog
from dnstap_bgp.workers.state.write_queue import WriteQueue
from tests.bench.figure import Figure, Settings

TTL_S = 86_400.0
ATTRIBUTES = Attributes(bytes([10, 0, 0, 1]), ("65001:100",))
POLICY = Policy("ads", ATTRIBUTES, None, TTL_S)


def run(settings: Settings) -> Iterator[Figure]:
    """Take the figures, each size in a process of its own."""
    for size in [10_000, 100_000, 1_000_000] if not settings.quick else [500]:
        rounds = min(settings.rounds, 3) if size < 1_000_000 else 1
        taken = []
        for number in range(rounds):
            settings.say(f"{size:,} routes, round {number + 1} of {rounds}")
            file = settings.folder / "store.json"
            command = [sys.executable, "-m", "tests.bench.store", str(size), "--sizes-only", "--json", str(file)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=settings.folder)
            taken.append(json.loads(file.read_text())["sizes"][0])
        for key, title, unit, scale in SHOWN:
            by = size if key in PER_ROUTE else 1
            values = tuple(one[key] / by * scale for one in taken)
            yield Figure(f"{title}, {size:,} routes", unit, values, series=f"store: {title}", size=size)


SHOWN = (
    ("save_s", "a save, for each route", "us", 1e6),
    ("restore_s", "a restore, for each route", "us", 1e6),
    ("lock_held_max_ms", "longest hold of the keeper's lock in a save", "ms", 1.0),
    ("stall_max_ms", "longest stall of another thread in a save", "ms", 1.0),
    ("ticket_p50_us", "until a record is written, p50", "us", 1.0),
    ("ticket_p99_us", "until a record is written, p99", "us", 1.0),
)
PER_ROUTE = ("save_s", "restore_s")


class TimedLock:
    """A lock that notes how long it is held each time."""

    def __init__(self) -> None:
        self.held_s: list[float] = []
        self._lock = threading.Lock()
        self._began = 0.0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        got = self._lock.acquire(blocking, timeout)
        self._began = time.thread_time()  # whoever wants the lock gives up the interpreter, so only this delays it
        return got

    def release(self) -> None:
        self.held_s.append(time.thread_time() - self._began)
        self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Held(Keeper):
    """The keeper with a lock that can be looked at."""

    def __init__(self) -> None:
        rules = RuleSet.build([("ads", [Rule(b"example.com")])])
        super().__init__(RouteTable(Policies([POLICY], Guard())), Views(), rules)
        self.timed = TimedLock()
        self.lock = self.timed  # type: ignore[assignment]  # stands in for a threading.Lock
        self.work = threading.Condition(self.timed)  # type: ignore[arg-type]  # the same

    @property
    def held_s(self) -> list[float]:
        return self.timed.held_s


def claims(count: int) -> Iterator[list[Claim]]:
    now = process_clock()
    rng = random.Random(1)
    for start in range(0, count, 1000):
        yield [
            Claim(
                (0x0B000000 + number).to_bytes(4, "big"),
                "ads",
                b"cdn%d.host%d.example.com" % (number % 7, number // 2),
                now - rng.random() * TTL_S / 3,
                now - TTL_S,
                TTL_S,
            )
            for number in range(start, min(start + 1000, count))
        ]


def measure(path: Path, routes: int) -> dict[str, float]:
    """All figures of one size."""
    figures = {"routes": float(routes)} | measure_saving(path, routes) | {"file_bytes": path.stat().st_size}
    gc.unfreeze()
    gc.collect()
    bare_s = timed(lambda: restore(path, lambda _: None, lambda _told: None))
    into = Held()
    whole_s = timed(lambda: restore(path, into.adopt, into.recall))
    assert len(into.table) == routes
    return figures | {"restore_s": whole_s, "restore_without_table_s": bare_s}


def measure_saving(path: Path, routes: int) -> dict[str, float]:
    held = Held()
    for chunk in claims(routes):
        held.adopt(chunk)
        held.recall([(claim.address, ATTRIBUTES) for claim in chunk])
    gc.collect()
    gc.freeze()  # as the plugin does after its restore
    store = Store(path, lambda: None)
    assert store.lock(threading.Event())
    store.recall(held.recall)
    store.adopt(held.adopt)
    store.start(held.walk)
    assert store.save().wait(120)

    idle = longest_gaps(lambda: time.sleep(1.0))
    with counting():
        contended = longest_gaps(lambda: time.sleep(1.0))
    save_s = timed(lambda: store.save().wait(120))
    held.held_s.clear()
    stalls = longest_gaps(lambda: store.save().wait(120))
    quiet = tickets(store, 2000)
    saving = store.save()
    busy = tickets(store, 200)
    saving.wait(120)
    store.shutdown()
    shutdown_s = timed(lambda: store.join(10))
    return {
        "save_s": save_s,
        "lock_held_max_ms": max(held.held_s) * 1e3,
        "stall_max_ms": max(stalls) * 1e3,
        "stall_p99_ms": percentile_99(stalls) * 1e3,
        "stall_idle_max_ms": max(idle) * 1e3,
        "stall_two_threads_max_ms": max(contended) * 1e3,
        "ticket_p50_us": statistics.median(quiet) * 1e6,
        "ticket_p99_us": percentile_99(quiet) * 1e6,
        "ticket_during_save_p50_us": statistics.median(busy) * 1e6,
        "ticket_during_save_p99_us": percentile_99(busy) * 1e6,
        "shutdown_ms": shutdown_s * 1e3,
    }


def percentile_99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def restore(path: Path, adopt: Callable[[list[Claim]], None], recall: Callable[..., None]) -> None:
    store = Store(path, lambda: None)
    gc.disable()  # as the plugin does while it restores
    store.recall(recall)
    store.adopt(adopt)
    gc.enable()
    store.shutdown()


def tickets(store: Store, count: int) -> list[float]:
    waits = []
    for number in range(count):
        announced = [((0x0B000000 + number).to_bytes(4, "big"), ATTRIBUTES)]
        waits.append(timed(lambda: store.append(records=announced).wait(10)))  # noqa: B023 - called at once
        time.sleep(0.0005)
    return waits


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def longest_gaps(work: Callable[[], object]) -> list[float]:
    """The gaps of over 50 us in a counting thread's run during the work."""
    gaps, end = [0.0, 0.0], threading.Event()

    def count() -> None:
        last = time.perf_counter()
        while not end.is_set():
            now = time.perf_counter()
            if now - last > 50e-6:
                gaps.append(now - last)
            last = now

    thread = threading.Thread(target=count)
    thread.start()
    work()
    end.set()
    thread.join()
    return gaps


class counting:  # noqa: N801 - reads as a verb
    """Another thread that only counts."""

    def __enter__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._count)
        self._thread.start()

    def _count(self) -> None:
        while not self._end.is_set():
            pass

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def bytes_an_hour(path: Path, routes: int, new_a_second: float) -> dict[str, float]:
    """What an hour writes: every route stays in use, some are new, as many end.

    Virtual time: the keeper's rule (a record when the deadline moved by 1/20 of the TTL), its tick of 0.25 s, one
    record before each announce and after each withdraw, a sync every 5 s.
    """
    queue, file, clock = WriteQueue(Pending()), StateFile(path), system_clock()
    journal = WriteAheadLog(file, queue, clock, 5.0)
    known = [claim for chunk in claims(routes) for claim in chunk]
    journal.walk = lambda: iter([(known, [(claim.address, ATTRIBUTES) for claim in known])])
    journal.prepare()
    journal.snapshot()
    before, disk_before = journal.written_bytes, _written_to_disk()
    rng, records, fresh = random.Random(2), 0, 0.0
    refreshes = routes * 3600 / (TTL_S / 20)
    for tick in range(4 * 3600):
        due = round(refreshes * (tick + 1) / 14_400) - round(refreshes * tick / 14_400)
        if due:
            queue.append([rng.choice(known)._replace(seen=process_clock()) for _ in range(due)], [])
            journal.serve()
        fresh += new_a_second / 4
        while fresh >= 1:
            fresh -= 1
            claim = rng.choice(known)._replace(seen=process_clock(), first=process_clock())
            queue.append([claim], [(claim.address, ATTRIBUTES)])
            journal.serve()
            queue.append([], [(claim.address, None)])
            journal.serve()
            records += 3
        records += due
        if tick % 20 == 19:
            journal.sync()
        if journal.wanted():
            journal.snapshot()
    file.close()
    written = journal.written_bytes - before
    return {
        "routes": routes,
        "new_a_second": new_a_second,
        "records": records,
        "bytes_an_hour": written,
        "page_bytes_an_hour": _written_to_disk() - disk_before,
        "snapshots": journal.snapshots - 1,
    }


def _written_to_disk() -> int:
    """What the kernel counts for this process: whole pages."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines())
    return int(lines["write_bytes"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[10_000, 100_000, 1_000_000], metavar="SIZE")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    parser.add_argument("--sizes-only", action="store_true", help="leave out the hours")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    rows, hours = [], []
    with tempfile.TemporaryDirectory(prefix="dnstap-bgp-bench-", dir=".") as folder:
        for size in options.sizes:
            rows.append(measure(Path(folder) / f"{size}.msgpack", size))
            print(json.dumps(rows[-1], indent=2))  # noqa: T201 - its purpose
        for routes, new_a_second in () if options.sizes_only else ((1000, 0.1), (10_000, 1.0), (100_000, 5.0)):
            hours.append(bytes_an_hour(Path(folder) / "hour.msgpack", routes, new_a_second))
            print(json.dumps(hours[-1]))  # noqa: T201 - its purpose
    if options.json:
        options.json.write_text(json.dumps({"sizes": rows, "hours": hours}, indent=2), encoding="ascii")


if __name__ == "__main__":
    main()
