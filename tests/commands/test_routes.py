"""`dnstap-bgp routes`: what is routed?"""

import json

from tests.commands.asking_kit import Asked


def test_what_is_routed(asked: Asked):
    lines = asked.text("routes").splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["203.0.113.7", "203.0.113.8", "2600::6"]
    assert lines[-1] == "3 routes"
    rows = [json.loads(line) for line in asked.text("routes", "--json", "--list", "video").splitlines()]
    assert [(row["prefix"], row["names"]) for row in rows] == [("203.0.113.8", ["v.video.example"])]
    assert asked.text("routes", "--name", "example.com").splitlines()[-1] == "2 routes"
    assert asked.text("routes", "--prefix", "2600::/16").splitlines()[-1] == "1 routes"
    assert asked.run("routes", "--prefix", "nonsense").returncode == 1


def test_routes_of_no_list(asked: Asked):
    done = asked.run("routes", "--list", "nope")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no list 'nope'; there are: default, video" in done.stderr
