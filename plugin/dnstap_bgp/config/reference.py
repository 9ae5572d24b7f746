"""The reference of the configuration file, made from the models: each key with its type, default, limits and reason.

`deploy/packaging/documents.py` makes the manual page dnstap-bgp.toml(5) of it. There is no second text that could grow
stale: a key's sentence is its entry under "Attributes" in its table's docstring, its type is what the docstring of the
value's function says, and default and limits are those that pydantic checks.
"""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic import AfterValidator, BeforeValidator, PlainValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from dnstap_bgp.config import values
from dnstap_bgp.config.model import ConfigFile
from dnstap_bgp.config.tables import FileTable
from dnstap_bgp.core.timing import UNITS_S

_PLAIN_TYPES = {bool: "`true` or `false`.", int: "A whole number.", float: "A number."}
_SHAPES = (values.one_or_many, values.nonempty, values.each_once)
"""Functions that look at a list as a whole, and say nothing of the values inside."""
GROUPED_FROM = 10_000
"""Numbers from here on are written with `_` between thousands, as TOML allows."""
_OF_TABLES = {"lists": "[[list]]", "neighbors": "[bgp] peers"}
"""Fields that are lists of tables, with the heading of those."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table.

    Attributes:
        name: As the file has it.
        type: How its value is written, a sentence.
        default: The value that it has when it is left out, as TOML; empty: there is none.
        limits: What its value is held to beyond its type; empty: nothing.
        text: What it means, and the reason for default and limits.
        required: Whether the table can't do without it.
    """

    name: str
    type: str
    default: str
    limits: str
    text: str
    required: bool


@dataclass(frozen=True, slots=True)
class Section:
    """One table of the file.

    Attributes:
        heading: `[dnstap]`; empty for the top of the file.
        text: What the table is for.
        keys: In the order of the model.
    """

    heading: str
    text: str
    keys: tuple[Key, ...]


def sections() -> Iterator[Section]:
    """Give the file's tables, the top of the file first, each with all of its keys."""
    yield _section("", ConfigFile)
    for name, info in ConfigFile.model_fields.items():
        table = _table_in(info.annotation)
        if table is None:
            continue
        yield _section(_OF_TABLES.get(name, f"[{info.alias or name}]"), table)
        for inner_name, inner in table.model_fields.items():
            inner_table = _table_in(inner.annotation)
            if inner_table is not None:
                yield _section(_OF_TABLES[inner_name], inner_table)


def _section(heading: str, table: type[FileTable]) -> Section:
    text, told = _docstring(table)
    keys = []
    for name, info in table.model_fields.items():
        if table is ConfigFile and _table_in(info.annotation) is not None:
            continue
        if name not in told:
            raise LookupError(f"{table.__name__}.{name} has no entry under Attributes in its docstring")
        keys.append(
            Key(
                info.alias or name,
                _type(info),
                _default(info),
                ", ".join(_limits(info)),
                told[name],
                info.is_required(),
            )
        )
    text = re.sub(r"^`[^`]+`: ", "", text)  # the heading says that
    return Section(heading, text[:1].upper() + text[1:], tuple(keys))


def _docstring(table: type[FileTable]) -> tuple[str, dict[str, str]]:
    """Take a docstring apart: the text before "Attributes", and each attribute's entry."""
    text, _, attributes = inspect.getdoc(table).partition("\nAttributes:\n")  # type: ignore[union-attr]  # D101
    entries = re.split(r"^    (?=\w+: )", attributes, flags=re.MULTILINE)[1:]
    told = dict(" ".join(entry.split()).split(": ", 1) for entry in entries)
    return " ".join(text.split()), told


def _table_in(annotation: object) -> type[FileTable] | None:
    if isinstance(annotation, type) and issubclass(annotation, FileTable):
        return annotation
    return next(filter(None, map(_table_in, get_args(annotation))), None)


def _metadata(info: FieldInfo) -> Iterator[object]:
    """Give all that validates a field: its own metadata, and what stands inside its annotation."""
    for found in info.metadata:
        yield from found.metadata if isinstance(found, FieldInfo) else (found,)
    yield from _inside(info.annotation)


def _inside(annotation: object) -> Iterator[object]:
    for found in getattr(annotation, "__metadata__", ()):
        yield from found.metadata if isinstance(found, FieldInfo) else (found,)
    for argument in get_args(annotation):
        yield from _inside(argument)


