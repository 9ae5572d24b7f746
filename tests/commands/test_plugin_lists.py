"""The running plugin and its lists: URLs come into force by themselves, what is held back by `reload --force`."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dnstap_bgp.workers.process import instance
from tests.commands.running import cli, environment
from tests.integration.lab import eventually
from tests.integration.tap_sender import send, sightings
from tests.ports import free_port
from tests.workers.lists import list_server
from tests.workers.lists.list_server import ListServer, content

pytestmark = pytest.mark.timeout(300)  # dozens of commands, each a process of its own

CONFIG = """
runtime_dir = "run"
cache = "state"
[dnstap]
listen = "./tap.sock"
[bgp]
next_hop = "192.0.2.1"
[[list]]
name = "files"
sources = "l.txt"
[[list]]
name = "web"
sources = "{url}"
interval = "1s"
"""


@pytest.fixture
def server() -> Iterator[ListServer]:
    with list_server.serving() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, server: ListServer) -> Path:
    (tmp_path / "d.toml").write_text(CONFIG.format(url=server.url("/l")))
    (tmp_path / "l.txt").write_text("foo.com\n")
    return tmp_path


@contextmanager
def plugin(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "dnstap_bgp", "plugin", "--config", str(folder / "d.toml")]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log
        )
    with process:
        try:
            eventually(lambda: instance.holder(folder / "run" / "dnstap-bgp.pid") == process.pid, 20, "the plugin")
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, (folder / "log").read_text()
    assert "Traceback" not in (folder / "log").read_text()


def lists(folder: Path) -> dict[str, Any]:
    """List name -> its status."""
    shown = cli("lists", "--json", "--config", str(folder / "d.toml"))
    return {one["name"]: one for one in json.loads(shown.stdout)["lists"]} if shown.returncode == 0 else {}


def becomes(folder: Path, rules: int, state: str) -> None:
    def there() -> bool:
        web = lists(folder).get("web")
        return web is not None and (web["rules"], web["sources"][0]["state"]) == (rules, state)

    try:
        eventually(there, 20, f"{rules} rules, {state}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{lists(folder)}\n{(folder / 'log').read_text()}") from error


def reload(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return cli("reload", *options, "--config", str(folder / "d.toml"))


def diff(folder: Path, *options: str) -> str:
    done = cli("diff", *options, "--config", str(folder / "d.toml"))
    assert done.returncode == 0, done.stderr
    return done.stdout


def numbered(count: int) -> str:
    return "".join(f"d{n}.example\n" for n in range(count))


def test_a_url_in_the_life_of_a_plugin(folder: Path, server: ListServer):
    server.acts["/l"] = list_server.status(503)
    with plugin(folder):
        becomes(folder, 0, "pending")
        assert lists(folder)["files"]["rules"] == 1
        server.acts["/l"] = content(numbered(100))
        assert reload(folder).returncode == 0  # looks at once
        becomes(folder, 100, "ok")
        server.acts["/l"] = content(numbered(120))
        becomes(folder, 120, "ok")  # by itself
        server.acts["/l"] = content(numbered(10))
        becomes(folder, 120, "held")
        assert reload(folder).returncode == 0
        becomes(folder, 120, "held")
        assert "list web: no change" in diff(folder)
        assert "list web: rules: 0 added, 110 withdrawn" in diff(folder, "--force")
        becomes(folder, 120, "held")
        forced = reload(folder, "--force")
        assert "what was held back is in use" in forced.stdout
        becomes(folder, 10, "ok")
        server.acts["/l"] = list_server.status(404)
        becomes(folder, 10, "stale")
    with plugin(folder):  # the server is down at its start
        becomes(folder, 10, "stale")


def test_a_start_while_nobody_listens_at_the_url(tmp_path: Path):
    port = free_port()
    (tmp_path / "d.toml").write_text(CONFIG.format(url=f"http://127.0.0.1:{port}/l"))
    (tmp_path / "l.txt").write_text("foo.com\n")
    with list_server.serving(port) as server:
        server.acts["/l"] = content(numbered(50))
        with plugin(tmp_path):
            becomes(tmp_path, 50, "ok")
    with plugin(tmp_path):
        becomes(tmp_path, 50, "stale")
        shown = cli("lists", "--config", str(tmp_path / "d.toml")).stdout
        assert "stale: the last copy is used: " in shown
        assert "50 rules, plain, fetched " in shown
        with list_server.serving(port) as server:
            server.acts["/l"] = content(numbered(60))
            assert reload(tmp_path).returncode == 0
            becomes(tmp_path, 60, "ok")


def test_lists_that_are_refused_say_so(folder: Path, server: ListServer):
    server.acts["/l"] = content("bar.com\n")
    with plugin(folder):
        becomes(folder, 1, "ok")
        (folder / "l.txt").write_text("")
        assert reload(folder).returncode == 1
        shown = cli("lists", "--config", str(folder / "d.toml")).stdout
        assert (
            f"    held: list files had 1 rule and is empty now ({folder}/l.txt); held back: what it had stays" in shown
        )
        assert "`dnstap-bgp reload --force` or `--force files` takes it\n" in shown
        assert "files: 1 rule\n" in shown
        server.acts["/l"] = content("bar.com\nbaz.com\n")
        assert reload(folder).returncode == 1, "it is still held"
        becomes(folder, 2, "ok")
        assert reload(folder, "--force", "web").returncode == 1
        assert reload(folder, "--force", "files").returncode == 0
        assert "files: 0 rules\n" in cli("lists", "--config", str(folder / "d.toml")).stdout


def routes(folder: Path) -> set[str]:
    """The addresses that are routed; nothing, where nobody answers."""
    shown = cli("routes", "--json", "--config", str(folder / "d.toml"))
    return {json.loads(line)["prefix"] for line in shown.stdout.splitlines()} if shown.returncode == 0 else set()


@pytest.mark.parametrize("broken", ["404: Not Found\n", "<html>\nSorry\n</html>\n", "Forbidden\n"])
def test_a_file_that_is_overwritten_by_an_error_page_withdraws_nothing(folder: Path, server: ListServer, broken: str):
    server.acts["/l"] = content("bar.com\n")
    (folder / "l.txt").write_text(numbered(500))
    addresses = {f"11.0.0.{number}" for number in range(1, 101)}
    with plugin(folder):
        eventually((folder / "tap.sock").exists, 60, "the tap")
        send(folder / "tap.sock", sightings("d7.example", sorted(addresses)))
        eventually(lambda: routes(folder) == addresses, 60, "the routes")
        (folder / "l.txt").write_text(broken)
        done = reload(folder)
        assert done.returncode == 1
        assert "list files had 500 rules and" in done.stdout + done.stderr
        assert "held back" in done.stdout + done.stderr
        assert lists(folder)["files"]["sources"][0]["state"] == "held"
        assert routes(folder) == addresses
    with plugin(folder):  # what was in force outlives a restart
        eventually(lambda: routes(folder) == addresses, 60, "the routes, again")
        assert lists(folder)["files"]["rules"] == 500
    shutil.rmtree(folder / "state.lists")
    with plugin(folder):  # nothing is known of the list any more, so it is unknown, not empty
        eventually(lambda: routes(folder) == addresses, 60, "the routes, without a compiled copy")
        done = reload(folder)
        assert routes(folder) == addresses, done.stdout + done.stderr
        (folder / "l.txt").write_text(numbered(5))
        assert reload(folder).returncode == 0
        eventually(lambda: routes(folder) == set(), 60, "no route")
