"""`dnstap-bgp forget`: withdraw an address, or all addresses of a name, by hand."""

import sys
from pathlib import Path

import click

from dnstap_bgp.commands.control import Control, json_line
from dnstap_bgp.commands.options import config_option, json_option
from dnstap_bgp.commands.printing import say
from dnstap_bgp.errors import CommandError


@click.command("forget")
@config_option
@json_option
@click.argument("target", metavar="ADDRESS|NAME")
def command(config_path: Path, target: str, *, as_json: bool) -> None:
    """Withdraw an address, or all addresses of a name, now.

    For an hour no peer brings it back; a new answer does. Exit status 1 where there was nothing to withdraw.

    To keep an address from ever being routed there is `deny` in [guard], for a name an exception (!name) in its list.

    \b
    Example:
        dnstap-bgp forget 203.0.113.7
    """  # noqa: D301 - click wants a real \b
    answer = Control(config_path).post("/v1/forget", {"target": target})
    if not answer["ended"] and not as_json:
        raise CommandError(answer["message"])
    say(json_line(answer) if as_json else answer["message"], as_is=as_json)
    if not answer["ended"]:
        sys.exit(1)
