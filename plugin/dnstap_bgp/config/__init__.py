"""The configuration file: TOML in, frozen and validated models out.

`load` is the way in. Only this package knows pydantic; the others take the models as plain frozen values. The plugin
does without pydantic altogether: see `schema`.

    values, addresses, bgp_values   one function for each kind of value: text in, validated value out
    tables                          the tables with their keys, defaults and limits
    lists                           [[list]] and [guard], the same
    model                           the whole file, and what follows from its keys together
    engine                          [syncer] redis
    asked                           [[list]] and [bgp] -> what each list asks for
    speaker                         [bgp] -> the sessions of ExaBGP's configuration
    spelling                        `routerID` is `router_id`; an unknown key is told its nearest neighbor
    advice                          what is allowed and still worth a warning
    loading                         file -> Config, every problem at once
    schema                          what the tables are written in: pydantic, or nothing where files aren't read
    unruled                         that nothing

A new key is one field in `tables` or `model`; a new table is one class and one field.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dnstap_bgp.config.addresses import IPAddress, IPNetwork, ListenAddress, TcpAddress, UnixAddress
    from dnstap_bgp.config.lists import GuardConfig, ListConfig
    from dnstap_bgp.config.loading import DEFAULT_PATH, list_sources, load, parse
    from dnstap_bgp.config.model import RESTART_KEYS, Config, default_runtime_dir
    from dnstap_bgp.config.tables import BgpConfig, DnstapConfig, HttpConfig, Neighbor, ProcessConfig, SyncerConfig

__all__ = [
    "DEFAULT_PATH",
    "RESTART_KEYS",
    "BgpConfig",
    "Config",
    "DnstapConfig",
    "GuardConfig",
    "HttpConfig",
    "IPAddress",
    "IPNetwork",
    "ListConfig",
    "ListenAddress",
    "Neighbor",
    "ProcessConfig",
    "SyncerConfig",
    "TcpAddress",
    "UnixAddress",
    "default_runtime_dir",
    "list_sources",
    "load",
    "parse",
]

values_only = False
"""Whether this process uses values alone, which another one has read; to be set before anything of this is imported."""

_HOMES = {
    "IPAddress": "addresses",
    "IPNetwork": "addresses",
    "ListenAddress": "addresses",
    "TcpAddress": "addresses",
    "UnixAddress": "addresses",
    "GuardConfig": "lists",
    "ListConfig": "lists",
    "DEFAULT_PATH": "loading",
    "list_sources": "loading",
    "load": "loading",
    "parse": "loading",
    "RESTART_KEYS": "model",
    "Config": "model",
    "default_runtime_dir": "model",
    "BgpConfig": "tables",
    "DnstapConfig": "tables",
    "HttpConfig": "tables",
    "Neighbor": "tables",
    "ProcessConfig": "tables",
    "SyncerConfig": "tables",
}


def __getattr__(name: str) -> object:
    """Import what is asked for: not before `values_only` is set, and pydantic only where files are read."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
