"""From `[bgp]` to the sessions of ExaBGP's configuration: what they need beside what the plugin needs."""

import ipaddress
import socket
from collections.abc import Callable, Iterator

from dnstap_bgp.config import bgp_values
from dnstap_bgp.config.addresses import IPAddress
from dnstap_bgp.config.tables import BgpConfig, Neighbor
from dnstap_bgp.core.exabgp.conf import GTSM_TTL, Session

Lookup = Callable[[str], list[IPAddress]]


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
    neighbors: list[Neighbor] = []
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
        neighbors.append(neighbor.model_copy(update={"address": address}))
    return bgp.model_copy(update={"neighbors": tuple(neighbors)}), complaints


def look_up(name: str) -> list[IPAddress]:
    """Ask the system's resolver for a name's addresses; blocks as long as that takes.

    Raises:
        OSError: There is no such name, or no answer.
    """
    answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(sockaddr[0]) for _, _, _, _, sockaddr in answers]


def _session(bgp: BgpConfig, neighbor: Neighbor) -> Session:
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
