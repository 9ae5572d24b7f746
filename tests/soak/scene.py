"""Scene of the soak: two members, each with ExaBGP and routers, a churning authority, unbound with dnsperf, Redis.

member one    authority and unbound beside it, two BIRDs that different lists serve (two views), state on a small disk
member two    hears of everything by the sync, from member one and from Redis; one BIRD
"""

import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.integration.fleet import Fleet, Member, fleet_of
from tests.integration.lab import Daemon, eventually, run
from tests.integration.resolvers import Authority, Unbound
from tests.integration.routers import Bird, Session
from tests.integration.speaker import peer
from tests.integration.test_sync_redis import ENGINE, Engine

LISTS = ("red", "green", "blue")
NAMES = 120
"""Of each list."""
POOL = 1500
"""Addresses of each list, of which its names have some at any time."""
TTL_S = 120
DISK_BYTES = 8 << 20

SHIFT = """\
import os, time
_time, _path = time.time, os.environ.get("SOAK_CLOCK", "")
_state = [0.0, 0.0]
def _shift():
    now = time.monotonic()
    if now >= _state[0]:
        _state[0] = now + 0.5
        try:
            with open(_path) as file:
                _state[1] = float(file.read() or 0)
        except (OSError, ValueError):
            pass
    return _state[1]
time.time = lambda: _time() + _shift()
"""
"""A sitecustomize.py that shifts a Python process's wall clock by the seconds that a file has."""


class ChurningAuthority(Authority):
    """The authority: `nN.LIST.example.`, whose addresses move on with each `rotate`."""

    def __init__(self, member: Member, chance: random.Random) -> None:
        self._chance, self._serial = chance, 1
        super().__init__(member.lab, self._zone())

    def rotate(self) -> None:
        self._serial += 1
        path = self._folder / "example.zone"
        path.with_suffix(".new").write_text(self._zone())
        path.with_suffix(".new").replace(path)
        assert self._daemon
        self._daemon.signal(signal.SIGHUP)

    def _zone(self) -> str:
        lines = [
            f"$ORIGIN example.\n$TTL 3\n@ SOA ns hostmaster {self._serial} 3600 600 86400 3\n@ NS ns\nns A 127.0.0.1"
        ]
        lines.append('ready TXT "yes"')
        for place, name in enumerate(LISTS):
            for number in range(NAMES):
                for _ in range(2):
                    address = self._chance.randrange(POOL)
                    lines.append(f"n{number}.{name} A 11.{place + 1}.{address >> 8}.{address & 255}")
                if number % 4 == 0:
                    lines.append(f"n{number}.{name} AAAA 2600:{place + 1}::{self._chance.randrange(POOL // 4):x}")
        return "\n".join(lines) + "\n"


