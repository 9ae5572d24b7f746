"""What changes while the program runs: lists, attributes, neighbors."""

import os
import shutil
import signal

import pytest

from tests.integration.lab import HOST_V4, Lab, becomes, eventually, stays
from tests.integration.routers import Bird, GoBgp, Route, Session
from tests.integration.speaker import Speaker, peer
from tests.integration.tap_sender import TapSender, send, sightings

pytestmark = [pytest.mark.netns, pytest.mark.real("bird", "birdc", "gobgpd", "gobgp")]


@pytest.fixture
def bird(lab: Lab) -> Bird:
    bird = Bird(lab, Session(2))
    bird.start()
    return bird


@pytest.fixture
def speaker(lab: Lab, bird: Bird) -> Speaker:
    speaker = Speaker(lab, [bird.session], ["a.example", "b.example"])
    speaker.start()
    return speaker


def test_hup_adds_and_removes(speaker: Speaker, bird: Bird):
    with TapSender(speaker.tap) as sender:  # one connection through both lists: a reload drops no frame of it
        sender.send([*sightings("a.example", ["11.1.0.1"]), *sightings("c.example", ["11.1.0.3"])])
        sender.send(sightings("b.example", ["11.1.0.2"]))
        becomes(bird.prefixes, {"11.1.0.1/32", "11.1.0.2/32"}, 15, "by the first list")
        speaker.write(["b.example", "c.example"])
        speaker.hup()
        becomes(bird.prefixes, {"11.1.0.2/32"}, 10, "what the second list leaves")
        sender.send(sightings("c.example", ["11.1.0.3"]))
        becomes(bird.prefixes, {"11.1.0.2/32", "11.1.0.3/32"}, 10, "what it adds, with the next answer")


@pytest.mark.parametrize(
    "broken", [b"", b"# all gone\n", b"\x00\xff\xfe\n\x01\x02"], ids=["empty", "comments", "binary"]
)
def test_a_broken_list_keeps_the_old(speaker: Speaker, bird: Bird, broken: bytes):
    send(speaker.tap, sightings("a.example", ["11.1.0.1"]))
    becomes(bird.prefixes, {"11.1.0.1/32"}, 15, "before")
    speaker.list.write_bytes(broken)
    assert "domains.txt" in speaker.run("reload", status=1)
    send(speaker.tap, sightings("b.example", ["11.1.0.2"]))
    becomes(bird.prefixes, {"11.1.0.1/32", "11.1.0.2/32"}, 10, "the old list still counts")


def test_what_a_list_gave_up_does_not_come_back_with_a_restart(speaker: Speaker, bird: Bird):
    send(speaker.tap, [*sightings("a.example", ["11.1.0.1"]), *sightings("b.example", ["11.1.0.2"])])
    becomes(bird.prefixes, {"11.1.0.1/32", "11.1.0.2/32"}, 15, "before")
    speaker.write(["b.example"])
    speaker.run("reload")
    becomes(bird.prefixes, {"11.1.0.2/32"}, 10, "without a.example")
    speaker.write(["a.example", "b.example"])
    speaker.run("reload")
    os.kill(speaker.plugin_pid(), signal.SIGKILL)
    eventually(lambda: speaker.daemon.text().count("of claims restored") > 0, 15, "the next plugin has restored")
    send(speaker.tap, sightings("b.example", ["11.1.0.3"]))
    becomes(bird.prefixes, {"11.1.0.2/32", "11.1.0.3/32"}, 10, "nothing but what was asked for since")


def test_routes_outlive_a_restart_without_any_list(speaker: Speaker, bird: Bird):
    send(speaker.tap, sightings("a.example", ["11.1.0.1"]))
    becomes(bird.prefixes, {"11.1.0.1/32"}, 15, "before")
    speaker.list.unlink()
    shutil.rmtree(speaker.state.with_name(speaker.state.name + ".lists"))
    os.kill(speaker.plugin_pid(), signal.SIGKILL)
    eventually(lambda: "1 record of claims restored" in speaker.daemon.text(), 15, "the next plugin has restored")
    stays(lambda: bird.prefixes() == {"11.1.0.1/32"}, 4, "what was kept, until there is a list to judge it")
    speaker.write(["b.example"])
    speaker.run("reload")
    becomes(bird.prefixes, set(), 10, "what the list doesn't cover")


