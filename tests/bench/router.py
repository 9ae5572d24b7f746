"""Through a real ExaBGP to a BGP neighbor: bulk, a fresh address meanwhile, and latency.

ExaBGP's api process is a relay that hands its pipes over: to a plain windowed generator (lines of the shape that is
fastest for ExaBGP, made beforehand, one written for each answered), and to the real plugin, one after the other and
in turns, in the same ExaBGP. The neighbor is a process that only counts.

`bulk` is what the plugin restores from its state file; the time runs from the first route at the neighbor to the last.
`latency` is from a frame written to the tap, or a line to ExaBGP's pipe, to the neighbor; also while another connection
is blasted with frames as fast as the tap takes them.
"""

import os
import pwd
import random
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from dnstap_bgp.commands import host
from dnstap_bgp.core.exabgp import grammar
from dnstap_bgp.core.exabgp.grammar import IPV4, IPV6, Verb
from dnstap_bgp.core.model import Address, Attributes, Claim
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.state.store import Store
from tests.bench import traffic
from tests.bench.blaster import Blaster
from tests.bench.figure import Figure, LackingError, Settings, percentile
from tests.bench.plugin_process import NEXT_HOP, NEXT_HOP_V6, Plugin, cpu_s, wait_until
from tests.bench.sink import Sink
from tests.integration.hook_asker import GAVE_UP, INSTALLED, Asker
from tests.integration.tap_sender import TapSender
from tests.ports import free_port
from tests.workers.exabgp.exabgp_host import Host, Process, neighbor

ROUTES = 20_000
SHAPES = {IPV4: (49, 2), IPV6: (24, 1)}
"""Prefixes a line and lines unanswered with which ExaBGP alone is fastest."""
ATTRIBUTES = {
    IPV4: Attributes(socket.inet_aton(NEXT_HOP), ("no-export",)),
    IPV6: Attributes(socket.inet_pton(socket.AF_INET6, NEXT_HOP_V6), ("no-export",)),
}
"""What the plugin says by default: each word more costs ExaBGP some time."""
PROBES = 60
BULK_PROBES = 40
SHARE = 0.05
FRAMES = 100_000
"""What saturates the tap is the traffic of the area `saturated`."""


