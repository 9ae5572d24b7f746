"""`dnstap-bgp routes`: list the routes with the names that hold them."""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from dnstap_bgp.commands.control import Control, json_line
from dnstap_bgp.commands.options import config_option, json_option
from dnstap_bgp.commands.printing import say
from dnstap_bgp.core.text import duration_text

PAGE = 5_000
NAMES_SHOWN = 3

Row = dict[str, Any]
"""One route of /v1/routes."""

_HEADS = ("PREFIX", "STATE", "LIST", "SEEN", "ENDS IN", "NAMES")


@click.command("routes")
@config_option
@json_option
@click.option("--list", "list_name", metavar="LIST", help="Only those that this list claims.")
@click.option("--name", metavar="NAME", help="Only those of this name and of names below it.")
@click.option("--prefix", metavar="PREFIX", help="Only those within this prefix.")
def command(config_path: Path, *, as_json: bool, list_name: str | None, name: str | None, prefix: str | None) -> None:
    """List what is routed, and by which names.

    \b
    The states:
        announced    ExaBGP has acknowledged it
        unanswered   ExaBGP was told, and has not answered yet
        waiting      it is still to be told
        refused      ExaBGP refuses it, or none of its neighbors is to get it
        covered      a static prefix says it already
        left-out     there is no room in the budget of any neighbor that it is for
        unrouted     its list has no next-hop of that family

    With --json one object a line.

    \b
    Examples:
        dnstap-bgp routes
        dnstap-bgp routes --name example.com
        dnstap-bgp routes --prefix 198.51.100.0/24 --json | jq -r .prefix
    """  # noqa: D301 - click wants a real \b
    found = read(config_path, {"list": list_name, "name": name, "prefix": prefix})
    for line in json_lines(found) if as_json else table(found):
        say(line, as_is=as_json)


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
    """Write the routes as JSON, one object a line."""
    return map(json_line, rows)


def table(rows: Iterable[Row]) -> Iterator[str]:
    """Write the routes as a table, by address."""
    cells = [_HEADS, *(_cells(row) for row in sorted(rows, key=_order))]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADS) - 1)]
    for row in cells:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
    yield f"{len(cells) - 1} routes"


def _cells(row: Row) -> tuple[str, ...]:
    names = row["names"][:NAMES_SHOWN]
    more = len(row["names"]) - len(names)
    states = dict.fromkeys(view["state"] for view in row.get("views", ()))
    return (
        row["prefix"],
        "/".join(states) or row["state"],
        ", ".join(row["lists"]),
        "static" if row["last_seen_s_ago"] is None else f"{duration_text(row['last_seen_s_ago'])} ago",
        "" if row["ends_in_s"] is None else duration_text(row["ends_in_s"]),
        ", ".join(names) + (f" and {more} more" if more else ""),
    )


def _order(row: Row) -> tuple[int, int, int]:
    network = ip_network(row["prefix"])
    return network.version, int(network.network_address), network.prefixlen
