"""Real BGP routers behind one small interface: what they hold of the plugin's routes, in plain text values."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.integration.lab import HOST_V4, HOST_V6, Daemon, Lab, Namespace, eventually, run


@dataclass(frozen=True, slots=True)
class Route:
    """One route as the router holds it. Communities are `65001:100`; no-export has its number, `65535:65281`."""

    next_hop: str
    communities: frozenset[str] = frozenset()
    large_communities: frozenset[str] = frozenset()
    local_preference: int | None = None
    med: int | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One BGP session from the router's side. `number` is the last part of its own address, 2..9."""

    number: int
    router_as: int = 65001
    speaker_as: int = 65001
    ipv6: bool = False
    password: str | None = None
    ttl_security: bool = False

    @property
    def local(self) -> str:
        return f"fd99::{self.number}" if self.ipv6 else f"10.99.0.{self.number}"

    @property
    def remote(self) -> str:
        return HOST_V6 if self.ipv6 else HOST_V4


class Router(Protocol):
    """What a test asks of a router: any real one fits behind this."""

    name: str
    session: Session

    def start(self) -> None:
        """Start it and wait until it can be asked; the session comes up later."""

    def stop(self) -> None:
        """End it politely."""

    def kill(self) -> None:
        """End it as a power cut would."""

    def up(self) -> bool:
        """Whether the session is established."""

    def routes(self) -> dict[str, Route]:
        """All routes that it holds from the speaker, by prefix."""

    def prefixes(self) -> set[str]:
        """Only the prefixes: quicker where a router can tell them alone."""


class _Process:
    """The part that all routers share: one daemon in the router namespace."""

    def __init__(self, lab: Lab, session: Session, name: str, where: Namespace | None = None) -> None:
        self.name = name
        self.session = session
        self._lab = lab
        self._where = where or lab.router
        self._folder = lab.folder / f"{name}{session.number}"
        self._folder.mkdir()
        self._daemon: Daemon | None = None

    @property
    def daemon(self) -> Daemon:
        assert self._daemon, f"{self.name} was not started"
        return self._daemon

    def stop(self) -> None:
        self.daemon.stop()

    def kill(self) -> None:
        self.daemon.kill()

    def _launch(self, *argv: str) -> None:
        self._daemon = self._lab.start(f"{self.name}{self.session.number}", argv, self._where)

    def _await(self, control: Path) -> None:
        def ready() -> bool:
            assert self.daemon.alive(), self.daemon.text()[-3000:]
            return control.exists()

        eventually(ready, 15, f"{self.name} opens {control.name}")


class Bird(_Process):
    """BIRD 2, without a kernel table: the routes stay in its own."""

    protocol = "speaker"

    def __init__(
        self,
        lab: Lab,
        session: Session,
        *,
        graceful_restart: bool = True,
        import_max: int | None = None,
        exports: Iterable[str] = (),
    ) -> None:
        """Write its configuration; with more routes of a family than `import_max` it ends the session for good.

        `exports` are IPv4 prefixes that it announces to the speaker.
        """
        super().__init__(lab, session, "bird")
        own = "".join(f"  route {prefix} blackhole;\n" for prefix in exports)
        statics = f"protocol static {{\n  ipv4;\n{own}}}" if own else ""
        limit = f"import limit {import_max} action disable;" if import_max is not None else ""
        self._control = self._folder / "bird.ctl"
        self._config = self._folder / "bird.conf"
        password = f'password "{session.password}";' if session.password else ""
        if session.ttl_security:
            password += " ttl security on;"
        self._config.write_text(f"""\
log stderr all;
router id 10.99.0.{session.number};
protocol device {{ scan time 1; }}
protocol direct {{ ipv4; ipv6; }}
{statics}
protocol bgp speaker {{
  local {session.local} as {session.router_as};
  neighbor {session.remote} as {session.speaker_as};
  strict bind on;
  passive on;
  error wait time 1, 2;
  graceful restart {"on" if graceful_restart else "off"};
  {password}
  ipv4 {{ import all; {limit} export {"where source = RTS_STATIC" if own else "none"}; extended next hop on; }};
  ipv6 {{ import all; {limit} export none; }};
}}
""")

    def start(self) -> None:
        self._control.unlink(missing_ok=True)
        self._launch("bird", "-f", "-c", str(self._config), "-s", str(self._control))
        self._await(self._control)

    def up(self) -> bool:
        return "Established" in self.ask(f"show protocols {self.protocol}")

    def holds_stale(self) -> bool:
        """Whether it keeps routes of an ended session and waits for our End-of-RIB (RFC 4724)."""
        return "graceful restart active" in self.ask(f"show protocols all {self.protocol}")

    def routes(self) -> dict[str, Route]:
        return read_bird(self.ask(f"show route all protocol {self.protocol}"))

    def prefixes(self) -> set[str]:
        # without `all`: quick enough to be polled each 50 ms
        lines = self.ask(f"show route protocol {self.protocol}").splitlines()
        return {line.split(" ", 1)[0] for line in lines if line and line[0] in "0123456789abcdef"}

    def ask(self, command: str) -> str:
        return run("birdc", "-s", str(self._control), command)


