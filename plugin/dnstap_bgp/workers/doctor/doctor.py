"""Looks now and then at what there is, and says what is wrong; no thread of its own.

Whoever calls `look` pays for it, a millisecond every few seconds. The tap pays for a copy of 8 KiB of each connection
in that time, and nothing else.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from dnstap_bgp.config import Config
from dnstap_bgp.core.doctor import examine
from dnstap_bgp.core.doctor.clues import Access, Clues, Recent, Seen
from dnstap_bgp.core.doctor.senders import ALONE_S
from dnstap_bgp.core.status.findings import Finding
from dnstap_bgp.core.status.status import Status
from dnstap_bgp.workers.doctor import reach
from dnstap_bgp.workers.process.bounded_log import BoundedLog
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.tap.tap import Tap

logger = logging.getLogger(__name__)

LOOK_S = 5.0
"""Soon enough for whoever waits for it with a configuration open, and a sample of a few senders costs nothing."""

RECENT_S = 300.0
"""What "of late" means: long enough for a household's handful of answers, short enough to see that it was mended."""

REACH_S = 60.0
"""How often it is looked whether resolvers could reach our sockets, while none ever has."""

REPEAT_S = 3600.0
"""A condition that comes and goes is logged once in so long."""

REMEMBERED_MAX = 1_000
"""Conditions that were logged: each has a neighbor, a list or a sender; more of them are made up."""

TOLD_ELSEWHERE = frozenset(
    {"tap-listener", "web-listener", "lists-refused", "no-state-file", "state-file", "state-late", "dry-run"}
    | {"list-pending", "list-stale", "list-held", "list-error", "nearly-full", "static-refused", "peer"}
)
"""Kinds of findings that the log has from whoever came upon them."""

_LEVELS: Mapping[str, int] = {"error": logging.ERROR, "warning": logging.WARNING, "note": logging.INFO}


class _Mark(NamedTuple):
    """Counters at one time."""

    at: float
    counters: Mapping[str, int]
    refused: Mapping[str, int]


class Doctor:
    """What is wrong, as of the last look.

    Attributes:
        config: What is in force; replaced by a reload.
    """

    def __init__(
        self,
        config: Config,
        tap: Tap,
        keeper: Keeper,
        status: Callable[[], Status],
        clock: Callable[[], float] = process_clock,
    ) -> None:
        """Make one.

        Args:
            config: What is in force.
            tap: Gives samples.
            keeper: Knows the policies.
            status: Gives the status of now; called by the thread that looks.
            clock: Seconds, never going back.
        """
        self.config = config
        self._tap = tap
        self._keeper = keeper
        self._status = status
        self._clock = clock
        self._log = BoundedLog(logger, clock)
        self._due = 0.0
        self._seen: dict[str, Seen] = {}
        self._marks: deque[_Mark] = deque(maxlen=int(RECENT_S / LOOK_S))
        self._since: dict[tuple[str, str], float] = {}
        self._told: dict[tuple[str, str], float] = {}
        self._open: set[tuple[str, str]] = set()  # of the findings of now, those that the log has
        self._access, self._reach_due = Access(), 0.0
        self._findings: tuple[Finding, ...] = ()

    def findings(self) -> tuple[Finding, ...]:
        """What is wrong, the worst first; any thread may ask."""
        return self._findings

    def look(self) -> None:
        """Look, if it is time; one thread."""
        now = self._clock()
        if now < self._due:
            return
        self._due = now + LOOK_S
        status = self._status()
        before, self._findings = self._findings, examine(status, self._clues(status, now))
        self._tell(before, self._findings, now)

    # -- clues

    def _clues(self, status: Status, now: float) -> Clues:
        host = status.exabgp
        neighbors = host.neighbors if host is not None else ()
        streaming = any(sender.state == "streaming" for sender in status.tap.connections)
        ready = host is not None and host.stage == "ready"
        down = {one.address: self._lasting("down", one.address, now, so=not one.up) for one in neighbors}
        self._forget({one.address for one in neighbors})
        alone_s = self._lasting("alone", "", now, so=not streaming)
        return Clues(
            messages=self.config.dnstap.messages,
            seen=self._samples(status),
            alone_s=alone_s,
            opening_s=self._lasting("opening", "", now, so=not ready),
            down_s={address: down_s for address, down_s in down.items() if down_s},
            recent=self._recent(status, now),
            no_next_hop=_no_next_hop(self.config),
            static_refused=len(self._keeper.table.policies.refused),
            access=self._reach(now) if alone_s > ALONE_S and not status.tap.accepted else Access(),
        )

    def _samples(self, status: Status) -> dict[str, Seen]:
        """Add the new samples to what was seen; who is gone is forgotten. A process's connections are taken as one."""
        there = {sender.peer for sender in status.tap.connections}
        self._seen = {peer: seen for peer, seen in self._seen.items() if peer in there}
        for peer, sample in self._tap.take_samples():
            self._seen[peer] = self._seen.get(peer, Seen()).plus(sample)
        return self._seen

    def _reach(self, now: float) -> Access:
        """Who can reach the sockets, looked up now and then: users may be a directory server's."""
        if now >= self._reach_due:
            self._reach_due = now + REACH_S
            self._access = reach.look(self.config.dnstap.listen)
        return self._access

    def _recent(self, status: Status, now: float) -> Recent:
        mark = _Mark(now, dict(status.tap.counters), dict(status.routes.refused))
        while self._marks and self._marks[0].at < now - RECENT_S:
            self._marks.popleft()
        first = self._marks[0] if self._marks else mark
        self._marks.append(mark)
        grown = {name: count - first.counters.get(name, 0) for name, count in mark.counters.items()}
        return Recent(
            sightings=grown["sightings"],
            foreign=grown["foreign"],
            rewritten=grown["rewritten"],
            refused=dict(Counter(mark.refused) - Counter(first.refused)),
        )

    def _lasting(self, what: str, subject: str, now: float, *, so: bool) -> float:
        """How long something has been so, in seconds, at least a moment; 0: it isn't."""
        if not so:
            self._since.pop((what, subject), None)
            return 0.0
        return max(now - self._since.setdefault((what, subject), now), 1e-3)

    def _forget(self, neighbors: set[str]) -> None:
        for key in [key for key in self._since if key[0] == "down" and key[1] not in neighbors]:
            del self._since[key]

    # -- the log

    def _tell(self, before: tuple[Finding, ...], after: tuple[Finding, ...], now: float) -> None:
        """Say what has come and gone, each condition once an hour at most."""
        old, new = ({(one.kind, one.subject): one for one in found} for found in (before, after))
        for key, finding in new.items():
            if key not in old and finding.kind not in TOLD_ELSEWHERE and now >= self._told.get(key, now):
                self._remember(key, now + REPEAT_S)
                self._open.add(key)
                self._log.say(_LEVELS[finding.level], finding.kind, "doctor: %s", finding)
        for key, finding in old.items():
            if key not in new and key in self._open:
                self._open.discard(key)
                self._log.say(logging.INFO, f"{finding.kind} gone", "doctor: no longer so: %s", finding.text)

    def _remember(self, key: tuple[str, str], until: float) -> None:
        if len(self._told) >= REMEMBERED_MAX:
            self._told.clear()
        self._told[key] = until


def _no_next_hop(config: Config) -> tuple[str, ...]:
    """The families that some list can't announce, though nobody has switched them off."""
    policies = config.policies()
    missing = []
    if any(policy.ipv4 is None for policy in policies):
        missing.append("IPv4")
    if config.ipv6 is not False and any(policy.ipv6 is None for policy in policies):
        missing.append("IPv6")
    return tuple(missing)
