"""Through a unix socket: pace against the same work without one, fairness, and the way out while the tap is saturated.

`pace` and `fairness` use the tap's own thread with a real table behind it; the sender is a process of its own. The way
out is that of the real plugin: from a frame with a new address to the line on its stdout, read by a host that answers
at once; meanwhile another connection is blasted with frames, as fast as they are taken.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.lists.rules import RuleSet
from dnstap_bgp.core.model import Attributes, Policy
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.core.tap.framestream import BUFFER_BYTES
from dnstap_bgp.core.tap.ingest import Ingest
from dnstap_bgp.workers.routes.keeper import Keeper
from tests.bench import traffic
from tests.bench.blaster import Blaster
from tests.bench.figure import Figure, Settings, percentile
from tests.bench.ingest import ACCEPTED, LiveTap, chunks
from tests.bench.plugin_process import Host, Plugin, wait_until
from tests.integration.tap_sender import TapSender

SHARE = 0.05
FRAMES = 100_000
PROBES = 150
SECONDS = 2.0
SENDERS = 8


def run(settings: Settings) -> Iterator[Figure]:
    """Take the figures."""
    universe = traffic.Universe(SHARE)
    frames = traffic.resolver(universe, settings.size(FRAMES, 5000))
    stream = settings.folder / "stream"
    stream.write_bytes(traffic.stream(frames))
    rules = RuleSet.build([("list", universe.rules)])
    yield from _pace(settings, frames, stream, rules)
    yield from _way_out(settings, stream, universe)


def _pace(settings: Settings, frames: list[bytes], stream: Path, rules: RuleSet) -> Iterator[Figure]:
    seconds = settings.size(int(SECONDS * 10), 3) / 10
    direct, through, shares = [], [], []
    without_socket = InProcess(frames, rules)
    with tempfile.TemporaryDirectory() as folder:
        live = LiveTap(Path(folder), rules)
        for number in range(settings.rounds):
            settings.say(f"pace, round {number + 1}")
            direct.append(without_socket.pace(seconds))
            through.append(_drained(live, stream, seconds))
            settings.say(f"{SENDERS} senders, round {number + 1}")
            shares.append(_smallest_share(live, stream, seconds))
        live.close()
    for index, (by, at_least) in enumerate((("second", 0.85), ("CPU second of the tap", None))):
        ours, theirs = (tuple(pair[index] for pair in column) for column in (through, direct))
        against = "without a socket"
        yield Figure(f"one connection, frames a {by}", "frames/s", ours, theirs, against, at_least=at_least)
    yield Figure(f"the smallest share of {SENDERS} connections, of a fair one", "", tuple(shares), at_least=0.8)


class InProcess:
    """The same work without a socket: `feed` and `observe`, chunk by chunk."""

    def __init__(self, frames: list[bytes], rules: RuleSet) -> None:
        self._count = len(frames)
        self._parts = chunks(traffic.stream(frames), frames)
        self._rules = rules
        policy = Policy("list", Attributes(b"\xc0\0\2\1"), Attributes(b"\xfd" + bytes(15)), 86_400.0)
        table = RouteTable(Policies([policy], Guard()))
        self._keeper = Keeper(table, Views(), rules)
        self._ingest = Ingest(rules, ACCEPTED)
        self.pace(0)  # warms the memo

    def pace(self, seconds: float) -> tuple[float, float]:
        """Pass after pass for at least so long: frames a second by the clock, and by CPU time."""
        buffer = bytearray(BUFFER_BYTES)
        frames, wall, cpu = 0, time.monotonic(), time.thread_time()
        while not frames or time.monotonic() < wall + seconds:
            for part in self._parts:
                buffer[: len(part)] = part
                _, sightings = self._ingest.feed(buffer, 0, len(part), BUFFER_BYTES)
                if sightings:
                    self._keeper.observe(sightings, self._rules)
            frames += self._count
        return frames / (time.monotonic() - wall), frames / (time.thread_time() - cpu)


def _drained(live: LiveTap, stream: Path, seconds: float) -> tuple[float, float]:
    """Frames a second of one blasted connection: by the clock, and by the tap's CPU."""
    with Blaster(live.path, stream):
        before = live.tap.ingest.counters.frames
        wait_until(lambda: live.tap.ingest.counters.frames > before, "frames come")
        time.sleep(0.2)
        frames, cpu, wall = live.tap.ingest.counters.frames, _cpu_s(live), time.monotonic()
        time.sleep(seconds)
        frames = live.tap.ingest.counters.frames - frames
        cpu, wall = _cpu_s(live) - cpu, time.monotonic() - wall
    return frames / wall, frames / cpu


def _cpu_s(live: LiveTap) -> float:
    return time.clock_gettime(live._clock)


def _smallest_share(live: LiveTap, stream: Path, seconds: float) -> float:
    """Of several connections: what the one that gets least has, as a share of what would be fair."""
    wait_until(lambda: not live.tap.status().connections, "the last sender is gone")
    with Blaster(live.path, stream, SENDERS):
        wait_until(lambda: len(live.tap.status().connections) == SENDERS, "all are connected")
        before = {one: one.frames for one in list(live.tap._senders.connections)}
        time.sleep(seconds)
        found = [one.frames - frames for one, frames in before.items()]
    wait_until(lambda: not live.tap.status().connections, "they are gone")
    return min(found) / statistics.fmean(found)


def _way_out(settings: Settings, stream: Path, universe: traffic.Universe) -> Iterator[Figure]:
    probes = settings.size(PROBES, 5)
    idle, busy, pace = [], [], []
    for number in range(settings.rounds):
        settings.say(f"the way out, round {number + 1}")
        folder = settings.fresh_folder("saturated")
        with Host() as host, Plugin(folder, [*map(str, universe.rules), "probe.example"]) as plugin:
            plugin.start(host.stdin, host.stdout).listening()
            with TapSender(plugin.tap) as sender:
                idle.append(_probe_ms(host, sender, probes, 1))
                with Blaster(plugin.tap, stream):
                    time.sleep(0.5)
                    began, before = time.monotonic(), plugin.counters()["frames"]
                    busy.append(_probe_ms(host, sender, probes, 2))
                    pace.append((plugin.counters()["frames"] - before) / (time.monotonic() - began))
    for percent, at_most in ((50, None), (99, 50.0)):
        yield Figure(
            f"new address to ExaBGP's stdin, saturated, p{percent}",
            "ms",
            tuple(percentile(values, percent) for values in busy),
            at_most=at_most,
        )
        yield Figure(f"the same, idle, p{percent}", "ms", tuple(percentile(values, percent) for values in idle))
    yield Figure("frames a second meanwhile, host and probes beside it", "frames/s", tuple(pace))


def _probe_ms(host: Host, sender: TapSender, count: int, network: int) -> list[float]:
    """From a frame with a new address to the line that announces it."""
    found = []
    for number in range(count):
        address = bytes((20 + network, 0, number >> 8, number & 255))
        answer = traffic.frame(traffic.response(traffic.Host("www.probe.example", (), traffic.A, (address,), 300)))
        time.sleep(random.uniform(0.002, 0.02))
        host.watch("{}.{}.{}.{}/32".format(*address))
        began = time.monotonic()
        sender.send([answer])
        found.append((host.seen_at() - began) * 1000)
    return found
