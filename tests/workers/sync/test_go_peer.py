"""A mixed fleet: ours beside the Go program."""

import json
import socket
import time
from dataclasses import replace

import pytest

from dnstap_bgp.config.addresses import TcpAddress
from dnstap_bgp.core.sync import go_json
from dnstap_bgp.core.sync.delta import TOLERANCE_S
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.sync import client
from dnstap_bgp.workers.sync.peer import Peer
from tests.integration.lab import becomes, eventually, stays
from tests.ports import free_port
from tests.workers.sync.go_program import GoProgram, request
from tests.workers.sync.instance import Instance, config, packed, running
from tests.workers.sync.listener_kit import serving


@pytest.mark.parametrize("ahead_s", [0.0, 600.0, -600.0])
def test_a_mixed_pair_converges_however_its_clocks_are_set(ahead_s):
    ours, theirs = free_port(), free_port()
    one = Instance(config(ours, theirs), ttl_s=120)
    with GoProgram(theirs, [ours], ahead_s, ttl_s=120) as other:
        other.cache["11.0.0.1"] = "www.example", other.now()
        with serving(one):
            becomes(one.routes, {"11.0.0.1"}, 5, "the first pull is at the start")
            other.see("www.example", "11.0.0.2", "2600::2")
            becomes(one.routes, {"11.0.0.1", "11.0.0.2", "2600::2"}, 5, "what it pushes")
            one.see("b.example", "11.0.0.3")
            becomes(other.routes, {"11.0.0.1", "11.0.0.2", "2600::2", "11.0.0.3"}, 5, "what we push")
            before = {address: one.seen(address) for address in one.routes()}
            assert abs(other.cache["11.0.0.3"][1].timestamp() - other.now().timestamp()) < 4
            other.cache.pop("11.0.0.3")
            other.pull()
            assert "11.0.0.3" in other.routes()
            one.syncer.resync()
            eventually(lambda: other.requests.count(("GET", "/fetch")) > 1, 5, "pulled again")
            time.sleep(0.2)
            assert {address: one.seen(address) for address in before} == before, "an echo made something younger"
            assert one.peer().wire_format == "compatible"
            eventually(lambda: one.peer().given == 1 + 4, 5, "a push, and all that it pulled")


def test_a_refresh_is_taken_and_never_doubled():
    ours, theirs = free_port(), free_port()
    one = Instance(config(ours, theirs))
    with GoProgram(theirs, [ours]) as other, serving(one):
        eventually(lambda: one.peer().state == "following", 5, "it runs")
        other.see("www.example", "11.0.0.1")
        before = one.seen("11.0.0.1")
        eventually(lambda: process_clock() > before + TOLERANCE_S, 5, "a second sighting is one")
        other.see("www.example", "11.0.0.1")
        status, _ = request(ours, "PUT", "/put", entry("::ffff:11.0.0.1", "WWW.Example.", time.time()))
        assert status == 200
        assert one.routes() == {"11.0.0.1"}
        assert one.seen("11.0.0.1") > before
        assert len(one.keeper.table.claims) == 1


def test_fetch_tells_the_latest_name_of_an_address():
    port = free_port()
    one = Instance(config(port, insecure=True))
    with running(one):
        eventually(lambda: request_or_none(port) == b"null", 5, "an empty cache is null")
        one.see("old.example", "11.0.0.1")
        one.see("new.example", "11.0.0.1", "2600::1")
        found = json.loads(request_or_none(port))
        assert sorted((entry["IP"], entry["Domain"]) for entry in found) == [
            ("11.0.0.1", "new.example"),
            ("2600::1", "new.example"),
        ]
        assert set(found[0]) == {"IP", "Domain", "TS"}


def test_a_dead_peer_costs_the_others_nothing_and_is_pushed_to_when_it_is_back():
    ours, theirs, dead = free_port(), free_port(), free_port()
    one = Instance(config(ours, dead, theirs))
    with GoProgram(theirs, [ours]) as other, running(one):
        eventually(lambda: one.peer(1).wire_format == "compatible", 5, "it is known")
        one.see("www.example", "11.0.0.1")
        becomes(other.routes, {"11.0.0.1"}, 3, "the living one")
        eventually(lambda: one.peer(0).state == "failing", 5, "the dead one")
        with GoProgram(dead, [ours]) as back:
            eventually(lambda: one.peer(0).wire_format == "compatible", 10, "it is back")
            one.see("www.example", "11.0.0.2")
            becomes(back.routes, {"11.0.0.2"}, 5, "and gets what is new")
        one.see("www.example", "11.0.0.3")
        eventually(lambda: one.peer(0).state == "failing", 10, "it is gone again")
        with GoProgram(dead, [ours]) as back:
            becomes(back.routes, {"11.0.0.3"}, 40, "what was new meanwhile has waited")


