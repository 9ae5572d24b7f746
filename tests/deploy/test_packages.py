"""The .deb and the .rpm: built from this checkout, installed, run, upgraded, removed in a Debian of their own."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from dnstap_bgp import __version__
from tests.deploy import original
from tests.deploy.machine import Machine, Router, Watch, make_root
from tests.integration.lab import eventually, run

ROOT = Path(__file__).parents[2]
STAGE, DEB, RPM = (f"{ROOT}/deploy/{name}" for name in ("packaging/stage", "build-deb", "build-rpm"))
SITE = "/usr/lib/dnstap-bgp/lib/python3*/site-packages"
FIRST_VERSION = "f3926fa"
"""The commit of 0.1.0."""
DOCUMENTATION = 'allow = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"]'

pytestmark = [
    pytest.mark.netns,  # root
    pytest.mark.timeout(900),
    pytest.mark.real("debootstrap", "systemd-nspawn", "rpmbuild", "dpkg-deb", "nsenter"),
]


def build(*command: str, **env: str) -> str:
    """Run one of the build scripts; returns what it wrote."""
    # The environment of the tests is not that of a package: its Python may be in a place that no package has.
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHON")}
    return run("env", "-i", *(f"{name}={value}" for name, value in {**kept, **env}.items()), *command, timeout_s=500)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `tree`, what both packages install, and `root`, the machine's; made side by side."""
    folder = tmp_path_factory.mktemp("made")
    with ThreadPoolExecutor() as pool:
        staged = pool.submit(build, STAGE, str(folder / "tree"))
        make_root(folder / "root")
    staged.result()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def tree(made: Path) -> Path:
    return made / "tree"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dist")


@pytest.fixture(scope="module")
def deb(tree: Path, dist: Path) -> Path:
    return built(build(DEB, STAGED=str(tree), DIST=str(dist)))


@pytest.fixture(scope="module")
def first_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of 0.1.0, built by its own scripts from this repository's history."""
    folder = tmp_path_factory.mktemp("first")
    if subprocess.run(
        ["git", "-C", str(ROOT), "cat-file", "-e", f"{FIRST_VERSION}^{{commit}}"], check=False
    ).returncode:
        pytest.skip(f"this checkout has no history: {FIRST_VERSION} is missing")
    run("sh", "-c", f"git -C {ROOT} archive {FIRST_VERSION} | tar -x -C {folder}")
    return built(build(f"{folder}/deploy/build-deb", DIST=str(folder / "dist"), SOURCE_DATE_EPOCH="1700000000"))


@pytest.fixture(scope="module")
def rpm(tree: Path, dist: Path) -> Path:
    return built(build(RPM, STAGED=str(tree), DIST=str(dist), VERSION="0.0.1"))


@pytest.fixture(scope="module")
def machine(made: Path) -> Iterator[Machine]:
    machine = Machine(made / "root", made / "console.log")
    yield machine
    machine.stop()


@pytest.fixture(scope="module")
def router(machine: Machine) -> Router:
    return Router(machine)


@pytest.fixture
def purged(machine: Machine) -> Machine:
    """The machine without the package, as if it had never been there."""
    machine.sh("dpkg --purge dnstap-bgp; rm -rf /etc/dnstap-bgp", status=None)
    return machine


@pytest.fixture
def running(purged: Machine, router: Router, deb: Path) -> Machine:
    """The package installed, configured as the manual says, started, and eight routes at the router."""
    install(purged, deb)
    configure(purged)
    purged.run("systemctl", "enable", "--quiet", "--now", "dnstap-bgp")
    await_tap(purged)
    replay_capture(purged)
    eventually(lambda: len(router.routes()) == 8, 20, "8 routes")
    return purged


def built(told: str) -> Path:
    """The package that a build says it has made."""
    path: str = re.findall(r"/[^\s']+\.(?:deb|rpm)", told)[-1]
    return Path(path)


def install(machine: Machine, package: Path) -> str:
    shutil.copy(package, machine.root / "root/package.deb")
    return machine.run("dpkg", "--install", "/root/package.deb")


