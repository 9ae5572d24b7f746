"""The runtime folder: whose it may be, and the modes of what lies in it."""

import os
import pwd
import stat
from pathlib import Path

import pytest

from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.process import runtime
from dnstap_bgp.workers.process.runtime import PATCHES_VARIABLE, exabgp_patches

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_runtime_folder_that_others_can_write_to_is_refused(tmp_path, mode):
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(CommandError, match="writable by nobody else"):
        runtime.prepare_folder(folder, os.geteuid(), os.getegid())


def test_a_link_in_the_runtime_folders_place_is_refused(tmp_path):
    (tmp_path / "run").symlink_to(tmp_path)
    with pytest.raises(CommandError, match="no folder"):
        runtime.prepare_folder(tmp_path / "run", os.geteuid(), os.getegid())


@needs_root
def test_a_folder_that_root_left_is_handed_on_whole(tmp_path):
    folder = tmp_path / "run"
    runtime.prepare_folder(folder, 0, 0)
    runtime.make_fifos(folder)
    runtime.up_pidfile(folder).touch()
    (folder / "link").symlink_to("/etc/passwd")
    nobody = pwd.getpwnam("nobody")
    runtime.prepare_folder(folder, nobody.pw_uid, nobody.pw_gid)
    assert {path.lstat().st_uid for path in [folder, *folder.rglob("*")]} == {nobody.pw_uid}
    assert Path("/etc/passwd").stat().st_uid == 0
    with pytest.raises(CommandError, match="must belong to uid 0"):
        runtime.prepare_folder(folder, 0, 0)


def test_the_folders_of_the_fifos_have_their_mode_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        runtime.make_fifos(tmp_path)
    finally:
        os.umask(before)
    folders = {fifo.parent for fifo in runtime.fifos(tmp_path)}
    assert {folder.stat().st_mode & 0o777 for one in folders for folder in (one, one.parent)} == {0o711}


def test_the_folder_has_its_mode_from_the_beginning(tmp_path, monkeypatch):
    """Who died before it was given kept others from the sockets in it for good: a folder that is there stays so."""
    monkeypatch.delattr(Path, "chmod")
    before = os.umask(0o077)
    try:
        runtime.ensure_folder(tmp_path / "run")
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == runtime.FOLDER_MODE


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(CommandError, match="is no folder"):
        runtime.ensure_folder(tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, {}),
        ('{"a": "", "b": "not tried"}', {"a": "", "b": "not tried"}),
        ("", {}),
        ("[1]", {}),
        ("{", {}),
        ('{"a": 1}', {"a": "1"}),
    ],
)
def test_the_patches_of_exabgp(text, found):
    assert exabgp_patches({} if text is None else {PATCHES_VARIABLE: text}) == found
