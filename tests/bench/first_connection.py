"""The first connection: a client's first packet against the route that its answer calls for, and what holding costs.

`race`: fresh names, one by one and in bursts of 30, through each hook of `deploy/resolvers` to a real BIRD, and to FRR
with its margin; counted are the first packets that took the right way, and how long the answers took. Without a hook
none is right. The parts of the race run before all other processes (SCHED_RR), so that these rows hardly depend on what
else the machine does.

`cost`: dnsperf asks for names on no list, of a resolver with the hook and of the same resolver without, in turns, at
full tilt and at a pace: answers from the cache, and new ones. Authority, resolver, plugin and dnsperf share the cores.
A dead plugin is one whose socket refuses. "Asked for" are new names where the hook has no filter, as with keywords in a
list.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.figure import Figure, LackingError, Settings, percentile
from tests.bench.plugin_process import cpu_s
from tests.integration.hooks import HOOKED, Hooked, HookedDnsdist13, HookedRecursor
from tests.integration.lab import run as execute
from tests.integration.race import Race, Result

PROGRAMS = {
    "named": "bind9",
    "unbound": "unbound",
    "kresd": "knot-resolver",
    "pdns_recursor": "pdns-recursor",
    "bird": "bird2",
    "/usr/lib/frr/bgpd": "frr",
    "dnsperf": "dnsperf",
}
SINGLE, BURST, BURSTS = 200, 30, 10
BEHIND_FRR = (HookedDnsdist13, HookedRecursor)
SECONDS = 4
PACE = 2_000
"""New names a second, where it isn't full tilt."""
CACHED = 2_000
NEW = 400_000
"""Names for a run at full tilt: more than any of them resolves."""


def run(settings: Settings) -> Iterator[Figure]:
    """Take the figures."""
    missing = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)})
    if missing:
        raise LackingError(f"missing (Debian packages): {', '.join(missing)}")
    yield from _races(settings, "bird", HOOKED)
    yield from _races(settings, "frr", BEHIND_FRR)
    yield from _costs(settings)


def _races(settings: Settings, router: str, kinds: tuple[type[Hooked], ...]) -> Iterator[Figure]:
    singles: dict[str, list[Result]] = {kind.name: [] for kind in kinds}
    bursts: dict[str, list[Result]] = {kind.name: [] for kind in kinds}
    for number in range(settings.rounds):
        race = Race(settings.fresh_folder("r"), router)
        try:
            race.start()
            for kind in kinds:
                settings.say(f"race, {kind.name} and {router}, round {number + 1}")
                single, burst = _race(settings, race, kind)
                singles[kind.name].append(single)
                bursts[kind.name].append(burst)
        finally:
            race.close()
    for name, found in singles.items():
        way = f"{name}, {router}"
        share = tuple(100 * one.right / one.asked for one in found)
        yield Figure(f"{way}: right, one by one", "%", share, at_least=100, always=True)
        p50, p99 = (tuple(one.percentile_ms(part) for one in found) for part in (0.5, 0.99))
        of_bird = router == "bird"
        yield Figure(f"{way}: an answer takes, p50", "ms", p50, at_most=6 if of_bird else None)
        yield Figure(f"{way}: an answer takes, p99", "ms", p99, at_most=12 if of_bird else None)
        share = tuple(100 * one.right / one.asked for one in bursts[name])
        yield Figure(f"{way}: right, bursts of {BURST}", "%", share, at_least=99)
        last = tuple(max(one.latencies_s) * 1000 for one in bursts[name])
        yield Figure(f"{way}: the last answer of a burst takes", "ms", last)


def _race(settings: Settings, race: Race, kind: type[Hooked]) -> tuple[Result, Result]:
    resolver = kind(race.track, race.hold)
    resolver.start()
    try:
        race.warm(resolver)
        single = race.track.one_by_one(resolver.port, race.track.fresh(settings.size(SINGLE, 5)))
        bursts = settings.size(BURSTS, 1)
        return single, race.track.bursts(resolver.port, race.track.fresh(BURST * bursts), BURST)
    finally:
        resolver.stop()


@dataclass(slots=True)
class Load:
    """What dnsperf told of one run; the latency at a pace only."""

    answers_a_s: float
    p99_ms: float
    cpu_us: float
    """The resolver's own, for an answer: what else runs on the machine is hardly in it."""


@dataclass(slots=True)
class Costs:
    """A resolver with its hook and without, by what was asked: one pair a round."""

    hooked: dict[str, list[Load]] = field(default_factory=dict)
    plain: dict[str, list[Load]] = field(default_factory=dict)


