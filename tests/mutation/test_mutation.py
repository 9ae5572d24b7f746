"""The tool that makes mutants: each differs, and the tests' verdict is told as it is."""

import ast
import builtins
from collections.abc import Callable
from pathlib import Path
from types import FunctionType

import pytest

from dnstap_bgp.core import prefix_map
from tests.mutation import mutants as mutation
from tests.mutation.__main__ import interval
from tests.mutation.mutants import HARMLESS, MutantKey, drawn, harmless, mutants, parsed, unknown, with_change
from tests.mutation.reach import COLLECTED, FileReach, files_of_tests, with_marks
from tests.mutation.trials import Functions, Mentions, TestChoice, mutated

MODULE = Path("plugin/dnstap_bgp/core/prefix_map.py")
OWN = Path("tests/core/test_prefix_map.py")


def test_each_mutant_differs_from_its_module_in_one_place():
    good = ast.unparse(parsed(MODULE))
    found = list(mutants(MODULE))
    assert len(found) > 20
    for mutant in found:
        changed = ast.unparse(with_change(parsed(MODULE), mutant.place))
        assert changed != good, mutant
        pairs = [(old, new) for old, new in zip(good.splitlines(), changed.splitlines(), strict=False) if old != new]
        assert pairs, mutant


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("a < b", {"a <= b"}),
        ("a and b", {"a or b"}),
        ("not a", {"a"}),
        ("a + 1", {"a - 1", "a + 2"}),
        ("True", {"False"}),
        ("b if a else c", {"b", "c"}),
        ("f(a)", {"pass"}),
        ("a", set()),
        ("'text'", set()),
    ],
)
def test_changes(code: str, changed: set[str]):
    assert changed_in(code) == changed


def changed_in(code: str) -> set[str]:
    return {
        ast.unparse(with_change(ast.parse(code), (number, which)))
        for number, place in enumerate(mutation.places(ast.parse(code)))
        for which, _ in enumerate(mutation.changes(place.node))
    }


@pytest.mark.parametrize(
    "code",
    [
        "assert a < 1",
        "raise ValueError(f'{a + 1} of {b - 1}')",
        "A: TypeAlias = Literal[1, 2]",
        "A = TypeVar('A', bound=B[1])",
        "__slots__ = (1, 2)",
        "def __repr__(self):\n    return a + 1",
        "def f(a: Literal[1]) -> Literal[2]:\n    pass",
        "@cache(maxsize=5)\ndef f():\n    pass",
        "@dataclass(frozen=True, slots=True)\nclass A:\n    pass",
        "class A(Protocol):\n    a: int = 1",
        "a = zip(b, c, strict=True)",
        "a = field(repr=False)",
        "a = cast(Literal[1], b)",
        "if TYPE_CHECKING:\n    a = 1",
    ],
)
def test_what_makes_no_difference_is_not_changed(code: str):
    assert changed_in(code) == set()


def test_a_sample_is_the_same_for_a_seed_and_a_part_of_a_larger_one():
    few, total = drawn(1, 5, "prefix_map")
    more, _ = drawn(1, 20, "prefix_map")
    assert few == more[:5]
    assert total == len(list(mutants(MODULE)))
    assert drawn(2, 5, "prefix_map")[0] != few


def test_where_a_mutant_is():
    found = list(mutants(Path("plugin/dnstap_bgp/core/text.py")))
    assert not all(one.is_at_import for one in found)
    assert all(one.key.scope for one in found if not one.is_at_import)


def test_marks_tell_which_statements_ran():
    code = "def f(a):\n    'Doc.'\n    if a:\n        b = 1\n    else:\n        b = 2\n    return b\n"
    tree = ast.parse(code)
    every = mutation.statements(tree)
    ran = bytearray(len(every))
    space: dict[str, Callable[[int], int]] = {"ran": ran}  # type: ignore[dict-item]
    exec(compile(with_marks(tree, "ran"), "f.py", "exec"), space)  # noqa: S102
    assert space["f"](0) == 2
    assert space["f"].__doc__ == "Doc."
    assert [every[number].lineno for number, is_marked in enumerate(ran) if is_marked] == [3, 7, 6]
    assert not hasattr(builtins, "ran")


def test_a_function_s_code_is_swapped_where_it_lives():
    functions = Functions()
    for mutant in mutants(MODULE):
        if not mutant.is_at_import:
            before = every_code(prefix_map)
            assert functions.swap(mutant), mutant
            after = every_code(prefix_map)
            assert sum(after[name] != before[name] for name in before) == 1, mutant
            for one in functions_of(prefix_map):
                one.__code__ = before[one.__qualname__]
            assert mutated(mutant).co_filename == prefix_map.__file__


def functions_of(module):
    classes = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
    found = [one for each in (*classes, module) for one in vars(each).values() if isinstance(one, FunctionType)]
    return [one for one in found if one.__module__ == module.__name__]


def every_code(module):
    return {one.__qualname__: one.__code__ for one in functions_of(module)}


def test_the_tests_that_reach_a_statement_are_chosen_those_of_its_module_first():
    mutant = next(one for one in mutants(MODULE) if not one.is_at_import)
    reached = {mutant.key.module: [mutant.statement]}
    elsewhere = {mutant.key.module: [mutant.statement + 1]}
    choice = TestChoice(
        {
            OWN: FileReach({f"{OWN}::a": 2.0, f"{OWN}::not": 0.1}, {f"{OWN}::a": reached, f"{OWN}::not": elsewhere}),
            Path("tests/a.py"): FileReach({"a": 0.1, "b": 99.0}, {"a": reached, "b": reached, COLLECTED: {}}),
        },
        60.0,
    )
    assert choice.tests(mutant) == ([f"{OWN}::a", "a"], 1)
    choice.leave_out("a")
    assert choice.tests(mutant) == ([f"{OWN}::a"], 1)
    assert not choice.is_at_import(mutant)


def test_a_constant_is_for_the_tests_of_the_statements_that_mention_it():
    mutant = next(
        one
        for one in mutants(Path("plugin/dnstap_bgp/core/tap/answer_templates.py"))
        if "TTL_BYTES" in one.key.statement
    )
    assert {module for module, _ in Mentions().of(mutant)} >= {"tap/answer_templates.py", "tap/prefilter.py"}


def test_files_of_tests():
    assert OWN in files_of_tests()
    assert not [path for path in files_of_tests() if "costs" in path.name]


def test_the_list_of_what_does_no_harm():
    key = MutantKey("a.py", "", "a = 1", "`1` -> `2`")
    assert harmless("# A comment.\n\na.py -\n    a = 1\n    `1` -> `2`\n    Because\n    of that.\n") == {
        key: "Because of that."
    }
    known = harmless(HARMLESS.read_text())
    assert unknown([*known, key]) == [key], "edited since: look at it again"
    assert all(len(reason) > 20 for reason in known.values())


def test_the_interval_of_a_share():
    low, high = interval(90, 100)
    assert (round(low, 3), round(high, 3)) == (0.826, 0.945)
    assert interval(0, 0) == (0.0, 1.0)
