"""`dnstap-bgp log-level`: have the running plugin log more or less."""

from pathlib import Path

import click

from dnstap_bgp.commands.control import steer
from dnstap_bgp.commands.options import config_option, json_option


@click.command("log-level")
@config_option
@json_option
@click.argument("level", type=click.Choice(["debug", "info", "warning", "error"]))
def command(config_path: Path, level: str, *, as_json: bool) -> None:
    """Have the running plugin log more or less, until the next reload."""
    steer(config_path, "/v1/log-level", {"level": level}, as_json=as_json)
