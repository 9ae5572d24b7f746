"""A crash loop: the start after four deaths takes what senders say without reading it, and keeps what is held."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from dnstap_bgp.workers.process.instance import RESPAWN_WINDOW_S
from tests.commands.asking_kit import MORE, Asked
from tests.commands.running import Instance, cli, up, write_config
from tests.integration.lab import eventually
from tests.integration.tap_sender import TapSender, response


def kill_plugin(found: Instance, *, deaths: int) -> None:
    """Have the plugin die, when ExaBGP has seen `deaths` of them before by the note of its starts."""
    note, old = found.runtime_dir / "starts", found.plugin_pid
    assert old is not None
    pid, started, _, _ = note.read_text().split()
    # The brake ends with the window, so the test begins at the beginning of one.
    eventually(lambda: time.time() % RESPAWN_WINDOW_S < 10, 2 * RESPAWN_WINDOW_S, "the next window")
    note.write_text(f"{pid} {started} {int(time.time()) // RESPAWN_WINDOW_S} {deaths}\n")
    os.kill(old, signal.SIGKILL)


@pytest.mark.timeout(400)
def test_the_start_after_four_deaths(tmp_path: Path):
    config = write_config(tmp_path, top='cache = "state"', more=MORE)
    (tmp_path / "video.txt").write_text("video.example\n")
    tap = tmp_path / "dnstap.sock"
    with up(config) as found:
        asked = Asked(found)
        with TapSender(tap) as sender:
            sender.send([response("www.example.com", "www.example.com 300 IN A 203.0.113.7")])
            asked.until(lambda: asked.json("why", "203.0.113.7")["address"]["state"] == "announced", "a route")
            asked.text("save")
        old = found.plugin_pid
        kill_plugin(found, deaths=3)
        found.until(lambda: found.plugin_pid not in (None, old), "the next plugin")
        asked.until(lambda: asked.run("status").returncode == 0, "its control socket")
        [finding] = asked.json("status")["findings"]
        assert (finding["level"], finding["kind"]) == ("error", "brake")
        assert "has seen 4 deaths of the plugin" in finding["text"]
        assert asked.run("status", "--check").returncode == 1
        with TapSender(tap) as sender:  # the handshake is done
            sender.send([response("b.example.com", "b.example.com 300 IN A 203.0.113.8")] * 50)
            sender.send([b"\xff no protobuf"] * 50)
            asked.until(lambda: asked.json("status")["tap"]["counters"]["unread"] == 100, "all frames")
        counters = asked.json("status")["tap"]["counters"]
        assert (counters["frames"], counters["messages"], counters["undecodable"]) == (100, 0, 0)
        assert not asked.json("why", "203.0.113.8")["routed"]
        asked.until(lambda: asked.json("why", "203.0.113.7")["address"]["state"] == "announced", "what is held")
        assert asked.run("reload").returncode == 0, "it is answered meanwhile"
        assert json.loads(asked.run("status", "--json").stdout)["findings"][0]["kind"] == "brake", "and changes nothing"


@pytest.mark.timeout(400)
def test_the_start_after_a_braked_one_has_died_waits_before_all_work(tmp_path: Path):
    with up(write_config(tmp_path)) as found:
        kill_plugin(found, deaths=4)
        found.until(lambda: "all work waits for" in found.log, "the last stage")
        done = cli("reload", "--config", str(found.config))
        assert done.returncode == 1, done.stderr
        assert "5 deaths of the plugin: all work waits until" in done.stderr


def test_the_deaths_of_other_exabgps_count_nothing(tmp_path: Path):
    config = write_config(tmp_path)
    for _ in range(6):  # a service that is restarted, or a new operator's tries
        with up(config) as found:
            pid, _, _, deaths = (found.runtime_dir / "starts").read_text().split()
            assert deaths == "0"
            assert int(pid) in found.members()
    assert not re.search("has seen . deaths", found.log)
