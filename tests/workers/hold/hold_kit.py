"""A hold service with a real keeper and a stand-in for ExaBGP at the pipes, and hooks that ask it."""

import contextlib
import threading
import time
from dataclasses import replace
from pathlib import Path

from dnstap_bgp.config import Config, parse
from dnstap_bgp.core.exabgp import api_session
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.hold.hook_answers import HookAnswers
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.model import Attributes, Policy
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.workers.exabgp.bgp import Bgp
from dnstap_bgp.workers.hold.service import HoldService
from dnstap_bgp.workers.routes.keeper import Keeper
from tests.integration.hook_asker import NO_NEIGHBOR, Asker
from tests.workers.exabgp.bgp_kit import DOWN_ROW, Script

DEADLINE_S = 40.0
PLAIN = 'listen = "hold.sock"'
BOUND_S = 15.0
"""How long a question may wait for its route here, longer than the configuration lets anybody: what settles on a quiet
machine is to settle on a busy one. Tests of the bound itself ask for a short one by `give_up`."""
HASTY = PLAIN + '\ngive_up = "200ms"'
RULES = RuleSet.build([("default", [Rule(b"example")])])
POLICY = Policy(list="default", ipv4=Attributes(bytes([192, 0, 2, 1])), ipv6=None, ttl_s=100.0)
PROTECTED = bytes([11, 9, 9, 9])


def wait_until(condition, what="the condition"):
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true: {found!r}"
        time.sleep(0.005)
    return found


def config(folder: Path, hold: str, bound_s: float = BOUND_S) -> Config:
    base = 'domains = "d.txt"\n[dnstap]\nlisten = "t.sock"\n[bgp]\nnext_hop = "192.0.2.1"\n'
    text = f'runtime_dir = "{folder}"\n{base}' + (f"[hold]\n{hold}\n" if hold else "")
    found = parse(text.encode(), folder / "dnstap-bgp.toml")
    if found.hold is None or found.hold.give_up_s is not None:
        return found
    return replace(found, hold=replace(found.hold, give_up_s=bound_s))


class Stage:
    """A running service. `host` stands where ExaBGP stands: `host.answering.clear()` hangs it.

    With `up` False its neighbor is down, from the first answer on.
    """

    def __init__(self, folder: Path, hold: str = PLAIN, bound_s: float = BOUND_S, *, up: bool = True) -> None:
        self.folder = folder
        self.path = folder / "hold.sock"
        self.crashed = threading.Event()
        self.host = Script()
        if not up:
            self.host.row = DOWN_ROW
        self.host.start()
        self.keeper = Keeper(RouteTable(Policies([POLICY], Guard([PROTECTED], strict=True))), Views(), RULES)
        self.bgp = Bgp(self.host.stdin, self.host.stdout, self.crashed.set, self.crashed.set)
        self.bgp.start_reading()
        self.keeper.resync()
        self.service = HoldService(config(folder, hold, bound_s), self.keeper, lambda: self.bgp.tasks, self.crashed.set)
        self.service.answers = HookAnswers(RULES, self.service.counters)
        self.service.start()
        self.bgp.start(self.keeper, None)
        self.bgp.restored()
        wait_until(self.is_calm if up else self.has_neighbor, "the neighbor is told of, and nothing drains")

    def has_neighbor(self) -> bool:
        with self.keeper.lock:
            tasks = self.bgp.tasks
            return tasks is not None and bool(tasks.neighbors)

    def is_calm(self) -> bool:
        with self.keeper.lock:
            tasks = self.bgp.tasks
            return tasks is not None and any(one.up and not one.draining for one in tasks.neighbors)

    @property
    def status(self):
        status = self.service.status()
        assert status is not None
        return status

    def hook(self, name: str = "test") -> Asker:
        return Asker(self.path, name)

    def close(self) -> None:
        self.host.answering.set()
        self.service.shutdown()
        self.service.join(20)
        self.service.close()
        self.bgp.shutdown()
        self.bgp.join(20)
        self.bgp.close()
        self.host.close()
        assert not self.crashed.is_set()


@contextlib.contextmanager
def stage(folder: Path, hold: str = PLAIN, bound_s: float = BOUND_S, *, up: bool = True):
    before, api_session.POLL_DRAINING_S = api_session.POLL_DRAINING_S, 0.1
    made = Stage(folder, hold, bound_s, up=up)
    try:
        yield made
    finally:
        api_session.POLL_DRAINING_S = before
        made.close()


__all__ = ["BOUND_S", "HASTY", "NO_NEIGHBOR", "PLAIN", "PROTECTED", "RULES", "Stage", "config", "stage", "wait_until"]
