"""Sync between two members: bytes of a change and of an idle hour, and how long 1,000,000 claims take to arrive.

    python -m tests.bench sync

Two processes, each with a table and the whole sync but no DNS and no BGP, speak through a relay that counts the bytes
of their connections; what TCP and IP add is not among them, but is reckoned for our own hour (66 bytes a packet). The
Go program's protocol is measured by what it says: `/fetch` from a real listener, `PUT` as Go's client writes it. Its
hour has a pull each 10 minutes, ours a stream with its beats.
"""

import argparse
import json
import random
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.sync import go_json
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.heap import CycleCollector
from dnstap_bgp.workers.routes.timer import COLLECT_S
from dnstap_bgp.workers.sync.client import KEEPALIVE_IDLE_S, RENEW_S
from dnstap_bgp.workers.sync.listener import BEAT_S
from tests.bench.figure import Figure, Settings
from tests.bench.lists import domains, resident_mb
from tests.ports import free_port
from tests.workers.sync.go_program import request
from tests.workers.sync.instance import Instance, config

FULL = 1_000_000
FLEET = 100_000
CHURN = 0.01
PULLS = 6
"""Of the Go program in an hour, by its default of 10 minutes."""

CHANGES = 50
PACKET_BYTES = 66
"""Ethernet, IPv4, and TCP with a timestamp."""

PUT_HEAD = (
    b"PUT /put HTTP/1.1\r\nHost: 192.168.0.2:8080\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 90\r\n"
    b"Accept-Encoding: gzip\r\n\r\n"
)
PUT_ANSWER = b"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 01:00:00 GMT\r\nContent-Length: 0\r\n\r\n"


def run(settings: Settings) -> Iterator[Figure]:
    """Take all figures."""
    rows: dict[str, list[float]] = {}
    for number in range(settings.rounds):
        settings.say(f"round {number + 1}: {settings.size(FULL, 2000):,} claims")
        _full(settings.size(FULL, 2000), rows)
        settings.say(f"round {number + 1}: an hour of a fleet")
        _hour(settings.size(FLEET, 2000), rows)
    yield Figure("everything to a new member", "s", tuple(rows["full"]), at_most=60.0)
    yield Figure("the same, bytes a claim", "B", tuple(rows["full bytes"]))
    yield Figure("longest stall of the giver's loop meanwhile", "ms", tuple(rows["giver stall"]))
    yield Figure("longest stall of the taker's loop meanwhile", "ms", tuple(rows["taker stall"]))
    yield Figure("added to the giver by it, above what its table takes", "MB", tuple(rows["giver MB"]), at_most=32.0)
    yield Figure("a change alone", "B", tuple(rows["change"]))
    yield Figure("a change until its peer has it", "ms", tuple(rows["change ms"]), at_most=1000.0)
    yield Figure("an idle hour", "B", tuple(rows["idle"]))
    yield Figure("an idle hour on the wire", "B", tuple(rows["idle wire"]))
    yield Figure("a refresh of many", "B", tuple(rows["refresh"]))
    for name, what in (("hour", "1 % churn"), ("busy hour", "1 % churn, all in use")):
        yield Figure(
            f"the Go program's bytes of an hour, {settings.size(FLEET, 2000):,} claims, {what}",
            "B",
            tuple(rows[f"{name} original"]),
            tuple(rows[f"{name} ours"]),
            "ours",
            at_least=20.0 if not settings.quick else None,
        )


def _full(count: int, rows: dict[str, list[float]]) -> None:
    """Everything, from one that has it to one that has nothing."""
    with member(count) as giver, relay(giver.port) as (port, counted), member(0, port) as taker:
        before = giver.ask("memory")
        began = time.monotonic()
        taker.ask(f"start {count}")
        note(rows, "full", time.monotonic() - began)
        note(rows, "full bytes", sum(counted) / count)
        after = giver.ask("memory")
        note(rows, "giver MB", after["peak MB"] - before["peak MB"])
        note(rows, "giver stall", after["stall ms"])
        note(rows, "taker stall", taker.ask("memory")["stall ms"])


