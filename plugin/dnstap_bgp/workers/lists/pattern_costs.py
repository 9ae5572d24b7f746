"""Costs of keywords and expressions, measured before they come into force; in the process that compiles lists.

RE2 is linear in a name, but what a byte costs depends on the expressions: some have so many states that they are built
anew for each name, at 2 us a byte instead of 5 ns. That shows only in use, so it is tried with

    2,000 names as a resolver sees them, new ones in each round, as states that are there already cost nothing;
    names as an attacker would ask for: long, and of the few letters that a part of an expression repeats, or made for
    each place where a name may stay (hostile_names.py).

What counts is the worse of both. Among other expressions the first names that come to a place cost much, as they bring
states that all of these have in common; so what is dear there is tried again, behind all others and with other names.
"""

import math
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence

from dnstap_bgp.core.lists.patterns import Pattern, PatternKind, PatternSet
from dnstap_bgp.core.model import Name
from dnstap_bgp.errors import ListError, PatternsFailedError
from dnstap_bgp.workers.lists.hostile_names import names_for_places

NAME_COST_MAX_S = 3e-6
"""CPU time for a usual name that nothing is known of: as much as all else that is done with it."""

HOSTILE_COST_MAX_S = 20e-6
"""CPU time for a name of an attacker: 300 such are in a chunk. Others take 2 us, and those that explode 300."""

NAMES = 2_000
ROUNDS = 5
"""Measurements, of which the least counts: whatever else runs makes one longer, and none shorter."""

HOSTILE_NAMES = 20
"""Names of the same few letters, which are measured together; with those of an expression that explodes it shows."""

SURE = 20.0
"""So many times what a name may cost is too much whatever else the machine does, and not measured to its end."""

CPU_S = 20.0
"""CPU time for the names of one measurement, and for finding the costly ones, in each of its two steps; what is not
found cheap by then is left out."""

PARTS_MAX = 12
"""Parts of an expression that such names are made for."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-"
_ENDS = (".com", ".net", ".co.uk", ".example", ".googlevideo.com", ".akamaiedge.net", ".cloudfront.net")
_NOT_OWN = re.compile(r"\{[0-9,]*+\}|\(\?[a-zA-Z:<>-]*+")  # counts and flags
_CLASSES = (("\\d", "01"), ("\\w", "a0"))
_OWN = re.compile(r"[a-z0-9-]")


def costly(patterns: Sequence[tuple[int, Pattern]]) -> list[Pattern]:
    """Find the expressions without which the others are cheap enough, the costliest ones; mostly none.

    Args:
        patterns: (number of the list, pattern), as `PatternSet` takes them.
    """
    expressions = list(dict.fromkeys(pattern for _, pattern in patterns if pattern.kind is PatternKind.EXPRESSION))
    if not expressions or _cost(patterns, ROUNDS) <= 1:
        return []
    deadline = time.thread_time() + CPU_S
    costs = {pattern: _cost([(0, pattern)], 1) for pattern in expressions if time.thread_time() < deadline}
    # What was not measured stands before what is too dear by itself.
    expressions.sort(key=lambda pattern: costs.get(pattern, 1.0))
    dear = sum(cost > 1 for cost in costs.values())
    few, many = 0, len(expressions) - max(0, dear - 1)  # so many are cheap enough, and so many are not
    deadline = time.thread_time() + CPU_S
    while few + 1 < many and time.thread_time() < deadline:
        middle = (few + many) // 2
        left_out = set(expressions[middle:])
        if _cost([one for one in patterns if one[1] not in left_out], ROUNDS) <= 1:
            few = middle
        else:
            many = middle
    return expressions[few:]


def usual_names(number: int) -> list[Name]:
    """Make the usual names of a round, by its number."""
    pick = random.Random(number)  # noqa: S311 - names, no secrets
    names: list[Name] = []
    for _ in range(NAMES):
        labels = ("".join(pick.choices(_LETTERS, k=pick.randint(2, 14))) for _ in range(pick.randint(1, 3)))
        names.append((".".join(labels) + pick.choice(_ENDS)).encode())
    return names


def hostile_names(pattern: Pattern, turn: int = 0) -> Iterator[list[Name]]:
    """Make names of an attacker for an expression, in groups: of a few letters of its text, or for a place in it.

    Args:
        pattern: The expression.
        turn: Each has other names of the same groups.

    Raises:
        ListError: There can't be names for all of its places.
    """
    pick = random.Random(f"{turn} {pattern.text}")  # noqa: S311 - names, no secrets
    text = _NOT_OWN.sub("", pattern.text.lower())
    for sign, letters in _CLASSES:
        text = text.replace(sign, letters)
    own = "".join(_OWN.findall(text))
    parts = dict.fromkeys(frozenset(own[at : at + size]) for at in range(len(own)) for size in (2, 3))
    for part in list(parts)[:PARTS_MAX]:
        few = sorted(part)
        yield ["".join(pick.choices(few, k=pick.randint(60, 200))).encode() for _ in range(HOSTILE_NAMES)]
    yield from names_for_places(pattern.text, turn)


def _cost(patterns: Sequence[tuple[int, Pattern]], rounds: int) -> float:
    """Measure the cost of a name, as a share of what it may be; infinite for patterns that don't fit into memory.

    What costs too much is not measured to its end: a thousand expressions that explode would take an hour.
    """
    expressions = dict.fromkeys(pattern for _, pattern in patterns if pattern.kind is PatternKind.EXPRESSION)
    deadline = time.thread_time() + CPU_S
    try:
        match = PatternSet(patterns).match
        cost = math.inf
        for number in range(rounds):
            cost = min(cost, _share(match, usual_names(number), NAME_COST_MAX_S))
            if cost >= SURE:
                break
        if cost <= 1:
            cost = max(cost, _hostile_cost(match, list(expressions), deadline))
    except (ListError, PatternsFailedError):
        return math.inf
    return cost


def _hostile_cost(match: Callable[[Name], int], expressions: Sequence[Pattern], deadline: float) -> float:
    """Measure the cost of the attacker's names for the expressions of a set, as a share of what it may be.

    Raises:
        ListError: There can't be names for all places of an expression.
    """
    worst = 0.0
    for turn in (0, 1) if len(expressions) > 1 else (1,):
        worst, dear = 0.0, []
        for one in expressions:
            share = 0.0
            for names in hostile_names(one, turn):
                if time.thread_time() > deadline:
                    return math.inf
                share = max(share, _share(match, names, HOSTILE_COST_MAX_S))
                if turn and share > 1:
                    return share
            worst = max(worst, share)
            if share > 1:
                dear.append(one)
        expressions = dear
        if not dear:
            break
    return worst


def _share(match: Callable[[Name], int], names: Sequence[Name], most_s: float) -> float:
    """Measure the CPU time for one of some names, as a share of what it may be; what is `SURE` ends it."""
    began = time.thread_time()
    end = began + SURE * most_s * len(names)
    for at in range(0, len(names), HOSTILE_NAMES):  # to look at the clock takes as long as a name
        for name in names[at : at + HOSTILE_NAMES]:
            match(name)
        if time.thread_time() > end:
            return SURE
    return (time.thread_time() - began) / (most_s * len(names))
