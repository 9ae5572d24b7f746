"""`dnstap-bgp why`: explain why an address or a name is routed, or isn't."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from dnstap_bgp.commands.control import Control, json_line
from dnstap_bgp.commands.options import config_option, json_option
from dnstap_bgp.commands.printing import say, view_text
from dnstap_bgp.core.text import duration_text

Found = dict[str, Any]
"""/v1/why/..., as it is."""


@click.command("why")
@config_option
@json_option
@click.argument("target", metavar="ADDRESS|NAME")
def command(config_path: Path, target: str, *, as_json: bool) -> None:
    """Say why an address or a name is routed, or why it isn't.

    Every name that holds the address, with its list and rule, when it was first and last seen and until when it stays,
    what it is announced with, and whether ExaBGP has acknowledged it. Of what is not routed: no rule, an exception, the
    guard, a cap, when it expired, or that it was never seen.

    \b
    Examples:
        dnstap-bgp why 203.0.113.7
        dnstap-bgp why www.example.com
    """  # noqa: D301 - click wants a real \b
    found = read(config_path, target)
    for line in json_lines(found) if as_json else lines(found):
        say(line, as_is=as_json)


def read(path: Path, target: str) -> Found:
    """Ask the running plugin.

    Raises:
        ConfigError: The file can't be used.
        CommandError: The plugin can't be reached, or the target is neither address nor name.
    """
    found: Found = Control(path).get(f"/v1/why/{quote(target, safe='')}")
    return found


def json_lines(found: Found) -> Iterator[str]:
    """Write the explanation as one JSON object."""
    yield json_line(found)


def lines(found: Found) -> Iterator[str]:
    """Write the explanation as a person reads it."""
    yield f"{found['target']} is {'routed' if found['routed'] else 'not routed'}"
    for reason in found["reasons"]:
        yield f"  {reason}"
    of_address = found["address"]
    if of_address is not None and of_address.get("views"):
        for view in of_address["views"]:
            yield from _of_view(view)
    elif of_address is not None:
        if of_address["attributes"] is not None:
            several = len({claim["list"] for claim in of_address["claims"]}) > 1
            decides = f" (the list {of_address['list']} decides)" if several else ""
            yield f"announced with{decides}: {_attributes(of_address['attributes'])}"
        if of_address["told"] is not None and of_address["told"] != of_address["attributes"]:
            yield f"ExaBGP was last told: {_attributes(of_address['told'])}"
    claims = (of_address or found["name"])["claims"]
    for claim in claims:
        rule = f", rule {claim['rule']}" if claim["rule"] is not None else ""
        yield f"claim: {claim['name']} on {claim['address']} (list {claim['list']}{rule})"
        yield (
            f"  first seen {duration_text(claim['first_s_ago'])} ago, last {duration_text(claim['seen_s_ago'])} ago,"
            f" ends in {duration_text(claim['ends_in_s'])} unless it is seen again; {claim['state']}"
        )


def _of_view(view: Found) -> Iterator[str]:
    who = view_text(view)
    if view["attributes"] is not None:
        yield f"announced to {who} with (the list {view['list']} decides): {_attributes(view['attributes'])}"
    if view["told"] is not None and view["told"] != view["attributes"]:
        yield f"ExaBGP was last told for {who}: {_attributes(view['told'])}"


def _attributes(found: Found) -> str:
    parts = []
    for name, value in found.items():
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        parts.append(f"{name.replace('_', '-')} {text}")
    return ", ".join(sorted(parts, key=lambda part: not part.startswith("next-hop")))
