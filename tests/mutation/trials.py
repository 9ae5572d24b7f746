"""Trials: each mutant in a process of its own, forked from one that has imported and collected all tests.

A mutant within a function gets its function's code swapped: all that was imported stays. One of what is run at import
has core/ and the tests imported anew. Either runs the tests that reach the mutated statement, those of the module's own
file first, the quickest first, until one fails.

A test may take five times the CPU that it took without a mutant; beyond that, a loop has no end. A test that fails
alone without a mutant kills none, and now and then a trial is made without a change, which nothing may fail.
"""

import ast
import gc
import os
import resource
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from tests.mutation.mutants import CORE, ROOT, Mutant, modules, parsed, statements, with_change
from tests.mutation.reach import COLLECTED, OPTIONS, FileReach, swap_code, use_profile

TIMES_SLOWER = 5.0
AT_LEAST_S = 2.0
"""A test may take so much more CPU than without a mutant, and so much in any case."""
IMPORT_MAX_S = 60.0
WAITS_MAX_S = 300.0
"""By the clock: it waits for what never comes."""
MEMORY_MAX_BYTES = 3 << 30
FILES_MAX = 24
"""Files of tests that are imported anew for a mutant that is run at import, which takes half a second each."""
UNCHANGED_EVERY = 25
"""Of so many trials one is made without a change."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A mutant's outcome.

    Attributes:
        mutant: The mutant.
        is_killed: A test failed or took far too long; None: the trial itself went wrong.
        killer: Which test.
        is_endless: It took too long.
        tests: Number of tests that reach it.
        left_out: Number of those left out because all together take too long.
    """

    mutant: Mutant
    is_killed: bool | None
    killer: str
    is_endless: bool
    tests: int
    left_out: int


class TestChoice:
    """Which tests to try a mutant with."""

    __test__ = False

    def __init__(self, reach: Mapping[Path, FileReach], tests_max_s: float) -> None:
        """Prepare the choice.

        Args:
            reach: What each file's tests reach.
            tests_max_s: CPU of a mutant's tests, without the mutant; slower ones are left out, which may only let a
                mutant survive.
        """
        self._reach = reach
        self._tests_max_s = tests_max_s
        self._cpu_s = {name: cpu_s for one in reach.values() for name, cpu_s in one.cpu_s.items()}
        self._by_statement: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
        self._at_import: dict[str, set[int]] = defaultdict(set)
        for one in reach.values():
            for name, found in one.reached.items():
                for module, numbers in found.items():
                    if name == COLLECTED:
                        self._at_import[module].update(numbers)
                    else:
                        for number in numbers:
                            self._by_statement[module][number].append(name)
        self._kills: Counter[str] = Counter()
        self._bad: set[str] = set()

    @cached_property
    def _mentions(self) -> "Mentions":
        return Mentions()

    def is_at_import(self, mutant: Mutant) -> bool:
        """Tell whether a mutant's statement is run while core/ or the tests are imported."""
        return mutant.is_at_import or mutant.statement in self._at_import[mutant.key.module]

    def tests(self, mutant: Mutant) -> tuple[list[str], int]:
        """List the tests in the order to run them, and tell how many are left out."""
        reached = self._by_statement[mutant.key.module]
        found = set(reached[mutant.statement])
        rest: set[str] = set()
        if self.is_at_import(mutant):
            for module, number in self._mentions.of(mutant) if mutant.is_at_import else ():
                found.update(self._by_statement[module][number])
            own = {name for path in self._reach if _is_own(path, mutant) for name in self._reach[path].cpu_s}
            rest = {name for names in reached.values() for name in names} | own
        chosen = self._sorted(found, found | rest, mutant)
        total_s = 0.0
        kept: list[str] = []
        files: set[str] = set()
        for name in chosen:
            file = name.partition("::")[0]
            if self.is_at_import(mutant) and file not in files and len(files) >= FILES_MAX:
                continue
            total_s += self._cpu_s[name]
            if total_s > self._tests_max_s and kept:
                break
            kept.append(name)
            files.add(file)
        return kept, len(chosen) - len(kept)

    def _sorted(self, found: set[str], names: set[str], mutant: Mutant) -> list[str]:
        """Sort tests: those of the module's own file, those that were found, the others; each the quickest first."""
        own = {str(path) for path in self._reach if _is_own(path, mutant)}

        def order(name: str) -> tuple[bool, bool, float, str]:
            is_own, cost_s = name.partition("::")[0] in own, self._cpu_s[name] / (1 + 3 * self._kills[name])
            return not is_own, name not in found, cost_s, name

        return sorted(names - self._bad, key=order)

    def cpu_s(self, name: str) -> float:
        """Give what a test takes without a mutant."""
        return self._cpu_s.get(name, 0.0)

    def has_killed(self, name: str) -> None:
        """Have a test tried earlier from now on."""
        self._kills[name] += 1

    def leave_out(self, name: str) -> None:
        """Have a test left out from now on: it fails without a mutant."""
        self._bad.add(name)


