"""Views share no neighbor, keep what was announced to theirs when they are divided, and come together again."""

from dataclasses import replace
from itertools import product

import pytest

from dnstap_bgp.core.exabgp.budget import GIVE_WAY_S, Budget
from dnstap_bgp.core.exabgp.views import RestorePhase, Views
from dnstap_bgp.core.model import (
    EVERYONE,
    Attributes,
    Audience,
    Change,
    PerView,
    RibRecord,
    ViewPrefix,
    unknown_attributes,
)

ONE, TWO = (Attributes(bytes([192, 0, 2, number])) for number in (1, 2))
X, Y = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"
ONLY_A, BUT_A = Audience((A,)), Audience((A,), is_except=True)
AUDIENCES = [Audience(names, is_except=sign) for names, sign in product(((), (A,), (B,), (A, B)), (False, True))]


def say(view, *, done=True):
    """Have everything of a view taken and answered."""
    reconciler, said = view.reconciler, []
    while (batch := reconciler.take(0, low_latency=False, attribute_changes=True)) is not None:
        reconciler.answered(batch, done=done)
        reconciler.settle(batch)
        said.append((batch.transition.verb.value, batch.transition.attributes, batch.prefixes))
    return said


def of(views, address):
    view = views.of(address)
    assert view is not None
    return view


def announced(view):
    return {prefix: one for shard in view.reconciler.adj_rib_out.shards for prefix, one in shard.items()}


@pytest.mark.parametrize(("one", "other"), list(product(AUDIENCES, AUDIENCES)))
def test_audiences_are_sets(one, other):
    for address in (A, B, C):
        assert (address in one & other) == (address in one and address in other)
        assert (address in one | other) == (address in one or address in other)
        assert (address in one - other) == (address in one and address not in other)
    assert bool(one - other) == any(address in one - other for address in (A, B, C))
    assert (one == other) == all((address in one) == (address in other) for address in (A, B, C))


def test_the_order_of_names_is_kept_and_means_nothing():
    assert Audience((A, B)) == Audience((B, A))
    assert hash(Audience((A, B))) == hash(Audience((B, A)))
    assert Audience((B, A)).names == (B, A)
    assert str(Audience((A, B), is_except=True)) == f"everyone except {A}, {B}"
    assert str(EVERYONE) == "everyone"


def test_a_view_that_is_split_keeps_what_was_announced():
    views = Views()
    views.put([Change(X, ONE)])
    (everyone,) = views
    batch = everyone.reconciler.take(0, low_latency=False, attribute_changes=True)
    assert batch is not None
    views.configure([ONLY_A, BUT_A])
    parts = {str(view.audience): view for view in views}
    assert set(parts) == {A, f"everyone except {A}"}
    assert all(announced(view) == {X: ONE} for view in views)
    assert len(views.owners(batch)) == 2, "the line in flight is both parts'"
    for view in views.owners(batch):
        view.reconciler.answered(batch, done=True)
        view.reconciler.settle(batch)
    of(views, A).reconciler.put([Change(X, TWO)])
    of(views, B).reconciler.put([Change(X, None)])
    assert say(of(views, A)) == [("announce", TWO, (X,))]
    assert say(of(views, B)) == [("withdraw", ONE, (X,))]


def test_parts_that_hold_the_same_are_joined():
    views = Views()
    views.configure([ONLY_A, BUT_A])
    of(views, A).reconciler.put([Change(X, ONE)])
    say(of(views, A))
    views.configure([EVERYONE])
    assert len(views) == 2
    for view in views:
        view.reconciler.put([Change(X, ONE)])
        say(view)
    views.join()
    (view,) = views
    assert (view.audience, announced(view)) == (EVERYONE, {X: ONE})


def test_whom_no_list_serves_any_more_has_everything_withdrawn():
    views = Views()
    views.configure([ONLY_A, BUT_A])
    for view in views:
        view.reconciler.put([Change(X, ONE)])
        say(view)
    views.configure([ONLY_A])
    assert len(views) == 2, "what was announced is not forgotten"
    views.put([Change(X, ONE)])
    assert say(of(views, B)) == [("withdraw", ONE, (X,))]
    views.join()
    assert [str(view.audience) for view in views] == [A]
    assert announced(of(views, A)) == {X: ONE}
    assert views.take_corrections() == [(ViewPrefix(X, BUT_A), None)], "the state file learns of it all the same"


