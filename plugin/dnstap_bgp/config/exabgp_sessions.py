"""From `[bgp]` to the sessions of ExaBGP's configuration: what they need beside what the plugin needs."""

import ipaddress
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace

from dnstap_bgp.config import bgp_values
from dnstap_bgp.config.addresses import IPAddress, literal
from dnstap_bgp.config.policies import list_policies
from dnstap_bgp.config.settings import BgpConfig, Config, NeighborConfig
from dnstap_bgp.core.exabgp.config_file import GTSM_TTL, Session, Speaker
from dnstap_bgp.errors import ConfigError, Problem

Lookup = Callable[[str], list[IPAddress]]


def speaker(config: Config) -> Speaker:
    """Give what ExaBGP's configuration is written from.

    Raises:
        ConfigError: A key that only it needs is missing, or a neighbor is still a host name.
    """
    problems = [Problem(f"{config.path}: {key}", what) for key, what in missing(config.bgp)]
    if problems:
        raise ConfigError(problems)
    policies = list_policies(config)
    return Speaker(
        sessions=sessions(config.bgp),
        ipv4=any(policy.ipv4 for policy in policies),
        ipv6=any(policy.ipv6 for policy in policies),
        graceful_restart=config.on_stop == "keep",
    )


def speakers_differ(one: Config, other: Config) -> bool:
    """Tell whether two configurations give ExaBGP different ones, host names compared as names."""
    return _for_speaker(one) != _for_speaker(other)


def look_up_neighbors(config: Config, lookup: Lookup | None = None) -> Config:
    """Return the configuration with the neighbors' host names replaced by addresses; blocks for the lookups.

    Raises:
        ConfigError: Names that have no address, or that of another neighbor; all of them.
    """
    bgp, complaints = resolved(config.bgp, lookup or look_up)
    if complaints:
        raise ConfigError([Problem(f"{config.path}: {key}", what) for key, what in complaints])
    return replace(config, bgp=bgp)


def look_up_list_peers(config: Config, lookup: Lookup | None = None) -> Config:
    """Return the configuration with host names in the lists' `peers` replaced by addresses; blocks for the lookups.

    ExaBGP's commands name a neighbor by its address alone. A name has to have one address, or one of the family of
    `source_ip`, so that this lookup and that for ExaBGP's configuration find the same.

    Raises:
        ConfigError: Names that have no address; all of them.
    """
    complaints: list[Problem] = []

    def looked_up(peer: str, host: str, key: str) -> str:
        if literal(host) is not None:
            return peer
        try:
            return _preferred(config.bgp, (lookup or look_up)(host))
        except (OSError, ValueError) as error:
            complaints.append(Problem(f"{config.path}: {key}", f"{host} can't be resolved: {error}"))
            return peer

    lists = tuple(
        replace(
            found,
            peers=tuple(
                looked_up(peer, host, f"list[{index}].peers")
                for peer, host in zip(found.peers, found.peer_hosts, strict=True)
            ),
        )
        for index, found in enumerate(config.lists)
    )
    if complaints:
        raise ConfigError(complaints)
    return replace(config, lists=lists)


def look_up_margins(config: Config, lookup: Lookup | None = None) -> Config:
    """Return the configuration with the addresses of neighbors that have a margin and stand there by name; blocks.

    A name that has no address keeps nothing from working: its margin is then that of `[hold]`, and a warning says so.
    """
    if config.hold is None:
        return config
    warnings: list[str] = []

    def looked_up(neighbor: NeighborConfig) -> NeighborConfig:
        if neighbor.ip is not None or neighbor.margin_s is None:
            return neighbor
        try:
            return replace(neighbor, address=_preferred(config.bgp, (lookup or look_up)(neighbor.address)))
        except (OSError, ValueError) as error:
            warnings.append(f"bgp.peers {neighbor.address}: can't be resolved ({error}): hold.margin is its margin")
            return neighbor

    bgp = replace(config.bgp, neighbors=tuple(map(looked_up, config.bgp.neighbors)))
    return replace(config, bgp=bgp, warnings=(*config.warnings, *warnings))


def look_up_budgets(config: Config, lookup: Lookup | None = None) -> Config:
    """Return the configuration with the addresses of neighbors that have a budget and stand there by name; blocks.

    Raises:
        ConfigError: Names that have no address; all of them. A router without its budget would get all routes.
    """
    complaints: list[Problem] = []

    def looked_up(index: int, neighbor: NeighborConfig) -> NeighborConfig:
        if neighbor.ip is not None or neighbor.max_prefixes is None:
            return neighbor
        try:
            return replace(neighbor, address=_preferred(config.bgp, (lookup or look_up)(neighbor.address)))
        except (OSError, ValueError) as error:
            what = f"{neighbor.address} can't be resolved: {error}"
            complaints.append(Problem(f"{config.path}: bgp.peers[{index}].max_prefixes", what))
            return neighbor

    neighbors = tuple(looked_up(index, neighbor) for index, neighbor in enumerate(config.bgp.neighbors))
    if complaints:
        raise ConfigError(complaints)
    return replace(config, bgp=replace(config.bgp, neighbors=neighbors))


