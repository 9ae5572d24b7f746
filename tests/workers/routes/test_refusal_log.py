"""What the table refuses is told once a minute for each reason, and a cap at three quarters."""

import logging
from dataclasses import replace

import pytest

from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.model import Attributes, Policy
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Caps, Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.routes.refusal_log import REPEAT_S, RefusalLog

POLICY = Policy("default", Attributes(bytes((192, 0, 2, 1))), None, 100.0, routes_max=4)


def sighting(host: int) -> tuple[bytes, str, bytes, int]:
    return bytes((11, 0, 0, host)), "default", b"a.example", 300


@pytest.fixture
def keeper() -> Keeper:
    policies = Policies([POLICY], Guard(strict=True), Caps(routes_max=100))
    return Keeper(RouteTable(policies), Views(), RuleSet.build([("default", [Rule(b"example")])]))


def test_refusals_at_a_bounded_rate(keeper: Keeper, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    watch = RefusalLog(keeper)
    for tick in range(1000):
        keeper.observe([(bytes((10, 0, 0, 1)), "default", b"a.example", 300)] * 10, keeper.rules)
        watch.look(tick * REPEAT_S / 500)
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        f"refused by the guard (private 10.0.0.0/8): 10.0.0.1 for a.example of the list default and {more} more;"
        ' [guard] allow = ["10.0.0.0/8"] opens it'
        for more in (9, 4999)
    ]


def test_a_cap_is_warned_of_in_time_and_once(keeper: Keeper, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    watch = RefusalLog(keeper)
    for host in range(1, 7):
        keeper.observe([sighting(host)], keeper.rules)
        watch.look(0.0)
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "list default: 3 of at most 4 routes are held",
        "refused at the cap (list-routes): 11.0.0.5 for a.example of the list default; the list's max_routes raises it",
    ]


NEIGHBOR = "192.0.2.9"


def test_a_budget_is_told_at_four_fifths_and_when_it_is_full(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    policies = Policies([replace(POLICY, routes_max=None)], Guard(strict=True), budgets={NEIGHBOR: 5})
    keeper = Keeper(RouteTable(policies), Views(), RuleSet.build([("default", [Rule(b"example")])]))
    watch = RefusalLog(keeper)

    def told() -> list[str]:
        found = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return found

    now = 0.0
    for hosts, said in [
        ((1, 2, 3), []),
        (
            (4,),
            ["neighbor 192.0.2.9: 4 of its budget of 5 prefixes are used; once it is full, the least recently seen"],
        ),
        ((5,), []),
        ((6, 7), ["neighbor 192.0.2.9: its budget of 5 prefixes is full: 2 more have no place now, and are not"]),
        ((8,), []),
    ]:
        keeper.observe([sighting(host) for host in hosts], keeper.rules)
        for _ in range(3):
            now += REPEAT_S
            watch.look(now)
        found = told()
        assert len(found) == len(said)
        assert all(text.startswith(start) for text, start in zip(found, said, strict=True)), found
    for host in range(1, 9):
        keeper.forget(bytes((11, 0, 0, host)), is_name=False)
    watch.look(now)
    keeper.observe([sighting(host) for host in range(10, 14)], keeper.rules)
    watch.look(now + REPEAT_S)
    assert len(told()) == 1, "once it was calm, it is told again"
