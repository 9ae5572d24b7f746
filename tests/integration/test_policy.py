"""Several lists to different places, static prefixes, the guard and dry runs, at real routers."""

import time
from typing import Any

import pytest

from tests.integration.lab import HOST_V4, HOST_V6, Lab, becomes, eventually, stays
from tests.integration.routers import Bird, GoBgp, Route, Session
from tests.integration.speaker import Speaker
from tests.integration.tap_sender import response, send, sightings

pytestmark = [pytest.mark.netns, pytest.mark.real("bird", "birdc", "gobgpd", "gobgp")]

PLAIN_V4 = Route(HOST_V4, frozenset({"65535:65281"}), local_preference=100)
PLAIN_V6 = Route(HOST_V6, frozenset({"65535:65281"}), local_preference=100)
WORK_V4 = Route("10.99.0.77", frozenset({"65001:7"}), frozenset({"65001:7:1"}), local_preference=300, med=70)
WORK_V6 = Route("fd99::77", frozenset({"65001:7"}), frozenset({"65001:7:1"}), local_preference=300, med=70)
NETWORKS = {"12.0.0.0/8": PLAIN_V4, "2600:12::/32": PLAIN_V6}


@pytest.fixture
def bird(lab: Lab) -> Bird:
    return Bird(lab, Session(2))


@pytest.fixture
def gobgp(lab: Lab) -> GoBgp:
    return GoBgp(lab, Session(3))


def table(router: Bird | GoBgp, expected: dict[str, Route]) -> None:
    becomes(router.prefixes, set(expected), 20, router.name)
    eventually(lambda: router.routes() == expected, 10, f"the attributes at {router.name}: {router.routes()}")


def test_two_lists_to_different_places_and_static_prefixes(lab: Lab, bird: Bird, gobgp: GoBgp):
    (work := lab.folder / "work.txt").write_text("work.example\nboth.example\n")
    lists: list[dict[str, Any]] = [
        {
            "name": "work",
            "sources": str(work),
            "next_hop": "10.99.0.77",
            "next_hop_ipv6": "fd99::77",
            "communities": ["65001:7"],
            "large_communities": ["65001:7:1"],
            "local_preference": 300,
            "med": 70,
            "peers": [bird.session.local],
        },
        {"name": "net", "prefixes": ["12.0.0.0/8", "2600:12::/32", "10.0.0.0/8"]},
    ]
    speaker = Speaker(lab, [bird.session, gobgp.session], ["both.example", "home.example"], list=lists)
    for part in (bird, gobgp, speaker):
        part.start()
    table(bird, NETWORKS)
    send(speaker.tap, sightings("www.work.example", ["11.1.0.1", "2600:1::1"]))
    send(speaker.tap, sightings("www.both.example", ["11.1.0.2"]))
    send(speaker.tap, sightings("home.example", ["12.0.0.9", "12.0.0.0", "10.1.2.3", "11.1.0.3"]))
    home = {"11.1.0.2/32": PLAIN_V4, "11.1.0.3/32": PLAIN_V4}
    table(bird, {"11.1.0.1/32": WORK_V4, "2600:1::1/128": WORK_V6} | home | NETWORKS)
    table(gobgp, home | NETWORKS)

    # the first list gives a name up, and the network goes: its addresses change over, and the covered ones come back
    speaker.config["list"] = lists[:1]
    speaker.write(["home.example"])
    told = speaker.run("diff")
    assert "list default: rules: 0 added, 1 withdrawn; routes: 2 added, 0 withdrawn\n" in told
    assert "list work: routes: 0 added, 0 withdrawn, 1 changed\n  ~ 11.1.0.2\n" in told
    assert "list net: routes: 0 added, 2 withdrawn\n" in told
    assert gobgp.prefixes() == set(home | NETWORKS), "a diff changes nothing"
    speaker.run("reload")
    work_routes = {"11.1.0.1/32": WORK_V4, "11.1.0.2/32": WORK_V4, "2600:1::1/128": WORK_V6}
    home = {f"{address}/32": PLAIN_V4 for address in ("12.0.0.9", "12.0.0.0", "11.1.0.3")}
    table(bird, work_routes | home)
    table(gobgp, home)
    assert all("no change" in line for line in speaker.run("diff").splitlines())

    # and another network covers them again, under a plugin that has just been started
    speaker.stop()
    speaker.config["list"] = [lists[0], {"name": "net", "prefixes": ["12.0.0.0/24"]}]
    speaker.write()
    speaker.start()
    table(bird, work_routes | {"11.1.0.3/32": PLAIN_V4, "12.0.0.0/24": PLAIN_V4})
    table(gobgp, {"11.1.0.3/32": PLAIN_V4, "12.0.0.0/24": PLAIN_V4})


