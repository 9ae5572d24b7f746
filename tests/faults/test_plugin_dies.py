"""The plugin dies: no route is lost, no ghost is left, and the router sees no flap."""

import os
import random
import signal
import time

import pytest

from tests.faults.scene import Traffic, Watch, addresses, prefixes, three_sets_equal
from tests.integration.lab import Lab, eventually
from tests.integration.routers import Bird, GoBgp, Session
from tests.integration.speaker import Speaker
from tests.integration.tap_sender import send, sightings

pytestmark = [pytest.mark.netns, pytest.mark.real("bird", "birdc", "gobgpd", "gobgp"), pytest.mark.timeout(300)]

NAMES = [f"n{number}.example" for number in range(6)]


def kill_plugin(speaker: Speaker) -> None:
    """SIGKILL, and wait for the successor that ExaBGP starts."""
    old = speaker.plugin_pid()
    os.kill(old, signal.SIGKILL)
    eventually(lambda: speaker.plugin_pid() != old, 10, "a new plugin")


def rounds_of_kills(lab: Lab, seed: int, rounds: int) -> None:
    """Kill it at random moments under load, each time with another list, so that there is something to withdraw."""
    chance = random.Random(seed)
    pool = addresses(1500)
    shared = {name: chance.sample(pool, 400) for name in NAMES}  # names share addresses, claims are per name
    always = prefixes(shared[NAMES[0]])
    bird, gobgp = Bird(lab, Session(2)), GoBgp(lab, Session(3))
    speaker = Speaker(lab, [bird.session, gobgp.session], NAMES)
    for part in (bird, gobgp, speaker):
        part.start()
    send(speaker.tap, sightings(NAMES[0], shared[NAMES[0]]))
    eventually(lambda: bird.prefixes() >= always, 20, "the routes that must never vanish")
    for _ in range(rounds):
        listed = [NAMES[0], *chance.sample(NAMES[1:], chance.randrange(1, len(NAMES)))]
        with Watch(bird, always) as watch:
            with Traffic(speaker, shared, chance.randrange(1 << 30)):
                time.sleep(chance.random() * 1.5)  # the random moment
                speaker.write(listed)
                if chance.random() < 0.5:
                    speaker.hup()
                    time.sleep(chance.random() * 0.2)
                kill_plugin(speaker)
            for name in listed:
                eventually(lambda: send_all(speaker, name, shared[name]), 90, "the tap is back")  # noqa: B023 - called at once
            expected = prefixes({address for name in listed for address in shared[name]})
            three_sets_equal(speaker, [bird, gobgp], expected)
        assert not watch.flapped()


def send_all(speaker: Speaker, name: str, addresses: list[str]) -> bool:
    try:
        send(speaker.tap, sightings(name, addresses))
    except OSError as error:
        raise AssertionError(str(error)) from error
    return True


@pytest.mark.parametrize(("seed", "rounds"), [(1, 3), (2, 2)])  # ExaBGP's brake: four starts each 64 s
def test_killed_under_load(lab: Lab, seed: int, rounds: int):
    rounds_of_kills(lab, seed, rounds)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10, 27))
def test_killed_under_load_again_and_again(lab: Lab, seed: int):
    rounds_of_kills(lab, seed, 3)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2], ids=["SIGUSR1", "SIGUSR2"])
def test_a_signal_to_exabgp_is_not_seen_by_the_router(lab: Lab, number: signal.Signals):
    """USR1 reads the configuration again; USR2 replaces the plugin, and both are alive for a moment."""
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], NAMES)
    for part in (bird, speaker):
        part.start()
    pool = {NAMES[0]: addresses(500)}
    send(speaker.tap, sightings(NAMES[0], pool[NAMES[0]]))
    expected = prefixes(pool[NAMES[0]])
    three_sets_equal(speaker, [bird], expected)
    before = speaker.plugin_pid()
    with Watch(bird, expected) as watch:
        with Traffic(speaker, pool, 1):
            os.kill(speaker.host_pid(), number)
            if number == signal.SIGUSR2:
                eventually(lambda: speaker.plugin_pid() != before, 10, "a new plugin")
            eventually(lambda: send_all(speaker, NAMES[1], ["12.0.0.1"]), 20, "the tap is back")
        three_sets_equal(speaker, [bird], expected | {"12.0.0.1/32"})
    assert not watch.flapped()


def test_sigalrm_resets_the_sessions_and_nothing_else(lab: Lab):
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], NAMES)
    for part in (bird, speaker):
        part.start()
    send(speaker.tap, sightings(NAMES[0], addresses(500)))
    three_sets_equal(speaker, [bird], prefixes(addresses(500)))
    os.kill(speaker.host_pid(), signal.SIGALRM)
    eventually(lambda: send_all(speaker, NAMES[1], ["12.0.0.1"]), 20, "the tap is back")
    three_sets_equal(speaker, [bird], prefixes(addresses(500)) | {"12.0.0.1/32"}, 60)


def test_stopped_for_a_while(lab: Lab):
    """SIGSTOP: neither its stdin nor its stdout moves; ExaBGP waits, and all is right afterwards."""
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], NAMES)
    for part in (bird, speaker):
        part.start()
    send(speaker.tap, sightings(NAMES[0], addresses(3000)))
    pid = speaker.plugin_pid()
    time.sleep(0.2)  # somewhere in the burst
    os.kill(pid, signal.SIGSTOP)
    time.sleep(4)
    os.kill(pid, signal.SIGCONT)
    three_sets_equal(speaker, [bird], prefixes(addresses(3000)))
    assert speaker.plugin_pid() == pid
