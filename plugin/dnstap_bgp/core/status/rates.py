"""Counters over time: the rates of now, and of the last minutes for small plots."""

from collections import deque
from collections.abc import Mapping
from itertools import pairwise

INTERVAL_S = 2.0
SAMPLES_MAX = 300
"""Ten minutes: 100 KB."""

RECENT_S = 10.0
"""Over which a rate of now is taken: long enough to be calm, short enough to see a change."""


class Rates:
    """A ring of samples; for one thread that takes them, while others may read copies.

    What is taken are counters that only grow, and gauges.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, dict[str, int], dict[str, int]]] = deque(maxlen=SAMPLES_MAX + 1)
        self._due = 0.0

    def is_due(self, now: float) -> bool:
        """Tell whether it is time for a sample."""
        return now >= self._due

    def take(self, now: float, counters: Mapping[str, int], gauges: Mapping[str, int]) -> None:
        """Take a sample of counters and gauges; always the same names."""
        self._samples.append((now, dict(counters), dict(gauges)))
        self._due = now + INTERVAL_S

    def rate(self, name: str) -> float | None:
        """Work out a counter's growth a second of late; None: not known yet."""
        samples = list(self._samples)
        if len(samples) < 2:
            return None
        last, counters, _ = samples[-1]
        first, before, _ = next(sample for sample in samples if sample[0] >= last - RECENT_S - INTERVAL_S / 2)
        return (counters[name] - before[name]) / (last - first) if last > first else None

    def series(self) -> dict[str, list[float]]:
        """Copy the whole ring, oldest first: a rate a second for each counter, the value for each gauge."""
        samples = list(self._samples)
        found: dict[str, list[float]] = {}
        for (began, before, _), (at, counters, gauges) in pairwise(samples):
            for name, count in counters.items():
                rate = (count - before[name]) / (at - began) if at > began else 0.0
                found.setdefault(name, []).append(round(rate, 3))
            for name, value in gauges.items():
                found.setdefault(name, []).append(value)
        return found
