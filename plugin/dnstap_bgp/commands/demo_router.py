"""Router of the demo: a second ExaBGP on another loopback address, which notes the updates that it hears.

Run as a module it is that ExaBGP's own process: it notes each line of its stdin in the file that is its argument.
"""

import json
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from dnstap_bgp.commands import host
from dnstap_bgp.core.exabgp.config_file import Session, Speaker, render
from dnstap_bgp.workers.process import runtime

ADDRESS = "127.0.0.2"
"""All of 127.0.0.0/8 is this machine's own on Linux, without any set-up."""

WELL_KNOWN = {(65535, 65281): "no-export"}


@dataclass(frozen=True, slots=True)
class Heard:
    """Route as the router has heard it.

    Attributes:
        prefix: In text, with its length.
        next_hop: In text.
        communities: As people write them.
    """

    prefix: str
    next_hop: str
    communities: tuple[str, ...]


@dataclass(slots=True)
class RouterTable:
    """RouterTable of the router: the events of its ExaBGP, added up.

    Attributes:
        up: Whether the session stands.
        routes: By prefix.
    """

    up: bool = False
    routes: dict[str, Heard] = field(default_factory=dict)

    def hear(self, line: str) -> None:
        """Take one event, a line of JSON."""
        event = json.loads(line)
        if event.get("type") == "state":
            self.up = event["neighbor"]["state"] == "up"
        elif event.get("type") == "update":
            update = event["neighbor"]["message"].get("update", {})
            communities = tuple(_community(*pair) for pair in update.get("attribute", {}).get("community", ()))
            for family in update.get("withdraw", {}).values():
                for route in family:
                    self.routes.pop(route["nlri"], None)
            for family in update.get("announce", {}).values():
                for next_hop, routes in family.items():
                    for route in routes:
                        self.routes[route["nlri"]] = Heard(route["nlri"], next_hop, communities)


class Router:
    """Process of the router's ExaBGP, and the table of what it has told so far."""

    def __init__(self, folder: Path) -> None:
        """Prepare a router whose files lie in `folder`, which is made."""
        self.port = free_port()
        self.table = RouterTable()
        self.log = folder / "exabgp.log"
        self._folder = folder
        self._events = folder / "events"
        self._read_bytes = 0
        folder.mkdir(mode=0o700)

    def start(self) -> subprocess.Popen[bytes]:
        """Start its ExaBGP."""
        file = runtime.host_file(self._folder)
        runtime.write_atomically(file, self._configuration(), 0o600)
        runtime.write_atomically(self._folder / "exabgp.env", "", 0o600)
        runtime.make_fifos(self._folder)
        self._events.touch(mode=0o600)
        with self.log.open("wb") as log:
            return host.spawn(file, host.environment(self._folder), log.fileno())

    def _configuration(self) -> str:
        session = Session(
            address="127.0.0.1",
            port=self.port,
            local_as=64513,
            peer_as=64512,
            router_id="192.0.2.252",
            local_address=ADDRESS,
            passive=True,
        )
        speaker = Speaker(sessions=(session,), ipv4=True, ipv6=True, graceful_restart=False)
        text = render(speaker, (sys.executable, "-P", "-m", __name__, str(self._events)))
        return text.replace("neighbor-changes;", "neighbor-changes; receive { parsed; update; }")

    def look(self) -> RouterTable:
        """Take in what the router has heard since the last look."""
        with self._events.open("rb") as file:
            file.seek(self._read_bytes)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read_bytes += len(line)
                self.table.hear(line.decode("ascii"))
        return self.table


def free_port() -> int:
    """Find a port above 1024 that nobody listens on; the kernel does not give it out again at once."""
    with socket.socket() as sock:
        sock.bind((ADDRESS, 0))
        port: int = sock.getsockname()[1]
        return port


def _community(high: int, low: int) -> str:
    return WELL_KNOWN.get((high, low), f"{high}:{low}")


def _note(path: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with path.open("ab", buffering=0) as file:
        for line in sys.stdin.buffer:
            file.write(line)


if __name__ == "__main__":
    _note(Path(sys.argv[1]))
