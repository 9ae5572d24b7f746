"""The write-ahead log: when the file is replaced by a snapshot, and what stands in it then."""

import errno
import os
import threading

import pytest

from dnstap_bgp.core.model import Audience, ViewPrefix
from dnstap_bgp.core.state.pending import Pending
from dnstap_bgp.core.state.records import RECORDS_MAX
from dnstap_bgp.errors import StateFileError
from dnstap_bgp.workers.state import restore, wal
from dnstap_bgp.workers.state import store as store_module
from dnstap_bgp.workers.state.statefile import AppendOnlyFile
from dnstap_bgp.workers.state.store import Store
from dnstap_bgp.workers.state.write_queue import Ticket, WriteQueue
from tests.workers.state.store_kit import ONE, TWO, Held, Life, SetClock, address, claim, load, read, until


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


def test_what_comes_behind_a_walked_copy_stands_behind_all_of_it(path):
    """A shard's copy may make two blocks: a withdrawal between the two would be undone by the second."""
    count = RECORDS_MAX + 3
    gone = address(count - 1)
    store = Store(path, lambda: None)
    assert store.lock(threading.Event())
    load(store, Held())

    def walk():
        told = [(address(number), ONE) for number in range(count)]
        store.append(records=[(gone, None)])
        yield [], told

    store.start(walk)
    assert store.save().wait(60.0)
    store.shutdown()
    assert store.join(60.0)
    found = read(path)[0].announced
    assert gone not in found
    assert len(found) == count - 1


@pytest.mark.parametrize("is_read", [True, False], ids=["snapshot", "while the file is read"])
def test_what_is_prepared_while_the_queue_is_dropped_is_recorded_or_known_to_be_dropped(path, monkeypatch, is_read):
    """The walk doesn't have it yet: whoever takes it makes the record again where a snapshot has begun since."""
    life = Life(path)
    assert life.announce(1)
    life.end()
    restart, prepared = WriteQueue.restart, list[tuple[int, Ticket]]()

    def prepare_and_restart(queue):
        if not prepared:
            begun = store.snapshots_begun
            prepared.append((begun, store.append(records=[(address(9), ONE)])))
        return restart(queue)

    monkeypatch.setattr(WriteQueue, "restart", prepare_and_restart)
    store, held = reading_again(path, pending=Pending(at_most=0))
    if is_read:
        assert store.adopt(held.adopt) is not None
        store.end_restore()
    store.append(records=[(address(1), ONE)])
    until(lambda: bool(prepared) and prepared[0][1].served)
    ((begun, _),) = prepared
    assert begun != store.snapshots_begun or address(9) in read(path)[0].announced
    store.shutdown()
    assert store.join(10)


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


def reading_again(path, held=None, **options):
    """A store that goes on with a file, and has not read its claims yet."""
    held = held or Held()
    store = Store(path, lambda: None, **options)
    assert store.lock(threading.Event())
    store.recall(held.recall)
    store.start(held.walk)
    return store, held


def test_no_snapshot_is_begun_before_all_is_held_that_the_file_has(path, monkeypatch):
    """A process that is killed meanwhile leaves what was there, and what it has added."""
    life = Life(path)
    assert life.announce(1, 2)
    life.end()
    monkeypatch.setattr(wal, "GROWTH_MIN_BYTES", 0)
    store, held = reading_again(path)
    saved = store.save()
    held.announced[address(3)] = ONE
    held.adopt([claim(3)])
    for _ in range(50):
        assert store.append(claims=[claim(3)], records=[(address(3), ONE)]).wait(10)
    assert not saved.wait(0)
    found, _ = read(path)
    assert found.announced == dict.fromkeys(map(address, (1, 2, 3)), ONE)
    assert found.addresses == {*map(address, (1, 2, 3))}
    assert store.status.snapshots == 0
    assert store.adopt(held.adopt) is not None
    store.end_restore()
    assert saved.wait(10)
    store.shutdown()
    assert store.join(10)
    found, report = read(path)
    assert found.addresses == {*map(address, (1, 2, 3))}
    assert report.claims == 3, "and what was said again and again stands there once"


