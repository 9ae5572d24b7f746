"""Instances for tests: a real `up` with a real ExaBGP, and a stub or the real plugin, in a folder of the test."""

import os
import signal
import site
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dnstap_bgp.config.settings import PIDFILE
from dnstap_bgp.workers.process import instance, runtime
from tests.integration.lab import eventually

STUB = Path(__file__).parent / "stub_plugin.py"
PACKAGE_FOLDER = Path(runtime.__file__).parents[3]

CONFIG = """\
domains = "domains.txt"
runtime_dir = "run"
{top}
[dnstap]
listen = "./dnstap.sock"
[bgp]
as = 65001
router_id = "192.0.2.253"
source_ip = "127.0.0.1"
next_hop = "192.0.2.254"
next_hop_ipv6 = "2001:db8::fe"
peers = [{{ address = "127.0.0.2", port = {port}, as = {peer_as} }}]
{more}
"""


def write_config(folder: Path, *, top: str = "", port: int = 1, peer_as: int = 65002, more: str = "") -> Path:
    """Write a configuration; nothing listens on the neighbor's default port."""
    folder.joinpath("domains.txt").write_text("example.com\n")
    path = folder / "dnstap-bgp.toml"
    path.write_text(CONFIG.format(top=top, port=port, peer_as=peer_as, more=more))
    return path


def environment(**more: str) -> dict[str, str]:
    """The environment for our programs, wherever the package is."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE_FOLDER), *site.getsitepackages()]), **more}


def python_for_others() -> str | None:
    """An interpreter of our version that any user may run, unlike one in root's home; None where there is none."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        with suppress(OSError):
            command = [candidate, "-c", "import dnstap_bgp, exabgp"]
            if (
                subprocess.run(
                    command, env=environment(), user="nobody", check=False, stderr=subprocess.DEVNULL
                ).returncode
                == 0
            ):
                return candidate
    return None


class Instance:
    """An `up` and what can be seen of it."""

    def __init__(self, process: subprocess.Popen[bytes], config: Path) -> None:
        self.process = process
        self.config = config
        self.folder = config.parent
        self.runtime_dir = self.folder / "run"

    @property
    def plugin_pid(self) -> int | None:
        return instance.holder(self.runtime_dir / PIDFILE)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def noted(self) -> str:
        return (self.folder / "noted").read_text() if (self.folder / "noted").exists() else ""

    def until(self, check: Callable[[], Any], what: str) -> Any:
        try:
            return eventually(check, 60, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}\n{self.noted}") from error

    def members(self) -> list[int]:
        """The pids of all processes of this instance but `up`: by their environment, as they may be orphans."""
        mark = f"RUNTIME_DIRECTORY={self.runtime_dir}".encode()
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with suppress(OSError):
                    if mark in (folder / "environ").read_bytes().split(b"\0"):
                        found.append(int(folder.name))
        return found

    def end(self) -> int:
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def running(config: Path, *, python: str = sys.executable, **env: str) -> Iterator[Instance]:
    """Run `up` with the stub until that holds its pidfile (or `up` has ended).

    HOST_FIRST_S is for how long a reload waits for ExaBGP's part.
    """
    with (config.parent / "log").open("wb") as log:
        process = subprocess.Popen(
            [python, str(STUB), "up", str(config)], env=environment(**env), stdout=log, stderr=log
        )
    found = Instance(process, config)
    try:
        found.until(lambda: found.plugin_pid or process.poll() is not None, "the plugin")
        yield found
    finally:
        if process.poll() is None:
            found.end()


def cli(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `dnstap-bgp` with these arguments."""
    command = [sys.executable, "-m", "dnstap_bgp", *arguments]
    return subprocess.run(command, env=environment(**env), capture_output=True, text=True, timeout=100, check=False)


@contextmanager
def up(config: Path, **env: str) -> Iterator[Instance]:
    """Run the real `up` with the real plugin until that holds its pidfile; its end has to be one in order."""
    with (config.parent / "log").open("wb") as log:
        command = [sys.executable, "-m", "dnstap_bgp", "up", "--config", str(config)]
        process = subprocess.Popen(command, env=environment(**env), stdout=log, stderr=log)
    found = Instance(process, config)
    try:
        found.until(lambda: found.plugin_pid or process.poll() is not None, "the plugin")
        yield found
    finally:
        assert found.end() == 0, found.log
    assert "Traceback" not in found.log, found.log