class GoBgp(_Process):
    """GoBGP 3."""

    def __init__(self, lab: Lab, session: Session, *, graceful_restart: bool = True) -> None:
        super().__init__(lab, session, "gobgp")
        self._control = self._folder / "api.sock"
        self._config = self._folder / "gobgpd.toml"
        password = f'auth-password = "{session.password}"' if session.password else ""
        families = "".join(
            f"""
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "{family}"
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = {str(graceful_restart).lower()}
"""
            for family in ("ipv4-unicast", "ipv6-unicast")
        )
        self._config.write_text(f"""\
[global.config]
  as = {session.router_as}
  router-id = "10.99.0.{session.number}"
  local-address-list = ["{session.local}"]
[[neighbors]]
  [neighbors.config]
    neighbor-address = "{session.remote}"
    peer-as = {session.speaker_as}
    {password}
  [neighbors.transport.config]
    local-address = "{session.local}"
    passive-mode = true
  [neighbors.graceful-restart.config]
    enabled = {str(graceful_restart).lower()}
    restart-time = 120
{families}""")

    def start(self) -> None:
        self._control.unlink(missing_ok=True)
        self._launch(
            "gobgpd", "-f", str(self._config), "-p", "--pprof-disable", "--api-hosts", f"unix://{self._control}"
        )
        self._await(self._control)
        eventually(lambda: self.session.remote in self.ask("neighbor"), 10, "gobgpd has read its configuration")

    def up(self) -> bool:
        [neighbor] = json.loads(self.ask("neighbor"))
        return bool(neighbor["state"].get("session_state") == 6)  # api.PeerState.ESTABLISHED

    def routes(self) -> dict[str, Route]:
        found: dict[str, Route] = {}
        for family in ("ipv4", "ipv6"):
            table = json.loads(self.ask("global", "rib", "-a", family))
            found.update({prefix: read_gobgp(paths) for prefix, paths in table.items()})
        return found

    def prefixes(self) -> set[str]:
        return set(self.routes())

    def ask(self, *words: str) -> str:
        return run("gobgp", "--target", f"unix://{self._control}", "-j", *words)


