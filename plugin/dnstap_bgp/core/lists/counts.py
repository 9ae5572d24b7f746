"""Counts of what lists hold, in words."""

from collections.abc import Mapping


def number(count: int, one: str, many: str | None = None) -> str:
    """`1 rule`, `2 rules`; `many` where it is not formed with an s."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def held(rules: int, prefixes: int) -> str:
    """What a list or a source holds."""
    told = number(rules, "rule")
    return f"{told}, {number(prefixes, 'static prefix', 'static prefixes')}" if prefixes else told


def skipped(counts: Mapping[str, int]) -> str:
    """What gave no rule: kind -> number; empty where there is nothing. Kinds are plural, so the number follows."""
    return ", ".join(f"{kind} {count}" for kind, count in counts.items() if count > 0)
