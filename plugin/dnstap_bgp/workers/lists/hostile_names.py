"""Names that an attacker would ask for to have an expression cost much, made from the expression; no thread.

An automaton is dear where each letter brings a state that was never seen. Whoever writes an expression can hide the
place where it does so: behind a beginning that no usual name has, or among alternatives that nobody would try by
chance. So there are names for each place that a name may stay in: they come to it by the shortest way, and go on as it
does, with few letters, since the same ones are to be met again.
"""

import importlib
import random
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from dnstap_bgp.core.dns.names import NAME_MAX
from dnstap_bgp.core.model import Name
from dnstap_bgp.errors import ListError

PLACES_MAX = 24
"""Places of an expression that a name may stay in; those of published lists have up to six. What has more is refused,
or the one that matters would stand behind so many others."""

NAMES_OF_PLACE = 20
"""So many that the states which any expression has, and which stay, are few among those of one that explodes."""

PIECES, STAY = 4, 200
"""Different texts of a place of which a name is made, and about how many characters it has of them."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-_."
_WORD, _DIGITS = frozenset(_LETTERS[:36] + "_"), frozenset(_LETTERS[26:36])
_CATEGORIES = {
    "CATEGORY_DIGIT": _DIGITS,
    "CATEGORY_NOT_DIGIT": frozenset(_LETTERS) - _DIGITS,
    "CATEGORY_WORD": _WORD,
    "CATEGORY_NOT_WORD": frozenset(_LETTERS) - _WORD,
    "CATEGORY_NOT_SPACE": frozenset(_LETTERS),
}
_POSIX = {
    "alnum": "a-z0-9",
    "alpha": "a-z",
    "digit": "0-9",
    "lower": "a-z",
    "word": "a-z0-9_",
    "xdigit": "0-9a-f",
}
_OF_RE2 = (
    (re.compile(r"\[:(\w+):\]"), lambda found: _POSIX.get(found[1], "")),
    (re.compile(r"\\z"), lambda _: r"\Z"),
    (re.compile(r"(\\[dDwWsS])-"), lambda found: rf"{found[1]}\-"),  # in a class a hyphen, as it is elsewhere
    (re.compile(r"\\x\{(?:00)?([0-9a-fA-F]{2})\}"), lambda found: rf"\x{found[1]}"),
    (re.compile(r"\(\?[imsU]+\)"), lambda _: ""),  # of names only lower case comes
)
"""What RE2 writes in another way than the standard library's parser reads it."""

_SINGLE = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN"})

_Node: TypeAlias = tuple[Any, Any]  # as that parser has it: a kind, and what belongs to it
_Place: TypeAlias = tuple[str, Sequence[_Node]]


def names_for_places(text: str, turn: int = 0) -> Iterator[list[Name]]:
    """Make names for each place of an expression that a name may stay in.

    Args:
        text: In RE2's syntax.
        turn: Each has other names.

    Raises:
        ListError: It has too many such places, or is written so that only RE2 can read it.
    """
    plain = text
    for sign, ours in _OF_RE2:
        plain = sign.sub(ours, plain)
    try:
        with warnings.catch_warnings(action="ignore"):
            nodes = list(importlib.import_module("re._parser").parse(plain))
        places = {(begin, repr(body)): (begin, body) for begin, body in _places(nodes, "")}
    except (re.error, RecursionError, OverflowError) as error:
        raise ListError(f"an expression that nothing but RE2 can read: {error}") from error
    if len(places) > PLACES_MAX:
        raise ListError(f"an expression with {len(places)} repetitions and classes, {PLACES_MAX} are allowed")
    pick = random.Random(f"{turn} {text}")  # noqa: S311 - names, no secrets
    own = [letter for letter in _LETTERS if letter in plain.lower()]
    for begin, body in places.values():
        yield [_name(begin, body, pick.sample(own, min(len(own), 2 + at % 2)), pick) for at in range(NAMES_OF_PLACE)]


