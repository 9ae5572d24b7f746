"""The configuration file: TOML in, plain frozen values out.

`load` is the way in; it imports pydantic, which only the modules above the line below know. The plugin has a child read
the file (`workers.process.config_reader`) and imports what is below the line alone.

    values, addresses, bgp_values   one function for each kind of value: text in, validated value out
    tables                          the tables with their keys, defaults and limits
    lists                           [[list]] and [guard], the same
    hold                            [hold], the same
    refresh                         [refresh], the same
    model                           the whole file
    spelling                        `routerID` is `router_id`; an unknown key is told its nearest neighbor
    loading                         file -> Config, every problem at once
    reference                       dnstap-bgp.toml(5), made from the models
    ----
    settings                        the same values as plain frozen dataclasses: `Config` and its parts
    policies                        what each list asks of its routes, the guard, the caps
    exabgp_sessions                 [bgp] -> the sessions of ExaBGP's configuration
    advice                          what is allowed and still worth a warning

A new key is a field in `tables`, `lists`, `hold`, `refresh` or `model`, with its text in the docstring there, and a
field of the same name in `settings`; a new table is a class in each.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from dnstap_bgp.config.addresses import (
    HoldAddress,
    IPAddress,
    IPNetwork,
    ListenAddress,
    TcpAddress,
    UdpAddress,
    UnixAddress,
)
from dnstap_bgp.config.settings import (
    DEFAULT_PATH,
    RESTART_KEYS,
    BgpConfig,
    Config,
    DnstapConfig,
    GuardConfig,
    HoldConfig,
    HttpConfig,
    ListConfig,
    NeighborConfig,
    ProcessConfig,
    RedisConfig,
    RefreshConfig,
    SyncerConfig,
    default_runtime_dir,
)

if TYPE_CHECKING:
    from dnstap_bgp.config.loading import control_socket, list_sources, load, parse

__all__ = [
    "DEFAULT_PATH",
    "RESTART_KEYS",
    "BgpConfig",
    "Config",
    "DnstapConfig",
    "GuardConfig",
    "HoldAddress",
    "HoldConfig",
    "HttpConfig",
    "IPAddress",
    "IPNetwork",
    "ListConfig",
    "ListenAddress",
    "NeighborConfig",
    "ProcessConfig",
    "RedisConfig",
    "RefreshConfig",
    "SyncerConfig",
    "TcpAddress",
    "UdpAddress",
    "UnixAddress",
    "control_socket",
    "default_runtime_dir",
    "list_sources",
    "load",
    "parse",
]

_OF_LOADING = ("control_socket", "list_sources", "load", "parse")


def __getattr__(name: str) -> object:
    """Import what reads files, and pydantic with it, only where it is asked for."""
    if name not in _OF_LOADING:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.loading"), name)
