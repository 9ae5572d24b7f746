"""Behind a real unbound at full tilt: is a frame lost for want of a reader, and whose CPU does it take?

unbound answers from its cache, tapped over a unix socket by the real plugin; dnsperf asks as fast as it is answered, on
the same cores. unbound drops what its tap's queue has no room for, so answers less frames is what was lost.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from tests.bench.figure import Figure, LackingError, Settings
from tests.bench.plugin_process import Host, Plugin, cpu_s, wait_until

NAMES = 5_000
LISTED = 20
"""One name in so many is on the list."""
SECONDS = 5
PORT = 5399
PROGRAMS = {"unbound": "unbound", "unbound-control": "unbound", "dnsperf": "dnsperf"}


def run(settings: Settings) -> Iterator[Figure]:
    """Take the figures."""
    missing = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)})
    if missing:
        raise LackingError(f"missing (Debian packages): {', '.join(missing)}")
    seconds = settings.size(SECONDS, 1)
    lost, answered, ours, theirs = [], [], [], []
    for number in range(settings.rounds):
        settings.say(f"full tilt, round {number + 1}")
        folder = settings.fresh_folder("resolver")
        questions = _write_names(folder)
        listed = [f"n{index}.example" for index in range(0, NAMES, LISTED)]
        with (
            Host() as host,
            Plugin(folder, listed).start(host.stdin, host.stdout).listening() as plugin,
            Unbound(folder, plugin.tap) as unbound,
        ):
            _ask(questions, 1)  # every name is in its cache by now
            unbound.settle(plugin)
            frames, answers = plugin.counters()["frames"], unbound.answers()
            cpu = plugin.cpu_s(), cpu_s(unbound.pid)
            _ask(questions, seconds)
            unbound.settle(plugin)
            frames, answers = plugin.counters()["frames"] - frames, unbound.answers() - answers
            ours.append((plugin.cpu_s() - cpu[0]) / answers * 1e6)
            theirs.append((cpu_s(unbound.pid) - cpu[1]) / answers * 1e6)
        lost.append(float(answers - frames))
        answered.append(answers / seconds)
    yield Figure("answers", "a second", tuple(answered))
    yield Figure("answers without a frame", "", tuple(lost), at_most=0, always=True)
    yield Figure("CPU of the plugin for each answer", "us", tuple(ours), tuple(theirs), "unbound's", at_most=0.5)


class Unbound:
    """The resolver, tapped; as a context manager it is ended."""

    def __init__(self, folder: Path, tap: Path) -> None:
        self._config = folder / "unbound.conf"
        self._log = (folder / "unbound.log").open("wb")
        self._config.write_text(f"""\
server:
  interface: 127.0.0.1
  port: {PORT}
  num-threads: 1
  chroot: ""
  username: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  verbosity: 1
  do-not-query-localhost: no
  module-config: "iterator"
auth-zone:
  name: "example"
  zonefile: "{folder}/example.zone"
  for-downstream: no
  for-upstream: yes
remote-control:
  control-enable: yes
  control-interface: "{folder}/control"
  control-use-cert: no
dnstap:
  dnstap-enable: yes
  dnstap-socket-path: "{tap}"
  dnstap-log-client-response-messages: yes
""")
        self._process = subprocess.Popen(
            ["unbound", "-d", "-c", str(self._config)], stdout=self._log, stderr=subprocess.STDOUT
        )
        wait_until((folder / "control").exists, "unbound runs", 15)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def answers(self) -> int:
        """How many queries it has answered."""
        said = subprocess.run(
            ["unbound-control", "-c", str(self._config), "stats_noreset"], capture_output=True, text=True, check=True
        ).stdout
        found = re.search(r"^total\.num\.queries=(\d+)", said, re.MULTILINE)
        assert found is not None
        return int(found[1])

    def settle(self, plugin: Plugin) -> None:
        """Wait until its tap has nothing more to send: it does so within a second."""
        before = -1
        while (frames := plugin.counters()["frames"]) != before:
            before = frames
            time.sleep(1.2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._log.close()


def _write_names(folder: Path) -> Path:
    """The zone, and the questions in dnsperf's form."""
    zone = "$ORIGIN example.\n$TTL 3600\n@ SOA ns root 1 3600 600 86400 5\n@ NS ns\nns A 127.0.0.1\n"
    records = (f"n{index} A 11.1.{index >> 8}.{index & 255}\n" for index in range(NAMES))
    (folder / "example.zone").write_text(zone + "".join(records))
    questions = folder / "questions"
    questions.write_text("".join(f"n{index}.example A\n" for index in range(NAMES)))
    return questions


def _ask(questions: Path, seconds: int) -> None:
    """Ask as fast as it is answered."""
    done = subprocess.run(
        [
            "dnsperf",
            "-s",
            "127.0.0.1",
            "-p",
            str(PORT),
            "-d",
            str(questions),
            "-l",
            str(seconds),
            "-c",
            "4",
            "-q",
            "100",
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    if done.returncode:
        raise LackingError(f"dnsperf: {done.stderr or done.stdout}")
