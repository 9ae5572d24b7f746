"""The real plugin in a process of its own, and a host that answers as ExaBGP does, only faster."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from dnstap_bgp.core.exabgp import grammar
from tests.bench.figure import LackingError
from tests.integration.speaker import toml

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
NEXT_HOP, NEXT_HOP_V6 = "10.99.0.1", "fd99::1"
NEIGHBORS = json.dumps(
    [
        {
            "fsm": "ESTABLISHED",
            "duration": 60,
            "local": {
                "address": "127.0.0.1",
                "as": 65001,
                "id": "10.99.0.1",
                "families": dict.fromkeys(grammar.FAMILIES, True),
            },
            "peer": {"address": "127.0.0.2", "as": 65002},
            "families": list(grammar.FAMILIES),
            "messages": {"sent": {"update": 1}},
        }
    ]
).encode()
ROWS = {
    b"version": b"exabgp 5.0.15\n",
    b"show neighbor json": NEIGHBORS + b"\n",
    b"show neighbor nobody summary": b"Peer ...\n",
}


class Plugin:
    """`dnstap-bgp plugin` with its configuration; as a context manager it is ended in order."""

    def __init__(
        self,
        folder: Path,
        domains: Iterable[str],
        *,
        ttl: str = "24h",
        cache: bool = True,
        listen: str = "",
        hold: bool = False,
    ) -> None:
        """Write its files.

        Args:
            folder: For these, its socket and its log; may be one that a plugin has used before.
            domains: The lines of its list.
            ttl: See the configuration.
            cache: Whether it has a state file.
            listen: Where its tap listens instead of its unix socket.
            hold: Whether hooks may ask, at `hold`; an answer is held until ExaBGP's acknowledgment, with no margin.
        """
        self.tap = folder / "tap.sock"
        self.hold = folder / "hold.sock"
        self.state = folder / "state"
        self.log = folder / "plugin.log"
        self._path = folder / "dnstap-bgp.toml"
        listed = folder / "domains.txt"
        listed.write_text("".join(f"{line}\n" for line in domains))
        config = {"domains": str(listed), "ttl": ttl, "runtime_dir": str(folder / "run")}
        if cache:
            config["cache"] = str(self.state)
        tables = {
            "dnstap": {"listen": listen or str(self.tap)},
            "bgp": {"next_hop": NEXT_HOP, "next_hop_ipv6": NEXT_HOP_V6},
            "guard": {"max_routes": 1_000_000, "max_routes_per_rule": 0},
        }
        if hold:
            tables["hold"] = {"listen": str(self.hold), "margin": "0ms", "give_up": "200ms"}
        self._path.write_text(toml({**config, **tables}))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, stdin: int, stdout: int) -> Self:
        """Start it between these ends of the host's pipes; `listening` waits for it."""
        self.log.unlink(missing_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dnstap_bgp", "plugin", "--config", str(self._path)],
                env={**os.environ, "PYTHONPATH": str(ROOT / "plugin")},
                stdin=stdin,
                stdout=stdout,
                stderr=log,
            )
        return self

    def listening(self) -> Self:
        """Wait until its tap listens; what the state file held may still be on its way back."""
        wait_until(lambda: b"listening for DNSTap" in self._text(), "the plugin listens")
        return self

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def cpu_s(self) -> float:
        """CPU seconds of all its threads so far."""
        return cpu_s(self.pid)

    def waited_s(self) -> float:
        """Seconds that its threads were ready to run and had no CPU so far, added up."""
        return cpu_s(self.pid, 1)

    def memory_mb(self) -> tuple[float, float]:
        """What it has in memory: resident, and its proportional share of that (pages that others map, divided)."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.endswith("kB")}
        return sizes["Rss"], sizes["Pss"]

    def counters(self) -> dict[str, int]:
        """What its tap has counted, as it logs it on USR1."""
        before = len(self._text())
        os.kill(self.pid, signal.SIGUSR1)
        wait_until(lambda: b"state file:" in self._text()[before:] or b"refused" in self._text()[before:], "counts")
        match = re.search(rb"tap: (.*)", self._text()[before:])
        assert match is not None
        return {name: int(count) for name, count in (pair.split() for pair in match[1].decode().split(", "))}

    def stop(self) -> None:
        """End it as ExaBGP would."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _text(self) -> bytes:
        if self._process is None or self._process.poll() is not None:
            raise LackingError(f"the plugin has ended: {self.log.read_text()[-2000:]}")
        return self.log.read_bytes()


class Host:
    """Answers every line at once; owns the thread "host".

    Attributes:
        announced: Prefixes announced, each time counted.
        withdrawn: Prefixes withdrawn, likewise.
        stdin: The plugin's ends of the pipes.
        stdout: See there.
    """

    def __init__(self) -> None:
        self.announced = self.withdrawn = 0
        self.stdin, self._to_plugin = os.pipe()
        self._from_plugin, self.stdout = os.pipe()
        self._watched: bytes | None = None
        self._seen_at = 0.0
        self._seen = threading.Event()
        self._thread = threading.Thread(target=self._run, name="host")
        self._thread.start()

    def watch(self, prefix: str) -> None:
        """Note when this prefix is announced next."""
        self._seen.clear()
        self._watched = prefix.encode()

    def seen_at(self, timeout_s: float = 10.0) -> float:
        """Wait for the watched prefix; gives when its line was read, monotonic clock."""
        if not self._seen.wait(timeout_s):
            raise LackingError("an address was never announced")
        return self._seen_at

    def close(self) -> None:
        """Close the pipes; the plugin must have ended."""
        os.close(self.stdout)
        self._thread.join()
        for fd in (self.stdin, self._to_plugin, self._from_plugin):
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        rest = b""
        while chunk := os.read(self._from_plugin, 1 << 16):
            now = time.monotonic()
            *lines, rest = (rest + chunk).split(b"\n")
            answers = [self._answer(line, now) for line in lines]
            try:
                os.write(self._to_plugin, b"".join(answers))
            except BrokenPipeError:  # it has ended
                return

    def _answer(self, line: bytes, now: float) -> bytes:
        verb, found, prefixes = line.partition(b" nlri ")
        if not found:
            return ROWS.get(line, b"") + b"done\n"
        count = prefixes.count(b"/")
        if b"withdraw" in verb:
            self.withdrawn += count
        else:
            self.announced += count
            if self._watched is not None and self._watched in prefixes.split():
                self._watched, self._seen_at = None, now
                self._seen.set()
        return b"done\n"


def cpu_s(pid: int, column: int = 0) -> float:
    """CPU seconds of all threads of a process so far; in column 1, those in which they waited for a CPU."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text().split()[column]) for file in files) / 1e9


def wait_until(condition: object, what: str, timeout_s: float = PATIENCE_S) -> None:
    """Poll until the condition holds."""
    assert callable(condition)
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise LackingError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.02)
