"""Questions of hooks: what one costs for a name on no list, and how long an answer with a new route is held.

A hook asks by sequenced packets, one question after the other. For an unlisted name that is the round trip alone; idle,
and while another connection is blasted with frames, as fast as the tap takes them. For a new address it is until the
acknowledgment of a real ExaBGP, with no margin: what a router takes comes on top.
"""

import time
from collections.abc import Iterator, Sequence

from tests.bench import traffic
from tests.bench.blaster import Blaster
from tests.bench.figure import Figure, Settings, percentile
from tests.bench.plugin_process import Host, Plugin
from tests.bench.router import Scene
from tests.integration.hook_asker import NOT_OURS, Asker

SHARE = 0.05
FRAMES = 100_000
QUESTIONS = 2_000
PROBES = 100
ROUTES = 20_000


def run(settings: Settings) -> Iterator[Figure]:
    """Take the figures."""
    yield from _unlisted(settings)
    idle, beside = [], []
    for number in range(settings.rounds):
        settings.say(f"held answers, round {number + 1}")
        with Scene(settings.fresh_folder("hold")) as scene:
            idle.append(scene.held_latency_ms(settings.size(PROBES, 5)))
            beside.append(scene.held_latency_ms(settings.size(PROBES, 5), settings.size(ROUTES, 2_000)))
    yield from _figures("question to ExaBGP's acknowledgment", idle, {50: 3.0, 99: 9.0})
    yield from _figures("the same during a restore", beside, {99: 27.0})


def _unlisted(settings: Settings) -> Iterator[Figure]:
    universe = traffic.Universe(SHARE)
    stream = settings.folder / "hold.stream"
    stream.write_bytes(traffic.stream(traffic.resolver(universe, settings.size(FRAMES, 5000))))
    count = settings.size(QUESTIONS, 20)
    idle, busy = [], []
    for number in range(settings.rounds):
        settings.say(f"unlisted questions, round {number + 1}")
        folder = settings.fresh_folder("hold")
        with Host() as host, Plugin(folder, map(str, universe.rules), hold=True) as plugin:
            plugin.start(host.stdin, host.stdout).listening()
            with Asker(plugin.hold) as hook:
                idle.append(_asked_ms(hook, count))
                with Blaster(plugin.tap, stream):
                    time.sleep(0.5)
                    busy.append(_asked_ms(hook, count))
    yield from _figures("question for an unlisted name, idle", idle, {50: 0.1, 99: None})
    yield from _figures("the same, tap saturated", busy, {50: None, 99: 6.0})


def _asked_ms(hook: Asker, count: int) -> list[float]:
    found = []
    for number in range(count):
        reply = hook.ask(f"w{number}.on-no-list.test", ["11.0.0.1"])
        assert reply.verdict == NOT_OURS, reply
        found.append(reply.took_s * 1000)
        time.sleep(0.0005)
    return found


def _figures(name: str, found: Sequence[Sequence[float]], limits: dict[int, float | None]) -> Iterator[Figure]:
    for percent, at_most in limits.items():
        values = tuple(percentile(values, percent) for values in found)
        yield Figure(f"{name}, p{percent}", "ms", values, at_most=at_most)