def _costs(settings: Settings) -> Iterator[Figure]:
    costs = {kind.name: Costs() for kind in HOOKED}
    numbers = iter(range(10**9))
    for number in range(settings.rounds):
        race = Race(settings.fresh_folder("c"), is_privileged=False)
        try:
            race.start()
            for kind in HOOKED:
                settings.say(f"cost, {kind.name}, round {number + 1}")
                for what, loads in _measure(settings, race, kind, numbers).items():
                    for is_hooked, load in loads:
                        side = costs[kind.name].hooked if is_hooked else costs[kind.name].plain
                        side.setdefault(what, []).append(load)
        finally:
            race.close()
    for name, found in costs.items():
        for what, text, at_least in (
            ("hits", "hits, full tilt", 0.98),
            ("new names", "new names, full tilt", 0.85 if "dnsdist" in name else None),
            ("asked", "new names, full tilt, asked for", None),
            ("dead", "new names, full tilt, nobody listens", None),
        ):
            hooked, plain = (tuple(load.answers_a_s for load in side[what]) for side in (found.hooked, found.plain))
            yield Figure(f"{name}: {text}", "/s", hooked, plain, "without a hook", at_least=at_least)
            hooked, plain = (tuple(load.cpu_us for load in side[what]) for side in (found.hooked, found.plain))
            yield Figure(f"{name}: {text}, CPU for an answer", "us", hooked, plain, "without a hook")
        hooked, plain = (tuple(load.answers_a_s for load in side["pace"]) for side in (found.hooked, found.plain))
        yield Figure(f"{name}: {PACE:,} new names/s", "/s", hooked, plain, "without a hook", at_least=0.95)
        more = tuple(a.p99_ms - b.p99_ms for a, b in zip(found.hooked["pace"], found.plain["pace"], strict=True))
        yield Figure(f"{name}: {PACE:,} new names/s, p99 is longer by", "ms", more, at_most=1)


def _measure(
    settings: Settings, race: Race, kind: type[Hooked], numbers: Iterator[int]
) -> dict[str, list[tuple[bool, Load]]]:
    """One round of one resolver: what was asked -> with the hook or not, and what dnsperf told."""
    seconds = settings.size(SECONDS, 1)
    folder = settings.fresh_folder("questions")
    nobody = settings.fresh_folder("nobody")
    found: dict[str, list[tuple[bool, Load]]] = {}
    for what in ("hits", "pace", "new names", "asked", "dead"):
        for is_hooked in (False, True):  # one right behind the other: the machine's pace changes
            with ExitStack() as stack:
                hold = nobody if what == "dead" else race.hold
                resolver = kind(race.track, hold, is_hooked=is_hooked, is_filtering=what != "asked")
                resolver.start()
                stack.callback(resolver.stop)
                if what == "hits":
                    questions = _write(folder, numbers, CACHED)
                    _ask(race, resolver, questions, 1)  # every name is in the cache by now
                    load = _ask(race, resolver, questions, seconds)
                elif what == "pace":
                    load = _ask(race, resolver, _write(folder, numbers, PACE * seconds), seconds, PACE)
                else:
                    load = _ask(race, resolver, _write(folder, numbers, settings.size(NEW, 5_000)), seconds)
            found.setdefault(what, []).append((is_hooked, load))
    return found


def _write(folder: Path, numbers: Iterator[int], count: int) -> Path:
    """Names that nobody has asked for and that are on no list, as dnsperf reads them."""
    path = folder / "questions"
    path.write_text("".join(f"q{number}.other.example A\n" for _, number in zip(range(count), numbers, strict=False)))
    return path


def _ask(race: Race, resolver: Hooked, questions: Path, seconds: int, pace: int = 0) -> Load:
    """Ask each once, or those that are cached again and again, as fast as answers come or at a pace."""
    words = ["dnsperf", "-s", "127.0.0.1", "-p", str(resolver.port), "-d", str(questions), "-l", str(seconds)]
    words += ["-c", "4", "-q", "100", *(["-Q", str(pace), "-v"] if pace else [])]
    before_s = cpu_s(resolver.daemon.pid)
    text = execute(*race.track.host.argv(*words), timeout_s=seconds + 60)
    answered = re.search(r"Queries completed:\s+(\d+)", text)
    took = re.search(r"Run time \(s\):\s+([\d.]+)", text)
    took_s = sorted(map(float, re.findall(r"^> NOERROR .* ([\d.]+)$", text, re.MULTILINE)))  # of each, with -v
    assert answered is not None, text
    assert took is not None, text
    cpu_us = (cpu_s(resolver.daemon.pid) - before_s) / max(1, int(answered[1])) * 1e6
    return Load(float(answered[1]) / float(took[1]), (percentile(took_s, 99) if took_s else 0.0) * 1000, cpu_us)