def test_what_ended_while_it_waited_is_not_pushed():
    """The Go program takes whatever it is told, however old."""
    ours, theirs = free_port(), free_port()
    one = Instance(config(ours, theirs), ttl_s=1.5)
    with running(one):
        with GoProgram(theirs, []):
            eventually(lambda: one.peer().wire_format == "compatible", 5, "it is known")
        one.see("www.example", "11.0.0.1")
        eventually(lambda: one.peer().state == "failing", 10, "it is gone")
        becomes(one.routes, set(), 5, "it has ended")
        with GoProgram(theirs, []) as back:

            def is_there() -> bool:
                one.see("www.example", "11.0.0.2")  # again and again: it lives for a moment, too
                return "11.0.0.2" in back.cache

            eventually(is_there, 40, "what is new gets there")
            assert "11.0.0.1" not in back.cache


def test_a_go_program_that_moves_is_let_in_from_where_it_is_now(monkeypatch):
    where, real = {"go.test": "127.0.0.2"}, socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **named: real(where.get(host, host), *more, **named))
    monkeypatch.setattr(client, "REDISCOVER_S", 0.2)
    theirs = free_port()
    named = replace(config(free_port()), peers=(TcpAddress("go.test", theirs),))
    one = Instance(named)
    with running(one):
        with GoProgram(theirs, [], host="127.0.0.2"):
            eventually(lambda: one.peer().wire_format == "compatible", 5, "it is known")
            assert one.syncer.addresses() == {packed("127.0.0.2")}
        where["go.test"] = "127.0.0.3"
        with GoProgram(theirs, [], host="127.0.0.3") as moved:
            one.see("www.example", "11.0.0.1")
            becomes(moved.routes, {"11.0.0.1"}, 10, "it is told where it is now")
            eventually(lambda: one.syncer.addresses() == {packed("127.0.0.3")}, 10, "and may ask from there")


def test_pulls_that_go_well_are_not_told_each_time(caplog):
    caplog.set_level("INFO")
    theirs = free_port()
    one = Instance(config(None, theirs, sync_interval_s=0.05))
    with GoProgram(theirs, []) as other, running(one):
        eventually(lambda: other.requests.count(("GET", "/fetch")) > 5, 10, "it is pulled again and again")
    assert caplog.text.count("following") == 1


def test_compatible_can_be_switched_off():
    ours, theirs = free_port(), free_port()
    one = Instance(config(ours, theirs, compatible=False))
    with GoProgram(theirs, []) as other, serving(one):
        eventually(lambda: one.peer().errors, 5, "it is asked")
        assert request(ours, "GET", "/fetch")[0] == 404
        assert request(ours, "PUT", "/put", entry("11.0.0.1", "a.example", time.time()))[0] == 404
        stays(lambda: ("GET", "/fetch") not in other.requests, 1)


def entry(address: str, domain: str, wall_s: float) -> bytes:
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(wall_s))
    return json.dumps({"IP": address, "Domain": domain, "TS": text}).encode()


def request_or_none(port: int) -> bytes:
    try:
        return request(port, "GET", "/fetch")[1]
    except OSError:
        return b""


@pytest.mark.parametrize("where", ["read", "write", "clock"])
def test_a_fault_at_a_go_peers_entry_ends_that_conversation(monkeypatch, where):
    """Faults of ours are planted wherever a Go program's answer comes in, or a push goes out."""
    one, other = free_port(), free_port()
    instance, is_planted = Instance(config(one, other)), [True]

    def planted(original):
        def call(*args, **kwargs):
            if is_planted[0]:
                raise RecursionError("planted \x1b")
            return original(*args, **kwargs)

        return call

    target, name = {
        "read": (go_json.EntryReader, "feed"),
        "write": (go_json, "write"),
        "clock": (Peer, "clock_is"),
    }[where]
    monkeypatch.setattr(target, name, planted(getattr(target, name)))
    with GoProgram(other, []) as program, running(instance):
        program.cache["11.0.0.2"] = "a.example", program.now()
        eventually(lambda: instance.peer().wire_format == "compatible", 5, "it is a Go program")
        instance.see("a.example", "11.0.0.1")
        eventually(lambda: "a fault of ours" in instance.peer().last_error, 10, "it fails")
        assert instance.peer().last_error.isprintable()
        is_planted[0] = False
        eventually(lambda: "11.0.0.2" in instance.routes(), 10, "it is pulled")
        instance.see("a.example", "11.0.0.3")
        eventually(lambda: "11.0.0.3" in program.routes(), 10, "and pushed to")
        assert not instance.crashes
