"""Costs of expressions: the costly ones are found, and few others with them."""

import math
import time

import pytest

from dnstap_bgp.core.lists.patterns import Pattern, PatternKind, PatternSet, expression, keyword
from dnstap_bgp.core.model import Name
from dnstap_bgp.workers.lists import pattern_costs
from dnstap_bgp.workers.lists.hostile_names import PLACES_MAX
from dnstap_bgp.workers.lists.pattern_costs import costly, hostile_names, usual_names

EXPLODING = [r"(a|b)*a(a|b){24}c", r"x.{40}y.{40}z", r"[ab]*a[ab]{60}c", r"(.*a){20}.*b.{30}c", r"\d*5\d{40}x"]
HIDDEN = [
    "zyxwvutsrqponmlkjih|^[ab]*a[ab]{100}c",
    "^hidden(?:x|y|z|w|v|u[ab]*a[ab]{50}q)",
    "zyxwvutsrqponmlkjih|a" + 24 * "[ab]" + "c",
    "^(?:p|q(?:p|q(?:p|q(?:p|q[ab]*a[ab]{60}))))",
    "^[^c-z0-9.-]*a[^c-z0-9.-]{200}c",
    r"^[\x61\x62]*\x61[\x61\x62]{200}c",
    "^[[:xdigit:]]*a[[:xdigit:]]{200}",
    "^(?:a1|b2|c3)+b2(?:a1|b2|c3){40}x",
    r"^\w*_\w{200}",
]
"""The same where no name of a few letters that follow in the text gets to it."""
GOOD = [r"^r\d+---sn-.+\.googlevideo\.com$", r"(^|\.)ads?\d*\.", "^track", r"analytics[0-9]+\."]


def test_cheap_ones_stay():
    assert costly([]) == []
    assert costly([(0, keyword("ads"))]) == []


def test_names_are_the_same_for_the_same_round_and_expression():
    assert usual_names(1) == usual_names(1) != usual_names(2)
    assert len(usual_names(1)) == pattern_costs.NAMES
    hostile = [list(hostile_names(expression(text))) for text in GOOD]
    assert hostile == [list(hostile_names(expression(text))) for text in GOOD]
    assert all(groups and len(groups) <= pattern_costs.PARTS_MAX + PLACES_MAX for groups in hostile)
    names = (*usual_names(1), *(name for groups in hostile for group in groups for name in group))
    assert all(0 < len(name) <= 253 for name in names)
    assert list(hostile_names(expression("^$"))) == []


def test_the_costliest_are_left_out(monkeypatch: pytest.MonkeyPatch):
    """With costs that are told, so that the machine's load decides nothing."""
    costs = {"a": 0.5, "b": 2.9, "c": 0.1, "d": 1.0}

    def cost(patterns: list[tuple[int, Pattern]], _rounds: int) -> float:
        return sum({pattern.text: costs.get(pattern.text, 0) for _, pattern in patterns}.values()) / 3

    monkeypatch.setattr(pattern_costs, "_cost", cost)
    given = [(0, keyword("ads")), *((number, expression(text)) for number, text in enumerate("abcdb"))]
    assert costly(given) == [expression("b")]
    costs["a"] = 9.0
    assert costly(given) == [expression("b"), expression("a")]
    costs["c"] = costs["d"] = 5.0
    assert {pattern.text for pattern in costly(given)} == set("acd")


def test_a_set_that_cannot_be_made_costs_too_much(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("dnstap_bgp.core.lists.patterns.MEMORY_MAX_BYTES", 1 << 17)
    many = [(0, Pattern(f"(a{{1,50}}){{1,5}}{number}", PatternKind.EXPRESSION)) for number in range(60)]
    monkeypatch.setattr(pattern_costs, "NAME_COST_MAX_S", 1.0)
    monkeypatch.setattr(pattern_costs, "HOSTILE_COST_MAX_S", 1.0)
    left_out = set(costly(many))
    assert 0 < len(left_out) < len(many)
    PatternSet(one for one in many if one[1] not in left_out)


@pytest.mark.parametrize("text", EXPLODING + HIDDEN)
def test_expressions_built_to_explode_are_left_out(text: str):
    """By their ratio to good ones, which no load changes: their states are built anew for each name."""
    good = pattern_costs._cost([(0, expression(one)) for one in GOOD], 2)
    assert pattern_costs._cost([(0, expression(text))], 1) > 4 * good


@pytest.mark.parametrize("text", ["[ab]{2,9}" * (PLACES_MAX + 1), "(" * 30 + "a" + ")*" * 30, r"a\pL*", r"\Qa.\E+"])
def test_what_nobody_can_make_names_for_is_left_out(text: str):
    found = expression(text)
    assert costly([(0, found), (0, expression("^track"))]) == [found]


def test_names_of_a_measurement_take_bounded_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pattern_costs, "_share", lambda *_: 0.0)
    assert pattern_costs._cost([(0, expression("[ab]*c"))], 1) == 0
    monkeypatch.setattr(pattern_costs, "CPU_S", 0.0)
    assert pattern_costs._cost([(0, expression("[ab]*c"))], 1) == math.inf


def test_what_is_dear_among_others_at_first_only_stays(monkeypatch: pytest.MonkeyPatch):
    """With shares that are told: each group's first names are dear, as in a set of fifty that many lists have."""
    tried: list[Name] = []

    def share(_match: object, names: list[Name], most_s: float) -> float:
        if most_s != pattern_costs.HOSTILE_COST_MAX_S:
            return 0.5
        tried.extend(names)
        return 2.0 if len(tried) <= first else 0.5

    monkeypatch.setattr(pattern_costs, "_share", share)
    given = [(0, expression(text)) for text in GOOD]
    first = sum(len(names) for _, one in given for names in hostile_names(one))
    assert costly(given) == []
    before, after = set(tried[:first]), set(tried[first:])
    assert len(after - before) > 0.9 * len(before), "with the same names, states that explode would be there, too"
    tried.clear()
    first = 1 << 30
    assert pattern_costs._cost(given, 1) == 2.0
    assert pattern_costs._cost(given[:1], 1) == 2.0


def test_what_is_surely_too_much_is_not_measured_to_its_end():
    """The attack: a thousand expressions, each name of which takes milliseconds, kept the compiler busy for an hour."""
    asked = 0

    def match(_: Name) -> int:
        nonlocal asked
        asked += 1
        end = time.thread_time() + 1e-4
        while time.thread_time() < end:
            pass
        return 0

    assert pattern_costs._share(match, pattern_costs.usual_names(0), 1e-7) == pattern_costs.SURE
    assert asked <= 2 * pattern_costs.HOSTILE_NAMES


def test_what_could_not_be_measured_in_time_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pattern_costs, "CPU_S", 0.0)
    monkeypatch.setattr(pattern_costs, "_cost", lambda _, __: 2.0)
    assert {pattern.text for pattern in costly([(0, expression("a")), (0, expression("b"))])} == {"a", "b"}
