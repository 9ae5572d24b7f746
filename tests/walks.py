"""Traces which of the package's files a way through the program visits, in plugin processes of their own.

Every Python process of a plugin runs under a profile function that notes, with the time, the file of each function of
ours that is entered in any thread. What a timer or the doctor does in the same milliseconds is told apart by
repetition: a file counts if it was visited in most of the rounds.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from tests.bench.plugin_process import Host
from tests.integration.lab import eventually
from tests.integration.speaker import toml

PACKAGE = Path(__file__).parents[1] / "plugin" / "dnstap_bgp"

SITE_CUSTOMIZE = """
import atexit, json, os, sys, threading, time

package = {package!r} + "/"
visits = []

def note(frame, event, _):
    code = frame.f_code
    if event == "call" and code.co_flags & 1 and code.co_filename.startswith(package):  # no body of a module or class
        visits.append((time.monotonic(), threading.current_thread().name, code.co_filename[len(package):]))

def write():
    sys.setprofile(None)
    threading.setprofile(None)
    with open(f"{out}/{{os.getpid()}}", "w") as file:
        json.dump(visits, file)
    visits.clear()

def end(code, leave=os._exit):
    write()
    leave(code)

os._exit = end  # the plugin's last word
atexit.register(write)
threading.setprofile(note)
sys.setprofile(note)
"""


class TracedPlugin:
    """A plugin with a host that answers at once; ended, it tells what was visited.

    Attributes:
        host: The stand-in for ExaBGP.
        tap: Where its resolver connects.
        domains: Its list.
    """

    def __init__(self, folder: Path, **tables: Mapping[str, Any]) -> None:
        folder.mkdir()
        self.host = Host()
        self.tap, self.domains, self._log = (folder / name for name in ("tap.sock", "domains.txt", "log"))
        self._visits, config, site = (folder / name for name in ("visits", "dnstap-bgp.toml", "site"))
        self._visits.mkdir()
        site.mkdir()
        (site / "sitecustomize.py").write_text(SITE_CUSTOMIZE.format(package=str(PACKAGE), out=self._visits))
        self.domains.write_text("example\n")
        lists = [{"name": "default", "sources": [str(self.domains)], "format": "plain"}]
        files = {"list": lists, "cache": str(folder / "state"), "runtime_dir": str(folder / "run")}
        config.write_text(
            toml({**files, "dnstap": {"listen": str(self.tap)}, "bgp": {"next_hop": "10.99.0.1"}, **tables})
        )
        environment = {**os.environ, "PYTHONPATH": f"{site}:{PACKAGE.parent}"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "dnstap_bgp", "plugin", "--config", str(config)],
                env=environment,
                stdin=self.host.stdin,
                stdout=self.host.stdout,
                stderr=log,
            )

    def __enter__(self) -> Self:
        try:
            eventually(self.tap.exists, 30, "the plugin listens")
        except BaseException:  # the host's threads would keep the tests' process from ending
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        self.host.close()

    def visited(self, windows: Iterable[tuple[float, float]], thread: str = "") -> set[str]:
        """The plugin's files that were visited in most of these windows (monotonic clock), relative to the package.

        `thread` names the only one that counts. The slower half of the windows is left out: on a busy machine timers of
        others fall into long ones.
        """
        visits = json.loads((self._visits / str(self._process.pid)).read_text())
        counts: Counter[str] = Counter()
        windows = sorted(windows, key=lambda window: window[1] - window[0])
        windows = windows[: (len(windows) + 1) // 2]
        for begin, end in windows:
            counts.update({name for at, by, name in visits if begin <= at <= end and by.startswith(thread)})
        return {name for name, count in counts.items() if count > len(windows) / 2}

    def visited_in_children(self) -> set[str]:
        """The files that were visited in any child of the plugin's."""
        files = (file for file in self._visits.iterdir() if file.name != str(self._process.pid))
        return {name for file in files for *_, name in json.loads(file.read_text())}
