"""Reach: which statements of core/ each test runs, found out once and kept in build/mutation.

A test process imports core/ with a mark before each statement of a function. What a test has marked is what it has
reached; what was marked while its file was collected, was reached by the file.
"""

import ast
import builtins
import hashlib
import json
import os
import resource
import time
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

import pytest

from tests.mutation.mutants import CORE, ROOT, modules, parsed, statements

FOLDERS = ("tests/core", "tests/property")
LEFT_OUT = ("test_list_costs.py", "test_document_costs.py")
"""They compare how long something takes, and fail when the machine is busy: that kills nothing."""
KEPT = ROOT / "build" / "mutation" / "reach"
OPTIONS = ("-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:faulthandler")
COLLECTED = "(collected)"


@dataclass(slots=True)
class FileReach:
    """What the tests of a file reach.

    Attributes:
        cpu_s: CPU of each test that passes, by its id in pytest.
        reached: Numbers of the statements by module; for each test, and under `COLLECTED` for the file.
    """

    cpu_s: dict[str, float] = field(default_factory=dict)
    reached: dict[str, dict[str, list[int]]] = field(default_factory=dict)


def files_of_tests() -> list[Path]:
    """List the files whose tests may kill a mutant, relative to the tree."""
    found = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("test_*.py")))
    return [path.relative_to(ROOT) for path in found if path.name not in LEFT_OUT]


def known() -> dict[Path, FileReach]:
    """Read what is kept of the files that are as they were, as is core/."""
    rest = _rest_of_tree()
    found = {}
    for path in files_of_tests():
        kept = _kept_at(path, rest)
        if kept.exists():
            found[path] = FileReach(**json.loads(kept.read_text()))
    return found


def _rest_of_tree() -> bytes:
    """Hash what a test's reach depends on beside its own file."""
    digest = hashlib.sha256()
    for path in (
        *modules(),
        *sorted(path for path in Path("tests/core").rglob("*.py") if path not in files_of_tests()),
    ):
        digest.update((ROOT / path).read_bytes())
    return digest.digest()


def _kept_at(path: Path, rest: bytes) -> Path:
    digest = hashlib.sha256(rest + (ROOT / path).read_bytes()).hexdigest()[:16]
    return KEPT / f"{path.as_posix().replace('/', '-')}.{digest}.json"


def find_out(files: Sequence[Path], jobs: int) -> None:
    """Run the tests of some files, and keep what they reach; each of some processes takes a share."""
    KEPT.mkdir(parents=True, exist_ok=True)
    children = []
    for share in range(min(jobs, len(files))):
        pid = os.fork()
        if not pid:
            status = 1
            try:
                status = _run(files[share::jobs])
            finally:
                os._exit(status)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)


def _run(files: Sequence[Path]) -> int:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    marks = Marks()
    swap_code(marks.codes)
    pytest.main([*OPTIONS, *map(str, files)], plugins=[Recorder(marks, _rest_of_tree())])
    return 0


def swap_code(codes: dict[str, CodeType]) -> None:
    """Have the modules at these absolute paths imported with other code than that of their files."""
    original = SourceFileLoader.get_code

    def get_code(self: SourceFileLoader, name: str) -> CodeType | None:
        return codes.get(self.path) or original(self, name)

    SourceFileLoader.get_code = get_code  # type: ignore[assignment, method-assign]


class Marks:
    """The statements that were run since they were last taken.

    Attributes:
        codes: Each module's code with the marks, by its absolute path.
    """

    def __init__(self) -> None:
        self.codes: dict[str, CodeType] = {}
        self._ran: dict[str, bytearray] = {}
        for number, module in enumerate(modules()):
            tree = parsed(module)
            ran = bytearray(len(statements(tree)))
            name = f"__ran_{number}__"
            setattr(builtins, name, ran)
            self._ran[str(module.relative_to(CORE))] = ran
            path = str(ROOT / module)
            self.codes[path] = compile(with_marks(tree, name), path, "exec", dont_inherit=True)

    def take(self) -> dict[str, list[int]]:
        """Give the numbers of the marked statements by module, and forget them."""
        found = {}
        for module, ran in self._ran.items():
            if 1 in ran:
                found[module] = [number for number, is_marked in enumerate(ran) if is_marked]
                ran[:] = bytes(len(ran))
        return found


def with_marks(tree: ast.Module, name: str) -> ast.Module:
    """Put `name[NUMBER] = 1` before each statement of a function."""
    numbers = {id(statement): number for number, statement in enumerate(statements(tree))}
    blocks = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            blocks.update({id(block): block for node in ast.walk(function) for block in _blocks(node)})
    for block in blocks.values():
        marked: list[ast.stmt] = []
        for statement in block:
            is_docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if not is_docstring:
                [mark] = ast.parse(f"{name}[{numbers[id(statement)]}] = 1").body
                marked.append(ast.copy_location(mark, statement))
            marked.append(statement)
        block[:] = marked
    return ast.fix_missing_locations(tree)


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for attribute in ("body", "orelse", "finalbody"):
        block = getattr(node, attribute, None)
        if isinstance(block, list):
            yield block


def cpu_s() -> float:
    """Take the CPU of this process, and of those that it waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + used.ru_utime + used.ru_stime


class Recorder:
    """A plugin of pytest that keeps what each file's tests reach."""

    def __init__(self, marks: Marks, rest: bytes) -> None:
        self._marks = marks
        self._rest = rest
        self._collected: dict[str, dict[str, list[int]]] = {}
        self._failed: set[str] = set()

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        use_profile()

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if isinstance(collector, pytest.Module):
            self._collected[collector.nodeid] = self._marks.take()
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome != "passed":
            self._failed.add(report.nodeid)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        by_file: dict[str, list[pytest.Item]] = defaultdict(list)
        for item in session.items:
            by_file[item.nodeid.partition("::")[0]].append(item)
        for name, items in by_file.items():
            reach = FileReach(reached={COLLECTED: self._collected.get(name, {})})
            for item, following in zip(items, [*items[1:], None], strict=True):
                before = cpu_s()
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                found = self._marks.take()
                if item.nodeid not in self._failed:
                    reach.cpu_s[item.nodeid] = cpu_s() - before
                    reach.reached[item.nodeid] = found
            path = Path(name)
            for old in KEPT.glob(f"{path.as_posix().replace('/', '-')}.*.json"):
                old.unlink()
            _kept_at(path, self._rest).write_text(json.dumps({"cpu_s": reach.cpu_s, "reached": reach.reached}))
        return True


def use_profile() -> None:
    """Have hypothesis try the same examples each time, keep none, and simplify none: to fail is enough."""
    from hypothesis import Phase, settings  # noqa: PLC0415 - its profiles are those of the tests' conftest.py by now

    phases = (Phase.explicit, Phase.generate, Phase.target)
    settings.register_profile("mutation", settings(), database=None, derandomize=True, phases=phases, print_blob=False)
    settings.load_profile("mutation")
