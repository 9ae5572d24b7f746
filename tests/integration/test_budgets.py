"""Real routers with little room: each has as many of the routes as it has room for, and is never told one more."""

import json
import os
import random
import signal

import pytest

from tests.integration.lab import Lab, eventually
from tests.integration.routers import Bird, Session
from tests.integration.speaker import Speaker
from tests.integration.tap_sender import send, sightings

pytestmark = [pytest.mark.netns, pytest.mark.real("bird", "birdc"), pytest.mark.long]

HOSTS = [f"11.0.{number // 50}.{number % 50 + 1}" for number in range(300)]


class Scene:
    """Three BIRDs: one without a budget, and two that end the session at one route more than theirs."""

    def __init__(self, lab: Lab, *budgets: int):
        self.budgets = {f"10.99.0.{number}": budget for number, budget in enumerate(budgets, 3)}
        self.all = Bird(lab, Session(2))
        self.small = [Bird(lab, Session(number), import_max=budget) for number, budget in enumerate(budgets, 3)]
        self.speaker = Speaker(lab, [router.session for router in (self.all, *self.small)])
        self.live: set[str] = set()
        self.by_hand: set[str] = set()
        self.write()
        for router in (self.all, *self.small):
            router.start()
        self.speaker.start()

    def write(self) -> None:
        """Write the configuration with the budgets of now: one in its neighbor's table, the others by address."""
        (first, of_first), *others = self.budgets.items()
        peers = [{"address": first, "max_prefixes": of_first}, "10.99.0.2", *(address for address, _ in others)]
        self.speaker.config["bgp"]["peers"] = peers
        self.speaker.config["bgp.max_prefixes"] = {f'"{address}"': budget for address, budget in others}
        self.speaker.write()

    def see(self, *hosts: str) -> None:
        send(self.speaker.tap, sightings("www.example", list(hosts)))
        self.live |= set(hosts)

    def is_right(self) -> bool:
        """Whether each router has what it should; which of them, a router with a budget may choose."""
        live = {f"{host}/32" for host in self.live}
        right = self.all.prefixes() == live
        for router in self.small:
            has, budget = router.prefixes(), self.budgets[router.session.local]
            right = right and has <= live and len(has) == min(budget, len(live))
            right = right and (len(self.by_hand) > budget or has >= {f"{host}/32" for host in self.by_hand})
        return right

    def await_right(self, what: str) -> None:
        eventually(self.is_right, 60, f"all routers are right after {what}: {self.shown()}")
        assert all(router.up() for router in self.small), "more than it has room for was announced"

    def shown(self) -> str:
        small = {router.session.local: sorted(router.prefixes()) for router in self.small}
        return f"{len(self.live)} live, by hand {self.by_hand}, {self.budgets}: {small}"


def test_a_small_router_is_told_no_more_than_it_has_room_for(lab: Lab):
    scene = Scene(lab, 5, 2)
    scene.see(*HOSTS[:40])
    scene.await_right("40 sightings")
    status = json.loads(scene.speaker.run("status", "--json"))
    budgets = {one["address"]: one["budget"] for one in status["exabgp"]["neighbors"]}
    assert budgets == {
        "10.99.0.2": None,
        "10.99.0.3": {"max": 5, "used": 5, "left_out": 35, "displaced": 0},
        "10.99.0.4": {"max": 2, "used": 2, "left_out": 38, "displaced": 0},
    }
    [left_out, *_] = [host for host in HOSTS[:40] if f"{host}/32" not in scene.small[0].prefixes()]
    why = scene.speaker.run("why", left_out)
    assert "not at 10.99.0.3: its budget of 5 is full" in why, why
    scene.speaker.run("add", left_out, "--list", "default")
    scene.by_hand.add(left_out)
    scene.await_right("one by hand")


KILLS_MAX = 3
"""One more within 64 s would be taken for a crash loop, and the tap not read for a while."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2])
def test_random_churn(lab: Lab, seed: int):
    pick = random.Random(seed)
    most = (60, 7)
    scene = Scene(lab, *most)
    kills = 0
    for step in range(30):
        what = pick.choice(["see", "see", "see", "forget", "add", "resize", "kill", "bounce"])
        if what == "see":
            for _ in range(pick.randrange(1, 10)):
                scene.see(*pick.sample(HOSTS, pick.randrange(1, 40)))
        elif what == "forget":
            for host in pick.sample(sorted(scene.live), min(len(scene.live), 3)):
                scene.speaker.run("forget", host)
                scene.live.discard(host)
                scene.by_hand.discard(host)
        elif what == "add" and len(scene.by_hand) < 3:
            host = pick.choice(HOSTS)
            scene.speaker.run("add", host, "--list", "default")
            scene.live.add(host)
            scene.by_hand.add(host)
        elif what == "resize":
            scene.budgets = {
                address: pick.randrange(max(3, room // 2), room + 1)
                for address, room in zip(scene.budgets, most, strict=True)
            }
            scene.write()
            scene.speaker.run("reload")
        elif what == "bounce":
            router = pick.choice(scene.small)
            router.kill()
            router.start()
        elif what == "kill" and kills < KILLS_MAX:
            kills += 1
            scene.await_right(f"step {step}")
            before, pid = [router.prefixes() for router in scene.small], scene.speaker.plugin_pid()
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: _restored(scene.speaker, pid), 30, "another plugin has restored")  # noqa: B023
            scene.await_right("a restart")
            assert [router.prefixes() for router in scene.small] == before, "a restart takes nothing"
        scene.await_right(f"step {step}, {what}")


def _restored(speaker: Speaker, before: int) -> bool:
    """Whether another plugin than this one is done with its state file, and ExaBGP with all that it says."""
    try:
        if speaker.plugin_pid() == before:
            return False
        status = json.loads(speaker.run("status", "--json"))
    except (AssertionError, OSError, ValueError):
        return False
    host = status["exabgp"]
    return bool(status["restored"] and host and host["stage"] == "ready" and not host["waiting"] + host["unanswered"])
