"""JSON text of others -> values: bounded in depth, no key twice, and each fault told with its place."""

import json
from collections.abc import Iterator
from typing import Any

from dnstap_bgp.core.text import printable
from dnstap_bgp.errors import ListError

_KEY_MAX_CHARS = 40
_PATH_MAX_CHARS = 200  # its end: there may be a million keys, a thousand objects deep, each with its path

VALUES_MAX = 6_000_000
"""Values of a file, as its commas and brackets tell: each takes 60 to 70 bytes, for as little as three in the file, and
a third more than all lists may have rules. (20,000,000 empty objects, 300 KB as they are fetched, took 1.6 GB.)"""


class _KeyTwice(dict[str, Any]):
    """An object in which a key stands twice: what it means depends on the reader, so nobody reads it."""

    key = ""


def load(content: bytes) -> Any:  # noqa: ANN401 - whatever is in it
    """Read JSON (RFC 8259).

    Raises:
        ListError: It is none, nested too deeply, has too many values, or has an object in which a key stands twice.
    """
    if sum(map(content.count, (b",", b"[", b"{"))) > VALUES_MAX:
        raise ListError(f"it has more than {VALUES_MAX} values")
    twice: list[_KeyTwice] = []

    def objected(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        seen: set[str] = set()
        marked = _KeyTwice(found)
        marked.key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        twice.append(marked)
        return marked

    try:
        value = json.loads(content.decode("utf-8-sig"), object_pairs_hook=objected)
        if twice:
            path, key = next(_places(value, ""))
            where = printable(path) or "its object"
            raise ListError(f"{where}: the key {key[:_KEY_MAX_CHARS]!a} stands there twice")
    except UnicodeDecodeError as error:
        raise ListError(f"no UTF-8 at byte {error.start + 1}") from None
    except json.JSONDecodeError as error:
        raise ListError(f"line {error.lineno}, column {error.colno}: no JSON: {error.msg}") from None
    except RecursionError:
        raise ListError("it is nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits
        raise ListError(f"no JSON of ours: {error}") from None
    return value


def _places(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Find the objects in which a key stands twice: the end of the path to each, and the key."""
    path = path[-_PATH_MAX_CHARS:]
    if isinstance(value, _KeyTwice):
        yield path, value.key
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, f"{path}.{key[:_KEY_MAX_CHARS]}" if path else key[:_KEY_MAX_CHARS])
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _places(inner, f"{path}[{number}]")
