"""The store from append to restore: what a served ticket promises, and the thread's end."""

import pytest

from tests.workers.state.store_kit import ONE, TWO, Life, address, read, until


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
    assert held.announced == {address(2): TWO, address(3): TWO}
    assert held.addresses == {address(1), address(2), address(3)}
    assert report.same_boot
    assert report.survey.holes_total == 0


def test_a_served_ticket_is_in_the_file_before_any_sync(path):
    life = Life(path, sync_interval_s=1000.0)
    for number in range(20):
        assert life.announce(number)
        held, _ = read(path)
        assert held.announced == {address(n): ONE for n in range(number + 1)}
    life.end()


def test_shutdown_writes_what_is_queued(path):
    life = Life(path)
    for number in range(2000):
        life.announce(number, wait_s=0)
    life.end()
    assert read(path)[0].announced == {address(number): ONE for number in range(2000)}


def test_tickets_after_the_end_are_refused_at_once(path):
    life = Life(path)
    life.end()
    assert not life.store.append(records=[(address(1), ONE)]).wait(1000)


def test_a_crash_is_told(path, caplog):
    life = Life(path)
    assert life.announce(1)

    def broken_walk():
        msg = "our own bug"
        raise RuntimeError(msg)
        yield

    life.store._wal.walk = broken_walk
    assert not life.store.save().wait(10)
    until(lambda: life.crashes == ["crash"])
    assert life.store.join(10)
    assert "our own bug" in caplog.text
    assert not life.announce(2)
