"""Configurations that operators have already: a file of the Go program, and an exabgp.conf of their own."""

import os
import signal
import sys
import time

import pytest

from tests.integration.lab import HOST_V4, Lab, becomes, eventually
from tests.integration.routers import Bird, GoBgp, Route, Session
from tests.integration.speaker import COMMAND, ENVIRONMENT, Speaker
from tests.integration.tap_sender import send, sightings

pytestmark = [pytest.mark.netns, pytest.mark.real("bird", "birdc", "gobgpd", "gobgp")]

GO_FILE = """\
domains = "{folder}/domains.txt"
cache = "{folder}/cache.db"
ttl = "1h"
ipv6 = true

[dnstap]
listen = "{tap}"
perm = "0666"

[bgp]
as = 65001
routerID = "10.99.0.1"
sourceIP = "10.99.0.1"
nextHop = "10.99.0.77"
peers = [
    "10.99.0.2",
    "10.99.0.3",
]

[syncer]
listen = "127.0.0.1:8080"
syncInterval = "10m"
peers = []
"""

OWN_CONFIGURATION = """\
process dnstap {{
    run {command} plugin --config {config};
    encoder json;
}}
neighbor 10.99.0.2 {{
    router-id 10.99.0.1; local-address 10.99.0.1; local-as 65001; peer-as 65001;
    capability {{ graceful-restart 120; route-refresh enable; }}
    manual-eor true;
    family {{ ipv4 unicast; ipv6 unicast; }}
    api {{ processes [ dnstap ]; neighbor-changes; negotiated; }}
}}
neighbor fd99::3 {{
    router-id 10.99.0.1; local-address fd99::1; local-as 65001; peer-as 65002;
    family {{ ipv4 unicast; ipv6 unicast; }}
    api {{ processes [ dnstap ]; neighbor-changes; negotiated; }}
}}
"""


def test_a_file_of_the_go_program(lab: Lab):
    bird, gobgp = Bird(lab, Session(2)), GoBgp(lab, Session(3))
    speaker = Speaker(lab, [])
    speaker.path.write_text(GO_FILE.format(folder=speaker.folder, tap=speaker.tap))
    bolt = speaker.folder / "cache.db"
    bolt.write_bytes(original := bytes(16) + b"\xed\xda\x0c\xed" + bytes(4076))  # the Go program's database: its magic
    for part in (bird, gobgp, speaker):
        part.start()
    send(speaker.tap, sightings("www.example", ["11.1.0.1", "2600:1::1"]))
    for router in (bird, gobgp):
        becomes(router.prefixes, {"11.1.0.1/32", "2600:1::1/128"}, 15, router.name)
        hops = {prefix: route.next_hop for prefix, route in router.routes().items()}
        assert hops == {"11.1.0.1/32": "10.99.0.77", "2600:1::1/128": "fd00::1"}
    assert speaker.tap.stat().st_mode & 0o777 == 0o666
    assert bolt.read_bytes() == original
    eventually((speaker.folder / "cache.db.msgpack").exists, 10, "our own state file beside it")


def test_an_exabgp_configuration_of_their_own(lab: Lab):
    """The plugin is told neither AS nor peers: it learns the neighbors from ExaBGP."""
    bird, gobgp = Bird(lab, Session(2)), GoBgp(lab, Session(3, router_as=65002, ipv6=True))
    speaker = Speaker(lab, [])
    speaker.config["bgp"] = {"next_hop": HOST_V4, "next_hop_ipv6": "fd99::1"}
    speaker.write()
    own = lab.folder / "own-exabgp.conf"
    own.write_text(OWN_CONFIGURATION.format(command=" ".join(COMMAND), config=speaker.path))
    speaker.runtime_dir.mkdir()
    for router in (bird, gobgp):
        router.start()
    environment = {
        "exabgp_daemon_user": "root",
        "exabgp_tcp_bind": "",
        "exabgp_api_cli": "false",
        "exabgp_api_ack": "false",
    }
    exabgp = lab.start(
        "exabgp", [sys.executable, "-m", "exabgp", "server", str(own)], lab.host, ENVIRONMENT | environment
    )
    eventually(speaker.tap.exists, 20, "the plugin listens")
    send(speaker.tap, sightings("www.example", ["11.1.0.1", "2600:1::1"]))
    for router in (bird, gobgp):
        becomes(router.prefixes, {"11.1.0.1/32", "2600:1::1/128"}, 20, router.name)
    assert bird.routes()["11.1.0.1/32"] == Route(HOST_V4, frozenset({"65535:65281"}), local_preference=100)
    exabgp.stop()
    eventually(lambda: not lab.host.pids(), 5, "the plugin ends with its ExaBGP")