def test_corrections_say_whom_they_are_about():
    views = Views()
    views.configure([ONLY_A, BUT_A])
    of(views, A).reconciler.put([Change(X, ONE)])
    say(of(views, A))
    of(views, A).reconciler.put([Change(X, None)])
    say(of(views, A))
    assert views.take_corrections() == [(ViewPrefix(X, ONLY_A), None)]
    assert views.take_corrections() == []


def test_corrections_from_before_a_split_are_about_all_parts():
    views = Views()
    for wanted in (ONE, None):
        views.put([Change(X, wanted)])
        say(of(views, A))
    views.configure([ONLY_A, BUT_A])
    assert len(views) == 2
    assert views.take_corrections() == [(X, None)]


def test_routes_are_counted_by_neighbor():
    views = Views()
    views.configure([ONLY_A, Audience((B,))])
    of(views, A).reconciler.put([Change(X, ONE)])
    say(of(views, A))
    assert [views.count_of(address).total() for address in (A, B, C)] == [1, 0, 0]


def test_a_view_with_nobody_left_is_no_fault_of_its_routes():
    views = Views()
    views.configure([ONLY_A, BUT_A])
    views.reach(frozenset({A}), again=False)
    for view in views:
        view.reconciler.put([Change(X, ONE)])
    assert views.backlog.refused == 0
    views.reach(frozenset({B}), again=False)
    assert views.backlog.refused == 1, "a named neighbor that ExaBGP doesn't have is one"


def named(attributes, *names):
    return replace(attributes, neighbors=names)


def test_the_only_view_is_recorded_as_ever():
    """As 0.1.0 writes what a list with `peers` gets: the prefix alone, and the neighbors among its attributes."""
    views = Views()
    views.configure([Audience((B, A))])
    assert views.is_one
    views.put([Change(X, named(ONE, B, A))])
    assert say(of(views, A)) == [("announce", ONE, (X,))]
    assert views.walk(X[-1]) == [(X, named(ONE, B, A))]
    assert views.records([(Y, TWO), (X, None)], of(views, A).audience) == [(Y, named(TWO, B, A)), (X, None)]
    views.put([Change(X, None)])
    say(of(views, A))
    assert views.take_corrections() == [(X, None)]


def test_records_of_the_only_view_come_back():
    views = Views()
    views.configure([Audience((B, A))])
    views.recall([(Y, named(TWO, A, B)), (X, named(ONE, B, A)), (Y, None)])
    assert len(views) == 1
    assert announced(of(views, A)) == {X: ONE}


def test_records_that_name_several_sets_of_neighbors_come_back_to_each():
    views = Views()
    views.recall([(X, named(ONE, A)), (Y, named(ONE, B)), (X, named(TWO, B))])
    assert {address: announced(of(views, address)) for address in (A, B, C)} == {
        A: {X: ONE},
        B: {X: TWO, Y: ONE},
        C: {},
    }


def test_records_about_everyone_come_back_to_whom_no_list_serves():
    views = Views()
    views.configure([ONLY_A])
    assert [str(view.audience) for view in views] == [A]
    views.recall([(X, ONE)])
    assert announced(of(views, A)) == announced(of(views, B)) == {X: ONE}
    views.configure([ONLY_A])
    views.put([Change(X, named(ONE, A))])
    views.resync(X[-1])
    assert say(of(views, B)) == [("withdraw", ONE, (X,))]
    assert say(of(views, A)) == [("announce", ONE, (X,))], "it is stale: nobody knows whether ExaBGP has it"
    views.join()
    assert views.is_one


def test_records_that_overlap_are_taken_in_order():
    records: list[RibRecord] = [
        (X, ONE),
        (ViewPrefix(X, ONLY_A), TWO),
        (ViewPrefix(Y, BUT_A), TWO),
        (Y, None),
        (ViewPrefix(Y, ONLY_A), ONE),
        (ViewPrefix(X, BUT_A), None),
    ]
    for split in range(len(records)):
        views = Views()
        views.recall(records[:split])
        views.recall(records[split:])
        assert announced(of(views, A)) == {X: TWO, Y: ONE}
        assert announced(of(views, B)) == {}


