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

_TOP = "at the top of the file, before the first [table]"


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
    homes: dict[str, list[str]] = {}
    for folded, home in _homes(model, ""):
        homes.setdefault(folded, []).append(home)
    return _spell(model, table, "", homes, complaints), complaints


def _spell(
    model: Model, table: dict[str, Any], path: str, homes: dict[str, list[str]], complaints: list[Complaint]
) -> dict[str, Any]:
    """Spell one table and those inside.

    Args:
        model: What the table will be read as.
        table: The table.
        path: Its own path in the file.
        homes: The tables in which each key may stand, as people write them, for suggestions.
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
    model: Model | None, value: object, where: str, homes: dict[str, list[str]], complaints: list[Complaint]
) -> object:
    """Spell the tables in a value: itself, or the items of a list."""
    if isinstance(value, list):
        return [_inside(model, item, f"{where}[{index}]", homes, complaints) for index, item in enumerate(value)]
    if model is None or not isinstance(value, dict):
        return value
    return _spell(model, value, where, homes, complaints)


def _suggestion(written: str, keys: dict[str, tuple[str, Model | None]], homes: dict[str, list[str]]) -> str:
    """Say which key was probably meant: this one in a table where it may stand, or one that is spelled alike."""
    places = homes.get(_fold(written))
    if places:
        *others, last = dict.fromkeys(sorted(places, key=lambda place: place != _TOP))
        return f"; it belongs {', '.join(others)} or {last}" if others else f"; it belongs {last}"
    near = difflib.get_close_matches(_fold(written), keys, n=1)
    return f"; did you mean `{keys[near[0]][0]}`?" if near else ""


def _homes(model: Model, path: str, *, is_many: bool = False) -> Iterator[tuple[str, str]]:
    """Give each key of the file, folded, with the place of a table where it may stand.

    Args:
        model: The table.
        path: Its own path in the file.
        is_many: There are several of them.
    """
    place = f"under [{path}]" if path else _TOP
    if is_many:
        place = f"in an entry of {path}" if "." in path else f"under [[{path}]]"
    for folded, (key, inner) in _keys(model).items():
        yield folded, place
        if inner is not None:
            annotation = next(one.annotation for name, one in model.model_fields.items() if (one.alias or name) == key)
            yield from _homes(inner, f"{path}.{key}" if path else key, is_many="tuple[" in str(annotation))


def _keys(model: Model) -> dict[str, tuple[str, Model | None]]:
    """Map each key of a table, folded, to its spelling and to the model of the table or tables behind it."""
    found = {}
    for name, field in model.model_fields.items():
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
