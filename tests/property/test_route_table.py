"""The route table does what its plainest definition does, whatever is seen, told, added and forgotten, at any cap.

And what is seen while claims come back gets what it would have got behind them.
"""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnstap_bgp.core.model import BY_HAND, Attributes, Change, Claim, DnsTtl, Policy, Sighting
from dnstap_bgp.core.routes import admission
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Caps, Policies
from dnstap_bgp.core.routes.table import RouteTable
from tests.property.table_model import CLAIMS_PER_ADDRESS, Key, TableModel, owner_of

REFUSED = bytes((127, 0, 0, 1))
ADDRESSES = [*(bytes((11, 0, 0, last)) for last in (1, 2, 3, 4)), bytes((0x2A, *[0] * 14, 1))]
SHARDS = sorted({address[-1] for address in ADDRESSES})
LISTS = ["one", "two", "three"]
NAMES = [b"a.x", b"b.x", b"a.y", b"b.y", b"a.z"]
TTLS_S = [0, 30, 31, 300]
WEIGHTS = {"observe": 60, "merge": 12, "adopt": 8, "add": 8, "forget_address": 1, "forget_name": 1, "expire": 6}
TOLERANCE_S = 0.5

Outcome: TypeAlias = tuple[list[Change], Callable[[set[Key]], object]]
"""Changes of the table, and what makes the model follow, given what is gone."""


def draw_caps(pick: random.Random) -> Caps:
    return Caps(
        routes_max=pick.choice([2, 4, 4, 100, 100]),
        name_routes_max=pick.choice([2, 3, 100, 100]),
        rule_routes_max=pick.choice([2, 3, 100, 100, 100]),
        claims_max=pick.choice([4, 7, 100, 100, 100]),
        evicts=pick.random() < 0.7,
    )


def draw_step(pick: random.Random) -> tuple[str, Any]:
    """What happens next: mostly something is seen."""
    address, list_name = pick.choice(ADDRESSES), pick.choice(LISTS)
    what = pick.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    match what:
        case "observe":
            return what, (pick.choice([*ADDRESSES * 2, REFUSED]), list_name, pick.choice(NAMES), pick.choice(TTLS_S))
        case "forget_address":
            return what, address
        case "forget_name":
            return what, pick.choice(NAMES)
        case "expire":
            return what, None
    return what, (
        address,
        list_name,
        pick.choice([*NAMES, BY_HAND]),
        pick.randint(-5, 30),
        pick.choice([0, 20, 60, 90]),
    )


def policies(given_caps: Caps, routes_max: int | None) -> Policies:
    six = Attributes(bytes((0x2A, *[0] * 14, 9)))
    one = Policy("one", Attributes(bytes((192, 0, 2, 1))), six, 40.0, routes_max=routes_max)
    two = Policy("two", Attributes(bytes((192, 0, 2, 2))), None, 40.0, DnsTtl(10.0, 60.0, 5.0))
    three = Policy("three", Attributes(bytes((192, 0, 2, 3))), None, 20.0)
    return Policies([one, two, three], Guard(), given_caps)


def held(table: RouteTable) -> dict[Key, Claim]:
    store = table.claims
    return {row[:3]: row for shard in SHARDS for each in store.addresses(shard) for row in store.of_address(each)}


