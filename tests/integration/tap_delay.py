"""How late each resolver's tap is: `python -m tests.integration.tap_delay [name ...]`, as root.

For each way of `deploy/resolvers`: the time from the answer's arrival at the client to its frame's arrival in the
plugin's own tap. Half of the questions are cache misses, half are hits, at the pace of a home and of an office.
Everything runs in a network namespace of its own, with nothing else on the machine to be fair to the figures.
"""

import ctypes
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dns.message

from dnstap_bgp.config.tables import DnstapTable
from dnstap_bgp.core.tap.dnstap_pb2 import Frame
from dnstap_bgp.core.tap.framestream import split_frames
from dnstap_bgp.workers.tap.tap import Tap
from tests.integration.lab import CLONE_NEWNET, Daemon, eventually, run
from tests.integration.resolvers import ZONE, Authority, Bind, Dnsdist, Knot, Recursor, Unbound, ask
from tests.integration.shipped import tls_folder

TCP = "127.0.0.1:6000"
PACES = {"2.5/s": (0.4, 30), "75/s": (1 / 75, 450)}
"""Seconds between two questions, and how many: 12 s and 6 s."""


@dataclass(frozen=True, slots=True)
class Here:
    """What resolvers ask of a lab, in this very process's namespace."""

    folder: Path
    daemons: list[Daemon]

    @property
    def host(self) -> Any:
        return SimpleNamespace(argv=lambda *argv: list(argv), socket=socket.socket)

    def start(self, name: str, argv: list[str], _where: object) -> Daemon:
        self.daemons.append(Daemon(name, argv, self.folder / f"{name}.log"))
        return self.daemons[-1]

    def close(self) -> None:
        for daemon in reversed(self.daemons):
            daemon.stop()


class Arrivals:
    """Keeper and ingest in one, for the tap: when each name's frame came."""

    def __init__(self) -> None:
        self.rules = None
        self.counters = SimpleNamespace(frames=0)
        self.at: dict[str, list[float]] = {}

    def feed(self, buffer: bytearray, start: int, end: int, frame_max_bytes: int) -> tuple[int, list[Any]]:
        now = time.monotonic()
        start, frames = split_frames(buffer, start, end, frame_max_bytes)
        for frame in frames:
            message = Frame.FromString(frame).message
            if message.response_message:
                [question] = dns.message.from_wire(message.response_message).question
                self.at.setdefault(question.name.to_text().lower(), []).append(now)
        return start, []

    def observe(self, *_: object) -> None:
        return


WAYS: dict[str, Callable[[Any, Path, Path], Any]] = {
    "unbound-unix": lambda lab, tap, _: Unbound(lab, str(tap)),
    "unbound-tcp": lambda lab, _, __: Unbound(lab, TCP),
    "unbound-tls": lambda lab, _, tls: Unbound(lab, TCP, tls=str(tls)),
    "bind": lambda lab, tap, _: Bind(lab, str(tap)),
    "knot-resolver": lambda lab, tap, _: Knot(lab, str(tap)),
    "dnsdist": lambda lab, tap, _: Dnsdist(lab, str(tap)),
    "pdns-recursor": lambda lab, tap, _: Recursor(lab, str(tap)),
}


@contextmanager
def tapped(way: str, folder: Path) -> Iterator[tuple[Here, Any, Arrivals]]:
    """Run the authority, the resolver and the tap."""
    lab, arrivals, tap = Here(folder, []), Arrivals(), folder / "tap.sock"
    certificates = tls_folder(folder / "tls")
    keys: dict[str, Any] = {"listen": str(tap)}
    if way in ("unbound-tcp", "unbound-tls"):
        keys["listen"] = TCP
    if way == "unbound-tls":
        keys |= {f"tls_{key}": str(certificates / name) for key, name in TLS_FILES.items()}
    stand_in: Any = arrivals
    worker = Tap(DnstapTable.model_validate(keys, context={}).settings(), stand_in, stand_in, lambda: None)
    worker.start()
    try:
        eventually(lambda: worker.status().listeners[0].problem is None, 10, "the tap listens")
        stage: Any = lab
        Authority(stage, f"{ZONE}*.delay 300 A 11.3.0.1\n").start()
        resolver = WAYS[way](lab, tap, certificates)
        resolver.start()
        yield lab, resolver, arrivals
    finally:
        lab.close()
        worker.shutdown()
        worker.join(5)
        worker.close()


TLS_FILES = {"cert": "server.pem", "key": "server.key", "client_ca": "ca.pem"}


def measure(way: str, pace: str, folder: Path) -> tuple[list[float], list[float], int]:
    """Delays in seconds of misses and hits, and how many frames never came."""
    gap_s, count = PACES[pace]
    with tapped(way, folder) as (lab, resolver, arrivals):
        hits = [f"h{number}.delay.example." for number in range(count // 2)]
        misses = [f"m{number}.delay.example." for number in range(count // 2)]
        for name in hits:
            ask(lab, resolver.port, name)  # type: ignore[arg-type]  # all that it uses
        eventually(lambda: set(hits) <= set(arrivals.at), 10, "the first round's frames")
        arrivals.at.clear()
        answered: dict[str, float] = {}
        due = time.monotonic()
        for pair in zip(misses, hits, strict=True):
            for name in pair:
                time.sleep(max(0.0, due - time.monotonic()))
                due += gap_s
                ask(lab, resolver.port, name)  # type: ignore[arg-type]  # all that it uses
                answered[name] = time.monotonic()
        time.sleep(4)
        delays = {name: arrivals.at[name][0] - at for name, at in answered.items() if name in arrivals.at}
    return (
        [delays[name] for name in misses if name in delays],
        [delays[name] for name in hits if name in delays],
        count // 2 * 2 - len(delays),
    )


def told(delays: list[float]) -> str:
    return f"p50 {statistics.median(delays):.2f} s, max {max(delays):.2f} s" if delays else "none came"


def isolate() -> None:
    """Go into a network namespace of our own; only this thread and what it starts from now on."""
    assert threading.active_count() == 1
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    run("ip", "link", "set", "lo", "up")


def main() -> None:
    isolate()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    for way in sys.argv[1:] or WAYS:
        for pace in PACES:
            with tempfile.TemporaryDirectory() as folder:
                misses, hits, lost = measure(way, pace, Path(folder))
            print(f"{way:14} {pace:6} misses {told(misses)}; hits {told(hits)}; lost {lost}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
