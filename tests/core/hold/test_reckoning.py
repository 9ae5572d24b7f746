"""Reckonings: each case of what an answer's routes may be up to."""

from dataclasses import replace

import pytest

from dnstap_bgp.core.exabgp.grammar import IPV4, IPV6
from dnstap_bgp.core.exabgp.neighbors import NeighborTasks
from dnstap_bgp.core.exabgp.views import RestorePhase, Views
from dnstap_bgp.core.hold.margins import Margins
from dnstap_bgp.core.hold.message import Verdict
from dnstap_bgp.core.hold.reckoning import Reckoning, prefixes_of, reckon
from dnstap_bgp.core.model import Attributes, Audience, Change, PerView, Policy, ViewPrefix
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Policies
from dnstap_bgp.core.routes.table import RouteTable
from tests.core.exabgp.test_neighbors import event, nothing, row
from tests.core.routes.tables import POLICY, packed, sighting

A, B, SIX = packed("11.0.0.1"), packed("11.0.0.2"), packed("2600::1")
ONE = Attributes(packed("192.0.2.1"))
ONE_SIX = Attributes(packed("2001:db8::ffff"))
FAST, SLOW = "192.0.2.9", "192.0.2.7"
MARGINS = Margins(0.003, {SLOW: 0.07})


class Scene:
    """Views and neighbors, by hand."""

    def __init__(self, *rows):
        self.views = Views()
        self.views.acknowledgments.keep_s = 0.07
        self.tasks = NeighborTasks()
        self.now = 100.0
        self.rows = list(rows) or [row(FAST)]
        self.look()
        self.look()

    def look(self):
        """Ask for the neighbors; after the second time nobody drains."""
        self.tasks.on_rows(self.rows, nothing, self.now)
        for neighbor in self.tasks.neighbors:
            neighbor.take_replay()

    def put(self, prefix, wanted=ONE, *, bulk=False):
        self.views.put([Change(prefix, wanted)], bulk=bulk)

    def take(self):
        return self.views.sole.take(0, low_latency=False, attribute_changes=True)

    def answer(self, batch, *, done=True):
        self.views.sole.answered(batch, done=done)
        self.views.acknowledgments.note(batch.prefixes, self.now, self.views.awaited_stage, done=done)

    def announce(self, prefix, wanted=ONE):
        self.put(prefix, wanted)
        self.answer(self.take())

    def reckon(self, *prefixes):
        return reckon(prefixes, self.views, self.tasks, MARGINS, self.now)


def test_a_new_route_is_awaited_and_then_installed():
    scene = Scene()
    scene.put(A)
    assert scene.reckon(A) == Reckoning(None, (A,), 0.0, 0.003)
    batch = scene.take()
    assert scene.reckon(A).awaited == (A,), "in flight"
    scene.answer(batch)
    found = scene.reckon(A)
    assert (found.verdict, found.awaited, found.margin_s) == (None, (), 0.003)
    assert found.ready_at == pytest.approx(100.003)
    scene.now = found.ready_at
    assert scene.reckon(A) == Reckoning(Verdict.THERE)


def test_the_slowest_neighbor_counts():
    scene = Scene(row(FAST), row(SLOW))
    scene.put(A)
    assert scene.reckon(A).margin_s == 0.07
    scene.answer(scene.take())
    scene.now += 0.069
    assert scene.reckon(A).verdict is None
    scene.now += 0.002
    assert scene.reckon(A).verdict is Verdict.THERE


def test_a_reckoning_without_a_wait_has_none():
    assert Reckoning(Verdict.THERE) == (Verdict.THERE, (), 0.0, 0.0)


