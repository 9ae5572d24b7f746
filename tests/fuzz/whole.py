"""The whole core as one machine, driven by bytes: whatever happens, every router ends with what it should have.

An input is a configuration and then events, each with its own choices: frames of the tap and bytes that are none,
hooks' questions, peers' entries, ExaBGP's turns, refusals and odd lines, neighbors that come and go, reloads, clock
steps, deaths of the process and of the machine, damage to the state file. At the end everything comes to rest, and for
each neighbor three things are equal: what it should have, what it has by the model of ExaBGP's reordering, and what the
records say.
"""

import random
from collections.abc import Iterator

from tests.fuzz.choices import Choices
from tests.property.whole_world import EVENTS, Whole, draw_configuration

COVERS = {
    "dnstap_bgp.core.exabgp.api_session": 0.8,
    "dnstap_bgp.core.exabgp.reconciler": 0.9,
    "dnstap_bgp.core.exabgp.views": 0.8,
    "dnstap_bgp.core.exabgp.adj_rib_out": 0.6,
    "dnstap_bgp.core.exabgp.update_queue": 0.9,
    "dnstap_bgp.core.exabgp.neighbors": 0.8,
    "dnstap_bgp.core.exabgp.doubts": 0.62,
    "dnstap_bgp.core.exabgp.in_flight": 0.95,
    "dnstap_bgp.core.routes.table": 0.8,
    "dnstap_bgp.core.routes.claim_store": 0.8,
    "dnstap_bgp.core.routes.claim_columns": 0.85,
    "dnstap_bgp.core.routes.admission": 0.8,
    "dnstap_bgp.core.routes.policy": 0.75,
    "dnstap_bgp.core.state.pending": 0.7,
    "dnstap_bgp.core.state.records": 0.8,
    "dnstap_bgp.core.sync.delta": 0.5,
    "dnstap_bgp.core.tap.ingest": 0.5,
    "dnstap_bgp.core.hold.reckoning": 0.65,
    "dnstap_bgp.core.hold.held_questions": 0.15,
    "dnstap_bgp.workers.routes.keeper": 0.65,
}
EVENTS_MAX = 40


def raw(world: Whole, dice: Choices) -> None:
    """Bytes of the input itself come to the tap."""
    world.tap(dice.chunk())


def raw_question(world: Whole, dice: Choices) -> None:
    world.ask(dice.chunk())


def raw_frame(world: Whole, dice: Choices) -> None:
    world.peer(dice.chunk())


ALL = [*EVENTS, raw, raw_question, raw_frame]


def one_input(data: bytes) -> None:
    dice = Choices(data)
    watched = dice.random() < 0.2
    world = Whole(dice, draw_configuration(dice), watched=watched)
    with world.clock():
        for _ in range(EVENTS_MAX):
            if not dice:
                break
            dice.choice(ALL)(world, dice)
            world.check()
        world.end_and_start_again()


def seeds() -> Iterator[bytes]:
    for seed in range(200):
        yield random.Random(seed).randbytes(40 + seed)
