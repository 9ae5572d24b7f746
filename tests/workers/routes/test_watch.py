"""What the table refuses is told once a minute for each reason, and a cap at three quarters."""

import logging

import pytest

from dnstap_bgp.core.exabgp.outbox import Outbox
from dnstap_bgp.core.lists.domains import Rule, RuleSet
from dnstap_bgp.core.model import Attributes, Policy
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policies import Caps, Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.routes.watch import REPEAT_S, Watch

POLICY = Policy("default", Attributes(bytes((192, 0, 2, 1))), None, 100.0, routes_max=4)


def sighting(host: int) -> tuple[bytes, str, bytes, int]:
    return bytes((11, 0, 0, host)), "default", b"a.example", 300


@pytest.fixture
def keeper() -> Keeper:
    policies = Policies([POLICY], Guard(strict=True), Caps(routes_max=100))
    return Keeper(RouteTable(policies), Outbox(), RuleSet.build([("default", [Rule(b"example")])]))


def test_refusals_at_a_bounded_rate(keeper: Keeper, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    watch = Watch(keeper)
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
    watch = Watch(keeper)
    for host in range(1, 7):
        keeper.observe([sighting(host)], keeper.rules)
        watch.look(0.0)
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "list default: 3 of at most 4 routes are held",
        "refused at the cap (list-routes): 11.0.0.5 for a.example of the list default; the list's max_routes raises it",
    ]
