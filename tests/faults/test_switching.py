"""Lists are switched and edited under load, and the plugin killed in between: three sets stay equal.

What should be by a naive model, ExaBGP's Adj-RIB-Out with the state file, and the router's table.
"""

import ipaddress
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from dnstap_bgp.core.model import Prefix
from tests.faults.scene import Traffic
from tests.faults.test_plugin_dies import kill_plugin, send_all
from tests.faults.test_views import exact
from tests.integration.lab import Lab, eventually
from tests.integration.routers import Bird, Session
from tests.integration.speaker import Speaker

pytestmark = [pytest.mark.netns, pytest.mark.real("bird", "birdc"), pytest.mark.long, pytest.mark.timeout(900)]

NAMES = [f"n{number}.example" for number in range(12)]
ADDRESSES = [f"11.1.{number // 200}.{number % 200 + 1}" for number in range(600)]
KILLS = 3
"""In one test: ExaBGP's brake lets a plugin start four times in 64 s."""

STEPS = 10


@dataclass
class Model:
    """What people have asked for: lists in order, with their next-hop, networks and names, and which are on."""

    seen: dict[str, list[str]]
    names: dict[str, set[str]]
    networks: dict[str, str]
    hops: dict[str, str]
    off: set[str] = field(default_factory=set)

    def table(self) -> dict[Prefix, bytes]:
        """Prefix -> next-hop of the first list that is on and has a name there, or the network."""
        table: dict[Prefix, bytes] = {}
        for name, hop in self.hops.items():
            if name in self.off:
                continue
            packed = ipaddress.ip_address(hop).packed
            if name in self.networks:
                network = ipaddress.ip_network(self.networks[name])
                table.setdefault(network.network_address.packed + bytes([network.prefixlen]), packed)
            for address in (one for listed in self.names[name] for one in self.seen[listed]):
                table.setdefault(ipaddress.ip_address(address).packed, packed)
        return table


def steps(pick: random.Random, model: Model) -> Iterator[tuple[str, ...]]:
    """Draw what a person does next; the model has done it when it is given."""
    while True:
        kind = pick.choice(["switch", "switch", "switch", "add", "remove"])
        if kind == "switch":
            name = pick.choice(list(model.hops))
            model.off ^= {name}
            yield ("disable" if name in model.off else "enable", name)
        elif kind == "add" and (more := sorted(set(NAMES) - model.names["by-hand"])):
            chosen = pick.sample(more, min(len(more), pick.randint(1, 3)))
            model.names["by-hand"] |= set(chosen)
            yield ("add", "by-hand", *chosen)
        elif kind == "remove" and model.names["by-hand"]:
            here = sorted(model.names["by-hand"])
            chosen = pick.sample(here, pick.randint(1, len(here)))
            model.names["by-hand"] -= set(chosen)
            yield ("remove", "by-hand", *chosen)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_lists_are_switched_and_edited_under_load(lab: Lab, seed: int):
    pick = random.Random(seed)
    model = Model(
        seen={name: pick.sample(ADDRESSES, 60) for name in NAMES},  # names share addresses
        names={"video": set(NAMES[:6]), "by-hand": set(), "more": set(NAMES[3:9])},
        networks={"video": "12.0.0.0/8", "more": "13.0.0.0/8"},
        hops={"video": "10.99.0.101", "by-hand": "10.99.0.102", "more": "10.99.0.103"},
    )
    lists = []
    for name, hop in model.hops.items():
        listed = {"name": name, "next_hop": hop}
        if name == "by-hand":
            lists.append({**listed, "managed": True})
            continue
        (lab.folder / name).write_text("".join(f"={one}\n" for one in sorted(model.names[name])))
        lists.append({**listed, "sources": str(lab.folder / name), "prefixes": [model.networks[name]]})
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], list=lists)
    del speaker.config["domains"]
    speaker.write()
    bird.start()
    speaker.start()
    kills = set(pick.sample(range(STEPS), KILLS))
    asked = steps(pick, model)
    for number in range(STEPS):
        with Traffic(speaker, model.seen, pick.randrange(1 << 30)):
            for _ in range(pick.randint(1, 3)):
                speaker.run("lists", *next(asked))
            if number in kills:
                kill_plugin(speaker)
        for name, addresses in model.seen.items():
            eventually(lambda name=name, addresses=addresses: send_all(speaker, name, addresses), 30, "all are seen")  # type: ignore[misc]
        exact(speaker, [bird], {bird.session.local: model.table()}, f"after step {number}, {model.off or 'none'} off")
