"""This machine's addresses, held against what `ip` says."""

import ipaddress
import json
import subprocess

import pytest

from dnstap_bgp.workers.routes.guard_inputs import own_addresses


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
