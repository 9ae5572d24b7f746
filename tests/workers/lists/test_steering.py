"""Files of switches and managed lists: what survives, what is refused, and what a broken file costs."""

import logging
import os
import stat
import time
from pathlib import Path

import pytest

from dnstap_bgp.core.lists.managed import make_edit
from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.core.lists.switches import Switch
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.lists import steering
from dnstap_bgp.workers.lists.loader import ListLoader
from dnstap_bgp.workers.lists.steering import SwitchFile, edit_managed, read_managed


def test_a_switch_is_on_the_disk_before_it_counts(tmp_path: Path):
    path = tmp_path / "new" / "state.switches"
    SwitchFile(path).switch("a", Switch(False, None, 1.0, "alice"), configured=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SwitchFile(path).switches.by_list == {"a": Switch(False, None, 1.0, "alice")}


def test_a_switch_that_can_not_be_written_does_not_count(tmp_path: Path):
    (tmp_path / "file").touch()
    found = SwitchFile(tmp_path / "file" / "switches")
    with pytest.raises(CommandError, match=r"can't be written.*nothing is changed"):
        found.switch("a", Switch(False, None, 1.0), configured=True)
    assert found.switches.by_list == {}


def test_a_broken_file_is_told_and_the_next_switch_replaces_it(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "switches"
    path.write_text("{")
    with caplog.at_level(logging.WARNING):
        found = SwitchFile(path)
    assert f"{path}: the switches of lists can't be read" in caplog.text
    found.switch("a", Switch(False, None, 1.0), configured=True)
    assert set(SwitchFile(path).switches.by_list) == {"a"}


def test_a_fifo_in_place_of_the_file_hangs_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    os.mkfifo(tmp_path / "switches")
    assert SwitchFile(tmp_path / "switches").switches.by_list == {}
    assert "not a file" in caplog.text


def test_a_path_that_can_not_be_looked_at_ends_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """As in a folder that is closed to the plugin's user, or with a name too long for the disk."""
    found = SwitchFile(tmp_path / ("x" * 300))
    assert found.switches.by_list == {}
    assert "the switches of lists can't be read" in caplog.text
    with pytest.raises(CommandError, match="too long"):
        read_managed(tmp_path / ("x" * 300))
    assert read_managed(tmp_path / "none yet") == {}


def test_switches_that_others_can_write_count_for_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """In a folder where others may make files, one of them could have made this before us."""
    path = tmp_path / "switches"
    SwitchFile(path).switch("a", Switch(False, None, 1.0), configured=True)
    assert set(SwitchFile(path, only_ours=True).switches.by_list) == {"a"}
    path.chmod(0o666)
    assert SwitchFile(path, only_ours=True).switches.by_list == {}
    assert "others can write to it, as its mode is 0666" in caplog.text
    assert set(SwitchFile(path).switches.by_list) == {"a"}, "who only looks may be another user"


def test_a_managed_list_that_others_can_have_put_there_gives_nothing(tmp_path: Path):
    path, loader = tmp_path / "state.managed" / "mine", ListLoader(tmp_path / "lists")
    edit_managed(path, make_edit(["a.example"], [], "alice"))
    for each, mode, where in ((path.parent, 0o777, "of its folder, others"), (path, 0o660, "else's: others")):
        before = each.stat().st_mode
        each.chmod(mode)
        loaded = ListLoader(tmp_path / "other").load([managed(path), other_list(tmp_path)])
        assert where in loaded.failed["mine", str(path)]
        assert loaded.rules.lists(b"a.example") == ()
        with pytest.raises(CommandError, match="nothing is changed"):
            edit_managed(path, make_edit(["b.example"], [], "alice"))
        each.chmod(before)
    assert loader.load([managed(path)]).rules.lists(b"a.example") == ("mine",)


def other_list(folder: Path) -> ListSource:
    (folder / "other.txt").write_text("other.example\n")
    return ListSource("other", (str(folder / "other.txt"),))


def test_switches_whose_time_is_over_are_dropped_once(tmp_path: Path):
    found = SwitchFile(tmp_path / "switches")
    found.switch("a", Switch(False, time.time() + 3600, 1.0), configured=True)
    assert found.undo_expired() == []
    found.switch("a", Switch(False, time.time() - 1, 1.0), configured=True)
    assert found.undo_expired() == ["a"]
    assert found.undo_expired() == []
    assert SwitchFile(tmp_path / "switches").switches.by_list == {}


def test_a_managed_list_is_edited_on_disk(tmp_path: Path):
    path = tmp_path / "state.managed" / "mine"
    assert read_managed(path) == {}
    edit_managed(path, make_edit(["a.example", "b.example"], [], "alice"))
    edit_managed(path, make_edit([], ["a.example"], "bob"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(read_managed(path)) == ["b.example"]
    edit_managed(path, make_edit(["c.example"], [], "bob"), target=path.with_name("copy"))
    assert list(read_managed(path)) == ["b.example"], "only the copy has it"
    assert list(read_managed(path.with_name("copy"))) == ["b.example", "c.example"]


def test_a_managed_list_that_can_not_be_read_is_not_overwritten(tmp_path: Path):
    path = tmp_path / "mine"
    path.mkdir()
    with pytest.raises(CommandError, match="mine: Is a directory"):
        edit_managed(path, make_edit(["a.example"], [], "alice"))
    assert path.is_dir()


def managed(path: Path) -> ListSource:
    return ListSource("mine", (str(path),), "plain", is_managed=True)


def test_no_judge_looks_at_a_managed_list(tmp_path: Path):
    path, loader = tmp_path / "mine", ListLoader(tmp_path / "lists")
    assert len(loader.load([managed(path)]).rules) == 0, "no file yet is no error"
    edit_managed(path, make_edit([f"n{number}.example" for number in range(500)], [], "alice"))
    assert len(loader.load([managed(path)]).rules) == 500
    edit_managed(path, make_edit([], [f"n{number}.example" for number in range(500)], "alice"))
    loaded = loader.load([managed(path)])
    assert (len(loaded.rules), loaded.is_whole, loaded.unproven) == (0, True, ())
    assert ListLoader(tmp_path / "lists").load([managed(path)]).is_whole


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "mine"
    edit_managed(path, make_edit(["a.example"], [], "alice"))

    def full(*_arguments: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(steering, "write_atomically", full)
    with pytest.raises(CommandError, match="No space left on device; nothing is changed"):
        edit_managed(path, make_edit(["b.example"], [], "alice"))
    assert list(read_managed(path)) == ["a.example"]
