"""ExaBGP dies, hangs, or is restarted; the router dies and comes back."""

import os
import signal
import time

import pytest

from tests.faults.scene import Watch, addresses, prefixes, three_sets_equal
from tests.integration.lab import HOST_V4, Lab, becomes, eventually
from tests.integration.routers import Bird, Route, Session
from tests.integration.speaker import Speaker
from tests.integration.tap_sender import send, sightings

pytestmark = [pytest.mark.netns, pytest.mark.real("bird", "birdc"), pytest.mark.timeout(300)]


@pytest.fixture
def bird(lab: Lab) -> Bird:
    bird = Bird(lab, Session(2))
    bird.start()
    return bird


@pytest.fixture
def speaker(lab: Lab, bird: Bird) -> Speaker:
    speaker = Speaker(lab, [bird.session], ["stays.example", "goes.example"])
    speaker.start()
    return speaker


@pytest.mark.parametrize("how", ["kill -9 of ExaBGP", "kill -9 of up", "stop"])
def test_a_restart_keeps_what_is_live_and_drops_what_is_stale(speaker: Speaker, bird: Bird, how: str):
    """Graceful restart: the router forwards all the time, and what became stale goes with our End-of-RIB."""
    stays, goes = addresses(800), addresses(300, first=5000)
    send(speaker.tap, [*sightings("stays.example", stays), *sightings("goes.example", goes)])
    three_sets_equal(speaker, [bird], prefixes(stays + goes))
    with Watch(bird, prefixes(stays)) as watch:
        if how == "kill -9 of ExaBGP":
            os.kill(speaker.host_pid(), signal.SIGKILL)
            eventually(lambda: not speaker.daemon.alive(), 15, "`up` ends with its ExaBGP")
        elif how == "kill -9 of up":
            host = speaker.host_pid()
            speaker.daemon.kill()
            eventually(lambda: not os.path.exists(f"/proc/{host}"), 15, "ExaBGP ends with its `up`")  # noqa: PTH110 - a path of the kernel
        else:
            speaker.stop()
        eventually(lambda: not bird.up(), 15, "the session is gone")
        assert bird.prefixes() == prefixes(stays + goes), "held by the router through the restart"
        speaker.write(["stays.example"])
        speaker.start()
        three_sets_equal(speaker, [bird], prefixes(stays), 60)
    assert not watch.flapped()


def test_on_stop_withdraw_clears_the_routes(lab: Lab, bird: Bird):
    speaker = Speaker(lab, [bird.session], on_stop="withdraw")
    speaker.start()
    send(speaker.tap, sightings("www.example", addresses(50)))
    becomes(bird.prefixes, prefixes(addresses(50)), 15, "the routes")
    speaker.stop()
    becomes(bird.prefixes, set(), 5, "cleared with the session")


def test_claims_run_out_while_everything_is_down(lab: Lab, bird: Bird):
    """Downtime counts: what expired meanwhile is not announced again, and its ghost at the router goes."""
    speaker = Speaker(lab, [bird.session], ttl="6s")
    speaker.start()
    send(speaker.tap, sightings("old.example", addresses(100)))
    becomes(bird.prefixes, prefixes(addresses(100)), 5, "the routes")
    seen = time.monotonic()
    speaker.stop()
    time.sleep(max(0.0, seen + 7 - time.monotonic()))  # past their deadline
    speaker.start()
    becomes(bird.prefixes, set(), 15, "what ran out while nobody was there")


def test_exabgp_hangs_for_a_while(speaker: Speaker, bird: Bird):
    """No answer, and a full pipe to it: the tap goes on, and all of it arrives in the end."""
    send(speaker.tap, sightings("stays.example", addresses(200)))
    becomes(bird.prefixes, prefixes(addresses(200)), 15, "before")
    host = speaker.host_pid()
    os.kill(host, signal.SIGSTOP)
    try:
        # FINISH comes only when all of it was read: a stalled ExaBGP never stalls a resolver
        send(speaker.tap, sightings("stays.example", addresses(8000)))
        send(speaker.tap, sightings("goes.example", addresses(2000, first=20_000)))
        speaker.write(["stays.example"])
        os.kill(speaker.plugin_pid(), signal.SIGHUP)
        time.sleep(3)
    finally:
        os.kill(host, signal.SIGCONT)
    three_sets_equal(speaker, [bird], prefixes(addresses(8000)), 60)


def test_the_router_dies_under_load(speaker: Speaker, bird: Bird):
    send(speaker.tap, sightings("stays.example", addresses(1000)))
    becomes(bird.prefixes, prefixes(addresses(1000)), 20, "before")
    bird.kill()
    send(speaker.tap, sightings("stays.example", addresses(3000)))
    send(speaker.tap, sightings("goes.example", addresses(500, first=20_000)))
    speaker.write(["stays.example"])
    speaker.run("reload")
    bird.start()
    three_sets_equal(speaker, [bird], prefixes(addresses(3000)), 60)


def test_attributes_change_in_the_middle_of_a_bulk_load(speaker: Speaker, bird: Bird):
    load = addresses(8000)
    send(speaker.tap, sightings("stays.example", load))
    eventually(lambda: len(bird.prefixes()) > 1000, 20, "the load is under way")
    speaker.config["bgp"]["communities"] = ["65001:200"]
    speaker.write()
    speaker.run("reload")
    three_sets_equal(speaker, [bird], prefixes(load), 90)
    new = Route(HOST_V4, frozenset({"65001:200"}), local_preference=100)
    eventually(lambda: set(bird.routes().values()) == {new}, 60, "the new attributes on every route")


def restored(speaker: Speaker, bird: Bird, count: int) -> None:
    load = addresses(count)
    send(speaker.tap, sightings("stays.example", load))
    becomes(bird.prefixes, prefixes(load), 120, "the routes")
    speaker.stop()
    with Watch(bird, prefixes(load)) as watch:
        speaker.start()
        eventually(lambda: bird.up() and not bird.holds_stale(), 120, "every route is told anew")
    assert not watch.flapped()
    three_sets_equal(speaker, [bird], prefixes(load), 120)


def test_20_000_routes_are_restored(speaker: Speaker, bird: Bird):
    restored(speaker, bird, 20_000)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_100_000_routes_are_restored(speaker: Speaker, bird: Bird):
    restored(speaker, bird, 100_000)
