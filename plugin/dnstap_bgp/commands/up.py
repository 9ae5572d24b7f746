"""`dnstap-bgp up`: from one configuration file to a running ExaBGP with the plugin, and its end in order.

up (this process: waits for signals, no thread)
  `- ExaBGP            ends when we end, however we end
       |- the plugin
       `- ExaBGP's own client process

TERM, INT   ExaBGP ends in order, and we with it; a second one kills it
HUP         the file is read again: ExaBGP's part goes to ExaBGP where it differs, then the plugin reads its own
USR1        the plugin logs its counts
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dnstap_bgp import config as configuration
from dnstap_bgp.commands import host, privileges
from dnstap_bgp.commands.host_reload import HostReload
from dnstap_bgp.config import Config
from dnstap_bgp.core.exabgp import conf as exabgp_conf
from dnstap_bgp.errors import CommandError, ConfigError, HostError
from dnstap_bgp.workers.process import instance, logs, runtime

logger = logging.getLogger(__name__)

SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD})

STOP_TIMEOUT_S = 8.0
"""ExaBGP gives its processes 2 s and needs a moment for itself; longer than this, it hangs."""

LEFTOVER_TIMEOUT_S = 3.0
"""The plugin ends within 1.5 s of the end of its stdin."""

HOST_FIRST_S = 2.0
"""How long the plugin's reload waits for ExaBGP's: the plugin's own changes would be pending routes that delay it."""

IDLE_S = 60.0
BUSY_S = 0.05


def run(path: Path) -> int:
    """Run ExaBGP with the plugin until it ends.

    Args:
        path: The configuration file.

    Returns:
        The exit status: ExaBGP's own, 128 + n where signal n ended it.

    Raises:
        ConfigError: The file can't be used.
        HostError: ExaBGP is missing, or refuses its configuration.
        CommandError: Another `up` runs in this folder, or the user, namespace or folder can't be had.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGUSR1})  # kept until they can be heeded
    path = path.absolute()
    config = configuration.load(path)
    logs.configure(config.log.format, config.log.level)
    version = host.installed_version()
    for warning in config.warnings:
        logger.warning("%s", warning)
    if ours := host.dropped():
        logger.warning("not passed on to ExaBGP, since they could break the plugin: %s", ", ".join(ours))
    _settle(config)
    with _alone(config.runtime_dir):
        process = _start(config, path)
        logger.info("ExaBGP %s started (pid %d); runtime_dir %s", version, process.pid, config.runtime_dir)
        try:
            return Supervisor(config, path, process).wait()
        finally:
            _end_leftovers()
            runtime.remove_fifos(config.runtime_dir)


def render(config: Config, path: Path) -> str:
    """The ExaBGP configuration that `up` uses for this file."""
    return exabgp_conf.render(config.resolve().require_speaker(), host.plugin_command(path))


class Supervisor:
    """The wait for ExaBGP's end, and the signals until then."""

    def __init__(self, config: Config, path: Path, process: subprocess.Popen[bytes]) -> None:
        self._config = config
        self._path = path
        self._process = process
        self._reload = HostReload(process)
        self._kill_at: float | None = None

    def wait(self) -> int:
        """Wait, and do what the signals ask for.

        Returns:
            ExaBGP's exit status.
        """
        while (status := _reap(self._process)) is None:
            received = signal.sigtimedwait(SIGNALS, self._pause_s())
            if received is not None:
                self._handle(signal.Signals(received.si_signo))
            self._reload.step(time.monotonic())
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                logger.error("ExaBGP does not end: killed")
                self._process.kill()
        return status

    def _pause_s(self) -> float:
        if self._kill_at is not None:
            return max(0.0, self._kill_at - time.monotonic())
        return self._reload.poll_s if self._reload.pending else IDLE_S

    def _handle(self, signum: signal.Signals) -> None:
        if signum in (signal.SIGTERM, signal.SIGINT):
            again = self._kill_at is not None
            self._kill_at = time.monotonic() + (0 if again else STOP_TIMEOUT_S)
            logger.info("%s: ExaBGP ends", signum.name)
            self._process.terminate()
        elif signum == signal.SIGHUP:
            self._reload_all()
        elif signum == signal.SIGUSR1:
            self._signal_plugin(signal.SIGUSR1)

    def _reload_all(self) -> None:
        """ExaBGP's part, its report, and then the plugin, which reads and reports its own."""
        problems = self._reload_host()
        for problem in problems:
            logger.error("reload: %s", problem)
        self._report(problems)
        self._signal_plugin(signal.SIGHUP)

    def _reload_host(self) -> list[str]:
        """Bring the file's present content into ExaBGP; what is wrong, if anything."""
        file = runtime.host_file(self._config.runtime_dir)
        try:
            config = configuration.load(self._path).keeping(self._config)
            if not config.speaker_differs(self._config):
                return []  # nor would a host name's next address be a reason to end a session
            self._install(render(config, self._path), file)
            self._config = config
        except ConfigError as error:
            return [str(problem) for problem in error.problems]
        except (HostError, OSError) as error:
            return [str(error)]
        self._reload.begin(time.monotonic())
        deadline = time.monotonic() + HOST_FIRST_S
        while self._reload.pending and time.monotonic() < deadline:
            self._reload.step(time.monotonic())
            signal.sigtimedwait({signal.SIGCHLD}, BUSY_S)
        if self._reload.pending:
            return ["ExaBGP has not read its new configuration yet (a neighbor has routes pending); it is asked again"]
        return []

    def _install(self, text: str, file: Path) -> None:
        candidate = file.with_suffix(".new")
        try:
            runtime.write_atomically(candidate, text, 0o600)
            host.validate(candidate, host.environment(self._config.runtime_dir))
            candidate.replace(file)
        finally:
            candidate.unlink(missing_ok=True)

    def _report(self, problems: list[str]) -> None:
        """Answer a `dnstap-bgp reload` that waits."""
        runtime_dir = self._config.runtime_dir
        request = runtime.read_request(runtime_dir)
        if request is not None:
            runtime.answer(runtime.up_result(runtime_dir), request, ok=not problems, messages=problems)

    def _signal_plugin(self, signum: signal.Signals) -> None:
        # Without its pidfile it waits: for a configuration that can be used, or for the end of a crash loop.
        pid = instance.holder(self._config.pidfile) or host.plugin_pid(self._process.pid, signum)
        if pid is None:
            logger.warning(
                "the plugin is not running (%s): it reads its configuration when it starts", self._config.pidfile
            )
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signum)