def configure(machine: Machine) -> None:
    """Fill in the packaged file, line by line as an operator would."""
    path = machine.root / "etc/dnstap-bgp/dnstap-bgp.toml"
    text = path.read_text()
    for key, value in {
        "as": "64512",
        "router_id": '"10.99.0.1"',
        "source_ip": '"10.99.0.1"',
        "next_hop": '"10.99.0.1"',
        "peers": '[{ address = "10.99.0.2", as = 64513 }]',
        "group": '"unbound"',
    }.items():
        text, count = re.subn(rf"^#{key} *=.*$", f"{key} = {value}", text, flags=re.MULTILINE)
        assert count == 1, key
    path.write_text(f"{text}[guard]\n{DOCUMENTATION}\n")
    machine.sh(f"cat {SITE}/dnstap_bgp/demo/domains.txt >>/etc/dnstap-bgp/domains.txt")
    machine.run("usermod", "--append", "--groups", "unbound", "dnstap-bgp")
    assert "good" in machine.run("dnstap-bgp", "check")


def await_tap(machine: Machine, unit: str = "dnstap-bgp") -> None:
    socket = f"/run/{unit}/tap.sock"
    eventually(lambda: machine.sh(f"[ ! -S {socket} ] || echo there", status=None), 30, f"{socket} is there")


