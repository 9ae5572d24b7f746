"""The program under test as an operator runs it: `dnstap-bgp up --config FILE`, from this checkout."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.integration.lab import HOST_V4, HOST_V6, Daemon, Lab, eventually
from tests.integration.routers import Session

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "dnstap_bgp")
CLIENT = (sys.executable, "-m", "dnstap_bgp.commands.exabgpcli")
ENVIRONMENT = {"PYTHONPATH": str(ROOT / "plugin")}

COMMAND_S = 150.0
"""Longer than any command waits for the plugin: then it says itself what it has waited for."""


class Speaker:
    """A configuration file, its list, and the `up` that runs with them.

    `config` is the file as nested dicts: a test changes it and calls `write`.
    """

    def __init__(
        self, lab: Lab, sessions: Iterable[Session] = (), domains: Iterable[str] = ("example",), **config: Any
    ) -> None:
        self.folder = lab.folder / "speaker"
        self.folder.mkdir()
        self.tap = self.folder / "tap.sock"
        self.list = self.folder / "domains.txt"
        self.path = self.folder / "dnstap-bgp.toml"
        self.runtime_dir = self.folder / "run"
        self.state = self.folder / "state.msgpack"
        self._lab = lab
        self._daemon: Daemon | None = None
        sessions = list(sessions)
        self.config: dict[str, Any] = {
            "domains": str(self.list),
            "cache": str(self.state),
            "ttl": "1h",
            "runtime_dir": str(self.runtime_dir),
            **{key: value for key, value in config.items() if not isinstance(value, dict)},
            "dnstap": {"listen": str(self.tap), **config.get("dnstap", {})},
            "bgp": {
                "as": sessions[0].speaker_as if sessions else 65001,
                "router_id": HOST_V4,
                "next_hop": HOST_V4,
                "next_hop_ipv6": HOST_V6,
                "peers": [peer(session) for session in sessions],
                **config.get("bgp", {}),
            },
            "guard": {"max_routes_per_name": 0, "max_routes": 1_000_000, **config.get("guard", {})},
            **{
                key: value
                for key, value in config.items()
                if isinstance(value, dict) and key not in ("dnstap", "bgp", "guard")
            },
        }
        self.write(domains)

    def write(self, domains: Iterable[str] | None = None) -> None:
        """Write the configuration file, and the list if one is given."""
        self.path.write_text(toml(self.config))
        if domains is not None:
            self.list.write_text("".join(f"{line}\n" for line in domains))

    def start(self, *, inside: bool = True) -> None:
        """Run `up` and wait until its tap listens; `inside` the host namespace, or left to find it itself."""
        argv = [*COMMAND, "up", "--config", str(self.path)]
        if inside:
            self._daemon = self._lab.start("speaker", argv, self._lab.host, ENVIRONMENT)
        else:
            self._daemon = self._lab.start_outside("speaker", argv, ENVIRONMENT)
        self.await_tap()

    def await_tap(self) -> None:
        def listening() -> bool:
            assert self.daemon.alive(), self.daemon.text()[-3000:]
            return self.tap.exists()

        eventually(listening, 60, "the plugin listens")

    @property
    def daemon(self) -> Daemon:
        assert self._daemon, "the speaker was not started"
        return self._daemon

    def stop(self) -> int:
        return self.daemon.stop(15)

    def hup(self) -> None:
        self.daemon.signal(signal.SIGHUP)

    def plugin_pid(self) -> int:
        """The plugin's own process, by its pidfile; an AssertionError while one plugin gives way to the next."""
        pidfile = self.runtime_dir / "dnstap-bgp.pid"
        text = pidfile.read_text() if pidfile.exists() else ""
        assert text, "the pidfile is empty, or not there"
        return int(text)

    def host_pid(self) -> int:
        """ExaBGP's own process: the child of `up` that reads our exabgp.conf."""
        [pid] = [pid for pid in children(self.daemon.pid) if b"exabgp.conf" in command_line(pid)]
        return pid

    def run(self, *words: str, status: int = 0) -> str:
        """Run another of the program's commands with this configuration; returns what it printed, to either stream."""
        return command(*words, "--config", str(self.path), status=status)

    def adj_rib_out(self) -> dict[str, set[str]]:
        """What `exabgpcli show adj-rib out` tells: the prefixes of each neighbor."""
        found: dict[str, set[str]] = {}
        for line in self.client("show", "adj-rib", "out").splitlines():
            if match := re.match(r"(\S+) ipv[46] unicast (\S+) next-hop ", line):
                found.setdefault(match[1], set()).add(match[2])
        return found

    def client(self, *words: str) -> str:
        """Run `exabgpcli` with these words."""
        return _finish([*CLIENT, *words], {"DNSTAP_BGP_RUNTIME_DIR": str(self.runtime_dir)}, 0)


def command(*words: str, status: int = 0) -> str:
    """Run one of the program's commands to its end."""
    return _finish([*COMMAND, *words], {}, status)


def _finish(argv: Sequence[str], more: Mapping[str, str], status: int) -> str:
    done = subprocess.run(
        argv,
        env={**os.environ, **ENVIRONMENT, **more},
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
        cwd="/",
    )
    assert done.returncode == status, f"{argv}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def peer(session: Session) -> str | dict[str, Any]:
    """The session as an entry of `bgp.peers`: text where text can say it."""
    table: dict[str, Any] = {"address": session.local}
    if session.router_as != session.speaker_as:
        table["as"] = session.router_as
    if session.password:
        table["password"] = session.password
    if session.ttl_security:
        table["ttl_security"] = True
    return table if len(table) > 1 else session.local


def toml(table: Mapping[str, Any]) -> str:
    """Write nested dicts as TOML: enough for this program's configuration."""
    plain = [f"{key} = {_value(value)}\n" for key, value in table.items() if not isinstance(value, dict)]
    tables = [f"[{key}]\n{toml(value)}" for key, value in table.items() if isinstance(value, dict)]
    return "".join(plain + tables)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)  # strings, numbers and booleans are written alike


def children(parent: int) -> list[int]:
    """The processes that `parent` has started and that still are its own."""
    return [
        int(pid) for task in Path(f"/proc/{parent}/task").iterdir() for pid in (task / "children").read_text().split()
    ]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""
