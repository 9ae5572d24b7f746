"""Routers' tables are what the policies say they are, after whatever happened: sightings, endings, reloads, caps.

The definition here is naive: every (address, name) that was seen remembers for each list until when, and what an
address gets is looked up from scratch.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from dnstap_bgp.core.exabgp.outbox import Outbox
from dnstap_bgp.core.lists.domains import Rule, RuleKind, RuleSet
from dnstap_bgp.core.model import Attributes, DnsTtl, Policy, Prefix
from dnstap_bgp.core.routes.guard import Guard, Space
from dnstap_bgp.core.routes.policies import Caps, Policies
from dnstap_bgp.core.routes.preview import Preview
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.workers.routes import foresight, keeper
from dnstap_bgp.workers.routes.keeper import Keeper

NEIGHBORS = ("10.0.0.1", "10.0.0.2")
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


@st.composite
def configurations(draw: st.DrawFn) -> Configuration:
    chosen = draw(st.permutations(LISTS).map(lambda names: names[: draw(st.integers(1, 3))]))
    policies = []
    for name in chosen:
        peers = draw(st.sampled_from([(), NEIGHBORS[:1], NEIGHBORS[1:], NEIGHBORS]))
        hop = bytes((192, 0, 2, LISTS.index(name) + draw(st.sampled_from([1, 11]))))
        following = draw(st.sampled_from([None, None, DnsTtl(2.0, 20.0, 1.0)]))
        ttl_s = 21.0 if following else draw(st.sampled_from([5.0, 15.0]))
        policies.append(Policy(name, Attributes(hop, neighbors=peers), None, ttl_s, following))
    return Configuration(
        policies=tuple(policies),
        names={name: frozenset(draw(st.sets(st.sampled_from(NAMES)))) for name in chosen},
        prefixes={name: tuple(draw(st.lists(st.sampled_from(PREFIXES), max_size=2, unique=True))) for name in chosen},
        deny={name: draw(st.booleans()) for name in chosen},
    )


STEPS = st.one_of(
    st.tuples(st.sampled_from(ADDRESSES), st.sampled_from(NAMES), st.sampled_from([0, 8, 100]), st.floats(0, 4)),
    configurations(),
)


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
            for name in [name for name, (seen, ttl_s) in lists.items() if int(seen + ttl_s) + 1 <= now]:
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
        """Each neighbor's table: prefix -> next-hop."""
        wanted: dict[Prefix, Attributes] = {}
        statics: dict[Prefix, Attributes] = {}
        for policy in self.configuration.policies:
            for prefix in self.configuration.prefixes[policy.list]:
                inside_denied = self.configuration.deny[policy.list] and (prefix[2] == 1 or prefix[4:] == b"\x10")
                if not inside_denied and policy.ipv4:
                    statics.setdefault(prefix, policy.ipv4)
        for address in ADDRESSES:
            lists = {name for (held, _), found in self.held.items() if held == address for name in found}
            first = next((policy.ipv4 for policy in self.configuration.policies if policy.list in lists), None)
            if first and not any(covers(prefix, found, address, first) for prefix, found in statics.items()):
                wanted[address] = first
        return tables(wanted | statics)


def covers(prefix: Prefix, of_prefix: Attributes, address: bytes, of_address: Attributes) -> bool:
    if len(prefix) == 4:
        return False
    inside = ipaddress.ip_address(address) in ipaddress.ip_network((prefix[:4], prefix[4]))
    reached = set(of_address.neighbors or ("all", *NEIGHBORS)) <= set(of_prefix.neighbors or ("all", *NEIGHBORS))
    return inside and reached


def tables(wanted: dict[Prefix, Attributes]) -> dict[str, dict[Prefix, bytes]]:
    return {
        neighbor: {
            prefix: found.next_hop
            for prefix, found in wanted.items()
            if not found.neighbors or neighbor in found.neighbors
        }
        for neighbor in NEIGHBORS
    }


