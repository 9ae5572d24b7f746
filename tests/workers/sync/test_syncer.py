"""The sync as the rest of the program knows it."""

import subprocess
import sys

from tests.integration.lab import becomes, eventually
from tests.ports import free_port
from tests.workers.sync.instance import Instance, config, running


def test_nothing_is_imported_where_nothing_is_configured():
    code = (
        "import sys; import dnstap_bgp.workers.sync.syncer; "
        "print([name for name in ('asyncio', 'aiohttp', 'redis') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_it_can_be_switched_off_and_on_again():
    one, two = free_port(), free_port()
    here, there = Instance(config(one, two)), Instance(config(two, one))
    with running(here, there):
        eventually(lambda: here.peer().state == "following", 5, "they sync")
        here.syncer.configure(None)
        assert here.syncer.status() == []
        assert here.syncer.addresses() == frozenset()
        there.see("a.example", "11.0.0.1")
        here.syncer.configure(here.config)
        becomes(here.routes, {"11.0.0.1"}, 10, "what came meanwhile is loaded")
        assert here.syncer.addresses() == {bytes([127, 0, 0, 1])}
        eventually(lambda: here.peer().state == there.peer().state == "following", 10, "both follow again")
