"""Event feed: bounded for slow watchers, and without cost while nobody watches."""

import asyncio

from dnstap_bgp.workers.web import feed
from dnstap_bgp.workers.web.feed import QUEUE_MAX, TICK_MAX, WATCHERS_MAX, EventFeed, Watcher
from tests.integration.lab import eventually
from tests.workers.web.site_kit import Site, addresses
from tests.workers.web.watcher_kit import watching

A, B = b"\1\1\1\1", b"\1\1\1\2"


def test_nothing_is_recorded_while_nobody_watches(site: Site):
    assert not site.keeper.table.claims.recording
    with watching(site):
        assert site.keeper.table.claims.recording
    eventually(lambda: not site.keeper.table.claims.recording, 20, "the watcher is missed")
    site.see([A])
    site.tick()
    with watching(site) as one:  # what came before is not told
        site.see([B])
        site.tick()
        assert one.next()[1]["address"] == "1.1.1.2"


def test_of_a_burst_the_rest_is_counted(site: Site):
    with watching(site) as one:
        site.see(addresses(TICK_MAX + 500))
        site.tick()
        told = 0
        while (event := one.next())[0] == "learnt":
            told += 1
        assert (told, event) == (TICK_MAX, ("lost", {"count": 500}))
    assert site.get("/v1/status")["web"]["events_lost"] == 500


def test_a_watcher_that_was_displaced_leaves_once(site: Site):
    """It has its last words still to take when all others have left already; who else records would go without."""
    site.keeper.record(on=True)
    events = EventFeed(site.keeper)
    loop = asyncio.new_event_loop()
    watchers = [Watcher(asyncio.Event(), "alice", is_local=True) for _ in range(WATCHERS_MAX)]
    for watcher in (*watchers, newcomer := Watcher(asyncio.Event(), "bob", is_local=True)):
        assert events.join(loop, watcher)
    assert watchers[0].is_displaced
    for watcher in (*watchers[1:], newcomer, watchers[0]):
        events.leave(watcher)
    loop.close()
    assert site.keeper.table.claims.recording, "the one that began before them"
    site.keeper.record(on=False)


def test_a_slow_watcher_loses_and_is_told():
    watcher = Watcher(asyncio.Event())
    for _ in range(3):
        watcher.put([b"x"] * QUEUE_MAX, 0)
    assert watcher.lost == 2 * QUEUE_MAX
    taken = watcher.take()
    assert taken == b"x" * QUEUE_MAX + feed.encoded("lost", {"count": 2 * QUEUE_MAX})
    assert (watcher.lost, watcher.take()) == (0, b"")
