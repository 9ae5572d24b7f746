"""Many routes, and many changes: in the end the router has exactly the live set."""

import random
import socket
import time
from collections.abc import Iterator

import pytest

from tests.integration.lab import Lab, becomes, ends
from tests.integration.routers import Bird, Session
from tests.integration.speaker import Speaker
from tests.integration.tap_sender import TapSender, send, sightings

pytestmark = [pytest.mark.netns, pytest.mark.real("bird", "birdc")]


def addresses(count: int, network: str = "11") -> list[str]:
    return [f"{network}.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(1, count + 1)]


def prefixes(addresses: list[str]) -> set[str]:
    return {f"{address}/{128 if ':' in address else 32}" for address in addresses}


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_a_burst_arrives_complete(lab: Lab, transport: str):
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], dnstap={})
    speaker.config["dnstap"]["listen"] = [str(speaker.tap), "127.0.0.1:6000"]
    speaker.write()
    for part in (bird, speaker):
        part.start()
    burst = addresses(20_000)
    if transport == "unix":
        target = socket.socket(socket.AF_UNIX)
        target.connect(str(speaker.tap))
    else:
        target = lab.host.socket(socket.AF_INET, socket.SOCK_STREAM)
        target.connect(("127.0.0.1", 6000))
    with TapSender(target) as sender:
        sender.send(sightings("www.example", burst))
    becomes(bird.prefixes, prefixes(burst), 60, "20,000 routes")


def test_a_burst_of_both_families(lab: Lab):
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session])
    for part in (bird, speaker):
        part.start()
    burst = [*addresses(3000), *(f"2600:1::{number:x}" for number in range(1, 3001))]
    random.Random(1).shuffle(burst)
    send(speaker.tap, sightings("www.example", burst))
    becomes(bird.prefixes, prefixes(burst), 60, "6,000 routes of both families")


@pytest.mark.parametrize("seed", [1, 2])
def test_a_random_sequence_leaves_the_live_set(lab: Lab, seed: int):
    """Answers, expiries and lists that come and go, over addresses that the names share."""
    chance = random.Random(seed)
    ttl_s, rounds = 3.0, 60
    names = [f"n{number}.example" for number in range(8)]
    pool = [*addresses(150), *(f"2600:1::{number:x}" for number in range(1, 51))]
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], names, ttl=f"{ttl_s:.0f}s")
    for part in (bird, speaker):
        part.start()
    kept = chance.sample(pool, 40)  # seen again each round under a name that is always listed: must never be missing
    listed = names
    with TapSender(speaker.tap) as sender:

        def refresh() -> Iterator[bytes]:
            yield from sightings(names[0], kept)

        def first() -> set[str]:
            sender.send(refresh())  # until all of them are there: a busy machine may take longer than they live
            return bird.prefixes()

        becomes(first, prefixes(kept), 15, "the first routes")
        refreshed = 0.0
        for _ in range(rounds):
            before, refreshed = refreshed, time.monotonic()
            sender.send(refresh())
            for name in chance.sample(names, 3):
                sender.send(sightings(name, chance.sample(pool, chance.randrange(1, 60))))
            if chance.random() < 0.15:
                listed = [names[0], *chance.sample(names[1:], chance.randrange(1, len(names)))]
                speaker.write(listed)
                speaker.hup()
            missing = prefixes(kept) - bird.prefixes()
            if max(refreshed - before, time.monotonic() - refreshed) < ttl_s - 1:  # else they may have ended between
                assert not missing, f"gone although seen: {sorted(missing)[:5]}"
            time.sleep(chance.random() * 0.2)  # the spacing of the traffic, not a wait for something
        last = chance.sample(pool, 60)
        speaker.write(names)
        speaker.run("reload")
        end = time.monotonic() + ttl_s + 2.5
        while time.monotonic() < end:  # all that is not refreshed any more runs out
            sender.send(sightings(names[1], last))
            time.sleep(0.5)

        def still() -> set[str]:
            sender.send(sightings(names[1], last))
            return bird.prefixes()

        becomes(still, prefixes(last), 2, "what is still seen, and nothing else")
        becomes(lambda: speaker.adj_rib_out().get("10.99.0.2", set()), set(), ttl_s + 4, "nothing is seen any more")
    becomes(bird.prefixes, set(), 2, "the router, too")


def test_expiry_is_within_two_seconds(lab: Lab):
    ttl_s = 3
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], ttl=f"{ttl_s}s")
    for part in (bird, speaker):
        part.start()
    batch = addresses(500)
    send(speaker.tap, sightings("www.example", batch))
    becomes(bird.prefixes, prefixes(batch), 15, "the routes")
    began = time.monotonic()
    send(speaker.tap, sightings("www.example", batch))
    seen = time.monotonic()
    while True:
        found = bird.prefixes()
        if time.monotonic() > began + ttl_s - 0.3:
            break
        assert found == prefixes(batch), "withdrawn before their deadline"
        time.sleep(0.1)
    ends(bird.prefixes, seen + ttl_s + 2 - time.monotonic(), "withdrawn within 2 s of their deadline")