class Scene:
    """All of it, running."""

    def __init__(self, fleet: Fleet, disk: Path, seed: int) -> None:
        self.fleet, self.disk, self.chance = fleet, disk, random.Random(seed)
        self._clocks = fleet.folder / "clocks"
        self._clocks.mkdir()
        (self._clocks / "sitecustomize.py").write_text(SHIFT)
        self.engine = Engine(fleet, fleet.folder)
        self.engine.start()
        self.one = self._member(1, disk / "state.msgpack")
        self.green = Bird(self.one.lab, Session(3))
        self.one.config["bgp"]["peers"].append(peer(self.green.session))
        lists = self._lists(peers={"red": ["10.99.0.2"], "blue": ["10.99.0.3"]})
        self.one.config["list"] = lists
        self.one.write()
        self.two = self._member(2, None)
        self.two.config["list"] = self._lists(peers={})
        self.two.write()
        self.authority = ChurningAuthority(self.one, self.chance)
        self.unbound = Unbound(self.one.lab, str(self.one.tap))
        self.members = {"one": self.one, "two": self.two}
        self._perf: Daemon | None = None
        for part in (self.one.bird, self.green, self.two.bird, self.authority, self.one, self.two, self.unbound):
            part.start()

    def routers(self, who: str) -> list[Bird]:
        return [self.one.bird, self.green] if who == "one" else [self.two.bird]

    # -- the load

    def load(self) -> None:
        """Have dnsperf ask, for as long as it is not stopped."""
        queries = self.fleet.folder / "queries"
        kinds = [
            f"n{number}.{name}.example {kind}\n" for name in LISTS for number in range(NAMES) for kind in ("A", "AAAA")
        ]
        self.chance.shuffle(kinds)
        queries.write_text("".join(kinds))
        words = [
            "-s",
            "127.0.0.1",
            "-p",
            str(self.unbound.port),
            "-d",
            str(queries),
            "-Q",
            "300",
            "-q",
            "50",
            "-t",
            "1",
        ]
        self._perf = self.one.lab.start("dnsperf", ["dnsperf", *words, "-l", "100000"], self.one.lab.host)

    def rest(self) -> None:
        if self._perf is not None and self._perf.alive():
            self._perf.kill()

    # -- what is done to it

    def reload(self) -> None:
        """Add a name to one list of each member, or take it away."""
        for member in self.members.values():
            file = member.folder / "green.txt"
            lines = set(file.read_text().splitlines())
            file.write_text("".join(f"{line}\n" for line in lines ^ {"*.more.example"}))
            member.hup()

    def switch(self) -> None:
        """Switch a list off and on again."""
        name = self.chance.choice(LISTS)
        self._say("lists", "disable", name)
        time.sleep(2)
        self._say("lists", "enable", name)

    def _say(self, *words: str) -> None:
        """Run a command with member one, until it can be reached: its plugin may have just been killed."""

        def said() -> bool:
            self.one.run(*words)
            return True

        eventually(said, 60, " ".join(words))

    def flap(self) -> None:
        """Cut the link to the routers for some seconds."""
        self.one.lab.cut()
        time.sleep(3)
        self.one.lab.mend()

    def kill_router(self) -> None:
        self.green.kill()
        time.sleep(1)
        self.green.start()

    def kill_resolver(self) -> None:
        self.unbound.daemon.kill()
        time.sleep(1)
        self.unbound.start()

    def kill_engine(self) -> None:
        self.engine.kill()
        time.sleep(2)
        self.engine.start()

    def part(self) -> None:
        """Take member two off the switch for some seconds."""
        self.fleet.part(2)
        time.sleep(5)
        self.fleet.heal(2)

    def fill_disk(self) -> None:
        """Fill the disk of the state file for some seconds."""
        filler = self.disk / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        time.sleep(6)
        filler.unlink()

    def step_clock(self) -> None:
        """Step member two's wall clock by an hour, and back later."""
        file = self._clocks / "two"
        file.write_text("0" if float(file.read_text()) else str(self.chance.choice((3600.0, -3600.0))))

    def kill_plugin(self) -> None:
        with suppress(AssertionError, OSError, ValueError):
            os.kill(self.one.plugin_pid(), signal.SIGKILL)
        self._use()

    def kill_host(self) -> None:
        """Kill ExaBGP, with which `up` ends, and start it again as systemd would."""
        os.kill(self.one.host_pid(), signal.SIGKILL)
        eventually(lambda: not self.one.daemon.alive(), 30, "`up` ends with its ExaBGP")
        self.one.start()
        self._use()

    def _use(self) -> None:
        """Have a plugin that has just started do what it makes a thread for with the first use, and keeps: no slope."""
        self.switch()

    # -- building

    def _member(self, number: int, state: Path | None) -> Member:
        (self._clocks / ("one" if number == 1 else "two")).write_text("0")
        env = {
            "PYTHONPATH": f"{self._clocks}{os.pathsep}{Path(__file__).parents[2] / 'plugin'}",
            "SOAK_CLOCK": str(self._clocks / ("one" if number == 1 else "two")),
        }
        other = f"10.98.0.{3 - number}:8080"
        syncer = {"peers": [other], "redis": f"redis://{ENGINE}:6379/0"}
        config = {"cache": str(state)} if state is not None else {}
        member = Member(self.fleet.labs[number - 1], number, syncer, env, ttl=f"{TTL_S}s", **config)
        if state is not None:
            member.state = state
        self.fleet.members.append(member)
        for name in LISTS:
            (member.folder / f"{name}.txt").write_text(f"{name}.example\n")
        return member

    def _lists(self, peers: Mapping[str, list[str]]) -> list[dict[str, object]]:
        return [
            {"name": name, "sources": f"{name}.txt", **({"peers": peers[name]} if name in peers else {})}
            for name in LISTS
        ]


@contextmanager
def soaking(folder: Path, seed: int) -> Iterator[Scene]:
    """A scene, which is ended."""
    disk = Path(tempfile.mkdtemp(prefix="soak-"))
    run("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk))
    try:
        with fleet_of(folder, 2) as fleet:
            scene = Scene(fleet, disk, seed)
            try:
                yield scene
            finally:
                scene.rest()
                scene.engine.kill()
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=False)
        disk.rmdir()
