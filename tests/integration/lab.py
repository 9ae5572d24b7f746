"""A small network of real daemons: namespaces, processes, and waiting for conditions.

    host namespace                              router namespace
    resolvers, ExaBGP with the plugin  -- veth --  routers, each on an address of its own
    10.99.0.1, fd99::1                             10.99.0.2 .. .9, fd99::2 .. ::9

Nothing here reaches a real network: both namespaces have only their loopback and this one link.
"""

import ctypes
import os
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

HOST_V4, HOST_V6 = "10.99.0.1", "fd99::1"
ROUTER_NUMBERS = range(2, 10)
CLONE_NEWNET = 0x40000000
POLL_S = 0.05
PATIENCE, PATIENCE_MAX_S = 4, 60.0
"""Deadlines are those of a quiet machine. Where other tests run beside this one a process may get no time for seconds,
so each is several times as long, up to a minute: waiting costs nothing where the condition comes true."""


def eventually(check: Callable[[], T], deadline_s: float = 10.0, what: str = "the condition") -> T:
    """Poll until `check` returns something true, and return that.

    An AssertionError of `check` counts as "not yet" and is told if the deadline passes.
    """
    deadline_s = max(deadline_s, min(deadline_s * PATIENCE, PATIENCE_MAX_S))
    end = time.monotonic() + deadline_s
    while True:
        failure: AssertionError | None = None
        try:
            if value := check():
                return value
        except AssertionError as error:
            failure = error
        if time.monotonic() >= end:
            raise AssertionError(f"{what}: not within {deadline_s} s ({failure or 'it stayed false'})")
        time.sleep(POLL_S)


def becomes(read: Callable[[], set[str]], expected: set[str], deadline_s: float = 10.0, what: str = "the set") -> None:
    """Wait until the set that `read` returns is exactly `expected`; on failure tell the difference, not the sets."""

    def equal() -> bool:
        missing, ghosts = difference(read(), expected)
        told = f"{len(missing)} missing {missing[:5]}, {len(ghosts)} ghosts {ghosts[:5]}"
        assert missing + ghosts == [], told
        return True

    eventually(equal, deadline_s, what)


def difference(seen: set[str], expected: set[str]) -> tuple[list[str], list[str]]:
    """What is missing from `seen`, and what is in it but should not be."""
    return sorted(expected - seen), sorted(seen - expected)


def stays(check: Callable[[], object], duration_s: float, what: str = "the condition") -> None:
    """Poll for a while: `check` must be true every time."""
    end = time.monotonic() + duration_s
    while time.monotonic() < end:
        assert check(), f"{what}: ended early"
        time.sleep(POLL_S)


def ends(read: Callable[[], object], deadline_s: float, what: str) -> None:
    """Poll until `read` gives nothing more; for what has to end at its time, and no sooner for a patient test.

    A busy machine takes longer for a look, as for all else: five of the longest are added to the deadline.
    """
    began = looked = time.monotonic()
    longest_s = 0.0
    while read():
        now = time.monotonic()
        longest_s, looked = max(longest_s, now - looked), now
        assert now < began + deadline_s + 5 * longest_s, f"{what}: not within {deadline_s} s, and 5 x {longest_s} s"
        time.sleep(POLL_S)


