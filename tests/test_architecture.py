"""The rings and the one direction of imports, as the docstring of the package draws them."""

import ast
import graphlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "plugin" / "dnstap_bgp"
ORDER = ["cli", "commands", "plugin", "app", "workers", "config", "core", "errors"]


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """The parts of this package that a module imports, wherever in it, each with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from ((name.split(".")[1], node.lineno) for name in names if name.startswith("dnstap_bgp."))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("part", ORDER)
def test_imports_go_one_way(part: str):
    allowed = {*ORDER[ORDER.index(part) :], "__version__"}
    modules = [path for path in PACKAGE.rglob("*.py") if part_of(path) == part]
    assert modules, f"there is no {part}"
    wrong = [f"{path}:{line} imports {name}" for path in modules for name, line in imports(path) if name not in allowed]
    assert not wrong


def test_every_module_has_its_place():
    assert {part_of(path) for path in PACKAGE.rglob("*.py")} == {*ORDER, "__init__", "__main__"}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    return {
        ".".join((PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
    }


def test_no_modules_import_each_other_in_a_circle():
    """Imports of the type checker and inside of functions count, too."""
    known = modules()
    graph = {}
    for module, path in known.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in known:
                names = (f"{node.module}.{alias.name}" for alias in node.names)
                found |= {name if name in known else node.module for name in names}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names if alias.name in known}
        graph[module] = found - {module}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError with the circle


RIDDLE = re.compile(
    r"(What|Who|Whose|Whether|How|Where|When|It|Its|They|Their|That|This|These|Those|See|One of|All of|The same)\b"
)
"""A docstring's first line names its thing by a noun that a stranger could search for."""


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                yield getattr(node, "lineno", 1), text


def test_docstrings_begin_with_a_noun_that_can_be_searched_for():
    paths = [path for path in PACKAGE.rglob("*.py") if not path.name.endswith("_pb2.py")]
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in paths
        for line, text in docstrings(path)
        if RIDDLE.match(text)
    ]
    assert not wrong, "\n".join(wrong)


def test_class_names_are_unique():
    places: dict[str, list[str]] = {}
    for module, path in modules().items():
        if path.name.endswith("_pb2.py"):
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(module)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


UNMIRRORED = {
    "core/exabgp/adj_rib_out": "tests/core/exabgp/test_reconciler.py, which drives it",
}
"""Modules without a test of their own name, and why."""


def test_every_module_has_a_test_of_its_name():
    lacking = []
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).with_suffix("")
        if path.name.startswith("__") or path.name.endswith("_pb2.py") or place.as_posix() in UNMIRRORED:
            continue
        if not (ROOT / "tests" / place.parent / f"test_{place.name}.py").exists():
            lacking.append(place.as_posix())
    assert not lacking, "\n".join(sorted(lacking))


@pytest.mark.parametrize("module", ["core/planted.py", "core/deeper/planted.py"])
@pytest.mark.parametrize("line", ["import socket", "from os import path", "import time"])
def test_lint_refuses_what_blocks_in_core(tmp_path: Path, module: str, line: str):
    assert "TID251" in lint(tmp_path, module, line)


def test_lint_allows_it_where_threads_live(tmp_path: Path):
    assert "TID251" not in lint(tmp_path, "workers/planted.py", "import socket")


def lint(folder: Path, module: str, line: str) -> str:
    """What the project's own ruff settings say of one line planted in a module."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    planted = folder / "plugin" / "dnstap_bgp" / module
    planted.parent.mkdir(parents=True)
    planted.write_text(f'"""Planted."""\n\n{line}\n')
    ruff = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise", "."]
    return subprocess.run(ruff, cwd=folder, capture_output=True, text=True, check=False).stdout
