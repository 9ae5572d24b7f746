"""From a file to a `Config`: read, spell, validate; every problem at once, each with file and key or line."""

import re
import struct
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dnstap_bgp.config import advice, hold, policies, values
from dnstap_bgp.config.model import ConfigFile
from dnstap_bgp.config.settings import Config
from dnstap_bgp.config.spelling import Complaint, canonical
from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.errors import ConfigError, Problem

_FILE_MAX_BYTES = 1 << 20  # a configuration has a few hundred lines; a megabyte is the wrong file

_LEAST = {"dnstap": {"listen": "/tap"}}  # what no file can leave out, beside its lists

_TOML_HINTS = (
    ("Invalid value", 'a value is text in quotes ("text"), a number, true, false, a [list] or a {table}'),
    ("Expected '='", "a line is `key = value`, a [table] or a # comment"),
    ("Expected newline", 'nothing but a # comment stands behind a value, and text is in quotes ("text")'),
    ("Invalid (statement|initial)", "a line is `key = value`, a [table] or a # comment"),
    ("Expected '\\]", "a table is [name] on a line of its own, and one of several [[name]]"),
    ("Cannot (declare|overwrite|mutate|redefine)|Duplicate", "this key or [table] stands in the file already"),
    ("Unclosed array", "a [list] has a comma between its items, and ends with ]"),
    ("Unclosed inline", "a {table} has a comma between its keys, stands on one line, and ends with }"),
    ("Unterminated string|Illegal character '\\\\n'", "text ends on its line, with the quote that it began with"),
    ("Unescaped", "in double quotes a backslash is written twice; single quotes take it as it is"),
)
"""Beginnings of the TOML reader's messages -> what was probably meant, for people who write no other TOML."""

_SENTENCE_MAX = 300  # characters: a value that is shown may be as long as the file

_BOLT_MAGIC = 0xED0CDAED
_BOLT_MAGIC_OFFSET = 16  # behind the header of the first page


def load(path: Path, *, with_secrets: bool = True) -> Config:
    """Read a configuration file.

    Args:
        path: The file; relative paths in it are relative to its folder.
        with_secrets: Whether the files that hold secrets are read, which not everybody may who asks the plugin.

    Returns:
        The configuration, its `warnings` filled in.

    Raises:
        ConfigError: The file can't be read or used; has every problem at once.
    """
    path = path.absolute()
    return parse(_read(path), path, with_secrets=with_secrets)


def parse(content: bytes, path: Path, *, with_secrets: bool = True) -> Config:
    """Read a configuration file's content; like `load`, for content that is at hand.

    Args:
        content: TOML in UTF-8.
        path: The absolute path that problems are told under and that relative paths start from.
        with_secrets: See `load`.

    Raises:
        ConfigError: It can't be used; has every problem at once.
    """
    table, complaints = canonical(ConfigFile, _toml(content, path))
    table.setdefault("dnstap", {})  # so that a file without it is told which key it lacks
    if "domains" not in table and "list" not in table:
        complaints.append(("domains", "is missing, and so is any [[list]]"))
    try:
        context = {"folder": path.parent, "with_secrets": with_secrets}
        config = ConfigFile.model_validate(table, context=context).settings(path)
        complaints += policies.problems(config)
        complaints += hold.problems(config)
    except ValidationError as error:
        complaints += _complaints(error)
    if complaints:
        raise ConfigError([Problem(f"{path}: {key}" if key else str(path), what) for key, what in complaints])
    cache, moved = _cache_beside_bolt(config.cache)
    return replace(config, cache=cache, warnings=(*advice.warnings(config), *moved))


def list_sources(path: Path) -> tuple[ListSource, ...]:
    """Get a file's lists, as `Config.list_sources` gives them, even if other keys of it are wrong; none if they are.

    It lets a person see the mistakes in file and lists together.
    """
    path = path.absolute()
    try:
        table, _ = canonical(ConfigFile, _toml(_read(path), path))
        least = {key: table[key] for key in ("domains", "list", "cache") if key in table} | _LEAST
        return ConfigFile.model_validate(least, context={"folder": path.parent}).settings(path).list_sources()
    except (ConfigError, ValidationError):
        return ()