class Frr(_Process):
    """FRR's bgpd alone: without zebra it keeps routes in its own table."""

    def __init__(self, lab: Lab, session: Session) -> None:
        super().__init__(lab, session, "frr")
        self._config = self._folder / "bgpd.conf"
        peer = session.remote
        password = f"neighbor {peer} password {session.password}" if session.password else "!"
        self._config.write_text(f"""\
log stdout
router bgp {session.router_as}
 bgp router-id 10.99.0.{session.number}
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 neighbor {peer} remote-as {session.speaker_as}
 neighbor {peer} passive
 neighbor {peer} disable-connected-check
 {password}
 address-family ipv4 unicast
  neighbor {peer} activate
 exit-address-family
 address-family ipv6 unicast
  neighbor {peer} activate
 exit-address-family
""")

    def start(self) -> None:
        control = self._folder / "bgpd.vty"
        control.unlink(missing_ok=True)
        self._launch(
            "/usr/lib/frr/bgpd", "--skip_runas", "--no_zebra", "--vty_socket", str(self._folder), "--vty_port", "0",
            "--listenon", self.session.local, "-i", str(self._folder / "pid"), "-f", str(self._config),
        )  # fmt: skip
        self._await(control)

    def up(self) -> bool:
        peers = json.loads(self.ask("show bgp summary json")).get("ipv4Unicast", {}).get("peers", {})
        return any(peer.get("state") == "Established" for peer in peers.values())

    def routes(self) -> dict[str, Route]:
        found: dict[str, Route] = {}
        for family in ("ipv4", "ipv6"):
            table = json.loads(self.ask(f"show bgp {family} unicast json detail")).get("routes", {})
            found.update({prefix: read_frr(entry) for prefix, entry in table.items()})
        return found

    def prefixes(self) -> set[str]:
        return set(self.routes())

    def ask(self, command: str) -> str:
        return run("vtysh", "--vty_socket", str(self._folder), "-d", "bgpd", "-c", command)


def read_bird(text: str) -> dict[str, Route]:
    """Read `show route all`: a line with the prefix, then indented lines with its attributes."""
    found: dict[str, dict[str, str]] = {}
    attributes: dict[str, str] = {}
    for line in text.splitlines():
        if match := re.match(r"([0-9a-f.:]+/\d+)\s", line):
            attributes = found[match[1]] = {}
        elif match := re.match(r"\s+(?:BGP\.|bgp_)(\w+): (.*)", line):  # BIRD 2, BIRD 3
            attributes[match[1]] = match[2]
    return {prefix: _bird_route(attributes) for prefix, attributes in found.items()}


def _bird_route(attributes: dict[str, str]) -> Route:
    def groups(key: str) -> frozenset[str]:
        # 2.0.12 writes (65001,100); later ones (65001, 100)
        return frozenset(
            ":".join(re.findall(r"\d+", group)) for group in re.findall(r"\(([^)]*)\)", attributes.get(key, ""))
        )

    return Route(
        attributes["next_hop"].split()[0],  # on an IPv6 link the link-local address may follow
        groups("community"),
        groups("large_community"),
        int(attributes["local_pref"]) if "local_pref" in attributes else None,
        int(attributes["med"]) if "med" in attributes else None,
    )


def read_gobgp(paths: list[dict[str, Any]]) -> Route:
    """Read one destination of `gobgp global rib -j`: path attributes are numbered as in BGP (RFC 4271, RFC 8092)."""
    attributes = {attribute["type"]: attribute for attribute in paths[0]["attrs"]}
    next_hop = attributes[3]["nexthop"] if 3 in attributes else attributes[14]["nexthop"]
    communities = attributes.get(8, {}).get("communities", [])
    large = attributes.get(32, {}).get("value", [])
    return Route(
        next_hop,
        frozenset(f"{value >> 16}:{value & 0xFFFF}" for value in communities),
        frozenset(f"{value['ASN']}:{value['LocalData1']}:{value['LocalData2']}" for value in large),
        attributes[5]["value"] if 5 in attributes else None,
        attributes[4]["metric"] if 4 in attributes else None,
    )


_FRR_NAMES = {"noExport": "65535:65281", "noAdvertise": "65535:65282"}


def read_frr(entry: Any) -> Route:
    """Read one prefix of FRR's `show bgp ... json detail`."""
    # 8.x: a list that begins with the prefix; 10.x: an object with the paths
    [path] = [part for part in (entry if isinstance(entry, list) else entry["paths"]) if "nexthops" in part]

    def listed(key: str) -> Iterable[str]:
        return (_FRR_NAMES.get(word, word) for word in path.get(key, {}).get("list", []))

    hops = [hop["ip"] for hop in path["nexthops"] if hop.get("scope", "global") == "global"]
    return Route(
        hops[0],
        frozenset(listed("community")),
        frozenset(listed("largeCommunity")),
        path.get("locPrf"),
        path.get("metric"),
    )


ROUTERS: tuple[type[Bird | GoBgp | Frr], ...] = (Bird, GoBgp, Frr)
