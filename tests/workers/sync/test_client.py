"""Instances that follow each other over our own stream."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace

import pytest

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.sync import delta, replication_log
from dnstap_bgp.core.sync.delta import Deflater, Inflater
from dnstap_bgp.workers.sync import client, hub
from dnstap_bgp.workers.sync.peer import Peer
from tests.core.sync.test_delta import NESTED
from tests.integration.lab import becomes, eventually, stays
from tests.ports import free_port
from tests.workers.sync.instance import Instance, config, packed, rules, running


def members(links: dict[int, list[int]], ttl_s: float = 3600.0) -> list[Instance]:
    """Instances numbered from 0, each with the peers that it follows."""
    ports = [free_port() for _ in links]
    return [
        Instance(config(ports[n], *(ports[peer] for peer in peers), insecure=True), ttl_s=ttl_s)
        for n, peers in links.items()
    ]


def converge(instances: list[Instance], expected: set[str], what: str) -> None:
    for instance in instances:
        becomes(instance.routes, expected, 10, what)


def test_what_one_sees_the_other_learns():
    one, other = members({0: [1], 1: [0]})
    one.see("a.example", "11.0.0.1", "2600::1")
    with running(one, other):
        becomes(other.routes, {"11.0.0.1", "2600::1"}, 5, "what was there before")
        other.see("b.example", "11.0.0.2")
        becomes(one.routes, {"11.0.0.1", "2600::1", "11.0.0.2"}, 5, "what came after")
        eventually(lambda: one.peer().state == "following", 5, str(one.peer()))
        assert one.peer().wire_format == "delta"
        assert abs(one.seen("11.0.0.2") - other.seen("11.0.0.2")) < 5, "as far as the clocks are known"
        assert len(one.keeper.table.claims) == len(other.keeper.table.claims) == 3


@pytest.mark.parametrize(
    "links",
    [
        {0: [1], 1: [2], 2: [3], 3: []},
        {0: [1], 1: [2], 2: [3], 3: [0]},
        {n: [m for m in range(4) if m != n] for n in range(4)},
    ],
    ids=["one way", "ring", "mesh"],
)
def test_any_topology_converges_and_falls_silent(links):
    fleet = members(links)
    with running(*fleet):
        eventually(lambda: all(peer.state == "following" for one in fleet for peer in one.peers()), 15, "up")
        fleet[3].see("a.example", *(addresses := [f"11.0.0.{n}" for n in range(100)]))
        converge(fleet, set(addresses), "all have it")

        def given() -> int:
            return sum(status.given for one in fleet for status in one.syncer.status())

        edges = sum(map(len, links.values()))
        eventually(lambda: given() >= 100, 5, "it is counted")
        stays(lambda: given() <= 100 * edges, 1.5, "each link carries a sighting once at most")


def test_a_member_that_is_its_own_peer_leaves_itself_alone():
    port = free_port()
    one = Instance(config(port, port))
    with running(one):
        eventually(lambda: one.peer().state == "self", 5, "it knows itself")
        one.see("a.example", "11.0.0.1")
        stays(lambda: one.peer().given == one.peer().taken == 0, 0.5)


def test_a_name_that_is_listed_later_comes_with_it():
    one, other = members({0: [1], 1: []})
    one.keeper.switch(rules(["elsewhere.test"]), one.keeper.table.policies)
    other.see("a.example", "11.0.0.1")
    with running(one, other):
        eventually(lambda: one.peer().refused == 1, 5, "it is on no list")
        one.keeper.switch(rules(["example"]), one.keeper.table.policies)
        one.syncer.resync()
        becomes(one.routes, {"11.0.0.1"}, 5, "now it is")


def test_who_falls_behind_gets_everything(monkeypatch):
    monkeypatch.setattr(replication_log.ReplicationLog.__init__, "__defaults__", (20_000,))
    monkeypatch.setattr(hub, "FED_MAX", 3000)
    one, other = members({0: [], 1: [0]})
    expected: set[str] = set()
    with running(one, other):
        eventually(lambda: other.peer().state == "following", 5, "it follows")
        errors = other.peer().errors  # until the other listened
        for block in range(20):
            addresses = [f"11.{block}.{n // 250}.{n % 250}" for n in range(500)]
            one.see("a.example", *addresses)
            expected |= set(addresses)
        converge([other], expected, "all of it")
        assert other.peer().errors == errors, "and the stream goes on"


def test_a_stream_goes_on_where_it_was(monkeypatch):
    monkeypatch.setattr(client, "RENEW_S", 0.0)
    one, other = members({0: [], 1: [0]})
    one.see("a.example", *(f"11.1.0.{n}" for n in range(200)))
    with running(one, other):
        eventually(lambda: len(other.routes()) == 200, 5, "all of it")
        for number in range(1, 6):
            one.see("a.example", f"11.2.0.{number}")
            becomes(
                lambda: {found for found in other.routes() if found.startswith("11.2")},
                {f"11.2.0.{n}" for n in range(1, number + 1)},
                5,
            )
        assert one.syncer.status() == [] or sum(status.given for status in one.syncer.status()) < 400
        eventually(lambda: other.peer().taken == 205, 5, "each once")
        assert other.peer().refused == 0


def test_a_reload_moves_the_listener_and_keeps_the_rest():
    one, other = members({0: [], 1: [0]})
    old, new = one.config, config(free_port(), insecure=True)
    with running(one, other):
        eventually(lambda: other.peer().state == "following", 5, "it follows")
        one.syncer.configure(new)
        eventually(lambda: other.peer().state == "failing", 10, "nobody there")
        one.see("a.example", "11.0.0.1")
        one.syncer.configure(old)
        becomes(other.routes, {"11.0.0.1"}, 10, "it is back")
        one.syncer.configure(None)
        assert one.syncer.status() == []
        assert one.syncer.addresses() == frozenset()
        one.see("a.example", "11.0.0.2")
        stays(lambda: other.routes() == {"11.0.0.1"}, 0.5)


def test_peers_are_known_by_address_and_a_name_is_looked_up():
    port = free_port()
    one = Instance(config(None, port))
    named = replace(
        one.config,
        peers=(
            one.config.peers[0].__class__("localhost", port),
            one.config.peers[0].__class__("nowhere.invalid", 1),
        ),
    )
    one.config = named
    other = Instance(config(port, insecure=True))
    other.see("a.example", "11.0.0.1")
    with running(one, other):
        becomes(one.routes, {"11.0.0.1"}, 5, "by its name")
        assert packed("127.0.0.1") in one.syncer.addresses()
        eventually(lambda: one.peer(1).state == "failing", 10, "a name that nobody knows")


def test_claims_end_together_and_one_in_use_never_does():
    one, other = members({0: [1], 1: [0]}, ttl_s=4.0)
    with running(one, other):
        one.see("a.example", "11.0.0.1")
        becomes(other.routes, {"11.0.0.1"}, 5, "it is there")

        def in_use() -> bool:
            one.see("a.example", "11.0.0.1")
            return other.routes() == {"11.0.0.1"}

        stays(in_use, 6, "it is in use")
        eventually(lambda: abs(one.seen("11.0.0.1") - other.seen("11.0.0.1")) < 1, 1, "the last sighting is told")
        becomes(other.routes, set(), 7, "it ends")
        becomes(one.routes, set(), 0.8, "at about the same time, and not a lifetime later")


# -- a peer that means no good


class Impostor:
    """Whoever answers at a peer's address, with the same bytes to everybody."""

    def __init__(self, port: int, body: bytes) -> None:
        self.body = body
        self.asked = 0
        self._server = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                with closing(self._server.accept()[0]) as sock:
                    sock.settimeout(5)
                    sock.recv(65536)
                    self.asked += 1
                    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-dnstap-bgp-changes\r\n\r\n"
                    sock.sendall(head + self.body)

    def close(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(5)


@contextmanager
def impostor(port: int, *payloads: bytes) -> Iterator[Impostor]:
    deflater = Deflater()
    found = Impostor(port, deflater.burst([delta.encode_hello("f" * 16, 1000.0, resumed=False), *payloads]))
    try:
        yield found
    finally:
        found.close()


@pytest.mark.parametrize("number", range(len(NESTED)))
def test_a_peer_whose_frames_nest_ends_its_own_conversation(number):
    """1 KB of msgpack, arrays 1,010 deep in each other: printing that took the whole process along once."""
    one, two, theirs = free_port(), free_port(), free_port()
    victim, friend = Instance(config(one, two, theirs, compatible=False)), Instance(config(two, one))
    with impostor(theirs, NESTED[number]) as attacker, running(victim, friend):
        eventually(lambda: attacker.asked >= 2 and victim.peer(1).errors >= 2, 10, "it is tried again, and fails")
        eventually(lambda: victim.peer(0).state == "following", 10, "the other peer has nothing to do with it")
        friend.see("a.example", "11.0.0.1")
        becomes(victim.routes, {"11.0.0.1"}, 5, "and goes on")
        eventually(lambda: victim.peer(1).state == "failing", 5, "between two tries")
        assert victim.peer(1).last_error.isprintable()
        assert not victim.crashes


@pytest.mark.parametrize("fault", [RecursionError("x\x1b"), MemoryError(), KeyError(("a", 1)), AssertionError()])
@pytest.mark.parametrize("where", ["decode", "feed", "deliver", "look_up"])
def test_a_fault_at_a_clients_entry_ends_that_conversation(monkeypatch, where, fault):
    """Faults of ours are planted wherever a peer's answer comes in, for the bytes of one peer only."""
    one, two, theirs = free_port(), free_port(), free_port()
    victim, friend = Instance(config(one, two, theirs, compatible=False)), Instance(config(two, one))
    is_planted = [True]
    bodies: list[bytes] = []

    def planted(original, is_meant):
        def call(*args, **kwargs):
            if is_planted[0] and is_meant(*args):
                raise fault
            return original(*args, **kwargs)

        return call

    theirs_alone = delta.encode_claims([Claim(packed("11.0.0.9"), "default", b"a.example", 999.0, 999.0, 60.0)], 1000.0)
    match where:
        case "decode":
            monkeypatch.setattr(delta, "decode", planted(delta.decode, lambda payload: payload == theirs_alone))
        case "feed":
            # a read may end anywhere in the body
            monkeypatch.setattr(
                Inflater,
                "feed",
                planted(Inflater.feed, lambda _, chunk: chunk != b"" and any(chunk in body for body in bodies)),
            )
        case "deliver":
            monkeypatch.setattr(hub.Hub, "deliver", planted(hub.Hub.deliver, lambda _, node, __: node == "f" * 16))
        case "look_up":
            monkeypatch.setattr(Peer, "look_up", planted(Peer.look_up, lambda self: self.endpoint.port == theirs))
    with impostor(theirs, theirs_alone) as attacker:
        bodies.append(attacker.body)
        with running(victim, friend):
            eventually(lambda: victim.peer(1).errors >= 2, 10, "it is tried again, and fails")
            eventually(lambda: victim.peer(0).state == "following", 10, "the other peer has nothing to do with it")
            friend.see("a.example", "11.0.0.1")
            eventually(lambda: "11.0.0.1" in victim.routes(), 5, "and goes on")
            assert "a fault of ours" in victim.peer(1).last_error
            assert victim.peer(1).last_error.isprintable()
            is_planted[0] = False
            eventually(lambda: "11.0.0.9" in victim.routes(), 10, "what was left out comes with a later try")
            assert not victim.crashes
