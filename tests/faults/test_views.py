"""Lists with different `peers` claim the same addresses: each router has what its own lists say, whatever dies."""

import ipaddress
import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from dnstap_bgp.commands import dump
from dnstap_bgp.core.model import Attributes, Policy, Prefix
from dnstap_bgp.core.text import prefix_text
from dnstap_bgp.errors import CommandError
from tests.faults.test_plugin_dies import kill_plugin, send_all
from tests.integration.lab import Lab, eventually
from tests.integration.routers import Bird, Session
from tests.integration.speaker import Speaker
from tests.integration.tap_sender import send, sightings
from tests.integration.test_policy_random import shown, write
from tests.property.policy_model import ADDRESSES, NAMES, NEIGHBORS, OTHER, PREFIXES, Configuration, Naive

pytestmark = [pytest.mark.netns, pytest.mark.real("bird", "birdc"), pytest.mark.timeout(300)]

LISTS = ("one", "two", "three", "four")
PEERS = [(), NEIGHBORS[:1], NEIGHBORS[1:], NEIGHBORS, (OTHER,), (NEIGHBORS[0], OTHER)]
TTL_S = 3600.0
KILLS = 3
"""In one test: ExaBGP's brake lets a plugin start four times in 64 s."""


def recorded(speaker: Speaker, neighbor: str) -> dict[str, str]:
    """What the state file says that a neighbor was told: prefix -> next-hop."""
    try:
        found = dump.read(speaker.state)
    except CommandError as error:
        raise AssertionError(str(error)) from error
    table: dict[Prefix, bytes] = {}
    for prefix, _, told in found.routes():
        for audience, attributes in told.items():
            is_all = audience is None and (not attributes.neighbors or neighbor in attributes.neighbors)
            if is_all or (audience is not None and neighbor in audience):
                table[prefix] = attributes.next_hop
    return shown(table)


def version(speaker: Speaker) -> int:
    return int.from_bytes(speaker.state.read_bytes()[16:20])


def exact(speaker: Speaker, routers: list[Bird], expected: dict[str, dict[Prefix, bytes]], what: str) -> None:
    """Wait until each router has exactly its table, and Adj-RIB-Out and state file say so, too."""
    for router in routers:
        address, table = router.session.local, shown(expected[router.session.local])
        # all bound by their defaults: they are called at once
        has: list[tuple[str, Callable[[], object], object]] = [
            (router.name, lambda router=router: {one: route.next_hop for one, route in router.routes().items()}, table),  # type: ignore[misc]
            ("Adj-RIB-Out", lambda address=address: speaker.adj_rib_out().get(address, set()), set(table)),  # type: ignore[misc]
            ("the state file", lambda address=address: recorded(speaker, address), table),  # type: ignore[misc]
        ]
        for who, read, wanted in has:
            seen: list[object] = [None]

            def equal(read: Callable[[], object] = read, wanted: object = wanted, seen: list[object] = seen) -> bool:
                seen[0] = read()
                assert seen[0] == wanted, f"has {seen[0]}, and not {wanted}"
                return True

            eventually(equal, 30, f"{who} of {address} {what}")


@pytest.fixture
def routers(lab: Lab) -> list[Bird]:
    return [Bird(lab, Session(number)) for number in (2, 3, 4)]


def configured(*lists: tuple[str, tuple[str, ...]], **prefixes: tuple[Prefix, ...]) -> Configuration:
    """Lists with their peers, all of which have all names."""
    return Configuration(
        tuple(
            Policy(name, Attributes(bytes((10, 99, 0, 101 + LISTS.index(name))), neighbors=peers), None, TTL_S)
            for name, peers in lists
        ),
        names={name: frozenset(NAMES) for name, _ in lists},
        prefixes={name: prefixes.get(name, ()) for name, _ in lists},
        deny={name: False for name, _ in lists},
    )


def test_two_lists_claim_one_address_and_a_static_prefix_for_different_routers(lab: Lab, routers: list[Bird]):
    network = {"one": PREFIXES[3:4], "two": PREFIXES[3:4]}  # 11.0.1.0/24, at the third router for nobody
    both = configured(("one", NEIGHBORS[:1]), ("two", NEIGHBORS[1:]), **{k: tuple(v) for k, v in network.items()})
    speaker = Speaker(lab, [router.session for router in routers])
    del speaker.config["domains"]
    write(speaker, both)
    naive = Naive(both)
    for router in routers:
        router.start()
    speaker.start()

    def see(*addresses: bytes) -> None:
        for address in addresses:
            send_all(speaker, NAMES[0].decode(), [str(ipaddress.ip_address(address))])
            naive.see(address, NAMES[0], 300, 0.0)

    def reload(configuration: Configuration) -> None:
        write(speaker, configuration)
        speaker.run("reload")
        naive.reload(configuration, 0.0)

    see(*ADDRESSES[:3])
    exact(speaker, routers, naive.tables(), "with two views")
    assert version(speaker) == 2
    told = speaker.run("why", prefix_text(ADDRESSES[0]))
    assert "for 10.99.0.2: the list one decides; ExaBGP was told, and has acknowledged it" in told
    assert "announced to 10.99.0.3 with (the list two decides): next-hop 10.99.0.102" in told
    assert "for 10.99.0.3: 4 IPv4 and 0 IPv6 routes told, 0 waiting" in speaker.run("status")

    kill_plugin(speaker)
    eventually(lambda: send_all(speaker, "no.example", ["11.9.9.9"]), 60, "the tap is back")
    exact(speaker, routers, naive.tables(), "after a kill")

    # the first list's router becomes another: what the old one had is withdrawn there, with what it had
    reload(configured(("one", (OTHER,)), ("two", NEIGHBORS), two=tuple(PREFIXES[1:2])))
    exact(speaker, routers, naive.tables(), "after a change of peers")

    reload(configured(("one", NEIGHBORS[:1]), ("two", ())))
    see(*ADDRESSES[3:])
    exact(speaker, routers, naive.tables(), "with everyone except one")

    reload(configured(("two", ())))
    exact(speaker, routers, naive.tables(), "with one view")
    eventually(lambda: version(speaker) == 1, 40, "the file is what it ever was")
    exact(speaker, routers, naive.tables(), "in a file of version 1")