def _settle(config: Config) -> None:
    """Go where and become whom the configuration says, with a runtime folder for that user."""
    user = privileges.find_user(config.process.user)
    if config.process.netns is not None:
        privileges.enter_namespace(config.process.netns)
    uid, gid = (user.pw_uid, user.pw_gid) if user else (os.geteuid(), os.getegid())
    runtime.prepare_folder(config.runtime_dir, uid, gid)
    if user:
        privileges.become(user)
    os.environ["RUNTIME_DIRECTORY"] = str(config.runtime_dir)  # the default must not change with the user
    if not os.access(config.path, os.R_OK):
        raise CommandError(f"process.user: {config.process.user!r} must be able to read {config.path}")
    if not os.access(sys.executable, os.X_OK):
        raise CommandError(f"process.user: {config.process.user!r} must be able to run {sys.executable}")


@contextmanager
def _alone(runtime_dir: Path) -> Iterator[None]:
    """Hold the lock that makes us the only `up` of this folder."""
    path = runtime.up_pidfile(runtime_dir)
    pidfile = instance.PidFile(path)
    at_once = threading.Event()
    at_once.set()
    try:
        acquired = pidfile.acquire(at_once)
    except OSError as error:
        raise CommandError(f"runtime_dir {runtime_dir} can't be used: {error}") from error
    if not acquired:
        raise CommandError(f"another `dnstap-bgp up` runs in {runtime_dir} (pid {instance.holder(path) or 'unknown'})")
    try:
        yield
    finally:
        pidfile.release()


def _start(config: Config, path: Path) -> subprocess.Popen[bytes]:
    """Write what ExaBGP reads, let it check that, and start it."""
    runtime_dir = config.runtime_dir
    env = host.environment(runtime_dir)
    file = runtime.host_file(runtime_dir)
    try:
        runtime.write_atomically(runtime_dir / "exabgp.env", "", 0o600)
        runtime.write_atomically(file, render(config, path), 0o600)
        for stale in (runtime.reload_request, runtime.reload_result, runtime.up_result):
            stale(runtime_dir).unlink(missing_ok=True)
        runtime.make_fifos(runtime_dir)
    except OSError as error:
        raise CommandError(f"runtime_dir {runtime_dir} can't be used: {error}") from error
    host.validate(file, env)
    host.adopt_orphans()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    return host.spawn(file, env)


def _reap(process: subprocess.Popen[bytes]) -> int | None:
    """Collect all children that have ended, adopted ones too.

    Returns:
        ExaBGP's exit status once it has ended, 128 + n where signal n ended it.
    """
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0:
            break
        if pid == process.pid:
            process.returncode = os.waitstatus_to_exitcode(status)
    code = process.returncode
    return 128 - code if code is not None and code < 0 else code


def _end_leftovers() -> None:
    """Wait for what a dead ExaBGP left behind; kill what does not end by itself. No process outlives `up`."""
    deadline = time.monotonic() + LEFTOVER_TIMEOUT_S
    while left := host.children(os.getpid()):
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                return
        if time.monotonic() >= deadline:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        signal.sigtimedwait({signal.SIGCHLD}, BUSY_S)