def _is_own(path: Path, mutant: Mutant) -> bool:
    inside = Path(mutant.key.module).with_suffix("")
    inside = inside.parent if inside.name == "__init__" else inside
    return path.parent == Path("tests/core") / inside.parent and path.stem.startswith(f"test_{inside.name}")


class Mentions:
    """Which statements mention the names that are assigned when a module is imported."""

    def __init__(self) -> None:
        self._trees = {str(module.relative_to(CORE)): parsed(module) for module in modules()}
        self._statements = {module: statements(tree) for module, tree in self._trees.items()}
        self._by_name: dict[str, set[tuple[str, int]]] = defaultdict(set)
        for module, every in self._statements.items():
            for number, statement in enumerate(every):
                for name in _mentioned(statement):
                    self._by_name[name].add((module, number))

    def of(self, mutant: Mutant) -> set[tuple[str, int]]:
        """Give the statements, by module and number; those behind another constant's name, too."""
        every = self._statements[mutant.key.module]
        found: set[tuple[str, int]] = set()
        wanted = list(_assigned(every[mutant.statement]))
        seen = set(wanted)
        if isinstance(every[mutant.statement], ast.FunctionDef):  # a default: the function's own
            inside = {id(node) for node in ast.walk(every[mutant.statement])}
            found.update((mutant.key.module, at) for at, one in enumerate(every) if id(one) in inside)
        while wanted:
            for module, number in self._by_name[wanted.pop()]:
                found.add((module, number))
                more = set(_assigned(self._statements[module][number])) - seen
                if number < len(self._trees[module].body):  # the module's own statements are the first
                    seen |= more
                    wanted.extend(more)
        return found


def _assigned(statement: ast.stmt) -> Iterator[str]:
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    for target in targets:
        yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


def _mentioned(statement: ast.stmt) -> Iterator[str]:
    """Give the names in a statement itself, not in those inside of it."""
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        todo.extend(child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt))


def mutated(mutant: Mutant) -> CodeType:
    """Compile a module with a change."""
    path = ROOT / mutant.path
    return compile(with_change(parsed(mutant.path), mutant.place), str(path), "exec", dont_inherit=True)


def functions_of(code: CodeType) -> Iterator[tuple[tuple[str, int], CodeType]]:
    """Give the code of the functions of a module by name and line."""
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield (one.co_qualname, one.co_firstlineno), one
            yield from functions_of(one)


class Functions:
    """The functions of core/ that live in this process."""

    def __init__(self) -> None:
        self._by_path: dict[str, list[FunctionType]] = defaultdict(list)
        for one in gc.get_objects():
            if isinstance(one, FunctionType):
                self._by_path[one.__code__.co_filename].append(one)

    def swap(self, mutant: Mutant) -> bool:
        """Give functions their code with a change; False: there is none, or it doesn't fit into the function."""
        path = ROOT / mutant.path
        good = dict(functions_of(compile(path.read_text(), str(path), "exec", dont_inherit=True)))
        changed = {key: code for key, code in functions_of(mutated(mutant)) if good.get(key) != code}
        swapped = 0
        for one in self._by_path[str(path)]:
            code = changed.get((one.__code__.co_qualname, one.__code__.co_firstlineno))
            if code is not None:
                if code.co_freevars != one.__code__.co_freevars:
                    return False
                one.__code__ = code
                swapped += 1
        return swapped > 0


@dataclass(slots=True)
class _Child:
    """A forked process: what it tries, since when, and what it says at last."""

    mutant: Mutant | None
    tests: list[str]
    left_out: int
    said: int  # a file in memory
    since: float = field(default_factory=time.monotonic)


