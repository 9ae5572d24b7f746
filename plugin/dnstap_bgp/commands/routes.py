"""`dnstap-bgp routes`: what is routed, and by which names."""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from dnstap_bgp.commands.control import Control, json_line
from dnstap_bgp.core.status.why import duration_text

PAGE = 5_000
NAMES_SHOWN = 3

Row = dict[str, Any]
"""One route of /v1/routes."""

_HEADS = ("PREFIX", "STATE", "LIST", "SEEN", "ENDS IN", "NAMES")


def read(path: Path, filters: Mapping[str, str | None]) -> Iterator[Row]:
    """Ask the running plugin, page by page.

    Args:
        path: The configuration file.
        filters: `list`, `name`, `prefix`.

    Raises:
        ConfigError: The file can't be used.
        CommandError: The plugin can't be reached, or a filter is no good.
    """
    control = Control(path)
    given = {key: value for key, value in filters.items() if value is not None} | {"limit": str(PAGE)}
    after: str | None = ""
    while after is not None:
        page = control.get("/v1/routes?" + urlencode(given | ({"after": after} if after else {})))
        yield from page["routes"]
        after = page["next"]


def json_lines(rows: Iterable[Row]) -> Iterator[str]:
    """As JSON, one object a line."""
    return map(json_line, rows)


def table(rows: Iterable[Row]) -> Iterator[str]:
    """As a person reads it, by address."""
    cells = [_HEADS, *(_cells(row) for row in sorted(rows, key=_order))]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADS) - 1)]
    for row in cells:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
    yield f"{len(cells) - 1} routes"


def _cells(row: Row) -> tuple[str, ...]:
    names = row["names"][:NAMES_SHOWN]
    more = len(row["names"]) - len(names)
    return (
        row["prefix"],
        row["state"],
        ", ".join(row["lists"]),
        "static" if row["last_seen_s_ago"] is None else f"{duration_text(row['last_seen_s_ago'])} ago",
        "" if row["ends_in_s"] is None else duration_text(row["ends_in_s"]),
        ", ".join(names) + (f" and {more} more" if more else ""),
    )


def _order(row: Row) -> tuple[int, int, int]:
    network = ip_network(row["prefix"])
    return network.version, int(network.network_address), network.prefixlen