def test_of_several_routes_the_last_one_counts():
    scene = Scene(row(FAST), row(SLOW))
    scene.announce(A)
    scene.now += 0.02
    scene.announce(B)
    for order in ((A, B), (B, A)):
        found = scene.reckon(*order)
        assert (found.verdict, found.awaited) == (None, ())
        assert (found.ready_at, found.margin_s) == (pytest.approx(100.09), 0.07)
    scene.now = 100.08
    assert scene.reckon(A).verdict is Verdict.THERE
    assert scene.reckon(A, B).verdict is None


def test_a_prefix_that_is_asked_for_twice_is_awaited_once():
    scene = Scene()
    scene.put(A)
    assert scene.reckon(A, A).awaited == (A,)


def test_a_neighbor_that_is_down_is_not_waited_for():
    scene = Scene(row(FAST), row(SLOW, up=False))
    scene.put(A)
    assert scene.reckon(A).margin_s == 0.003


def test_without_a_neighbor_nobody_waits():
    scene = Scene(row(up=False))
    scene.put(A)
    assert scene.reckon(A) == Reckoning(Verdict.NO_NEIGHBOR)
    assert reckon([A], scene.views, None, MARGINS, 0.0) == Reckoning(Verdict.NO_NEIGHBOR)


def test_a_neighbor_that_is_still_sent_what_piled_up_is_not_waited_for():
    scene = Scene()
    scene.tasks.on_state(event("down", 1, FAST), scene.now)
    scene.tasks.on_state(event("up", 2, FAST), scene.now)
    scene.put(A)
    assert scene.reckon(A).verdict is Verdict.NO_NEIGHBOR
    scene.look()
    scene.look()
    assert scene.reckon(A).verdict is None


@pytest.mark.parametrize(("routes", "drains_s"), [(0, 0.2), (2_000, 1.2)])
def test_few_routes_are_sent_before_the_rows_say_so(routes, drains_s):
    scene = Scene()
    scene.views.sole.recall([(bytes([12, 0, number >> 8, number & 255]), ONE) for number in range(routes)])
    scene.tasks.on_state(event("down", 1, FAST), scene.now)
    scene.tasks.on_state(event("up", 2, FAST), scene.now)
    scene.put(A)
    scene.now += drains_s - 0.01
    assert scene.reckon(A).verdict is Verdict.NO_NEIGHBOR
    scene.now += 0.02
    assert scene.reckon(A).verdict is None


def test_a_neighbor_that_is_told_everything_is_not_waited_for():
    scene = Scene()
    (neighbor,) = scene.tasks.neighbors
    neighbor.replay_all()
    scene.put(A)
    assert scene.reckon(A).verdict is Verdict.NO_NEIGHBOR


def test_a_family_that_a_neighbor_does_not_take_is_not_waited_for():
    scene = Scene(replace(row(), negotiated=frozenset({IPV4})), replace(row(SLOW), negotiated=frozenset({IPV6})))
    scene.put(A)
    scene.put(SIX, ONE_SIX)
    assert scene.reckon(A).margin_s == 0.003
    assert scene.reckon(SIX).margin_s == 0.07


def test_a_restored_route_counts_as_new_until_it_was_said_again():
    scene = Scene()
    scene.views.sole.recall([(A, ONE)])
    scene.put(A, bulk=True)
    assert scene.reckon(A) == Reckoning(None, (A,), 0.0, 0.003)
    scene.answer(scene.take())
    scene.now += 1
    assert scene.reckon(A).verdict is Verdict.THERE


def test_an_awaited_route_goes_before_bulk():
    scene = Scene()
    for number in range(200):
        scene.put(bytes([11, 1, 0, number]), bulk=True)
    scene.put(A, bulk=True)
    scene.put(B, Attributes(packed("192.0.2.2")), bulk=True)
    assert scene.reckon(B).awaited == (B,)
    batch = scene.take()
    assert (batch.prefixes, batch.live) == ((B,), True)
    scene.views.sole.check_invariants()


