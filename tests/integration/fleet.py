"""Several whole members: each with its resolver's tap, ExaBGP and a BIRD, joined by one switch that can be parted.

member n:  host namespace (ExaBGP with the plugin), 10.98.0.n  -- switch
           router namespace (BIRD)
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.lab import Lab, Namespace, run
from tests.integration.routers import Bird, Session
from tests.integration.speaker import COMMAND, ENVIRONMENT, Speaker
from tests.integration.tap_sender import send, sightings

PORT = 8080
NET = "10.98.0."


class Member(Speaker):
    """One instance; `number` is the last part of its address."""

    def __init__(self, lab: Lab, number: int, syncer: Mapping[str, Any], env: Mapping[str, str], **config: Any) -> None:
        self.number = number
        self.lab = lab
        self.bird = Bird(lab, Session(2))
        self._env = {**ENVIRONMENT, **env}
        super().__init__(lab, [self.bird.session], syncer={"listen": f"{NET}{number}:{PORT}", **syncer}, **config)

    def start(self, *, inside: bool = True) -> None:
        assert inside
        self._daemon = self._lab.start(
            "speaker", [*COMMAND, "up", "--config", str(self.path)], self._lab.host, self._env
        )
        self.await_tap()

    def see(self, name: str, *addresses: str) -> None:
        """Its resolver answers."""
        send(self.tap, sightings(name, addresses))

    def routes(self) -> set[str]:
        """What its router holds."""
        return self.bird.prefixes()


class Fleet:
    """Members that are all peers of each other, unless told otherwise."""

    def __init__(self, folder: Path, size: int) -> None:
        self.labs: list[Lab] = []
        self.members: list[Member] = []
        self.folder = folder
        self._switch: Namespace | None = None
        self.size = size

    def build(self) -> None:
        for number in range(1, self.size + 1):
            (folder := self.folder / str(number)).mkdir()
            self.labs.append(Lab(folder))
        self._switch = Namespace(f"{self.labs[0].host.name}s")
        run("ip", "-n", self._switch.name, "link", "add", "switch", "type", "bridge")
        run("ip", "-n", self._switch.name, "link", "set", "switch", "up")
        for number, lab in enumerate(self.labs, 1):
            host, switch = lab.host.name, self._switch.name
            port = f"port{number}"
            run("ip", "link", "add", "fleet", "netns", host, "type", "veth", "peer", "name", port, "netns", switch)
            run("ip", "-n", host, "address", "add", f"{NET}{number}/24", "dev", "fleet")
            run("ip", "-n", switch, "link", "set", port, "master", "switch", "up")
            run("ip", "-n", host, "link", "set", "fleet", "up")

    def member(
        self, number: int, peers: Sequence[int] | None = None, env: Mapping[str, str] | None = None, **config: Any
    ) -> Member:
        """Make and start a member; its peers are all others unless told."""
        others = [other for other in range(1, self.size + 1) if other != number] if peers is None else peers
        syncer = {"peers": [f"{NET}{other}:{PORT}" for other in others], **config.pop("syncer", {})}
        member = Member(self.labs[number - 1], number, syncer, env or {}, **config)
        self.members.append(member)
        member.bird.start()
        member.start()
        return member

    def part(self, *numbers: int) -> None:
        """Take members off the switch: each is alone, its router beside it."""
        for number in numbers:
            self._port(number, "down")

    def heal(self, *numbers: int) -> None:
        for number in numbers:
            self._port(number, "up")

    def sent_bytes(self, number: int) -> int:
        """What a member has sent to the others so far, Ethernet headers included."""
        host = self.labs[number - 1].host
        return int(host.run("cat", "/sys/class/net/fleet/statistics/tx_bytes"))

    def close(self) -> None:
        failures = []
        for lab in self.labs:
            try:
                lab.close()
            except AssertionError as error:
                failures.append(str(error))
        if self._switch is not None:
            self._switch.delete()
        assert not failures, "; ".join(failures)

    def logs(self) -> list[tuple[str, str]]:
        return [(f"{number}/{name}", text) for number, lab in enumerate(self.labs, 1) for name, text in lab.logs()]

    def _port(self, number: int, state: str) -> None:
        assert self._switch is not None
        run("ip", "-n", self._switch.name, "link", "set", f"port{number}", state)


@contextmanager
def fleet_of(folder: Path, size: int) -> Iterator[Fleet]:
    fleet = Fleet(folder, size)
    try:
        fleet.build()
        yield fleet
    finally:
        fleet.close()
