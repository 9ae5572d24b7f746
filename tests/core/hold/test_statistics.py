"""Statistics by hook: what is counted, and that nobody fills the memory with names."""

import pytest

from dnstap_bgp.core.hold.message import Verdict
from dnstap_bgp.core.hold.statistics import OTHERS, HoldStatistics, percentile


def test_percentiles_are_values_that_were_there():
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99)) == (50.0, 99.0)
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([], 0.5) is None


def test_verdicts_and_waits_are_told_by_hook():
    statistics = HoldStatistics()
    unbound = statistics.of("unbound")
    for verdict in (Verdict.NOT_OURS, Verdict.NOT_OURS, Verdict.THERE):
        unbound.add(verdict)
    unbound.add(Verdict.INSTALLED, 0.004)
    unbound.add(Verdict.INSTALLED, 0.006)
    unbound.add(Verdict.GAVE_UP, 0.05)
    statistics.of("dnsdist").told += 1
    dnsdist, found = statistics.status()
    assert (dnsdist.hook, dnsdist.asked, dnsdist.told, dnsdist.held_p50_s, dnsdist.stood_share) == (
        "dnsdist",
        0,
        1,
        None,
        None,
    )
    assert (found.hook, found.asked, found.held_p50_s, found.held_p99_s) == ("unbound", 6, 0.006, 0.05)
    assert found.verdicts["not_ours"] == 2
    assert found.stood_share == pytest.approx(2 / 3, abs=1e-5)


def test_a_route_that_stood_when_nobody_took_the_reply_did_not_stand_in_time():
    one = HoldStatistics().of("unbound")
    for _ in range(4):
        one.add(Verdict.INSTALLED, 0.004)
    one.drop(Verdict.INSTALLED)
    one.add(Verdict.NOT_OURS)
    one.drop(Verdict.NOT_OURS)
    found = one.status("unbound")
    assert (found.asked, found.dropped, found.stood_share) == (5, 2, 0.75)


def test_made_up_hooks_count_together():
    statistics = HoldStatistics()
    for number in range(564):
        statistics.of(f"hook{number}").add(Verdict.NOT_OURS)
    found = {one.hook: one for one in statistics.status()}
    assert len(found) == 65
    assert found[OTHERS].asked == 500


def test_only_the_last_waits_are_kept():
    one = HoldStatistics().of("unbound")
    for number in range(2_000):
        one.add(Verdict.INSTALLED, float(number))
    assert one.status("unbound").held_p50_s == 1_499.0
