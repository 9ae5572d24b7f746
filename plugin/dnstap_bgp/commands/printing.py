"""Lines for a terminal or a pipe, with every character escaped that could drive a terminal or end the line.

All text that a command prints goes through here, whatever its source: names come from DNS answers and peers, messages
from list servers, attributes from a state file that others may have written.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from dnstap_bgp.core.dns.names import to_unicode
from dnstap_bgp.core.model import Audience
from dnstap_bgp.core.text import printable

_NAME = r"(?:[a-z0-9_-]{1,63}\.){0,126}xn--[a-z0-9-]{1,59}(?:\.[a-z0-9_-]{1,63}){0,126}"
_WITH_A_LABEL = re.compile(rf"(?<![\w./@:\\-]){_NAME}(?![\w@:\\/-])", re.ASCII)  # no part of a URL or a path


def say(line: str, *, as_is: bool = False) -> None:
    """Print one line on stdout.

    Args:
        line: On a terminal, internationalized names in it are shown in Unicode, with their A-labels beside.
        as_is: The line is for machines (JSON, a configuration): nothing is shown beside anything.
    """
    line = printable(line)
    click.echo(line if as_is or not sys.stdout.isatty() else with_unicode(line, sys.stdout.encoding))


def with_unicode(line: str, encoding: str) -> str:
    """Write names that have A-labels in Unicode, with the A-labels beside: `münchen.de (xn--mnchen-3ya.de)`.

    Args:
        line: Printable.
        encoding: Of the terminal; a name that it can't show stays.
    """

    def shown(found: re.Match[str]) -> str:
        name = to_unicode(found[0])
        try:
            return found[0] if name is None else f"{name.encode(encoding).decode(encoding)} ({found[0]})"
        except (UnicodeError, LookupError):
            return found[0]

    return _WITH_A_LABEL.sub(shown, line) if "xn--" in line else line


def view_text(view: Mapping[str, Any]) -> str:
    """Name the neighbors of a view, as the control socket gives it with `neighbors` and `except_these`."""
    return str(Audience(tuple(view["neighbors"]), is_except=view["except_these"]))


def complain(line: str) -> None:
    """Print one line on stderr."""
    click.echo(printable(line), err=True)


def say_outcome(messages: Iterable[str], *, as_json: bool) -> None:
    """Print what came of a reload or of its preview.

    Args:
        messages: One line each.
        as_json: All of them as one object, `{"messages": [...]}`.
    """
    for line in [json.dumps({"messages": list(messages)})] if as_json else messages:
        say(line, as_is=as_json)
