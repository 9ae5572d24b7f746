"""Options that many commands share: `--config`, `--json`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from dnstap_bgp.core.lists.source import Force

CONFIG = Path("/etc/dnstap-bgp/dnstap-bgp.toml")
ALL_LISTS = "*"
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

force_option: Callable[[Command], Command] = click.option(
    "--force",
    "forced",
    is_flag=False,
    flag_value=ALL_LISTS,
    multiple=True,
    metavar="[LIST]",
    help="Take what is held back: of one list, or of all. May be given again.",
)
"""Lists to force, as `force_of` reads them."""

json_option: Callable[[Command], Command] = click.option("--json", "as_json", is_flag=True, help="JSON.")


def force_of(forced: tuple[str, ...]) -> Force:
    """Read the values of `--force`: none, the names of lists, or no name for all of them."""
    return True if ALL_LISTS in forced else frozenset(forced) or False
