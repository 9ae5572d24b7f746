"""Endpoints: a reload keeps what may stay, and opens anew what it must."""

import os
import shutil
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.hook_asker import NOT_OURS, Asker
from tests.workers.hold.hold_kit import PLAIN, config, stage, wait_until


def inode(path):
    with suppress(FileNotFoundError):
        found = path.stat()
        return found.st_ino, found.st_mtime_ns
    return None


def test_a_listener_whose_margins_change_stays_open(tmp_path):
    with stage(tmp_path) as scene, scene.hook() as hook:
        before = inode(scene.path)
        scene.service.configure(config(tmp_path, 'listen = "hold.sock"\ngive_up = "100ms"'))
        wait_until(lambda: hook.ask("www.test", []).bound_ms == 100)
        assert inode(scene.path) == before


def test_a_listener_whose_mode_changes_is_opened_anew(tmp_path):
    with stage(tmp_path) as scene, scene.hook() as hook:
        scene.service.configure(config(tmp_path, PLAIN + '\nperm = "0600"'))
        wait_until(lambda: scene.path.exists() and scene.path.stat().st_mode & 0o777 == 0o600)
        assert hook.ask("www.test", []).verdict == NOT_OURS, "who is connected stays"
        with Asker(scene.path) as other:
            assert other.ask("www.test", []).verdict == NOT_OURS


def test_a_reload_that_takes_the_table_away_closes_all(tmp_path):
    with stage(tmp_path) as scene, scene.hook() as hook:
        assert hook.ask("www.test", []).verdict == NOT_OURS
        scene.service.configure(config(tmp_path, ""))
        assert hook.sock.recv(100) == b""
        wait_until(lambda: scene.service.status() is None)


def test_a_listener_that_can_not_be_opened_is_told_and_tried_again(tmp_path):
    with stage(tmp_path, 'listen = "nowhere/hold.sock"') as scene:
        wait_until(lambda: scene.service.status() is not None)
        wait_until(lambda: "folder does not exist" in str(scene.status.listeners[0].problem))
        (tmp_path / "nowhere").mkdir()
        with Asker(tmp_path / "nowhere" / "hold.sock") as hook:
            assert hook.ask("www.test", []).verdict == NOT_OURS


def test_another_kind_of_socket_at_the_path_is_left_alone(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "hold.sock"))
        with stage(tmp_path) as scene:
            wait_until(lambda: scene.service.status() is not None)
            wait_until(lambda: "another process listens" in str(scene.status.listeners[0].problem))


@pytest.mark.skipif(os.geteuid() != 0, reason="other users can be played by root alone")
@pytest.mark.parametrize(("group", "is_let_in"), [(54321, True), (65534, False)], ids=["of the group", "stranger"])
def test_the_group_of_the_socket_says_who_may_ask(group, is_let_in):
    """A local user beside it is refused by the kernel, and costs nobody anything."""
    folder = Path(tempfile.mkdtemp(prefix="hold"))
    try:
        folder.chmod(0o755)
        with stage(folder) as scene, scene.hook() as hook:
            os.chown(scene.path, -1, 54321)
            child = os.fork()
            if not child:
                status = 1
                try:
                    os.setgroups([])
                    os.setgid(group)
                    os.setuid(65534)
                    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
                        try:
                            sock.connect(str(scene.path))
                        except PermissionError:
                            status = 13
                        else:
                            status = 0
                finally:
                    os._exit(status)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == (0 if is_let_in else 13)
            assert hook.ask("www.test", []).verdict == NOT_OURS
    finally:
        shutil.rmtree(folder)
