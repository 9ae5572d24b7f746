"""Mutants: places of core/ with one change each, drawn by a seed, and what is known to do no harm.

Not drawn is what makes no difference by its kind: assertions and what is said when something is raised, annotations,
types and casts, decorators, `__repr__`, `__slots__` and `__all__`, and the arguments `strict`, `slots`, `frozen`,
`kw_only` and `repr`. Texts are not changed anyway.
"""

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORE = Path("plugin/dnstap_bgp/core")
HARMLESS = Path(__file__).with_name("harmless.txt")

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

_ARGUMENTS_LEFT_OUT = {"strict", "slots", "frozen", "kw_only", "repr"}
_NAMES_LEFT_OUT = {"__slots__", "__all__"}
_TYPE_MAKERS = {"NewType", "TypeVar", "ParamSpec"}


@dataclass(frozen=True, slots=True)
class MutantKey:
    """A mutant's name, which outlives edits elsewhere in its module.

    Attributes:
        module: The module's path, relative to core/.
        scope: The function that it is in, with its classes; empty: the module itself.
        statement: The first line of the statement that it is in.
        change: What is there, and what stands there instead.
    """

    module: str
    scope: str
    statement: str
    change: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed place.

    Attributes:
        key: Its name; two places may have the same.
        twin: Number of the place among those of its name.
        line: Number of the line.
        place: Number of the place in its module, and of the change that is made there.
        statement: Number of the statement in its module, see `statements`.
        is_at_import: The place is run when the module is imported, as defaults and constants are.
    """

    key: MutantKey
    twin: int
    line: int
    place: tuple[int, int]
    statement: int
    is_at_import: bool

    @property
    def path(self) -> Path:
        """The module's path, relative to the tree."""
        return CORE / self.key.module

    def __str__(self) -> str:
        return (
            f"{self.key.module} {self.key.scope or '-'}  (line {self.line})\n    {self.key.statement}\n    "
            f"{self.key.change}"
        )


@dataclass(frozen=True, slots=True)
class Place:
    """A node that may be changed, and where it is."""

    node: ast.AST
    statement: ast.stmt
    scope: tuple[str, ...] = ()
    is_at_import: bool = True


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


def places(tree: ast.Module) -> Iterator[Place]:
    """Walk over the nodes of a module, without those of the kinds that are not drawn."""
    for one in tree.body:
        yield from _below(Place(one, one))


def _below(place: Place) -> Iterator[Place]:
    """Give a place and those inside of it, each with its own statement and scope."""
    node = place.node
    if _is_left_out(node):
        return
    if isinstance(node, ast.stmt):
        place = replace(place, statement=node)
    yield place
    if isinstance(node, ast.FunctionDef):
        inside = replace(place, scope=(*place.scope, node.name))
        for default in (*node.args.defaults, *(one for one in node.args.kw_defaults if one is not None)):
            yield from _below(replace(inside, node=default))
        children: list[ast.AST] = list(node.body)
        place = replace(inside, is_at_import=False)
    elif isinstance(node, ast.ClassDef):
        children = list(node.body)
        place = replace(place, scope=(*place.scope, node.name))
    elif isinstance(node, ast.AnnAssign):
        children = [] if node.value is None else [node.value]
    elif isinstance(node, ast.Lambda):
        children = [*node.args.defaults, node.body]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "cast":
        children = list(node.args[1:])
    else:
        children = list(ast.iter_child_nodes(node))
    for child in children:
        yield from _below(replace(place, node=child))


def _is_left_out(node: ast.AST) -> bool:  # noqa: PLR0911 - one for each kind
    """Tell whether a node is of a kind that makes no difference."""
    match node:
        case ast.Assert() | ast.Raise() | ast.Import() | ast.ImportFrom():
            return True
        case ast.keyword(arg=name):
            return name in _ARGUMENTS_LEFT_OUT
        case ast.FunctionDef(name="__repr__") | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.FunctionDef(decorator_list=decorators):
            return any(isinstance(one, ast.Name) and one.id == "overload" for one in decorators)
        case ast.ClassDef(bases=bases):
            return any(isinstance(one, ast.Name) and one.id == "Protocol" for one in bases)
        case ast.Assign(targets=[ast.Name(id=name)]) if name in _NAMES_LEFT_OUT:
            return True
        case ast.Assign(value=ast.Call(func=ast.Name(id=name))) if name in _TYPE_MAKERS:
            return True
        case ast.AnnAssign(annotation=ast.Name(id="TypeAlias")):
            return True
    return False


