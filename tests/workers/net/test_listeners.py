"""Listeners: modes, groups, stale and live sockets, retries, and whose file it is."""

import contextlib
import os
import socket
import stat
import subprocess
import sys

import pytest

from dnstap_bgp.config import TcpAddress, UnixAddress
from dnstap_bgp.workers.net.listeners import CHECK_S, RETRY_FIRST_S, RETRY_MAX_S, Listener
from tests.ports import free_port

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for another user's group")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tap.sock"


@contextlib.contextmanager
def listener(address, perm=0o660, group=None):
    made = Listener(address, perm, group)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def opened(path, perm=0o660, group=None):
    with listener(UnixAddress(path), perm, group) as made:
        assert made.attend(1.0)
        assert made.problem is None
        yield made


def can_connect(path):
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777])
@pytest.mark.parametrize("perm", [0o600, 0o660, 0o666])
def test_the_mode_is_as_asked_whatever_the_umask(path, perm, umask):
    before = os.umask(umask)
    try:
        with opened(path, perm):
            assert stat.S_IMODE(path.stat().st_mode) == perm
    finally:
        os.umask(before)


def test_never_more_open_than_asked(path, monkeypatch):
    """At every step on the way, the file's mode is within what was asked for."""
    modes = []
    for module, name in ((socket.socket, "bind"), (os, "chown"), (socket.socket, "listen")):
        original = getattr(module, name)

        def spy(*args, original=original):
            result = original(*args)
            modes.append(stat.S_IMODE(path.stat().st_mode))
            return result

        monkeypatch.setattr(module, name, spy)
    before = os.umask(0)
    try:
        with opened(path, 0o660, str(os.getegid())) as made:
            made.give(0o620, None)
    finally:
        os.umask(before)
    assert modes == [0o600, 0o600, 0o660, 0o600]


@needs_root
def test_the_group_is_set(path):
    with opened(path, 0o660, "daemon") as made:
        assert path.group() == "daemon"
        made.give(0o640, "games")
        assert (path.group(), stat.S_IMODE(path.stat().st_mode)) == ("games", 0o640)


def test_an_unknown_group_is_told(path):
    with listener(UnixAddress(path), 0o660, "no-such-group") as made:
        assert made.attend(1.0)
        assert made.problem == "the group 'no-such-group' does not exist"
        assert not path.exists()


@needs_root
def test_a_group_that_we_may_not_give(path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    with listener(UnixAddress(path), 0o660, "12345") as made:
        made.attend(1.0)
        assert "may not give it to group 12345: the user root is no member of it" in made.problem
        assert not path.exists()


def test_a_stale_socket_is_replaced(path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    with opened(path):
        assert can_connect(path)


def test_a_live_socket_is_left_and_taken_over_when_it_ends(path):
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen()
        before = path.stat()
        with listener(UnixAddress(path)) as made:
            assert made.attend(1.0)
            assert made.problem == "another process listens on it (it accepts connections)"
            assert path.stat() == before
            live.close()
            assert not made.attend(1.0 + RETRY_FIRST_S / 2)
            assert made.attend(1.0 + RETRY_FIRST_S)
            assert made.problem is None
            assert can_connect(path)


def test_a_live_socket_with_a_full_backlog_is_live(path):
    with contextlib.ExitStack() as stack:
        live = stack.enter_context(socket.socket(socket.AF_UNIX))
        live.bind(str(path))
        live.listen(0)
        code = 0
        while not code:
            waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            code = waiting.connect_ex(str(path))
        made = stack.enter_context(listener(UnixAddress(path)))
        made.attend(1.0)
        assert "another process listens" in made.problem


def test_the_old_process_of_a_restart(path):
    """The file goes with its own process only: an old listener that closes late leaves the new one's alone."""
    with opened(path) as old:
        path.unlink()
        with opened(path) as new:
            old.close()
            assert can_connect(path)
            assert new.sock is not None


@pytest.mark.parametrize("make", ["file", "folder", "fifo", "link"])
def test_something_else_at_the_path_is_left_alone(path, make):
    {
        "file": lambda: path.write_text("precious"),
        "folder": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to("/nowhere"),
    }[make]()
    with listener(UnixAddress(path)) as made:
        made.attend(1.0)
        assert "no socket" in made.problem
    assert os.path.lexists(path)


def test_a_missing_folder_is_waited_for(path):
    inner = path.parent / "run" / "tap.sock"
    with listener(UnixAddress(inner)) as made:
        assert made.attend(1.0)
        assert made.problem == "its folder does not exist"
        inner.parent.mkdir()
        assert made.attend(2.0)
        assert made.problem is None


def test_retries_back_off_to_a_maximum(path):
    path.mkdir()
    with listener(UnixAddress(path)) as made:
        made.attend(0.0)
        delays, now = [], 0.0
        for _ in range(8):
            delays.append(made.due - now)
            now = made.due
            made.attend(now)
    assert delays[:3] == [RETRY_FIRST_S, 2 * RETRY_FIRST_S, 4 * RETRY_FIRST_S]
    assert max(delays) == delays[-1] == RETRY_MAX_S


@pytest.mark.parametrize("replaced", [True, False])
def test_a_lost_socket_file_is_noticed(path, replaced):
    with opened(path) as made:
        path.unlink()
        if replaced:
            path.write_text("not ours")
        assert not made.attend(1.0 + CHECK_S / 2)
        assert made.attend(1.0 + CHECK_S)
        assert made.problem == "the socket file was removed or replaced by another process"
        assert path.exists() == replaced
        path.unlink(missing_ok=True)
        assert made.attend(1.0 + 2 * CHECK_S)
        assert made.problem is None
        assert can_connect(path)


def test_tcp_problems_are_told():
    with listener(TcpAddress("192.0.2.55", 6000)) as made:
        made.attend(1.0)
        assert "no such address, or not yet" in made.problem
    with socket.create_server(("127.0.0.1", 0)) as taken, listener(TcpAddress(*taken.getsockname()[:2])) as made:
        made.attend(1.0)
        assert made.problem == "another process listens on it"
    with listener(TcpAddress("no-such-host.invalid", 6000)) as made:
        made.attend(1.0)
        assert "can't be resolved" in made.problem


def test_a_restart_needs_no_wait_for_old_tcp_connections():
    address = TcpAddress("127.0.0.1", free_port())
    with listener(address) as made:
        made.attend(1.0)
        with socket.create_connection((address.host, address.port)):
            accepted, _ = made.sock.accept()
            accepted.close()  # we close first: TIME_WAIT is ours
    with listener(address) as made:
        made.attend(1.0)
        assert made.problem is None


def test_the_next_process_replaces_what_a_killed_one_left(path):
    code = "import os, socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); os._exit(9)"
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert path.exists()
    with opened(path):
        assert can_connect(path)
