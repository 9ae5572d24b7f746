"""Copies of list files: of the very bytes, or none."""

import hashlib
from pathlib import Path

import pytest

from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists.source_copies import ReadPlan, SourceCopies

CONTENT = b"foo.com\n"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def test_a_copy_is_read_as_it_was_kept(tmp_path: Path):
    copies = SourceCopies(tmp_path)
    assert not copies.has(DIGEST)
    copies.keep(DIGEST, CONTENT)
    copies.keep(DIGEST, b"x" * len(CONTENT))  # never looked at again
    assert copies.has(DIGEST)
    assert copies.read(DIGEST) == CONTENT
    (only,) = tmp_path.iterdir()
    assert only.stat().st_mode & 0o777 == 0o600


def test_the_copy_of_a_file_that_is_only_replaced_takes_no_room(tmp_path: Path):
    file = tmp_path / "url-x.list"
    file.write_bytes(CONTENT)
    SourceCopies(tmp_path).keep(DIGEST, CONTENT, immutable=file)
    assert file.stat().st_nlink == 2
    (tmp_path / "new").write_bytes(b"bar.com\n")
    (tmp_path / "new").replace(file)
    assert SourceCopies(tmp_path).read(DIGEST) == CONTENT


def test_a_damaged_or_missing_copy_is_none(tmp_path: Path):
    copies = SourceCopies(tmp_path)
    with pytest.raises(ListError, match="can't be read: No such file"):
        copies.read(DIGEST)
    copies.keep(DIGEST, CONTENT)
    (tmp_path / f"source-{DIGEST}.list").write_bytes(CONTENT[:-1])
    with pytest.raises(ListError, match="damaged"):
        copies.read(DIGEST)
    copies.keep(DIGEST, CONTENT)
    assert copies.read(DIGEST) == CONTENT, "whoever has its bytes again mends it"


def test_without_room_or_folder_there_is_no_copy(tmp_path: Path, caplog):
    SourceCopies(tmp_path / "missing").keep(DIGEST, CONTENT)
    assert caplog.text == ""
    (tmp_path / f"source-{DIGEST}.list").symlink_to(tmp_path / "missing" / "x")
    SourceCopies(tmp_path).keep(DIGEST, CONTENT)
    assert SourceCopies(tmp_path).read(DIGEST) == CONTENT, "a dangling link is replaced"


def test_only_what_is_used_stays(tmp_path: Path):
    copies = SourceCopies(tmp_path)
    copies.keep(DIGEST, CONTENT)
    copies.keep("0" * 64, b"x")
    (tmp_path / ".source-1.list.tmp").write_bytes(b"x")
    (tmp_path / "url-1.list").write_bytes(b"x")
    copies.clean({DIGEST})
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"source-{DIGEST}.list", "url-1.list"]


def test_without_copies_nothing_is_read_from_one():
    assert ReadPlan(None, from_copies={("l", "x"): {"x": DIGEST}}).digests(("l", "x")) == {}
