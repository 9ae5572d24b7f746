"""Sets of Surge: domain sets and rule sets, also with the rules that Clash has in text form.

    .example.com                  a domain set's line: the name and all below it
    example.com                   just the name
    DOMAIN-SUFFIX,example.com     a rule set's line: see classical.py
    # ; or // begin a comment

A file of mere names is read as plain, where `example.com` has all below it, too: `format = "surge"` says otherwise.
"""

import re
from collections.abc import Iterable

from dnstap_bgp.core.lists.formats import classical
from dnstap_bgp.core.lists.lines import (
    ASCII_NAME,
    NAMES,
    Detection,
    Format,
    Item,
    before_spaced_hash,
    rule,
)
from dnstap_bgp.core.lists.rules import RuleKind

_SIGNS = {
    "DOMAIN-SUFFIX,": RuleKind.SUFFIX,
    "DOMAIN,": RuleKind.EXACT,
    ".": RuleKind.SUFFIX,
    "": RuleKind.EXACT,
}
_SIMPLE = re.compile(rf"((?:DOMAIN(?:-SUFFIX)?,|\.)?){ASCII_NAME.removeprefix(chr(92) + '.?')}[ \t]*\r?\n?".encode())


def read(text: str) -> Iterable[Item]:
    """Read a line of a domain set or rule set.

    Raises:
        ListError: It is neither.
    """
    if text.startswith((";", "//")):
        return ()
    if "," in text:
        return classical.read(text)
    return (rule(text, RuleKind.SUFFIX if text.startswith(".") else RuleKind.EXACT),)


SURGE = Format(
    name="surge",
    read=read,
    simple=_SIMPLE,
    signs={sign.encode(): (kind, False) for sign, kind in _SIGNS.items()},
    uncommented=before_spaced_hash,
    detection=Detection(classical.LINE, reads=frozenset({NAMES})),
)
