"""Whether a new version of a list is a new version, or a half-written file or somebody's mistake."""

from dnstap_bgp.core.lists.counts import number

SHRINK_MAX = 0.5
"""The share of its rules that a list may lose, unless it says otherwise."""

SHRINK_FROM = 1000
"""Rules that a list of files must have had for this to count, unless it says otherwise: people edit short ones."""

GROWTH_MAX = 9.0
"""The share that a list may gain, unless it says otherwise: ten times as many are another list."""

GROWTH_FROM = 10_000
"""Rules that it must have then for this to count, unless it says otherwise: short ones grow fast and harm little."""


def refusal(
    had: int, has: int, shrink_max: float | None, growth_max: float | None, *, shrink_from: int = SHRINK_FROM
) -> str | None:
    """Why a list must not go from so many rules to so many by itself; None: it may.

    Args:
        had: Rules and static prefixes of the version in force; 0: there is none.
        has: Those of the new one.
        shrink_max: The share that it may lose, at any size; None: the default.
        growth_max: The share that it may gain, at any size; None: the default.
        shrink_from: From which size on the default for a loss counts.
    """
    if not had:
        return None
    if not has:
        return f"had {number(had, 'rule')} and is empty now"
    small = shrink_max is None and had < shrink_from
    if not small and had - has > had * (SHRINK_MAX if shrink_max is None else shrink_max):
        return f"had {number(had, 'rule')} and has only {has} now, as if it were half-written"
    small = growth_max is None and has < GROWTH_FROM
    if not small and has - had > had * (GROWTH_MAX if growth_max is None else growth_max):
        return f"had {number(had, 'rule')} and has {has} now, as if it were another list"
    return None