class Compared:
    """A table and its model, which get the same, and are held against each other."""

    def __init__(self, used: Policies) -> None:
        self.table = RouteTable(used)
        self.table.owner_of = owner_of
        self.model = TableModel(used)
        self.announced: dict[bytes, Attributes | None] = {}
        self.forgotten: set[bytes] = set()
        self.now = 100
        self.count = 0

    def instant(self) -> float:
        """A moment of its own in the second at hand: no deadline is where it is looked for."""
        self.count += 1
        return self.now + 0.5 + self.count / 4096

    def step(self, pause: int, what: str, given_: Any) -> None:
        self.now += pause
        before = held(self.table).keys()
        self.model.sees_all = len(self.table.claims.columns.second) <= 2 * admission.CHAINS_LOOKED_AT
        changes, follow = getattr(self, what)(given_)
        for prefix, attributes in changes:
            assert self.announced.get(prefix) is not attributes, "a change changes something"
            self.announced[prefix] = attributes
        after = held(self.table)
        follow(set(before - after.keys()))
        self.check(after)

    def check(self, claims: dict[Key, Claim]) -> None:
        table, model = self.table, self.model
        assert {key: (row.seen, row.first, row.ttl_s) for key, row in claims.items()} == {
            key: (one.seen, one.first, one.ttl_s) for key, one in model.claims.items()
        }
        assert {row[:3] for shard in SHARDS for row in table.claims.unrecorded(shard)} == {
            key for key, one in model.claims.items() if one.seen > one.recorded
        }
        assert sorted(table.claims.dirty()) == sorted(claims[key] for key in model.dirty)
        model.dirty.clear()
        for address in ADDRESSES:
            assert table.wanted(address) is model.wanted(address) is self.announced.get(address)
        assert (len(table), table.claims.ended, table.history.ends) == (len(model.addresses()), *[model.ended] * 2)
        assert table.admission.refusals.refused == +model.refused
        assert table.admission.refusals.evicted == +model.evicted

    def claim(self, given_: tuple[bytes, str, bytes, int, int]) -> tuple[Claim, float]:
        """A claim that was seen a while ago, or will be seen, as a peer with another clock says; and the moment."""
        address, list_name, name, age_s, ttl_s = given_
        now = self.instant()
        return Claim(address, list_name, name, now - age_s, now - age_s - 3.0, float(ttl_s)), now

    def observe(self, sighting: Sighting) -> Outcome:
        now = self.instant()
        return self.table.observe([sighting], now), lambda gone: self.model.observe(
            sighting[:3], sighting[3], now, gone
        )

    def merge(self, given_: tuple[bytes, str, bytes, int, int]) -> Outcome:
        claim, now = self.claim(given_)
        is_held, is_forgotten = claim[:3] in self.model.claims, self.is_forgotten(claim)
        merged = self.table.merge([claim], now, TOLERANCE_S)
        self.announced |= dict(merged.changes)

        def follow(gone: set[Key]) -> None:
            is_news = (is_held or not is_forgotten) and self.model.merge(claim, now, TOLERANCE_S, gone)
            assert merged.news == ([held(self.table)[claim[:3]]] if is_news else [])
            assert merged.refused == (not is_held and not is_news)

        return [], follow

    def adopt(self, given_: tuple[bytes, str, bytes, int, int]) -> Outcome:
        claim, now = self.claim(given_)
        self.announced |= dict(self.table.adopt([claim], now))
        self.announced[claim.address] = self.table.wanted(claim.address)
        is_forgotten = self.is_forgotten(claim)
        return [], lambda gone: is_forgotten or self.model.take(claim, now, gone, was_held=True)

    def add(self, given_: tuple[bytes, str, bytes, int, int]) -> Outcome:
        claim, now = self.claim((*given_[:2], BY_HAND, 0, given_[4]))
        claim = claim._replace(seen=now, first=now)
        changes, refused = self.table.add(claim, now)

        def follow(gone: set[Key]) -> None:
            assert refused == self.model.add(claim, now, gone)

        if refused not in self.table.policies.by_list and refused != "family":
            self.forgotten.discard(claim.address)
        return changes, follow

    def is_forgotten(self, claim: Claim) -> bool:
        return not self.forgotten.isdisjoint(claim[:3:2])

    def forget_address(self, address: bytes) -> Outcome:
        self.forgotten.add(address)
        changes = self.table.forget_address(address, self.instant())
        return changes, lambda _: self.model.end_all(lambda key: key[0] == address)

    def forget_name(self, name: bytes) -> Outcome:
        self.forgotten.add(name)
        changes, more = [], True
        while more:
            some, more = self.table.forget_name(name, self.instant(), 2)
            assert len(some) <= 2
            changes += some
        return changes, lambda _: self.model.end_all(lambda key: key[2] == name)

    def expire(self, _: None) -> Outcome:
        changes, more = [], True
        while more:
            some, more = self.table.expire(self.now, 2)
            assert len(some) <= 2
            changes += some
        return changes, lambda _: self.model.expire(self.now)


@given(st.integers(0, 1 << 64))
@settings(max_examples=50)
def test_the_table_is_as_its_plainest_definition(seed: int):
    pick = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admission, "CLAIMS_PER_ROUTE", CLAIMS_PER_ADDRESS)
        compared = Compared(policies(draw_caps(pick), pick.choice([None, 2])))
        for _ in range(100):
            compared.step(pick.choice([0, 0, 1, 1, 3, 20]), *draw_step(pick))