def test_a_read_that_is_given_up_leaves_the_file_as_it_is(path):
    life = Life(path)
    assert life.announce(1, 2)
    life.end()
    store, held = reading_again(path)
    assert store.adopt(held.adopt, lambda: True) is None
    store.shutdown()
    assert store.join(10)
    assert store.status.snapshots == 0
    assert read(path)[0].addresses == {address(1), address(2)}


def test_what_the_queue_had_no_room_for_is_appended_while_the_file_is_read(path):
    life = Life(path)
    assert life.announce(1, 2)
    life.end()
    held = Held()
    held.announced[address(3)] = TWO
    held.adopt([claim(3)])
    store, held = reading_again(path, held, pending=Pending(at_most=0))  # whatever comes is too much
    for number in (3, 4):
        held.announced[address(number)] = TWO
        assert store.append(records=[(address(number), TWO)]).wait(10)
        found, report = read(path)  # as if it were killed now
        assert found.announced == held.announced
        assert found.addresses == {*map(address, (1, 2, 3))}
        assert report.survey.torn_only
    assert store.status.snapshots == 0
    assert store.adopt(held.adopt) is not None
    store.end_restore()
    until(lambda: store.status.snapshots == 1)
    store.shutdown()
    assert store.join(10)
    found, _ = read(path)
    assert found.announced == held.announced
    assert found.addresses == {*map(address, (1, 2, 3))}


@pytest.mark.parametrize("what", [errno.EIO, errno.ENOSPC])
def test_what_the_queue_had_no_room_for_is_appended_again_where_that_failed(path, monkeypatch, what):
    life = Life(path)
    assert life.announce(1, 2)
    life.end()
    append, sizes = AppendOnlyFile.append, list[int]()

    def fail_in_the_middle(file, data):
        sizes.append(file.size)
        if len(sizes) == 2:
            raise OSError(what, "Input/output error")
        append(file, data)

    held = Held()
    held.announced.update(dict.fromkeys(map(address, range(10, 3000)), TWO))
    store, held = reading_again(path, held, pending=Pending(at_most=0))
    monkeypatch.setattr(AppendOnlyFile, "append", fail_in_the_middle)
    held.announced[address(3)] = TWO
    store.append(records=[(address(3), TWO)])
    until(lambda: store.status.failures == 1 and store.status.durable, 20.0)
    found, _ = read(path)
    assert found.announced == held.announced
    assert found.addresses == {address(1), address(2)}
    assert sizes[2] == sizes[0] < sizes[1], "what was appended before the failure takes no room"
    store.shutdown()
    assert store.join(10)


def test_a_ticket_of_what_was_dropped_is_not_served_before_all_is_appended(path):
    life = Life(path)
    assert life.announce(1, 2)
    life.end()
    held = Held()
    held.announced.update(dict.fromkeys(map(address, range(10, 3000)), TWO))
    walking, go_on = threading.Event(), threading.Event()
    store, held = reading_again(path, held, pending=Pending(at_most=1))

    def slow_walk():
        chunks = held.walk()
        yield next(chunks)
        walking.set()
        assert go_on.wait(10)
        yield from chunks

    store._wal.walk = slow_walk
    dropped = store.append(records=[(address(number), TWO) for number in (10, 2999)])
    assert walking.wait(10)
    later = store.append(records=[(address(3), ONE)])
    assert not dropped.served
    go_on.set()
    assert later.wait(10)
    assert dropped.served
    assert read(path)[0].announced == {**held.announced, address(3): ONE}
    store.shutdown()
    assert store.join(10)


