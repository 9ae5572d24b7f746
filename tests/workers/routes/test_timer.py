"""The timer: what is due ends by itself, and the state file hears of what is new."""

import threading

from dnstap_bgp.core.exabgp.outbox import Outbox
from dnstap_bgp.core.lists.domains import Rule, RuleSet
from dnstap_bgp.core.model import Attributes, Policy
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policies import Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.routes.timer import Timer
from dnstap_bgp.workers.state.store import Store

A = bytes((198, 51, 100, 1))
POLICY = Policy(list="default", ipv4=Attributes(next_hop=bytes((192, 0, 2, 1))), ipv6=None, ttl_s=1.0)


def crashed():
    raise AssertionError


def test_a_claim_is_recorded_and_ends_by_itself(tmp_path):
    rules = RuleSet.build([("default", [Rule(b"a.example")])])
    keeper = Keeper(RouteTable(Policies([POLICY], Guard())), Outbox(), rules)
    store = Store(tmp_path / "state", crashed)
    assert store.lock(threading.Event())
    store.load(keeper.adopt, keeper.recall)
    store.start(keeper.walk)
    timer = Timer(keeper, store, lambda _now, _claims: None, crashed)
    timer.start()
    try:
        size = store.status.size
        keeper.observe([(A, "default", b"a.example", 300)], rules)
        with keeper.lock:
            assert keeper.work.wait_for(lambda: not len(keeper.table), timeout=10)
        store.append().wait(10)
        assert store.status.size > size
    finally:
        timer.shutdown()
        timer.join(10)
        store.shutdown()
        assert store.join(10)
