"""The write-ahead log: when the file is replaced by a snapshot, and what stands in it then."""

import errno
import threading

import pytest

from dnstap_bgp.core.model import Audience, ViewPrefix
from dnstap_bgp.core.state.pending import Pending
from dnstap_bgp.workers.state import wal
from dnstap_bgp.workers.state.statefile import AppendOnlyFile
from tests.workers.state.store_kit import ONE, TWO, Held, Life, SetClock, address, claim, read, until


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.msgpack"


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
    monkeypatch.setattr(wal, "GROWTH_MIN_BYTES", 20_000)
    life = Life(path)
    for number in range(300):
        assert life.announce(number % 7, 100 + number % 7, attributes=(ONE, TWO)[number % 2])
    until(lambda: life.store.status.snapshots > 1)
    life.end()
    assert path.stat().st_size < 45_000
    held, report = read(path)
    assert held.announced == life.held.announced
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

    life.store._wal.walk = slow_walk
    saved = life.store.save()
    assert walked.wait(10)
    appended = life.store.append(records=[(address(1), TWO), (address(2), None)])
    life.held.announced[address(1)] = TWO
    del life.held.announced[address(2)]
    go_on.set()
    assert appended.wait(10)
    assert saved.wait(10)
    assert path.stat().st_ino != before
    assert read(path)[0].announced == life.held.announced
    life.end()


def test_a_full_queue_costs_a_snapshot_and_no_record(path):
    life = Life(path, pending=Pending(at_most=10))
    assert life.announce(0)
    life.announce(*range(50))
    assert life.store.save().wait(10)
    assert life.announce(51)
    life.end()
    assert read(path)[0].announced == life.held.announced


def test_shutdown_gives_up_a_snapshot_that_nobody_needs(path):
    life = Life(path)
    assert life.announce(*range(100))
    inode = path.stat().st_ino
    walking = threading.Event()

    def endless_walk():
        while True:
            walking.set()
            yield [claim(number) for number in range(100)], []

    life.store._wal.walk = endless_walk
    saved = life.store.save()
    assert walking.wait(10)
    life.store.append(records=[(address(7), TWO)])
    life.end()
    assert not saved.wait(10)
    assert path.stat().st_ino == inode
    assert sorted(file.name for file in path.parent.iterdir()) == ["state.msgpack", "state.msgpack.lock"]
    assert read(path)[0].announced[address(7)] == TWO


def test_a_header_that_cannot_be_written_costs_no_record(path, monkeypatch):
    life = Life(path)
    assert life.announce(1)
    of_view = ViewPrefix(address(2), Audience(("192.0.2.9",)))
    life.held.announced[of_view] = TWO
    failing = threading.Event()

    def set_version(_file, _version):
        failing.set()
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as broken:
        broken.setattr(AppendOnlyFile, "set_version", set_version)
        ticket = life.store.append(records=[(of_view, TWO)])
        assert failing.wait(10)
    until(lambda: ticket.served)
    assert read(path)[0].announced == {address(1): ONE, of_view: TWO}
    life.end()


def version(path):
    return int.from_bytes(path.read_bytes()[16:20])


def test_the_file_is_of_version_2_while_a_record_is_about_one_view(path):
    life = Life(path)
    assert life.announce(1)
    until(lambda: version(path) == 1)
    of_view = ViewPrefix(address(1), Audience(("192.0.2.9",)))
    life.held.announced[of_view] = TWO
    assert life.store.append(records=[(of_view, TWO)]).wait(10)
    assert version(path) == 2, "a program of version 1 must not read on without it"
    assert read(path)[0].announced == {address(1): ONE, of_view: TWO}
    assert life.store.save().wait(10)
    assert version(path) == 2
    assert read(path)[0].announced == {address(1): ONE, of_view: TWO}
    del life.held.announced[of_view]
    assert life.store.append(records=[(of_view, None)]).wait(10)
    assert read(path)[0].announced == {address(1): ONE}
    assert life.store.save().wait(10)
    assert version(path) == 1, "with one view it is what it ever was"
    life.end()
