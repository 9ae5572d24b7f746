"""`dnstap-bgp plugin`: become the plugin, in the form without a command line that ExaBGP starts as well."""

import os
from pathlib import Path

import click

from dnstap_bgp.commands import host
from dnstap_bgp.commands.options import config_option


@click.command("plugin")
@config_option
def command(config_path: Path) -> None:
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
    command = host.plugin_command(config_path)
    os.execv(command[0], command)  # noqa: S606 - ourselves, in the form that has no command line, see `__main__`
