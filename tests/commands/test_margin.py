"""`dnstap-bgp margin`: what a look sees, what is told, and that nothing is left behind."""

import json
import sys
import time

import pytest

from dnstap_bgp.commands import margin
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.process.clocks import process_clock
from tests.commands.asking_kit import Asked


def printing(text):
    return [sys.executable, "-c", f"print({text!r})"]


@pytest.mark.parametrize(
    ("text", "is_there"),
    [
        ("203.0.113.1 via 10.0.0.1 dev tun0", True),
        ("203.0.113.1/32 unicast [speaker]", True),
        ("203.0.113.10 via 10.0.0.1", False),
        ("1.203.0.113.1 via 10.0.0.1", False),
        ("% Network not in table", False),
        ("", False),
    ],
)
def test_a_look_finds_the_address_and_no_other(text, is_there):
    assert margin._shows(printing(text), "203.0.113.1/32") is is_there


def test_an_ipv6_address_is_found():
    assert margin._shows(printing("2001:db8:ffff::1 dev tun0"), "2001:db8:ffff::1/128")
    assert not margin._shows(printing("2001:db8:ffff::12 dev tun0"), "2001:db8:ffff::1/128")


def test_a_command_that_is_none_is_told():
    with pytest.raises(CommandError, match="can't be run"):
        margin._shows(["/nonexistent"], "203.0.113.1/32")


class Plugin:
    """Takes the steps of a measurement; the route is in the file as soon as it is announced."""

    def __init__(self, table, *, installs=True):
        self.table, self.installs, self.steps = table, installs, []

    def __call__(self, name, **_):
        self.steps.append(name)
        if name == "announce":
            acknowledged_at = process_clock()
            time.sleep(0.02)
            if self.installs:
                self.table.write_text("203.0.113.1 via 10.0.0.1")
            return {"acknowledged_at": acknowledged_at}
        return {"measurement": "1"} if name == "begin" else {}


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table"
    path.write_text("")
    return path


def test_the_end_of_the_first_look_that_shows_it_counts(table):
    step = Plugin(table)
    margin_s, looks_s = margin._measure(step, "1", "203.0.113.1/32", ["cat", str(table)])
    assert margin_s >= 0.02
    assert looks_s
    assert step.steps == ["announce", "withdraw"]


def test_a_table_that_shows_the_route_before_is_the_wrong_one(table):
    table.write_text("203.0.113.1 via 10.0.0.1")
    with pytest.raises(CommandError, match="already"):
        margin._measure(Plugin(table), "1", "203.0.113.1/32", ["cat", str(table)])


def test_a_route_that_never_stands_is_told_and_withdrawn(table, monkeypatch):
    monkeypatch.setattr(margin, "STANDS_S", 0.1)
    step = Plugin(table, installs=False)
    with pytest.raises(CommandError, match="filter"):
        margin._measure(step, "1", "203.0.113.1/32", ["cat", str(table)])
    assert step.steps == ["announce", "withdraw"]


def test_a_measurement_ends_whatever_happens(table):
    step = Plugin(table)
    with pytest.raises(RuntimeError), margin._measurement(step, "192.0.2.1", yes=False):
        raise RuntimeError
    assert step.steps == ["begin", "end"]


def test_the_margin_to_set_is_told():
    margins_s = [0.001 * number for number in range(1, 31)]
    text = list(margin._told("192.0.2.1", margins_s, [0.004], as_json=False))
    assert text[-1] == 'set [hold] margins = { "192.0.2.1" = "31ms" }'
    assert "more than any answer is held" in list(margin._told("192.0.2.1", [0.3], [0.004], as_json=False))[-1]
    (line,) = margin._told("192.0.2.1", margins_s, [0.004], as_json=True)
    assert json.loads(line)["margin_s"] == 0.031


def test_a_neighbor_that_is_down_is_not_measured(asked: Asked):
    done = asked.run("margin", "127.0.0.2", "--yes")
    assert done.returncode == 1
    assert "127.0.0.2 is down" in done.stderr
    assert "has no neighbor 192.0.2.99" in asked.run("margin", "192.0.2.99").stderr