def test_a_deferred_bulk_wish_goes_before_bulk_once_it_may():
    scene = Scene()
    scene.put(A)
    batch = scene.take()
    scene.put(A, Attributes(packed("192.0.2.2")), bulk=True)
    assert scene.reckon(A).awaited == (A,)
    scene.answer(batch)
    scene.views.sole.settle(batch)
    assert scene.take().live


def test_paused_is_off():
    scene = Scene()
    scene.put(A)
    scene.views.paused = True
    assert scene.reckon(A) == Reckoning(Verdict.OFF)


def test_what_exabgp_refuses_is_not_waited_for():
    scene = Scene()
    scene.put(A)
    (view,) = scene.views
    view.pause_s = 1.0
    assert scene.reckon(A) == Reckoning(Verdict.REFUSED)
    assert scene.reckon() == Reckoning(Verdict.REFUSED)


def test_one_new_route_among_others_is_waited_for():
    scene = Scene()
    scene.announce(A)
    scene.now += 1
    scene.put(B)
    assert scene.reckon(A, B).awaited == (B,)


def test_each_view_that_wants_the_route_counts():
    scene = Scene(row(FAST), row(SLOW))
    scene.views.configure([Audience((SLOW,)), Audience((SLOW,), is_except=True)])
    slow, fast = (scene.views.of(address) for address in (SLOW, FAST))
    assert slow is not None
    assert fast is not None
    fast.reconciler.put([Change(A, ONE)])
    assert scene.reckon(A).margin_s == 0.003, "the slow neighbor does not get it"
    slow.reconciler.put([Change(A, ONE)])
    assert scene.reckon(A) == Reckoning(None, (A,), 0.0, 0.07)
    batch = fast.reconciler.take(0, low_latency=False, attribute_changes=True)
    assert batch is not None
    fast.reconciler.answered(batch, done=True)
    assert next(iter(scene.views)) is fast
    assert scene.reckon(A) == Reckoning(None, (A,), 0.0, 0.07), "it stands at the fast one alone"
    fast.reconciler.put([Change(A, None)])
    batch = fast.reconciler.take(0, low_latency=False, attribute_changes=True)
    assert batch is not None
    fast.reconciler.answered(batch, done=True)
    assert scene.reckon(A) == Reckoning(None, (A,), 0.0, 0.07), "the fast one does not get it any more"
    fast.reconciler.put([Change(A, ONE)])
    scene.tasks.on_state(event("down", 1, FAST), scene.now)
    assert scene.reckon(A) == Reckoning(None, (A,), 0.0, 0.07), "the fast one is not there to get it"


def test_a_view_s_refusal_does_not_let_an_answer_go_before_another_s_margin():
    """The acknowledgment counts, and with it the margin of those who got the route."""
    scene = Scene(row(FAST), row(SLOW))
    scene.views.configure([Audience((FAST,)), Audience((FAST,), is_except=True)])
    fast, slow = (scene.views.of(address) for address in (FAST, SLOW))
    assert fast is not None
    assert slow is not None
    scene.views.acknowledgments.awaited = {A: None}
    for view, prefix, done in (
        (fast, A, False),
        (fast, B, True),  # so it is no ExaBGP that refuses everything
        (fast, None, False),
        (slow, A, True),
    ):
        if prefix is not None:
            view.reconciler.put([Change(prefix, ONE)])
        batch = view.reconciler.take(0, low_latency=False, attribute_changes=True)
        assert batch is not None
        view.reconciler.answered(batch, done=done)
        scene.views.acknowledgments.note(batch.prefixes, scene.now, scene.views.awaited_stage, done=done)
    assert (fast.progress(A), slow.progress(A)) == ("refused", "announced")
    assert scene.views.progress(A) == "refused", "for people"
    assert scene.views.acknowledgments.news[-1] == (A, scene.now, "announced")
    assert (scene.reckon(A).verdict, scene.reckon(A).margin_s) == (None, 0.07)