def test_a_file_that_is_gone_while_it_is_read_is_begun_again(path):
    life = Life(path)
    assert life.announce(*range(2000))
    life.end()
    store, held = reading_again(path, sync_interval_s=0.0)
    adopted: list[Held] = []

    def adopt(claims):
        held.adopt(claims)
        if not adopted:
            path.rename(path.with_name("moved"))
            held.announced[address(3)] = TWO
            until(lambda: store.append(records=[(address(3), TWO)]).wait(1) and path.exists(), 20.0)
            adopted.append(read(path)[0])

    assert store.adopt(adopt) is not None
    store.end_restore()
    assert adopted[0].announced == held.announced, "as if it were killed in the middle"
    assert adopted[0].addresses < held.addresses
    until(lambda: store.status.snapshots == 2)
    store.shutdown()
    assert store.join(10)
    found, _ = read(path)
    assert found.announced == held.announced
    assert found.addresses == {*map(address, range(2000))}


def test_a_file_that_cant_be_read_to_its_end_is_set_aside(path, monkeypatch):
    life = Life(path)
    assert life.announce(*range(3000))
    life.end()
    before = path.read_bytes()
    store, held = reading_again(path)
    assert store.append(records=[(address(1), TWO)]).wait(10)
    held.announced[address(1)] = TWO

    def bad_sector(_fd, _length, _offset):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as bad:
        bad.setattr(os, "pread", bad_sector)
        with pytest.raises(StateFileError, match="Input/output error"):
            store.adopt(held.adopt)
        store.end_restore()
    until(lambda: store.status.snapshots == 1)
    store.shutdown()
    assert store.join(10)
    (aside,) = path.parent.glob("*.damaged-*")
    assert aside.read_bytes().startswith(before)
    assert read(path)[0].announced == held.announced


def test_a_file_that_gets_shorter_while_it_is_read_is_set_aside(path):
    life = Life(path)
    assert life.announce(*range(3000))
    life.end()
    store, held = reading_again(path)
    os.truncate(path, 100)
    with pytest.raises(StateFileError, match="are gone or damaged since"):
        store.adopt(held.adopt)
    store.end_restore()
    until(lambda: store.status.snapshots == 1)
    store.shutdown()
    assert store.join(10)
    assert [*path.parent.glob("*.damaged-*")]


def test_an_error_of_who_takes_claims_is_none_of_the_file(path):
    life = Life(path)
    assert life.announce(1, 2)
    life.end()
    store, _held = reading_again(path)

    def fail(_claims):
        raise OSError(errno.EMFILE, "Too many open files")

    with pytest.raises(OSError, match="Too many open files"):
        store.adopt(fail)
    store.shutdown()
    assert store.join(10)
    assert not [*path.parent.glob("*.damaged-*")]
    assert read(path)[0].addresses == {address(1), address(2)}


def test_a_bad_spot_that_passes_costs_no_claim(path, monkeypatch):
    life = Life(path)
    assert life.announce(*range(3000))
    life.end()
    held, store = Held(), Store(path, lambda: None)
    assert store.lock(threading.Event())
    with monkeypatch.context() as bad:
        bad.setattr(restore.Restoration, "recall", after_bad_sector(restore.Restoration.recall))
        with pytest.raises(StateFileError, match="Input/output error"):
            store.recall(held.recall)
    store.start(held.walk)
    assert store.can_adopt
    assert store.adopt(held.adopt) is not None
    store.end_restore()
    until(lambda: store.status.snapshots == 1)
    store.shutdown()
    assert store.join(10)
    assert read(path)[0].addresses == {*map(address, range(3000))}
    assert len([*path.parent.glob("*.damaged-*")]) == 1


@pytest.mark.parametrize("from_offset", [1_000, 0])
def test_a_damaged_file_that_can_never_be_read_again_is_replaced(path, monkeypatch, from_offset):
    life = Life(path)
    assert life.announce(*range(3000))
    life.end()
    path.write_bytes(path.read_bytes() + b"damaged" * 100 + path.read_bytes()[-1000:])
    held, store, pread = Held(), Store(path, lambda: None), os.pread
    assert store.lock(threading.Event())
    store.recall(held.recall)

    def bad_sector(fd, length, offset):
        if offset + length > from_offset:
            raise OSError(errno.EIO, "Input/output error")
        return pread(fd, length, offset)

    with monkeypatch.context() as bad:
        bad.setattr(os, "pread", bad_sector)
        store.start(held.walk)
        with pytest.raises(StateFileError, match="Input/output error"):
            store.adopt(held.adopt)
        store.end_restore()
        until(lambda: store.status.snapshots == 1, 20.0)
        assert store.append(records=[(address(3), ONE)]).wait(10)
        store.shutdown()
        assert store.join(10)
    assert [*path.parent.glob("*.damaged-*")]
    assert read(path)[0].announced == held.announced


