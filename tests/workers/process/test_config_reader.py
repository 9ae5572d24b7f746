"""A child reads the configuration: the same values and the same complaints, and no pydantic where they are used."""

import subprocess
import sys
from pathlib import Path

import pytest

from dnstap_bgp import config
from dnstap_bgp.errors import ConfigError
from dnstap_bgp.workers.process import config_reader

TEXT = """
domains = ["a.txt", "https://lists.example/b.txt"]
cache = "state"
ttl = "dns"
ipv6 = true
[dnstap]
listen = ["/tmp/tap.sock", "192.0.2.9:6000"]
messages = ["client_response", "resolver_response"]
allow = "192.0.2.0/24"
identities = ["one"]
[guard]
deny = ["203.0.113.0/24"]
when_full = "refuse"
[bgp]
as = 65001
router_id = "192.0.2.1"
next_hop = "192.0.2.1"
communities = ["65001:100"]
peers = ["192.0.2.2:1179", { address = "router.example", as = 65002, password = "secret" }]
[[list]]
name = "work"
sources = "work.txt"
ttl = "1h"
communities = ["65001:200"]
prefixes = ["198.51.100.0/24"]
"""

FACTS = """[
    found.policies(), found.list_sources(), found.caps(), found.protected(), found.prefixes(), found.spaces(),
    [one.name for one in found.all_lists], found.dnstap.open_endpoints, found.dnstap.listen,
    sorted(found.dnstap.messages),
    found.next_hop_ipv6, found.cache, found.runtime_dir, found.pidfile, found.path, found.warnings,
    found.restart_keys(found.keeping(found)), found.keeping(found) == found, found.dnstap == found.guard,
]"""

USER = f"""
import sys
from pathlib import Path
from dnstap_bgp import config
config.values_only = True
import dnstap_bgp.plugin
from dnstap_bgp.workers.process.config_reader import load
found = load(Path(sys.argv[1]))
print({FACTS})
print([name for name in ("pydantic", "pydantic_core", "aiohttp") if name in sys.modules])
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "dnstap-bgp.toml"
    path.write_text(TEXT)
    return path


def test_where_values_are_used_they_say_the_same_without_pydantic(file: Path):
    command = [sys.executable, "-c", USER, str(file)]
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    facts, imported = output.splitlines()
    assert facts == repr(eval(FACTS, {"found": config.load(file), "sorted": sorted}))  # noqa: S307 - written above
    assert imported == "[]"


def test_what_comes_back_is_whole(file: Path):
    found, expected = config_reader.load(file), config.load(file)
    assert found == expected
    assert found.bgp.neighbors[1].password == "secret"  # noqa: S105 - a test's
    assert found.keeping(expected).restart_keys(expected) == []


def test_every_problem_comes_back(file: Path):
    file.write_text(TEXT.replace('"1h"', '"soon"').replace("as = 65001", "as = -1").replace("next_hop", "nexthopp"))
    with pytest.raises(ConfigError) as here:
        config.load(file)
    with pytest.raises(ConfigError) as there:
        config_reader.load(file)
    assert len(here.value.problems) >= 3
    assert there.value.problems == here.value.problems


def test_a_child_that_dies_is_a_problem_of_the_file(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ConfigError, match=r"dnstap-bgp.toml: can't be read by a child process: .*exit status 1"):
        config_reader.load(file)
