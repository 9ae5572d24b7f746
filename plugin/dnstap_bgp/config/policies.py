"""Policies of the lists, the guard and the caps, from the settings: a list's keys replace those of `[bgp]`."""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from dnstap_bgp.config.addresses import IPAddress, IPNetwork, TcpAddress, literal, split_port
from dnstap_bgp.config.settings import DNS, Config, ListConfig
from dnstap_bgp.config.values import each_once
from dnstap_bgp.core.model import Address, Attributes, DnsTtl, Policy, Prefix
from dnstap_bgp.core.routes.guard import Guard, Space
from dnstap_bgp.core.routes.policy import CLAIMS_PER_ROUTE_DEFAULT, ROUTES_MAX, RULE_ROUTES_MIN, RULE_ROUTES_SHARE, Caps


def list_policies(config: Config) -> tuple[Policy, ...]:
    """Give each list its policy, in order of precedence; equal attributes of several lists are one object."""
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


def static_prefixes(config: Config) -> dict[str, tuple[Prefix, ...]]:
    """Map each list's name to the static prefixes that the file itself gives it."""
    return {found.name: tuple(map(packed, found.prefixes)) for found in config.all_lists}


def caps(config: Config) -> Caps:
    """Give the limits of `[guard]` on how much may be held."""
    routes_max, rule_routes_max = config.guard.max_routes, config.guard.max_routes_per_rule
    if rule_routes_max is None:
        rule_routes_max = max(RULE_ROUTES_MIN, routes_max // RULE_ROUTES_SHARE)
    return Caps(
        routes_max=routes_max,
        rule_routes_max=rule_routes_max or ROUTES_MAX,
        claims_max=config.guard.max_claims or CLAIMS_PER_ROUTE_DEFAULT * routes_max,
        name_routes_max=config.guard.max_routes_per_name or ROUTES_MAX,
        new_routes_per_s=config.guard.max_new_routes_per_second,
        evicts=config.guard.when_full == "evict",
    )


def guard(config: Config, known: Iterable[Address] = (), resolvers: AbstractSet[Address] = frozenset()) -> Guard:
    """Give the guard that the file asks for.

    Args:
        config: The file.
        known: Addresses to protect beside those that it names.
        resolvers: See `Guard`.
    """
    return Guard(
        (*protected(config), *known),
        strict=True,
        allow=config.guard.allow,
        deny=config.guard.deny,
        lists=spaces(config),
        resolvers=resolvers,
    )


def spaces(config: Config) -> dict[str, Space]:
    """Map each list's name to the address space that it opens and refuses beside `[guard]`."""
    return {found.name: Space(found.allow, found.deny) for found in config.lists}


def protected(config: Config) -> tuple[Address, ...]:
    """Give the packed addresses that must never become a route: our own, next-hops, neighbors and peers.

    Host names are left out: whoever runs under ExaBGP learns its neighbors' addresses from it.
    """
    # A router_id alone is a number that looks like an address: people take 1.1.1.1.
    found: list[IPAddress | None] = [config.next_hop, config.next_hop_ipv6, config.bgp.source_ip]
    found += [one for listed in config.lists for one in (listed.next_hop, listed.next_hop_ipv6)]
    found += [neighbor.ip for neighbor in config.bgp.neighbors]
    if config.refreshed_lists:
        found.append(config.refresh.resolver_ip)
    endpoints: list[object] = [*config.dnstap.listen]
    if config.hold is not None:
        endpoints += config.hold.listen
    if config.syncer is not None:
        endpoints += [config.syncer.listen, *config.syncer.peers]
    found += [endpoint.ip for endpoint in endpoints if isinstance(endpoint, TcpAddress)]
    return each_once(tuple(address.packed for address in found if address and not address.is_unspecified))


def problems(config: Config) -> Iterator[tuple[str, str]]:
    """Say, as (key, sentence), what keeps lists from being announced as the file wants it."""
    for index, found in enumerate(config.lists):
        for peer in found.peers:
            wrong = _stranger(config, peer)
            if wrong:
                yield f"list[{index}].peers", wrong
        ttl = _dns_ttl(config, found)
        if ttl is not None and ttl.min_s > ttl.max_s:
            yield f"list[{index}].ttl_min", "is longer than ttl_max"
    for address, _ in config.bgp.max_prefixes:
        wrong = _stranger(config, address)
        if wrong:
            yield f'bgp.max_prefixes."{address}"', wrong
    managed = [found.name for found in config.lists if found.managed]
    if managed and config.cache is None:
        yield "cache", f"is missing: the managed list {managed[0]} is a file beside it"
    if config.ttl_min_s > config.ttl_max_s:
        yield "ttl_min", "is longer than ttl_max"
    nowhere = [policy.list for policy in list_policies(config) if policy.ipv4 is None and policy.ipv6 is None]
    if nowhere:
        text = (
            f"no route of the list {', '.join(nowhere)} could get a next-hop: set bgp.next_hop or bgp.next_hop_ipv6"
            " (an address of bgp.source_ip or bgp.router_id serves too, if a router can forward to it)"
        )
        yield "", text


def _stranger(config: Config, peer: str) -> str | None:
    """Say that a neighbor is none of `[bgp] peers`; None: it is one, or nobody can know.

    Without `[bgp] peers` ExaBGP's own configuration has the neighbors. An address may be that of a neighbor which
    stands there by its name; a name is looked up for one that stands there by the same name alone.
    """
    host, port = split_port(peer)
    neighbors = config.bgp.neighbors
    of_host = [neighbor for neighbor in neighbors if neighbor.address == host]
    if not neighbors or any(port in (None, neighbor.port) for neighbor in of_host):
        return None
    if of_host:
        return f"{peer} is not among bgp.peers, which has {host} with port {of_host[0].port}"
    if literal(host) is not None and any(neighbor.ip is None for neighbor in neighbors):
        return None
    return f"{peer} is not among bgp.peers"


def packed(network: IPNetwork) -> Prefix:
    """Pack a network as `core.model` has prefixes."""
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
        neighbors=found.peer_hosts,
    )


def _next_hop_ipv6(config: Config, found: ListConfig) -> IPAddress | None:
    return None if config.ipv6 is False else found.next_hop_ipv6 or config.next_hop_ipv6


def _ttl(config: Config, found: ListConfig) -> float | str:
    return config.ttl if found.ttl is None else found.ttl


def _ttl_s(config: Config, found: ListConfig) -> float:
    """Give the idle time; where the record's own TTL decides, the longest that it can give."""
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
