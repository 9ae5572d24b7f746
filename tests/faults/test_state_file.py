"""What disks, clocks and power cuts do to the state file: nothing held is lost but what is damaged itself."""

import contextlib
import logging
import os
import random
import resource
import subprocess
import sys
import threading
import time

import pytest

from dnstap_bgp.core.state.blocks import Block, file_header, scan
from dnstap_bgp.core.state.pending import Pending
from dnstap_bgp.errors import ForeignFileError, StateFileError
from dnstap_bgp.workers.state import store as store_module
from dnstap_bgp.workers.state.statefile import StateFile
from dnstap_bgp.workers.state.store import Store
from tests.workers.state.store_kit import ONE, TWO, Held, Life, SetClock, address, read, until


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.msgpack"


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Failures are tried again soon, so that recovery needs no long wait."""
    monkeypatch.setattr(store_module, "RETRY_FIRST_S", 0.02)
    monkeypatch.setattr(store_module, "RETRY_MAX_S", 0.05)


def written(path, rounds=12):
    """A file of one snapshot and `rounds` appends; what is announced after each of its blocks."""
    life = Life(path)
    assert life.announce(0)
    for number in range(1, rounds):
        assert life.announce(number, attributes=(ONE, TWO)[number % 2])
        if number % 3 == 0:
            assert life.withdraw(number - 1)
    life.end()
    data = path.read_bytes()
    ends = [part.end for part in scan(lambda at, length: data[at : at + length], len(data)) if isinstance(part, Block)]
    states = []
    for end in ends:
        path.write_bytes(data[:end])
        states.append((end, read(path)[0].announced))
    return data, states


def asides(path):
    return sorted(path.parent.glob("state.msgpack.damaged-*"))


# -- damage


def test_cut_at_every_byte(path):
    data, states = written(path)
    for size in range(len(data) + 1):
        path.write_bytes(data[:size])
        held, report = read(path)
        whole = [announced for end, announced in states if end <= size]
        assert held.announced == (whole[-1] if whole else {})
        assert report.survey.torn_only
        assert report.survey.holes_total == (size not in (0, len(file_header()), *(end for end, _ in states)))


def test_a_torn_tail_is_cut_reported_and_written_on(path, caplog):
    data, states = written(path)
    for cut in (1, 30, 60):
        caplog.clear()
        path.write_bytes(data[:-cut])
        inode = path.stat().st_ino
        life = Life(path)
        assert life.announce(500)
        life.end()
        held, report = read(path)
        assert held.announced == states[-2][1] | {address(500): ONE}
        assert report.survey.holes_total == 0
        assert path.stat().st_ino == inode
        assert "torn write, now cut" in caplog.text
    assert not asides(path)


def test_bits_flipped_anywhere(path):
    data, states = written(path)
    rng = random.Random(3)
    everything = {address(number) for number in range(12)}
    for bit in rng.sample(range(8 * len(data)), 600):
        spoiled = bytearray(data)
        spoiled[bit // 8] ^= 1 << bit % 8
        path.write_bytes(spoiled)
        held, report = read(path)
        assert report.survey.holes_total == 1
        hit = next((index for index, (end, _) in enumerate(states) if bit // 8 < end))
        if bit // 8 < len(file_header()):
            assert held.announced == states[-1][1]  # the header only
        else:
            before = states[hit - 1][1] if hit else {}
            assert held.addresses >= set(before) & held.addresses
            assert len(everything - held.addresses) <= 1  # the claim of the block that was hit
            assert report.survey.blocks == len(states) - 1


def test_many_bits_flipped_never_raise(path):
    data, _ = written(path)
    rng = random.Random(4)
    for _ in range(300):
        spoiled = bytearray(data)
        for _ in range(rng.randrange(1, 60)):
            spoiled[rng.randrange(len(file_header()), len(spoiled))] = rng.randrange(256)
        del spoiled[rng.randrange(len(spoiled)) :]
        path.write_bytes(spoiled)
        with contextlib.suppress(ForeignFileError):  # short enough to be a torn header of another kind
            read(path)


def test_a_corrupt_middle_is_set_aside_and_all_else_is_kept(path, caplog):
    data, states = written(path)
    middle = states[5][0] - 3
    spoiled = data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]
    path.write_bytes(spoiled)
    before = read(path)[0]
    assert before.addresses >= {address(number) for number in range(4)}
    life = Life(path)
    until(lambda: life.store.status.snapshots == 1)
    assert life.announce(500)
    life.end()
    (aside,) = asides(path)
    assert aside.read_bytes() == spoiled
    assert f"damaged and kept as {aside}" in caplog.text
    held, report = read(path)
    assert report.survey.holes_total == 0
    assert held.announced == before.announced | {address(500): ONE}


def test_killed_right_after_the_repair_nothing_is_lost(path):
    data, states = written(path)
    spoiled = bytearray(data)
    spoiled[states[5][0] - 3] ^= 1
    path.write_bytes(spoiled)
    before = read(path)[0]
    file = StateFile(path)
    file.set_aside("19700101T000000Z")
    file.salvage()
    file.close()
    held, report = read(path)
    assert held.announced == before.announced
    assert report.survey.holes_total == 0


def test_the_same_damage_is_kept_once_and_of_many_only_the_last(path):
    data, _ = written(path, rounds=4)
    clock = SetClock()
    for turn in range(6):
        spoiled = bytearray(data)
        spoiled[len(file_header()) + 60] ^= 1 + turn
        path.write_bytes(spoiled)
        file = StateFile(path)
        assert file.set_aside("19700101T000000Z") == file.set_aside("19700101T000001Z")
        asides(path)[0].unlink()
        clock.wall_jump_s += 2
        Life(path, clock=clock).end()
    assert len(asides(path)) == 3


def test_a_damaged_file_of_the_last_block_is_not_thrown_away(path):
    life = Life(path)
    assert life.announce(1)
    assert life.store.save().wait(10)
    life.end()
    spoiled = bytearray(path.read_bytes())
    spoiled[-1] ^= 1
    path.write_bytes(spoiled)
    Life(path).end()
    (aside,) = asides(path)
    assert aside.read_bytes() == spoiled


def test_foreign_and_newer_files_stay_byte_for_byte(path):
    for data in (
        bytes(16) + b"\xed\xda\x0c\xed" + bytes(9000),
        file_header(version=9) + b"x" * 500,
        b"domain.com\n" * 9,
    ):
        path.write_bytes(data)
        foreign = Store(path, lambda: None)
        with pytest.raises(ForeignFileError):
            foreign.recall(lambda _: None)
        foreign.start(Held().walk)  # even then
        foreign.append(records=[(address(1), ONE)]).wait(0.1)
        foreign.shutdown()
        assert foreign.join(10)
        assert path.read_bytes() == data


# -- clocks


@pytest.mark.parametrize("jump_s", [-2e9, -86_400.0, 86_400.0, 50 * 365 * 86_400.0])
def test_a_wall_clock_that_jumps_changes_nothing_within_a_boot(path, jump_s):
    clock = SetClock()
    life = Life(path, clock=clock)
    assert life.announce(1)
    clock.wall_jump_s += jump_s
    assert life.announce(2)
    life.end()
    held, _ = read(path, clock)
    assert held.addresses == {address(1), address(2)}
    assert all(abs(found.seen - life.held.claims[key].seen) < 0.01 for key, found in held.claims.items())


@pytest.mark.parametrize("jump_s", [-1.8e9, 86_400.0 * 30])
def test_a_clock_corrected_while_the_process_lived_does_not_count_after_a_reboot(path, jump_s):
    clock = SetClock()
    life = Life(path, clock=clock)
    clock.wall_jump_s = jump_s
    assert life.announce(1)
    clock.wall_jump_s = 0.0
    assert life.announce(2)
    life.end()
    clock.reboot(off_s=100)
    held, _ = read(path, clock)
    assert held.addresses == {address(1), address(2)}
    assert all(95 < clock().boottime_s - found.seen < 130 for found in held.claims.values())


@pytest.mark.parametrize("off_s", [-1.8e9, -100.0, 80 * 365 * 86_400.0])
def test_an_absurd_wall_clock_after_a_reboot_keeps_claims_for_their_ttl_at_most(path, off_s):
    clock = SetClock()
    life = Life(path, clock=clock)
    assert life.announce(1)
    life.end()
    clock.reboot(off_s=off_s)
    (found,) = read(path, clock)[0].claims.values()
    assert clock().boottime_s - 30 < found.seen <= clock().boottime_s


def test_a_real_downtime_over_the_ttl_ends_the_claims_and_not_what_was_told(path):
    clock = SetClock()
    life = Life(path, clock=clock)
    assert life.announce(1)
    life.end()
    clock.reboot(off_s=2 * 86_400)
    held, report = read(path, clock)
    assert not held.claims
    assert held.announced == {address(1): ONE}
    assert report.expired >= 1


# -- disks


class Disk:
    """Stands in for fdatasync: blocks or fails on demand."""

    def __init__(self):
        self.go_on = threading.Event()
        self.go_on.set()
        self.error = None
        self.asked = threading.Event()
        self.syncs = 0

    def __call__(self, fd):
        self.asked.set()
        self.go_on.wait()
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        self.syncs += 1
        os.fdatasync(fd)


@pytest.fixture
def limit_file_size():
    """Sets the limit on the size of files (RLIMIT_FSIZE): a full disk for those that don't mind."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda limit: resource.setrlimit(resource.RLIMIT_FSIZE, (before[0] if limit is None else limit, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 1 MiB, mounted for this test."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"missing: the right to mount ({made.stderr.decode().strip()})")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)  # lazy: a failed test may have files open


