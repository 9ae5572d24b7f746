"""Slopes of what is sampled: a least-squares fit with its confidence, and a verdict that chance alone doesn't give."""

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

BLOCKS = 20
"""Samples that follow each other are alike, and so no independent ones. Means of blocks nearly are; what is left of it
widens the interval, as for an autoregressive series of first order."""

ALIKE_MAX = 0.9

STUDENT_95 = 2.101
"""Of Student's t with 18 degrees of freedom, for 95 % in the middle."""

WARM_UP_SHARE = 0.4
"""Of the samples: caches and tables fill first, for some minutes."""


class Slope(NamedTuple):
    """Line through samples.

    Attributes:
        mean: Of all.
        per_hour: The slope.
        error: Half of its 95 % interval.
        grown: What it makes over the time of the samples.
    """

    mean: float
    per_hour: float
    error: float
    grown: float


class Limit(NamedTuple):
    """What a series may grow over the whole time, besides what chance explains.

    Attributes:
        share: Of its mean.
        more: In its unit.
    """

    share: float
    more: float


def fit(samples: Sequence[tuple[float, float]]) -> Slope | None:
    """Fit a line to samples of (seconds, value), without the first `WARM_UP_SHARE`; None: they are too few."""
    used = samples[int(len(samples) * WARM_UP_SHARE) :]
    if len(used) < 2 * BLOCKS:
        return None
    bounds = [len(used) * number // BLOCKS for number in range(BLOCKS + 1)]
    blocks = [used[low:high] for low, high in pairwise(bounds)]
    times = [statistics.fmean(at for at, _ in block) for block in blocks]
    values = [statistics.fmean(value for _, value in block) for block in blocks]
    line = statistics.linear_regression(times, values)
    middle = statistics.fmean(times)
    spread = sum((at - middle) ** 2 for at in times)
    rests = [value - line.intercept - line.slope * at for at, value in zip(times, values, strict=True)]
    squares = sum(rest * rest for rest in rests)
    alike = sum(one * other for one, other in pairwise(rests)) / squares if squares else 0.0
    alike = min(max(alike, 0.0), ALIKE_MAX)
    error = STUDENT_95 * math.sqrt(squares / (BLOCKS - 2) / spread * (1 + alike) / (1 - alike))
    return Slope(statistics.fmean(values), line.slope * 3600, error * 3600, line.slope * (used[-1][0] - used[0][0]))


def grows(slope: Slope, limit: Limit) -> bool:
    """Tell whether a series grows: surely, and by more than its limit."""
    return slope.per_hour > slope.error and slope.grown > limit.share * abs(slope.mean) + limit.more
