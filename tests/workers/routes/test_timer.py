"""The timer: what is due ends by itself, and the state file hears of what is new."""

import threading

from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.model import EVERYONE, Attributes, Audience, Change, PerView, Policy, ViewPrefix
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.workers.routes import timer
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.state.store import Store
from tests.integration.lab import eventually, stays

A = bytes((198, 51, 100, 1))
POLICY = Policy(list="default", ipv4=Attributes(next_hop=bytes((192, 0, 2, 1))), ipv6=None, ttl_s=1.0)


def crashed():
    raise AssertionError


def test_a_claim_is_recorded_and_ends_by_itself(tmp_path):
    rules = RuleSet.build([("default", [Rule(b"a.example")])])
    keeper = Keeper(RouteTable(Policies([POLICY], Guard())), Views(), rules)
    store = Store(tmp_path / "state", crashed)
    assert store.lock(threading.Event())
    store.recall(keeper.recall)
    store.adopt(keeper.adopt)
    store.start(keeper.walk)
    ticking = timer.Timer(keeper, store, lambda _now, _claims: None, crashed)
    ticking.start()
    try:
        size = store.status.size
        keeper.observe([(A, "default", b"a.example", 300)], rules)
        with keeper.lock:
            assert keeper.work.wait_for(lambda: not len(keeper.table), timeout=10)
        store.append().wait(10)
        assert store.status.size > size
    finally:
        ticking.shutdown()
        ticking.join(10)
        store.shutdown()
        assert store.join(10)


def test_the_file_is_of_version_1_again_once_there_is_one_view(tmp_path, monkeypatch):
    monkeypatch.setattr(timer, "COLLECT_S", 0.1)
    path = tmp_path / "state"
    keeper = Keeper(RouteTable(Policies([POLICY], Guard())), Views(), RuleSet.build([]))
    store = Store(path, crashed)
    assert store.lock(threading.Event())
    store.recall(keeper.recall)
    store.adopt(keeper.adopt)
    store.start(keeper.walk)
    assert store.save().wait(10)
    apart = [Audience(("192.0.2.9",)), Audience(("192.0.2.9",), is_except=True)]
    with keeper.lock:
        keeper.views.configure(apart)
        assert POLICY.ipv4 is not None
        wish = PerView(POLICY.ipv4.next_hop, by_view=(POLICY.ipv4, None))
        keeper.views.put([Change(A, wish)])
    assert store.append(records=[(ViewPrefix(A, apart[0]), POLICY.ipv4)]).wait(10)
    ticking = timer.Timer(keeper, store, lambda _now, _claims: None, crashed)
    ticking.start()

    def version():
        return int.from_bytes(path.read_bytes()[16:20])

    try:
        stays(lambda: version() == 2, 1, "views still differ")
        with keeper.lock:
            keeper.views.put([Change(A, None)])
            keeper.views.configure([EVERYONE])
        eventually(lambda: version() == 1, 10, "one view")
    finally:
        ticking.shutdown()
        ticking.join(10)
        store.shutdown()
        assert store.join(10)
