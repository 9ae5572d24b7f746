"""`dnstap-bgp demo`: the main job on one machine, in a few seconds, without root or any other daemon.

    capture of a real unbound -- replay --> plugin under ExaBGP (127.0.0.1) -- BGP --> ExaBGP as the router (127.0.0.2)

Everything lies in one temporary folder and is gone at the end, however the end comes. All waiting has a deadline.
"""

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table as Grid

from dnstap_bgp.commands import host, replay
from dnstap_bgp.commands.demo_router import Heard, Router
from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.text import prefix_text, printable
from dnstap_bgp.errors import CommandError, DnstapBgpError
from dnstap_bgp.workers.process import clocks
from dnstap_bgp.workers.process.latch import Latch
from dnstap_bgp.workers.state.restore import restore
from dnstap_bgp.workers.state.statefile import reading

ROUTES = 12
"""What the bundled capture and list give."""

READY_TIMEOUT_S = 30.0
"""Three Python programs start and a session comes up: 3 s, on a slow and busy machine ten times that."""

ROUTES_TIMEOUT_S = 15.0

STOP_TIMEOUT_S = 15.0
"""`up` itself gives ExaBGP 8 s and what that leaves behind 3 s."""

SETTLE_S = 0.5
"""How long the router must hear nothing new: a route too many would come within this."""

TEMPORARY_MAX = 64
"""A unix socket's path has at most 107 bytes (unix(7))."""

POLL_S = 0.05
TITLE = "What the router has heard"
LOG_LINES = 12
PIPE_WIDTH = 120
INTERRUPTED = 130


@click.command("demo")
def command() -> None:
    """Show the main job on this machine, in a few seconds, without root or any other daemon.

    Two ExaBGP run on the loopback: one with the plugin, one as the router. A capture that a real unbound made is
    played into the plugin, and the routes are shown as they arrive at the router. Nothing is left behind.
    """
    sys.exit(run())


def run() -> int:
    """Show the demo on stdout.

    Returns:
        The exit status: 0, 1 where it failed (the reason is on stderr), 130 after Ctrl-C.
    """
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    interrupted = Latch()
    for signum in (signal.SIGINT, signal.SIGTERM):  # an exception out of a handler may be lost where a child is started
        signal.signal(signum, lambda _signum, _frame: interrupted.set())
    try:
        host.installed_version()
        with _folder() as folder:
            Demo(folder, console, interrupted).run()
    except KeyboardInterrupt:
        console.print("Interrupted. Nothing is left behind.")
        return INTERRUPTED
    except (DnstapBgpError, OSError) as error:
        Console(stderr=True).print(
            f"The demo failed: {_printable(error)}", markup=False, highlight=False, soft_wrap=True
        )
        return 1
    console.print("Both ExaBGP have ended; nothing is left behind.")
    return 0


