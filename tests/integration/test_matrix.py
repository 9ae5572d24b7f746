"""Every resolver with every router, tapped, peered and steered by the very files in `deploy/`."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.lab import Lab, becomes, eventually, kill, run, stays
from tests.integration.neighborhood import (
    BGP,
    FAR_END,
    FAR_END_V6,
    Kernel,
    Neighborhood,
    ShippedBird,
    ShippedFrr,
    ShippedGoBgp,
)
from tests.integration.resolvers import PROGRAMS, RESOLVERS, ZONE, Authority, ClientTap, ask
from tests.integration.shipped import shipped_bgp, shipped_rules
from tests.integration.speaker import COMMAND, ENVIRONMENT, Speaker
from tests.integration.tap_sender import send, sightings

pytestmark = pytest.mark.netns

PAIRS = set(itertools.product((kind.name for kind in RESOLVERS), ("bird", "frr", "gobgp")))
ADDRESSES = {kind.name: (f"11.4.0.{number}", f"2600:4::{number}") for number, kind in enumerate(RESOLVERS, 1)}
ELSEWHERE = "11.4.9.1"
NAMES = "".join(f"{name}.matrix A {v4}\n{name}.matrix AAAA {v6}\n" for name, (v4, v6) in ADDRESSES.items())


@pytest.fixture
def neighborhood(tmp_path: Path) -> Iterator[Neighborhood]:
    made = Neighborhood(tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def lab(neighborhood: Neighborhood) -> Lab:
    """Under the name by which a failed test's report finds the daemons' logs."""
    return neighborhood


@pytest.mark.real(*PROGRAMS, "named", "bird", "birdc", "gobgpd", "gobgp", "vtysh")
@pytest.mark.real("/usr/lib/frr/bgpd", "/usr/lib/frr/staticd", "/usr/lib/frr/zebra")
@pytest.mark.usefixtures("lab")
def test_every_resolver_with_every_router(neighborhood: Neighborhood):
    bird, frr, gobgp = ShippedBird(neighborhood), ShippedFrr(neighborhood), ShippedGoBgp(neighborhood)
    routers = (bird, frr, gobgp)
    speaker = Speaker(neighborhood, [router.session for router in routers], ["matrix.example"], bgp=BGP)
    (speaker.folder / "elsewhere.txt").write_text("other.example\n")
    speaker.config["list"] = [{"name": "elsewhere", "sources": ["elsewhere.txt"], "communities": ["64512:54"]}]
    speaker.write()
    resolvers = [resolver(neighborhood, str(speaker.tap)) for resolver in RESOLVERS]
    for part in (*routers, speaker, Authority(neighborhood, f"{ZONE}{NAMES}"), *resolvers):
        part.start()

    held = meet(neighborhood, resolvers, routers)
    for router in routers:
        for prefix, route in router.routes().items():
            assert route.next_hop == (FAR_END_V6 if ":" in prefix else FAR_END), f"{router.name} {prefix}"
            assert route.communities == {"64512:53", "65535:65281"}, f"{router.name} {prefix}"

    # a list with another community: told to all routers, taken by none
    send(speaker.tap, sightings("other.example", [ELSEWHERE]))
    eventually(lambda: all(f"{ELSEWHERE}/32" in one for one in speaker.adj_rib_out().values()), 10, "announced, too")
    send(speaker.tap, sightings("more.matrix.example", ["11.4.0.99"]))
    held.add("11.4.0.99/32")
    for router in routers:
        becomes(router.prefixes, held, 10, f"one more at {router.name}")

    check_the_tables(bird, frr, held)
    check_without_tunnel(bird, frr)
    check_a_restart(speaker, routers, held)
    speaker.write(["nothing.example"])
    speaker.run("reload")
    for each in (bird, frr):
        becomes(each.prefixes, set(), 10, f"the end at {each.name}")
        holds(each.kernel, {})


def test_the_files_agree():
    assert shipped_bgp("routers/frr.conf") == BGP == {**BGP, "next_hop": FAR_END, "next_hop_ipv6": FAR_END_V6}
    assert shipped_rules("routers/frr.conf") == shipped_rules("routers/bird.conf")
    assert len(shipped_rules("routers/bird.conf")) == 2


def meet(
    lab: Neighborhood, resolvers: list[ClientTap], routers: tuple[ShippedBird, ShippedFrr, ShippedGoBgp]
) -> set[str]:
    """Each answer of each resolver reaches each router; returns all that they hold then."""
    held, seen = set[str](), set[tuple[str, str]]()
    for resolver in resolvers:
        v4, v6 = ADDRESSES[resolver.name]
        assert ask(lab, resolver.port, f"{resolver.name}.matrix.example") == [v4]
        assert ask(lab, resolver.port, f"{resolver.name}.matrix.example", "AAAA") == [v6]
        held |= {f"{v4}/32", f"{v6}/128"}
        for router in routers:
            becomes(router.prefixes, held, 20, f"{resolver.name} at {router.name}")
            seen.add((resolver.name, router.name))
    assert seen == PAIRS
    return held


def check_the_tables(bird: ShippedBird, frr: ShippedFrr, held: set[str]) -> None:
    """Down to the kernel: the steering table has all of them, and clients' packets take it."""
    into_the_tunnel = {prefix: (FAR_END_V6 if ":" in prefix else FAR_END, "wg0") for prefix in held}
    for kernel in (bird.kernel, frr.kernel):
        holds(kernel, into_the_tunnel)
        assert ways(kernel) == OLD_WAY
        kernel.steer()
        assert ways(kernel) == STEERED


