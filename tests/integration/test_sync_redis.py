"""A fleet whose members know nothing of each other but the engine: real instances, routers, and a real Redis."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.fleet import Fleet, Member, fleet_of
from tests.integration.lab import Daemon, becomes, eventually, run, stays

pytestmark = [pytest.mark.netns, pytest.mark.real("ip", "bird", "birdc", "redis-server", "redis-cli")]

ENGINE = "10.98.0.100"


class Engine:
    """redis-server on the members' switch; it forgets all when it ends."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self._fleet = fleet
        self._folder = folder
        self._daemon: Daemon | None = None
        run("ip", "-n", self._switch, "address", "add", f"{ENGINE}/24", "dev", "switch")

    @property
    def _switch(self) -> str:
        return f"{self._fleet.labs[0].host.name}s"

    def start(self) -> None:
        options = ["--bind", ENGINE, "--protected-mode", "no", "--save", "", "--dir", str(self._folder)]
        argv = ["ip", "netns", "exec", self._switch, "redis-server", *options]
        self._daemon = Daemon("redis", argv, self._folder / "redis.log")
        eventually(lambda: "PONG" in self.ask("ping"), 15, "redis answers")

    def ask(self, *words: str) -> str:
        argv = ["ip", "netns", "exec", self._switch, "sh", "-c", 'redis-cli -h "$0" "$@" || true', ENGINE, *words]
        return run(*argv)

    def kill(self) -> None:
        assert self._daemon is not None
        self._daemon.kill()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[tuple[Fleet, Engine]]:
    with fleet_of(tmp_path, 3) as fleet:
        engine = Engine(fleet, tmp_path)
        engine.start()
        try:
            yield fleet, engine
        finally:
            engine.kill()


def all_hold(members: list[Member], wanted: set[str]) -> None:
    for member in members:
        becomes(member.routes, wanted, 30, f"the routes of member {member.number}")


def test_a_fleet_behind_an_engine_that_dies_and_is_flushed(scene: tuple[Fleet, Engine]):
    fleet, engine = scene
    syncer = {"redis": f"redis://{ENGINE}:6379/0"}
    members = [fleet.member(number, peers=[], syncer=syncer) for number in (1, 2)]
    members[0].see("a.example", "11.0.0.1")
    members[1].see("b.example", "11.0.0.2")
    wanted = {"11.0.0.1/32", "11.0.0.2/32"}
    all_hold(members, wanted)

    members.append(fleet.member(3, peers=[], syncer=syncer))
    all_hold(members, wanted)  # it has loaded what was there

    engine.kill()
    members[2].see("c.example", "11.0.0.3")
    becomes(members[2].routes, wanted | {"11.0.0.3/32"}, 10, "its own router has it without the engine")
    stays(lambda: members[0].routes() == wanted, 3, "nothing is withdrawn for want of an engine")
    engine.start()  # empty
    wanted.add("11.0.0.3/32")
    all_hold(members, wanted)

    engine.ask("flushall")
    stays(lambda: all(member.routes() == wanted for member in members), 3, "nothing is withdrawn by a flush")
    members[0].see("d.example", "11.0.0.4", ENGINE.replace("10.98", "10.99"))
    wanted.add("11.0.0.4/32")
    all_hold(members, wanted)
    eventually(lambda: "claim:11.0.0.1" in engine.ask("keys", "*"), 15, "the engine is whole again")


def test_the_engine_itself_never_becomes_a_route(scene: tuple[Fleet, Engine]):
    fleet, _ = scene
    syncer = {"redis": f"redis://{ENGINE}:6379/0"}
    member = fleet.member(1, peers=[], syncer=syncer, guard={"allow": ["10.98.0.0/24"]})
    eventually(lambda: f"{ENGINE}:6379/0: ok" in member.run("status"), 20, "it follows the engine")
    member.see("a.example", ENGINE, "10.98.0.101")
    becomes(member.routes, {"10.98.0.101/32"}, 15, "its router has the other address only")
