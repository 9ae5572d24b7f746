"""What neighbors are due beside routes, and when."""

from dnstap_bgp.core.exabgp.grammar import IPV4, IPV6
from dnstap_bgp.core.exabgp.neighbor_tasks import NeighborTasks
from dnstap_bgp.core.exabgp.neighbors import FLUSH_EVERY_S
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.model import Attributes, Audience, Change, PerView
from tests.core.exabgp.test_neighbors import BOTH, event, nothing, row


def test_neighbors_are_asked_for_only_after_what_an_event_does_not_tell():
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
