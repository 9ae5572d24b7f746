"""Slopes: what grows is found, and what only wavers is not."""

import random

import pytest

from tests.soak.slopes import Limit, fit, grows

LIMIT = Limit(0.05, 2.0)


def wavering(seed: int, slope: float, count: int = 300) -> list[tuple[float, float]]:
    chance = random.Random(seed)
    level, found = 0.0, []
    for number in range(count):
        level = 0.8 * level + chance.gauss(0, 1)
        found.append((number * 2.0, 50 + level + slope * number))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_what_grows_is_found(seed: int):
    slope = fit(wavering(seed, 0.05))
    assert slope is not None
    assert grows(slope, LIMIT)
    assert slope.per_hour == pytest.approx(90, rel=0.5)


@pytest.mark.parametrize("seed", range(20))
def test_what_only_wavers_does_not_grow(seed: int):
    slope = fit(wavering(seed, 0.0))
    assert slope is not None
    assert not grows(slope, LIMIT)


def test_what_fills_at_first_does_not_grow():
    samples = [(at * 2.0, min(100.0, at * 2.0)) for at in range(200)]
    slope = fit(samples)
    assert slope is not None
    assert not grows(slope, LIMIT)


def test_too_few_samples_have_no_slope():
    assert fit(wavering(1, 0.0, 40)) is None
