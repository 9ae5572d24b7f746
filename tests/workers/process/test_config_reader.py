"""A child reads the configuration: the same values and the same complaints, and no pydantic where they are used."""

import pickle
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from dnstap_bgp import config
from dnstap_bgp.config import policies
from dnstap_bgp.errors import ConfigError, PassingError, Problem
from dnstap_bgp.workers.process import config_reader
from tests.commands.running import environment

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
    policies.list_policies(found), found.list_sources(), policies.caps(found), policies.protected(found),
    policies.static_prefixes(found), policies.spaces(found),
    [one.name for one in found.all_lists], found.dnstap.open_endpoints, found.dnstap.listen,
    sorted(found.dnstap.messages),
    found.next_hop_ipv6, found.cache, found.runtime_dir, found.pidfile, found.path, found.warnings,
    found.restart_keys(found.keeping(found)), found.keeping(found) == found, found.dnstap == found.guard,
]"""

USER = f"""
import sys
from pathlib import Path
import dnstap_bgp.plugin
from dnstap_bgp.config import policies
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
    assert facts == repr(eval(FACTS, {"found": config.load(file), "sorted": sorted, "policies": policies}))  # noqa: S307 - written above
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
    with pytest.raises(
        ConfigError, match=r"dnstap-bgp.toml: can't be read by a child process: .*exit status 1"
    ) as error:
        config_reader.load(file)
    assert not isinstance(error.value, PassingError)


def test_a_program_that_is_not_there_is_no_passing_reason(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", str(file.with_name("python")))
    with pytest.raises(ConfigError) as error:
        config_reader.load(file)
    assert not isinstance(error.value, PassingError)


@pytest.mark.parametrize("end", ["kill -KILL $$", "exit 75"])  # the system's, and our own for a MemoryError
def test_a_child_that_was_killed_or_had_no_memory_may_do_better_later(file: Path, monkeypatch, end: str):
    program = file.with_name("python")
    program.write_text(f"#!/bin/sh\n{end}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(PassingError):
        config_reader.load(file)


def test_so_may_one_that_was_given_too_little_time(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(config_reader, "TIME_LIMIT_S", 0.001)
    with pytest.raises(PassingError, match="timed out"):
        config_reader.load(file)


def test_so_may_one_for_which_there_is_no_descriptor(file: Path):
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, most))
    try:
        with pytest.raises(PassingError, match="Too many open files"):
            config_reader.load(file)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))


@pytest.mark.parametrize(
    "said", ["", "print(1)", "import pickle, sys; sys.stdout.buffer.write(pickle.dumps(print)[:-3])"]
)
def test_a_child_that_hands_over_something_else_is_a_problem_of_the_file(file, said, monkeypatch, tmp_path):
    """After an upgrade the child is of another version than we are."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{said}'\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(ConfigError, match="another version"):
        config_reader.load(file)


@pytest.mark.parametrize("version", [[], ["0.0.1"]])
def test_a_plugin_of_another_version_is_told_to_be_restarted(file: Path, version: list[str]):
    command = [sys.executable, "-m", config_reader.__name__, str(file), *version]
    done = subprocess.run(command, env=environment(), capture_output=True, check=True)
    [problem] = pickle.loads(done.stdout)  # noqa: S301 - what our own code has just written
    assert problem == Problem(str(file), problem.what)
    assert "restart the service" in problem.what
