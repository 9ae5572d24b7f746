"""Routers' tables are what the policies say they are, after whatever happened: sightings, endings, reloads, caps.

A claim ends between its deadline and the next whole second. So all is seen at half past a second, which is also where
all deadlines lie, and looked at a quarter past: there it is certain which claims have ended.
"""

from collections.abc import Sequence
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.model import Attributes, DnsTtl, Policy, Prefix
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Caps, Policies
from dnstap_bgp.core.routes.reload_diff import ReloadDiff
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.workers.routes import keeper
from dnstap_bgp.workers.routes.keeper import Keeper
from tests.property.policy_model import ADDRESSES, LISTS, NAMES, NEIGHBORS, PREFIXES, Configuration, Naive, tables


@st.composite
def configurations(draw: st.DrawFn) -> Configuration:
    chosen = draw(st.permutations(LISTS).map(lambda names: names[: draw(st.integers(1, 3))]))
    policies = []
    for name in chosen:
        peers = draw(st.sampled_from([(), NEIGHBORS[:1], NEIGHBORS[1:], NEIGHBORS]))
        hop = bytes((10, 99, 0, 100 + LISTS.index(name) + draw(st.sampled_from([1, 11]))))
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
    st.tuples(st.sampled_from(ADDRESSES), st.sampled_from(NAMES), st.sampled_from([0, 8, 100]), st.integers(0, 4)),
    configurations(),
)


def drain(views: Views) -> None:
    """Tell a host that takes everything."""
    told: dict[tuple[int, Prefix], Attributes] = {}
    for number, view in enumerate(views):
        reconciler = view.reconciler
        for shard in reconciler.adj_rib_out.shards:
            told.update({(number, prefix): attributes for prefix, attributes in shard.items()})
        while (batch := reconciler.take(0, low_latency=False, attribute_changes=True)) is not None:
            for prefix in batch.prefixes:
                announced = told.pop((number, prefix), None)
                assert announced == batch.transition.announced, "a withdraw says what was announced"
                if batch.transition.wanted is not None:
                    told[number, prefix] = batch.transition.wanted
            reconciler.answered(batch, done=True)
            reconciler.settle(batch)
    views.join()


def by_prefix(views: Views) -> dict[Prefix, list[bytes | None]]:
    """What each neighbor has of each prefix."""
    found = tables(views)
    prefixes = {prefix for table in found.values() for prefix in table}
    return {prefix: [table.get(prefix) for table in found.values()] for prefix in prefixes}


def predicted(preview: ReloadDiff, kind: str) -> int:
    return sum(difference.counts[kind] for difference in preview.routes.values())


@settings(max_examples=100, deadline=None)
@given(configurations(), st.lists(STEPS, max_size=30))
def test_routers_have_what_the_policies_say(
    first: Configuration, steps: Sequence[tuple[bytes, bytes, int, int] | Configuration]
) -> None:
    now = 1000.5
    with patch.object(keeper, "process_clock", lambda: now):
        held = Keeper(RouteTable(first.made()), Views(), first.rules())
        naive = Naive(first)
        held.resync()
        for step in steps:
            pause = 1 if isinstance(step, Configuration) else step[3]
            if pause:
                now = int(now) + pause + 0.25
                held.expire()
                naive.expire(now)
            if isinstance(step, Configuration):
                drain(held.views)
                before = by_prefix(held.views)
                preview = held.reload_diff(step.rules(), step.made(), frozenset())
                assert preview is not None
                held.switch(step.rules(), step.made())
                held.revise()
                held.expire()  # what a shorter TTL ends is withdrawn by the timer's next tick
                naive.reload(step, now)
                naive.expire(now)
                drain(held.views)
                told = by_prefix(held.views)
                assert predicted(preview, "+") == len(told.keys() - before.keys())
                assert predicted(preview, "-") == len(before.keys() - told.keys())
                assert predicted(preview, "~") == sum(told[one] != before[one] for one in told.keys() & before.keys())
            else:
                address, name, dns_ttl_s, _ = step
                now = int(now) + 0.5
                sightings = [(address, list_name, name, dns_ttl_s) for list_name in held.rules.lists(name)]
                if sightings:
                    held.observe(sightings, held.rules)
                naive.see(address, name, dns_ttl_s, now)
            drain(held.views)
            assert tables(held.views) == naive.tables()


CAPPED = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5), st.sampled_from(["one", "two"])), max_size=100)


@settings(deadline=None)
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
        claims = [
            claim
            for shard in range(256)
            for one in table.claims.addresses(shard)
            for claim in table.claims.of_address(one)
        ]
        by_name = {(claim.list, claim.name): 0 for claim in claims}
        for claim in claims:
            by_name[claim.list, claim.name] += 1
        assert max(by_name.values(), default=0) <= 5
        for policy in policies:
            assert table.claims.routes_of(policy.list) == len(
                {one.address for one in claims if one.list == policy.list}
            )
        assert table.claims.routes_of("one") <= 8
        assert len(table) == len({claim.address for claim in claims}) <= 12
        assert len(table.claims) == len(claims)
        assert {prefix for prefix, wanted in told.items() if wanted} == {claim.address for claim in claims}
        if evicts:
            newest = {(one.address, one.list, one.name) for one in claims}
            assert (bytes((11, 0, 0, host)), list_name, b"%d.example" % name) in newest
