"""What we give others to run ExaBGP with is read by ExaBGP itself."""

import shutil
from pathlib import Path

import pytest

from dnstap_bgp.commands import exabgp_conf, host
from dnstap_bgp.errors import ConfigError, HostError
from tests.commands.running import running, write_config

EXAMPLE = Path(__file__).parents[2] / "exabgp.conf.example"


def test_exabgp_reads_what_the_command_prints(tmp_path):
    file = tmp_path / "exabgp.conf"
    file.write_text(exabgp_conf.run(write_config(tmp_path)))
    host.validate(file, host.environment(tmp_path))


def test_odd_paths_reach_the_plugin_whole(tmp_path):
    folder = tmp_path / "a folder (with) [odd] {signs}; #"
    folder.mkdir()
    with running(write_config(folder)) as up:
        up.until(lambda: "done" in up.noted, "ExaBGP's answer to the plugin")


def test_a_file_without_sessions_is_no_speakers(tmp_path):
    path = write_config(tmp_path)
    path.write_text(
        "".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith("peers"))
    )
    with pytest.raises(ConfigError, match=r"bgp\.peers"):
        exabgp_conf.run(path)


def test_exabgp_reads_the_example(tmp_path):
    text = EXAMPLE.read_text()
    program = shutil.which("true")
    assert program
    assert text.count(" /usr/bin/dnstap-bgp ") == 1
    file = tmp_path / "exabgp.conf"
    file.write_text(text.replace(" /usr/bin/dnstap-bgp ", f" {program} "))
    host.validate(file, host.environment(tmp_path))
    file.write_text(file.read_text().replace("manual-eor", "manual-eors"))
    with pytest.raises(HostError, match="manual-eors"):
        host.validate(file, host.environment(tmp_path))


@pytest.mark.parametrize(
    "part", ["neighbor-changes", "negotiated", "graceful-restart 120", "manual-eor true", "ipv6 unicast"]
)
def test_the_example_has_what_the_plugin_needs_for_both_neighbors(part):
    lines = [line.partition("#")[0] for line in EXAMPLE.read_text().splitlines()]
    assert sum(part in line for line in lines) == 2
