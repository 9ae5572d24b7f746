"""Plausibility of a source's new content: a list, or an error page, half a file, or somebody's mistake?

One judge for files and URLs. It looks at the content itself (`no_list`) and at the same source's last content
(`refusal`). What it refuses is held back until the source mends itself or a person says that it is right.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from dnstap_bgp.core.model import Prefix
from dnstap_bgp.core.text import count_text

SHRINK_MAX = 0.5
"""The share of its rules that a source may lose, unless its list says otherwise."""

SHRINK_FROM = 20
"""Rules that a file must have had for this to count, unless its list says otherwise: people edit short ones."""

GROWTH_MAX = 9.0
"""The share that a source may gain, unless its list says otherwise: ten times as many are another list."""

GROWTH_FROM = 10_000
"""Rules that it must have then for this to count, unless its list says otherwise: short ones grow fast, harm little."""

PARTIAL_SHARE = 0.02
PARTIAL_LINES = 20
"""Lost lines, as a share or a number, from which a source counts as read in part only."""

_UTF_8_MARK = b"\xef\xbb\xbf"
_WIDE = re.compile(rb"(?:[^\0]\0){2}|(?:\0[^\0]){2}")  # two characters of ASCII in UTF-16 without a mark
_OTHER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}


class SourceContent(NamedTuple):
    """A source's content in numbers, all of its files together.

    Attributes:
        rules: Rules and static prefixes, repeated ones included.
        prefixes: The static prefixes of these.
        malformed: Lines that break their format.
        has_dots: Any line has a dot: error pages of one word, like `Forbidden`, have none.
        no_list: Why it is no list at all (see `no_list`); empty: it may be one.
        example: A malformed line, and what is wrong with it.
    """

    rules: int
    prefixes: int = 0
    malformed: int = 0
    has_dots: bool = True
    no_list: str = ""
    example: str = ""


def no_list(content: bytes) -> str:
    """Tell why content is no list, whatever its format: "an HTML page ..."; empty: it may be one.

    Args:
        content: The beginning of a file, at least its first non-blank bytes.
    """
    for mark, encoding in _OTHER_MARKS.items():
        if content.startswith(mark):
            return f"{encoding} text, lists are UTF-8: save it as UTF-8"
    if _WIDE.match(content):
        return "UTF-16 text, lists are UTF-8: save it as UTF-8"
    if content.removeprefix(_UTF_8_MARK).lstrip()[:1] == b"<":
        return "an HTML page, not a list"
    return ""


def refusal(
    before: SourceContent,
    now: SourceContent,
    shrink_max: float | None,
    growth_max: float | None,
    *,
    shrink_from: int = SHRINK_FROM,
) -> str | None:
    """Give the reason why a source's new content must not replace the last unasked; None: it may.

    Args:
        before: The content in force; without rules: there is none.
        now: The new content.
        shrink_max: The share that it may lose, at any size; None: the default. 1: any loss, but not of all.
        growth_max: The share that it may gain, at any size; None: the default.
        shrink_from: From which size on the default for a loss counts.
    """
    if not before.rules:
        return None
    return _breakage(before, now) or _resizing(before, now, shrink_max, growth_max, shrink_from)


def _breakage(before: SourceContent, now: SourceContent) -> str | None:
    """Tell content that is no list any more, or hardly."""
    had = f"had {count_text(before.rules, 'rule')}"
    if now.no_list:
        return f"{had} and is {now.no_list}"
    if not now.rules:
        return f"{had} and is empty now"
    if now.malformed > now.rules and now.malformed > before.malformed:
        bad = f"{count_text(now.malformed, 'malformed line')} and only {count_text(now.rules, 'rule')}"
        return f"has {bad} now: {now.example}"
    if now.rules < before.rules and before.has_dots and not now.has_dots:
        return f"{had} and has {now.rules} without any dot now, like an error page"
    return None


def _resizing(
    before: SourceContent, now: SourceContent, shrink_max: float | None, growth_max: float | None, shrink_from: int
) -> str | None:
    """Tell a loss or growth that is too much. Prefixes grow for themselves, too: each is a route at once."""
    lost_max = before.rules * (SHRINK_MAX if shrink_max is None else shrink_max)
    if (shrink_max is not None or before.rules >= shrink_from) and before.rules - now.rules > lost_max:
        return f"had {count_text(before.rules, 'rule')} and has only {now.rules} now, as if it were half-written"
    for had, has, noun, plural in (
        (before.rules, now.rules, "rule", "rules"),
        (before.prefixes, now.prefixes, "static prefix", "static prefixes"),
    ):
        gained_max = had * (GROWTH_MAX if growth_max is None else growth_max)
        if had and (growth_max is not None or has >= GROWTH_FROM) and has - had > gained_max:
            return f"had {count_text(had, noun, plural)} and has {has} now, as if it were another list"
    return None


def covered_share(prefixes: Iterable[Prefix]) -> float:
    """Work out the share (0..1) of the IPv4 or the IPv6 address space that prefixes cover together, the larger one."""
    covered = {4: 0, 16: 0}
    for size in covered:
        end = 0  # of what is counted so far
        found = sorted(prefix for prefix in prefixes if len(prefix) in (size, size + 1))
        for prefix in found:  # by address; of one address the shortest length, or the bare address, comes first
            start = int.from_bytes(prefix[:size], "big")
            last = start + (1 << (8 * size - (prefix[size] if len(prefix) > size else 8 * size)))
            covered[size] += max(0, last - max(start, end))
            end = max(end, last)
    return max(count / (1 << 8 * size) for size, count in covered.items())


def is_partial(lost: int, rules: int) -> bool:
    """Tell whether so many lost lines make a source with so many rules one that was read only in part."""
    return lost >= PARTIAL_LINES or (lost > 0 and lost >= PARTIAL_SHARE * (lost + rules))
