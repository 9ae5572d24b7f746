"""ExaBGP as a child process: its version, environment, validation, start, and the processes below it.

What of the caller's environment reaches it: everything but ExaBGP's own variables, of which only those pass that
can't break us (`KEPT`: what is logged and how, caches, timing). The others, in either spelling (`exabgp_api_ack`,
`exabgp.api.ack`), are dropped, and ours are set.
"""

import ctypes
import importlib.metadata
import os
import pwd
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from dnstap_bgp.errors import HostError
from dnstap_bgp.workers.process import runtime

WANTED = "exabgp>=5.0.15,<6"
OLDEST = (5, 0, 15)

KEPT = ("log_", "cache_", "profile_", "reactor_", "bgp_openwait", "tcp_delay", "tcp_port")
"""ExaBGP variables of the operator that pass, by their beginning."""

SHOWN_AT_ONCE = 20
"""Routes of `show adj-rib out` between two looks at anything else. ExaBGP's 1 copies all that are left for each route:
100,000 take 80 s in place of 6 (two cores, one neighbor), in which no command is answered."""
VALIDATE_TIMEOUT_S = 30
"""ExaBGP reads a configuration of 1,000 neighbors in about a second."""

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def installed_version() -> str:
    """Look up the version of the installed ExaBGP.

    Raises:
        HostError: There is none, or it speaks another dialect than this program.
    """
    try:
        version = importlib.metadata.version("exabgp")
    except importlib.metadata.PackageNotFoundError:
        raise HostError(f"ExaBGP is not installed for {sys.executable}: pip install '{WANTED}'") from None
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if numbers < OLDEST or numbers[0] > OLDEST[0]:
        raise HostError(f"ExaBGP {version} is installed, but its dialect is another one: pip install '{WANTED}'")
    return version


def plugin_command(config_path: Path) -> tuple[str, ...]:
    """Command line by which ExaBGP runs the plugin: this interpreter, this package, whatever the PATH."""
    return (sys.executable, "-P", "-m", "dnstap_bgp", "plugin", "--config", str(config_path.absolute()))


def environment(runtime_dir: Path, given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Make the environment of an ExaBGP whose files are in `runtime_dir`.

    Args:
        runtime_dir: Where its FIFOs and its (empty) file of settings are.
        given: The caller's environment.
    """
    result = {name: value for name, value in given.items() if _passes(name)}
    result.setdefault("exabgp_log_level", "ERROR")  # INFO costs a fourth of the speed, and the plugin tells of sessions
    result.setdefault("exabgp_log_destination", "stderr")
    result |= {
        "EXABGP_ROOT": str(runtime_dir),
        "EXABGP_ENVFILE": str(runtime_dir / "exabgp.env"),
        "exabgp_api_ack": "true",
        "exabgp_api_chunk": str(SHOWN_AT_ONCE),
        "exabgp_api_cli": "true",
        "exabgp_api_pipename": runtime.pipe_name(runtime_dir),
        "exabgp_daemon_daemonize": "false",
        "exabgp_daemon_umask": "077",  # its own 0137 takes the x bit from every folder that the plugin makes
        "exabgp_tcp_bind": "",  # a passive neighbor has its own `listen`
        "PYTHONSAFEPATH": "1",  # no module is ever imported from the folder that somebody stands in
        "RUNTIME_DIRECTORY": str(runtime_dir),  # the plugin may run as another user, whose default differs
    }
    try:
        result["exabgp_daemon_user"] = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        result.pop("exabgp_daemon_user", None)  # a container's nameless uid: ExaBGP has nothing to drop then
    if "PYTHONPATH" in result:  # ExaBGP goes to / before it starts the plugin
        result["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, result["PYTHONPATH"].split(os.pathsep)))
    return result


def dropped(given: Mapping[str, str] = os.environ) -> list[str]:
    """Name the caller's ExaBGP variables that do not pass, for a message."""
    return sorted(name for name in given if not _passes(name))


def _passes(name: str) -> bool:
    plain = name.lower().replace(".", "_")
    return not plain.startswith("exabgp_") or plain.removeprefix("exabgp_").startswith(KEPT)


def validate(file: Path, env: Mapping[str, str]) -> None:
    """Have ExaBGP itself read a configuration.

    ExaBGP ends at a broken one, and on a reload it loses its processes: so none reaches it unread.

    Raises:
        HostError: It is refused; the text is ExaBGP's reason.
    """
    command = [sys.executable, "-P", "-m", "exabgp", "validate", str(file)]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and an absolute path
            command, env=dict(env), capture_output=True, text=True, timeout=VALIDATE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise HostError(f"ExaBGP has not read {file} within {VALIDATE_TIMEOUT_S} s") from None
    if done.returncode != 0:
        reason = " ".join((done.stderr.rpartition("error:")[2] or done.stderr or done.stdout).split())
        raise HostError(f"ExaBGP refuses {file}: {reason[:500]}")


def spawn(
    file: Path, env: Mapping[str, str], log: int | None = None, *, patched: bool = True
) -> subprocess.Popen[bytes]:
    """Start ExaBGP with a configuration; it ends in order when this process dies, however that happens.

    Args:
        file: The configuration.
        env: Of `environment`.
        log: A file descriptor for what it writes; None: ours.
        patched: Whether with our patches, see `host_patches`.
    """
    return subprocess.Popen(  # noqa: S603 - our own interpreter and an absolute path
        server_command(file, patched=patched),
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        process_group=0,  # Ctrl-C reaches us alone, and we end it in order
        preexec_fn=follow_parent,  # noqa: PLW1509 - two system calls, and the library is loaded
    )


def server_command(file: Path, *, patched: bool) -> tuple[str, ...]:
    """Command line of an ExaBGP with a configuration, with or without our patches."""
    options = () if patched else ("--no-patches",)
    return (sys.executable, "-P", "-m", "dnstap_bgp.commands.exabgp_server", *options, "server", str(file))


def client_pid(host_pid: int) -> int | None:
    """Find the pid of ExaBGP's own client process.

    ExaBGP replaces that process by a new one whenever it has read its configuration: a new pid is the proof that a
    reload took place (it drops a reload silently while any neighbor has routes pending).
    """
    for child in children(host_pid):
        words = _command_line(child)
        if len(words) == 2 and words[1].endswith(b"exabgp/__main__.py"):
            return child
    return None


def plugin_pid(host_pid: int, signum: int) -> int | None:
    """Find the plugin below an ExaBGP, with or without its pidfile, if it can be sent this signal.

    One that is just starting would die of it, as it has no handler yet.
    """
    for child in children(host_pid):
        if _command_line(child)[-3:-1] == [b"plugin", b"--config"] and _catches(child, signum):
            return child
    return None


def _command_line(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return []


def _catches(pid: int, signum: int) -> bool:
    try:
        found = re.search(r"^SigCgt:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return False
    return found is not None and bool(int(found[1], 16) >> (signum - 1) & 1)


def children(parent: int) -> list[int]:
    """List the pids of a process's children, zombies too."""
    result = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent:
                result.append(int(folder.name))
    return result


def follow_parent() -> None:
    """Have a child get TERM when its parent dies, and no signal blocked; called in the child, before its program."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of what a killed ExaBGP leaves behind, so that we can end it."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
