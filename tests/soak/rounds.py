"""Rounds of the soak: a storm that kills each part, then a calm in which the same processes live on; quiet points."""

import itertools
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dnstap_bgp.commands import dump
from dnstap_bgp.core.text import prefix_text
from dnstap_bgp.errors import CommandError
from tests.faults.scene import prefixes, recorded
from tests.integration.lab import eventually
from tests.integration.speaker import Speaker
from tests.integration.tap_sender import send, sightings
from tests.soak import plot
from tests.soak.samples import LIMITS, UNITS, Sampler
from tests.soak.scene import Scene, soaking
from tests.soak.slopes import Slope, fit, grows

STORM_SHARE = 0.35
"""Of the time: what lives on afterwards shows whether anything grows."""

EVENT_S, ROTATE_S, QUIET_EVERY = 8.0, 4.0, 6
SETTLE_S = 90.0
"""Until the sets are equal after the load and the last fault: an engine or a peer is tried again within 30 s."""

PROBES = 5
STARTS_APART_S = 30.0
"""ExaBGP gives up a plugin that it has to start five times in a minute."""


@dataclass
class Outcome:
    """What a soak has found.

    Attributes:
        failures: A sentence each; none: all is well.
        events: (seconds, what was done).
        quiet: Quiet points at which all sets were equal.
        slopes: Series -> line through its last life.
    """

    failures: list[str] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)
    quiet: int = 0
    slopes: dict[str, Slope] = field(default_factory=dict)


def soak(folder: Path, out: Path, seconds: float, seed: int, say: Callable[[str], None]) -> Outcome:
    """Run a soak, and write `soak.json` and `soak.svg`.

    Args:
        folder: For the scene.
        out: For the files.
        seconds: How long.
        seed: Of what is done when.
        say: Tells a person how far it is.
    """
    found = Outcome()
    with soaking(folder, seed) as scene, Sampler(scene.members) as sampler:  # type: ignore[arg-type]
        try:
            _run(scene, sampler, seconds, found, say)
        except Exception as error:  # noqa: BLE001 - what was sampled until then is worth a look
            found.failures.append(f"{type(error).__name__}: {error}")
        crashes = [
            f"{lab}: {line}"
            for lab, text in scene.fleet.logs()
            for line in text.splitlines()
            if "Traceback" in line or " CRITICAL" in line or "a fault of ours" in line
        ]
        found.failures += crashes[:5]
    _judge(sampler, found)
    _write(sampler, found, out)
    return found


def _run(scene: Scene, sampler: Sampler, seconds: float, found: Outcome, say: Callable[[str], None]) -> None:
    mild = [scene.reload, scene.switch, scene.flap, scene.kill_router, scene.kill_resolver, scene.kill_engine]
    mild += [scene.part, scene.fill_disk, scene.step_clock]
    wild = [scene.kill_plugin, scene.kill_host]
    over = threading.Event()
    rotation = threading.Thread(target=_rotate, args=(scene, over), name="rotation")
    rotation.start()
    began = time.monotonic()
    last_start = -STARTS_APART_S
    scene.load()
    try:
        bag: list[Callable[[], None]] = []
        for number in itertools.count(1):
            now = time.monotonic() - began
            if now >= seconds:
                break
            if not bag:  # each comes once before any comes again
                bag = [*mild, *(wild if now < seconds * STORM_SHARE else [])]
                scene.chance.shuffle(bag)
            event = bag.pop()
            if event in wild:
                if now - last_start < STARTS_APART_S or now > seconds * STORM_SHARE:
                    continue
                last_start = now
            found.events.append((time.monotonic() - sampler.began, event.__name__))
            say(f"{now:5.0f} s: {event.__name__}")
            event()
            time.sleep(EVENT_S)
            if number % QUIET_EVERY == 0:
                _rest(scene, sampler, found, say)
        _rest(scene, sampler, found, say)
    finally:
        over.set()
        rotation.join()


def _rotate(scene: Scene, over: threading.Event) -> None:
    while not over.wait(ROTATE_S):
        scene.authority.rotate()


