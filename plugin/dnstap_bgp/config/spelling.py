"""Keys however they are spelled: case and underscores don't count, and an unknown one is told which was probably meant.

`routerID`, `router_id` and `ROUTERID` are one key, so that files from before keep working.
"""

import difflib
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

Complaint = tuple[str, str]
"""A key's path in the file, and what is wrong with it."""

Model = type[BaseModel]


def canonical(model: Model, table: dict[str, Any]) -> tuple[dict[str, Any], list[Complaint]]:
    """Spell a file's keys as the models do.

    Args:
        model: What the whole file will be read as.
        table: As the TOML reader gives it.

    Returns:
        The table without the keys that nobody knows and without empty texts (which count as unset), and a complaint for
        each key that is unknown or stands there in two spellings.
    """
    complaints: list[Complaint] = []
    return _spell(model, table, "", dict(_homes(model, "")), complaints), complaints


def _spell(
    model: Model, table: dict[str, Any], path: str, homes: dict[str, str], complaints: list[Complaint]
) -> dict[str, Any]:
    """Spell one table and those inside.

    Args:
        model: What the table will be read as.
        table: The table.
        path: Its own path in the file.
        homes: Where each key of the file belongs, for suggestions.
        complaints: Gets what is wrong.
    """
    keys = _keys(model)
    spelled: dict[str, Any] = {}
    for written, value in table.items():
        where = f"{path}.{written}" if path else written
        if _fold(written) not in keys:
            complaints.append((where, "is no key of this program" + _suggestion(written, keys, homes)))
            continue
        key, inner = keys[_fold(written)]
        if key in spelled:
            complaints.append((where, f"stands here twice, in two spellings of `{key}`"))
        elif value != "":
            spelled[key] = _inside(inner, value, where, homes, complaints)
    return spelled


def _inside(
    model: Model | None, value: object, where: str, homes: dict[str, str], complaints: list[Complaint]
) -> object:
    """Spell the tables in a value: itself, or the items of a list."""
    if isinstance(value, list):
        return [_inside(model, item, f"{where}[{index}]", homes, complaints) for index, item in enumerate(value)]
    if model is None or not isinstance(value, dict):
        return value
    return _spell(model, value, where, homes, complaints)


def _suggestion(written: str, keys: dict[str, tuple[str, Model | None]], homes: dict[str, str]) -> str:
    """Say which key was probably meant: one spelled alike, or this one in the table where it belongs."""
    near = difflib.get_close_matches(_fold(written), keys, n=1)
    if near:
        return f"; did you mean `{keys[near[0]][0]}`?"
    home = homes.get(_fold(written))
    if home is None:
        return ""
    return f"; it belongs under [{home}]" if home else "; it belongs at the top of the file, before the first [table]"


def _homes(model: Model, path: str) -> Iterator[tuple[str, str]]:
    """Give each key of the file, folded, with the path of the table where it belongs."""
    for folded, (key, inner) in _keys(model).items():
        yield folded, path
        if inner is not None:
            yield from _homes(inner, f"{path}.{key}" if path else key)


def _keys(model: Model) -> dict[str, tuple[str, Model | None]]:
    """Map each key of a table, folded, to its spelling and to the model of the table or tables behind it."""
    found = {}
    for name, field in model.model_fields.items():
        if not field.exclude:
            key = field.alias or name
            found[_fold(key)] = (key, next(_models_in(field.annotation), None))
    return found


def _models_in(annotation: object) -> Iterator[Model]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _fold(key: str) -> str:
    return key.replace("_", "").casefold()
