import os
import stat
import subprocess
import sys
import threading

import pytest

from dnstap_bgp.core.state.pending import Pending
from dnstap_bgp.errors import ForeignFileError
from dnstap_bgp.workers.state import journal, store
from dnstap_bgp.workers.state.statefile import StateFile
from dnstap_bgp.workers.state.store import Store
from tests.workers.state.store_kit import ONE, TWO, Held, Life, SetClock, address, claim, read, until


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.msgpack"


def test_what_is_appended_comes_back(path):
    life = Life(path)
    assert not life.report.found
    assert life.announce(1, 2)
    assert life.announce(2, 3, attributes=TWO)
    assert life.withdraw(1)
    life.end()

    held, report = read(path)
    assert held.told == {address(2): TWO, address(3): TWO}
    assert held.addresses == {address(1), address(2), address(3)}
    assert report.same_boot
    assert report.survey.holes_total == 0


def test_a_served_ticket_is_in_the_file_before_any_sync(path):
    life = Life(path, sync_interval_s=1000.0)
    for number in range(20):
        assert life.announce(number)
        held, _ = read(path)
        assert held.told == {address(n): ONE for n in range(number + 1)}
    life.end()


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
    life.held.told[address(1)] = ONE
    old = claim(1, seen_ago_s=20.0, ttl_s=10.0)
    life.held.adopt([old])
    assert life.store.append(claims=[old], told=[(address(1), ONE)]).wait(10)
    life.end()
    held, report = read(path)
    assert not held.claims
    assert held.told == {address(1): ONE}
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


def test_after_a_reboot_the_file_gets_stamps_of_this_boot(path):
    clock = SetClock()
    life = Life(path, clock=clock)
    assert life.announce(1)
    life.end()
    clock.reboot(off_s=500)
    life = Life(path, clock=clock)
    until(lambda: life.store.status.snapshots == 1)
    life.end()
    assert read(path, clock)[1].same_boot


def test_the_file_is_rewritten_when_it_has_grown(path, monkeypatch):
    monkeypatch.setattr(journal, "GROWTH_MIN_BYTES", 20_000)
    life = Life(path)
    for number in range(300):
        assert life.announce(number % 7, 100 + number % 7, attributes=(ONE, TWO)[number % 2])
    until(lambda: life.store.status.snapshots > 1)
    life.end()
    assert path.stat().st_size < 45_000
    held, report = read(path)
    assert held.told == life.held.told
    assert report.survey.snapshot_bytes > 0


def test_what_is_appended_during_a_snapshot_is_in_both(path):
    held = Held()
    life = Life(path, held)
    assert life.announce(*range(3000))
    before = path.stat().st_ino
    walked, go_on = threading.Event(), threading.Event()
    walk = held.walk

    def slow_walk():
        chunks = walk()
        yield next(chunks)
        walked.set()
        assert go_on.wait(10)
        yield from chunks

    life.store._journal.walk = slow_walk
    saved = life.store.save()
    assert walked.wait(10)
    appended = life.store.append(told=[(address(1), TWO)], untold=[address(2)])
    life.held.told[address(1)] = TWO
    del life.held.told[address(2)]
    go_on.set()
    assert appended.wait(10)
    assert saved.wait(10)
    assert path.stat().st_ino != before
    assert read(path)[0].told == life.held.told
    life.end()


def test_a_full_queue_costs_a_snapshot_and_no_record(path):
    life = Life(path, pending=Pending(at_most=10))
    assert life.announce(0)
    life.announce(*range(50))
    assert life.store.save().wait(10)
    assert life.announce(51)
    life.end()
    assert read(path)[0].told == life.held.told


def test_shutdown_writes_what_is_queued(path):
    life = Life(path)
    for number in range(2000):
        life.announce(number, wait_s=0)
    life.end()
    assert read(path)[0].told == {address(number): ONE for number in range(2000)}


def test_shutdown_gives_up_a_snapshot_that_nobody_needs(path):
    life = Life(path)
    assert life.announce(*range(100))
    inode = path.stat().st_ino
    walking = threading.Event()

    def endless_walk():
        while True:
            walking.set()
            yield [claim(number) for number in range(100)], []

    life.store._journal.walk = endless_walk
    saved = life.store.save()
    assert walking.wait(10)
    life.store.append(told=[(address(7), TWO)])
    life.end()
    assert not saved.wait(10)
    assert path.stat().st_ino == inode
    assert sorted(file.name for file in path.parent.iterdir()) == ["state.msgpack", "state.msgpack.lock"]
    assert read(path)[0].told[address(7)] == TWO


