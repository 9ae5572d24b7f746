"""Ingest: CPU a frame, as a multiple of what it costs CPython to split the frames and decode protobuf ("the floor").

    python -m tests.bench.ingest [--json FILE] [--frames N] [--rounds N] [--row WORD]

`reader` is `Ingest.feed` alone; `tap` is everything: a sender in a process of its own, a unix socket, the tap's thread,
the reader, and `observe` into a real table. Each round takes floor, reader and tap of a row one after the other, so
that a change of the machine's pace meets all three; a ratio is taken within its round, and the median of the rounds is
told with its range. The floor reads message type and DNS message of each frame from a buffer, and no more.
"""

import argparse
import gc
import json
import os
import random
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from dnstap_bgp.config.tables import DnstapTable
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.model import Attributes, Policy
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.core.tap.dnstap_pb2 import Frame
from dnstap_bgp.core.tap.framestream import BUFFER_BYTES, CONTENT_TYPE
from dnstap_bgp.core.tap.ingest import Ingest
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.tap.tap import Tap
from tests.bench import traffic
from tests.bench.figure import Figure, Settings

ACCEPTED = frozenset({traffic.CLIENT_RESPONSE})
MANY_RULES = 1_000_000
USUAL = "as resolvers compress"


@dataclass(frozen=True)
class Row:
    """One kind of traffic.

    Attributes:
        title: For people.
        frames: Makes so many.
        share: Of the names that are listed.
        at_most: The ratio that the tap may have; None: for information.
        proud: The ratio to be proud of.
        rules: On the list.
        warm: Whether the memo has seen the traffic before the rounds.
    """

    title: str
    frames: Callable[[traffic.Universe, int], list[bytes]]
    share: float = 0.05
    at_most: float | None = None
    proud: float | None = None
    rules: int = traffic.RULES
    warm: bool = True


ROWS = [
    Row("plain", traffic.plain, at_most=1.5, proud=1.3),
    Row(USUAL, traffic.resolver, at_most=1.7, proud=1.4),
    Row("30 % matching", traffic.resolver, share=0.3, at_most=2.5, proud=2.0),
    Row("water torture", traffic.water_torture, at_most=2.5, proud=2.0, warm=False),
    Row("cold memo", traffic.resolver, at_most=3.0, proud=2.4, warm=False),
    Row("1,000,000 domains", traffic.resolver, rules=MANY_RULES),
    Row("half queries", traffic.half_queries, at_most=1.0, proud=0.8),
    Row("all names and targets new", traffic.new_names, warm=False),
]


@dataclass(frozen=True)
class Figures:
    """What a row gave: CPU us a frame, and ratios (median, lowest, highest); `rounds`: floor, reader, tap of each."""

    title: str
    floor_us: float
    reader_us: float
    tap_us: float
    reader: tuple[float, float, float]
    tap: tuple[float, float, float]
    matched: float
    grown_mb: float
    rounds: tuple[tuple[float, float, float], ...]


def run(settings: Settings) -> Iterator[Figure]:
    """Take the figures of all rows, for the table of all benchmarks."""
    usual: tuple[float, ...] = ()
    for row in ROWS if not settings.quick else ROWS[:2]:
        settings.say(row.title)
        found = measure(row, settings.size(100_000, 2000), settings.rounds, settings.fresh_folder("ingest"))
        floors, readers, taps = zip(*found.rounds, strict=True)
        floor = "decode floor"
        yield Figure(
            f"{row.title}: through the socket", "us", taps, floors, floor, at_most=row.at_most, proud=row.proud
        )
        yield Figure(f"{row.title}: reader alone", "us", readers, floors, floor)
        ratios = tuple(tap / floor_us for floor_us, _, tap in found.rounds)
        if row.title == USUAL:
            usual = ratios
        elif row.rules == MANY_RULES:
            yield Figure(
                f"{row.title}, of {traffic.RULES:,}'s", "x floor", ratios, usual, USUAL, at_most=1.1, proud=1.0
            )
        if row.frames is traffic.water_torture:
            yield Figure(f"{row.title}: growth in all rounds", "MB", (found.grown_mb,))
    yield from several_lists(settings)