def test_the_views_of_a_file_are_divided_as_often_as_need_be():
    views = Views()
    audiences = [Audience((A, B)), Audience((B, C)), Audience((C,), is_except=True), EVERYONE]
    views.recall([(ViewPrefix(X, audience), (ONE, TWO)[number % 2]) for number, audience in enumerate(audiences)])
    assert {address: announced(of(views, address)) for address in (A, B, C)} == {key: {X: TWO} for key in (A, B, C)}


def test_one_view_of_another_is_no_attribute_change():
    """From one list's `peers` to others: what A has stays as it is, B gets it, and there is one view again."""
    views = Views()
    views.configure([ONLY_A])
    views.put([Change(X, named(ONE, A))])
    say(of(views, A))
    views.configure([Audience((B, A))])
    views.put([Change(X, named(ONE, B, A))])
    assert say(of(views, A)) == []
    assert say(of(views, B)) == [("announce", ONE, (X,))]
    views.join()
    (view,) = views
    assert view.audience.names == (B, A), "in the order of the file, as it is recorded"


def test_no_list_serves_anybody():
    views = Views()
    views.put([Change(X, ONE)])
    (view,) = views
    say(view)
    views.configure([])
    views.put([Change(X, None)])
    assert say(view) == [("withdraw", ONE, (X,))]
    views.join()
    assert (len(views), sum(views.backlog), views.sole.is_empty) == (1, 0, True)


def test_a_neighbor_that_is_due_its_whole_table_gets_it_before_its_view_is_joined():
    views = Views()
    views.recall([(ViewPrefix(X, ONLY_A), unknown_attributes(X)), (ViewPrefix(Y, BUT_A), ONE)])
    views.configure([EVERYONE])
    views.put([Change(X, None), Change(Y, ONE)])
    for view in views:
        say(view)
    views.join()
    assert len(views) == 2
    assert of(views, A).reconciler.adj_rib_out.repair_due
    of(views, A).reconciler.adj_rib_out.repair_due = False
    views.join()
    assert len(views) == 1


def test_a_line_that_was_prepared_for_fewer_neighbors_is_recorded_anew():
    views = Views()
    views.configure([ONLY_A, BUT_A])
    wanted = PerView(ONE.next_hop, by_view=(None, ONE))
    views.put([Change(X, wanted)], bulk=True)
    view = of(views, B)
    batch = view.reconciler.peek(low_latency=False, attribute_changes=True)
    prepared = view.prepared.prepare(batch, (B,), view.audience)
    views.put([Change(X, None)])
    views.configure([EVERYONE])
    assert len(views) == 1
    views.put([Change(X, ONE)], bulk=True)
    batch = view.reconciler.take(0, low_latency=False, attribute_changes=True)
    line = view.prepared.line(batch, (B,), view.audience)
    assert line is not prepared
    assert line.audience == EVERYONE
    assert views.take_corrections() == [(ViewPrefix(X, BUT_A), None)]


def test_views_without_a_neighbor_are_counted_in_with_the_only_one_that_has_some():
    """ExaBGP has no router but A: "everyone except A" has all of its wishes refused, and nothing is announced to it."""
    views = Views()
    views.configure([ONLY_A, BUT_A])
    views.put([Change(X, PerView(ONE.next_hop, by_view=(ONE, ONE)))])
    assert not views.is_one, "nobody knows who is there"
    views.reach(frozenset({A}), again=False)
    assert views.is_one
    say(of(views, A))
    assert views.walk(X[-1]) == [(X, ONE)]
    views.reach(frozenset({A, B}), again=False)
    assert not views.is_one
    say(of(views, B))
    assert {key for key, _ in views.walk(X[-1])} == {ViewPrefix(X, ONLY_A), ViewPrefix(X, BUT_A)}
    views.put([Change(X, PerView(ONE.next_hop, by_view=(ONE, None)))])
    views.reach(frozenset({A}), kept=frozenset({B}), again=False)
    assert not views.is_one, "what B has is still its own"


def test_what_is_recorded_for_fewer_neighbors_stays_so():
    """A correction of before a join is about one part: it says nothing of the other."""
    views = Views()
    views.configure([Audience((A, B)), Audience((C,))])
    assert views.records([(X, None)], ONLY_A) == [(ViewPrefix(X, ONLY_A), None)]
    views.configure([Audience((A, B))])
    views.join()
    assert views.is_one
    assert views.records([(X, None)], ONLY_A) == [(ViewPrefix(X, ONLY_A), None)]


