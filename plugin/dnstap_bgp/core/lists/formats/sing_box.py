r"""Rule-sets of sing-box in source form, versions 1 to 4; the binary form of the same is in srs.py.

    {"version": 3, "rules": [{
      "domain": ["www.example.com"],           just the name
      "domain_suffix": ["example.com",         the name and all below it
                        ".example.net"],       only what lies below
      "domain_keyword": ["example"],           names that have it anywhere
      "domain_regex": ["^a[0-9]+\\.b\\.com$"], names that it matches
      "ip_cidr": ["192.0.2.0/24"]}]}           static prefixes

These hold each for itself. A rule with any other condition beside them (a port, a network, a process, ...) or with
`invert` says something else than its names, and so does a logical rule with `and`: they are skipped and counted. A
logical rule with `or` is what its rules are.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dnstap_bgp.core.lists.formats import json_text, plain
from dnstap_bgp.core.lists.lines import (
    Detection,
    Document,
    DocumentReader,
    Item,
    Skipped,
    SkippedKind,
    document_format,
    excerpt,
    expression,
    keyword,
    malformed,
    plain_rule,
)
from dnstap_bgp.core.lists.rules import RuleKind
from dnstap_bgp.errors import ListError

FILE_MAX_BYTES = 64 << 20
"""Bytes of a file; the largest in use have 15 MB."""

VERSIONS = range(1, 5)
"""Versions of rule-sets that are read (sing-box 1.8 to 1.13)."""

LOGICAL_DEPTH_MAX = 16
"""Logical rules in one another; one is usual."""

_HEAD = re.compile(rb"(?:\xef\xbb\xbf)?\s*+\{")
_KEYS = re.compile(rb'"(?:domain(?:_suffix|_keyword|_regex)?|ip_cidr)"\s*+:')


def suffix(text: str) -> Item:
    """Make the rule of a `domain_suffix`."""
    below = text.startswith(".")
    return plain_rule(text[below:].encode(), RuleKind.SUBDOMAINS if below else RuleKind.SUFFIX)


def prefix(text: str) -> Item:
    """Make the static prefix of an `ip_cidr`; bits beyond its length don't count, as for sing-box."""
    try:
        return plain.prefix(text, strict=False)
    except ListError as error:
        return malformed(text, str(error))


_READERS: Mapping[str, Callable[[str], Item]] = {
    "domain": lambda text: plain_rule(text.encode(errors="replace"), RuleKind.EXACT),
    "domain_suffix": suffix,
    "domain_keyword": keyword,
    "domain_regex": expression,
    "ip_cidr": prefix,
}


def with_conditions(conditions: str) -> Skipped:
    """Make the item for a rule that says something else than its names."""
    return Skipped(SkippedKind.CONDITION, f"a rule with {conditions}, which a list of names can't say")


def _open(content: bytes) -> DocumentReader:
    """Open a rule-set in source form."""
    found = json_text.load(content)
    if not isinstance(found, dict) or not isinstance(found.get("rules", []), list):
        raise ListError("no rule-set of sing-box, which is an object with `version` and a list of `rules`")
    version = found.get("version")
    if type(version) is not int or version not in VERSIONS:
        raise ListError(f"a rule-set of the version {str(version)[:20]!a}: {VERSIONS[0]} to {VERSIONS[-1]} are read")

    def read(_: str) -> Iterator[tuple[int, Item]]:
        for number, rule in enumerate(found.get("rules", []), 1):
            for item in _rule(rule, f"rules[{number - 1}]", 0):
                yield number, item

    return read


def _rule(rule: object, path: str, depth: int) -> Iterator[Item]:
    """Read a rule.

    Raises:
        ListError: It is none.
    """
    if not isinstance(rule, dict):
        raise ListError(f"{path}: no object, as each rule is")
    kind = rule.get("type") or "default"
    if kind == "logical":
        yield from _logical(rule, path, depth)
        return
    if kind != "default":
        raise ListError(f"{path}: no rule of the type {str(kind)[:20]!a}")
    others = [key for key, value in rule.items() if key not in _READERS and key != "type" and value not in ([], False)]
    if others:
        yield with_conditions(", ".join(excerpt(key) for key in sorted(others)[:5]))
        return
    for key, reader in _READERS.items():
        values = rule.get(key, [])
        for number, value in enumerate(values if isinstance(values, list) else [values]):
            yield reader(value) if isinstance(value, str) else malformed(f"{path}.{key}[{number}]", "no text")


def _logical(rule: Mapping[str, Any], path: str, depth: int) -> Iterator[Item]:
    if depth >= LOGICAL_DEPTH_MAX:
        raise ListError(f"{path}: more than {LOGICAL_DEPTH_MAX} logical rules in one another")
    rules = rule.get("rules")
    if rule.get("mode") not in ("and", "or") or not isinstance(rules, list):
        raise ListError(f"{path}: a logical rule needs `mode`, which is `and` or `or`, and a list of `rules`")
    if rule["mode"] == "and" or rule.get("invert"):
        yield with_conditions("several conditions (`logical`)")
        return
    for number, inner in enumerate(rules):
        yield from _rule(inner, f"{path}.rules[{number}]", depth + 1)


def _is_rule_set(head: bytes) -> bool:
    if _HEAD.match(head) is None or b'"rules"' not in head:
        return False
    return b'"version"' in head or _KEYS.search(head) is not None


SING_BOX = document_format(
    "sing-box",
    Document(_open, FILE_MAX_BYTES),
    Detection(rb"(?!)", content=_is_rule_set),
    aliases=("singbox",),
)
