"""Texts of refusals: why a sighting or a static prefix is refused, and what opens it; for logs, `why` and `check`."""

import ipaddress
from functools import cache

from dnstap_bgp.core.model import Prefix
from dnstap_bgp.core.routes.guard import IPV4_BLOCKS, IPV6_BLOCKS, AddressBlock, Network, Tier

_CAUSES = {
    "protected": ("by the guard (protected)", "a next-hop, a BGP neighbor or an address of this machine is not routed"),
    "resolver": ("by the guard (resolver)", "answers come from this address, so it never becomes a route"),
    "denied": ("by the guard (denied)", "`deny` in [guard] or in the list has it"),
    "default-route": ("by the guard (default-route)", "nothing opens a default route"),
    "malformed": ("by the guard (malformed)", "it is no address"),
    "family": ("(family)", "the list has no next-hop of its family: next_hop, or next_hop_ipv6 and not ipv6 = false"),
    "routes": ("at the cap (routes)", "[guard] max_routes raises it"),
    "list-routes": ("at the cap (list-routes)", "the list's max_routes raises it"),
    "name-routes": ("at the cap (name-routes)", "[guard] max_routes_per_name raises it"),
    "rule-routes": ("at the cap (rule-routes)", "[guard] max_routes_per_rule raises it"),
    "claims": ("at the cap (claims)", "[guard] max_claims raises it"),
    "crowded": ("on a full address (crowded)", "all that its address may have was added by hand"),
    "rate": ("at the cap (rate)", "[guard] max_new_routes_per_second raises it"),
    "restore": (
        "while the state file is read (restore)",
        "too many wait until all of it is back: the next answer after that brings it",
    ),
}


def refusal_text(reason: str, prefix: Prefix) -> tuple[str, str]:
    """Say why something is refused, and what opens it.

    Args:
        reason: A word of `RefusalCount.reason`, or of `Guard.prefix_refusals`.
        prefix: What is refused.

    Returns:
        To stand behind `refused`, and behind all else: two phrases.
    """
    if reason in _CAUSES:
        return _CAUSES[reason]
    block = _block(reason, prefix)
    if block is None:
        return f"by the guard ({reason})", "`dnstap-bgp check` says more"
    cause = f"by the guard ({reason} {block.prefix})"
    if block.tier is Tier.NEVER:
        return cause, "no configuration opens it"
    opening = block.prefix if block.prefix != "::/0" else str(_network(prefix))
    return cause, f'[guard] allow = ["{opening}"] opens it'


def sentence(reason: str, prefix: Prefix) -> str:
    """Say why something is refused and what opens it as one sentence, to stand behind a colon."""
    return "refused {}; {}".format(*refusal_text(reason, prefix))


def _block(reason: str, prefix: Prefix) -> AddressBlock | None:
    """Find the row of the guard's tables with this reason that has a prefix, or a part of it, or the address in it."""
    network = _network(prefix)
    rows = _rows()
    for found, block in rows:
        if block.reason == reason and _overlap(found, network):
            return block
    for found, block in rows:
        if block.inner is not None and _overlap(found, network):
            return _block(reason, prefix[block.inner])
    return None


@cache
def _rows() -> list[tuple[Network, AddressBlock]]:
    """Give the guard's tables with their networks, the longest first; made once, as `check -v` asks for each prefix."""
    rows = [(ipaddress.ip_network(block.prefix), block) for block in IPV4_BLOCKS + IPV6_BLOCKS]
    return sorted(rows, key=lambda row: -row[0].prefixlen)


def _network(prefix: Prefix) -> Network:
    is_host = len(prefix) in (4, 16)
    return ipaddress.ip_network(prefix if is_host else (prefix[:-1], prefix[-1]))


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)
