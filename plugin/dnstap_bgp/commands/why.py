"""`dnstap-bgp why`: why an address or a name is routed, or isn't."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dnstap_bgp.commands.control import Control, json_line
from dnstap_bgp.core.status.why import duration_text

Found = dict[str, Any]
"""/v1/why/..., as it is."""


def read(path: Path, target: str) -> Found:
    """Ask the running plugin.

    Raises:
        ConfigError: The file can't be used.
        CommandError: The plugin can't be reached, or the target is neither address nor name.
    """
    found: Found = Control(path).get(f"/v1/why/{quote(target, safe='')}")
    return found


def json_lines(found: Found) -> Iterator[str]:
    """As JSON, one object."""
    yield json_line(found)


def lines(found: Found) -> Iterator[str]:
    """As a person reads it."""
    yield f"{found['target']} is {'routed' if found['routed'] else 'not routed'}"
    for reason in found["reasons"]:
        yield f"  {reason}"
    of_address = found["address"]
    if of_address is not None:
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


def _attributes(found: Found) -> str:
    parts = []
    for name, value in found.items():
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        parts.append(f"{name.replace('_', '-')} {text}")
    return ", ".join(sorted(parts, key=lambda part: not part.startswith("next-hop")))
