"""A newcomer's questions, each answered by one command, of a real `up` with a real ExaBGP."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dnstap_bgp.commands import status
from dnstap_bgp.workers.process import instance
from tests.commands.running import Instance, cli, environment, write_config
from tests.integration.lab import eventually
from tests.integration.tap_sender import TapSender, response

MORE = """
[guard]
allow = ["198.51.100.0/24", "203.0.113.0/24"]
[[list]]
name = "video"
sources = "video.txt"
communities = ["65001:100"]
"""
INTRODUCED = b"\x0a\x03ns1\x12\x0eunbound 1.17.1"  # identity and version, fields 1 and 2 of Dnstap


class Asked:
    """The commands' end."""

    def __init__(self, found: Instance) -> None:
        self.instance = found

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return cli(*words, "--config", str(self.instance.config))

    def text(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.text(*words, "--json"))

    def until(self, check: Callable[[], Any], what: str) -> None:
        eventually(check, 20, what)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    folder = tmp_path_factory.mktemp("asked")
    config = write_config(folder, top='cache = "state"', more=MORE)
    (folder / "video.txt").write_text("video.example\n!private.video.example\n")
    with up(config) as found, TapSender(folder / "dnstap.sock") as sender:
        answers = [
            response("www.example.com", "www.example.com 300 IN A 203.0.113.7"),
            response("v.video.example", "v.video.example 300 IN A 203.0.113.8"),
            response("six.example.com", "six.example.com 300 IN AAAA 2600::6"),
            response("lab.example.com", "lab.example.com 300 IN A 10.1.2.3"),
        ]
        sender.send([INTRODUCED + answer for answer in answers])
        asked = Asked(found)
        asked.until(lambda: asked.json("status")["ready"], "it is ready")
        asked.until(lambda: asked.json("why", "203.0.113.8")["address"]["state"] == "announced", "ExaBGP's answer")
        yield asked


@contextmanager
def up(config: Path) -> Iterator[Instance]:
    with (config.parent / "log").open("wb") as log:
        command = [sys.executable, "-m", "dnstap_bgp", "up", "--config", str(config)]
        process = subprocess.Popen(command, env=environment(), stdout=log, stderr=log)
    found = Instance(process, config)
    try:
        found.until(lambda: instance.holder(found.runtime_dir / "dnstap-bgp.pid"), "the plugin")
        yield found
    finally:
        assert found.end() == 0, found.log
    assert "Traceback" not in found.log


# -- is it working?


def test_is_it_working(asked: Asked):
    found = asked.json("status")
    assert found["tap"]["counters"]["frames"] >= 4
    [sender] = found["tap"]["connections"]
    assert (sender["identity"], sender["version"], sender["state"]) == ("ns1", "unbound 1.17.1", "streaming")
    assert {one["name"]: one["routes"] for one in found["lists"]} == {"default": 2, "video": 1}
    [neighbor] = found["exabgp"]["neighbors"]
    assert (neighbor["address"], neighbor["up"]) == ("127.0.0.2", False)
    assert found["state"]["durable"]
    text = asked.text("status")
    for words in (
        "ns1 unbound 1.17.1",
        "3 (2 IPv4, 1 IPv6)",
        "neighbor 127.0.0.2 AS 65002: down",
        "refused: private 1",
    ):
        assert words in text


def test_monitoring_gets_a_status(asked: Asked):
    done = asked.run("status", "--check")
    found = asked.json("status")
    assert done.returncode == status.is_wrong(found) == any(one["level"] != "note" for one in found["findings"])


@pytest.mark.parametrize(
    ("ready", "levels", "wrong"),
    [
        (True, [], False),
        (True, ["note"], False),
        (True, ["note", "warning"], True),
        (True, ["error"], True),
        (False, [], True),
    ],
)
def test_what_is_worth_an_alarm(ready: bool, levels: list[str], wrong: bool):
    assert status.is_wrong({"ready": ready, "findings": [{"level": level} for level in levels]}) is wrong


def test_nobody_there(tmp_path: Path):
    config = write_config(tmp_path)
    for words in (["status"], ["status", "--check"], ["routes"], ["why", "192.0.2.1"], ["watch"], ["save"]):
        done = cli(*words, "--config", str(config))
        assert done.returncode == 2, words
        assert str(tmp_path / "run" / "control.sock") in done.stderr


# -- why is this routed, and why isn't that?


def test_why_is_this_address_routed(asked: Asked):
    text = asked.text("why", "203.0.113.8")
    for words in (
        "203.0.113.8 is routed",
        "v.video.example is on the list video by the rule video.example",
        "ExaBGP was told, and has acknowledged it",
        "announced with: next-hop 192.0.2.254, communities 65001:100",
        "first seen",
        "ends in",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("198.51.100.99", "never seen"),
        ("10.1.2.3", "10.1.2.3 for lab.example.com (list default) was refused"),
        ("10.1.2.3", 'allow = ["10.0.0.0/8"]'),
        ("127.0.0.1", "it is refused by the guard"),
        ("other.example", "no list has a rule for it"),
        ("private.video.example", "list video: stopped by the exception !private.video.example"),
        ("never.example.com", "no answer with an address was seen for it"),
        ("www.example.com", "203.0.113.7 was seen"),
    ],
)
def test_why_is_it_so(asked: Asked, target: str, words: str):
    assert words in asked.text("why", target)