def check_without_tunnel(bird: ShippedBird, frr: ShippedFrr) -> None:
    """When the tunnel is down, it is as the comments say; and the other way with the lines that they give for it."""
    for kernel in (bird.kernel, frr.kernel):
        kernel.tunnel("down")
    takes(bird.kernel, DROPPED)
    takes(frr.kernel, OLD_WAY)
    bird.fail_open()
    frr.fail_closed()
    takes(bird.kernel, OLD_WAY)
    takes(frr.kernel, DROPPED)
    for kernel in (bird.kernel, frr.kernel):
        kernel.tunnel("up")
        takes(kernel, STEERED)


def holds(kernel: Kernel, table: dict[str, tuple[str, str]]) -> None:
    eventually(lambda: kernel.table() == table, 15, f"the steering table of {kernel.name}")


def takes(kernel: Kernel, expected: list[str]) -> None:
    eventually(lambda: ways(kernel) == expected, 15, f"{kernel.name} goes {expected}")


def check_a_restart(speaker: Speaker, routers: tuple[ShippedBird, ShippedFrr, ShippedGoBgp], held: set[str]) -> None:
    """ExaBGP dies and comes back: by graceful restart, no router loses a route meanwhile."""
    kill(speaker.host_pid())
    eventually(lambda: not any(router.up() for router in routers), 20, "the sessions are down")
    assert [router.prefixes() for router in routers] == [held] * 3
    speaker.daemon.process.wait(20)
    speaker.start()
    eventually(lambda: all(router.up() for router in routers), 60, "the sessions are back")
    stays(lambda: [router.prefixes() for router in routers] == [held] * 3, 3, "the routes")


def ways(kernel: Kernel) -> list[str]:
    """Where a client's packets leave: to what isn't steered, and to three that are."""
    return [kernel.way(address) for address in (ELSEWHERE, "11.4.0.1", "2600:4::1", "11.4.0.99")]


STEERED = ["lan0", "wg0", "wg0", "wg0"]
OLD_WAY = ["lan0"] * 4
DROPPED = ["lan0", "", "", ""]


OF_VERSION_4 = """\
process dnstap {{
    run {command} plugin --config {config};
    encoder json;
}}
neighbor {peer} {{
    router-id 192.0.2.10; local-address 192.0.2.10; local-as 64512; peer-as 64512;
    family {{ ipv4 unicast; ipv6 unicast; }}
    api {{ processes [ dnstap ]; neighbor-changes; }}
}}
"""


@pytest.mark.real("/usr/sbin/exabgp", "bird", "birdc")
@pytest.mark.usefixtures("lab")
def test_an_exabgp_of_another_major_version_is_refused(neighborhood: Neighborhood):
    """Debian 12 has 4.2: the plugin says what it needs, and announces nothing, though the session is up."""
    if not re.search(r"ExaBGP : 4\.", version := run("/usr/sbin/exabgp", "--version")):
        pytest.skip(f"this system's own is not of version 4: {version.split(maxsplit=3)[:3]}")
    bird = ShippedBird(neighborhood)
    speaker = Speaker(neighborhood, [bird.session], ["example"], bgp=BGP)
    own = neighborhood.folder / "exabgp4.conf"
    own.write_text(OF_VERSION_4.format(command=" ".join(COMMAND), config=speaker.path, peer=bird.session.local))
    speaker.runtime_dir.mkdir()
    bird.start()
    environment = {"exabgp_daemon_user": "root", "exabgp_tcp_bind": "", "exabgp_api_cli": "false"}
    exabgp = neighborhood.start("exabgp4", ["/usr/sbin/exabgp", str(own)], neighborhood.host, ENVIRONMENT | environment)
    eventually(speaker.tap.exists, 20, "the plugin listens all the same")
    eventually(bird.up, 20, "the session is up")
    send(speaker.tap, sightings("www.example", ["11.1.0.1"]))
    eventually(lambda: "this is ExaBGP 4.2" in exabgp.text(), 10, "the refusal")
    assert "nothing is announced. Install exabgp>=5.0.15,<6" in exabgp.text()
    stays(lambda: bird.prefixes() == set(), 2, "nothing is announced")
    assert exabgp.alive()
    assert exabgp.text().count("this is ExaBGP 4.2") == 1, "said once, not at each respawn"
