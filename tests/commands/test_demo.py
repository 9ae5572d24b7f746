"""`dnstap-bgp demo`, whole and interrupted: what it shows, and that nothing is left behind."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from dnstap_bgp.commands import demo, host, replay
from dnstap_bgp.errors import CommandError
from tests.commands.running import cli, environment
from tests.integration.lab import eventually

SHOWN = {
    "192.0.2.10/32": "192.0.2.254",
    "198.51.100.20/32": "192.0.2.254",
    "198.51.100.21/32": "192.0.2.254",
    "198.51.100.80/32": "192.0.2.254",
    "198.51.100.90/32": "192.0.2.254",
    "203.0.113.30/32": "192.0.2.254",
    "203.0.113.44/32": "192.0.2.254",
    "203.0.113.50/32": "192.0.2.254",
    "2001:db8:10::10/128": "2001:db8::fe",
    "2001:db8:20::20/128": "2001:db8::fe",
    "2001:db8:44::44/128": "2001:db8::fe",
    "2001:db8:50::50/128": "2001:db8::fe",
}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """The package for the demo's children; and pytest's own signal handlers back afterwards."""
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def processes(folder: Path) -> list[int]:
    """All processes of a demo whose temporary folder is in `folder`, however they were started."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with suppress(OSError):
                if (
                    str(folder).encode() + b"/dnstap"
                    in (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
                ):
                    found.append(int(process.name))
    return found


def test_it_shows_every_route_with_its_names_and_leaves_nothing(open_folder):
    done = cli("demo", TMPDIR=str(open_folder))
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert {row[0]: row[1] for row in rows if row and "/" in row[0] and row[0][0].isdigit()} == SHOWN
    assert done.stdout.count("64512:53 no-export") == len(SHOWN) == demo.ROUTES
    assert "www.example.com" in done.stdout
    assert "live.stream.example.org" in done.stdout
    assert list(open_folder.iterdir()) == []
    assert processes(open_folder) == []


@pytest.mark.parametrize(
    ("last_line", "signum"),
    [
        ("starting the router", signal.SIGINT),
        ("starting ExaBGP", signal.SIGTERM),
        ("the session is up", signal.SIGINT),
    ],
)
def test_interrupted_anywhere_it_leaves_nothing(open_folder, last_line, signum):
    command = [sys.executable, "-m", "dnstap_bgp", "demo"]
    env = environment(TMPDIR=str(open_folder), PYTHONUNBUFFERED="1")
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(last_line):
                break
        process.send_signal(signum)
        rest, _ = process.communicate(timeout=40)
    assert process.returncode == demo.INTERRUPTED
    assert "Interrupted. Nothing is left behind." in rest
    assert list(open_folder.iterdir()) == []
    assert processes(open_folder) == []


def test_no_process_outlives_a_killed_demo(open_folder):
    command = [sys.executable, "-m", "dnstap_bgp", "demo"]
    env = environment(TMPDIR=str(open_folder), PYTHONUNBUFFERED="1")
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("the session is up"):
                break
        process.kill()
    eventually(lambda: not processes(open_folder), 20, "the end of both ExaBGP")


def test_a_side_that_ends_is_told_with_its_last_words(open_folder, monkeypatch, capsys):
    broken = open_folder / "demo.toml"
    broken.write_text("nonsense = 1\n")
    real = demo.data_file
    monkeypatch.setattr(demo, "data_file", lambda name: broken if name == "demo.toml" else real(name))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/" * 100)  # too long for a unix socket in it
    make, made = tempfile.mkdtemp, []

    def mkdtemp(**given):
        made.append(make(**given))
        return made[0]

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    assert demo.run() == 1
    told = capsys.readouterr().err
    assert "The demo failed: up has ended (status 1)." in told
    assert "nonsense" in told
    assert len(made[0]) < 60
    assert not Path(made[0]).exists()
    assert processes(Path(made[0])) == []


def test_routes_that_do_not_come_have_a_deadline(open_folder, monkeypatch, capsys):
    monkeypatch.setenv("TMPDIR", str(open_folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(demo, "ROUTES_TIMEOUT_S", 1.0)
    monkeypatch.setattr(replay, "run", lambda *_: None)
    assert demo.run() == 1
    assert "no 12 routes at the router within 1 s." in capsys.readouterr().err
    assert list(open_folder.iterdir()) == []
    assert processes(open_folder) == []


def test_without_a_fitting_exabgp_nothing_starts(monkeypatch, capsys):
    def refuse():
        raise CommandError("ExaBGP 4.2.25 is installed")

    monkeypatch.setattr(host, "installed_version", refuse)
    assert demo.run() == 1
    assert "ExaBGP 4.2.25 is installed" in capsys.readouterr().err
