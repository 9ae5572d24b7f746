"""What every fault test shares: traffic that never ends, a watch over the router, and the comparison of three sets.

The three: what should be live (as the test knows it, and as the state file says), ExaBGP's Adj-RIB-Out, and the
router's table.
"""

import contextlib
import random
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from dnstap_bgp.commands import dump
from dnstap_bgp.core.text import prefix_text
from dnstap_bgp.errors import CommandError
from tests.integration.lab import POLL_S, becomes
from tests.integration.routers import Bird, Router
from tests.integration.speaker import Speaker
from tests.integration.tap_sender import TapSender, sightings


def addresses(count: int, first: int = 1) -> list[str]:
    """Distinct IPv4 addresses of 11.0.0.0/8."""
    return [f"11.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(first, first + count)]


def prefixes(addresses: Iterable[str]) -> set[str]:
    return {f"{address}/{128 if ':' in address else 32}" for address in addresses}


def recorded(speaker: Speaker) -> tuple[set[str], set[str]]:
    """What the state file holds: the prefixes with a live claim, and those that ExaBGP was told."""
    try:
        found = dump.read(speaker.state)
    except CommandError as error:
        raise AssertionError(str(error)) from error
    live = {claim.address for claim in found.claims.values() if claim.seen + claim.ttl_s > found.now.boottime_s}
    told = {prefix for prefix, _, announced in found.routes() if announced}
    return prefixes(map(prefix_text, live)), prefixes(map(prefix_text, told))


def three_sets_equal(
    speaker: Speaker, routers: Sequence[Router], expected: set[str], deadline_s: float = 30, file_deadline_s: float = 10
) -> None:
    """Wait until routers, Adj-RIB-Out and, after them, the state file have exactly the expected prefixes."""
    end = time.monotonic() + deadline_s
    for router in routers:
        becomes(router.prefixes, expected, end - time.monotonic(), f"the table of {router.name}")
    for router in routers:
        address = router.session.local
        becomes(lambda: speaker.adj_rib_out().get(address, set()), expected, 30, "Adj-RIB-Out")  # noqa: B023 - called at once
    becomes(lambda: recorded(speaker)[1], expected, file_deadline_s, "what the state file says was told")
    # Claims that a list no longer covers stay in the file until its compaction, and are no longer adopted.
    becomes(
        lambda: expected - recorded(speaker)[0], set(), file_deadline_s, "live routes without a claim in the state file"
    )


class Watch:
    """Polls a router's table each 50 ms, and remembers what was ever missing of what should be there all the time."""

    def __init__(self, router: Bird, always: Iterable[str]) -> None:
        self.missed: set[str] = set()
        self.polls = 0
        self.longest_gap_s = 0.0
        self._router = router
        self._always = set(always)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def flapped(self) -> set[str]:
        assert self.polls > 0
        return self.missed

    def _run(self) -> None:
        last = time.monotonic()
        while not self._over.wait(POLL_S):
            self.missed |= self._always - self._router.prefixes()
            self.polls += 1
            self.longest_gap_s = max(self.longest_gap_s, time.monotonic() - last)
            last = time.monotonic()


class Traffic:
    """Answers without end from a thread of its own, as from a busy resolver that reconnects when the tap is gone."""

    def __init__(self, speaker: Speaker, pools: dict[str, list[str]], seed: int, pause_s: float = 0.005) -> None:
        self._speaker = speaker
        self._pools = pools
        self._chance = random.Random(seed)
        self._pause_s = pause_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError, AssertionError):  # the plugin has just been killed, or is not there yet
                self._send()
            self._over.wait(0.02)

    def _send(self) -> None:
        with TapSender(self._speaker.tap) as sender:
            while not self._over.wait(self._pause_s):
                sender.send(self._some())

    def _some(self) -> Iterator[bytes]:
        name = self._chance.choice(list(self._pools))
        return sightings(name, self._chance.sample(self._pools[name], min(20, len(self._pools[name]))))
