"""The network that the files of `deploy/routers` speak of, with its very addresses, and the routers in it.

host namespace                          one namespace each for BIRD, FRR and GoBGP
resolvers, ExaBGP with the plugin  --lan--  192.0.2.1, .2, .3           wg0: 198.51.100.1, 2001:db8:53::1
192.0.2.10, 2001:db8::10                2001:db8::1, ::2, ::3
"""

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.integration.lab import Lab, Namespace, eventually, run
from tests.integration.routers import Bird, Frr, GoBgp, Session
from tests.integration.shipped import TAP_ADDRESS, shipped, shipped_bgp, shipped_rules

TABLE = "53"
FAR_END, FAR_END_V6 = "198.51.100.2", "2001:db8:53::2"
AS_NUMBER = 64512
NUMBERS = {"bird": 1, "frr": 2, "gobgp": 3}
"""The last part of each router's address, as its file says."""
BGP = shipped_bgp("routers/bird.conf")
"""What the comments of the files say that dnstap-bgp is to be told; the peers are the test's."""


class Neighborhood(Lab):
    """A lab whose routers live in namespaces of their own, so that each has the kernel's tables to itself."""

    def __init__(self, folder: Path, routers: Iterable[str] = NUMBERS) -> None:
        self.routers: dict[str, Namespace] = {}
        self._wanted = tuple(routers)
        super().__init__(folder)

    def close(self) -> None:
        try:
            super().close()
        finally:
            leaked = [pid for router in self.routers.values() for pid in router.delete()]
        assert not leaked, f"processes outlived their daemons: {leaked}"

    def _link(self) -> None:
        host = self.host.name
        run("ip", "-n", host, "link", "add", "lan", "type", "bridge")
        run("ip", "-n", host, "address", "add", f"{TAP_ADDRESS}/24", "dev", "lan")
        run("ip", "-n", host, "address", "add", "2001:db8::10/64", "dev", "lan", "nodad")
        run("ip", "-n", host, "link", "set", "lan", "up")
        for name in self._wanted:
            number = NUMBERS[name]
            self.routers[name] = router = Namespace(f"{host}{number}")
            self._connect(router.name, f"port{number}", number)

    def _connect(self, router: str, port: str, number: int) -> None:
        host = self.host.name
        run("ip", "link", "add", port, "netns", host, "type", "veth", "peer", "name", "lan0", "netns", router)
        run("ip", "-n", host, "link", "set", port, "master", "lan", "up")
        run("ip", "-n", router, "address", "add", f"192.0.2.{number}/24", "dev", "lan0")
        run("ip", "-n", router, "address", "add", f"2001:db8::{number}/64", "dev", "lan0", "nodad")
        run("ip", "-n", router, "link", "set", "lan0", "up")
        run("ip", "-n", router, "link", "add", "wg0", "type", "veth", "peer", "name", "far-end")
        run("ip", "-n", router, "address", "add", "198.51.100.1/30", "dev", "wg0")
        run("ip", "-n", router, "address", "add", "2001:db8:53::1/64", "dev", "wg0", "nodad")
        for end in ("wg0", "far-end"):
            run("ip", "-n", router, "link", "set", end, "up")
        run("ip", "-n", router, "route", "add", "default", "via", TAP_ADDRESS)  # the way of all other traffic
        run("ip", "-n", router, "-6", "route", "add", "default", "via", "2001:db8::10")
        run("ip", "netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")


class Shipped(Session):
    """The session of a file in `deploy/routers`; `number` is the last part of the router's address."""

    @property
    def local(self) -> str:
        return f"192.0.2.{self.number}"

    @property
    def remote(self) -> str:
        return TAP_ADDRESS


