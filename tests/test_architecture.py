"""The rings and the one direction of imports, as the docstring of the package draws them."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "plugin" / "dnstap_bgp"
ORDER = ["cli", "commands", "plugin", "running", "workers", "config", "core", "errors"]


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