TWO_PROCESSES = """\
process dnstap {{
    run {command} plugin --config {config};
    encoder json;
}}
process other {{
    run /bin/cat;
    encoder json;
}}
neighbor 10.99.0.2 {{
    router-id 10.99.0.1; local-address 10.99.0.1; local-as 65001; peer-as 65001;
    family {{ ipv4 unicast; }}
    api {{ processes [ {process} ]; neighbor-changes; negotiated; signal; }}
}}
neighbor 10.99.0.3 {{
    router-id 10.99.0.1; local-address 10.99.0.1; local-as 65001; peer-as 65001;
    family {{ ipv4 unicast; }}
    api {{ processes [ dnstap ]; neighbor-changes; negotiated; signal; }}
}}
"""


def test_a_neighbor_that_was_another_process_s_while_ours_died_keeps_no_ghost(lab: Lab):
    """What is withdrawn meanwhile doesn't reach it, and the next process has to know of it."""
    taken, kept = Bird(lab, Session(2)), GoBgp(lab, Session(3))
    names = {f"{number}.example": f"11.1.0.{number}" for number in range(1, 10)}
    speaker = Speaker(lab, domains=list(names))
    speaker.config["bgp"] = {"next_hop": HOST_V4}
    speaker.write()
    own = lab.folder / "own-exabgp.conf"

    def configure(process: str) -> None:
        own.write_text(TWO_PROCESSES.format(command=" ".join(COMMAND), config=speaker.path, process=process))

    configure("dnstap")
    speaker.runtime_dir.mkdir()
    for router in (taken, kept):
        router.start()
    environment = {"exabgp_daemon_user": "root", "exabgp_tcp_bind": "", "exabgp_api_cli": "false"}
    command = [sys.executable, "-m", "exabgp", "server", str(own)]
    exabgp = lab.start("exabgp", command, lab.host, ENVIRONMENT | environment)
    eventually(speaker.tap.exists, 20, "the plugin listens")
    for name, address in names.items():
        send(speaker.tap, sightings(name, [address]))
    for router in (taken, kept):
        becomes(router.prefixes, {f"{address}/32" for address in names.values()}, 20, router.name)

    configure("other")
    while True:  # until ExaBGP has read it: it forgets a reload that comes while a neighbor has something pending
        exabgp.signal(signal.SIGUSR1)
        gone = f"{names.popitem()[1]}/32"
        speaker.write(list(names))
        os.kill(speaker.plugin_pid(), signal.SIGHUP)
        becomes(kept.prefixes, {f"{address}/32" for address in names.values()}, 20, "withdrawn where it is ours")
        if gone in taken.prefixes():
            break
    before = speaker.plugin_pid()
    os.kill(before, signal.SIGKILL)
    eventually(lambda: speaker.plugin_pid() != before, 20, "the next plugin")
    assert gone in taken.prefixes()

    configure("dnstap")
    asked = float("-inf")

    def is_rid_of_it() -> bool:
        nonlocal asked
        if time.monotonic() - asked > 20:  # it may have forgotten it; and each puts off what the plugin does by 5 s
            asked = time.monotonic()
            exabgp.signal(signal.SIGUSR1)
        return gone not in taken.prefixes()

    eventually(is_rid_of_it, 60, "no ghost")
    for router in (taken, kept):
        becomes(router.prefixes, {f"{address}/32" for address in names.values()}, 20, router.name)
