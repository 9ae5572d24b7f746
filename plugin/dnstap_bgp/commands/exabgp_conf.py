"""`dnstap-bgp exabgp-conf`: the ExaBGP configuration that `up` would use, for those who keep their own."""

from pathlib import Path

from dnstap_bgp import config as configuration
from dnstap_bgp.commands import up


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
