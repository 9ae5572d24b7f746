"""What it costs to be watched: the real plugin while frames are blasted at it, with a scrape a second and without.

Short windows of both take turns within a round, so that a change of the machine's pace meets both. What is told is CPU
of the whole plugin a frame, and how long a scrape takes there.
"""

import statistics
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

from dnstap_bgp.commands.control import UnixConnection
from tests.bench import traffic
from tests.bench.blaster import Blaster
from tests.bench.figure import Figure, Settings
from tests.bench.plugin_process import Host, Plugin, wait_until

SHARE = 0.05
FRAMES = 100_000
WINDOW_S = 3.0
WINDOWS = 4
"""Of each kind in a round."""


def run(settings: Settings) -> Iterator[Figure]:
    """Take the figures."""
    universe = traffic.Universe(SHARE)
    stream = settings.folder / "stream"
    stream.write_bytes(traffic.stream(traffic.resolver(universe, settings.size(FRAMES, 5000))))
    with_us, without_us, took_ms = [], [], []
    folder = settings.fresh_folder("scrape")
    with Host() as host, Plugin(folder, map(str, universe.rules)) as plugin:
        plugin.start(host.stdin, host.stdout).listening()
        watcher = _Watcher(folder / "run" / "control.sock")
        watcher.scrape()  # what is imported is imported
        with Blaster(plugin.tap, stream):
            wait_until(lambda: watcher.frames() > 0, "frames come")
            for number in range(settings.rounds):
                settings.say(f"round {number + 1}")
                found = _round(plugin, watcher, settings.size(int(WINDOW_S * 10), 3) / 10)
                with_us.append(found[0])
                without_us.append(found[1])
                took_ms.append(found[2])
    yield Figure("CPU a frame with a scrape a second", "us", tuple(with_us), tuple(without_us), "without", at_most=1.03)
    yield Figure("a scrape, while the tap is saturated", "ms", tuple(took_ms))


class _Watcher:
    """Asks the plugin's control socket."""

    def __init__(self, path: Path) -> None:
        self._path = path
        wait_until(path.exists, "the control socket")

    def scrape(self) -> float:
        """Scrape; gives how long it took, in seconds."""
        began = time.monotonic()
        self._get("/metrics")
        return time.monotonic() - began

    def frames(self) -> int:
        """What the tap has counted."""
        for line in self._get("/metrics").splitlines():
            if line.startswith(b"dnstap_bgp_tap_frames_total "):
                return int(float(line.split()[1]))
        raise AssertionError

    def _get(self, path: str) -> bytes:
        connection = UnixConnection(self._path, 30.0)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()


def _round(plugin: Plugin, watcher: _Watcher, window_s: float) -> tuple[float, float, float]:
    """CPU us a frame with a scrape a second, and without; ms a scrape."""
    cpu = {True: 0.0, False: 0.0}
    frames = {True: 0, False: 0}
    took: list[float] = []
    for scraping in islice(cycle((True, False)), 2 * WINDOWS):
        cpu_before, before = plugin.cpu_s(), watcher.frames()
        end = time.monotonic() + window_s
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(1.0, left))
            if scraping:
                took.append(watcher.scrape())
        cpu[scraping] += plugin.cpu_s() - cpu_before
        frames[scraping] += watcher.frames() - before
    used = {kind: cpu[kind] / max(1, frames[kind]) * 1e6 for kind in cpu}
    return used[True], used[False], statistics.median(took) * 1000
