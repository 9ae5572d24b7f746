"""`dnstap-bgp add`: a route by hand, and what can't be one."""

from pathlib import Path

from tests.commands.asking_kit import Asked
from tests.commands.running import up, write_config


def test_what_can_not_be_added(asked: Asked):
    for words in (["10.0.0.1", "--list", "default"], ["198.51.100.9", "--list", "none"], ["x", "--list", "default"]):
        done = asked.run("add", *words)
        assert (done.returncode, bool(done.stderr)) == (1, True)
    assert asked.run("add", "198.51.100.9", "--list", "default", "--ttl", "soon").returncode == 2  # click's own
    assert not asked.json("why", "198.51.100.9")["routed"]


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
