"""The plugin's own process, before and besides what it says to ExaBGP: nobody answers it here."""

import ipaddress
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from dnstap_bgp import plugin as plugin_module
from dnstap_bgp.commands.dump import Dump
from dnstap_bgp.core.model import Attributes, Claim
from dnstap_bgp.workers.process import instance, runtime
from dnstap_bgp.workers.process.clocks import process_clock, system_clock
from dnstap_bgp.workers.process.config_reader import load
from dnstap_bgp.workers.state.restore import restore
from dnstap_bgp.workers.state.store import Store
from tests.bench.plugin_process import Host
from tests.commands.running import cli, environment, write_config
from tests.integration.lab import eventually
from tests.integration.tap_sender import send, sightings

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@contextmanager
def plugin(config: Path, program: str | None = None, host: Host | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A plugin with a silent host, and its messages in `log` beside its configuration.

    Args:
        config: The configuration.
        program: What is run in place of the usual way in.
        host: A host that answers.
    """
    stdin, stdout = (subprocess.PIPE, subprocess.DEVNULL) if host is None else (host.stdin, host.stdout)
    way_in = ["-m", "dnstap_bgp", "plugin", "--config"] if program is None else ["-c", program]
    command = [sys.executable, *way_in, str(config)]
    with (
        config.with_name("log").open("wb") as log,
        subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=log, env=environment()) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def log_of(config: Path) -> str:
    return config.with_name("log").read_text()


def test_a_configuration_that_is_mended_comes_into_force_with_hup(tmp_path):
    config = write_config(tmp_path, more="nonsense = 1")
    with plugin(config) as process:
        eventually(lambda: f"kill -HUP {process.pid}" in log_of(config), 20, "the complaint")
        assert "bgp.nonsense" in log_of(config)
        write_config(tmp_path)
        process.send_signal(signal.SIGHUP)
        eventually((tmp_path / "dnstap.sock").exists, 20, "the listener")
        eventually(lambda: "reload: done; rules 1, claims 0, routes 0" in log_of(config), 20, "the answer to the HUP")


ELSEWHERE = """
import signal, sys
from pathlib import Path
from dnstap_bgp import plugin

class Bgp(plugin.Bgp):
    def start_reading(self):
        super().start_reading()  # by a thread that takes the signals from now on
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGTERM})

plugin.Bgp = Bgp
plugin.run(Path(sys.argv[1]))
"""


def test_a_signal_that_does_not_end_the_main_thread_s_wait_is_heeded_all_the_same(tmp_path):
    """As one that comes right before it, or after a SIGSTOP: any thread may take it; the main one runs the handler."""
    config = write_config(tmp_path, more="nonsense = 1")
    with plugin(config, ELSEWHERE) as process:
        eventually(lambda: f"kill -HUP {process.pid}" in log_of(config), 20, "the complaint")
        write_config(tmp_path)
        process.send_signal(signal.SIGHUP)
        eventually((tmp_path / "dnstap.sock").exists, 20, "the listener")


def test_others_can_pass_through_its_runtime_folder_to_a_socket(tmp_path):
    config = write_config(tmp_path)
    with plugin(config):
        eventually((tmp_path / "dnstap.sock").exists, 20, "the listener")
        assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == runtime.FOLDER_MODE


@needs_root
def test_a_runtime_folder_of_somebody_else_is_refused(tmp_path):
    config = write_config(tmp_path)
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", 65534, 65534)
    with plugin(config) as process:
        eventually(lambda: "belongs to uid 65534" in log_of(config), 20, "the complaint")
        assert process.poll() is None, "its end would be one of five deaths that end ExaBGP"
        assert list((tmp_path / "run").iterdir()) == []


def test_a_reload_of_one_that_stands_still_is_answered_by_its_next_start(tmp_path):
    config = write_config(tmp_path, more="nonsense = 1")
    with plugin(config) as process:
        eventually(lambda: "kill -HUP" in log_of(config), 20, "the complaint")
        assert "no plugin is running" in cli("reload", "--config", str(write_config(tmp_path))).stderr
        process.send_signal(signal.SIGHUP)
        eventually(lambda: instance.holder(tmp_path / "run" / "dnstap-bgp.pid") == process.pid, 20, "the pidfile")
        assert cli("reload", "--config", str(config)).returncode == 0


LOOK = """
import sys
from dnstap_bgp import __main__, plugin
plugin.run = lambda path: print(path, [name for name in sys.modules if name in ("click", "dnstap_bgp.cli")])
sys.argv[1:] = ["plugin", "--config", "some.toml"]
__main__.main()
"""


def test_as_exabgp_starts_it_it_has_no_command_line():
    found = subprocess.run([sys.executable, "-c", LOOK], env=environment(), capture_output=True, text=True, check=True)
    assert found.stdout == "some.toml []\n"


BUSY = """
import sys
from pathlib import Path
from dnstap_bgp import plugin
plugin.RETRY_S, plugin.RETRIES = 0.05, 3
path = Path(sys.argv[1])
sys.executable = str(path.with_name("python"))
plugin.run(path)
"""


def kill_children(config: Path, count: int) -> None:
    """Have the first children that read the configuration end as on a machine without memory."""
    started = config.with_name("started")
    script = f"""#!/bin/sh
