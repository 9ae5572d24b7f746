"""Fuzz targets, their corpora, and the coverage that a replay of a corpus reaches.

A target is a module of this folder with

    one_input(data)    takes any bytes; raises where something is wrong
    COVERS             module -> least share of the lines in its functions that the replay of the corpus runs
    seeds()            if there is one: inputs that the fuzzer begins with, beside the corpus

The corpus is `corpus/<target>/`: one file an input, chosen for what it covers, and `found-*` for each thing that was
found, which stays for good.
"""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Protocol, Self, TypeAlias, cast

FOLDER = Path(__file__).parent
CORPORA = FOLDER / "corpus"
FILES_MAX = 200
"""Of a corpus: its replay is a test of a few seconds."""
CORPUS_MAX_BYTES = 100_000

TraceFunction: TypeAlias = Callable[[FrameType, str, Any], Any]
Arc: TypeAlias = tuple[str, int, int]
"""Module, line before, line: more than lines, so that an input counts that takes another way between them."""


class Target(Protocol):
    """A fuzz target's module."""

    COVERS: dict[str, float]

    @staticmethod
    def one_input(data: bytes) -> None:
        """Take any bytes, and raise where something is wrong."""


def names() -> list[str]:
    """The names of all targets."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if "\ndef one_input(" in path.read_text())


def load(name: str) -> Target:
    """Import a target."""
    return cast("Target", importlib.import_module(f"tests.fuzz.{name}"))


def corpus(name: str) -> list[Path]:
    """The files of a target's corpus."""
    return sorted((CORPORA / name).glob("*"))


def seeds(target: Target) -> Iterable[bytes]:
    """The inputs that a target wants to begin with."""
    return cast("Iterable[bytes]", getattr(target, "seeds", tuple)())


class Coverage:
    """Lines, or arcs, that run in the functions of some modules, as long as a `with` block lasts.

    A module's own lines, and those of its classes, ran when it was imported; they don't count. For lines a function is
    not looked at any more once all of its lines have run; arcs take several times as long.
    """

    def __init__(self, modules: Iterable[str], *, with_arcs: bool = False) -> None:
        self._with_arcs = with_arcs
        self._lines: dict[CodeType, set[int]] = {}
        self._module_of: dict[CodeType, str] = {}
        for module in modules:
            source = Path(cast("str", importlib.import_module(module).__file__))
            for code in _functions(compile(source.read_text(), str(source), "exec")):
                self._lines[code] = _lines(code)
                self._module_of[code] = module
        # A module that was imported through a fuzzer's instrumentation, or from a cached file, has other code objects.
        self._known = {(code.co_filename, code.co_qualname, code.co_firstlineno): code for code in self._lines}
        self._seen: dict[CodeType, CodeType | None] = {}
        self._left = {code: set(lines) for code, lines in self._lines.items()}
        self.arcs: set[Arc] = set()

    def __enter__(self) -> Self:
        sys.settrace(self._on_call)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.settrace(None)

    def shares(self) -> dict[str, float]:
        """The share of lines that have run, by module."""
        ran = {(module, line) for module, _, line in self.arcs}
        every: dict[str, set[int]] = {}
        for code, lines in self._lines.items():
            every.setdefault(self._module_of[code], set()).update(lines)
        return {
            module: sum((module, line) in ran for line in lines) / max(1, len(lines)) for module, lines in every.items()
        }

    def short_of(self, least: dict[str, float]) -> dict[str, float]:
        """The modules of which a smaller share has run than should, with the share."""
        return {module: share for module, share in self.shares().items() if share < least[module]}

    def missing(self) -> dict[str, list[int]]:
        """The lines that have not run, by module."""
        ran = {(module, line) for module, _, line in self.arcs}
        found: dict[str, set[int]] = {}
        for code, lines in self._lines.items():
            module = self._module_of[code]
            found.setdefault(module, set()).update(line for line in lines if (module, line) not in ran)
        return {module: sorted(lines) for module, lines in found.items()}

    def _on_call(self, frame: FrameType, _: str, __: object) -> TraceFunction | None:
        code = frame.f_code
        try:
            known = self._seen[code]
        except KeyError:
            known = self._seen[code] = self._known.get((code.co_filename, code.co_qualname, code.co_firstlineno))
        if known is None:
            return None
        if self._with_arcs:
            return self._arc_tracer(self._module_of[known])
        return self._line_tracer(self._left[known], self._module_of[known]) if self._left[known] else None

    def _line_tracer(self, left: set[int], module: str) -> TraceFunction:
        arcs = self.arcs

        def on_event(frame: FrameType, event: str, _: object) -> TraceFunction:
            line = frame.f_lineno
            if event == "line" and line in left:
                left.remove(line)
                arcs.add((module, 0, line))
            return on_event

        return on_event

    def _arc_tracer(self, module: str) -> TraceFunction:
        last, arcs = 0, self.arcs

        def on_event(frame: FrameType, event: str, _: object) -> TraceFunction:
            nonlocal last
            if event == "line":
                line = frame.f_lineno
                arcs.add((module, last, line))
                last = line
            return on_event

        return on_event


def _functions(code: CodeType) -> Iterator[CodeType]:
    """All functions in a code object, without itself; 2 is CO_NEWLOCALS, which classes lack."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_flags & 2:
                yield constant
            yield from _functions(constant)


def _lines(code: CodeType) -> set[int]:
    return {line for _, _, line in code.co_lines() if line is not None and line > code.co_firstlineno}
