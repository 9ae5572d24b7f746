"""Statistics of hooks: verdicts, waits and what was told, by hook; p50 and p99 of the last waits."""

import math
from collections import Counter, deque
from collections.abc import Sequence

from dnstap_bgp.core.hold.message import Verdict
from dnstap_bgp.core.status.report import HookStatus

HOOKS_MAX = 64
"""Hooks that are told apart: a handful is usual. What is more counts as `others`."""
OTHERS = "others"
WAITS_MAX = 1_000
"""The last waits of a hook, of which p50 and p99 are told."""

NEW = frozenset({Verdict.INSTALLED, Verdict.GAVE_UP, Verdict.TOO_MANY})
"""Verdicts on answers whose routes were new."""


class HookStatistics:
    """Statistics of one hook.

    Attributes:
        verdicts: How often each verdict was given.
        told: Questions that wanted no reply.
        dropped: Replies that the hook did not take.
    """

    __slots__ = ("_installed_in_vain", "_waits_s", "dropped", "told", "verdicts")

    def __init__(self) -> None:
        self.verdicts: Counter[Verdict] = Counter()
        self.told = self.dropped = 0
        self._installed_in_vain = 0
        self._waits_s: deque[float] = deque(maxlen=WAITS_MAX)

    def add(self, verdict: Verdict, waited_s: float | None = None) -> None:
        """Count a verdict; `waited_s` of a question that was held."""
        self.verdicts[verdict] += 1
        if waited_s is not None:
            self._waits_s.append(waited_s)

    def drop(self, verdict: Verdict) -> None:
        """Count that the hook did not take a reply with this verdict: its answer leaves by the hook's own time-out."""
        self.dropped += 1
        self._installed_in_vain += verdict is Verdict.INSTALLED

    def status(self, hook: str) -> HookStatus:
        """Copy the statistics; any thread may ask."""
        waits_s = sorted(self._waits_s.copy())
        verdicts = self.verdicts.copy()
        new = sum(verdicts[verdict] for verdict in NEW)
        return HookStatus(
            hook=hook,
            asked=verdicts.total(),
            told=self.told,
            dropped=self.dropped,
            verdicts={verdict.word: verdicts[verdict] for verdict in Verdict},
            held_p50_s=percentile(waits_s, 0.5),
            held_p99_s=percentile(waits_s, 0.99),
            stood_share=round((verdicts[Verdict.INSTALLED] - self._installed_in_vain) / new, 6) if new else None,
        )


class HoldStatistics:
    """Statistics of all hooks."""

    def __init__(self) -> None:
        self._by_hook: dict[str, HookStatistics] = {}

    def of(self, hook: str) -> HookStatistics:
        """Find or make a hook's statistics."""
        found = self._by_hook.get(hook)
        if found is None:
            name = hook if len(self._by_hook) < HOOKS_MAX else OTHERS
            found = self._by_hook.setdefault(name, HookStatistics())
        return found

    def status(self) -> tuple[HookStatus, ...]:
        """Copy the statistics of all hooks, by name; any thread may ask."""
        return tuple(statistics.status(hook) for hook, statistics in sorted(self._by_hook.items()))


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Give the value that so large a share of an ordered sequence does not exceed; None: the sequence is empty."""
    if not ordered:
        return None
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 6)
