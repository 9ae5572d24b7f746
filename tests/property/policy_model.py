"""The definition of what routers have: naive, for tests to hold the real thing against.

Every (address, name) that was seen remembers for each list until when, and what an address gets is looked up from
scratch.
"""

import ipaddress
from dataclasses import dataclass

from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.lists.rules import Rule, RuleKind, RuleSet
from dnstap_bgp.core.model import Policy, Prefix
from dnstap_bgp.core.routes.guard import Guard, Space
from dnstap_bgp.core.routes.policy import Caps, Policies

NEIGHBORS = ("10.99.0.2", "10.99.0.3")
OTHER = "10.99.0.4"
"""A neighbor that no list names."""
NAMES = (b"a.example", b"b.example", b"c.example")
LISTS = ("one", "two", "three")
ADDRESSES = [bytes((11, 0, third, last)) for third in (0, 1) for last in (1, 2, 129)]


def network(text: str) -> Prefix:
    found = ipaddress.ip_network(text)
    return found.network_address.packed + (bytes([found.prefixlen]) if found.prefixlen < 32 else b"")


PREFIXES = [network(text) for text in ("11.0.0.0/16", "11.0.0.0/24", "11.0.0.128/25", "11.0.1.0/24", "11.0.1.1/32")]


@dataclass(frozen=True)
class Configuration:
    """One reading of the file and its lists; the order of the lists is that of precedence."""

    policies: tuple[Policy, ...]
    names: dict[str, frozenset[bytes]]
    prefixes: dict[str, tuple[Prefix, ...]]
    deny: dict[str, bool]  # the list may not have 11.0.1.0/24

    def rules(self) -> RuleSet:
        return RuleSet.build(
            [
                (policy.list, [Rule(name, RuleKind.EXACT) for name in self.names[policy.list]])
                for policy in self.policies
            ]
        )

    def made(self) -> Policies:
        denied = Space(deny=(ipaddress.ip_network("11.0.1.0/24"),))
        guard = Guard(strict=True, lists={name: denied for name, is_denied in self.deny.items() if is_denied})
        return Policies(self.policies, guard, Caps(), self.prefixes)


class Naive:
    """The definition."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.held: dict[tuple[bytes, bytes], dict[str, tuple[float, float]]] = {}  # list -> seen, lifetime

    def may(self, address: bytes, list_name: str) -> bool:
        return not (self.configuration.deny[list_name] and address[2] == 1)

    def see(self, address: bytes, name: bytes, dns_ttl_s: int, now: float) -> None:
        lists = self.held.setdefault((address, name), {})
        for policy in self.configuration.policies:
            if name in self.configuration.names[policy.list] and self.may(address, policy.list):
                lists[policy.list] = now, policy.lifetime_s(dns_ttl_s)

    def expire(self, now: float) -> None:
        for lists in self.held.values():
            for name in [name for name, (seen, ttl_s) in lists.items() if seen + ttl_s <= now]:
                del lists[name]

    def reload(self, configuration: Configuration, now: float) -> None:
        self.configuration = configuration
        for (address, name), before in self.held.items():
            after = {}
            for policy in configuration.policies:
                if name in configuration.names[policy.list] and self.may(address, policy.list) and before:
                    known = before.get(policy.list)
                    candidates = [known] if known else list(before.values())
                    seen = max(seen for seen, _ in candidates)
                    lifetimes = {policy.held_s(ttl_s) for when, ttl_s in candidates if when == seen}
                    # of several with one sighting either may give its lifetime: the steps see to it that all agree
                    if known or any(seen + ttl_s > now for ttl_s in lifetimes):
                        after[policy.list] = seen, max(lifetimes)
            self.held[address, name] = after

    def tables(self) -> dict[str, dict[Prefix, bytes]]:
        """Each neighbor's table: prefix -> next-hop, by the first list that serves it."""
        return {neighbor: self._table(neighbor) for neighbor in (*NEIGHBORS, OTHER)}

    def _table(self, neighbor: str) -> dict[Prefix, bytes]:
        serving = [
            (policy.list, policy.ipv4)
            for policy in self.configuration.policies
            if policy.ipv4 and (not policy.ipv4.neighbors or neighbor in policy.ipv4.neighbors)
        ]
        statics: dict[Prefix, bytes] = {}
        for list_name, attributes in serving:
            for prefix in self.configuration.prefixes[list_name]:
                inside_denied = self.configuration.deny[list_name] and (prefix[2] == 1 or prefix[4:] == b"\x10")
                if not inside_denied:
                    statics.setdefault(prefix, attributes.next_hop)
        wanted: dict[Prefix, bytes] = {}
        for address in ADDRESSES:
            lists = {name for (held, _), found in self.held.items() if held == address for name in found}
            first = next((attributes for list_name, attributes in serving if list_name in lists), None)
            if first and not any(covers(prefix, address) for prefix in statics):
                wanted[address] = first.next_hop
        return wanted | statics


def covers(prefix: Prefix, address: bytes) -> bool:
    return len(prefix) > 4 and ipaddress.ip_address(address) in ipaddress.ip_network((prefix[:4], prefix[4]))


def tables(views: Views) -> dict[str, dict[Prefix, bytes]]:
    """Each neighbor's table as it was announced."""
    found: dict[str, dict[Prefix, bytes]] = {}
    for neighbor in (*NEIGHBORS, OTHER):
        view = views.of(neighbor)
        shards = view.reconciler.adj_rib_out.shards if view is not None else []
        found[neighbor] = {
            prefix: attributes.next_hop
            for shard in shards
            for prefix, attributes in shard.items()
            if not attributes.neighbors or neighbor in attributes.neighbors
        }
    return found
