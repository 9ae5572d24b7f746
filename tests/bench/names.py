"""Names: the cost of a frame against the number of distinct names, through the socket, by the CPU of the whole process.

    python -m tests.bench.names [--rounds N] [--names N,N] [--exponents X,Y] [--kind KIND]

A memo of names makes traffic over few names cheap; a company asks for tens of thousands, a provider for millions, and
an attacker for names that never come again. So the axis is the number of names, Zipf-distributed by two exponents.
A third of the names have CNAME targets of their own, and one in twenty is on the list. Each point is taken from the
second pass over its frames on: the routes of the first have settled then, and the memo holds what it can.

Each point is taken as resolvers compress names, and at the first exponent also with names spelled in full, with a
hundred keywords and a hundred expressions on the list, and with a rule set without a tail table, where each new name
is looked up. Where the environment variable DNSTAP_BGP_ORIGINAL names the Go program, it reads the same stream in each
round (original.py).
"""

import argparse
import gc
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from dnstap_bgp.core.lists.pattern_rules import with_patterns
from dnstap_bgp.core.lists.patterns import expression, keyword
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from tests.bench import traffic
from tests.bench.figure import Figure, Settings
from tests.bench.ingest import LiveTap, chunks, floor_s
from tests.bench.original import PROGRAM, Original

NAMES = {5_000: 1.4, 50_000: 1.7, 500_000: 2.4, 5_000_000: 3.0}
"""Distinct names -> the cost that they may have, of the decode floor."""
EXPONENTS = (0.9, 1.0)
FRAMES = 300_000
LISTED_EACH = 20
COMPRESSED, SPELLED = "as resolvers compress", "spelled in full"
PATTERNED, BARE = "with keywords and expressions", "without a tail table"
KINDS = (COMPRESSED, SPELLED, PATTERNED, BARE)
PATTERNS = [
    pattern for n in range(100) for pattern in (keyword(f"tracker{n}-"), expression(rf"^ads?{n}\.[a-z]+-cdn\."))
]
"""Such as lists have, of no name here: what is seen is what it costs to ask."""


class RankedHosts:
    """Hosts by their rank, made when they are asked for: a universe of millions needs no memory."""

    def __init__(self, names: int, exponent: float) -> None:
        self.names = names
        self._exponent = exponent
        self._universe = traffic.Universe(1.0, rules=1, names=1)
        self._visit = random.Random(5)

    def host(self, rank: int) -> traffic.Host:
        """Make the host of a rank, 0 for the most frequent; always the same."""
        self._universe.random.seed(rank)
        return self._universe.host()

    def visits(self, count: int) -> Iterator[traffic.Host]:
        """Draw the hosts that are asked for: the inverse of a Zipf distribution's share of the ranks up to each."""
        power = 1 - self._exponent
        for _ in range(count):
            share, end = self._visit.random(), self.names + 1
            rank = (share * (end**power - 1) + 1) ** (1 / power) if power else end**share
            yield self.host(min(int(rank), self.names) - 1)

    def rules(self) -> list[Rule]:
        """List every twentieth name, beginning behind the most frequent ones, which would weigh too much."""
        ranks = range(LISTED_EACH // 2, min(self.names, 20 * FRAMES), LISTED_EACH)
        return [Rule(self.host(rank).name.encode()) for rank in ranks]


def run(settings: Settings) -> Iterator[Figure]:
    """Take the figures of all points, for the table of all benchmarks."""
    for exponent in EXPONENTS:
        for kind in KINDS if exponent == EXPONENTS[0] else (COMPRESSED,):
            for names, at_most in NAMES.items():
                size = settings.size(names, names // 1000)
                settings.say(f"{size:,} names, exponent {exponent}, {kind}")
                found = measure(RankedHosts(size, exponent), settings.size(FRAMES, 2000), settings.rounds, kind)
                floors, taps, originals = zip(*found, strict=True)
                series = f"names, exponent {exponent}, {kind}"
                title = f"{size:,} {series}: through the socket, whole process"
                limit = at_most if kind == COMPRESSED else None
                yield Figure(title, "us", taps, floors, "decode floor", at_most=limit, series=series, size=size)
                if any(originals):
                    yield Figure(f"{title}, of the Go program's", "us", taps, originals, "the Go program", at_most=0.25)


def measure(hosts: RankedHosts, count: int, rounds: int, kind: str = COMPRESSED) -> list[tuple[float, float, float]]:
    """Take all rounds of one point: CPU us a frame of the floor, of the whole process, and of the Go program or 0."""
    pick = random.Random(2)
    varied = None if kind == SPELLED else pick
    frames = [traffic.frame(traffic.response(host, varied), pick=pick) for host in hosts.visits(count)]
    data = traffic.stream(frames)
    parts = chunks(data, frames)
    rules = RuleSet.build([("list", hosts.rules())])
    if kind == PATTERNED:
        rules = with_patterns(rules, [(0, pattern) for pattern in PATTERNS])
    elif kind == BARE:
        rules = RuleSet(rules.counts, rules.rows, rules.row_ids, rules.trie)
    taken = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stream = Path(folder) / "stream"
        stream.write_bytes(data)
        live = LiveTap(Path(folder), rules)
        original = None
        if PROGRAM in os.environ:
            domains = (rule.domain.decode() for rule in hosts.rules())
            original = stack.enter_context(Original(os.environ[PROGRAM], Path(folder), domains))
            original.run_s(stream)
        gc.freeze()
        live.run_s(stream, count)
        for _ in range(rounds):
            floor = floor_s(parts)
            began = time.process_time()
            live.run_s(stream, count)
            spent = time.process_time() - began
            other = original.run_s(stream) if original is not None else 0.0
            taken.append((floor / count * 1e6, spent / count * 1e6, other / count * 1e6))
        live.close()
    return taken


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--names", default=",".join(map(str, NAMES)))
    parser.add_argument("--exponents", default=",".join(map(str, EXPONENTS)))
    parser.add_argument("--kind", choices=KINDS, default=COMPRESSED)
    arguments = parser.parse_args()
    for exponent in map(float, arguments.exponents.split(",")):
        for names in map(int, arguments.names.split(",")):
            found = measure(RankedHosts(names, exponent), arguments.frames, arguments.rounds, arguments.kind)
            ratios = [tap / floor for floor, tap, _ in found]
            floor_us, tap_us, go_us = (statistics.median(column) for column in zip(*found, strict=True))
            spread = f"{statistics.median(ratios):5.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
            beside = f"; the Go program {go_us:.2f} us" if go_us else ""
            cost = f"floor {floor_us:.2f} us, tap {tap_us:.2f} us, {spread}{beside}"
            sys.stdout.write(f"{names:>9,} names, exponent {exponent}: {cost}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
