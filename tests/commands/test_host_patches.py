"""Patches of ExaBGP: the same bytes with and without, and left out where ExaBGP is another one."""

import gc
import importlib.metadata
import socket
import subprocess
import sys
import textwrap

import pytest

from dnstap_bgp.commands import host_patches
from dnstap_bgp.commands.host_patches import NotAsTriedError
from tests.commands.running import environment

STEPS = 400


def run(code: str) -> str:
    """What code prints in a process of its own: a patch can't be taken back."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def history(seed: int, *how: str) -> str:
    command = [sys.executable, "-m", "tests.commands.host_histories", str(seed), str(STEPS), *how]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_version_is_one_that_was_tried():
    assert importlib.metadata.version("exabgp") in host_patches.TRIED


@pytest.mark.parametrize("seed", range(4))
def test_every_neighbor_is_sent_the_same_bytes_with_and_without(seed: int):
    """Several families, withdraw, attribute changes, next-hop self, flush, refresh, reload, watchdogs."""
    expected = history(seed)
    assert expected.count("\n") > STEPS
    assert history(seed, "patched") == expected


def test_a_copy_too_few_would_be_seen():
    assert history(0, "spoiled") != history(0)


def test_all_are_in_force():
    assert (
        run("""
        from importlib.metadata import version
        from dnstap_bgp.commands import host_patches
        print(host_patches.apply(version("exabgp")))
    """)
        == str(dict.fromkeys(host_patches.PATCHES, "")) + "\n"
    )


def test_routes_of_a_line_share_their_attributes():
    assert (
        run("""
        from dnstap_bgp.commands import host_patches
        host_patches.share_attributes("5.0.15")
        from exabgp.bgp.message.update.attribute.attributes import Attributes
        from exabgp.bgp.message.update.nlri.inet import INET
        from exabgp.bgp.neighbor import Neighbor
        from exabgp.protocol.family import AFI, SAFI
        from exabgp.rib.change import Change
        change = Change(INET(AFI.ipv4, SAFI.unicast), Attributes())
        copied = Neighbor.remove_self(None, change)
        print(copied is change, copied.nlri is change.nlri, copied.attributes is change.attributes)
    """)
        == "False False True\n"
    )


def test_families_are_what_they_were():
    """Of every AFI and SAFI that there is, and of one that nobody knows; each time another object."""
    assert (
        run("""
        from dnstap_bgp.commands import host_patches
        from exabgp.protocol.family import AFI, SAFI, Family
        pairs = [(afi, safi) for afi in [*AFI.cache, 77] for safi in [*SAFI.cache, 77]]
        def seen():
            made = [Family(*pair).family() for pair in pairs]
            return [(vars(one), type(one), type(one.afi), type(one.safi), repr(one), one.index()) for one in made]
        before = seen()
        host_patches.know_families("5.0.15")
        one = Family(1, 1)
        print(seen() == before, len(before) > 60, one.family() is one.family(), one.family().afi is AFI.ipv4)
    """)
        == "True True False True\n"
    )


def test_another_version_stays_as_it_is():
    found = host_patches.apply("5.0.16")
    try:
        assert found == {
            "full-collections": "",
            "no-delay": "not tried with ExaBGP 5.0.16",
            "shared-attributes": "not tried with ExaBGP 5.0.16",
            "known-families": "not tried with ExaBGP 5.0.16",
            "ended-process": "not tried with ExaBGP 5.0.16",
        }
    finally:
        gc.set_threshold(700, 10, 10)


def test_another_code_of_the_same_version_stays_as_it_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(host_patches, "_CONNECT", "another one")
    with pytest.raises(NotAsTriedError, match=r"connect of this ExaBGP 5\.0\.15 is another one"):
        host_patches.send_at_once("5.0.15")


def test_code_without_a_source_is_not_known():
    with pytest.raises(NotAsTriedError, match="the source of len"):
        host_patches.digest(len)


@pytest.mark.parametrize(("patched", "expected"), [(True, True), (False, False)])
def test_sessions_that_it_opens_send_at_once(patched: bool, expected: bool):
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"""
            import socket
            from dnstap_bgp.commands import host_patches
            if {patched}:
                host_patches.send_at_once("5.0.15")
            from exabgp.protocol.family import AFI
            from exabgp.reactor.network import outgoing
            with socket.socket() as sock:
                outgoing.connect(sock, "127.0.0.1", {server.getsockname()[1]}, AFI.ipv4, "")
                print(bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
        """
        assert run(code) == f"{expected}\n"


@pytest.mark.parametrize(("patched", "expected"), [(True, "True 0 0"), (False, "ProcessError 2 0")])
def test_what_is_written_to_an_ended_process_breaks_nothing(patched: bool, expected: str):
    """A whole buffer, as one answer about many neighbors is; marks that were there before stay."""
    code = f"""
        import subprocess
        from exabgp.environment import getenv
        from exabgp.logger import log
        from dnstap_bgp.commands import host_patches
        from exabgp.reactor.api.processes import ProcessError, Processes
        getenv().log.enable = False
        log.init(getenv())
        if {patched}:
            host_patches.outlive_processes("5.0.15")
        processes = Processes()
        processes._process["test"] = subprocess.Popen(["true"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        processes._process["test"].wait()
        processes._broken.append("other")
        try:
            found = processes.write("test", "x" * 10_000)
        except ProcessError:
            found = "ProcessError"
        print(found, processes._broken.count("test"), processes._broken.count("other") - 1, flush=True)
        import os
        os._exit(0)
    """
    assert run(code) == expected + "\n"