class Trials:
    """A plugin of pytest that tries mutants instead of running tests."""

    def __init__(
        self,
        sample: Sequence[Mutant],
        choice: TestChoice,
        *,
        jobs: int,
        minutes: float,
        anew: bool,
        folder: Path,
        tell: Callable[[Trial], None],
    ) -> None:
        """Prepare trials.

        Args:
            sample: The mutants.
            choice: Which tests they are tried with.
            jobs: Processes at a time.
            minutes: After so long no further mutant is tried.
            anew: Import core/ anew for each.
            folder: For files of the tests.
            tell: Called with each outcome.
        """
        self._queue = list(reversed(sample))
        self._choice = choice
        self._jobs = jobs
        self._ends = time.monotonic() + 60 * minutes
        self._anew = anew
        self._folder = folder
        self._tell = tell
        self._children: dict[int, _Child] = {}
        self._confirmed: set[str] = set()
        self._items: dict[str, pytest.Item] = {}
        self._started = 0
        self.unchanged = self.unchanged_failed = 0

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        use_profile()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._items = {item.nodeid: item for item in session.items}
        for module in modules():
            __import__(".".join(module.relative_to("plugin").with_suffix("").parts).removesuffix(".__init__"))
        gc.collect()
        functions = Functions()
        gc.freeze()
        while self._children or (self._queue and time.monotonic() < self._ends):
            while len(self._children) < self._jobs and self._queue and time.monotonic() < self._ends:
                self._start(self._queue.pop(), functions)
            self._reap()
        return True

    def _start(self, mutant: Mutant, functions: Functions) -> None:
        tests, left_out = self._choice.tests(mutant)
        tests = [name for name in tests if name in self._items]
        if not tests:
            self._tell(Trial(mutant, is_killed=False, killer="", is_endless=False, tests=0, left_out=left_out))
            return
        self._started += 1
        if not self._started % UNCHANGED_EVERY:
            self._fork(None, tests, 0, functions)
        self._fork(mutant, tests, left_out, functions)

    def _fork(self, mutant: Mutant | None, tests: list[str], left_out: int, functions: Functions) -> int:
        said = os.memfd_create("said")
        pid = os.fork()
        if pid:
            self._children[pid] = _Child(mutant, tests, left_out, said)
            return pid
        status = 2
        try:
            status = self._in_child(mutant, tests, functions, said)
        except BaseException as error:  # noqa: BLE001 - it is told
            os.pwrite(said, repr(error).encode(), 0)
        finally:
            os._exit(status)

    def _in_child(self, mutant: Mutant | None, tests: list[str], functions: Functions | None, said: int) -> int:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        folder = self._folder / str(os.getpid())
        watch = Watch(self._choice, said)
        if mutant is not None and (
            self._anew or self._choice.is_at_import(mutant) or functions is None or not functions.swap(mutant)
        ):
            return _run_anew(mutant, tests, watch, folder)
        folder.mkdir()
        first = self._items[tests[0]]
        first.config._tmp_path_factory._basetemp = folder  # type: ignore[attr-defined]
        first.config.pluginmanager.register(watch)
        items = [self._items[name] for name in tests]
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        return 0

    def _reap(self) -> None:
        """Wait for a process or two; end those that wait for what never comes."""
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            time.sleep(0.003)
            for pid, child in self._children.items():
                if time.monotonic() > child.since + WAITS_MAX_S:
                    os.kill(pid, signal.SIGKILL)
            return
        child = self._children.pop(pid)
        killer = os.pread(child.said, 1 << 16, 0).decode(errors="replace")
        os.close(child.said)
        code = os.waitstatus_to_exitcode(status)
        if child.mutant is None:
            self.unchanged += 1
            self.unchanged_failed += code != 0
            if code:
                sys.stderr.write(f"without any change: {code} {killer}\n")
            return
        self._judge(child, child.mutant, code, killer, pid)

    def _judge(self, child: _Child, mutant: Mutant, code: int, killer: str, pid: int) -> None:
        if code == 1 and not self._fails_for(killer):
            self._choice.leave_out(killer)
            self._queue.append(mutant)
            return
        if code == 1:
            self._choice.has_killed(killer)
        if code > 1:
            sys.stderr.write(f"the trial of {mutant} went wrong ({pid}, {code}): {killer}\n")
        is_killed = None if code > 1 else code != 0
        self._tell(Trial(mutant, is_killed, killer, code < 0, len(child.tests), child.left_out))

    def _fails_for(self, killer: str) -> bool:
        """Tell whether a test passes alone where nothing is changed."""
        if killer not in self._confirmed and killer in self._items:
            pid = os.fork()
            if not pid:
                status = 2
                try:
                    status = self._in_child(None, [killer], None, os.memfd_create("said"))
                finally:
                    os._exit(status)
            if os.waitpid(pid, 0)[1]:
                sys.stderr.write(f"{killer} fails alone without a mutant: left out\n")
                return False
            self._confirmed.add(killer)
        return True


class Watch:
    """A plugin of pytest: the first failure ends the process, and so does a test that takes far too long."""

    def __init__(self, choice: TestChoice, said: int, order: Sequence[str] = ()) -> None:
        self._choice = choice
        self._said = said
        self._order = {name: place for place, name in enumerate(order)}

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        use_profile()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._order), key=lambda one: self._order[one.nodeid]
        )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        limit_s = max(AT_LEAST_S, TIMES_SLOWER * self._choice.cpu_s(item.nodeid))
        os.ftruncate(self._said, 0)
        os.pwrite(self._said, item.nodeid.encode(), 0)
        signal.setitimer(signal.ITIMER_PROF, limit_s)
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os._exit(1)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            os._exit(1)


def _run_anew(mutant: Mutant, tests: list[str], watch: Watch, folder: Path) -> int:
    """Import core/ with a change and the files of some tests, and run these."""
    for name in list(sys.modules):
        is_ours = name.partition(".")[0] in ("dnstap_bgp", "tests") and not name.startswith("tests.mutation")
        if is_ours and name != "tests" and not name.endswith("_pb2"):
            del sys.modules[name]
    swap_code({str(ROOT / mutant.path): mutated(mutant)})
    signal.setitimer(signal.ITIMER_PROF, IMPORT_MAX_S)
    watch._order = {name: place for place, name in enumerate(tests)}
    files = list(dict.fromkeys(name.partition("::")[0] for name in tests))
    status = pytest.main([*OPTIONS, f"--basetemp={folder}", *files], plugins=[watch])
    return 0 if status == pytest.ExitCode.OK else 1
