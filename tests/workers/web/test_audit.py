"""The audit file: bounded, escaped, and in nobody's way."""

import errno
import logging
import os
import stat
from io import FileIO
from pathlib import Path

import pytest

from dnstap_bgp.workers.web import audit
from dnstap_bgp.workers.web.audit import AuditFile


def test_entries_come_back_newest_first(tmp_path: Path):
    found = AuditFile(tmp_path / "audit")
    assert found.tail() == []
    found.add("alice", "/v1/add", {"address": "192.0.2.1"}, "done")
    found.add("bob", "/v1/forget", {"target": "x"}, "no")
    assert [(one["who"], one["outcome"]) for one in found.tail()] == [("bob", "no"), ("alice", "done")]
    assert stat.S_IMODE((tmp_path / "audit").stat().st_mode) == 0o600


def test_two_files_are_the_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audit, "FILE_MAX_BYTES", 1000)
    found = AuditFile(tmp_path / "audit")
    for number in range(100):
        found.add("alice", "/v1/add", {"number": number}, "done")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["audit", "audit.1"]
    assert sum(one.stat().st_size for one in tmp_path.iterdir()) <= 2000
    assert found.tail()[0]["asked"] == '{"number": 99}'
    lines = (tmp_path / "audit").read_bytes().count(b"\n")
    assert len(found.tail()) > lines, "the file before counts, too"


def test_what_people_write_is_escaped_and_cut(tmp_path: Path):
    AuditFile(tmp_path / "audit").add("\x1b]0;x\x07", "/v1/add", {"a": "\x1b[2J" + "x" * 10_000}, "\n" * 5000)
    content = (tmp_path / "audit").read_bytes()
    assert content.count(b"\n") == 1
    assert b"\x1b" not in content
    assert len(content) < 10_000


def test_a_disk_that_fails_is_told_and_hinders_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        AuditFile(tmp_path / "missing" / "audit").add("alice", "/v1/add", {}, "done")
    assert "missing/audit can't be written: No such file" in caplog.text


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_nothing_is_written_through_what_somebody_has_put_there(tmp_path: Path, kind: str):
    path, target = tmp_path / "audit", tmp_path / "target"
    if kind == "link":
        path.symlink_to(target)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    AuditFile(path).add("alice", "/v1/add", {}, "done")
    assert not target.exists()
    assert AuditFile(path).tail() == []


def test_a_full_disk_leaves_no_half_of_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = AuditFile(tmp_path / "audit")
    found.add("alice", "/v1/add", {}, "done")
    with monkeypatch.context() as disk:
        disk.setattr(
            audit, "FileIO", type("Full", (FileIO,), {"write": lambda file, line: FileIO.write(file, line[:9])})
        )
        found.add("bob", "/v1/add", {}, "done")
    found.add("carol", "/v1/add", {}, "done")
    assert [one["who"] for one in found.tail()] == ["carol", "alice"]


def test_a_file_that_can_not_be_begun_closes_nobody_else_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Another thread may have got the descriptor's number meanwhile, for a connection, say."""
    path, opened, others = tmp_path / "audit", os.open, list[int]()
    path.write_bytes(b"x" * audit.FILE_MAX_BYTES)

    def no_more(file: object, *arguments: int) -> int:
        if not path.exists():  # it was moved away
            others.append(opened(tmp_path, os.O_RDONLY))
            raise OSError(errno.EMFILE, "Too many open files")
        return opened(str(file), *arguments)

    with monkeypatch.context() as disk:
        disk.setattr(os, "open", no_more)
        AuditFile(path).add("alice", "/v1/add", {}, "done")
    os.fstat(others[0])
    os.close(others[0])


def test_lines_of_others_are_left_out(tmp_path: Path):
    (tmp_path / "audit").write_bytes(b'{"at": 1}\n[1]\n\xff\n' + b"[" * 5000 + b"\n")
    found = AuditFile(tmp_path / "audit")
    found.add("alice", "/v1/add", {}, "done")
    assert [one["who"] for one in found.tail()] == ["alice"]
