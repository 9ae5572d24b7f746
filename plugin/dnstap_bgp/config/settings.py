"""The configuration as plain frozen values: all of this package that the plugin imports.

The tables in `tables`, `lists` and `model` say what each key means, its default and its limits; a class here has the
same fields, each with the value that the file gave or the default. They are validated in the process that reads the
file (pydantic takes 20 MB, as much as 60,000 routes, and a plugin reads its file once in weeks) and handed over.
"""

import os
import tempfile
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from dnstap_bgp.config import addresses
from dnstap_bgp.config.addresses import (
    HoldAddress,
    IPAddress,
    IPNetwork,
    ListenAddress,
    TcpAddress,
    UdpAddress,
    UnixAddress,
)
from dnstap_bgp.core.hold.margins import Margins
from dnstap_bgp.core.lists.source import Fetching, ListSource, UrlPrefixes
from dnstap_bgp.core.validation import unusable_next_hop

DEFAULT_PATH = Path("/etc/dnstap-bgp/dnstap-bgp.toml")

DEFAULT_LIST = "default"
"""The name of the list whose files are `domains`."""

DNS: Literal["dns"] = "dns"
"""In place of a duration: `ttl` follows the record's own."""

FALLBACK_NEXT_HOP_IPV6 = IPv6Address("fd00::1")
"""What `ipv6 = true` without any IPv6 next-hop has always meant to its writers."""

DNS_PORT = 53

PIDFILE = "dnstap-bgp.pid"
CONTROL_SOCKET = "control.sock"
HOLD_TOKEN = "hold.token"  # noqa: S105 - a file's name
HOLD_FILTER = "hold.filter"

RESTART_KEYS = ("runtime_dir", "pidfile", "cache", "process.user", "process.netns", "process.patches")
"""Keys that no reload can change: the files are open, and user and namespace are those of the process above."""


SYSTEM_RUNTIME_DIR = Path("/run/dnstap-bgp")
"""That of root and of the packages' service."""


