"""The user and the network namespace that `up` enters."""

import os
import pwd
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.commands.running import python_for_others, running, write_config
from tests.commands.test_exabgpcli import exabgpcli

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@needs_root
def test_it_drops_to_the_named_user_before_exabgp_starts(open_folder):
    config = write_config(open_folder, more='[process]\nuser = "nobody"')
    open_folder.chmod(0o777)  # where the stub writes its notes
    nobody = pwd.getpwnam("nobody").pw_uid
    python = python_for_others() or pytest.skip("no interpreter that `nobody` may run")
    with running(config, python=python) as up:
        up.until(lambda: "done" in up.noted, "ExaBGP's answer to the plugin")
        assert f"uid {nobody} " in up.noted
        assert all(Path(f"/proc/{pid}").stat().st_uid == nobody for pid in [up.process.pid, *up.members()])
        assert up.runtime_dir.stat().st_uid == nobody
        assert "203.0.113.7/32" in exabgpcli(up.runtime_dir, "show", "adj-rib", "out").stdout, "root may use the client"


@needs_root
def test_it_says_so_when_the_named_user_cannot_read_the_configuration(open_folder):
    config = write_config(open_folder, more='[process]\nuser = "nobody"')
    config.chmod(0o600)
    with running(config) as up:
        assert up.process.wait(60) == 1
        assert f"'nobody' must be able to read {config}" in up.log


@pytest.mark.netns
def test_it_enters_the_named_network_namespace(tmp_path):
    name = f"dtap-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        with running(write_config(tmp_path, more=f'[process]\nnetns = "{name}"')) as up:
            inode = Path("/run/netns", name).stat().st_ino
            up.until(lambda: f"netns net:[{inode}]" in up.noted, "the plugin's word")
            up.end()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_a_namespace_that_is_not_there_is_named(tmp_path):
    with running(write_config(tmp_path, more='[process]\nnetns = "nowhere-9"')) as up:
        assert up.process.wait(60) == 1
        assert "/run/netns/nowhere-9" in up.log


def test_a_user_that_is_not_there_is_named(tmp_path):
    with running(write_config(tmp_path, more='[process]\nuser = "nobody-knows-9"')) as up:
        assert up.process.wait(60) == 1
        assert "there is no user 'nobody-knows-9'" in up.log