def errors(caplog):
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_full_disk_is_told_once_and_recovered_from(small_disk, caplog):
    path = small_disk / "state.msgpack"
    life = Life(path)
    assert life.announce(*range(100))
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    began = time.monotonic()
    for start in range(100, 4000, 50):
        life.announce(*range(start, start + 50), wait_s=1000)  # nobody waits for a disk that fails
    assert time.monotonic() - began < 60
    status = life.store.status
    assert not status.durable
    assert status.error is not None
    assert "No space left" in status.error
    until(lambda: life.store.status.failures > 3)
    assert len(errors(caplog)) == 1
    assert read(path)[1].survey.holes_total == 0

    ballast.unlink()
    until(lambda: life.store.status.durable)
    assert life.announce(5000)
    life.end()
    held, report = read(path)
    assert held.announced == life.held.announced
    assert report.survey.holes_total == 0
    assert "is written again" in caplog.text


def test_a_disk_full_from_the_start_and_too_small_for_the_queue(small_disk):
    (small_disk / "ballast").write_bytes(bytes(1 << 20))
    path = small_disk / "state.msgpack"
    life = Life(path, pending=Pending(at_most=50))
    life.announce(*range(1000))
    until(lambda: not life.store.status.durable)
    assert not path.exists() or path.stat().st_size == 0
    (small_disk / "ballast").unlink()
    until(lambda: life.store.status.durable)
    life.end()
    assert read(path)[0].announced == life.held.announced


