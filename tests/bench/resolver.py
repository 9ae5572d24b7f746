"""Behind a real unbound at full tilt: is a frame lost for want of a reader, and whose CPU does it take?

unbound answers from its cache, tapped by the real plugin over a unix socket and over TCP; dnsperf asks as fast as it
is answered, on the same cores. unbound drops what its tap's queue (1 MB a thread) has no room for, so answers less
frames is what was lost. A unix socket takes some hundred frames of that queue (`net.core.wmem_default`, at 2 KB for
each), so that its two ends run in turns, at the pace of the system's scheduler; TCP takes megabytes. Whose loss it is
can be seen from the share of the time in which the plugin was ready to run and had no CPU.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.bench.figure import Figure, LackingError, Settings
from tests.bench.plugin_process import Host, Plugin, cpu_s, wait_until

NAMES = 5_000
LISTED = 20
"""One name in so many is on the list."""
SECONDS = 5
PORT = 5399
TAP_PORT = 5398
PROGRAMS = {"unbound": "unbound", "unbound-control": "unbound", "dnsperf": "dnsperf"}


def run(settings: Settings) -> Iterator[Figure]:
    """Take the figures."""
    missing = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)})
    if missing:
        raise LackingError(f"missing (Debian packages): {', '.join(missing)}")
    unix, tcp = [], []
    for number in range(settings.rounds):
        settings.say(f"full tilt, unix socket, round {number + 1}")
        unix.append(_round(settings, ""))
        settings.say(f"full tilt, TCP, round {number + 1}")
        tcp.append(_round(settings, f"127.0.0.1:{TAP_PORT}"))
    yield Figure("answers", "a second", tuple(one.answers_a_s for one in unix))
    for how, rounds in (("unix socket", unix), ("TCP", tcp)):
        lost = tuple(float(one.lost) for one in rounds)
        yield Figure(f"answers without a frame, {how}", "", lost, at_most=0, always=True)
        yield Figure(f"the plugin waits for a CPU, {how}", "of the time", tuple(one.waited for one in rounds))
    ours, theirs = tuple(one.ours_us for one in unix), tuple(one.theirs_us for one in unix)
    yield Figure("CPU of the plugin for each answer", "us", ours, theirs, "unbound's", at_most=0.5)


@dataclass(frozen=True)
class Round:
    """What a round gave: answers, those of them that have no frame, CPU an answer, and how long we waited for one."""

    answers_a_s: float
    lost: int
    ours_us: float
    theirs_us: float
    waited: float


def _round(settings: Settings, listen: str) -> Round:
    seconds = settings.size(SECONDS, 1)
    folder = settings.fresh_folder("resolver")
    questions = _write_names(folder)
    listed = [f"n{index}.example" for index in range(0, NAMES, LISTED)]
    with (
        Host() as host,
        Plugin(folder, listed, listen=listen).start(host.stdin, host.stdout).listening() as plugin,
        Unbound(folder, plugin.tap, tcp=bool(listen)) as unbound,
    ):
        _ask(questions, 1)  # every name is in its cache by now
        unbound.settle(plugin)
        frames, answers = plugin.counters()["frames"], unbound.answers()
        cpu = plugin.cpu_s(), plugin.waited_s(), cpu_s(unbound.pid)
        _ask(questions, seconds)
        waited_s = plugin.waited_s() - cpu[1]
        unbound.settle(plugin)
        frames, answers = plugin.counters()["frames"] - frames, unbound.answers() - answers
        ours_s, theirs_s = plugin.cpu_s() - cpu[0], cpu_s(unbound.pid) - cpu[2]
    us = 1e6 / answers
    return Round(answers / seconds, answers - frames, ours_s * us, theirs_s * us, waited_s / seconds)


class Unbound:
    """The resolver, tapped; as a context manager it is ended."""

    def __init__(self, folder: Path, tap: Path, *, tcp: bool = False) -> None:
        self._config = folder / "unbound.conf"
        self._log = (folder / "unbound.log").open("wb")
        where = f"dnstap-ip: 127.0.0.1@{TAP_PORT}\n  dnstap-tls: no" if tcp else f'dnstap-socket-path: "{tap}"'
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
  {where}
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