def after_bad_sector(recall):
    """Make a pass over the file that finds a bad sector at first."""

    def recall_badly(restoration, *arguments):
        def bad_sector(_fd, _length, _offset):
            raise OSError(errno.EIO, "Input/output error")

        with pytest.MonkeyPatch.context() as bad:
            bad.setattr(os, "pread", bad_sector)
            recall(restoration, *arguments)

    return recall_badly


@pytest.mark.parametrize("what", ["append", "sync"])
def test_records_are_kept_behind_a_failure_while_the_file_is_read(path, monkeypatch, what):
    life = Life(path)
    assert life.announce(1, 2)
    life.end()
    failures: list[str] = []

    def fail_once(call):
        def fail(*args):
            if not failures:
                failures.append(what)
                raise OSError(errno.EIO, "Input/output error")
            return call(*args)

        return fail

    store, held = reading_again(path, sync_interval_s=0.0)
    monkeypatch.setattr(AppendOnlyFile, what, fail_once(getattr(AppendOnlyFile, what)))
    store.append(records=[(address(3), ONE)])
    until(lambda: bool(failures) and store.append(records=[(address(4), ONE)]).wait(1), 20.0)
    assert store.status.snapshots == 0
    assert read(path)[0].announced == dict.fromkeys(map(address, (1, 2, 3, 4)), ONE)  # as if it were killed now
    held.announced.update(dict.fromkeys(map(address, (3, 4)), ONE))
    assert store.adopt(held.adopt) is not None
    store.end_restore()
    until(lambda: store.status.snapshots == 1)  # what the disk has of it is not known
    store.shutdown()
    assert store.join(10)
    assert read(path)[0].addresses == {address(1), address(2)}


def test_a_file_that_was_replaced_while_it_is_read_is_not_gone_on_with(path):
    life = Life(path)
    assert life.announce(1)
    life.end()
    store, _held = reading_again(path, sync_interval_s=0.0)
    assert store.append(records=[(address(3), ONE)]).wait(10)
    path.rename(path.with_name("moved"))
    path.write_bytes(b"somebody else's, and so long that it could hold what was there before" * 100)
    before = path.read_bytes()
    until(lambda: not store.append(records=[(address(4), ONE)]).wait(1), 20.0)
    store.shutdown()
    store.join(10)
    assert path.read_bytes() == before


def test_a_snapshot_that_becomes_possible_as_it_is_refused_comes_at_once(path, monkeypatch):
    monkeypatch.setattr(store_module, "RETRY_FIRST_S", 1000.0)
    monkeypatch.setattr(store_module, "RETRY_MAX_S", 1000.0)
    life = Life(path)
    assert life.announce(1)
    life.end()
    refuse, adopted, held = wal.WriteAheadLog.mend_or_refuse, [], Held()
    content = path.read_bytes()

    def refuse_late(log):
        try:
            refuse(log)
        except StateFileError:
            adopted.append(store.adopt(held.adopt))
            store.end_restore()
            raise

    monkeypatch.setattr(wal.WriteAheadLog, "mend_or_refuse", refuse_late)
    store, _ = reading_again(path, held, sync_interval_s=0.0)
    assert store.append(records=[(address(2), ONE)]).wait(10)
    path.unlink()
    path.write_bytes(content)  # another file is in its place
    store.append(records=[(address(3), ONE)])
    until(lambda: store.status.snapshots == 1, 10.0)
    assert len(adopted) == 1
    store.shutdown()
    assert store.join(10)


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