def control_socket(path: Path) -> Path | None:
    """Get a file's control socket, as `Config.control_socket` is, even if other keys of it are wrong; None if it is.

    It lets a person ask the plugin that runs although the file has been spoilt since.
    """
    path = path.absolute()
    try:
        table, _ = canonical(ConfigFile, _toml(_read(path), path))
        least = (
            {key: table[key] for key in ("runtime_dir", "control") if key in table} | _LEAST | {"domains": "domains"}
        )
        return ConfigFile.model_validate(least, context={"folder": path.parent}).settings(path).control_socket
    except (ConfigError, ValidationError):
        return None


def _read(path: Path) -> bytes:
    try:
        content = values.read_regular(path, _FILE_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([Problem(str(path), f"can't be read: {error.strerror}")]) from None
    if len(content) > _FILE_MAX_BYTES:
        raise ConfigError([Problem(str(path), f"has more than {_FILE_MAX_BYTES} bytes: hardly a configuration")])
    return content


def _toml(content: bytes, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(f"{path}:{line}", f"is not UTF-8: byte 0x{content[error.start]:02x}")]) from None
    except (ValueError, RecursionError) as error:  # also of numbers and brackets beyond Python's limits
        what, line = _located(str(error), content)
        hint = next((f"; {hint}" for pattern, hint in _TOML_HINTS if re.match(pattern, what)), "")
        raise ConfigError([Problem(f"{path}:{line}", f"is no TOML: {what}{hint}")]) from None


def _located(message: str, content: bytes) -> tuple[str, int]:
    """Take the line number out of the TOML reader's message."""
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    if found is None:
        return message, 1
    what, line, column = found.groups()
    if line is None:
        return f"{what} at the end of the file", content.count(b"\n") + 1
    return f"{what} at column {column}", int(line)


def _complaints(error: ValidationError) -> Iterator[Complaint]:
    """Say each validation error under its key as the file has it: `bgp.peers[0].port`."""
    for detail in error.errors(include_url=False, include_input=False):
        if detail["type"] == "default_factory_not_called":
            continue  # only says that there are other errors
        key = ""
        for part in detail["loc"]:
            key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else part
        yield key, _sentence(detail["type"], detail["msg"])


def _sentence(kind: str, message: str) -> str:
    """Say pydantic's more technical messages as this program says such things."""
    match kind:
        case "missing":
            return "is missing"
        case "model_type":
            return "must be a table"
        case "tuple_type" | "frozen_set_type":
            return "must be a list"
        case "bool_type":
            return "must be true or false"
        case "int_type":
            return "must be a whole number"
    return message.removeprefix("Value error, ").replace("Input should", "should", 1)[:_SENTENCE_MAX]


def _cache_beside_bolt(cache: Path | None) -> tuple[Path | None, list[str]]:
    """Stay away from the Bolt database of another program: our file is beside it, then and ever after."""
    if cache is None:
        return None, []
    ours = cache.with_name(cache.name + ".msgpack")
    try:
        head = values.read_regular(cache, _BOLT_MAGIC_OFFSET + 4)
    except FileNotFoundError:
        return (ours if ours.exists() else cache), []
    except values.NotRegularError as error:  # as any other kind of file there, no reason to announce nothing
        return cache, [f"cache: {cache} can't be read: {error.strerror}; nothing is kept across restarts"]
    except OSError:
        return cache, []  # the state file's own errors are told where it is opened
    if any(head[_BOLT_MAGIC_OFFSET:] == struct.pack(order, _BOLT_MAGIC) for order in ("<I", ">I")):
        return ours, [f"{cache} is a Bolt database of the Go program: it is left alone, our state file is {ours}"]
    return cache, []