def several_lists(settings: Settings) -> Iterator[Figure]:
    """What it costs that the rules are on five lists instead of one: reading and observing, chunk by chunk in turns."""
    for title, share in ((USUAL, 0.05), ("30 % matching", 0.3)) if not settings.quick else ((USUAL, 0.05),):
        settings.say(f"five lists, {title}")
        universe = traffic.Universe(share)
        frames = traffic.resolver(universe, settings.size(100_000, 2000))
        parts = chunks(traffic.stream(frames), frames)
        sides = [_observed(RuleSet.build([("list", universe.rules)])), _observed(_five(universe.rules))]
        gc.freeze()
        taken = []
        for _ in range(2 + settings.rounds):
            spent = [0.0, 0.0]
            for turn, part in enumerate(parts):
                for number in (turn % 2, 1 - turn % 2):  # whoever comes second finds the chunk in the CPU's cache
                    spent[number] += _take(*sides[number], part)
            taken.append([seconds / len(frames) * 1e6 for seconds in spent])
        one, five = zip(*taken[2:], strict=True)  # the first two warm the memo and the table
        yield Figure(f"five lists, {title}: reader and table", "us", five, one, "one list", at_most=1.1, proud=1.05)


def _five(rules: list[Rule]) -> RuleSet:
    """The rules on five lists, a domain and those below it on one: so there are as many claims as with one list."""
    domains = {rule.domain for rule in rules}
    lists: list[list[Rule]] = [[] for _ in range(5)]
    for rule in rules:
        labels = rule.domain.split(b".")
        above = (b".".join(labels[-count:]) for count in range(1, len(labels) + 1))
        lists[zlib.crc32(next(domain for domain in above if domain in domains)) % 5].append(rule)
    return RuleSet.build([(f"list{number}", found) for number, found in enumerate(lists)])


def _observed(rules: RuleSet) -> tuple[Ingest, Keeper]:
    """A reader, and a real table behind it."""
    return Ingest(rules, ACCEPTED), Keeper(_table(rules), Views(), rules)


def _table(rules: RuleSet) -> RouteTable:
    ipv4, ipv6 = Attributes(b"\xc0\0\2\1"), Attributes(b"\xfd" + bytes(14) + b"\1")
    return RouteTable(Policies([Policy(name, ipv4, ipv6, 86_400.0) for name in rules.list_names], Guard()))


def _take(ingest: Ingest, keeper: Keeper, part: bytes) -> float:
    """CPU seconds for one chunk."""
    buffer = bytearray(part)
    began = time.thread_time()
    _, sightings = ingest.feed(buffer, 0, len(part), BUFFER_BYTES)
    if sightings:
        keeper.observe(sightings, keeper.rules)
    return time.thread_time() - began


def chunks(data: bytes, frames: list[bytes]) -> list[bytes]:
    """The stream cut into what one turn of a connection may bring, at frame borders."""
    found, start, at = [], 0, 0
    for payload in frames:
        if at + 4 + len(payload) - start > BUFFER_BYTES:
            found.append(data[start:at])
            start = at
        at += 4 + len(payload)
    return [*found, data[start:at]]


def floor_s(parts: list[bytes]) -> float:
    """CPU seconds for splitting and decoding all frames, one decode each."""
    buffer = bytearray(BUFFER_BYTES)
    length_at = struct.Struct("!I").unpack_from
    decode = Frame.FromString
    began = time.thread_time()
    for part in parts:
        end = len(part)
        buffer[:end] = part
        at = 0
        while at < end:
            (size,) = length_at(buffer, at)
            message = decode(bytes(buffer[at + 4 : at + 4 + size])).message
            message.type, message.response_message  # noqa: B018 - reading them is the work
            at += 4 + size
    return time.thread_time() - began


def reader_s(ingest: Ingest, parts: list[bytes]) -> float:
    """CPU seconds of `feed` for all frames."""
    buffer = bytearray(BUFFER_BYTES)
    began = time.thread_time()
    for part in parts:
        buffer[: len(part)] = part
        ingest.feed(buffer, 0, len(part), BUFFER_BYTES)
    return time.thread_time() - began