def test_tickets_after_the_end_are_refused_at_once(path):
    life = Life(path)
    life.end()
    assert not life.store.append(told=[(address(1), ONE)]).wait(1000)


def test_files_are_private(path):
    path.parent.chmod(0o755)
    umask = os.umask(0)
    try:
        life = Life(path)
        assert life.announce(1)
        life.end()
    finally:
        os.umask(umask)
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_a_symbolic_link_stays_one(path, tmp_path):
    target = tmp_path / "elsewhere"
    target.mkdir()
    path.symlink_to(target / "real")
    life = Life(path)
    assert life.announce(1)
    assert life.store.save().wait(10)
    life.end()
    assert path.is_symlink()
    assert read(path)[0].told == {address(1): ONE}


def test_a_draft_of_a_killed_process_does_not_matter(path):
    path.with_name("state.msgpack.new").write_bytes(b"half a draft" * 1000)
    life = Life(path)
    assert life.announce(1)
    assert life.store.save().wait(10)
    life.end()
    assert read(path)[0].told == {address(1): ONE}
    assert not path.with_name("state.msgpack.new").exists()


def test_a_removed_file_is_written_anew(path):
    life = Life(path, sync_interval_s=0.05)
    assert life.announce(1)
    path.unlink()
    assert life.announce(2)
    until(path.exists)
    until(lambda: read(path)[0].told == {address(1): ONE, address(2): ONE})
    life.end()


def test_another_kind_of_file_in_its_place_is_left_alone(path, caplog):
    life = Life(path, sync_interval_s=0.05)
    assert life.announce(1)
    path.unlink()
    path.write_text("precious\n")
    life.announce(2)
    until(lambda: not life.store.status.durable)
    assert not life.announce(3, wait_s=1000)
    life.end()
    assert path.read_text() == "precious\n"
    assert "text file" in caplog.text


def test_another_kind_of_file_is_refused(path):
    path.write_bytes(b"SQLite format 3\x00" + bytes(100))
    refused = Store(path, lambda: None)
    assert refused.lock(threading.Event())
    with pytest.raises(ForeignFileError, match=r"state\.msgpack is no state file .* SQLite"):
        refused.load(lambda _: None, lambda _told, _untold: None)
    assert not refused.append(told=[(address(1), ONE)]).wait(1000)
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
        refused.load(lambda _: None, lambda _told, _untold: None)


def test_the_second_waits_for_the_first_to_end(path, caplog, monkeypatch):
    monkeypatch.setattr(store, "LOCK_SAY_AFTER_S", 0.1)
    first = Life(path)
    second = Store(path, lambda: None)
    got: list[bool] = []
    waiter = threading.Thread(target=lambda: got.append(second.lock(threading.Event())))
    waiter.start()
    until(lambda: "another process holds the lock" in caplog.text)
    assert first.announce(1)
    assert not got
    first.end()
    waiter.join(10)
    assert got == [True]
    held = Held()
    second.load(held.adopt, held.recall)
    second.shutdown()
    assert held.told == {address(1): ONE}


def test_waiting_for_the_lock_can_be_interrupted(path):
    first = Life(path)
    stop = threading.Event()
    stop.set()
    assert not Store(path, lambda: None).lock(stop)
    first.end()


def test_the_lock_ends_with_a_killed_process(path):
    code = (
        "import sys, time; from pathlib import Path; from dnstap_bgp.workers.state.statefile import StateFile;"
        "file = StateFile(Path(sys.argv[1])); print(file.lock(), flush=True); time.sleep(1000)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, env=_env())
    assert child.stdout is not None
    assert child.stdout.readline() == b"True\n"
    file = StateFile(path)
    assert not file.lock()
    child.kill()
    child.communicate()
    assert file.lock()
    file.close()


def test_a_crash_is_told(path, caplog):
    life = Life(path)
    assert life.announce(1)

    def broken_walk():
        msg = "our own bug"
        raise RuntimeError(msg)
        yield

    life.store._journal.walk = broken_walk
    assert not life.store.save().wait(10)
    until(lambda: life.crashes == ["crash"])
    assert life.store.join(10)
    assert "our own bug" in caplog.text
    assert not life.announce(2)


def _env():
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