def test_a_read_only_disk(small_disk, caplog):
    path = small_disk / "state.msgpack"
    life = Life(path)
    assert life.announce(1)
    life.end()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    life = Life(path)
    assert life.held.announced == {address(1): ONE}
    life.announce(2, wait_s=1000)
    until(lambda: not life.store.status.durable)
    assert "Read-only" in (life.store.status.error or "")
    until(lambda: life.store.status.failures > 3)
    assert len(errors(caplog)) == 1
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    until(lambda: life.store.status.durable)
    life.end()
    assert set(read(path)[0].announced) == {address(1), address(2)}


def test_a_file_that_may_not_grow(path, limit_file_size):
    life = Life(path)
    assert life.announce(*range(200))
    size = path.stat().st_size
    limit_file_size(size + 100)
    life.announce(*range(200, 400))
    until(lambda: not life.store.status.durable)
    limit_file_size(None)
    until(lambda: life.store.status.durable)
    assert life.announce(401)
    life.end()
    held, report = read(path)
    assert held.announced == life.held.announced
    assert report.survey.holes_total == 0


def test_a_disk_that_hangs_blocks_nobody(path, caplog):
    disk = Disk()
    life = Life(path, file=StateFile(path, sync=disk), sync_interval_s=0.0)
    assert life.announce(1)
    disk.go_on.clear()
    disk.asked.clear()
    life.announce(2, wait_s=0)
    assert disk.asked.wait(10)
    assert not life.announce(3, wait_s=0.3)
    assert not life.announce(4, wait_s=1000)  # known to be slow: nobody waits again
    assert not life.store.status.durable
    assert life.store.status.error == "the disk is slow"
    assert caplog.text.count("disk of the state file is slow") == 1
    disk.go_on.set()
    until(lambda: life.store.status.durable)
    assert life.announce(5)
    life.end()
    assert read(path)[0].announced == life.held.announced


