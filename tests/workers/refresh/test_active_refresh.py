"""Active refresh as the rest of the program knows it: on with a list, off without, nothing paid for where it is off."""

import subprocess
import sys
import threading
from pathlib import Path

from dnstap_bgp.config import Config, parse
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.lists.rules import Rule, RuleKind, RuleSet
from dnstap_bgp.workers.process.loop import Loop
from dnstap_bgp.workers.refresh.active_refresh import ActiveRefresh
from dnstap_bgp.workers.routes.keeper import Keeper
from tests.core.routes.tables import POLICY, capped
from tests.integration.lab import eventually
from tests.workers.refresh.name_server import NameServer

TEXT = """\
dry_run = {dry_run}
runtime_dir = "/run/x"
[dnstap]
listen = "/run/t.sock"
[bgp]
next_hop = "192.0.2.1"
[refresh]
resolver = "{resolver}"
[[list]]
name = "default"
sources = "a.txt"
refresh = {refresh}
"""


def config(resolver: str = "127.0.0.1", *, refresh: bool = True, dry_run: bool = False) -> Config:
    text = TEXT.format(resolver=resolver, refresh=str(refresh).lower(), dry_run=str(dry_run).lower())
    return parse(text.encode(), Path("/etc/d.toml"))


def test_nothing_is_imported_where_nothing_is_refreshed():
    code = (
        "import sys; import dnstap_bgp.workers.refresh.active_refresh; "
        "print([name for name in ('asyncio', 'dns.asyncquery', 'dns.message') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_reload_switches_it_on_and_off_and_a_dry_run_asks_nobody():
    crashed = threading.Event()
    loop = Loop(lambda *_: crashed.set())
    rules = RuleSet.build([("default", [Rule(b"a.example", RuleKind.EXACT)])])
    made = ActiveRefresh(loop, Keeper(capped(POLICY), Views(), rules))
    with NameServer() as server, NameServer() as other:
        for off in (config(server.at, refresh=False), config(server.at, dry_run=True)):
            assert made.names_for(off) is None
            made.configure(off)
            assert made.status() is None
        noting = made.names_for(config(server.at))
        assert noting is not None
        made.configure(config(server.at))
        eventually(lambda: server.names() == {"a.example"}, 10, "asked")
        assert made.names_for(config(server.at)) is noting, "those who read answers keep what they have"
        made.configure(config(other.at))
        made._keeper.rules = RuleSet.build([("default", [Rule(b"b.example", RuleKind.EXACT)])])
        eventually(lambda: "b.example" in other.names(), 10, "the other resolver is asked")
        status = made.status()
        assert status is not None
        assert status.resolver == other.at
        assert made.names_for(config(refresh=False)) is None
        made.configure(config(refresh=False))
        assert made.status() is None
        made.configure(config(server.at))
        eventually(lambda: "b.example" in server.names(), 10, "on again")
    loop.shutdown()
    loop.join(5)
    assert not crashed.is_set()