class Demo:
    """One run of the demo."""

    def __init__(self, folder: Path, console: Console, interrupted: Latch) -> None:
        self._folder = folder
        self._console = console
        self._interrupted = interrupted
        self._router = Router(folder / "router")
        self._log = folder / "up.log"
        self._config = folder / "demo.toml"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def run(self) -> None:
        """Start both sides, play the capture, show what arrives.

        Raises:
            CommandError: A step has not come about; the text says which, and what the programs logged.
        """
        try:
            self._start()
            self._await("the BGP session", lambda: self._router.look().up, READY_TIMEOUT_S)
            self._await("the DNSTap socket", (self._folder / "dnstap.sock").exists, READY_TIMEOUT_S)
            self._say("the session is up; playing a capture of a real unbound into the plugin ...")
            replay.run(data_file("capture.fstrm"), str(self._folder / "dnstap.sock"))
            self._watch()
        finally:
            self._stop()

    def _start(self) -> None:
        self._say(f"starting the router (ExaBGP, 127.0.0.2 port {self._router.port}) ...")
        self._processes["router"] = self._router.start()
        shutil.copyfile(data_file("domains.txt"), self._folder / "domains.txt")
        text = data_file("demo.toml").read_text(encoding="utf-8").replace("ROUTER_PORT", str(self._router.port))
        self._config.write_text(text, encoding="utf-8")
        self._say("starting ExaBGP with the plugin (`dnstap-bgp up`, 127.0.0.1) ...")
        with self._log.open("wb") as log:
            self._processes["up"] = subprocess.Popen(  # noqa: S603 - our own interpreter and our own file
                [sys.executable, "-P", "-m", "dnstap_bgp", "up", "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C reaches us alone, and we end it in order
                preexec_fn=host.follow_parent,  # noqa: PLW1509 - two system calls, and no thread runs yet
            )

    def _await(self, what: str, ready: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self._interrupted.is_set():
                raise KeyboardInterrupt
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise CommandError(f"{name} has ended (status {process.returncode}).{self._logs()}")
            if time.monotonic() > deadline:
                raise CommandError(f"no {what.removeprefix('the ')} within {timeout_s:.0f} s.{self._logs()}")
            time.sleep(POLL_S)

    def _watch(self) -> None:
        """Show the routes as they arrive, until all have."""
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            last_change, seen = time.monotonic(), -1

            def settled() -> bool:
                nonlocal last_change, seen
                routes = self._router.look().routes
                if len(routes) != seen:
                    seen, last_change = len(routes), time.monotonic()
                    live.update(self._grid(routes), refresh=True)
                return len(routes) >= ROUTES and time.monotonic() - last_change > SETTLE_S

            self._await(f"{ROUTES} routes at the router", settled, ROUTES_TIMEOUT_S)
        self._console.print(self._grid(self._router.table.routes))
        if seen != ROUTES:
            raise CommandError(f"{seen} routes have come, not {ROUTES}.{self._logs()}")
        self._say(
            f"{ROUTES} routes. Not there: names under an exception (!internal.example.com) or below an exact rule\n"
            "(=static.example.net), a name whose address is 127.0.0.1, and all that no rule covers."
        )

    def _grid(self, routes: dict[str, Heard]) -> Grid:
        names = _names(self._folder / "state")
        grid = Grid(title=TITLE, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        for column in ("prefix", "next-hop", "communities", "because of"):
            grid.add_column(column, no_wrap=True)
        for prefix, route in sorted(routes.items(), key=lambda item: (":" in item[0], item[0])):
            because = "\n".join(sorted(names.get(prefix.partition("/")[0], ())))
            grid.add_row(prefix, route.next_hop, " ".join(route.communities), because)
        return grid

    def _stop(self) -> None:
        """End both sides, the plugin's first so that its router is there to the last."""
        for process in reversed(self._processes.values()):
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _logs(self) -> str:
        """Last lines of both sides' logs, for a failure's message."""
        text = ""
        for name, path in (("up", self._log), ("router", self._router.log)):
            with contextlib.suppress(OSError):
                lines = path.read_text(encoding="utf-8", errors="backslashreplace").splitlines()[-LOG_LINES:]
                text += f"\nThe last lines of {name}:\n" + "\n".join("    " + line for line in lines)
        return text


def _printable(error: Exception) -> str:
    """Escape an error's text, which has lines of both programs' logs at its end."""
    return "\n".join(map(printable, str(error).split("\n")))


def _names(state: Path) -> dict[str, set[str]]:
    """Read the names that hold each address from the plugin's state file."""
    found: dict[str, set[str]] = {}

    def adopt(claims: list[Claim]) -> None:
        for claim in claims:
            found.setdefault(prefix_text(claim.address), set()).add(claim.name.decode("ascii"))

    with reading(state) as (read, size):
        if size:
            restore(read, size, clocks.system_clock()(), adopt, lambda _: None)
    return found


def data_file(name: str) -> Path:
    """Path of a file of the demo, as it is installed."""
    return Path(str(resources.files("dnstap_bgp"))) / "demo" / name


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    short = len(tempfile.gettempdir()) < TEMPORARY_MAX
    folder = Path(tempfile.mkdtemp(prefix="dnstap-bgp-demo-", dir=None if short else "/tmp"))  # noqa: S108 - mkdtemp
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
