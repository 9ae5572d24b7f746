"""Mutation testing of core/: `python -m tests.mutation --seed 1 --sample 300`.

A mutant is the tree with one place of one module changed: a comparison, an operator, a constant, a statement left out.
A good test run fails with it: the mutant is *killed*. One that survives is a line that no test looks at, or a change
that makes no difference. The sample is drawn by a seed from all mutants, so that the share of killed ones tells of
all of them, within the confidence that is printed (Wilson, 95 %).

Each mutant is tried in a copy of the tree, by the module's own test and then by other tests of tests/core that import
the module, within three times of the CPU that they take without a mutant: what else the machine does kills none.
"""

import ast
import enum
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
CORE = Path("plugin/dnstap_bgp/core")
TIMES_SLOWER = 3.0
AT_LEAST_S = 20.0
"""A mutant may take so much more CPU than the tests without one, and so much in any case: then its loop has no end."""
WAITS_MAX_S = 600.0
"""By the clock: it waits for something that never comes."""
OTHERS_MAX = 5
"""Test files beside the module's own: those that import it, the shortest first."""

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
REPLACED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed place.

    Attributes:
        module: The module's path, relative to the tree.
        line: Number of the line.
        was: The place's source.
        now: What stands there instead.
        place: Number of the node in a walk over the module, and of the change that is made there.
    """

    module: Path
    line: int
    was: str
    now: str
    place: tuple[int, int]


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """Give what may stand in a node's place, each time in one respect different."""
    match node:
        case ast.Compare(left, operators, right):
            for at, operator in enumerate(operators):
                if type(operator) in COMPARED:
                    yield ast.Compare(left, [*operators[:at], COMPARED[type(operator)](), *operators[at + 1 :]], right)
        case ast.BinOp(left, operator, right) if type(operator) in REPLACED:
            yield ast.BinOp(left, REPLACED[type(operator)](), right)
        case ast.AugAssign(target, operator, value) if type(operator) in REPLACED:
            yield ast.AugAssign(target, REPLACED[type(operator)](), value)
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.IfExp(_, body, otherwise):
            yield from (body, otherwise)
        case _:
            yield from simple_changes(node)


def simple_changes(node: ast.AST) -> Iterator[ast.AST]:
    """Give the same for constants and statements."""
    match node:
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int(number) | float(number)):
            yield ast.Constant(number + 1)
        case ast.Return(value) if value is not None and not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()
        case ast.Expr(ast.Call()):
            yield ast.Pass()


def places(tree: ast.Module) -> Iterator[tuple[int, ast.AST]]:
    """Walk over the nodes of functions' bodies and of constants; not over annotations, decorators and assertions."""
    skipped: set[int] = set()
    for number, node in enumerate(ast.walk(tree)):
        if isinstance(node, ast.Assert) or id(node) in skipped:
            skipped.update(map(id, ast.iter_child_nodes(node)))
            continue
        if isinstance(node, ast.FunctionDef):
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            hidden = [*node.decorator_list, node.returns, *(one.annotation for one in every)]
            skipped.update(id(one) for one in hidden if one is not None)
        elif isinstance(node, ast.AnnAssign):
            skipped.add(id(node.annotation))
        elif isinstance(node, ast.ClassDef):
            skipped.update(map(id, [*node.decorator_list, *node.bases]))
        yield number, node


def mutants(module: Path) -> Iterator[Mutant]:
    """Give all mutants of a module."""
    tree = ast.parse((ROOT / module).read_text())
    for number, node in places(tree):
        for which, changed in enumerate(changes(node)):
            line = getattr(node, "lineno", 0)
            yield Mutant(module, line, ast.unparse(node), ast.unparse(changed), (number, which))


def source_of(mutant: Mutant) -> str:
    """Write the module with the change."""
    return with_change(ast.parse((ROOT / mutant.module).read_text()), mutant)


