"""Sessions of ExaBGP: what each is due, and one writer for what is known of it."""

import ast
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from dnstap_bgp.core.exabgp import neighbors as module
from dnstap_bgp.core.exabgp.grammar import IPV4, IPV6, FamiliesEvent, NeighborRow, SessionIdentity, StateEvent
from dnstap_bgp.core.exabgp.kept_routes import RibCopy
from dnstap_bgp.core.exabgp.neighbors import NEIGHBORS_MAX, Neighbor, Neighbors, NeighborTasks
from dnstap_bgp.core.exabgp.update_queue import transition
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.model import EVERYONE, Attributes, Audience, Change, PerView

BOTH = frozenset({IPV4, IPV6})


def nothing(_address):
    return 0


def five(_address):
    return 5


def session(address="192.0.2.9"):
    return SessionIdentity(address, "192.0.2.8", 65001, 65002, "10.0.0.1")


def row(address="192.0.2.9", *, up=True, age_s=5, updates=0, configured=BOTH):
    return NeighborRow(session(address), up, age_s, configured, BOTH if up else frozenset(), updates)


def event(state, counter, address="192.0.2.9"):
    return StateEvent(address, state, session(address), counter)


def test_only_the_methods_of_neighbor_write_its_fields():
    names = {field.name for field in fields(Neighbor)}
    folder = Path(module.__file__).parents[2]
    for path in [*folder.glob("core/exabgp/*.py"), *folder.glob("workers/exabgp/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for target in targets:
                if isinstance(target, ast.Attribute) and target.attr in names:
                    assert ast.unparse(target.value) == "self", f"{path.name}:{target.lineno}"


def test_a_neighbor_of_the_first_look_needs_no_replay_and_a_later_one_does():
    neighbors = Neighbors()
    neighbors.on_rows([row()], nothing, 0.0)
    neighbors.on_rows([row(), row("192.0.2.7")], nothing, 1.0)
    assert [neighbor.replay for neighbor in neighbors] == [frozenset(), BOTH]


def test_a_flush_drains_anew():
    neighbors = Neighbors()
    neighbors.on_rows([row()], nothing, 0.0)
    (neighbor,) = neighbors
    assert not neighbor.is_drained(20_000, 0.0)
    assert neighbor.is_drained(5_000, 0.0), "the session is five seconds old"
    neighbor.went_down()
    neighbor.came_up(50.0)
    assert not neighbor.is_drained(0, 50.1)
    assert neighbor.is_drained(0, 50.3)
    neighbor.want_flush()
    neighbor.flush_asked(100.0)
    neighbor.task_answered(flush=True, done=True)
    assert not neighbor.is_drained(0, 100.1)
    assert neighbor.is_drained(0, 100.3)
    assert not neighbor.is_drained(10_000, 105.0)


def test_numbers_that_begin_again_tell_of_a_configuration_that_was_read():
    neighbors = Neighbors()
    neighbors.on_rows([row()], nothing, 0.0)
    (neighbor,) = neighbors
    neighbors.on_state(event("down", 4), 1.0)
    neighbors.on_state(event("up", 5), 2.0)
    assert not neighbor.replay
    neighbors.on_state(event("down", 1), 3.0)
    neighbors.on_state(event("up", 2), 4.0)
    assert neighbor.take_replay() == BOTH
    neighbors.on_state(event("down", 3), 5.0)
    neighbors.on_state(event("up", 4), 6.0)
    assert not neighbor.replay, "it was told everything since"
    neighbors.on_families(FamiliesEvent(session(), BOTH, 1), 7.0)
    neighbors.on_state(event("up", 5), 8.0)
    assert neighbor.replay == BOTH, "each kind of event has its number"


@pytest.mark.parametrize(
    ("up", "events", "rereads"),
    [
        (False, [(1, 60.0)], False),
        (False, [(1, 60.5)], True),  # down for so long, and no event was ever seen: it may have been away
        (True, [(1, 60.5)], False),
        (False, [(1, 1.0), (2, 100.0)], False),
        (False, [(3, 1.0), (3, 2.0)], True),
        (False, [(3, 1.0), (4, 2.0)], False),
        (False, [(3, 1.0), (2, 2.0), (3, 3.0)], True),
    ],
)
def test_numbers_of_events_tell_whether_the_configuration_was_read_again(up, events, rereads):
    neighbor = Neighbor(session(), BOTH, 0.0, up=up)
    for counter, now in events:
        neighbor.count_event(counter, now)
    assert neighbor.reread is rereads


def test_draining_ends_when_no_more_is_sent_than_was_said():
    neighbors = Neighbors()
    neighbors.on_rows([row(updates=10)], nothing, 0.0)
    assert neighbors.draining
    neighbors.on_rows([row(updates=40)], five, 1.0)
    assert neighbors.draining
    neighbors.on_rows([row(updates=45)], five, 2.0)
    assert not neighbors.draining


def test_a_row_that_contradicts_the_events_makes_up_for_them():
    neighbors = Neighbors()
    neighbors.on_rows([row(up=False)], nothing, 0.0)
    (neighbor,) = neighbors
    neighbors.on_rows([row()], nothing, 1.0)
    assert (neighbor.up, neighbor.unconfirmed, neighbors.silent) == (False, True, False)
    neighbors.on_rows([row()], nothing, 2.0)
    assert (neighbor.up, neighbors.silent, neighbor.flush_due) == (True, True, True)
    assert neighbor.take_replay() == BOTH
    neighbors.on_rows([row(up=False)], nothing, 3.0)
    assert (neighbor.up, neighbor.draining, neighbor.negotiated, neighbor.eor_due_since) == (False, False, None, None)
    assert not neighbor.replay, "it is down"
    neighbors.on_state(event("up", 1), 4.0)
    assert neighbor.replay == BOTH


def test_neighbors_are_asked_for_only_after_what_an_event_does_not_tell():
    neighbors = Neighbors()
    neighbors.on_rows([row()], nothing, 0.0)
    assert not neighbors.on_state(StateEvent("192.0.2.9", "connected", session(), 1), 1.0)
    assert neighbors.on_state(event("down", 2), 1.0), "it may be configured no more"
    assert neighbors.on_state(event("up", 3), 2.0), "its families are not known yet"
    assert neighbors.on_state(event("up", 4, "192.0.2.7"), 3.0), "nobody knows it"


def test_an_event_is_of_its_own_session_or_of_all_at_its_address_where_it_names_none():
    neighbors = Neighbors()
    neighbors.on_rows([row(up=False)], nothing, 0.0)
    (neighbor,) = neighbors
    other = SessionIdentity("192.0.2.9", "192.0.2.8", 65001, 65003, "10.0.0.1")
    neighbors.on_state(StateEvent("192.0.2.9", "up", other, 1), 1.0)
    assert not neighbor.up
    neighbors.on_state(StateEvent("192.0.2.7", "up", None, 2), 1.0)
    assert not neighbor.up
    neighbors.on_state(StateEvent("192.0.2.9", "up", None, 3), 1.0)
    assert neighbor.up
    neighbors.on_state(StateEvent("192.0.2.9", "down", session(), 4), 1.0)
    assert not neighbor.up


def test_sessions_are_bounded_and_forgotten_with_their_row():
    neighbors = Neighbors()
    neighbors.on_rows([row(f"192.0.2.{number}") for number in range(NEIGHBORS_MAX + 1)], nothing, 0.0)
    assert len(neighbors) == 1_000
    neighbors.on_rows([row()], nothing, 0.0)
    assert len(neighbors) == 1


def test_a_row_that_cannot_be_read_is_a_neighbor_while_there_is_room():
    neighbors = Neighbors()
    neighbors.on_rows([], nothing, 0.0, ["192.0.2.1"])
    assert (len(neighbors), neighbors.others) == (1, frozenset())
    neighbors.on_rows([row(f"192.0.2.{number}") for number in range(NEIGHBORS_MAX)], nothing, 1.0, ["198.51.100.1"])
    assert "198.51.100.1" in neighbors.others


def test_a_neighbor_whose_row_can_be_read_after_all_keeps_what_it_is_owed():
    """While its address stood for it, its attributes were changed as for one that is down, and it may keep routes."""
    neighbors = Neighbors()
    neighbors.on_rows([], nothing, 0.0, ["192.0.2.1"])
    (neighbor,) = neighbors
    copy: RibCopy = ({},)
    neighbor.keep(copy)
    neighbors.on_rows([row("192.0.2.1"), row("192.0.2.2")], nothing, 10.0)
    assert neighbors.at("192.0.2.1") == [neighbor]
    assert (neighbor.session, neighbor.configured) == (session("192.0.2.1"), BOTH)
    assert neighbor.up
    assert neighbor.draining
    assert neighbor.flush_due
    assert neighbor.replay == BOTH
    assert neighbor.copies == (copy,)
    (other,) = neighbors.at("192.0.2.2")
    assert not other.flush_due


def test_of_two_sessions_of_an_address_each_is_owed_what_the_address_was_owed():
    neighbors = Neighbors()
    neighbors.on_rows([], nothing, 0.0, ["192.0.2.1"])
    one = row("192.0.2.1")
    neighbors.on_rows([one, replace(one, session=replace(one.session, local_as=65009))], nothing, 10.0)
    assert [one.flush_due for one in neighbors] == [True, True]


def test_a_neighbor_that_was_refused_is_asked_about_once_it_is_up_again():
    tasks = NeighborTasks()
    tasks.on_rows([row()], nothing, 0.0)
    assert tasks.on_state(event("down", 1), 1.0)
    tasks.on_rows([row()], nothing, 2.0)
    (neighbor,) = tasks.neighbors
    neighbor.negotiate(BOTH)
    assert not tasks.on_state(event("up", 2), 3.0)
    neighbor.refuse(4.0)
    assert tasks.on_state(event("up", 3), 5.0), "it is ours after all"


def test_end_of_rib_waits_for_the_restore_and_for_what_waits_in_the_own_view():
    tasks, views = NeighborTasks(), Views()
    tasks.on_rows([row()], nothing, 0.0)
    views.configure([Audience(("192.0.2.9",)), Audience(("192.0.2.9",), is_except=True)])
    assert tasks.end_of_rib(0.0, views) is None
    tasks.restored = True
    one = Attributes(bytes(4))
    views.put([Change(bytes(4), PerView(bytes(4), by_view=(one, one)))], bulk=True)
    assert tasks.end_of_rib(0.0, views) is None
    views.put([Change(bytes(4), PerView(bytes(4), by_view=(None, one)))], bulk=True)
    due = [tasks.end_of_rib(0.0, views) for _ in range(3)]
    assert [one and one[1] for one in due] == [IPV4, IPV6, None]


def test_a_flush_comes_once_a_minute_and_not_while_draining():
    tasks = NeighborTasks()
    tasks.on_rows([row()], nothing, 1000.0)
    (neighbor,) = tasks.neighbors
    neighbor.want_flush()
    assert tasks.flush(1000.0, Views()) is None
    tasks.on_rows([row()], nothing, 1000.0)
    assert tasks.flush(1000.0, Views()) is neighbor
    neighbor.task_answered(flush=True, done=True)
    neighbor.want_flush()
    for _ in range(2):
        tasks.on_rows([row()], nothing, 1001.0)
    assert tasks.flush(1059.5, Views()) is None
    assert tasks.flush(1060.0, Views()) is neighbor


def test_a_foreign_neighbor_is_left_alone_for_longer_and_longer():
    neighbor = Neighbor(session(), BOTH, 0.0)
    pauses = []
    for _ in range(8):
        neighbor.refuse(1000.0)
        pauses.append(neighbor.probe_at - 1000.0)
    assert pauses == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0]
    neighbor.expect_back(1001.0)
    assert neighbor.probe_at == 1006.0, "as soon as ExaBGP has read its configuration"
    neighbor.refuse(1006.0)
    assert neighbor.probe_at == 1066.0, "and then as in the beginning"
    neighbor.expect_back(1064.0)
    assert neighbor.probe_at == 1066.0, "no later by it"


def test_a_foreign_neighbor_and_one_in_doubt_are_tried_when_their_time_has_come():
    tasks = NeighborTasks()
    tasks.on_rows([row(), row("192.0.2.7"), row("192.0.2.6")], nothing, 0.0)
    foreign, doubted, _ = tasks.neighbors
    foreign.refuse(0.0)
    doubted.doubt(None, 50.0)
    found = [tasks.take_probes(now) for now in (54.9, 55.0, 59.9, 60.0)]
    assert found == [[], ["192.0.2.7"], ["192.0.2.7"], ["192.0.2.9", "192.0.2.7"]]


def test_an_answer_proves_something_only_once_the_configuration_was_read():
    neighbor = Neighbor(session(), BOTH, 0.0)
    assert not neighbor.adopt(0.0)
    assert neighbor.proven
    neighbor.doubt(None, 10.0)
    assert (neighbor.proven, neighbor.missed) == (False, False)
    assert not neighbor.adopt(14.9)
    assert not neighbor.proven, "it may be of before"
    assert not neighbor.adopt(15.0), "it was ours all the time"
    assert (neighbor.proven, neighbor.replay, neighbor.flush_due) == (True, frozenset(), False)
    neighbor.doubt(None, 20.0)
    neighbor.doubt(None, 22.0)
    assert not neighbor.adopt(26.9)
    assert neighbor.adopt(27.0), "nobody knows of the time between the two"
    assert (neighbor.proven, neighbor.replay, neighbor.flush_due) == (True, BOTH, True)


def test_a_foreign_neighbor_that_is_ours_before_its_proof_is_due_has_to_prove_that_it_stays_so():
    """It comes up by the first of two reloads, and the second, which may take it away, is yet to be read."""
    neighbor = Neighbor(session(), BOTH, 0.0)
    neighbor.refuse(0.0)
    neighbor.expect_back(10.0)
    assert not neighbor.missed
    neighbor.expect_back(12.0)
    assert neighbor.missed, "it may have been ours between the two"
    assert neighbor.adopt(13.0)
    assert (neighbor.foreign, neighbor.proven, neighbor.proof_due_at) == (False, False, 17.0)
    assert not neighbor.adopt(17.0)
    assert (neighbor.proven, neighbor.proof_due_at) == (True, None)


@pytest.mark.parametrize("had_it", [True, False])
def test_before_an_attribute_change_only_those_that_are_down_and_had_the_route_withdraw(had_it):
    tasks, (up, down) = NeighborTasks(), ("192.0.2.9", "192.0.2.7")
    tasks.on_rows([row(up), row(down, up=False)], nothing, 0.0)
    one = Attributes(bytes([192, 0, 2, 1]), neighbors=(up, down) if had_it else (up,))
    update = transition(bytes(4), one, Attributes(bytes([192, 0, 2, 2])))
    assert [neighbor.address for neighbor in tasks.begin_change(update, EVERYONE)] == ([down] if had_it else [])


def test_an_attribute_change_waits_a_minute_at_most_for_a_neighbor_that_drains():
    tasks = NeighborTasks()
    tasks.on_rows([row()], nothing, 0.0)
    (view,) = Views()
    calm = [tasks.is_calm(view, now, waiting=True) for now in (0.0, 59.9, 60.0)]
    assert calm == [False, False, True]
    assert not tasks.is_calm(view, 70.0, waiting=False)
    assert not tasks.is_calm(view, 71.0, waiting=True), "another one waits from now on"
    assert tasks.is_calm(view, 131.0, waiting=True)
    tasks.on_rows([row()], nothing, 132.0)
    assert tasks.is_calm(view, 132.0, waiting=True), "it drains no more"
    assert view.draining_since is None


def test_end_of_rib_waits_half_a_minute_at_most_for_what_is_live_and_for_all_of_bulk():
    tasks, views = NeighborTasks(), Views()
    tasks.on_rows([row()], nothing, 50.0)
    tasks.restored = True
    one = Attributes(bytes(4))
    views.put([Change(bytes(4), one)])
    assert not tasks.is_any_due(79.9, views)
    assert tasks.end_of_rib(79.9, views) is None
    assert tasks.is_any_due(80.0, views)
    due = tasks.end_of_rib(80.0, views)
    assert due is not None
    assert due[1] == IPV4
    views.put([Change(bytes([0, 0, 0, 1]), one)], bulk=True)
    assert tasks.end_of_rib(300.0, views) is None


def test_a_family_that_a_neighbor_s_configuration_gains_is_replayed_alone():
    neighbors = Neighbors()
    neighbors.on_rows([row(configured=frozenset({IPV4}))], nothing, 0.0)
    neighbors.on_rows([row()], nothing, 1.0)
    (neighbor,) = neighbors
    assert neighbor.replay == {IPV6}


@pytest.mark.parametrize(("age_s", "missed"), [(5, False), (4, True)])
def test_a_session_that_is_younger_than_before_is_another_one(age_s, missed):
    neighbors = Neighbors()
    neighbors.on_rows([row(age_s=5)], nothing, 0.0)
    neighbors.on_rows([row(age_s=age_s)], nothing, 1.0)
    (neighbor,) = neighbors
    assert (neighbor.flush_due, bool(neighbor.replay)) == (missed, missed)


def test_addresses_over_the_bound_are_bounded_too(monkeypatch):
    monkeypatch.setattr(module, "NEIGHBORS_MAX", 1)
    monkeypatch.setattr(module, "OTHERS_MAX", 2)
    rows = [row(f"192.0.2.{number}") for number in range(4)]
    neighbors, found = Neighbors(), []
    for count in (3, 4):
        neighbors.on_rows(rows[:count], nothing, 0.0)
        found.append((len(neighbors.others), neighbors.incomplete, neighbors.reachable))
    assert found == [(2, False, frozenset(one.session.address for one in rows[:3])), (0, True, None)]


def test_a_foreign_neighbor_is_due_nothing_until_its_events_come():
    tasks = NeighborTasks()
    tasks.on_rows([row()], nothing, 0.0)
    (neighbor,) = tasks.neighbors
    neighbor.refuse(0.0)
    assert tasks.neighbors.reachable == frozenset()
    tasks.on_state(event("up", 1), 1.0)
    assert tasks.neighbors.reachable == {"192.0.2.9"}
    views = Views()
    replay = tasks.replay(next(iter(views)), views, 0)
    assert replay is not None
    assert replay.families == BOTH


def test_of_a_neighbor_that_was_just_seen_nothing_is_known_or_due():
    found = asdict(Neighbor(session(), BOTH, 7.0))
    assert {name for name, value in found.items() if value} == {"session", "configured", "since"}


def test_a_session_that_comes_up_drains_from_then_on():
    neighbor = Neighbor(session(), BOTH, 0.0)
    neighbor.came_up(10.0)
    assert (neighbor.drains_since, neighbor.eor_due_since) == (10.0, 10.0)
    neighbor.came_up(10.0, 4.0)
    assert (neighbor.drains_since, neighbor.eor_due_since) == (6.0, 10.0), "a row tells of it: it is older"


def test_a_neighbor_that_is_refused_has_nothing_left_to_prove():
    neighbor = Neighbor(session(), BOTH, 0.0)
    neighbor.adopt(0.0)
    neighbor.refuse(1.0)
    assert not neighbor.proven
    neighbor.doubt(None, 2.0)
    neighbor.refuse(3.0)
    assert neighbor.proof_due_at is None


def test_an_end_of_rib_that_was_missed_is_none_of_the_next_session():
    neighbor = Neighbor(session(), BOTH, 0.0)
    neighbor.came_up(0.0)
    neighbor.task_answered(flush=False, done=False)
    assert (neighbor.end_of_rib_missed, neighbor.eor_due_since) == (True, None)
    neighbor.compare(row(), 1.0)
    assert (neighbor.end_of_rib_missed, neighbor.eor_due_since) == (False, 1.0), "it was refused in haste"
    neighbor.task_answered(flush=False, done=False)
    neighbor.went_down()
    neighbor.came_up(5.0)
    neighbor.compare(row(), 6.0)
    assert neighbor.eor_due_since == 5.0


def replaying(*families):
    """Tasks of one neighbor, its only view, and its replay of these families."""
    tasks, views = NeighborTasks(), Views()
    tasks.on_rows([row()], nothing, 0.0)
    (neighbor,) = tasks.neighbors
    neighbor.replay = frozenset(families)
    (view,) = views
    view.reconciler.recall([(bytes(4), Attributes(bytes([192, 0, 2, 1])))])
    return tasks, views, tasks.replay(view, views, 0)


def test_a_replay_that_is_due_amid_another_one_is_of_the_families_of_both():
    tasks, views, replay = replaying(IPV4)
    assert replay.families == {IPV4}
    (neighbor,), (view,) = tasks.neighbors, views
    neighbor.replay = frozenset({IPV6})
    assert tasks.replay(view, views, 0).families == BOTH
    neighbor.replay = frozenset({IPV4})
    tasks.replay_ended(tasks.replay(view, views, 0))
    neighbor.replay = frozenset({IPV6})
    assert tasks.replay(view, views, 0).families == {IPV6}


@pytest.mark.parametrize("then", ["retry", "whole replay", "gone"])
def test_what_a_replay_gave_up_is_tried_again_once(then):
    tasks, views, _ = replaying(IPV4)
    (neighbor,), (view,) = tasks.neighbors, views
    given_up = []
    for _ in range(3):  # in its line, and alone twice
        replay = tasks.replay(view, views, 0)
        batch = view.reconciler.take(0, low_latency=False, attribute_changes=True, replay=replay)
        if batch is not None:
            view.reconciler.answered(batch, done=False)
            given_up.append(tasks.replay_refused(batch))
    assert [*filter(None, given_up)] == [bytes(4)]
    tasks.replay_ended(replay)
    if then == "whole replay":
        neighbor.replay_all()
        tasks.replay_ended(tasks.replay(view, views, 0))
    elif then == "gone":
        tasks.on_rows([], nothing, 1.0)
    tasks.retry()
    again = tasks.replay(view, views, 0)
    assert (again is not None) == (then == "retry")
    if again is not None:
        assert again.take(9) == [bytes(4)]
        tasks.replay_ended(again)
        tasks.retry()
        assert tasks.replay(view, views, 0) is None
