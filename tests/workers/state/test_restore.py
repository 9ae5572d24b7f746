"""Restore: ages in the reader's clock, downtime, reboots, and files that are none of ours."""

import os
import threading

import pytest

from dnstap_bgp.errors import ForeignFileError
from dnstap_bgp.workers.state.store import Store
from tests.workers.state.store_kit import ONE, Held, Life, SetClock, address, claim, read


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.msgpack"


def test_times_come_back_in_the_readers_clock(path):
    life = Life(path)
    given = claim(1, seen_ago_s=100.5)
    life.held.adopt([given])
    assert life.store.append(claims=[given]).wait(10)
    life.end()
    (found,) = read(path)[0].claims.values()
    assert abs(found.seen - given.seen) < 0.002
    assert abs(found.first - given.first) < 0.002


def test_claims_that_ended_meanwhile_stay_out_and_what_was_told_stays_in(path):
    life = Life(path)
    life.held.announced[address(1)] = ONE
    old = claim(1, seen_ago_s=20.0, ttl_s=10.0)
    life.held.adopt([old])
    assert life.store.append(claims=[old], records=[(address(1), ONE)]).wait(10)
    life.end()
    held, report = read(path)
    assert not held.claims
    assert held.announced == {address(1): ONE}
    assert report.expired >= 1


def test_downtime_counts_in_one_boot_and_across_boots(path):
    clock = SetClock()
    life = Life(path, clock=clock)
    assert life.announce(1)
    life.end()
    (given,) = life.held.claims.values()

    clock.boottime_jump_s += 1000
    held, report = read(path, clock)
    assert abs(held.claims[given[:3]].seen - given.seen) < 0.01  # the same instant: the clock itself has moved on
    assert 1000 <= report.downtime_s < 1010

    clock.reboot(off_s=500)
    held, report = read(path, clock)
    assert abs(clock().boottime_s - held.claims[given[:3]].seen - 500) < 10
    assert not report.same_boot


def test_another_kind_of_file_is_refused(path):
    path.write_bytes(b"SQLite format 3\x00" + bytes(100))
    refused = Store(path, lambda: None)
    assert refused.lock(threading.Event())
    with pytest.raises(ForeignFileError, match=r"state\.msgpack is no state file .* SQLite"):
        refused.recall(lambda _: None)
    assert not refused.append(records=[(address(1), ONE)]).wait(1000)
    status = refused.status
    assert (status.durable, status.queued) == (False, 0)
    assert "SQLite" in (status.error or "")
    refused.shutdown()
    assert refused.join(1)


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_refused(path, kind):
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    refused = Store(path, lambda: None)
    with pytest.raises(ForeignFileError, match="no regular file"):
        refused.recall(lambda _: None)


def test_a_recall_that_is_given_up_loses_nothing(path):
    life = Life(path)
    for first in range(0, 3000, 1000):  # a block each
        assert life.announce(*range(first, first + 1000))
    life.end()
    held, store = Held(), Store(path, lambda: None)
    assert store.lock(threading.Event())
    store.recall(held.recall, lambda: True)
    assert len(held.announced) <= 1000, "no block but the first"  # of a snapshot: claims
    store.start(held.walk)
    store.shutdown()
    assert store.join(10)
    assert len(read(path)[0].announced) == len(read(path)[0].claims) == 3000