def test_a_vanished_list_keeps_the_old(speaker: Speaker, bird: Bird):
    speaker.list.unlink()
    assert "domains.txt" in speaker.run("reload", status=1)
    send(speaker.tap, sightings("a.example", ["11.1.0.1"]))
    becomes(bird.prefixes, {"11.1.0.1/32"}, 15, "the old list still counts")


def test_a_half_written_list_needs_force(speaker: Speaker, bird: Bird):
    names = [f"n{number}.example" for number in range(2000)]
    speaker.write(names)
    speaker.run("reload")
    send(speaker.tap, sightings("n1999.example", ["11.1.0.1"]))
    becomes(bird.prefixes, {"11.1.0.1/32"}, 15, "before")
    speaker.write(names[:900])
    assert "force" in speaker.run("reload", status=1)
    stays(lambda: bird.prefixes() == {"11.1.0.1/32"}, 1, "the old list")
    speaker.run("reload", "--force")
    becomes(bird.prefixes, set(), 10, "the short list")


def test_a_broken_configuration_keeps_the_old(speaker: Speaker, bird: Bird):
    send(speaker.tap, sightings("a.example", ["11.1.0.1"]))
    becomes(bird.prefixes, {"11.1.0.1/32"}, 15, "before")
    good = speaker.path.read_text()
    speaker.path.write_text(good.replace("next_hop =", "next_hopp ="))
    assert "next_hopp" in speaker.run("reload", status=1)
    send(speaker.tap, sightings("b.example", ["11.1.0.2"]))
    becomes(bird.prefixes, {"11.1.0.1/32", "11.1.0.2/32"}, 10, "the old configuration still counts")
    speaker.path.write_text(good)
    speaker.run("reload")
    assert bird.up()


def test_new_attributes_reach_every_route(speaker: Speaker, bird: Bird):
    send(speaker.tap, sightings("a.example", [f"11.1.0.{number}" for number in range(1, 200)]))
    eventually(lambda: len(bird.prefixes()) == 199, 15, "before")
    speaker.config["bgp"]["communities"] = ["65001:200"]
    speaker.write()
    speaker.run("reload")
    new = Route(HOST_V4, frozenset({"65001:200"}), local_preference=100)
    eventually(lambda: set(bird.routes().values()) == {new}, 20, "the new communities everywhere")
    assert len(bird.prefixes()) == 199


def test_a_new_neighbor_gets_every_route_and_an_old_one_leaves(lab: Lab, speaker: Speaker, bird: Bird):
    gobgp = GoBgp(lab, Session(3))
    gobgp.start()
    send(speaker.tap, sightings("a.example", ["11.1.0.1", "2600:1::1"]))
    becomes(bird.prefixes, {"11.1.0.1/32", "2600:1::1/128"}, 15, "the first neighbor")
    speaker.config["bgp"]["peers"].append(peer(gobgp.session))
    speaker.write()
    speaker.hup()
    becomes(gobgp.prefixes, {"11.1.0.1/32", "2600:1::1/128"}, 30, "the new neighbor")
    assert bird.prefixes() == {"11.1.0.1/32", "2600:1::1/128"}
    speaker.config["bgp"]["peers"] = [peer(gobgp.session)]
    speaker.write()
    speaker.hup()
    eventually(lambda: not bird.up(), 30, "the old neighbor's session ends")
    send(speaker.tap, sightings("b.example", ["11.1.0.2"]))
    becomes(gobgp.prefixes, {"11.1.0.1/32", "11.1.0.2/32", "2600:1::1/128"}, 15, "the neighbor that is left")
