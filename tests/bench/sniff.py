"""The capture off the wire: CPU an answer, answers a second on one core, and from the packet to the tap.

A real `dnstap-bgp sniff` in a network namespace captures a link on which questions come in and answers go out, both
written as whole packets by one process, so that no resolver bounds the pace. The tap is a bare receiver. CPU is that of
the whole process, user and system, of which the kernel's part in giving a packet to a ring is its sender's.
"""

import contextlib
import json
import mmap
import os
import shutil
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from dnstap_bgp.core.tap.dnstap_pb2 import Frame
from dnstap_bgp.core.tap.framestream import ControlType, control_frame
from tests.bench.figure import Figure, LackingError, Settings, percentile
from tests.core.sniff.wire import ipv4, udp
from tests.integration.lab import HOST_V4, Lab, eventually

CLIENT = "10.99.0.2"
NAMES = 2_000
PACED_PER_S = 2_000
FULL_PER_S = 50_000
SECONDS = 6
LINK_HEADER = b"\xff" * 6 + b"\2\0\0\0\0\1\x08\0"  # to nobody here, so that no network stack takes it up
PAYLOAD_AT = 14 + 28  # of a packet: behind the headers of link, IP and UDP
_TIME = struct.Struct("d")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def run(settings: Settings) -> Iterator[Figure]:
    """Take the figures."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        raise LackingError("root and ip (iproute2), for namespaces")
    found: list[dict[str, Any]] = []
    for number in range(settings.rounds):
        settings.say(f"round {number + 1}")
        found.append(_round(settings.fresh_folder("sniff"), settings))
    paced, full = [one["paced"] for one in found], [one["full"] for one in found]
    at = f"at {PACED_PER_S:,}/s"
    yield Figure(f"packet to tap {at}, p50", "ms", tuple(percentile(one["ms"], 50) for one in paced))
    yield Figure(f"packet to tap {at}, p99", "ms", tuple(percentile(one["ms"], 99) for one in paced), at_most=2.0)
    yield Figure("answers offered", "/s", tuple(one["offered"] for one in full))
    yield Figure("answers that came to the tap", "/s", tuple(one["answers"] / one["took_s"] for one in full))
    yield Figure("CPU an answer, with its question", "us", tuple(one["cpu_us"] for one in full), at_most=15.0)
    yield Figure("lost of these, each counted", "%", tuple(100 * one["lost"] for one in full))
    uncounted = tuple(float(one["uncounted"]) for one in full)
    yield Figure("lost and not counted", "answers", uncounted, at_most=0.0, always=True)


def _round(folder: Path, settings: Settings) -> dict[str, Any]:
    lab = Lab(folder)
    try:
        with _Tap(folder / "tap.sock") as tap:
            status = folder / "run" / "sniff-torouter.json"
            status.parent.mkdir()
            config = folder / "sniff.toml"
            config.write_text(
                f'domains = "d.txt"\nruntime_dir = "{status.parent}"\n[dnstap]\nlisten = "{tap.path}"\n'
                '[bgp]\nnext_hop = "192.0.2.1"\n'
            )
            words = ["-m", "dnstap_bgp", "sniff", "--interface", "to-router", "--server", HOST_V4]
            daemon = lab.start("sniff", [sys.executable, *words, "--config", str(config)], lab.host)
            eventually(lambda: "takes frames" in daemon.text(), 20, "the capture is connected")
            sent = _blast(lab, settings, PACED_PER_S)
            arrivals = _settled(tap)
            paced = {"ms": [1000 * (arrivals[number] - at) for number, at in sent.items() if number in arrivals]}
            tap.clear()
            before, cpu_before = _counters(status), _cpu_s(daemon.pid)
            began = time.monotonic()
            sent = _blast(lab, settings, FULL_PER_S)
            offered_s = time.monotonic() - began
            arrivals = _settled(tap)
            cpu_s = _cpu_s(daemon.pid) - cpu_before
            after = _counters(status)
            answers = after["sent"] - before["sent"]
            lost = {key: after[key] - before[key] for key in ("lost_packets", "lost_frames", "unasked")}
            return {
                "paced": paced,
                "full": {
                    "offered": len(sent) / offered_s,
                    "answers": answers,
                    "took_s": offered_s,
                    "cpu_us": 1e6 * cpu_s / max(answers, 1),
                    "lost": 1 - answers / len(sent),
                    # a lost packet is a question, without which its answer does not count, or an answer
                    "uncounted": max(0, len(sent) - answers - sum(lost.values())),
                },
            }
    finally:
        lab.close()


def _blast(lab: Lab, settings: Settings, per_s: int) -> dict[int, float]:
    """Send questions and their answers at a pace; number -> when the answer left, monotonic clock.

    By a process of its own: a thread beside the tap's would hold the interpreter while that has something to take.
    """
    count = per_s * SECONDS if not settings.quick else 500
    raw = socket.AF_PACKET, socket.SOCK_RAW
    times = mmap.mmap(-1, count * _TIME.size)
    with lab.host.socket(*raw) as here, lab.router.socket(*raw) as there:
        here.bind(("to-router", 0))
        there.bind(("to-host", 0))
        sender = os.fork()
        if not sender:
            _send(here, there, times, count, per_s)
            os._exit(0)
        os.waitpid(sender, 0)
    return {number: at for number, (at,) in enumerate(_TIME.iter_unpack(times)) if at}


def _send(here: socket.socket, there: socket.socket, times: mmap.mmap, count: int, per_s: int) -> None:
    packets = _packets()
    begin, clock, put = time.monotonic(), time.monotonic, _TIME.pack_into
    for number in range(count):
        question, answer = packets[number % NAMES]
        # the DNS ID and the client's port tell the answers of one name apart
        port, identity = struct.pack("!H", 1024 + number // 65536), struct.pack("!H", number & 0xFFFF)
        there.send(question[:34] + port + question[36:PAYLOAD_AT] + identity + question[PAYLOAD_AT + 2 :])
        at = clock()
        put(times, number * _TIME.size, at)
        here.send(answer[:36] + port + answer[38:PAYLOAD_AT] + identity + answer[PAYLOAD_AT + 2 :])
        ahead_s = begin + number / per_s - at
        if ahead_s > 0.0005:
            time.sleep(ahead_s)


def _packets() -> list[tuple[bytes, bytes]]:
    """Frames of the link with a question and its answer, for each name."""
    found = []
    for number in range(NAMES):
        labels = (f"www{number}", "example", "com")
        name = b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0\0\1\0\1"
        records = b"".join(b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4" + bytes((11, 0, number >> 8, n)) for n in range(3))
        question = struct.pack("!6H", 0, 0x0100, 1, 0, 0, 0) + name
        answer = struct.pack("!6H", 0, 0x8180, 1, 3, 0, 0) + name + records
        question, answer = udp(0, 53, question), udp(53, 0, answer)
        packets = ipv4(CLIENT, HOST_V4, 17, question), ipv4(HOST_V4, CLIENT, 17, answer)
        found.append((LINK_HEADER + packets[0], LINK_HEADER + packets[1]))
    return found


def _settled(tap: "_Tap") -> dict[int, float]:
    """Wait until nothing comes any more; number -> when its frame came."""
    last = -1
    while last != (last := len(tap.chunks)):
        time.sleep(1)
    return tap.arrivals()


def _counters(status: Path) -> dict[str, Any]:
    """Read the counters, once they are written anew."""
    before = status.stat().st_mtime_ns if status.exists() else 0
    eventually(lambda: status.exists() and status.stat().st_mtime_ns != before, 20, "counters")
    found: dict[str, Any] = json.loads(status.read_text())
    return found


def _cpu_s(pid: int) -> float:
    """User and system time of a process, all of its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


class _Tap:
    """A bare tap: keeps what comes and when, and reads it afterwards."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.chunks: list[tuple[float, bytes]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def clear(self) -> None:
        self.chunks = []

    def arrivals(self) -> dict[int, float]:
        """Number of each answer, of the first 65,536, -> when it came."""
        found: dict[int, float] = {}
        rest = b""
        for at, chunk in self.chunks:
            data, place = rest + chunk, 0
            while place + 4 <= len(data):
                size = int.from_bytes(data[place : place + 4], "big")
                if place + 4 + size > len(data):
                    break
                wire = Frame.FromString(data[place + 4 : place + 4 + size]).message.response_message
                found.setdefault(int.from_bytes(wire[:2], "big"), at)
                place += 4 + size
            rest = data[place:]
        return found

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            with connection:
                connection.recv(4096)  # READY
                connection.sendall(control_frame(ControlType.ACCEPT))
                start = connection.recv(4096)
                head = 8 + int.from_bytes(start[4:8], "big")
                if len(start) > head:
                    self.chunks.append((time.monotonic(), start[head:]))
                while chunk := connection.recv(1 << 20):
                    self.chunks.append((time.monotonic(), chunk))
