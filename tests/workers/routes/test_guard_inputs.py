"""This machine's addresses, held against what `ip` says."""

import ipaddress
import json
import subprocess
from pathlib import Path

import pytest

from dnstap_bgp.config import parse
from dnstap_bgp.workers.routes.guard_inputs import GuardInputs, own_addresses

CONFIG = b'domains = "d.txt"\nruntime_dir = "/run/x"\n[dnstap]\nlisten = "/run/t.sock"\n[bgp]\nnext_hop = "192.0.2.1"\n'
NEIGHBOR, RESOLVER = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 53))


@pytest.mark.real("ip")
def test_they_are_those_that_ip_shows():
    shown = json.loads(subprocess.run(["ip", "-json", "address"], capture_output=True, check=True).stdout)
    expected = {
        ipaddress.ip_address(found["local"]).packed
        for link in shown
        for found in link["addr_info"]
        if found.get("local")
    }
    assert expected
    assert own_addresses() == expected


def test_resolvers_are_among_what_was_learnt():
    inputs = GuardInputs()
    inputs.trust(parse(CONFIG, Path("/etc/d.toml")).dnstap).resolvers.note(RESOLVER)
    assert inputs.learn(frozenset([NEIGHBOR]))
    assert {NEIGHBOR, RESOLVER} <= inputs.protected
