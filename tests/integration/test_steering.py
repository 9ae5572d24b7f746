"""Lists that people switch and edit while the program runs, at a real router."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.lab import Lab, becomes, eventually
from tests.integration.routers import Bird, Session
from tests.integration.speaker import Speaker
from tests.integration.tap_sender import send, sightings

pytestmark = [pytest.mark.netns, pytest.mark.real("bird", "birdc")]


@pytest.fixture
def bird(lab: Lab) -> Bird:
    bird = Bird(lab, Session(2))
    bird.start()
    return bird


@pytest.fixture
def speaker(lab: Lab, bird: Bird) -> Speaker:
    (lab.folder / "video.txt").write_text("video.example\nboth.example\n")
    lists = [
        {"name": "video", "sources": str(lab.folder / "video.txt"), "prefixes": ["12.0.0.0/8"]},
        {"name": "by-hand", "managed": True},
        {"name": "quiet", "prefixes": ["13.0.0.0/8"], "enabled": False},
    ]
    speaker = Speaker(lab, [bird.session], ["a.example", "both.example"], list=lists)
    speaker.start()
    return speaker


A, BOTH, VIDEO = "11.1.0.1/32", "11.1.0.2/32", "11.1.0.3/32"


def see(speaker: Speaker) -> None:
    for name, address in (("a.example", "11.1.0.1"), ("both.example", "11.1.0.2"), ("video.example", "11.1.0.3")):
        send(speaker.tap, sightings(name, [address]))


def in_force(speaker: Speaker) -> str:
    """What a plugin tells of its lists; without one the command tells what stands in files."""
    told = speaker.run("lists")
    assert "no plugin runs" not in told
    return told


def test_a_list_is_switched_off_and_on_across_a_restart(speaker: Speaker, bird: Bird):
    becomes(bird.prefixes, {"12.0.0.0/8"}, 15, "of three lists one has prefixes and is on")
    see(speaker)
    becomes(bird.prefixes, {A, BOTH, VIDEO, "12.0.0.0/8"}, 15, "before")
    told = speaker.run("lists", "disable", "video")
    assert "list video: switched off by hand" in told
    assert "list video: routes: 0 added, 2 withdrawn" in told, "the address of `both` stays with the other list"
    becomes(bird.prefixes, {A, BOTH}, 10, "without the list")
    see(speaker)
    assert "video: 2 rules, 1 static prefix, OFF by root" in speaker.run("lists")
    os.kill(speaker.plugin_pid(), signal.SIGKILL)
    eventually(lambda: "by root" in in_force(speaker), 20, "the switch, after a crash")
    see(speaker)
    becomes(bird.prefixes, {A, BOTH}, 10, "still off")
    speaker.run("reload")
    assert bird.prefixes() == {A, BOTH}
    assert all("no change" in line for line in speaker.run("diff").splitlines())
    told = speaker.run("lists", "enable", "video")
    assert "list video: as the configuration says" in told
    becomes(bird.prefixes, {A, BOTH, "12.0.0.0/8"}, 10, "prefixes come at once")
    see(speaker)
    becomes(bird.prefixes, {A, BOTH, VIDEO, "12.0.0.0/8"}, 10, "and names with their next answers")
    speaker.run("lists", "enable", "quiet")
    becomes(bird.prefixes, {A, BOTH, VIDEO, "12.0.0.0/8", "13.0.0.0/8"}, 10, "what the configuration had off")


def test_a_switch_undoes_itself(speaker: Speaker, bird: Bird):
    becomes(bird.prefixes, {"12.0.0.0/8"}, 15, "before")
    with ThreadPoolExecutor(1) as pool:  # looks from before: the command's own end takes a moment, too
        gone = pool.submit(becomes, bird.prefixes, set(), 15, "while it is off")
        told = speaker.run("lists", "disable", "video", "--for", "3s", "--json")
        gone.result()
    assert json.loads(told)["ok"] is True
    becomes(bird.prefixes, {"12.0.0.0/8"}, 15, "its time is over")
    assert "OFF" not in speaker.run("lists").partition("quiet")[0]


def test_what_can_not_be_switched(speaker: Speaker):
    speaker.run("lists", "disable", "nope", status=1)
    speaker.run("lists", "disable", "video", "--for", "soon", status=2)
    speaker.run("lists", "add", "video", "x.example", status=1)
    speaker.run("lists", "remove", "by-hand", "x.example", status=1)
    speaker.run("lists", "add", "by-hand", "not a name", status=1)
    assert "by-hand: 0 rules" in speaker.run("lists")


def test_a_managed_list_is_edited(speaker: Speaker, bird: Bird):
    becomes(bird.prefixes, {"12.0.0.0/8"}, 15, "before")
    told = speaker.run("lists", "add", "by-hand", "mine.example", "!no.mine.example", "--comment", "try # this: out")
    assert "list by-hand: rules: 2 added" in told
    send(speaker.tap, [*sightings("www.mine.example", ["11.1.0.7"]), *sightings("no.mine.example", ["11.1.0.8"])])
    becomes(bird.prefixes, {"12.0.0.0/8", "11.1.0.7/32"}, 10, "the name that was added, without its exception")
    preview = speaker.run("lists", "remove", "by-hand", "mine.example", "--preview")
    assert "list by-hand: rules: 0 added, 1 withdrawn; routes: 0 added, 1 withdrawn" in preview
    assert "11.1.0.7/32" in bird.prefixes(), "a preview changes nothing"
    shown = json.loads(speaker.run("lists", "show", "by-hand", "--json"))["names"]
    assert [(one["rule"], one["who"], one["comment"]) for one in shown] == [
        ("mine.example", "root", "try # this: out"),
        ("!no.mine.example", "root", "try # this: out"),
    ]
    os.kill(speaker.plugin_pid(), signal.SIGKILL)
    eventually(lambda: "by-hand: 2 rules" in in_force(speaker), 20, "the list, after a crash")
    becomes(bird.prefixes, {"12.0.0.0/8", "11.1.0.7/32"}, 10, "as before")
    speaker.run("lists", "remove", "by-hand", "mine.example", "!no.mine.example")
    becomes(bird.prefixes, {"12.0.0.0/8"}, 10, "a person may take all away, no judge is asked")
    assert speaker.run("reload")
