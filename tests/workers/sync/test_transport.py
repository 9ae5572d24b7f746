"""Progress of the sync with a peer, as the status and the log tell it."""

import logging

import pytest

from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog
from dnstap_bgp.workers.sync.hub import Delivered
from dnstap_bgp.workers.sync.transport import ERROR_MAX_CHARS, PeerProgress

logger = logging.getLogger("dnstap_bgp.tests")


@pytest.fixture
def progress(caplog: pytest.LogCaptureFixture) -> PeerProgress:
    caplog.set_level(logging.INFO)
    return PeerProgress("192.0.2.1:8080", RateLimitedLog(logger, process_clock))


def test_a_peer_that_was_not_reached_yet(progress: PeerProgress):
    found = progress.status()
    assert (found.address, found.state, found.why) == ("192.0.2.1:8080", "connecting", "not reached yet")
    assert (found.synced_s_ago, found.carrier, found.is_configured) == (None, "unknown", True)


@pytest.mark.parametrize("state", ["loading", "following", "self"])
def test_states_in_which_all_is_well(progress: PeerProgress, state):
    progress.failed("once")
    progress.heard(state)
    found = progress.status()
    assert (found.state, found.why, found.errors) == ("ok", "", 1)
    assert found.synced_s_ago is not None
    assert 0 <= found.synced_s_ago < 10


def test_counts_add_up(progress: PeerProgress):
    progress.came(Delivered(2, 1, 3))
    progress.came(Delivered(1, 0, 0))
    found = progress.status()
    assert (found.taken, found.refused) == (3, 3)


def test_words_of_a_peer_are_safe_for_a_terminal_and_short(progress: PeerProgress, caplog: pytest.LogCaptureFixture):
    progress.failed("it answers 500: \x1b[2J\n" + "x" * 10_000)
    found = progress.status()
    assert found.state == "failing"
    assert found.why.isprintable()
    assert len(found.why) <= ERROR_MAX_CHARS
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_a_state_is_logged_when_it_changes(progress: PeerProgress, caplog: pytest.LogCaptureFixture):
    for _ in range(5):
        progress.failed("refused")
    for _ in range(5):
        progress.heard("following")
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_fault_of_ours_is_named_and_its_words_are_not_used(progress: PeerProgress):
    progress.failed_by_fault(logger, ExceptionGroup("two", [ExceptionGroup("one", [KeyError("\x1b" * 1000)])]))
    found = progress.status()
    assert "a fault of ours: KeyError" in found.why
    assert found.why.isprintable()
