"""`exabgpcli` against a real ExaBGP that `up` has started."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dnstap_bgp.commands import exabgpcli as command
from tests.commands.running import environment, python_for_others, running, write_config


def exabgpcli(runtime_dir: Path | None, *arguments: str, python=sys.executable, user: str | None = None, **env: str):
    given = {} if runtime_dir is None else {"DNSTAP_BGP_RUNTIME_DIR": str(runtime_dir)}
    return subprocess.run(
        [python, "-m", "dnstap_bgp.commands.exabgpcli", *arguments],
        env=environment(**given, **env),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        user=user,
    )


def test_it_shows_the_routes_and_ends(tmp_path):
    with running(write_config(tmp_path)) as up:
        up.until(lambda: "done" in up.noted, "the route")
        began = time.monotonic()
        shown = exabgpcli(up.runtime_dir, "show", "adj-rib", "out")
        assert shown.stdout == "127.0.0.2 ipv4 unicast 203.0.113.7/32 next-hop 192.0.2.254\n"
        assert (shown.returncode, shown.stderr) == (0, "")
        assert time.monotonic() - began < 30, "it saw the answer's end, it did not wait for more"


def test_it_finds_the_running_instance_by_itself(tmp_path):
    with running(write_config(tmp_path)) as up:
        up.until(lambda: "done" in up.noted, "the route")
        shown = exabgpcli(None, "show", "adj-rib", "out", "extensive", RUNTIME_DIRECTORY=str(up.runtime_dir))
        assert "203.0.113.7/32" in shown.stdout


def test_variables_of_an_operators_own_exabgp_do_not_mislead_it(tmp_path):
    with running(write_config(tmp_path)) as up:
        up.until(lambda: "done" in up.noted, "the route")
        stray = {"exabgp_api_pipename": "other", "exabgp.api.ack": "false"}
        assert "203.0.113.7/32" in exabgpcli(up.runtime_dir, "show", "adj-rib", "out", **stray).stdout


def test_it_says_that_nothing_runs(tmp_path):
    shown = exabgpcli(tmp_path, "show", "adj-rib", "out")
    assert shown.returncode == 1
    assert f"no `dnstap-bgp up` runs in {tmp_path}" in shown.stderr


def test_without_an_instance_of_ours_it_is_exabgps_own_client(tmp_path):
    shown = exabgpcli(None, "--pipename", "nowhere", "show", "neighbor", RUNTIME_DIRECTORY=str(tmp_path))
    assert "could not find ExaBGP's named pipes (nowhere.in and nowhere.out)" in shown.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_another_user_learns_whose_it_is(open_folder):
    python = python_for_others() or pytest.skip("no interpreter that `nobody` may run")
    with running(write_config(open_folder)) as up:
        shown = exabgpcli(up.runtime_dir, "show", "adj-rib", "out", python=python, user="nobody")
        assert shown.returncode == 1
        assert "for its owner (uid 0) and root alone" in shown.stderr


def test_candidates_have_no_doubt_about_a_broken_configuration(tmp_path, monkeypatch):
    broken = tmp_path / "dnstap-bgp.toml"
    broken.write_text("runtime_dir = [")
    monkeypatch.setattr(command, "DEFAULT_PATH", broken)
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/here")
    assert list(command.candidates()) == [Path("/run/here"), Path("/run/dnstap-bgp")]
    broken.write_text('runtime_dir = "mine"')
    assert next(command.candidates()) == tmp_path / "mine"
