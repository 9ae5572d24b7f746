"""The whole file as one frozen model, and what follows from its keys together."""

import os
import tempfile
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Literal

from dnstap_bgp.config import asked, speaker, values
from dnstap_bgp.config.addresses import IPAddress, TcpAddress
from dnstap_bgp.config.lists import GuardConfig, ListConfig, Sources, Ttl
from dnstap_bgp.config.schema import Field, ValidationInfo, field_validator
from dnstap_bgp.config.tables import (
    DEFAULT_LIST,
    BgpConfig,
    ControlConfig,
    DnstapConfig,
    FilePath,
    Flag,
    HttpConfig,
    LogConfig,
    ProcessConfig,
    Seconds,
    Some,
    SyncerConfig,
    Table,
)
from dnstap_bgp.core.exabgp.conf import Speaker
from dnstap_bgp.core.lists.source import Fetching, ListSource
from dnstap_bgp.core.model import Address, Policy, Prefix
from dnstap_bgp.core.routes.guard import Space
from dnstap_bgp.core.routes.policies import ROUTES_MAX, Caps
from dnstap_bgp.errors import ConfigError, Problem

FALLBACK_NEXT_HOP_IPV6 = IPv6Address("fd00::1")
"""What `ipv6 = true` without any IPv6 next-hop has always meant to its writers."""

LISTS_MAX = 64
"""Each takes bits in every row of the rules; people have a handful."""

PIDFILE = "dnstap-bgp.pid"
CONTROL_SOCKET = "control.sock"

RESTART_KEYS = ("runtime_dir", "pidfile", "cache", "process.user", "process.netns")
"""Keys that no reload can change: the files are open, and user and namespace are those of the process above."""


