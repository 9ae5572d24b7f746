"""A list of 1,000,000 domains: to be in force, the stall of a reload, memory, a start with an unchanged list, lookups.

    python -m tests.bench.lists [--json FILE] [--domains N]

The stall is the longest time that another thread, which asks for every millisecond, had to wait beyond it while the
list was reloaded; beside it stands the same while nothing else ran. Lookups are of names that are not in any cache of
ours; `five lists` splits the same domains over five, of which each has a few exceptions.
"""

import argparse
import json
import multiprocessing
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dnstap_bgp.core.lists.rules import RuleSet
from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.workers.lists.loader import COMPILED_FILE, ListLoader
from tests.bench.figure import Figure, Settings

ROUNDS = 5
LOOKUPS = 100_000
ADDED = "added to the process by all that, MB"
_SYLLABLES = [a + b for a in "bcdfghklmnprstvz" for b in "aeiou"]
_ENDINGS = ["com"] * 5 + ["net", "org", "de", "co.uk", "io"]
_HOSTS = ["www", "api", "cdn", "img", "static"]


def domains(count: int, seed: int = 1) -> list[str]:
    """Different names that look like those of real lists: a quarter has a host in front."""
    rng = random.Random(seed)
    made: set[str] = set()
    while len(made) < count:
        name = (
            "".join(rng.choices(_SYLLABLES, k=rng.randint(2, 6))) + str(rng.randrange(100)) + "." + rng.choice(_ENDINGS)
        )
        made.add(f"{rng.choice(_HOSTS)}.{name}" if rng.random() < 0.25 else name)
    return sorted(made)


def resident_mb() -> float:
    """What this process holds in memory, mapped files included."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@contextmanager
def longest_stall_ms() -> Iterator[Callable[[], float]]:
    """Watch how late a thread is that wants to run every millisecond."""
    late_s = [0.0]
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            began = time.perf_counter()
            time.sleep(0.001)
            late_s.append(time.perf_counter() - began - 0.001)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: max(late_s) * 1000
    finally:
        done.set()
        thread.join()


def lookup_us(rules: RuleSet, names: list[bytes], *, on: bool) -> float:
    """CPU time of one lookup, the best of some rounds; checks the answers."""
    assert all(bool(rules.lists(name)) == on for name in names)
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for name in names:
            rules.lists(name)
        best = min(best, time.process_time() - began)
    return best / len(names) * 1e6


def make(directory: Path, count: int) -> None:
    """Write the list, names on it and names off it; in another process, whose memory is none of ours."""
    listed = domains(count)
    (directory / "domains.txt").write_text("\n".join(listed) + "\n")
    for number in range(5):
        exceptions = "".join(f"!never{n}.{number}.example\n" for n in range(100))
        (directory / f"list{number}.txt").write_text("\n".join(listed[number::5]) + "\n" + exceptions)
    hits = random.Random(2).choices(listed, k=LOOKUPS)
    (directory / "on").write_text("\n".join(f"x{n}.{name}" for n, name in enumerate(hits)))
    known = set(listed)
    others = [name for name in domains(LOOKUPS, seed=3) if not known & {name, name.partition(".")[2]}]
    (directory / "off").write_text("\n".join(others))


def run(settings: Settings) -> Iterator[Figure]:
    """Take the figures in a process of their own, whose memory nothing else has touched."""
    count = settings.size(1_000_000, 5000)
    settings.say(f"{count:,} domains")
    file = settings.folder / "lists.json"
    command = [sys.executable, "-m", "tests.bench.lists", "--domains", str(count), "--json", str(file)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = json.loads(file.read_text())
    of_rounds = found.pop("rounds")
    yield Figure("reload until in force", "s", tuple(of_rounds["in force, s"]), at_most=8.0, always=True)
    yield Figure("longest stall of another thread", "ms", tuple(of_rounds["stall, ms"]), at_most=20.0, always=True)
    yield Figure("the same without a reload", "ms", tuple(of_rounds["idle, ms"]))
    yield Figure("added to the process by a load and all reloads", "MB", (found[ADDED],), at_most=15.0)
    for name in ("start with the list unchanged, s", "lookup of a listed name, us", "lookup of another name, us"):
        what, _, unit = name.rpartition(", ")
        yield Figure(what, unit, (found[name],))


def reload_figures(loader: ListLoader, source: ListSource) -> tuple[dict[str, float], dict[str, list[float]], RuleSet]:
    """Load a list, then change it and load it again, some times over."""
    before_mb = resident_mb()
    rules = loader.load([source]).rules
    in_force_s, stall_ms, idle_ms = [], [], []
    for number in range(ROUNDS):
        with Path(source.sources[0]).open("a") as file:
            file.write(f"round{number}.example\n")
        with longest_stall_ms() as idle:
            time.sleep(1)
            idle_ms.append(idle())
        with longest_stall_ms() as stall:
            began = time.perf_counter()
            loaded = loader.load([source])
            in_force_s.append(time.perf_counter() - began)
            stall_ms.append(stall())
        assert loaded.how == "compiled"
        rules = loaded.rules
    figures = {
        "reload until in force, s, median": statistics.median(in_force_s),
        "reload until in force, s, worst": max(in_force_s),
        "longest stall of another thread, ms, median": statistics.median(stall_ms),
        "longest stall of another thread, ms, worst": max(stall_ms),
        "the same without a reload, ms, worst": max(idle_ms),
        ADDED: resident_mb() - before_mb,
    }
    return figures, {"in force, s": in_force_s, "stall, ms": stall_ms, "idle, ms": idle_ms}, rules


def measure(count: int, directory: Path) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Take all figures: name with its unit -> value, and some of them for each round."""
    maker = multiprocessing.get_context("spawn").Process(target=make, args=(directory, count))
    maker.start()
    maker.join()
    source = ListSource("default", (str(directory / "domains.txt"),))
    figures, of_rounds, rules = reload_figures(ListLoader(directory), source)
    began = time.perf_counter()
    again = ListLoader(directory).load([source])
    figures["start with the list unchanged, s"] = time.perf_counter() - began
    assert again.how == "mapped"
    on, off = ((directory / name).read_bytes().split(b"\n") for name in ("on", "off"))
    before_mb = resident_mb()
    figures["lookup of a listed name, us"] = lookup_us(rules, on, on=True)
    figures["lookup of another name, us"] = lookup_us(rules, off, on=False)
    figures["added to the process by these lookups, MB"] = resident_mb() - before_mb
    figures["compiled file, MB"] = (directory / COMPILED_FILE).stat().st_size / (1 << 20)
    five = [ListSource(f"list{number}", (str(directory / f"list{number}.txt"),)) for number in range(5)]
    rules = ListLoader(None).load(five).rules
    figures["five lists: lookup of a listed name, us"] = lookup_us(rules, on, on=True)
    figures["five lists: lookup of another name, us"] = lookup_us(rules, off, on=False)
    return figures, of_rounds


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domains", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        figures, of_rounds = measure(arguments.domains, Path(directory))
    for name, value in figures.items():
        sys.stdout.write(f"{name:45} {value:10.2f}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures | {"rounds": of_rounds}, indent=2))


if __name__ == "__main__":
    main()
