"""Rates from counters over time."""

from dnstap_bgp.core.status.rates import INTERVAL_S, SAMPLES_MAX, Rates


def test_nothing_is_known_of_one_sample():
    rates = Rates()
    assert rates.rate("frames") is None
    rates.take(0.0, {"frames": 5}, {})
    assert rates.rate("frames") is None
    assert rates.series() == {}


def test_the_rate_is_that_of_late():
    rates = Rates()
    for step in range(20):
        rates.take(step * INTERVAL_S, {"frames": 100 * step if step > 10 else 0}, {})
    assert rates.rate("frames") == 100 / INTERVAL_S


def test_a_series_has_rates_and_values_of_the_same_length():
    rates = Rates()
    for step in range(SAMPLES_MAX + 50):
        rates.take(step * INTERVAL_S, {"frames": 10 * step}, {"routes": step})
    found = rates.series()
    assert found["frames"] == [10 / INTERVAL_S] * SAMPLES_MAX
    assert found["routes"] == list(range(50, SAMPLES_MAX + 50))


def test_a_sample_is_due_once_in_the_interval():
    rates = Rates()
    assert rates.is_due(0.0)
    rates.take(0.0, {}, {})
    assert not rates.is_due(INTERVAL_S - 0.1)
    assert rates.is_due(INTERVAL_S)
