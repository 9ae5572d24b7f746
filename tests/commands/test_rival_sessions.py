"""Sessions of others from our own address are found before ours are opened."""

import socket
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from dnstap_bgp import config as configuration
from dnstap_bgp.commands.rival_sessions import rival_sessions
from tests.commands.running import running, write_config


def test_a_session_from_our_address_with_our_neighbor_is_told(tmp_path: Path):
    with socket.socket() as router:
        router.bind(("127.0.0.2", 0))
        router.listen()
        port = router.getsockname()[1]
        bgp = configuration.load(write_config(tmp_path, port=port)).bgp
        assert rival_sessions(bgp) == []
        with socket.create_connection(("127.0.0.2", port), source_address=("127.0.0.3", 0)):
            assert rival_sessions(bgp) == [], "from another address"
        with socket.create_connection(("127.0.0.2", port), source_address=("127.0.0.1", 0)) as session:
            [told] = rival_sessions(bgp)
            assert told.startswith("bgp.peers[0]: this machine has a BGP session from bgp.source_ip 127.0.0.1 with")
            assert rival_sessions(replace(bgp, source_ip=None)) == []
            (passive,) = bgp.neighbors
            listens = replace(passive, passive=True, port=session.getsockname()[1])
            assert len(rival_sessions(replace(bgp, neighbors=(listens,)))) == 1
            with running(tmp_path / "dnstap-bgp.toml") as up:
                assert told in up.log
        assert rival_sessions(bgp) == []


@pytest.mark.parametrize("local", ["B80D0120000000000000000001000000", "0000000000000000FFFF0000010200C0"])
def test_both_families_are_read(tmp_path: Path, local: str):
    """As a machine with the least byte first writes them."""
    remote = local[:24] + local[24:].replace("01", "02", 1)
    table = tmp_path / "tcp6"
    table.write_text(f"  sl  local_address ...\n   0: {local}:ABCD {remote}:00B3 01 00000000:00000000 x\n")
    bgp = configuration.load(write_config(tmp_path)).bgp
    source, peer = ("2001:db8::1", "2001:db8::2") if local[0] == "B" else ("192.0.2.1", "192.0.2.2")
    (neighbor,) = bgp.neighbors
    bgp = replace(bgp, source_ip=ip_address(source), neighbors=(replace(neighbor, address=peer, port=179),))
    assert len(rival_sessions(bgp, (table, tmp_path / "missing"))) == 1
