"""A real site for tests: control socket and HTTP in front of a real table, without an ExaBGP."""

import json
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from dnstap_bgp.config import Config, load
from dnstap_bgp.config.policies import caps, list_policies, static_prefixes
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.core.tap.ingest import Ingest
from dnstap_bgp.workers.exabgp.bgp import Bgp
from dnstap_bgp.workers.lists.manager import ListManager
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.loop import Loop
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.tap.tap import Tap
from dnstap_bgp.workers.web.inspector import Parts
from dnstap_bgp.workers.web.server import WebServer
from tests.integration.lab import eventually
from tests.ports import free_port

CONFIG = """
runtime_dir = "run"
{top}
[dnstap]
listen = "./tap.sock"
[bgp]
next_hop = "192.0.2.1"
next_hop_ipv6 = "2001:db8::1"
[guard]
max_routes_per_rule = 100000
[[list]]
name = "l"
sources = "l.txt"
{more}
[http]
listen = "127.0.0.1:{port}"
{http}
"""


class Site:
    """See above; `tick` stands for the timer."""

    def __init__(self, folder: Path, more: str, http: str, top: str = "") -> None:
        self.port = free_port()
        self.config = self.write(folder, more, http, top)
        (folder / "run").mkdir()
        rules = RuleSet.build([("l", [Rule(b"example.com"), Rule(b"private.example.com", exception=True)])])
        policies = Policies(
            list_policies(self.config), Guard(strict=True), caps(self.config), static_prefixes(self.config)
        )
        self.keeper = Keeper(RouteTable(policies, recording=False), Views(), rules)
        self.crashed = threading.Event()
        self._null = os.open(os.devnull, os.O_RDWR)
        bgp = Bgp(self._null, self._null, self.crashed.set, self.crashed.set)
        self._tap = Tap(self.config.dnstap, self.keeper, Ingest(rules, frozenset({6})), self.crashed.set)
        self.loop = Loop(self.crashed.set)
        listing = ListManager(folder, lambda _changed: None, self.loop)
        parts = Parts(self.keeper, self._tap, bgp, None, listing)
        self.server = WebServer(self.config, parts, self.loop, self.crashed.set)
        self.server.start()

    def write(self, folder: Path, more: str, http: str, top: str = "") -> Config:
        (folder / "l.txt").write_text("example.com\n")
        (folder / "d.toml").write_text(CONFIG.format(port=self.port, more=more, http=http, top=top))
        return load(folder / "d.toml")

    def close(self) -> None:
        self.server.shutdown()
        self.server.join(30)
        self.loop.shutdown()
        self.loop.join(30)
        self._tap.close()
        os.close(self._null)
        assert not self.crashed.is_set()

    # -- what there is to see

    def see(self, addresses: Sequence[bytes], name: bytes = b"www.example.com") -> None:
        """All of one name; a hundred for each of many names where they are more than one may hold."""
        names = [name, *(b"n%d.example.com" % number for number in range(len(addresses) // 100))]
        sightings = [(one, "l", names[number // 100], 300) for number, one in enumerate(addresses)]
        self.keeper.observe(sightings, self.keeper.rules)

    def tick(self) -> None:
        self.keeper.expire()
        self.keeper.dirty()
        self.server.tick(process_clock(), self.keeper.news())

    # -- who asks

    def tcp(self) -> socket.socket:
        """A connection, once somebody listens."""
        return connected(socket.AF_INET, ("127.0.0.1", self.port))

    def control(self) -> socket.socket:
        return connected(socket.AF_UNIX, str(self.config.control_socket))

    def ask(
        self, path: str, *, method: str = "GET", body: object = None, control: bool = False, **headers: str
    ) -> tuple[int, Any, HTTPResponse]:
        """Status, content (JSON as what it says) and the response."""
        with closing(HTTPConnection("localhost")) as connection:
            connection.sock = self.control() if control else self.tcp()
            data = None if body is None else json.dumps(body)
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, data, given)
            response = connection.getresponse()
            content = response.read()
            is_json = (response.headers["Content-Type"] or "").startswith("application/json")
            return response.status, json.loads(content) if is_json else content.decode(), response

    def get(self, path: str, **options: Any) -> Any:
        status, found, _ = self.ask(path, **options)
        assert status == 200, found
        return found


@contextmanager
def running(folder: Path, more: str = "", http: str = "", top: str = "") -> Iterator[Site]:
    site = Site(folder, more, http, top)
    try:
        yield site
    finally:
        site.close()


def connected(family: int, address: tuple[str, int] | str) -> socket.socket:
    def attempt() -> socket.socket | None:
        sock = socket.socket(family)
        sock.settimeout(60)
        try:
            sock.connect(address)
        except (ConnectionRefusedError, FileNotFoundError):
            sock.close()
            return None
        return sock

    found = eventually(attempt, 10, f"{address} listens")
    assert isinstance(found, socket.socket)
    return found


def addresses(count: int, first: int = 0x01000000) -> list[bytes]:
    """So many addresses that nothing refuses, in no shard's order."""
    return [(first + number).to_bytes(4) for number in range(count)]


def closed(sock: socket.socket) -> bool:
    """Whether the other end has ended the connection, as far as it says by now."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def say(site: Site, data: bytes) -> bytes:
    """Send bytes, and take what comes until the end."""
    with site.tcp() as sock:
        found = b""
        with suppress(ConnectionResetError, BrokenPipeError):  # it may be answered before all of it is there
            sock.sendall(data)
        with suppress(ConnectionResetError):
            while chunk := sock.recv(65536):
                found += chunk
        return found


def refused(site: Site) -> dict[str, int]:
    found = site.get("/v1/status", control=True)["web"]["refused"]
    assert isinstance(found, dict)
    return found
