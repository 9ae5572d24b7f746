"""The commands, thin: each reads its arguments, calls its function in `commands/`, and prints what comes back.

A command's modules are imported when it runs, so that `plugin` starts with nothing but what it needs and stdout, which
belongs to ExaBGP there, sees nothing else.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from dnstap_bgp import __version__
from dnstap_bgp.commands import asking
from dnstap_bgp.commands.options import CONFIG, FILE, config_option, json_option
from dnstap_bgp.errors import DnstapBgpError, UnreachableError


class Group(click.Group):
    """Turns what our functions raise on purpose into a line for a person and exit status 1; 2: nobody is there."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        """Run the command."""
        try:
            return super().invoke(ctx)
        except DnstapBgpError as error:
            click.echo(str(error), err=True)
            ctx.exit(2 if isinstance(error, UnreachableError) else 1)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="dnstap-bgp")
def main() -> None:
    """Announce what DNS answers as BGP routes.

    A resolver (unbound, BIND, knot-resolver, dnsdist) mirrors its answers as DNSTap. Where a name stands on a list of
    domains, its addresses are announced to your routers as /32 and /128 routes, as long as the name is in use.
    ExaBGP speaks BGP; this program is the process that it runs.

    \b
    See it work, without root or any other program:
        dnstap-bgp demo
    Check a configuration, and run it:
        dnstap-bgp check --config dnstap-bgp.toml
        dnstap-bgp up --config dnstap-bgp.toml
    """  # noqa: D301 - click wants a real \b


@main.command()
@config_option
def up(config_path: Path) -> None:
    """Run ExaBGP with the plugin, all from one configuration file.

    Writes ExaBGP's configuration from the section [bgp], starts ExaBGP with it, and stays in the foreground until
    ExaBGP ends. It needs no root, unless [process] names another user or a network namespace, or a peer is `passive`
    (to listen on port 179).

    HUP (or `dnstap-bgp reload`) reads the file and its lists again without losing a session that did not change;
    USR1 logs the counts; TERM or Ctrl-C ends everything in order.

    Settings of ExaBGP's own log pass through the environment: exabgp_log_level=INFO dnstap-bgp up

    \b
    Examples:
        dnstap-bgp up
        dnstap-bgp up --config ./dnstap-bgp.toml
    """  # noqa: D301 - click wants a real \b
    from dnstap_bgp.commands import up as command  # noqa: PLC0415

    _log_to_stderr()
    sys.exit(command.run(config_path))


@main.command()
@config_option
def plugin(config_path: Path) -> None:
    """Run as the process of an ExaBGP (ExaBGP runs this, not you).

    Commands for ExaBGP go to stdout, its answers and events come on stdin, messages go to stderr. In your own
    exabgp.conf (`dnstap-bgp exabgp-conf` prints a whole one):

    \b
        process dnstap {
            run /usr/bin/dnstap-bgp plugin --config /etc/dnstap-bgp/dnstap-bgp.toml;
            encoder json;
        }

    A configuration that can't be used does not end it: it says what is wrong and waits for HUP.
    """  # noqa: D301 - click wants a real \b
    from dnstap_bgp.commands import host  # noqa: PLC0415

    command = host.plugin_command(config_path)
    os.execv(command[0], command)  # noqa: S606 - ourselves, in the form that has no command line, see `__main__`


@main.command("exabgp-conf")
@config_option
def exabgp_conf(config_path: Path) -> None:
    """Print the ExaBGP configuration that `up` would use.

    For those who run ExaBGP themselves. It holds the neighbors' passwords.

    \b
    Example:
        dnstap-bgp exabgp-conf --config dnstap-bgp.toml > /etc/exabgp/exabgp.conf
    """  # noqa: D301 - click wants a real \b
    from dnstap_bgp.commands import exabgp_conf as command  # noqa: PLC0415

    click.echo(command.run(config_path), nl=False)


@main.command("import")
@click.argument("old", required=False, type=FILE)
@click.option("--to", type=FILE, help="Our configuration file. [default: /etc/dnstap-bgp/dnstap-bgp.toml]")
@click.option("--cache", type=FILE, help="Our state file. [default: /var/lib/dnstap-bgp/state.msgpack]")
@click.option("--defaults", type=FILE, help="The old unit's environment file. [default: /etc/default/dnstap-bgp]")
@click.option("--drop-in", type=FILE, help="[default: /etc/systemd/system/dnstap-bgp.service.d/import.conf]")
@click.option("--fetch", metavar="HOST:PORT", help="Where the old program syncs. [default: as its file says]")
@click.option("--routes/--no-routes", default=True, help="Whether to take over what the old program has learnt.")
@click.option("--dry-run", is_flag=True, help="Only show what would be written.")
@click.option("--force", is_flag=True, help="Replace files that are there already.")
def import_(
    *,
    old: Path | None,
    to: Path | None,
    cache: Path | None,
    defaults: Path | None,
    drop_in: Path | None,
    fetch: str | None,
    routes: bool,
    dry_run: bool,
    force: bool,
) -> None:
    """Move over from the Go program of the same name.

    Reads its configuration file OLD (default: the one that its systemd unit uses), says what carries over and what
    means something else now, and writes our configuration, and a drop-in for our unit where the old one ran in a
    network namespace. If the old program runs and has a [syncer], what it has learnt goes to our state file, so that
    our first start announces all of it. The old files are left alone.

    \b
    Examples:
        dnstap-bgp import --dry-run
        dnstap-bgp import && systemctl daemon-reload && systemctl restart dnstap-bgp
    """  # noqa: D301 - click wants a real \b
    from dnstap_bgp.commands import import_original as command  # noqa: PLC0415

    request = command.Request(
        old=old,
        to=to or CONFIG,
        cache=cache or command.STATE_FILE,
        defaults=defaults or command.OLD_DEFAULTS,
        drop_in=drop_in or command.DROP_IN,
        fetch=fetch,
        routes=routes,
        dry_run=dry_run,
        force=force,
    )
    sys.exit(command.run(request))


@main.command()
@config_option
@json_option
@click.option("--force", is_flag=True, help="What `reload --force` would do: also with what is held back.")
def diff(config_path: Path, *, as_json: bool, force: bool) -> None:
    """Say what `dnstap-bgp reload` would add and withdraw now, without doing it.

    For each list the rules and the routes that would come (+), go (-) or get other attributes (~), with examples. The
    running plugin works it out from its table, so it has to run; nothing in it changes.

    \b
    Example:
        dnstap-bgp diff && dnstap-bgp reload
    """  # noqa: D301 - click wants a real \b
    from dnstap_bgp.commands import diff as command  # noqa: PLC0415

    _print_outcome(command.run(config_path, force=force), as_json=as_json)


@main.command()
@config_option
@json_option
@click.option("--force", is_flag=True, help="Take a list that has lost more than half of its rules, too.")
def reload(config_path: Path, *, as_json: bool, force: bool) -> None:
    """Have the running instance read its configuration and lists again.

    What a list no longer covers is withdrawn; what it newly covers comes with the next answer for it. A broken file
    changes nothing: it is reported, and the old one stays. Exit status 1 where the reload failed, 2 where nothing runs
    or answers.

    A list that lost more than half of 1,000 rules or more looks half-written and is refused, unless you say --force.

    \b
    Examples:
        dnstap-bgp reload
        dnstap-bgp reload --force --config ./dnstap-bgp.toml
    """  # noqa: D301 - click wants a real \b
    from dnstap_bgp.commands import reload as command  # noqa: PLC0415

    _print_outcome(command.run(config_path, force=force), as_json=as_json)


@main.command()
@config_option
@click.option("--verbose", "-v", is_flag=True, help="Tell every line of a list that gives no rule.")
def check(config_path: Path, *, verbose: bool) -> None:
    """Say everything that is wrong with a configuration and its lists.

    Every error at once, each with its file and its key or line, then warnings. Exit status 1 where there is an error.

    What a list has and rules on names can't say (keywords, regular expressions, cosmetic filters, filters with options)
    is no error: it is counted, and told line by line with -v. Nothing is fetched: of URLs the last copies count.

    \b
    Examples:
        dnstap-bgp check --config ./dnstap-bgp.toml
        dnstap-bgp check -v | grep regular
    """  # noqa: D301 - click wants a real \b
    from dnstap_bgp.commands import check as command  # noqa: PLC0415

    report = command.run(config_path, verbose=verbose)
    for line in report.lines():
        click.echo(line)
    sys.exit(report.exit_status)


@main.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def doctor(config_path: Path, *, as_json: bool) -> None:
    """Say what is wrong and what to change.

    Looks at the configuration and its lists, at folders, the resolvers' way to the DNSTap socket and ExaBGP, and asks
    the running plugin, if there is one, what is wrong with what arrives: senders that speak something else, answers
    without the DNS message in them, neighbors that are down, and so on. Changes nothing. Exit status 1 where anything
    is worse than a note.

    \b
    Examples:
        dnstap-bgp doctor
        sudo dnstap-bgp doctor --config ./dnstap-bgp.toml
    """  # noqa: D301 - click wants a real \b
    from dnstap_bgp.commands import doctor as command  # noqa: PLC0415

    report = command.run(config_path)
    for line in [json.dumps(report.to_json())] if as_json else report.lines():
        click.echo(line)
    sys.exit(report.exit_status)


@main.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def lists(config_path: Path, *, as_json: bool) -> None:
    """Show what each list has: its sources, their age, counts and state.

    Of the running plugin, with what is in force there; where none runs, of the files and copies as they are now.

    \b
    The states of a source:
        ok       all is well
        pending  the URL was never fetched yet
        stale    the last look at the URL failed: the last copy is used
        held     the URL has a new version, which looks wrong; `dnstap-bgp reload --force` takes it
        error    it can't be used

    \b
    Examples:
        dnstap-bgp lists
        dnstap-bgp lists --json | jq '.lists[].sources[] | select(.state != "ok")'
    """  # noqa: D301 - click wants a real \b
    from dnstap_bgp.commands import lists as command  # noqa: PLC0415

    found = command.read(config_path)
    for line in command.json_lines(found) if as_json else command.table(found):
        click.echo(line)


@main.command()
@config_option
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def match(config_path: Path, names: tuple[str, ...]) -> None:
    """Say which rule decides over each NAME.

    Reads the lists as they are now, which may be newer than what a running plugin has in force.

    \b
    Examples:
        dnstap-bgp match www.example.com
        dnstap-bgp match bücher.example cdn.example.net --config ./dnstap-bgp.toml
    """  # noqa: D301 - click wants a real \b
    from dnstap_bgp.commands import match as command  # noqa: PLC0415

    for answer in command.run(config_path, names):
        for line in answer.lines():
            click.echo(line)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    help="A table, or one JSON object a line.  [default: table on a terminal, else json]",
)
def dump(file: Path, form: str | None) -> None:
    """Show what a state file (the configuration's `cache`) holds.

    For each prefix: the names that hold it, until when, and what ExaBGP was told. The file is only read, also while a
    plugin runs with it; a damaged one is shown as far as it can be read, with exit status 1.

    \b
    Examples:
        dnstap-bgp dump /var/lib/dnstap-bgp/state.msgpack
        dnstap-bgp dump --format json state.msgpack | jq .prefix
    """  # noqa: D301 - click wants a real \b
    from dnstap_bgp.commands import dump as command  # noqa: PLC0415

    found = command.read(file)
    as_table = form == "table" or (form is None and sys.stdout.isatty())
    for line in command.table(found) if as_table else command.json_lines(found):
        click.echo(line)
    for line in command.summary(found):
        click.echo(line, err=True)
    sys.exit(1 if found.damaged else 0)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--to", required=True, metavar="SOCKET|HOST:PORT", help="The listener: a unix socket's path, or host:port."
)
@click.option("--rate", type=float, metavar="N", help="Frames a second.  [default: as fast as they are taken]")
@click.option("--loop", is_flag=True, help="From the start again and again, until Ctrl-C.")
def replay(file: Path, to: str, rate: float | None, *, loop: bool) -> None:
    """Play a capture (a Frame Streams FILE, as fstrm_capture writes it) into a DNSTap listener.

    \b
    Examples:
        fstrm_capture -t protobuf:dnstap.Dnstap -u /run/tap.sock -w capture.fstrm
        dnstap-bgp replay capture.fstrm --to /run/dnstap-bgp/dnstap.sock
        dnstap-bgp replay capture.fstrm --to 192.0.2.1:6000 --rate 100 --loop
    """  # noqa: D301 - click wants a real \b
    from dnstap_bgp.commands import replay as command  # noqa: PLC0415

    click.echo(command.run(file, to, rate=rate, loop=loop))


@main.command()
def demo() -> None:
    """Show the main job on this machine, in a few seconds, without root or any other daemon.

    Two ExaBGP run on the loopback: one with the plugin, one as the router. A capture that a real unbound made is
    played into the plugin, and the routes are shown as they arrive at the router. Nothing is left behind.
    """
    from dnstap_bgp.commands import demo as command  # noqa: PLC0415

    sys.exit(command.run())


asking.add_to(main)


def _print_outcome(messages: list[str], *, as_json: bool) -> None:
    click.echo(json.dumps({"messages": messages}) if as_json else "\n".join(messages))


def _log_to_stderr() -> None:
    from dnstap_bgp.workers.process import logs  # noqa: PLC0415

    logs.begin("dnstap-bgp up")