def statements(tree: ast.Module) -> list[ast.stmt]:
    """List a module's statements; the places in the list are their numbers."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]


def parsed(module: Path) -> ast.Module:
    """Parse a module of the tree."""
    return ast.parse((ROOT / module).read_text())


def modules() -> list[Path]:
    """List core/'s modules, without those that are generated."""
    found = sorted((ROOT / CORE).rglob("*.py"))
    return [path.relative_to(ROOT) for path in found if not path.name.endswith("_pb2.py")]


def mutants(module: Path) -> Iterator[Mutant]:
    """Give all mutants of a module."""
    tree = parsed(module)
    numbers = {id(statement): number for number, statement in enumerate(statements(tree))}
    name = str(module.relative_to(CORE))
    twins: Counter[MutantKey] = Counter()
    firsts: dict[int, str] = {}
    for number, place in enumerate(places(tree)):
        for which, changed in enumerate(changes(place.node)):
            ran = numbers[id(place.statement)]
            if ran not in firsts:
                firsts[ran] = _first_line(place.statement)
            change = f"`{_first_line(place.node)}` -> `{_first_line(changed)}`"
            key = MutantKey(name, ".".join(place.scope), firsts[ran], change)
            line = getattr(place.node, "lineno", place.statement.lineno)
            yield Mutant(key, twins[key], line, (number, which), ran, place.is_at_import)
            twins[key] += 1


def _first_line(node: ast.AST) -> str:
    lines = ast.unparse(node).splitlines()
    is_function = isinstance(node, ast.FunctionDef | ast.ClassDef)
    return next(line for line in lines if not (is_function and line.startswith("@"))) if lines else ""


def with_change(tree: ast.Module, place: tuple[int, int]) -> ast.Module:
    """Make the change of a place in a tree; lines stay where they are."""
    number, which = place
    target = next(one.node for at, one in enumerate(places(tree)) if at == number)
    changed = list(changes(target))[which]

    class Change(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return ast.copy_location(changed, node) if node is target else super().visit(node)

    Change().visit(tree)
    return ast.fix_missing_locations(tree)


def drawn(seed: int, sample: int, prefix: str) -> tuple[list[Mutant], int]:
    """Draw mutants of core/, each as likely as any other, and tell of how many.

    A hash of each name and the seed is the order, so that an edit changes nothing for the other places, and a larger
    sample has the smaller one in it.
    """
    every = [one for module in modules() if str(module.relative_to(CORE)).startswith(prefix) for one in mutants(module)]
    return sorted(every, key=lambda one: _lot(seed, one))[:sample], len(every)


def _lot(seed: int, mutant: Mutant) -> bytes:
    key = mutant.key
    text = "\0".join((str(seed), key.module, key.scope, key.statement, key.change, str(mutant.twin)))
    return hashlib.sha256(text.encode()).digest()


def harmless(text: str) -> dict[MutantKey, str]:
    """Read what does no harm, and why: blocks of lines with a blank line between them.

    Module and scope; the statement's first line; the change; the reason, which may take several lines.
    """
    found = {}
    for block in text.split("\n\n"):
        lines = [line.strip() for line in block.splitlines() if line.strip() and not line.startswith("#")]
        if lines:
            first, statement, change, *reason = lines
            module, _, scope = first.partition(" ")
            found[MutantKey(module, "" if scope == "-" else scope, statement, change)] = " ".join(reason)
    return found


def unknown(known: Sequence[MutantKey]) -> list[MutantKey]:
    """List the names that no mutant has: what they are about was edited."""
    paths = {CORE / key.module for key in known}
    there = {one.key for path in paths if (ROOT / path).exists() for one in mutants(path)}
    return [key for key in known if key not in there]
