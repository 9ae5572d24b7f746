"""`dnstap-bgp exabgp-conf`: print the ExaBGP configuration that `up` would use, for those who keep their own."""

from pathlib import Path

import click

from dnstap_bgp import config as configuration
from dnstap_bgp.commands import up
from dnstap_bgp.commands.options import config_option
from dnstap_bgp.commands.printing import say


@click.command("exabgp-conf")
@config_option
def command(config_path: Path) -> None:
    """Print the ExaBGP configuration that `up` would use.

    For those who run ExaBGP themselves. It holds the neighbors' passwords.

    \b
    Example:
        dnstap-bgp exabgp-conf --config dnstap-bgp.toml > /etc/exabgp/exabgp.conf
    """  # noqa: D301 - click wants a real \b
    for line in run(config_path).splitlines():
        say(line, as_is=True)


def run(path: Path) -> str:
    """Render ExaBGP's configuration.

    Args:
        path: The configuration file.

    Returns:
        The text, passwords included.

    Raises:
        ConfigError: The file can't be used, or describes no session.
    """
    return up.render(configuration.load(path), path)
