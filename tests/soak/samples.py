"""Samples of the running program: memory, threads, descriptors, file sizes and latencies, in a thread of its own."""

import contextlib
import os
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Self

from dnstap_bgp.commands.control import Control
from dnstap_bgp.errors import ConfigError, DnstapBgpError
from tests.integration.speaker import Speaker
from tests.soak.slopes import Limit

_ENDED = (OSError, ValueError, LookupError, AssertionError)
"""A process has just ended, as each does now and then, or is about to: then it has no memory, but an entry in /proc."""

EVERY_S = 2.0
MIB = 1 << 20

LIMITS = {
    "memory": Limit(0.1, 8.0),
    "threads": Limit(0.0, 0.9),
    "descriptors": Limit(0.0, 2.9),
    "state file": Limit(0.0, 6.0),
    "folder": Limit(0.0, 6.0),
    "latency": Limit(0.5, 20.0),
}
"""By the last word of a series: what it may grow over the whole time. A state file grows by 4 MiB, and twice its
snapshot, until it is rewritten. The longer a soak, the smaller the growth an hour that these let pass."""

UNITS = {"memory": "MiB", "state file": "MiB", "folder": "MiB", "latency": "ms"}


class Sampler:
    """Takes samples of speakers; use as a context manager.

    Attributes:
        series: Name -> (seconds since the start, value).
        lives: Name -> when what it is about was last started; only samples after that make one line.
    """

    def __init__(self, speakers: dict[str, Speaker]) -> None:
        self.series: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        self.lives: dict[str, float] = {}
        self.began = time.monotonic()
        self._speakers = speakers
        self._pids: dict[str, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="samples")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        is_whole = self._thread.is_alive()
        self._over.set()
        self._thread.join()
        assert is_whole, "the thread that takes samples has died: what it has is no line"

    def add(self, name: str, value: float) -> None:
        self.series[name].append((time.monotonic() - self.began, value))

    def of_last_life(self, name: str) -> list[tuple[float, float]]:
        """The samples since what they are about was last started."""
        whose = name.rpartition(" ")[0] if not name.endswith("state file") else name.removesuffix(" state file")
        since = self.lives.get(whose, 0.0)
        return [sample for sample in self.series[name] if sample[0] >= since]

    def _run(self) -> None:
        while not self._over.wait(EVERY_S):
            for who, speaker in self._speakers.items():
                with contextlib.suppress(*_ENDED):
                    self._process(f"{who} plugin", speaker.plugin_pid())
                with contextlib.suppress(*_ENDED):
                    self._process(f"{who} ExaBGP", speaker.host_pid())
                with contextlib.suppress(OSError):
                    self.add(f"{who} state file", speaker.state.stat().st_size / MIB)
                    self.add(f"{who} folder", _size(speaker.folder) / MIB)
                began = time.monotonic()
                with contextlib.suppress(DnstapBgpError, ConfigError, OSError):
                    Control(speaker.path, 5.0).get("/v1/status")
                    self.add(f"{who} plugin latency", 1000 * (time.monotonic() - began))

    def _process(self, who: str, pid: int) -> None:
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
        )
        if self._pids.get(who) != pid:
            self._pids[who], self.lives[who] = pid, time.monotonic() - self.began
        self.add(f"{who} memory", int(status["VmRSS"].split()[0]) / 1024)
        self.add(f"{who} threads", int(status["Threads"]))
        self.add(f"{who} descriptors", len(os.listdir(f"/proc/{pid}/fd")))  # noqa: PTH208 - a path of the kernel


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total
