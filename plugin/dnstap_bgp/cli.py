"""Program `dnstap-bgp`: its commands by name, each imported when somebody types it, and the exit status of errors.

A command is a module of `commands/`, whose `command` is its click definition. The table below has the one line of each
that `--help` shows, so that no module has to be imported for it; a test compares them.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final

import click

from dnstap_bgp import __version__
from dnstap_bgp.commands.printing import complain
from dnstap_bgp.errors import ConfigError, DnstapBgpError, UnreachableError

COMMANDS: Final = {
    "add": "Route an address by hand, until its TTL is over.",
    "check": "Say everything that is wrong with a configuration and its lists.",
    "demo": "Show the main job on this machine, in a few seconds, without root or any other daemon.",
    "diff": "Say what `dnstap-bgp reload` would add and withdraw now, without doing it.",
    "doctor": "Say what is wrong and what to change.",
    "dump": "Show what a state file (the configuration's `cache`) holds.",
    "exabgp": "Run ExaBGP with a configuration FILE of your own, and with our patches.",
    "exabgp-conf": "Print the ExaBGP configuration that `up` would use.",
    "forget": "Withdraw an address, or all addresses of a name, now.",
    "hold": "Hold answers for resolvers' hooks, or reply to everything at once.",
    "import": "Move over from the Go program of the same name.",
    "lists": "Show what each list has: its sources, their age, counts and state.",
    "log-level": "Have the running plugin log more or less, until the next reload.",
    "margin": "Measure how long a router takes until a route stands in its table.",
    "match": "Say which rule decides over each NAME.",
    "plugin": "Run as the process of an ExaBGP (ExaBGP runs this, not you).",
    "reload": "Have the running instance read its configuration and lists again.",
    "replay": "Play a capture (a Frame Streams FILE, as fstrm_capture writes it) into a DNSTap listener.",
    "resolver-conf": "Print what belongs into the resolver: tap, forwarding, names without IPv6, the DoH canary.",
    "routes": "List what is routed, and by which names.",
    "save": "Have the state file rewritten now, and wait until the disk has it.",
    "sniff": "Feed the tap from DNS answers on the wire, for resolvers without DNSTap.",
    "status": "Say how the running plugin is: is it working?",
    "up": "Run ExaBGP with the plugin, all from one configuration file.",
    "watch": "Show what is learnt, refreshed and withdrawn, as it happens, until Ctrl-C.",
    "why": "Say why an address or a name is routed, or why it isn't.",
}

_MODULES: Final = {"import": "import_original"}
"""Of the commands whose name is no module's."""


class Program(click.Group):
    """Group of all commands; an exception of ours becomes lines on stderr and exit status 1, or 2: unreachable."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's own signature
        """Name the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Import a command's module."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"dnstap_bgp.commands.{_MODULES.get(cmd_name, cmd_name.replace('-', '_'))}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """Write the commands with a line each, cut at the terminal's width as click does it."""
        limit = formatter.width - 6 - max(map(len, COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl([(name, _cut(text, limit)) for name, text in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        """Run the command."""
        try:
            return super().invoke(ctx)
        except DnstapBgpError as error:
            for line in _lines(error):
                complain(line)
            ctx.exit(2 if isinstance(error, UnreachableError) else 1)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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


def _lines(error: DnstapBgpError) -> Iterator[str]:
    """Give an error's text line by line; of a configuration each problem is one, whatever stands in the file."""
    if isinstance(error, ConfigError):
        yield from map(str, error.problems)
    else:
        yield from str(error).split("\n")


def _cut(text: str, limit: int) -> str:
    """Shorten a line to whole words."""
    if len(text) <= limit:
        return text
    return text[: limit - 3].rsplit(" ", 1)[0] + "..."
