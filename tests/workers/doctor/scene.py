"""A real tap with a doctor at it, and a clock that can be put forward."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

from dnstap_bgp.config import Config, load
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.core.status import report
from dnstap_bgp.core.status.report import Finding
from dnstap_bgp.core.tap.ingest import Ingest
from dnstap_bgp.workers.doctor.doctor import LOOK_S, Doctor
from dnstap_bgp.workers.exabgp.bgp import Bgp
from dnstap_bgp.workers.lists.manager import ListManager
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.loop import Loop
from dnstap_bgp.workers.routes.guard_inputs import GuardInputs
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.tap.tap import Tap
from dnstap_bgp.workers.web.inspector import Inspector, Parts
from tests.workers.tap.senders_kit import DEADLINE_S, wait_until

CONFIG = """\
domains = "domains.txt"
runtime_dir = "{folder}"
[dnstap]
listen = {listen}
handshake_timeout = "1s"
{dnstap}
[bgp]
next_hop = "192.0.2.1"
"""


class Scene:
    """The parts that the doctor looks at, started; use as a context manager."""

    def __init__(self, folder: Path, *, listen: str = "tap.sock", dnstap: str = "", rules: str = "example") -> None:
        self.config = write(folder, listen, dnstap)
        self.ahead_s = 0.0
        names = RuleSet.build([("default", [Rule(rules.encode())])])
        table = RouteTable(GuardInputs().policies(self.config, {}))
        self.keeper = Keeper(table, Views(), names)
        self._pipes = os.pipe(), os.pipe()
        (host_in, _), (_, host_out) = self._pipes
        nothing = _Nothing()
        self.bgp = Bgp(host_in, host_out, nothing, nothing)
        self.tap = Tap(
            self.config.dnstap, self.keeper, Ingest(names, self.config.dnstap.messages), nothing, clock=self.clock
        )
        listing = ListManager(folder / "lists", nothing, Loop(nothing))
        parts = Parts(self.keeper, self.tap, self.bgp, None, listing)
        view = Inspector(parts, self.config, lambda: report.WebStatus((), 0, 0, {}))
        self._view = view
        self.doctor = Doctor(self.config, self.tap, self.keeper, self._view.status, self.clock)

    def __enter__(self) -> Self:
        self.tap.start()
        wait_until(lambda: all(one.problem is None for one in self.tap.status().listeners), "listening")
        return self

    def __exit__(self, *_: object) -> None:
        self.tap.shutdown()
        self.tap.join(DEADLINE_S)
        self.tap.close()
        self.bgp.close()
        for end in (end for pipe in self._pipes for end in pipe):
            with contextlib.suppress(OSError):
                os.close(end)

    def clock(self) -> float:
        return process_clock() + self.ahead_s

    def hold_is(self, hold: Callable[[], report.HoldStatus]) -> None:
        """Have the status tell this of the hold service."""
        self._view.hold = hold

    def look(self) -> dict[str, Finding]:
        """Let the doctor look now; what it finds, by kind."""
        self.doctor._due = 0.0
        self.doctor.look()
        return {finding.kind: finding for finding in self.doctor.findings()}

    def finds(self, kind: str) -> Finding:
        """Wait until the doctor finds it."""
        found: Finding = wait_until(lambda: self.look().get(kind), kind)
        return found

    def judges(self, kind: str, send: Callable[[], object]) -> Finding:
        """Wait until the doctor finds it of a sender, which goes on with what it sends from look to look."""

        def sent() -> Finding | None:
            self.ahead_s += LOOK_S
            send()
            return self.look().get(kind)

        found: Finding = wait_until(sent, kind)
        return found


class _Nothing:
    def __call__(self, *_: object) -> None:
        """For what nobody waits for here."""


def write(folder: Path, listen: str = "tap.sock", dnstap: str = "") -> Config:
    """Write a configuration and load it."""
    (folder / "domains.txt").write_text("example\n")
    path = folder / "dnstap-bgp.toml"
    path.write_text(CONFIG.format(folder=folder, listen=f'"{listen}"', dnstap=dnstap))
    return load(path)
