"""A mix of lists in 13 formats with 2,000,000 rules in all: time and memory until it is in force.

    python -m tests.bench.list_mix [--json FILE] [--rules N]

The files are written by encoders that know nothing of our readers. The child that compiles them and this process, which
is as the plugin, are measured apart.
"""

import argparse
import json
import multiprocessing
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.workers.lists.loader import ListLoader
from tests.bench.figure import Figure, Settings
from tests.bench.lists import domains, resident_mb
from tests.core.lists.formats import encoders

SHARES = {
    "plain": 20,
    "hosts": 18,
    "adblock": 14,
    "dnsmasq": 8,
    "v2fly": 6,
    "mihomo": 5,
    "yaml": 2,
    "surge": 5,
    "rpz": 6,
    "unbound": 4,
    "geosite-dat": 5,
    "sing-box": 4,
    "srs": 3,
}
"""Format -> its share of all rules, in percent: text lists are the longest there are."""

PREFIXES = 100_000
PATTERNS = 100


def encoded(form: str, names: list[str]) -> bytes:
    """Write names as a file of a format."""
    match form:
        case "geosite-dat":
            return encoders.geosite({"MIX": [("domain", name, []) for name in names]})
        case "sing-box":
            return json.dumps({"version": 3, "rules": [{"domain_suffix": names}]}, indent=1).encode()
        case "srs":
            return encoders.srs(encoders.default_rule(encoders.domain_item([], names)))
    head, line, tail = {
        "plain": ("", "{}", ""),
        "hosts": ("", "0.0.0.0 {}", ""),
        "adblock": ("[Adblock Plus]\n", "||{}^", ""),
        "dnsmasq": ("", "server=/{}/192.0.2.1", ""),
        "v2fly": ("", "domain:{}", ""),
        "mihomo": ("", "+.{}", ""),
        "yaml": ("payload:\n", "  - '+.{}'", ""),
        "surge": ("", "DOMAIN-SUFFIX,{}", ""),
        "rpz": ("$TTL 60\n@ SOA a. b. 1 2 3 4 5\n", "{} CNAME .", ""),
        "unbound": ("", 'local-zone: "{}" always_nxdomain', ""),
    }[form]
    return (head + "\n".join(map(line.format, names)) + "\n" + tail).encode()


def make(directory: Path, count: int) -> None:
    """Write the files; in another process, whose memory is none of ours."""
    names = domains(count)
    random.Random(5).shuffle(names)
    at = 0
    for form, share in SHARES.items():
        size = count * share // 100
        (directory / form).write_bytes(encoded(form, names[at : at + size]))
        at += size
    few = min(PREFIXES, count // 20)
    (directory / "prefixes").write_text(
        "".join(f"10.{n >> 14 & 255}.{n >> 6 & 255}.{n << 2 & 255}/31\n" for n in range(few))
    )
    (directory / "patterns").write_text("".join(f"keyword:{name}x\n" for name in names[:PATTERNS]))


def sources(directory: Path) -> list[ListSource]:
    """Name the lists."""
    named = {form: str(directory / form) for form in SHARES}
    named["geosite-dat"] += "#mix"
    lists = [
        ListSource(form, (path,), "geosite-dat" if form == "geosite-dat" else "auto") for form, path in named.items()
    ]
    return [*lists, ListSource("more", (str(directory / "prefixes"), str(directory / "patterns")))]


def measure(count: int, directory: Path) -> dict[str, float]:
    """Take the figures: name with its unit -> value."""
    maker = multiprocessing.get_context("spawn").Process(target=make, args=(directory, count))
    maker.start()
    maker.join()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    before_mb = resident_mb()
    began = time.perf_counter()
    loaded = ListLoader(directory).load(sources(directory))
    in_force_s = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert loaded.how == "compiled", loaded
    assert len(loaded.rules) >= count * 0.99, loaded.rules.counts
    return {
        "until in force, s": in_force_s,
        "CPU of the child, s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "memory of the child, MB": after.ru_maxrss / 1024,
        "added to the process, MB": resident_mb() - before_mb,
    }


def run(settings: Settings) -> Iterator[Figure]:
    """Take the figures in a process of their own, whose memory nothing else has touched."""
    count = settings.size(2_000_000, 20_000)
    settings.say(f"{count:,} rules")
    file = settings.folder / "list_mix.json"
    command = [sys.executable, "-m", "tests.bench.list_mix", "--rules", str(count), "--json", str(file)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = json.loads(file.read_text())
    yield Figure("until in force", "s", (found["until in force, s"],), at_most=15.0, always=True)
    yield Figure("memory of the child", "MB", (found["memory of the child, MB"],), at_most=500.0, always=True)
    yield Figure("added to the process", "MB", (found["added to the process, MB"],), at_most=20.0, always=True)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=int, default=2_000_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        figures = measure(arguments.rules, Path(directory))
    for name, value in figures.items():
        sys.stdout.write(f"{name:45} {value:10.2f}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