def run(settings: Settings) -> Iterator[Figure]:
    """Take the figures."""
    routes, probes = settings.size(ROUTES, 500), settings.size(PROBES, 5)
    for family in (IPV4, IPV6):
        plain, ours = [], []
        for number in range(settings.rounds):
            settings.say(f"bulk, {family}, round {number + 1}")
            with Scene(settings.fresh_folder("router")) as scene:
                # half before and half after, so that a machine that changes its pace meets both
                before = scene.generated(family, routes // 2)
                ours.append(scene.restored(family, routes))
                plain.append(before + scene.generated(family, routes // 2))
        pace, paces = (tuple(bulk.routes_a_s for bulk in column) for column in (ours, plain))
        yield Figure(f"bulk of {routes:,}, {family}", "routes/s", pace, paces, "plain generator", at_least=0.95)
        busy, busies = (tuple(bulk.cpu_s / bulk.seconds for bulk in column) for column in (ours, plain))
        yield Figure(f"of that time ExaBGP is busy, {family}", "", busy, busies, "plain generator")
    yield from _latencies(settings, routes, probes)
    yield from _saturated(settings)
    yield from _patches(settings, routes, probes)


def _latencies(settings: Settings, routes: int, probes: int) -> Iterator[Figure]:
    bare, idle, busy = [], [], []
    for number in range(settings.rounds):
        settings.say(f"latency, round {number + 1}")
        with Scene(settings.fresh_folder("router")) as scene:
            bare.append(scene.bare_latency_ms(probes))
            idle.append(scene.plugin_latency_ms(probes))
            busy.append(scene.restore_latency_ms(routes))
    for percent, at_most, busy_at_most in ((50, 1.0, 10.0), (95, None, 30.0)):
        ours, theirs, under = ([percentile(values, percent) for values in column] for column in (idle, bare, busy))
        yield Figure(f"frame to neighbor, idle, p{percent}", "ms", tuple(ours), tuple(theirs), "bare api process")
        more = tuple(one - other for one, other in zip(ours, theirs, strict=True))
        yield Figure(f"frame to neighbor, more than a bare api process, p{percent}", "ms", more, at_most=at_most)
        more = tuple(one - other for one, other in zip(under, ours, strict=True))
        yield Figure(f"fresh address during a restore, p{percent}", "ms", tuple(under), tuple(ours), "idle")
        yield Figure(f"fresh address during a restore, more than idle, p{percent}", "ms", more, at_most=busy_at_most)


def _patches(settings: Settings, routes: int, probes: int) -> Iterator[Figure]:
    """Measure ExaBGP with our patches (`commands.host_patches`) against the same without, each round one of either."""
    bulks: dict[bool, dict[str, list[Bulk]]] = {True: {IPV4: [], IPV6: []}, False: {IPV4: [], IPV6: []}}
    seconds: dict[bool, list[list[float]]] = {True: [], False: []}
    kb: dict[bool, list[float]] = {True: [], False: []}
    two: list[Bulk] = []
    for number in range(settings.rounds):
        for patched in (True, False):
            settings.say(f"ExaBGP {'with' if patched else 'without'} patches, round {number + 1}")
            with Scene(settings.fresh_folder("router"), patched=patched) as scene:
                seconds[patched].append(scene.second_latency_ms(probes))
                before_kb = scene.exabgp_kb()
                for family in (IPV4, IPV6):
                    bulks[patched][family].append(scene.generated(family, routes))
                kb[patched].append((scene.exabgp_kb() - before_kb) / (2 * routes))
        with Scene(settings.fresh_folder("router"), neighbors=2) as scene:
            two.append(scene.generated(IPV4, routes))
    for family, at_least in ((IPV4, 1.7), (IPV6, 1.5)):
        ours, theirs = (tuple(one.routes_a_s for one in bulks[patched][family]) for patched in (True, False))
        name = f"bulk of {routes:,} from a plain generator, {family}"
        yield Figure(name, "routes/s", ours, theirs, "ExaBGP without patches", at_least=at_least)
        ours, theirs = (tuple(one.cpu_s / routes * 1e6 for one in bulks[patched][family]) for patched in (True, False))
        yield Figure(f"ExaBGP's CPU for it, {family}", "us a route", ours, theirs, "ExaBGP without patches")
    ours, theirs = (tuple(one.cpu_s / routes * 1e6 for one in of) for of in (two, bulks[True][IPV4]))
    yield Figure("ExaBGP's CPU with two neighbors", "us a route", ours, theirs, "one neighbor", at_most=1.4)
    yield Figure("ExaBGP's memory", "KB a route and neighbor", tuple(kb[True]), at_most=0.9)
    yield Figure("the same without patches", "KB a route and neighbor", tuple(kb[False]))
    ours, theirs = (tuple(percentile(values, 95) for values in seconds[patched]) for patched in (True, False))
    yield Figure("the second of two updates after the first, p95", "ms", ours, at_most=2.0)
    yield Figure("the same without patches", "ms", theirs)


def _saturated(settings: Settings) -> Iterator[Figure]:
    universe = traffic.Universe(SHARE)
    stream = settings.folder / "router.stream"
    stream.write_bytes(traffic.stream(traffic.resolver(universe, settings.size(FRAMES, 5000))))
    found = []
    for number in range(settings.rounds):
        settings.say(f"latency while the tap is saturated, round {number + 1}")
        with Scene(settings.fresh_folder("router")) as scene:
            found.append(scene.saturated_latency_ms(settings.size(PROBES, 5), stream, map(str, universe.rules)))
    for percent, at_most in ((50, None), (99, 50.0)):
        values = tuple(percentile(values, percent) for values in found)
        yield Figure(f"frame to neighbor, tap saturated, p{percent}", "ms", values, at_most=at_most)


@dataclass(frozen=True)
class Bulk:
    """How many routes came to the neighbor in how many seconds, and ExaBGP's CPU seconds meanwhile."""

    routes: int
    seconds: float
    cpu_s: float

    @property
    def routes_a_s(self) -> float:
        """The rate."""
        return self.routes / self.seconds

    def __add__(self, other: "Bulk") -> "Bulk":
        return Bulk(self.routes + other.routes, self.seconds + other.seconds, self.cpu_s + other.cpu_s)


class Scene:
    """One ExaBGP with one neighbor, or with others that are sent the same; its api process is who takes the pipes."""

    def __init__(self, folder: Path, *, patched: bool = True, neighbors: int = 1) -> None:
        port = free_port()
        self._folder = folder
        self.neighbors = neighbors
        self.sink, *self._others = [Sink(f"127.0.0.{2 + number}", port) for number in range(neighbors)]
        self._host = HostOfUp(folder, [neighbor(f"127.0.0.{2 + number}", port) for number in range(neighbors)])
        self._host.patched = patched
        if not Path(sys.executable).with_name("exabgp").exists():
            raise LackingError("ExaBGP isn't installed in this Python's environment (pip install .)")
        self._host.start()
        self._process: Process = self._host.accept()
        assert self._host.process is not None
        self._exabgp_pid = self._host.process.pid
        self._pipe = Pipe(self._process.stdin, self._process.stdout)
        self._addresses = Addresses()
        self._pipe.say(b"enable-ack\n")
        self._pipe.answered()
        self._await_session()

    def generated(self, family: str, count: int) -> Bulk:
        """What a plain windowed generator gets to the neighbor."""
        size, window = SHAPES[family]
        addresses = self._addresses.take(family, count)
        attributes = ATTRIBUTES[family]
        lines = [
            grammar.route_line(Verb.ANNOUNCE, attributes, addresses[at : at + size]) for at in range(0, count, size)
        ]
        for sink in (self.sink, *self._others):
            sink.reset()
        before = cpu_s(self._exabgp_pid)
        self._pipe.run(lines, window)
        return self._bulk(count, before)

    def restored(self, family: str, count: int) -> Bulk:
        """What the plugin gets to the neighbor from its state file."""
        with self._plugin(self._addresses.take(family, count)):
            before = cpu_s(self._exabgp_pid)
            return self._bulk(count, before)

    def bare_latency_ms(self, count: int) -> list[float]:
        """From a written line to the neighbor."""
        attributes = ATTRIBUTES[IPV4]
        found: list[float] = []
        for address in self._addresses.take(IPV4, count):
            line = grammar.route_line(Verb.ANNOUNCE, attributes, [address])
            found.append(self._probe(address, lambda: self._pipe.say(line)))  # noqa: B023 - called at once
            self._pipe.answered()
        return found

    def second_latency_ms(self, count: int) -> list[float]:
        """From one update's arrival at the neighbor to that of another one, whose line is written right behind."""
        found: list[float] = []
        for _ in range(count):
            time.sleep(random.uniform(0.05, 0.1))  # the neighbor's last ACK is over by then
            addresses = self._addresses.take(IPV4, 2)
            lines = [
                grammar.route_line(Verb.ANNOUNCE, replace(ATTRIBUTES[IPV4], med=med), [address])
                for med, address in enumerate(addresses)
            ]
            self.sink.reset()
            self._pipe.say(b"".join(lines))
            wait_until(lambda: self.sink.status()["routes"] >= 2, "two updates")
            status = self.sink.status()
            found.append((status["last"] - status["first"]) * 1000)
            for _ in lines:
                self._pipe.answered()
        return found

    def exabgp_kb(self) -> int:
        """What ExaBGP has resident."""
        status = Path(f"/proc/{self._exabgp_pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])

    def plugin_latency_ms(self, count: int) -> list[float]:
        """From a written frame to the neighbor."""
        with self._plugin([]) as plugin, TapSender(plugin.tap) as sender:
            self._frame_probe(sender)  # by then all that a start brings is over
            return [self._frame_probe(sender) for _ in range(count)]

    def saturated_latency_ms(self, count: int, stream: Path, domains: Iterable[str]) -> list[float]:
        """The same while another connection sends all that the tap takes."""
        with (
            self._plugin([], [*domains, "example"]) as plugin,
            TapSender(plugin.tap) as sender,
            Blaster(plugin.tap, stream),
        ):
            before = -1
            while (routes := self.sink.status()["routes"]) != before:  # what the stream brings is told first
                before = routes
                time.sleep(0.5)
            return [self._frame_probe(sender) for _ in range(count)]

    def restore_latency_ms(self, routes: int) -> list[float]:
        """The same while a restore is under way."""
        self.sink.reset()
        found: list[float] = []
        with self._plugin(self._addresses.take(IPV4, routes)) as plugin, TapSender(plugin.tap) as sender:
            wait_until(lambda: self.sink.status()["routes"], "the restore begins")
            while len(found) < BULK_PROBES and self.sink.status()["routes"] < routes * 0.9:
                found.append(self._frame_probe(sender))
            wait_until(lambda: self.sink.status()["routes"] >= routes, "the restore ends")
        return found

    def held_latency_ms(self, count: int, routes: int = 0) -> list[float]:
        """From a hook's question for a new address to ExaBGP's acknowledgment; beside a restore of so many routes."""
        self.sink.reset()
        found: list[float] = []
        with self._plugin(self._addresses.take(IPV4, routes), hold=True) as plugin, Asker(plugin.hold) as hook:
            await_held(hook, self._addresses)
            for _ in range(count):
                if routes and self.sink.status()["routes"] >= routes * 0.9:
                    break
                time.sleep(random.uniform(0.02, 0.06))  # as in `_probe`
                found += held_ms(hook, self._addresses)
            wait_until(lambda: self.sink.status()["routes"] >= routes, "the restore ends")
        if not found:
            raise LackingError("no answer was held while it was measured: the machine is too fast, or too slow")
        return found

    def _frame_probe(self, sender: TapSender) -> float:
        (address,) = self._addresses.take(IPV4, 1)
        asked = traffic.Host("www.example", (), traffic.A, (address,), 300)
        frame = traffic.frame(traffic.response(asked))
        return self._probe(address, lambda: sender.send([frame]))

    def _probe(self, address: Address, say: Callable[[], None]) -> float:
        time.sleep(random.uniform(0.02, 0.06))  # ExaBGP's loop must not be met always at the same point
        self.sink.watch(address)
        began = time.monotonic()
        say()
        seen = self.sink.seen_at()
        if seen is None:
            raise LackingError("an address never came to the neighbor")
        return (seen - began) * 1000

    def _plugin(
        self, addresses: Sequence[Address], domains: Sequence[str] = ("example",), *, hold: bool = False
    ) -> "Running":
        folder = self._folder / f"plugin{len(list(self._folder.iterdir()))}"
        folder.mkdir()
        plugin = Plugin(folder, domains, hold=hold)
        if addresses:
            _write_state(plugin.state, addresses)
        self.sink.reset()
        return Running(plugin, self._process, self._pipe)

    def _bulk(self, count: int, before_cpu_s: float) -> Bulk:
        """Wait for the last route; the time runs from the first."""
        wait_until(lambda: self.sink.status()["routes"] >= count, "all routes come to the neighbor")
        for other in self._others:
            wait_until(lambda: other.status()["routes"] >= count, "all routes come to the others")  # noqa: B023 - at once
        busy_s = cpu_s(self._exabgp_pid) - before_cpu_s
        status = self.sink.status()
        return Bulk(count - status["routes_first"], status["last"] - status["first"], busy_s)

    def _await_session(self) -> None:
        def established() -> bool:
            self._pipe.say(b"show neighbor json\n")
            return self._pipe.answered().count(b"ESTABLISHED") == self.neighbors

        wait_until(established, "the BGP sessions", 30)

    def close(self) -> None:
        """End ExaBGP and the neighbor."""
        self._process.die()
        self._host.close()
        for sink in (self.sink, *self._others):
            sink.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class HostOfUp(Host):
    """ExaBGP as `dnstap-bgp up` starts it."""

    patched = True

    def start(self) -> Self:
        """Start it."""
        environment = {
            "exabgp_daemon_user": pwd.getpwuid(os.getuid()).pw_name,
            "exabgp_tcp_bind": "",
            "exabgp_log_level": "ERROR",
            "exabgp_api_cli": "false",
        }
        with self.log.open("ab") as log:
            self.process = host.spawn(self._conf, os.environ | environment, log.fileno(), patched=self.patched)
        return self


@dataclass(frozen=True)
class Running:
    """A plugin that has the pipes for a while."""

    plugin: Plugin
    process: Process
    pipe: "Pipe"

    def __enter__(self) -> Plugin:
        return self.plugin.start(self.process.stdin, self.process.stdout).listening()

    def __exit__(self, *_: object) -> None:
        self.plugin.stop()
        os.set_blocking(self.process.stdout, True)
        self.pipe.drain()


class Pipe:
    """ExaBGP's pipes in the bench's own hands."""

    def __init__(self, stdin: int, stdout: int) -> None:
        self._stdin, self._stdout = stdin, stdout
        self._rest = b""

    def say(self, line: bytes) -> None:
        """Write a line."""
        os.write(self._stdout, line)

    def answered(self) -> bytes:
        """Wait for the next `done`; gives what came before it."""
        before = b""
        while True:
            while b"\n" not in self._rest:
                self._rest += os.read(self._stdin, 1 << 16)
            line, _, self._rest = self._rest.partition(b"\n")
            if line in (b"done", b"error"):
                return before
            before += line

    def run(self, lines: Sequence[bytes], window: int) -> None:
        """Write all lines, never more than `window` unanswered."""
        for line in lines[:window]:
            self.say(line)
        for line in lines[window:]:
            self.answered()
            self.say(line)
        for _ in lines[:window]:
            self.answered()

    def drain(self) -> None:
        """Take what a plugin has left unanswered: a query that only we ask comes last."""
        self.say(b"show neighbor last-one summary\n")
        while b"Peer " not in self.answered():
            pass


class Addresses:
    """Hands out every address once."""

    def __init__(self) -> None:
        self._next = {IPV4: 0x0B000001, IPV6: 0x2600 << 112 | 1}

    def take(self, family: str, count: int) -> list[Address]:
        """So many of a family."""
        first = self._next[family]
        self._next[family] += count
        width = 4 if family == IPV4 else 16
        return [(first + number).to_bytes(width) for number in range(count)]


def await_held(hook: Asker, addresses: Addresses) -> None:
    """Ask until an answer is held: until then no neighbor is up, or what piled up is still sent to it."""

    def held() -> bool:
        (address,) = addresses.take(IPV4, 1)
        return hook.ask("www.example", [socket.inet_ntoa(address)]).verdict == INSTALLED

    wait_until(held, "an answer is held", 60)


def held_ms(hook: Asker, addresses: Addresses) -> list[float]:
    """How long the answer for a new address is held; nothing where it isn't, since the neighbor may be draining."""
    (address,) = addresses.take(IPV4, 1)
    reply = hook.ask("www.example", [socket.inet_ntoa(address)])
    return [reply.took_s * 1000] if reply.verdict in (INSTALLED, GAVE_UP) else []


def _write_state(path: Path, addresses: Sequence[Address]) -> None:
    """A state file of these routes, as a plugin would leave it."""
    now = process_clock()
    claims = [
        Claim(address, "default", b"n%d.example" % (number // 2), now, now, 86_400.0)
        for number, address in enumerate(addresses)
    ]
    store = Store(path, lambda: None)
    store.recall(lambda _: None)
    store.start(lambda: iter([(claims[at : at + 500], []) for at in range(0, len(claims), 500)]))
    saved = store.save().wait(60)
    store.shutdown()
    store.join(10)
    assert saved
