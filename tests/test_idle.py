"""What an idle plugin has not imported: a router's memory is small, and each of these takes 0.3 to 5 MB for good.

The real process, with a list and a state file and nothing else: no `[hold]`, no `[http]`, no sync, no URL, no TLS.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.bench.plugin_process import Host
from tests.integration.lab import eventually
from tests.integration.speaker import toml

PACKAGE = Path(__file__).parents[1] / "plugin" / "dnstap_bgp"

MUST_STAY_OUT = {
    "hashlib, hmac, secrets and ssl: OpenSSL": {"_hashlib", "_ssl"},
    "settings are read by a child": {"pydantic", "pydantic_core", "tomllib", "dnstap_bgp.config.model"},
    "lists are compiled by a child": {
        "dnstap_bgp.core.lists.formats",
        "dnstap_bgp.workers.lists.compile_child",
        "dnstap_bgp.workers.lists.contents",
        "publicsuffixlist",
        "yaml",
        "jmespath",
    },
    "no keyword and no expression": {"ahocorasick", "re2"},
    "no URL": {"aiohttp", "dnstap_bgp.workers.lists.fetch", "dnstap_bgp.workers.lists.refresher"},
    "no `[hold]`": {"dnstap_bgp.workers.hold.service", "dnstap_bgp.core.hold.hook_answers"},
    "no sync": {"dnstap_bgp.workers.sync.hub", "dnstap_bgp.core.sync.delta", "redis", "websockets"},
    "nobody has asked": {"asyncio", "aiohttp", "prometheus_client", "dnstap_bgp.workers.web.http_app"},
    "no command": {"exabgp", "tomli_w", "click", "rich", "dnstap_bgp.cli", "dnstap_bgp.commands"},
}

SITE_CUSTOMIZE = """
import os, sys

def end(code, leave=os._exit):
    with open(f"{out}/{{os.getpid()}}", "w") as file:
        file.write("\\n".join(sys.modules))
    leave(code)

os._exit = end  # the plugin's last word
"""


def test_an_idle_plugin_has_not_imported_what_it_has_no_use_for(tmp_path: Path):
    loaded = _modules_of_an_idle_plugin(tmp_path)
    assert {"dnstap_bgp.app", "dnstap_bgp.workers.tap.tap", "google.protobuf"} <= loaded, "no plugin has run"
    assert {why: names & loaded for why, names in MUST_STAY_OUT.items() if names & loaded} == {}


def _modules_of_an_idle_plugin(folder: Path) -> set[str]:
    """Run a plugin until it listens; tell the modules that it has imported at its end."""
    out, config, domains, tap = (folder / name for name in ("out", "dnstap-bgp.toml", "domains.txt", "tap.sock"))
    out.mkdir()
    (folder / "sitecustomize.py").write_text(SITE_CUSTOMIZE.format(out=out))
    domains.write_text("example.com\nexample.org\n")
    values = {"domains": str(domains), "cache": str(folder / "state"), "runtime_dir": str(folder / "run")}
    config.write_text(toml({**values, "dnstap": {"listen": str(tap)}, "bgp": {"next_hop": "10.99.0.1"}}))
    host = Host()
    command = [sys.executable, "-P", "-m", "dnstap_bgp", "plugin", "--config", str(config)]
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{PACKAGE.parent}"}
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdin=host.stdin, stdout=host.stdout, stderr=log) as process,
    ):
        try:
            eventually(tap.exists, 30, "the plugin listens")
        finally:
            process.terminate()
    host.close()
    return set((out / str(process.pid)).read_text().split())
