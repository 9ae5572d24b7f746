"""What is allowed and still worth a warning at each start."""

from collections.abc import Iterator

from dnstap_bgp.config.addresses import UnixAddress
from dnstap_bgp.config.asked import packed
from dnstap_bgp.config.model import FALLBACK_NEXT_HOP_IPV6, Config
from dnstap_bgp.core.routes.guard import Guard

HOLD_TIME_SAFE_S = 30
"""ExaBGP sends no KEEPALIVE while it carries out a command; the longest seen took 12 s, at 100,000 routes."""

FIRM_REASONS = frozenset({"default-route", "protected", "denied"})


def warnings(config: Config) -> Iterator[str]:
    """Say what an operator should know about a valid configuration, one sentence each, each naming its key."""
    for endpoint in config.dnstap.open_endpoints:
        yield f"dnstap.listen {endpoint}: whoever reaches it can make routes; say in dnstap.allow who may connect"
    if config.dnstap.perm & 0o002 and any(isinstance(found, UnixAddress) for found in config.dnstap.listen):
        yield (
            f"dnstap.perm {config.dnstap.perm:04o}: every local user can make routes;"
            " with 0660 and dnstap.group only the resolver can"
        )
    if config.ipv6 and config.bgp.usable_next_hop_ipv6 is None:
        yield f"ipv6 = true without bgp.next_hop_ipv6: IPv6 routes get the next-hop {FALLBACK_NEXT_HOP_IPV6}"
    if config.next_hop is None:
        yield "bgp.next_hop is missing: no IPv4 route is announced"
    for neighbor in config.bgp.neighbors:
        if 0 < neighbor.hold_time_s < HOLD_TIME_SAFE_S:
            yield (
                f"bgp.peers {neighbor.address}: hold_time {neighbor.hold_time_s}: a busy ExaBGP may miss it and lose"
                f" the session; {HOLD_TIME_SAFE_S} or more is safe"
            )
        if neighbor.passive and neighbor.ttl_security is not None:
            yield (
                f"bgp.peers {neighbor.address}: passive with ttl_security: ExaBGP accepts its connection with the"
                " system's default TTL, so no session comes about if it checks TTLs as well"
            )
    yield from _refused_prefixes(config)
    if config.dry_run:
        yield "dry_run = true: everything is done but telling ExaBGP"
    if config.syncer is not None and (config.syncer.listen or config.syncer.peers):
        yield "[syncer] is accepted, but this version does not sync yet"


def _refused_prefixes(config: Config) -> Iterator[str]:
    guard = Guard(
        config.protected(), strict=True, allow=config.guard.allow, deny=config.guard.deny, lists=config.spaces()
    )
    for index, found in enumerate(config.lists):
        refusals = guard.prefix_refusals(map(packed, found.prefixes), found.name)
        for written, (_, reason) in zip(found.prefixes, refusals, strict=True):
            if reason is not None:
                hint = "" if reason in FIRM_REASONS else "; `allow` in [guard] or in the list opens such space"
                yield f"list[{index}].prefixes: {written} is not announced: {reason}{hint}"
