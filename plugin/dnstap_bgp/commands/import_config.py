"""Conversion of the Go program's configuration file to ours, with a word on each key that means something else now."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from dnstap_bgp.config import Config, parse
from dnstap_bgp.config.addresses import TcpAddress

HEADER = "# Written by `dnstap-bgp import` from {}. `dnstap-bgp check` tells whether it is in order.\n"

COMMUNITIES = (
    "# New: neighbors keep these host routes within their AS (RFC 1997). The Go program sent no community: [] is that."
)

PATHS = frozenset({"domains", "cache"})
"""Keys whose relative paths are relative to the file, which moves."""


@dataclass(frozen=True, slots=True)
class Imported:
    """Converted configuration file, with the keys that carry over and those that change.

    Attributes:
        text: Our configuration file.
        config: The same, read back.
        carried: The keys with their values, as they stand in the new file.
        changed: What is other than before, one sentence each.
    """

    text: str
    config: Config
    carried: tuple[str, ...]
    changed: tuple[str, ...]


def convert(old: Config, table: dict[str, Any], to: Path, cache: Path) -> Imported:
    """Convert the Go program's file.

    Args:
        old: The Go program's file, read.
        table: The same as it is spelled, by our names; see `config.spelling.canonical`.
        to: Where the new file will be, absolute.
        cache: Where the state file will be.

    Raises:
        ConfigError: What would be written is not in order.
    """
    table = {"ipv6": False} | _absolute(table, old.path.parent) | {"cache": str(cache)}  # unset was off there
    text = HEADER.format(old.path) + _written(table)
    return Imported(
        text=text,
        config=parse(text.encode(), to),
        carried=tuple(_carried(table, "")),
        changed=tuple(_changes(old, table)),
    )


def _absolute(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    def moved(value: object) -> object:
        return [moved(one) for one in value] if isinstance(value, list) else str(folder / str(value))

    return {key: moved(value) if key in PATHS else value for key, value in table.items()}


def _written(table: dict[str, Any]) -> str:
    """Write the table as TOML, with `communities` and its comment put in where the Go program's file has none."""
    text = tomli_w.dumps(table)  # which writes no comments; a line break within a text is escaped
    if "communities" in table["bgp"]:
        return text
    return text.replace("\n[bgp]\n", f'\n[bgp]\n{COMMUNITIES}\ncommunities = ["no-export"]\n', 1)


def _value(value: object) -> str:
    """Write a value for a message, on one line: the original has texts, numbers, booleans, and lists of these."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return tomli_w.dumps({"x": value}).partition(" = ")[2].strip()


def _carried(table: dict[str, Any], path: str) -> Iterator[str]:
    for key, value in table.items():
        where = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from _carried(value, where)
        elif where != "cache":
            yield f"{where} = {_value(value)}"


def _changes(old: Config, table: dict[str, Any]) -> Iterator[str]:
    """Tell what changes with the switch."""
    yield f"cache: the state file is {table['cache']}; the Go program's Bolt database is left alone"
    if "communities" not in table["bgp"]:
        yield "bgp.communities: routes carry no-export now; `communities = []` sends none, as before"
    yield "domains: a label boundary is a dot: foo.com matches x.foo.com, and no longer xfoo.com"
    yield (
        "guard: addresses of special use (private, shared, documentation, loopback, multicast and the like) are never "
        "announced; [guard] allow opens what you need of it"
    )
    yield "reload: what a list no longer covers is withdrawn at once, not at the next restart"
    if "perm" not in table.get("dnstap", {}) and any(not isinstance(at, TcpAddress) for at in old.dnstap.listen):
        yield "dnstap.perm: the socket's mode is 0660 now: set `group` to the resolver's, or `perm` as you need it"
    if old.syncer is not None and old.syncer.listen is not None:
        yield "syncer: only the configured peers are answered; a token or certificates are better (manual: Fleet)"
    yield f"command: `dnstap-bgp up --config FILE` in place of `dnstap-bgp -config {old.path}`"
