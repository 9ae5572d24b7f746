"""Entry of `python -m dnstap_bgp`: the plugin and nothing else as ExaBGP starts it, else the command `dnstap-bgp`.

The plugin stays for months, and needs no command line: without click and the commands it is 1 to 2 MB smaller.
"""

import sys
from pathlib import Path


def main() -> None:
    """Be the plugin, or do what a person has typed."""
    match sys.argv[1:]:
        case ["plugin", "--config", config_path]:
            from dnstap_bgp import plugin  # noqa: PLC0415 - a command doesn't need it

            plugin.run(Path(config_path))
        case _:
            from dnstap_bgp import cli  # noqa: PLC0415 - click, only where somebody types

            cli.main()


if __name__ == "__main__":
    main()