def _functions(info: FieldInfo) -> Iterator[Any]:
    for found in _metadata(info):
        if isinstance(found, PlainValidator | BeforeValidator | AfterValidator):
            yield found.func


def _type(info: FieldInfo) -> str:
    """Say how a value is written: what the docstring of its function says, or its plain type."""
    functions = list(_functions(info))
    shape = ""
    if values.one_or_many in functions:
        table = _table_in(info.annotation)
        shape = "A list, or a lone one, of: " if table is None else "A list of: "
    choices = [text for found in _literals(info.annotation) for text in get_args(found)]
    of_value = [found for found in functions if found not in _SHAPES and not found.__name__.startswith("_distinct")]
    if of_value:
        return _joined(shape, (inspect.getdoc(of_value[0]) or "").split("\n\n")[0].replace("\n", " "))
    if choices:
        return shape + " or ".join(f'`"{choice}"`' for choice in choices) + "."
    if _table_in(info.annotation) is not None:
        return shape + "an address, `host:port`, `[IPv6]:port`, or a table of the keys below."
    plain = [_PLAIN_TYPES[found] for found in _types(info.annotation) if found in _PLAIN_TYPES]
    if not plain:
        raise LookupError(f"how {info} is written can't be said: give its value a function with a docstring")
    return shape + plain[0]


def _joined(shape: str, sentence: str) -> str:
    """Put a sentence behind a list's: in lower case, unless its first word is a name or an acronym."""
    if shape and not sentence[1:2].isupper():
        sentence = sentence[:1].lower() + sentence[1:]
    return shape + sentence


def _literals(annotation: object) -> Iterator[object]:
    if get_origin(annotation) is Literal:
        yield annotation
    for argument in get_args(annotation):
        yield from _literals(argument)


def _types(annotation: object) -> Iterator[type]:
    if isinstance(annotation, type):
        yield annotation
    for argument in get_args(annotation):
        yield from _types(argument)


def _default(info: FieldInfo) -> str:
    """Write a field's default as the file would have it; empty: there is none, or the field's text tells it."""
    if info.default is PydanticUndefined or info.default is None:
        return ""
    return _toml(info.default, info)


def _limits(info: FieldInfo) -> Iterator[str]:
    """Say the bounds that pydantic checks."""
    for found in _metadata(info):
        match found:
            case annotated_types.Ge(0):
                pass  # nothing is negative, as far as anybody would think of it
            case annotated_types.Ge(least):
                yield f"at least {_bound(least, info)}"
            case annotated_types.Gt(least):
                yield f"more than {_bound(least, info)}"
            case annotated_types.Le(most):
                yield f"at most {_bound(most, info)}"
            case annotated_types.Lt(most):
                yield f"less than {_bound(most, info)}"
            case annotated_types.MaxLen(most):
                yield f"at most {most} of them"


def _bound(value: object, info: FieldInfo) -> str:
    return _toml(value, info).strip('"')


def _toml(value: object, info: FieldInfo) -> str:
    """Write a value, which validation has given its inner form, as the file would have it."""
    functions = {function.__name__ for function in _functions(info)}
    match value:
        case tuple() | frozenset():
            text = f"[{', '.join(_toml(one, info) for one in value)}]"
        case bool():
            text = "true" if value else "false"
        case int() if "message_type" in functions:
            text = next(f'"{name}"' for name, number in values.MESSAGE_TYPES.items() if number == value)
        case int() if "file_mode" in functions:
            text = f'"{value:04o}"'
        case int() | float() if functions & {"duration", "margin", "_ttl"}:
            text = f'"{_duration(value)}"'
        case int() if "size" in functions:
            text = f'"{_size(value)}"'
        case int():
            text = f"{value:_}" if value >= GROUPED_FROM else str(value)
        case _:
            text = f'"{value}"'
    return text


def _size(count: int) -> str:
    """Write a size in the largest unit that gives a whole number."""
    unit = next(unit for unit in ("MB", "kB", "B") if count % values.SIZE_UNITS[unit] == 0)
    return f"{count // values.SIZE_UNITS[unit]}{unit}"


def _duration(seconds: float) -> str:
    """Write a duration in the largest unit that gives a whole number."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    unit = next(unit for unit in ("h", "m", "s") if seconds % UNITS_S[unit] == 0)
    return f"{seconds / UNITS_S[unit]:g}{unit}"
