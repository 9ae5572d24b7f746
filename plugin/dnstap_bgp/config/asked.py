"""From the tables of the file to what each list asks for: a list's keys replace those of `[bgp]`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from dnstap_bgp.config.lists import DNS
from dnstap_bgp.core.model import Address, Attributes, DnsTtl, Policy, Prefix
from dnstap_bgp.core.routes.guard import Guard

if TYPE_CHECKING:
    from dnstap_bgp.config.addresses import IPAddress, IPNetwork
    from dnstap_bgp.config.lists import ListConfig
    from dnstap_bgp.config.model import Config


def policies(config: Config) -> tuple[Policy, ...]:
    """Give each list its policy; equal attributes of several lists are one object."""
    known: dict[Attributes, Attributes] = {}

    def attributes(found: ListConfig, next_hop: IPAddress | None) -> Attributes | None:
        if next_hop is None:
            return None
        made = _attributes(config, found, next_hop)
        return known.setdefault(made, made)

    return tuple(
        Policy(
            list=found.name,
            ipv4=attributes(found, found.next_hop or config.next_hop),
            ipv6=attributes(found, _next_hop_ipv6(config, found)),
            ttl_s=_ttl_s(config, found),
            dns_ttl=_dns_ttl(config, found),
            routes_max=found.max_routes,
        )
        for found in config.all_lists
    )


def guard(config: Config, known: Iterable[Address] = (), resolvers: AbstractSet[Address] = frozenset()) -> Guard:
    """Give the guard that the file asks for.

    Args:
        config: The file.
        known: Addresses to protect beside those that it names.
        resolvers: See `Guard`.
    """
    return Guard(
        (*config.protected(), *known),
        strict=True,
        allow=config.guard.allow,
        deny=config.guard.deny,
        lists=config.spaces(),
        resolvers=resolvers,
    )


def problems(config: Config) -> Iterator[tuple[str, str]]:
    """Say, as (key, sentence), what keeps lists from being announced as the file wants it."""
    neighbors = {neighbor.address for neighbor in config.bgp.neighbors}
    all_known = neighbors and all(neighbor.ip is not None for neighbor in config.bgp.neighbors)
    for index, found in enumerate(config.lists):
        for peer in found.peers if all_known else ():
            if peer not in neighbors:
                yield f"list[{index}].peers", f"{peer} is not among bgp.peers"
        ttl = _dns_ttl(config, found)
        if ttl is not None and ttl.min_s > ttl.max_s:
            yield f"list[{index}].ttl_min", "is longer than ttl_max"
    if config.ttl_min_s > config.ttl_max_s:
        yield "ttl_min", "is longer than ttl_max"
    nowhere = [policy.list for policy in policies(config) if policy.ipv4 is None and policy.ipv6 is None]
    if nowhere:
        text = (
            f"no route of the list {', '.join(nowhere)} could get a next-hop: set bgp.next_hop or bgp.next_hop_ipv6"
            " (an address of bgp.source_ip or bgp.router_id serves too, if a router can forward to it)"
        )
        yield "", text


def packed(network: IPNetwork) -> Prefix:
    """A network as `core.model` has prefixes."""
    address = network.network_address.packed
    return address if network.prefixlen == network.max_prefixlen else address + bytes([network.prefixlen])


def _attributes(config: Config, found: ListConfig, next_hop: IPAddress) -> Attributes:
    bgp = config.bgp
    return Attributes(
        next_hop=next_hop.packed,
        communities=bgp.communities if found.communities is None else found.communities,
        large_communities=bgp.large_communities if found.large_communities is None else found.large_communities,
        local_preference=bgp.local_preference if found.local_preference is None else found.local_preference,
        med=bgp.med if found.med is None else found.med,
        neighbors=found.peers,
    )


def _next_hop_ipv6(config: Config, found: ListConfig) -> IPAddress | None:
    return None if config.ipv6 is False else found.next_hop_ipv6 or config.next_hop_ipv6


def _ttl(config: Config, found: ListConfig) -> float | str:
    return config.ttl if found.ttl is None else found.ttl


def _ttl_s(config: Config, found: ListConfig) -> float:
    """The idle time; where the record's own TTL decides, the longest that it can give."""
    ttl = _ttl(config, found)
    following = _dns_ttl(config, found)
    return following.max_s + following.grace_s if following is not None else float(ttl)


def _dns_ttl(config: Config, found: ListConfig) -> DnsTtl | None:
    if _ttl(config, found) != DNS:
        return None
    return DnsTtl(
        min_s=config.ttl_min_s if found.ttl_min_s is None else found.ttl_min_s,
        max_s=config.ttl_max_s if found.ttl_max_s is None else found.ttl_max_s,
        grace_s=config.grace_s if found.grace_s is None else found.grace_s,
    )
