"""Real routers have what the policies say, after sightings and reloads in any order: lists, peers, networks, `deny`."""

import ipaddress
import random
from typing import Any

import pytest

from dnstap_bgp.core.model import Attributes, Policy, Prefix
from dnstap_bgp.core.text import prefix_text
from tests.integration.lab import Lab, eventually
from tests.integration.routers import Bird, GoBgp, Router, Session
from tests.integration.speaker import Speaker
from tests.integration.tap_sender import send, sightings
from tests.property.policy_model import ADDRESSES, LISTS, NAMES, NEIGHBORS, PREFIXES, Configuration, Naive

pytestmark = [pytest.mark.netns, pytest.mark.real("bird", "birdc", "gobgpd", "gobgp")]

STEPS = 24
TTL_S = 3600.0


def drawn(pick: random.Random) -> Configuration:
    """Some lists in some order, each with its own next-hop, neighbors, names, networks and `deny`."""
    chosen = pick.sample(LISTS, pick.randint(1, 3))
    policies = []
    for name in chosen:
        hop = bytes((10, 99, 0, 100 + LISTS.index(name) + pick.choice([1, 11])))
        peers = pick.choice([(), NEIGHBORS[:1], NEIGHBORS[1:], NEIGHBORS])
        policies.append(Policy(name, Attributes(hop, neighbors=peers), None, TTL_S))
    return Configuration(
        tuple(policies),
        names={name: frozenset(pick.sample(NAMES, pick.randint(0, 3))) for name in chosen},
        prefixes={name: tuple(pick.sample(PREFIXES, pick.randint(0, 2))) for name in chosen},
        deny={name: pick.random() < 0.3 for name in chosen},
    )


def write(speaker: Speaker, configuration: Configuration) -> None:
    """Write the file and its lists."""
    lists: list[dict[str, Any]] = []
    for policy in configuration.policies:
        name, attributes = policy.list, policy.ipv4
        assert attributes is not None
        source = speaker.folder / f"{name}.txt"
        rules = [f"={found.decode()}" for found in sorted(configuration.names[name])]
        source.write_text("\n".join(["=never.invalid", *rules, ""]))  # an empty list would be held back
        lists.append(
            {
                "name": name,
                "sources": str(source),
                "next_hop": str(ipaddress.ip_address(attributes.next_hop)),
                "peers": list(attributes.neighbors),
                "prefixes": [prefix_text(prefix) for prefix in configuration.prefixes[name]],
                "deny": ["11.0.1.0/24"] if configuration.deny[name] else [],
            }
        )
    speaker.config["list"] = lists
    speaker.write()


def shown(table: dict[Prefix, bytes]) -> dict[str, str]:
    """Prefix -> next-hop, as routers write them."""
    return {
        prefix_text(prefix) + ("/32" if len(prefix) == 4 else ""): str(ipaddress.ip_address(hop))
        for prefix, hop in table.items()
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_routers_have_what_the_policies_say(lab: Lab, seed: int):
    pick = random.Random(seed)
    routers: list[Router] = [Bird(lab, Session(2)), GoBgp(lab, Session(3))]
    speaker = Speaker(lab, [router.session for router in routers])
    del speaker.config["domains"]
    configuration = drawn(pick)
    write(speaker, configuration)
    naive = Naive(configuration)
    for router in routers:
        router.start()
    speaker.start()
    for step in range(STEPS):
        if step % 3 == 2:
            configuration = drawn(pick)
            write(speaker, configuration)
            speaker.run("reload")
            naive.reload(configuration, 0.0)
        else:
            for address in pick.sample(ADDRESSES, pick.randint(1, len(ADDRESSES))):
                name = pick.choice(NAMES)
                send(speaker.tap, sightings(name.decode(), [str(ipaddress.ip_address(address))]))
                naive.see(address, name, 300, 0.0)
        expected = naive.tables()
        for router in routers:
            table = shown(expected[router.session.local])
            eventually(
                lambda: {prefix: route.next_hop for prefix, route in router.routes().items()} == table,  # noqa: B023
                15,
                f"{router.name} after step {step}: {table}, and has {router.routes()}",
            )