def with_change(tree: ast.Module, mutant: Mutant) -> str:
    """Write a tree with a change."""
    number, which = mutant.place
    target = next(node for at, node in places(tree) if at == number)
    changed = list(changes(target))[which]

    class Change(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return changed if node is target else super().visit(node)

    return ast.unparse(ast.fix_missing_locations(Change().visit(tree)))


def tests_of(module: Path) -> list[Path]:
    """Find a module's test, and behind it those that import the module, shortest first."""
    inside = module.relative_to("plugin/dnstap_bgp").with_suffix("")
    inside = inside.parent if inside.name == "__init__" else inside
    own = Path("tests") / inside.parent / f"test_{inside.name}.py"
    dotted = ".".join(("dnstap_bgp", *inside.parts))
    parent, _, name = dotted.rpartition(".")
    wanted = (f"from {dotted} import", f"from {parent} import {name}\n", f"from {parent} import {name} as")
    others = [
        path.relative_to(ROOT)
        for path in (ROOT / "tests" / "core").rglob("test_*.py")
        if any(line in path.read_text() for line in wanted)
    ]
    others = sorted((path for path in others if path != own), key=lambda path: ((ROOT / path).stat().st_size, path))
    return [*([own] if (ROOT / own).exists() else []), *others[:OTHERS_MAX]]


class MutantVerdict(enum.Enum):
    """What a module's tests say of a mutant."""

    PASSED = "passed"
    FAILED = "failed"
    ENDLESS = "endless"


class Bench:
    """A copy of the tree, in which one mutant after the other is tried.

    Attributes:
        endless: Mutants that were killed because they took too long.
    """

    def __init__(self, folder: Path) -> None:
        self._tree = folder
        for name in ("plugin", "tests", "deploy"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "corpus"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        self.endless = 0
        self._takes_s: dict[Path, float] = {}  # CPU

    def is_killed(self, mutant: Mutant) -> bool | None:
        """Tell whether any test fails with a mutant, or takes far too long; None: they fail without one, too."""
        tests, path = tests_of(mutant.module), self._tree / mutant.module
        if not tests:
            return False
        if mutant.module not in self._takes_s:  # without the mutant first
            before = _children_cpu_s()
            is_good = self._verdict(tests, WAITS_MAX_S) is MutantVerdict.PASSED
            self._takes_s[mutant.module] = _children_cpu_s() - before if is_good else math.inf
        if self._takes_s[mutant.module] == math.inf:
            return None
        good = path.read_text()
        path.write_text(source_of(mutant))
        try:
            verdict = self._verdict(tests, max(AT_LEAST_S, TIMES_SLOWER * self._takes_s[mutant.module]))
        finally:
            path.write_text(good)
        self.endless += verdict is MutantVerdict.ENDLESS
        return verdict is not MutantVerdict.PASSED

    def _verdict(self, tests: Sequence[Path], cpu_max_s: float) -> MutantVerdict:
        paths = f"{self._tree / 'plugin'}:{self._tree}"
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *map(str, tests)]
        with subprocess.Popen(
            command, cwd=self._tree, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            limit = math.ceil(cpu_max_s)
            resource.prlimit(process.pid, resource.RLIMIT_CPU, (limit, limit + 1))
            try:
                status = process.wait(WAITS_MAX_S)
            except subprocess.TimeoutExpired:
                process.kill()
                return MutantVerdict.ENDLESS
        if status in (-signal.SIGXCPU, -signal.SIGKILL):
            return MutantVerdict.ENDLESS
        return MutantVerdict.PASSED if status == 0 else MutantVerdict.FAILED


def _children_cpu_s() -> float:
    """What all processes that were waited for have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def interval(killed: int, tried: int) -> tuple[float, float]:
    """Give Wilson's interval of a share, 95 %."""
    if not tried:
        return 0.0, 1.0
    share, z = killed / tried, 1.96
    middle, root = share + z * z / (2 * tried), z * math.sqrt(share * (1 - share) / tried + z * z / (4 * tried * tried))
    return (middle - root) / (1 + z * z / tried), (middle + root) / (1 + z * z / tried)


def drawn(seed: int, sample: int, prefix: str) -> Sequence[Mutant]:
    """Draw mutants of core/, each as likely as any other."""
    modules = [
        path.relative_to(ROOT) for path in sorted((ROOT / CORE).rglob("*.py")) if not path.name.endswith("_pb2.py")
    ]
    every = [one for module in modules if str(module.relative_to(CORE)).startswith(prefix) for one in mutants(module)]
    click.echo(f"{len(every)} mutants in all")
    return random.Random(seed).sample(every, min(sample, len(every)))


@click.command()
@click.option("--seed", default=1, help="Of the sample.")
@click.option("--sample", default=100, help="How many mutants to try.")
@click.option("--only", default="", help="Modules of core/ that begin so, such as `exabgp/`.")
@click.option("--minutes", default=60.0, help="After so long no further mutant is tried.")
def main(seed: int, sample: int, only: str, minutes: float) -> None:
    """Try a sample of mutants, and tell the share of killed ones and each survivor."""
    ends = time.monotonic() + 60 * minutes
    killed = tried = 0
    with tempfile.TemporaryDirectory(prefix="mutants.") as folder:
        bench = Bench(Path(folder) / "tree")
        for mutant in drawn(seed, sample, only):
            if time.monotonic() > ends:
                break
            is_killed = bench.is_killed(mutant)
            if is_killed is None:
                click.echo(f"{mutant.module}: its tests fail without any mutant: not counted")
                continue
            tried += 1
            killed += is_killed
            if not is_killed:
                click.echo(f"{mutant.module}:{mutant.line}: `{mutant.was}` -> `{mutant.now}` survives")
    low, high = interval(killed, tried)
    share = f"{killed / max(1, tried):.1%} (95 %: {low:.1%} to {high:.1%})"
    click.echo(f"{killed} of {tried} killed: {share}; {bench.endless} of them took too long")


if __name__ == "__main__":
    main()
