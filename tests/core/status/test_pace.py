"""Rates from counters over time."""

from dnstap_bgp.core.status.pace import INTERVAL_S, SAMPLES_MAX, Pace


def test_nothing_is_known_of_one_sample():
    pace = Pace()
    assert pace.rate("frames") is None
    pace.take(0.0, {"frames": 5}, {})
    assert pace.rate("frames") is None
    assert pace.series() == {}


def test_the_rate_is_that_of_late():
    pace = Pace()
    for step in range(20):
        pace.take(step * INTERVAL_S, {"frames": 100 * step if step > 10 else 0}, {})
    assert pace.rate("frames") == 100 / INTERVAL_S


def test_a_series_has_rates_and_values_of_the_same_length():
    pace = Pace()
    for step in range(SAMPLES_MAX + 50):
        pace.take(step * INTERVAL_S, {"frames": 10 * step}, {"routes": step})
    found = pace.series()
    assert found["frames"] == [10 / INTERVAL_S] * SAMPLES_MAX
    assert found["routes"] == list(range(50, SAMPLES_MAX + 50))


def test_a_sample_is_due_once_in_the_interval():
    pace = Pace()
    assert pace.is_due(0.0)
    pace.take(0.0, {}, {})
    assert not pace.is_due(INTERVAL_S - 0.1)
    assert pace.is_due(INTERVAL_S)
