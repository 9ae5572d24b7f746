"""Real resolvers' answers become routes in real routers, and go when nobody asks any more."""

import time

import pytest

from tests.integration.lab import HOST_V4, HOST_V6, Lab, becomes, ends, eventually, stays
from tests.integration.resolvers import PROGRAMS, RESOLVERS, Authority, Bind, ClientTap, Recursor, Unbound, ask
from tests.integration.routers import Bird, GoBgp, Route, Session
from tests.integration.shipped import tls_folder
from tests.integration.speaker import Speaker

pytestmark = [
    pytest.mark.netns,
    pytest.mark.real(*PROGRAMS, "named", "bird", "birdc", "gobgpd", "gobgp"),
]

ResolverType = type[ClientTap]
TAP_DELAY_S = 4  # unbound hands its frames on within 1 s, others within 2 s; and some reserve for a busy machine

QUESTIONS = {  # what is asked, and the routes that come of it with LIST
    ("www.example", "A"): {"11.1.0.5/32"},
    ("www.example", "AAAA"): {"2600:1::5/128"},
    ("both.example", "A"): {"11.1.0.3/32"},
    ("both.example", "AAAA"): {"2600:1::3/128"},
    ("alias.example", "A"): {"11.1.0.6/32"},
    ("host.old.example", "A"): {"11.1.0.7/32"},
    ("secure.example", "HTTPS"): {"11.1.0.8/32", "2600:1::8/128"},
    ("trap.example", "A"): {"11.1.0.10/32"},
    ("plain.example", "A"): {"11.1.0.1/32", "11.1.0.2/32"},
    ("other.example", "A"): set(),
    ("nowhere.example", "A"): set(),
    ("six.example", "A"): set(),
}
LIST = [
    "# what is watched",
    "www.example",
    "both.example.",
    "=middle.example",
    "*.old.example",
    "secure.example",
    "trap.example",
    "PLAIN.example",
]
EXPECTED = set().union(*QUESTIONS.values())


@pytest.mark.parametrize("resolver_type", RESOLVERS)
def test_answers_become_routes(lab: Lab, resolver_type: ResolverType):
    bird, gobgp = Bird(lab, Session(2)), GoBgp(lab, Session(3))
    speaker = Speaker(
        lab, [bird.session, gobgp.session], LIST, bgp={"communities": ["no-export", "65001:100"], "med": 7}
    )
    for part in (bird, gobgp, speaker, Authority(lab), resolver := resolver_type(lab, str(speaker.tap))):
        part.start()
    for name, kind in QUESTIONS:
        ask(lab, resolver.port, name, kind)

    for router in (bird, gobgp):
        becomes(router.prefixes, EXPECTED, 15, router.name)
        for prefix, route in router.routes().items():
            hop = HOST_V6 if ":" in prefix else HOST_V4
            assert route == Route(hop, frozenset({"65535:65281", "65001:100"}), local_preference=100, med=7), prefix
    assert speaker.adj_rib_out() == {"10.99.0.2": EXPECTED, "10.99.0.3": EXPECTED}


@pytest.mark.parametrize("resolver_type", RESOLVERS)
def test_a_cache_hit_is_enough(lab: Lab, resolver_type: ResolverType):
    """A name that the resolver knew long before it was listed: the next answer comes from its cache."""
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], ["www.example"])
    authority = Authority(lab)
    for part in (bird, speaker, authority, resolver := resolver_type(lab, str(speaker.tap))):
        part.start()
    ask(lab, resolver.port, "plain.example")
    ask(lab, resolver.port, "www.example")
    becomes(bird.prefixes, {"11.1.0.5/32"}, 15, "only the listed name")
    authority.stop()  # from here on, an answer can only come from the cache

    speaker.write(["www.example", "plain.example"])
    speaker.run("reload")
    ask(lab, resolver.port, "plain.example")
    becomes(bird.prefixes, {"11.1.0.5/32", "11.1.0.1/32", "11.1.0.2/32"}, 15, "the name from the cache")


@pytest.mark.parametrize("resolver_type", RESOLVERS)
def test_a_route_lives_as_long_as_it_is_asked_for(lab: Lab, resolver_type: ResolverType):
    ttl_s = 4
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], ["plain.example", "brief.example"], ttl=f"{ttl_s}s")
    for part in (bird, speaker, Authority(lab), resolver := resolver_type(lab, str(speaker.tap))):
        part.start()
    routes = {"11.1.0.1/32", "11.1.0.2/32", "11.1.0.4/32"}
    asked = [0.0]

    def held() -> bool:
        if time.monotonic() > asked[0] + 0.4:
            asked[0] = time.monotonic()  # hits of one name's cache entry, misses of the other's: its DNS TTL is 1 s
            ask(lab, resolver.port, "plain.example")
            ask(lab, resolver.port, "brief.example")
        return bird.prefixes() >= routes

    eventually(held, 15, "the routes come")
    stays(held, ttl_s + TAP_DELAY_S, "the routes while they are asked for")
    last = time.monotonic()

    def within_their_time() -> bool:
        return bird.prefixes() >= routes or time.monotonic() > last + ttl_s - 1

    stays(within_their_time, ttl_s - 1.5, "the routes within their time")
    ends(bird.prefixes, last + ttl_s + TAP_DELAY_S - time.monotonic(), "the end of the routes")


