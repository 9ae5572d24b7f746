"""Sessions of every kind with every router, and what becomes of the routes when a session ends."""

import re
from typing import Any

import pytest

from tests.integration.lab import HOST_V4, HOST_V6, Lab, becomes, eventually
from tests.integration.routers import ROUTERS, Bird, Frr, GoBgp, Route, Session
from tests.integration.speaker import Speaker
from tests.integration.tap_sender import response, send, sightings

pytestmark = [
    pytest.mark.netns,
    pytest.mark.real("bird", "birdc", "gobgpd", "gobgp", "vtysh", "/usr/lib/frr/bgpd"),
]

KINDS: dict[str, dict[str, Any]] = {
    "iBGP over IPv4": {},
    "iBGP over IPv6": {"ipv6": True},
    "eBGP over IPv4": {"router_as": 65002},
    "eBGP over IPv6": {"router_as": 4_200_000_001, "ipv6": True},
    "iBGP with MD5": {"password": "p;ss{w}rd"},
    "eBGP over IPv6 with MD5": {"router_as": 65002, "ipv6": True, "password": "s3cret"},
}
ADDRESSES = ["11.1.0.1", "11.1.0.2", "2600:1::1"]
PREFIXES = {"11.1.0.1/32", "11.1.0.2/32", "2600:1::1/128"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_router_holds_the_routes(lab: Lab, kind: str):
    routers = [router(lab, Session(number, **KINDS[kind])) for number, router in enumerate(ROUTERS, 2)]
    internal = "iBGP" in kind
    speaker = Speaker(
        lab,
        [router.session for router in routers],
        bgp={
            "communities": ["no-export", "65001:100"],
            "large_communities": ["65001:1:2"],
            "local_preference": 150,
            "med": 5,
        },
    )
    for part in (*routers, speaker):
        part.start()
    send(speaker.tap, sightings("www.example", ADDRESSES))

    for router in routers:
        becomes(router.prefixes, PREFIXES, 15, router.name)
        for prefix, route in router.routes().items():
            preference = 150 if internal else 100 if isinstance(router, Bird) else None
            assert route == Route(
                HOST_V6 if ":" in prefix else HOST_V4,
                frozenset({"65535:65281", "65001:100"}),
                frozenset({"65001:1:2"}),
                preference,
                5,
            ), f"{router.name} {prefix}"
    assert speaker.adj_rib_out() == {router.session.local: PREFIXES for router in routers}


@pytest.mark.parametrize("router_type", ROUTERS)
def test_a_router_comes_back(lab: Lab, router_type: type[Bird | GoBgp | Frr]):
    """It is killed, what happens meanwhile reaches it afterwards, and nothing else does."""
    router = router_type(lab, Session(2))
    speaker = Speaker(lab, [router.session], ["stays.example", "goes.example"])
    for part in (router, speaker):
        part.start()
    send(speaker.tap, [*sightings("stays.example", ["11.1.0.1"]), *sightings("goes.example", ["11.1.0.2"])])
    becomes(router.prefixes, {"11.1.0.1/32", "11.1.0.2/32"}, 15, "before")
    router.kill()
    send(speaker.tap, sightings("stays.example", ["11.1.0.3"]))
    speaker.write(["stays.example"])
    speaker.hup()
    router.start()
    becomes(router.prefixes, {"11.1.0.1/32", "11.1.0.3/32"}, 30, "after")


@pytest.mark.parametrize(
    "words",
    ["done", *(pytest.param(words, marks=pytest.mark.long) for words in ("error", "neighbor 10.99.0.2 up", "x" * 120))],
)
def test_a_session_bounces_whatever_its_router_says(lab: Lab, words: str):
    """Its routes are no routes of ours, and its parting words (RFC 9003) are no answer of ExaBGP."""
    bird = Bird(lab, Session(2), exports=["11.66.0.0/16", "0.0.0.0/0"])
    speaker = Speaker(lab, [bird.session])
    for part in (bird, speaker):
        part.start()
    send(speaker.tap, sightings("www.example", ADDRESSES))
    becomes(bird.prefixes, PREFIXES, 15, "before")
    exported = bird.ask("show protocols all speaker")
    assert re.search(r"[1-9]\d* exported", exported), exported
    bird.ask(f'disable speaker "{words}"')
    send(speaker.tap, sightings("www.example", ["11.1.0.9"]))
    eventually(lambda: not bird.up(), 10, "the session is down")
    bird.ask("enable speaker")
    becomes(bird.prefixes, PREFIXES | {"11.1.0.9/32"}, 30, "after")
    assert speaker.adj_rib_out() == {bird.session.local: bird.prefixes()}
    assert "11.66" not in speaker.run("routes")


def test_a_router_that_is_late(lab: Lab):
    """It starts long after the routes were announced to another."""
    early, late = Bird(lab, Session(2)), GoBgp(lab, Session(3))
    speaker = Speaker(lab, [early.session, late.session])
    for part in (early, speaker):
        part.start()
    send(speaker.tap, sightings("www.example", ADDRESSES))
    becomes(early.prefixes, PREFIXES, 15, "the early router")
    late.start()
    becomes(late.prefixes, PREFIXES, 30, "the late router")


def test_a_family_without_next_hop_is_never_announced(lab: Lab):
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session])
    del speaker.config["bgp"]["next_hop_ipv6"]
    speaker.write()
    for part in (bird, speaker):
        part.start()
    send(speaker.tap, sightings("www.example", ["2600:1::1", "11.1.0.1"]))
    becomes(bird.prefixes, {"11.1.0.1/32"}, 15, "IPv4 alone")


def test_two_names_share_an_address(lab: Lab):
    """Their claims are two: the end of one leaves the route, the end of the other takes it."""
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], ["a.example", "b.example"])
    for part in (bird, speaker):
        part.start()
    send(speaker.tap, [*sightings("a.example", ["11.1.0.1", "11.1.0.2"]), *sightings("b.example", ["11.1.0.1"])])
    becomes(bird.prefixes, {"11.1.0.1/32", "11.1.0.2/32"}, 15, "both names")
    speaker.write(["b.example"])
    speaker.run("reload")
    becomes(bird.prefixes, {"11.1.0.1/32"}, 10, "one name")
    speaker.write(["c.example"])
    speaker.run("reload")
    becomes(bird.prefixes, set(), 10, "no name")


def test_addresses_that_are_never_routed(lab: Lab):
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session])
    for part in (bird, speaker):
        part.start()
    never = ["0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", HOST_V4, "10.99.0.2",
             "::", "::1", "fe80::1", "ff02::1", HOST_V6]  # fmt: skip
    send(speaker.tap, sightings("www.example", [*never, "11.1.0.1"]))
    becomes(bird.prefixes, {"11.1.0.1/32"}, 15, "the one good address")


def test_the_namespace_of_the_configuration(lab: Lab):
    """`up` is started outside and enters the namespace that [process] names."""
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], process={"netns": lab.host.name})
    bird.start()
    speaker.start(inside=False)
    send(speaker.tap, [response("www.example", "www.example 60 IN A 11.1.0.1")])
    becomes(bird.prefixes, {"11.1.0.1/32"}, 15, "a route from inside the namespace")
    assert speaker.plugin_pid() in lab.host.pids()
