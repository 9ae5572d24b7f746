"""`dnstap-bgp up`: from one configuration file to a running ExaBGP with the plugin, and its end in order.

up (this process: waits for signals, no thread)
  `- ExaBGP            ends when we end, however we end
       |- the plugin
       `- ExaBGP's own client process

TERM, INT   ExaBGP ends in order, and we with it; a second one kills it
HUP         the file is read again and checked; then ExaBGP's part goes to ExaBGP where it differs, then the plugin
            reads its own
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

import click

from dnstap_bgp import config as configuration
from dnstap_bgp.commands import host, privileges
from dnstap_bgp.commands.host_reload import HostReload
from dnstap_bgp.commands.options import config_option
from dnstap_bgp.commands.rival_sessions import rival_sessions
from dnstap_bgp.config import Config, exabgp_sessions
from dnstap_bgp.core.exabgp import config_file as exabgp_conf
from dnstap_bgp.errors import CommandError, ConfigError, HostError
from dnstap_bgp.workers.process import instance, logs, runtime
from dnstap_bgp.workers.process.ending import end_process
from dnstap_bgp.workers.process.mailbox import RELOAD_PLUGIN, RELOAD_UP, Box, Mailbox, Outcome

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


@click.command("up")
@config_option
def command(config_path: Path) -> None:
    """Run ExaBGP with the plugin, all from one configuration file.

    Writes ExaBGP's configuration from the section [bgp], starts ExaBGP with it, and stays in the foreground until
    ExaBGP ends. It needs no root, unless [process] names another user or a network namespace, or a peer is `passive`
    (to listen on port 179).

    HUP (or `dnstap-bgp reload`) reads the file and its lists again without losing a session that did not change;
    USR1 logs the counts; TERM or Ctrl-C ends everything in order.

    Settings of ExaBGP's own log pass through the environment: exabgp_log_level=INFO dnstap-bgp up

    \b
    Examples:
        dnstap-bgp up
        dnstap-bgp up --config ./dnstap-bgp.toml
    """  # noqa: D301 - click wants a real \b
    logs.begin("dnstap-bgp up")
    end_process(run(config_path))


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
    signal.signal(signal.SIGTERM, _end_at_once)  # until SIGNALS are waited for: PID 1 of a container has no default
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
        for rival in rival_sessions(config.bgp):
            logger.error("%s", rival)
        process = _start(config, path)
        how = "" if config.process.patches else " without patches"
        logger.info("ExaBGP %s started%s (pid %d); runtime_dir %s", version, how, process.pid, config.runtime_dir)
        try:
            return Supervisor(config, path, process).wait()
        finally:
            _end_leftovers()
            runtime.remove_fifos(config.runtime_dir)


def _end_at_once(signum: int, _frame: object) -> None:
    """End with what a shell makes of the signal's default action; nothing has been started yet."""
    sys.exit(128 + signum)


def render(config: Config, path: Path) -> str:
    """Render the ExaBGP configuration that `up` uses for a configuration file."""
    speaker = exabgp_sessions.speaker(exabgp_sessions.look_up_neighbors(config))
    return exabgp_conf.render(speaker, host.plugin_command(path))


