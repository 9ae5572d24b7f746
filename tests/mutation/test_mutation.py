"""The tool that makes mutants: each differs, and the tests' verdict is told as it is."""

import ast
from pathlib import Path

import pytest

from tests.mutation import __main__ as mutation

MODULE = Path("plugin/dnstap_bgp/core/prefix_map.py")


def test_each_mutant_differs_from_its_module_in_one_place():
    good = ast.unparse(ast.parse((mutation.ROOT / MODULE).read_text()))
    found = list(mutation.mutants(MODULE))
    assert len(found) > 20
    for mutant in found:
        changed = mutation.source_of(mutant)
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
    tree = ast.parse(code)
    found = set()
    for number, node in mutation.places(tree):
        for which, _ in enumerate(mutation.changes(node)):
            mutant = mutation.Mutant(Path("a.py"), 1, "", "", (number, which))
            found.add(mutation.with_change(ast.parse(code), mutant))
    assert found == changed


def test_the_module_s_own_test_comes_first():
    assert mutation.tests_of(MODULE)[0] == Path("tests/core/test_prefix_map.py")


def test_what_a_package_has_itself_is_tested_by_who_imports_the_package():
    assert len(mutation.tests_of(Path("plugin/dnstap_bgp/core/lists/formats/__init__.py"))) > 1


def test_the_interval_of_a_share():
    low, high = mutation.interval(90, 100)
    assert (round(low, 3), round(high, 3)) == (0.826, 0.945)
    assert mutation.interval(0, 0) == (0.0, 1.0)


def test_a_mutant_whose_tests_take_too_much_cpu_is_endless(tmp_path: Path):
    (tmp_path / "test_endless.py").write_text("def test_endless():\n    while True:\n        pass\n")
    bench = mutation.Bench(tmp_path / "tree")
    assert bench._verdict([tmp_path / "test_endless.py"], 1.0) is mutation.MutantVerdict.ENDLESS