def _hour(count: int, rows: dict[str, list[float]]) -> None:
    """What a change, a refresh and a beat take, and what an hour of them is."""
    with member(count) as giver, relay(giver.port) as (port, counted), member(0, port) as taker:
        taker.ask(f"start {count}")
        time.sleep(0.5)
        before, waits_ms = sum(counted), []
        for number in range(CHANGES):
            began = time.monotonic()
            giver.ask(f"see {number}")
            taker.ask(f"wait {count + number + 1}")
            waits_ms.append((time.monotonic() - began) * 1000)
        change = (sum(counted) - before) / CHANGES
        before = sum(counted)
        giver.ask("refresh")
        time.sleep(1)
        while (now := sum(counted)) != before and not settled(counted, now):
            pass
        refresh = (sum(counted) - before) / count
        fetched = len(request(giver.port, "GET", "/fetch")[1])
    beat = 26.0  # a frame of 10 bytes, flushed: 20; and its chunk's 6
    hello = 700.0  # a request and an answer with their headers
    idle = 3600 / BEAT_S * beat + 3600 / RENEW_S * hello
    packets = 2 * (3600 / KEEPALIVE_IDLE_S + 3600 / BEAT_S)
    idle_wire = idle + packets * PACKET_BYTES
    entry = len(go_json.write(b"\x0b\0\0\1", b"www.domain.example", time.time()))
    push = len(PUT_HEAD) + entry + len(PUT_ANSWER)
    churned = count * CHURN
    for name, value in {
        "change": change,
        "change ms": sorted(waits_ms)[len(waits_ms) // 2],
        "refresh": refresh,
        "idle": idle,
        "idle wire": idle_wire,
        "hour ours": churned * (change + 2 * PACKET_BYTES) + idle_wire,
        "hour original": PULLS * fetched + churned * push,
        # each claim is told again when it was last told a twentieth of its 24 hours ago
        "busy hour ours": churned * (change + 2 * PACKET_BYTES) + idle_wire + count / 1.2 * refresh,
        "busy hour original": PULLS * fetched + (churned + count) * push,
    }.items():
        note(rows, name, value)


def settled(counted: list[int], now: int) -> bool:
    """Whether nothing more comes."""
    time.sleep(1)
    return sum(counted) == now


def note(rows: dict[str, list[float]], name: str, value: float) -> None:
    rows.setdefault(name, []).append(value)


# -- a member in a process of its own


class Member:
    """A process that does as it is told, a line each."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.port = port
        self._process = process

    def ask(self, words: str) -> Any:
        """Have it do something, and wait for what it says."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{words}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the member has ended"
        return json.loads(answer)


@contextmanager
def member(count: int, peer: int = 0) -> Iterator[Member]:
    """A member that holds so many claims; without a peer it is started."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.sync", str(count), str(port), str(peer)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        made = Member(process, port)
        try:
            made.ask("memory")
            if not peer:
                made.ask("start 0")
            yield made
        finally:
            process.kill()


def main() -> None:
    """Be a member."""
    parser = argparse.ArgumentParser()
    for name in ("count", "port", "peer"):
        parser.add_argument(name, type=int)
    arguments = parser.parse_args()
    peers = [arguments.peer] if arguments.peer else []
    instance = Instance(config(arguments.port, *peers, insecure=True), ["example"], ttl_s=86_400.0)
    held = _fill(instance, arguments.count)
    stall_ms = [0.0]
    threading.Thread(target=_watch, args=(instance, stall_ms), daemon=True).start()
    for line in sys.stdin:
        answer: object = None
        match line.split():
            case ["memory"]:
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                answer = {"peak MB": peak, "now MB": resident_mb(), "stall ms": stall_ms[0]}
                stall_ms[0] = 0.0
            case ["start", count]:
                instance.start()
                _await(instance, int(count))
            case ["wait", count]:
                _await(instance, int(count))
            case ["see", number]:
                instance.see(f"new{number}.example", f"12.0.{int(number) // 250}.{int(number) % 250}")
            case ["refresh"]:
                later = [claim._replace(seen=process_clock()) for claim in held]
                for start in range(0, len(later), 1000):
                    instance.syncer.feed(later[start : start + 1000])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _fill(instance: Instance, count: int) -> list[Claim]:
    chance, now = random.Random(1), process_clock()
    names = [f"{name}.example".encode() for name in domains(max(1, count // 2), 1)] if count else []
    claims = [
        Claim(
            (11 << 24 | number * 16).to_bytes(4, "big"),
            "default",
            names[number % len(names)],
            seen := now - chance.uniform(10, 40_000),
            seen,
            86_400.0,
        )
        for number in range(count)
    ]
    for start in range(0, count, 1000):
        instance.keeper.adopt(claims[start : start + 1000])
    return claims if count <= FLEET else []


def _await(instance: Instance, count: int) -> None:
    while len(instance.keeper.table) < count:
        time.sleep(0.001)


def _watch(instance: Instance, stall_ms: list[float]) -> None:
    """See how late the loop is with something that it should call at once; and freeze what lives, as the timer does."""
    collect_at, collector = 0.0, CycleCollector()
    while True:
        if process_clock() >= collect_at:
            collector.run(process_clock())
            collect_at = process_clock() + COLLECT_S
        hub = instance.syncer._hub
        if hub is None or hub._loop is None:
            time.sleep(0.01)
            continue
        called = threading.Event()
        began = time.perf_counter()
        hub.call(called.set)
        called.wait(5)
        stall_ms[0] = max(stall_ms[0], (time.perf_counter() - began) * 1000)
        time.sleep(0.005)


# -- counting


@contextmanager
def relay(target: int) -> Iterator[tuple[int, list[int]]]:
    """A port that leads to another one, and how many bytes went which way."""
    counted = [0, 0]
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    near, _ = server.accept()
                except OSError:
                    return
                far = socket.create_connection(("127.0.0.1", target))
                for one, other, way in ((near, far, 0), (far, near, 1)):
                    threading.Thread(target=pump, args=(one, other, way), daemon=True).start()

        def pump(one: socket.socket, other: socket.socket, way: int) -> None:
            try:
                while data := one.recv(1 << 16):
                    counted[way] += len(data)
                    other.sendall(data)
            except OSError:
                pass
            finally:
                for sock in (one, other):
                    sock.close()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], counted
        server.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main()