class LiveTap:
    """A tap with its thread and a real table behind it."""

    def __init__(self, directory: Path, rules: RuleSet) -> None:
        self.path = directory / "dnstap.sock"
        config = DnstapTable.model_validate({"listen": [str(self.path)]}, context={"folder": directory}).settings()
        self.tap = Tap(config, Keeper(_table(rules), Views(), rules), Ingest(rules, ACCEPTED), os.abort)
        self.tap.start()
        (thread,) = (thread for thread in threading.enumerate() if thread.name == "tap")
        self._clock = time.pthread_getcpuclockid(thread.ident or 0)
        while not self.path.exists():
            time.sleep(0.01)

    def run_s(self, stream: Path, frames: int) -> float:
        """CPU seconds of the tap's thread for one connection that brings the stream as fast as it can."""
        began, until = time.clock_gettime(self._clock), self.tap.ingest.counters.frames + frames
        command = [sys.executable, "-m", "tests.bench.ingest", "--send", str(self.path), str(stream)]
        with subprocess.Popen(command) as sender:
            while self.tap.ingest.counters.frames < until and sender.poll() in (None, 0):
                time.sleep(0.01)
        return time.clock_gettime(self._clock) - began

    def close(self) -> None:
        """Stop the thread."""
        self.tap.shutdown()
        self.tap.join(5)
        self.tap.close()


def send(path: str, stream: str) -> None:
    """What the sender's process does."""
    field = struct.pack("!II", 1, len(CONTENT_TYPE)) + CONTENT_TYPE
    start = struct.pack("!III", 0, 4 + len(field), 2) + field
    data = start + Path(stream).read_bytes() + struct.pack("!III", 0, 4, 3)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(data)


def rule_set(row: Row, universe: traffic.Universe) -> RuleSet:
    """The universe's rules, and others up to the row's number."""
    pick = random.Random(9)
    more = {universe.domain().encode() for _ in range(row.rules - len(universe.rules))}
    while len(more) < row.rules - len(universe.rules):
        more.add(b"%d." % pick.randrange(1 << 30) + universe.domain().encode())
    return RuleSet.build([("list", [*universe.rules, *map(Rule, more)])])


def resident_mb() -> float:
    """What this process holds in memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def measure(row: Row, count: int, rounds: int, directory: Path) -> Figures:
    """Take all rounds of one row."""
    universe = traffic.Universe(row.share)
    frames = row.frames(universe, count)
    data = traffic.stream(frames)
    rules = rule_set(row, universe)
    stream = directory / "stream"
    stream.write_bytes(data)
    parts = chunks(data, frames)
    ingest = Ingest(rules, ACCEPTED)
    live = LiveTap(directory, rules)
    gc.freeze()  # what the bench itself holds is nobody's business
    if row.warm:
        for _ in range(2):
            reader_s(ingest, parts)
            live.run_s(stream, count)
    taken = []
    before_mb = resident_mb()
    for _ in range(rounds):
        if not row.warm:
            ingest = Ingest(rules, ACCEPTED)
            live.tap.ingest = Ingest(rules, ACCEPTED)
        taken.append((floor_s(parts), reader_s(ingest, parts), live.run_s(stream, count)))
    grown_mb = resident_mb() - before_mb
    matched = live.tap.ingest.counters.matched / live.tap.ingest.counters.frames
    live.close()
    floor_us, reader_us, tap_us = (statistics.median(column) / count * 1e6 for column in zip(*taken, strict=True))
    return Figures(
        row.title,
        floor_us,
        reader_us,
        tap_us,
        _spread([reader / floor for floor, reader, _ in taken]),
        _spread([tap / floor for floor, _, tap in taken]),
        matched,
        grown_mb,
        tuple((floor / count * 1e6, reader / count * 1e6, tap / count * 1e6) for floor, reader, tap in taken),
    )


def _spread(ratios: list[float]) -> tuple[float, float, float]:
    return statistics.median(ratios), min(ratios), max(ratios)


def show(row: Row, figures: Figures) -> str:
    """One line of the table."""
    reader, tap = ("{:5.2f} ({:.2f}-{:.2f})".format(*spread) for spread in (figures.reader, figures.tap))
    goal = f"at most {row.at_most}, proud {row.proud}" if row.at_most else ""
    return (
        f"{row.title:26} floor {figures.floor_us:5.2f} us  reader {figures.reader_us:5.2f} us {reader}  "
        f"tap {figures.tap_us:5.2f} us {tap}  matched {figures.matched:6.1%}  grown {figures.grown_mb:5.1f} MB  {goal}"
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--row", default="", help="only the rows with this in their title")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--send", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.send:
        send(*arguments.send)
        return
    found = []
    for row in ROWS:
        if arguments.row in row.title:
            with tempfile.TemporaryDirectory() as directory:
                found.append(measure(row, arguments.frames, arguments.rounds, Path(directory)))
            sys.stdout.write(show(row, found[-1]) + "\n")
            sys.stdout.flush()
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(figures) for figures in found], indent=2))


if __name__ == "__main__":
    main()
