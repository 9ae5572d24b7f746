"""BIRD and the whole plugin on one host: the namespace that deploy/netns prepares, and the session over its veth.

The "host" is a namespace of the test's own, which the script is run in.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.lab import Daemon, Namespace, becomes, eventually, run, unique_name
from tests.integration.speaker import COMMAND, ENVIRONMENT, ROOT, toml
from tests.integration.tap_sender import TapSender, response

pytestmark = [pytest.mark.netns, pytest.mark.real("ip", "bird", "birdc", "nsenter")]

NETNS = ROOT / "deploy" / "netns"
SCRIPT = NETNS / "dnstap-bgp-netns"


class Host:
    """A machine with BIRD, and the namespace `dtap` that the script makes beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outside = Namespace(f"{unique_name()}h")
        self.name = unique_name()
        self.conf = folder / "netns.conf"
        self.conf.write_text((NETNS / "netns-dtap.conf").read_text())
        self.daemons: list[Daemon] = []

    def argv(self, *argv: str) -> list[str]:
        """What runs a command on this host; unlike `ip netns exec` it leaves /run/netns shared."""
        return ["nsenter", f"--net=/run/netns/{self.outside.name}", *argv]

    def script(self, verb: str) -> subprocess.CompletedProcess[str]:
        argv = self.argv(str(SCRIPT), verb, self.name, str(self.conf))
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    def start(self, name: str, *argv: str) -> Daemon:
        daemon = Daemon(name, argv, self.folder / f"{name}.log", ENVIRONMENT)
        self.daemons.append(daemon)
        return daemon

    def close(self) -> None:
        try:
            for daemon in reversed(self.daemons):
                daemon.stop()
        finally:
            self.script("down")
            self.outside.delete()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    try:
        yield made
    finally:
        made.close()


def configuration(host: Host, **tables: dict[str, object]) -> Path:
    (host.folder / "domains.txt").write_text("example\n")
    path = host.folder / "dnstap-bgp.toml"
    table = {
        "domains": str(host.folder / "domains.txt"),
        "runtime_dir": str(host.folder / "run"),
        "dnstap": {"listen": str(host.folder / "tap.sock")},
        "bgp": {"as": 64512, "source_ip": "10.255.255.2", "peers": ["10.255.255.1"]},
    }
    path.write_text(toml(table | tables))
    return path


@pytest.mark.parametrize("how", ["the unit's NetworkNamespacePath", "process.netns"])
def test_bird_on_the_same_host_gets_the_routes(host: Host, how: str):
    done = host.script("up")
    assert done.returncode == 0, done.stderr
    control = host.folder / "bird.ctl"
    bird = host.argv("bird", "-f", "-c", str(NETNS / "bird.conf"), "-s", str(control))
    host.start("bird", *bird)
    if how == "process.netns":
        path = configuration(host, process={"netns": host.name})
        host.start("up", *COMMAND, "up", "--config", str(path))
    else:
        path = configuration(host)
        host.start("up", "nsenter", f"--net=/run/netns/{host.name}", *COMMAND, "up", "--config", str(path))
    with TapSender(host.folder / "tap.sock") as sender:  # a unix socket: the sender is outside, here even of the host
        sender.send([response("www.example", "www.example 300 IN A 11.0.0.1")])

        def table() -> set[str]:
            return {
                line.split()[0]
                for line in run("ip", "-n", host.outside.name, "route", "show", "table", "100").splitlines()
            }

        becomes(table, {"11.0.0.1"}, 30, "the kernel's table 100 of the host")
    listening = run("ip", "netns", "exec", host.outside.name, "ss", "-Htn", "state", "established")
    assert "10.255.255.2" in listening


def test_preparing_it_again_keeps_the_link(host: Host):
    assert host.script("up").returncode == 0
    before = run("ip", "-n", host.outside.name, "-o", "link", "show", "dtap")
    assert host.script("up").returncode == 0
    assert run("ip", "-n", host.outside.name, "-o", "link", "show", "dtap") == before
    inside = run("ip", "-n", host.name, "-o", "address", "show", "dev", "uplink")
    assert inside.count("10.255.255.2/30") == 1


def test_both_families_and_a_way_out(host: Host):
    host.conf.write_text(
        "HOST_V4=10.255.255.1/30 INSIDE_V4=10.255.255.2/30 HOST_V6=fd00:db::1/64 INSIDE_V6=fd00:db::2/64\n"
        "LINK=veth-dtap DEFAULT=yes\n"
    )
    assert host.script("up").returncode == 0
    for family, address in ((socket.AF_INET, "10.255.255.1"), (socket.AF_INET6, "fd00:db::1")):
        with host.outside.socket(family, socket.SOCK_STREAM) as listener:
            listener.bind((address, 8080))
            listener.listen()
            connect = f"import socket; socket.create_connection(({address!r}, 8080), 10)"
            run("ip", "netns", "exec", host.name, sys.executable, "-c", connect)
    assert "default via 10.255.255.1" in run("ip", "-n", host.name, "route")
    assert "default via fd00:db::1" in run("ip", "-n", host.name, "-6", "route")


def test_down_leaves_nothing(host: Host):
    assert host.script("up").returncode == 0
    assert host.script("down").returncode == 0
    assert host.name not in run("ip", "netns", "list").split()
    eventually(lambda: "dtap" not in run("ip", "-n", host.outside.name, "-o", "link"), 5, "the link is gone")
    assert host.script("down").returncode == 0


@pytest.mark.parametrize(
    ("content", "told"), [("LINK=dtap\n", "neither HOST_V4"), (None, "can't be read")], ids=["no address", "no file"]
)
def test_without_addresses_it_says_so_and_makes_nothing(host: Host, content: str | None, told: str):
    host.conf.unlink()
    if content is not None:
        host.conf.write_text(content)
    done = host.script("up")
    assert done.returncode == 1
    assert told in done.stderr
    assert str(host.conf) in done.stderr
    assert host.name not in run("ip", "netns", "list").split()