class Kernel:
    """What the kernel of a router's namespace would do with traffic."""

    def __init__(self, name: str, where: Namespace) -> None:
        self.name = name
        self._namespace = where.name

    def table(self) -> dict[str, tuple[str, str]]:
        """The steering table: prefix -> next-hop and interface; a route that drops has none."""
        found = {}
        for family, length in (("-4", "/32"), ("-6", "/128")):
            # before anything was ever put into the table, `ip` says that it isn't there
            text = run("ip", "-n", self._namespace, "-j", family, "route", "show", "table", "all")
            for route in json.loads(text):
                if route.get("table") == TABLE:
                    to = route["dst"] if "/" in route["dst"] else route["dst"] + length
                    found[to] = route.get("gateway", ""), route.get("dev", "")
        return found

    def steer(self) -> None:
        """What the comment of the router's file says to do, once."""
        for ip, *words in shipped_rules(f"routers/{self.name}.conf"):
            run(ip, "-n", self._namespace, *words)

    def way(self, address: str) -> str:
        """The interface that a client's packet to this address would leave by; empty: it is dropped."""
        client = "2001:db8::99" if ":" in address else "192.0.2.99"
        argv = ("ip", "-n", self._namespace, "-j", "route", "get", address, "from", client, "iif", "lan0")
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        found = json.loads(done.stdout)[0] if done.returncode == 0 else {"type": done.stderr}
        return "" if found.get("type") else str(found["dev"])

    def tunnel(self, state: str) -> None:
        run("ip", "-n", self._namespace, "link", "set", "wg0", state)
        if state == "up":  # a link that goes down loses its IPv6 addresses
            run("ip", "-n", self._namespace, "address", "replace", "2001:db8:53::1/64", "dev", "wg0", "nodad")


class ShippedBird(Bird):
    """BIRD with deploy/routers/bird.conf, included by a bird.conf as everybody has it."""

    protocol = "dnstap"

    def __init__(self, lab: Neighborhood) -> None:
        super().__init__(lab, Shipped(1, AS_NUMBER, AS_NUMBER))
        self._where = lab.routers["bird"]
        self.kernel = Kernel(self.name, self._where)
        self._included = self._folder / "included"
        self._included.mkdir()
        self._include({})
        self._config.write_text(f"""\
log stderr all;
router id 192.0.2.1;
protocol device {{ scan time 1; }}
protocol direct {{ ipv4; ipv6; }}
include "{self._included}/bird.conf";
""")

    def fail_open(self) -> None:
        """Use the commented lines: when the tunnel is down, its traffic goes the way of all other."""
        old, new = "        export all;\n        # export where", "        export where"
        self._include({old: new})
        self.ask("configure")

    def _include(self, substitutions: Mapping[str, str]) -> None:
        shipped("routers/bird.conf", self._included, substitutions)


class ShippedGoBgp(GoBgp):
    """gobgpd with deploy/routers/gobgpd.toml."""

    def __init__(self, lab: Neighborhood) -> None:
        super().__init__(lab, Shipped(3, AS_NUMBER, AS_NUMBER))
        self._where = lab.routers["gobgp"]
        self._config = shipped("routers/gobgpd.toml", self._folder, {})


class ShippedFrr(Frr):
    """FRR's zebra and bgpd, told deploy/routers/frr.conf by vtysh."""

    def __init__(self, lab: Neighborhood) -> None:
        super().__init__(lab, Shipped(2, AS_NUMBER, AS_NUMBER))
        self._where = lab.routers["frr"]
        self.kernel = Kernel(self.name, self._where)
        self._file = shipped("routers/frr.conf", self._folder, {})

    def start(self) -> None:
        empty = self._folder / "empty.conf"  # instead of what this machine has in /etc/frr
        empty.touch()
        sockets = ("--vty_socket", str(self._folder), "--vty_port", "0")
        zebra, file = ("-z", str(self._folder / "zserv.api")), ("-f", str(empty))
        more: dict[str, tuple[str, ...]]
        more = {"zebra": (*zebra, *file), "staticd": (*zebra, *file), "bgpd": (*zebra, *file)}
        if Path("/usr/lib/frr/mgmtd").exists():  # FRR 9 and later: it is told the static routes, and staticd by it
            more = {"mgmtd": (), **more, "staticd": zebra}
        for name, options in more.items():
            argv = (f"/usr/lib/frr/{name}", "-i", str(self._folder / f"{name}.pid"), *sockets, *options)
            self._daemon = self._lab.start(name, [*argv, "--log", "stdout", *_AS_ROOT.get(name, _AS_VTY)], self._where)
            eventually((self._folder / f"{name}.vty").exists, 15, f"{name} listens")
        self._tell()

    def fail_closed(self) -> None:
        """Use the commented lines: when the tunnel is down, its traffic is dropped."""
        shipped("routers/frr.conf", self._folder, {"\n!ip route": "\nip route", "\n!ipv6 route": "\nipv6 route"})
        self._tell()

    def _tell(self) -> None:
        run("vtysh", "--vty_socket", str(self._folder), "-f", str(self._file))


_AS_ROOT = {"bgpd": ["--skip_runas"]}
_AS_VTY = ["-u", "root", "-g", "frrvty"]  # the others want to be in the group that vtysh talks through