def test_neither_address_nor_name(asked: Asked):
    done = asked.run("why", "no/name")
    assert done.returncode == 1
    assert "neither an address nor a name" in done.stderr


def test_when_did_it_expire(asked: Asked):
    assert "for 1 s" in asked.text("add", "198.51.100.1", "--list", "video", "--ttl", "1s")
    words = "198.51.100.1 for by hand (list video) ended"
    asked.until(lambda: words in asked.text("why", "198.51.100.1"), "the end of one second")


# -- what is routed?


def test_what_is_routed(asked: Asked):
    lines = asked.text("routes").splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["203.0.113.7", "203.0.113.8", "2600::6"]
    assert lines[-1] == "3 routes"
    rows = [json.loads(line) for line in asked.text("routes", "--json", "--list", "video").splitlines()]
    assert [(row["prefix"], row["names"]) for row in rows] == [("203.0.113.8", ["v.video.example"])]
    assert asked.text("routes", "--name", "example.com").splitlines()[-1] == "2 routes"
    assert asked.text("routes", "--prefix", "2600::/16").splitlines()[-1] == "1 routes"
    assert asked.run("routes", "--prefix", "nonsense").returncode == 1


# -- steering


def test_forget_and_add(asked: Asked):
    asked.text("add", "198.51.100.7", "--list", "default", "--ttl", "1h")
    asked.until(lambda: asked.json("why", "198.51.100.7")["address"]["state"] == "announced", "ExaBGP's answer")
    asked.text("add", "198.51.100.7", "--list", "video")
    assert "announced with (the list default decides): next-hop" in asked.text("why", "198.51.100.7")
    assert "2 claims ended" in asked.text("forget", "198.51.100.7")
    found = asked.json("why", "198.51.100.7")
    assert not found["routed"]
    assert found["past"][0]["reason"] == "forgotten"
    asked.until(lambda: asked.json("why", "198.51.100.7")["address"]["told"] is None, "its withdrawal")


def test_what_was_forgotten_is_not_in_the_state_file(asked: Asked):
    asked.text("add", "198.51.100.8", "--list", "default")
    asked.text("forget", "198.51.100.8")
    assert "saved: " in asked.text("save")
    held = cli("dump", "--format", "json", str(asked.instance.folder / "state")).stdout
    assert "203.0.113.8" in held
    assert "198.51.100.8" not in held


def test_what_can_not_be_added(asked: Asked):
    for words in (["10.0.0.1", "--list", "default"], ["198.51.100.9", "--list", "none"], ["x", "--list", "default"]):
        done = asked.run("add", *words)
        assert (done.returncode, bool(done.stderr)) == (1, True)
    assert asked.run("add", "198.51.100.9", "--list", "default", "--ttl", "soon").returncode == 2  # click's own
    assert not asked.json("why", "198.51.100.9")["routed"]


def test_the_log_can_be_made_to_say_more(asked: Asked):
    assert "debug" in asked.text("log-level", "debug")
    assert "info" in asked.text("log-level", "info")


def test_what_happens(asked: Asked):
    command = [sys.executable, "-m", "dnstap_bgp", "watch", "--json", "--config", str(asked.instance.config)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert json.loads(process.stdout.readline())["event"] == "hello"
            asked.text("add", "198.51.100.5", "--list", "default", "--ttl", "1h")
            asked.text("forget", "198.51.100.5")
            events = [json.loads(process.stdout.readline()) for _ in range(2)]
        finally:
            process.terminate()
    told = [(one["event"], one["address"], one["name"]) for one in events]
    assert told == [("learnt", "198.51.100.5", "by hand"), ("ended", "198.51.100.5", "by hand")]


# -- and after a restart


def test_what_was_added_by_hand_outlives_reload_and_restart(tmp_path: Path):
    config = write_config(tmp_path, top='cache = "state"', more='[guard]\nallow = ["198.51.100.0/24"]')
    with up(config) as found:
        asked = Asked(found)
        asked.until(
            lambda: asked.run("add", "198.51.100.1", "--list", "default", "--ttl", "300h").returncode == 0, "it"
        )
        asked.text("reload")
        assert asked.json("why", "198.51.100.1")["address"]["claims"][0]["ttl_s"] == 1_080_000
    with up(config) as found:
        asked = Asked(found)
        asked.until(lambda: asked.run("status").returncode == 0, "the control socket")
        asked.until(lambda: asked.json("why", "198.51.100.1")["routed"], "what the state file had")
        assert asked.json("why", "198.51.100.1")["address"]["claims"][0]["ttl_s"] == 1_080_000


def test_a_socket_with_a_long_path(tmp_path: Path):
    folder = tmp_path / ("long" * 20) / ("path" * 20)
    folder.mkdir(parents=True)
    short = tmp_path / "tap.sock"
    config = write_config(folder)
    config.write_text(config.read_text().replace('"./dnstap.sock"', f'"{short}"'))
    with up(config) as found:
        Asked(found).until(lambda: Asked(found).run("status").returncode == 0, "an answer")
