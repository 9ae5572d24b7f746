"""A small keeper, a clock that obeys, and a store between them."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dnstap_bgp.core.model import Attributes, Claim, RibKey, RibRecord
from dnstap_bgp.core.state.timestamps import Stamp
from dnstap_bgp.workers.process.clocks import process_clock, system_clock
from dnstap_bgp.workers.state.restore import LoadReport
from dnstap_bgp.workers.state.store import Store

ONE = Attributes(bytes([10, 0, 0, 1]), ("65001:100",))
TWO = Attributes(bytes([10, 0, 0, 2]), ("65001:200",), local_preference=200)


def address(number: int) -> bytes:
    return (0x0B000000 + number).to_bytes(4, "big")


def claim(number: int, seen_ago_s: float = 0.0, ttl_s: float = 86_400.0) -> Claim:
    seen = process_clock() - seen_ago_s
    return Claim(address(number), "ads", b"host%d.example.com" % number, seen, seen - 60, ttl_s)


class Held:
    """What a keeper holds: what a store hands back is put here, and what is here it walks for a snapshot."""

    def __init__(self) -> None:
        self.claims: dict[tuple[bytes, str, bytes], Claim] = {}
        self.announced: dict[RibKey, Attributes] = {}
        self.walks = 0

    def adopt(self, claims: list[Claim]) -> None:
        self.claims.update((claim[:3], claim) for claim in claims)

    def recall(self, records: list[RibRecord]) -> None:
        for key, attributes in records:
            self.announced.pop(key, None)
            if attributes is not None:
                self.announced[key] = attributes

    def walk(self) -> Iterator[tuple[list[Claim], list[RibRecord]]]:
        self.walks += 1
        claims, announced = list(self.claims.values()), list[RibRecord](self.announced.items())
        for start in range(0, max(len(claims), len(announced)), 500):
            yield claims[start : start + 500], announced[start : start + 500]

    @property
    def addresses(self) -> set[bytes]:
        return {claim.address for claim in self.claims.values()}


class SetClock:
    """The machine's clock, with jumps."""

    def __init__(self) -> None:
        self.wall_jump_s = 0.0
        self.boottime_jump_s = 0.0
        self.boot_id: bytes | None = None
        self._clock = system_clock()

    def __call__(self) -> Stamp:
        wall_s, boottime_s, boot_id = self._clock()
        return Stamp(wall_s + self.wall_jump_s, boottime_s + self.boottime_jump_s, self.boot_id or boot_id)

    def reboot(self, off_s: float) -> None:
        """Off for so long; CLOCK_BOOTTIME begins anew."""
        self.wall_jump_s += off_s
        self.boottime_jump_s = -process_clock()
        self.boot_id = bytes(15) + bytes([(self.boot_id or bytes(16))[15] + 1])


class Life:
    """One process's life with a state file: lock, load, start; `end` or `die`."""

    def __init__(self, path: Path, held: Held | None = None, **options: object) -> None:
        self.held = held or Held()
        self.crashes: list[str] = []
        self.store = Store(path, lambda: self.crashes.append("crash"), **options)  # type: ignore[arg-type] # of the test
        assert self.store.lock(threading.Event())
        self.report = load(self.store, self.held)
        self.store.start(self.held.walk)

    def announce(self, *numbers: int, attributes: Attributes = ONE, wait_s: float = 60.0) -> bool:
        announced = [(address(number), attributes) for number in numbers]
        claims = [claim(number) for number in numbers]
        self.held.announced.update(announced)
        self.held.adopt(claims)
        return self.store.append(claims=claims, records=announced).wait(wait_s)

    def withdraw(self, *numbers: int, wait_s: float = 60.0) -> bool:
        for number in numbers:
            self.held.announced.pop(address(number), None)
        return self.store.append(records=[(address(number), None) for number in numbers]).wait(wait_s)

    def end(self) -> None:
        self.store.shutdown()
        assert self.store.join(60.0)
        assert not self.crashes


def read(path: Path, clock: Callable[[], Stamp] | None = None) -> tuple[Held, LoadReport]:
    """What a successor would find."""
    held = Held()
    store = Store(path, lambda: None, clock=clock)
    report = load(store, held)
    store.shutdown()
    return held, report


def load(store: Store, held: Held) -> LoadReport:
    """Read all of the file, before the store is started."""
    store.recall(held.recall)
    report = store.adopt(held.adopt)
    assert report is not None
    store.end_restore()
    return report


def until(condition: Callable[[], bool], deadline_s: float = 60.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.005)