def drain(outbox: Outbox, told: dict[Prefix, Attributes]) -> None:
    """Tell a host that takes everything."""
    while (batch := outbox.take(0, brisk=False, moves=True)) is not None:
        for prefix in batch.prefixes:
            assert told.get(prefix) == batch.step.told, "a withdraw says what was announced"
            told.pop(prefix, None)
            if batch.step.wanted is not None:
                told[prefix] = batch.step.wanted
        outbox.answered(batch, done=True)
        outbox.settle(batch)


def predicted(preview: Preview, kind: str) -> int:
    return sum(difference.counts[kind] for difference in preview.routes.values())


@settings(max_examples=100, deadline=None)
@given(configurations(), st.lists(STEPS, max_size=30))
def test_routers_have_what_the_policies_say(
    first: Configuration, steps: Sequence[tuple[bytes, bytes, int, float] | Configuration]
) -> None:
    now = 1000.0
    with patch.object(keeper, "process_clock", lambda: now), patch.object(foresight, "process_clock", lambda: now):
        held = Keeper(RouteTable(first.made()), Outbox(), first.rules())
        naive = Naive(first)
        held.resync()
        told: dict[Prefix, Attributes] = {}
        for step in steps:
            held.expire()
            naive.expire(now)
            if isinstance(step, Configuration):
                drain(held.outbox, told)
                before = dict(told)
                preview = foresight.foresee(held, step.rules(), step.made(), frozenset())
                held.switch(step.rules(), step.made())
                held.revise()
                naive.reload(step, now)
                drain(held.outbox, told)
                assert predicted(preview, "+") == len(told.keys() - before.keys())
                assert predicted(preview, "-") == len(before.keys() - told.keys())
                assert predicted(preview, "~") == sum(told[one] != before[one] for one in told.keys() & before.keys())
            else:
                address, name, dns_ttl_s, pause = step
                now += pause
                held.expire()
                naive.expire(now)
                sightings = [(address, list_name, name, dns_ttl_s) for list_name in held.rules.lists(name)]
                if sightings:
                    held.observe(sightings, held.rules)
                naive.see(address, name, dns_ttl_s, now)
            drain(held.outbox, told)
            assert tables(told) == naive.tables()


CAPPED = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5), st.sampled_from(["one", "two"])), max_size=100)


@given(CAPPED, st.booleans())
def test_no_cap_is_ever_passed_and_the_counts_stay_true(seen: list[tuple[int, int, str]], evicts: bool) -> None:
    attributes = Attributes(bytes((192, 0, 2, 1)))
    policies = [
        Policy("one", attributes, None, 50.0, routes_max=8),
        Policy("two", attributes, None, 20.0),
    ]
    table = RouteTable(Policies(policies, Guard(), Caps(routes_max=12, name_routes_max=5, evicts=evicts)))
    told: dict[Prefix, Attributes | None] = {}
    for second, (host, name, list_name) in enumerate(seen):
        changes, _ = table.expire(float(second), 1000)
        told |= dict(changes)
        told |= dict(table.observe([(bytes((11, 0, 0, host)), list_name, b"%d.example" % name, 0)], float(second)))
        claims = [claim for shard in range(256) for one in table.addresses(shard) for claim in table.claims_of(one)]
        by_name = {(claim.list, claim.name): 0 for claim in claims}
        for claim in claims:
            by_name[claim.list, claim.name] += 1
        assert max(by_name.values(), default=0) <= 5
        for policy in policies:
            assert table.routes_of(policy.list) == len({one.address for one in claims if one.list == policy.list})
        assert table.routes_of("one") <= 8
        assert len(table) == len({claim.address for claim in claims}) <= 12
        assert table.claims == len(claims)
        assert {prefix for prefix, wanted in told.items() if wanted} == {claim.address for claim in claims}
        if evicts:
            newest = {(one.address, one.list, one.name) for one in claims}
            assert (bytes((11, 0, 0, host)), list_name, b"%d.example" % name) in newest
