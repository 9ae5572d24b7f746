"""`dnstap-bgp add`: route an address by hand, until its TTL is over."""

from pathlib import Path

import click

from dnstap_bgp.commands.control import steer
from dnstap_bgp.commands.options import config_option, json_option
from dnstap_bgp.core.timing import parse_duration


@click.command("add")
@config_option
@json_option
@click.argument("address", metavar="ADDRESS")
@click.option("--list", "list_name", required=True, metavar="LIST", help="With this list's attributes.")
@click.option("--ttl", metavar="TTL", help="For so long: 90s, 1h30m, 24h.  [default: the list's]")
def command(config_path: Path, address: str, list_name: str, ttl: str | None, *, as_json: bool) -> None:
    """Route an address by hand, until its TTL is over.

    It is one more claim on the address, under the name `by hand`. It survives reloads and restarts, as far as its list
    and the guard do; peers don't get it. `dnstap-bgp forget ADDRESS` ends it.

    \b
    Example:
        dnstap-bgp add 203.0.113.7 --list default --ttl 2h
    """  # noqa: D301 - click wants a real \b
    body: dict[str, object] = {"address": address, "list": list_name}
    if ttl is not None:
        try:
            body["ttl_s"] = parse_duration(ttl)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--ttl") from error
    steer(config_path, "/v1/add", body, as_json=as_json)
