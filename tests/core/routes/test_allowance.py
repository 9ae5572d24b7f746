from dnstap_bgp.core.routes.allowance import Allowance


def taken(allowance: Allowance, rate: float, now: float, tries: int) -> int:
    return sum(allowance.take(rate, now) for _ in range(tries))


def test_a_second_holds_its_rate():
    allowance = Allowance()
    assert [taken(allowance, 5.0, 100.0 + second / 2, 100) for second in range(5)] == [5, 2, 3, 2, 3]
    assert taken(allowance, 5.0, 1e6, 100) == 5


def test_less_than_one_a_second():
    allowance = Allowance()
    assert [allowance.take(0.25, float(second)) for second in range(9)] == [True] + [False] * 3 + [True] + [
        False
    ] * 3 + [True]
