"""A restart with many routes in the state file: until the tap listens, and until the first of them is said again.

The real plugin with a host that answers at once; from the start of the process, its interpreter and its lists included.
All routes are announced in the file with what the configuration says, as an earlier process with the same configuration
leaves it. Beside them an address that is new: sent as soon as the tap listens, while the claims come back.
"""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from dnstap_bgp.core.model import Attributes, Claim, RibRecord
from dnstap_bgp.core.prefix_map import SHARDS
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.state.store import Store
from tests.bench.figure import Figure, LackingError, Settings
from tests.bench.plugin_process import Host, Plugin, wait_until
from tests.integration.tap_sender import send, sightings

TOLD = Attributes(bytes((10, 99, 0, 1)), ("no-export",))
"""What the configuration of `Plugin` says."""

TAP_OPEN_S, FIRST_LINE_S = 2.0, 3.0
PATIENCE_S = 300.0


class StartingHost(Host):
    """A host that notes when the first line about routes comes, and End-of-RIB; monotonic clock."""

    def __init__(self) -> None:
        self.first_at = self.end_of_rib_at = 0.0
        super().__init__()

    def _answer(self, line: bytes, now: float) -> bytes:
        if b" nlri " in line:
            self.first_at = self.first_at or now
        if b" eor " in line:
            self.end_of_rib_at = self.end_of_rib_at or now
        return super()._answer(line, now)


def run(settings: Settings) -> Iterator[Figure]:
    """Take the figures."""
    # the larger one, with a fresh address, is as many as `[guard] max_routes` takes
    for size in [100_000, 999_999] if not settings.quick else [500]:
        settings.say(f"a state file of {size:,} routes")
        path = settings.fresh_folder("restart") / "state"
        write_state(path, size)
        taken = []
        for number in range(min(settings.rounds, 3) if size > 100_000 else settings.rounds):
            settings.say(f"{size:,} routes, round {number + 1}")
            taken.append(_start(settings.fresh_folder("restart"), path, size))
        opened, first, fresh, all_said = zip(*taken, strict=True)
        yield Figure(f"{size:,} routes: tap open", "s", opened, at_most=TAP_OPEN_S, series="tap open", size=size)
        yield Figure(
            f"{size:,} routes: first bulk line", "s", first, at_most=FIRST_LINE_S, series="first line", size=size
        )
        yield Figure(f"{size:,} routes: a fresh address, from the tap's opening on", "s", fresh)
        yield Figure(f"{size:,} routes: all said, and End-of-RIB", "s", all_said, series="all said", size=size)


def _start(folder: Path, state: Path, size: int) -> tuple[float, float, float, float]:
    """Seconds from the start until the tap is open, the first line, a fresh address's from then on, End-of-RIB."""
    shutil.copy(state, folder / "state")
    with StartingHost() as host:
        began = time.monotonic()
        with Plugin(folder, ["example"]).start(host.stdin, host.stdout).listening() as plugin:
            opened = time.monotonic()
            host.watch("20.0.0.1/32")
            send(plugin.tap, sightings("fresh.example", ["20.0.0.1"]))
            fresh = host.seen_at(PATIENCE_S)
            wait_until(lambda: host.end_of_rib_at, "End-of-RIB", PATIENCE_S)
            if host.announced <= size or host.withdrawn:
                raise LackingError(f"{host.announced} announced and {host.withdrawn} withdrawn, of {size}")
            return opened - began, host.first_at - began, fresh - opened, host.end_of_rib_at - began


def write_state(path: Path, size: int) -> None:
    """Write a state file of so many routes, two under each name, in the order of a snapshot."""
    now = process_clock()
    shards: list[list[int]] = [[] for _ in range(SHARDS)]
    for number in range(size):
        shards[number % SHARDS].append(number)

    def walk() -> Iterator[tuple[list[Claim], list[RibRecord]]]:
        for shard in shards:
            addresses = [(0x0B000000 + number).to_bytes(4) for number in shard]
            names = [b"cdn%07d.www.example" % (number // 2) for number in shard]
            yield [], [(address, TOLD) for address in addresses]
            yield (
                [
                    Claim(address, "default", name, now, now, 86_400.0)
                    for address, name in zip(addresses, names, strict=True)
                ],
                [],
            )

    store = Store(path, lambda: None)
    store.recall(lambda _: None)
    store.start(walk)
    saved = store.save().wait(PATIENCE_S)
    store.shutdown()
    store.join(10)
    assert saved
