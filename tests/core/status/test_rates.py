"""Rates from counters over time."""

from dnstap_bgp.core.status.rates import Rates


def test_nothing_is_known_of_one_sample():
    rates = Rates()
    assert rates.rate("frames") is None
    rates.take(0.0, {"frames": 5}, {})
    assert rates.rate("frames") is None
    assert rates.series() == {}


def test_two_samples_give_a_rate():
    rates = Rates()
    for at, count in ((0.0, 5), (2.0, 15)):
        rates.take(at, {"frames": count}, {})
    assert rates.rate("frames") == 5.0


def test_the_rate_is_that_of_late():
    rates = Rates()
    for step in range(20):
        rates.take(step * 2.0, {"frames": 100 * step if step > 10 else 0}, {})
    assert rates.rate("frames") == 50.0


def test_a_series_has_rates_and_values_of_the_same_length():
    rates = Rates()
    for step in range(350):
        rates.take(step * 2.0, {"frames": 10 * step}, {"routes": step})
    found = rates.series()
    assert found["frames"] == [5.0] * 300
    assert found["routes"] == list(range(50, 350))


def test_a_sample_is_due_once_in_the_interval():
    rates = Rates()
    assert rates.is_due(0.0)
    rates.take(0.0, {}, {})
    assert not rates.is_due(1.9)
    assert rates.is_due(2.0)


def test_a_rate_is_that_of_ten_seconds_and_no_more():
    rates = Rates()
    for step in range(20):
        rates.take(step * 2.0, {"frames": 0 if step < 14 else 1_000 + 100 * step}, {})
    assert rates.rate("frames") == 50.0


def test_of_two_samples_at_one_moment_there_is_no_rate():
    rates = Rates()
    for count in (1, 5):
        rates.take(0.0, {"frames": count}, {"routes": count})
    assert rates.rate("frames") is None
    assert rates.series() == {"frames": [0.0], "routes": [5]}