def _name(begin: str, body: Sequence[_Node], letters: Sequence[str], pick: random.Random) -> Name:
    """Make a name that goes on as `body` does, with these letters where they will do."""
    pieces = [_expanded(body, letters, pick) for _ in range(PIECES)]
    count = STAY // max(1, min(map(len, pieces))) + 1
    return (begin + "".join(pick.choices(pieces, k=count)))[:NAME_MAX].encode("ascii", "replace") or b"a"


def _places(nodes: Sequence[_Node], begin: str) -> Iterator[_Place]:
    """Find what repeats, with the shortest text that comes before it; and the classes.

    An expression that is found anywhere in a name begins anew with each letter, so that its classes repeat, too.
    """
    for node in nodes:
        kind, value = str(node[0]), node[1]
        if kind in ("MAX_REPEAT", "MIN_REPEAT"):
            _, at_most, body = value
            if at_most > 1:
                yield begin, list(body)
            yield from _places(body, begin)
        elif kind == "BRANCH":
            for way in value[1]:
                yield from _places(way, begin)
        elif kind == "SUBPATTERN":
            yield from _places(value[-1], begin)
        elif kind in ("IN", "ANY", "NOT_LITERAL"):
            yield "", [node]
        begin += _shortest([node])


def _shortest(nodes: Sequence[_Node]) -> str:
    """Write a text that an expression matches, each part as short as it may be."""
    parts = []
    for node in nodes:
        kind, value = str(node[0]), node[1]
        if kind in ("MAX_REPEAT", "MIN_REPEAT"):
            parts.append(_shortest(value[2]) * min(value[0], NAME_MAX))
        elif kind == "BRANCH":
            parts.append(min(map(_shortest, value[1]), key=len))
        elif kind == "SUBPATTERN":
            parts.append(_shortest(value[-1]))
        else:
            parts += sorted(_members(node))[:1]
    return "".join(parts)[:NAME_MAX]


def _expanded(nodes: Sequence[_Node], letters: Sequence[str], pick: random.Random) -> str:
    """Write a text that an expression matches, at random."""
    parts = []
    for node in nodes:
        kind, value = str(node[0]), node[1]
        if kind in ("MAX_REPEAT", "MIN_REPEAT"):
            at_least, at_most, body = value
            parts.append(_repeated(body, pick.randint(at_least, min(at_most, at_least + 2)), letters, pick))
        elif kind == "BRANCH":
            parts.append(_expanded(pick.choice(value[1]), letters, pick))
        elif kind == "SUBPATTERN":
            parts.append(_expanded(value[-1], letters, pick))
        else:
            parts.append(_drawn(node, 1, letters, pick))
    return "".join(parts)[:STAY]


def _repeated(body: Sequence[_Node], times: int, letters: Sequence[str], pick: random.Random) -> str:
    """Write a repetition's text, of about `STAY` characters at most."""
    if len(body) == 1 and str(body[0][0]) in _SINGLE:
        return _drawn(body[0], min(times, STAY), letters, pick)
    found = ""
    for _ in range(times):
        if len(found) > STAY:
            break
        found += _expanded(body, letters, pick)
    return found


def _drawn(node: _Node, count: int, letters: Sequence[str], pick: random.Random) -> str:
    """Draw letters of one class, out of the given ones where it has any of them."""
    members = _members(node)
    return "".join(
        pick.choices([one for one in letters if one in members] or sorted(members), k=count) if members else ()
    )


def _members(node: _Node) -> frozenset[str]:
    """Give the letters of names that a part of an expression matches, which is one letter or none."""
    kind, value = str(node[0]), node[1]
    if kind == "LITERAL":
        return frozenset(chr(value).lower())
    if kind == "NOT_LITERAL":
        return frozenset(_LETTERS) - {chr(value)}
    if kind == "ANY":
        return frozenset(_LETTERS)
    if kind != "IN":
        return frozenset()
    found: set[str] = set()
    for item, of_item in value:
        match str(item):
            case "LITERAL":
                found.add(chr(of_item).lower())
            case "RANGE":
                found.update(chr(one).lower() for one in range(of_item[0], min(of_item[1], 0x7F) + 1))
            case "CATEGORY":
                found |= _CATEGORIES.get(str(of_item), frozenset())
    return frozenset(_LETTERS) - found if str(value[0][0]) == "NEGATE" else frozenset(found)