class Supervisor:
    """Supervisor of a running ExaBGP: waits for its end and heeds signals until then."""

    def __init__(self, config: Config, path: Path, process: subprocess.Popen[bytes]) -> None:
        self._config = config
        self._path = path
        self._process = process
        self._reload = HostReload(process)
        self._mailboxes = {box: Mailbox(config.runtime_dir, box) for box in (RELOAD_UP, RELOAD_PLUGIN)}
        self._kill_at: float | None = None  # None: it was not told to end, or has been killed
        self._stopping = False

    def wait(self) -> int:
        """Wait for ExaBGP's end, and do what the signals ask for.

        Returns:
            ExaBGP's exit status.
        """
        while (status := _reap(self._process)) is None:
            received = signal.sigtimedwait(SIGNALS, self._pause_s())
            if received is not None:
                self._handle(signal.Signals(received.si_signo))
            self._reload.step(time.monotonic())
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._kill(f"ExaBGP does not end within {STOP_TIMEOUT_S:.0f} s: it is killed")
        return status

    def _kill(self, why: str) -> None:
        """Kill ExaBGP; its end is a SIGCHLD to wait for like any other."""
        logger.error("%s", why)
        self._kill_at = None
        self._process.kill()

    def _pause_s(self) -> float:
        if self._kill_at is not None:
            return max(0.0, self._kill_at - time.monotonic())
        return self._reload.poll_s if self._reload.pending else IDLE_S

    def _handle(self, signum: signal.Signals) -> None:
        if signum in (signal.SIGTERM, signal.SIGINT):
            if not self._stopping:
                self._stopping = True
                self._kill_at = time.monotonic() + STOP_TIMEOUT_S
                logger.info("%s: ExaBGP ends", signum.name)
                self._process.terminate()
            elif self._kill_at is not None:
                self._kill(f"second {signum.name}: ExaBGP is killed")
        elif signum == signal.SIGHUP:
            self._reload_all()
        elif signum == signal.SIGUSR1:
            self._signal_plugin(signal.SIGUSR1)

    def _reload_all(self) -> None:
        """Check the file; then reload ExaBGP's part, report it, and have the plugin reload and report its own.

        Where anything is wrong with the file, nobody reloads anything.
        """
        candidate = runtime.host_file(self._config.runtime_dir).with_suffix(".new")
        try:
            config = configuration.load(self._path).keeping(self._config)
            problems = _unusable(config, self._config)
            differs = exabgp_sessions.speakers_differ(config, self._config)
            if differs and not problems:  # a host name's next address would be no reason to end a session
                self._prepare(render(config, self._path), candidate)
        except ConfigError as error:
            problems = [str(problem) for problem in error.problems]
        except (HostError, OSError) as error:
            problems = [str(error)]
        if problems:
            candidate.unlink(missing_ok=True)
            for problem in problems:
                logger.error("reload: %s", problem)
            for box in (RELOAD_PLUGIN, RELOAD_UP):  # the plugin is not asked
                self._report(box, Outcome(ok=False, messages=tuple(problems) if box is RELOAD_UP else ()))
            return
        self._config = config
        problems = self._reload_host(candidate) if differs else []
        for problem in problems:
            logger.warning("reload: %s", problem)
        self._report(RELOAD_UP, Outcome(not problems, tuple(problems), {"sessions": int(differs)}))
        self._signal_plugin(signal.SIGHUP)

    def _reload_host(self, candidate: Path) -> list[str]:
        """Have ExaBGP read its new configuration; gives what is not yet so, if anything."""
        try:
            candidate.replace(runtime.host_file(self._config.runtime_dir))
        except OSError as error:
            return [str(error)]
        # The plugin is told when ExaBGP has read its file, or after HOST_FIRST_S: a new neighbor must be there before
        # the plugin's changes, which in turn would be pending routes for which ExaBGP drops reloads silently.
        self._reload.begin(time.monotonic())
        deadline = time.monotonic() + HOST_FIRST_S
        while self._reload.pending and time.monotonic() < deadline:
            self._reload.step(time.monotonic())
            signal.sigtimedwait({signal.SIGCHLD}, BUSY_S)
        if self._reload.pending:
            return ["ExaBGP has not read its new configuration yet (a neighbor has routes pending); it is asked again"]
        return []

    def _prepare(self, text: str, candidate: Path) -> None:
        """Write ExaBGP's new configuration aside and have ExaBGP check it."""
        runtime.write_atomically(candidate, text, 0o600)
        host.validate(candidate, host.environment(self._config.runtime_dir))

    def _report(self, box: Box, outcome: Outcome) -> None:
        """Answer a `dnstap-bgp reload` that waits, where it looks for that."""
        mailbox = self._mailboxes[box]
        if (request := mailbox.take()) is not None:
            mailbox.answer(request, outcome)

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


def _unusable(config: Config, in_force: Config) -> list[str]:
    """Tell what of a configuration the plugin could not put in force; it says so itself, but after ExaBGP's reload."""
    from dnstap_bgp.workers.lists.files import unreadable  # noqa: PLC0415 - for reloads only, as the next one
    from dnstap_bgp.workers.net.certificates import unusable_certificates  # noqa: PLC0415

    problems = unreadable(config.list_sources(), in_force.list_sources())
    return problems + [f"{table}.{problem}" for table, problem in unusable_certificates(config)]


def _settle(config: Config) -> None:
    """Enter the configured namespace, prepare the runtime folder for the configured user, and become that user."""
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
        raise CommandError(
            f"another `dnstap-bgp up` runs in {runtime_dir} (pid {instance.holder(path) or 'unknown'});"
            " `dnstap-bgp reload` has it read its file again. A second instance needs a file of its own that sets"
            " runtime_dir, and another cache, [dnstap] listen and source_ip or neighbors"
        )
    try:
        yield
    finally:
        pidfile.release()


def _start(config: Config, path: Path) -> subprocess.Popen[bytes]:
    """Write ExaBGP's files, have ExaBGP check them, and start it."""
    runtime_dir = config.runtime_dir
    env = host.environment(runtime_dir)
    file = runtime.host_file(runtime_dir)
    try:
        runtime.write_atomically(runtime_dir / "exabgp.env", "", 0o600)
        runtime.write_atomically(file, render(config, path), 0o600)
        for box in (RELOAD_UP, RELOAD_PLUGIN):
            Mailbox(runtime_dir, box).clear()
        runtime.make_fifos(runtime_dir)
    except OSError as error:
        raise CommandError(f"runtime_dir {runtime_dir} can't be used: {error}") from error
    host.validate(file, env)
    host.adopt_orphans()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    return host.spawn(file, env, patched=config.process.patches)


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
    while host.children(os.getpid()):
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                return
        if time.monotonic() >= deadline:
            for pid in host.children(os.getpid()):  # looked up anew: those that were just collected are gone
                os.kill(pid, signal.SIGKILL)
        signal.sigtimedwait({signal.SIGCHLD}, BUSY_S)