def _rest(scene: Scene, sampler: Sampler, found: Outcome, say: Callable[[str], None]) -> None:
    """Take the load away until all sets are equal, and see how long a new route takes."""
    scene.rest()
    began = time.monotonic()
    try:
        eventually(lambda: equal(scene), SETTLE_S, "the sets at a quiet point")
    except AssertionError as error:
        found.failures.append(f"at {began - sampler.began:.0f} s: {error}")
    else:
        found.quiet += 1
        say(f"        quiet: all sets are equal after {time.monotonic() - began:.1f} s")
    for number in range(PROBES):
        address = f"11.9.{found.quiet & 255}.{number}"
        began = time.monotonic()
        send(scene.one.tap, sightings(f"probe{number}.green.example", [address]))
        _await(scene, f"{address}/32")
        sampler.add("route latency", 1000 * (time.monotonic() - began))
    scene.load()


def _await(scene: Scene, prefix: str) -> None:
    eventually(lambda: prefix in scene.green.prefixes(), 30, "a probe's route")


def equal(scene: Scene) -> bool:
    """Compare each router's table with Adj-RIB-Out and the state file's records, and the members with each other.

    Routes end at any time. So a table is read before and after: what was there both times must be in the other sets,
    and nothing may be there that was in neither.
    """
    tables = {}
    for who, member in scene.members.items():
        both: set[str] = set()
        ever: set[str] = set()
        for router in scene.routers(who):
            address, before = router.session.local, router.prefixes()
            for what, has in (
                ("Adj-RIB-Out", member.adj_rib_out().get(address, set())),
                ("the state file", told(member, address)),
            ):
                after = router.prefixes()
                missing, ghosts = (before & after) - has, has - (before | after)
                assert not missing, f"{who}: {what} of {address} lacks {len(missing)}: {sorted(missing)[:3]}"
                assert not ghosts, f"{who}: {what} of {address} has {len(ghosts)} too many: {sorted(ghosts)[:3]}"
            both |= before & after
            ever |= before | after
        unclaimed = both - recorded(member)[0] - ever.difference(*(one.prefixes() for one in scene.routers(who)))
        assert not unclaimed, f"{who}: {len(unclaimed)} routes have no claim in the state file: {sorted(unclaimed)[:3]}"
        assert both, f"{who}: nothing is routed"
        tables[who] = both, ever
    for who, other in (("one", "two"), ("two", "one")):
        missing = tables[who][0] - tables[other][1]
        gone = set().union(*(router.prefixes() for router in scene.routers(who)))
        missing &= gone
        assert not missing, f"{other} lacks {len(missing)} of {who}'s routes: {sorted(missing)[:3]}"
    return True


def told(speaker: Speaker, neighbor: str) -> set[str]:
    """Read from the state file which prefixes a neighbor was told and not untold."""
    try:
        found = dump.read(speaker.state)
    except CommandError as error:
        raise AssertionError(str(error)) from error
    theirs = []
    for prefix, _, announced in found.routes():
        for audience, attributes in announced.items():
            is_all = audience is None and (not attributes.neighbors or neighbor in attributes.neighbors)
            if is_all or (audience is not None and neighbor in audience):
                theirs.append(prefix)
    return prefixes(map(prefix_text, theirs))


def _judge(sampler: Sampler, found: Outcome) -> None:
    for name in sampler.series:
        slope = fit(sampler.of_last_life(name))
        if slope is None:
            continue
        found.slopes[name] = slope
        limit = next(limit for word, limit in LIMITS.items() if name.endswith(word))
        if grows(slope, limit):
            found.failures.append(f"{name} grows: {slope_text(name, slope)}")


def slope_text(name: str, slope: Slope) -> str:
    """Tell a slope in a line."""
    unit = next((unit for word, unit in UNITS.items() if name.endswith(word)), "")
    return f"mean {slope.mean:.4g} {unit}, {slope.per_hour:+.3g} ± {slope.error:.2g} {unit} an hour"


def _write(sampler: Sampler, found: Outcome, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    notes = {name: slope_text(name, slope) for name, slope in found.slopes.items()}
    (out / "soak.svg").write_text(plot.svg(sampler.series, found.events, notes))
    data = {
        "failures": found.failures,
        "quiet points": found.quiet,
        "events": found.events,
        "slopes": {name: slope._asdict() for name, slope in found.slopes.items()},
        "series": sampler.series,
    }
    (out / "soak.json").write_text(json.dumps(data))