class Daemon:
    """One process that a test started, with its output in a file. It is ended by its own process id."""

    def __init__(self, name: str, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,  # Ctrl-C is for pytest, which then ends its daemons in order
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def signal(self, number: int) -> None:
        assert self.alive(), f"{self.name} has ended:\n{self.text()[-3000:]}"
        self.process.send_signal(number)

    def stop(self, deadline_s: float = 30.0) -> int:
        """End it politely, and return its exit status; that it had to be killed is a failure."""
        if self.alive():
            self.process.terminate()
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {deadline_s} s of SIGTERM") from None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Namespace:
    """A network namespace with its loopback up."""

    def __init__(self, name: str) -> None:
        self.name = name
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")

    def argv(self, *argv: str) -> list[str]:
        """The command line that runs `argv` in here; `ip` executes it in its own place, so the process id stays."""
        return ["ip", "netns", "exec", self.name, *argv]

    def run(self, *argv: str) -> str:
        return run(*self.argv(*argv))

    def pids(self) -> list[int]:
        return [int(pid) for pid in run("ip", "netns", "pids", self.name).split()]

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket that lives in here, for use by the test's own process."""
        made: list[socket.socket] = []

        def make() -> None:
            fd = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(fd, CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
                made.append(socket.socket(family, kind, protocol))
            finally:
                os.close(fd)

        thread = threading.Thread(target=make)  # setns moves only the calling thread, and that one ends here
        thread.start()
        thread.join()
        return made[0]

    def delete(self) -> list[int]:
        """Remove it; returns the processes that were still in it, which are ended."""
        deadline = time.monotonic() + 30
        while (pids := self.pids()) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        for pid in pids:
            kill(pid)
        run("ip", "netns", "del", self.name)
        return pids


class Lab:
    """Two namespaces with a link, and the daemons in them. `close` ends everything and tells what leaked."""

    def __init__(self, folder: Path) -> None:
        prefix = unique_name()
        self.folder = folder
        self.daemons: list[Daemon] = []
        self.host = Namespace(f"{prefix}h")
        self.router = Namespace(f"{prefix}r")
        self._link()

    def start(self, name: str, argv: Sequence[str], where: Namespace, env: Mapping[str, str] | None = None) -> Daemon:
        """Start a daemon; its output goes to `<name>.log`, appended to by a later start under the same name."""
        return self.start_outside(name, where.argv(*argv), env)

    def start_outside(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> Daemon:
        """Start a daemon where the test itself runs: one that enters a namespace by its own doing."""
        daemon = Daemon(name, argv, self.folder / f"{name}.log", env)
        self.daemons.append(daemon)
        return daemon

    def cut(self) -> None:
        """Take the link down: sessions time out, or end as their daemons see fit."""
        run("ip", "-n", self.host.name, "link", "set", "to-router", "down")

    def mend(self) -> None:
        run("ip", "-n", self.host.name, "link", "set", "to-router", "up")
        self._address_host_v6()  # a link that goes down loses its IPv6 addresses

    def logs(self, lines: int = 60) -> list[tuple[str, str]]:
        """The ends of all daemons' logs, for the report of a failed test."""
        files = dict.fromkeys(daemon.log for daemon in self.daemons)
        return [(log.name, "\n".join(log.read_text(errors="replace").splitlines()[-lines:])) for log in files]

    def close(self) -> None:
        """End the daemons in reverse order, remove the namespaces, and fail if anything outlived its daemon."""
        slow = []
        for daemon in reversed(self.daemons):
            try:
                daemon.stop()
            except AssertionError as error:
                slow.append(str(error))
        leaked = self.host.delete() + self.router.delete()
        assert not leaked, f"processes outlived their daemons: {leaked}"
        assert not slow, "; ".join(slow)

    def _link(self) -> None:
        host, router = self.host.name, self.router.name
        run("ip", "link", "add", "to-router", "netns", host, "type", "veth", "peer", "name", "to-host", "netns", router)
        run("ip", "-n", host, "address", "add", f"{HOST_V4}/24", "dev", "to-router")
        self._address_host_v6()
        for number in ROUTER_NUMBERS:
            run("ip", "-n", router, "address", "add", f"10.99.0.{number}/24", "dev", "to-host")
            run("ip", "-n", router, "address", "add", f"fd99::{number}/64", "dev", "to-host", "nodad")
        run("ip", "-n", host, "link", "set", "to-router", "up")
        run("ip", "-n", router, "link", "set", "to-host", "up")

    def _address_host_v6(self) -> None:
        run("ip", "-n", self.host.name, "address", "replace", f"{HOST_V6}/64", "dev", "to-router", "nodad")


def unique_name() -> str:
    """A name for a namespace: one that a killed run has left is of no matter."""
    return f"dtap{secrets.token_hex(4)}"


def kill(pid: int) -> None:
    """End a process at once, if it is still there."""
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return


def run(*argv: str, timeout_s: float = 60) -> str:
    """Run a command to its end and return its output; a failure tells what it said."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: status {done.returncode}: {done.stderr.strip() or done.stdout}"
    return done.stdout