def drawn(pick: random.Random) -> Configuration:
    """Up to four lists in some order, for some of three routers, with overlapping names and networks."""
    chosen = pick.sample(LISTS, pick.randint(1, 4))
    return Configuration(
        tuple(
            Policy(
                name,
                Attributes(
                    bytes((10, 99, 0, 101 + LISTS.index(name) + pick.choice([0, 20]))), neighbors=pick.choice(PEERS)
                ),
                None,
                TTL_S,
            )
            for name in chosen
        ),
        names={name: frozenset(pick.sample(NAMES, pick.randint(1, 3))) for name in chosen},
        prefixes={name: tuple(pick.sample(PREFIXES, pick.choice([0, 0, 1, 2]))) for name in chosen},
        deny={name: pick.random() < 0.2 for name in chosen},
    )


def divided_anew(pick: random.Random, before: Configuration) -> Configuration:
    """The same lists in another order, for other routers, with other next-hops and networks.

    A start, as opposed to a reload, leaves claims to the lists that had them: so these stay what they are.
    """
    found = drawn(pick)
    policies = tuple(
        Policy(
            policy.list,
            Attributes(bytes((10, 99, 0, 101 + pick.randrange(20))), neighbors=pick.choice(PEERS)),
            None,
            TTL_S,
        )
        for policy in pick.sample(before.policies, len(before.policies))
    )
    prefixes = {policy.list: found.prefixes.get(policy.list, ()) for policy in policies}
    return Configuration(policies, before.names, prefixes, before.deny)


class Churn:
    """Sightings, reloads, routers that go and come, and kills between any two lines; after each step all is exact."""

    def __init__(self, lab: Lab, routers: list[Bird], seed: int) -> None:
        self.pick = random.Random(seed)
        self.routers = routers
        self.speaker = Speaker(lab, [router.session for router in routers])
        del self.speaker.config["domains"]
        configuration = drawn(self.pick)
        write(self.speaker, configuration)
        self.naive = Naive(configuration)
        for router in routers:
            router.start()
        self.speaker.start()

    def step(self, *, killed: bool) -> None:
        """Change something, and perhaps have the plugin killed while it is at work."""
        pick, speaker = self.pick, self.speaker
        if pick.random() < (0.7 if killed else 0.4):
            configuration = divided_anew(pick, self.naive.configuration) if killed else drawn(pick)
            write(speaker, configuration)
            self.naive.reload(configuration, 0.0)
            speaker.hup() if killed else speaker.run("reload")
        seen = [(one, pick.choice(NAMES)) for one in pick.sample(ADDRESSES, pick.randint(0, len(ADDRESSES)))]
        for address, name in seen:
            self.naive.see(address, name, 300, 0.0)
        self.send(seen)
        down = pick.choice(self.routers) if pick.random() < 0.2 else None
        if down is not None:
            down.stop()
        if killed:
            time.sleep(pick.random() * 0.3)  # the random moment
            kill_plugin(speaker)
            eventually(lambda: send_all(speaker, "no.example", ["11.9.9.9"]), 60, "the tap is back")
            self.send(seen)
        if down is not None:
            down.start()

    def send(self, seen: list[tuple[bytes, bytes]]) -> None:
        for address, name in seen:
            send(self.speaker.tap, sightings(name.decode(), [str(ipaddress.ip_address(address))]))

    def is_exact(self, what: str) -> None:
        exact(self.speaker, self.routers, self.naive.tables(), what)
        # what no line was written for is recorded by the timer: only then a kill costs nothing
        held = {key for key, lists in self.naive.held.items() if lists}
        eventually(lambda: held <= claims(self.speaker), 15, "the claims")


def churn(lab: Lab, routers: list[Bird], seed: int, steps: int) -> None:
    run = Churn(lab, routers, seed)
    kills = set(run.pick.sample(range(1, steps), KILLS))
    for step in range(steps):
        run.step(killed=step in kills)
        run.is_exact(f"after step {step} of seed {seed}")
    os.kill(run.speaker.host_pid(), signal.SIGUSR1)  # ExaBGP reads its configuration again: nothing changes
    run.is_exact(f"at the end of seed {seed}")


def claims(speaker: Speaker) -> set[tuple[bytes, bytes]]:
    """The addresses and names in the state file."""
    try:
        return {(claim.address, claim.name) for claim in dump.read(speaker.state).claims.values()}
    except CommandError as error:
        raise AssertionError(str(error)) from error


def test_four_lists_over_three_routers_under_churn_and_kills(lab: Lab, routers: list[Bird]):
    churn(lab, routers, 1, 9)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 30))
def test_four_lists_over_three_routers_again_and_again(lab: Lab, routers: list[Bird], seed: int):
    churn(lab, routers, seed, 40)
