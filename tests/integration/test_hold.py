"""Held answers with a real ExaBGP and a real router: the route stands before the reply, and a reply always comes."""

import os
import signal
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.integration.hook_asker import GAVE_UP, INSTALLED, NO_NEIGHBOR, NOT_OURS, OFF, THERE, Asker, Reply
from tests.integration.lab import Lab, becomes, eventually
from tests.integration.routers import Bird, Session
from tests.integration.speaker import Speaker

pytestmark = [pytest.mark.netns, pytest.mark.real("bird", "birdc")]

MARGIN = "60ms"
"""What a BIRD on a busy machine needs; 3 ms are enough on one that is not."""


class Held:
    """A speaker with a hook's socket and a router whose session is up."""

    def __init__(self, lab: Lab) -> None:
        self.bird = Bird(lab, Session(2))
        self.speaker = Speaker(lab, [self.bird.session], ["example"])
        self.path = self.speaker.folder / "hold.sock"
        self.speaker.config["hold"] = {"listen": str(self.path), "margin": MARGIN, "give_up": "200ms"}
        self.speaker.write()
        self.bird.start()
        self.speaker.start()
        self.announced: set[str] = set()
        self._number = 0
        self.hook = Asker(self.path)

    def ask(self, *, ipv6: bool = False) -> Reply:
        """Ask for a new name; its address is a route from then on."""
        self._number += 1
        high, low = divmod(self._number, 256)
        address = f"2600::{self._number:x}" if ipv6 else f"11.7.{high}.{low}"
        reply = self.hook.ask(f"w{self._number}.example", [address])
        self.announced.add(f"{address}/128" if ipv6 else f"{address}/32")
        return reply

    def until_held(self) -> None:
        """Wait until a new route is held: the neighbor is up, and nothing drains."""
        eventually(lambda: self.ask().verdict == INSTALLED, 60, "a new route is held")

    def until_cut_off(self, *, restart: bool = False) -> None:
        """Ask until the connection ends, as a hook then lets its answer go; and connect to what comes after."""
        with suppress(OSError, struct.error):  # an empty read is no reply
            while True:
                self.hook.ask("www.test", ["11.7.0.1"])
        self.hook.sock.close()
        if restart:  # `up` ends with its ExaBGP, and a service manager starts it again
            self.speaker.daemon.process.wait(30)
            self.speaker.start()
        self.hook = Asker(self.path)
        eventually(self._is_heard, 30, "the next one answers")

    def _is_heard(self) -> bool:
        """Ask; connect again where that was still the socket of the one that died."""
        with suppress(OSError, struct.error):
            self.hook.ask("www.test", ["11.7.0.1"])
            return True
        self.hook.sock.close()
        self.hook = Asker(self.path)
        return False

    def equal(self) -> None:
        becomes(self.bird.prefixes, self.announced, 60, "the router's routes")


@pytest.fixture
def held(lab: Lab) -> Iterator[Held]:
    made = Held(lab)
    yield made
    made.hook.sock.close()


def test_a_new_route_stands_at_the_router_before_the_reply(held: Held):
    held.until_held()
    installed = stood = 0
    for number in range(300):
        reply = held.ask(ipv6=number % 3 == 0)
        if reply.verdict == INSTALLED:  # a machine that is very busy may take longer than the bound
            installed += 1
            stood += held.announced <= held.bird.prefixes()
        if installed == 20:
            break
    assert stood == installed == 20
    assert held.hook.ask("w1.example", ["11.7.0.1"]).verdict == THERE
    assert held.hook.ask("w1.test", ["11.7.0.1"]).verdict == NOT_OURS
    held.equal()
    text = held.speaker.run("status")
    assert "hold: answers wait 200 ms at most" in text
    assert "of new routes stood before the answer left" in text

    assert "at once" in held.speaker.run("hold", "off")
    assert held.ask().verdict == OFF
    assert "switched off" in held.speaker.run("status")
    held.speaker.run("hold", "on")
    held.until_held()
    held.equal()


@pytest.mark.long
def test_of_two_routers_the_slower_one_counts_while_it_is_up(lab: Lab):
    """Each has a margin of its own; an answer leaves when its route stands at both."""
    fast, slow = Bird(lab, Session(2)), Bird(lab, Session(3))
    speaker = Speaker(lab, [fast.session, slow.session], ["example"])
    speaker.config["bgp"]["peers"] = [
        {"address": fast.session.local, "margin": "30ms"},
        {"address": slow.session.local, "margin": "120ms"},
    ]
    speaker.config["hold"] = {"listen": str(speaker.folder / "hold.sock")}
    speaker.write()
    fast.start()
    slow.start()
    speaker.start()
    names = iter(range(1, 10_000))
    with Asker(speaker.folder / "hold.sock") as hook:

        def ask() -> tuple[Reply, str]:
            high, low = divmod(next(names), 256)
            address = f"11.7.{high}.{low}"
            return hook.ask(f"w{high}-{low}.example", [address]), f"{address}/32"

        def is_slow() -> bool:
            reply, _ = ask()
            return reply.verdict == INSTALLED and reply.took_s >= 0.12

        eventually(is_slow, 60, "both are up and waited for")
        stood = installed = 0
        for _ in range(10):
            reply, prefix = ask()
            if reply.verdict == INSTALLED:
                assert reply.took_s >= 0.12
                installed += 1
                stood += prefix in fast.prefixes() and prefix in slow.prefixes()
        assert installed > 5
        assert stood == installed
        slow.kill()

        def is_fast() -> bool:
            reply, _ = ask()
            return reply.verdict == INSTALLED and 0.03 <= reply.took_s < 0.12

        eventually(is_fast, 60, "nobody waits for the one that is down")


def test_every_question_is_answered_whatever_hangs_or_dies(held: Held):
    held.until_held()
    pid = held.speaker.host_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        assert [held.ask().verdict for _ in range(5)] == [GAVE_UP] * 5
    finally:
        os.kill(pid, signal.SIGCONT)
    held.until_held()
    held.equal()

    held.bird.kill()
    eventually(lambda: held.ask().verdict == NO_NEIGHBOR, 60, "nobody is left to wait for")
    held.bird.start()
    held.until_held()
    held.equal()

    command = f"birdc -s {held.bird._control} show route {{prefix}}"
    measured = ["margin", held.bird.session.local, "--command", command, "--count", "5"]
    if held.bird.session.speaker_as != held.bird.session.router_as:
        assert "--yes" in held.speaker.run(*measured, status=1)
    # once at least: a busy machine's router may take longer than any answer is held, which is then what is told
    eventually(lambda: "[hold] margins" in held.speaker.run(*measured, "--yes"), 20, "the margin to set")
    held.equal()

    os.kill(held.speaker.plugin_pid(), signal.SIGKILL)
    held.until_cut_off()
    held.until_held()
    held.equal()
    eventually(lambda: held.hook.ask("w1.example", ["11.7.0.1"]).verdict == THERE, 20, "said again, and there")

    os.kill(held.speaker.host_pid(), signal.SIGKILL)
    held.until_cut_off(restart=True)
    held.until_held()
    held.equal()
