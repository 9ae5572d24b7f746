"""Rule providers of mihomo (Clash), YAML and text, of every behaviour; `behavior` itself is in the lines.

    payload:                          YAML begins so; text has its entries without `- ` and quotes
      - '+.example.com'               behaviour domain: the name and all below it
      - 'example.com'                 just the name
      - '.example.com'                only what lies below
      - '*.example.com'               only names with exactly one label more
      - '192.0.2.0/24'                behaviour ipcidr: a static prefix
      - DOMAIN-SUFFIX,example.com     behaviour classical: see classical.py
    # a comment

`*` elsewhere, as in `a.*.com` or `*.*.com`, can't be said by rules and is skipped. YAML has one mapping with one list
of texts; what is more (aliases, nested lists, a second `payload`) makes the file unusable: the line is told.
"""

import enum
import re
from collections.abc import Iterable, Iterator

from dnstap_bgp.core.lists.formats import classical, plain
from dnstap_bgp.core.lists.lines import (
    ASCII_NAME,
    NAMES,
    WILDCARDS,
    Detection,
    Document,
    DocumentReader,
    Format,
    Item,
    Skipped,
    SkippedKind,
    before_hash,
    malformed,
    rule,
)
from dnstap_bgp.core.lists.rules import RuleKind
from dnstap_bgp.errors import ListError

YAML_MAX_BYTES = 64 << 20
"""Bytes of a YAML file; the largest in use have 15 MB."""

_SIGNS = {
    "+.": RuleKind.SUFFIX,
    "*.": RuleKind.CHILDREN,
    ".": RuleKind.SUBDOMAINS,
    "": RuleKind.EXACT,
}
_SIMPLE = re.compile(rf"((?:[+*]?\.)?){ASCII_NAME.removeprefix(chr(92) + '.?')}[ \t]*(?:#.*)?\r?\n?".encode())
_WILDCARD = Skipped(SkippedKind.PATTERN, "`*` in the middle of a name")

_PAYLOAD = "payload"
_KEY = re.compile(rb"^\{?[ \t]*(?:payload|'payload'|\"payload\")[ \t]*:(?:\s|$)", re.MULTILINE)
_KEY_WITHIN_BYTES = 1 << 16  # as detection looks


def read(text: str) -> Iterable[Item]:
    """Read an entry: a sign or none, then a name; a prefix; or a classical rule.

    Raises:
        ListError: It is none of them.
    """
    if "," in text:
        return classical.read(text)
    if plain.is_prefix(text):
        return (plain.prefix(text, strict=False),)
    sign = next(sign for sign in _SIGNS if text.startswith(sign))
    domain = text[len(sign) :]
    return (_WILDCARD if "*" in domain or domain.startswith(".") else rule(domain, _SIGNS[sign]),)


def _is_yaml(content: bytes) -> bool:
    return _KEY.search(content, 0, _KEY_WITHIN_BYTES) is not None


def _open(content: bytes) -> DocumentReader:
    """Open a YAML file; it is parsed while it is read, so that nothing of it grows in memory."""
    return lambda _: _entries(content)


def _entries(content: bytes) -> Iterator[tuple[int, Item]]:
    for line, text in _payload(content):
        try:
            items = read(text.strip())
        except ListError as error:
            items = (malformed(text, str(error)),)
        for item in items:
            yield line, item


def _payload(content: bytes) -> Iterator[tuple[int, str]]:
    """Give the texts of the one list in the one mapping of a YAML file, with their lines.

    Events, not objects: an alias is seen before anything is multiplied by it, and a nested list before it is deep.

    Raises:
        ListError: It is no YAML, or more than such a list.
    """
    state = _State.OUTSIDE
    seen = False
    for kind, line, text in _events(content):
        after = _STEPS.get((state, kind))
        if after is None:
            what = {"Alias": "an alias", "SequenceStart": "a list", "MappingStart": "a mapping"}.get(kind, "something")
            raise ListError(f"line {line}: {what} that has no place in `{_PAYLOAD}:` with a list of texts, and no more")
        if after is _State.LIST and state is _State.LIST:
            yield line, text
        elif state is _State.KEY and kind == "Scalar" and text == _PAYLOAD:
            if seen:
                raise ListError(f"line {line}: a second `{_PAYLOAD}`")
            seen, after = True, _State.PAYLOAD
        state = after


class _State(enum.Enum):
    """The place in a YAML file: outside the mapping, at a key, at the value of one or of `payload`, in its list."""

    OUTSIDE = enum.auto()
    KEY = enum.auto()
    OTHER = enum.auto()
    PAYLOAD = enum.auto()
    LIST = enum.auto()
    DONE = enum.auto()


_STEPS = {
    (_State.OUTSIDE, "MappingStart"): _State.KEY,
    (_State.KEY, "Scalar"): _State.OTHER,
    (_State.OTHER, "Scalar"): _State.KEY,
    (_State.PAYLOAD, "SequenceStart"): _State.LIST,
    (_State.LIST, "Scalar"): _State.LIST,
    (_State.LIST, "SequenceEnd"): _State.KEY,
    (_State.KEY, "MappingEnd"): _State.DONE,
}


def _events(content: bytes) -> Iterator[tuple[str, int, str]]:
    """Parse YAML: (the kind of the event, its line, its text).

    Raises:
        ListError: It is no YAML.
    """
    import yaml  # noqa: PLC0415 - 5 MB, for the process that compiles lists

    try:
        for event in yaml.parse(content, Loader=yaml.CSafeLoader):
            kind = type(event).__name__.removesuffix("Event")
            if not kind.startswith(("Stream", "Document")):
                mark = event.start_mark
                yield kind, mark.line + 1 if mark is not None else 0, getattr(event, "value", "")
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark is not None else ""
        raise ListError(f"{where}no YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ListError(f"no YAML: {(str(error).splitlines() or [''])[0][:200]!a}") from None


MIHOMO = Format(
    name="mihomo",
    aliases=("clash",),
    read=read,
    simple=_SIMPLE,
    signs={sign.encode(): (kind, False) for sign, kind in _SIGNS.items()},
    uncommented=before_hash,
    detection=Detection(
        rb"\+\.[A-Za-z0-9._\x80-\xff-]+(?:\s*#.*)?",
        reads=frozenset({NAMES, WILDCARDS, "surge"}),
        head=rb"\{?[ \t]*(?:payload|'payload'|\"payload\")[ \t]*:(?:\s.*)?",
    ),
    document=Document(_open, YAML_MAX_BYTES, is_read=_is_yaml),
)