def newer(deb: Path, folder: Path, *, restart_key: str | None = None) -> Path:
    """The same package as a newer version; `restart_key`: as if ExaBGP had changed with it."""
    tree, path = folder / "tree", folder / "newer.deb"
    run("dpkg-deb", "--raw-extract", str(deb), str(tree))
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^(Version: .*)$", r"\1+1", control.read_text()))
    if restart_key:
        (tree / "usr/lib/dnstap-bgp/restart-key").write_text(restart_key)
    run("dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(path))
    return path


def plugin_pid(machine: Machine) -> str:
    pid = machine.read("/run/dnstap-bgp/dnstap-bgp.pid").strip()
    assert pid
    return pid


def test_a_first_installation_starts_nothing_and_check_says_what_is_to_be_filled_in(purged: Machine, deb: Path):
    install(purged, deb)
    assert "inactive" in purged.run("systemctl", "is-active", "dnstap-bgp", status=None)
    assert "disabled" in purged.run("systemctl", "is-enabled", "dnstap-bgp", status=None)
    told = purged.run("dnstap-bgp", "check", status=1)
    assert "bgp.next_hop" in told
    assert "no rule in any list" in told
    assert "there is no folder" not in told
    assert "root dnstap-bgp 640" in purged.run("stat", "-c", "%U %G %a", "/etc/dnstap-bgp/dnstap-bgp.toml")
    assert "12 routes." in purged.run("dnstap-bgp", "demo")


def test_the_service_does_the_main_job_in_its_sandbox(running: Machine, router: Router):
    status = running.sh(f"cat /proc/{plugin_pid(running)}/status")
    assert re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\s*2$", status, re.MULTILINE)
    assert re.search(r"^CapEff:\s*0000000000000400$", status, re.MULTILINE)  # bind ports below 1024
    assert "established" in running.run("exabgpcli", "show", "neighbor", "summary")
    as_its_user = (
        "setpriv",
        "--reuid=dnstap-bgp",
        "--regid=dnstap-bgp",
        "--init-groups",
    )  # its default folder is another
    assert "neighbor 10.99.0.2 AS 64513: up" in running.run(*as_its_user, "dnstap-bgp", "status")
    running.sh("echo =www.example.com >/etc/dnstap-bgp/domains.txt")  # compiled by a child of the plugin's
    running.run("systemctl", "reload", "dnstap-bgp")
    eventually(lambda: 0 < len(router.routes()) < 8, what="the routes of the shorter list")
    running.sh("echo '[broken' >>/etc/dnstap-bgp/dnstap-bgp.toml")
    running.run("systemctl", "reload", "dnstap-bgp", status=1)
    assert "is no TOML" in running.journal("dnstap-bgp")


@pytest.mark.long
def test_answers_off_the_wire_in_their_own_sandbox(running: Machine, router: Router):
    """As the manual has it, for a resolver on this machine that has no tap."""
    running.sh("echo wire.example >>/etc/dnstap-bgp/domains.txt; systemctl reload dnstap-bgp")
    running.sh("ip address add 10.99.0.53/32 dev lo")
    running.root.joinpath("root/wire.conf").write_text(
        "server:\n interface: 10.99.0.53\n access-control: 10.99.0.0/24 allow\n"
        ' chroot: ""\n username: ""\n pidfile: ""\n'
        ' local-data: "n.wire.example A 203.0.113.53"\nremote-control:\n control-enable: no\n'
    )
    running.sh("""echo 'SNIFF="--interface any --server 10.99.0.53"' >/etc/default/dnstap-bgp-sniff""")
    running.run("systemctl", "start", "dnstap-bgp-sniff")
    running.run("systemd-run", "--quiet", "--unit=wire", "unbound", "-d", "-p", "-c", "/root/wire.conf")
    question = r"b'\0\7\1\0\0\1\0\0\0\0\0\0\1n\4wire\7example\0\0\1\0\1'"
    ask = f"import socket; socket.socket(2, 2).sendto({question}, ('10.99.0.53', 53))"

    def routed() -> bool:
        running.run("python3", "-c", ask)
        return "203.0.113.53/32" in router.routes()

    try:
        eventually(routed, 30, "the route of an answer off the wire")
        eventually(
            lambda: running.run("test", "-s", "/run/dnstap-bgp/sniff-any.json") == "", 20, "the doctor's counters"
        )
    except AssertionError as error:
        raise AssertionError(f"{error}\n{running.journal('dnstap-bgp-sniff')}") from None
    finally:
        running.sh("systemctl stop wire dnstap-bgp-sniff; ip address del 10.99.0.53/32 dev lo", status=None)
        running.sh("rm /etc/default/dnstap-bgp-sniff")


def test_a_neighbor_may_connect_to_port_179(running: Machine):
    running.sh("sed -i 's/as = 64513 }/as = 64513, passive = true }/' /etc/dnstap-bgp/dnstap-bgp.toml")
    running.run("systemctl", "restart", "dnstap-bgp")
    eventually(lambda: "10.99.0.1:179" in running.run("ss", "-Hltn"), what="ExaBGP listens")


def test_an_upgrade_keeps_the_session_and_every_route(running: Machine, router: Router, deb: Path, tmp_path: Path):
    """The router knows no graceful restart here: a session that ends takes its routes along."""
    running.sh("echo '# mine' >>/etc/dnstap-bgp/domains.txt")
    since, plugin = router.established(), plugin_pid(running)
    watch = Watch(running)
    with watch:
        told = install(running, newer(deb, tmp_path))
        eventually(lambda: plugin_pid(running) != plugin, 20, "a new plugin")
    assert "its BGP sessions go on" in told
    assert set(watch.counts()) == {8}
    assert router.established() == since
    assert "# mine" in running.read("/etc/dnstap-bgp/domains.txt")


def test_an_upgrade_of_exabgp_restarts_and_loses_no_route(running: Machine, router: Router, deb: Path, tmp_path: Path):
    router.graceful_restart(on=True)
    running.run("systemctl", "restart", "dnstap-bgp")
    eventually(router.established, 30, "the session with graceful restart")
    eventually(lambda: len(router.routes()) == 8, 20, "8 routes")
    since = router.established()
    watch = Watch(running)
    with watch:
        told = install(running, newer(deb, tmp_path, restart_key="another ExaBGP"))
        eventually(lambda: router.established() not in ("", since), 30, "a new session")
    router.graceful_restart(on=False)
    assert "restarted" in told
    assert set(watch.counts()) == {8}


LISTS = """\
[http]
listen = "127.0.0.1:HTTP"
[[list]]
name = "video"
sources = "video.txt"
next_hop = "10.99.0.77"
communities = ["64512:54"]
peers = ["10.99.0.2"]
ttl = "2h"
[[list]]
name = "stream"
sources = "http://127.0.0.1:8081/stream.txt"
ttl = "dns"
ttl_min = "1h"
grace = "1h"
"""
STATIC = """\
[[list]]
name = "networks"
prefixes = ["192.0.2.128/25"]
allow = ["192.0.2.0/24"]
"""
SYNCER = """\
[syncer]
listen = "127.0.0.1:PORT"
peers = ["127.0.0.1:PEER"]
token = "0123456789abcdef0123"
redis = "redis://127.0.0.1:6379/0"
"""


@pytest.fixture
def fleet(purged: Machine, router: Router, first_version: Path) -> Iterator[Machine]:
    """Two instances of 0.1.0 with everything that it has in use; one has the router's session.

    Both know eight routes of three lists, from two files and a URL, with attributes and TTLs of their own, and tell
    each other of them directly and by Redis; one has a static prefix, too.
    """
    install(purged, first_version)
    configure(purged)
    purged.sh("cd /etc/dnstap-bgp && sed -i '/stream/d' domains.txt && echo '!video.example.com' >>domains.txt")
    purged.write("/etc/dnstap-bgp/video.txt", "video.example.com\n")
    purged.sh("mkdir -p /root/www && echo '*.stream.example.org' >/root/www/stream.txt")
    web = ("python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", "/root/www", "8081")
    purged.run("systemd-run", "--quiet", "--collect", "--unit=www", *web)
    purged.run("systemd-run", "--quiet", "--collect", "--unit=engine", "redis-server", "--save", "")
    path = purged.root / "etc/dnstap-bgp/dnstap-bgp.toml"
    text = path.read_text()
    edge = text.replace("/run/dnstap-bgp/", "/run/dnstap-bgp-edge/").replace("as = 64513", "as = 64514")
    edge = re.sub(r"(?m)^cache .*$", 'cache = "/var/lib/dnstap-bgp/edge/state"', edge)
    edge = edge.replace('"10.99.0.2", as', '"10.99.0.3", as')  # nobody is there
    edge += LISTS.replace("HTTP", "8180").replace("10.99.0.2", "10.99.0.3")
    edge += SYNCER.replace("PORT", "8002").replace("PEER", "8001")
    purged.write("/etc/dnstap-bgp/edge.toml", 'runtime_dir = "/run/dnstap-bgp-edge"\n' + edge)
    path.write_text(
        text + LISTS.replace("HTTP", "8179") + STATIC + SYNCER.replace("PORT", "8001").replace("PEER", "8002")
    )
    purged.sh("chgrp dnstap-bgp /etc/dnstap-bgp/edge.toml && chmod 640 /etc/dnstap-bgp/edge.toml")
    router.graceful_restart(on=True)
    purged.run("systemctl", "start", "dnstap-bgp", "dnstap-bgp@edge")
    await_tap(purged)

    def has_all() -> bool:  # once the list from the URL is there
        replay_capture(purged)
        return len(router.routes()) == 8

    eventually(has_all, 40, "8 routes")
    eventually(lambda: edge_routes(purged) == 8, 30, "8 routes at the peer")
    yield purged
    purged.sh("systemctl stop dnstap-bgp dnstap-bgp@edge www engine", status=None)
    router.graceful_restart(on=False)


def replay_capture(machine: Machine, tap: str = "/run/dnstap-bgp/tap.sock") -> None:
    """Send the demo's answers as a resolver would: another user, let in by its group."""
    machine.sh(
        "setpriv --reuid=unbound --regid=unbound --clear-groups"
        f" dnstap-bgp replay {SITE}/dnstap_bgp/demo/capture.fstrm --to {tap}"
    )


def edge_routes(machine: Machine) -> int:
    told = machine.run("dnstap-bgp", "routes", "--json", "--config", "/etc/dnstap-bgp/edge.toml", status=None)
    return sum('"prefix"' in line for line in told.splitlines())


def another_session(router: Router, since: str) -> bool:
    """Whether the router's session is up and another one than that of this moment."""
    return router.established() not in ("", since)


def test_an_upgrade_from_the_first_version_and_back_withdraws_no_route(
    fleet: Machine, router: Router, deb: Path, first_version: Path
):
    """ExaBGP itself starts anew, for another minor version may want another configuration of it."""
    eventually(lambda: attributes(fleet) == ATTRIBUTES, 10, "the attributes of the first version")
    for package, version in (deb, "0.2"), (first_version, "0.1"):
        since = router.established()
        watch = Watch(fleet)
        with watch:
            told = install(fleet, package)
            eventually(partial(another_session, router, since), 30, "a new session")
            await_tap(fleet)
            await_tap(fleet, "dnstap-bgp-edge")
            eventually(lambda: edge_routes(fleet) == 8, 30, "the peer has its routes again")
            eventually(lambda: "redis" in status(fleet), 20, "the engine is there again")
        assert told.count("restarted") == 2
        assert set(watch.counts()) == {9}  # the static prefix among them
        assert attributes(fleet) == ATTRIBUTES
        assert version in fleet.run("dnstap-bgp", "--version")
        assert "127.0.0.1:8001" in status(fleet, "edge")
        assert "stream" in fleet.run("dnstap-bgp", "lists")
        fetch = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8179/metrics').read().decode())"
        assert "dnstap_bgp_" in fleet.run("python3", "-c", fetch)


ATTRIBUTES = {
    "198.51.100.20/32": ("10.99.0.77", "(64512,54)"),
    "203.0.113.50/32": ("10.99.0.1", "(65535,65281)"),
    "192.0.2.128/25": ("10.99.0.1", "(65535,65281)"),
}
"""Next-hop and communities of one route of each list but the first."""


def attributes(machine: Machine) -> dict[str, tuple[str, str]]:
    """What the router has of these routes."""
    found = {}
    for prefix in ATTRIBUTES:
        text = machine.sh(f"birdc -s /run/router.ctl show route {prefix} table steered4 all")
        hop, communities = (re.search(rf"BGP.{name}: (.*)", text) for name in ("next_hop", "community"))
        found[prefix] = (hop[1].strip() if hop else "", communities[1].strip() if communities else "")
    return found


def status(machine: Machine, instance: str = "dnstap-bgp") -> str:
    return machine.run("dnstap-bgp", "status", "--config", f"/etc/dnstap-bgp/{instance}.toml", status=None)


def test_an_operator_may_keep_upgrades_from_touching_what_runs(running: Machine, deb: Path, tmp_path: Path):
    plugin = plugin_pid(running)
    running.write("/etc/default/dnstap-bgp", "DNSTAP_BGP_UPGRADE=none\n")
    try:
        told = install(running, newer(deb, tmp_path, restart_key="another ExaBGP"))
    finally:
        running.run("rm", "/etc/default/dnstap-bgp")
    assert "replaced" not in told
    assert "restarted" not in told
    assert plugin_pid(running) == plugin


def test_it_comes_back_from_a_kill_and_ends_in_order(running: Machine, router: Router):
    running.sh("kill -9 $(cat /run/dnstap-bgp/up.pid)")
    eventually(lambda: "restart counter is at 1" in running.journal("dnstap-bgp"), 30, "systemd starts it again")
    eventually(lambda: len(router.routes()) == 8, 30, "8 routes")
    running.run("systemctl", "stop", "dnstap-bgp")
    assert "Result=success" in running.run("systemctl", "show", "--property=Result", "dnstap-bgp")


def test_a_second_instance_has_all_its_own(running: Machine):
    running.sh(
        "cd /etc/dnstap-bgp && sed -e 's,^cache .*,cache = \"/var/lib/dnstap-bgp/edge/state\","
        "; 1i runtime_dir = \"/run/dnstap-bgp-edge\"' -e 's,/run/dnstap-bgp/,/run/dnstap-bgp-edge/,"
        "; s/as = 64513/as = 64514, port = 1179/' dnstap-bgp.toml >edge.toml"
    )  # fmt: skip
    running.run("systemctl", "start", "dnstap-bgp@edge")
    await_tap(running, "dnstap-bgp-edge")
    running.run("systemctl", "reload", "dnstap-bgp@edge")
    assert "reloaded: " in running.run("dnstap-bgp", "reload", "--config", "/etc/dnstap-bgp/edge.toml")
    running.run("systemctl", "stop", "dnstap-bgp@edge")
    assert "active" in running.run("systemctl", "is-active", "dnstap-bgp")
    assert plugin_pid(running)  # the runtime folder of the other is untouched


def test_a_removal_keeps_what_is_an_operators_and_a_purge_leaves_nothing(running: Machine, router: Router):
    running.write("/etc/dnstap-bgp/passwords.toml", "")
    running.run("chgrp", "dnstap-bgp", "/etc/dnstap-bgp/passwords.toml")
    running.run("cp", "/usr/share/doc/dnstap-bgp/examples/netns/netns-dtap.conf", "/etc/dnstap-bgp/")
    running.run("systemctl", "enable", "--quiet", "--now", "dnstap-bgp-netns@dtap")
    running.run("dpkg", "--remove", "dnstap-bgp")
    assert "dtap" not in running.run("ip", "netns", "list")
    assert "inactive" in running.run("systemctl", "is-active", "dnstap-bgp", status=None)
    assert router.established() == ""
    assert "64512" in running.read("/etc/dnstap-bgp/dnstap-bgp.toml")
    assert running.run("ls", "/var/lib/dnstap-bgp")
    running.run("dpkg", "--purge", "dnstap-bgp")
    left = running.sh("find / /run -xdev -name '*dnstap-bgp*' -not -path '/proc/*'").split()
    assert left == ["/etc/dnstap-bgp"]
    assert running.sh("ls -l /etc/dnstap-bgp | grep -c 'root root .*passwords.toml'").strip() == "1"
    running.run("id", "dnstap-bgp", status=1)


@pytest.mark.parametrize("first", ["the package", pytest.param("import, from a checkout", marks=pytest.mark.long)])
def test_moving_over_from_the_go_program_s_package(
    purged: Machine, router: Router, deb: Path, tmp_path: Path, first: str
):
    """Its package has our name, and its unit's; it ran as root, in a network namespace."""
    with original.namespace(purged, router):
        install(purged, original.package(tmp_path))
        purged.run("systemctl", "enable", "--quiet", "--now", "dnstap-bgp")
        eventually(lambda: purged.sh("ip netns exec dtap ss -Hltn sport = 8080"), what="the old program answers")
        if first == "the package":
            pid = purged.run("systemctl", "show", "--property=MainPID", "dnstap-bgp")
            assert "left as it is" in install(purged, deb)  # and dpkg asks nothing
            assert purged.run("systemctl", "show", "--property=MainPID", "dnstap-bgp") == pid
            told = purged.run("dnstap-bgp", "import")
        else:  # there is no user of ours yet
            shutil.copy(deb, purged.root / "root/package.deb")
            purged.run("dpkg-deb", "--extract", "/root/package.deb", "/root/checkout")
            told = purged.run("/root/checkout/usr/lib/dnstap-bgp/bin/python", "-P", "-m", "dnstap_bgp", "import")
            purged.run("rm", "-r", "/root/checkout")
            purged.run("dpkg", "--install", "--force-confold", "/root/package.deb")
        assert "3 of 3 entries" in told
        assert "NAMESPACE=dtap" in purged.read("/etc/default/dnstap-bgp")
        assert "sourceIP" in purged.read("/etc/dnstap-bgp/dnstap-bgp.conf")
        purged.run("systemctl", "daemon-reload")
        assert purged.run("systemd-analyze", "verify", "--man=no", "dnstap-bgp.service") == ""
        purged.run("systemctl", "restart", "dnstap-bgp")
        routes = {f"{address}/32" for address in original.ADDRESSES}
        eventually(lambda: router.routes() == routes, 30, "all that the old program had")
        owner = "stat -c %U /tmp/dnstap.sock"
        eventually(lambda: purged.sh(owner, status=None) == "dnstap-bgp\n", 10, "a tap in the place of the old one")


def test_the_shells_complete_its_commands(purged: Machine, deb: Path):
    install(purged, deb)
    told = purged.sh(
        "bash -c '. /usr/share/bash-completion/completions/dnstap-bgp;"
        ' COMP_WORDS=(dnstap-bgp re); COMP_CWORD=1; _dnstap_bgp_completion dnstap-bgp; echo "${COMPREPLY[@]}"\''
    )
    assert "reload" in told.split()


def test_the_rpm_installs_and_names_what_it_needs(purged: Machine, rpm: Path):
    """In the same Debian, as there is no other root to be had; so its needs, which name files, are only looked at."""
    with_rpm = ("rpm", "--root", str(purged.root), "--nodeps")
    try:
        run(*with_rpm, "--install", str(rpm))
        assert purged.run("stat", "-c", "%G %a", "/etc/dnstap-bgp/dnstap-bgp.toml") == "dnstap-bgp 640\n"
        assert purged.run("stat", "-c", "%U %a", "/var/lib/dnstap-bgp") == "dnstap-bgp 750\n"
        assert "12 routes." in purged.run("dnstap-bgp", "demo")
        run(*with_rpm, "--erase", "dnstap-bgp")
        purged.run("test", "-e", "/usr/lib/dnstap-bgp", status=1)
    finally:
        purged.sh("userdel dnstap-bgp; rm -rf /var/lib/rpm /var/lib/dnstap-bgp", status=None)
    needs = run("rpm", "--query", "--package", "--requires", str(rpm))
    assert re.search(r"^/usr/bin/python3\.\d+$", needs, re.MULTILINE)
    assert "libc.so.6(GLIBC_" in needs
    assert "/usr/lib/dnstap-bgp" not in needs


@pytest.mark.long
def test_the_rpm_keeps_configuration_on_upgrade(purged: Machine, tree: Path, rpm: Path, tmp_path: Path):
    newer_rpm = built(build(RPM, STAGED=str(tree), DIST=str(tmp_path)))
    with_rpm = ("rpm", "--root", str(purged.root), "--nodeps")
    try:
        run(*with_rpm, "--install", str(rpm))
        purged.sh("echo '# mine' >>/etc/dnstap-bgp/dnstap-bgp.toml")
        run(*with_rpm, "--upgrade", str(newer_rpm))
        assert "# mine" in purged.read("/etc/dnstap-bgp/dnstap-bgp.toml")
        assert purged.run("dnstap-bgp", "--version")
    finally:
        run(*with_rpm, "--erase", "dnstap-bgp")
        purged.sh("userdel dnstap-bgp; rm -rf /var/lib/rpm /var/lib/dnstap-bgp", status=None)


@pytest.mark.long
@pytest.mark.real("lintian")
def test_lintian_finds_nothing(deb: Path):
    assert run("lintian", "--allow-root", "--fail-on=error,warning", str(deb), timeout_s=300) == ""


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_build_can_be_repeated_byte_for_byte(tmp_path: Path):
    """In another folder, at another time, by somebody with other habits: the same .deb and the same .rpm."""
    copy = tmp_path / "a deeper folder/copy"
    copy.mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", "exabgp.conf.example", "plugin", "deploy"):
        run("cp", "-R", str(ROOT / name), str(copy))
    habits = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7", "HOME": str(tmp_path)}
    made = []
    no_habits: dict[str, str] = {}
    for root, umask, env in ((ROOT, "022", no_habits), (copy, "077", habits)):
        folder = Path(root, "x") if root == copy else tmp_path / "x"
        env |= {"STAGED": f"{folder}/tree", "DIST": f"{folder}/dist", "SOURCE_DATE_EPOCH": "1700000000"}
        for script in (f"packaging/stage '{folder}/tree'", "./build-deb", "./build-rpm"):
            build("sh", "-c", f"umask {umask}; cd '{root}/deploy' && {script}", **env)
        made.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "dist").iterdir()})
    assert len(made[0]) == 2
    assert made[0] == made[1]


def test_the_list_of_what_is_shipped_names_each_package_and_its_needs(tree: Path):
    """The tool that writes it has validated it against CycloneDX' own schema, or the build had failed."""
    folder = tree / "usr/share/doc/dnstap-bgp"
    sbom = json.loads((folder / "sbom.cdx.json").read_text())
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    assert sbom["metadata"]["component"]["version"] == __version__
    listed = {f"{part['name']}=={part['version']}" for part in sbom["components"]}
    assert listed == set((folder / "bundled-packages.txt").read_text().split())
    assert {part["purl"].split("@")[0] for part in sbom["components"]} > {"pkg:pypi/exabgp", "pkg:pypi/redis"}
    [ours] = [one for one in sbom["dependencies"] if one["ref"] == sbom["metadata"]["component"]["bom-ref"]]
    assert len(ours["dependsOn"]) > 15
    locked = re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "deploy/requirements.lock").read_text(), re.MULTILINE)
    pinned = {canonicalize_name(name): version for name, version in locked}
    assert {canonicalize_name(part["name"]): part["version"] for part in sbom["components"]}.items() <= pinned.items()
