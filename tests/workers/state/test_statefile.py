"""The state file on disk: modes, links, drafts, its lock, and files that take its place."""

import errno
import os
import stat
import subprocess
import sys
import threading

import pytest

from dnstap_bgp.core.model import Audience, ViewPrefix
from dnstap_bgp.core.state.blocks import VERSION_VIEWS
from dnstap_bgp.errors import ForeignFileError
from dnstap_bgp.workers.state import store
from dnstap_bgp.workers.state.statefile import StateFile
from dnstap_bgp.workers.state.store import Store
from tests.workers.state.store_kit import ONE, Held, Life, address, read, until


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.msgpack"


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


def test_a_symbolic_link_is_refused_and_what_it_names_is_left_alone(path, tmp_path):
    """Whoever can write to the folder would choose what the plugin reads, and what it overwrites."""
    target = tmp_path / "elsewhere"
    life = Life(target)
    assert life.announce(1)
    life.end()
    before = target.read_bytes()
    path.symlink_to(target)
    with pytest.raises(ForeignFileError, match="is a symbolic link"):
        read(path)
    assert path.is_symlink()
    assert target.read_bytes() == before


def test_links_among_the_folders_are_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    life = Life(tmp_path / "link" / "state.msgpack")
    assert life.announce(1)
    life.end()
    assert read(tmp_path / "real" / "state.msgpack")[0].announced == {address(1): ONE}


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_to_is_refused(path, mode):
    life = Life(path)
    assert life.announce(1)
    life.end()
    path.chmod(mode)
    before = path.read_bytes()
    with pytest.raises(ForeignFileError, match=f"its mode is {mode:04o};.* chmod go-w {path}`"):
        read(path)
    assert path.read_bytes() == before
    path.chmod(0o644)
    assert read(path)[0].announced == {address(1): ONE}


def test_a_file_of_another_user_is_refused_with_the_command_that_mends_it(path, monkeypatch):
    life = Life(path)
    assert life.announce(1)
    life.end()
    if os.geteuid() == 0:
        os.chown(path, 4711, -1)
    else:
        monkeypatch.setattr("os.geteuid", lambda: 4711)
    with pytest.raises(ForeignFileError, match=rf"belongs to the user \d+;.*`chown {os.geteuid()} {path}; "):
        read(path)


def test_a_shared_folder_is_warned_of(path, caplog):
    path.parent.chmod(0o1777)
    life = Life(path)
    assert life.announce(1)
    life.end()
    assert "others can put files into" in caplog.text


@pytest.mark.parametrize("what", ["fstat", "close"])
def test_a_file_that_the_disk_does_not_let_go_of_is_never_appended_to_again(path, monkeypatch, what):
    """Its descriptor's number may be another file's by then."""
    file, call = StateFile(path), getattr(os, what)
    fd = file.publish(file.draft())._fd

    def fail(given):
        if given == fd:
            if what == "close":
                call(given)
            raise OSError(errno.ESTALE, "Stale file handle")
        return call(given)

    with monkeypatch.context() as patched:
        patched.setattr(os, what, fail)
        file.close_output()
    assert file.output is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    assert file.reopen() is (what == "close")
    file.close()


def test_a_draft_of_a_killed_process_does_not_matter(path):
    path.with_name("state.msgpack.new").write_bytes(b"half a draft" * 1000)
    life = Life(path)
    assert life.announce(1)
    assert life.store.save().wait(10)
    life.end()
    assert read(path)[0].announced == {address(1): ONE}
    assert not path.with_name("state.msgpack.new").exists()


def test_a_draft_that_somebody_holds_open_never_becomes_the_file(path):
    draft = path.with_name("state.msgpack.new")
    draft.touch()
    draft.chmod(0o666)
    with draft.open("rb+") as held:
        file = StateFile(path)
        file.publish(file.draft())
        file.close()
        assert not os.path.samestat(os.fstat(held.fileno()), path.stat())


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_draft_that_is_a_link_costs_what_it_names_nothing(path, link):
    target = path.with_name("precious")
    target.write_text("precious")
    target.chmod(0o644)
    link(target, path.with_name("state.msgpack.new"))
    life = Life(path)
    assert life.announce(1)
    assert life.store.save().wait(10)
    life.end()
    assert target.read_text() == "precious"
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert read(path)[0].announced == {address(1): ONE}


def test_a_draft_that_comes_in_between_is_an_error(path, monkeypatch):
    draft = path.with_name("state.msgpack.new")
    draft.touch()
    monkeypatch.setattr(type(draft), "unlink", lambda *_args, **_options: None)
    with pytest.raises(FileExistsError):
        StateFile(path).draft()


def test_a_removed_file_is_written_anew(path):
    life = Life(path, sync_interval_s=0.05)
    assert life.announce(1)
    path.unlink()
    assert life.announce(2)
    until(path.exists)
    until(lambda: read(path)[0].announced == {address(1): ONE, address(2): ONE})
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
    second.recall(held.recall)
    second.adopt(held.adopt)
    second.shutdown()
    assert held.announced == {address(1): ONE}


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


def _env():
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def test_what_is_salvaged_keeps_its_version(path):
    life = Life(path)
    of_view = ViewPrefix(address(2), Audience(("192.0.2.9",)))
    assert life.announce(1)
    assert life.store.append(records=[(of_view, ONE)]).wait(10)
    assert life.announce(3)
    life.end()
    file = StateFile(path)
    assert file.lock()
    whole = path.read_bytes()
    path.write_bytes(whole[:24] + b"?" + whole[24:])
    file.salvage()
    file.close()
    assert int.from_bytes(path.read_bytes()[16:20]) == VERSION_VIEWS
    held, report = read(path)
    assert report.survey.of_views
    assert held.announced == {address(1): ONE, of_view: ONE, address(3): ONE}