def missing(bgp: BgpConfig) -> Iterator[tuple[str, str]]:
    """Say, as (key, sentence), what ExaBGP's configuration lacks; nothing where it can be written."""
    if bgp.as_number is None:
        yield "bgp.as", "is missing: our own AS number"
    if bgp.identifier is None:
        yield "bgp.router_id", "is missing: an IPv4 address that names us to the neighbors"
    if not bgp.neighbors:
        yield "bgp.peers", "is missing: the routers that get our routes"
    for index, neighbor in enumerate(bgp.neighbors):
        key = f"bgp.peers[{index}]"
        if neighbor.ip is None:
            yield key, f"{neighbor.address} is a host name that has not been resolved"
        elif neighbor.passive and _local_address(bgp, neighbor.ip) is None:
            yield key, f"to be passive it needs bgp.source_ip, an IPv{neighbor.ip.version} address to listen on"


def sessions(bgp: BgpConfig) -> tuple[Session, ...]:
    """Give each neighbor its session; only for a table of which nothing is `missing`."""
    return tuple(_session(bgp, neighbor) for neighbor in bgp.neighbors)


def resolved(bgp: BgpConfig, lookup: Lookup) -> tuple[BgpConfig, list[tuple[str, str]]]:
    """Replace host names of neighbors by addresses, of our source's family where there is a choice.

    Args:
        bgp: The table.
        lookup: Gives a name's addresses, best first; raises OSError where it has none.

    Returns:
        The new table, and as (key, sentence) what could not be resolved and is left as it was.
    """
    complaints: list[tuple[str, str]] = []
    neighbors: list[NeighborConfig] = []
    for index, neighbor in enumerate(bgp.neighbors):
        address = neighbor.address
        if neighbor.ip is None:
            try:
                address = _preferred(bgp, lookup(address))
            except (OSError, ValueError) as error:
                complaints.append((f"bgp.peers[{index}]", f"{address} can't be resolved: {error}"))
        if any(address == other.address for other in neighbors):
            complaints.append(
                (f"bgp.peers[{index}]", f"{neighbor.address} is {address}, which has its session already")
            )
        neighbors.append(replace(neighbor, address=address))
    return replace(bgp, neighbors=tuple(neighbors)), complaints


def look_up(name: str) -> list[IPAddress]:
    """Ask the system's resolver for a name's addresses; blocks as long as that takes.

    Raises:
        OSError: There is no such name, or no answer.
    """
    answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(sockaddr[0]) for _, _, _, _, sockaddr in answers]


def _for_speaker(config: Config) -> tuple[object, ...]:
    """Gather what ExaBGP's configuration depends on."""
    bgp = config.bgp
    families = {(policy.ipv4 is None, policy.ipv6 is None) for policy in list_policies(config)}
    neighbors = tuple(replace(neighbor, margin_s=None, max_prefixes=None) for neighbor in bgp.neighbors)  # ours alone
    return bgp.as_number, bgp.identifier, bgp.source_ip, neighbors, families, config.on_stop


def _session(bgp: BgpConfig, neighbor: NeighborConfig) -> Session:
    assert bgp.as_number is not None
    assert neighbor.ip is not None
    return Session(
        address=neighbor.address,
        port=neighbor.port,
        local_as=bgp.as_number,
        peer_as=neighbor.as_number or bgp.as_number,
        router_id=str(bgp.identifier),
        local_address=_local_address(bgp, neighbor.ip),
        password=neighbor.password,
        hold_time_s=neighbor.hold_time_s,
        ttl_least=None if neighbor.ttl_security is None else GTSM_TTL + 1 - neighbor.ttl_security,
        ttl_sent=GTSM_TTL if neighbor.ttl_security is not None else neighbor.multihop,
        passive=neighbor.passive,
    )


def _local_address(bgp: BgpConfig, neighbor: IPAddress) -> str | None:
    """Our side's address, which has to be of the neighbor's family."""
    same_family = bgp.source_ip is not None and bgp.source_ip.version == neighbor.version
    return str(bgp.source_ip) if same_family else None


def _preferred(bgp: BgpConfig, found: list[IPAddress]) -> str:
    """Choose the first address, of our source's family if there is one."""
    family = bgp.source_ip.version if bgp.source_ip else None
    best = next((address for address in found if family in (None, address.version)), None)
    if best is None:
        msg = f"no IPv{family} address, which bgp.source_ip asks for"
        raise ValueError(msg)
    return bgp_values.neighbor_address(str(best))