def default_runtime_dir() -> Path:
    """Where runtime files go: what systemd gives, else the system's or the user's own place, else a private folder."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]  # systemd lists several with colons
    if given:
        return Path(given)
    if os.geteuid() == 0:
        return Path("/run/dnstap-bgp")
    of_user = os.environ.get("XDG_RUNTIME_DIR")
    if of_user:
        return Path(of_user) / "dnstap-bgp"
    return Path(tempfile.gettempdir()) / f"dnstap-bgp-{os.geteuid()}"


class Config(Table):
    """A whole configuration file.

    Attributes:
        domains: The sources of the list `default`, which comes before all others; empty: there is no such list.
        lists: The others, in order of precedence.
        cache: The state file; None: what is learnt dies with the process.
        ttl: How long an address stays routed after it was last seen, in seconds. A day: people come back to a site
            daily, and the tap is too late for the first connection after a lookup. Under 1 s nothing would ever be
            routed. `dns`: as long as the record's own TTL says, within the three that follow.
        ttl_min_s: A shorter TTL counts as this: addresses that rotate every few seconds would only flap.
        ttl_max_s: A longer one counts as this: what resolvers themselves keep a record for at most.
        grace_s: Added to each: programs and their connections hold on to an address longer than the record says.
        ipv6: Whether IPv6 routes are announced; None: where an IPv6 next-hop is configured.
        dry_run: Do everything but tell ExaBGP.
        runtime_dir: Where the pidfile, ExaBGP's configuration and its FIFOs live.
        pidfile: The plugin's own.
        on_stop: Whether routers keep our routes while ExaBGP restarts (graceful restart) or drop them at once.
        path: The file itself, absolute.
        warnings: What is worth saying at each start, one sentence each.
    """

    domains: Annotated[Sources, Some] | None = None
    lists: tuple[ListConfig, ...] = Field(default=(), alias="list", max_length=LISTS_MAX)
    cache: FilePath | None = None
    ttl: Ttl = 86400.0
    ttl_min_s: Annotated[Seconds, Field(ge=1)] = Field(default=60.0, alias="ttl_min")
    ttl_max_s: Annotated[Seconds, Field(ge=1)] = Field(default=86400.0, alias="ttl_max")
    grace_s: Seconds = Field(default=300.0, alias="grace")
    ipv6: Flag | None = None
    dry_run: Flag = False
    runtime_dir: FilePath = Field(default_factory=default_runtime_dir)
    pidfile: FilePath = Field(default_factory=lambda data: data["runtime_dir"] / PIDFILE)
    on_stop: Literal["keep", "withdraw"] = "keep"
    dnstap: DnstapConfig
    guard: GuardConfig = GuardConfig()
    bgp: BgpConfig = BgpConfig()
    process: ProcessConfig = ProcessConfig()
    log: LogConfig = LogConfig()
    control: ControlConfig = ControlConfig()
    http: HttpConfig | None = None
    syncer: SyncerConfig | None = None
    # Set by the loader. `exclude` is what keeps them from being keys of the file.
    path: Path = Field(default=Path("/"), exclude=True)
    warnings: tuple[str, ...] = Field(default=(), exclude=True)

    @field_validator("lists")
    @classmethod
    def _distinct_names(cls, lists: tuple[ListConfig, ...], info: ValidationInfo) -> tuple[ListConfig, ...]:
        values.distinct([DEFAULT_LIST] * (info.data.get("domains") is not None) + [found.name for found in lists])
        return lists

    @property
    def next_hop(self) -> IPv4Address | None:
        """Of IPv4 routes, unless their list has its own; None: none is announced."""
        return self.bgp.usable_next_hop

    @property
    def next_hop_ipv6(self) -> IPv6Address | None:
        """Of IPv6 routes, unless their list has its own; None: none is announced."""
        if self.ipv6 is False:
            return None
        return self.bgp.usable_next_hop_ipv6 or (FALLBACK_NEXT_HOP_IPV6 if self.ipv6 else None)

    @property
    def control_socket(self) -> Path:
        """Where commands reach the plugin: beside its pidfile."""
        return self.pidfile.parent / CONTROL_SOCKET

    @property
    def all_lists(self) -> tuple[ListConfig, ...]:
        """Every list in order of precedence, `default` among them."""
        if self.domains is None:
            return self.lists
        return (ListConfig.model_construct(name=DEFAULT_LIST, sources=self.domains), *self.lists)

    def list_sources(self) -> tuple[ListSource, ...]:
        """What each list is read from, in order of precedence."""
        return tuple(
            ListSource(
                name=found.name,
                sources=found.sources,
                format=found.format,
                fetching=Fetching(found.interval_s, found.sha256, found.max_bytes),
                shrink_max=found.shrink_max,
                growth_max=found.growth_max,
                prefixes=len(found.prefixes),
            )
            for found in self.all_lists
        )

    def policies(self) -> tuple[Policy, ...]:
        """What each list asks for the addresses that its names claim, in order of precedence."""
        return asked.policies(self)

    def prefixes(self) -> dict[str, tuple[Prefix, ...]]:
        """List name -> the static prefixes that this file itself has."""
        return {found.name: tuple(map(asked.packed, found.prefixes)) for found in self.all_lists}

    def caps(self) -> Caps:
        """How much may be held."""
        return Caps(
            routes_max=self.guard.max_routes,
            name_routes_max=self.guard.max_routes_per_name or ROUTES_MAX,
            new_routes_per_s=self.guard.max_new_routes_per_second,
            evicts=self.guard.when_full == "evict",
        )

    def spaces(self) -> dict[str, Space]:
        """List name -> what that list opens and refuses beside `[guard]`."""
        return {found.name: Space(found.allow, found.deny) for found in self.lists}

    def protected(self) -> tuple[Address, ...]:
        """Packed addresses that must never become a route: our own, our next-hops, our neighbors and peers.

        Host names are left out: whoever runs under ExaBGP learns its neighbors' addresses from it.
        """
        # A router_id alone is a number that looks like an address: people take 1.1.1.1.
        found: list[IPAddress | None] = [self.next_hop, self.next_hop_ipv6, self.bgp.source_ip]
        found += [one for listed in self.lists for one in (listed.next_hop, listed.next_hop_ipv6)]
        found += [neighbor.ip for neighbor in self.bgp.neighbors]
        endpoints: list[object] = [*self.dnstap.listen]
        if self.syncer is not None:
            endpoints += [self.syncer.listen, *self.syncer.peers]
        found += [endpoint.ip for endpoint in endpoints if isinstance(endpoint, TcpAddress)]
        return values.each_once(tuple(address.packed for address in found if address and not address.is_unspecified))

    def restart_keys(self, other: "Config") -> list[str]:
        """Name the keys that differ and that no reload can change."""
        return [key for key in RESTART_KEYS if _get(self, key) != _get(other, key)]

    def keeping(self, running: "Config") -> "Config":
        """Return this configuration with the running one's values of the keys that no reload can change."""
        tables = {key.partition(".")[0] for key in RESTART_KEYS}
        return self.model_copy(update={name: getattr(running, name) for name in tables})

    def speaker_differs(self, other: "Config") -> bool:
        """Whether ExaBGP's configuration would be another one, host names compared as names."""
        return _for_speaker(self) != _for_speaker(other)

    def require_speaker(self) -> Speaker:
        """Give what ExaBGP's configuration is written from.

        Raises:
            ConfigError: A key that only it needs is missing, or a neighbor is still a host name.
        """
        problems = [Problem(f"{self.path}: {key}", what) for key, what in speaker.missing(self.bgp)]
        if problems:
            raise ConfigError(problems)
        return Speaker(
            sessions=speaker.sessions(self.bgp),
            ipv4=any(policy.ipv4 for policy in self.policies()),
            ipv6=any(policy.ipv6 for policy in self.policies()),
            graceful_restart=self.on_stop == "keep",
        )

    def resolve(self, lookup: speaker.Lookup = speaker.look_up) -> "Config":
        """Return this configuration with the neighbors' host names replaced by addresses; blocks for the lookups.

        Raises:
            ConfigError: Names that have no address, or that of another neighbor; all of them.
        """
        bgp, complaints = speaker.resolved(self.bgp, lookup)
        if complaints:
            raise ConfigError([Problem(f"{self.path}: {key}", what) for key, what in complaints])
        return self.model_copy(update={"bgp": bgp})


def _for_speaker(config: Config) -> tuple[object, ...]:
    """Gather what ExaBGP's configuration depends on."""
    bgp = config.bgp
    families = {(policy.ipv4 is None, policy.ipv6 is None) for policy in config.policies()}
    return bgp.as_number, bgp.identifier, bgp.source_ip, bgp.neighbors, families, config.on_stop


def _get(config: Config, key: str) -> object:
    """Read a key by its dotted path."""
    found: object = config
    for name in key.split("."):
        found = getattr(found, name)
    return found