@pytest.mark.parametrize("resolver_type", RESOLVERS)
def test_a_resolver_comes_back(lab: Lab, resolver_type: ResolverType):
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], ["example"])
    for part in (bird, speaker, Authority(lab), resolver := resolver_type(lab, str(speaker.tap))):
        part.start()
    ask(lab, resolver.port, "both.example")
    becomes(bird.prefixes, {"11.1.0.3/32"}, 15, "before the restart")
    resolver.stop()
    resolver.start()
    ask(lab, resolver.port, "plain.example")
    becomes(bird.prefixes, {"11.1.0.3/32", "11.1.0.1/32", "11.1.0.2/32"}, 15, "after the restart")


def test_unbound_over_tcp(lab: Lab):
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], ["plain.example"])
    speaker.config["dnstap"]["listen"] = [str(speaker.tap), "127.0.0.1:6000", "[::1]:6000"]
    speaker.write()
    for part in (bird, speaker, Authority(lab), Unbound(lab, "127.0.0.1:6000")):
        part.start()
    ask(lab, Unbound.PORT, "plain.example")
    becomes(bird.prefixes, {"11.1.0.1/32", "11.1.0.2/32"}, 15, "through TCP")


@pytest.mark.real("openssl")
def test_unbound_over_tls(lab: Lab):
    """With the certificates that its file says how to make; a broken new one changes nothing, and is told."""
    bird = Bird(lab, Session(2))
    folder = tls_folder(lab.folder / "tls")
    speaker = Speaker(lab, [bird.session], ["plain.example", "both.example"])
    speaker.config["dnstap"] = {
        "listen": ["127.0.0.1:6000", "tcp://127.0.0.1:6001", str(speaker.tap)],
        "tls_cert": str(folder / "server.pem"),
        "tls_key": str(folder / "server.key"),
        "tls_client_ca": str(folder / "ca.pem"),
    }
    speaker.write()
    unbound = Unbound(lab, "127.0.0.1:6000", tls=str(folder))
    for part in (bird, speaker, Authority(lab), unbound):
        part.start()
    ask(lab, unbound.port, "plain.example")
    becomes(bird.prefixes, {"11.1.0.1/32", "11.1.0.2/32"}, 15, "through TLS")

    (folder / "server.pem").write_text("half of a certificate")
    told = speaker.run("reload", status=1)
    assert f"tls_cert {folder}/server.pem: holds no certificate" in told
    assert "what ran before still runs" in told
    unbound.stop()
    unbound.start()
    ask(lab, unbound.port, "both.example")
    becomes(bird.prefixes, {"11.1.0.1/32", "11.1.0.2/32", "11.1.0.3/32"}, 15, "with the old certificate")


@pytest.mark.real("pdns_recursor")
def test_the_recursor_shows_only_what_it_asks_for(lab: Lab):
    """As deploy/resolvers/pdns-recursor.lua says: what comes from its cache is missed."""
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], ["plain.example", "both.example"], dnstap={"messages": "resolver_response"})
    for part in (bird, speaker, Authority(lab), recursor := Recursor(lab, str(speaker.tap))):
        part.start()
    ask(lab, recursor.port, "plain.example")
    becomes(bird.prefixes, {"11.1.0.1/32", "11.1.0.2/32"}, 15, "what it asked for")
    speaker.write(["both.example"])
    speaker.run("reload")
    speaker.write(["both.example", "plain.example"])
    speaker.run("reload")
    ask(lab, recursor.port, "plain.example")
    ask(lab, recursor.port, "both.example")
    becomes(bird.prefixes, {"11.1.0.3/32"}, 15, "what it asked for, and nothing from its cache")


def test_two_resolvers_at_once(lab: Lab):
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], ["plain.example", "both.example"])
    for part in (bird, speaker, Authority(lab), Unbound(lab, str(speaker.tap)), Bind(lab, str(speaker.tap))):
        part.start()
    ask(lab, Unbound.PORT, "plain.example")
    ask(lab, Bind.PORT, "both.example", "AAAA")
    becomes(bird.prefixes, {"11.1.0.1/32", "11.1.0.2/32", "2600:1::3/128"}, 15, "both resolvers' routes")