def test_the_generator_makes_what_matters():
    """Each cap refuses, and each that may lets something go."""
    refused, evicted = Counter[str](), Counter[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admission, "CLAIMS_PER_ROUTE", CLAIMS_PER_ADDRESS)
        for seed in range(40):
            pick = random.Random(seed)
            compared = Compared(policies(draw_caps(pick), pick.choice([None, 2])))
            for _ in range(100):
                compared.step(pick.choice([0, 0, 1, 1, 3, 20]), *draw_step(pick))
            refused += compared.model.refused
            evicted += compared.model.evicted
    assert {"crowded", "name-routes", "rule-routes", "list-routes", "routes", "claims", "family", "loopback"} <= {
        *refused
    }
    assert {"name-routes", "list-routes", "routes", "claims"} == {*evicted}


# -- while claims come back


class Restored:
    """Claims that come back while others are seen, in any order; `judged` when all are back."""

    def __init__(self, pick: random.Random, used: Policies, *, meet: bool) -> None:
        """Draw both.

        Args:
            pick: The source of chance.
            used: The policies.
            meet: What comes back may be seen, too.
        """
        self.used = used
        keys = [(address, list_name, name) for address in ADDRESSES for list_name in LISTS for name in NAMES]
        pick.shuffle(keys)
        ages = enumerate(keys[: pick.choice([3, 6, 10])])
        old = [Claim(*key, 100.0 - number / 64, 90.0, 60.0) for number, key in ages]
        seen = keys[5 if meet else 10 :][: pick.choice([2, 5, 8])]
        self.order: list[Claim | Key] = [*old, *seen]
        pick.shuffle(self.order)
        self.known = frozenset(pick.sample(ADDRESSES, pick.choice([0, 1, 2])))

    def together(self) -> RouteTable:
        """The table after all of it."""
        table = RouteTable(self.used)
        table.owner_of = owner_of
        table.begin_restore(self.known.__contains__)
        for moment, one in enumerate(self.order, 101):
            if isinstance(one, Claim):
                table.adopt([one], moment)
            else:
                table.observe([(*one, 300)], moment)
        now, more = 120.0, True
        start: int | None = 0
        while table.set_aside(2):
            pass
        while start is not None:
            _, start = table.trim(now, 5, start)
        while more:
            _, more = table.judge(now, 2)
        return table

    def one_behind_the_other(self) -> RouteTable:
        """The table if all had come back before anything was seen."""
        table = RouteTable(self.used)
        table.owner_of = owner_of
        table.adopt([one for one in self.order if isinstance(one, Claim)], 100.0)
        for now, one in enumerate(self.order, 101):
            if not isinstance(one, Claim):
                table.observe([(*one, 300)], now)
        return table


@given(st.integers(0, 1 << 64))
@settings(max_examples=50)
def test_what_is_seen_while_claims_come_back_gets_what_it_would_have_got_behind_them(seed: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admission, "CLAIMS_PER_ROUTE", CLAIMS_PER_ADDRESS)
        on_full_addresses = Restored(random.Random(seed), policies(Caps(), None), meet=False)
        assert held(on_full_addresses.together()) == held(on_full_addresses.one_behind_the_other())
    roomy = Restored(random.Random(seed), policies(Caps(), None), meet=True)
    assert held(roomy.together()) == held(roomy.one_behind_the_other())


@given(st.integers(0, 1 << 64))
@settings(max_examples=50)
def test_once_all_is_back_the_caps_of_routes_are_kept(seed: int):
    pick = random.Random(seed)
    used = policies(draw_caps(pick), pick.choice([None, 2]))
    table = Restored(pick, used, meet=True).together()
    routes, of_names = {key[0] for key in held(table)}, Counter((key[1:], key[0]) for key in held(table))
    assert table.admission.newcomers is None
    assert len(table) == len(routes) <= used.caps.routes_max
    for list_name, policy in used.by_list.items():
        of_list = {key[0] for key in held(table) if key[1] == list_name}
        assert table.claims.routes_of(list_name) == len(of_list) <= (policy.routes_max or 100)
    assert max(Counter(key for key, _ in of_names).values()) <= used.caps.name_routes_max
    assert table.claims.ended >= table.history.ends, "who had begun and could not stay has ended, too"