def test_a_part_of_a_view_goes_on_as_the_whole_did():
    views = Views()
    (everyone,) = views
    everyone.updates_asked, everyone.draining_since = 5, 7.0
    everyone.pause_after_refusal(10.0)
    views.configure([ONLY_A, BUT_A])
    first, second = views
    for part in (first, second):
        assert (part.updates_asked, part.draining_since, part.pause_s, part.pause_until) == (5, 7.0, 1.0, 11.0)
    first.end_pause()
    assert (second.pause_s, second.pause_until) == (1.0, 11.0), "each has its own"
    for part, pause_s in ((first, 1.0), (second, 2.0)):
        part.pause_after_refusal(20.0)
        assert (part.pause_s, part.pause_until) == (pause_s, 20.0 + pause_s)


def test_pauses_after_refusals_grow_until_a_line_is_taken():
    (view,) = Views()
    pauses = []
    for _ in range(3):
        view.pause_after_refusal(10.0)
        pauses.append((view.pause_s, view.pause_until))
    assert pauses == [(1.0, 11.0), (2.0, 12.0), (4.0, 14.0)]
    view.end_pause()
    assert (view.pause_s, view.pause_until) == (0.0, 0.0)
    view.pause_after_refusal(20.0)
    assert (view.pause_s, view.pause_until) == (1.0, 21.0)


def test_nobody_waits_for_what_gave_way_while_budgets_are_adjusted(monkeypatch):
    views, woken = Views(), []
    (view,) = views
    view.budget = Budget(1, lambda _: 0.0, lambda _: True)
    views.budgeted = (view,)
    view.budget.given_way.append(X)
    views.acknowledgments.awaited = {X: None}
    views.acknowledgments.wake = lambda: woken.append(True)
    monkeypatch.setattr(views, "awaited_stage", lambda _: "left-out")
    assert not views.adjust(1)
    assert (view.budget.given_way, woken) == ([], [True])


def test_budgets_are_adjusted_in_steps_that_they_share():
    views = Views()
    views.configure([ONLY_A, Audience((B,)), Audience((A, B), is_except=True)], {A: 1, B: 1})
    prefixes = [bytes([10, 0, 0, number]) for number in range(1, 7)]
    for budget in (first := of(views, A).budget, second := of(views, B).budget):
        assert budget is not None
        budget.decide([Change(prefix, ONE) for prefix in prefixes])
        budget.limit = 5
    assert first is not None
    assert second is not None
    sizes = []
    for at_most in (0, 1, 2, 4):
        assert views.adjust(at_most) is (at_most < 4)
        sizes.append((len(first), len(second)))
    assert sizes == [(2, 2), (3, 3), (4, 4), (5, 5)]


def test_a_budget_has_decided_about_what_it_has_seen():
    (view,) = Views()
    assert not view.has_decided(X)
    view.budget = Budget(1, lambda _: 0.0, lambda _: True)
    view.budget.decide([Change(X, ONE)], bulk=False)
    assert (view.has_decided(X), view.has_decided(Y)) == (True, False)


def test_what_is_left_out_is_told_so_and_tries_again_once_it_is_seen_later():
    views, seen = Views(), {X: 0.0, Y: 0.0}
    views.last_seen = seen.__getitem__
    views.configure([ONLY_A, BUT_A], {A: 1})
    views.put([Change(X, ONE), Change(Y, ONE)])
    assert [of(views, A).progress(prefix) for prefix in (X, Y)] == ["waiting", "left-out"]
    assert not views.seen([X, Y]), "the reconcilers have nothing new"
    seen[Y] = GIVE_WAY_S + 1
    assert views.seen([X, Y])
    assert [of(views, A).progress(prefix) for prefix in (X, Y)] == ["left-out", "waiting"]


def test_what_is_put_again_after_a_restore_is_what_was_announced_and_seemed_unwanted():
    views = Views()
    views.recall([(X, ONE), (Y, ONE)])
    views.phase = RestorePhase.ADOPT
    never = bytes([10, 0, 0, 3])
    views.put([Change(X, None), Change(Y, ONE), Change(never, None)])
    assert announced(of(views, A)) == {X: ONE, Y: ONE}, "another claim may come back"
    assert views.end_restore() == [X]