def test_a_disk_that_hangs_for_long_costs_no_memory(path):
    disk = Disk()
    life = Life(path, file=StateFile(path, sync=disk), sync_interval_s=0.0, pending=Pending(at_most=100))
    assert life.announce(1)
    disk.go_on.clear()
    disk.asked.clear()
    life.announce(2, wait_s=0)
    assert disk.asked.wait(10)
    for number in range(1000):
        life.announce(number, wait_s=0)
    assert life.store.status.queued <= 100
    disk.go_on.set()
    until(lambda: life.store.status.durable)
    life.end()
    assert read(path)[0].announced == life.held.announced


def test_a_disk_that_hangs_does_not_keep_the_process(path):
    disk = Disk()
    life = Life(path, file=StateFile(path, sync=disk), sync_interval_s=0.0)
    assert life.announce(1)
    disk.go_on.clear()
    disk.asked.clear()
    life.announce(2, wait_s=0)
    assert disk.asked.wait(10)
    life.store.shutdown()
    assert not life.store.join(0.05)
    disk.go_on.set()
    assert life.store.join(10)
    assert read(path)[0].announced == life.held.announced


def test_a_failed_sync_has_everything_written_anew(path):
    disk = Disk()
    life = Life(path, file=StateFile(path, sync=disk), sync_interval_s=0.0)
    assert life.announce(1)
    inode = path.stat().st_ino
    disk.error = 5  # EIO
    life.announce(2, wait_s=0)
    until(lambda: not life.store.status.durable)
    disk.error = None
    until(lambda: life.store.status.durable)
    assert path.stat().st_ino != inode
    life.end()
    assert read(path)[0].announced == life.held.announced


def test_a_folder_that_is_missing_at_first(tmp_path):
    path = tmp_path / "later" / "state.msgpack"
    life = Life(path)
    life.announce(1, wait_s=1000)
    until(lambda: not life.store.status.durable)
    path.parent.mkdir()
    until(lambda: life.store.status.durable)
    life.end()
    assert read(path)[0].announced == {address(1): ONE}


def test_a_file_that_cannot_be_read_is_kept_aside(path, monkeypatch):
    life = Life(path)
    assert life.announce(1)
    life.end()
    data = path.read_bytes()
    real = os.pread

    def bad_sector(fd, length, offset):
        if offset >= len(file_header()):
            raise OSError(5, "Input/output error")
        return real(fd, length, offset)

    monkeypatch.setattr(os, "pread", bad_sector)
    held = Held()
    store = Store(path, lambda: None)
    assert store.lock(threading.Event())
    with pytest.raises(StateFileError, match="Input/output error"):
        store.recall(held.recall)
    monkeypatch.undo()
    store.start(held.walk)
    held.announced[address(2)] = ONE
    assert store.append(records=[(address(2), ONE)]).wait(10)
    store.shutdown()
    assert store.join(10)
    (aside,) = asides(path)
    assert aside.read_bytes() == data
    assert read(path)[0].announced == {address(2): ONE}


# -- death


VICTIM = """
import sys
from pathlib import Path
from tests.workers.state.store_kit import Held, Life, ONE, address
from dnstap_bgp.workers.state import wal
wal.GROWTH_MIN_BYTES = 20_000  # snapshots all the time
life = Life(Path(sys.argv[1]))
first = len(life.held.announced)
for number in range(first, 1_000_000):
    if not life.announce(number):
        sys.exit("not durable")
    print(number, flush=True)
"""


def test_killed_at_any_moment_nothing_that_was_served_is_lost(path):
    rng = random.Random(5)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, os.getcwd()])}  # noqa: PTH109 - where pytest runs
    expected = 0
    for _ in range(6):
        victim = subprocess.Popen([sys.executable, "-c", VICTIM, str(path)], stdout=subprocess.PIPE, env=env)
        assert victim.stdout is not None
        for _ in range(rng.randrange(1, 400)):
            victim.stdout.readline()
        victim.kill()
        rest = victim.communicate()[0].split()
        held, report = read(path)
        assert report.survey.torn_only
        expected = max([expected, *(int(number) + 1 for number in rest)])
        assert set(held.announced) >= {address(number) for number in range(expected)}
        assert len(held.announced) <= len(held.addresses) + 1
        expected = len(held.announced)
    assert expected > 6
    assert not asides(path)
