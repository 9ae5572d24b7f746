"""Options that many commands have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

CONFIG = Path("/etc/dnstap-bgp/dnstap-bgp.toml")
FILE = click.Path(path_type=Path)
Command = TypeVar("Command", bound=Callable[..., Any])

config_option: Callable[[Command], Command] = click.option(
    "--config",
    "config_path",
    type=FILE,
    default=CONFIG,
    show_default=True,
    metavar="FILE",
    help="The configuration file (TOML).",
)

json_option: Callable[[Command], Command] = click.option("--json", "as_json", is_flag=True, help="JSON.")
