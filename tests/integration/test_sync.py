"""A fleet of real instances, each with its ExaBGP and router, in network namespaces."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.fleet import Fleet, fleet_of
from tests.integration.lab import becomes, ends, kill
from tests.integration.speaker import ENVIRONMENT

pytestmark = [pytest.mark.netns, pytest.mark.real("bird", "birdc"), pytest.mark.timeout(240)]

CONVERGED_S = 2.0
"""What the last change may take to every router of the fleet."""

STARTED_S = 15.0
HEALED_S = 12.0


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with fleet_of(tmp_path, 3) as fleet:
        yield fleet


def clock(fleet: Fleet, ahead_s: float) -> dict[str, str]:
    """An environment in which Python's wall clock is another."""
    (folder := fleet.folder / f"clock{ahead_s:+.0f}").mkdir()
    lines = ["import time", "real = time.time", f"time.time = lambda: real() + {ahead_s}"]
    (folder / "sitecustomize.py").write_text("\n".join(lines) + "\n")
    return {"PYTHONPATH": f"{folder}:{ENVIRONMENT['PYTHONPATH']}"}


def all_hold(fleet: Fleet, expected: set[str], deadline_s: float, what: str) -> None:
    for member in fleet.members:
        becomes(member.routes, expected, deadline_s, f"{what}, at member {member.number}")


def test_three_members_hold_the_same_set_whatever_their_clocks_say(fleet: Fleet):
    for number in (1, 2, 3):
        fleet.member(number, env=clock(fleet, (number - 2) * 600))
    one, two, _ = fleet.members
    one.see("a.example", "11.0.0.1")
    all_hold(fleet, expected := {"11.0.0.1/32"}, STARTED_S, "the first")
    for number in range(2, 6):
        fleet.members[number % 3].see("a.example", f"11.0.0.{number}", f"2600::{number}")
        expected |= {f"11.0.0.{number}/32", f"2600::{number}/128"}
    all_hold(fleet, expected, CONVERGED_S, "some from each")
    two.see("b.example", *(addresses := [f"11.1.{n // 250}.{n % 250}" for n in range(2000)]))
    expected |= {f"{address}/32" for address in addresses}
    all_hold(fleet, expected, 5, "two thousand")


def test_a_line_that_is_cut_and_mended(fleet: Fleet):
    """1 - 2 - 3: what 1 sees goes through 2."""
    fleet.member(1, peers=[2])
    fleet.member(2, peers=[1, 3])
    fleet.member(3, peers=[2])
    one, two, three = fleet.members
    one.see("a.example", "11.0.0.1")
    all_hold(fleet, {"11.0.0.1/32"}, STARTED_S, "through the middle")
    fleet.part(1, 3)
    one.see("a.example", "11.0.0.2")
    two.see("a.example", "11.0.0.3")
    three.see("a.example", "11.0.0.4")
    time.sleep(12)  # so long that TCP gives up
    becomes(one.routes, {"11.0.0.1/32", "11.0.0.2/32"}, 1, "alone")
    becomes(three.routes, {"11.0.0.1/32", "11.0.0.4/32"}, 1, "alone")
    fleet.heal(1, 3)
    all_hold(fleet, {f"11.0.0.{n}/32" for n in (1, 2, 3, 4)}, HEALED_S, "mended")


def test_a_member_dies_and_comes_back(fleet: Fleet):
    for number in (1, 2, 3):
        fleet.member(number)
    one, two, three = fleet.members
    one.see("a.example", "11.0.0.1")
    all_hold(fleet, {"11.0.0.1/32"}, STARTED_S, "before")
    kill(two.plugin_pid())  # ExaBGP starts it again, and it has its state file
    three.see("a.example", "11.0.0.2")
    all_hold(fleet, {"11.0.0.1/32", "11.0.0.2/32"}, STARTED_S, "with another process")
    two.stop()
    two.state.unlink()
    three.see("a.example", "11.0.0.3")
    two.start()
    all_hold(fleet, {f"11.0.0.{n}/32" for n in (1, 2, 3)}, STARTED_S, "with nothing of its own left")
    two.see("a.example", "11.0.0.4")
    all_hold(fleet, {f"11.0.0.{n}/32" for n in (1, 2, 3, 4)}, CONVERGED_S + 3, "and it is heard again")


def test_what_ends_ends_everywhere(fleet: Fleet):
    for number in (1, 2, 3):
        fleet.member(number, ttl="8s")
    one = fleet.members[0]
    one.see("a.example", "11.0.0.1", "11.0.0.2")
    all_hold(fleet, {"11.0.0.1/32", "11.0.0.2/32"}, STARTED_S, "before")
    end = time.monotonic() + 10
    while time.monotonic() < end:  # in use at one alone, and not to be missed anywhere
        before = time.monotonic()
        one.see("a.example", "11.0.0.2")
        last = time.monotonic()
        assert all("11.0.0.2/32" in member.routes() for member in fleet.members)
        time.sleep(0.2)
    ends(lambda: any("11.0.0.1/32" in member.routes() for member in fleet.members), 3, "the other")
    left_s = last + 11 - time.monotonic()
    ends(lambda: all("11.0.0.2/32" in member.routes() for member in fleet.members), left_s, "the one, somewhere")
    assert time.monotonic() - before > 7
    ends(lambda: any(member.routes() for member in fleet.members), 2, "at all members")


def test_a_reload_with_more_domains_brings_what_the_others_know(fleet: Fleet):
    for number in (1, 2, 3):
        fleet.member(number, domains=["example"] if number == 3 else ["example", "new.test"])
    one, two, three = fleet.members
    one.see("www.new.test", "11.0.0.1")
    two.see("www.example", "11.0.0.2")
    both = {"11.0.0.1/32", "11.0.0.2/32"}
    becomes(three.routes, {"11.0.0.2/32"}, STARTED_S, "only what is on its list")
    becomes(two.routes, both, 5, "the others")
    three.write(["example", "new.test"])
    three.daemon.signal(signal.SIGHUP)
    all_hold(fleet, both, 10, "after the reload")
