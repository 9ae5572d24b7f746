"""Whose answers count, and that no resolver becomes a route: real resolvers with names, policies and addresses."""

import pytest

from tests.integration.lab import Lab, becomes, eventually, run, stays
from tests.integration.resolvers import ZONE, Authority, Bind, Unbound, ask
from tests.integration.routers import Bird, Session
from tests.integration.speaker import Speaker
from tests.integration.tap_sender import response, send, sightings

pytestmark = [pytest.mark.netns, pytest.mark.real("unbound", "named", "bird", "birdc")]

REWRITES = "plain.example A 11.9.0.9\n"
PLAIN = {"11.1.0.1/32", "11.1.0.2/32"}


def test_only_the_resolvers_that_are_named_count(lab: Lab):
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], ["example"], dnstap={"identities": ["inside"]})
    tap = str(speaker.tap)
    inside = Unbound(lab, tap, dnstap='dnstap-send-identity: yes\n  dnstap-identity: "inside"')
    outside = Bind(lab, tap, options='dnstap-identity "outside";')
    for part in (bird, speaker, Authority(lab), inside, outside):
        part.start()
    ask(lab, outside.port, "both.example")
    eventually(lambda: "foreign 1" in counts(speaker), 15, "the stranger's answer has come")
    ask(lab, inside.port, "plain.example")
    becomes(bird.prefixes, PLAIN, 15, "the answers that count")
    speaker.config["dnstap"]["identities"] = ["inside", "outside"]
    speaker.write()
    speaker.run("reload")
    ask(lab, outside.port, "both.example")
    becomes(bird.prefixes, PLAIN | {"11.1.0.3/32"}, 15, "after the reload")


def test_an_answer_that_says_it_was_rewritten_is_ignored_unless_that_is_wanted(lab: Lab):
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], ["example"])
    for part in (bird, speaker):
        part.start()
    answers = [
        response("a.example", f"a.example 300 IN A 11.1.0.{action}", policy_action=action) for action in (1, 3, 6)
    ]
    send(speaker.tap, answers)
    becomes(bird.prefixes, {"11.1.0.3/32"}, 15, "what the policy let pass")
    speaker.config["dnstap"]["rewritten"] = True
    speaker.write()
    speaker.run("reload")
    send(speaker.tap, answers)
    becomes(bird.prefixes, {"11.1.0.1/32", "11.1.0.3/32", "11.1.0.6/32"}, 15, "all")


@pytest.mark.parametrize("resolver_type", [Unbound, Bind])
def test_a_block_page_is_kept_out_by_deny(lab: Lab, resolver_type: type[Unbound | Bind]):
    """unbound 1.17 and BIND 9.18 rewrite by RPZ and leave the field empty: only the address gives it away."""
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], ["example"], guard={"deny": ["11.9.0.9"]})
    resolver = resolver_type(lab, str(speaker.tap), rewrites=REWRITES)
    for part in (bird, speaker, Authority(lab), resolver):
        part.start()
    assert ask(lab, resolver.port, "plain.example") == ["11.9.0.9"]
    ask(lab, resolver.port, "both.example")
    becomes(bird.prefixes, {"11.1.0.3/32"}, 15, "what was not rewritten")
    stays(lambda: bird.prefixes() == {"11.1.0.3/32"}, 1, "the block page stays out")
    assert "rewritten 1" in counts(speaker) or "refused by the guard (denied): 11.9.0.9" in speaker.daemon.text()


def test_a_resolvers_own_address_never_becomes_a_route(lab: Lab):
    run("ip", "-n", lab.host.name, "route", "add", "local", "11.5.0.0/24", "dev", "lo")  # as an anycast address has it
    bird = Bird(lab, Session(2))
    speaker = Speaker(lab, [bird.session], ["example"])
    resolver = Unbound(
        lab, str(speaker.tap), server="interface: 11.5.0.53\n  ip-freebind: yes\n  access-control: 11.5.0.0/24 allow"
    )
    zone = f"{ZONE}farm A 11.5.0.53\nfarm A 11.5.0.54\n"
    for part in (bird, speaker, Authority(lab, zone), resolver):
        part.start()
    send(speaker.tap, sightings("early.example", ["11.5.0.53"]))
    becomes(bird.prefixes, {"11.5.0.53/32"}, 15, "nobody knows yet that it is a resolver")
    ask(lab, resolver.port, "farm.example", address="11.5.0.53")
    becomes(bird.prefixes, {"11.5.0.54/32"}, 15, "it is known by its own answer")
    eventually(lambda: "refused by the guard (resolver): 11.5.0.53" in speaker.daemon.text(), 10, "the log says so")


def counts(speaker: Speaker) -> str:
    """What USR1 has the log say last of the tap."""
    run("kill", "-USR1", str(speaker.plugin_pid()))
    found = [line for line in speaker.daemon.text().splitlines() if "tap: " in line]
    return found[-1].replace(":", "") if found else ""