def default_runtime_dir() -> Path:
    """Return the folder of runtime files: systemd's, else the system's or the user's own, else a private one."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]  # systemd lists several with colons
    if given:
        return Path(given)
    if os.geteuid() == 0:
        return SYSTEM_RUNTIME_DIR
    of_user = os.environ.get("XDG_RUNTIME_DIR")
    if of_user:
        return Path(of_user) / "dnstap-bgp"
    return Path(tempfile.gettempdir()) / f"dnstap-bgp-{os.geteuid()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DnstapConfig:
    """`[dnstap]`; the keys are told by `tables.DnstapTable`."""

    tls_cert: Path | None
    tls_key: Path | None
    tls_client_ca: Path | None
    listen: tuple[ListenAddress, ...]
    perm: int
    group: str | None
    messages: frozenset[int]
    allow: tuple[IPNetwork, ...]
    connections_max: int
    frame_max_bytes: int
    handshake_timeout_s: float
    identities: frozenset[str]
    rewritten: bool
    memo_bytes: int

    @property
    def speaks_tls(self) -> bool:
        """True where any endpoint speaks TLS."""
        return any(isinstance(found, TcpAddress) and found.tls for found in self.listen)

    @property
    def open_endpoints(self) -> tuple[TcpAddress, ...]:
        """TCP endpoints beyond loopback that anybody may connect to and feed."""
        if self.allow:
            return ()
        tcp = (found for found in self.listen if isinstance(found, TcpAddress) and not found.is_loopback)
        return tuple(found for found in tcp if not (found.tls and self.tls_client_ca))


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighborConfig:
    """A neighbor of `[bgp] peers`; the keys are told by `tables.NeighborTable`."""

    address: str
    port: int
    as_number: int | None
    password: str | None = field(repr=False)  # a value may end in a log
    password_file: Path | None
    ttl_security: int | None
    multihop: int | None
    passive: bool
    hold_time_s: int
    margin_s: float | None = None
    max_prefixes: int | None = None

    @property
    def ip(self) -> IPAddress | None:
        """The address, or None while it is a host name."""
        return addresses.literal(self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class BgpConfig:
    """`[bgp]`; the keys are told by `tables.BgpTable`."""

    as_number: int | None
    router_id: IPv4Address | None
    source_ip: IPAddress | None
    next_hop: IPv4Address | None
    next_hop_ipv6: IPv6Address | None
    communities: tuple[str, ...]
    large_communities: tuple[str, ...]
    local_preference: int | None
    med: int | None
    neighbors: tuple[NeighborConfig, ...]
    max_prefixes: tuple[tuple[str, int], ...] = ()

    @property
    def budgets(self) -> dict[str, int]:
        """The neighbors' budgets by address: of one that stands in both places, `[bgp] max_prefixes` counts."""
        of_neighbors = {one.address: one.max_prefixes for one in self.neighbors if one.max_prefixes is not None}
        return of_neighbors | dict(self.max_prefixes)

    @property
    def usable_next_hop(self) -> IPv4Address | None:
        """The next-hop of IPv4 routes: the first of three keys with an address that a router can forward to."""
        candidates = (self.next_hop, self.source_ip, self.router_id)
        return next((found for found in candidates if isinstance(found, IPv4Address) and _usable(found)), None)

    @property
    def usable_next_hop_ipv6(self) -> IPv6Address | None:
        """The next-hop of IPv6 routes: the first of two keys with an address that a router can forward to."""
        candidates = (self.next_hop_ipv6, self.source_ip)
        return next((found for found in candidates if isinstance(found, IPv6Address) and _usable(found)), None)

    @property
    def identifier(self) -> IPv4Address | None:
        """The BGP identifier: `router_id`, or else an IPv4 address that is named already."""
        candidates = (self.router_id, self.source_ip, self.next_hop)
        return next((found for found in candidates if isinstance(found, IPv4Address)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessConfig:
    """`[process]`; the keys are told by `tables.ProcessTable`."""

    user: str | None
    netns: str | None
    patches: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """`[log]`; the keys are told by `tables.LogTable`."""

    format: Literal["plain", "json"]
    level: Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlConfig:
    """`[control]`; the keys are told by `tables.ControlTable`."""

    group: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """`[http]`; the keys are told by `tables.HttpTable`."""

    listen: tuple[TcpAddress, ...]
    allow: tuple[IPNetwork, ...]
    hosts: tuple[str, ...]
    connections_max: int
    token: str | None = field(repr=False)
    token_file: Path | None
    tls_cert: Path | None
    tls_key: Path | None

    @property
    def open_endpoints(self) -> tuple[TcpAddress, ...]:
        """Endpoints beyond loopback that anybody may read from."""
        return () if self.allow else tuple(found for found in self.listen if not found.is_loopback)


@dataclass(frozen=True, slots=True)
class RedisConfig:
    """The fleet's engine, Redis or Valkey, as `[syncer]` names it.

    Attributes:
        url: `redis://`, `rediss://` (TLS) or `unix://`, with user, password and database as redis-py reads them. With
            sentinels its host doesn't count.
        sentinels: Host and port of the Sentinels that know the primary; empty: the URL is the primary.
        service: The name by which the Sentinels know the primary.
    """

    url: str
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = "mymaster"

    @property
    def host(self) -> str | None:
        """The engine's host; None: a unix socket."""
        parts = urlsplit(self.url)
        return None if parts.scheme == "unix" else parts.hostname

    @property
    def shown(self) -> str:
        """The URL for people: without user, password and options."""
        parts = urlsplit(self.url)
        if self.sentinels:
            return f"{parts.scheme}+sentinel://{self.service}"
        where = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{where}{parts.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncerConfig:
    """`[syncer]`; the keys are told by `tables.SyncerTable`."""

    listen: TcpAddress | None
    sync_interval_s: float
    peers: tuple[TcpAddress, ...]
    token: str | None = field(repr=False)
    token_file: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    tls_ca: Path | None
    insecure: bool
    compatible: bool
    redis: str | None = field(repr=False)
    redis_sentinels: tuple[TcpAddress, ...]
    redis_service: str

    @property
    def is_active(self) -> bool:
        """True where there is anything to listen to, to ask or to connect to."""
        return self.listen is not None or bool(self.peers) or self.redis is not None

    @property
    def redis_config(self) -> RedisConfig | None:
        """The fleet's engine, where there is one."""
        if self.redis is None:
            return None
        sentinels = tuple((str(found.host), found.port) for found in self.redis_sentinels)
        return RedisConfig(self.redis, sentinels, self.redis_service)

    @property
    def is_authenticated(self) -> bool:
        """True where members prove by a token or certificates that they are members."""
        return self.token is not None or self.tls_ca is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldConfig:
    """`[hold]`; the keys are told by `hold.HoldTable`."""

    tls_cert: Path | None
    tls_key: Path | None
    tls_client_ca: Path | None
    reply_folder: Path | None
    listen: tuple[HoldAddress, ...]
    perm: int
    group: str | None
    allow: tuple[IPNetwork, ...]
    connections_max: int
    token_file: Path | None
    margin_s: float
    margins: tuple[tuple[str, float], ...]
    give_up_s: float | None

    @property
    def takes_datagrams(self) -> bool:
        """True where any endpoint is a unix socket of datagrams."""
        return any(isinstance(found, UnixAddress) and found.kind == "dgram" for found in self.listen)

    @property
    def speaks_udp(self) -> bool:
        """True where any endpoint speaks UDP."""
        return any(isinstance(found, UdpAddress) for found in self.listen)

    @property
    def speaks_tls(self) -> bool:
        """True where any endpoint speaks TLS."""
        return any(isinstance(found, TcpAddress) for found in self.listen)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshConfig:
    """`[refresh]`; the keys are told by `refresh.RefreshTable`."""

    resolver: str = "127.0.0.1"
    max_names: int = 1_000
    queries_per_second: float = 20.0

    @property
    def resolver_ip(self) -> IPAddress:
        """The resolver's address."""
        found = addresses.literal(addresses.split_port(self.resolver)[0])
        assert found is not None
        return found

    @property
    def resolver_port(self) -> int:
        """The resolver's port."""
        return addresses.split_port(self.resolver)[1] or DNS_PORT


@dataclass(frozen=True, slots=True, kw_only=True)
class ListConfig:
    """One `[[list]]`; the keys are told by `lists.ListTable`. None: as `[bgp]` or the top of the file has it."""

    name: str
    enabled: bool
    managed: bool
    sources: tuple[str, ...]
    format: str
    path: str
    patterns: bool | None
    interval_s: float
    sha256: str | None
    max_bytes: int
    shrink_max: float | None
    growth_max: float | None
    prefixes_from_urls: bool | None
    prefix_min_ipv4: int
    prefix_min_ipv6: int
    prefix_share_max: float
    communities: tuple[str, ...] | None
    large_communities: tuple[str, ...] | None
    next_hop: IPv4Address | None
    next_hop_ipv6: IPv6Address | None
    local_preference: int | None
    med: int | None
    ttl: float | Literal["dns"] | None
    ttl_min_s: float | None
    ttl_max_s: float | None
    grace_s: float | None
    peers: tuple[str, ...]
    max_routes: int | None
    prefixes: tuple[IPNetwork, ...]
    allow: tuple[IPNetwork, ...]
    deny: tuple[IPNetwork, ...]
    forward_to: tuple[str, ...]
    refresh: bool = False

    @property
    def peer_hosts(self) -> tuple[str, ...]:
        """The addresses of `peers`, without their ports; host names until they are resolved."""
        return tuple(addresses.split_port(peer)[0] for peer in self.peers)

    def managed_source(self, cache: Path | None) -> ListSource:
        """Return the list with the file that a managed one has; none without a state file, which is an error.

        Args:
            cache: The state file, which that file is beside.
        """
        files = () if cache is None else (str(managed_file(cache, self.name)),)
        return replace(self.source, sources=files, format="plain", is_managed=True)

    @property
    def source(self) -> ListSource:
        """The list and its sources, as those who read lists take them."""
        return ListSource(
            name=self.name,
            sources=self.sources,
            format=self.format,
            fetching=Fetching(self.interval_s, self.sha256, self.max_bytes),
            shrink_max=self.shrink_max,
            growth_max=self.growth_max,
            prefixes=len(self.prefixes),
            url_prefixes=UrlPrefixes(
                self.prefixes_from_urls, self.prefix_min_ipv4, self.prefix_min_ipv6, self.prefix_share_max
            ),
            path=self.path,
            patterns=self.patterns,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardConfig:
    """`[guard]`; the keys are told by `lists.GuardTable`."""

    allow: tuple[IPNetwork, ...]
    deny: tuple[IPNetwork, ...]
    max_routes: int
    max_routes_per_name: int
    max_routes_per_rule: int | None
    max_claims: int | None
    max_new_routes_per_second: float | None
    when_full: Literal["evict", "refuse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole configuration file; the keys are told by `model.ConfigFile`.

    Attributes:
        path: The file itself, absolute.
        warnings: What is worth saying at each start, one sentence each.
        default_list: The list whose sources are `domains`, before all others; None: there is none.
        lists: The file's `[[list]]` tables, in order of precedence.
    """

    path: Path
    warnings: tuple[str, ...] = ()
    default_list: ListConfig | None
    domains: tuple[str, ...] | None
    lists: tuple[ListConfig, ...]
    cache: Path | None
    ttl: float | Literal["dns"]
    ttl_min_s: float
    ttl_max_s: float
    grace_s: float
    ipv6: bool | None
    dry_run: bool
    runtime_dir: Path
    pidfile: Path
    on_stop: Literal["keep", "withdraw"]
    dnstap: DnstapConfig
    guard: GuardConfig
    bgp: BgpConfig
    process: ProcessConfig
    log: LogConfig
    control: ControlConfig
    http: HttpConfig | None
    syncer: SyncerConfig | None
    hold: HoldConfig | None = None
    refresh: RefreshConfig = RefreshConfig()

    @property
    def refreshed_lists(self) -> frozenset[str]:
        """The lists whose names are asked again, also those that are switched off."""
        return frozenset(found.name for found in self.all_lists if found.refresh)

    @property
    def margins(self) -> Margins:
        """The neighbors' margins: of one that stands in both places, `[hold] margins` counts."""
        if self.hold is None:
            return Margins()
        of_neighbors = {one.address: one.margin_s for one in self.bgp.neighbors if one.margin_s is not None}
        return Margins(self.hold.margin_s, of_neighbors | dict(self.hold.margins), self.hold.give_up_s)

    @property
    def hold_token_file(self) -> Path:
        """The file with the token of questions over UDP."""
        given = self.hold.token_file if self.hold is not None else None
        return given or self.runtime_dir / HOLD_TOKEN

    @property
    def hold_filter_file(self) -> Path:
        """The file by which hooks know most names that are on no list."""
        return self.runtime_dir / HOLD_FILTER

    @property
    def next_hop(self) -> IPv4Address | None:
        """The next-hop of IPv4 routes, unless their list has its own; None: none is announced."""
        return self.bgp.usable_next_hop

    @property
    def next_hop_ipv6(self) -> IPv6Address | None:
        """The next-hop of IPv6 routes, unless their list has its own; None: none is announced."""
        if self.ipv6 is False:
            return None
        return self.bgp.usable_next_hop_ipv6 or (FALLBACK_NEXT_HOP_IPV6 if self.ipv6 else None)

    @property
    def control_socket(self) -> Path:
        """The path of the control socket: beside the plugin's pidfile."""
        return self.pidfile.parent / CONTROL_SOCKET

    @property
    def all_lists(self) -> tuple[ListConfig, ...]:
        """Every list in order of precedence, `default` among them."""
        return self.lists if self.default_list is None else (self.default_list, *self.lists)

    def list_sources(self) -> tuple[ListSource, ...]:
        """Give each list and its sources, in order of precedence."""
        return tuple(found.managed_source(self.cache) if found.managed else found.source for found in self.all_lists)

    def without(self, list_names: AbstractSet[str]) -> "Config":
        """Return this configuration without some lists, as when they are switched off."""
        if not list_names:
            return self
        default = None if self.default_list is None or self.default_list.name in list_names else self.default_list
        return replace(
            self, default_list=default, lists=tuple(found for found in self.lists if found.name not in list_names)
        )

    def restart_keys(self, other: "Config") -> list[str]:
        """Name the keys that differ and that no reload can change."""
        return [key for key in RESTART_KEYS if _get(self, key) != _get(other, key)]

    def keeping(self, running: "Config") -> "Config":
        """Return this configuration with the running one's values of the keys that no reload can change."""
        return replace(
            self,
            runtime_dir=running.runtime_dir,
            pidfile=running.pidfile,
            cache=running.cache,
            process=running.process,
        )


def managed_file(cache: Path, list_name: str) -> Path:
    """Give the file of a managed list.

    Args:
        cache: The state file, which it is beside.
        list_name: The list.
    """
    return cache.with_name(cache.name + ".managed") / list_name


def _usable(found: IPAddress) -> bool:
    return unusable_next_hop(found) is None


def _get(config: Config, key: str) -> object:
    """Read a key by its dotted path."""
    found: object = config
    for name in key.split("."):
        found = getattr(found, name)
    return found
