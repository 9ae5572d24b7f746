"""The margin probe: one neighbor alone, one measurement at a time, and nothing that stays."""

import pytest

from dnstap_bgp.core.model import Attributes, Audience
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.exabgp import margin_probe as module
from dnstap_bgp.workers.exabgp.margin_probe import MarginProbe
from tests.workers.hold.hold_kit import stage, wait_until

NEIGHBOR = "192.0.2.9"


@pytest.fixture
def scene(tmp_path):
    with stage(tmp_path, "") as made:
        yield made


@pytest.fixture
def probe(scene):
    return MarginProbe(scene.keeper, scene.bgp)


def lines(scene):
    return [line.decode() for line in scene.host.lines]


def test_a_prefix_is_announced_to_the_neighbor_alone_and_withdrawn_as_it_was(scene, probe):
    measurement = probe.begin(NEIGHBOR, allow_external=True)
    prefix = probe.choose(measurement)
    assert prefix == "203.0.113.1/32"
    assert probe.is_done(measurement)
    probe.announce(measurement)
    wait_until(lambda: probe.is_done(measurement))
    probe.withdraw(measurement)
    wait_until(lambda: probe.is_done(measurement))
    announced, withdrawn = lines(scene)
    assert announced.startswith(f"neighbor {NEIGHBOR} announce ")
    assert "no-advertise" in announced
    assert withdrawn == announced.replace("announce", "withdraw", 1)
    assert probe.choose(measurement) == "203.0.113.2/32"
    with scene.keeper.lock:
        assert not scene.keeper.views.count.total()


def test_a_neighbor_of_a_view_is_reached_alone(scene, probe):
    one = Attributes(bytes([192, 0, 2, 1]))
    with scene.keeper.lock:
        scene.keeper.views.configure([Audience((NEIGHBOR, "192.0.2.8")), Audience((NEIGHBOR, "192.0.2.8"), True)])
    assert scene.keeper.table.policies.by_list["default"].ipv4 == one
    measurement = probe.begin(NEIGHBOR, allow_external=True)
    probe.choose(measurement)
    probe.announce(measurement)
    wait_until(lambda: lines(scene))
    assert lines(scene)[0].startswith(f"neighbor {NEIGHBOR} announce ")


def test_a_neighbor_in_another_as_is_measured_only_when_told(scene, probe):
    with pytest.raises(CommandError, match="--yes"):
        probe.begin(NEIGHBOR, allow_external=False)
    assert not lines(scene)


@pytest.mark.parametrize(("address", "words"), [("192.0.2.77", "has no neighbor"), ("nonsense", "it has: 192.0.2.9")])
def test_an_unknown_neighbor_is_told(probe, address, words):
    with pytest.raises(CommandError, match=words):
        probe.begin(address, allow_external=True)


def test_one_measurement_at_a_time_and_an_abandoned_one_ends(scene, probe, monkeypatch):
    measurement = probe.begin(NEIGHBOR, allow_external=True)
    with pytest.raises(CommandError, match="one at a time"):
        probe.begin(NEIGHBOR, allow_external=True)
    probe.choose(measurement)
    probe.announce(measurement)
    wait_until(lambda: len(lines(scene)) == 1)
    probe.expire()
    assert probe.is_under_way
    monkeypatch.setattr(module, "process_clock", lambda: float("inf"))
    probe.expire()
    assert not probe.is_under_way
    wait_until(lambda: len(lines(scene)) == 2)
    with pytest.raises(CommandError, match="is over"):
        probe.announce(measurement)


def test_the_end_takes_back_what_was_announced(scene, probe):
    measurement = probe.begin(NEIGHBOR, allow_external=True)
    probe.choose(measurement)
    probe.announce(measurement)
    probe.end("another")
    assert probe.is_under_way
    probe.end(measurement)
    wait_until(lambda: len(lines(scene)) == 2)
    assert "withdraw" in lines(scene)[1]
    assert probe.begin(NEIGHBOR, allow_external=True) != measurement


def test_nothing_is_announced_in_a_dry_run(scene, probe):
    scene.keeper.pause(paused=True)
    with pytest.raises(CommandError, match="dry_run"):
        probe.begin(NEIGHBOR, allow_external=True)


def test_nothing_is_announced_to_who_is_down(tmp_path):
    with stage(tmp_path, "", up=False) as scene, pytest.raises(CommandError, match="is down"):
        MarginProbe(scene.keeper, scene.bgp).begin(NEIGHBOR, allow_external=True)


def test_a_prefix_that_is_in_use_is_left_alone(scene, probe):
    scene.keeper.views.sole.recall([(bytes([203, 0, 113, 1]), Attributes(bytes([192, 0, 2, 1])))])
    assert probe.choose(probe.begin(NEIGHBOR, allow_external=True)) == "203.0.113.2/32"
