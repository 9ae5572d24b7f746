"""`dnstap-bgp save`: have the running plugin rewrite its state file."""

from pathlib import Path

import click

from dnstap_bgp.commands.control import steer
from dnstap_bgp.commands.options import config_option, json_option


@click.command("save")
@config_option
@json_option
def command(config_path: Path, *, as_json: bool) -> None:
    """Have the state file rewritten now, and wait until the disk has it.

    It is written all the time anyway; this leaves the smallest file, for a copy.
    """
    steer(config_path, "/v1/save", {}, as_json=as_json)
