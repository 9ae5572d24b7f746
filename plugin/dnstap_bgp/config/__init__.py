"""The configuration file: TOML in, frozen and validated models out.

`load` is the way in. Only this package knows pydantic; the others take the models as plain frozen values.

    values, addresses, bgp_values   one function for each kind of value: text in, validated value out
    tables                          the tables with their keys, defaults and limits
    lists                           [[list]] and [guard], the same
    model                           the whole file, and what follows from its keys together
    asked                           [[list]] and [bgp] -> what each list asks for
    speaker                         [bgp] -> the sessions of ExaBGP's configuration
    spelling                        `routerID` is `router_id`; an unknown key is told its nearest neighbor
    advice                          what is allowed and still worth a warning
    loading                         file -> Config, every problem at once

A new key is one field in `tables` or `model`; a new table is one class and one field.
"""

from dnstap_bgp.config.addresses import IPAddress, IPNetwork, ListenAddress, TcpAddress, UnixAddress
from dnstap_bgp.config.lists import GuardConfig, ListConfig
from dnstap_bgp.config.loading import DEFAULT_PATH, list_sources, load, parse
from dnstap_bgp.config.model import RESTART_KEYS, Config, default_runtime_dir
from dnstap_bgp.config.tables import BgpConfig, DnstapConfig, Neighbor, ProcessConfig, SyncerConfig

__all__ = [
    "DEFAULT_PATH",
    "RESTART_KEYS",
    "BgpConfig",
    "Config",
    "DnstapConfig",
    "GuardConfig",
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