echo >>{started}
[ $(wc -l <{started}) -gt {count} ] || kill -KILL $$
exec {sys.executable} "$@"
"""
    config.with_name("python").write_text(script)
    config.with_name("python").chmod(0o755)


def test_a_configuration_that_could_not_be_read_for_want_of_memory_is_read_again(tmp_path):
    config = write_config(tmp_path)
    kill_children(config, 2)
    with plugin(config, BUSY):
        eventually((tmp_path / "dnstap.sock").exists, 20, "the listener")
    assert log_of(config).count("tried again every") == 1
    assert "HUP" not in log_of(config)


def test_after_many_tries_it_waits_for_hup(tmp_path):
    config = write_config(tmp_path)
    kill_children(config, 4)
    with plugin(config, BUSY) as process:
        eventually(lambda: f"kill -HUP {process.pid}" in log_of(config), 20, "the complaint")
        assert "SIGKILL" in log_of(config)
        process.send_signal(signal.SIGHUP)
        eventually((tmp_path / "dnstap.sock").exists, 20, "the listener")


SLOW = """
import sys, time
from pathlib import Path
from dnstap_bgp import plugin
from dnstap_bgp.workers.routes.keeper import Keeper
path, adopt = Path(sys.argv[1]), Keeper.adopt
def adopt_slowly(keeper, claims, **options):
    adopt(keeper, claims[:1], **options)
    while not path.with_name("go on").exists():
        time.sleep(0.01)
    adopt(keeper, claims[1:], **options)
Keeper.adopt = adopt_slowly
plugin.run(path)
"""


class AttentiveHost(Host):
    """A host that keeps all lines about routes, and End-of-RIB."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        super().__init__()

    def _answer(self, line: bytes, now: float) -> bytes:
        if b" nlri " in line or b" eor " in line:
            self.lines.append(line)
        return super()._answer(line, now)

    @property
    def text(self) -> str:
        return b"\n".join(self.lines).decode()


def write_known(path: Path, addresses: Sequence[str]) -> None:
    """Write a state file with these addresses, announced as the configuration says."""
    now, told = process_clock(), Attributes(bytes((192, 0, 2, 254)), ("no-export",))
    packed = [ipaddress.ip_address(one).packed for one in addresses]
    claims = [Claim(one, "default", b"www.example.com", now, now, 86_400.0) for one in packed]
    store = Store(path, lambda: None)
    store.recall(lambda _: None)
    store.start(lambda: iter([(claims, [(one, told) for one in packed])]))
    assert store.save().wait(10)
    store.shutdown()
    assert store.join(10)


def test_killed_in_the_middle_of_a_restore_it_loses_nothing(tmp_path):
    """The tap is open and routes are said while claims come back; what is announced stays, read or not."""
    config = write_config(tmp_path, top='cache = "state"')
    tap, known, fresh = tmp_path / "dnstap.sock", [f"11.0.0.{host}" for host in range(1, 30)], "11.0.1.1"
    write_known(tmp_path / "state", known)
    with AttentiveHost() as host, plugin(config, SLOW, host) as process:
        send(tap, [*sightings("www.example.com", [known[7]]), *sightings("new.example.com", [fresh])])
        eventually(lambda: all(f"{one}/32" in host.text for one in (known[7], fresh)), 20, "what is fresh")
        eventually(lambda: host.announced >= 2, 20, "the first claim")
        process.kill()
    assert host.announced <= 3, "the claims are not back yet"
    assert host.withdrawn == 0
    assert " eor " not in host.text
    held = Dump(system_clock()())
    state = (tmp_path / "state").read_bytes()
    restore(lambda at, length: state[at : at + length], len(state), held.now, held.adopt, held.recall)
    everything = {ipaddress.ip_address(one).packed for one in (*known, fresh)}
    assert held.told.keys() == everything == {claim.address for claim in held.claims.values()}
    config.with_name("go on").touch()
    with AttentiveHost() as host, plugin(config, SLOW, host):
        eventually(lambda: " eor " in host.text, 20, "End-of-RIB")
    assert host.announced == len(everything)
    assert host.withdrawn == 0


class BusyApp:
    """The parts of a plugin that does nothing but look, until it has looked often enough."""

    def __init__(self, *_arguments: object, end: Callable[[], None], **_options: object) -> None:
        self._end, self._looks = end, 0

    def protect(self) -> None:
        self._looks += 1
        if self._looks == 2:
            self._end()

    def _nothing(self, *_arguments: object) -> None:
        return

    release_brake = undo_switches = examine = log_counts = stop = _nothing


def test_whoever_asks_all_the_time_keeps_nobody_from_looking(tmp_path, monkeypatch):
    """What is learnt of neighbors is protected within a second, and a switch ends in time, whatever clients ask for."""
    monkeypatch.setattr(plugin_module, "App", BusyApp)
    monkeypatch.setattr(plugin_module, "GUARD_S", 0.1)
    null = os.open(os.devnull, os.O_RDWR)
    found = plugin_module.Plugin(tmp_path / "none", null, null)
    asking = threading.Event()

    def ask() -> None:
        while not asking.wait(0.01) and not found._stopping.is_set():
            found._events.put(signal.SIGUSR1)

    thread = threading.Thread(target=ask)
    thread.start()
    threading.Timer(10, asking.set).start()
    try:
        config = load(write_config(tmp_path))
        config.runtime_dir.mkdir()
        found._serve(config, None)
        assert not asking.is_set(), "it has looked only when nobody asked any more"
    finally:
        asking.set()
        thread.join()
        found._bgp.close()
        os.close(null)
