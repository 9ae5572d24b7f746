"""Doctor of the running program: looks now and then, keeps findings, and logs what comes and goes; no thread.

Whoever calls `look` pays for it, a millisecond every few seconds. The tap pays for a copy of 8 KiB of each connection
in that time, and nothing else.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from dnstap_bgp.config import Config
from dnstap_bgp.config.policies import list_policies
from dnstap_bgp.core.doctor import examine
from dnstap_bgp.core.doctor.evidence import Evidence, HoldEvidence, Recent, SenderSamples, SocketAccess
from dnstap_bgp.core.doctor.senders import ALONE_S
from dnstap_bgp.core.status.report import Finding, Status
from dnstap_bgp.core.timing import EventLimiter
from dnstap_bgp.workers.doctor import reach
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog
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
    {"tap-listener", "web-listener", "hold-listener", "lists-refused", "no-state-file", "state-file", "state-late"}
    | {"list-pending", "list-stale", "list-held", "list-partial", "list-error", "nearly-full", "static-refused", "peer"}
    | {"dry-run"}
)
"""Kinds of findings that the log has from whoever came upon them."""

_LEVELS: Mapping[str, int] = {"error": logging.ERROR, "warning": logging.WARNING, "note": logging.INFO}


class _Mark(NamedTuple):
    """Counters at one time."""

    at: float
    counters: Mapping[str, int]
    refused: Mapping[str, int]
    claims: int
    replies: Mapping[str, int]
    told: int


class _Counted:
    """Counts of one sender: what came since a mark, which is moved on each `RECENT_S`, is what came of late.

    The mark is between one and two of these periods old, so that a sender whose settings change is soon judged anew.
    """

    __slots__ = ("_at", "_before", "_mark", "_now")

    def __init__(self, now: float) -> None:
        self._at = now
        self._mark = self._before = self._now = (0, 0)

    def take(self, now: float, messages: int, empty: int) -> None:
        if now - self._at >= RECENT_S:
            self._at, self._mark, self._before = now, self._before, self._now
        self._now = messages, empty
        if messages < self._mark[0]:  # other connections of the same name
            self._mark = self._before = (0, 0)

    def of_late(self) -> tuple[int, int]:
        return self._now[0] - self._mark[0], self._now[1] - self._mark[1]


class Doctor:
    """Examiner of the running program; keeps the findings of its last look.

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
        self._log = RateLimitedLog(logger, clock)
        self._due = 0.0
        self._samples: dict[str, SenderSamples] = {}
        self._counted: dict[str, _Counted] = {}
        self._marks: deque[_Mark] = deque(maxlen=int(RECENT_S / LOOK_S))
        self._since: dict[tuple[str, str], float] = {}
        self._limiter = EventLimiter(1, REPEAT_S, REMEMBERED_MAX)
        self._open: set[tuple[str, str]] = set()  # of the findings of now, those that the log has
        self._access, self._reach_due = SocketAccess(), 0.0
        self._cache_ttl_max_s, self._cache_due = reach.CACHE_TTL_MAX_S, 0.0
        self._findings: tuple[Finding, ...] = ()

    def findings(self) -> tuple[Finding, ...]:
        """Give the findings of the last look, the worst first; any thread may ask."""
        return self._findings

    def look(self) -> None:
        """Look, if it is time; one thread."""
        now = self._clock()
        if now < self._due:
            return
        self._due = now + LOOK_S
        status = self._status()
        before, self._findings = self._findings, examine(status, self._evidence(status, now))
        self._tell(before, self._findings, now)

    # -- evidence

    def _evidence(self, status: Status, now: float) -> Evidence:
        host = status.exabgp
        neighbors = host.neighbors if host is not None else ()
        streaming = any(sender.state == "streaming" for sender in status.tap.connections)
        ready = host is not None and host.stage == "ready"
        down = {one.address: self._lasting("down", one.address, now, so=not one.up) for one in neighbors}
        self._forget({one.address for one in neighbors})
        recent, hold = self._recent(status, now)
        # where a hook stands in for the tap (a resolver without DNSTap), nobody is missed who has never come
        has_hook = bool(hold.replies or hold.told) and not status.tap.accepted
        alone_s = self._lasting("alone", "", now, so=not streaming and not has_hook)
        return Evidence(
            messages=self.config.dnstap.messages,
            samples=self._sampled(status, now),
            alone_s=alone_s,
            opening_s=self._lasting("opening", "", now, so=not ready),
            down_s={address: down_s for address, down_s in down.items() if down_s},
            recent=recent,
            no_next_hop=_no_next_hop(self.config),
            static_refused=len(self._keeper.table.policies.refused),
            crowded_rules=self._keeper.crowded_rules(),
            access=self._reach(now) if alone_s > ALONE_S and not status.tap.accepted else SocketAccess(),
            hold=hold,
            sniffers=reach.sniffers(self.config.runtime_dir, time.time()),
        )

    def _sampled(self, status: Status, now: float) -> dict[str, SenderSamples]:
        """Add the new samples and counts to what is known; who is gone is forgotten.

        Connections of one process count as one.
        """
        there = {sender.peer for sender in status.tap.connections}
        self._samples = {peer: known for peer, known in self._samples.items() if peer in there}
        self._counted = {peer: known for peer, known in self._counted.items() if peer in there}
        for peer, sample in self._tap.take_samples():
            self._samples[peer] = self._samples.get(peer, SenderSamples()).plus(sample)
        for peer, (messages, empty) in self._tap.counted().items():
            counted = self._counted.setdefault(peer, _Counted(now))
            counted.take(now, messages, empty)
            of_late = counted.of_late()
            self._samples[peer] = replace(
                self._samples.get(peer, SenderSamples()), messages=of_late[0], empty=of_late[1]
            )
        return self._samples

    def _reach(self, now: float) -> SocketAccess:
        """Look up the access to the sockets, now and then: users may be a directory server's."""
        if now >= self._reach_due:
            self._reach_due = now + REACH_S
            self._access = reach.look(self.config.dnstap.listen)
        return self._access

    def _recent(self, status: Status, now: float) -> tuple[Recent, HoldEvidence]:
        hooks = status.hold.hooks if status.hold is not None else ()
        replies = sum((Counter(hook.verdicts) for hook in hooks), Counter())
        told = sum(hook.told for hook in hooks)
        routes = status.routes
        ever = routes.claims + routes.ended
        mark = _Mark(now, dict(status.tap.counters), dict(routes.refused), ever, replies, told)
        while self._marks and self._marks[0].at < now - RECENT_S:
            self._marks.popleft()
        first = self._marks[0] if self._marks else mark
        self._marks.append(mark)
        grown = {name: count - first.counters.get(name, 0) for name, count in mark.counters.items()}
        recent = Recent(
            sightings=grown["sightings"],
            claims=mark.claims - first.claims,
            foreign=grown["foreign"],
            rewritten=grown["rewritten"],
            refused=dict(Counter(mark.refused) - Counter(first.refused)),
        )
        return recent, self._hold(Counter(mark.replies) - Counter(first.replies), told - first.told, now)

    def _hold(self, replies: Mapping[str, int], told: int, now: float) -> HoldEvidence:
        hold = self.config.hold
        if hold is None:
            return HoldEvidence()
        if now >= self._cache_due:
            self._cache_due = now + REACH_S
            self._cache_ttl_max_s = reach.cache_ttl_max_s()
        policies = list_policies(self.config)
        lifetimes_s = [policy.ttl_s for policy in policies if policy.dns_ttl is None]
        return HoldEvidence(
            replies=replies,
            told=told,
            datagram_queue=reach.datagram_queue() if hold.takes_datagrams else None,
            ttl_s=min(lifetimes_s, default=None),
            cache_ttl_max_s=self._cache_ttl_max_s,
        )

    def _lasting(self, what: str, subject: str, now: float, *, so: bool) -> float:
        """Tell how long something has been so, in seconds, at least a moment; 0: it isn't."""
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
            if key not in old and finding.kind not in TOLD_ELSEWHERE and self._limiter.admit(key, now):
                self._open.add(key)
                self._log.log(_LEVELS[finding.level], finding.kind, "doctor: %s", finding)
        for key, finding in old.items():
            if key not in new and key in self._open:
                self._open.discard(key)
                self._log.log(logging.INFO, f"{finding.kind} gone", "doctor: no longer so: %s", finding.text)


def _no_next_hop(config: Config) -> tuple[str, ...]:
    """Name the families that some list can't announce, though nobody has switched them off."""
    policies = list_policies(config)
    missing = []
    if any(policy.ipv4 is None for policy in policies):
        missing.append("IPv4")
    if config.ipv6 is not False and any(policy.ipv6 is None for policy in policies):
        missing.append("IPv6")
    return tuple(missing)
