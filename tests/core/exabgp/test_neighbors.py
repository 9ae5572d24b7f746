"""Sessions of ExaBGP: what each is due, and one writer for what is known of it."""

import ast
from dataclasses import fields
from pathlib import Path

from dnstap_bgp.core.exabgp import neighbors as module
from dnstap_bgp.core.exabgp.grammar import IPV4, IPV6, NeighborRow, SessionIdentity, StateEvent
from dnstap_bgp.core.exabgp.neighbors import FLUSH_EVERY_S, NEIGHBORS_MAX, Neighbor, Neighbors, NeighborTasks
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.model import Attributes, Audience, Change, PerView

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
    assert neighbor.replay == BOTH


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
    assert (neighbor.up, neighbor.unconfirmed) == (False, True)
    neighbors.on_rows([row()], nothing, 2.0)
    assert (neighbor.up, neighbors.silent, neighbor.flush_due) == (True, True, True)
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
    assert len(neighbors) == NEIGHBORS_MAX
    neighbors.on_rows([row()], nothing, 0.0)
    assert len(neighbors) == 1


def test_a_row_that_cannot_be_read_is_a_neighbor_while_there_is_room():
    neighbors = Neighbors()
    neighbors.on_rows([], nothing, 0.0, ["192.0.2.1"])
    assert (len(neighbors), neighbors.others) == (1, frozenset())
    neighbors.on_rows([row(f"192.0.2.{number}") for number in range(NEIGHBORS_MAX)], nothing, 1.0, ["198.51.100.1"])
    assert "198.51.100.1" in neighbors.others


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
    assert tasks.flush(999.0 + FLUSH_EVERY_S, Views()) is None
    assert tasks.flush(1000.0 + FLUSH_EVERY_S, Views()) is neighbor


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