def test_prefixes_lead_to_addresses():
    network = packed("11.1.0.0") + b"\x10"
    table = RouteTable(Policies([POLICY], Guard(), None, {"default": [network]}))
    covered, refused = packed("11.1.2.3"), packed("11.9.9.9")
    table.observe([sighting(A), sighting(covered)], 0.0)
    assert prefixes_of([A, A, covered, refused], table) == [A, network]


def test_where_neighbors_differ_each_network_in_place_of_the_address_counts():
    """One of them alone would let the answer go before the other neighbor has any route."""
    far, near = packed("11.1.0.0") + b"\x10", packed("11.1.2.0") + b"\x18"
    of_slow = Policy("slow", Attributes(packed("192.0.2.1"), neighbors=(SLOW,)), None, 100.0)
    table = RouteTable(Policies([POLICY, of_slow], Guard(), None, {"default": [far], "slow": [near]}))
    inside = packed("11.1.2.3")
    table.observe([sighting(inside)], 0.0)
    assert table.wanted(inside) is None
    assert prefixes_of([inside], table) == [near, far]
    table.configure(Policies([POLICY, of_slow], Guard(), None, {"slow": [near]}))
    assert table.wanted(inside) is not None
    assert prefixes_of([inside, inside], table) == [inside, near]


def test_a_neighbor_whose_budget_is_full_is_not_waited_for():
    scene = Scene(row(FAST), row(SLOW))
    slow, others = Audience((SLOW,)), Audience((SLOW,), is_except=True)
    scene.views.last_seen = {A: 1.0, B: 1.0}.__getitem__
    scene.views.configure([slow, others], {SLOW: 1})
    wanted = PerView(ONE.next_hop, by_view=(ONE, ONE))
    scene.put(A, wanted)
    assert (scene.reckon(A).verdict, scene.reckon(A).margin_s) == (None, 0.07)
    scene.put(B, wanted)
    assert scene.reckon(B).margin_s == 0.003, "for the other neighbor alone"
    scene.put(B, PerView(ONE.next_hop, by_view=(ONE, None)))
    assert scene.reckon(B).verdict is Verdict.REFUSED, "at once"


def test_a_recalled_route_that_is_wanted_otherwise_is_said_again_while_claims_come_back():
    scene = Scene()
    scene.views.sole.recall([(A, ONE)])
    scene.views.phase = RestorePhase.ADOPT
    scene.put(A, Attributes(packed("192.0.2.2")))
    assert scene.reckon(A) == Reckoning(None, (A,), 0.0, 0.003)
    batch = scene.take()
    assert batch.transition.wanted == ONE
    scene.answer(batch)
    scene.now += 1
    assert scene.reckon(A).verdict is Verdict.THERE


def test_a_neighbor_with_a_budget_is_not_waited_for_while_claims_come_back():
    scene = Scene(row(FAST), row(SLOW))
    alone = Audience((SLOW,))
    scene.views.recall([(ViewPrefix(A, alone), ONE), (ViewPrefix(B, alone), ONE)])
    scene.views.configure([Audience((SLOW,), is_except=True), alone], {SLOW: 5})
    scene.views.phase = RestorePhase.ADOPT
    scene.put(A, PerView(ONE.next_hop, by_view=(ONE, ONE)))
    scene.put(B, PerView(ONE.next_hop, by_view=(None, ONE)))
    assert scene.reckon(A) == Reckoning(None, (A,), 0.0, 0.003)
    assert scene.reckon(B).verdict is Verdict.REFUSED
    scene.views.acknowledgments.awaited = {A: None}
    others = next(view for view in scene.views if view.budget is None)
    batch = others.reconciler.take(0, low_latency=False, attribute_changes=True)
    assert batch is not None
    others.reconciler.answered(batch, done=True)
    assert scene.views.progress(A) == "announced", "or the question would wait for the one with the budget"
    scene.views.end_restore()
    assert scene.views.progress(A) == "waiting"
