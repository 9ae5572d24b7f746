"""AutoProxy lists, such as gfwlist: like adblock's, but `||name` needs no `^` behind it.

    [AutoProxy 0.2.9]     the head, by which the format is known
    ||example.com         the name and all below it
    @@||example.com       an exception
    ! a comment

Other lines are patterns of URLs, and skipped: `.example.com`, which any part of a URL may have, `.example.com/path` or
`|https://example.com`. Such lists are mostly published in Base64 as a whole, which is unwrapped before a format is
looked for.
"""

import re
from collections.abc import Iterable

from dnstap_bgp.core.lists.formats import adblock
from dnstap_bgp.core.lists.lines import ASCII_NAME, Detection, Format, Item, Skipped, SkippedKind, rule
from dnstap_bgp.core.lists.rules import RuleKind

_SIGNS = {"||": (RuleKind.SUFFIX, False), "@@||": (RuleKind.SUFFIX, True)}
_SIMPLE = re.compile(rf"((?:@@)?\|\|){ASCII_NAME}\^?[ \t]*\r?\n?".encode())
_NAME = re.compile(r"((?:@@)?\|\|)([^\s/|^*$:\[\]]+)\^?")

_REGEXP = Skipped(SkippedKind.REGEXP, "a regular expression")
_PATTERN = Skipped(SkippedKind.PATTERN, "a pattern of URLs: only `||name` speaks for a whole name and those below it")


def read(text: str) -> Iterable[Item]:
    """Read a line of an AutoProxy list: a filter for a whole name, or something that is skipped."""
    if text.startswith(("!", "[")):
        return ()
    named = _NAME.fullmatch(text)
    if named is not None and not adblock.names_address(text):
        kind, exception = _SIGNS[named[1]]
        return (rule(named[2], kind, exception=exception),)
    regexp = text.removeprefix("@@")
    return (_REGEXP if len(regexp) > 1 and regexp[0] == regexp[-1] == "/" else _PATTERN,)


AUTOPROXY = Format(
    name="autoproxy",
    aliases=("gfwlist",),
    read=read,
    simple=_SIMPLE,
    signs={sign.encode(): kind for sign, kind in _SIGNS.items()},
    uncommented=lambda line: line,
    # No line of its own votes: `||name` alone stands in files of adblock, too, where it is a pattern.
    detection=Detection(rb"(?!)", head=rb"\[autoproxy[^\]]*\]\s*"),
)
