"""The whole file as one frozen model, and what follows from its keys together."""

import os
import tempfile
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dnstap_bgp.config import speaker, values
from dnstap_bgp.config.addresses import IPAddress, TcpAddress
from dnstap_bgp.config.tables import (
    DEFAULT_LIST,
    BgpConfig,
    DnstapConfig,
    FilePath,
    Flag,
    ListFiles,
    ProcessConfig,
    Seconds,
    SyncerConfig,
    Table,
)
from dnstap_bgp.core.exabgp_conf import Speaker
from dnstap_bgp.core.model import Address, Attributes, Policy
from dnstap_bgp.errors import ConfigError, Problem

FALLBACK_NEXT_HOP_IPV6 = IPv6Address("fd00::1")
"""What `ipv6 = true` without any IPv6 next-hop has always meant to its writers."""

PIDFILE = "dnstap-bgp.pid"

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
        domains: The files of the list `default`.
        cache: The state file; None: what is learnt dies with the process.
        ttl_s: How long an address stays routed after it was last seen. A day: people come back to a site daily, and the
            tap is too late for the first connection after a lookup. Under 1 s nothing would ever be routed.
        ipv6: Whether IPv6 routes are announced; None: where an IPv6 next-hop is configured.
        runtime_dir: Where the pidfile, ExaBGP's configuration and its FIFOs live.
        pidfile: The plugin's own.
        on_stop: Whether routers keep our routes while ExaBGP restarts (graceful restart) or drop them at once.
        path: The file itself, absolute.
        warnings: What is worth saying at each start, one sentence each.
    """

    domains: ListFiles
    cache: FilePath | None = None
    ttl_s: Annotated[Seconds, Field(ge=1)] = Field(default=86400.0, alias="ttl")
    ipv6: Flag | None = None
    runtime_dir: FilePath = Field(default_factory=default_runtime_dir)
    pidfile: FilePath = Field(default_factory=lambda data: data["runtime_dir"] / PIDFILE)
    on_stop: Literal["keep", "withdraw"] = "keep"
    dnstap: DnstapConfig
    bgp: BgpConfig = BgpConfig()
    process: ProcessConfig = ProcessConfig()
    syncer: SyncerConfig | None = None
    # Set by the loader. `exclude` is what keeps them from being keys of the file.
    path: Path = Field(default=Path("/"), exclude=True)
    warnings: tuple[str, ...] = Field(default=(), exclude=True)

    @model_validator(mode="after")
    def _some_family(self) -> Self:
        if self.next_hop is None and self.next_hop_ipv6 is None:
            msg = (
                "no route could get a next-hop: set bgp.next_hop or bgp.next_hop_ipv6"
                " (an address of bgp.source_ip or bgp.router_id serves too, if a router can forward to it)"
            )
            raise ValueError(msg)
        return self

    @property
    def next_hop(self) -> IPv4Address | None:
        """Of IPv4 routes; None: none is announced."""
        return self.bgp.usable_next_hop

    @property
    def next_hop_ipv6(self) -> IPv6Address | None:
        """Of IPv6 routes; None: none is announced."""
        if self.ipv6 is False:
            return None
        return self.bgp.usable_next_hop_ipv6 or (FALLBACK_NEXT_HOP_IPV6 if self.ipv6 else None)

    def list_files(self) -> tuple[tuple[str, tuple[Path, ...]], ...]:
        """Each list's name and files, in the file's order, which is also that of precedence."""
        return ((DEFAULT_LIST, self.domains),)

    def policies(self) -> tuple[Policy, ...]:
        """What each list asks for the addresses that its names claim, in the file's order."""
        return (
            Policy(
                list=DEFAULT_LIST,
                ipv4=self._attributes(self.next_hop),
                ipv6=self._attributes(self.next_hop_ipv6),
                ttl_s=self.ttl_s,
            ),
        )

    def protected(self) -> tuple[Address, ...]:
        """Packed addresses that must never become a route: our own, our next-hops and our neighbors.

        Neighbors that are host names are left out: whoever runs under ExaBGP learns their addresses from it.
        """
        # A router_id alone is a number that looks like an address: people take 1.1.1.1.
        found: list[IPAddress | None] = [self.next_hop, self.next_hop_ipv6, self.bgp.source_ip]
        found += [neighbor.ip for neighbor in self.bgp.neighbors]
        found += [listen.ip for listen in self.dnstap.listen if isinstance(listen, TcpAddress)]
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
            ipv4=self.next_hop is not None,
            ipv6=self.next_hop_ipv6 is not None,
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

    def _attributes(self, next_hop: IPAddress | None) -> Attributes | None:
        if next_hop is None:
            return None
        return Attributes(
            next_hop=next_hop.packed,
            communities=self.bgp.communities,
            large_communities=self.bgp.large_communities,
            local_preference=self.bgp.local_preference,
            med=self.bgp.med,
        )


def _for_speaker(config: Config) -> tuple[object, ...]:
    """Gather what ExaBGP's configuration depends on."""
    bgp = config.bgp
    families = (config.next_hop is None, config.next_hop_ipv6 is None)
    return bgp.as_number, bgp.identifier, bgp.source_ip, bgp.neighbors, families, config.on_stop


def _get(config: Config, key: str) -> object:
    """Read a key by its dotted path."""
    found: object = config
    for name in key.split("."):
        found = getattr(found, name)
    return found
