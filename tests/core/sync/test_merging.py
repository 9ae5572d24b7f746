"""What peers tell, as the route table takes it: the latest sighting wins, in any order and any topology."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnstap_bgp.core.model import Attributes, Claim, DnsTtl, Policy
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Caps, Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.core.sync import delta
from dnstap_bgp.core.sync.delta import TOLERANCE_S

V4 = Attributes(bytes([192, 0, 2, 1]))
TTL_S = 1000.0
ADDRESS = bytes([11, 0, 0, 1])
NAME = b"a.example"


def table(ttl_s: float = TTL_S, dns_ttl: DnsTtl | None = None, **caps: object) -> RouteTable:
    policy = Policy("default", V4, None, ttl_s, dns_ttl)
    return RouteTable(Policies([policy], Guard(strict=True), Caps(**caps)))  # type: ignore[arg-type] # as the tests name them


def claim(seen: float, address: bytes = ADDRESS, name: bytes = NAME, ttl_s: float = 0.0) -> Claim:
    return Claim(address, "default", name, seen, seen, ttl_s)


def merge(held: RouteTable, now: float, *claims: Claim) -> list[Claim]:
    return held.merge(claims, now, TOLERANCE_S).news


def test_what_is_new_is_news_and_a_change():
    held = table()
    merged = held.merge([claim(90.0)], 100.0, TOLERANCE_S)
    assert merged.changes == [(ADDRESS, V4)]
    assert merged.news == [Claim(ADDRESS, "default", NAME, 90.0, 90.0, TTL_S)]
    assert merged.refused == 0
    assert held.claims.dirty() == [], "whoever merges hands on what is news"


def test_only_what_is_later_by_more_than_the_tolerance_is_news():
    held = table()
    merge(held, 100.0, claim(90.0))
    for seen in (0.0, 89.0, 90.0, 90.0 + TOLERANCE_S):
        assert merge(held, 100.0, claim(seen)) == []
    assert [found.seen for found in merge(held, 100.0, claim(91.0))] == [91.0]
    assert [found.seen for found in held.claims.of_address(ADDRESS)] == [91.0], "refreshed, never doubled"
    assert merge(held, 100.0, claim(1e9))[0].seen == 100.0, "nothing was seen after now"


def test_what_may_not_be_is_refused_and_counted():
    held = table()
    held.forget_address(bytes([11, 0, 0, 9]), 100.0)
    refused = [
        claim(90.0, bytes([127, 0, 0, 1])),
        claim(90.0, bytes([11, 0, 0, 9])),
        claim(90.0, bytes(16)),
        claim(100.0 - TTL_S),
    ]
    merged = held.merge(refused, 100.0, TOLERANCE_S)
    assert (merged.news, merged.refused) == ([], 4)
    assert len(held) == 0


def test_a_lifetime_of_unknown_length_leaves_the_known_one():
    held = table(dns_ttl=DnsTtl(60, 3600, 10))
    assert merge(held, 100.0, claim(90.0))[0].ttl_s == 70
    assert merge(held, 100.0, claim(92.0, ttl_s=500.0))[0].ttl_s == 500
    assert merge(held, 100.0, claim(94.0))[0].ttl_s == 500
    assert merge(held, 100.0, claim(96.0, ttl_s=1e9))[0].ttl_s == 3610, "within our own bounds"


def test_a_full_table_keeps_what_was_seen_last_whoever_saw_it():
    held = table(routes_max=2, evicts=True)
    one, two, three = (bytes([11, 0, 0, number]) for number in (1, 2, 3))
    merge(held, 100.0, claim(50.0, one), claim(60.0, two))
    assert merge(held, 100.0, claim(40.0, three)) == [], "older than all that is held"
    assert [found.address for found in merge(held, 100.0, claim(70.0, three))] == [three]
    assert {address for shard in range(256) for address in held.claims.addresses(shard)} == {two, three}


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(0, 200)), max_size=20), st.randoms())
def test_any_order_gives_the_same(rows, chance):
    claims = [claim(float(seen), bytes([11, 0, 0, host]), b"n%d.example" % name) for host, name, seen in rows]
    held, other = table(), table()
    merge(held, 300.0, *claims)
    chance.shuffle(claims)
    for one in claims:
        merge(other, 300.0, one)
    assert contents(held) == contents(other)


def contents(held: RouteTable) -> dict[tuple[bytes, bytes], float]:
    return {
        (found.address, found.name): found.seen
        for shard in range(256)
        for address in held.claims.addresses(shard)
        for found in held.claims.of_address(address)
    }


@pytest.mark.parametrize("ttl_s", [40.0, TTL_S])
def test_who_is_told_what_is_recorded_never_ends_a_claim_early(ttl_s):
    """In use at random; a peer that gets each record has it as long as we do, and ends it with us."""
    chance = random.Random(3)
    for last_use in (ttl_s * 0.3, ttl_s * 1.02, ttl_s * 2.5):
        ours, theirs = table(ttl_s), table(ttl_s)
        now = 10.0
        end = now + last_use + ttl_s + 5
        while now < end:
            now += 0.5
            if now < 10 + last_use and chance.random() < 0.2:
                ours.observe([(ADDRESS, "default", NAME, 300)], now)
            while ours.remind(now, 1, TOLERANCE_S):
                pass
            merge(theirs, now, *ours.claims.dirty())
            for held in (ours, theirs):
                held.expire(now, 1000)
            if len(ours) != len(theirs):
                ours.expire(now + TOLERANCE_S + 1, 1000)  # an end is looked for each second
                assert len(ours) == len(theirs), f"{now}: {contents(ours)} {contents(theirs)}"
        assert len(ours) == 0


class Node:
    """One of a simulated fleet; its clock is its own, and what it says is on its way for a while."""

    def __init__(self, clock_s: float) -> None:
        self.table = table(1e6)
        self.clock_s = clock_s

    def tell(self, now: float, claims: list[Claim]) -> bytes:
        return delta.encode_claims(claims, now + self.clock_s)


@settings(deadline=None, max_examples=60)
@given(
    size=st.integers(2, 6),
    links=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=30),
    seed=st.integers(0, 2**32),
)
def test_no_topology_makes_a_loop_and_each_link_carries_a_sighting_once(size, links, seed):
    chance = random.Random(seed)
    links = {(one, other) for one, other in links if one != other and one < size and other < size}
    links |= {(number, (number + 1) % size) for number in range(size)}  # so that all are reached
    nodes = [Node(chance.uniform(0, 1e5)) for _ in range(size)]
    # what a client knows of the other's clock: the earliest it may be, less than the truth by what the request took
    offset_s = {link: nodes[link[1]].clock_s - nodes[link[0]].clock_s - chance.uniform(0, 0.3) for link in links}
    flying: list[tuple[float, tuple[int, int], bytes]] = []
    sent: dict[tuple[int, int], int] = dict.fromkeys(links, 0)

    def tell_on(now: float, source: int, news: list[Claim]) -> None:
        for link in links:
            if link[0] == source and news:
                sent[link] += len(news)
                flying.append((now + chance.expovariate(0.3), link, nodes[source].tell(now, news)))

    addresses = [bytes([11, 0, 0, number]) for number in range(10)]
    start = 1e6
    for seeing, address in zip(itertools.cycle(nodes), addresses, strict=False):
        seeing.table.observe([(address, "default", NAME, 300)], start + seeing.clock_s)
    for number, node in enumerate(nodes):
        tell_on(start, number, node.table.claims.dirty())
    steps = 0
    while flying:
        steps += 1
        assert steps < 10_000, "it never ends"
        flying.sort()
        now, link, payload = flying.pop(0)
        frame = delta.decode(payload)
        assert isinstance(frame, delta.Claims)
        heard = [one._replace(seen=one.seen + offset_s[link], first=one.seen) for one in frame.claims]
        tell_on(now, link[1], merge(nodes[link[1]].table, now + nodes[link[1]].clock_s, *heard))
    for node in nodes:
        assert len(node.table) == len(addresses)
        for seen in contents(node.table).values():
            assert seen <= start + node.clock_s, "nobody knows of a later sighting than there was"
    # each link carries it once, and again where a path that cost less time in clocks came later by over the tolerance
    assert all(count <= 3 * len(addresses) for count in sent.values())
