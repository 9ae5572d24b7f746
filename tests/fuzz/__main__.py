"""Coverage-guided fuzzing of one target; see `targets` and tests/README.md.

    PYTHONPATH=plugin python -m tests.fuzz [TARGET] [--minutes N] [--keep]

Without a target: their names. The fuzzer begins with the target's corpus and its seeds, and keeps what covers something
new in build/fuzz/TARGET, for the next run. What fails is there as `crash-*`, `timeout-*` or `oom-*`: mend it, and put
the file into the corpus as `found-WHAT`. `--keep` fuzzes no more, but makes the corpus anew: the fewest inputs that
together cover what all of them do.
"""

import argparse
import hashlib
import sys
import time
from pathlib import Path

import click

from tests.fuzz import targets

WORK = Path("build/fuzz")
INPUT_MAX_BYTES = 4096
INPUT_MAX_S = 20
"""Of one input, by the clock: a hang."""
INPUT_CPU_MAX_S = 2.0
"""Of one input, CPU: far more than an input of `INPUT_MAX_BYTES` takes anywhere, far less than one that grows as its
square does."""
MEMORY_MAX_MB = 1024
INSTRUMENTED = ["dnstap_bgp", "tests.property", "tests.fuzz"]


def main() -> None:
    """Fuzz, or make a corpus."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Coverage-guided fuzzing of one target.")
    parser.add_argument("target", nargs="?", choices=targets.names())
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--keep", action="store_true", help="make the target's corpus of what was found so far")
    arguments = parser.parse_args()
    if arguments.target is None:
        click.echo("\n".join(targets.names()))
    elif arguments.keep:
        keep(arguments.target)
    else:
        fuzz(arguments.target, arguments.minutes)


def fuzz(name: str, minutes: float) -> None:
    """Run the fuzzer; does not return."""
    try:
        import atheris  # noqa: PLC0415 # there are no wheels for some versions of Python, which replay all the same
    except ImportError:
        sys.exit("atheris is missing here: pip install atheris")
    with atheris.instrument_imports(include=INSTRUMENTED):
        target = targets.load(name)
    work = WORK / name
    kept = work / "kept"
    for folder in (kept, targets.CORPORA / name):  # a new target has no corpus yet
        folder.mkdir(parents=True, exist_ok=True)
    for data in targets.seeds(target):
        (kept / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)

    def bounded(data: bytes) -> None:
        begin = time.process_time()
        target.one_input(data)
        took_s = time.process_time() - begin
        assert took_s < INPUT_CPU_MAX_S, f"one input took {took_s:.1f} s of CPU"

    options = {
        "max_total_time": int(minutes * 60),
        "max_len": INPUT_MAX_BYTES,
        "timeout": INPUT_MAX_S,
        "rss_limit_mb": MEMORY_MAX_MB,
        "print_final_stats": 1,
        "artifact_prefix": f"{work}/",
    }
    folders = [str(kept), str(targets.CORPORA / name)]
    atheris.Setup([sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), *folders], bounded)
    atheris.Fuzz()


def keep(name: str) -> None:
    """Make the corpus anew: again and again the input that adds most for its size."""
    target = targets.load(name)
    known = {data: Path("seed") for data in targets.seeds(target)}
    known |= {path.read_bytes(): path for path in (WORK / name / "kept").glob("*")}
    known |= {path.read_bytes(): path for path in targets.corpus(name)}  # last, for what was found keeps its name
    known = {data: path for data, path in known.items() if len(data) <= INPUT_MAX_BYTES}
    arcs: dict[bytes, set[targets.Arc]] = {}
    for data in known:
        with targets.Coverage(target.COVERS, with_arcs=True) as coverage:
            target.one_input(data)
        arcs[data] = coverage.arcs
    found = [data for data, path in known.items() if path.name.startswith("found-")]
    chosen: list[bytes] = []
    covered: set[targets.Arc] = set().union(*(arcs.pop(data) for data in found))
    while len(chosen) + len(found) < targets.FILES_MAX:
        left = {data: len(more - covered) / (64 + len(data)) for data, more in arcs.items()}
        best = max(left, key=left.__getitem__, default=b"")
        if not left.get(best):
            break
        chosen.append(best)
        covered |= arcs.pop(best)
    folder = targets.CORPORA / name
    folder.mkdir(parents=True, exist_ok=True)
    for path in targets.corpus(name):
        if not path.name.startswith("found-"):
            path.unlink()
    for number, data in enumerate(chosen):  # in the order of their worth: a replay stops to count once it has enough
        digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        (folder / f"{number:03}-{digest[:12]}").write_bytes(data)
    with targets.Coverage(target.COVERS) as coverage:
        for path in targets.corpus(name):
            target.one_input(path.read_bytes())
    click.echo(f"{len(chosen)} of {len(known)} inputs, {len(found)} findings")
    for module, share in coverage.shares().items():
        click.echo(f"{share:.3f} {module}; not: {coverage.missing()[module]}")


if __name__ == "__main__":
    main()
