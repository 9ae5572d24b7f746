"""`dnstap-bgp hold`: hold answers for hooks, or reply to everything at once."""

from pathlib import Path

import click

from dnstap_bgp.commands.control import steer
from dnstap_bgp.commands.options import config_option, json_option


@click.command("hold")
@config_option
@json_option
@click.argument("what", type=click.Choice(["on", "off"]), metavar="on|off")
def command(config_path: Path, what: str, *, as_json: bool) -> None:
    """Hold answers for resolvers' hooks, or reply to everything at once.

    `off` takes every wait out of the resolvers' way without touching them: their hooks still tell what they see, which
    becomes routes as ever, and get their replies at once. So it stays until `on`, or a restart of the plugin.

    \b
    Examples:
        dnstap-bgp hold off
        dnstap-bgp hold on
    """  # noqa: D301 - click wants a real \b
    steer(config_path, "/v1/hold", {"on": what == "on"}, as_json=as_json)
