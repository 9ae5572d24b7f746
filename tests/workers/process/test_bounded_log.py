"""Log lines at a bounded rate: the first of each kind, and then how many were left out."""

import logging

import pytest

from dnstap_bgp.workers.process.bounded_log import BURST, WINDOW_S, BoundedLog


@pytest.fixture
def told(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


def test_each_kind_has_its_burst_a_window(told):
    now = 100.0
    log = BoundedLog(logging.getLogger("tests.bounded"), lambda: now)
    for i in range(BURST + 5):
        log.say(logging.WARNING, "a", "line %d", i)
    log.say(logging.INFO, "b", "another kind")
    assert told() == [*(f"line {i}" for i in range(BURST)), "another kind"]
    now += WINDOW_S / 2
    log.say(logging.WARNING, "a", "still full")
    assert len(told()) == BURST + 1
    now += WINDOW_S / 2
    log.say(logging.WARNING, "a", "line %s", "again")
    assert told()[-1] == "line again (and 6 more like this since 60 s ago)"
    now += WINDOW_S
    log.say(logging.WARNING, "a", "line %s", "at last")
    assert told()[-1] == "line at last"
