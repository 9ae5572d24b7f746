"""The commands that ask the running plugin, or steer it, as a person types them; thin, as those in `cli`.

Exit status: 0 answered, 1 refused (and `status --check`: something is wrong), 2 the plugin can't be reached.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from dnstap_bgp.commands.options import config_option, json_option


def add_to(main: click.Group) -> None:
    """Give the program these commands."""
    for command in (status, routes, why, watch, forget, add, save, log_level):
        main.add_command(command)


@click.command()
@config_option
@json_option
@click.option("--check", is_flag=True, help="Exit with 1 when something is wrong, for monitoring.")
def status(config_path: Path, *, as_json: bool, check: bool) -> None:
    """Say how the running plugin is: is it working?

    What comes in, what is routed, who gets it, and below that everything that is wrong, with what to change.

    \b
    Exit status:
        0    answered (with --check: and all is well)
        1    with --check: something is wrong; the last lines say what
        2    the plugin can't be reached

    \b
    Examples:
        dnstap-bgp status
        dnstap-bgp status --check >/dev/null || echo trouble
        dnstap-bgp status --json | jq .routes
    """  # noqa: D301 - click wants a real \b
    from dnstap_bgp.commands import status as command  # noqa: PLC0415

    found = command.read(config_path)
    _print(command.json_lines(found) if as_json else command.lines(found))
    sys.exit(1 if check and command.is_wrong(found) else 0)


@click.command()
@config_option
@json_option
@click.option("--list", "list_name", metavar="LIST", help="Only those that this list claims.")
@click.option("--name", metavar="NAME", help="Only those of this name and of names below it.")
@click.option("--prefix", metavar="PREFIX", help="Only those within this prefix.")
def routes(config_path: Path, *, as_json: bool, list_name: str | None, name: str | None, prefix: str | None) -> None:
    """List what is routed, and by which names.

    \b
    The states:
        announced    ExaBGP has acknowledged it
        unanswered   ExaBGP was told, and has not answered yet
        waiting      it is still to be told
        refused      ExaBGP refuses it, or none of its neighbors is to get it
        covered      a static prefix says it already
        unrouted     its list has no next-hop of that family

    With --json one object a line.

    \b
    Examples:
        dnstap-bgp routes
        dnstap-bgp routes --name example.com
        dnstap-bgp routes --prefix 198.51.100.0/24 --json | jq -r .prefix
    """  # noqa: D301 - click wants a real \b
    from dnstap_bgp.commands import routes as command  # noqa: PLC0415

    found = command.read(config_path, {"list": list_name, "name": name, "prefix": prefix})
    _print(command.json_lines(found) if as_json else command.table(found))


@click.command()
@config_option
@json_option
@click.argument("target", metavar="ADDRESS|NAME")
def why(config_path: Path, target: str, *, as_json: bool) -> None:
    """Say why an address or a name is routed, or why it isn't.

    Every name that holds the address, with its list and rule, when it was first and last seen and until when it stays,
    what it is announced with, and whether ExaBGP has acknowledged it. Of what is not routed: no rule, an exception, the
    guard, a cap, when it expired, or that it was never seen.

    \b
    Examples:
        dnstap-bgp why 203.0.113.7
        dnstap-bgp why www.example.com
    """  # noqa: D301 - click wants a real \b
    from dnstap_bgp.commands import why as command  # noqa: PLC0415

    found = command.read(config_path, target)
    _print(command.json_lines(found) if as_json else command.lines(found))


@click.command()
@config_option
@json_option
def watch(config_path: Path, *, as_json: bool) -> None:
    """Show what is learnt, refreshed and withdrawn, as it happens, until Ctrl-C.

    A refresh is shown when it moved the deadline by a twentieth of the TTL. With --json one object a line.

    \b
    Example:
        dnstap-bgp watch --json | jq -r 'select(.event == "learnt") | .name'
    """  # noqa: D301 - click wants a real \b
    from dnstap_bgp.commands import watch as command  # noqa: PLC0415

    command.run(config_path, click.echo, as_json=as_json)


@click.command()
@config_option
@json_option
@click.argument("target", metavar="ADDRESS|NAME")
def forget(config_path: Path, target: str, *, as_json: bool) -> None:
    """Withdraw an address, or all addresses of a name, now.

    For an hour no peer brings it back; a new answer does. To keep an address from ever being routed there is `deny` in
    [guard], for a name an exception (!name) in its list.

    \b
    Example:
        dnstap-bgp forget 203.0.113.7
    """  # noqa: D301 - click wants a real \b
    _steer(config_path, "/v1/forget", {"target": target}, as_json=as_json)


@click.command()
@config_option
@json_option
@click.argument("address", metavar="ADDRESS")
@click.option("--list", "list_name", required=True, metavar="LIST", help="With this list's attributes.")
@click.option("--ttl", metavar="TTL", help="For so long: 90s, 1h30m, 24h.  [default: the list's]")
def add(config_path: Path, address: str, list_name: str, ttl: str | None, *, as_json: bool) -> None:
    """Route an address by hand, until its TTL is over.

    It is one more claim on the address, under the name `by hand`. It survives reloads and restarts, as far as its list
    and the guard do; peers don't get it. `dnstap-bgp forget ADDRESS` ends it.

    \b
    Example:
        dnstap-bgp add 203.0.113.7 --list default --ttl 2h
    """  # noqa: D301 - click wants a real \b
    from dnstap_bgp.core.durations import parse_duration  # noqa: PLC0415

    body: dict[str, object] = {"address": address, "list": list_name}
    if ttl is not None:
        try:
            body["ttl_s"] = parse_duration(ttl)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--ttl") from error
    _steer(config_path, "/v1/add", body, as_json=as_json)


@click.command()
@config_option
@json_option
def save(config_path: Path, *, as_json: bool) -> None:
    """Have the state file rewritten now, and wait until the disk has it.

    It is written all the time anyway; this leaves the smallest file, for a copy.
    """
    _steer(config_path, "/v1/save", {}, as_json=as_json)


@click.command("log-level")
@config_option
@json_option
@click.argument("level", type=click.Choice(["debug", "info", "warning", "error"]))
def log_level(config_path: Path, level: str, *, as_json: bool) -> None:
    """Have the running plugin log more or less, until the next reload."""
    _steer(config_path, "/v1/log-level", {"level": level}, as_json=as_json)


def _steer(config_path: Path, path: str, body: dict[str, object], *, as_json: bool) -> None:
    from dnstap_bgp.commands import control  # noqa: PLC0415

    answer = control.Control(config_path).post(path, body)
    click.echo(control.json_line(answer) if as_json else answer["message"])


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        click.echo(line)