def test_the_guard_keeps_a_lab_closed_until_it_is_allowed(lab: Lab, bird: Bird):
    speaker = Speaker(lab, [bird.session], ["example"], guard={"max_routes": 3})
    for part in (bird, speaker):
        part.start()
    private, own = ["10.1.0.1", "198.51.100.1", "fd01::1"], ["10.99.0.1", "10.99.0.2", "fd99::1"]
    send(speaker.tap, sightings("a.example", [*private, *own, "11.1.0.1"]))
    becomes(bird.prefixes, {"11.1.0.1/32"}, 15, "what is open anyway")
    speaker.config["guard"]["allow"] = ["10.0.0.0/8", "198.51.100.0/24", "fd00::/8"]
    speaker.write()
    speaker.run("reload")
    send(speaker.tap, sightings("a.example", [*own, "10.1.0.1", "fd01::1"]))
    becomes(bird.prefixes, {"11.1.0.1/32", "10.1.0.1/32", "fd01::1/128"}, 15, "what was allowed")
    send(speaker.tap, sightings("b.example", ["198.51.100.1"]))  # the least recently seen gives way at the cap
    becomes(bird.prefixes, {"198.51.100.1/32", "10.1.0.1/32", "fd01::1/128"}, 15, "at the cap")
    for line in (
        "refused by the guard (private 10.0.0.0/8): 10.1.0.1 for a.example of the list default and 1 more; [guard]",
        "refused by the guard (protected): 10.99.0.1 for a.example",
        "the table: 3 of at most 3 routes are held",
        "let go at the cap (routes): 11.1.0.1 for a.example of the list default; [guard] max_routes raises it",
    ):
        eventually(lambda: line in speaker.daemon.text(), 5, line)  # noqa: B023 - called at once


def test_a_dry_run_does_everything_but_send(lab: Lab, bird: Bird):
    speaker = Speaker(lab, [bird.session], ["example"], dry_run=True)
    for part in (bird, speaker):
        part.start()
    eventually(bird.up, 15, "the session")
    send(speaker.tap, sightings("a.example", ["11.1.0.1"]))
    eventually(lambda: "1 routes" in speaker.run("reload"), 10, "the table has it")
    stays(lambda: not bird.prefixes(), 2, "nothing is sent")
    speaker.config["dry_run"] = False
    speaker.write()
    speaker.run("reload")
    becomes(bird.prefixes, {"11.1.0.1/32"}, 15, "what has waited")


def test_a_list_that_follows_the_records_own_ttl_gives_over_to_the_next(lab: Lab, bird: Bird):
    """Two lists hold one address: the first lets go after the record's TTL, the second after its idle time."""
    (brief := lab.folder / "brief.txt").write_text("brief.example\n")
    listed: dict[str, Any] = {"name": "brief", "sources": str(brief), "communities": ["65001:7"]}
    listed |= {"ttl": "dns", "ttl_min": "2s", "ttl_max": "1h", "grace": "1s", "next_hop": "10.99.0.77"}
    listed |= {"local_preference": 300, "med": 70, "large_communities": ["65001:7:1"]}
    speaker = Speaker(lab, [bird.session], ["example"])
    del speaker.config["domains"]
    speaker.config["list"] = [listed, {"name": "all", "sources": str(speaker.list)}]
    speaker.config["ttl"] = "10s"
    speaker.write()
    for part in (bird, speaker):
        part.start()
    eventually(bird.up, 15, "the session")
    records = [f"brief.example {ttl_s} IN A {address}" for ttl_s, address in ((1, "11.1.0.1"), (3600, "11.1.0.2"))]
    sent = 0.0

    def first() -> bool:
        nonlocal sent
        sent = time.monotonic()  # again and again: a busy machine may take longer than the first list holds it
        send(speaker.tap, [response("brief.example", record) for record in records])
        return bird.routes() == {"11.1.0.1/32": WORK_V4, "11.1.0.2/32": WORK_V4}

    eventually(first, 20, "both by the first list")
    table(bird, {"11.1.0.1/32": PLAIN_V4, "11.1.0.2/32": WORK_V4})  # it changes over, and is there all the time
    assert time.monotonic() - sent >= 3, "ttl_min and grace"
    table(bird, {"11.1.0.2/32": WORK_V4})
    assert time.monotonic() - sent >= 10
    assert "2 claims" not in speaker.run("reload")
