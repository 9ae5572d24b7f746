"""`dnstap-bgp watch`: show what is learnt, refreshed and withdrawn, as it happens."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import click

from dnstap_bgp.commands.control import Control, json_line
from dnstap_bgp.commands.options import config_option, json_option
from dnstap_bgp.commands.printing import say
from dnstap_bgp.errors import UnreachableError

LINE_MAX_BYTES = 1 << 20

_SIGNS = {"learnt": "+", "refreshed": "~", "ended": "-"}


@click.command("watch")
@config_option
@json_option
def command(config_path: Path, *, as_json: bool) -> None:
    """Show what is learnt, refreshed and withdrawn, as it happens, until Ctrl-C.

    A refresh is shown when it moved the deadline by a twentieth of the TTL. With --json one object a line.

    \b
    Example:
        dnstap-bgp watch --json | jq -r 'select(.event == "learnt") | .name'
    """  # noqa: D301 - click wants a real \b
    run(config_path, partial(say, as_is=as_json), as_json=as_json)


def run(path: Path, say: Callable[[str], object], *, as_json: bool) -> None:
    """Print the plugin's events until Ctrl-C.

    Args:
        path: The configuration file.
        say: Gets each line.
        as_json: One object a line, with its `event`.

    Raises:
        ConfigError: The file can't be used.
        CommandError: The plugin can't be reached, or it has ended.
    """
    with suppress(KeyboardInterrupt), Control(path).stream("/v1/events") as response:
        for kind, data in _events(response):
            if as_json:
                say(json_line({"event": kind} | data))
            elif (line := text(kind, data)) is not None:
                say(line)
        raise UnreachableError("the plugin has ended")


def text(kind: str, data: dict[str, Any]) -> str | None:
    """Write an event as a person reads it; None: it is nothing for a person."""
    at = time.strftime("%H:%M:%S", time.localtime(data.get("at", 0)))
    if kind in _SIGNS:
        why = f": {data['reason']}" if "reason" in data else ""
        still = " (others still hold the address)" if kind == "ended" and data["routed"] else ""
        return f"{at} {_SIGNS[kind]} {data['address']} {data['name']} (list {data['list']}){why}{still}"
    if kind == "neighbor":
        return f"{at} neighbor {data['address']} is {'up' if data['up'] else 'down'}"
    if kind == "finding":
        return f"{at} {'no longer: ' if data['gone'] else ''}{data['level']}: {data['text']}"
    if kind == "lost":
        return f"... and {data['count']} more: too many to show"
    return None


def _events(response: HTTPResponse) -> Iterator[tuple[str, dict[str, Any]]]:
    """Take the stream's events apart; a comment, or what can't be read, is none."""
    kind = ""
    while line := response.readline(LINE_MAX_BYTES):
        field, _, value = line.decode("utf-8", "replace").rstrip("\n").partition(": ")
        if field == "event":
            kind = value
        elif field == "data":
            with suppress(ValueError):
                yield kind, json.loads(value)
